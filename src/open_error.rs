//! Why a ledger could not be made or opened.

use crate::home::HomeError;
use crate::place::FileIdentity;
use crate::query::QueryError;
use crate::refusal::Refusal;
use crate::replay::ReplayError;
use annals_core::checkpoint::{CheckpointError, VkeyError};
use annals_core::genesis::GenesisError;
use annals_core::hash::{AuthorId, TreeHash};
use annals_core::signature::KeyError;
use annals_ordering::ring::RingError;
use annals_ordering::slots::SLOT_COUNT_MAX;
use annals_storage::disk::DiskError;
use annals_storage::log::Halted;
use annals_storage::reader::ReadError;
use annals_storage::recovery::RecoveryError;
use annals_storage::segment::SegmentError;
use std::io;
use std::path::PathBuf;

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
    /// The configuration says another segment size than the ledger was made with.
    #[error(
        "annals.toml says segments of {configured} bytes, the ledger was made with {created}: it can't be changed; put segment_size = {created} back"
    )]
    SegmentSizeChanged {
        /** What `annals.toml` says, in bytes. */
        configured: u64,
        /** What segment 0 says, in bytes. */
        created: u64,
    },
    /// The ledger in a directory was made in another way than it should have been.
    #[error(
        "the ledger was made with {field} {found}, not {wanted}; none of it can be changed later: mend what is asked for, or choose another directory"
    )]
    CreationDiffers {
        /** The field of [`crate::Creation`]. */
        field: &'static str,
        /** Its value as it is asked for. */
        wanted: String,
        /** Its value in the ledger. */
        found: String,
    },
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
    /// The directory was restored from a backup and is read-only until it is told to go on.
    #[error(
        "{dir} is a restored copy, read-only; go on with `annals reopen {dir} --continue-after CHECKPOINT`, the newest checkpoint that anybody holds",
        dir = path.display()
    )]
    Restored {
        /** The ledger's directory. */
        path: PathBuf,
    },
    /// The directory is a backup, which is never written to.
    #[error("{dir} is a backup, read-only; make a ledger of it with `annals restore {dir} DIR`", dir = path.display())]
    Backup {
        /** The backup's directory. */
        path: PathBuf,
    },
    /// The directory was copied, or moved to another file system, and is read-only until it is told to go on.
    #[error(
        "{dir} is a copy, read-only: segment 0 was a file of {expected}, and is one of {found} (a move within one file system changes neither); if no other copy goes on, go on with `annals reopen {dir} --continue-after CHECKPOINT`, the newest checkpoint that anybody holds",
        dir = path.display()
    )]
    Copied {
        /** The ledger's directory. */
        path: PathBuf,
        /** The file that the ledger was made or last opened with. */
        expected: FileIdentity,
        /** The file there is. */
        found: FileIdentity,
    },
    /// The checkpoint to go on from is no signed note of this ledger.
    #[error("the checkpoint to go on from: {0}")]
    Checkpoint(CheckpointError),
    /// The copy is older than the checkpoint to go on from.
    #[error(
        "this copy ends at {size} records, the checkpoint was signed over {expected}: restore a newer backup; going on from here would sign two histories"
    )]
    OlderThanCheckpoint {
        /** Records there are. */
        size: u64,
        /** Records that the checkpoint covers. */
        expected: u64,
    },
    /// The tree here is not the one that the checkpoint was signed over.
    #[error(
        "the first {size} records make root {found}, the checkpoint was signed over {expected}: this is another history, and nothing can go on from both"
    )]
    OtherTree {
        /** Records that the checkpoint covers. */
        size: u64,
        /** The checkpoint's root. */
        expected: TreeHash,
        /** Computed. */
        found: TreeHash,
    },
    /// The record that says why the ledger went on was not ordered.
    #[error("the record that reopens the ledger: {0}")]
    Reopening(Refusal),
    /// The options allow less memory than the ledger needs.
    #[error(
        "the ledger needs {needed} bytes of memory for its ring, blocks, indexes and authors, and may take {allowed}: raise memory_max, or make ring_size, author_count_max or outstanding_max smaller"
    )]
    Memory {
        /** Bytes it needs. */
        needed: u64,
        /** Bytes it may take. */
        allowed: u64,
    },
    /// No appender can have so many records outstanding.
    #[error("outstanding_max is {got}; an appender may have 1 to {SLOT_COUNT_MAX} records outstanding")]
    Outstanding {
        /** Records asked for. */
        got: u32,
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
            Self::SegmentSizeChanged { .. } => "open.segment_size_changed",
            Self::CreationDiffers { .. } => "open.creation_differs",
            Self::WrongKey { .. } => "open.wrong_key",
            Self::ClockBehind { .. } => "open.clock_behind",
            Self::ClockAhead { .. } => "open.clock_ahead",
            Self::Restored { .. } => "open.restored",
            Self::Backup { .. } => "open.backup",
            Self::Copied { .. } => "open.copied",
            Self::Checkpoint(error) => error.code(),
            Self::OlderThanCheckpoint { .. } => "reopen.older",
            Self::OtherTree { .. } => "reopen.other_tree",
            Self::Reopening(error) => error.code(),
            Self::Memory { .. } => "open.memory",
            Self::Outstanding { .. } => "open.outstanding",
            Self::Ring(error) => error.code(),
            Self::System { .. } => "open.system",
            Self::Halted(_) => "ledger.halted",
        }
    }
}
