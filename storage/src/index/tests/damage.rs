//! Damaged, truncated, exchanged and crafted files: an error that names the segment, or the right answer; never another one.

use std::sync::Arc;

use annals_core::hash::LedgerId;

use super::{CLOSING, LEDGER, author_entry, author_id, key, record, sealed};
use crate::index::file::IndexFile;
use crate::index::{
    AuthorEntry, BlockEntry, BlockLocation, Index, IndexBuilder, IndexDamage, IndexError, IndexStore, MemoryIndexStore,
    OpenIndex, ReadAt,
};

fn source(bytes: Vec<u8>) -> Arc<dyn ReadAt> {
    let store = MemoryIndexStore::new();
    store.set(3, Some(bytes));
    store.open(3).unwrap().unwrap()
}

type Answers = (Option<BlockLocation>, Option<BlockLocation>, Vec<u64>, Vec<u64>, Option<AuthorEntry>);

/// One lookup of each kind: together they read every page of a file of five pages.
fn answers(bytes: Vec<u8>) -> Result<Answers, IndexError> {
    let file = IndexFile::open(source(bytes), LEDGER, 3)?;
    let wanted = record(1007);
    Ok((
        file.block_of_seq(1007)?,
        file.block_of_height(102)?,
        file.find_record_id(&wanted.record_id)?,
        file.find_nonce(wanted.suite, &wanted.author, wanted.nonce)?,
        file.author(1, &author_id(2))?,
    ))
}

fn damage_of(bytes: Vec<u8>) -> IndexDamage {
    match answers(bytes) {
        Err(IndexError::Damaged { segment: 3, damage, .. }) => damage,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_flipped_bit_is_detected() {
    let bytes = sealed(5, 3, 7).encode();
    assert_eq!(bytes.len(), 5 * 4096, "one page a section");
    let block = |height| {
        Some(BlockLocation {
            segment: 3,
            offset: 4096 * (2 + 3 * (height - 100)),
            height,
            first_seq: 1000 + 3 * (height - 100),
            record_count: 3,
        })
    };
    let right = answers(bytes.clone()).unwrap();
    assert_eq!(right, (block(102), block(102), vec![1007], vec![1007], Some(author_entry(2))));
    for bit in 0..8 * bytes.len() {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = answers(damaged).unwrap_err();
        assert_eq!((error.code(), error.rebuild()), ("index.damaged", Some(3)), "bit {bit}");
    }
}

#[test]
fn every_other_length_is_detected() {
    let bytes = sealed(5, 3, 7).encode();
    let longer = [bytes.clone(), vec![0; 8192]].concat();
    for length in (0..longer.len()).step_by(512).chain([1, 4095, 4097, bytes.len() - 1, bytes.len() + 1]) {
        if length != bytes.len() {
            let damage = damage_of(longer[..length].to_vec());
            assert!(
                matches!(damage, IndexDamage::Length { found, .. } if found == length as u64),
                "{length}: {damage}"
            );
        }
    }
}

#[test]
fn pages_of_other_places_are_detected() {
    let mut bytes = sealed(5, 3, 7).encode();
    let (front, back) = bytes.split_at_mut(3 * 4096);
    front[2 * 4096..].swap_with_slice(&mut back[..4096]);
    assert!(matches!(damage_of(bytes), IndexDamage::PageSum { .. }));
}

#[test]
fn files_of_other_places_are_detected() {
    let bytes = sealed(5, 3, 7).encode();
    let other = LedgerId::from_bytes([1; 32]);
    let error = IndexFile::open(source(bytes.clone()), other, 3).unwrap_err();
    let expected = IndexDamage::Ledger { expected: other, found: LEDGER };
    assert!(matches!(error, IndexError::Damaged { damage, .. } if damage == expected));
    let error = IndexFile::open(source(bytes), LEDGER, 4).unwrap_err();
    assert!(matches!(error, IndexError::Damaged { segment: 4, damage: IndexDamage::Segment { found: 3 }, .. }));
}

/// The damage found when the header says something else under a right checksum.
fn crafted(change: impl Fn(&mut [u8])) -> IndexDamage {
    let mut bytes = sealed(5, 3, 7).encode();
    change(&mut bytes);
    let sum = *blake3::hash(&bytes[..4064]).as_bytes();
    bytes[4064..4096].copy_from_slice(&sum);
    damage_of(bytes)
}

#[test]
fn crafted_headers_are_refused() {
    let number =
        |at: usize, value: u64| move |bytes: &mut [u8]| bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    for value in [0, 4, 16 * 16_384, 1 << 53, u64::MAX / 16, u64::MAX] {
        assert_eq!(crafted(number(56, value)), IndexDamage::Counts, "record count {value}");
    }
    for at in [72, 160] {
        for value in [0, 256, 1 << 53, u64::MAX / 4096, u64::MAX] {
            assert_eq!(crafted(number(at, value)), IndexDamage::Counts, "field {at} = {value}");
        }
    }
    for at in [48, 64] {
        assert_eq!(crafted(number(at, 1 << 53)), IndexDamage::Counts);
    }
    for at in (168..232).step_by(8) {
        assert_eq!(crafted(number(at, 20_480)), IndexDamage::Counts, "section field {at}");
    }
    for at in [4, 7, 232, 4063] {
        assert_eq!(crafted(|bytes| bytes[at] = 1), IndexDamage::Reserved);
    }
    assert_eq!(crafted(|bytes| bytes[3] = b'2'), IndexDamage::Magic { found: *b"ANX2" });
}

#[test]
fn damaged_and_missing_files_are_rebuilt() {
    let store = MemoryIndexStore::new();
    let fresh = || {
        let mut builder = IndexBuilder::new(LEDGER, 3, key(3), 1000, 100);
        let records: Vec<_> = (1000..1100).map(record).collect();
        builder.push_block(&BlockEntry { first_seq: 1000, height: 100, offset: 8192, records: &records });
        builder.finish(CLOSING, Vec::new())
    };
    fresh().write(&store).unwrap();
    let mut damaged = store.bytes(3).unwrap();
    damaged[4096 + 20] ^= 1;
    for (bytes, code) in [(Some(damaged), "index.damaged"), (None, "index.missing")] {
        store.set(3, bytes);
        let open = OpenIndex::new(4, key(4), 1100, 101);
        let index = Index::new(Arc::new(store.clone()), LEDGER, &[3], open);
        let error = index.locate_seq(1050).unwrap_err();
        assert_eq!((error.code(), error.rebuild()), (code, Some(3)));
        let rebuilt = fresh();
        index.install(&rebuilt);
        assert_eq!(index.locate_seq(1050).unwrap().map(|block| block.height), Some(100));
        rebuilt.write(&store).unwrap();
        index.written(&rebuilt);
        let read = store.bytes_read();
        assert_eq!(index.locate_seq(1050).unwrap().map(|block| block.height), Some(100));
        assert!(read < store.bytes_read(), "the new file answers, not the one that was open");
    }
}

#[test]
fn written_of_a_replaced_index_changes_nothing() {
    let (store, first, second) = (MemoryIndexStore::new(), sealed(2, 2, 1), sealed(2, 2, 1));
    let index = Index::new(Arc::new(store), LEDGER, &[3], OpenIndex::new(4, key(4), 1004, 102));
    index.install(&first);
    index.install(&second);
    index.written(&first);
    assert!(index.locate_seq(1001).unwrap().is_some(), "the second one answers from memory");
    index.written(&second);
    assert_eq!(index.locate_seq(1001).unwrap_err().code(), "index.missing", "nobody wrote it");
}
