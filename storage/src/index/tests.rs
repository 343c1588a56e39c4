//! Tests of the index: what the modules below share, and the fixed values of the format.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::missing_panics_doc,
    reason = "tests"
)]

mod concurrent;
mod damage;
mod files;
mod model;
mod reads;

use std::sync::Arc;

use annals_core::hash::{AuthorId, BlockHash, LedgerId, RecordId};

use crate::frame::FrameChecksum;
use crate::index::{
    AuthorEntry, AuthorStatement, BlockEntry, Closing, IndexBuilder, LookupKey, OpenIndex, PendingIndexFile,
    RecordEntry, StoredNonces,
};

pub(super) const LEDGER: LedgerId = LedgerId::from_bytes([7; 32]);

pub(super) fn key(segment: u64) -> LookupKey {
    LookupKey::derive(&[segment as u8; 32])
}

/// A random-looking record id for a number.
pub(super) fn record_id(number: u64) -> RecordId {
    RecordId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

/// A random-looking author for a number.
pub(super) fn author_id(number: u64) -> AuthorId {
    AuthorId::from_bytes(*blake3::hash(&(!number).to_le_bytes()).as_bytes())
}

/// The record of a seq: four authors in turn.
pub(super) fn record(seq: u64) -> RecordEntry {
    RecordEntry { record_id: record_id(seq), suite: 1, author: author_id(seq % 4), nonce: seq / 4 }
}

pub(super) fn author_entry(number: u64) -> AuthorEntry {
    let window = core::array::from_fn(|word| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(word as u32));
    let statement = match number % 3 {
        0 => AuthorStatement::None,
        1 => AuthorStatement::Admitted(number + 1),
        _ => AuthorStatement::Revoked(number + 1),
    };
    let nonces = (!number.is_multiple_of(5)).then_some(StoredNonces { top: number, window });
    AuthorEntry { suite: 1, author: author_id(number), statement, nonces }
}

pub(super) const CLOSING: Closing =
    Closing { newest_block: BlockHash::from_bytes([8; 32]), end_checksum: FrameChecksum::from_bytes([9; 32]) };

/// A sealed index of so many blocks with so many records each, from seq 1,000 and height 100 on.
pub(super) fn sealed(blocks: u64, records: u64, authors: u64) -> PendingIndexFile {
    let mut builder = IndexBuilder::new(LEDGER, 3, key(3), 1000, 100);
    for block in 0..blocks {
        let first_seq = 1000 + block * records;
        let entries: Vec<_> = (first_seq..first_seq + records).map(record).collect();
        let offset = 4096 * (2 + 3 * block);
        builder.push_block(&BlockEntry { first_seq, height: 100 + block, offset, records: &entries });
    }
    builder.finish(CLOSING, (0..authors).map(author_entry).collect())
}

#[test]
fn nonce_fingerprint_is_siphash_2_4() {
    // openssl mac -macopt hexkey:000102030405060708090a0b0c0d0e0f -macopt size:8 SIPHASH, over the bytes 0 to 40.
    let expected = [0x92, 0x59, 0x58, 0xfc, 0xd6, 0x42, 0x0c, 0xad];
    let lookup_key = LookupKey(core::array::from_fn(|at| at as u8));
    let author = AuthorId::from_bytes(core::array::from_fn(|at| at as u8 + 1));
    let nonce = u64::from_le_bytes(core::array::from_fn(|at| at as u8 + 33));
    assert_eq!(lookup_key.nonce_fingerprint(0, &author, nonce).to_le_bytes(), expected);
}

#[test]
fn file_is_the_documented_table() {
    let pending = sealed(2, 1, 1);
    let bytes = pending.encode();
    assert_eq!(bytes.len(), 5 * 4096);
    let lookup_key = &blake3::derive_key("annals.index.v1", &[3; 32])[..16];

    let mut header = vec![0_u8; 4064];
    header[..4].copy_from_slice(b"ANX1");
    header[8..40].fill(7);
    for (at, number) in [(40, 3_u64), (48, 1000), (56, 2), (64, 100), (72, 2), (160, 1)] {
        header[at..at + 8].copy_from_slice(&number.to_le_bytes());
    }
    header[80..112].fill(8);
    header[112..144].fill(9);
    header[144..160].copy_from_slice(lookup_key);
    for section in 0..4_u64 {
        let at = 168 + 16 * section as usize;
        header[at..at + 8].copy_from_slice(&(4096 * (section + 1)).to_le_bytes());
        header[at + 8..at + 16].copy_from_slice(&4096_u64.to_le_bytes());
    }
    assert_eq!(bytes[..4064], header);
    assert_eq!(bytes[4064..4096], *blake3::hash(&header).as_bytes());

    let mut blocks = vec![0_u8; 4088];
    for (at, seq, page) in [(0, 1000_u64, 2_u32), (16, 1001, 5)] {
        blocks[at..at + 8].copy_from_slice(&seq.to_le_bytes());
        blocks[at + 8..at + 12].copy_from_slice(&page.to_le_bytes());
        blocks[at + 12] = 1;
    }
    assert_eq!(bytes[4096..8184], blocks);
    let seed = u64::from_le_bytes(lookup_key[..8].try_into().unwrap());
    for page in 1..5_usize {
        let content = &bytes[4096 * page..4096 * page + 4088];
        let sum = xxhash_rust::xxh3::xxh3_64_with_seed(content, seed ^ page as u64);
        assert_eq!(bytes[4096 * page + 4088..][..8], sum.to_le_bytes());
    }

    let mut ids = [(record_id(1000), 1000_u64), (record_id(1001), 1001)];
    ids.sort_unstable();
    for (index, (id, seq)) in ids.iter().enumerate() {
        let entry = &bytes[8192 + 16 * index..][..16];
        // Little-endian, as every number; that the id's first byte counts most is what makes them sort as ids do.
        assert!(entry[..8].iter().rev().eq(&id.as_bytes()[..8]));
        assert_eq!(entry[8..], seq.to_le_bytes());
    }
    assert_eq!(bytes[16_384..16_384 + 192], author_entry(0).encode());
}

#[test]
fn author_entry_is_the_documented_table() {
    let window = core::array::from_fn(|word| word as u64 + 1);
    let nonces = Some(StoredNonces { top: 0x0102, window });
    let statement = AuthorStatement::Revoked(77);
    let entry = AuthorEntry { suite: 1, author: AuthorId::from_bytes([5; 32]), statement, nonces };
    let mut expected = [0_u8; 192];
    expected[..32].fill(5);
    expected[32..35].copy_from_slice(&[1, 2, 1]);
    expected[40] = 77;
    expected[48..50].copy_from_slice(&[2, 1]);
    for word in 0..16 {
        expected[56 + 8 * word] = word as u8 + 1;
    }
    assert_eq!(entry.encode(), expected);
    assert_eq!(AuthorEntry::parse(&expected), Some(entry));
    let refused = [(33, 0), (33, 3), (34, 0), (34, 2), (35, 1), (39, 1), (40, 0), (46, 0x20), (184, 1), (191, 1)];
    for (at, byte) in refused {
        let mut damaged = expected;
        damaged[at] = byte;
        assert_eq!(AuthorEntry::parse(&damaged), None, "byte {at} = {byte}");
    }
}

#[test]
fn runs_stay_few() {
    let index = OpenIndex::new(0, key(0), 0, 0);
    for seq in 0..300_000_u64 {
        index.push_block(&BlockEntry { first_seq: seq, height: seq, offset: 4096, records: &[record(seq)] });
    }
    let lengths = index.contents().record_ids.lengths();
    assert_eq!(lengths.iter().sum::<usize>(), 300_000);
    assert!(lengths.iter().all(|length| *length <= 16_384));
    // Two neighbours hold more than 16,384 together, or the older is more than twice as long: 37 and 14 at most.
    assert!(lengths.len() <= 51, "{lengths:?}");
}

#[test]
#[should_panic(expected = "a sealed segment takes no block")]
fn sealed_index_takes_no_block() {
    let open = Arc::new(OpenIndex::new(0, key(0), 0, 0));
    let _pending = PendingIndexFile::seal(LEDGER, Arc::clone(&open), CLOSING, Vec::new());
    open.push_block(&BlockEntry { first_seq: 0, height: 0, offset: 4096, records: &[record(0)] });
}

#[test]
#[should_panic(expected = "an author has one entry a segment")]
fn author_named_twice_is_our_bug() {
    let open = Arc::new(OpenIndex::new(0, key(0), 0, 0));
    let _pending = PendingIndexFile::seal(LEDGER, open, CLOSING, vec![author_entry(1), author_entry(1)]);
}
