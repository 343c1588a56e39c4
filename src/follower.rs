//! Following: every final record, in order and in batches, to somebody who keeps count of how far he came.

use crate::open_error::OpenError;
use crate::query::{QueryError, StoredRecord};
use crate::reader::Reader;
use annals_core::hash::TreeHash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often a follower that waits looks whether it is to stop.
const LOOK_UP: Duration = Duration::from_millis(100);

/// How far a follower came: it has seen all records below `next_seq`, and they were those under `root`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Position {
    /// The first seq that it has not seen: always the first of a block.
    pub next_seq: u64,
    /// Root of the tree over all below; none at the very beginning.
    pub root: Option<TreeHash>,
}

impl Position {
    /// Before the first record.
    pub const BEGINNING: Self = Self { next_seq: 0, root: None };
}

/// Somebody who wants every record: a projection, an exporter.
pub trait Follower: Send {
    /// Takes the records of one block, at least once each and in order; the position is that behind them. Returns whether to
    /// go on. It stores the position with what it made of the records, so that it can resume there.
    fn take(&mut self, records: &[StoredRecord], behind: Position) -> bool;
}

/// Why following ended by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The position is none of this ledger: it lies beyond its end, within a block, or under another root.
    #[error("position {next_seq} is not one of this ledger; follow from the beginning, or restore the ledger")]
    Position {
        /** The position's seq. */
        next_seq: u64,
    },
    /// The ledger can't be read.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The writer can't be followed.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl FollowError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Position { .. } => "follow.position",
            Self::Query(error) => error.code(),
            Self::Open(error) => error.code(),
        }
    }
}

/// A follower at work in a thread of its own.
#[derive(Debug)]
pub struct Following {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Position, FollowError>>,
}

impl Following {
    /// Stops the follower after the block it is at, and tells how far it came.
    ///
    /// # Errors
    ///
    /// [`FollowError`] if it had ended by itself.
    ///
    /// # Panics
    ///
    /// If the follower panicked.
    pub fn stop(self) -> Result<Position, FollowError> {
        // Relaxed: a flag; joining orders the rest.
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Reader {
    /// Hands every final record from a position on to a follower, in a thread of its own, until stopped.
    ///
    /// # Errors
    ///
    /// [`FollowError::Position`] if the position is none of this ledger; [`FollowError::Open`] if there is no thread.
    pub fn follow(&self, from: Position, mut follower: impl Follower + 'static) -> Result<Following, FollowError> {
        self.check_position(&from)?;
        let (reader, stop) = (self.clone(), Arc::new(AtomicBool::new(false)));
        let flag = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("annals-follower".to_owned())
            .spawn(move || run(&reader, &flag, from, &mut follower))
            .map_err(|source| OpenError::System { operation: "start a thread", source })?;
        Ok(Following { stop, thread })
    }

    fn check_position(&self, position: &Position) -> Result<(), FollowError> {
        let wrong = FollowError::Position { next_seq: position.next_seq };
        let Some(last) = position.next_seq.checked_sub(1) else {
            return if position.root.is_none() { Ok(()) } else { Err(wrong) };
        };
        let record = match self.get(last) {
            Err(QueryError::NotFound { .. }) => return Err(wrong),
            other => other?,
        };
        let header = record.block_header();
        if header.next_seq() == position.next_seq && Some(header.root) == position.root { Ok(()) } else { Err(wrong) }
    }
}

fn run(
    reader: &Reader,
    stop: &AtomicBool,
    mut position: Position,
    follower: &mut impl Follower,
) -> Result<Position, FollowError> {
    while !stop.load(Ordering::Relaxed) {
        if !reader.wait_past(position.next_seq, LOOK_UP)? {
            if reader.is_halted() {
                break;
            }
            continue;
        }
        let block = reader.query().block(position.next_seq)?;
        let header = *block.header();
        let records = StoredRecord::all_of(&block);
        let behind = Position { next_seq: header.next_seq(), root: Some(header.root) };
        if !follower.take(&records, behind) {
            return Ok(behind);
        }
        position = behind;
    }
    Ok(position)
}
