//! Records read alone: the same as in their block, whatever is kept in memory, and never from damaged pages.

use crate::forged::forge_with;
use crate::support::{Place, SMALL, key, options, record};
use annals::{Ledger, Options, QueryError, Reader, StoredRecord};
use annals_core::block::BlockHeader;
use annals_storage::frame::Slot;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const RECORDS: u64 = 6000;

/// A closed ledger of several segments, with large blocks among its blocks.
fn flooded(place: &Place) {
    let ledger = place.create();
    let mut appender = ledger.appender().unwrap();
    let payload = |nonce: u64| vec![nonce as u8; [0, 700, 33, 1800][nonce as usize % 4]];
    let records: Vec<_> = (0..RECORDS).map(|nonce| record(ledger.id(), &key(1), nonce, &payload(nonce))).collect();
    let mut pending = Vec::new();
    for batch in records.chunks(50) {
        let batch: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
        pending.extend(appender.append_batch(&batch).unwrap().into_iter().map(Result::unwrap));
    }
    for pending in pending {
        pending.wait().unwrap();
    }
    ledger.close().unwrap();
}

fn small_memory(path: &Path, reading_memory: usize) -> Ledger {
    Ledger::open(path, Options { reading_memory, ..options() }).unwrap()
}

fn parts(record: &StoredRecord) -> (u64, u64, [u8; 192], Vec<u8>) {
    (record.seq(), record.height(), *record.head_bytes(), record.payload().to_vec())
}

#[test]
fn whatever_is_kept_in_memory_the_answers_are_the_same() {
    let place = Place::new();
    flooded(&place);
    let scanned: Vec<_> = Reader::open(&place.path()).unwrap().scan(0).map(|record| parts(&record.unwrap())).collect();
    assert_eq!(scanned.len() as u64, RECORDS + 1);
    let blocks = scanned.last().unwrap().1;
    assert!(blocks < RECORDS / 20, "{blocks} blocks: some are large");
    // Nothing is kept; a block or two; everything.
    for memory in [0, 1 << 20, 64 << 20] {
        let ledger = small_memory(&place.path(), memory);
        let reader = ledger.reader();
        // Jumping: each question is of another block than the one before.
        for seq in (0..RECORDS).map(|at| at * 2477 % (RECORDS + 1)) {
            let expected = &scanned[seq as usize];
            assert_eq!(&parts(&reader.get(seq).unwrap()), expected, "seq {seq} with {memory} bytes of memory");
            if seq % 7 == 0 {
                let receipt = reader.prove(seq).unwrap();
                assert_eq!((receipt.seq, receipt.head), (seq, expected.2));
                receipt.verify(ledger.vkey()).unwrap();
                let record = reader.find(&receipt.leaf.record_id).unwrap().unwrap();
                assert_eq!(&parts(&record), expected);
            }
        }
        ledger.close().unwrap();
    }
}

#[test]
fn receipts_are_the_same_bytes_beside_the_writer_and_after_it() {
    let place = Place::new();
    flooded(&place);
    let beside = Reader::open(&place.path()).unwrap();
    let ledger = small_memory(&place.path(), 0);
    let tight = ledger.reader();
    for seq in (0..RECORDS).step_by(41) {
        let receipt = beside.prove(seq).unwrap();
        assert_eq!(receipt, tight.prove(seq).unwrap());
        // Asked for again, from what is kept by now.
        assert_eq!(receipt, beside.prove(seq).unwrap());
    }
}

/// Flips a bit of a segment's file.
fn flip(path: &Path, segment: u64, offset: u64) {
    let path = path.join("segments").join(format!("{segment:010}.seg"));
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 8], offset).unwrap();
    file.sync_all().unwrap();
}

#[test]
fn damage_under_a_reader_is_found_by_whoever_reads_it() {
    let place = Place::new();
    flooded(&place);
    // Nothing of records is kept, but all that finds them: what is damaged now has to be seen now.
    let ledger = small_memory(&place.path(), 64 << 20);
    let reader = ledger.reader();
    let expected: Vec<_> = (0..RECORDS).map(|seq| parts(&reader.get(seq).unwrap())).collect();
    (0..RECORDS).step_by(50).for_each(|seq| drop(reader.prove(seq).unwrap()));
    let page_of = |offset: u64| offset / 4096 * 4096;
    let mut damaged = 0;
    for offset in (2 * 4096..SMALL).step_by(37 * 4096) {
        flip(&place.path(), 0, page_of(offset) + 1234);
        for seq in (0..RECORDS).step_by(13) {
            match reader.get(seq) {
                Ok(record) => assert_eq!(parts(&record), expected[seq as usize]),
                Err(error) => {
                    assert!(matches!(error, QueryError::Read(_)), "{error}");
                    damaged += 1;
                }
            }
            match reader.prove(seq) {
                Ok(receipt) => assert!(receipt.verify(ledger.vkey()).is_ok()),
                Err(error) => assert!(matches!(error, QueryError::Read(_)), "{error}"),
            };
        }
        flip(&place.path(), 0, page_of(offset) + 1234);
    }
    assert!(0 < damaged, "some of the damage lay under records");
    for seq in (0..RECORDS).step_by(13) {
        assert_eq!(parts(&reader.get(seq).unwrap()), expected[seq as usize], "what is right again is read again");
    }
}

#[test]
fn a_block_that_does_not_give_its_root_proves_nothing() {
    let place = Place::new();
    let ledger = place.create();
    let id = ledger.id();
    ledger.close().unwrap();
    // Whoever has the disk computes every sum anew: here the block is said to be ordered a moment later than its leaves say.
    let records: Vec<_> = (0..100).map(|nonce| record(id, &key(1), nonce, &[7; 2000])).collect();
    let signed = |header: &BlockHeader| {
        let (size, height) = (header.next_seq(), header.height);
        Some(Slot { size, height, signature: [7; 64] })
    };
    forge_with(&place.path(), &records, |header| header.ordered_time_ms += 1, signed);
    let reader = Reader::open(&place.path()).unwrap();
    assert_eq!(reader.get(50).unwrap().payload().len(), 2000);
    let error = reader.prove(50).unwrap_err();
    assert!(matches!(error, QueryError::Tree { height: 1 }), "{error}");
}
