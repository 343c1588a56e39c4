//! The walk of a check: frames go out in batches to every core and come back in order; what that finds to be done goes out again.

use super::batch::Batch;
use super::error::CheckError;
use super::order::{Compared, Order, Reopened};
use super::pool::{Pending, Pool};
use super::signatures::{Judges, SIGNATURES_AT_ONCE};
use annals_core::tree::Frontier;
use annals_storage::check::CheckReport as LogReport;
use annals_storage::index::IndexStore;
use annals_storage::recovery::{RecoveredFrame, RecoveryError};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Indexes in memory at a time, beside the one that is being made.
const INDEXES_MAX: usize = 2;

/// What a sound log turned out to hold.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) frontier: Frontier,
    pub(super) items: u64,
    pub(super) other_tree: Option<CheckError>,
    pub(super) reopened: Vec<Reopened>,
    pub(super) indexes_missing: Vec<u64>,
    pub(super) indexes_other: Vec<u64>,
}

/// All that is under way.
#[derive(Debug)]
pub(super) struct Walker<'a> {
    pool: &'a Pool,
    judges: Judges,
    store: Arc<dyn IndexStore>,
    order: Order,
    filling: Batch,
    /// Oldest first, as are the others.
    batches: VecDeque<Pending<Batch>>,
    spare: Vec<Batch>,
    signatures: VecDeque<Pending<Option<CheckError>>>,
    indexes: VecDeque<Pending<Result<Compared, CheckError>>>,
    indexes_missing: Vec<u64>,
    indexes_other: Vec<u64>,
    failures: Vec<CheckError>,
}

impl<'a> Walker<'a> {
    pub(super) fn new(pool: &'a Pool, store: Arc<dyn IndexStore>, order: Order) -> Self {
        Self {
            pool,
            judges: Judges::REAL,
            store,
            order,
            filling: Batch::new(),
            batches: VecDeque::new(),
            spare: Vec::new(),
            signatures: VecDeque::new(),
            indexes: VecDeque::new(),
            indexes_missing: Vec::new(),
            indexes_other: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Takes the next frame; says whether to go on.
    pub(super) fn visit(&mut self, frame: &RecoveredFrame<'_>) -> ControlFlow<()> {
        if self.filling.push(frame) {
            self.hand_out();
            self.take_back(self.pool.threads() + 2);
        }
        if self.failures.is_empty() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn hand_out(&mut self) {
        let next = self.spare.pop().unwrap_or_else(Batch::new);
        let mut batch = std::mem::replace(&mut self.filling, next);
        self.batches.push_back(self.pool.run(move || {
            batch.verify();
            batch
        }));
    }

    /// Waits for batches until no more than `left` are out, and looks at them in order, up to the first thing that is wrong.
    fn take_back(&mut self, left: usize) {
        while left < self.batches.len()
            && let Some(pending) = self.batches.pop_front()
        {
            let mut batch = pending.wait();
            if self.failures.is_empty() {
                self.failures.extend(self.order.take(&mut batch).err());
                if SIGNATURES_AT_ONCE <= self.order.signed.len() {
                    self.verify_signatures();
                }
                self.compare_indexes();
            }
            batch.clear();
            self.spare.push(batch);
        }
    }

    fn verify_signatures(&mut self) {
        let (judges, signed) = (self.judges, std::mem::take(&mut self.order.signed));
        self.signatures.push_back(self.pool.run(move || judges.first_bad(&signed)));
        self.take_verified(2 * self.pool.threads());
    }

    fn take_verified(&mut self, left: usize) {
        while left < self.signatures.len()
            && let Some(pending) = self.signatures.pop_front()
        {
            self.failures.extend(pending.wait());
        }
    }

    fn compare_indexes(&mut self) {
        for made in std::mem::take(&mut self.order.made) {
            let store = Arc::clone(&self.store);
            self.indexes.push_back(self.pool.run(move || made.compare(store.as_ref())));
            self.take_compared(INDEXES_MAX);
        }
    }

    fn take_compared(&mut self, left: usize) {
        while left < self.indexes.len()
            && let Some(pending) = self.indexes.pop_front()
        {
            match pending.wait() {
                Ok(Compared::Same) => {}
                Ok(Compared::Missing(segment)) => self.indexes_missing.push(segment),
                Ok(Compared::Other(segment)) => self.indexes_other.push(segment),
                Err(error) => self.failures.push(error),
            }
        }
    }

    /// Ends the walk. Of all that is wrong, what comes first in the ledger is told; the log's own failure lies behind all
    /// frames that it showed.
    pub(super) fn finish(mut self, log: Result<LogReport, RecoveryError>) -> Result<(LogReport, Checked), CheckError> {
        self.hand_out();
        self.take_back(0);
        self.verify_signatures();
        self.take_verified(0);
        self.take_compared(0);
        if let Some(first) = self.failures.into_iter().min_by_key(CheckError::place) {
            return Err(first);
        }
        let seq = self.order.frontier.size();
        let log = log.map_err(|source| CheckError::Log { source: Box::new(source), seq })?;
        let Order { frontier, items, other_tree, reopened, .. } = self.order;
        let (indexes_missing, indexes_other) = (self.indexes_missing, self.indexes_other);
        Ok((log, Checked { frontier, items, other_tree, reopened, indexes_missing, indexes_other }))
    }
}
