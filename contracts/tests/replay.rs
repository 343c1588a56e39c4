//! Replays the fuzz targets' seeds and regressions, so that what fuzzing once found stays found, without a fuzzer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod fuzz_checks;

use fuzz_checks::{TARGETS, Target, check};
use std::path::{Path, PathBuf};

fn directory(kind: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(kind).join(name)
}

fn inputs(kind: &str, name: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory(kind, name)) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn seeds_and_regressions_hold() {
    for Target { name, .. } in &TARGETS {
        let (seeds, regressions) = (inputs("seeds", name), inputs("regressions", name));
        assert!(!seeds.is_empty(), "{name} has no seeds; run the ignored test that writes them");
        for path in seeds.iter().chain(&regressions) {
            let data = std::fs::read(path).unwrap();
            let result = std::panic::catch_unwind(|| check(name, &data));
            assert!(result.is_ok(), "{} fails", path.display());
        }
    }
}

/// A little fuzzing without a fuzzer: every seed with one bit changed, at 400 places over its length.
#[test]
fn seeds_hold_when_they_are_changed_a_little() {
    for Target { name, seeds, .. } in &TARGETS {
        for seed in seeds() {
            for turn in 0..400_usize {
                let mut data = seed.clone();
                let at = turn.wrapping_mul(2_654_435_761) % data.len();
                data[at] ^= 1 << (turn % 7);
                check(name, &data);
            }
        }
    }
}

#[test]
#[ignore = "writes the seeds into the source tree"]
fn write_seeds() {
    for Target { name, seeds, .. } in &TARGETS {
        let directory = directory("seeds", name);
        std::fs::create_dir_all(&directory).unwrap();
        for (number, seed) in seeds().into_iter().enumerate() {
            std::fs::write(directory.join(number.to_string()), seed).unwrap();
        }
    }
}
