//! Scrubbing: reading a ledger again while it is written to, so that latent damage shows while a copy can still help.
//!
//! Every frame below a place that is known to be durable is read, with its checksums, page sums, padding and its link to the
//! frame before, across segments; behind the end frame of a closed segment there must be zeros. Nothing at or behind the
//! place is looked at, since the writer may be in the middle of it. No lock is needed, and nothing is changed.

#[cfg(test)]
mod tests;

use annals_core::hash::LedgerId;

use crate::disk::Disk;
use crate::frame::FrameKind;
use crate::recovery::{RecoveredFrame, RecoveryError, Visit, check_rest, list, read_header};
use crate::scan::{Link, Look, Window, look};
use crate::segment::{FIRST_FRAME_OFFSET, SegmentHeader};

/// A place in a ledger: all frames before it are durable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DurableEnd {
    /// The segment.
    pub segment: u64,
    /// Offset of the first byte behind the last frame, in bytes.
    pub offset: u64,
}

/// Reads all frames before a place again and hands them to `visit`, in order.
///
/// # Errors
///
/// [`RecoveryError`] naming the first thing that is wrong: segment, offset, expected, found; [`RecoveryError::Stopped`] if
/// `visit` stopped.
pub fn scrub(disk: &dyn Disk, ledger: LedgerId, end: DurableEnd, visit: &mut Visit<'_>) -> Result<(), RecoveryError> {
    let mut link = Link::Empty;
    for file in list(disk)?.iter().take_while(|file| file.number <= end.segment) {
        let mut window = Window::new(disk, file.number, file.size);
        let segment = read_header(&mut window, file, Some(ledger))?;
        let is_closed = file.number < end.segment;
        let bound = if is_closed { segment.size } else { end.offset };
        let (last, offset) = walk_to(&mut window, &segment, link, bound, visit)?;
        if is_closed {
            if last.last().is_none_or(|last| last.kind != FrameKind::End) {
                return Err(RecoveryError::NoEnd { segment: file.number, offset });
            }
            check_rest(&mut window, &segment, offset)?;
        }
        link = last;
    }
    Ok(())
}

/// Walks over the frames of a segment that lie before `bound`, or up to its end frame. All of them must be intact.
fn walk_to(
    window: &mut Window<'_>,
    segment: &SegmentHeader,
    mut link: Link,
    bound: u64,
    visit: &mut Visit<'_>,
) -> Result<(Link, u64), RecoveryError> {
    let mut offset = FIRST_FRAME_OFFSET;
    while offset < bound {
        let index = link.index();
        let frame = match look(window, segment, &link, offset)? {
            Look::Intact(frame) => frame,
            Look::Damaged(damage) => {
                return Err(RecoveryError::Damaged { segment: segment.number, offset, index: Some(index), damage });
            }
            Look::Zero | Look::Torn { .. } | Look::Stale => {
                return Err(RecoveryError::DurableLost { segment: segment.number, offset, index, durable: index + 1 });
            }
        };
        let body = window.get(offset + frame.size.header_bytes() as u64, frame.size.body_size)?;
        if visit(RecoveredFrame { segment, header: &frame, body }).is_break() {
            return Err(RecoveryError::Stopped);
        }
        let kind = frame.kind;
        offset = frame.end();
        link = link.next(*frame);
        if kind == FrameKind::End {
            break;
        }
    }
    Ok((link, offset))
}
