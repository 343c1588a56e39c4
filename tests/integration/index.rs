//! An index that lies: right in every sum, and wrong in what it says. It leads nowhere, or to what the log itself confirms.

use crate::support::{Place, key, record};
use annals::{Refusal, check_ledger};
use annals_core::body::Body;
use annals_core::hash::BlockHash;
use annals_core::record::{Head, record_id};
use annals_storage::check::{read_closed, segment_header};
use annals_storage::disk::{Access, FileDisk};
use annals_storage::index::{
    AuthorEntry, AuthorStatement, BlockEntry, Closing, FileIndexStore, IndexBuilder, IndexStore, LookupKey,
    RecordEntry, StoredNonces,
};
use annals_storage::recovery::RecoveredFrame;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// Bytes of a payload of which a segment holds a few.
const LARGE: usize = 400_000;

/// What the index keeps of the records of a block.
fn entries(frame: &RecoveredFrame<'_>) -> Vec<RecordEntry> {
    let body = Body::parse(frame.body).unwrap();
    let entry = |bytes| {
        let head = Head::parse(bytes).unwrap();
        RecordEntry { record_id: record_id(bytes), suite: head.suite, author: head.author, nonce: head.nonce }
    };
    body.heads().iter().map(entry).collect()
}

/// Writes an index of the first segment in which each record stands in the place of the one before it. What it says of the
/// author is right.
fn lie(path: &Path, ledger: annals::LedgerId) {
    let disk = FileDisk::new(&path.join("segments"), Access::Read);
    let lookup_key = LookupKey::derive(&segment_header(&disk, ledger, 0).unwrap().key);
    let (mut blocks, mut all) = (Vec::new(), Vec::new());
    let end = read_closed(&disk, ledger, 0, &mut |frame| {
        if let Some(block) = frame.header.block() {
            let records = entries(&frame);
            blocks.push((block.header.first_seq, block.header.height, frame.header.offset, records.len()));
            all.extend(records);
        }
        ControlFlow::Continue(())
    });
    let end = end.unwrap();
    all.rotate_left(1);
    let mut builder = IndexBuilder::new(ledger, 0, lookup_key, 0, 0);
    let mut rest = all.as_slice();
    for (first_seq, height, offset, count) in blocks {
        let (records, later) = rest.split_at(count);
        builder.push_block(&BlockEntry { first_seq, height, offset, records });
        rest = later;
    }
    let newest_block = end.newest.map_or(BlockHash::ZERO, |newest| newest.hash);
    let top = all.iter().map(|record| record.nonce).max().unwrap();
    let nonces = Some(StoredNonces { top, window: [u64::MAX; 16] });
    let (suite, author, statement) = (1, key(1).public(), AuthorStatement::None);
    let authors = vec![AuthorEntry { suite, author, statement, nonces }];
    let index = builder.finish(Closing { newest_block, end_checksum: end.checksum }, authors);
    FileIndexStore::new(&path.join("index")).write(0, &index.encode()).unwrap();
}

#[test]
fn a_lying_index_shows_no_record_as_another() {
    let place = Place::new();
    let ledger = place.create();
    let id = ledger.id();
    let mut appender = ledger.appender().unwrap();
    let records: Vec<Vec<u8>> = (0..9).map(|nonce| record(id, &key(1), nonce, &vec![nonce as u8; LARGE])).collect();
    let acks: Vec<_> = records.iter().map(|record| appender.append_wait(record).unwrap()).collect();
    drop(appender);
    ledger.close().unwrap();
    lie(&place.path(), id);
    let error = check_ledger(&place.path(), None, &mut |_, _| {}).unwrap_err();
    assert_eq!(error.code(), "check.index", "a check compares every byte: {error}");

    let ledger = place.open();
    let (reader, mut appender) = (ledger.reader(), ledger.appender().unwrap());
    let mut missed = 0;
    for ((nonce, record), ack) in (0..).zip(&records).zip(&acks) {
        let wanted = record_id(record.first_chunk().unwrap());
        match reader.find(&wanted).unwrap() {
            Some(found) => assert_eq!((found.record_id(), found.seq()), (wanted, ack.seq)),
            None => missed += 1,
        }
        if let Some(found) = reader.find_nonce(&key(1).public(), nonce).unwrap() {
            assert_eq!((found.record_id(), found.seq()), (wanted, ack.seq));
        }
        assert_eq!(reader.get(ack.seq).unwrap().record_id(), wanted);
        // Sent again, it is answered as before, or not known any more; never as another one.
        match appender.append_wait(record) {
            Ok(again) => assert_eq!(again, *ack),
            Err(refusal) => assert!(matches!(refusal, Refusal::NonceStale(_)), "{refusal}"),
        }
    }
    assert!(0 < missed, "the index has lied");
    ledger.close().unwrap();
}

#[test]
fn what_is_in_an_index_file_is_not_held_in_memory_too() {
    let place = Place::new();
    let ledger = place.create();
    let mut appender = ledger.appender().unwrap();
    let records: Vec<Vec<u8>> =
        (0..9).map(|nonce| record(ledger.id(), &key(1), nonce, &vec![nonce as u8; LARGE])).collect();
    for record in &records {
        appender.append_wait(record).unwrap();
    }
    let (file, reader) = (place.path().join("index/0000000000.idx"), ledger.reader());
    let first = record_id(records[0].first_chunk().unwrap());
    // Whoever still holds the index answers without the file; whoever does not misses the file, and makes it again.
    let is_made_again = || {
        std::thread::park_timeout(Duration::from_millis(10));
        let is_removed = std::fs::remove_file(&file).is_ok();
        assert!(reader.find(&first).unwrap().is_some());
        is_removed && file.exists()
    };
    assert!((0..500).any(|_| is_made_again()), "the first segment's index is in memory to the end");
    drop(appender);
    ledger.close().unwrap();
}
