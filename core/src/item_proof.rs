//! Item proofs: one item of a bundle, shown without its neighbours.
//!
//! The list of item hashes is what the head's content hash covers; the item is the one whose hash stands at
//! its index. Binary form: magic `ANI1`, index u16, item count u16, then the hashes. Source: `docs/FORMAT.md`,
//! "Item proof".

use crate::bundle::{bundle_hash, item_hash};
use crate::bytes::{Reader, Truncated};
use crate::hash::{ContentHash, ItemHash};
use crate::limits::ITEM_COUNT_MAX;
use crate::record::Head;

const MAGIC: &[u8; 4] = b"ANI1";

/// Why an item is not shown to be part of a bundle.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemProofError {
    /// The bytes are no item proof.
    #[error("not an item proof: it ends early, goes on behind its end, or does not start with ANI1")]
    Form,
    /// The proof has another number of hashes than the bundle has items.
    #[error("the proof has {got} hashes, the bundle {expected} items")]
    Count {
        /** Items of the bundle. */
        expected: u16,
        /** Hashes of the proof. */
        got: usize,
    },
    /// The hashes are not those that the head commits to.
    #[error("the item hashes give content hash {got}, the head says {expected}")]
    Bundle {
        /** What the head says. */
        expected: ContentHash,
        /** What the hashes give. */
        got: ContentHash,
    },
    /// The item is not the one at this index.
    #[error("the item hashes to {got}, not to {expected} as item {index} does")]
    Item {
        /** The index. */
        index: u16,
        /** The hash at the index. */
        expected: ItemHash,
        /** The item's hash. */
        got: ItemHash,
    },
}

impl ItemProofError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Form => "item.form",
            Self::Count { .. } => "item.count",
            Self::Bundle { .. } => "item.bundle",
            Self::Item { .. } => "item.item",
        }
    }
}

impl From<Truncated> for ItemProofError {
    fn from(_: Truncated) -> Self {
        Self::Form
    }
}

/// The hashes of all items of a bundle and the index of the one that is shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ItemProof {
    /// Which item is shown, from 0.
    pub index: u16,
    /// BLAKE3 of every item, its salt included, in order.
    pub hashes: Vec<ItemHash>,
}

impl ItemProof {
    /// Parses the binary form.
    ///
    /// # Errors
    ///
    /// [`ItemProofError::Form`] if it is malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, ItemProofError> {
        let mut reader = Reader::new(bytes);
        let magic = reader.array::<4>()?;
        let (index, count) = (reader.u16()?, usize::from(reader.u16()?));
        let (hashes, rest) = reader.rest().as_chunks::<32>();
        let in_range = (2..=ITEM_COUNT_MAX).contains(&count) && usize::from(index) < count;
        if magic != MAGIC || !in_range || hashes.len() != count || !rest.is_empty() {
            return Err(ItemProofError::Form);
        }
        Ok(Self { index, hashes: hashes.iter().copied().map(ItemHash::from_bytes).collect() })
    }

    /// Encodes the binary form.
    pub fn encode(&self) -> Vec<u8> {
        let count = u16::try_from(self.hashes.len()).unwrap_or(u16::MAX);
        let mut bytes = [&MAGIC[..], &self.index.to_le_bytes(), &count.to_le_bytes()].concat();
        self.hashes.iter().for_each(|hash| bytes.extend_from_slice(hash.as_bytes()));
        bytes
    }

    /// Checks that the hashes are those that a head commits to.
    ///
    /// # Errors
    ///
    /// [`ItemProofError`] if they are not.
    pub fn verify_hashes(&self, head: &Head) -> Result<(), ItemProofError> {
        if self.hashes.len() != usize::from(head.item_count) || !head.is_bundle() || head.item_count <= self.index {
            return Err(ItemProofError::Count { expected: head.item_count, got: self.hashes.len() });
        }
        let got = bundle_hash(&self.hashes);
        if got == head.content_hash { Ok(()) } else { Err(ItemProofError::Bundle { expected: head.content_hash, got }) }
    }

    /// Checks that an item, its salt included, is the one shown.
    ///
    /// # Errors
    ///
    /// [`ItemProofError`] if it is not, or the hashes are not the head's.
    pub fn verify(&self, head: &Head, item: &[u8]) -> Result<(), ItemProofError> {
        self.verify_hashes(head)?;
        let got = item_hash(item);
        match self.hashes.get(usize::from(self.index)) {
            Some(expected) if *expected == got => Ok(()),
            Some(expected) => Err(ItemProofError::Item { index: self.index, expected: *expected, got }),
            None => Err(ItemProofError::Form),
        }
    }
}
