//! What each stage costs a record, and the whole way: which one is the limit, and by how much.
//!
//! Verification answers "how many records a second can a core verify"; ring and seal answer "what does the engine add to
//! that"; the whole way answers "what does a caller wait for". Every bench asserts that it measures the good path.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "benches"
)]

use annals::{Creation, Kind, Ledger, LedgerId, Options, RecordBuilder, SigningKey};
use annals_core::body::{BodyLayout, BodyWriter};
use annals_core::limits::HEAD_SIZE;
use annals_core::record::{Record, record_id};
use annals_core::signature::{verify_head, verify_heads};
use annals_ordering::ring::{Drain, Entry, Known, Peek, Ring};
use annals_ordering::seal::{Chain, SealedRecord};
use annals_storage::frame::{FrameChecksum, FrameFields, FrameKind, HashedHeader, seal};
use annals_storage::segment::SegmentHeader;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;

const RECORDS: usize = 1000;
const PAYLOAD: usize = 256;

/// Counts up; weights of a batch need not be secret in a bench.
struct Counter(u64);

impl rand_core::TryRng for Counter {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.try_next_u64().map(|number| (number >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in bytes.chunks_mut(8) {
            let number = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Counter {}

fn records(ledger: LedgerId, count: usize) -> Vec<Vec<u8>> {
    let keys: Vec<_> = (0..64u8).map(|author| SigningKey::from_seed(&[author + 1; 32])).collect();
    let record = |number: usize| {
        let builder = RecordBuilder::new(ledger, Kind::APPLICATION_FIRST).unsalted().nonce((number / 64) as u64);
        builder.sign(&keys[number % 64], &[number as u8; PAYLOAD]).unwrap().bytes().to_vec()
    };
    (0..count).map(record).collect()
}

fn verification(criterion: &mut Criterion) {
    let all = records(LedgerId::from_bytes([7; 32]), 4096);
    let heads: Vec<&[u8; HEAD_SIZE]> = all.iter().map(|record| record.first_chunk().unwrap()).collect();
    let mut group = criterion.benchmark_group("verify");
    group.throughput(Throughput::Elements(1));
    group.bench_function("content", |bench| {
        let record = Record::parse(&all[0]).unwrap();
        bench.iter(|| black_box(&record).verify_content().unwrap());
    });
    group.bench_function("record_id", |bench| bench.iter(|| record_id(black_box(heads[0]))));
    group.bench_function("signature_single", |bench| bench.iter(|| assert!(verify_head(black_box(heads[0])))));
    for size in [512, 4096] {
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(format!("signatures_{size}"), |bench| {
            let mut valid = vec![false; size];
            bench.iter(|| {
                verify_heads(&heads[..size], &mut valid, &mut Counter(1));
                assert!(valid.iter().all(|valid| *valid));
            });
        });
    }
    group.finish();
}

/// Claims, publishes and drains one batch of records that need no verifier.
fn through_ring(ring: &Ring, drain: &mut Drain, all: &[Vec<u8>]) -> usize {
    let sizes = [PAYLOAD as u32; 64];
    let mut seen = 0;
    for batch in all.chunks_exact(64) {
        let mut claim = ring.claim(&sizes).unwrap();
        for record in batch {
            let (head, payload) = record.split_first_chunk().unwrap();
            let known = Known::All(annals_core::hash::RecordId::from_bytes([1; 32]));
            claim.write(&Entry { head, payload, source: 0, slot: 0, author_slot: 0, known });
        }
        drop(claim);
        let mut position = drain.position();
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
    }
    seen
}

fn engine(criterion: &mut Criterion) {
    let ledger = LedgerId::from_bytes([7; 32]);
    let all = records(ledger, 1024);
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(1024));
    group.bench_function("ring", |bench| {
        let (ring, mut drain) = Ring::new(1 << 24, 1 << 20).unwrap();
        bench.iter(|| assert_eq!(through_ring(&ring, &mut drain, &all), 1024));
    });
    group.throughput(Throughput::Elements(RECORDS as u64));
    let layout = BodyLayout::new(RECORDS, RECORDS * PAYLOAD).unwrap();
    group.bench_function("body", |bench| {
        let mut bytes = vec![0; layout.size()];
        bench.iter(|| {
            let mut writer = BodyWriter::new(layout, &mut bytes);
            for record in &all[..RECORDS] {
                let (head, payload) = record.split_first_chunk().unwrap();
                writer.push(head, payload);
            }
            writer.finish();
        });
    });
    let ids: Vec<_> = all[..RECORDS].iter().map(|record| record_id(record.first_chunk().unwrap())).collect();
    let sealed = || ids.iter().map(|id| SealedRecord { record_id: *id, item_count: 1 });
    group.bench_function("seal", |bench| {
        bench.iter_batched(
            || Chain::empty(ledger),
            |mut chain| chain.seal(sealed(), 1).header.record_count,
            BatchSize::SmallInput,
        );
    });
    group.bench_function("frame", |bench| {
        let segment = SegmentHeader { ledger, number: 0, size: 256 << 20, key: [5; 32] };
        let block = Chain::empty(ledger).seal(sealed(), 1);
        let newest = HashedHeader { header: block.header, hash: block.hash };
        let fields = FrameFields {
            kind: FrameKind::Block,
            offset: 8192,
            index: 1,
            epoch: 1,
            durable: 1,
            previous: FrameChecksum::ZERO,
            newest: Some(&newest),
            slots: [None; 2],
            frontier: &block.frontier_before,
            body_size: layout.size(),
        };
        let size = usize::try_from(fields.size().total_bytes()).unwrap();
        bench.iter_batched_ref(|| vec![0; size], |buffer| seal(&segment, &fields, buffer), BatchSize::SmallInput);
    });
    group.finish();
}

fn whole_way(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let mut group = criterion.benchmark_group("ledger");
    group.measurement_time(Duration::from_secs(3));
    let creation = Creation { segment_size: 16 << 20, ..Creation::open("annals.example/bench") };
    let ledger = Ledger::create(&directory.path().join("ledger"), &creation, Options::default()).unwrap();
    let (key, mut nonce) = (SigningKey::from_seed(&[9; 32]), 0);
    let mut appender = ledger.appender().unwrap();
    let mut next = |count: usize| -> Vec<Vec<u8>> {
        let sign = |nonce| {
            let builder = RecordBuilder::new(ledger.id(), Kind::APPLICATION_FIRST).unsalted().nonce(nonce);
            builder.sign(&key, &[1; PAYLOAD]).unwrap().bytes().to_vec()
        };
        nonce += count as u64;
        (nonce - count as u64..nonce).map(sign).collect()
    };
    group.bench_function("append_wait", |bench| {
        bench.iter_batched(|| next(1), |records| appender.append_wait(&records[0]).unwrap(), BatchSize::PerIteration);
    });
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.sample_size(20);
    group.bench_function("append_batch", |bench| {
        bench.iter_batched(
            || next(RECORDS),
            |records| {
                let batch: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
                for answer in appender.append_batch(&batch) {
                    answer.unwrap().wait().unwrap();
                }
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(stages, verification, engine, whole_way);
criterion_main!(stages);
