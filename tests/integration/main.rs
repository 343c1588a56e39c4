//! What embedders rely on, through the facade alone, on real files, with the best device that the machine has.
//!
//! `tests/integration_pwrite.rs` runs the same with the other one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

mod authors;
mod backups;
mod checks;
mod clocks;
mod copies;
mod damage;
mod engine_kinds;
mod flips;
mod forged;
mod golden;
mod index;
mod matching;
mod reading;
mod refusals;
mod repair;
mod repeats;
mod restarts;
mod scrub;
mod single;
mod stress;
mod support;

/// What writes in all these tests.
const DEVICE: annals::DeviceChoice = annals::DeviceChoice::Best;
