//! What can go wrong with an index file. None of it loses anything: the segment is the truth, and the index is made
//! again from it.

use annals_core::hash::{Hex, LedgerId};

use crate::disk::DiskError;

/// What is wrong with an index file.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexDamage {
    /// The file is not as long as its header says.
    #[error("the file is {found} bytes, needs {needed}")]
    Length {
        /** Bytes that there are. */
        found: u64,
        /** Bytes that the header asks for. */
        needed: u64,
    },
    /// The first four bytes are not `ANX1`.
    #[error("the first four bytes are {found:02x?}, not ANX1")]
    Magic {
        /** What they are. */
        found: [u8; 4],
    },
    /// The header's checksum does not hold.
    #[error("checksum of the header is {found}, computed {expected}", found = Hex(found), expected = Hex(expected))]
    Checksum {
        /** Computed. */
        expected: [u8; 32],
        /** Stored. */
        found: [u8; 32],
    },
    /// A byte that is kept zero is not.
    #[error("a byte that is kept zero is not")]
    Reserved,
    /// The header's counts contradict each other.
    #[error("the counts in the header contradict each other")]
    Counts,
    /// The index is one of another ledger.
    #[error("it belongs to ledger {found}, not {expected}")]
    Ledger {
        /** The ledger that was opened. */
        expected: LedgerId,
        /** The ledger in the file. */
        found: LedgerId,
    },
    /// The index is one of another segment.
    #[error("it belongs to segment {found}")]
    Segment {
        /** The segment in the file. */
        found: u64,
    },
    /// A page's sum does not hold.
    #[error("sum of the page is {found:016x}, computed {expected:016x}")]
    PageSum {
        /** Computed. */
        expected: u64,
        /** Stored. */
        found: u64,
    },
    /// An author's entry is none that the format allows.
    #[error("an author's entry is malformed")]
    Author,
}

/// Why the index gave no answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// A closed segment has no index file.
    #[error("index of segment {segment} is missing; rebuild it from the segment")]
    Missing {
        /** Number of the segment. */
        segment: u64,
    },
    /// An index file is not what was written.
    #[error("index of segment {segment} is damaged at byte {offset}: {damage}; rebuild it from the segment")]
    Damaged {
        /** Number of the segment. */
        segment: u64,
        /** Offset of the damaged page in bytes. */
        offset: u64,
        /** What is wrong. */
        damage: IndexDamage,
    },
    /// An index file could not be read.
    #[error("index of segment {segment} could not be read; if this stays, check the disk")]
    Read {
        /** Number of the segment. */
        segment: u64,
        /** The disk's error. */
        source: DiskError,
    },
    /// An index file could not be written. The index in memory still answers.
    #[error("index of segment {segment} could not be written; it will be rebuilt when it is needed")]
    Write {
        /** Number of the segment. */
        segment: u64,
        /** The disk's error. */
        source: DiskError,
    },
}

impl IndexError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "index.missing",
            Self::Damaged { .. } => "index.damaged",
            Self::Read { .. } => "index.read",
            Self::Write { .. } => "index.write",
        }
    }

    /// The segment whose index is to be rebuilt before the lookup is tried again; `None` if that would not help.
    pub const fn rebuild(&self) -> Option<u64> {
        match self {
            Self::Missing { segment } | Self::Damaged { segment, .. } => Some(*segment),
            Self::Read { .. } | Self::Write { .. } => None,
        }
    }
}
