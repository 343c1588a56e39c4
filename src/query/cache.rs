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

/// What is kept: whole blocks, and what is known of many more.
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
        // What does not fit by itself must not drive out the rest.
        if self.block_memory < size {
            return;
        }
        let mut blocks = self.blocks.lock();
        while self.block_memory < blocks.size + size || BLOCK_COUNT_MAX <= blocks.entries.len() {
            let Some((_, _, oldest)) = blocks.entries.pop_front() else { break };
            blocks.size -= oldest.memory_size();
        }
        blocks.size += size;
        blocks.entries.push_back((block.header().first_seq, block.header().next_seq(), block));
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
        // What does not fit by itself must not drive out the rest.
        if self.known_memory < size {
            return added;
        }
        while self.known_memory < known.size + size && known.make_room() {}
        known.size += size;
        known.order.push_back(first_seq);
        known.entries.insert(first_seq, Arc::clone(&added));
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::{Creation, Ledger, Options, RecordBuilder, SigningKey};
    use annals_storage::reader::Way;

    const BLOCKS: u64 = 40;

    /// Calls with a ledger of small blocks, one a record.
    fn with_ledger(test: impl FnOnce(&Ledger)) {
        let directory = tempfile::tempdir().unwrap();
        let creation = Creation { segment_size: 2 << 20, ..Creation::open("annals.example/cache") };
        let ledger = Ledger::create(&directory.path().join("ledger"), &creation, Options::default()).unwrap();
        let mut appender = ledger.appender().unwrap();
        let key = SigningKey::from_seed(&[1; 32]);
        for nonce in 1..BLOCKS {
            let builder = RecordBuilder::new(ledger.id(), crate::Kind::APPLICATION_FIRST).nonce(nonce);
            appender.append_wait(builder.sign(&key, &[7; 3000]).unwrap().bytes()).unwrap();
        }
        test(&ledger);
        ledger.close().unwrap();
    }

    fn known(ledger: &Ledger, seq: u64) -> KnownBlock {
        let reader = ledger.reader();
        let query = reader.query();
        let place = query.locate(seq).unwrap();
        let location = annals_storage::frame::Location { segment: place.segment, offset: place.offset };
        KnownBlock::new(query.blocks.outline(location, place.height, Way::Direct).unwrap())
    }

    #[test]
    fn outlines_are_bounded_and_what_is_used_stays() {
        with_ledger(|ledger| {
            let room = 8 * known(ledger, 1).memory_size();
            let cache = Cache::new(room * BLOCK_SHARE / (BLOCK_SHARE - 1));
            for seq in 0..BLOCKS {
                let added = cache.add_known(known(ledger, seq));
                assert!(added.holds(seq) && Arc::ptr_eq(&added, &cache.add_known(known(ledger, seq))), "kept once");
                let kept = cache.known.read();
                let size: usize = kept.entries.values().map(|known| known.memory_size()).sum();
                assert!(kept.size == size && size <= room, "{size} of {room}");
                assert_eq!(kept.entries.len(), kept.order.len());
                drop(kept);
                let first = cache.known(0).map(|known| known.holds(0));
                assert_eq!(first, Some(true), "in use all the time");
            }
            assert!((4..=8).contains(&cache.known.read().entries.len()));
            assert!(cache.known(1).is_none() && cache.known(BLOCKS - 1).is_some() && cache.known(BLOCKS + 5).is_none());
            let none = Cache::new(0);
            assert!(none.add_known(known(ledger, 3)).holds(3), "what is not kept is given all the same");
            assert!(none.known(3).is_none());
        });
    }

    #[test]
    fn what_does_not_fit_by_itself_drives_nothing_out() {
        with_ledger(|ledger| {
            let builder = RecordBuilder::new(ledger.id(), crate::Kind::APPLICATION_FIRST).nonce(1);
            let large = builder.sign(&SigningKey::from_seed(&[2; 32]), &[7; 200_000]).unwrap();
            let large = ledger.appender().unwrap().append_wait(large.bytes()).unwrap().seq;
            let reader = ledger.reader();
            let block = |seq| reader.query().block(seq).unwrap();
            let cache = Cache::new((block(large).memory_size() - 1) * BLOCK_SHARE);
            cache.add_block(block(1));
            cache.add_block(block(large));
            assert!(cache.block(1).is_some() && cache.block(large).is_none());
            let cache = Cache::new((known(ledger, large).memory_size() - 1) * BLOCK_SHARE / (BLOCK_SHARE - 1));
            cache.add_known(known(ledger, 1));
            assert!(cache.add_known(known(ledger, large)).holds(large), "what is not kept is given all the same");
            assert!(cache.known(1).is_some() && cache.known(large).is_none());
        });
    }

    #[test]
    fn blocks_are_bounded_and_the_newest_stay() {
        with_ledger(|ledger| {
            let reader = ledger.reader();
            let block = |seq| reader.query().block(seq).unwrap();
            let room = 5 * block(1).memory_size();
            let cache = Cache::new(room * BLOCK_SHARE);
            for seq in 0..BLOCKS {
                cache.add_block(block(seq));
                let kept = cache.blocks.lock();
                let size: usize = kept.entries.iter().map(|(_, _, block)| block.memory_size()).sum();
                assert!(kept.size == size && size <= room, "{size} of {room}");
            }
            assert_eq!(cache.block(BLOCKS - 1).map(|block| block.header().first_seq), Some(BLOCKS - 1));
            assert!(cache.block(1).is_none());
        });
    }
}
