//! Checking a whole ledger, or its end: everything that was written there is read and verified once more.
//!
//! Frames, sums, padding and their chain ([`annals_storage::check`]); content hashes, signatures (by the equation of ZIP-215
//! itself, not by the library that the engine uses), leaves, tree, nonces and admission (by the sequencer that
//! ordered them), stored checkpoints, those from which the ledger was reopened, and the index files, byte for byte. It needs the writer to be away, changes nothing,
//! and tells the first thing in the ledger that is wrong. A torn tail is no damage: it is reported, and the next opening cuts it.
//!
//! ```text
//! files --read ahead--> walk over frames --batches--> content, ids, leaves --in order--> tree, nonces, index
//!   2 threads              the caller                    every core             the caller      |
//!                                                        every core <--signatures, index files--+
//! ```
//!
//! What it costs one core: with payloads of 4 KiB 0.5 ns a byte, of which 0.3 are hashes, 0.1 copies and sums in the walk; with
//! 256 bytes 1 us a record, of which 0.6 are hashes, 0.3 tree, nonces and index in order; a signature 6 us, more than all else.

mod ahead;
mod batch;
mod error;
mod order;
mod pool;
mod signatures;
mod start;
mod walker;

pub use error::{CheckError, Finding};

use crate::clock::Reading;
use crate::home::{Home, HomeError};
use crate::loading::read_genesis;
use crate::open_error::OpenError;
use crate::still::Still;
use ahead::Ahead;
use annals_core::checkpoint::Checkpoint;
use annals_core::genesis::Genesis;
use annals_core::hash::{LedgerId, TreeHash};
use annals_storage::check::{check, check_from};
use annals_storage::disk::{Access, Disk, FileDisk};
use annals_storage::index::{FileIndexStore, IndexStore};
use order::{Order, Reopened};
use pool::Pool;
use start::Start;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use walker::Walker;

/// What of a ledger is checked.
///
/// ```
/// let options = annals::CheckOptions { since: Some(1_000_000), ..annals::CheckOptions::default() };
/// assert!(options.signatures && options.checkpoint.is_none());
/// ```
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// A signed checkpoint that the ledger must go on from.
    pub checkpoint: Option<String>,
    /// Only from the segment that holds this record on; a checkpoint of fewer records moves that to an earlier one.
    pub since: Option<u64>,
    /// Whether signatures are verified, which takes more time than all else.
    pub signatures: bool,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self { checkpoint: None, since: None, signatures: true }
    }
}

/// A sound ledger.
#[derive(Clone, Debug)]
pub struct CheckReport {
    /// The ledger.
    pub ledger: LedgerId,
    /// Its records.
    pub records: u64,
    /// The first record that was verified: the first of a segment. Those before were taken as checked before.
    pub since: u64,
    /// Items of the records that were verified.
    pub items: u64,
    /// Blocks that were verified.
    pub blocks: u64,
    /// Segments that were read.
    pub segments: u64,
    /// Their bytes, unused ones among them, each read once.
    pub bytes: u64,
    /// Whether signatures were verified.
    pub signatures: bool,
    /// How long it took.
    pub duration: Duration,
    /// Root of the tree over all records.
    pub root: TreeHash,
    /// Whether it was closed cleanly.
    pub closed: bool,
    /// It ends with the end frame of this segment, and the next one is not there: not made yet, for want of room, or gone.
    pub ends_segment: Option<u64>,
    /// A torn tail: segment and range of bytes. The next opening for writing cuts it.
    pub torn: Option<(u64, u64, u64)>,
    /// Closed segments without an index file, which the next look-up makes again.
    pub indexes_missing: Vec<u64>,
}

/// Checks the ledger in a directory, and that it goes on from a checkpoint if one is given. As [`check_with`].
///
/// # Errors
///
/// [`CheckError`] with the first thing that is wrong.
pub fn check_ledger(
    path: &Path,
    note: Option<&str>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<CheckReport, CheckError> {
    check_with(path, &CheckOptions { checkpoint: note.map(str::to_owned), ..CheckOptions::default() }, progress)
}

/// Checks the ledger in a directory on all cores of the machine.
///
/// `progress` is told bytes checked and bytes in all, often.
///
/// # Errors
///
/// [`CheckError`] with the first thing in the ledger that is wrong.
pub fn check_with(
    path: &Path,
    options: &CheckOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<CheckReport, CheckError> {
    let home = Home::open(path).map_err(OpenError::from)?;
    let _lock = home.lock_to_read().map_err(OpenError::from)?;
    check_home(&home, options, progress)
}

fn check_home(
    home: &Home,
    options: &CheckOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<CheckReport, CheckError> {
    let begun = Reading::now().monotonic;
    let files = FileDisk::new(&home.segments(), Access::Read);
    // What a killed writer has sent to the disk may land yet, and would pass for damage.
    files.lock_newest().map_err(OpenError::from)?;
    let disk: Arc<dyn Disk> = Arc::new(files);
    let store: Arc<dyn IndexStore> = Arc::new(FileIndexStore::new(&home.index()));
    let (ledger, genesis) = identify(&disk)?;
    let wanted = options.checkpoint.as_ref().map(|note| Checkpoint::open(note, &genesis.vkey)).transpose()?;
    // The checkpoint is compared where its last record was ordered, so that one has to be met.
    let last_covered = wanted.map(|wanted| wanted.size.saturating_sub(1));
    let since = options.since.map(|since| last_covered.map_or(since, |seq| seq.min(since)));
    let start = Start::find(&disk, &store, ledger, since)?;
    let (first, first_seq) = (start.segment, start.frontier.size());
    let mut files = disk.segments().map_err(OpenError::from)?;
    files.retain(|file| first <= file.number);
    let total = files.iter().map(|file| file.size).sum();
    let ahead = Ahead::new(Arc::clone(&disk), files);
    let order = Order::new(ledger, genesis, start, wanted, options.signatures);
    let before = disk.bytes_read();
    let (log, checked) = std::thread::scope(|scope| {
        let _reading = ahead.start(scope);
        let pool = Pool::start(scope);
        let mut walker = Walker::new(&pool, store, order);
        let log = check_from(&ahead, Some(ledger), first, &mut |frame| {
            progress((disk.bytes_read() - before).min(total), total);
            walker.visit(&frame)
        });
        walker.finish(log)
    })?;
    check_reopened(home, &checked.reopened)?;
    progress(total, total);
    let size = checked.frontier.size();
    if let Some(other_tree) = checked.other_tree {
        return Err(other_tree);
    }
    if let Some(wanted) = wanted.filter(|wanted| size < wanted.size) {
        return Err(CheckError::Shorter { size, expected: wanted.size });
    }
    if let Some(since) = options.since.filter(|since| size < *since) {
        return Err(CheckError::SinceBeyond { size, since });
    }
    if let Some(segment) = checked.indexes_other.first() {
        return Err(CheckError::Index { segment: *segment });
    }
    Ok(CheckReport {
        ledger,
        records: size,
        since: first_seq,
        items: checked.items,
        blocks: log.blocks,
        segments: log.segments,
        bytes: log.bytes,
        signatures: options.signatures,
        duration: Reading::now().monotonic.saturating_duration_since(begun),
        root: checked.frontier.root(),
        closed: log.closed,
        ends_segment: log.ends_segment,
        torn: log.torn.map(|cut| (cut.segment, cut.from, cut.to)),
        indexes_missing: checked.indexes_missing,
    })
}

/// Compares the checkpoints from which the ledger was reopened with the tree, now that all of it is known to be sound: they
/// may be of any earlier place.
fn check_reopened(home: &Home, reopened: &[Reopened]) -> Result<(), CheckError> {
    if reopened.is_empty() {
        return Ok(());
    }
    let still = Still::load(home)?;
    still.show_all();
    for Reopened { segment, offset, seq, checkpoint } in reopened.iter().copied() {
        let Checkpoint { size, root: expected } = checkpoint;
        let found = still.query.root_at(size).map_err(OpenError::from)?;
        if found != expected {
            let finding = Box::new(Finding::Reopened { size, expected, found });
            return Err(CheckError::Record { segment, offset, seq, finding });
        }
    }
    Ok(())
}

/// Reads the genesis block; if that fails for damage, the check that follows names the place.
fn identify(disk: &Arc<dyn Disk>) -> Result<(LedgerId, Genesis), CheckError> {
    match read_genesis(disk) {
        Ok(found) => Ok(found),
        Err(error @ OpenError::Home(HomeError::Io { .. })) => Err(error.into()),
        Err(error) => match check(disk.as_ref(), None, &mut |_| ControlFlow::Continue(())) {
            Err(source) => Err(CheckError::Log { source: Box::new(source), seq: 0 }),
            Ok(_) => Err(error.into()),
        },
    }
}
