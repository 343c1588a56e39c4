//! The open block: what of the ring goes into the next block, decided record by record.
//!
//! First measured without deciding anything, so that the log can make room; then sequenced, which uses up nonces and so
//! is done only when the block will be sealed; then copied, the one copy after the ring.

use super::Waiter;
use crate::authors::{Arrival, Authors, Known};
use crate::replay::record_entry;
use annals_core::body::{BodyLayout, BodyWriter};
use annals_core::genesis::OrderError;
use annals_core::hash::RecordId;
use annals_core::limits::{BLOCK_RECORD_COUNT_MAX, HEAD_SIZE};
use annals_core::record::{Head, Kind};
use annals_ordering::ring::{Drain, EntryView, Peek, Verification};
use annals_ordering::seal::SealedRecord;
use annals_ordering::sequence::{Next, SequenceError, Sequencer, Verdict};
use annals_ordering::slots::RefusalCode;
use annals_storage::index::RecordEntry;
use std::sync::Arc;

/// Bytes of a block's body in ordinary times.
const BODY_SIZE: usize = 1 << 20;
/// Bytes of a record in a body beside its payload: head, state, end.
const RECORD_OVERHEAD: usize = HEAD_SIZE + 8 + 4;
/// Bytes of a body beside its records, and some room for alignment.
const BODY_OVERHEAD: usize = 64;

/// What a block can hold at most of what is final in the ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    /// Records that are verified.
    pub(super) record_count: usize,
    /// Bytes of their payloads.
    pub(super) payload_bytes: usize,
    /// Behind the last entry looked at.
    pub(super) end: u64,
}

/// Looks how much of what is final in the ring fits a block; none if nothing is final.
pub(super) fn measure(drain: &Drain, body_size_max: usize, flood: bool) -> Option<Bound> {
    let size_max = if flood { body_size_max } else { body_size_max.min(BODY_SIZE) };
    let start = drain.position();
    let mut bound = Bound { record_count: 0, payload_bytes: 0, end: start };
    let mut size = BODY_OVERHEAD;
    while bound.record_count < BLOCK_RECORD_COUNT_MAX {
        match drain.peek(bound.end) {
            Peek::Waiting => break,
            Peek::Gap { next_position } => bound.end = next_position,
            Peek::Entry(EntryView { payload, verification, next_position, .. }) => {
                if matches!(verification, Verification::Verified(_)) {
                    size += RECORD_OVERHEAD + payload.len();
                    // One record always fits.
                    if size_max < size && 0 < bound.record_count {
                        break;
                    }
                    bound.record_count += 1;
                    bound.payload_bytes += payload.len();
                }
                bound.end = next_position;
            }
        }
    }
    (start < bound.end).then_some(bound)
}

/// All waiters of final entries in the ring, and where they end.
pub(super) fn waiters(drain: &Drain, into: &mut Vec<Waiter>) -> u64 {
    let mut position = drain.position();
    loop {
        match drain.peek(position) {
            Peek::Waiting => return position,
            Peek::Gap { next_position } => position = next_position,
            Peek::Entry(entry) => {
                into.push(waiter(&entry));
                position = entry.next_position;
            }
        }
    }
}

const fn waiter(entry: &EntryView<'_>) -> Waiter {
    Waiter { source: entry.source, slot: entry.slot }
}

/// A record of the draft, still in the ring.
#[derive(Clone, Copy, Debug)]
struct Drafted {
    position: u64,
    record_id: RecordId,
    item_count: u16,
}

/// The records of the next block. Its memory is used again.
#[derive(Debug, Default)]
pub(super) struct Draft {
    drafted: Vec<Drafted>,
    payload_bytes: usize,
    /// What the index keeps of each.
    pub(super) records: Vec<RecordEntry>,
    /// Who waits for each.
    pub(super) waiters: Vec<Waiter>,
    /// Who sent a nonce that was met before.
    pub(super) met: Vec<Waiter>,
    /// Who is refused, and why.
    pub(super) refused: Vec<(Waiter, RefusalCode)>,
}

impl Draft {
    /// Sequences the final entries up to `end`; the first that is accepted takes the place `first`.
    pub(super) fn sequence(
        &mut self,
        drain: &Drain,
        end: u64,
        first: Next,
        sequencer: &mut Sequencer,
        known: &mut Vec<Arc<Known>>,
        authors: &Authors,
    ) {
        self.drafted.clear();
        self.records.clear();
        self.waiters.clear();
        self.payload_bytes = 0;
        let mut position = drain.position();
        while position < end {
            let entry = match drain.peek(position) {
                Peek::Waiting => unreachable!("what was measured stays final"),
                Peek::Gap { next_position } => {
                    position = next_position;
                    continue;
                }
                Peek::Entry(entry) => entry,
            };
            position = entry.next_position;
            match self.offer(&entry, first, sequencer, known, authors) {
                Ok(()) => {}
                Err(code) => self.refused.push((waiter(&entry), code)),
            }
        }
    }

    fn offer(
        &mut self,
        entry: &EntryView<'_>,
        first: Next,
        sequencer: &mut Sequencer,
        known: &mut Vec<Arc<Known>>,
        authors: &Authors,
    ) -> Result<(), RefusalCode> {
        let record_id = match entry.verification {
            Verification::Verified(record_id) => record_id,
            Verification::BadSignature => return Err(RefusalCode::BadSignature),
            Verification::BadContent => return Err(RefusalCode::BadContent),
            Verification::Abandoned => return Err(RefusalCode::Overloaded),
        };
        let head = Head::parse(entry.head).map_err(|_| RefusalCode::BadContent)?;
        let next = Next { seq: first.seq + self.drafted.len() as u64, ..first };
        // An engine record may name an author whom nobody has heard of; the gate added it before the claim.
        if known.len() <= entry.author_slot as usize || head.kind.is_engine() {
            arrive(sequencer, known, authors);
        }
        match sequencer.offer(entry.author_slot, &head, entry.payload, next) {
            Ok(Verdict::Accepted) => {}
            Ok(Verdict::Met) => {
                self.met.push(waiter(entry));
                return Ok(());
            }
            Err(error) => return Err(refusal_code(error)),
        }
        if let Some(author) = known.get(entry.author_slot as usize) {
            author.note_nonce(head.nonce);
        }
        if matches!(head.kind, Kind::AUTHOR_ADMIT | Kind::AUTHOR_REVOKE) {
            note_admission(&head, entry.payload, sequencer, known);
        }
        self.payload_bytes += entry.payload.len();
        self.drafted.push(Drafted { position: entry.position, record_id, item_count: head.item_count });
        self.records.push(record_entry(&head, record_id));
        self.waiters.push(waiter(entry));
        Ok(())
    }

    /// The layout of the block's body.
    pub(super) fn layout(&self) -> BodyLayout {
        let Ok(layout) = BodyLayout::new(self.drafted.len(), self.payload_bytes) else {
            unreachable!("the draft is within its bound")
        };
        layout
    }

    /// Copies the records from the ring into the block's body.
    pub(super) fn write_body(&self, drain: &Drain, layout: BodyLayout, body: &mut [u8]) {
        let mut writer = BodyWriter::new(layout, body.get_mut(..layout.size()).unwrap_or_default());
        for drafted in &self.drafted {
            if let Peek::Entry(entry) = drain.peek(drafted.position) {
                writer.push(entry.head, entry.payload);
            }
        }
        writer.finish();
    }

    /// What sealing needs of each record.
    pub(super) fn sealed_records(&self) -> impl Iterator<Item = SealedRecord> {
        self.drafted.iter().map(|it| SealedRecord { record_id: it.record_id, item_count: it.item_count })
    }
}

/// Takes the authors that the gate has added, in the order of their slots.
pub(super) fn arrive(sequencer: &mut Sequencer, known: &mut Vec<Arc<Known>>, authors: &Authors) {
    for Arrival { author, known: arrived } in authors.take_arrivals() {
        let slot = sequencer.add(author);
        assert_eq!(slot, arrived.slot, "authors arrive in the order of their slots");
        known.push(arrived);
    }
}

/// Tells the gate what an engine record changed.
fn note_admission(head: &Head, payload: &[u8], sequencer: &Sequencer, known: &[Arc<Known>]) {
    let named = payload.first_chunk().map(|bytes| annals_core::hash::AuthorId::from_bytes(*bytes));
    let slot = named.and_then(|id| sequencer.slot(&id));
    if let Some(author) = slot.and_then(|slot| known.get(slot as usize)) {
        author.set_admitted(head.kind == Kind::AUTHOR_ADMIT);
    }
}

const fn refusal_code(error: SequenceError) -> RefusalCode {
    match error {
        SequenceError::NotAdmitted => RefusalCode::NotAdmitted,
        SequenceError::Order(OrderError::Author(_)) => RefusalCode::NotAdmin,
        SequenceError::StateRoot { .. } => RefusalCode::StateRootLater,
        SequenceError::Ledger => RefusalCode::Ledger,
        SequenceError::Evicted => RefusalCode::UnknownAuthor,
        SequenceError::Order(_) | _ => RefusalCode::EngineRecord,
    }
}
