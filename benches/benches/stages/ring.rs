//! What does the way between two threads cost a record, and what do two producers lose to one another?
//!
//! Claimed in 64s, published and drained, without verification. One producer drains for itself, which is the cost without
//! contention; two are threads, drained by a third, so with fewer cores than three the figure is the scheduler's too.

use crate::support::{PAYLOAD, ledger_id, records};
use annals_core::hash::RecordId;
use annals_ordering::ring::{Drain, Entry, Known, Peek, Ring};
use criterion::{Criterion, Throughput};
use std::time::{Duration, Instant};

const BATCH: usize = 64;
const RECORDS: usize = 1024;

pub(crate) fn bench(criterion: &mut Criterion) {
    let all = records(ledger_id(), RECORDS);
    let mut group = criterion.benchmark_group("ring");
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function("one_producer", |bench| {
        let (ring, mut drain) = Ring::new(1 << 24, 1 << 20).unwrap();
        bench.iter(|| {
            let mut seen = 0;
            for batch in all.chunks_exact(BATCH) {
                assert!(publish(&ring, batch));
                seen += take(&mut drain);
            }
            assert_eq!(seen, RECORDS);
        });
    });
    group.throughput(Throughput::Elements(2 * RECORDS as u64));
    group.bench_function("two_producers", |bench| bench.iter_custom(|rounds| two_producers(&all, rounds)));
    group.finish();
}

/// Two threads publish all records so many times each, while this one drains.
#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn two_producers(all: &[Vec<u8>], rounds: u64) -> Duration {
    let (ring, mut drain) = Ring::new(1 << 24, 1 << 20).unwrap();
    let (start, due, mut seen) = (Instant::now(), 2 * rounds as usize * all.len(), 0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for batch in (0..rounds).flat_map(|_| all.chunks_exact(BATCH)) {
                    while !publish(&ring, batch) {
                        std::thread::yield_now();
                    }
                }
            });
        }
        while seen < due {
            match take(&mut drain) {
                0 => std::thread::yield_now(),
                some => seen += some,
            }
        }
    });
    assert_eq!(seen, due);
    start.elapsed()
}

/// Claims for a batch of records that need no verifier and publishes them; `false` if the ring is full.
fn publish(ring: &Ring, batch: &[Vec<u8>]) -> bool {
    let sizes = [PAYLOAD as u32; BATCH];
    let Ok(mut claim) = ring.claim(&sizes) else { return false };
    for record in batch {
        let (head, payload) = record.split_first_chunk().unwrap();
        let known = Known::All(RecordId::from_bytes([1; 32]));
        claim.write(&Entry { head, payload, source: 0, slot: 0, author_slot: 0, known });
    }
    true
}

/// Drains what is published; how many records.
fn take(drain: &mut Drain) -> usize {
    let (mut position, mut seen) = (drain.position(), 0);
    loop {
        match drain.peek(position) {
            Peek::Waiting => break,
            Peek::Gap { next_position } => position = next_position,
            Peek::Entry(entry) => {
                seen += usize::from(entry.payload.len() == PAYLOAD);
                position = entry.next_position;
            }
        }
    }
    drain.release_to(position);
    seen
}
