//! The engine thread: the only one that orders, seals, submits, and says that something is final.
//!
//! ```text
//! turn:  reap completions -> final -> checkpoint, index, watermark, answers
//!        ring -> measure -> room in the log -> sequence -> body -> seal -> submit -> sign
//!        nothing of that to do: verify some, ready the runway, mark idleness, sleep
//! ```
//!
//! A thin shell: what may happen is decided by the log, the sequencer and the chain, which know neither threads nor
//! time. It sleeps in the device's wait and nowhere else. Records are offered to the sequencer only when the log has
//! room for all of them, so what was sequenced is always sealed, and sealed in order. The first failure ends the engine:
//! whoever waits is answered "unknown".

mod draft;
mod worker;

#[cfg(test)]
pub(crate) use worker::write_index;
pub(crate) use worker::{EntropyVerifier, work};

use crate::authors::Known;
use crate::clock::{Clock, Time, look_for};
use crate::ledger::sign;
use crate::replay::take_touched;
use crate::shared::{Job, LOOK, Shared};
use annals_core::block::BlockHeader;
use annals_core::body::BodyLayout;
use annals_core::hash::BlockHash;
use annals_core::signature::SigningKey;
use annals_ordering::registry::Sources;
use annals_ordering::ring::Drain;
use annals_ordering::seal::Chain;
use annals_ordering::sequence::{Next, Sequencer};
use annals_ordering::slots::{Outcome, RefusalCode};
use annals_storage::buffer::PageBuffer;
use annals_storage::device::{Completion, Device, Write, WriteKind};
use annals_storage::disk::DiskError;
use annals_storage::frame::{HashedHeader, Slot};
use annals_storage::index::{BlockEntry, Closing, LookupKey, RecordEntry};
use annals_storage::log::{CloseStep, Halted, Log, Step};
use draft::Draft;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Idleness after which a watermark frame says what is durable.
const IDLE: Duration = Duration::from_millis(50);
/// A look again at a ring that a producer is about to publish in, while closing.
const SOON: Duration = Duration::from_millis(1);
/// A second block is in flight only if this many bytes wait.
const SECOND_BLOCK_BYTES: usize = 64 << 10;
/// Bytes of written zeros kept ahead of the data, and the most of them where a whole segment is kept ahead.
const RUNWAY_DISTANCE: u64 = 64 << 20;
const RUNWAY_DISTANCE_MAX: u64 = 256 << 20;
/// After a segment could not be created, the next attempt.
const SEGMENT_RETRY: Duration = Duration::from_secs(1);
/// Bytes of a frame that is written at once if nothing else waits.
const LONE_BYTES: usize = 16 << 10;
/// Entries that the engine verifies at a time: small, since completions wait meanwhile.
const VERIFIED_AT_ONCE: usize = 1024;

/// Who waits for an answer.
#[derive(Clone, Copy, Debug)]
struct Waiter {
    source: u32,
    slot: u32,
}

/// A block that is written.
#[derive(Debug)]
struct Flight {
    header: BlockHeader,
    /// The block's checkpoint, signed while the write is in flight; none if there was no time for that.
    checkpoint: Option<Slot>,

    offset: u64,
    records: Vec<RecordEntry>,
    /// Of each record, in order.
    waiters: Vec<Waiter>,
    /// Of records met before: answered with this block, since what they met may be in it.
    met: Vec<Waiter>,
}

/// Where creating the next segment stands.
#[derive(Clone, Copy, Debug)]
enum Preparation {
    None,
    Asked,
    /// It failed, then.
    Failed(Instant),
    /// It is there, with this key of its index.
    Done(LookupKey),
}

/// What an engine is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) drain: Drain,
    pub(crate) sequencer: Sequencer,
    pub(crate) chain: Chain,
    pub(crate) log: Log,
    pub(crate) prepared: Option<LookupKey>,
    pub(crate) device: Box<dyn Device>,
    pub(crate) key: Arc<SigningKey>,
    pub(crate) time: Time,
    pub(crate) segment_size: u64,
    pub(crate) author_count_max: usize,
    pub(crate) verifier: EntropyVerifier,
}

/// What a step of the engine came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Progress {
    /// Something was done; there may be more.
    Busy,
    /// There is nothing to do before a completion, a record or a moment of time comes.
    Idle,
    /// The ledger is closed.
    Closed,
}

/// The engine.
#[derive(Debug)]
pub(crate) struct Engine {
    shared: Arc<Shared>,
    drain: Drain,
    sources: Sources,
    sequencer: Sequencer,
    /// By slot in the sequencer.
    known: Vec<Arc<Known>>,
    chain: Chain,
    log: Log,
    device: Box<dyn Device>,
    key: Arc<SigningKey>,
    time: Time,
    clock: Clock,
    segment_size: u64,
    author_count_max: usize,
    verifier: EntropyVerifier,
    preparation: Preparation,
    flights: VecDeque<Flight>,
    draft: Draft,
    completions: Vec<Completion>,
    /// Sources with answers that their sleepers have not been told of.
    answered: Vec<u32>,
    /// When something was last done.
    active: Instant,
    /// The last block was written alone, at once.
    lone: bool,
    /// The first failure: nothing is done after it.
    failed: Option<Halted>,
}

/// Halts everything when the engine goes, however it goes.
struct LastBreath(Arc<Shared>);

impl Drop for LastBreath {
    fn drop(&mut self) {
        self.0.halt();
        // Release pairs with the Acquire in `work`: the engine's last jobs are there.
        self.0.stopped.store(true, Ordering::Release);
        self.0.workers.wake(|_| true);
    }
}

impl Engine {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { shared, drain, mut sequencer, chain, log, prepared, device, key, time, .. } = parts;
        let start = time.now();
        let Parts { segment_size, author_count_max, verifier, .. } = parts;
        let mut known = Vec::new();
        // Those replayed come first, so that none is missing when the segment ends.
        draft::arrive(&mut sequencer, &mut known, &shared.authors);
        Self {
            sources: Sources::new(Arc::clone(&shared.registry)),
            known,
            clock: Clock::new(start),
            preparation: prepared.map_or(Preparation::None, Preparation::Done),
            flights: VecDeque::new(),
            draft: Draft::default(),
            completions: Vec::new(),
            answered: Vec::new(),
            active: start.monotonic,
            lone: false,
            failed: None,
            time,
            shared,
            drain,
            sequencer,
            chain,
            log,
            device,
            key,
            segment_size,
            author_count_max,
            verifier,
        }
    }

    /// Runs until the ledger is closed and all is written, or until the first failure.
    pub(crate) fn run(mut self) -> Result<(), Halted> {
        let _last = LastBreath(Arc::clone(&self.shared));
        let mut armed = false;
        loop {
            match self.step()? {
                Progress::Closed => return Ok(()),
                Progress::Busy => {
                    if std::mem::take(&mut armed) {
                        self.shared.bell.disarm();
                    }
                    continue;
                }
                Progress::Idle => {}
            }
            if std::mem::take(&mut self.lone) && look_for(LOOK, || !self.shared.ring.is_empty()) {
                // Who waited for the last record sends the next one now.
                continue;
            }
            if !armed {
                // One more look: what was published before the bell was armed is seen by it.
                self.shared.bell.arm();
                armed = true;
                continue;
            }
            self.sleep()?;
            self.shared.bell.disarm();
            armed = false;
        }
    }

    /// Does what there is to do, without ever sleeping. The first failure is kept for whoever asks, and ends the engine.
    pub(crate) fn step(&mut self) -> Result<Progress, Halted> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let progress = self.turn().and_then(|busy| {
            // Acquire pairs with the Release in `Ledger::close`.
            if busy {
                Ok(Progress::Busy)
            } else if self.shared.closing.load(Ordering::Acquire) && self.close()? {
                Ok(Progress::Closed)
            } else {
                Ok(Progress::Idle)
            }
        });
        progress.inspect_err(|halted| self.keep(halted))
    }

    fn sleep(&mut self) -> Result<(), Halted> {
        let timeout = self.timeout();
        let slept = self.device.wait(timeout).map_err(|cause| self.device_failed(cause));
        slept.inspect_err(|halted| self.keep(halted))
    }

    /// Keeps the first failure, before anybody who waits is told that there was one.
    fn keep(&mut self, halted: &Halted) {
        self.failed = Some(halted.clone());
        self.shared.halted.lock().get_or_insert_with(|| halted.clone());
    }

    /// One turn; whether anything was done.
    fn turn(&mut self) -> Result<bool, Halted> {
        let mut busy = self.reap()?;
        busy |= self.take_created()?;
        busy |= self.order()?;
        self.wake_answered();
        busy |= self.ready_runway()?;
        if !busy {
            busy = self.verify_some();
        }
        let now = self.time.now();
        if busy {
            self.active = now.monotonic;
        } else if IDLE <= now.monotonic.saturating_duration_since(self.active)
            && let Some(mark) = self.log.seal_watermark(self.chain.frontier())
        {
            self.submit(mark)?;
            busy = true;
        }
        Ok(busy)
    }

    fn timeout(&self) -> Option<Duration> {
        if self.shared.closing.load(Ordering::Acquire) {
            Some(SOON)
        } else if self.log.needs_watermark() {
            Some(IDLE)
        } else {
            None
        }
    }

    fn device_failed(&self, cause: DiskError) -> Halted {
        let (segment, offset) = self.log.location().map_or((0, 0), |location| (location.segment, location.offset));
        Halted { segment, offset, cause }
    }

    fn submit(&mut self, write: Write) -> Result<(), Halted> {
        let (segment, offset) = (write.segment, write.offset);
        self.shared.meter.count(&write, self.log.runway_left());
        self.device.submit(write).map_err(|cause| Halted { segment, offset, cause })
    }

    /// Takes completed writes; what became final is told.
    fn reap(&mut self) -> Result<bool, Halted> {
        let mut completions = std::mem::take(&mut self.completions);
        self.device.reap(&mut completions).map_err(|cause| self.device_failed(cause))?;
        let busy = !completions.is_empty();
        for completion in completions.drain(..) {
            self.complete(completion)?;
        }
        self.completions = completions;
        Ok(busy)
    }

    fn complete(&mut self, completion: Completion) -> Result<(), Halted> {
        let advance = self.log.completed(completion.ticket, completion.result)?;
        if completion.kind == WriteKind::Runway {
            self.shared.meter.set_runway_left(self.log.runway_left());
        }
        while let Some(flight) = self.flights.pop_front_if(|flight| Some(flight.header.height) <= advance.height) {
            self.finish(&flight);
        }
        Ok(())
    }

    /// A block is final: only now may anyone be told.
    fn finish(&mut self, flight: &Flight) {
        let Flight { header, checkpoint, offset, records, waiters, met } = flight;
        let BlockHeader { first_seq, height, .. } = *header;
        let query = &self.shared.query;
        query.index.push_block(&BlockEntry { first_seq, height, offset: *offset, records });
        if let Some(slot) = checkpoint {
            query.add_checkpoint(*slot);
        }
        query.watermark.advance(header.next_seq());
        for (seq, waiter) in (first_seq..).zip(waiters) {
            self.answer(*waiter, Outcome::Final { seq, height });
        }
        for waiter in met {
            self.answer(*waiter, Outcome::Seen { below: header.next_seq() });
        }
        let slot = match checkpoint {
            Some(slot) => *slot,
            None => {
                // Nobody waits for the signature, but somebody does for the answer.
                self.wake_answered();
                let slot = sign(header, &self.shared.query.genesis, &self.key);
                self.shared.query.add_checkpoint(slot);
                slot
            }
        };
        self.log.add_checkpoint(slot);
    }

    fn answer(&mut self, waiter: Waiter, outcome: Outcome) {
        if let Some(source) = self.sources.get(waiter.source) {
            source.slots().complete(waiter.slot, outcome);
            if self.answered.last() != Some(&waiter.source) {
                self.answered.push(waiter.source);
            }
        }
    }

    /// One wake-up a source, however many answers it got.
    fn wake_answered(&mut self) {
        self.answered.sort_unstable();
        self.answered.dedup();
        for source in self.answered.drain(..) {
            if let Some(source) = self.sources.get(source) {
                source.slots().wake();
            }
        }
    }

    /// Orders what is verified into the next block, if the log has room for it.
    fn order(&mut self) -> Result<bool, Halted> {
        let body_size_max = self.log.body_size_max(self.chain.frontier().hashes().len());
        let flood = self.shared.is_flooded();
        let Some(bound) = draft::measure(&self.drain, body_size_max, flood) else { return Ok(false) };
        if 0 < self.log.in_flight() && bound.payload_bytes < SECOND_BLOCK_BYTES && 0 < bound.record_count {
            return Ok(false);
        }
        if 0 < bound.record_count && !self.make_room(&bound)? {
            return Ok(false);
        }
        let draft = &mut self.draft;
        let first = Next { seq: self.chain.next_seq(), height: self.chain.next_height() };
        draft.sequence(&self.drain, bound.end, first, &mut self.sequencer, &mut self.known, &self.shared.authors);
        if draft.records.is_empty() {
            self.drain.release_to(bound.end);
        } else {
            self.seal(bound.end)?;
        }
        self.answer_refused();
        Ok(true)
    }

    /// Brings the log to where a block of this bound can be sealed; whether it is there.
    fn make_room(&mut self, bound: &draft::Bound) -> Result<bool, Halted> {
        let Ok(layout) = BodyLayout::new(bound.record_count, bound.payload_bytes) else {
            unreachable!("a block's bound is below the largest body")
        };
        let frontier_length = self.chain.frontier().hashes().len();
        let Ok(plan) = self.log.plan(frontier_length, layout.size()) else {
            unreachable!("a block's bound is below the largest frame")
        };
        match self.log.step(&plan)? {
            Step::Seal => return Ok(true),
            Step::Wait => {}
            // Published behind the closing mark: not taken, and told so, or the ring would never be empty.
            Step::Closed => self.refuse_waiting(RefusalCode::Overloaded),
            Step::Opening => {
                let mark = self.log.seal_opening(self.chain.frontier());
                self.submit(mark)?;
            }
            Step::End => {
                let end = self.log.seal_end(self.chain.frontier());
                self.submit(end)?;
            }
            Step::Segment(number) => self.ask_for_segment(number),
            Step::Start => {
                self.roll_index();
                let start = self.log.seal_start(self.chain.frontier());
                self.submit(start)?;
            }
        }
        Ok(false)
    }

    /// Seals the draft and submits the block.
    fn seal(&mut self, end: u64) -> Result<(), Halted> {
        let now = self.clock.tell(self.time.now());
        let frontier_length = self.chain.frontier().hashes().len();
        let layout = self.draft.layout();
        let Ok(plan) = self.log.plan(frontier_length, layout.size()) else {
            unreachable!("the draft is within its bound")
        };
        let mut buffer = self.log.buffer_for(&plan);
        self.draft.write_body(&self.drain, layout, buffer.get_mut(plan.header_bytes()..).unwrap_or_default());
        self.drain.release_to(end);
        let sealed = self.chain.seal(self.draft.sealed_records(), now);
        let offset = self.log.location().map_or(0, |location| location.offset);
        let hashed = HashedHeader { header: sealed.header, hash: sealed.hash };
        let write = self.log.seal_block(plan, buffer, hashed, &sealed.frontier_before);
        let flight = Flight {
            header: sealed.header,
            checkpoint: None,
            offset,
            records: std::mem::take(&mut self.draft.records),
            waiters: std::mem::take(&mut self.draft.waiters),
            met: std::mem::take(&mut self.draft.met),
        };
        // A lone small block: handing it to the ring and waiting for it would only cost more.
        if write.buffer.len() <= LONE_BYTES && self.device.in_flight() == 0 && self.shared.ring.is_empty() {
            self.flights.push_back(flight);
            self.shared.meter.count(&write, self.log.runway_left());
            let completion = self.device.write_now(write);
            self.lone = true;
            return self.complete(completion);
        }
        self.submit(write)?;
        // Signed while the write is in flight; released only when the block is final.
        let checkpoint = Some(sign(&sealed.header, &self.shared.query.genesis, &self.key));
        self.flights.push_back(Flight { checkpoint, ..flight });
        Ok(())
    }

    /// Answers what the draft refused, and what it met if no block carries that.
    fn answer_refused(&mut self) {
        let mut refused = std::mem::take(&mut self.draft.refused);
        for (waiter, code) in refused.drain(..) {
            self.answer(waiter, Outcome::Refused(code));
        }
        self.draft.refused = refused;
        let met = std::mem::take(&mut self.draft.met);
        match self.flights.back_mut() {
            Some(flight) => flight.met.extend(met),
            None => {
                let below = self.chain.next_seq();
                met.into_iter().for_each(|waiter| self.answer(waiter, Outcome::Seen { below }));
            }
        }
    }

    fn ask_for_segment(&mut self, number: u64) {
        let again = match self.preparation {
            Preparation::None => true,
            Preparation::Asked | Preparation::Done(_) => false,
            Preparation::Failed(then) => SEGMENT_RETRY <= self.time.now().monotonic.saturating_duration_since(then),
        };
        if matches!(self.preparation, Preparation::Failed(_)) && !again {
            let is_full = matches!(*self.shared.obstacle.lock(), Some(DiskError::Full { .. }));
            self.refuse_waiting(if is_full { RefusalCode::DiskFull } else { RefusalCode::NoSegment });
        }
        if again {
            self.preparation = Preparation::Asked;
            self.shared.give(Job::Segment { number, size: self.segment_size });
        }
    }

    /// Refuses everything that waits; reading goes on.
    fn refuse_waiting(&mut self, code: RefusalCode) {
        let mut waiters = Vec::new();
        let end = draft::waiters(&self.drain, &mut waiters);
        self.drain.release_to(end);
        waiters.into_iter().for_each(|waiter| self.answer(waiter, Outcome::Refused(code)));
    }

    /// Takes the segment that a worker created, or asks for one ahead of need.
    fn take_created(&mut self) -> Result<bool, Halted> {
        match self.shared.jobs.take_created() {
            // Too late: the log is being closed. The next opening finds the segment.
            Some(Ok(segment)) if self.log.needs_segment() != Some(segment.number) => return Ok(false),
            Some(Ok(segment)) => {
                *self.shared.obstacle.lock() = None;
                self.preparation = Preparation::Done(LookupKey::derive(&segment.key));
                self.log.set_prepared(segment);
                return Ok(true);
            }
            // No failed write: nothing that was acknowledged depends on it. The ledger goes on to the end of its segment.
            Some(Err(cause)) => {
                *self.shared.obstacle.lock() = Some(cause);
                self.preparation = Preparation::Failed(self.time.now().monotonic);
                return Ok(true);
            }
            None => {}
        }
        // Early, so that a flood does not wait for it, but not for a ledger that is hardly used.
        let is_used = self.log.location().is_some_and(|location| self.segment_size / 4 <= location.offset);
        if is_used
            && matches!(self.preparation, Preparation::None)
            && let Some(number) = self.log.needs_segment()
        {
            self.ask_for_segment(number);
        }
        Ok(false)
    }

    /// The segment's end is durable and all its blocks are final: its index is sealed, the next one begins.
    fn roll_index(&mut self) {
        let Preparation::Done(next) = self.preparation else { unreachable!("a start frame has a prepared segment") };
        self.preparation = Preparation::None;
        let newest_block = self.log.newest().map_or(BlockHash::ZERO, |newest| newest.hash);
        let closing = Closing { newest_block, end_checksum: self.log.last_checksum() };
        let pending = self.shared.query.index.seal_open(closing, take_touched(&mut self.sequencer), next);
        self.shared.give(Job::Index(pending));
        // From here on the index answers for every author, so none has to be remembered.
        if self.shared.authors.forget_above(self.author_count_max) {
            let (ledger, genesis) = (self.shared.ledger(), self.shared.query.genesis.clone());
            self.sequencer = Sequencer::new(ledger, genesis);
            self.known.clear();
        }
    }

    /// Writes zeros ahead of the data, unless a flood needs the disk.
    fn ready_runway(&mut self) -> Result<bool, Halted> {
        if !self.log.has_begun() || self.shared.is_flooded() {
            return Ok(false);
        }
        // Once there is a next segment the zeros go into that one. In the segment of the data, each write of zeros would make the
        // file system journal the file anew, and the next block's sync wait for its journal.
        let distance = match self.preparation {
            Preparation::Done(_) => self.segment_size.clamp(RUNWAY_DISTANCE, RUNWAY_DISTANCE_MAX),
            Preparation::None | Preparation::Asked | Preparation::Failed(_) => RUNWAY_DISTANCE,
        };
        let Some(range) = self.log.next_runway(distance) else { return Ok(false) };
        #[expect(clippy::cast_possible_truncation, reason = "at most 1 MiB")]
        let buffer = PageBuffer::new(range.size as usize);
        let (ticket, segment, offset) = (range.ticket, range.segment, range.offset);
        self.submit(Write { ticket, segment, offset, buffer, kind: WriteKind::Runway })?;
        Ok(true)
    }

    /// Helps the workers.
    fn verify_some(&mut self) -> bool {
        0 < self.verifier.verify(&self.shared, VERIFIED_AT_ONCE)
    }

    /// Goes on with closing; whether all is closed.
    fn close(&mut self) -> Result<bool, Halted> {
        if !self.shared.ring.is_empty() || !self.flights.is_empty() {
            return Ok(false);
        }
        match self.log.close_step()? {
            CloseStep::Wait => Ok(false),
            CloseStep::Closed => Ok(self.device.in_flight() == 0),
            CloseStep::Mark => {
                let mark = self.log.seal_close(self.chain.frontier());
                self.submit(mark)?;
                Ok(false)
            }
        }
    }
}
