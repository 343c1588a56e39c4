//! Reading one block back, by the place of its frame.
//!
//! Everything is verified on the way: the frame's checksums, the sum of every page, the layout of the body, and that it
//! is the block of the height that was asked for. The block owns the buffer it was read into; nothing is copied, and when it
//! goes, the buffer is used again. Single records are read in `outline.rs`. Whether the block is final is for the caller to know:
//! a reader reads what lies there.
//!
//! Segments that are written no more may be read through the page cache. It may hold what the disk does not say any more, or
//! the reverse; so what does not verify is read once more, from the disk itself, before it is called damaged.

mod outline;
mod spare;
#[cfg(test)]
mod tests;

pub use outline::{Outline, Part, Way};

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use annals_core::block::BlockHeader;
use annals_core::body::{Body, BodyError, BodyLayout};
use annals_core::hash::{BlockHash, LedgerId};
use annals_core::limits::PAGE_SIZE;
use annals_core::tree::Frontier;
use parking_lot::RwLock;

use crate::buffer::PageBuffer;
use crate::disk::{Disk, DiskError};
use crate::frame::{FrameError, FrameHeader, FrameKind, FrameSize, Location, Slot, parse_extent, verify_body};
use crate::segment::{SegmentError, SegmentHeader};
use spare::Spare;

/// Why a block could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The disk did not answer.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The segment's first page is not valid.
    #[error("segment {segment}, offset 0: {error}")]
    Segment {
        /** The segment. */
        segment: u64,
        /** What is wrong. */
        error: SegmentError,
    },
    /// The segment belongs to another ledger or is another one.
    #[error("segment {segment} is number {found} of ledger {ledger}")]
    OtherSegment {
        /** The segment asked for. */
        segment: u64,
        /** The number that its first page says. */
        found: u64,
        /** The ledger that its first page says. */
        ledger: LedgerId,
    },
    /// The frame is damaged.
    #[error("segment {}, offset {}: {error}", location.segment, location.offset)]
    Frame {
        /** Where it lies. */
        location: Location,
        /** What is wrong. */
        error: FrameError,
    },
    /// The frame holds no block.
    #[error("segment {}, offset {}: expected a block, found a {found:?} frame", location.segment, location.offset)]
    NoBlock {
        /** Where it lies. */
        location: Location,
        /** Its kind. */
        found: FrameKind,
    },
    /// The block is another one.
    #[error("segment {}, offset {}: expected block {expected}, found {found}", location.segment, location.offset)]
    Height {
        /** Where it lies. */
        location: Location,
        /** Height asked for. */
        expected: u64,
        /** Height of the block there. */
        found: u64,
    },
    /// The body is not valid.
    #[error("segment {}, offset {}: {error}", location.segment, location.offset)]
    Body {
        /** Where the frame lies. */
        location: Location,
        /** What is wrong. */
        error: BodyError,
    },
    /// The body has another number of records than the header says.
    #[error("segment {}, offset {}: expected {expected} records, found {found}", location.segment, location.offset)]
    RecordCount {
        /** Where the frame lies. */
        location: Location,
        /** Records that the header says. */
        expected: u32,
        /** Records in the body. */
        found: usize,
    },
}

impl ReadError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Disk(_) => "read.disk",
            Self::Segment { .. } => "read.segment",
            Self::OtherSegment { .. } => "read.other_segment",
            Self::Frame { .. } => "read.frame",
            Self::NoBlock { .. } => "read.no_block",
            Self::Height { .. } => "read.height",
            Self::Body { .. } => "read.body",
            Self::RecordCount { .. } => "read.record_count",
        }
    }

    /// Segment and offset in bytes of what could not be read; none if the disk did not answer.
    pub const fn place(&self) -> Option<(u64, u64)> {
        match self {
            Self::Disk(_) => None,
            Self::Segment { segment, .. } | Self::OtherSegment { segment, .. } => Some((*segment, 0)),
            Self::Frame { location, .. }
            | Self::NoBlock { location, .. }
            | Self::Height { location, .. }
            | Self::Body { location, .. }
            | Self::RecordCount { location, .. } => Some((location.segment, location.offset)),
        }
    }
}

/// A block in memory, verified. Share it in an `Arc`.
#[derive(Debug)]
pub struct Block {
    frame: FrameHeader,
    header: BlockHeader,
    hash: BlockHash,
    layout: BodyLayout,
    buffer: PageBuffer,
    /// Where the buffer goes afterwards.
    spare: Arc<Spare>,
}

impl Drop for Block {
    fn drop(&mut self) {
        self.spare.put(&mut self.buffer);
    }
}

impl Block {
    /// The block's header.
    pub const fn header(&self) -> &BlockHeader {
        &self.header
    }

    /// The block's hash.
    pub const fn hash(&self) -> BlockHash {
        self.hash
    }

    /// Frontier of the tree before the block.
    pub const fn frontier_before(&self) -> &Frontier {
        &self.frame.frontier
    }

    /// Checkpoints of earlier blocks that the frame stores, oldest first.
    pub fn checkpoints(&self) -> impl Iterator<Item = &Slot> {
        self.frame.slots.iter().flatten()
    }

    /// Where it lies.
    pub const fn location(&self) -> Location {
        self.frame.location()
    }

    /// Its frame's header.
    pub const fn frame(&self) -> &FrameHeader {
        &self.frame
    }

    /// Bytes that it takes in memory.
    pub fn memory_size(&self) -> usize {
        size_of::<Self>() + self.buffer.len()
    }

    /// Its records, as they were parsed when the block was read.
    pub fn body(&self) -> Body<'_> {
        Body::parsed(body_bytes(&self.buffer, self.frame.size), self.layout)
    }
}

fn body_bytes(buffer: &PageBuffer, size: FrameSize) -> &[u8] {
    buffer.get(size.header_bytes()..size.header_bytes() + size.body_size).unwrap_or(&[])
}

/// Reads, and where the page cache gives nothing that verifies, reads from the disk.
fn verified<T>(way: Way, mut read: impl FnMut(Way) -> Result<T, ReadError>) -> Result<T, ReadError> {
    match (way, read(way)) {
        (Way::Cached, Err(_)) => read(Way::Direct),
        (Way::Direct | Way::Cached, result) => result,
    }
}

/// Reads blocks of one ledger.
#[derive(Debug)]
pub struct BlockReader {
    disk: Arc<dyn Disk>,
    ledger: LedgerId,
    /// First pages read so far; they never change.
    segments: RwLock<HashMap<u64, SegmentHeader>>,
    spare: Arc<Spare>,
    /// Bytes of the frame that was read last: the next one is as large more often than not, and then one read is enough.
    frame_bytes: AtomicUsize,
}

impl BlockReader {
    /// A reader of the blocks of this ledger.
    pub fn new(disk: Arc<dyn Disk>, ledger: LedgerId) -> Self {
        let segments = RwLock::new(HashMap::new());
        Self { disk, ledger, segments, spare: Arc::default(), frame_bytes: AtomicUsize::new(PAGE_SIZE) }
    }

    /// Reads the block at a place.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the disk fails, or what lies there is not the sound block of that height.
    pub fn read(&self, location: Location, height: u64, way: Way) -> Result<Block, ReadError> {
        let mut buffer = PageBuffer::new(0);
        let (header, hash, layout, frame) = verified(way, |way| self.read_block(location, height, way, &mut buffer))?;
        Ok(Block { header, hash, layout, frame, buffer, spare: Arc::clone(&self.spare) })
    }

    fn read_block(
        &self,
        location: Location,
        height: u64,
        way: Way,
        buffer: &mut PageBuffer,
    ) -> Result<(BlockHeader, BlockHash, BodyLayout, FrameHeader), ReadError> {
        let (segment, frame) = self.read_frame(location, way, buffer)?;
        let Some(&block) = frame.block() else { return Err(ReadError::NoBlock { location, found: frame.kind }) };
        if block.header.height != height {
            return Err(ReadError::Height { location, expected: height, found: block.header.height });
        }
        let (header, body) = buffer.split_at_checked(frame.size.header_bytes()).unwrap_or((buffer, &[]));
        verify_body(&segment, &frame, header, body).map_err(|error| ReadError::Frame { location, error })?;
        let body = Body::parse(body_bytes(buffer, frame.size)).map_err(|error| ReadError::Body { location, error })?;
        let (expected, found) = (block.header.record_count, body.record_count());
        if expected as usize != found {
            return Err(ReadError::RecordCount { location, expected, found });
        }
        Ok((block.header, block.hash, body.layout(), frame))
    }

    /// Reads the header of the frame at a place, of any kind: for the checkpoints that it stores.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the disk fails, or no sound frame of this ledger lies there.
    pub fn read_header(&self, location: Location) -> Result<FrameHeader, ReadError> {
        let segment = self.segment(location.segment)?;
        let first = self.read_pages(location, PAGE_SIZE)?;
        let (_, size) =
            parse_extent(&segment, location.offset, &first).map_err(|error| ReadError::Frame { location, error })?;
        let pages = if size.header_pages() == 1 { first } else { self.read_pages(location, size.header_bytes())? };
        FrameHeader::parse(&segment, location.offset, &pages).map_err(|error| ReadError::Frame { location, error })
    }

    /// Reads a whole frame into one buffer and parses its header.
    fn read_frame(
        &self,
        location: Location,
        way: Way,
        buffer: &mut PageBuffer,
    ) -> Result<(SegmentHeader, FrameHeader), ReadError> {
        let segment = self.segment(location.segment)?;
        let wrong = |error| ReadError::Frame { location, error };
        // Relaxed: a guess at the size; it orders nothing.
        let left = usize::try_from(segment.size.saturating_sub(location.offset)).unwrap_or(usize::MAX);
        let guess = self.frame_bytes.load(Ordering::Relaxed).min(left).max(PAGE_SIZE);
        *buffer = self.spare.take(guess);
        self.fill(location, buffer, way)?;
        let (_, size) = parse_extent(&segment, location.offset, buffer).map_err(wrong)?;
        #[expect(clippy::cast_possible_truncation, reason = "a frame's size was compared with the largest")]
        let bytes = size.total_bytes() as usize;
        self.frame_bytes.store(bytes, Ordering::Relaxed);
        let is_whole = bytes <= guess;
        buffer.resize(bytes);
        if !is_whole {
            self.fill(location, buffer, way)?;
        }
        let frame = FrameHeader::parse(&segment, location.offset, buffer).map_err(wrong)?;
        if frame.size != size {
            // Both reads are of the same bytes unless the disk changes them in between.
            return Err(wrong(FrameError::Truncated { needed: frame.size.header_bytes(), got: buffer.len() }));
        }
        Ok((segment, frame))
    }

    fn read_pages(&self, location: Location, length: usize) -> Result<PageBuffer, DiskError> {
        let mut pages = PageBuffer::new(length);
        self.disk.read(location.segment, location.offset, &mut pages)?;
        Ok(pages)
    }

    fn fill(&self, at: Location, buffer: &mut PageBuffer, way: Way) -> Result<(), DiskError> {
        match way {
            Way::Direct => self.disk.read(at.segment, at.offset, buffer),
            Way::Cached => self.disk.read_settled(at.segment, at.offset, buffer),
        }
    }

    fn segment(&self, number: u64) -> Result<SegmentHeader, ReadError> {
        if let Some(header) = self.segments.read().get(&number) {
            return Ok(header.clone());
        }
        let page = self.read_pages(Location { segment: number, offset: 0 }, PAGE_SIZE)?;
        let header = SegmentHeader::parse(&page).map_err(|error| ReadError::Segment { segment: number, error })?;
        if header.number != number || header.ledger != self.ledger {
            return Err(ReadError::OtherSegment { segment: number, found: header.number, ledger: header.ledger });
        }
        self.segments.write().insert(number, header.clone());
        Ok(header)
    }
}
