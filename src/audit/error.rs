//! What a check can find wrong, in words and codes, and what to do about it.

use crate::open_error::OpenError;
use crate::replay::ReplayError;
use annals_core::checkpoint::CheckpointError;
use annals_core::hash::TreeHash;
use annals_core::record::{ContentError, ParseError};
use annals_storage::disk::DiskError;
use annals_storage::recovery::RecoveryError;

/// What a record or block turned out to be wrong by.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// The body can't be read, or a record is not one that the ledger takes.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The payload is not what the head commits to.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The head is malformed.
    #[error(transparent)]
    Head(#[from] ParseError),
    /// The signature does not hold.
    #[error("the signature does not hold")]
    Signature,
    /// The two implementations of ZIP-215 judge a signature differently, so one of them is wrong.
    #[error(
        "ZIP-215's equation {} this signature, the engine's library {} it: one of the two is wrong; keep the ledger as it is and report this",
        judged(*.equation), judged(*.library)
    )]
    Disagreement {
        /** What the equation says. */
        equation: bool,
        /** What the engine's library says. */
        library: bool,
    },
    /// A record is marked as destroyed, which this version never does.
    #[error("the record is marked as destroyed by seq {0}, which no record says")]
    State(u64),
    /// The block counts its records wrongly.
    #[error("the block says {expected} records, its body has {found}")]
    Records {
        /** What the header says. */
        expected: u32,
        /** Records in the body. */
        found: usize,
    },
    /// The block counts its items wrongly.
    #[error("the block says {expected} items, its records have {found}")]
    Items {
        /** What the header says. */
        expected: u64,
        /** What the heads say. */
        found: u64,
    },
    /// The tree over the records has another root than the block says.
    #[error("the block says tree root {expected}, its records make {found}")]
    Root {
        /** What the header says. */
        expected: TreeHash,
        /** Computed. */
        found: TreeHash,
    },
    /// The frame's frontier is not that of the tree so far.
    #[error("the frame carries another tree than the records before it make")]
    Frontier,
    /// The checkpoint from which the ledger was reopened is not one of its tree.
    #[error("the ledger was reopened from a checkpoint of {size} records with root {expected}; they make {found}")]
    Reopened {
        /** Records that the checkpoint covers. */
        size: u64,
        /** The checkpoint's root. */
        expected: TreeHash,
        /** Computed. */
        found: TreeHash,
    },
    /// A stored checkpoint is not one of the ledger.
    #[error("the checkpoint stored for block {height} is not signed by the ledger key")]
    StoredCheckpoint {
        /** The block. */
        height: u64,
    },
}

const fn judged(holds: bool) -> &'static str {
    if holds { "accepts" } else { "refuses" }
}

impl Finding {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Replay(error) => error.code(),
            Self::Content(_) => "finding.content",
            Self::Head(error) => error.code(),
            Self::Signature => "finding.signature",
            Self::Disagreement { .. } => "finding.disagreement",
            Self::State(_) => "finding.state",
            Self::Records { .. } => "finding.records",
            Self::Items { .. } => "finding.items",
            Self::Root { .. } => "finding.root",
            Self::Frontier => "finding.frontier",
            Self::Reopened { .. } => "finding.reopened",
            Self::StoredCheckpoint { .. } => "finding.stored_checkpoint",
        }
    }
}

/// What can be said of the records before the damage.
fn reached(seq: u64) -> String {
    if seq == 0 { String::new() } else { format!("; what was checked before seq {seq} is sound") }
}

/// Why a ledger is not sound, or could not be checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The directory can't be used, or the genesis block can't be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log is damaged.
    #[error("{source}{}", reached(*seq))]
    Log {
        /** What is wrong, and where. */
        source: Box<RecoveryError>,
        /** The first record that was not reached. */
        seq: u64,
    },
    /// A record or block is not what it should be.
    #[error("segment {segment}, offset {offset}, seq {seq}: {finding}")]
    Record {
        /** The segment. */
        segment: u64,
        /** Offset of the frame in bytes. */
        offset: u64,
        /** The record, or the first of the block. */
        seq: u64,
        /** What is wrong. */
        finding: Box<Finding>,
    },
    /// An index file is not what its segment makes.
    #[error("index of segment {segment} is not what the segment makes")]
    Index {
        /** The segment. */
        segment: u64,
    },
    /// The checkpoint to compare with is no signed note of this ledger.
    #[error("the checkpoint: {0}")]
    Note(#[from] CheckpointError),
    /// The ledger is shorter than the checkpoint says it was.
    #[error(
        "the ledger has {size} records, the checkpoint was signed over {expected}: it was cut back, or restored from an old copy"
    )]
    Shorter {
        /** Records there are. */
        size: u64,
        /** Records that the checkpoint covers. */
        expected: u64,
    },
    /// The ledger ends before the record from which on it was to be checked.
    #[error(
        "the ledger has {size} records, and was to be checked from seq {since} on: what was checked before is gone"
    )]
    SinceBeyond {
        /** Records there are. */
        size: u64,
        /** The seq asked for. */
        since: u64,
    },
    /// The ledger's tree is not the one that the checkpoint was signed over.
    #[error(
        "the first {size} records make root {found}, the checkpoint was signed over {expected}: this is another history"
    )]
    OtherTree {
        /** Records that the checkpoint covers. */
        size: u64,
        /** The checkpoint's root. */
        expected: TreeHash,
        /** Computed. */
        found: TreeHash,
    },
}

impl CheckError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Open(error) => error.code(),
            Self::Log { source, .. } => (**source).code(),
            Self::Record { finding, .. } if matches!(**finding, Finding::Disagreement { .. }) => "check.disagreement",
            Self::Record { .. } => "check.record",
            Self::Index { .. } => "check.index",
            Self::Note(error) => error.code(),
            Self::Shorter { .. } => "check.shorter",
            Self::SinceBeyond { .. } => "check.since_beyond",
            Self::OtherTree { .. } => "check.other_tree",
        }
    }

    /// What is wrong with a record or block, if it is that.
    pub fn finding(&self) -> Option<&Finding> {
        match self {
            Self::Record { finding, .. } => Some(finding),
            Self::Open(_)
            | Self::Log { .. }
            | Self::Index { .. }
            | Self::Note(_)
            | Self::Shorter { .. }
            | Self::SinceBeyond { .. }
            | Self::OtherTree { .. } => None,
        }
    }

    /// What whoever runs the ledger does about it.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Open(_) | Self::Note(_) => "set that right and check again",
            Self::Log { source, .. } if matches!(**source, RecoveryError::Disk(DiskError::Io { .. })) => {
                "see what the system's log says of the disk, and check again"
            }
            Self::Log { .. } | Self::Record { .. } => {
                "keep this copy as it is and restore the ledger from a backup; what was acknowledged since lies in receipts"
            }
            Self::Index { .. } => "nothing is lost; `annals repair` makes the index again from its segment",
            Self::Shorter { .. } | Self::SinceBeyond { .. } | Self::OtherTree { .. } => {
                "find the copy that the checkpoint was signed over, and ask who replaced it"
            }
        }
    }

    /// Segment, offset in bytes and seq of what is wrong, as far as they are known.
    pub const fn place(&self) -> (Option<u64>, Option<u64>, Option<u64>) {
        match self {
            Self::Record { segment, offset, seq, .. } => (Some(*segment), Some(*offset), Some(*seq)),
            Self::Log { source, seq } => match (**source).place() {
                Some((segment, offset)) => (Some(segment), Some(offset), Some(*seq)),
                None => (None, None, Some(*seq)),
            },
            Self::Index { segment } => (Some(*segment), None, None),
            Self::Open(_) | Self::Note(_) => (None, None, None),
            Self::Shorter { .. } | Self::SinceBeyond { .. } | Self::OtherTree { .. } => (None, None, None),
        }
    }
}
