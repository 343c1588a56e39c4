//! Restore: a backup becomes a ledger's directory again, read-only until it is told to go on.
//!
//! Every file is compared with the manifest while it is copied, and the copy is then checked as storage checks a ledger. So a
//! damaged backup is refused, by the file's name, before there is anything in the ledger's place. What was restored is
//! marked: elsewhere the ledger may have gone on, so appending needs a checkpoint to go on from (`reopen.rs`).

use super::manifest::{Listed, Manifest, ManifestError};
use super::partial::Partial;
use crate::home::{Home, HomeError, check_free, io_error, sync_directory};
use crate::ledger::Ledger;
use crate::open_error::OpenError;
use crate::options::Options;
use crate::place::Mark;
use crate::reopen::{CHECKPOINT_NAME, check_key, compare};
use crate::still::Still;
use annals_core::checkpoint::Checkpoint;
use annals_core::hash::LedgerId;
use annals_storage::check::check;
use annals_storage::disk::{Access, FileDisk};
use annals_storage::recovery::RecoveryError;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The backup is not what its manifest says.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The segments in the backup are no sound ledger.
    #[error("the backup: {0}")]
    Log(#[from] RecoveryError),
    /// The directory can't be made, or the ledger can't go on as it was told to.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The segments are not of the ledger, or not as many records, as the manifest says.
    #[error("{}: says {expected} records, the segments hold {found}", path.display())]
    Records {
        /** The manifest. */
        path: PathBuf,
        /** What it says. */
        expected: u64,
        /** Records in the segments. */
        found: u64,
    },
    /// The place is being restored into by somebody else.
    #[error("another process is restoring into {}; wait for it", .0.display())]
    Busy(PathBuf),
}

impl RestoreError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Manifest(error) => error.code(),
            Self::Log(error) => error.code(),
            Self::Open(error) => error.code(),
            Self::Records { .. } => "backup.records",
            Self::Busy(_) => "restore.busy",
        }
    }
}

impl From<HomeError> for RestoreError {
    fn from(error: HomeError) -> Self {
        Self::Open(error.into())
    }
}

/// How a backup is restored.
#[derive(Clone, Debug, Default)]
pub struct Restoring {
    /// Where the ledger key lies; none: it will be put into the ledger's directory, since a backup holds none.
    pub ledger_key: Option<PathBuf>,
    /// Goes on at once, as [`Options::continue_after`]: the newest checkpoint that anybody holds. Refused before there is
    /// anything in the ledger's place if it is not one to go on from.
    pub continue_after: Option<String>,
    /// Takes the machine's clock as it is where going on would be refused for it.
    pub accept_clock: bool,
}

/// What was restored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RestoreReport {
    /// The ledger.
    pub ledger: LedgerId,
    /// Records that were restored.
    pub size: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// The newest checkpoint that came with the backup.
    pub checkpoint: Checkpoint,
    /// Seqs of the records by which the ledger went on; empty if it was not told to.
    pub reopened: Vec<u64>,
}

/// Makes a ledger's directory, missing or empty, of a backup; whole or not at all.
///
/// `progress` is told bytes done and bytes in all, often.
///
/// # Errors
///
/// [`RestoreError`]; there is nothing in the place then, unless the ledger was restored and then could not go on.
pub fn restore(
    backup: &Path,
    place: &Path,
    restoring: &Restoring,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<RestoreReport, RestoreError> {
    check_free(place)?;
    let manifest = Manifest::read(backup)?;
    manifest.check_listing(backup)?;
    let Some(partial) = Partial::begin(place)? else { return Err(RestoreError::Busy(place.to_owned())) };
    let bytes = copy(backup, &manifest, partial.path(), progress)?;
    let mut home = Home::open(partial.path())?;
    let (ledger, checkpoint) = verify(backup, &home, &manifest)?;
    check_wanted(&home, place, restoring)?;
    home.set_key_path(key_path(restoring)?)?;
    home.mark(Mark::Restored)?;
    partial.publish()?;
    let reopened = if restoring.continue_after.is_some() { go_on(place, restoring)? } else { Vec::new() };
    let segments = manifest.files.len() as u64 - 2;
    Ok(RestoreReport { ledger, size: manifest.records, segments, bytes, checkpoint, reopened })
}

/// Copies all listed files, comparing each with what is listed; bytes copied. Durable on return.
fn copy(
    backup: &Path,
    manifest: &Manifest,
    to: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<u64, RestoreError> {
    let total = manifest.files.iter().fold(0_u64, |total, listed| total.saturating_add(listed.size));
    for directory in ["segments", "index"].map(|name| to.join(name)) {
        std::fs::create_dir(&directory).map_err(io_error("create", &directory))?;
    }
    let (mut done, newest) = (0, manifest.files.last());
    for listed in &manifest.files {
        let path = to.join(&listed.path);
        let file = File::create_new(&path).map_err(io_error("create", &path))?;
        // No more is reserved than there is to copy, whatever the manifest says.
        let is_whole = std::fs::metadata(backup.join(&listed.path)).is_ok_and(|there| there.len() == listed.size);
        if newest == Some(listed) && is_whole {
            reserve(&file, listed).map_err(|error| io_error("reserve", &path)(error.into()))?;
        }
        Manifest::read_file(backup, listed, &mut |offset, chunk| {
            progress(done + offset, total);
            // Zeros need not be written into a file of zeros.
            if chunk.iter().all(|byte| *byte == 0) {
                return Ok(());
            }
            file.write_all_at(chunk, offset).map_err(io_error("write", &path))
        })?;
        file.set_len(listed.size).and_then(|()| file.sync_all()).map_err(io_error("write", &path))?;
        done += listed.size;
    }
    sync_directory(&to.join("segments"))?;
    progress(total, total);
    Ok(total)
}

/// Reserves the room of the segment that will be appended to: its writer must not run out of it.
fn reserve(file: &File, listed: &Listed) -> Result<(), Errno> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, listed.size) {
        // A file system that reserves nothing: what is written is reserved, as far as it goes.
        Err(Errno::OPNOTSUPP) => Ok(()),
        other => other,
    }
}

/// Reads the copy wholly, and compares it with what the manifest and the checkpoint say of it.
fn verify(backup: &Path, home: &Home, manifest: &Manifest) -> Result<(LedgerId, Checkpoint), RestoreError> {
    let disk = FileDisk::new(&home.segments(), Access::Read);
    check(&disk, manifest.ledger(), &mut |_| ControlFlow::Continue(()))?;
    let still = Still::load(home)?;
    let (expected, found) = (manifest.records, still.next_seq);
    if expected != found {
        return Err(RestoreError::Records { path: backup.join(super::manifest::MANIFEST_NAME), expected, found });
    }
    still.show_all();
    let path = home.root().join(CHECKPOINT_NAME);
    let note = std::fs::read_to_string(&path).map_err(io_error("read", &path))?;
    let (checkpoint, _) = compare(&still.query, &note)?;
    Ok((still.query.ledger, checkpoint))
}

/// Refuses a wrong key, or a checkpoint that the copy can't go on from, before there is anything in the place.
fn check_wanted(home: &Home, place: &Path, restoring: &Restoring) -> Result<(), RestoreError> {
    let still = Still::load(home)?;
    still.show_all();
    let key = key_path(restoring)?;
    if let Some(note) = &restoring.continue_after {
        compare(&still.query, note)?;
        // Going on takes the key at once; one in the directory can't be there yet, and the error names where it would be.
        let key = key.unwrap_or_else(|| place.join("ledger.key"));
        return Ok(check_key(&still.query.genesis, &key)?);
    }
    key.map_or(Ok(()), |key| Ok(check_key(&still.query.genesis, &key)?))
}

fn key_path(restoring: &Restoring) -> Result<Option<PathBuf>, OpenError> {
    let absolute = restoring.ledger_key.as_deref().map(std::path::absolute).transpose();
    absolute.map_err(|source| OpenError::System { operation: "find the ledger key", source })
}

/// Lets the restored ledger go on; the seqs of the records that say so.
fn go_on(place: &Path, restoring: &Restoring) -> Result<Vec<u64>, RestoreError> {
    let Restoring { continue_after, accept_clock, .. } = restoring.clone();
    let ledger = Ledger::open(place, Options { continue_after, accept_clock, ..Options::default() })?;
    let reopened = ledger.reopened().iter().map(|ack| ack.seq).collect();
    // Closed or not, what says that it goes on is durable.
    let _ = ledger.close();
    Ok(reopened)
}
