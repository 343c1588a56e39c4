//! What does the engine thread add to a record? It is one thread, so the sum of these is the most that a ledger can order.
//!
//! Sequencing by the author's nonce window, the body of a block, the tree's leaf and node, the frame's sums.

use crate::support::{PAYLOAD, RECORDS, create, key, ledger_id, records};
use annals_core::body::{BodyLayout, BodyWriter};
use annals_core::record::{Head, record_id};
use annals_ordering::seal::{Chain, SealedRecord};
use annals_ordering::sequence::{Author, Next, Sequencer, Verdict};
use annals_ordering::window::{Nonce, NonceWindow};
use annals_storage::frame::{FrameChecksum, FrameFields, FrameKind, HashedHeader, seal};
use annals_storage::segment::SegmentHeader;
use criterion::{BatchSize, Criterion, Throughput};

pub(crate) fn bench(criterion: &mut Criterion) {
    let all = records(ledger_id(), RECORDS);
    sequence(criterion);
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(RECORDS as u64));
    let layout = BodyLayout::new(RECORDS, RECORDS * PAYLOAD).unwrap();
    group.bench_function("body", |bench| {
        let mut bytes = vec![0; layout.size()];
        bench.iter(|| {
            let mut writer = BodyWriter::new(layout, &mut bytes);
            for record in &all {
                let (head, payload) = record.split_first_chunk().unwrap();
                writer.push(head, payload);
            }
            writer.finish();
        });
    });
    let ids: Vec<_> = all.iter().map(|record| record_id(record.first_chunk().unwrap())).collect();
    let sealed = || ids.iter().map(|id| SealedRecord { record_id: *id, item_count: 1 });
    group.bench_function("seal", |bench| {
        bench.iter_batched(
            || Chain::empty(ledger_id()),
            |mut chain| assert_eq!(chain.seal(sealed(), 1).header.record_count as usize, RECORDS),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("frame", |bench| {
        let segment = SegmentHeader { ledger: ledger_id(), number: 0, size: 256 << 20, key: [5; 32] };
        let block = Chain::empty(ledger_id()).seal(sealed(), 1);
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

/// Sequencing alone, and the window that it decides by.
fn sequence(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let ledger = create(directory.path());
    let all = records(ledger.id(), RECORDS);
    let heads: Vec<Head> = all.iter().map(|record| Head::parse(record.first_chunk().unwrap()).unwrap()).collect();
    let mut group = criterion.benchmark_group("sequence");
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function("offer", |bench| {
        let fresh = || {
            let mut sequencer = Sequencer::new(ledger.id(), ledger.genesis().clone());
            let slots: Vec<u32> = (0..64).map(|author| sequencer.add(Author::new(key(author).public()))).collect();
            (sequencer, slots)
        };
        bench.iter_batched_ref(
            fresh,
            |(sequencer, slots)| {
                for (number, (head, record)) in heads.iter().zip(&all).enumerate() {
                    let verdict = sequencer.offer(
                        slots[number % 64],
                        head,
                        &record[192..],
                        Next { seq: number as u64 + 1, height: 1 },
                    );
                    assert_eq!(verdict, Ok(Verdict::Accepted));
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("nonce_window", |bench| {
        bench.iter_batched_ref(
            NonceWindow::default,
            |window| {
                for nonce in 0..RECORDS as u64 {
                    assert!(matches!(window.test(nonce), Nonce::New));
                    window.insert(nonce);
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
    ledger.close().unwrap();
}
