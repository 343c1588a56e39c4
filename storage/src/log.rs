//! The log: what is appended next and where, which frames are in flight, and how far everything is durable.
//!
//! A state machine without I/O. The caller asks [`Log::step`] what may be done, seals a frame, submits the returned
//! [`Write`], and hands completions back. The log holds the rules that make recovery decidable:
//!
//! - At most two frames are in flight, and a frame is final only when all frames before it are.
//! - An *end* frame waits until all before it is durable, and says so.
//! - A *start* frame, an *end* frame and the mark that opens a ledger for writing are waited for before anything else is
//!   sealed. Start frame and opening mark store no checkpoints, so their bytes follow from their predecessor.
//! - Two watermarks of one epoch, one behind the other, are written only by a clean close, and nothing of that epoch
//!   comes after them. So behind a clean close not a single bit can be mistaken for a torn write.
//! - A frame leaves room for a watermark and for the end frame.
//! - The first error is final: everything afterwards is refused with it.
//!
//! ```text
//! opening --mark--> running --end--> between --start--> running          running --close--> closing (marks) --> closed
//! ```
//!
//! Not done here: submitting, creating segments, time.

mod error;
mod runway;
#[cfg(test)]
mod tests;

pub use error::{Halted, PlanError};
pub use runway::{RUNWAY_WRITE_SIZE_MAX, RunwayRange};

use std::collections::VecDeque;

use annals_core::hash::LedgerId;
use annals_core::limits::{BODY_SIZE_MAX, PAGE_SIZE};
use annals_core::tree::Frontier;

use crate::buffer::PageBuffer;
use crate::device::{Write, WriteKind};
use crate::disk::DiskError;
use crate::frame::{
    FrameChecksum, FrameFields, FrameKind, FrameSize, HashedHeader, Location, MARK_SIZE, SLOT_COUNT, Slot,
    block_body_size_max, block_frame_size_max, frame_size_max, seal,
};
use crate::recovery::{Place, Recovered, opening_kind};
use crate::segment::{FIRST_FRAME_OFFSET, SegmentHeader};
use runway::Runway;

/// Most frames in flight.
pub const IN_FLIGHT_MAX: usize = 2;

/// How large the frame of a block will be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Plan {
    size: FrameSize,
}

impl Plan {
    /// Where the body starts in the buffer, in bytes.
    pub const fn header_bytes(&self) -> usize {
        self.size.header_bytes()
    }

    /// Bytes of the body before padding.
    pub const fn body_size(&self) -> usize {
        self.size.body_size
    }

    /// Bytes of the frame.
    #[expect(clippy::cast_possible_truncation, reason = "a frame is at most 4 MiB")]
    pub const fn total_bytes(&self) -> usize {
        self.size.total_bytes() as usize
    }
}

/// What has to happen before a block can be sealed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Nothing: seal the block.
    Seal,
    /// Wait for a completion.
    Wait,
    /// Submit [`Log::seal_opening`].
    Opening,
    /// The segment is full: submit [`Log::seal_end`].
    End,
    /// Create the segment of this number and give it to [`Log::set_prepared`].
    Segment(u64),
    /// Submit [`Log::seal_start`].
    Start,
    /// The log is closing or closed: nothing is taken any more.
    Closed,
}

/// What has to happen before the ledger is closed cleanly.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CloseStep {
    /// Wait for a completion.
    Wait,
    /// Submit [`Log::seal_close`].
    Mark,
    /// Closed.
    Closed,
}

/// How far the log is durable after a completion.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Advance {
    /// All frames below this index are durable.
    pub durable: u64,
    /// Height of the newest block that became durable by this completion, all before it included; none if none did.
    pub height: Option<u64>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// A mark with the new epoch comes first.
    Opening,
    Running,
    /// The next frame is the start frame of this segment.
    Between(u64),
    Closing,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    ticket: u64,
    location: Location,
    height: Option<u64>,
    /// Nothing is sealed before this frame is durable.
    alone: bool,
    done: bool,
}

/// The end of a ledger that is open for writing.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Log {
    ledger: LedgerId,
    stage: Stage,
    /// The segment that has begun last.
    segment: Option<SegmentHeader>,
    /// End of all frames sealed, in bytes.
    offset: u64,
    prepared: Option<SegmentHeader>,
    index: u64,
    previous: FrameChecksum,
    epoch: u64,
    durable: u64,
    newest: Option<HashedHeader>,
    durable_height: Option<u64>,
    /// Watermarks of this epoch at the very end.
    marks: usize,
    /// Whether recovery found the ledger cleanly closed or empty, and nothing was sealed since.
    untouched: bool,
    in_flight: VecDeque<InFlight>,
    checkpoints: VecDeque<Slot>,
    runway: Runway,
    tickets: u64,
    halted: Option<Halted>,
}

impl Log {
    /// Goes on where recovery ended; [`Recovered::settle`] was called. The epoch is raised.
    pub fn new(recovered: &Recovered) -> Self {
        let tail = &recovered.tail;
        let (stage, segment, offset) = match &tail.place {
            Place::Open { segment, offset } => (Stage::Opening, Some(segment.clone()), *offset),
            Place::Start { number } => (Stage::Between(*number), None, 0),
        };
        Self {
            ledger: tail.ledger,
            stage,
            segment,
            offset,
            prepared: tail.prepared.clone(),
            index: tail.index,
            previous: tail.previous,
            epoch: tail.epoch + 1,
            durable: tail.index,
            newest: tail.newest,
            durable_height: tail.newest.map(|newest| newest.header.height),
            marks: 0,
            untouched: tail.closed,
            in_flight: VecDeque::with_capacity(IN_FLIGHT_MAX),
            checkpoints: VecDeque::new(),
            runway: Runway::new(),
            tickets: 0,
            halted: None,
        }
    }

    /// All frames below this index are durable.
    pub const fn durable(&self) -> u64 {
        self.durable
    }

    /// Index of the next frame.
    pub const fn next_index(&self) -> u64 {
        self.index
    }

    /// The epoch of the frames that this log seals.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Checksum of the newest frame sealed.
    pub const fn last_checksum(&self) -> FrameChecksum {
        self.previous
    }

    /// Whether anything was sealed since the ledger was opened, and it is not being closed.
    pub const fn has_begun(&self) -> bool {
        matches!(self.stage, Stage::Running | Stage::Between(_))
    }

    /// Whether idleness is worth a watermark.
    pub const fn needs_watermark(&self) -> bool {
        matches!(self.stage, Stage::Running) && self.marks == 0
    }

    /// Frames in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The newest block sealed; none in an empty ledger.
    pub const fn newest(&self) -> Option<&HashedHeader> {
        self.newest.as_ref()
    }

    /// Checkpoints that no frame has taken yet.
    pub fn checkpoint_count(&self) -> usize {
        self.checkpoints.len()
    }

    /// The first failure, if there was one.
    pub const fn halted(&self) -> Option<&Halted> {
        self.halted.as_ref()
    }

    /// Where the next frame goes; none if it goes to a segment that has not begun.
    pub fn location(&self) -> Option<Location> {
        match (&self.segment, self.stage) {
            (_, Stage::Between(_)) | (None, _) => None,
            (Some(segment), _) => Some(Location { segment: segment.number, offset: self.offset }),
        }
    }

    /// Segment size that limits apply to: the smaller one of the segment in use and the one prepared.
    fn limit_size(&self) -> u64 {
        let sizes = self.segment.iter().chain(&self.prepared).map(|segment| segment.size);
        sizes.min().unwrap_or(annals_core::limits::SEGMENT_SIZE_MIN)
    }

    /// Most bytes of the body of a block of several records, behind a frontier of this length. One record always fits.
    pub fn body_size_max(&self, frontier_length: usize) -> usize {
        block_body_size_max(self.limit_size(), frontier_length)
    }

    /// How large the frame of a block with a body of this size will be.
    ///
    /// # Errors
    ///
    /// [`PlanError::TooLarge`] if no frame is that large.
    pub fn plan(&self, frontier_length: usize, body_size: usize) -> Result<Plan, PlanError> {
        let (size, bytes_max) = (FrameSize { frontier_length, body_size }, frame_size_max(self.limit_size()));
        let bytes = size.total_bytes();
        if BODY_SIZE_MAX < body_size || bytes_max < bytes {
            return Err(PlanError::TooLarge { bytes, bytes_max });
        }
        Ok(Plan { size })
    }

    /// A buffer for a frame; the caller writes the body behind the header's bytes.
    pub fn buffer_for(&self, plan: &Plan) -> PageBuffer {
        PageBuffer::new(plan.total_bytes())
    }

    /// What has to happen before the block can be sealed.
    ///
    /// # Errors
    ///
    /// [`Halted`] once a write has failed.
    pub fn step(&self, plan: &Plan) -> Result<Step, Halted> {
        self.check_halted()?;
        if self.is_full() {
            return Ok(Step::Wait);
        }
        let (step, bytes) = match self.stage {
            Stage::Closing => return Ok(Step::Closed),
            Stage::Opening => (Step::Opening, MARK_SIZE),
            Stage::Between(number) => match &self.prepared {
                None => return Ok(Step::Segment(number)),
                Some(_) => (Step::Start, MARK_SIZE),
            },
            Stage::Running if self.fits(plan.size.total_bytes()) => (Step::Seal, plan.size.total_bytes()),
            // Sealed any earlier, the end frame could not say that the frame before it was durable, and it may be the last
            // one for a long time: nothing else would vouch for that frame.
            Stage::Running if !self.in_flight.is_empty() => return Ok(Step::Wait),
            Stage::Running => (Step::End, MARK_SIZE),
        };
        Ok(if self.is_blocked(bytes) { Step::Wait } else { step })
    }

    /// Seals a block whose body lies in `buffer`, behind the plan's header bytes.
    ///
    /// # Panics
    ///
    /// If [`Log::step`] did not say [`Step::Seal`], the block does not follow the newest one, or the buffer is not the
    /// plan's: that is our own bug.
    pub fn seal_block(&mut self, plan: Plan, buffer: PageBuffer, block: HashedHeader, before: &Frontier) -> Write {
        assert!(matches!(self.step(&plan), Ok(Step::Seal)), "a block is sealed when the log is ready");
        let follows = block.header.follows(self.newest.as_ref().map(|newest| &newest.header));
        assert!(follows.is_ok(), "a block follows the newest one: {follows:?}");
        assert!(block.header.first_seq == before.size(), "the frontier is that before the block");
        let many = block_frame_size_max(self.limit_size());
        assert!(block.header.record_count == 1 || plan.size.total_bytes() <= many, "only one record may be larger");
        self.newest = Some(block);
        self.marks = 0;
        let slots = self.take_slots(block.header.height);
        let height = Some(block.header.height);
        self.seal(Sealing { kind: FrameKind::Block, slots, height, alone: false }, plan.size, buffer, before)
    }

    /// Seals the mark that opens the ledger for writing: a watermark, or an end frame where only that has room.
    ///
    /// # Panics
    ///
    /// If [`Log::step`] did not say [`Step::Opening`]: that is our own bug.
    pub fn seal_opening(&mut self, frontier: &Frontier) -> Write {
        assert!(self.stage == Stage::Opening && self.is_ready(), "the opening mark comes first");
        self.seal_mark(frontier, [None; SLOT_COUNT], true)
    }

    /// Seals the end frame of a full segment.
    ///
    /// # Panics
    ///
    /// If the log is not ready for it: that is our own bug.
    pub fn seal_end(&mut self, frontier: &Frontier) -> Write {
        assert!(self.stage == Stage::Running && self.is_ready(), "an end frame closes a segment in use");
        assert!(self.in_flight.is_empty(), "an end frame says that all before it is durable");
        let slots = self.take_slots(u64::MAX);
        self.seal_bare(FrameKind::End, slots, true, frontier)
    }

    /// Seals the start frame of the prepared segment.
    ///
    /// # Panics
    ///
    /// If [`Log::step`] did not say [`Step::Start`]: that is our own bug.
    #[expect(clippy::expect_used, reason = "the caller asks `step` first; a missing segment is our own bug")]
    pub fn seal_start(&mut self, frontier: &Frontier) -> Write {
        assert!(matches!(self.stage, Stage::Between(_)) && self.is_ready(), "a start frame follows an end frame");
        self.segment = Some(self.prepared.take().expect("the segment is prepared"));
        self.offset = FIRST_FRAME_OFFSET;
        self.seal_bare(FrameKind::Start, [None; SLOT_COUNT], true, frontier)
    }

    /// Seals a watermark after some idleness; none if there is nothing that it would say, or something is in flight.
    pub fn seal_watermark(&mut self, frontier: &Frontier) -> Option<Write> {
        let idle = self.halted.is_none() && self.stage == Stage::Running && self.in_flight.is_empty();
        if !idle || self.marks != 0 || self.is_blocked(MARK_SIZE) {
            return None;
        }
        let slots = self.take_slots(u64::MAX);
        Some(self.seal_mark(frontier, slots, false))
    }

    /// What has to happen before the ledger is closed cleanly.
    ///
    /// # Errors
    ///
    /// [`Halted`] once a write has failed.
    pub fn close_step(&self) -> Result<CloseStep, Halted> {
        self.check_halted()?;
        if !self.in_flight.is_empty()
            || (matches!(self.stage, Stage::Opening | Stage::Running) && self.is_blocked(MARK_SIZE))
        {
            return Ok(CloseStep::Wait);
        }
        Ok(match self.stage {
            Stage::Between(_) => CloseStep::Closed,
            _ if self.untouched => CloseStep::Closed,
            Stage::Closing if 2 <= self.marks && self.checkpoints.is_empty() => CloseStep::Closed,
            Stage::Opening | Stage::Running | Stage::Closing => CloseStep::Mark,
        })
    }

    /// Seals the next mark of a clean close: a watermark, or an end frame where only that has room. No block after it.
    ///
    /// # Panics
    ///
    /// If [`Log::close_step`] did not say [`CloseStep::Mark`]: that is our own bug.
    pub fn seal_close(&mut self, frontier: &Frontier) -> Write {
        assert!(matches!(self.close_step(), Ok(CloseStep::Mark)), "a mark is sealed when the log is ready");
        let slots = match self.stage {
            Stage::Opening => [None; SLOT_COUNT],
            Stage::Running | Stage::Between(_) | Stage::Closing => self.take_slots(u64::MAX),
        };
        let write = self.seal_mark(frontier, slots, true);
        if self.stage == Stage::Running {
            self.stage = Stage::Closing;
        }
        write
    }

    /// A checkpoint to store; it goes into the first frame that is sealed after its block became durable.
    ///
    /// # Panics
    ///
    /// If it is not newer than the one before: that is our own bug.
    pub fn add_checkpoint(&mut self, slot: Slot) {
        let rising = self.checkpoints.back().is_none_or(|last| last.height < slot.height && last.size < slot.size);
        assert!(rising, "checkpoints come in the order of their blocks");
        self.checkpoints.push_back(slot);
    }

    /// Number of the segment to create next and to give to [`Log::set_prepared`]; none if there is no need now.
    pub fn needs_segment(&self) -> Option<u64> {
        let starting = self.in_flight.iter().any(|frame| frame.location.offset == FIRST_FRAME_OFFSET);
        match (self.stage, &self.segment) {
            _ if self.prepared.is_some() || starting => None,
            (Stage::Between(number), _) => Some(number),
            (Stage::Opening | Stage::Running, Some(segment)) => Some(segment.number + 1),
            (Stage::Opening | Stage::Running, None) | (Stage::Closing, _) => None,
        }
    }

    /// The segment that [`Log::needs_segment`] asked for is created, its first page written, all else zero.
    ///
    /// # Panics
    ///
    /// If it is not the one asked for: that is our own bug.
    pub fn set_prepared(&mut self, segment: SegmentHeader) {
        assert_eq!(Some(segment.number), self.needs_segment(), "the segment asked for");
        assert_eq!(segment.ledger, self.ledger, "a segment of this ledger");
        self.prepared = Some(segment);
    }

    /// The next range to write with zeros, so that there are `distance_max` bytes of zeros ahead of the data; it counts as
    /// in flight from now on. None if there is nothing to do.
    pub fn next_runway(&mut self, distance_max: u64) -> Option<RunwayRange> {
        if self.halted.is_some() || self.stage == Stage::Closing {
            return None;
        }
        let segment = self.segment.as_ref()?;
        let offset = if matches!(self.stage, Stage::Between(_)) { segment.size } else { self.offset };
        let range = self.runway.next(self.tickets, segment, offset, self.prepared.as_ref(), distance_max)?;
        self.tickets += 1;
        Some(range)
    }

    /// A write has completed, data or runway.
    ///
    /// # Errors
    ///
    /// [`Halted`] if it failed, or one before did.
    ///
    /// # Panics
    ///
    /// If the ticket is not in flight: that is our own bug.
    pub fn completed(&mut self, ticket: u64, result: Result<(), DiskError>) -> Result<Advance, Halted> {
        self.check_halted()?;
        let runway = self.runway.find(ticket);
        let frame = self.in_flight.iter_mut().find(|frame| frame.ticket == ticket);
        let location = match (&frame, runway) {
            (Some(frame), _) => frame.location,
            (None, Some(range)) => Location { segment: range.segment, offset: range.offset },
            (None, None) => panic!("completion of write {ticket}, which is not in flight"),
        };
        if let Err(cause) = result {
            let halted = Halted { segment: location.segment, offset: location.offset, cause };
            self.halted = Some(halted.clone());
            return Err(halted);
        }
        match frame {
            Some(frame) => frame.done = true,
            None => self.runway.completed(),
        }
        Ok(self.advance())
    }

    /// Frames are final in order only: one that is done early waits for those before it.
    fn advance(&mut self) -> Advance {
        let mut height = None;
        while let Some(frame) = self.in_flight.pop_front_if(|frame| frame.done) {
            self.durable += 1;
            height = frame.height.or(height);
        }
        self.durable_height = height.or(self.durable_height);
        assert!(self.durable + self.in_flight.len() as u64 == self.index, "what is not durable is in flight");
        Advance { durable: self.durable, height }
    }

    fn check_halted(&self) -> Result<(), Halted> {
        self.halted.clone().map_or(Ok(()), Err)
    }

    /// Whether no frame may be sealed before a completion.
    fn is_full(&self) -> bool {
        self.in_flight.len() == IN_FLIGHT_MAX || self.in_flight.iter().any(|frame| frame.alone)
    }

    /// Whether a frame without a body may be sealed.
    fn is_ready(&self) -> bool {
        self.halted.is_none() && !self.is_full() && !self.is_blocked(MARK_SIZE)
    }

    /// Whether the next frame would reach into a runway write in flight.
    fn is_blocked(&self, bytes: u64) -> bool {
        let (segment, from) = match (self.stage, &self.segment) {
            (Stage::Between(number), _) => (number, FIRST_FRAME_OFFSET),
            (_, Some(segment)) => (segment.number, self.offset),
            (_, None) => return false,
        };
        self.runway.blocks(segment, from, from + bytes)
    }

    /// Whether a frame of these bytes leaves room for a watermark and the end frame.
    fn fits(&self, bytes: u64) -> bool {
        self.segment.as_ref().is_some_and(|segment| self.offset + bytes + 2 * MARK_SIZE <= segment.size)
    }

    /// The oldest checkpoints whose blocks are durable and below `height_end`.
    fn take_slots(&mut self, height_end: u64) -> [Option<Slot>; SLOT_COUNT] {
        let durable = self.durable_height;
        let ready = |slot: &mut Slot| Some(slot.height) <= durable && slot.height < height_end;
        let mut slots = [None; SLOT_COUNT];
        for slot in &mut slots {
            *slot = self.checkpoints.pop_front_if(ready);
        }
        slots
    }

    #[expect(clippy::expect_used, reason = "a mark is sealed only in a segment that has begun")]
    fn seal_mark(&mut self, frontier: &Frontier, slots: [Option<Slot>; SLOT_COUNT], alone: bool) -> Write {
        let kind = opening_kind(self.segment.as_ref().expect("the segment has begun"), self.offset);
        self.seal_bare(kind, slots, alone || kind == FrameKind::End, frontier)
    }

    /// Seals a frame without a body.
    fn seal_bare(
        &mut self,
        kind: FrameKind,
        slots: [Option<Slot>; SLOT_COUNT],
        alone: bool,
        frontier: &Frontier,
    ) -> Write {
        let tree_size = self.newest.map_or(0, |newest| newest.header.next_seq());
        assert_eq!(frontier.size(), tree_size, "the frontier is that behind the newest block");
        let size = FrameSize { frontier_length: frontier.hashes().len(), body_size: 0 };
        self.marks = if kind == FrameKind::Watermark { self.marks + 1 } else { 0 };
        let number = self.segment.as_ref().map_or(0, |segment| segment.number);
        self.stage = match (kind, self.stage) {
            (FrameKind::End, _) => Stage::Between(number + 1),
            (_, Stage::Opening | Stage::Between(_)) => Stage::Running,
            (_, stage) => stage,
        };
        self.seal(Sealing { kind, slots, height: None, alone }, size, PageBuffer::new(PAGE_SIZE), frontier)
    }

    #[expect(clippy::expect_used, reason = "a frame is sealed only in a segment that has begun")]
    fn seal(&mut self, frame: Sealing, size: FrameSize, mut buffer: PageBuffer, frontier: &Frontier) -> Write {
        let segment = self.segment.as_ref().expect("the segment has begun");
        let fields = FrameFields {
            kind: frame.kind,
            offset: self.offset,
            index: self.index,
            epoch: self.epoch,
            durable: self.durable,
            previous: self.previous,
            newest: self.newest.as_ref(),
            slots: frame.slots,
            frontier,
            body_size: size.body_size,
        };
        self.previous = seal(segment, &fields, &mut buffer);
        let (ticket, location) = (self.tickets, Location { segment: segment.number, offset: self.offset });
        let Sealing { height, alone, .. } = frame;
        self.in_flight.push_back(InFlight { ticket, location, height, alone, done: false });
        self.tickets += 1;
        self.index += 1;
        self.offset += size.total_bytes();
        self.untouched = false;
        assert!(self.offset <= segment.size, "a frame stays in its segment");
        Write { ticket, segment: location.segment, offset: location.offset, buffer, kind: WriteKind::Data }
    }
}

/// What differs between the kinds of frames when they are sealed.
struct Sealing {
    kind: FrameKind,
    slots: [Option<Slot>; SLOT_COUNT],
    height: Option<u64>,
    alone: bool,
}
