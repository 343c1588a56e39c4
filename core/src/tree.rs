//! The RFC 6962 / RFC 9162 tree over all leaves of a ledger: its frontier, proofs, and their verification.
//!
//! The engine keeps only the *frontier*: the roots of the complete subtrees that the bits of the size name,
//! largest first. That suffices to append, to tell the root, and to prove any record of a block to the tree
//! through that block. Let the tree have m leaves before the block and n after it, and let the leaf be in the
//! block. A node beside its path covers only leaves below m, or only leaves from m on, or both. In the first
//! case it is complete and its sibling reaches beyond m, so the bit of its size is set in m and it is in the
//! frontier. In the second it is made of the block's leaves, in the third of nodes of the first two kinds.
//!
//! Sources: RFC 9162 sections 2.1.1 to 2.1.4.

use crate::hash::TreeHash;
use crate::limits::{FRONTIER_LENGTH_MAX, NUMBER_MAX};
use sha2::{Digest, Sha256};

/// Why a frontier or a proof can't be made, or does not hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A frontier has another number of hashes than its size has bits.
    #[error("a frontier of size {size} has {expected} hashes, got {got}")]
    Frontier {
        /** Leaves of the tree. */
        size: u64,
        /** Hashes needed. */
        expected: usize,
        /** Hashes given. */
        got: usize,
    },
    /// The tree's size is not below 2^53.
    #[error("tree size {0} is not below 2^53")]
    Size(u64),
    /// The leaf is not among those that a proof can be made for.
    #[error("leaf {index} is not in {first} to {end}")]
    Index {
        /** The leaf's index. */
        index: u64,
        /** The first possible. */
        first: u64,
        /** The first behind the last possible. */
        end: u64,
    },
    /// The proof has another length than its tree needs.
    #[error("the proof has {got} hashes, which is not what its tree needs")]
    Length {
        /** Hashes there are. */
        got: usize,
    },
    /// The proof leads to another root.
    #[error("the proof leads to root {got}, not {expected}")]
    Root {
        /** The root that was claimed. */
        expected: TreeHash,
        /** The root that the proof gives. */
        got: TreeHash,
    },
}

impl TreeError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Frontier { .. } => "tree.frontier",
            Self::Size(_) => "tree.size",
            Self::Index { .. } => "tree.index",
            Self::Length { .. } => "tree.length",
            Self::Root { .. } => "tree.root",
        }
    }
}

/// Hash of a leaf: SHA-256 of a zero byte and the leaf's bytes.
pub fn leaf_hash(leaf: &[u8]) -> TreeHash {
    TreeHash::from_bytes(Sha256::new().chain_update([0]).chain_update(leaf).finalize().into())
}

/// Hash of a node: SHA-256 of a one byte and its children.
pub fn node_hash(left: &TreeHash, right: &TreeHash) -> TreeHash {
    let hasher = Sha256::new().chain_update([1]).chain_update(left.as_bytes()).chain_update(right.as_bytes());
    TreeHash::from_bytes(hasher.finalize().into())
}

/// Root of the tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> TreeHash {
    TreeHash::from_bytes(Sha256::digest(b"").into())
}

/// The complete subtrees of a tree, largest first. Fixed storage: nothing is allocated.
#[derive(Clone)]
pub struct Frontier {
    size: u64,
    length: usize,
    hashes: [TreeHash; FRONTIER_LENGTH_MAX],
}

impl PartialEq for Frontier {
    /// Places behind the length hold what was there before; they say nothing.
    fn eq(&self, other: &Self) -> bool {
        self.size == other.size && self.hashes() == other.hashes()
    }
}

impl Eq for Frontier {}

impl core::fmt::Debug for Frontier {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("Frontier").field("size", &self.size).field("hashes", &self.hashes()).finish()
    }
}

impl Default for Frontier {
    fn default() -> Self {
        Self::new()
    }
}

impl Frontier {
    /// The tree without leaves.
    pub const fn new() -> Self {
        Self { size: 0, length: 0, hashes: [TreeHash::ZERO; FRONTIER_LENGTH_MAX] }
    }

    /// Takes a frontier apart no further than to count its hashes.
    ///
    /// # Errors
    ///
    /// [`TreeError`] if the size is out of range or has another number of bits.
    pub fn from_hashes(size: u64, hashes: &[TreeHash]) -> Result<Self, TreeError> {
        if NUMBER_MAX < size {
            return Err(TreeError::Size(size));
        }
        let expected = size.count_ones() as usize;
        if hashes.len() != expected {
            return Err(TreeError::Frontier { size, expected, got: hashes.len() });
        }
        let mut frontier = Self { size, length: expected, ..Self::new() };
        for (to, from) in frontier.hashes.iter_mut().zip(hashes) {
            *to = *from;
        }
        Ok(frontier)
    }

    /// Leaves of the tree.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the complete subtrees, largest first.
    pub fn hashes(&self) -> &[TreeHash] {
        self.hashes.get(..self.length).unwrap_or(&[])
    }

    /// Appends a leaf by its hash; two nodes hashed on average less than once.
    ///
    /// # Panics
    ///
    /// If the tree is full at 2^53 - 1 leaves.
    pub fn push(&mut self, leaf: TreeHash) {
        assert!(self.size < NUMBER_MAX, "a ledger stays below 2^53 records");
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            self.length -= 1;
            if let Some(left) = self.hashes.get(self.length) {
                hash = node_hash(left, &hash);
            }
        }
        if let Some(place) = self.hashes.get_mut(self.length) {
            *place = hash;
        }
        self.length += 1;
        self.size += 1;
    }

    /// The root of the tree.
    pub fn root(&self) -> TreeHash {
        let mut hashes = self.hashes().iter().rev();
        let Some(smallest) = hashes.next() else { return empty_root() };
        hashes.fold(*smallest, |right, left| node_hash(left, &right))
    }
}
