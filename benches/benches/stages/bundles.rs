//! What does an item of a bundle cost beside a record? The hash of a bundle is what its producer's thread does for each item.

use annals_core::bundle::{Bundle, encode};
use criterion::{Criterion, Throughput};
use std::hint::black_box;

const ITEMS: u16 = 256;
const SIZE: usize = 256;

pub(crate) fn bench(criterion: &mut Criterion) {
    let items: Vec<Vec<u8>> = (0..ITEMS).map(|item| vec![item as u8; SIZE]).collect();
    let parts: Vec<[&[u8]; 2]> = items.iter().map(|item| [&[][..], item.as_slice()]).collect();
    let payload = encode(&parts).unwrap();
    let expected = Bundle::parse(ITEMS, &payload).unwrap().content_hash();
    let mut group = criterion.benchmark_group("bundle");
    group.throughput(Throughput::Elements(u64::from(ITEMS)));
    group.bench_function("hash_256_items", |bench| {
        bench.iter(|| {
            let bundle = Bundle::parse(ITEMS, black_box(&payload)).unwrap();
            assert_eq!(bundle.content_hash(), expected);
        });
    });
    group.bench_function("encode_256_items", |bench| {
        bench.iter(|| assert_eq!(encode(black_box(&parts)).unwrap().len(), payload.len()));
    });
    group.finish();
}
