//! What does finding records later cost a block now, and what does a look-up cost? The open segment's index, in memory.

use crate::support::{RECORDS, key};
use annals_core::hash::RecordId;
use annals_storage::index::{BlockEntry, LookupKey, OpenIndex, RecordEntry};
use criterion::{BatchSize, Criterion, Throughput};
use std::hint::black_box;

/// Blocks of the index that is looked into.
const BLOCKS: u64 = 100;

fn entries(first_seq: u64) -> Vec<RecordEntry> {
    let author = key(1).public();
    let entry = |seq: u64| {
        // Ids look random, as hashes do.
        let mut id = [0; 32];
        id[..8].copy_from_slice(&(seq + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
        RecordEntry { record_id: RecordId::from_bytes(id), suite: 1, author, nonce: seq }
    };
    (first_seq..first_seq + RECORDS as u64).map(entry).collect()
}

fn push(index: &OpenIndex, height: u64, records: &[RecordEntry]) {
    index.push_block(&BlockEntry { first_seq: height * RECORDS as u64, height, offset: (height + 2) << 12, records });
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("index");
    let fresh = || OpenIndex::new(0, LookupKey::derive(&[3; 32]), 0, 0);
    group.throughput(Throughput::Elements(RECORDS as u64));
    let first = entries(0);
    group.bench_function("push_block", |bench| {
        bench.iter_batched_ref(
            fresh,
            |index| {
                push(index, 0, &first);
                assert_eq!(index.next_seq(), RECORDS as u64);
            },
            BatchSize::SmallInput,
        );
    });
    let index = fresh();
    for height in 0..BLOCKS {
        push(&index, height, &entries(height * RECORDS as u64));
    }
    let (seq, entry) = (50 * RECORDS as u64 + 7, entries(50 * RECORDS as u64)[7]);
    group.throughput(Throughput::Elements(1));
    group.bench_function("find_record_id", |bench| {
        bench.iter(|| assert_eq!(index.find_record_id(black_box(&entry.record_id)), [seq]));
    });
    group.bench_function("find_nonce", |bench| {
        bench.iter(|| assert_eq!(index.find_nonce(1, black_box(&entry.author), entry.nonce), [seq]));
    });
    group.bench_function("block_of_seq", |bench| {
        bench.iter(|| assert_eq!(index.block_of_seq(black_box(seq)).map(|block| block.height), Some(50)));
    });
    group.finish();
}
