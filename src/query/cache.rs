//! What reading keeps in memory: blocks read lately, and what finds single records in many more.
//!
//! Blocks are kept for those who follow one another through the ledger; one that is not asked for again soon is in the way.
//! Outlines are a hundredth of their blocks, so those of some GiB of ledger are kept: with one in memory a record
//! costs two reads of pages, and its receipt one more. What is kept never changes: a final block is the same for good. The one
//! used longest ago, roughly, makes room (the clock algorithm: one that was used since it was last looked at stays).
//!
//! Both are bounded by bytes, the embedder's option; an entry is measured at its largest when it comes.

use annals_core::nodes::BlockNodes;
use annals_storage::frame::Slot;
use annals_storage::reader::{Block, Outline};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Blocks kept, however small they are: they are searched one by one.
const BLOCK_COUNT_MAX: usize = 64;
/// Of the memory, the part that blocks take.
const BLOCK_SHARE: usize = 4;

/// A block without its records, and what proofs need of it once one was asked for.
#[derive(Debug)]
pub(super) struct KnownBlock {
    pub(super) outline: Outline,
    pub(super) nodes: OnceLock<BlockNodes>,
    pub(super) checkpoint: OnceLock<Slot>,
    /// Whether it was used since room was last needed.
    is_used: AtomicBool,
}

impl KnownBlock {
    pub(super) const fn new(outline: Outline) -> Self {
        Self { outline, nodes: OnceLock::new(), checkpoint: OnceLock::new(), is_used: AtomicBool::new(false) }
    }

    /// Bytes that it takes in memory once it was proved from.
    fn memory_size(&self) -> usize {
        let header = self.outline.header();
        let nodes = BlockNodes::memory_size(header.record_count as usize, header.next_seq());
        size_of::<Self>() + self.outline.memory_size() + nodes
    }

    pub(super) fn holds(&self, seq: u64) -> bool {
        let header = self.outline.header();
        header.first_seq <= seq && seq < header.next_seq()
    }
}

/// Both kinds.
#[derive(Debug)]
pub(super) struct Cache {
    blocks: Mutex<Blocks>,
    block_memory: usize,
    known: RwLock<Known>,
    known_memory: usize,
}

/// Blocks in the order of their coming, with the seqs from and to below which they hold.
#[derive(Debug, Default)]
struct Blocks {
    entries: VecDeque<(u64, u64, Arc<Block>)>,
    size: usize,
}

/// Outlines by their first seq.
#[derive(Debug, Default)]
struct Known {
    entries: BTreeMap<u64, Arc<KnownBlock>>,
    /// First seqs in the order in which room is made.
    order: VecDeque<u64>,
    size: usize,
}

impl Cache {
    /// A cache of so many bytes.
    pub(super) fn new(memory: usize) -> Self {
        let block_memory = memory / BLOCK_SHARE;
        let (blocks, known) = (Mutex::default(), RwLock::default());
        Self { blocks, block_memory, known, known_memory: memory - block_memory }
    }

    /// The block that holds a seq.
    pub(super) fn block(&self, seq: u64) -> Option<Arc<Block>> {
        let blocks = self.blocks.lock();
        let mut newest_first = blocks.entries.iter().rev();
        newest_first.find(|(first, end, _)| (*first..*end).contains(&seq)).map(|(_, _, block)| Arc::clone(block))
    }

    /// Keeps a block.
    pub(super) fn add_block(&self, block: Arc<Block>) {
        let size = block.memory_size();
        let mut blocks = self.blocks.lock();
        while self.block_memory < blocks.size + size || BLOCK_COUNT_MAX <= blocks.entries.len() {
            let Some((_, _, oldest)) = blocks.entries.pop_front() else { break };
            blocks.size -= oldest.memory_size();
        }
        if blocks.size + size <= self.block_memory {
            blocks.size += size;
            blocks.entries.push_back((block.header().first_seq, block.header().next_seq(), block));
        }
    }

    /// What is known of the block that holds a seq.
    pub(super) fn known(&self, seq: u64) -> Option<Arc<KnownBlock>> {
        let known = self.known.read();
        let found = known.entries.range(..=seq).next_back().map(|(_, found)| found).filter(|found| found.holds(seq))?;
        // Relaxed: a hint of what to keep; it orders nothing.
        found.is_used.store(true, Ordering::Relaxed);
        Some(Arc::clone(found))
    }

    /// Keeps what is known of a block, unless somebody has done so meanwhile; returns what is kept.
    pub(super) fn add_known(&self, added: KnownBlock) -> Arc<KnownBlock> {
        let first_seq = added.outline.header().first_seq;
        let added = Arc::new(added);
        let size = added.memory_size();
        let mut known = self.known.write();
        if let Some(there) = known.entries.get(&first_seq) {
            return Arc::clone(there);
        }
        while self.known_memory < known.size + size && known.make_room() {}
        if known.size + size <= self.known_memory {
            known.size += size;
            known.order.push_back(first_seq);
            known.entries.insert(first_seq, Arc::clone(&added));
        }
        added
    }
}

impl Known {
    /// Removes one that was not used since it was last looked at; whether there was any at all.
    fn make_room(&mut self) -> bool {
        while let Some(first_seq) = self.order.pop_front() {
            let Some(oldest) = self.entries.get(&first_seq) else { continue };
            if oldest.is_used.swap(false, Ordering::Relaxed) {
                self.order.push_back(first_seq);
                continue;
            }
            self.size -= oldest.memory_size();
            self.entries.remove(&first_seq);
            return true;
        }
        false
    }
}
