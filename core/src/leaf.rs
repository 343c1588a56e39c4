//! Leaf entries: what the tree says of a record, its order and time included.
//!
//! ```text
//! | record id (32) | height u64 | ordered time u64, ms | flags u32, zero |
//! ```
//!
//! Source: `docs/FORMAT.md`, "Leaf and tree".

use crate::bytes::{Reader, Truncated, Writer};
use crate::hash::{RecordId, TreeHash};
use crate::limits::{LEAF_ENTRY_SIZE, NUMBER_MAX};
use crate::tree::leaf_hash;

/// Why bytes are no leaf entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LeafError {
    /// There are not 52 bytes.
    #[error("a leaf entry has 52 bytes, got {0}")]
    Size(usize),
    /// A height or time is not below 2^53.
    #[error("{0} is not below 2^53")]
    Number(u64),
    /// A flag is set; none is known.
    #[error("leaf flags {0:#x} are not known")]
    Flags(u32),
}

impl LeafError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Size(_) => "leaf.size",
            Self::Number(_) => "leaf.number",
            Self::Flags(_) => "leaf.flags",
        }
    }
}

impl From<Truncated> for LeafError {
    fn from(error: Truncated) -> Self {
        Self::Size(error.got)
    }
}

/// One leaf of the tree, before hashing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeafEntry {
    /// SHA-256 of the record's head.
    pub record_id: RecordId,
    /// Height of the block that ordered it.
    pub height: u64,
    /// That block's ordered time, in ms since the Unix epoch.
    pub ordered_time_ms: u64,
}

impl LeafEntry {
    /// Bytes of an encoded entry.
    pub const SIZE: usize = LEAF_ENTRY_SIZE;

    /// Parses an entry.
    ///
    /// # Errors
    ///
    /// [`LeafError`] if a number is out of range or a flag is set.
    pub fn parse(bytes: &[u8; Self::SIZE]) -> Result<Self, LeafError> {
        let mut reader = Reader::new(bytes);
        let record_id = RecordId::from_bytes(*reader.array()?);
        let entry = Self { record_id, height: reader.u64()?, ordered_time_ms: reader.u64()? };
        if let Some(number) = [entry.height, entry.ordered_time_ms].into_iter().find(|number| NUMBER_MAX < *number) {
            return Err(LeafError::Number(number));
        }
        match reader.u32()? {
            0 => Ok(entry),
            flags => Err(LeafError::Flags(flags)),
        }
    }

    /// Encodes the entry.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        Writer::new()
            .put(self.record_id.as_bytes())
            .put(&self.height.to_le_bytes())
            .put(&self.ordered_time_ms.to_le_bytes())
            .finish()
    }

    /// Its hash in the tree.
    pub fn hash(&self) -> TreeHash {
        leaf_hash(&self.encode())
    }
}
