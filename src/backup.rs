//! Backup: a consistent prefix of a ledger, copied beside its writer, and verified where it was written.
//!
//! ```text
//! OUT/annals.toml      format and segment size; not where the ledger key lies
//! OUT/segments/        closed segments byte for byte, the open one up to the last frame known to be durable, then zeros
//! OUT/checkpoint       the newest signed note that the prefix covers
//! OUT/manifest.toml    size and BLAKE3 of each of these files
//! OUT/place            says that this is a backup: nothing is ever appended to it
//! ```
//!
//! The prefix is what a reader beside the writer sees, so every record in it was durable, and no writer is waited for. The
//! ledger key is never part of it. It is made beside its place and put there in one step (`partial.rs`): a crash leaves the
//! older backup, or none, never half of one. Closed segments that the older backup has already, byte for byte, become a
//! second name for the same file.
//!
//! Every byte is read again from where it was written and checked as storage checks a ledger: sums and chain from the
//! first frame on. Not done here: verifying signatures and contents, which `check` does on a backup as on a ledger.

mod copying;
mod manifest;
mod partial;
mod restore;

pub use manifest::ManifestError;
pub use restore::{RestoreError, RestoreReport, Restoring, restore};

use crate::home::{Home, HomeError, io_error, read_text, write_replacing};
use crate::loading::read_genesis;
use crate::open_error::OpenError;
use crate::options::Options;
use crate::place::Mark;
use crate::reopen::{CHECKPOINT_NAME, GoingOn, compare};
use crate::still::Still;
use annals_core::checkpoint::{Checkpoint, CheckpointError};
use annals_core::hash::{BlockHash, LedgerId};
use annals_storage::check::check;
use annals_storage::disk::{Access, Disk, FileDisk};
use annals_storage::frame::Slot;
use annals_storage::recovery::RecoveryError;
use annals_storage::segment::FIRST_FRAME_OFFSET;
use annals_storage::view::View;
use copying::copy_segments;
pub(crate) use manifest::MANIFEST_NAME;
use manifest::{Listed, Manifest};
use partial::Partial;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a backup was not made. What was in its place before is there still.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The ledger can't be read, or is itself a copy.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log is damaged, or its copy is.
    #[error("the ledger, or the copy of it: {0}")]
    Log(#[from] RecoveryError),
    /// What is in the backup's place can't be added to.
    #[error("{0}")]
    Older(#[from] ManifestError),
    /// The backup's place is in the ledger itself.
    #[error("{} is in the ledger itself; a backup belongs elsewhere, best on another disk", .0.display())]
    Inside(PathBuf),
    /// Something else is in the backup's place.
    #[error("{} is no backup, and is not replaced; choose another place", .0.display())]
    Exists(PathBuf),
    /// The backup in its place is of another ledger.
    #[error("{} is a backup of ledger {found}, this is {expected}; choose another place", path.display())]
    OtherLedger {
        /** The backup. */
        path: PathBuf,
        /** The ledger to back up. */
        expected: LedgerId,
        /** The ledger in the backup. */
        found: LedgerId,
    },
    /// The backup in its place covers more records than the ledger has.
    #[error(
        "{} covers {found} records, more than the {size} that are durable here: this ledger was cut back; keep that backup, and choose another place",
        path.display()
    )]
    Newer {
        /** The backup. */
        path: PathBuf,
        /** Records to back up. */
        size: u64,
        /** Records that the backup's checkpoint covers. */
        found: u64,
    },
    /// The backup in its place is of another history of the ledger.
    #[error(
        "{} is of another history: its first {size} records make another root than this ledger's; keep it, and choose another place",
        path.display()
    )]
    OtherTree {
        /** The backup. */
        path: PathBuf,
        /** Records that the backup's checkpoint covers. */
        size: u64,
    },
    /// The checkpoint of the backup in its place is no signed note of the ledger: that backup is damaged.
    #[error("{}: {source}; that backup is damaged, choose another place", path.display())]
    OlderCheckpoint {
        /** The file. */
        path: PathBuf,
        /** What is wrong with it. */
        source: CheckpointError,
    },
    /// Somebody else is making a backup there.
    #[error("another process is making a backup in {}; wait for it", .0.display())]
    Busy(PathBuf),
    /// The copy ends in another block than the ledger's durable prefix did.
    #[error("the copy ends in block {found}, what was durable in block {expected}; run `annals check`")]
    Unlike {
        /** Hash of the newest durable block. */
        expected: BlockHash,
        /** Hash of the copy's newest block. */
        found: BlockHash,
    },
}

impl BackupError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Open(error) => error.code(),
            Self::Log(error) => error.code(),
            Self::Older(error) => error.code(),
            Self::Exists(_) => "backup.exists",
            Self::Inside(_) => "backup.inside",
            Self::OtherLedger { .. } => "backup.other_ledger",
            Self::Newer { .. } => "backup.newer",
            Self::OtherTree { .. } => "backup.other_tree",
            Self::OlderCheckpoint { .. } => "backup.checkpoint",
            Self::Busy(_) => "backup.busy",
            Self::Unlike { .. } => "backup.unlike",
        }
    }
}

impl From<HomeError> for BackupError {
    fn from(error: HomeError) -> Self {
        Self::Open(error.into())
    }
}

/// A backup that was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BackupReport {
    /// The ledger.
    pub ledger: LedgerId,
    /// Records in the backup.
    pub size: u64,
    /// Its segments.
    pub segments: u64,
    /// Bytes of segments that were copied.
    pub bytes_copied: u64,
    /// Bytes of segments that the older backup had already.
    pub bytes_kept: u64,
    /// How many segments those are.
    pub segments_kept: u64,
    /// The newest checkpoint in it.
    pub checkpoint: Checkpoint,
}

/// Backs a ledger up, beside its writer or without one; `out` is missing, empty, or an older backup of the same ledger.
///
/// It holds what is known to be durable: all of it if the writer was idle for 50 ms, or has closed; a busy one is up to two
/// blocks ahead. `progress` is told bytes done and bytes in all, often.
///
/// # Errors
///
/// [`BackupError`]; what was in the place before is there still.
///
/// ```
/// # use annals::{Creation, Ledger, Options, backup, restore, Restoring};
/// # let directory = tempfile::tempdir()?;
/// # let (place, out) = (directory.path().join("ledger"), directory.path().join("backup"));
/// let ledger = Ledger::create(&place, &Creation::open("example.gov/ledger"), Options::default())?;
/// let report = backup(&place, &out, &mut |_done, _total| {})?; // the ledger is open, and goes on
/// let restored = directory.path().join("restored");
/// restore(&out, &restored, &Restoring::default(), &mut |_, _| {})?;
/// assert_eq!(annals::Reader::open(&restored)?.next_seq(), report.size);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn backup(path: &Path, out: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<BackupReport, BackupError> {
    let home = Home::open(path)?;
    // A copy is backed up where it was copied from, or once it has gone on.
    GoingOn::ask(&home, &Options::default())?;
    let real = |path: &Path| std::fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    if let (Ok(ledger), Ok(place)) = (real(path), real(out))
        && place.starts_with(&ledger)
    {
        return Err(BackupError::Inside(out.to_owned()));
    }
    let source: Arc<dyn Disk> = Arc::new(FileDisk::new(&home.segments(), Access::Read));
    let shown = Shown::look(&source)?;
    let Some(partial) = Partial::begin(out)? else { return Err(BackupError::Busy(out.to_owned())) };
    let older = Older::find(out, shown.ledger)?;
    let made = Home::lay_out_in(partial.path(), home.segment_size(), None)?;
    let copied = copy_segments(source.as_ref(), &shown, older.as_ref(), &made, progress)?;
    let (note, checkpoint, size) = verify(&made, &shown, older.as_ref())?;
    write_replacing(&made.root().join(CHECKPOINT_NAME), note.as_bytes())?;
    made.mark(Mark::Backup)?;
    let mut files = vec![list(&made, "annals.toml")?, list(&made, CHECKPOINT_NAME)?];
    let (segments, segments_kept) = (copied.listed.len() as u64, copied.segments_kept);
    files.extend(copied.listed);
    Manifest::new(shown.ledger, size, files).write(made.root())?;
    if older.is_some() {
        partial.replace()?;
    } else {
        partial.publish()?;
    }
    let (bytes_copied, bytes_kept) = (copied.bytes_copied, copied.bytes_kept);
    Ok(BackupReport { ledger: shown.ledger, size, segments, bytes_copied, bytes_kept, segments_kept, checkpoint })
}

/// The durable prefix, as a reader beside the writer sees it.
struct Shown {
    ledger: LedgerId,
    newest: BlockHash,
    /// The segments of the prefix: number, size of the file, and where the prefix ends in it.
    segments: Vec<(u64, u64, u64)>,
    /// Checkpoints that the writer released, of blocks in the prefix and perhaps of later ones.
    released: Vec<Slot>,
}

impl Shown {
    fn look(source: &Arc<dyn Disk>) -> Result<Self, BackupError> {
        let (ledger, _) = read_genesis(source)?;
        let mut newest = None;
        let view = View::open(source.as_ref(), Some(ledger), &mut |frame| {
            newest = frame.header.newest.map(|newest| newest.hash).or(newest);
            ControlFlow::Continue(())
        })?;
        let (last, end) = (view.segment(), view.offset());
        let mut segments = Vec::new();
        for file in source.segments().map_err(OpenError::from)? {
            let prefix = if file.number < last { file.size } else { end };
            // Of a segment whose start frame is not known to be durable nothing is taken: the one before ends the prefix.
            if file.number < last || file.number == last && FIRST_FRAME_OFFSET < end {
                segments.push((file.number, file.size, prefix));
            }
        }
        let released = view.checkpoints().to_vec();
        Ok(Self { ledger, newest: newest.ok_or(OpenError::NoGenesis)?, segments, released })
    }

    /// Whether nothing in a segment changes any more.
    fn is_closed(&self, number: u64) -> bool {
        self.segments.last().is_some_and(|(last, ..)| number < *last)
    }
}

/// A backup that is added to.
struct Older {
    path: PathBuf,
    note: String,
}

impl Older {
    /// The backup in a place, if it is one of this ledger; refused if it is something else.
    fn find(out: &Path, ledger: LedgerId) -> Result<Option<Self>, BackupError> {
        let manifest = match Manifest::read(out) {
            Ok(manifest) => manifest,
            Err(ManifestError::NoBackup(_)) => {
                return match crate::home::check_free(out) {
                    Ok(()) => Ok(None),
                    Err(HomeError::Exists(path)) => Err(BackupError::Exists(path)),
                    Err(error) => Err(error.into()),
                };
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(found) = manifest.ledger().filter(|found| *found != ledger) {
            return Err(BackupError::OtherLedger { path: out.to_owned(), expected: ledger, found });
        }
        let checkpoint = out.join(CHECKPOINT_NAME);
        let note = read_text(&checkpoint)?.ok_or(ManifestError::Missing(checkpoint))?;
        Ok(Some(Self { path: out.to_owned(), note }))
    }

    /// Refuses to replace what goes further than the new backup, or another way.
    fn check(&self, still: &Still) -> Result<(), BackupError> {
        let path = self.path.clone();
        match compare(&still.query, &self.note) {
            Ok(_) => Ok(()),
            Err(OpenError::OlderThanCheckpoint { size, expected: found }) => {
                Err(BackupError::Newer { path, size, found })
            }
            Err(OpenError::OtherTree { size, .. }) => Err(BackupError::OtherTree { path, size }),
            Err(OpenError::Checkpoint(source)) => {
                Err(BackupError::OlderCheckpoint { path: path.join(CHECKPOINT_NAME), source })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Reads the copy wholly; its newest checkpoint, as a note and parsed, and its records.
fn verify(made: &Home, shown: &Shown, older: Option<&Older>) -> Result<(String, Checkpoint, u64), BackupError> {
    let disk = FileDisk::new(&made.segments(), Access::Read);
    let report = check(&disk, Some(shown.ledger), &mut |_| ControlFlow::Continue(()))?;
    let (expected, found) = (shown.newest, report.newest.map_or(BlockHash::ZERO, |newest| newest.hash));
    if expected != found {
        return Err(BackupError::Unlike { expected, found });
    }
    let mut still = Still::load(made)?;
    for slot in shown.released.iter().filter(|slot| slot.size <= still.next_seq) {
        still.query.add_checkpoint(*slot);
    }
    still.show_signed()?;
    let note = still.query.newest_note().map_err(OpenError::from)?;
    let checkpoint = Checkpoint::open(&note, &still.query.genesis.vkey).map_err(OpenError::Checkpoint)?;
    still.show_all();
    if let Some(older) = older {
        older.check(&still)?;
    }
    Ok((note, checkpoint, still.next_seq))
}

/// What the manifest says of a small file that was just written.
fn list(made: &Home, name: &str) -> Result<Listed, HomeError> {
    let path = made.root().join(name);
    let bytes = std::fs::read(&path).map_err(io_error("read", &path))?;
    Ok(Listed::new(name.to_owned(), bytes.len() as u64, &blake3::hash(&bytes)))
}
