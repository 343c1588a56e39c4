//! What does a reader wait for: a record, a walk, a proof? And what does somebody without the ledger pay to verify one?

use crate::support::{RECORDS, create, records};
use annals::SigningKey;
use criterion::{Criterion, Throughput};
use std::hint::black_box;

pub(crate) fn bench(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let ledger = create(directory.path());
    let all = records(ledger.id(), RECORDS);
    let mut appender = ledger.appender().unwrap();
    for batch in all.chunks(100) {
        let batch: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
        for answer in appender.append_batch(&batch).unwrap() {
            answer.unwrap().wait().unwrap();
        }
    }
    let reader = ledger.reader();
    let (last, mut seq) = (RECORDS as u64, 0);
    // Every third one or so, so that neighbours are not always asked for together.
    let mut next = || {
        seq = (seq + 337) % last;
        seq + 1
    };
    let mut group = criterion.benchmark_group("reader");
    group.bench_function("get", |bench| {
        bench.iter(|| {
            let seq = next();
            assert_eq!(reader.get(seq).unwrap().seq(), seq);
        });
    });
    group.bench_function("prove", |bench| {
        bench.iter(|| {
            let seq = next();
            assert_eq!(reader.prove(seq).unwrap().seq, seq);
        });
    });
    let record = reader.get(RECORDS as u64 / 2).unwrap();
    group.bench_function("find", |bench| {
        let id = record.record_id();
        bench.iter(|| assert_eq!(reader.find(black_box(&id)).unwrap().unwrap().seq(), record.seq()));
    });
    group.throughput(Throughput::Elements(last));
    group.bench_function("scan", |bench| {
        bench.iter(|| assert_eq!(reader.scan(1).filter(|record| record.is_ok()).count() as u64, last));
    });
    group.finish();
    let receipt = reader.prove(last / 2).unwrap();
    let vkey = ledger.vkey();
    let mut group = criterion.benchmark_group("receipt");
    group.bench_function("verify", |bench| bench.iter(|| black_box(&receipt).verify(vkey).unwrap()));
    group.bench_function("refuse_another_author", |bench| {
        let mut forged = receipt.clone();
        SigningKey::from_seed(&[99; 32]).sign_head(&mut forged.head);
        bench.iter(|| assert!(black_box(&forged).verify(vkey).is_err()));
    });
    group.finish();
    drop(appender);
    ledger.close().unwrap();
}
