//! Verifying a frame: every byte of the header, then the pages of the body.
//!
//! The order of the checks is that of trust: the first sector by its own sum, which a torn write cannot break; then the
//! keyed checksums over the rest; then what the fields say to each other. Nothing here knows the frame before.

use annals_core::block::BlockHeader;
use annals_core::hash::{BlockHash, LedgerId, TreeHash};
use annals_core::limits::{BODY_SIZE_MAX, FRONTIER_LENGTH_MAX, NUMBER_MAX, PAGE_SIZE, SECTOR_SIZE};
use annals_core::tree::Frontier;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    BLOCK_AT, BLOCK_HASH_AT, BODY_SIZE_AT, BODY_SIZE_MIN, DURABLE_AT, EPOCH_AT, FrameChecksum, FrameError, FrameKind,
    FrameSize, HEADER_SIZE_AT, HashedHeader, INDEX_AT, LEDGER_AT, Location, MAGIC, OFFSET_AT, PREVIOUS_AT, RESERVED_AT,
    SECTOR_SUM_AT, SEGMENT_AT, SLOT_COUNT, SLOT_SIZE, SLOTS_AT, Slot, TERM_AT, frame_size_max, keyed,
};
use crate::fields::{all_zero, array, byte, first_nonzero, is_later, number_u32, number_u64, part};
use crate::segment::{FIRST_FRAME_OFFSET, SegmentHeader};

/// What the header of a frame says, every byte of it checked.
#[derive(Clone, Debug)]
pub struct FrameHeader {
    /// What the frame is for.
    pub kind: FrameKind,
    /// Number of its segment.
    pub segment: u64,
    /// Offset in the segment, in bytes.
    pub offset: u64,
    /// Frames of the ledger before it.
    pub index: u64,
    /// Raised by each opening for writing.
    pub epoch: u64,
    /// All frames of a lower index were durable when it was sealed.
    pub durable: u64,
    /// Checksum of the frame before; zero at index 0.
    pub previous: FrameChecksum,
    /// Checksum of this frame's immutable part.
    pub checksum: FrameChecksum,
    /// The block in the frame, else the newest block; none in an empty ledger.
    pub newest: Option<HashedHeader>,
    /// Checkpoints stored in the frame, oldest first.
    pub slots: [Option<Slot>; SLOT_COUNT],
    /// Frontier of the tree before the block in the frame; for other kinds after the newest block.
    pub frontier: Frontier,
    /// How large the frame is.
    pub size: FrameSize,
}

impl FrameHeader {
    /// Offset of the first byte behind the frame.
    pub const fn end(&self) -> u64 {
        self.offset + self.size.total_bytes()
    }

    /// Where the frame lies.
    pub const fn location(&self) -> Location {
        Location { segment: self.segment, offset: self.offset }
    }

    /// The block in this frame; none for other kinds.
    pub fn block(&self) -> Option<&HashedHeader> {
        self.newest.as_ref().filter(|_| self.kind == FrameKind::Block)
    }

    /// Parses the header pages of a frame that should lie at `offset`; `pages` holds them, and may hold more.
    ///
    /// # Errors
    ///
    /// [`FrameError`] naming what is wrong.
    pub fn parse(segment: &SegmentHeader, offset: u64, pages: &[u8]) -> Result<Self, FrameError> {
        let (kind, size) = parse_extent(segment, offset, pages)?;
        let Some(header) = pages.get(..size.header_bytes()) else {
            return Err(FrameError::Truncated { needed: size.header_bytes(), got: pages.len() });
        };
        check_padding(header, size)?;
        let checksum = check_checksums(segment, header, size)?;
        let newest = parse_newest(segment, kind, header)?;
        let frame = Self {
            kind,
            segment: segment.number,
            offset,
            index: number_u64(header, INDEX_AT),
            epoch: number_u64(header, EPOCH_AT),
            durable: number_u64(header, DURABLE_AT),
            previous: FrameChecksum(array(header, PREVIOUS_AT)),
            checksum,
            frontier: parse_frontier(kind, newest.as_ref(), header, size)?,
            newest,
            slots: parse_slots(header)?,
            size,
        };
        frame.check_numbers()?;
        Ok(frame)
    }

    fn check_numbers(&self) -> Result<(), FrameError> {
        if self.index < self.durable {
            return Err(FrameError::Durable { index: self.index, found: self.durable });
        }
        if (self.index == 0) != (self.previous == FrameChecksum::ZERO) {
            return Err(FrameError::Previous { index: self.index, found: self.previous });
        }
        let first = self.offset == FIRST_FRAME_OFFSET;
        if first != (self.kind == FrameKind::Start) {
            return Err(FrameError::KindPlace { kind: self.kind, offset: self.offset });
        }
        self.check_slots()
    }

    /// A stored checkpoint is of a block that was durable, and the second one is newer than the first.
    fn check_slots(&self) -> Result<(), FrameError> {
        let (height_end, size_end) = match (&self.newest, self.kind) {
            (None, _) => (0, 0),
            (Some(block), FrameKind::Block) => (block.header.height, block.header.first_seq),
            (Some(block), _) => (block.header.height + 1, block.header.next_seq()),
        };
        let mut before: Option<Slot> = None;
        for slot in self.slots.iter().flatten() {
            let rising = before.is_none_or(|before| before.height < slot.height && before.size < slot.size);
            if height_end <= slot.height || size_end < slot.size || slot.size == 0 || !rising {
                return Err(FrameError::Slot { height: slot.height, size: slot.size });
            }
            before = Some(*slot);
        }
        Ok(())
    }
}

/// Checks the first sector and what it says of place and extent.
///
/// # Errors
///
/// [`FrameError`] naming what is wrong.
pub(crate) fn parse_extent(
    segment: &SegmentHeader,
    offset: u64,
    pages: &[u8],
) -> Result<(FrameKind, FrameSize), FrameError> {
    let Some(sector) = pages.get(..SECTOR_SIZE) else {
        return Err(FrameError::Truncated { needed: SECTOR_SIZE, got: pages.len() });
    };
    let magic = array(sector, 0);
    if is_later(magic, *MAGIC) {
        return Err(FrameError::Newer { found: magic });
    }
    if magic != *MAGIC {
        return Err(FrameError::Magic { found: magic });
    }
    let (expected, found) =
        (xxh3_64_with_seed(part(sector, 0, SECTOR_SUM_AT), segment.seed()), number_u64(sector, SECTOR_SUM_AT));
    if expected != found {
        return Err(FrameError::SectorSum { expected, found });
    }
    let reserved = [(7, 8), (TERM_AT, DURABLE_AT), (RESERVED_AT, SECTOR_SUM_AT)];
    for (from, to) in reserved {
        if let Some(at) = first_nonzero(part(sector, from, to)) {
            return Err(FrameError::Reserved { offset: from + at });
        }
    }
    let ledger = LedgerId::from_bytes(array(sector, LEDGER_AT));
    if ledger != segment.ledger {
        return Err(FrameError::Ledger { expected: segment.ledger, found: ledger });
    }
    for (field, at, expected) in [("segment number", SEGMENT_AT, segment.number), ("offset", OFFSET_AT, offset)] {
        let found = number_u64(sector, at);
        if found != expected {
            return Err(FrameError::Place { field, expected, found });
        }
    }
    let kind = FrameKind::parse(byte(sector, 4))?;
    Ok((kind, parse_size(segment, kind, offset, sector)?))
}

fn parse_size(segment: &SegmentHeader, kind: FrameKind, offset: u64, sector: &[u8]) -> Result<FrameSize, FrameError> {
    let size = FrameSize {
        frontier_length: usize::from(byte(sector, 6)),
        body_size: number_u32(sector, BODY_SIZE_AT) as usize,
    };
    if FRONTIER_LENGTH_MAX < size.frontier_length {
        return Err(FrameError::FrontierLength { expected: FRONTIER_LENGTH_MAX, found: size.frontier_length });
    }
    let possible = match kind {
        FrameKind::Block => BODY_SIZE_MIN..=BODY_SIZE_MAX,
        FrameKind::Start | FrameKind::Watermark | FrameKind::End => 0..=0,
    };
    if !possible.contains(&size.body_size) {
        return Err(FrameError::BodySize { kind, found: size.body_size });
    }
    let header_size = number_u32(sector, HEADER_SIZE_AT) as usize;
    if header_size != size.header_size() {
        return Err(FrameError::HeaderSize { expected: size.header_size(), found: header_size });
    }
    let end = offset.saturating_add(size.total_bytes());
    if segment.size < end || frame_size_max(segment.size) < size.total_bytes() {
        return Err(FrameError::Extent { end, segment_size: segment.size });
    }
    Ok(size)
}

fn check_padding(header: &[u8], size: FrameSize) -> Result<(), FrameError> {
    match first_nonzero(part(header, size.header_size(), header.len())) {
        Some(at) => Err(FrameError::Padding { offset: size.header_size() + at }),
        None => Ok(()),
    }
}

fn check_checksums(segment: &SegmentHeader, header: &[u8], size: FrameSize) -> Result<FrameChecksum, FrameError> {
    let expected = keyed(segment, &[part(header, 0, size.checksum_at())]);
    let found = array(header, size.checksum_at());
    if expected != found {
        return Err(FrameError::Checksum { expected: FrameChecksum(expected), found: FrameChecksum(found) });
    }
    let sums = keyed(segment, &[&found, part(header, size.generation_at(), size.sums_checksum_at())]);
    let found_sums = array(header, size.sums_checksum_at());
    if sums != found_sums {
        return Err(FrameError::SumsChecksum { expected: FrameChecksum(sums), found: FrameChecksum(found_sums) });
    }
    let generation = number_u64(header, size.generation_at());
    if generation != 0 {
        return Err(FrameError::Generation { found: generation });
    }
    let pages = number_u32(header, size.generation_at() + 8);
    if pages as usize != size.body_pages() {
        return Err(FrameError::PageCount { expected: size.body_pages(), found: pages });
    }
    let last = size.generation_at() + 12;
    match first_nonzero(part(header, last, size.sums_at())) {
        Some(at) => Err(FrameError::Reserved { offset: last + at }),
        None => Ok(FrameChecksum(found)),
    }
}

fn parse_newest(segment: &SegmentHeader, kind: FrameKind, header: &[u8]) -> Result<Option<HashedHeader>, FrameError> {
    if kind != FrameKind::Block && all_zero(part(header, BLOCK_HASH_AT, SLOTS_AT)) {
        return Ok(None);
    }
    let block = HashedHeader::new(BlockHeader::parse(&array(header, BLOCK_AT))?);
    let found = BlockHash::from_bytes(array(header, BLOCK_HASH_AT));
    if found != block.hash {
        return Err(FrameError::BlockHash { expected: block.hash, found });
    }
    if block.header.ledger != segment.ledger {
        return Err(FrameError::Ledger { expected: segment.ledger, found: block.header.ledger });
    }
    Ok(Some(block))
}

fn parse_frontier(
    kind: FrameKind,
    newest: Option<&HashedHeader>,
    header: &[u8],
    size: FrameSize,
) -> Result<Frontier, FrameError> {
    let tree_size = match (newest, kind) {
        (None, _) => 0,
        (Some(block), FrameKind::Block) => block.header.first_seq,
        (Some(block), _) => block.header.next_seq(),
    };
    let expected = tree_size.count_ones() as usize;
    if NUMBER_MAX < tree_size || size.frontier_length != expected {
        return Err(FrameError::FrontierLength { expected, found: size.frontier_length });
    }
    let mut hashes = [TreeHash::ZERO; FRONTIER_LENGTH_MAX];
    for (index, hash) in hashes.iter_mut().take(expected).enumerate() {
        *hash = TreeHash::from_bytes(array(header, SECTOR_SIZE + 32 * index));
    }
    let frontier = Frontier::from_hashes(tree_size, hashes.get(..expected).unwrap_or(&[]))?;
    match newest {
        Some(block) if kind != FrameKind::Block && frontier.root() != block.header.root => {
            Err(FrameError::Root { expected: block.header.root, found: frontier.root() })
        }
        Some(_) | None => Ok(frontier),
    }
}

fn parse_slots(header: &[u8]) -> Result<[Option<Slot>; SLOT_COUNT], FrameError> {
    let count = usize::from(byte(header, 5));
    if SLOT_COUNT < count {
        return Err(FrameError::SlotCount { found: count });
    }
    let unused = SLOTS_AT + SLOT_SIZE * count;
    if let Some(at) = first_nonzero(part(header, unused, RESERVED_AT)) {
        return Err(FrameError::Reserved { offset: unused + at });
    }
    let mut slots = [None; SLOT_COUNT];
    for (index, slot) in slots.iter_mut().take(count).enumerate() {
        *slot = Some(Slot::parse(header, SLOTS_AT + SLOT_SIZE * index));
    }
    Ok(slots)
}

/// Checks the pages of a body against the sums in the header's pages, which [`FrameHeader::parse`] accepted.
///
/// # Errors
///
/// [`FrameError::PageSum`] naming the first page that is wrong, [`FrameError::Padding`] if the padding behind the body
/// is not zero, [`FrameError::Truncated`] if pages are missing.
pub fn verify_body(segment: &SegmentHeader, frame: &FrameHeader, header: &[u8], body: &[u8]) -> Result<(), FrameError> {
    let size = frame.size;
    let needed = size.body_pages() * PAGE_SIZE;
    let Some(pages) = body.get(..needed) else {
        return Err(FrameError::Truncated { needed, got: body.len() });
    };
    for (page, bytes) in pages.chunks_exact(PAGE_SIZE).enumerate() {
        check_page(segment, frame, header, page, bytes)?;
    }
    match first_nonzero(part(pages, size.body_size, needed)) {
        Some(at) => Err(FrameError::Padding { offset: size.header_bytes() + size.body_size + at }),
        None => Ok(()),
    }
}

/// Checks one page of a body against its sum.
pub(crate) fn check_page(
    segment: &SegmentHeader,
    frame: &FrameHeader,
    header: &[u8],
    page: usize,
    bytes: &[u8],
) -> Result<(), FrameError> {
    let expected = number_u64(header, frame.size.sums_at() + 8 * page);
    let found = xxh3_64_with_seed(bytes, segment.seed());
    if expected == found { Ok(()) } else { Err(FrameError::PageSum { page, expected, found }) }
}

/// Whether some sector that a frame of this size surely writes non-zero, in its header, is still zero.
///
/// Every sector up to the header's end holds checksums, hashes or page sums; that one of them is zero by chance has
/// the odds of a 64-bit collision.
pub(crate) fn has_zero_sector(bytes: &[u8]) -> bool {
    bytes.chunks(SECTOR_SIZE).any(all_zero)
}

/// Bytes of a header before its padding, out of the pages that hold it.
pub(crate) fn header_extent(header: &[u8], size: FrameSize) -> &[u8] {
    part(header, 0, size.header_size())
}
