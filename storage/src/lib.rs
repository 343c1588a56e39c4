//! Storage for an Annals ledger: where blocks lie, how they survive, and what is refused when they did not.
//!
//! It knows blocks and frames, never what a record means. Formats stand in `docs/FORMAT.md`.
#![deny(unsafe_op_in_unsafe_fn)]

pub mod buffer;
pub mod disk;
