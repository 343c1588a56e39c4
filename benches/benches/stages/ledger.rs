//! The whole way: what does a caller wait for, alone and with a thousand records at once?

use crate::support::{PAYLOAD, RECORDS, create, key};
use annals::{Kind, RecordBuilder};
use criterion::{BatchSize, Criterion, Throughput};
use std::time::Duration;

pub(crate) fn bench(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let mut group = criterion.benchmark_group("ledger");
    group.measurement_time(Duration::from_secs(3));
    let ledger = create(directory.path());
    let (key, mut nonce) = (key(9), 0);
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
                for answer in appender.append_batch(&batch).unwrap() {
                    answer.unwrap().wait().unwrap();
                }
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}
