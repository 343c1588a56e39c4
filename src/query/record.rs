//! A record that was read: alone, or with its block, which others share.

use super::QueryError;
use super::cache::KnownBlock;
use annals_core::block::BlockHeader;
use annals_core::bundle::Bundle;
use annals_core::checkpoint::Vkey;
use annals_core::hash::{RecordId, TreeHash};
use annals_core::item_proof::ItemProof;
use annals_core::limits::{HEAD_SIZE, SALT_SIZE};
use annals_core::receipt_json::Disclosure;
use annals_core::record::{Head, Kind, record_id};
use annals_core::reopening::Reopening;
use annals_core::state_root::StateRootRecord;
use annals_storage::reader::{Block, Part};
use std::sync::Arc;

/// A record as the ledger holds it, in memory, verified: alone, or with its block.
#[derive(Clone, Debug)]
pub struct StoredRecord {
    source: Source,
    index: usize,
}

#[derive(Clone, Debug)]
enum Source {
    Block(Arc<Block>),
    Single(Arc<Single>),
}

#[derive(Debug)]
struct Single {
    block: Arc<KnownBlock>,
    part: Part,
}

impl StoredRecord {
    /// Its place in the total order.
    pub fn seq(&self) -> u64 {
        self.block_header().first_seq + self.index as u64
    }

    /// Height of its block.
    pub fn height(&self) -> u64 {
        self.block_header().height
    }

    /// When its block was ordered, ms since the Unix epoch.
    pub fn ordered_time_ms(&self) -> u64 {
        self.block_header().ordered_time_ms
    }

    /// The head as the author signed it.
    ///
    /// # Panics
    ///
    /// Never: a stored record is made for an index within its block.
    #[expect(clippy::expect_used, reason = "a stored record is made for an index within its block")]
    pub fn head_bytes(&self) -> &[u8; HEAD_SIZE] {
        match &self.source {
            Source::Block(block) => block.body().head(self.index).expect("the record is in its block"),
            Source::Single(single) => single.part.head(),
        }
    }

    /// The parsed head.
    ///
    /// # Errors
    ///
    /// [`QueryError::Head`] if it is malformed, which the engine never stores.
    pub fn head(&self) -> Result<Head, QueryError> {
        Head::parse(self.head_bytes()).map_err(|source| QueryError::Head { seq: self.seq(), source })
    }

    /// What a *reopened* record says; none for other kinds.
    pub fn reopening(&self, vkey: &Vkey) -> Option<Reopening> {
        let head = self.head().ok().filter(|head| head.kind == Kind::REOPENED)?;
        (head.author == vkey.key()).then(|| Reopening::parse(self.payload(), vkey).ok()).flatten()
    }

    /// What a *state-root* record says; none for other kinds.
    pub fn state_root(&self) -> Option<StateRootRecord> {
        let head = self.head().ok().filter(|head| head.kind == Kind::STATE_ROOT);
        head.and_then(|_| StateRootRecord::parse(self.payload()).ok())
    }

    /// The record that a *countersign* record signs once more; none for other kinds.
    pub fn countersigned(&self) -> Option<RecordId> {
        let head = self.head().ok().filter(|head| head.kind == Kind::COUNTERSIGN);
        head.and_then(|_| <[u8; 32]>::try_from(self.payload()).ok()).map(RecordId::from_bytes)
    }

    /// The payload, its salt included.
    pub fn payload(&self) -> &[u8] {
        match &self.source {
            Source::Block(block) => block.body().payload(self.index).unwrap_or_default(),
            Source::Single(single) => single.part.payload(),
        }
    }

    /// Root of the ledger's tree through the record's block.
    pub fn block_root(&self) -> TreeHash {
        self.block_header().root
    }

    /// SHA-256 of the head.
    pub fn record_id(&self) -> RecordId {
        record_id(self.head_bytes())
    }
}

impl StoredRecord {
    /// The payload as its front end gave it: without salt, and of a bundle the item of this number.
    ///
    /// # Errors
    ///
    /// [`QueryError::Item`] if the record is a bundle and no item, or one that it has not, is asked for, or the reverse.
    pub fn content(&self, item: Option<u16>) -> Result<&[u8], QueryError> {
        let head = self.head()?;
        let salt = if head.is_salted() { SALT_SIZE } else { 0 };
        let (seq, items) = (self.seq(), head.item_count);
        let whole = match item {
            None if !head.is_bundle() => Some(self.payload()),
            Some(item) if head.is_bundle() => {
                let bundle = Bundle::parse(items, self.payload());
                bundle.ok().and_then(|bundle| bundle.item(usize::from(item)))
            }
            None | Some(_) => None,
        };
        whole.and_then(|whole| whole.get(salt..)).ok_or(QueryError::Item { seq, items })
    }

    /// What a receipt needs beside it so that this record's payload, or one item of it, can be shown.
    ///
    /// # Errors
    ///
    /// [`QueryError::Item`] if there is no such item.
    pub fn disclosure(&self, item: Option<u16>) -> Result<Disclosure, QueryError> {
        let head = self.head()?;
        let wrong = QueryError::Item { seq: self.seq(), items: head.item_count };
        let salt = |bytes: &[u8]| bytes.first_chunk::<SALT_SIZE>().copied();
        if !head.is_bundle() {
            return match item {
                Some(_) => Err(wrong),
                None if head.is_salted() => Ok(salt(self.payload()).map_or(Disclosure::None, Disclosure::Salt)),
                None => Ok(Disclosure::None),
            };
        }
        let Ok(bundle) = Bundle::parse(head.item_count, self.payload()) else { return Err(wrong) };
        match item {
            None if head.is_salted() => Ok(Disclosure::Salts(bundle.items().filter_map(salt).collect())),
            None => Ok(Disclosure::None),
            Some(index) => {
                let shown = bundle.item(usize::from(index)).ok_or(wrong)?;
                let proof = ItemProof { index, hashes: bundle.item_hashes().collect() };
                Ok(Disclosure::Item { proof, salt: if head.is_salted() { salt(shown) } else { None } })
            }
        }
    }
}

impl StoredRecord {
    /// The record of this index in a block; none if the block has fewer.
    pub(super) fn of_block(block: Arc<Block>, index: usize) -> Option<Self> {
        let is_there = index < block.header().record_count as usize;
        is_there.then_some(Self { source: Source::Block(block), index })
    }

    /// A record that was read alone.
    pub(super) fn single(block: Arc<KnownBlock>, part: Part, index: usize) -> Self {
        Self { source: Source::Single(Arc::new(Single { block, part })), index }
    }

    /// All records of a block.
    pub(crate) fn all_of(block: &Arc<Block>) -> Vec<Self> {
        (0..block.header().record_count as usize)
            .map(|index| Self { source: Source::Block(Arc::clone(block)), index })
            .collect()
    }

    /// The header of the record's block.
    pub(crate) fn block_header(&self) -> &BlockHeader {
        match &self.source {
            Source::Block(block) => block.header(),
            Source::Single(single) => single.block.outline.header(),
        }
    }

    /// The hash of the record's block.
    #[cfg(test)]
    pub(crate) fn block_hash(&self) -> annals_core::hash::BlockHash {
        match &self.source {
            Source::Block(block) => block.hash(),
            Source::Single(single) => single.block.outline.hash(),
        }
    }

    /// The record behind this one in the same block, if the block is in memory.
    pub(crate) fn next_in_block(self) -> Option<Self> {
        match self.source {
            Source::Block(block) => Self::of_block(block, self.index + 1),
            Source::Single(_) => None,
        }
    }
}
