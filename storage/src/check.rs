//! Checking a ledger: every frame of every segment, every byte of them and of what must be zero between.
//!
//! It reads all segments in order, or those from one on, verifies sums, padding, checksums and the chain
//! across segments, and hands every frame to the caller, who verifies the records. Behind the end frame of a closed
//! segment, in the prepared segment and behind the last frame there must be zeros; only a torn tail, of the kind that
//! recovery would cut, is reported and not refused. Behind a clean close nothing passes for a torn tail.
//!
//! Reads go forward, [`READ_SIZE`] bytes at a time, each byte once; whoever wants to read ahead does it behind the
//! [`Disk`]. It stops at the first thing that is wrong, and changes nothing. It needs the writer to be away.

#[cfg(test)]
mod tests;

use annals_core::hash::LedgerId;

use crate::disk::{Disk, DiskError, SegmentFile};
use crate::frame::{FrameHeader, FrameKind, HashedHeader};
use crate::recovery::{
    Cut, RecoveredFrame, RecoveryError, Visit, Walked, check_rest, judge, list, no_start, read_header, start_link, walk,
};
use crate::scan::{CHUNK_SIZE, Link, Look, Window, look};
use crate::segment::{FIRST_FRAME_OFFSET, SegmentHeader};

/// Bytes of one read. A segment is a multiple of it.
pub const READ_SIZE: usize = CHUNK_SIZE;

/// What a sound ledger consists of.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CheckReport {
    /// Segments read, one that was prepared among them.
    pub segments: u64,
    /// Intact frames.
    pub frames: u64,
    /// Blocks among them.
    pub blocks: u64,
    /// Bytes of the segments.
    pub bytes: u64,
    /// The newest block; none in an empty ledger.
    pub newest: Option<HashedHeader>,
    /// Whether the ledger was closed cleanly, or is empty.
    pub closed: bool,
    /// The segment that the ledger ends with, if that is closed and the next one is not there.
    pub ends_segment: Option<u64>,
    /// A torn tail, which the next opening for writing will cut.
    pub torn: Option<Cut>,
}

/// Checks all segments of a ledger and hands every intact frame to `visit`, in order.
///
/// # Errors
///
/// [`RecoveryError`] naming the first thing that is wrong: segment, offset, expected, found.
pub fn check(disk: &dyn Disk, ledger: Option<LedgerId>, visit: &mut Visit<'_>) -> Result<CheckReport, RecoveryError> {
    check_from(disk, ledger, 0, visit)
}

/// As [`check`], but only the segments from `first` on; the start frame of that one is taken as it is.
///
/// # Errors
///
/// As [`check`]; [`RecoveryError::NoStart`] if the segment `first` is there but has no start frame, unless it is the first.
pub fn check_from(
    disk: &dyn Disk,
    ledger: Option<LedgerId>,
    first: u64,
    visit: &mut Visit<'_>,
) -> Result<CheckReport, RecoveryError> {
    let files = list(disk)?;
    let mut report = CheckReport::default();
    let (mut link, mut ledger) = (start_link(first), ledger);
    let mut rest = usize::try_from(first).ok().and_then(|first| files.get(first..)).unwrap_or(&[]);
    if rest.is_empty() {
        return Err(RecoveryError::NoSegments);
    }
    while let Some((file, later)) = rest.split_first() {
        rest = later;
        report.segments += 1;
        report.bytes += file.size;
        let mut window = Window::new(disk, file.number, file.size);
        let segment = read_header(&mut window, file, ledger)?;
        ledger = Some(segment.ledger);
        let walked = walk_counted(&mut window, &segment, link, &mut report, visit)?;
        link = walked.link;
        if let Some(found) = walked.look {
            if matches!(link, Link::Unread) {
                return Err(no_start(&segment, found));
            }
            report.torn = check_tail(disk, &mut window, &segment, &link, walked.offset, found, later)?;
            report.segments += later.len() as u64;
            report.bytes += later.iter().map(|file| file.size).sum::<u64>();
            break;
        }
        check_rest(&mut window, &segment, walked.offset)?;
    }
    report.newest = link.last().and_then(|last| last.newest);
    report.ends_segment = link.last().filter(|last| last.kind == FrameKind::End).map(|last| last.segment);
    if files.iter().any(|file| report.ends_segment.is_some_and(|ended| ended < file.number)) {
        report.ends_segment = None;
    }
    report.closed = link.only_mark_follows() && report.torn.is_none();
    Ok(report)
}

fn walk_counted(
    window: &mut Window<'_>,
    segment: &SegmentHeader,
    link: Link,
    report: &mut CheckReport,
    visit: &mut Visit<'_>,
) -> Result<Walked, RecoveryError> {
    walk(window, segment, link, FIRST_FRAME_OFFSET, &mut |frame: RecoveredFrame<'_>| {
        report.frames += 1;
        report.blocks += u64::from(frame.header.block().is_some());
        visit(frame)
    })
}

/// Reads a segment's first page: its size and key.
///
/// # Errors
///
/// [`RecoveryError`] if the segment is missing, unreadable, damaged or of another ledger.
pub fn segment_header(disk: &dyn Disk, ledger: LedgerId, number: u64) -> Result<SegmentHeader, RecoveryError> {
    let (file, mut window) = find_segment(disk, number)?;
    read_header(&mut window, &file, Some(ledger))
}

/// Hands the frames of one closed segment to `visit`, in order; the header of its end frame. For rebuilding its index.
///
/// # Errors
///
/// [`RecoveryError`] if the segment is missing or damaged, or has no end frame.
pub fn read_closed(
    disk: &dyn Disk,
    ledger: LedgerId,
    number: u64,
    visit: &mut Visit<'_>,
) -> Result<FrameHeader, RecoveryError> {
    let (file, mut window) = find_segment(disk, number)?;
    let segment = read_header(&mut window, &file, Some(ledger))?;
    let walked = walk(&mut window, &segment, start_link(number), FIRST_FRAME_OFFSET, visit)?;
    let (offset, index) = (walked.offset, walked.link.index());
    match (walked.look, walked.link.last()) {
        (None, Some(end)) => Ok(end.clone()),
        (Some(found), _) if offset == FIRST_FRAME_OFFSET => Err(no_start(&segment, found)),
        (Some(Look::Damaged(damage)), _) => {
            Err(RecoveryError::Damaged { segment: number, offset, index: Some(index), damage })
        }
        (Some(_), _) | (None, None) => Err(RecoveryError::NoEnd { segment: number, offset }),
    }
}

fn find_segment(disk: &dyn Disk, number: u64) -> Result<(SegmentFile, Window<'_>), RecoveryError> {
    let missing = RecoveryError::Disk(DiskError::Missing { segment: number });
    let file = disk.segments()?.into_iter().find(|file| file.number == number).ok_or(missing)?;
    Ok((file, Window::new(disk, number, file.size)))
}

/// The frames end here: everything behind must be zero or a torn tail, and a later segment prepared at most.
fn check_tail(
    disk: &dyn Disk,
    window: &mut Window<'_>,
    segment: &SegmentHeader,
    link: &Link,
    offset: u64,
    found: Look,
    later: &[SegmentFile],
) -> Result<Option<Cut>, RecoveryError> {
    let mut durable = link.last().map_or(0, |last| last.durable);
    let mut unused = None;
    if let Some(next) = later.first() {
        let mut next_window = Window::new(disk, next.number, next.size);
        let next_segment = read_header(&mut next_window, next, Some(segment.ledger))?;
        // A later segment that has begun says that this one was durable to its end frame.
        match look(&mut next_window, &next_segment, &start_link(next.number), FIRST_FRAME_OFFSET)? {
            Look::Intact(start) => durable = durable.max(start.durable),
            Look::Zero | Look::Torn { .. } | Look::Stale | Look::Damaged(_) if offset == FIRST_FRAME_OFFSET => {
                return Err(no_start(segment, found));
            }
            Look::Zero | Look::Torn { .. } | Look::Stale | Look::Damaged(_) => {
                unused = Some((next_window, next_segment));
            }
        }
    }
    let judged = judge(window, segment, link, offset, found, durable)?;
    if let Some((mut window, unused)) = unused {
        check_rest(&mut window, &unused, FIRST_FRAME_OFFSET)?;
    }
    match later.get(1) {
        Some(_) => Err(RecoveryError::NoStart { segment: segment.number + 1 }),
        None => Ok(judged.cut),
    }
}
