//! What each stage costs a record, and the whole way: which one is the limit, and by how much.
//!
//! A file a stage; its head says which question it answers. Every bench asserts that it measures the good path. Run as tests
//! (`cargo test -p annals-benches --benches`), each runs once and measures nothing.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "benches"
)]

mod bundles;
mod device;
mod engine;
mod index;
mod ledger;
mod reading;
mod ring;
mod support;
mod verification;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    stages,
    verification::bench,
    bundles::bench,
    ring::bench,
    engine::bench,
    device::bench,
    index::bench,
    reading::bench,
    ledger::bench
);
criterion_main!(stages);
