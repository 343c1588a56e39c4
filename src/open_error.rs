//! Why a ledger could not be made or opened.

use crate::home::HomeError;
use crate::query::QueryError;
use crate::replay::ReplayError;
use annals_core::checkpoint::VkeyError;
use annals_core::genesis::GenesisError;
use annals_core::hash::AuthorId;
use annals_core::signature::KeyError;
use annals_ordering::ring::RingError;
use annals_storage::disk::DiskError;
use annals_storage::log::Halted;
use annals_storage::reader::ReadError;
use annals_storage::recovery::RecoveryError;
use annals_storage::segment::SegmentError;
use std::io;

/// Why a ledger could not be made or opened. Nothing on the disk has changed but for a torn tail that was cut.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory can't be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A disk operation failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The log is damaged, or ends in a way that no crash explains.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The first segment's first page is not valid.
    #[error("segment 0, offset 0: {0}")]
    Segment(SegmentError),
    /// The genesis block could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The records are not such as this engine orders.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A query of the ledger's own failed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The ledger does not begin with a signed genesis record of its own.
    #[error("the ledger does not begin with a genesis record of its own; restore it from a backup")]
    NoGenesis,
    /// The genesis record is malformed, or would be.
    #[error("genesis: {0}")]
    Genesis(GenesisError),
    /// The origin makes no vkey.
    #[error("origin: {0}")]
    Origin(#[from] VkeyError),
    /// An author or admin is no good key.
    #[error("author {author}: {error}")]
    Author {
        /** The key. */
        author: AuthorId,
        /** What is wrong with it. */
        error: KeyError,
    },
    /// The segment size is none that a segment has.
    #[error("a segment of {0} bytes; it takes a power of two from 2097152 (2 MiB) to 4294967296 (4 GiB)")]
    SegmentSize(u64),
    /// The ledger key is not the one that the ledger was born with.
    #[error("the ledger key is {found}; this ledger was born with {expected}: put the right key file in its place")]
    WrongKey {
        /** The key in genesis. */
        expected: AuthorId,
        /** The key in the file. */
        found: AuthorId,
    },
    /// The machine's clock is behind the ledger's.
    #[error("the clock is {behind_ms} ms behind the newest block; set it right, or accept it (--accept-clock)")]
    ClockBehind {
        /** How far, in ms. */
        behind_ms: u64,
    },
    /// The machine's clock is far ahead of the ledger's.
    #[error(
        "the clock is {ahead_ms} ms ahead of the newest block, more than {ahead_ms_max}; if that is right, accept it (--accept-clock)"
    )]
    ClockAhead {
        /** How far, in ms. */
        ahead_ms: u64,
        /** How far it may be, in ms. */
        ahead_ms_max: u64,
    },
    /// The ring can't be made as large as asked for.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The system gave no randomness, or no thread.
    #[error("cannot {operation}: {source}")]
    System {
        /** What was tried. */
        operation: &'static str,
        /** What the system said. */
        source: io::Error,
    },
    /// The first write failed.
    #[error(transparent)]
    Halted(#[from] Halted),
}

impl OpenError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Home(error) => error.code(),
            Self::Disk(error) => error.code(),
            Self::Recovery(error) => error.code(),
            Self::Segment(error) => error.code(),
            Self::Read(error) => error.code(),
            Self::Replay(error) => error.code(),
            Self::Query(error) => error.code(),
            Self::NoGenesis => "open.no_genesis",
            Self::Genesis(error) => error.code(),
            Self::Origin(error) => error.code(),
            Self::Author { error, .. } => error.code(),
            Self::SegmentSize(_) => "open.segment_size",
            Self::WrongKey { .. } => "open.wrong_key",
            Self::ClockBehind { .. } => "open.clock_behind",
            Self::ClockAhead { .. } => "open.clock_ahead",
            Self::Ring(error) => error.code(),
            Self::System { .. } => "open.system",
            Self::Halted(_) => "ledger.halted",
        }
    }
}
