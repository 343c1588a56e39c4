//! What can be wrong with a frame that is looked at by itself.

use annals_core::block::BlockError;
use annals_core::hash::{BlockHash, LedgerId, TreeHash};
use annals_core::tree::TreeError;

use super::{FrameChecksum, FrameKind};

/// Why bytes are not the frame that should lie at their place. Offsets count from the frame's first byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The input ended inside the frame.
    #[error("frame needs {needed} bytes, got {got}")]
    Truncated {
        /** Bytes needed. */
        needed: usize,
        /** Bytes there are. */
        got: usize,
    },
    /// The first four bytes are not `ANF1`.
    #[error("not a frame: the first four bytes are {found:02x?}, not ANF1")]
    Magic {
        /** What they are. */
        found: [u8; 4],
    },
    /// The first four bytes are those of a later layout.
    #[error("a frame of a newer format, {}, where this build knows ANF1: use a newer annals", found.escape_ascii())]
    Newer {
        /** What they are. */
        found: [u8; 4],
    },
    /// The sum of the first sector does not hold.
    #[error("sum of the first sector is {found:#018x}, computed {expected:#018x}")]
    SectorSum {
        /** Computed. */
        expected: u64,
        /** Stored. */
        found: u64,
    },
    /// A byte that is kept zero is not.
    #[error("reserved byte {offset} is not zero")]
    Reserved {
        /** Its offset in bytes. */
        offset: usize,
    },
    /// A padding byte is not zero.
    #[error("padding byte {offset} is not zero")]
    Padding {
        /** Its offset in bytes. */
        offset: usize,
    },
    /// There is no such kind of frame.
    #[error("frame kind {found}; 1 to 4 are possible")]
    Kind {
        /** The number. */
        found: u8,
    },
    /// A start frame that is not the first of its segment, or another kind that is.
    #[error("{kind:?} frame at offset {offset}; the first frame of a segment, and no other, is a start frame")]
    KindPlace {
        /** Its kind. */
        kind: FrameKind,
        /** Its offset in the segment, in bytes. */
        offset: u64,
    },
    /// It belongs to another ledger.
    #[error("belongs to ledger {found}, not to {expected}")]
    Ledger {
        /** The segment's ledger. */
        expected: LedgerId,
        /** The ledger that it names. */
        found: LedgerId,
    },
    /// It says that it lies elsewhere.
    #[error("says {field} {found} where it is {expected}")]
    Place {
        /** What it says wrongly. */
        field: &'static str,
        /** The truth. */
        expected: u64,
        /** What it says. */
        found: u64,
    },
    /// The header's size is not the one that its counts give.
    #[error("header of {found} bytes where its counts give {expected}")]
    HeaderSize {
        /** What the counts give, in bytes. */
        expected: usize,
        /** What it says, in bytes. */
        found: usize,
    },
    /// A body of this size cannot be in a frame of this kind.
    #[error("{kind:?} frame with a body of {found} bytes")]
    BodySize {
        /** Its kind. */
        kind: FrameKind,
        /** What it says, in bytes. */
        found: usize,
    },
    /// The frame ends behind its segment or is larger than a frame may be.
    #[error("ends at {end}, too far for a segment of {segment_size} bytes")]
    Extent {
        /** Offset of its end, in bytes. */
        end: u64,
        /** Size of the segment, in bytes. */
        segment_size: u64,
    },
    /// The checksum of the immutable part does not hold.
    #[error("frame checksum is {found}, computed {expected}")]
    Checksum {
        /** Computed. */
        expected: FrameChecksum,
        /** Stored. */
        found: FrameChecksum,
    },
    /// The checksum of the page sums does not hold.
    #[error("checksum of the page sums is {found}, computed {expected}")]
    SumsChecksum {
        /** Computed. */
        expected: FrameChecksum,
        /** Stored. */
        found: FrameChecksum,
    },
    /// The body was rewritten, which this version does not know.
    #[error("generation {found}; this version knows only 0")]
    Generation {
        /** What it says. */
        found: u64,
    },
    /// The number of page sums is not the body's.
    #[error("{found} page sums for a body of {expected} pages")]
    PageCount {
        /** Pages of the body. */
        expected: usize,
        /** What it says. */
        found: u32,
    },
    /// The sum of a page of the body does not hold.
    #[error("sum of page {page} of the body is {found:#018x}, the header says {expected:#018x}")]
    PageSum {
        /** The page, from 0. */
        page: usize,
        /** In the header. */
        expected: u64,
        /** Computed from the page. */
        found: u64,
    },
    /// The block header is not valid.
    #[error("block header: {0}")]
    Block(#[from] BlockError),
    /// The block hash is not that of the block header.
    #[error("block hash is {found}, computed {expected}")]
    BlockHash {
        /** Computed. */
        expected: BlockHash,
        /** Stored. */
        found: BlockHash,
    },
    /// The number of frontier hashes is not the one that the tree's size gives.
    #[error("frontier of {found} hashes where {expected} belong")]
    FrontierLength {
        /** Hashes that belong there. */
        expected: usize,
        /** Hashes there are. */
        found: usize,
    },
    /// The frontier is not valid.
    #[error("frontier: {0}")]
    Frontier(#[from] TreeError),
    /// The frontier does not give the root of the newest block.
    #[error("frontier gives root {found}, the newest block names {expected}")]
    Root {
        /** The block's root. */
        expected: TreeHash,
        /** What the frontier gives. */
        found: TreeHash,
    },
    /// More checkpoints than slots.
    #[error("{found} checkpoint slots in use; there are 2")]
    SlotCount {
        /** What it says. */
        found: usize,
    },
    /// A stored checkpoint is not of a block before the frame, or not newer than the one beside it.
    #[error("stored checkpoint of height {height} and size {size} cannot be in this frame")]
    Slot {
        /** Height of its block. */
        height: u64,
        /** Its tree size. */
        size: u64,
    },
    /// It says that frames behind it were durable.
    #[error("frame {index} says that all frames below {found} are durable")]
    Durable {
        /** Its index. */
        index: u64,
        /** What it says. */
        found: u64,
    },
    /// A frame names no predecessor, or the first one does.
    #[error("frame {index} names {found} as the checksum of its predecessor")]
    Previous {
        /** Its index. */
        index: u64,
        /** What it says. */
        found: FrameChecksum,
    },
}

impl FrameError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "frame.truncated",
            Self::Magic { .. } => "frame.magic",
            Self::Newer { .. } => "frame.newer",
            Self::SectorSum { .. } => "frame.sector_sum",
            Self::Reserved { .. } => "frame.reserved",
            Self::Padding { .. } => "frame.padding",
            Self::Kind { .. } => "frame.kind",
            Self::KindPlace { .. } => "frame.kind_place",
            Self::Ledger { .. } => "frame.ledger",
            Self::Place { .. } => "frame.place",
            Self::HeaderSize { .. } => "frame.header_size",
            Self::BodySize { .. } => "frame.body_size",
            Self::Extent { .. } => "frame.extent",
            Self::Checksum { .. } => "frame.checksum",
            Self::SumsChecksum { .. } => "frame.sums_checksum",
            Self::Generation { .. } => "frame.generation",
            Self::PageCount { .. } => "frame.page_count",
            Self::PageSum { .. } => "frame.page_sum",
            Self::Block(_) => "frame.block",
            Self::BlockHash { .. } => "frame.block_hash",
            Self::FrontierLength { .. } => "frame.frontier_length",
            Self::Frontier(_) => "frame.frontier",
            Self::Root { .. } => "frame.root",
            Self::SlotCount { .. } => "frame.slot_count",
            Self::Slot { .. } => "frame.slot",
            Self::Durable { .. } => "frame.durable",
            Self::Previous { .. } => "frame.previous",
        }
    }
}
