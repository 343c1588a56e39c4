//! Storage for an Annals ledger: where blocks lie, how they survive, and what is refused when they did not.
//!
//! It knows blocks and frames, never what a record means. Formats stand in `docs/FORMAT.md`.
#![deny(unsafe_op_in_unsafe_fn)]

pub mod buffer;
pub mod check;
pub mod device;
pub mod disk;
mod fields;
#[cfg(test)]
mod fixture;
pub mod frame;
pub mod index;
pub mod log;
pub mod probe;
pub mod reader;
pub mod recovery;
mod scan;
pub mod scrub;
pub mod segment;
pub mod view;
