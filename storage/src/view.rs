//! Reading a ledger beside its live writer, without a lock: only what is surely durable is shown.
//!
//! A frame is shown once an intact frame behind it says that it was durable when that one was sealed. So at most the
//! last two frames are not seen, and an idle writer's watermark shows them too. Nothing is decided about the tail: the
//! writer may be in the middle of it, and after a crash it may be cut and written anew. That is why every
//! [`View::refresh`] looks again at all frames that were not shown yet. [`View::open`] also searches above the last intact
//! frame: a frame there that says that the missing one was durable is a refusal, not the end of the ledger.
//!
//! The start frame of the first segment read is shown at once: what it says of the newest block was durable before it
//! was written. Not done here: judging a torn tail, which needs the lock ([`crate::recovery`]).

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use annals_core::hash::LedgerId;
use annals_core::limits::PAGE_SIZE;

use crate::buffer::PageBuffer;
use crate::disk::{Disk, SegmentFile};
use crate::frame::{FrameChecksum, FrameHeader, FrameKind, Slot};
use crate::recovery::{RecoveredFrame, RecoveryError, Visit, list, read_header, start_link};
use crate::scan::{Link, Look, Window, look, search_above};
use crate::segment::{FIRST_FRAME_OFFSET, SegmentHeader};

/// What a reader beside a live writer has seen.
#[derive(Debug)]
pub struct View {
    segment: SegmentHeader,
    offset: u64,
    /// Behind the last frame shown.
    link: Link,
    durable: u64,
    /// Checksum of the start frame shown before it was known to be durable.
    base: Option<FrameChecksum>,
    /// Checkpoints in the intact frames looked at last.
    ahead: Vec<Slot>,
}

/// Where the intact frames end, for now.
struct Stop {
    segment: SegmentHeader,
    offset: u64,
    link: Link,
}

/// A frame that waits for a durable index.
struct Waiting {
    segment: SegmentHeader,
    frame: FrameHeader,
    body: PageBuffer,
}

impl View {
    /// Opens a view at the newest segment that has begun and shows what is durable in it.
    ///
    /// # Errors
    ///
    /// [`RecoveryError`] if the disk fails or a frame is damaged that was durable.
    pub fn open(disk: &dyn Disk, ledger: Option<LedgerId>, visit: &mut Visit<'_>) -> Result<Self, RecoveryError> {
        let files = list(disk)?;
        let mut newest = None;
        for file in files.iter().rev().take(2) {
            let mut window = Window::new(disk, file.number, file.size);
            let segment = read_header(&mut window, file, ledger)?;
            let link = start_link(file.number);
            let first = look(&mut window, &segment, &link, FIRST_FRAME_OFFSET)?;
            let mut view =
                Self { segment, offset: FIRST_FRAME_OFFSET, link, durable: 0, base: None, ahead: Vec::new() };
            if let Look::Intact(frame) = first {
                stop(visit(RecoveredFrame { segment: &view.segment, header: &frame, body: &[] }))?;
                view.base = Some(frame.checksum);
                let stop = view.advance(disk, visit)?;
                probe(disk, &stop)?;
                return Ok(view);
            }
            newest = Some(view);
        }
        let view = newest.ok_or(RecoveryError::NoSegments)?;
        if view.segment.number == 0 { Ok(view) } else { Err(RecoveryError::NoStart { segment: view.segment.number }) }
    }

    /// Shows what became durable since.
    ///
    /// # Errors
    ///
    /// [`RecoveryError`] if the disk fails or a segment's first page is damaged.
    pub fn refresh(&mut self, disk: &dyn Disk, visit: &mut Visit<'_>) -> Result<(), RecoveryError> {
        self.advance(disk, visit).map(drop)
    }

    /// Walks over the intact frames behind the last one shown, shows those that became durable, says where it ended.
    fn advance(&mut self, disk: &dyn Disk, visit: &mut Visit<'_>) -> Result<Stop, RecoveryError> {
        let mut at = Stop { segment: self.segment.clone(), offset: self.offset, link: self.link.clone() };
        let mut window = Window::new(disk, at.segment.number, at.segment.size);
        let mut waiting = VecDeque::new();
        self.ahead.clear();
        loop {
            if at.link.last().is_some_and(|last| last.kind == FrameKind::End) && at.offset != FIRST_FRAME_OFFSET {
                let Some((next_window, next)) = next_segment(disk, &at.segment)? else { return Ok(at) };
                (window, at.segment, at.offset) = (next_window, next, FIRST_FRAME_OFFSET);
            }
            let Look::Intact(frame) = look(&mut window, &at.segment, &at.link, at.offset)? else { return Ok(at) };
            let bytes = window.get(at.offset + frame.size.header_bytes() as u64, frame.size.body_size)?;
            let mut body = PageBuffer::new(bytes.len().next_multiple_of(PAGE_SIZE));
            body.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            self.durable = self.durable.max(frame.durable);
            self.ahead.extend(frame.slots.iter().flatten());
            at.offset = frame.end();
            at.link = at.link.next((*frame).clone());
            waiting.push_back(Waiting { segment: at.segment.clone(), frame: *frame, body });
            self.show(&mut waiting, visit)?;
        }
    }

    /// All frames below this index are known to be durable.
    pub const fn durable(&self) -> u64 {
        self.durable
    }

    /// Checkpoints in the intact frames looked at last, shown or not, oldest first.
    ///
    /// A checkpoint was released only when its block was durable, so it holds even if the frame that stores it is lost.
    pub fn checkpoints(&self) -> &[Slot] {
        &self.ahead
    }

    /// Number of the segment of the last frame shown.
    pub const fn segment(&self) -> u64 {
        self.segment.number
    }

    /// Offset in that segment behind the last frame shown, in bytes; that of the first frame if none of it was.
    ///
    /// All segments of lower numbers are durable to their ends.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    fn show(&mut self, waiting: &mut VecDeque<Waiting>, visit: &mut Visit<'_>) -> Result<(), RecoveryError> {
        while let Some(Waiting { segment, frame, body }) =
            waiting.pop_front_if(|first| first.frame.index < self.durable)
        {
            if self.base.take() != Some(frame.checksum) {
                let body = body.get(..frame.size.body_size).unwrap_or(&[]);
                stop(visit(RecoveredFrame { segment: &segment, header: &frame, body }))?;
            }
            (self.segment, self.offset) = (segment, frame.end());
            self.link = self.link.next(frame);
        }
        Ok(())
    }
}

/// Refuses a bad frame that some frame above it says was durable.
///
/// The writer may have written the frame between the two looks; then the last look finds it.
fn probe(disk: &dyn Disk, at: &Stop) -> Result<(), RecoveryError> {
    let Stop { segment, offset, link } = at;
    let index = link.index();
    if segment.size <= *offset {
        return Ok(());
    }
    let mut window = Window::new(disk, segment.number, segment.size);
    let above = search_above(&mut window, segment, offset + PAGE_SIZE as u64, index, link.epoch())?;
    if above.durable <= index {
        return Ok(());
    }
    let mut window = Window::new(disk, segment.number, segment.size);
    let (segment_number, offset, durable) = (segment.number, *offset, above.durable);
    match look(&mut window, segment, link, offset)? {
        Look::Intact(_) => Ok(()),
        Look::Damaged(damage) => {
            Err(RecoveryError::Damaged { segment: segment_number, offset, index: Some(index), damage })
        }
        Look::Zero | Look::Torn { .. } | Look::Stale => {
            Err(RecoveryError::DurableLost { segment: segment_number, offset, index, durable })
        }
    }
}

fn stop(flow: core::ops::ControlFlow<()>) -> Result<(), RecoveryError> {
    if flow.is_break() { Err(RecoveryError::Stopped) } else { Ok(()) }
}

/// The segment behind one that an end frame closed, if it is there.
fn next_segment<'a>(
    disk: &'a dyn Disk,
    segment: &SegmentHeader,
) -> Result<Option<(Window<'a>, SegmentHeader)>, RecoveryError> {
    let files = list(disk)?;
    let Some(file) = files.iter().find(|file: &&SegmentFile| file.number == segment.number + 1) else {
        return Ok(None);
    };
    let mut window = Window::new(disk, file.number, file.size);
    let next = read_header(&mut window, file, Some(segment.ledger))?;
    Ok(Some((window, next)))
}
