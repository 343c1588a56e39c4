//! The suite of `tests/integration`, all of it, with the pwrite device: it must be no worse than the one that queues.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

#[path = "integration/authors.rs"]
mod authors;
#[path = "integration/backups.rs"]
mod backups;
#[path = "integration/checks.rs"]
mod checks;
#[path = "integration/clocks.rs"]
mod clocks;
#[path = "integration/copies.rs"]
mod copies;
#[path = "integration/damage.rs"]
mod damage;
#[path = "integration/engine_kinds.rs"]
mod engine_kinds;
#[path = "integration/flips.rs"]
mod flips;
#[path = "integration/forged.rs"]
mod forged;
#[path = "integration/golden.rs"]
mod golden;
#[path = "integration/index.rs"]
mod index;
#[path = "integration/matching.rs"]
mod matching;
#[path = "integration/reading.rs"]
mod reading;
#[path = "integration/refusals.rs"]
mod refusals;
#[path = "integration/repair.rs"]
mod repair;
#[path = "integration/repeats.rs"]
mod repeats;
#[path = "integration/restarts.rs"]
mod restarts;
#[path = "integration/scrub.rs"]
mod scrub;
#[path = "integration/single.rs"]
mod single;
#[path = "integration/stress.rs"]
mod stress;
#[path = "integration/support.rs"]
mod support;

/// What writes in all these tests.
const DEVICE: annals::DeviceChoice = annals::DeviceChoice::Pwrite;

#[test]
fn no_part_of_the_suite_is_left_out() {
    let modules = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.starts_with("mod ")).map(str::to_owned).collect()
    };
    assert_eq!(modules(include_str!("integration_pwrite.rs")), modules(include_str!("integration/main.rs")));
}
