//! The host: follows a ledger and keeps the state of its contracts.
//!
//! One thread takes final blocks in order, applies each, and tells how far it came. Ordering never waits for it: a ledger that runs
//! ahead is caught up with. State is stored in groups of blocks; after a crash the blocks behind the last group are applied again, which
//! gives the same state. A failure to read or store ends the host with its cause, never with a guess.

use crate::apply::{Incoming, apply_block};
use crate::draft::{At, Ground, Layer};
use crate::failure::HostError;
use crate::library::Library;
use crate::state::{Applied, BlockChanges, State, StateWriter};
use annals::{Follower, Position, StoredRecord};
use parking_lot::{Condvar, Mutex};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Bytes of changes that are stored at once, at the latest.
const GROUP_BYTES: usize = 48 << 20;
/// Blocks that are stored at once, at the latest.
const GROUP_BLOCKS: u32 = 256;

/// How far a host came, for those who wait for it.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The first seq that is not applied, and why no more will be.
    newest: Mutex<(u64, Option<HostError>)>,
    moved: Condvar,
}

impl Progress {
    fn advance(&self, next_seq: u64) {
        self.newest.lock().0 = next_seq;
        self.moved.notify_all();
    }

    fn fail(&self, error: HostError) {
        self.newest.lock().1.get_or_insert(error);
        self.moved.notify_all();
    }

    /// Why it stopped, if it did.
    pub(crate) fn failure(&self) -> Option<HostError> {
        self.newest.lock().1.clone()
    }

    /// Sleeps until the record of this seq, which is final, is applied. That ends: a host that comes no further says so.
    pub(crate) fn wait_past(&self, seq: u64) -> Result<(), HostError> {
        let mut newest = self.newest.lock();
        while newest.0 <= seq {
            if let Some(error) = &newest.1 {
                return Err(error.clone());
            }
            self.moved.wait(&mut newest);
        }
        Ok(())
    }
}

/// What applies blocks to state.
#[derive(Debug)]
pub(crate) struct Applier {
    writer: StateWriter,
    state: State,
    library: Arc<Library>,
    uncommitted: u32,
}

impl Applier {
    pub(crate) fn new(writer: StateWriter, library: Arc<Library>) -> Self {
        let state = writer.reader();
        Self { writer, state, library, uncommitted: 0 }
    }

    /// The state that it applies to.
    pub(crate) const fn state(&self) -> &State {
        &self.state
    }

    /// Where a follower goes on.
    pub(crate) fn position(&self) -> Position {
        let Applied { next_seq, ledger_root, .. } = self.state.applied();
        if next_seq == 0 { Position::BEGINNING } else { Position { next_seq, root: ledger_root } }
    }

    /// Applies the records of one block.
    pub(crate) fn take(&mut self, records: &[StoredRecord], behind: Position) -> Result<(), HostError> {
        let (Some(first), Some(root)) = (records.first(), behind.root) else { return Ok(()) };
        let applied = self.state.applied();
        if first.seq() < applied.next_seq {
            return Ok(());
        }
        if applied.next_seq < first.seq() {
            return Err(HostError::Gap { height: first.height(), applied: applied.height });
        }
        let time_ms = i64::try_from(first.ordered_time_ms()).unwrap_or(i64::MAX);
        let at = At { seq: first.seq(), height: first.height(), time_ms };
        let incoming: Vec<_> = records.iter().map(incoming).collect::<Result<_, _>>()?;
        let ground = Ground { state: &self.state, library: &self.library, takes: true };
        let Layer { values: changes, rows, .. } = apply_block(ground, at, &incoming)?;
        self.writer.apply(BlockChanges {
            height: at.height,
            next_seq: behind.next_seq,
            ledger_root: root,
            changes,
            rows,
        })?;
        self.uncommitted += 1;
        if GROUP_BLOCKS <= self.uncommitted || GROUP_BYTES <= self.writer.dirty_bytes() {
            self.commit()?;
        }
        Ok(())
    }

    /// Stores what was applied.
    pub(crate) fn commit(&mut self) -> Result<(), HostError> {
        if 0 < std::mem::take(&mut self.uncommitted) {
            self.writer.commit()?;
        }
        Ok(())
    }
}

fn incoming(record: &StoredRecord) -> Result<Incoming<'_>, HostError> {
    let head = record.head()?;
    let payload = if head.is_bundle() { None } else { Some(record.content(None)?) };
    Ok(Incoming { kind: head.kind, record: record.record_id(), author: head.author, payload })
}

/// The follower that a ledger's blocks go to.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) applier: Arc<Mutex<Applier>>,
    pub(crate) progress: Arc<Progress>,
}

impl Follower for Host {
    fn take(&mut self, records: &[StoredRecord], behind: Position) -> bool {
        // Who waits for the host must be told, or waits for ever.
        let taken = catch_unwind(AssertUnwindSafe(|| self.applier.lock().take(records, behind)));
        match taken.unwrap_or(Err(HostError::Panicked)) {
            Ok(()) => {
                self.progress.advance(behind.next_seq);
                true
            }
            Err(error) => {
                self.progress.fail(error);
                false
            }
        }
    }
}

/// Whoever waits learns that no more will come, whatever ended the follower's thread: a ledger that can't be read, or a panic.
impl Drop for Host {
    fn drop(&mut self) {
        self.progress.fail(HostError::Stopped);
    }
}

impl Host {
    /// A host whose progress begins where its state is.
    pub(crate) fn new(applier: Applier) -> Self {
        let progress = Progress::default();
        progress.advance(applier.position().next_seq);
        Self { applier: Arc::new(Mutex::new(applier)), progress: Arc::new(progress) }
    }
}
