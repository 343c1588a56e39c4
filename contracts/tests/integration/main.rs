//! Tests of platforms as embedders use them: a ledger on disk, a service, signed records.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod bombs;
mod city;
mod crashes;
mod definitions;
mod desk;
mod hostile;
mod outcomes;
mod periods;
mod proofs;
mod properties;
mod races;
mod runner;
mod scenarios;
