//! Records, blocks, hashes, signatures, the tree, checkpoints and receipts of an Annals ledger.
//!
//! Pure: no I/O, no thread, no clock, no randomness of its own. Whoever holds this crate and a ledger's vkey
//! can verify everything the ledger issued. The byte formats stand in `docs/FORMAT.md`.
#![forbid(unsafe_code)]

mod bytes;
pub mod hash;
pub mod lanes;
pub mod limits;

pub mod bundle;
pub mod record;
pub mod reopening;
pub mod signature;

pub mod block;
pub mod body;

pub mod checkpoint;
pub mod genesis;
pub mod item_proof;
pub mod key_file;
pub mod leaf;
pub mod nodes;
pub mod proof;
pub mod receipt;
pub mod receipt_json;
pub mod state_root;
pub mod tree;
