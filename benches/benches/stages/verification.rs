//! How many records a second can a core verify, and what does a batch save? Most of all the time there is goes here.
//!
//! Authors count, because a batch adds up what is the same author's: 64 is a busy ledger, 1,024 a batch of mostly strangers.

use crate::support::{Counter, ledger_id, records_by};
use annals_core::limits::HEAD_SIZE;
use annals_core::record::{Record, record_id};
use annals_core::signature::{verify_head, verify_heads};
use criterion::{Criterion, Throughput};
use std::hint::black_box;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("verify");
    for author_count in [64, 1024] {
        let all = records_by(author_count, ledger_id(), 4096);
        let heads: Vec<&[u8; HEAD_SIZE]> = all.iter().map(|record| record.first_chunk().unwrap()).collect();
        if author_count == 64 {
            group.throughput(Throughput::Elements(1));
            group.bench_function("content", |bench| {
                let record = Record::parse(&all[0]).unwrap();
                bench.iter(|| black_box(&record).verify_content().unwrap());
            });
            group.bench_function("record_id", |bench| {
                let (first, second) = (record_id(heads[0]), record_id(heads[1]));
                assert_ne!(first, second);
                bench.iter(|| record_id(black_box(heads[0])));
            });
            group.bench_function("signature_single", |bench| bench.iter(|| assert!(verify_head(black_box(heads[0])))));
        }
        for size in [512, 4096] {
            group.throughput(Throughput::Elements(size as u64));
            group.bench_function(format!("signatures_{size}_of_{author_count}_authors"), |bench| {
                let mut valid = vec![false; size];
                bench.iter(|| {
                    verify_heads(&heads[..size], &mut valid, &mut Counter(1));
                    assert!(valid.iter().all(|valid| *valid));
                });
            });
        }
    }
    group.finish();
}
