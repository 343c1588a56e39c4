//! Why a ledger is not opened. Every refusal names the segment, the offset, what was expected and what was found.

use annals_core::hash::LedgerId;

use crate::disk::DiskError;
use crate::scan::Damage;
use crate::segment::SegmentError;

/// Why recovery did not succeed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// The disk did not answer.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is no segment at all.
    #[error("the ledger has no segments")]
    NoSegments,
    /// A segment is missing.
    #[error("segment {expected} is missing: segment {found} stands in its place; restore it from a backup")]
    MissingSegment {
        /** Number that follows. */
        expected: u64,
        /** Number there is. */
        found: u64,
    },
    /// A segment's file has a size that no segment has, or another one than its first page says.
    #[error("segment {segment} is a file of {found} bytes, expected {expected}", expected = SizeText(*expected))]
    SegmentSize {
        /** The segment. */
        segment: u64,
        /** What the first page says, in bytes; none if the page was not read. */
        expected: Option<u64>,
        /** Size of the file, in bytes. */
        found: u64,
    },
    /// A first page is not valid.
    #[error("segment {segment}, offset 0: {error}")]
    SegmentHeader {
        /** The segment. */
        segment: u64,
        /** What is wrong. */
        error: SegmentError,
    },
    /// A first page says another number than the file's name.
    #[error("segment {expected}, offset 40: the first page says number {found}")]
    SegmentNumber {
        /** From the file's name. */
        expected: u64,
        /** From the page. */
        found: u64,
    },
    /// A segment belongs to another ledger.
    #[error("segment {segment}, offset 8: belongs to ledger {found}, not to {expected}")]
    SegmentLedger {
        /** The segment. */
        segment: u64,
        /** The ledger that is opened. */
        expected: LedgerId,
        /** The ledger that the segment names. */
        found: LedgerId,
    },
    /// A segment that is neither the newest nor prepared has no start frame.
    #[error("segment {segment}, offset 4096: expected a start frame, found zeros; only the last segment may be unused")]
    NoStart {
        /** The segment. */
        segment: u64,
    },
    /// A segment goes on in the next one without an end frame.
    #[error("segment {segment}, offset {offset}: expected an end frame before segment {next} goes on", next = segment + 1)]
    NoEnd {
        /** The segment. */
        segment: u64,
        /** Offset behind its last frame, in bytes. */
        offset: u64,
    },
    /// A frame is bad and no torn write explains it.
    #[error("segment {segment}, offset {offset}: {what} is damaged: {damage}", what = FrameText(*index))]
    Damaged {
        /** The segment. */
        segment: u64,
        /** Offset of the frame, in bytes. */
        offset: u64,
        /** Index that belongs there; none at the start of a segment whose predecessor was not read. */
        index: Option<u64>,
        /** What is wrong with it. */
        damage: Damage,
    },
    /// A frame is bad that was durable.
    #[error(
        "segment {segment}, offset {offset}: frame {index} is missing or torn, but all frames below {durable} were durable"
    )]
    DurableLost {
        /** The segment. */
        segment: u64,
        /** Offset of the frame, in bytes. */
        offset: u64,
        /** Index of the frame. */
        index: u64,
        /** Highest durable index that an intact frame says. */
        durable: u64,
    },
    /// A frame is bad below one that was submitted only when the bad one was durable.
    #[error(
        "segment {segment}, offset {offset}: frame {index} is missing or torn, but frame {found} lies at offset {found_offset}"
    )]
    Hole {
        /** The segment. */
        segment: u64,
        /** Offset of the frame, in bytes. */
        offset: u64,
        /** Index of the frame. */
        index: u64,
        /** Index of the frame above. */
        found: u64,
        /** Its offset, in bytes. */
        found_offset: u64,
    },
    /// Two frames claim one index.
    #[error(
        "segment {segment}, offset {offset}: expected index {index} next, found frame {found} at offset {found_offset}"
    )]
    Repeated {
        /** The segment. */
        segment: u64,
        /** Offset where the next frame is expected, in bytes. */
        offset: u64,
        /** Index of the next frame. */
        index: u64,
        /** Index of the frame above. */
        found: u64,
        /** Its offset, in bytes. */
        found_offset: u64,
    },
    /// Something lies where nothing was ever written.
    #[error("segment {segment}, page before offset {found_end}: expected zeros from offset {reach} on")]
    Junk {
        /** The segment. */
        segment: u64,
        /** From here on there must be zeros, in bytes. */
        reach: u64,
        /** End of the last page that is not zero, in bytes. */
        found_end: u64,
    },
    /// The visitor stopped.
    #[error("stopped by the caller")]
    Stopped,
}

impl RecoveryError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Disk(_) => "recovery.disk",
            Self::NoSegments => "recovery.no_segments",
            Self::MissingSegment { .. } => "recovery.missing_segment",
            Self::SegmentSize { .. } => "recovery.segment_size",
            Self::SegmentHeader { .. } => "recovery.segment_header",
            Self::SegmentNumber { .. } => "recovery.segment_number",
            Self::SegmentLedger { .. } => "recovery.segment_ledger",
            Self::NoStart { .. } => "recovery.no_start",
            Self::NoEnd { .. } => "recovery.no_end",
            Self::Damaged { .. } => "recovery.damaged",
            Self::DurableLost { .. } => "recovery.durable_lost",
            Self::Hole { .. } => "recovery.hole",
            Self::Repeated { .. } => "recovery.repeated",
            Self::Junk { .. } => "recovery.junk",
            Self::Stopped => "recovery.stopped",
        }
    }

    /// Segment and offset that the error names, as far as it names them.
    pub const fn place(&self) -> Option<(u64, u64)> {
        match self {
            Self::Damaged { segment, offset, .. }
            | Self::DurableLost { segment, offset, .. }
            | Self::Hole { segment, offset, .. }
            | Self::Repeated { segment, offset, .. }
            | Self::NoEnd { segment, offset } => Some((*segment, *offset)),
            Self::Junk { segment, found_end, .. } => Some((*segment, found_end.saturating_sub(4096))),
            Self::NoStart { segment } => Some((*segment, 4096)),
            Self::SegmentHeader { segment, .. } | Self::SegmentSize { segment, .. } => Some((*segment, 0)),
            Self::SegmentLedger { segment, .. } => Some((*segment, 8)),
            Self::SegmentNumber { expected, .. } => Some((*expected, 40)),
            Self::MissingSegment { expected, .. } => Some((*expected, 0)),
            Self::Disk(_) | Self::NoSegments | Self::Stopped => None,
        }
    }
}

/// Writes an expected size, or the rule for sizes.
struct SizeText(Option<u64>);

impl core::fmt::Display for SizeText {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(size) => write!(formatter, "{size}"),
            None => formatter.write_str("a power of two from 2 MiB to 4 GiB"),
        }
    }
}

/// Names a frame, or a start frame whose index is not known.
struct FrameText(Option<u64>);

impl core::fmt::Display for FrameText {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(index) => write!(formatter, "frame {index}"),
            None => formatter.write_str("the start frame"),
        }
    }
}
