//! The stores, each behind the same few calls, opened as its documentation says for the strictest durability.

pub(crate) mod annals;
pub(crate) mod naive;
pub(crate) mod okaywal;
pub(crate) mod raft_engine;
pub(crate) mod redb;
pub(crate) mod sqlite;

use crate::Failure;
use crate::payloads::BATCH;
use std::path::Path;
use std::time::{Duration, Instant};

/// A store that is open.
pub(crate) trait Store {
    /// Appends records `first..first + count`, at most [`BATCH`]; they are durable when it returns.
    fn append(&mut self, first: u64, count: usize) -> Result<(), Failure>;

    /// Appends from `first` on until the deadline with many batches on their way, and waits until all are durable; how
    /// many they were. None where the store has only calls that wait.
    fn flood(&mut self, first: u64, deadline: Instant) -> Result<Option<u64>, Failure> {
        let _ = (first, deadline);
        Ok(None)
    }

    /// Records that it can still take; it may have been given only so many.
    fn room(&self) -> u64 {
        u64::MAX
    }

    /// Closes it; bytes of its files that are in use, where it sets files aside in advance.
    fn close(self: Box<Self>) -> Result<Option<u64>, Failure>;
}

/// How the rate of a row is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rate {
    /// One batch is durable before the next is appended.
    Batches,
    /// Many batches are on their way.
    InFlight,
}

/// Opens an empty store in a directory.
type Opening = dyn Fn(&Path) -> Result<Box<dyn Store>, Failure>;
/// Counts the records of a store in a directory.
type Counting = dyn Fn(&Path) -> Result<u64, Failure>;

/// One row of the table.
pub(crate) struct Row {
    /// Its name, as `--only` takes it.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) what: &'static str,
    pub(crate) rate: Rate,
    /// Whether lone records are measured: what makes no sense alone is not.
    pub(crate) has_lone: bool,
    /// Every record's signature is verified before it is durable.
    pub(crate) verifies: bool,
    /// Records are chained by hashes, and each one's place can be proved to others.
    pub(crate) proves: bool,
    /// Opens an empty store in an empty directory.
    pub(crate) open: Box<Opening>,
    /// Opens it again and counts the records, each of which must be the one that was appended.
    pub(crate) count: Box<Counting>,
}

/// The row that those in batches are compared with.
pub(crate) const CEILING: &str = "direct";
/// The row that those in flight are compared with.
pub(crate) const CEILING_IN_FLIGHT: &str = "direct-in-flight";

const _: () = assert!(BATCH == 1000, "the table and the README say so");

/// All rows, in the order of the table; what they need beforehand lies in this directory and serves measurements so long.
pub(crate) fn all(directory: &Path, time: Duration) -> Result<Vec<Row>, Failure> {
    let mut rows = naive::rows();
    rows.extend([raft_engine::row(), okaywal::row(), redb::row(), sqlite::row()]);
    rows.extend(annals::rows(directory, time)?);
    Ok(rows)
}

/// A row of a store that neither verifies nor proves.
pub(crate) fn plain(
    name: &'static str,
    what: &'static str,
    open: impl Fn(&Path) -> Result<Box<dyn Store>, Failure> + 'static,
    count: impl Fn(&Path) -> Result<u64, Failure> + 'static,
) -> Row {
    Row {
        name,
        what,
        rate: Rate::Batches,
        has_lone: true,
        verifies: false,
        proves: false,
        open: Box::new(open),
        count: Box::new(count),
    }
}
