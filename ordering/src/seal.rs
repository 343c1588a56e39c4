//! Sealing: the open block becomes a header that names its predecessor and the tree root.
//!
//! A plain state machine: the time comes in, the header goes out. The chain moves only forward: what was sealed
//! is written or the engine halts. Cost a record: one leaf hash and one node hash, amortised.

use annals_core::block::BlockHeader;
use annals_core::hash::{BlockHash, LedgerId, RecordId};
use annals_core::leaf::LeafEntry;
use annals_core::tree::Frontier;

/// What sealing needs to know of a record.
#[derive(Clone, Copy, Debug)]
pub struct SealedRecord {
    /// SHA-256 of its head.
    pub record_id: RecordId,
    /// Its item count, 1 for a plain record.
    pub item_count: u16,
}

/// A sealed block: what storage writes beside the body.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The header.
    pub header: BlockHeader,
    /// Its hash.
    pub hash: BlockHash,
    /// The tree before the block's first record.
    pub frontier_before: Frontier,
}

/// The newest sealed block and the tree through it.
#[derive(Clone, Debug)]
pub struct Chain {
    ledger: LedgerId,
    newest: Option<BlockHeader>,
    frontier: Frontier,
}

impl Chain {
    /// The chain of a ledger without any block.
    pub fn empty(ledger: LedgerId) -> Self {
        Self { ledger, newest: None, frontier: Frontier::new() }
    }

    /// The chain behind a block that recovery found; `frontier` is the tree through it.
    ///
    /// # Panics
    ///
    /// If the frontier does not hash to the block's root: recovery compares them first.
    pub fn resume(newest: BlockHeader, frontier: Frontier) -> Self {
        assert_eq!(frontier.root(), newest.root, "the tree is the block's");
        Self { ledger: newest.ledger, newest: Some(newest), frontier }
    }

    /// The newest sealed block.
    pub const fn newest(&self) -> Option<&BlockHeader> {
        self.newest.as_ref()
    }

    /// The tree through the newest sealed block.
    pub const fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// The seq that the next record takes.
    pub fn next_seq(&self) -> u64 {
        self.frontier.size()
    }

    /// The height that the next block takes.
    pub fn next_height(&self) -> u64 {
        self.newest.map_or(0, |block| block.height + 1)
    }

    /// The ordered time of a block sealed at `clock_ms`: never below its predecessor's.
    pub fn ordered_time(&self, clock_ms: u64) -> u64 {
        self.newest.map_or(0, |block| block.ordered_time_ms).max(clock_ms)
    }

    /// Seals a block of these records and moves the chain behind it.
    ///
    /// # Panics
    ///
    /// If there is no record: every block holds at least one.
    pub fn seal(&mut self, records: impl Iterator<Item = SealedRecord>, clock_ms: u64) -> Sealed {
        let frontier_before = self.frontier.clone();
        let (height, ordered_time_ms) = (self.next_height(), self.ordered_time(clock_ms));
        let (mut record_count, mut item_count) = (0, 0);
        for record in records {
            let entry = LeafEntry { record_id: record.record_id, height, ordered_time_ms };
            self.frontier.push(entry.hash());
            record_count += 1;
            item_count += u64::from(record.item_count);
        }
        assert!(0 < record_count, "a block holds at least one record");
        let header = BlockHeader {
            record_count,
            ledger: self.ledger,
            height,
            first_seq: frontier_before.size(),
            item_count,
            ordered_time_ms,
            previous: self.newest.map_or(BlockHash::ZERO, |block| block.hash()),
            root: self.frontier.root(),
        };
        debug_assert_eq!(header.follows(self.newest.as_ref()), Ok(()), "a sealed block follows");
        self.newest = Some(header);
        Sealed { header, hash: header.hash(), frontier_before }
    }
}
