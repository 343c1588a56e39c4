//! Looking at a segment: a sliding window over its bytes, what a frame at a place looks like, and what lies above.
//!
//! The looks are facts, without a decision. Two facts about disks make them decidable: fresh space is zero, and a sector is
//! written whole or not at all. So a page of a torn write is right or still has zero sectors; anything else is damage.
//! What follows from the looks is decided in one pure function, [`crate::recovery::decide`].
//!
//! | look | what lies at the place |
//! |---|---|
//! | zero | the first page is zero |
//! | intact | a frame that follows its predecessor |
//! | torn | some sector of the frame's known extent is still zero |
//! | stale | an intact header of a lower epoch than its predecessor |
//! | damaged | anything else |
//!
//! Reads go forward in chunks of 1 MiB, each byte once.

use annals_core::block::BlockError;
use annals_core::limits::{BODY_SIZE_MAX, FRONTIER_LENGTH_MAX, PAGE_SIZE, SECTOR_SIZE};

use crate::buffer::PageBuffer;
use crate::disk::{Disk, DiskError};
use crate::fields::{all_zero, part};
use crate::frame::{
    FrameChecksum, FrameError, FrameHeader, FrameKind, FrameSize, HashedHeader, check_page, has_zero_sector,
    header_extent, parse_extent, verify_body,
};
use crate::segment::SegmentHeader;

/// Bytes of one read.
pub(crate) const CHUNK_SIZE: usize = 1 << 20;
/// Most pages of a header: the largest body behind the longest frontier.
const HEADER_PAGES_MAX: usize = crate::frame::header_pages(FRONTIER_LENGTH_MAX, BODY_SIZE_MAX / PAGE_SIZE);
/// Most bytes of a window: the largest frame and a chunk; a frame is then always in one piece.
const WINDOW_SIZE: usize = BODY_SIZE_MAX + HEADER_PAGES_MAX * PAGE_SIZE + CHUNK_SIZE;

/// Why a frame does not follow the one before it, though it is right by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Its index is not the next one.
    #[error("frame index {found} where {expected} follows")]
    Index {
        /** The next index. */
        expected: u64,
        /** The frame's. */
        found: u64,
    },
    /// It names another predecessor.
    #[error("frame names {found} as its predecessor, which has checksum {expected}")]
    Previous {
        /** Checksum of the frame before. */
        expected: FrameChecksum,
        /** What the frame names. */
        found: FrameChecksum,
    },
    /// Its durable index is below its predecessor's.
    #[error("durable index {found} behind one of {previous}")]
    Durable {
        /** Of the frame before. */
        previous: u64,
        /** The frame's. */
        found: u64,
    },
    /// Its block does not follow the newest block.
    #[error("block: {0}")]
    Block(#[from] BlockError),
    /// Its frontier is not that of the tree before its block.
    #[error("the frontier before the block does not give the root of the block before")]
    Frontier,
    /// A frame without a block names another newest block.
    #[error("frame names another newest block, of height {found:?} where {expected:?} is the newest")]
    Newest {
        /** Height of the newest block. */
        expected: Option<u64>,
        /** Height of the block that the frame names. */
        found: Option<u64>,
    },
}

/// What is wrong with the bytes at a place.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The bytes are no valid frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The frame is right by itself but does not follow its predecessor.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Only one frame, known to the bit, can have been in flight here, and this is no part of it.
    #[error("sector {sector} is neither zero nor of the one frame that can follow here")]
    Mark {
        /** Sector of the page, 0 to 7. */
        sector: usize,
    },
    /// The segment's last page holds no end frame.
    #[error("the segment is full but has no end frame")]
    NoEnd,
}

impl Damage {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Frame(error) => error.code(),
            Self::Link(LinkError::Index { .. }) => "frame.link.index",
            Self::Link(LinkError::Previous { .. }) => "frame.link.previous",
            Self::Link(LinkError::Durable { .. }) => "frame.link.durable",
            Self::Link(LinkError::Block(_)) => "frame.link.block",
            Self::Link(LinkError::Frontier) => "frame.link.frontier",
            Self::Link(LinkError::Newest { .. }) => "frame.link.newest",
            Self::Mark { .. } => "frame.mark",
            Self::NoEnd => "frame.no_end",
        }
    }
}

/// A window that slides forward over one segment.
#[derive(Debug)]
pub(crate) struct Window<'a> {
    disk: &'a dyn Disk,
    number: u64,
    size: u64,
    bytes: PageBuffer,
    chunk: PageBuffer,
    from: u64,
    to: u64,
}

impl<'a> Window<'a> {
    /// Opens a window over a segment of `size` bytes, a multiple of 1 MiB.
    pub(crate) fn new(disk: &'a dyn Disk, number: u64, size: u64) -> Self {
        // A whole small segment fits: nothing is ever dropped then, and no memory is taken that it cannot fill.
        let length = usize::try_from(size).map_or(WINDOW_SIZE, |size| size.min(WINDOW_SIZE));
        let (bytes, chunk) = (PageBuffer::new(length), PageBuffer::new(CHUNK_SIZE));
        Self { disk, number, size, bytes, chunk, from: 0, to: 0 }
    }

    /// The bytes from `offset` on, `length` of them or up to the segment's end. Starts at a page: aligned to 4 KiB.
    #[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "bounded by the window's size")]
    pub(crate) fn get(&mut self, offset: u64, length: usize) -> Result<&[u8], DiskError> {
        let end = (offset + length as u64).min(self.size);
        assert!(end.saturating_sub(offset) as usize + CHUNK_SIZE <= WINDOW_SIZE, "no more than a frame is asked for");
        if offset < self.from || self.to < offset {
            // A jump; whole chunks are read, so that no byte is read twice on the way up.
            self.from = offset - offset % CHUNK_SIZE as u64;
            self.to = self.from;
        }
        while self.to < end {
            self.slide(offset);
            self.disk.read(self.number, self.to, &mut self.chunk)?;
            let at = (self.to - self.from) as usize;
            self.bytes[at..at + CHUNK_SIZE].copy_from_slice(&self.chunk);
            self.to += CHUNK_SIZE as u64;
        }
        Ok(&self.bytes[(offset - self.from) as usize..(end.max(offset) - self.from) as usize])
    }

    /// Drops what lies before `offset`, if a chunk would not fit otherwise.
    #[expect(clippy::cast_possible_truncation, reason = "bounded by the window's size")]
    fn slide(&mut self, offset: u64) {
        let used = (self.to - self.from) as usize;
        if used + CHUNK_SIZE <= self.bytes.len() {
            return;
        }
        let dropped = ((offset - self.from) as usize).min(used);
        self.bytes.copy_within(dropped..used, 0);
        self.from += dropped as u64;
    }
}

/// What the next frame has to follow.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    /// Nothing: the ledger is empty.
    Empty,
    /// Something that was not read: the first frame of a segment is taken as it is.
    Unread,
    /// This frame.
    Frame {
        /// The frame before.
        last: Box<FrameHeader>,
        /// Whether it closed the ledger cleanly, see [`Link::next`].
        closed: bool,
    },
}

impl Link {
    /// The link behind a frame that follows this one.
    ///
    /// Two watermarks of one epoch, one behind the other, close a ledger: a writer that goes on never writes that.
    pub(crate) fn next(&self, frame: FrameHeader) -> Self {
        let closed = match self {
            Self::Frame { last, .. } => {
                let marks = last.kind == FrameKind::Watermark && frame.kind == FrameKind::Watermark;
                marks && last.epoch == frame.epoch
            }
            Self::Empty | Self::Unread => false,
        };
        Self::Frame { closed: closed || frame.kind == FrameKind::End, last: Box::new(frame) }
    }

    pub(crate) fn last(&self) -> Option<&FrameHeader> {
        match self {
            Self::Frame { last, .. } => Some(last),
            Self::Empty | Self::Unread => None,
        }
    }

    /// Index of the next frame.
    pub(crate) fn index(&self) -> u64 {
        self.last().map_or(0, |last| last.index + 1)
    }

    /// Highest epoch so far.
    pub(crate) fn epoch(&self) -> u64 {
        self.last().map_or(0, |last| last.epoch)
    }

    /// Whether only one frame of one page can have been in flight behind the last frame.
    ///
    /// So it is at the start of a segment and behind a clean close: the writer waits for that frame before any other.
    pub(crate) const fn only_mark_follows(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Unread => false,
            Self::Frame { closed, .. } => *closed,
        }
    }

    fn check(&self, frame: &FrameHeader) -> Result<(), LinkError> {
        if matches!(self, Self::Unread) {
            return Ok(());
        }
        let (expected, found) = (self.index(), frame.index);
        if found != expected {
            return Err(LinkError::Index { expected, found });
        }
        let (expected, durable) = self.last().map_or((FrameChecksum::ZERO, 0), |last| (last.checksum, last.durable));
        if frame.previous != expected {
            return Err(LinkError::Previous { expected, found: frame.previous });
        }
        if frame.durable < durable {
            return Err(LinkError::Durable { previous: durable, found: frame.durable });
        }
        check_blocks(self.last().and_then(|last| last.newest.as_ref()), frame)
    }
}

fn check_blocks(newest: Option<&HashedHeader>, frame: &FrameHeader) -> Result<(), LinkError> {
    let Some(block) = frame.block() else {
        let height = |block: &HashedHeader| block.header.height;
        let (expected, found) = (newest.map(height), frame.newest.as_ref().map(height));
        return if newest == frame.newest.as_ref() { Ok(()) } else { Err(LinkError::Newest { expected, found }) };
    };
    block.header.follows(newest.map(|newest| &newest.header))?;
    match newest {
        Some(newest) if frame.frontier.root() != newest.header.root => Err(LinkError::Frontier),
        Some(_) | None => Ok(()),
    }
}

/// What lies where the next frame is expected.
#[derive(Debug)]
pub(crate) enum Look {
    /// The first page is zero.
    Zero,
    /// The frame that follows.
    Intact(Box<FrameHeader>),
    /// Some sector of the frame is still zero. Its end, if its first sector is there to say it.
    Torn { end: Option<u64> },
    /// An intact header of a lower epoch: left over from an earlier cut.
    Stale,
    /// Something that no torn write explains.
    Damaged(Damage),
}

impl Look {
    /// End of a torn frame whose first sector is there to say it.
    pub(crate) const fn torn_end(&self) -> Option<u64> {
        match self {
            Self::Torn { end } => *end,
            Self::Zero | Self::Intact(_) | Self::Stale | Self::Damaged(_) => None,
        }
    }
}

/// Looks at the frame at `offset`.
pub(crate) fn look(
    window: &mut Window<'_>,
    segment: &SegmentHeader,
    link: &Link,
    offset: u64,
) -> Result<Look, DiskError> {
    let first = window.get(offset, PAGE_SIZE)?;
    if first.is_empty() {
        return Ok(Look::Damaged(Damage::NoEnd));
    }
    if all_zero(first) {
        return Ok(Look::Zero);
    }
    if all_zero(part(first, 0, SECTOR_SIZE)) {
        return Ok(Look::Torn { end: None });
    }
    let size = match parse_extent(segment, offset, first) {
        Ok((_, size)) => size,
        Err(error) => return Ok(Look::Damaged(error.into())),
    };
    #[expect(clippy::cast_possible_truncation, reason = "a frame's size was compared with the largest")]
    let pages = window.get(offset, size.total_bytes() as usize)?;
    Ok(look_at_frame(segment, link, offset, size, pages))
}

fn look_at_frame(segment: &SegmentHeader, link: &Link, offset: u64, size: FrameSize, pages: &[u8]) -> Look {
    let (header, body) = pages.split_at_checked(size.header_bytes()).unwrap_or((pages, &[]));
    let torn = Look::Torn { end: Some(offset + size.total_bytes()) };
    let frame = match FrameHeader::parse(segment, offset, header) {
        Ok(frame) => frame,
        // Padding is never written as anything but zero, so a torn write does not explain it.
        Err(error @ FrameError::Padding { .. }) => return Look::Damaged(error.into()),
        Err(_) if has_zero_sector(header_extent(header, size)) => return torn,
        Err(error) => return Look::Damaged(error.into()),
    };
    if frame.epoch < link.epoch() {
        return Look::Stale;
    }
    if let Err(error) = link.check(&frame) {
        return Look::Damaged(error.into());
    }
    let Err(error) = verify_body(segment, &frame, header, body) else {
        return Look::Intact(Box::new(frame));
    };
    let torn_pages = body
        .chunks_exact(PAGE_SIZE)
        .enumerate()
        .all(|(page, bytes)| check_page(segment, &frame, header, page, bytes).is_ok() || has_zero_sector(bytes));
    if torn_pages && matches!(error, FrameError::PageSum { .. }) { torn } else { Look::Damaged(error.into()) }
}

/// An intact header above a bad frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) index: u64,
    pub(crate) offset: u64,
    pub(crate) end: u64,
}

/// What lies above the place where the next frame is expected, up to the segment's end.
#[derive(Debug, Default)]
pub(crate) struct Above {
    /// The header of index `i + 1`.
    pub(crate) next: Option<Found>,
    /// The first header of a higher index.
    pub(crate) hole: Option<Found>,
    /// The first header of an index that is taken already, or of a second frame `i + 1`.
    pub(crate) repeated: Option<Found>,
    /// The first header of a lower epoch.
    pub(crate) stale: Option<Found>,
    /// Highest durable index that any of them says.
    pub(crate) durable: u64,
    /// Highest epoch that any of them says.
    pub(crate) epoch: u64,
    /// End of the last page that is not zero; 0 if all are.
    pub(crate) nonzero_end: u64,
    /// End of the last page that is not zero and does not belong to a stale frame; 0 if there is none.
    pub(crate) junk_end: u64,
}

/// Searches every page from `from` to the segment's end for headers and for anything not zero.
///
/// `index` and `epoch` are those of the frame expected below `from` and of the last frame before it.
pub(crate) fn search_above(
    window: &mut Window<'_>,
    segment: &SegmentHeader,
    from: u64,
    index: u64,
    epoch: u64,
) -> Result<Above, DiskError> {
    let mut above = Above::default();
    let (mut offset, mut stale_end) = (from, 0);
    while offset < segment.size {
        #[expect(clippy::cast_possible_truncation, reason = "at most a chunk")]
        let length = (CHUNK_SIZE as u64 - offset % CHUNK_SIZE as u64) as usize;
        if all_zero(window.get(offset, length)?) {
            offset += length as u64;
            continue;
        }
        for page in (offset..offset + length as u64).step_by(PAGE_SIZE) {
            if all_zero(window.get(page, PAGE_SIZE)?) {
                continue;
            }
            above.nonzero_end = page + PAGE_SIZE as u64;
            let header = FrameHeader::parse(segment, page, window.get(page, HEADER_PAGES_MAX * PAGE_SIZE)?).ok();
            if let Some(frame) = header
                && above.take(&frame, index, epoch)
            {
                stale_end = stale_end.max(frame.end());
            }
            if stale_end <= page {
                above.junk_end = above.nonzero_end;
            }
        }
        offset += length as u64;
    }
    Ok(above)
}

impl Above {
    /// Notes a header; says whether it is stale.
    fn take(&mut self, frame: &FrameHeader, index: u64, epoch: u64) -> bool {
        let found = Found { index: frame.index, offset: frame.offset, end: frame.end() };
        self.durable = self.durable.max(frame.durable);
        self.epoch = self.epoch.max(frame.epoch);
        if frame.epoch < epoch {
            self.stale.get_or_insert(found);
            return true;
        }
        let place = match frame.index.checked_sub(index) {
            Some(1) if self.next.is_none() => &mut self.next,
            Some(0..=1) | None => &mut self.repeated,
            Some(_) => &mut self.hole,
        };
        place.get_or_insert(found);
        false
    }
}
