//! Repairing what is derived: index files that are missing or not what their segments make, and leftovers of broken work.
//!
//! A segment is never touched: it is the truth, and what is wrong with it only a copy can set right. An index is made from
//! its segment and from the indexes before it, so the segments are taken in order; each file is compared byte for byte with
//! what it should be. Repair reads frames, sums and the layout of every closed segment; it is no check of the records.

use crate::home::{Home, HomeError};
use crate::loading::read_genesis;
use crate::open_error::OpenError;
use crate::rebuild::build;
use crate::replay::ReplayError;
use annals_core::hash::LedgerId;
use annals_storage::disk::{Access, Disk, FileDisk};
use annals_storage::index::{FileIndexStore, Index, IndexError, IndexStore, LookupKey, OpenIndex, PendingIndexFile};
use annals_storage::recovery::{Place, RecoveryError, recover};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Digits in the name of a segment or index file.
const DIGITS: usize = 10;

/// Why nothing could be repaired, or not all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// The directory can't be used, or the genesis block can't be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// An index file could not be written.
    #[error(transparent)]
    Write(IndexError),
    /// A leftover could not be removed.
    #[error("cannot remove {}: {source}", path.display())]
    Remove {
        /** The file. */
        path: PathBuf,
        /** What the system said. */
        source: io::Error,
    },
}

impl RepairError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Open(error) => error.code(),
            Self::Write(error) => error.code(),
            Self::Remove { .. } => "repair.remove",
        }
    }
}

/// A segment from which no index can be made.
#[derive(Debug)]
pub struct DamagedSegment {
    /// Its number.
    pub segment: u64,
    /// What is wrong with it, or with an older one whose index it needs.
    pub cause: ReplayError,
}

impl DamagedSegment {
    /// What whoever runs the ledger does about it.
    pub const fn advice(&self) -> &'static str {
        if matches!(self.cause, ReplayError::Index(_)) {
            "it needs the index of an older segment, which can't be made: set that one right first"
        } else {
            "no repair makes it whole: keep this copy as it is and restore the ledger from a backup"
        }
    }

    /// Offset of the damage in bytes, if it is known.
    pub const fn offset(&self) -> Option<u64> {
        if let ReplayError::Segment(error) = &self.cause
            && let Some((_, offset)) = error.place()
        {
            return Some(offset);
        }
        None
    }
}

/// What a repair found and did.
#[derive(Debug)]
pub struct RepairReport {
    /// The ledger.
    pub ledger: LedgerId,
    /// Closed segments, each of which has an index.
    pub segments: u64,
    /// Index files that were what they should be.
    pub indexes_sound: u64,
    /// Segments whose index was missing or wrong and was made again.
    pub indexes_made: Vec<u64>,
    /// Leftovers that were removed.
    pub removed: Vec<PathBuf>,
    /// Segments that are damaged themselves. Nothing of them was changed, nor were their indexes.
    pub damaged: Vec<DamagedSegment>,
}

/// Repairs what is derived in the directory of a ledger that nobody has open. Never touches a segment.
///
/// `progress` is told bytes read and bytes in all, a segment at a time.
///
/// # Errors
///
/// [`RepairError`]; what was repaired before is repaired. Damaged segments are no error: the report names them.
pub fn repair_ledger(path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<RepairReport, RepairError> {
    let home = Home::open(path).map_err(OpenError::from)?;
    let _lock = home.lock().map_err(OpenError::from)?;
    match std::fs::create_dir(home.index()) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            return Err(OpenError::from(HomeError::Io { operation: "create", path: home.index(), source }).into());
        }
        Ok(()) | Err(_) => {}
    }
    let removed = remove_leftovers(&home)?;
    let disk: Arc<dyn Disk> = Arc::new(FileDisk::new(&home.segments(), Access::Read));
    let store: Arc<dyn IndexStore> = Arc::new(FileIndexStore::new(&home.index()));
    let (ledger, genesis) = read_genesis(&disk)?;
    let files = disk.segments().map_err(OpenError::from)?;
    let mut report =
        RepairReport { ledger, segments: 0, indexes_sound: 0, indexes_made: Vec::new(), removed, damaged: Vec::new() };
    report.segments = match closed_segments(disk.as_ref(), ledger) {
        Ok(count) => count,
        Err(error) => {
            // Where the log ends can't be told: the one before the place of the damage is closed, at least.
            let segment = error.place().map_or(0, |(segment, _)| segment);
            report.damaged.push(DamagedSegment { segment, cause: error.into() });
            segment
        }
    };
    let closed: Vec<u64> = (0..report.segments).collect();
    // Nothing is looked up in the open segment, so what its index says of itself does not matter.
    let open = OpenIndex::new(report.segments, LookupKey::derive(&[0; 32]), 0, 0);
    let index = Arc::new(Index::new(Arc::clone(&store), ledger, &closed, open));
    let total: u64 = files.iter().take(closed.len()).map(|file| file.size).sum();
    let mut done = 0;
    for (segment, file) in closed.into_iter().zip(&files) {
        match build(&disk, ledger, &genesis, &index, segment) {
            Ok(made) if is_same(store.as_ref(), &made) => report.indexes_sound += 1,
            Ok(made) => {
                // Later segments ask it of their authors. None has yet, so it is this file that will be opened.
                made.write(store.as_ref()).map_err(RepairError::Write)?;
                report.indexes_made.push(segment);
            }
            Err(cause) => report.damaged.push(DamagedSegment { segment, cause: cause.into() }),
        }
        done += file.size;
        progress(done, total);
    }
    report.damaged.sort_by_key(|damaged| damaged.segment);
    Ok(report)
}

/// How many segments are closed: those before the one that the log ends in.
fn closed_segments(disk: &dyn Disk, ledger: LedgerId) -> Result<u64, RecoveryError> {
    let recovered = recover(disk, Some(ledger), &mut |_| ControlFlow::Continue(()))?;
    Ok(match recovered.tail.place {
        Place::Open { segment, .. } => segment.number,
        Place::Start { number } => number,
    })
}

/// Whether the file is there and is what it should be.
fn is_same(store: &dyn IndexStore, made: &PendingIndexFile) -> bool {
    let Ok(Some(file)) = store.open(made.segment()) else { return false };
    if file.size() != made.file_size() {
        return false;
    }
    let expected = made.encode();
    let mut found = vec![0; expected.len()];
    file.read_at(0, &mut found).is_ok() && found == expected
}

/// Removes what broken work leaves behind: segments and index files under their temporary names.
fn remove_leftovers(home: &Home) -> Result<Vec<PathBuf>, RepairError> {
    let mut removed = Vec::new();
    for (directory, suffix) in [(home.segments(), ".tmp"), (home.index(), ".idx.tmp")] {
        let unreadable = |source| OpenError::from(HomeError::Io { operation: "read", path: directory.clone(), source });
        for entry in std::fs::read_dir(&directory).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let number = name.strip_suffix(suffix).unwrap_or_default();
            if number.len() == DIGITS && number.bytes().all(|digit| digit.is_ascii_digit()) {
                std::fs::remove_file(&path).map_err(|source| RepairError::Remove { path: path.clone(), source })?;
                removed.push(path);
            }
        }
    }
    removed.sort();
    Ok(removed)
}
