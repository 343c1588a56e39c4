//! The state of contracts: keys and values, with a root that proves each of them, and that a key has none.
//!
//! An *indexed Merkle tree* (Tzialla, Kothapalli, Parno, Setty, "Transparency Dictionaries with Succinct Proofs of Correct
//! Operation", 2021) of the shape and hashes of RFC 6962. Leaves stand in the order in which their keys were created, and each names
//! the next in the order of hashed keys, so a leaf shows both that its key is there and that none lies before the next. Keys created
//! of late lie side by side; a block of changes to them touches few tiles and shares what is above. `docs/decisions/` says what it
//! costs and what else was tried.
//!
//! | file | what |
//! |---|---|
//! | `hash` | the five hashes |
//! | `tiles` | the nodes of the tree, updates, roots, audit paths |
//! | `store` | the file |
//! | `view`, `cache` | what is in memory, over the file |
//! | `writer`, `reader` | the ways in |
//! | `proof` | what leaves the process, and is verified elsewhere |
//!
//! Invariants: leaf 0 is a sentinel, its path zero. Leaves are never removed; a removed key's has value hash zero. New keys of a
//! block are appended in the order of keys, so the same blocks give the same roots everywhere. State is derived: the log rebuilds it.

mod cache;
mod error;
mod hash;
mod proof;
mod reader;
mod store;
#[cfg(test)]
mod tests;
mod tiles;
mod view;
mod writer;

pub use error::StateError;
pub use hash::{StateRoot, empty_root};
pub use proof::{AUDIT_PATH_LENGTH_MAX, PreviousLeaf, Sha256Hash, StateProof, StateProofError};
pub use reader::State;
pub use writer::StateWriter;

use annals::TreeHash;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of a key at most, also of a row's.
pub const KEY_SIZE_MAX: usize = 512;

/// A row of the host's: its key, its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// How state is kept in memory.
#[derive(Clone, Debug)]
pub struct StateOptions {
    /// Bytes of the store's pages kept in memory.
    pub page_memory: usize,
    /// Bytes of keys and values kept in memory.
    pub leaf_memory: usize,
    /// Bytes of tree nodes kept in memory.
    pub tile_memory: usize,
    /// Whether all sums of the store are checked when it is opened. That reads the whole file; without it only a writer that was
    /// killed makes it be read, and damage may show later, as a wrong value whose proof does not verify.
    pub check: bool,
    /// Whether a store whose writer was killed opens at once, for more work in each commit, or after reading the whole file.
    pub quick_open: bool,
}

impl Default for StateOptions {
    /// 192 MiB of memory, no check, quick to open.
    fn default() -> Self {
        Self { page_memory: 64 << 20, leaf_memory: 64 << 20, tile_memory: 64 << 20, check: false, quick_open: true }
    }
}

/// Through which block state was applied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Applied {
    /// The block's height; 0 before the first.
    pub height: u64,
    /// The first seq that is not applied.
    pub next_seq: u64,
    /// The ledger's tree through that block; none before the first.
    pub ledger_root: Option<TreeHash>,
    /// The state's root.
    pub root: StateRoot,
}

impl Applied {
    /// Before the first block.
    pub fn nothing() -> Self {
        Self { height: 0, next_seq: 0, ledger_root: None, root: empty_root() }
    }
}

/// Keys and what they become; none: removed.
pub type Changes = BTreeMap<Vec<u8>, Option<Arc<[u8]>>>;

/// What a block does to state.
#[derive(Clone, Debug)]
pub struct BlockChanges {
    /// Its height.
    pub height: u64,
    /// The first seq behind its records.
    pub next_seq: u64,
    /// The ledger's tree through it.
    pub ledger_root: TreeHash,
    /// Keys with their new values, or none.
    pub changes: Changes,
    /// The host's own rows with their new values, or none; no root covers them.
    pub rows: Changes,
}

/// A key's value, and the proof of it.
#[derive(Clone, Debug)]
pub struct Proven {
    /// Of which state.
    pub applied: Applied,
    /// The value.
    pub value: Option<Arc<[u8]>>,
    /// The proof that it is this one, or that there is none.
    pub proof: StateProof,
}
