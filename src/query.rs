//! The read side of a ledger: blocks by their place, the index over them, and how far all of it is final.
//!
//! Shared by readers, the engine and the callers' own look-ups. Every answer of the index is compared with the log; an
//! index file that is missing or damaged is rebuilt from its segment by whoever meets it first.
//!
//! Who goes through the ledger reads whole blocks. Who asks for one record, or its receipt, reads the pages that it lies in;
//! what is needed to find and verify them is kept ([`cache`]), and so are a block's upper tree nodes once one of its records
//! was proved. Small blocks are read whole in either case. Nothing is shown that was not compared with its sum.

mod cache;
mod record;

pub use record::StoredRecord;

use crate::options::READING_MEMORY_DEFAULT;
use crate::rebuild::{RebuildError, rebuild};
use crate::replay::ReplayError;
use annals_core::block::BlockHeader;
use annals_core::checkpoint::Checkpoint;
use annals_core::genesis::Genesis;
use annals_core::hash::{AuthorId, BlockHash, LedgerId, RecordId, TreeHash};
use annals_core::leaf::LeafEntry;
use annals_core::limits::HEAD_SIZE;
use annals_core::nodes::BlockNodes;
use annals_core::receipt::Receipt;
use annals_core::receipt_json::ReceiptJson;
use annals_core::record::{ParseError, record_id};
use annals_core::signature::SigningKey;
use annals_core::tree::Frontier;
use annals_ordering::watermark::Watermark;
use annals_storage::disk::Disk;
use annals_storage::frame::{FrameHeader, FrameKind, Location, Slot};
use annals_storage::index::{BlockLocation, Candidates, Index, IndexError, IndexStore};
use annals_storage::reader::{Block, BlockReader, Outline, ReadError, Way};
use annals_storage::recovery::RecoveryError;
use annals_storage::segment::FIRST_FRAME_OFFSET;
use cache::{Cache, KnownBlock};
use parking_lot::{Mutex, RwLock};
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of a frame that is read whole even for one record of it.
const SMALL_FRAME_SIZE: u64 = 64 << 10;
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
    /// A block's records do not give the root that its header names: their sums were forged.
    #[error("the records of block {height} do not give its root; run `annals check`")]
    Tree {
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
            Self::Tree { .. } => "query.tree",
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
    cache: Cache,
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
            cache: Cache::new(READING_MEMORY_DEFAULT),
            rebuilding: Mutex::default(),
        }
    }

    /// Lets the read side sign a checkpoint that is asked for a moment before the engine has signed it.
    pub(crate) fn with_key(mut self, key: Arc<SigningKey>) -> Self {
        self.key = Some(key);
        self
    }

    /// Keeps so many bytes of what was read in memory.
    pub(crate) fn with_memory(mut self, memory: usize) -> Self {
        self.cache = Cache::new(memory);
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

    /// Where the block of a final record lies.
    fn locate(&self, seq: u64) -> Result<BlockLocation, QueryError> {
        let place = self.ask(|index| index.locate_seq(seq))?;
        place.ok_or_else(|| QueryError::NotFound { seq, next_seq: self.watermark.next_seq() })
    }

    fn check_final(&self, seq: u64) -> Result<(), QueryError> {
        let next_seq = self.watermark.next_seq();
        if seq < next_seq { Ok(()) } else { Err(QueryError::NotFound { seq, next_seq }) }
    }

    /// A final record: with its block if that is in memory or small, else alone.
    pub(crate) fn get(&self, seq: u64) -> Result<StoredRecord, QueryError> {
        self.check_final(seq)?;
        if let Some(block) = self.cache.block(seq) {
            return stored(block, seq);
        }
        let known = self.known(seq)?;
        if known.outline.frame().size.total_bytes() <= SMALL_FRAME_SIZE {
            return stored(self.read(known.outline.frame().location(), known.outline.header().height)?, seq);
        }
        let index = index_in(known.outline.header(), seq);
        let part = self.blocks.record(&known.outline, index, self.way(&known.outline))?;
        Ok(StoredRecord::single(known, part, index))
    }

    /// A final record with its block, for whoever goes on from there.
    pub(crate) fn get_with_block(&self, seq: u64) -> Result<StoredRecord, QueryError> {
        stored(self.block(seq)?, seq)
    }

    /// The block of a final record.
    pub(crate) fn block(&self, seq: u64) -> Result<Arc<Block>, QueryError> {
        self.check_final(seq)?;
        if let Some(block) = self.cache.block(seq) {
            return Ok(block);
        }
        let place = self.locate(seq)?;
        let block = self.read(Location { segment: place.segment, offset: place.offset }, place.height)?;
        let holds = block.header().first_seq <= seq && seq < block.header().next_seq();
        if holds { Ok(block) } else { Err(QueryError::Place { seq, height: place.height }) }
    }

    fn read(&self, location: Location, height: u64) -> Result<Arc<Block>, QueryError> {
        let block = Arc::new(self.blocks.read(location, height, self.way_to(location.segment))?);
        self.cache.add_block(Arc::clone(&block));
        Ok(block)
    }

    /// What the block of a final record is, without its records.
    fn known(&self, seq: u64) -> Result<Arc<KnownBlock>, QueryError> {
        self.check_final(seq)?;
        if let Some(known) = self.cache.known(seq) {
            return Ok(known);
        }
        let place = self.locate(seq)?;
        let location = Location { segment: place.segment, offset: place.offset };
        let known = KnownBlock::new(self.blocks.outline(location, place.height, self.way_to(place.segment))?);
        if !known.holds(seq) {
            return Err(QueryError::Place { seq, height: place.height });
        }
        Ok(self.cache.add_known(known))
    }

    /// The open segment is written to; all before it are durable to their ends.
    fn way_to(&self, segment: u64) -> Way {
        if segment < self.index.open().segment() { Way::Cached } else { Way::Direct }
    }

    fn way(&self, outline: &Outline) -> Way {
        self.way_to(outline.frame().segment)
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
        let known = self.known(seq)?;
        let (outline, header) = (&known.outline, known.outline.header());
        let place = QueryError::Place { seq, height: header.height };
        let nodes = self.nodes(&known)?;
        let needed = nodes.needed(seq);
        let heads = index_in(header, needed.start)..index_in(header, needed.end);
        let heads = self.blocks.heads(outline, heads, self.way(outline))?;
        let own = heads.get(usize::try_from(seq - needed.start).unwrap_or(usize::MAX));
        let Some(head) = own.copied() else { return Err(place) };
        let path = nodes.path(outline.frontier_before(), &leaves(header, &heads), seq).map_err(|_| place)?;
        Ok(Receipt { seq, head, leaf: leaf(header, &head), path, checkpoint: self.note_of(&known)? })
    }

    /// The upper nodes of a block's tree, made by whoever proves one of its records first.
    fn nodes<'a>(&self, known: &'a KnownBlock) -> Result<&'a BlockNodes, QueryError> {
        if let Some(nodes) = known.nodes.get() {
            return Ok(nodes);
        }
        let (outline, header) = (&known.outline, known.outline.header());
        let heads = self.blocks.heads(outline, 0..header.record_count as usize, self.way(outline))?;
        let nodes = BlockNodes::new(outline.frontier_before(), &leaves(header, &heads));
        let nodes = nodes.filter(|nodes| nodes.root() == Some(header.root));
        let nodes = nodes.ok_or(QueryError::Tree { height: header.height })?;
        Ok(known.nodes.get_or_init(|| nodes))
    }

    /// Root of the tree over the first so many records, all of them final.
    pub(crate) fn root_at(&self, size: u64) -> Result<TreeHash, QueryError> {
        let Some(last) = size.checked_sub(1) else { return Ok(Frontier::new().root()) };
        let block = self.block(last)?;
        let (header, mut frontier) = (block.header(), block.frontier_before().clone());
        let leaves = leaves(header, block.body().heads());
        leaves.iter().take(index_in(header, size)).for_each(|leaf| frontier.push(*leaf));
        Ok(frontier.root())
    }

    /// The receipt with what shows the payload beside it.
    pub(crate) fn prove_json(&self, seq: u64, item: Option<u16>) -> Result<ReceiptJson, QueryError> {
        let disclosure = self.get(seq)?.disclosure(item)?;
        Ok(ReceiptJson { receipt: self.prove(seq)?, disclosure })
    }

    /// The newest checkpoint, as a signed note.
    pub(crate) fn newest_note(&self) -> Result<String, QueryError> {
        self.note_of(&*self.newest()?)
    }

    fn note_of(&self, known: &KnownBlock) -> Result<String, QueryError> {
        let slot = self.checkpoint_of(known)?;
        let checkpoint = Checkpoint { size: slot.size, root: known.outline.header().root };
        Ok(checkpoint.note(&self.genesis.vkey, &slot.signature))
    }

    /// The checkpoint of a block: from memory, or from the frames behind it, which store it.
    fn checkpoint_of(&self, known: &KnownBlock) -> Result<Slot, QueryError> {
        if let Some(slot) = known.checkpoint.get() {
            return Ok(*slot);
        }
        let header = known.outline.header();
        let height = header.height;
        let recent = self.checkpoints.read().iter().find(|slot| slot.height == height).copied();
        let slot = match recent {
            Some(slot) => slot,
            None => match (&self.key, self.stored_checkpoint(known.outline.frame())?) {
                (_, Some(slot)) => slot,
                (Some(key), None) => crate::ledger::sign(header, &self.genesis, key),
                (None, None) => return Err(QueryError::NoCheckpoint { height }),
            },
        };
        Ok(*known.checkpoint.get_or_init(|| slot))
    }

    /// The checkpoint of the block of a height, from the frames behind it.
    pub(crate) fn stored_checkpoint_below(&self, height: u64) -> Result<Option<Slot>, QueryError> {
        let Some(place) = self.ask(|index| index.locate_height(height))? else { return Ok(None) };
        let frame = self.blocks.read_header(Location { segment: place.segment, offset: place.offset })?;
        self.stored_checkpoint(&frame)
    }

    fn stored_checkpoint(&self, frame: &FrameHeader) -> Result<Option<Slot>, QueryError> {
        let Some(height) = frame.block().map(|block| block.header.height) else { return Ok(None) };
        let mut location = Location { segment: frame.segment, offset: frame.end() };
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

    /// What the newest final block is, without its records.
    fn newest(&self) -> Result<Arc<KnownBlock>, QueryError> {
        self.known(self.watermark.next_seq().saturating_sub(1))
    }

    /// The newest final block's header and hash, and the segment and offset where it ends.
    pub(crate) fn newest_block(&self) -> Result<(BlockHeader, BlockHash, (u64, u64)), QueryError> {
        let newest = self.newest()?;
        let frame = newest.outline.frame();
        Ok((*newest.outline.header(), newest.outline.hash(), (frame.segment, frame.end())))
    }
}

const fn is_damage(error: &IndexError) -> bool {
    matches!(error, IndexError::Damaged { .. })
}

/// Index in a block of a record, or of the place behind its last.
fn index_in(header: &BlockHeader, seq: u64) -> usize {
    usize::try_from(seq.saturating_sub(header.first_seq)).unwrap_or(usize::MAX)
}

fn stored(block: Arc<Block>, seq: u64) -> Result<StoredRecord, QueryError> {
    let (height, first_seq, index) = (block.header().height, block.header().first_seq, index_in(block.header(), seq));
    let record = if first_seq <= seq { StoredRecord::of_block(block, index) } else { None };
    record.ok_or(QueryError::Place { seq, height })
}

fn leaf(header: &BlockHeader, head: &[u8; HEAD_SIZE]) -> LeafEntry {
    LeafEntry { record_id: record_id(head), height: header.height, ordered_time_ms: header.ordered_time_ms }
}

fn leaves(header: &BlockHeader, heads: &[[u8; HEAD_SIZE]]) -> Vec<TreeHash> {
    heads.iter().map(|head| leaf(header, head).hash()).collect()
}
