//! Reading single records of a block, without the rest of it.
//!
//! An [`Outline`] is what a block is without its records: its frame's header, the sums of its pages, where its parts lie,
//! and where each payload ends. It takes some 8 bytes a page and 4 a record, so that those of a whole ledger fit memory where
//! its blocks don't. With it a record costs two reads of the pages that it lies in, and each page that is read is compared
//! with its sum. A page that isn't read is not verified: who asks for one record is not told that another is damaged.
//!
//! ```text
//! header 1-3 pages, verified | heads | states | ends, verified | payloads | root, verified
//! ```

use core::ops::Range;

use annals_core::block::BlockHeader;
use annals_core::body::{BodyError, BodyLayout};
use annals_core::hash::BlockHash;
use annals_core::limits::{BODY_SIZE_MAX, FRONTIER_LENGTH_MAX, HEAD_SIZE, PAGE_SIZE};
use annals_core::tree::Frontier;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{BlockReader, ReadError, verified};
use crate::buffer::PageBuffer;
use crate::fields::{number_u32, part};
use crate::frame::{FrameError, FrameHeader, FrameSize, Location, header_pages, page_sums};
use crate::segment::SegmentHeader;

/// Bytes of the longest header.
const HEADER_BYTES_MAX: u64 = (header_pages(FRONTIER_LENGTH_MAX, BODY_SIZE_MAX / PAGE_SIZE) * PAGE_SIZE) as u64;
/// Pages between two parts that are still read at once: fewer reads are worth some pages in vain.
const GAP_PAGES_MAX: usize = 3;
/// Offset of the payload's size in a head, see `docs/FORMAT.md`, "Record".
const PAYLOAD_SIZE_AT: usize = 92;

/// How a segment is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// From the disk: it may be written to.
    Direct,
    /// Through the page cache: nothing is written to it any more.
    Cached,
}

/// A block without its records, verified. Share it in an `Arc`.
#[derive(Debug)]
pub struct Outline {
    frame: FrameHeader,
    header: BlockHeader,
    hash: BlockHash,
    pages: Pages,
    layout: BodyLayout,
    /// Where each payload ends, in bytes from the first one's start.
    ends: Box<[u32]>,
}

/// Where the pages of a body lie, and their sums.
#[derive(Debug)]
struct Pages {
    location: Location,
    size: FrameSize,
    seed: u64,
    sums: Box<[u64]>,
}

/// One record of a block, its pages verified.
#[derive(Debug)]
pub struct Part {
    head: [u8; HEAD_SIZE],
    pages: PageBuffer,
    payload: Range<usize>,
}

impl Part {
    /// The record's head.
    pub const fn head(&self) -> &[u8; HEAD_SIZE] {
        &self.head
    }

    /// Its payload.
    pub fn payload(&self) -> &[u8] {
        self.pages.get(self.payload.clone()).unwrap_or_default()
    }
}

impl Outline {
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

    /// Its frame's header.
    pub const fn frame(&self) -> &FrameHeader {
        &self.frame
    }

    /// Bytes that it takes in memory.
    pub fn memory_size(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.pages.sums) + size_of_val(&*self.ends)
    }

    /// Bytes of a record's payload, from the first payload's start.
    fn payload(&self, index: usize) -> Option<Range<usize>> {
        let start = index.checked_sub(1).map_or(Some(&0), |before| self.ends.get(before))?;
        Some(*start as usize..*self.ends.get(index)? as usize)
    }

    fn body_error(&self, error: BodyError) -> ReadError {
        ReadError::Body { location: self.pages.location, error }
    }
}

impl Pages {
    /// Compares pages from the `first` on with their sums.
    fn check(&self, first: usize, bytes: &[u8]) -> Result<(), ReadError> {
        let sums = self.sums.iter().enumerate().skip(first);
        for ((page, expected), bytes) in sums.zip(bytes.chunks_exact(PAGE_SIZE)) {
            let (expected, found) = (*expected, xxh3_64_with_seed(bytes, self.seed));
            if expected != found {
                let error = FrameError::PageSum { page, expected, found };
                return Err(ReadError::Frame { location: self.location, error });
            }
        }
        Ok(())
    }
}

/// The pages in which bytes of a body lie.
fn pages_of(bytes: &Range<usize>) -> Range<usize> {
    bytes.start / PAGE_SIZE..bytes.end.div_ceil(PAGE_SIZE)
}

impl BlockReader {
    /// Reads what the block at a place is, without its records.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the disk fails, or what lies there is not the sound block of that height.
    pub fn outline(&self, location: Location, height: u64, way: Way) -> Result<Outline, ReadError> {
        let segment = self.segment(location.segment)?;
        let (frame, sums) = verified(way, |way| self.header_and_sums(&segment, location, way))?;
        let Some(&block) = frame.block() else { return Err(ReadError::NoBlock { location, found: frame.kind }) };
        if block.header.height != height {
            return Err(ReadError::Height { location, expected: height, found: block.header.height });
        }
        let pages = Pages { location, size: frame.size, seed: segment.seed(), sums };
        let wrong = |error| ReadError::Body { location, error };
        let body_size = frame.size.body_size;
        // The last two pages: the root may lie across their boundary.
        let last = (body_size.div_ceil(PAGE_SIZE).saturating_sub(2)) * PAGE_SIZE;
        let (tail, skipped) = self.read_part(&pages, last..body_size, way)?;
        let tail = tail.get(skipped..skipped + (body_size - last)).unwrap_or_default();
        let layout = BodyLayout::of_tail(block.header.record_count as usize, body_size, tail).map_err(wrong)?;
        let ends = self.read_ends(&pages, layout, way)?;
        Ok(Outline { header: block.header, hash: block.hash, frame, pages, layout, ends })
    }

    /// Reads one record of a block.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the disk fails, or a page that the record lies in is damaged.
    pub fn record(&self, outline: &Outline, index: usize, way: Way) -> Result<Part, ReadError> {
        let wrong = outline.body_error(BodyError::Payload { index });
        let Some(payload) = outline.payload(index) else { return Err(wrong) };
        let size = payload.len();
        let head = outline.layout.head_range(index..index + 1);
        let payload = outline.layout.payload_range(payload);
        let is_near = pages_of(&payload).start <= pages_of(&head).end + GAP_PAGES_MAX;
        let (pages, at, head) = if is_near && size != 0 {
            let (pages, at) = self.read_part(&outline.pages, head.start..payload.end, way)?;
            let bytes = part(&pages, at, at + HEAD_SIZE).first_chunk().copied();
            (pages, at + (payload.start - head.start), bytes)
        } else {
            let (heads, at) = self.read_part(&outline.pages, head, way)?;
            let (pages, payload_at) = self.read_part(&outline.pages, payload, way)?;
            (pages, payload_at, part(&heads, at, at + HEAD_SIZE).first_chunk().copied())
        };
        match head {
            Some(head) if number_u32(&head, PAYLOAD_SIZE_AT) as usize == size => {
                Ok(Part { head, pages, payload: at..at + size })
            }
            Some(_) | None => Err(wrong),
        }
    }

    /// Reads the heads of some records of a block.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the disk fails, a page that the heads lie in is damaged, or the block has fewer records.
    pub fn heads(&self, outline: &Outline, records: Range<usize>, way: Way) -> Result<Vec<[u8; HEAD_SIZE]>, ReadError> {
        if outline.layout.record_count() < records.end {
            return Err(outline.body_error(BodyError::RecordCount(records.end)));
        }
        let bytes = outline.layout.head_range(records);
        let size = bytes.len();
        let (pages, at) = self.read_part(&outline.pages, bytes, way)?;
        Ok(part(&pages, at, at + size).as_chunks().0.to_vec())
    }

    fn header_and_sums(
        &self,
        segment: &SegmentHeader,
        location: Location,
        way: Way,
    ) -> Result<(FrameHeader, Box<[u64]>), ReadError> {
        let bytes = segment.size.saturating_sub(location.offset).clamp(PAGE_SIZE as u64, HEADER_BYTES_MAX);
        #[expect(clippy::cast_possible_truncation, reason = "at most the longest header")]
        let mut pages = PageBuffer::new(bytes as usize);
        self.fill(location, &mut pages, way)?;
        let frame = FrameHeader::parse(segment, location.offset, &pages);
        let frame = frame.map_err(|error| ReadError::Frame { location, error })?;
        let sums = page_sums(&pages, frame.size);
        Ok((frame, sums))
    }

    fn read_ends(&self, pages: &Pages, layout: BodyLayout, way: Way) -> Result<Box<[u32]>, ReadError> {
        let range = layout.end_range();
        let size = range.len();
        let (bytes, at) = self.read_part(pages, range, way)?;
        let ends = part(&bytes, at, at + size).as_chunks::<4>().0;
        let ends: Box<[u32]> = ends.iter().map(|end| u32::from_le_bytes(*end)).collect();
        let is_whole = ends.is_sorted() && ends.last().is_some_and(|last| *last as usize == layout.payload_bytes());
        let index = layout.record_count();
        let error = BodyError::Payload { index };
        if is_whole { Ok(ends) } else { Err(ReadError::Body { location: pages.location, error }) }
    }

    /// Reads the pages in which bytes of a body lie, verified, and tells where in them the bytes begin.
    fn read_part(&self, pages: &Pages, bytes: Range<usize>, way: Way) -> Result<(PageBuffer, usize), ReadError> {
        if bytes.is_empty() {
            return Ok((PageBuffer::new(0), 0));
        }
        let Range { start: first, end } = pages_of(&bytes);
        let Location { segment, offset } = pages.location;
        let offset = offset + (pages.size.header_bytes() + first * PAGE_SIZE) as u64;
        let mut buffer = PageBuffer::new((end - first) * PAGE_SIZE);
        verified(way, |way| {
            self.fill(Location { segment, offset }, &mut buffer, way)?;
            pages.check(first, &buffer)
        })?;
        Ok((buffer, bytes.start - first * PAGE_SIZE))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use crate::fixture::{LEDGER, Ledger};
    use std::sync::Arc;

    #[test]
    fn a_record_whose_head_says_another_size_is_refused() {
        let mut ledger = Ledger::create();
        ledger.append(&[0, 3000, 1]);
        let reader = BlockReader::new(Arc::new(ledger.disk.clone()), LEDGER);
        let mut outline = reader.outline(ledger.blocks[0], 0, Way::Direct).unwrap();
        let code = |outline: &Outline, index| reader.record(outline, index, Way::Direct).map_err(|error| error.code());
        assert!((0..3).all(|index| code(&outline, index).is_ok()));
        // As a writer would leave it whose ends are not what its heads say, all sums right.
        outline.ends[1] -= 1;
        assert_eq!(code(&outline, 0).map(|part| part.payload().len()), Ok(0));
        assert_eq!(code(&outline, 1).map(drop), Err("read.body"));
        assert_eq!(code(&outline, 2).map(drop), Err("read.body"));
        assert_eq!(code(&outline, 3).map(drop), Err("read.body"), "there is none");
    }
}
