//! How many pages lookups read, and what reopening reads: nothing.

use std::sync::Arc;

use annals_core::hash::RecordId;

use super::{CLOSING, LEDGER, author_entry, author_id, key, record, record_id, sealed};
use crate::index::file::IndexFile;
use crate::index::{
    BlockEntry, BlockLocation, Index, IndexBuilder, IndexStore, MemoryIndexStore, OpenIndex, PendingIndexFile,
    RecordEntry,
};

const RECORD_COUNT: u64 = 100_000;
const LOOKUP_COUNT: u64 = 2000;

fn open(pending: &PendingIndexFile) -> (MemoryIndexStore, IndexFile) {
    let store = MemoryIndexStore::new();
    pending.write(&store).unwrap();
    let file = IndexFile::open(store.open(3).unwrap().unwrap(), LEDGER, 3).unwrap();
    (store, file)
}

/// Pages read in all and at most by so many lookups.
fn pages(store: &MemoryIndexStore, mut lookup: impl FnMut(u64)) -> (u64, u64) {
    let (mut all, mut most) = (0, 0);
    for number in 0..LOOKUP_COUNT {
        let before = store.bytes_read();
        lookup(number);
        let read = (store.bytes_read() - before) / 4096;
        all += read;
        most = read.max(most);
    }
    (all, most)
}

#[test]
fn lookups_read_three_pages_at_most_on_average() {
    let (store, file) = open(&sealed(RECORD_COUNT / 4, 4, RECORD_COUNT / 10));
    let seq_of = |number: u64| 1000 + number * 7919 % RECORD_COUNT;
    let found = |seqs: Vec<u64>, seq| assert_eq!(seqs, [seq]);
    let absent = |seqs: Vec<u64>| assert!(seqs.is_empty());
    let id_hit = pages(&store, |n| found(file.find_record_id(&record_id(seq_of(n))).unwrap(), seq_of(n)));
    let id_miss = pages(&store, |n| absent(file.find_record_id(&record_id(n + (1 << 40))).unwrap()));
    let nonce_hit = pages(&store, |n| {
        let wanted = record(seq_of(n));
        found(file.find_nonce(1, &wanted.author, wanted.nonce).unwrap(), seq_of(n));
    });
    let nonce_miss = pages(&store, |n| absent(file.find_nonce(1, &author_id(n), 1 << 40).unwrap()));
    let seq = pages(&store, |n| {
        let block = file.block_of_seq(seq_of(n)).unwrap().unwrap();
        assert_eq!(block.first_seq, seq_of(n) / 4 * 4);
    });
    let height = pages(&store, |n| assert!(file.block_of_height(100 + n).unwrap().is_some()));
    let author = pages(&store, |n| assert_eq!(file.author(1, &author_id(n)).unwrap(), Some(author_entry(n))));
    let all = [
        ("record id, found", id_hit),
        ("record id, absent", id_miss),
        ("nonce, found", nonce_hit),
        ("nonce, absent", nonce_miss),
        ("seq", seq),
        ("height", height),
        ("author", author),
    ];
    for (what, (all, most)) in all {
        assert!(all <= 3 * LOOKUP_COUNT, "{what}: {all} pages by {LOOKUP_COUNT} lookups");
        assert!(most <= 7, "{what}: {most} pages by one lookup");
    }
    assert_eq!(height, (LOOKUP_COUNT, 1));
}

/// A file whose record ids are these.
fn with_ids(ids: impl Iterator<Item = RecordId>) -> PendingIndexFile {
    let records: Vec<_> = ids.map(|record_id| RecordEntry { record_id, ..record(0) }).collect();
    let mut builder = IndexBuilder::new(LEDGER, 3, key(3), 1000, 100);
    for (records, block) in records.chunks(10_000).zip(0..) {
        let first_seq = 1000 + 10_000 * block;
        builder.push_block(&BlockEntry { first_seq, height: 100 + block, offset: 4096, records });
    }
    builder.finish(CLOSING, Vec::new())
}

#[test]
fn clustered_ids_cost_a_logarithm() {
    // Three clusters far apart, their members packed: as far from uniform as ids can be made.
    let id = |number: u64| {
        let mut bytes = [0; 32];
        bytes[0] = [0, 1, 0xfe][(number % 3) as usize];
        bytes[4..8].copy_from_slice(&(number as u32).to_be_bytes());
        bytes[3] = number.is_multiple_of(7).into();
        RecordId::from_bytes(bytes)
    };
    let (store, file) = open(&with_ids((0..RECORD_COUNT).map(id)));
    let (_, most) = pages(&store, |n| {
        let number = n * 49;
        assert_eq!(file.find_record_id(&id(number)).unwrap(), [1000 + number]);
    });
    // Four guesses, 9 halvings of 393 pages, a neighbour on each side.
    assert!(most <= 4 + 9 + 2, "{most} pages");
}

#[test]
fn equal_fingerprints_are_all_found_across_pages() {
    let same = |last: u64| {
        let mut bytes = record_id(0).to_bytes();
        bytes[24..].copy_from_slice(&last.to_le_bytes());
        RecordId::from_bytes(bytes)
    };
    for count in [2, 255, 256, 700, 2000_u64] {
        let ids = (0..3000).map(|n| if n % 3 == 0 && n / 3 < count { same(n) } else { record_id(n + 1) });
        let expected: Vec<_> = (0..3000).filter(|n| n % 3 == 0 && n / 3 < count).map(|n| 1000 + n).collect();
        let pending = with_ids(ids);
        let (_, file) = open(&pending);
        assert_eq!(file.find_record_id(&same(7)).unwrap(), expected);
        assert_eq!(pending.contents().find_record_id(&same(7)), expected);
    }
}

/// A ledger of so many closed segments with one block of two records each.
fn ledger(segments: u64) -> (MemoryIndexStore, Index) {
    let store = MemoryIndexStore::new();
    for segment in 0..segments {
        let mut builder = IndexBuilder::new(LEDGER, segment, key(segment), 2 * segment, segment);
        let records = [record(2 * segment), record(2 * segment + 1)];
        builder.push_block(&BlockEntry { first_seq: 2 * segment, height: segment, offset: 8192, records: &records });
        builder.finish(CLOSING, vec![author_entry(segment)]).write(&store).unwrap();
    }
    let open = OpenIndex::new(segments, key(segments), 2 * segments, segments);
    let records = [record(2 * segments)];
    open.push_block(&BlockEntry { first_seq: 2 * segments, height: segments, offset: 8192, records: &records });
    let closed: Vec<_> = (0..segments).collect();
    let index = Index::new(Arc::new(store.clone()), LEDGER, &closed, open);
    (store, index)
}

#[test]
fn reopening_reads_no_index_file() {
    let (store, index) = ledger(100);
    assert!(index.locate_seq(200).unwrap().is_some());
    assert!(index.locate_height(100).unwrap().is_some());
    assert_eq!(index.find_record_id(&record_id(200)).next().unwrap().unwrap(), 200);
    assert_eq!(index.locate_seq(201).unwrap(), None);
    assert_eq!((store.bytes_read(), store.opened_count()), (0, 0), "the open segment answers alone");

    let expected = BlockLocation { segment: 40, offset: 8192, height: 40, first_seq: 80, record_count: 2 };
    assert_eq!(index.locate_seq(81).unwrap(), Some(expected));
    assert!(store.bytes_read() / 4096 <= 7 + 1, "headers by bisection, then a page of the block table");
    let before = store.bytes_read();
    assert_eq!(index.locate_height(40).unwrap(), Some(expected));
    assert_eq!(store.bytes_read() - before, 4096, "headers once read stay in memory");
}

#[test]
fn newest_segments_are_asked_first() {
    let (store, index) = ledger(100);
    assert_eq!(index.find_record_id(&record_id(199)).next().unwrap().unwrap(), 199);
    assert_eq!(store.opened_count(), 1);
    assert_eq!(index.author(1, &author_id(98)).unwrap(), Some(author_entry(98)));
    assert_eq!(store.opened_count(), 2);
    assert_eq!(index.author_before(98, 1, &author_id(98)).unwrap(), None);
}

#[test]
fn open_files_are_bounded() {
    let (store, index) = ledger(100);
    for _ in 0..2 {
        assert_eq!(index.find_record_id(&record_id(0)).next().unwrap().unwrap(), 0);
        assert!(index.open_file_count() <= 64);
    }
    assert!(100 < store.opened_count(), "files that were closed are opened again");
}
