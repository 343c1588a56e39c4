//! The index of the open segment, in memory.
//!
//! Blocks arrive by height. Their (fingerprint, seq) pairs are kept in sorted runs by the logarithmic method (Bentley,
//! Saxe, 1980): each block appends a run, and the two youngest are merged while the older is at most twice the younger and
//! both together are no longer than a bound. So a pair moves a few times, a lookup searches a few runs, and no push takes
//! long. One lock guards it all, written once a block; hashing and sorting happen before it is taken.
//!
//! Memory: 16 bytes a block and 32 bytes a record. A record takes at least 204 bytes of its segment, so that is below a sixth
//! of the segment's size.

use annals_core::hash::{AuthorId, RecordId};
use annals_core::limits::{BLOCK_RECORD_COUNT_MAX, NUMBER_MAX, PAGE_SIZE, SEGMENT_SIZE_MAX};
use parking_lot::{RwLock, RwLockReadGuard};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::index::{BlockEntry, BlockLocation, LookupKey, record_fingerprint};

/// Runs are merged up to this many pairs: 256 KiB, a fraction of a millisecond.
const RUN_LENGTH_MAX: usize = 16_384;

/// A fingerprint and the seq of a record that has it.
pub(super) type Pair = (u64, u64);

/// A row of the block table.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockRow {
    pub(super) first_seq: u64,
    pub(super) offset_pages: u32,
    pub(super) record_count: u32,
}

/// Sorted runs of pairs.
#[derive(Debug, Default)]
pub(super) struct Runs(Vec<Vec<Pair>>);

impl Runs {
    /// Appends a sorted run and merges what may be merged.
    fn push(&mut self, run: Vec<Pair>) {
        self.0.push(run);
        while let [.., before, last] = self.0.as_slice() {
            let (before, last) = (before.len(), last.len());
            if last.saturating_mul(2) < before || RUN_LENGTH_MAX < before + last {
                break;
            }
            let Some(run) = self.0.pop() else { break };
            if let Some(before) = self.0.last_mut() {
                before.extend(run);
                // The stable sort finds the two runs and merges them in linear time.
                before.sort();
            }
        }
    }

    /// The seqs with a fingerprint, rising.
    fn find(&self, fingerprint: u64) -> Vec<u64> {
        let mut seqs = Vec::new();
        for run in &self.0 {
            let from = run.partition_point(|pair| pair.0 < fingerprint);
            let found = run.iter().skip(from).take_while(|pair| pair.0 == fingerprint);
            seqs.extend(found.map(|pair| pair.1));
        }
        seqs.sort_unstable();
        seqs
    }

    #[cfg(test)]
    pub(super) fn lengths(&self) -> Vec<usize> {
        self.0.iter().map(Vec::len).collect()
    }
}

/// Merges sorted runs that do not change meanwhile, some pairs at a time: a heap of their heads.
#[derive(Debug)]
pub(super) struct Merge {
    /// The next pair of each run, with the run and the pair's place there.
    heads: BinaryHeap<Reverse<(Pair, usize, usize)>>,
}

impl Merge {
    pub(super) fn new(runs: &Runs) -> Self {
        let head = |(run, pairs): (usize, &Vec<Pair>)| pairs.first().map(|pair| Reverse((*pair, run, 0)));
        Self { heads: runs.0.iter().enumerate().filter_map(head).collect() }
    }

    /// Whether all were taken.
    pub(super) fn is_done(&self) -> bool {
        self.heads.is_empty()
    }

    /// Takes at most so many of the pairs that are left, in order.
    pub(super) fn take(&mut self, runs: &Runs, count: usize, mut put: impl FnMut(Pair)) {
        for _ in 0..count {
            let Some(mut head) = self.heads.peek_mut() else { return };
            let Reverse((pair, run, at)) = *head;
            match runs.0.get(run).and_then(|run| run.get(at + 1)) {
                Some(next) => *head = Reverse((*next, run, at + 1)),
                None => {
                    PeekMut::pop(head);
                }
            }
            put(pair);
        }
    }
}

/// What the lock guards.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) blocks: Vec<BlockRow>,
    pub(super) record_ids: Runs,
    pub(super) nonces: Runs,
    pub(super) record_count: u64,
    /// Set when the segment was closed: nothing may be added any more.
    sealed: bool,
}

/// The index of a segment that still grows. One thread pushes blocks; any thread looks up.
#[derive(Debug)]
pub struct OpenIndex {
    segment: u64,
    key: LookupKey,
    first_seq: u64,
    first_height: u64,
    contents: RwLock<Contents>,
}

impl OpenIndex {
    /// The empty index of a segment whose first block will have this seq and this height.
    pub fn new(segment: u64, key: LookupKey, first_seq: u64, first_height: u64) -> Self {
        Self { segment, key, first_seq, first_height, contents: RwLock::default() }
    }

    /// Number of the segment.
    pub const fn segment(&self) -> u64 {
        self.segment
    }

    /// Seq of the segment's first record.
    pub const fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// Height of the segment's first block.
    pub const fn first_height(&self) -> u64 {
        self.first_height
    }

    /// The seq behind the newest block's last.
    pub fn next_seq(&self) -> u64 {
        self.first_seq + self.contents.read().record_count
    }

    /// The height behind the newest block's.
    pub fn next_height(&self) -> u64 {
        self.first_height + self.contents.read().blocks.len() as u64
    }

    pub(super) const fn lookup_key(&self) -> LookupKey {
        self.key
    }

    pub(super) fn contents(&self) -> RwLockReadGuard<'_, Contents> {
        self.contents.read()
    }

    /// Adds the next block.
    ///
    /// # Panics
    ///
    /// If the block does not follow the newest one, has no or too many records, lies nowhere in a segment, or if the
    /// segment was sealed: blocks come from the engine or from a verified segment, so that is our own bug.
    pub fn push_block(&self, block: &BlockEntry<'_>) {
        let record_count = u32::try_from(block.records.len()).unwrap_or(u32::MAX);
        assert!(
            (1..=BLOCK_RECORD_COUNT_MAX).contains(&block.records.len()) && block.first_seq < NUMBER_MAX,
            "a block has 1 to 16,384 records"
        );
        assert!(
            block.offset.is_multiple_of(PAGE_SIZE as u64) && block.offset < SEGMENT_SIZE_MAX,
            "a frame starts at a page of its segment"
        );
        let offset_pages = u32::try_from(block.offset / PAGE_SIZE as u64).unwrap_or(u32::MAX);
        let row = BlockRow { first_seq: block.first_seq, offset_pages, record_count };
        let records = || (block.first_seq..).zip(block.records);
        let mut record_ids: Vec<_> = records().map(|(seq, r)| (record_fingerprint(&r.record_id), seq)).collect();
        let nonce_fingerprint = |suite, author, nonce| self.key.nonce_fingerprint(suite, author, nonce);
        let mut nonces: Vec<_> =
            records().map(|(seq, r)| (nonce_fingerprint(r.suite, &r.author, r.nonce), seq)).collect();
        record_ids.sort_unstable();
        nonces.sort_unstable();

        let mut contents = self.contents.write();
        assert!(!contents.sealed, "a sealed segment takes no block");
        assert_eq!(block.first_seq, self.first_seq + contents.record_count, "blocks follow one another by seq");
        let next_height = self.first_height + contents.blocks.len() as u64;
        assert_eq!(block.height, next_height, "blocks follow one another by height");
        contents.blocks.push(row);
        contents.record_count += u64::from(record_count);
        contents.record_ids.push(record_ids);
        contents.nonces.push(nonces);
    }

    /// The seqs of all records with this id's fingerprint, rising; the caller compares with the log.
    pub fn find_record_id(&self, record_id: &RecordId) -> Vec<u64> {
        self.contents.read().record_ids.find(record_fingerprint(record_id))
    }

    /// The seqs of all records with this nonce's fingerprint, rising; the caller compares with the log.
    pub fn find_nonce(&self, suite: u8, author: &AuthorId, nonce: u64) -> Vec<u64> {
        let fingerprint = self.key.nonce_fingerprint(suite, author, nonce);
        self.contents.read().nonces.find(fingerprint)
    }

    /// The block that holds a seq.
    pub fn block_of_seq(&self, seq: u64) -> Option<BlockLocation> {
        let contents = self.contents.read();
        let index = contents.blocks.partition_point(|row| row.first_seq <= seq).checked_sub(1)?;
        let row = contents.blocks.get(index)?;
        (seq - row.first_seq < u64::from(row.record_count)).then(|| self.location(row, index))
    }

    /// The block of a height.
    pub fn block_of_height(&self, height: u64) -> Option<BlockLocation> {
        let index = usize::try_from(height.checked_sub(self.first_height)?).ok()?;
        self.contents.read().blocks.get(index).map(|row| self.location(row, index))
    }

    fn location(&self, row: &BlockRow, index: usize) -> BlockLocation {
        BlockLocation {
            segment: self.segment,
            offset: u64::from(row.offset_pages) * PAGE_SIZE as u64,
            height: self.first_height + index as u64,
            first_seq: row.first_seq,
            record_count: row.record_count,
        }
    }

    /// From here on nothing may be added.
    pub(super) fn seal(&self) {
        self.contents.write().sealed = true;
    }
}
