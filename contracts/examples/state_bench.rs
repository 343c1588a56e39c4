//! What a changed key costs: blocks of 1,000 keys of which a twelfth is new, values of 1 KB, commits grouped.
//!
//! Answers whether state keeps up with the ledger. `cargo run --release -p annals-contracts --example state_bench -- DIRECTORY KEYS`
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::float_arithmetic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement"
)]

use annals::TreeHash;
use annals_contracts::state::{BlockChanges, Changes, StateOptions, StateWriter};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The allocator of the `annals` binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: u64 = 1000;
const FRESH: u64 = BATCH / 12;
const VALUE: usize = 1000;

struct Random(u64);

impl Random {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

fn key(number: u64) -> Vec<u8> {
    format!("case/hj/2026/{number:010}/state").into_bytes()
}

fn value(random: &mut Random) -> Vec<u8> {
    let mut value = vec![b'v'; VALUE];
    value[..8].copy_from_slice(&random.next().to_le_bytes());
    value
}

/// Which keys a block changes.
#[derive(Clone, Copy, Debug)]
enum Which {
    New,
    Recent,
    Anywhere,
}

fn changes(which: Which, keys: &mut u64, random: &mut Random) -> Changes {
    let mut changes = BTreeMap::new();
    let fresh = match which {
        Which::New => BATCH,
        Which::Recent => FRESH,
        Which::Anywhere => 0,
    };
    for _ in 0..fresh {
        changes.insert(key(*keys), Some(value(random).into()));
        *keys += 1;
    }
    let window = if matches!(which, Which::Recent) { (*keys).min(20_000) } else { *keys };
    while (changes.len() as u64) < BATCH.min(*keys) {
        changes.insert(key(*keys - 1 - random.next() % window), Some(value(random).into()));
    }
    changes
}

fn percentile(times: &mut [Duration], of: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * of / 100]
}

/// Time of this process on a processor: on a busy machine what is comparable.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().unwrap());
    let target: u64 = arguments.next().unwrap().parse().unwrap();
    let group: u64 = arguments.next().map_or(32, |it| it.parse().unwrap());
    let mut options = StateOptions::default();
    if let Some(mib) = arguments.next() {
        options.page_memory = mib.parse::<usize>().unwrap() << 20;
    }
    options.quick_open = arguments.next().is_none_or(|it| it == "quick");
    let only = arguments.next();
    let path = directory.join("bench.state");
    let mut writer = StateWriter::open(&path, &options).unwrap();
    let (applied, mut keys) = (writer.reader().applied(), writer.reader().leaf_count() - 1);
    let (mut height, mut random) = (applied.height, Random(7 + keys));
    for which in [Which::New, Which::Recent, Which::Anywhere] {
        let blocks = match which {
            Which::New => target.saturating_sub(keys) / BATCH,
            Which::Recent | Which::Anywhere => 320,
        };
        if blocks == 0 || only.as_ref().is_some_and(|only| *only != format!("{which:?}")) {
            continue;
        }
        let (mut applies, mut commits) = (Vec::new(), Vec::new());
        let mut changed = 0;
        let (mut apply_cpu, mut commit_cpu) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..blocks {
            height += 1;
            let ledger_root = TreeHash::from_bytes([1; 32]);
            let changes = changes(which, &mut keys, &mut random);
            changed += changes.len() as u64;
            let block = BlockChanges { height, next_seq: height + 1, ledger_root, changes, rows: BTreeMap::new() };
            let (start, cpu) = (Instant::now(), cpu_time());
            writer.apply(block).unwrap();
            applies.push(start.elapsed());
            apply_cpu += cpu_time() - cpu;
            if height % group == 0 {
                let (start, cpu) = (Instant::now(), cpu_time());
                writer.commit().unwrap();
                commits.push(start.elapsed());
                commit_cpu += cpu_time() - cpu;
            }
        }
        let (start, cpu) = (Instant::now(), cpu_time());
        writer.commit().unwrap();
        commits.push(start.elapsed());
        commit_cpu += cpu_time() - cpu;
        let (apply, commit): (Duration, Duration) = (applies.iter().sum(), commits.iter().sum());
        let each = |time: Duration| time.as_secs_f64() * 1e6 / changed as f64;
        println!(
            "{which:?}: {keys} keys, {blocks} blocks: {:.2} us a change (apply {:.2}, commit {:.2}, on a processor {:.2}: {:.2}, {:.2}); apply p50 {:?} p99 {:?} max {:?}; commit p50 {:?}",
            each(apply + commit),
            each(apply),
            each(commit),
            each(apply_cpu + commit_cpu),
            each(apply_cpu),
            each(commit_cpu),
            percentile(&mut applies, 50),
            percentile(&mut applies, 99),
            percentile(&mut applies, 100),
            percentile(&mut commits, 50),
        );
    }
    if only.is_some() {
        return;
    }
    let reader = writer.reader();
    println!("file {} bytes a key", reader.file_bytes().unwrap() / keys);
    let start = Instant::now();
    for _ in 0..2000 {
        std::hint::black_box(reader.prove(&key(random.next() % keys)).unwrap());
    }
    println!("prove, anywhere: {:?}", start.elapsed() / 2000);
    let start = Instant::now();
    for _ in 0..10_000 {
        std::hint::black_box(reader.get(&key(random.next() % keys)).unwrap());
    }
    println!("get, anywhere: {:?}", start.elapsed() / 10_000);
    let copy = directory.join("killed.state");
    std::fs::copy(&path, &copy).unwrap();
    drop((reader, writer));
    let start = Instant::now();
    drop(StateWriter::open(&path, &options).unwrap());
    println!("reopened after a close: {:?}", start.elapsed());
    let start = Instant::now();
    drop(StateWriter::open(&copy, &options).unwrap());
    println!("reopened after a kill: {:?}", start.elapsed());
    let start = Instant::now();
    drop(StateWriter::open(&path, &StateOptions { check: true, ..options }).unwrap());
    println!("reopened with a check: {:?}", start.elapsed());
}
