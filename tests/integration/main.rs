//! What embedders rely on, through the facade alone, on real files.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

mod authors;
mod backups;
mod copies;
mod damage;
mod forged;
mod golden;
mod matching;
mod reading;
mod refusals;
mod repeats;
mod restarts;
mod stress;
mod support;
