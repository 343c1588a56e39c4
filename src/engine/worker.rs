//! Workers: threads that verify what waits, and do for the engine what would hold it up.

use crate::shared::{Job, Shared, Verifying};
use annals_ordering::ring::Share;
use annals_ordering::verify::{Suspects, Verifier};
use annals_storage::disk::{Disk, DiskError, Operation};
use annals_storage::index::{PendingIndexFile, WritingIndex};
use annals_storage::segment::SegmentHeader;
use getrandom::SysRng;
use rand_core::UnwrapErr;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Entries that a worker takes at a time.
const TAKEN_AT_ONCE: usize = 4096;

/// Entries of an index that a worker makes between two looks for records, when there were none.
const ENTRIES_WHEN_IDLE: usize = 2048;
/// The same, for each record that it has verified.
const ENTRIES_PER_RECORD: usize = 8;

/// A verifier with the system's randomness.
#[derive(Debug)]
pub(crate) struct EntropyVerifier {
    verifier: Verifier,
    positions: Vec<u64>,
}

impl EntropyVerifier {
    pub(crate) fn new(suspects: Arc<Suspects>) -> Self {
        Self { verifier: Verifier::new(suspects), positions: Vec::with_capacity(TAKEN_AT_ONCE) }
    }

    /// Verifies some of what waits, unless that is left to others; how many entries.
    pub(crate) fn verify(&mut self, shared: &Shared, entry_count_max: usize) -> usize {
        if !shared.wants_verifier() {
            return 0;
        }
        let share = Share::Of { free_workers: shared.free_verifiers() };
        let Some(batch) = shared.ring.take_batch(entry_count_max, share, &mut self.positions) else { return 0 };
        // Only now: who publishes while a thread counts as one that verifies wakes nobody, since that thread looks again. One that
        // finds nothing may go to sleep instead.
        let _verifying = Verifying::begin(shared);
        let count = batch.len();
        // A system that gives no more randomness, after it gave some, is beyond help: the batch is abandoned, its
        // records are refused for now, and the thread ends.
        self.verifier.verify(batch, &mut UnwrapErr(SysRng));
        count
    }
}

/// A worker's life: until the engine is gone and the jobs are done.
pub(crate) fn work(shared: &Shared, disk: &dyn Disk) {
    let mut verifier = EntropyVerifier::new(Arc::clone(&shared.suspects));
    let mut indexes = VecDeque::new();
    let mut writing: Option<WritingIndex> = None;
    loop {
        if let Some(job) = shared.jobs.pop() {
            // What this worker was woken for meanwhile is the engine's.
            shared.bell.ring();
            match job {
                Job::Index(pending) => indexes.push_back(pending),
                Job::Segment { number, size } => {
                    shared.jobs.put_created(create_segment(shared, disk, number, size));
                }
            }
            shared.bell.ring();
            continue;
        }
        let verified = verifier.verify(shared, TAKEN_AT_ONCE);
        if 0 < verified {
            shared.bell.ring();
        }
        while writing.is_none()
            && let Some(next) = indexes.pop_front()
        {
            writing = begin_index(shared, &next);
        }
        if let Some(unfinished) = writing.take() {
            writing = write_some(shared, unfinished, verified);
            continue;
        }
        if 0 < verified {
            continue;
        }
        // Acquire pairs with the Release of the engine's last breath: its last jobs are there.
        if shared.stopped.load(Ordering::Acquire) && shared.jobs.is_empty() {
            return;
        }
        shared.idle_workers.fetch_add(1, Ordering::Relaxed);
        shared.workers.wait(None, || {
            let wanted = shared.wants_verifier() || !shared.jobs.is_empty() || shared.stopped.load(Ordering::Acquire);
            wanted.then_some(())
        });
        shared.idle_workers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Begins to write a closed segment's index, if there is a place for it.
fn begin_index(shared: &Shared, pending: &PendingIndexFile) -> Option<WritingIndex> {
    shared.query.store.as_ref().and_then(|store| pending.begin(store.as_ref()).ok())
}

/// Goes on with a closed segment's index, as far as records leave time for it; what is left to do.
///
/// A record makes two entries. Each record that this worker verifies carries eight, so that in a flood, too, the index of one
/// segment is written before the next one ends, and none of those that wait for their verification waits for all of it.
fn write_some(shared: &Shared, writing: WritingIndex, verified: usize) -> Option<WritingIndex> {
    let count = if verified == 0 { ENTRIES_WHEN_IDLE } else { ENTRIES_PER_RECORD * verified };
    let pending = writing.pending().clone();
    match writing.step(count) {
        Ok(Some(unfinished)) => return Some(unfinished),
        Ok(None) => shared.query.index.written(&pending),
        // An index that can't be written answers from memory, and is rebuilt by the next opening's first look-up.
        Err(_) => {}
    }
    None
}

/// Writes a closed segment's index to its end, in the pieces of an idle worker: for the simulator, which has no threads.
#[cfg(test)]
pub(crate) fn write_index(shared: &Shared, pending: &PendingIndexFile) {
    let mut writing = begin_index(shared, pending);
    while let Some(unfinished) = writing.take() {
        writing = write_some(shared, unfinished, 0);
    }
}

/// Creates a segment of zeros with a key of its own.
fn create_segment(shared: &Shared, disk: &dyn Disk, number: u64, size: u64) -> Result<SegmentHeader, DiskError> {
    let segment = new_segment(shared.ledger(), number, size)?;
    disk.create_segment(number, size, &segment.encode())?;
    Ok(segment)
}

/// The first page of a new segment.
fn new_segment(ledger: annals_core::hash::LedgerId, number: u64, size: u64) -> Result<SegmentHeader, DiskError> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|_| {
        let error = std::io::Error::other("no randomness");
        DiskError::from_io(&error, Operation::Create, number, 0)
    })?;
    Ok(SegmentHeader { ledger, number, size, key })
}
