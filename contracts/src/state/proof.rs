//! Proofs that a key has a value, or none, in the state of a root: made from the tree, verified with nothing but the root.
//!
//! A key that has a leaf is proved by it: that leaf says the value's hash, or zero if the value was removed. A key that never had a
//! value is proved by the leaf before where its own would be, which says that no path lies between. Either leaf is shown to be in
//! the tree by its audit path (RFC 9162, section 2.1.3.2).
//! It leaves the process as JSON.

use super::hash::{Hash, NONE, StateRoot, leaf_hash, path_of, state_root, value_hash};
use annals::limits::NUMBER_MAX;
use annals::tree::inclusion_root;
use annals::{Hex, TreeHash, parse_hex};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Hashes of an audit path at most.
pub const AUDIT_PATH_LENGTH_MAX: usize = 64;

/// A proof that a key has a value, or none, in the state of a root.
///
/// ```
/// use annals_contracts::state::StateWriter;
/// let writer = StateWriter::in_memory(&Default::default())?;
/// let proven = writer.reader().prove(b"case/1")?;
/// assert_eq!(proven.proof.verify(&proven.applied.root, b"case/1", None), Ok(()));
/// assert!(proven.proof.verify(&proven.applied.root, b"case/1", Some(b"open")).is_err());
/// # Ok::<(), annals_contracts::state::StateError>(())
/// ```
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StateProof {
    /// Leaves of the tree.
    pub size: u64,
    /// Index of the leaf.
    pub index: u64,
    /// The path after the leaf's; zero after the largest.
    pub next: Sha256Hash,
    /// The leaf before, for a key that never had a value.
    #[serde(default, deserialize_with = "there", skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousLeaf>,
    /// The hashes beside the leaf's way to the root, lowest first.
    pub audit_path: Vec<Sha256Hash>,
}

/// What is not there is left out, never `null`, so that a proof has one form.
fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PreviousLeaf>, D::Error> {
    PreviousLeaf::deserialize(deserializer).map(Some)
}

/// The leaf before where a key's own would be.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PreviousLeaf {
    /// Its path.
    pub path: Sha256Hash,
    /// Hash of its value; zero if there is none.
    pub value_hash: Sha256Hash,
}

/// 32 bytes of SHA-256; hexadecimal digits in JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sha256Hash(pub [u8; 32]);

impl Serialize for Sha256Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Sha256Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        parse_hex(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Why a proof is none, or does not prove what is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StateProofError {
    /// The leaf is not in a tree of that size, or no tree has it.
    #[error("leaf {index} is not in a tree of {size}")]
    Index {
        /** Index of the leaf. */
        index: u64,
        /** Leaves of the tree. */
        size: u64,
    },
    /// The audit path has another length than its tree needs.
    #[error("the audit path has {0} hashes, which is not what its tree needs")]
    Length(usize),
    /// The leaf says nothing of the key.
    #[error("the key does not lie between the leaf's path and the next")]
    Order,
    /// It proves that the key has no value, and one was claimed.
    #[error("it proves that the key has no value")]
    NoValue,
    /// The proof leads to another root: the root, the key or the value is another, or the proof was changed.
    #[error("the proof leads to state root {got}, not {expected}")]
    Root {
        /** The root asked for. */
        expected: StateRoot,
        /** The root that the proof gives. */
        got: StateRoot,
    },
}

impl StateProofError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Index { .. } => "state_proof.index",
            Self::Length(_) => "state_proof.length",
            Self::Order => "state_proof.order",
            Self::NoValue => "state_proof.no_value",
            Self::Root { .. } => "state_proof.root",
        }
    }
}

impl StateProof {
    /// Whether the key has that value in the state of `root`, or no value if none is given.
    ///
    /// # Errors
    ///
    /// [`StateProofError`] if this does not prove it; that says nothing of whether it is so.
    pub fn verify(&self, root: &StateRoot, key: &[u8], value: Option<&[u8]>) -> Result<(), StateProofError> {
        if NUMBER_MAX < self.size || self.size <= self.index {
            return Err(StateProofError::Index { index: self.index, size: self.size });
        }
        let leaf = self.leaf(&path_of(key), value)?;
        let got = state_root(self.size, &self.tree_root(leaf)?);
        if got == *root { Ok(()) } else { Err(StateProofError::Root { expected: *root, got }) }
    }

    /// The hash of the leaf that has to be in the tree if it is so.
    fn leaf(&self, path: &Hash, value: Option<&[u8]>) -> Result<Hash, StateProofError> {
        let next = &self.next.0;
        let (at, hash) = match &self.previous {
            None => (*path, value_hash(value)),
            Some(_) if value.is_some() => return Err(StateProofError::NoValue),
            Some(previous) if previous.path.0 < *path => (previous.path.0, previous.value_hash.0),
            Some(_) => return Err(StateProofError::Order),
        };
        // An own leaf is below its next, and what is not there is below the next of the leaf before.
        if *next != NONE && *next <= *path {
            return Err(StateProofError::Order);
        }
        Ok(leaf_hash(&at, next, &hash))
    }

    /// The root to which the audit path leads.
    fn tree_root(&self, leaf: Hash) -> Result<Hash, StateProofError> {
        let length = StateProofError::Length(self.audit_path.len());
        if AUDIT_PATH_LENGTH_MAX < self.audit_path.len() {
            return Err(length);
        }
        let path: Vec<_> = self.audit_path.iter().map(|hash| TreeHash::from_bytes(hash.0)).collect();
        let root = inclusion_root(TreeHash::from_bytes(leaf), self.index, self.size, &path);
        root.map(|root| *root.as_bytes()).map_err(|_| length)
    }
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
