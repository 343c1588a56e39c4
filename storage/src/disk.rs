//! Disks: the blocking operations on a ledger's segments, shared by recovery, readers and checks.
//!
//! One trait, a directory of real files behind it ([`FileDisk`]), memory ([`MemoryDisk`]) for tests, or a disk that does
//! what bad disks do ([`SimulatedDisk`]). Reads and writes are whole pages at page offsets. A write is durable when it returns. Nothing here knows what the
//! bytes mean, and no error is retried but an interrupted call.

mod dice;
mod file;
mod memory;
mod simulated;

pub use dice::Dice;
pub use file::{Access, FileDisk};
pub use memory::MemoryDisk;
pub use simulated::{Failure, Habits, SimulatedDevice, SimulatedDisk, Trouble};

use crate::buffer::PageBuffer;
use std::fmt::Debug;
use std::io;

/// A segment's file as the directory lists it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SegmentFile {
    /// The segment's number, from its name.
    pub number: u64,
    /// The file's size in bytes.
    pub size: u64,
}

/// What was being done when a disk failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// Listing the segments.
    List,
    /// Opening a file.
    Open,
    /// Creating a segment.
    Create,
    /// Reading pages.
    Read,
    /// Writing pages.
    Write,
    /// Asking for free space.
    Space,
    /// Making durable what a process that is gone has left.
    Sync,
    /// Waiting for the writes of a process that is gone.
    Lock,
}

impl std::fmt::Display for Operation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::List => "list segments",
            Self::Open => "open",
            Self::Create => "create",
            Self::Read => "read",
            Self::Write => "write",
            Self::Space => "ask for free space",
            Self::Sync => "sync",
            Self::Lock => "lock",
        })
    }
}

/// Why a disk operation failed. Cloneable, so that a halt can keep its first cause.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// The system refused.
    #[error("cannot {operation} segment {segment} at byte {offset}: {kind} (os error {code})")]
    Io {
        /** What was tried. */
        operation: Operation,
        /** On which segment. */
        segment: u64,
        /** At which byte. */
        offset: u64,
        /** What kind of failure. */
        kind: io::ErrorKind,
        /** The system's number for it, 0 if there is none. */
        code: i32,
    },
    /// The disk is full, or the user's share of it.
    #[error("no room on the disk for segment {segment}; free some")]
    Full {
        /** The segment. */
        segment: u64,
    },
    /// The segment exists already.
    #[error("segment {segment} exists already")]
    Exists {
        /** The segment. */
        segment: u64,
    },
    /// There is no such segment.
    #[error("segment {segment} is missing")]
    Missing {
        /** The segment. */
        segment: u64,
    },
    /// The file ends before the bytes that were asked for.
    #[error("segment {segment} ends before byte {end}")]
    Short {
        /** The segment. */
        segment: u64,
        /** The first byte behind those asked for. */
        end: u64,
    },
    /// Under the segment's name there is a directory, a pipe or a device.
    #[error("segment {segment} is no file, but a directory, a pipe or a device; put the ledger's own file there")]
    NotAFile {
        /** The segment. */
        segment: u64,
    },
    /// One file stands under the names of two segments.
    #[error("segments {other} and {segment} are one file under two names; remove the name that was added")]
    Linked {
        /** The later segment. */
        segment: u64,
        /** The earlier one. */
        other: u64,
    },
    /// A process that ended has writes under way still.
    #[error(
        "segment {segment}: writes of a process that ended have not finished; look whether the disk hangs, and try again"
    )]
    Busy {
        /** The segment. */
        segment: u64,
    },
    /// An offset is no multiple of 4,096: our own bug, refused before the system sees it.
    #[error("offset {offset} in segment {segment} is no multiple of 4096")]
    Unaligned {
        /** The segment. */
        segment: u64,
        /** The offset. */
        offset: u64,
    },
}

impl DiskError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "disk.io",
            Self::Full { .. } => "disk.full",
            Self::Exists { .. } => "disk.exists",
            Self::Missing { .. } => "disk.missing",
            Self::Short { .. } => "disk.short",
            Self::NotAFile { .. } => "disk.not_a_file",
            Self::Linked { .. } => "disk.linked",
            Self::Busy { .. } => "disk.busy",
            Self::Unaligned { .. } => "disk.unaligned",
        }
    }

    /// Names what an `io::Error` happened to.
    pub fn from_io(error: &io::Error, operation: Operation, segment: u64, offset: u64) -> Self {
        let (kind, code) = (error.kind(), error.raw_os_error().unwrap_or(0));
        if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            Self::Full { segment }
        } else if kind == io::ErrorKind::AlreadyExists {
            Self::Exists { segment }
        } else if kind == io::ErrorKind::NotFound {
            Self::Missing { segment }
        } else {
            Self::Io { operation, segment, offset, kind, code }
        }
    }
}

/// Blocking operations on the segments of one ledger.
pub trait Disk: Send + Sync + Debug {
    /// The segments there are, by rising number. Files of other names are passed over.
    ///
    /// # Errors
    ///
    /// [`DiskError`] if the directory can't be read.
    fn segments(&self) -> Result<Vec<SegmentFile>, DiskError>;

    /// Creates a segment of zeros behind its first page; it appears whole and durable, or not at all.
    ///
    /// # Errors
    ///
    /// [`DiskError`], [`DiskError::Exists`] and [`DiskError::Full`] among them.
    fn create_segment(&self, number: u64, size: u64, first_page: &[u8]) -> Result<(), DiskError>;

    /// Fills a buffer from a segment, past any cache where the file system allows it.
    ///
    /// # Errors
    ///
    /// [`DiskError`]; [`DiskError::Short`] if the file ends before.
    fn read(&self, number: u64, offset: u64, into: &mut PageBuffer) -> Result<(), DiskError>;

    /// Fills a buffer from a segment that nothing is written to any more, from a cache that has it if there is one.
    ///
    /// What it gives may be older than what the disk says; whoever can't verify it asks [`Disk::read`].
    ///
    /// # Errors
    ///
    /// As [`Disk::read`].
    fn read_settled(&self, number: u64, offset: u64, into: &mut PageBuffer) -> Result<(), DiskError> {
        self.read(number, offset, into)
    }

    /// Writes a buffer to a segment; durable on return.
    ///
    /// # Errors
    ///
    /// [`DiskError`]; how much was written is not known then.
    fn write(&self, number: u64, offset: u64, from: &PageBuffer) -> Result<(), DiskError>;

    /// Makes durable what reads of a segment show, zeros among it.
    ///
    /// A process that was killed may have left writes that reads show and a power cut still takes: data, and also the zeros
    /// of a cut, so that what had been cut would be there again under what is written afterwards.
    ///
    /// # Errors
    ///
    /// [`DiskError`] if the segment can't be synced.
    fn sync(&self, number: u64) -> Result<(), DiskError>;

    /// Makes durable that the segments which are listed are there.
    ///
    /// A process that was killed may have left a segment whose name a power cut still takes, with all that is written to
    /// it afterwards; so a writer asks for this before it writes.
    ///
    /// # Errors
    ///
    /// [`DiskError`] if the directory can't be synced.
    fn sync_names(&self) -> Result<(), DiskError>;

    /// Free bytes for new segments.
    ///
    /// # Errors
    ///
    /// [`DiskError`] if the file system does not say.
    fn available(&self) -> Result<u64, DiskError>;

    /// Bytes read since this disk was opened.
    fn bytes_read(&self) -> u64;
}

fn check_aligned(segment: u64, offset: u64) -> Result<(), DiskError> {
    if offset.is_multiple_of(annals_core::limits::PAGE_SIZE as u64) {
        Ok(())
    } else {
        Err(DiskError::Unaligned { segment, offset })
    }
}
