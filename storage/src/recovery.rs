//! Recovery: finds the end of a ledger, after whatever happened, by reading its last segment only.
//!
//! [`recover`] reads, looks (`scan.rs`), and lets [`decide`] say what the looks mean; it changes nothing. What it
//! hands back says where the ledger ends and which torn tail has to be cut. [`Recovered::settle`] makes that so, before
//! anything is appended. A killed process leaves names in the system's memory and writes in the disk's cache that reads show
//! and a power cut still takes; so first everything that was read is made durable: names, frames, and zeros, of which some
//! may be those of an earlier cut. Then it zeroes the tail from its last page backwards, so that a crash in the middle leaves a
//! torn tail again and never a hole. And it writes once more those last frames that no durable index vouches for, so
//! that they do not depend on a sync of what somebody else wrote.
//!
//! The segment files must be numbered without a gap. The newest one may be *prepared*: created, but without a start frame.
//! Older segments are not read; [`crate::check`] reads them. Not done here: building the frontier behind the newest
//! block (the caller has the heads), signing missing checkpoints, reading beside a live writer ([`crate::view`]).

mod decide;
#[cfg(test)]
mod enumerate;
mod error;
#[cfg(test)]
mod segment_tests;
#[cfg(test)]
mod tests;

pub use decide::{Junk, Reason, TailFacts, TailLook, Verdict, decide};
pub use error::RecoveryError;

use core::ops::ControlFlow;
use std::collections::VecDeque;

use annals_core::hash::LedgerId;
use annals_core::limits::{PAGE_SIZE, SECTOR_SIZE};
use annals_core::tree::Frontier;

use crate::buffer::PageBuffer;
use crate::disk::{Disk, SegmentFile};
use crate::fields::all_zero;
use crate::frame::{
    FrameChecksum, FrameFields, FrameHeader, FrameKind, HashedHeader, MARK_SIZE, SLOT_COUNT, Slot, frame_size_max, seal,
};
use crate::scan::{Above, CHUNK_SIZE, Damage, Link, Look, Window, look, search_above};
use crate::segment::{FIRST_FRAME_OFFSET, SegmentHeader, is_segment_size};

/// An intact frame, as recovery, a view or a check meets it.
#[derive(Clone, Copy, Debug)]
pub struct RecoveredFrame<'a> {
    /// The segment that it lies in.
    pub segment: &'a SegmentHeader,
    /// What its header says.
    pub header: &'a FrameHeader,
    /// Its body without padding, aligned to 4 KiB; empty unless it is a block.
    pub body: &'a [u8],
}

/// Takes frames in order; says whether to go on.
pub type Visit<'a> = dyn FnMut(RecoveredFrame<'_>) -> ControlFlow<()> + 'a;

/// Where the next frame goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// Into a segment that has begun.
    Open {
        /** The segment. */
        segment: SegmentHeader,
        /** Offset in bytes. */
        offset: u64,
    },
    /// It will be the start frame of a segment.
    Start {
        /** Number of the segment. */
        number: u64,
    },
}

/// The end of a ledger.
#[derive(Clone, Debug)]
pub struct Tail {
    /// The ledger.
    pub ledger: LedgerId,
    /// Where the next frame goes.
    pub place: Place,
    /// The segment after the newest one that has begun, if it is created already.
    pub prepared: Option<SegmentHeader>,
    /// Index of the next frame.
    pub index: u64,
    /// Checksum of the last frame.
    pub previous: FrameChecksum,
    /// Kind of the last frame; none in an empty ledger.
    pub last_kind: Option<FrameKind>,
    /// Highest epoch seen.
    pub epoch: u64,
    /// Whether the ledger was closed cleanly, or is empty.
    pub closed: bool,
    /// The newest block; none in an empty ledger.
    pub newest: Option<HashedHeader>,
}

/// A torn tail that has to be zeroed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cut {
    /// The segment.
    pub segment: u64,
    /// Offset of the first torn frame, in bytes.
    pub from: u64,
    /// End of the last page that is not zero, in bytes.
    pub to: u64,
}

/// What recovery found.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// Where the ledger ends.
    pub tail: Tail,
    /// The torn tail, if there is one.
    pub cut: Option<Cut>,
    /// All frames below this index were durable before; those from here to the tail become so by [`Self::settle`].
    pub durable: u64,
    /// The newest checkpoint stored in the last segment, if there is one.
    pub checkpoint: Option<Slot>,
    /// Frames that no durable index vouches for: segment and range of offsets.
    unproven: Option<(u64, u64, u64)>,
}

impl Recovered {
    /// The segments that the last writer may have written to without a sync: the one that the ledger ends in, the one before
    /// if that has just been closed, and the prepared one.
    fn written_segments(&self) -> impl Iterator<Item = u64> {
        let open = match &self.tail.place {
            Place::Open { segment, .. } => Some(segment.number),
            Place::Start { number } => number.checked_sub(1),
        };
        open.into_iter().chain(self.tail.prepared.as_ref().map(|segment| segment.number))
    }

    /// Cuts the torn tail, last page first, and makes the last frames durable. Harmless when done twice.
    ///
    /// # Errors
    ///
    /// [`RecoveryError::Disk`] if a read or write failed: open again.
    pub fn settle(&self, disk: &dyn Disk) -> Result<(), RecoveryError> {
        disk.sync_names()?;
        for segment in self.written_segments() {
            disk.sync(segment)?;
        }
        if let Some(Cut { segment, from, to }) = self.cut {
            let zeros = PageBuffer::new(PAGE_SIZE);
            let mut offset = to;
            while from < offset {
                offset -= PAGE_SIZE as u64;
                disk.write(segment, offset, &zeros)?;
            }
        }
        let Some((segment, mut offset, end)) = self.unproven else { return Ok(()) };
        while offset < end {
            #[expect(clippy::cast_possible_truncation, reason = "at most a chunk")]
            let mut buffer = PageBuffer::new((end - offset).min(CHUNK_SIZE as u64) as usize);
            disk.read(segment, offset, &mut buffer)?;
            disk.write(segment, offset, &buffer)?;
            offset += buffer.len() as u64;
        }
        Ok(())
    }
}

/// Finds the end of a ledger and hands every intact frame of its last segment to `visit`, in order.
///
/// `ledger` is the ledger that is expected, if the caller knows it. Changes nothing; call [`Recovered::settle`] before
/// anything is appended.
///
/// # Errors
///
/// [`RecoveryError`] if the disk fails or the ledger is damaged; frames may have been visited before.
pub fn recover(disk: &dyn Disk, ledger: Option<LedgerId>, visit: &mut Visit<'_>) -> Result<Recovered, RecoveryError> {
    let files = list(disk)?;
    let Some((newest, before)) = files.split_last() else { return Err(RecoveryError::NoSegments) };
    let mut newest = Open::new(disk, newest, ledger)?;
    match before.last() {
        Some(base) if !newest.has_begun()? => {
            let base = Open::new(disk, base, Some(newest.segment.ledger))?;
            base.recover(Some(newest), visit)
        }
        Some(_) | None => newest.recover(None, visit),
    }
}

/// The segment files in order, numbered from 0 without a gap, each of a size that a segment has.
pub(crate) fn list(disk: &dyn Disk) -> Result<Vec<SegmentFile>, RecoveryError> {
    let mut files = disk.segments()?;
    files.sort_by_key(|file| file.number);
    for (expected, file) in (0_u64..).zip(&files) {
        if file.number != expected {
            return Err(RecoveryError::MissingSegment { expected, found: file.number });
        }
        if !is_segment_size(file.size) {
            return Err(RecoveryError::SegmentSize { segment: file.number, expected: None, found: file.size });
        }
    }
    Ok(files)
}

/// Reads and checks the first page of a segment.
pub(crate) fn read_header(
    window: &mut Window<'_>,
    file: &SegmentFile,
    ledger: Option<LedgerId>,
) -> Result<SegmentHeader, RecoveryError> {
    let segment = file.number;
    let header = SegmentHeader::parse(window.get(0, PAGE_SIZE)?)
        .map_err(|error| RecoveryError::SegmentHeader { segment, error })?;
    if header.number != segment {
        return Err(RecoveryError::SegmentNumber { expected: segment, found: header.number });
    }
    if header.size != file.size {
        return Err(RecoveryError::SegmentSize { segment, expected: Some(header.size), found: file.size });
    }
    match ledger {
        Some(expected) if expected != header.ledger => {
            Err(RecoveryError::SegmentLedger { segment, expected, found: header.ledger })
        }
        Some(_) | None => Ok(header),
    }
}

/// What a start frame has to follow if the segment before is not read.
pub(crate) const fn start_link(number: u64) -> Link {
    if number == 0 { Link::Empty } else { Link::Unread }
}

/// How far a walk over the intact frames of a segment came.
#[derive(Debug)]
pub(crate) struct Walked {
    pub(crate) link: Link,
    pub(crate) offset: u64,
    /// What lies behind the last intact frame; none behind an end frame.
    pub(crate) look: Option<Look>,
}

/// Walks over the intact frames of a segment from `offset` on, up to the first other place or an end frame.
pub(crate) fn walk(
    window: &mut Window<'_>,
    segment: &SegmentHeader,
    mut link: Link,
    mut offset: u64,
    visit: &mut Visit<'_>,
) -> Result<Walked, RecoveryError> {
    loop {
        let found = look(window, segment, &link, offset)?;
        let Look::Intact(frame) = found else {
            return Ok(Walked { link, offset, look: Some(found) });
        };
        let body = window.get(offset + frame.size.header_bytes() as u64, frame.size.body_size)?;
        if visit(RecoveredFrame { segment, header: &frame, body }).is_break() {
            return Err(RecoveryError::Stopped);
        }
        let (kind, end) = (frame.kind, frame.end());
        link = link.next(*frame);
        offset = end;
        if kind == FrameKind::End {
            return Ok(Walked { link, offset, look: None });
        }
    }
}

/// What is gathered over the frames of the last segment.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// Highest durable index that a frame says.
    pub(crate) durable: u64,
    /// The newest stored checkpoint.
    pub(crate) checkpoint: Option<Slot>,
    /// Index and offset of the frames that no durable index vouches for.
    recent: VecDeque<(u64, u64)>,
}

impl Gathered {
    pub(crate) fn note(&mut self, frame: &FrameHeader) {
        self.durable = self.durable.max(frame.durable);
        self.checkpoint = frame.slots.iter().flatten().last().copied().or(self.checkpoint);
        self.recent.push_back((frame.index, frame.offset));
        while self.recent.front().is_some_and(|(index, _)| *index < self.durable) {
            self.recent.pop_front();
        }
    }
}

/// Where the last segment leads.
struct End {
    place: Place,
    prepared: Option<SegmentHeader>,
    judged: Judged,
}

/// A segment that is being read.
struct Open<'a> {
    window: Window<'a>,
    segment: SegmentHeader,
}

impl<'a> Open<'a> {
    fn new(disk: &'a dyn Disk, file: &SegmentFile, ledger: Option<LedgerId>) -> Result<Self, RecoveryError> {
        let mut window = Window::new(disk, file.number, file.size);
        let segment = read_header(&mut window, file, ledger)?;
        Ok(Self { window, segment })
    }

    fn has_begun(&mut self) -> Result<bool, RecoveryError> {
        let first = look(&mut self.window, &self.segment, &start_link(self.segment.number), FIRST_FRAME_OFFSET)?;
        Ok(matches!(first, Look::Intact(_)))
    }

    fn recover(mut self, next: Option<Self>, visit: &mut Visit<'_>) -> Result<Recovered, RecoveryError> {
        let (segment, mut gathered) = (self.segment.clone(), Gathered::default());
        let walked = walk(&mut self.window, &segment, start_link(segment.number), FIRST_FRAME_OFFSET, &mut |frame| {
            gathered.note(frame.header);
            visit(frame)
        })?;
        let Walked { link, offset, look } = walked;
        let end = match look {
            Some(look) if offset == FIRST_FRAME_OFFSET && (segment.number != 0 || next.is_some()) => {
                return Err(no_start(&segment, look));
            }
            Some(look) => self.end_inside(&link, offset, look, gathered.durable, next)?,
            None => self.end_behind(&link, offset, gathered.durable, next)?,
        };
        let last = link.last();
        let tail = Tail {
            ledger: segment.ledger,
            place: end.place,
            prepared: end.prepared,
            index: link.index(),
            previous: last.map_or(FrameChecksum::ZERO, |last| last.checksum),
            last_kind: last.map(|last| last.kind),
            epoch: link.epoch().max(end.judged.epoch),
            closed: link.only_mark_follows(),
            newest: last.and_then(|last| last.newest),
        };
        let unproven = gathered.recent.front().map(|(_, from)| (segment.number, *from, offset));
        let Gathered { durable, checkpoint, recent: _ } = gathered;
        Ok(Recovered { tail, cut: end.judged.cut, durable, checkpoint, unproven })
    }

    /// The ledger ends inside this segment, at `offset`. The next one, if created, must not have been written to.
    fn end_inside(
        mut self,
        link: &Link,
        offset: u64,
        look: Look,
        durable: u64,
        next: Option<Self>,
    ) -> Result<End, RecoveryError> {
        let judged = judge(&mut self.window, &self.segment, link, offset, look, durable)?;
        if let Some(mut next) = next {
            next.check_unused(offset)?;
            let place = Place::Open { segment: self.segment, offset };
            return Ok(End { place, prepared: Some(next.segment), judged });
        }
        if offset == FIRST_FRAME_OFFSET {
            let place = Place::Start { number: self.segment.number };
            return Ok(End { place, prepared: Some(self.segment), judged });
        }
        Ok(End { place: Place::Open { segment: self.segment, offset }, prepared: None, judged })
    }

    /// An end frame closed this segment; its rest must be zero. The ledger ends at the start of the next one.
    fn end_behind(mut self, link: &Link, offset: u64, durable: u64, next: Option<Self>) -> Result<End, RecoveryError> {
        check_rest(&mut self.window, &self.segment, offset)?;
        let number = self.segment.number + 1;
        let Some(mut next) = next else {
            return Ok(End { place: Place::Start { number }, prepared: None, judged: Judged::default() });
        };
        let look = look(&mut next.window, &next.segment, link, FIRST_FRAME_OFFSET)?;
        let judged = judge(&mut next.window, &next.segment, link, FIRST_FRAME_OFFSET, look, durable)?;
        Ok(End { place: Place::Start { number }, prepared: Some(next.segment), judged })
    }

    /// Only zeros follow the first page, as far as the first chunk shows.
    fn check_unused(&mut self, offset_before: u64) -> Result<(), RecoveryError> {
        if all_zero(self.window.get(FIRST_FRAME_OFFSET, CHUNK_SIZE - PAGE_SIZE)?) {
            return Ok(());
        }
        Err(RecoveryError::NoEnd { segment: self.segment.number - 1, offset: offset_before })
    }
}

pub(crate) fn no_start(segment: &SegmentHeader, look: Look) -> RecoveryError {
    match look {
        Look::Damaged(damage) => {
            RecoveryError::Damaged { segment: segment.number, offset: FIRST_FRAME_OFFSET, index: None, damage }
        }
        Look::Zero | Look::Torn { .. } | Look::Stale | Look::Intact(_) => {
            RecoveryError::NoStart { segment: segment.number }
        }
    }
}

/// Checks that only zeros follow the last frame of a closed segment.
pub(crate) fn check_rest(window: &mut Window<'_>, segment: &SegmentHeader, offset: u64) -> Result<(), RecoveryError> {
    let above = search_above(window, segment, offset, 0, 0)?;
    if above.nonzero_end == 0 {
        return Ok(());
    }
    Err(RecoveryError::Junk { segment: segment.number, reach: offset, found_end: above.nonzero_end })
}

/// What became of the tail.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Judged {
    pub(crate) cut: Option<Cut>,
    pub(crate) epoch: u64,
}

/// Searches above the tail, lets [`decide`] decide, and gives a refusal its words.
pub(crate) fn judge(
    window: &mut Window<'_>,
    segment: &SegmentHeader,
    link: &Link,
    offset: u64,
    mut look: Look,
    durable: u64,
) -> Result<Judged, RecoveryError> {
    if link.only_mark_follows()
        && let Look::Torn { .. } = look
        && let Some(sector) = foreign_sector(segment, link, offset, window.get(offset, PAGE_SIZE)?)
    {
        look = Look::Damaged(Damage::Mark { sector });
    }
    let index = link.index();
    let above = search_above(window, segment, offset + PAGE_SIZE as u64, index, link.epoch())?;
    let tail = Judgement { segment, link, offset, look: &look, above: &above, durable: durable.max(above.durable) };
    match decide(tail.facts()) {
        Verdict::Refuse(reason) => Err(tail.refusal(reason)),
        Verdict::Keep => Ok(Judged { cut: None, epoch: above.epoch }),
        Verdict::Cut => {
            let tail_end = if matches!(look, Look::Zero) { 0 } else { offset + PAGE_SIZE as u64 };
            let cut = Cut { segment: segment.number, from: offset, to: tail_end.max(above.nonzero_end) };
            Ok(Judged { cut: Some(cut), epoch: above.epoch })
        }
    }
}

/// All looks at one tail.
struct Judgement<'a> {
    segment: &'a SegmentHeader,
    link: &'a Link,
    offset: u64,
    look: &'a Look,
    above: &'a Above,
    durable: u64,
}

impl Judgement<'_> {
    /// Furthest end of the frame at the tail.
    fn frame_reach(&self) -> u64 {
        let size_max = if self.link.only_mark_follows() { MARK_SIZE } else { frame_size_max(self.segment.size) };
        self.look.torn_end().unwrap_or(self.offset + size_max)
    }

    /// Furthest end of all that can have been in flight.
    fn reach(&self) -> u64 {
        match self.above.next {
            _ if self.link.only_mark_follows() => self.offset + MARK_SIZE,
            Some(next) => next.end,
            None => self.frame_reach() + frame_size_max(self.segment.size),
        }
    }

    /// Whether frame `i + 1` does not lie where frame `i` ends.
    fn next_is_elsewhere(&self) -> bool {
        self.above.next.is_some_and(|next| match self.look.torn_end() {
            Some(end) => next.offset != end,
            None => self.frame_reach() < next.offset,
        })
    }

    fn facts(&self) -> TailFacts {
        let above = self.above;
        TailFacts {
            tail: match self.look {
                Look::Zero => TailLook::Zero,
                Look::Torn { .. } => TailLook::Torn,
                Look::Stale => TailLook::Stale,
                Look::Damaged(_) | Look::Intact(_) => TailLook::Damaged,
            },
            durable: self.link.index() < self.durable,
            one_in_flight: self.link.only_mark_follows(),
            next: above.next.is_some(),
            higher: above.hole.is_some(),
            repeated: above.repeated.is_some() || self.next_is_elsewhere(),
            stale: above.stale.is_some(),
            junk: match above.junk_end {
                0 => Junk::None,
                end if end <= self.reach() => Junk::InReach,
                _ => Junk::OutOfReach,
            },
        }
    }

    fn refusal(&self, reason: Reason) -> RecoveryError {
        let (segment, offset, index) = (self.segment.number, self.offset, self.link.index());
        let above = self.above;
        let found = match reason {
            Reason::Hole => above.hole.or(above.next),
            Reason::Repeated => above.repeated.or(above.next),
            Reason::Durable | Reason::Damaged | Reason::Junk => None,
        };
        let (found, found_offset) = found.map_or((0, 0), |found| (found.index, found.offset));
        match (reason, self.look) {
            (Reason::Damaged | Reason::Durable, Look::Damaged(damage)) => {
                RecoveryError::Damaged { segment, offset, index: Some(index), damage: *damage }
            }
            (Reason::Hole, _) => RecoveryError::Hole { segment, offset, index, found, found_offset },
            (Reason::Repeated, _) => RecoveryError::Repeated { segment, offset, index, found, found_offset },
            (Reason::Junk, _) => RecoveryError::Junk { segment, reach: self.reach(), found_end: above.junk_end },
            (Reason::Durable | Reason::Damaged, _) => {
                RecoveryError::DurableLost { segment, offset, index, durable: self.durable }
            }
        }
    }
}

/// The first sector of a torn page that is neither zero nor of the one frame that can follow here.
///
/// Behind a clean close that is the mark that opens the ledger again; at the start of a segment it is the start frame, of
/// this epoch or of the next. Neither stores checkpoints, so their bytes follow from their predecessor.
fn foreign_sector(segment: &SegmentHeader, link: &Link, offset: u64, page: &[u8]) -> Option<usize> {
    let (kind, epochs) = match link.last().map(|last| last.kind) {
        None | Some(FrameKind::End) => (FrameKind::Start, link.epoch()..=link.epoch() + 1),
        Some(_) => (opening_kind(segment, offset), link.epoch() + 1..=link.epoch() + 1),
    };
    let empty = Frontier::new();
    let foreign = |epoch: u64| {
        let mut mark = [0; PAGE_SIZE];
        let fields = FrameFields {
            kind,
            offset,
            index: link.index(),
            epoch,
            durable: link.index(),
            previous: link.last().map_or(FrameChecksum::ZERO, |last| last.checksum),
            newest: link.last().and_then(|last| last.newest.as_ref()),
            slots: [None; SLOT_COUNT],
            frontier: link.last().map_or(&empty, |last| &last.frontier),
            body_size: 0,
        };
        seal(segment, &fields, &mut mark);
        let mut sectors = page.chunks(SECTOR_SIZE).zip(mark.chunks(SECTOR_SIZE));
        sectors.position(|(found, expected)| !all_zero(found) && found != expected)
    };
    epochs.map(foreign).min_by_key(|sector| sector.is_some()).flatten()
}

/// The kind of the mark that opens a ledger for writing again: the segment's last page is kept for an end frame.
pub(crate) const fn opening_kind(segment: &SegmentHeader, offset: u64) -> FrameKind {
    if offset + 2 * MARK_SIZE <= segment.size { FrameKind::Watermark } else { FrameKind::End }
}
