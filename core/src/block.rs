//! Block headers: what chains the blocks of a ledger and commits to the tree.
//!
//! A header names its predecessor by hash and the tree root of all records up to and including its block.
//! Consensus terms and file positions stay outside it, so a block's hash says nothing of where it lies.
//! Source: `docs/FORMAT.md`, "Block".

use crate::bytes::{Reader, Truncated, Writer};
use crate::hash::{BlockHash, LedgerId, TreeHash};
use crate::limits::{BLOCK_HEADER_SIZE, BLOCK_RECORD_COUNT_MAX, ITEM_COUNT_MAX, NUMBER_MAX};

const MAGIC: &[u8; 4] = b"ANB1";
const CONTEXT: &str = "annals.block.v1";

/// Why bytes are no block header, or why one does not follow another.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// The first four bytes are not `ANB1`.
    #[error("not a block header: the first four bytes are not ANB1")]
    Magic,
    /// The record count is out of range.
    #[error("block of {0} records; 1 to 16384 are possible")]
    RecordCount(u32),
    /// The item count does not fit the record count.
    #[error("{items} items do not fit {records} records")]
    ItemCount {
        /** Items the header says. */
        items: u64,
        /** Records the header says. */
        records: u32,
    },
    /// A height, seq or time is not below 2^53.
    #[error("{0} is not below 2^53")]
    Number(u64),
    /// The reserved bytes are not zero.
    #[error("reserved bytes of a block header are not zero")]
    Reserved,
    /// It belongs to another ledger.
    #[error("block belongs to ledger {got}, not to {expected}")]
    Ledger {
        /** The ledger it should belong to. */
        expected: LedgerId,
        /** The ledger it names. */
        got: LedgerId,
    },
    /// The height does not follow.
    #[error("block of height {got} where {expected} should stand")]
    Height {
        /** The height that follows. */
        expected: u64,
        /** The height it has. */
        got: u64,
    },
    /// The first seq does not follow.
    #[error("block starts at seq {got} where {expected} should stand")]
    FirstSeq {
        /** The seq that follows. */
        expected: u64,
        /** The seq it has. */
        got: u64,
    },
    /// The time goes back.
    #[error("block of time {got} ms behind one of {previous} ms")]
    Time {
        /** Time of the block before. */
        previous: u64,
        /** Time of this block. */
        got: u64,
    },
    /// The previous hash is another one.
    #[error("block names {got} as its predecessor, not {expected}")]
    Previous {
        /** Hash of the block before. */
        expected: BlockHash,
        /** Hash it names. */
        got: BlockHash,
    },
}

impl BlockError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Magic => "block.magic",
            Self::RecordCount(_) => "block.record_count",
            Self::ItemCount { .. } => "block.item_count",
            Self::Number(_) => "block.number",
            Self::Reserved => "block.reserved",
            Self::Ledger { .. } => "block.ledger",
            Self::Height { .. } => "block.height",
            Self::FirstSeq { .. } => "block.first_seq",
            Self::Time { .. } => "block.time",
            Self::Previous { .. } => "block.previous",
        }
    }
}

impl From<Truncated> for BlockError {
    fn from(_: Truncated) -> Self {
        Self::Magic
    }
}

/// A block header, field by field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BlockHeader {
    /// Records in the block, 1 to 16,384.
    pub record_count: u32,
    /// The ledger.
    pub ledger: LedgerId,
    /// How many blocks stand before it.
    pub height: u64,
    /// Seq of its first record.
    pub first_seq: u64,
    /// Sum of its records' item counts.
    pub item_count: u64,
    /// When it was ordered, in ms since the Unix epoch; never below its predecessor's.
    pub ordered_time_ms: u64,
    /// Hash of the block before; zero at height 0.
    pub previous: BlockHash,
    /// Tree root of all records up to and including this block.
    pub root: TreeHash,
}

impl BlockHeader {
    /// Bytes of an encoded header.
    pub const SIZE: usize = BLOCK_HEADER_SIZE;

    /// Parses a header.
    ///
    /// # Errors
    ///
    /// [`BlockError`] if a field is out of its range.
    pub fn parse(bytes: &[u8; Self::SIZE]) -> Result<Self, BlockError> {
        let mut reader = Reader::new(bytes);
        if reader.array::<4>()? != MAGIC {
            return Err(BlockError::Magic);
        }
        let header = Self {
            record_count: reader.u32()?,
            ledger: LedgerId::from_bytes(*reader.array()?),
            height: reader.u64()?,
            first_seq: reader.u64()?,
            item_count: reader.u64()?,
            ordered_time_ms: reader.u64()?,
            previous: BlockHash::from_bytes(*reader.array()?),
            root: TreeHash::from_bytes(*reader.array()?),
        };
        if reader.array::<32>()? != &[0; 32] {
            return Err(BlockError::Reserved);
        }
        header.check_ranges()?;
        Ok(header)
    }

    fn check_ranges(&self) -> Result<(), BlockError> {
        if self.record_count == 0 || BLOCK_RECORD_COUNT_MAX < self.record_count as usize {
            return Err(BlockError::RecordCount(self.record_count));
        }
        let records = u64::from(self.record_count);
        if self.item_count < records || records * (ITEM_COUNT_MAX as u64) < self.item_count {
            return Err(BlockError::ItemCount { items: self.item_count, records: self.record_count });
        }
        let numbers = [self.height, self.first_seq, self.first_seq.saturating_add(records), self.ordered_time_ms];
        match numbers.into_iter().find(|number| NUMBER_MAX < *number) {
            Some(number) => Err(BlockError::Number(number)),
            None => Ok(()),
        }
    }

    /// Encodes the header.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        Writer::<{ Self::SIZE }>::new()
            .put(MAGIC)
            .put(&self.record_count.to_le_bytes())
            .put(self.ledger.as_bytes())
            .put(&self.height.to_le_bytes())
            .put(&self.first_seq.to_le_bytes())
            .put(&self.item_count.to_le_bytes())
            .put(&self.ordered_time_ms.to_le_bytes())
            .put(self.previous.as_bytes())
            .put(self.root.as_bytes())
            .finish()
    }

    /// Block hash: BLAKE3 of the encoded header, in `derive_key` mode.
    pub fn hash(&self) -> BlockHash {
        BlockHash::from_bytes(blake3::derive_key(CONTEXT, &self.encode()))
    }

    /// The seq behind its last record, which is the size of the tree that its root names.
    pub const fn next_seq(&self) -> u64 {
        self.first_seq + self.record_count as u64
    }

    /// Checks that this block follows `previous`; `None` stands for the empty ledger.
    ///
    /// # Errors
    ///
    /// [`BlockError`] naming the first thing that does not follow.
    pub fn follows(&self, previous: Option<&Self>) -> Result<(), BlockError> {
        let (ledger, height, first_seq, time, hash) = match previous {
            None => (self.ledger, 0, 0, 0, BlockHash::ZERO),
            Some(it) => (it.ledger, it.height + 1, it.next_seq(), it.ordered_time_ms, it.hash()),
        };
        if self.ledger != ledger {
            return Err(BlockError::Ledger { expected: ledger, got: self.ledger });
        }
        if self.height != height {
            return Err(BlockError::Height { expected: height, got: self.height });
        }
        if self.first_seq != first_seq {
            return Err(BlockError::FirstSeq { expected: first_seq, got: self.first_seq });
        }
        if self.ordered_time_ms < time {
            return Err(BlockError::Time { previous: time, got: self.ordered_time_ms });
        }
        if self.previous != hash {
            return Err(BlockError::Previous { expected: hash, got: self.previous });
        }
        Ok(())
    }
}
