//! The read side of a ledger: blocks by their place, the index over them, and how far all of it is final.
//!
//! Shared by readers, the engine and the callers' own look-ups. Every answer of the index is compared with the log; an
//! index file that is missing or damaged is rebuilt from its segment by whoever meets it first. Blocks read lately
//! are kept, with the leaves of their records, so that the receipts of one block cost one read.

use crate::rebuild::{RebuildError, rebuild};
use crate::replay::ReplayError;
use annals_core::bundle::Bundle;
use annals_core::checkpoint::{Checkpoint, Vkey};
use annals_core::genesis::Genesis;
use annals_core::hash::{AuthorId, LedgerId, RecordId, TreeHash};
use annals_core::item_proof::ItemProof;
use annals_core::leaf::LeafEntry;
use annals_core::limits::{HEAD_SIZE, SALT_SIZE};
use annals_core::proof::inclusion_path;
use annals_core::receipt::Receipt;
use annals_core::receipt_json::{Disclosure, ReceiptJson};
use annals_core::record::{Head, Kind, ParseError, record_id};
use annals_core::reopening::Reopening;
use annals_core::signature::SigningKey;
use annals_core::tree::Frontier;
use annals_ordering::watermark::Watermark;
use annals_storage::disk::Disk;
use annals_storage::frame::{FrameKind, Location, Slot};
use annals_storage::index::{BlockLocation, Candidates, Index, IndexError, IndexStore};
use annals_storage::reader::{Block, BlockReader, ReadError};
use annals_storage::recovery::RecoveryError;
use annals_storage::segment::FIRST_FRAME_OFFSET;
use parking_lot::{Mutex, RwLock};
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

/// Bytes of blocks kept in memory.
const CACHE_SIZE_MAX: usize = 16 << 20;
/// Blocks kept in memory, however small they are: they are searched one by one.
const CACHE_COUNT_MAX: usize = 64;
/// Checkpoints kept in memory: those that no frame has stored yet, and some more.
const CHECKPOINT_COUNT_MAX: usize = 64;
/// A block's checkpoint is stored at most this many frames behind it: two blocks in flight, and marks between.
const CHECKPOINT_DISTANCE_MAX: usize = 16;

/// Why the ledger gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// No final record has this seq.
    #[error("there is no record {seq}; the ledger ends before {next_seq}")]
    NotFound {
        /** The seq asked for. */
        seq: u64,
        /** The first seq that is not final. */
        next_seq: u64,
    },
    /// A block could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The index gave no answer.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A segment could not be read.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// What is stored is not what this engine orders.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A head is malformed.
    #[error("the record of seq {seq}: {source}")]
    Head {
        /** Its seq. */
        seq: u64,
        /** What is wrong. */
        source: ParseError,
    },
    /// No stored checkpoint covers the record yet.
    #[error("no checkpoint for block {height} is stored yet; ask again in a moment")]
    NoCheckpoint {
        /** Height of the block. */
        height: u64,
    },
    /// The record has no such item, or is asked for as what it is not.
    #[error("record {seq} has {items} item(s): a bundle is read item by item, counted from 0, a plain record whole")]
    Item {
        /** The record. */
        seq: u64,
        /** Its items. */
        items: u16,
    },
    /// The index and the log contradict each other.
    #[error("the index leads to block {height} for record {seq}, which is not in it; run `annals check`")]
    Place {
        /** The seq. */
        seq: u64,
        /** Height of the block. */
        height: u64,
    },
}

impl QueryError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "query.not_found",
            Self::Read(error) => error.code(),
            Self::Index(error) => error.code(),
            Self::Recovery(error) => error.code(),
            Self::Replay(error) => error.code(),
            Self::Head { .. } => "query.head",
            Self::NoCheckpoint { .. } => "query.no_checkpoint",
            Self::Item { .. } => "query.item",
            Self::Place { .. } => "query.place",
        }
    }
}

impl From<RebuildError> for QueryError {
    fn from(error: RebuildError) -> Self {
        match error {
            RebuildError::Recovery(error) => Self::Recovery(error),
            RebuildError::Replay(error) => Self::Replay(error),
            RebuildError::Index(error) => Self::Index(error),
        }
    }
}

/// A record as the ledger holds it, its block in memory.
#[derive(Clone, Debug)]
pub struct StoredRecord {
    block: Arc<CachedBlock>,
    index: usize,
}

impl StoredRecord {
    /// Its place in the total order.
    pub fn seq(&self) -> u64 {
        self.block.block.header().first_seq + self.index as u64
    }

    /// Height of its block.
    pub fn height(&self) -> u64 {
        self.block.block.header().height
    }

    /// When its block was ordered, ms since the Unix epoch.
    pub fn ordered_time_ms(&self) -> u64 {
        self.block.block.header().ordered_time_ms
    }

    /// The head as the author signed it.
    ///
    /// # Panics
    ///
    /// Never: a stored record is made for an index within its block.
    #[expect(clippy::expect_used, reason = "a stored record is made for an index within its block")]
    pub fn head_bytes(&self) -> &[u8; HEAD_SIZE] {
        self.block.block.body().head(self.index).expect("the record is in its block")
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

    /// The payload, its salt included.
    pub fn payload(&self) -> &[u8] {
        self.block.block.body().payload(self.index).unwrap_or_default()
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

/// A block in memory, with what proofs need of it once one was asked for.
#[derive(Debug)]
struct CachedBlock {
    block: Block,
    leaves: OnceLock<Vec<TreeHash>>,
    checkpoint: OnceLock<Slot>,
}

impl CachedBlock {
    fn leaf(&self, index: usize) -> LeafEntry {
        let header = self.block.header();
        let record_id = self.block.body().head(index).map_or(RecordId::from_bytes([0; 32]), record_id);
        LeafEntry { record_id, height: header.height, ordered_time_ms: header.ordered_time_ms }
    }

    fn leaves(&self) -> &[TreeHash] {
        self.leaves.get_or_init(|| {
            let header = self.block.header();
            let (height, ordered_time_ms) = (header.height, header.ordered_time_ms);
            let hash = |head| LeafEntry { record_id: record_id(head), height, ordered_time_ms }.hash();
            self.block.body().heads().iter().map(hash).collect()
        })
    }
}

/// The read side of a ledger.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) ledger: LedgerId,
    pub(crate) genesis: Genesis,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) index: Arc<Index>,
    /// Where a rebuilt index is written; none for a reader beside the writer.
    pub(crate) store: Option<Arc<dyn IndexStore>>,
    pub(crate) watermark: Watermark,
    /// The ledger key, in the writer's process: a checkpoint is the same whoever signs it, and when.
    key: Option<Arc<SigningKey>>,
    blocks: BlockReader,
    /// The newest checkpoints of final blocks, rising.
    checkpoints: RwLock<VecDeque<Slot>>,
    cache: Mutex<VecDeque<Arc<CachedBlock>>>,
    /// Held by whoever rebuilds an index, so that it is done once.
    rebuilding: Mutex<()>,
}

impl Query {
    pub(crate) fn new(
        ledger: LedgerId,
        genesis: Genesis,
        disk: Arc<dyn Disk>,
        index: Arc<Index>,
        store: Option<Arc<dyn IndexStore>>,
        next_seq: u64,
    ) -> Self {
        Self {
            ledger,
            genesis,
            blocks: BlockReader::new(Arc::clone(&disk), ledger),
            key: None,
            disk,
            index,
            store,
            watermark: Watermark::new(next_seq),
            checkpoints: RwLock::default(),
            cache: Mutex::default(),
            rebuilding: Mutex::default(),
        }
    }

    /// Lets the read side sign a checkpoint that is asked for a moment before the engine has signed it.
    pub(crate) fn with_key(mut self, key: Arc<SigningKey>) -> Self {
        self.key = Some(key);
        self
    }

    /// The checkpoint of a final block; before the watermark passes it.
    pub(crate) fn add_checkpoint(&self, slot: Slot) {
        let mut checkpoints = self.checkpoints.write();
        if checkpoints.back().is_some_and(|last| slot.height <= last.height) {
            return;
        }
        if checkpoints.len() == CHECKPOINT_COUNT_MAX {
            checkpoints.pop_front();
        }
        checkpoints.push_back(slot);
    }

    /// Records that the newest checkpoint in memory covers.
    pub(crate) fn newest_checkpoint_size(&self) -> Option<u64> {
        self.checkpoints.read().back().map(|slot| slot.size)
    }

    /// Asks the index, and rebuilds what turns out to be missing or damaged.
    pub(crate) fn ask<T>(&self, question: impl Fn(&Index) -> Result<T, IndexError>) -> Result<T, QueryError> {
        loop {
            let error = match question(&self.index) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(segment) = error.rebuild() else { return Err(error.into()) };
            let _alone = self.rebuilding.lock();
            // Somebody else may have rebuilt it while this thread waited.
            if self.index.header(segment).is_err_and(|error| error.rebuild().is_some()) || is_damage(&error) {
                rebuild(&self.disk, self.ledger, &self.genesis, &self.index, self.store.as_deref(), segment)?;
            }
        }
    }

    /// A final record.
    pub(crate) fn get(&self, seq: u64) -> Result<StoredRecord, QueryError> {
        let next_seq = self.watermark.next_seq();
        let not_found = QueryError::NotFound { seq, next_seq };
        if next_seq <= seq {
            return Err(not_found);
        }
        if let Some(block) = self.cached(seq) {
            return stored(block, seq);
        }
        let Some(place) = self.ask(|index| index.locate_seq(seq))? else { return Err(not_found) };
        stored(self.read(&place)?, seq)
    }

    fn cached(&self, seq: u64) -> Option<Arc<CachedBlock>> {
        let cache = self.cache.lock();
        cache.iter().rev().find(|block| holds(&block.block, seq)).cloned()
    }

    fn read(&self, place: &BlockLocation) -> Result<Arc<CachedBlock>, QueryError> {
        let location = Location { segment: place.segment, offset: place.offset };
        let block = self.blocks.read(location, place.height)?;
        let block = Arc::new(CachedBlock { block, leaves: OnceLock::new(), checkpoint: OnceLock::new() });
        let mut cache = self.cache.lock();
        let mut size: usize = cache.iter().map(|block| block.block.memory_size()).sum();
        while CACHE_SIZE_MAX < size + block.block.memory_size() || CACHE_COUNT_MAX <= cache.len() {
            let Some(oldest) = cache.pop_front() else { break };
            size -= oldest.block.memory_size();
        }
        cache.push_back(Arc::clone(&block));
        Ok(block)
    }

    /// The final record with this id, if there is one.
    pub(crate) fn find(&self, wanted: &RecordId) -> Result<Option<StoredRecord>, QueryError> {
        self.first_right(|index| index.find_record_id(wanted), |record| Ok(record.record_id() == *wanted))
    }

    /// The final record with this nonce of this author, if there is one.
    pub(crate) fn find_nonce(
        &self,
        suite: u8,
        author: &AuthorId,
        nonce: u64,
    ) -> Result<Option<StoredRecord>, QueryError> {
        self.first_right(
            |index| index.find_nonce(suite, author, nonce),
            |record| {
                let head = record.head()?;
                Ok((head.suite, head.author, head.nonce) == (suite, *author, nonce))
            },
        )
    }

    /// The first candidate that the log confirms.
    fn first_right(
        &self,
        candidates: impl for<'i> Fn(&'i Index) -> Candidates<'i>,
        is_right: impl Fn(&StoredRecord) -> Result<bool, QueryError>,
    ) -> Result<Option<StoredRecord>, QueryError> {
        let seqs = self.ask(|index| candidates(index).collect::<Result<Vec<_>, _>>())?;
        for seq in seqs {
            let record = match self.get(seq) {
                // Indexed a moment before the watermark moves: not final yet.
                Err(QueryError::NotFound { .. }) => continue,
                other => other?,
            };
            if is_right(&record)? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// The receipt of a final record: the same bytes whenever it is asked for.
    pub(crate) fn prove(&self, seq: u64) -> Result<Receipt, QueryError> {
        let StoredRecord { block, index } = self.get(seq)?;
        let header = block.block.header();
        let place = QueryError::Place { seq, height: header.height };
        let path = inclusion_path(block.block.frontier_before(), block.leaves(), seq).map_err(|_| place)?;
        Ok(Receipt {
            seq,
            head: *block.block.body().head(index).unwrap_or(&[0; HEAD_SIZE]),
            leaf: block.leaf(index),
            path,
            checkpoint: self.note_of(&block)?,
        })
    }

    /// Root of the tree over the first so many records, all of them final.
    pub(crate) fn root_at(&self, size: u64) -> Result<TreeHash, QueryError> {
        let Some(last) = size.checked_sub(1) else { return Ok(Frontier::new().root()) };
        let StoredRecord { block, index } = self.get(last)?;
        let mut frontier = block.block.frontier_before().clone();
        block.leaves().iter().take(index + 1).for_each(|leaf| frontier.push(*leaf));
        Ok(frontier.root())
    }

    /// The receipt with what shows the payload beside it.
    pub(crate) fn prove_json(&self, seq: u64, item: Option<u16>) -> Result<ReceiptJson, QueryError> {
        let disclosure = self.get(seq)?.disclosure(item)?;
        Ok(ReceiptJson { receipt: self.prove(seq)?, disclosure })
    }

    /// The newest checkpoint, as a signed note.
    pub(crate) fn newest_note(&self) -> Result<String, QueryError> {
        self.note_of(&self.newest()?.block)
    }

    fn note_of(&self, block: &CachedBlock) -> Result<String, QueryError> {
        let slot = self.checkpoint_of(block)?;
        let checkpoint = Checkpoint { size: slot.size, root: block.block.header().root };
        Ok(checkpoint.note(&self.genesis.vkey, &slot.signature))
    }

    /// The checkpoint of a block: from memory, or from the frames behind it, which store it.
    fn checkpoint_of(&self, block: &CachedBlock) -> Result<Slot, QueryError> {
        if let Some(slot) = block.checkpoint.get() {
            return Ok(*slot);
        }
        let header = block.block.header();
        let height = header.height;
        let recent = self.checkpoints.read().iter().find(|slot| slot.height == height).copied();
        let slot = match recent {
            Some(slot) => slot,
            None => match (&self.key, self.stored_checkpoint(&block.block)?) {
                (_, Some(slot)) => slot,
                (Some(key), None) => crate::ledger::sign(header, &self.genesis, key),
                (None, None) => return Err(QueryError::NoCheckpoint { height }),
            },
        };
        Ok(*block.checkpoint.get_or_init(|| slot))
    }

    /// The checkpoint of the block of a height, from the frames behind it.
    pub(crate) fn stored_checkpoint_below(&self, height: u64) -> Result<Option<Slot>, QueryError> {
        let Some(place) = self.ask(|index| index.locate_height(height))? else { return Ok(None) };
        let block = self.blocks.read(Location { segment: place.segment, offset: place.offset }, height)?;
        self.stored_checkpoint(&block)
    }

    fn stored_checkpoint(&self, block: &Block) -> Result<Option<Slot>, QueryError> {
        let height = block.header().height;
        let mut location = Location { segment: block.location().segment, offset: block.frame().end() };
        for _ in 0..CHECKPOINT_DISTANCE_MAX {
            let frame = match self.blocks.read_header(location) {
                Ok(frame) => frame,
                // Nothing sound lies there (yet).
                Err(ReadError::Frame { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            if let Some(slot) = frame.slots.iter().flatten().find(|slot| slot.height == height) {
                return Ok(Some(*slot));
            }
            location = match frame.kind {
                FrameKind::End => Location { segment: location.segment + 1, offset: FIRST_FRAME_OFFSET },
                FrameKind::Start | FrameKind::Block | FrameKind::Watermark => {
                    Location { segment: location.segment, offset: frame.end() }
                }
            };
        }
        Ok(None)
    }

    /// The newest final block's header; none before the first is final.
    pub(crate) fn newest(&self) -> Result<StoredRecord, QueryError> {
        self.get(self.watermark.next_seq().saturating_sub(1))
    }
}

impl StoredRecord {
    /// The header of the record's block.
    pub(crate) fn block_header(&self) -> &annals_core::block::BlockHeader {
        self.block.block.header()
    }

    /// Segment and offset where the record's block ends.
    pub(crate) fn block_end(&self) -> (u64, u64) {
        (self.block.block.location().segment, self.block.block.frame().end())
    }

    /// The hash of the record's block.
    pub(crate) fn block_hash(&self) -> annals_core::hash::BlockHash {
        self.block.block.hash()
    }

    /// The record behind this one in the same block.
    pub(crate) fn next_in_block(&self) -> Option<Self> {
        let index = self.index + 1;
        let in_block = index < self.block.block.header().record_count as usize;
        in_block.then(|| Self { block: Arc::clone(&self.block), index })
    }
}

const fn is_damage(error: &IndexError) -> bool {
    matches!(error, IndexError::Damaged { .. })
}

fn holds(block: &Block, seq: u64) -> bool {
    let header = block.header();
    header.first_seq <= seq && seq < header.next_seq()
}

fn stored(block: Arc<CachedBlock>, seq: u64) -> Result<StoredRecord, QueryError> {
    if !holds(&block.block, seq) {
        return Err(QueryError::Place { seq, height: block.block.header().height });
    }
    let index = usize::try_from(seq - block.block.header().first_seq).unwrap_or(usize::MAX);
    Ok(StoredRecord { block, index })
}
