//! Why the log refuses: a block that fits no frame, or the write that failed first.

use crate::disk::DiskError;

/// Why the log takes nothing any more: the first failed write. What was in flight has an unknown outcome.
#[derive(Clone, Debug, thiserror::Error)]
#[error("halted: writing segment {segment} at offset {offset} failed: {cause}; open the ledger again")]
pub struct Halted {
    /// The segment.
    pub segment: u64,
    /// Offset of the write, in bytes.
    pub offset: u64,
    /// What failed.
    pub cause: DiskError,
}

impl Halted {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        "log.halted"
    }
}

/// Why a block cannot be planned.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No frame is that large.
    #[error("a frame of {bytes} bytes is larger than {bytes_max}")]
    TooLarge {
        /** Bytes that the frame would have. */
        bytes: u64,
        /** Most bytes of a frame. */
        bytes_max: u64,
    },
}

impl PlanError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "log.too_large",
        }
    }
}
