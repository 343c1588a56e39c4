//! A simulation of everything that can happen to a ledger: one seed is one run, and the same run every time.
//!
//! The code under test is the code that runs: gate, ring, verification, sequencing, sealing, group commit, the log, recovery,
//! index, read side. Simulated are only the edges: the disk, the clock, the threads (one step after the other, in an order
//! that the dice choose) and the processes, which begin and end at any moment. What can go wrong, and what must hold:
//!
//! **Writes.** Each write of a process that dies is, page by page, lost, landed, or torn between any two sectors, in any
//! order; the later one may be there without the earlier one. A killed process leaves its writes shown but not durable, for a
//! later power cut to take. Two facts are taken for granted, since no ledger can do without them: a sector is
//! written whole or not at all, and what was synced stays.
//!
//! **Names.** A segment that was just created may be gone after a power cut, unless its directory was synced.
//!
//! **Errors.** Any write or sync may fail with an I/O error, for want of room that had been reserved, or short; each
//! sector is then the old one or the new one. The ledger halts with that cause, tells whoever waits "unknown", and acknowledges nothing more.
//!
//! **Room.** The disk may be full: what needs another segment is refused, everything else goes on, and it goes on when
//! there is room.
//!
//! **The index.** Its files may be missing, torn, rotten, of another segment, or impossible to write: they are never evidence.
//!
//! **The clock.** It may be set back an hour or ahead a year, while the ledger runs or while it does not.
//!
//! **Processes.** They end at any operation on the disk, also while they recover, again and again.
//!
//! **Damage.** Beyond what a crash does: a bit of a cleanly closed ledger flips, a page is lost or lands elsewhere, a segment
//! is gone or can't be read. Then nothing wrong may ever be shown, and a check must find it.
//!
//! After each opening: every record that was ever acknowledged is there, under its seq, byte for byte; receipts are issued
//! again as they were; seqs are dense, every record was sent by somebody and stands there once; the chain of blocks and the
//! tree over all leaves hold, computed anew; no tree size was ever signed with two roots; and what is sent again is answered
//! as before. See `docs/DURABILITY.md` for the same as a table of faults, promises and tests.

mod damage;
mod failing;
mod model;
mod plan;
mod process;
mod run;
mod world;

use run::Tally;
use std::sync::atomic::{AtomicU64, Ordering};

/// The seeds that every test run tries.
const SEEDS: u64 = 200;

/// Runs seeds on all cores; the sum of what happened.
///
/// A run that fails names its seed, and the command to repeat it.
fn run_all(seeds: std::ops::Range<u64>) -> Tally {
    let next = AtomicU64::new(seeds.start);
    let total = parking_lot::Mutex::new(Tally::default());
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seeds.end <= seed {
                        return;
                    }
                    let tally = run_one(seed);
                    total.lock().add(&tally);
                }
            });
        }
    });
    total.into_inner()
}

fn run_one(seed: u64) -> Tally {
    let ran = std::panic::catch_unwind(|| run::run(seed));
    ran.unwrap_or_else(|cause| {
        eprintln!("seed {seed} failed; again: cargo xtask simulate --first {seed} --seeds 1");
        std::panic::resume_unwind(cause)
    })
}

#[test]
fn fixed_seeds_lose_nothing() {
    let total = run_all(0..SEEDS);
    total.assert_nothing_was_left_out();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the one test that is meant to differ from run to run")]
fn a_fresh_seed_loses_nothing() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    run_one(now);
}

/// For `cargo xtask simulate`: as many seeds as the environment says.
#[test]
#[ignore = "run by `cargo xtask simulate`, which says which seeds"]
#[expect(clippy::disallowed_methods, reason = "how xtask hands its arguments to a test")]
fn seeds_of_the_environment() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("ANNALS_SIMULATE_FIRST").unwrap_or(0);
    let count = number("ANNALS_SIMULATE_SEEDS").unwrap_or(SEEDS);
    let mut total = Tally::default();
    let mut from = first;
    while from < first + count {
        let to = (from + 500).min(first + count);
        total.add(&run_all(from..to));
        eprintln!("seeds {first} to {}: {total}", to - 1);
        from = to;
    }
}
