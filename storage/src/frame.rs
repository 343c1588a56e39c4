//! Frames: what storage writes, one behind the other, in a segment. Encoding and verifying, over byte slices.
//!
//! A frame is a header, padded to whole pages, and for a block its body, padded likewise. The immutable part of the
//! header is chained: it carries the checksum of the frame before. Beside it, under a checksum of its own, stands what
//! lawful destruction may one day rewrite: a generation and a 64-bit sum for every page of the body. Checksums are BLAKE3
//! keyed by the segment, so a payload cannot imitate a frame; a page of zeros is never a frame. Sector 0 carries a sum
//! of its own: a disk writes it whole or not at all, so what it says of the frame's extent can be trusted even if the
//! rest is torn.
//!
//! Exactly one encoding is valid: [`FrameHeader::parse`] looks at every byte. Whether a frame follows its predecessor is
//! not decided here but in `scan.rs`. No I/O; the layout is in `docs/FORMAT.md`, "Frame".

mod error;
mod parse;
#[cfg(test)]
mod tests;

pub use error::FrameError;
pub use parse::{FrameHeader, verify_body};
pub(crate) use parse::{check_page, has_zero_sector, header_extent, parse_extent};

use core::fmt;

use annals_core::block::BlockHeader;
use annals_core::hash::{BlockHash, Hex};
use annals_core::limits::{
    BLOCK_HEADER_SIZE, FRONTIER_LENGTH_MAX, HEAD_SIZE, PAGE_SIZE, PAYLOAD_SIZE_MAX, SECTOR_SIZE,
};
use annals_core::tree::Frontier;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::fields::{array, number_u64, part, put};
use crate::segment::SegmentHeader;

const MAGIC: &[u8; 4] = b"ANF1";
const LEDGER_AT: usize = 8;
const SEGMENT_AT: usize = 40;
const OFFSET_AT: usize = 48;
const INDEX_AT: usize = 56;
const EPOCH_AT: usize = 64;
const TERM_AT: usize = 72;
const DURABLE_AT: usize = 80;
const HEADER_SIZE_AT: usize = 88;
const BODY_SIZE_AT: usize = 92;
const PREVIOUS_AT: usize = 96;
const BLOCK_HASH_AT: usize = 128;
const BLOCK_AT: usize = 160;
const SLOTS_AT: usize = 328;
const SLOT_SIZE: usize = 80;
const RESERVED_AT: usize = 488;
const SECTOR_SUM_AT: usize = 504;
/// Bytes of a header beside frontier and page sums.
const HEADER_FIXED_SIZE: usize = SECTOR_SIZE + 32 + 16 + 32;
/// A body of one record without payload: head, state, end and root.
const BODY_SIZE_MIN: usize = HEAD_SIZE + 8 + 4 + 32;
/// Most bytes of a frame that holds more than one record.
const FRAME_SIZE_FLOOD: u64 = 4 << 20;

/// Bytes of a frame without a body: start, watermark and end frames are one page, whatever their frontier.
pub const MARK_SIZE: u64 = PAGE_SIZE as u64;
/// Checkpoint slots in a frame.
pub const SLOT_COUNT: usize = 2;
/// Bytes of the frame of one record with the largest payload, in the oldest ledger.
pub const RECORD_FRAME_SIZE_MAX: u64 =
    FrameSize { frontier_length: FRONTIER_LENGTH_MAX, body_size: PAYLOAD_SIZE_MAX + BODY_SIZE_MIN }.total_bytes();

const _: () = assert!(BLOCK_AT + BLOCK_HEADER_SIZE == SLOTS_AT, "the block header lies before the slots");
const _: () = assert!(SLOTS_AT + SLOT_COUNT * SLOT_SIZE == RESERVED_AT, "the slots lie before the reserved bytes");
const _: () = assert!(HEADER_FIXED_SIZE + 32 * FRONTIER_LENGTH_MAX <= PAGE_SIZE, "a frame without a body is one page");
const _: () = assert!(RECORD_FRAME_SIZE_MAX <= FRAME_SIZE_FLOOD, "a lone record is no flood");

/// Most bytes of a frame that holds several records, in a segment of this size.
pub const fn block_frame_size_max(segment_size: u64) -> u64 {
    if segment_size / 4 < FRAME_SIZE_FLOOD { segment_size / 4 } else { FRAME_SIZE_FLOOD }
}

/// Most bytes of any frame in a segment of this size: one record always fits.
pub const fn frame_size_max(segment_size: u64) -> u64 {
    let block = block_frame_size_max(segment_size);
    if block < RECORD_FRAME_SIZE_MAX { RECORD_FRAME_SIZE_MAX } else { block }
}

/// Most bytes of a body of several records, in a segment of this size, behind a frontier of this length.
pub const fn block_body_size_max(segment_size: u64, frontier_length: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "a frame is at most 4 MiB")]
    let frame = block_frame_size_max(segment_size) as usize;
    let mut pages = frame / PAGE_SIZE;
    while 0 < pages {
        let size = FrameSize { frontier_length, body_size: pages * PAGE_SIZE };
        if size.total_bytes() <= frame as u64 {
            break;
        }
        pages -= 1;
    }
    pages * PAGE_SIZE
}

/// The checksum that chains the frames: BLAKE3, keyed by the segment, of a frame's immutable part.
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct FrameChecksum([u8; 32]);

impl FrameChecksum {
    /// Stands for "no frame before".
    pub const ZERO: Self = Self([0; 32]);

    /// Takes the bytes as they are.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for FrameChecksum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(formatter)
    }
}

impl fmt::Debug for FrameChecksum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FrameChecksum({self})")
    }
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum FrameKind {
    /// The first frame of a segment.
    Start = 1,
    /// A block with its body.
    Block = 2,
    /// Says that the frames before it are durable.
    Watermark = 3,
    /// The last frame of a closed segment.
    End = 4,
}

impl FrameKind {
    const fn parse(number: u8) -> Result<Self, FrameError> {
        match number {
            1 => Ok(Self::Start),
            2 => Ok(Self::Block),
            3 => Ok(Self::Watermark),
            4 => Ok(Self::End),
            _ => Err(FrameError::Kind { found: number }),
        }
    }
}

/// How large a frame and its parts are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FrameSize {
    /// Hashes of the frontier, 0 to 53.
    pub frontier_length: usize,
    /// Bytes of the body before padding; 0 if there is none.
    pub body_size: usize,
}

impl FrameSize {
    /// Pages of the body.
    pub const fn body_pages(self) -> usize {
        self.body_size.div_ceil(PAGE_SIZE)
    }

    /// Bytes of the header before padding.
    pub const fn header_size(self) -> usize {
        HEADER_FIXED_SIZE + 32 * self.frontier_length + 8 * self.body_pages()
    }

    /// Pages of the header.
    pub const fn header_pages(self) -> usize {
        header_pages(self.frontier_length, self.body_pages())
    }

    /// Bytes of the header with its padding: where the body starts.
    pub const fn header_bytes(self) -> usize {
        self.header_pages() * PAGE_SIZE
    }

    /// Bytes of the frame, all padding included.
    pub const fn total_bytes(self) -> u64 {
        ((self.header_pages() + self.body_pages()) * PAGE_SIZE) as u64
    }

    const fn checksum_at(self) -> usize {
        SECTOR_SIZE + 32 * self.frontier_length
    }

    const fn generation_at(self) -> usize {
        self.checksum_at() + 32
    }

    const fn sums_at(self) -> usize {
        self.generation_at() + 16
    }

    const fn sums_checksum_at(self) -> usize {
        self.sums_at() + 8 * self.body_pages()
    }
}

/// Pages of a header with so many frontier hashes and so many page sums.
pub const fn header_pages(frontier_length: usize, body_pages: usize) -> usize {
    (HEADER_FIXED_SIZE + 32 * frontier_length + 8 * body_pages).div_ceil(PAGE_SIZE)
}

/// The ledger key's signature over the checkpoint of one block, as a frame stores it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Slot {
    /// Tree size that the checkpoint names, from 1.
    pub size: u64,
    /// Height of the block whose root it signs.
    pub height: u64,
    /// Ed25519 signature over the checkpoint's text.
    pub signature: [u8; 64],
}

impl Slot {
    fn parse(bytes: &[u8], at: usize) -> Self {
        Self { size: number_u64(bytes, at), height: number_u64(bytes, at + 8), signature: array(bytes, at + 16) }
    }

    fn encode(&self, bytes: &mut [u8], at: usize) {
        put(bytes, at, &self.size.to_le_bytes());
        put(bytes, at + 8, &self.height.to_le_bytes());
        put(bytes, at + 16, &self.signature);
    }
}

/// Where a frame lies.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Location {
    /// Number of the segment.
    pub segment: u64,
    /// Offset of the frame in it, in bytes.
    pub offset: u64,
}

/// A block's header with its hash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HashedHeader {
    /// The header.
    pub header: BlockHeader,
    /// Its hash.
    pub hash: BlockHash,
}

impl HashedHeader {
    /// Hashes a header.
    pub fn new(header: BlockHeader) -> Self {
        Self { hash: header.hash(), header }
    }
}

/// What the caller of [`seal`] says of a frame.
#[derive(Clone, Copy, Debug)]
pub struct FrameFields<'a> {
    /// What the frame is for.
    pub kind: FrameKind,
    /// Offset in the segment, in bytes; a multiple of the page size.
    pub offset: u64,
    /// Frames of the ledger before it.
    pub index: u64,
    /// Raised by each opening for writing.
    pub epoch: u64,
    /// All frames of a lower index are durable.
    pub durable: u64,
    /// Checksum of the frame before; zero at index 0.
    pub previous: FrameChecksum,
    /// The block in the frame, else the newest block.
    pub newest: Option<&'a HashedHeader>,
    /// Checkpoints to store, oldest first; a first one before a second one.
    pub slots: [Option<Slot>; SLOT_COUNT],
    /// Frontier of the tree before the block in the frame; for other kinds after the newest block.
    pub frontier: &'a Frontier,
    /// Bytes of the body before padding.
    pub body_size: usize,
}

impl FrameFields<'_> {
    /// How large the frame is.
    pub fn size(&self) -> FrameSize {
        FrameSize { frontier_length: self.frontier.hashes().len(), body_size: self.body_size }
    }
}

/// Writes header and padding around a body that lies in `buffer` already, from the header's padded size on.
///
/// Neither the header's pages nor the padding of the body need be zeroed before.
///
/// # Panics
///
/// If `buffer` is not as large as the frame: that is our own bug.
#[expect(clippy::cast_possible_truncation, reason = "counts and sizes of a frame are bounded far below 2^32")]
pub fn seal(segment: &SegmentHeader, fields: &FrameFields<'_>, buffer: &mut [u8]) -> FrameChecksum {
    let size = fields.size();
    assert_eq!(buffer.len() as u64, size.total_bytes(), "the buffer is the frame's");
    let (header, body) = buffer.split_at_mut(size.header_bytes());
    if let Some(padding) = body.get_mut(size.body_size..) {
        padding.fill(0);
    }
    header.fill(0);
    put_first_sector(segment, fields, header);
    for (index, hash) in fields.frontier.hashes().iter().enumerate() {
        put(header, SECTOR_SIZE + 32 * index, hash.as_bytes());
    }
    let checksum = keyed(segment, &[part(header, 0, size.checksum_at())]);
    put(header, size.checksum_at(), &checksum);
    put(header, size.generation_at() + 8, &(size.body_pages() as u32).to_le_bytes());
    for (index, page) in body.chunks_exact(PAGE_SIZE).enumerate() {
        put(header, size.sums_at() + 8 * index, &xxh3_64_with_seed(page, segment.seed()).to_le_bytes());
    }
    let sums = keyed(segment, &[&checksum, part(header, size.generation_at(), size.sums_checksum_at())]);
    put(header, size.sums_checksum_at(), &sums);
    FrameChecksum(checksum)
}

#[expect(clippy::cast_possible_truncation, reason = "counts and sizes of a frame are bounded far below 2^32")]
fn put_first_sector(segment: &SegmentHeader, fields: &FrameFields<'_>, header: &mut [u8]) {
    let size = fields.size();
    let slot_count = fields.slots.iter().flatten().count();
    put(header, 0, MAGIC);
    put(header, 4, &[fields.kind as u8, slot_count as u8, size.frontier_length as u8]);
    put(header, LEDGER_AT, segment.ledger.as_bytes());
    put(header, SEGMENT_AT, &segment.number.to_le_bytes());
    put(header, OFFSET_AT, &fields.offset.to_le_bytes());
    put(header, INDEX_AT, &fields.index.to_le_bytes());
    put(header, EPOCH_AT, &fields.epoch.to_le_bytes());
    put(header, DURABLE_AT, &fields.durable.to_le_bytes());
    put(header, HEADER_SIZE_AT, &(size.header_size() as u32).to_le_bytes());
    put(header, BODY_SIZE_AT, &(size.body_size as u32).to_le_bytes());
    put(header, PREVIOUS_AT, fields.previous.as_bytes());
    if let Some(newest) = fields.newest {
        put(header, BLOCK_HASH_AT, newest.hash.as_bytes());
        put(header, BLOCK_AT, &newest.header.encode());
    }
    for (index, slot) in fields.slots.iter().flatten().enumerate() {
        slot.encode(header, SLOTS_AT + SLOT_SIZE * index);
    }
    let sum = xxh3_64_with_seed(part(header, 0, SECTOR_SUM_AT), segment.seed());
    put(header, SECTOR_SUM_AT, &sum.to_le_bytes());
}

/// The sums of a body's pages, out of the pages of a header that was parsed.
pub(crate) fn page_sums(header: &[u8], size: FrameSize) -> Box<[u64]> {
    (0..size.body_pages()).map(|page| number_u64(header, size.sums_at() + 8 * page)).collect()
}

fn keyed(segment: &SegmentHeader, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(&segment.key);
    for bytes in parts {
        hasher.update(bytes);
    }
    *hasher.finalize().as_bytes()
}
