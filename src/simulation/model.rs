//! What must hold, whatever happened: everything that was ever promised to anybody, compared with what a ledger shows.

use super::world::World;
use crate::appender::Ack;
use crate::query::StoredRecord;
use crate::reader::Reader;
use annals_core::block::BlockHeader;
use annals_core::checkpoint::Checkpoint;
use annals_core::hash::{AuthorId, RecordId, TreeHash};
use annals_core::leaf::LeafEntry;
use annals_core::record::Kind;
use annals_core::tree::Frontier;
use annals_storage::check::{CheckReport, check};
use annals_storage::disk::{Dice, SimulatedDisk};
use annals_storage::frame::Slot;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;

/// A record that somebody has sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// Head and payload.
    pub(super) bytes: Vec<u8>,
    /// Whose it is.
    pub(super) author: u64,
    pub(super) nonce: u64,
    /// Its nonce was sent with another record before.
    pub(super) is_other: bool,
    /// What its sender was told.
    pub(super) ack: Option<Ack>,
    /// Its sender was told last that it was refused.
    pub(super) is_refused: bool,
}

/// Everything that was sent and promised.
#[derive(Debug, Default)]
pub(super) struct Model {
    sent: HashMap<RecordId, Sent>,
    /// In the order of sending, so that the dice choose the same one again.
    order: Vec<RecordId>,
    acknowledged: BTreeMap<u64, RecordId>,
    /// Receipts as they were issued first, by seq.
    receipts: BTreeMap<u64, Vec<u8>>,
    /// Roots that were signed and shown to somebody, by tree size.
    roots: BTreeMap<u64, TreeHash>,
    /// Checkpoints that frames stored, by tree size.
    slots: BTreeMap<u64, Slot>,
    /// Receipts compared with an earlier one.
    pub(super) receipts_compared: u64,
}

impl Model {
    /// A record is sent, or sent again.
    pub(super) fn send(&mut self, id: RecordId, sent: Sent) {
        match self.sent.get_mut(&id) {
            Some(before) => before.is_refused = false,
            None => {
                self.order.push(id);
                self.sent.insert(id, sent);
            }
        }
    }

    /// A record was refused: it is not in the ledger, and does not come.
    pub(super) fn refuse(&mut self, id: &RecordId) {
        if let Some(sent) = self.sent.get_mut(id) {
            assert!(sent.ack.is_none(), "a record that was acknowledged is refused");
            sent.is_refused = true;
        }
    }

    /// A record that was sent before, whatever became of it.
    pub(super) fn any_sent(&self, dice: &mut Dice) -> Option<(RecordId, &Sent)> {
        let at = usize::try_from(dice.below(self.order.len() as u64)).unwrap_or(0);
        self.order.get(at).and_then(|id| Some((*id, self.sent.get(id)?)))
    }

    pub(super) fn acknowledged_count(&self) -> u64 {
        self.acknowledged.len() as u64
    }

    /// A seq whose record was acknowledged.
    pub(super) fn any_acknowledged(&self, dice: &mut Dice) -> Option<u64> {
        let at = usize::try_from(dice.below(self.acknowledged.len() as u64)).unwrap_or(0);
        self.acknowledged.keys().nth(at).copied()
    }

    /// Somebody was told that a record is in the ledger for good.
    pub(super) fn acknowledge(&mut self, id: RecordId, ack: Ack) {
        let sent = self.sent.get_mut(&id).unwrap();
        let before = sent.ack.get_or_insert(ack);
        assert_eq!(*before, ack, "an answer stays the same");
        let holder = *self.acknowledged.entry(ack.seq).or_insert(id);
        assert_eq!(holder, id, "seq {} was given twice", ack.seq);
    }

    /// Reads a record that was acknowledged: the very bytes, in their place.
    pub(super) fn check_record(&self, record: &StoredRecord) {
        let (seq, id) = (record.seq(), record.record_id());
        match self.sent.get(&id) {
            Some(sent) => {
                let (head, payload) = sent.bytes.split_at(record.head_bytes().len());
                assert_eq!(record.head_bytes(), head, "seq {seq}: the head as it was sent");
                assert!(record.payload() == payload, "seq {seq}: the payload as it was sent");
                assert!(!sent.is_refused, "seq {seq}: its sender was told that it was refused");
                let expected = sent.ack.map_or(seq, |ack| ack.seq);
                assert_eq!(seq, expected, "a record stays in its place");
            }
            None => assert_eq!(record.head().unwrap().kind, Kind::GENESIS, "seq {seq}: nobody sent this record"),
        }
        if let Some(expected) = self.acknowledged.get(&seq) {
            assert_eq!(id, *expected, "seq {seq} holds another record than the one acknowledged");
        }
    }

    /// Compares a receipt with the one issued first, and verifies it.
    pub(super) fn check_receipt(&mut self, world: &World, reader: &Reader, seq: u64) {
        let receipt = reader.prove(seq).unwrap();
        receipt.verify(&world.vkey).unwrap();
        self.note_root(world, &receipt.checkpoint);
        let bytes = receipt.encode();
        match self.receipts.get(&seq) {
            None => {
                self.receipts.insert(seq, bytes);
            }
            Some(first) => {
                assert!(*first == bytes, "seq {seq}: the receipt is not the one issued first");
                self.receipts_compared += 1;
            }
        }
    }

    /// A signed checkpoint was shown to somebody.
    pub(super) fn note_root(&mut self, world: &World, note: &str) {
        let Checkpoint { size, root } = Checkpoint::open(note, &world.vkey).unwrap();
        let before = *self.roots.entry(size).or_insert(root);
        assert_eq!(before, root, "two roots were signed for {size} records");
    }

    /// Everything that must hold of a ledger that was just opened.
    pub(super) fn check(&mut self, world: &World, reader: &Reader, dice: &mut Dice) {
        let next_seq = reader.next_seq();
        let mut history = History::default();
        for (seq, record) in (0..next_seq).zip(reader.scan(0)) {
            let record = record.unwrap();
            assert_eq!(record.seq(), seq, "seqs are dense");
            self.check_record(&record);
            history.push(&record);
        }
        assert_eq!(history.next_seq(), next_seq, "a scan shows everything");
        let last = self.acknowledged.keys().next_back();
        assert!(last.is_none_or(|last| *last < next_seq), "acknowledged up to {last:?}, there up to {next_seq}");
        let seqs: Vec<u64> = self.receipts.keys().copied().filter(|_| dice.happens(200)).collect();
        seqs.into_iter().for_each(|seq| self.check_receipt(world, reader, seq));
        for (size, root) in self.roots.iter().filter(|(size, _)| **size <= next_seq) {
            history.check_root(*size, *root);
        }
        let lost = self.roots.keys().find(|size| next_seq < **size);
        assert!(lost.is_none(), "a signed checkpoint covers {lost:?} records, the ledger has {next_seq}");
        self.check_disk(world, &world.disk);
    }

    /// Every frame of every segment is sound, and no checkpoint contradicts another.
    pub(super) fn check_disk(&mut self, world: &World, disk: &SimulatedDisk) -> CheckReport {
        let mut slots = Vec::new();
        let report = check(disk, Some(world.ledger), &mut |frame| {
            slots.extend(frame.header.slots.iter().flatten().copied());
            ControlFlow::Continue(())
        });
        for slot in slots {
            let before = *self.slots.entry(slot.size).or_insert(slot);
            assert_eq!(before, slot, "two checkpoints were signed for {} records", slot.size);
        }
        report.unwrap()
    }
}

/// The chain and the tree, computed anew from what a reader shows.
#[derive(Debug, Default)]
struct History {
    frontier: Frontier,
    newest: Option<BlockHeader>,
    /// Roots by tree size, behind each block.
    roots: BTreeMap<u64, TreeHash>,
    nonces: HashSet<(AuthorId, u64)>,
}

impl History {
    const fn next_seq(&self) -> u64 {
        self.frontier.size()
    }

    fn push(&mut self, record: &StoredRecord) {
        let header = record.block_header();
        if self.newest.as_ref() != Some(header) {
            header.follows(self.newest.as_ref()).unwrap();
            assert_eq!(header.hash(), record.block_hash());
            self.newest = Some(*header);
        }
        let head = record.head().unwrap();
        assert!(self.nonces.insert((head.author, head.nonce)), "seq {}: the nonce was used before", record.seq());
        let (height, ordered_time_ms) = (header.height, header.ordered_time_ms);
        self.frontier.push(LeafEntry { record_id: record.record_id(), height, ordered_time_ms }.hash());
        if header.next_seq() == self.frontier.size() {
            assert_eq!(self.frontier.root(), header.root, "block {height}: the tree over all records");
            self.roots.insert(self.frontier.size(), header.root);
        }
    }

    fn check_root(&self, size: u64, root: TreeHash) {
        assert_eq!(self.roots.get(&size), Some(&root), "the root signed for {size} records");
    }
}
