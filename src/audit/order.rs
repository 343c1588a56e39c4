//! What of a check depends on order: the tree, nonces and admission, stored checkpoints, and what the index should be.
//!
//! One thread takes the frames, each verified by itself before, in the order of the ledger. It is cheap beside the hashing:
//! two hashes a record, a bit in a nonce window, a place in the index. What it finds to be done, signatures and finished
//! indexes, it hands out for others to do.

use super::batch::{Batch, Framed, Verified};
use super::error::{CheckError, Finding};
use super::signatures::{Signed, What};
use super::start::Start;
use crate::open_error::OpenError;
use crate::replay::{Replay, take_touched};
use annals_core::block::BlockHeader;
use annals_core::body::Body;
use annals_core::checkpoint::Checkpoint;
use annals_core::genesis::Genesis;
use annals_core::hash::{BlockHash, LedgerId};
use annals_core::record::Kind;
use annals_core::reopening::Reopening;
use annals_core::tree::Frontier;
use annals_ordering::sequence::Next;
use annals_storage::frame::{FrameHeader, FrameKind, Slot};
use annals_storage::index::{AuthorEntry, BlockEntry, Closing, IndexBuilder, IndexStore, RecordEntry};
use std::collections::VecDeque;

/// Blocks whose checkpoints may still be stored: two in flight, and some more.
const CHECKPOINT_DISTANCE_MAX: usize = 16;
/// Bytes of an index file compared at a time.
const COMPARED_AT_ONCE: usize = 1 << 20;

/// The index that a closed segment makes.
#[derive(Debug)]
pub(super) struct Made {
    segment: u64,
    builder: IndexBuilder,
    closing: Closing,
    authors: Vec<AuthorEntry>,
}

/// How an index file compares with what the segment makes.
#[derive(Debug)]
pub(super) enum Compared {
    /// They are the same.
    Same,
    /// There is no file.
    Missing(u64),
    /// They differ.
    Other(u64),
}

impl Made {
    /// Compares with the file, byte for byte.
    pub(super) fn compare(self, store: &dyn IndexStore) -> Result<Compared, CheckError> {
        let segment = self.segment;
        let expected = self.builder.finish(self.closing, self.authors).encode();
        let Some(file) = store.open(segment).map_err(OpenError::from)? else { return Ok(Compared::Missing(segment)) };
        if file.size() != expected.len() as u64 {
            return Ok(Compared::Other(segment));
        }
        let (mut found, mut offset) = (vec![0; COMPARED_AT_ONCE], 0);
        for expected in expected.chunks(COMPARED_AT_ONCE) {
            let Some(found) = found.get_mut(..expected.len()) else { break };
            if file.read_at(offset, found).is_err() || found != expected {
                return Ok(Compared::Other(segment));
            }
            offset += expected.len() as u64;
        }
        Ok(Compared::Same)
    }
}

/// A record that reopened the ledger from a checkpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reopened {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) seq: u64,
    pub(super) checkpoint: Checkpoint,
}

/// The state behind the frames taken so far.
#[derive(Debug)]
pub(super) struct Order {
    ledger: LedgerId,
    genesis: Genesis,
    start: Start,
    replay: Replay,
    pub(super) frontier: Frontier,
    /// The newest blocks, whose checkpoints may be stored in the frames to come.
    blocks: VecDeque<BlockHeader>,
    builder: Option<(u64, IndexBuilder)>,
    wanted: Option<Checkpoint>,
    /// Whether signatures are to be verified.
    signatures: bool,
    pub(super) items: u64,
    /// Signatures still to be verified.
    pub(super) signed: Vec<Signed>,
    /// Indexes still to be compared.
    pub(super) made: Vec<Made>,
    /// The checkpoint's tree is another one. Told at the end: the ledger may be sound all the same.
    pub(super) other_tree: Option<CheckError>,
    /// From where the ledger was reopened.
    pub(super) reopened: Vec<Reopened>,
}

impl Order {
    pub(super) fn new(
        ledger: LedgerId,
        genesis: Genesis,
        start: Start,
        wanted: Option<Checkpoint>,
        signatures: bool,
    ) -> Self {
        let mut order = Self {
            ledger,
            replay: Replay::new(ledger, genesis.clone(), start.authors(ledger, &genesis)),
            genesis,
            frontier: start.frontier.clone(),
            blocks: start.newest.iter().map(|newest| newest.header).collect(),
            start,
            builder: None,
            wanted,
            signatures,
            items: 0,
            signed: Vec::new(),
            made: Vec::new(),
            other_tree: None,
            reopened: Vec::new(),
        };
        order.compare_with_checkpoint();
        order
    }

    /// Takes the frames of a batch; up to the first thing that is wrong.
    pub(super) fn take(&mut self, batch: &mut Batch) -> Result<(), CheckError> {
        let mut frames = std::mem::take(&mut batch.frames);
        let taken = frames.iter_mut().try_for_each(|frame| self.frame(batch, frame));
        batch.frames = frames;
        taken
    }

    fn frame(&mut self, batch: &Batch, frame: &mut Framed) -> Result<(), CheckError> {
        let failure = frame.failure.take();
        let (frame, header) = (&*frame, &frame.header);
        let seq = self.frontier.size();
        let wrong = |(seq, finding): (u64, Finding)| CheckError::Record {
            segment: header.segment,
            offset: header.offset,
            seq,
            finding: Box::new(finding),
        };
        if header.frontier != self.frontier {
            return Err(wrong((seq, Finding::Frontier)));
        }
        for slot in header.slots.iter().flatten() {
            self.slot(header, slot).map_err(|finding| wrong((seq, finding)))?;
        }
        self.begin_segment(frame);
        if let Some(block) = header.block() {
            if let Some(failure) = failure {
                return Err(wrong(failure));
            }
            let (records, entries, body) = batch.contents(frame);
            self.block(header, &block.header, records, entries, body).map_err(wrong)?;
            self.blocks.push_back(block.header);
            if CHECKPOINT_DISTANCE_MAX < self.blocks.len() {
                self.blocks.pop_front();
            }
        }
        if header.kind == FrameKind::End {
            self.end_segment(header);
        }
        Ok(())
    }

    fn begin_segment(&mut self, frame: &Framed) {
        let segment = frame.header.segment;
        if self.builder.as_ref().is_none_or(|(open, _)| *open != segment) {
            let height = self.blocks.back().map_or(0, |block| block.height + 1);
            let builder = IndexBuilder::new(self.ledger, segment, frame.lookup_key, self.frontier.size(), height);
            self.builder = Some((segment, builder));
        }
    }

    fn block(
        &mut self,
        frame: &FrameHeader,
        block: &BlockHeader,
        records: &[Verified],
        entries: &[RecordEntry],
        body: &[u8],
    ) -> Result<(), (u64, Finding)> {
        let first_seq = block.first_seq;
        let Ok(body) = Body::parse(body) else { unreachable!("the body was parsed when the frame was verified") };
        let mut items = 0;
        for (index, (seq, record)) in (first_seq..).zip(records).enumerate() {
            let (Some(bytes), Some(payload)) = (body.head(index), body.payload(index)) else { continue };
            let place = Next { seq, height: block.height };
            self.replay.record(place, &record.head, payload).map_err(|error| (seq, error.into()))?;
            items += u64::from(record.head.item_count);
            self.frontier.push(record.leaf);
            self.compare_with_checkpoint();
            if record.head.kind == Kind::REOPENED
                && let Ok(reopening) = Reopening::parse(payload, &self.genesis.vkey)
                && let Some(checkpoint) = reopening.checkpoint()
            {
                let FrameHeader { segment, offset, .. } = *frame;
                self.reopened.push(Reopened { segment, offset, seq, checkpoint });
            }
            if self.signatures {
                let what = What::Head(*bytes);
                self.signed.push(Signed { what, segment: frame.segment, offset: frame.offset, seq });
            }
        }
        self.items += items;
        if items != block.item_count {
            return Err((first_seq, Finding::Items { expected: block.item_count, found: items }));
        }
        let found = self.frontier.root();
        if found != block.root {
            return Err((first_seq, Finding::Root { expected: block.root, found }));
        }
        if let Some((_, builder)) = &mut self.builder {
            let (height, offset) = (block.height, frame.offset);
            builder.push_block(&BlockEntry { first_seq, height, offset, records: entries });
        }
        Ok(())
    }

    fn compare_with_checkpoint(&mut self) {
        let Some(wanted) = self.wanted.filter(|wanted| wanted.size == self.frontier.size()) else { return };
        let (size, expected, found) = (wanted.size, wanted.root, self.frontier.root());
        if expected != found {
            self.other_tree = Some(CheckError::OtherTree { size, expected, found });
        }
    }

    /// A stored checkpoint is of a block that went before, and signed by the ledger key.
    fn slot(&mut self, frame: &FrameHeader, slot: &Slot) -> Result<(), Finding> {
        let height = slot.height;
        let here = self.blocks.iter().find(|block| block.height == height).copied();
        let block = match here {
            Some(block) => Some(block),
            None => self.start.block_before(self.ledger, &self.genesis, height)?,
        };
        let Some(block) = block.filter(|block| block.next_seq() == slot.size) else {
            return Err(Finding::StoredCheckpoint { height });
        };
        if self.signatures {
            let text = Checkpoint { size: slot.size, root: block.root }.text(&self.genesis.vkey);
            let (key, signature) = (self.genesis.vkey.key(), slot.signature);
            let what = What::Checkpoint { height, key, text, signature };
            let seq = self.frontier.size();
            self.signed.push(Signed { what, segment: frame.segment, offset: frame.offset, seq });
        }
        Ok(())
    }

    fn end_segment(&mut self, end: &FrameHeader) {
        let authors = take_touched(self.replay.sequencer_mut());
        let Some((segment, builder)) = self.builder.take() else { return };
        let newest_block = end.newest.map_or(BlockHash::ZERO, |newest| newest.hash);
        let closing = Closing { newest_block, end_checksum: end.checksum };
        self.made.push(Made { segment, builder, closing, authors });
    }
}
