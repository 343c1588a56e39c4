//! Reading a ledger beside its live writer, without a lock: only what is surely durable is shown.
//!
//! A frame is shown once an intact frame behind it says that it was durable when that one was sealed. So at most the
//! last two frames are not seen, and an idle writer's watermark shows them too. Nothing is decided about the tail: the
//! writer may be in the middle of it, and after a crash it may be cut and written anew. That is why every
//! [`View::refresh`] looks again at all frames that were not shown yet.
//!
//! The start frame of the first segment read is shown at once: what it says of the newest block was durable before it
//! was written. Not done here: judging a torn tail, which needs the lock ([`crate::recovery`]).

use std::collections::VecDeque;

use annals_core::hash::LedgerId;

use crate::buffer::PageBuffer;
use crate::disk::{Disk, SegmentFile};
use crate::frame::{FrameChecksum, FrameHeader, FrameKind};
use crate::recovery::{RecoveredFrame, RecoveryError, Visit, list, read_header, start_link};
use crate::scan::{Link, Look, Window, look};
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
            let mut view = Self { segment, offset: FIRST_FRAME_OFFSET, link, durable: 0, base: None };
            if let Look::Intact(frame) = first {
                stop(visit(RecoveredFrame { header: &frame, body: &[] }))?;
                view.base = Some(frame.checksum);
                view.refresh(disk, visit)?;
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
    /// [`RecoveryError`] if the disk fails or a frame is damaged that was durable.
    pub fn refresh(&mut self, disk: &dyn Disk, visit: &mut Visit<'_>) -> Result<(), RecoveryError> {
        let (mut segment, mut offset, mut link) = (self.segment.clone(), self.offset, self.link.clone());
        let mut window = Window::new(disk, segment.number, segment.size);
        let mut waiting = VecDeque::new();
        loop {
            if link.last().is_some_and(|last| last.kind == FrameKind::End) && offset != FIRST_FRAME_OFFSET {
                let Some((next_window, next)) = next_segment(disk, &segment)? else { return Ok(()) };
                (window, segment, offset) = (next_window, next, FIRST_FRAME_OFFSET);
            }
            let frame = match look(&mut window, &segment, &link, offset)? {
                Look::Intact(frame) => *frame,
                Look::Damaged(damage) if link.index() < self.durable => {
                    let index = Some(link.index());
                    return Err(RecoveryError::Damaged { segment: segment.number, offset, index, damage });
                }
                Look::Zero | Look::Torn { .. } | Look::Stale | Look::Damaged(_) => return Ok(()),
            };
            let bytes = window.get(offset + frame.size.header_bytes() as u64, frame.size.body_size)?;
            let mut body = PageBuffer::new(bytes.len().next_multiple_of(annals_core::limits::PAGE_SIZE));
            body.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            self.durable = self.durable.max(frame.durable);
            offset = frame.end();
            link = link.next(frame.clone());
            waiting.push_back(Waiting { segment: segment.clone(), frame, body });
            self.show(&mut waiting, visit)?;
        }
    }

    /// All frames below this index are known to be durable.
    pub const fn durable(&self) -> u64 {
        self.durable
    }

    /// Number of the segment of the last frame shown.
    pub const fn segment(&self) -> u64 {
        self.segment.number
    }

    fn show(&mut self, waiting: &mut VecDeque<Waiting>, visit: &mut Visit<'_>) -> Result<(), RecoveryError> {
        while let Some(Waiting { segment, frame, body }) =
            waiting.pop_front_if(|first| first.frame.index < self.durable)
        {
            if self.base.take() != Some(frame.checksum) {
                let body = body.get(..frame.size.body_size).unwrap_or(&[]);
                stop(visit(RecoveredFrame { header: &frame, body }))?;
            }
            (self.segment, self.offset) = (segment, frame.end());
            self.link = self.link.next(frame);
        }
        Ok(())
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
