//! What the threads of an open ledger share: the ring, the authors, the read side, and how they wake each other.
//!
//! Callers come through the gate and claim room in the ring; workers verify, and do what must not hold up the engine;
//! the engine orders and writes. Nobody holds a lock while another works: queues of jobs are locked for a push or pop.

use crate::authors::Authors;
use crate::clock::look_for;
use crate::memory::Budget;
use crate::meter::Meter;
use crate::policy::Policy;
use crate::query::Query;
use annals_core::hash::LedgerId;
use annals_ordering::park::Parking;
use annals_ordering::registry::Registry;
use annals_ordering::ring::Ring;
use annals_ordering::verify::Suspects;
use annals_storage::device::Waker;
use annals_storage::disk::DiskError;
use annals_storage::index::PendingIndexFile;
use annals_storage::log::Halted;
use annals_storage::segment::SegmentHeader;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use std::time::Duration;

/// How long somebody looks before he sleeps: a durable write, or a verification, and some more.
pub(crate) const LOOK: Duration = Duration::from_micros(100);

/// Bytes of the ring that must wait for each thread that verifies beside another: 4,096 records of 256 bytes,
/// some six milliseconds of work.
const SHARED_BYTES: u64 = 2 << 20;

/// A thread verifies a batch for as long as it holds this.
#[derive(Debug)]
pub(crate) struct Verifying<'a>(&'a Shared);

impl<'a> Verifying<'a> {
    pub(crate) fn begin(shared: &'a Shared) -> Self {
        // Relaxed: who misses it wakes a thread in vain.
        shared.verifying.fetch_add(1, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for Verifying<'_> {
    fn drop(&mut self) {
        self.0.verifying.fetch_sub(1, Ordering::Relaxed);
        // SeqCst pairs with the fence in `wake_for_verification`; this thread now looks once more for what waits.
        fence(Ordering::SeqCst);
        if std::thread::panicking() {
            // It does not: others do, and the engine tells that its batch was abandoned.
            self.0.workers.wake(|_| true);
            self.0.bell.ring();
        }
    }
}

/// Ends the engine's sleep, at the price of a load while it is awake.
#[derive(Debug)]
pub(crate) struct Bell {
    asleep: AtomicBool,
    waker: Waker,
}

impl Bell {
    pub(crate) const fn new(waker: Waker) -> Self {
        Self { asleep: AtomicBool::new(false), waker }
    }

    /// Wakes the engine if it sleeps or is about to; what it shall see was stored before.
    pub(crate) fn ring(&self) {
        // SeqCst pairs with the fence in `arm`: either the engine's last look sees what was stored, or this load sees
        // that it is about to sleep.
        fence(Ordering::SeqCst);
        // Relaxed: ordered by the fences; of several who see it asleep one wakes it.
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.waker.wake();
        }
    }

    /// The engine says that it will sleep after one more look.
    pub(crate) fn arm(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        // SeqCst pairs with the fence in `ring`.
        fence(Ordering::SeqCst);
    }

    /// The engine is awake.
    pub(crate) fn disarm(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }
}

/// Work that would hold up the engine.
#[derive(Debug)]
pub(crate) enum Job {
    /// Creates a segment.
    Segment {
        /** Its number. */
        number: u64,
        /** Its size in bytes. */
        size: u64,
    },
    /// Writes the index of a closed segment.
    Index(PendingIndexFile),
}

/// How creating a segment went.
pub(crate) type Created = Result<SegmentHeader, DiskError>;

/// Jobs on their way to the workers, and what came of them.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    waiting: Mutex<VecDeque<Job>>,
    created: Mutex<Option<Created>>,
}

impl Jobs {
    pub(crate) fn push(&self, job: Job) {
        self.waiting.lock().push_back(job);
    }

    pub(crate) fn pop(&self) -> Option<Job> {
        self.waiting.lock().pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }

    pub(crate) fn put_created(&self, created: Created) {
        *self.created.lock() = Some(created);
    }

    pub(crate) fn take_created(&self) -> Option<Created> {
        self.created.lock().take()
    }
}

/// What the threads of an open ledger share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) query: Arc<Query>,
    pub(crate) authors: Arc<Authors>,
    pub(crate) policy: Option<Arc<dyn Policy>>,
    pub(crate) ring: Arc<Ring>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) suspects: Arc<Suspects>,
    pub(crate) bell: Bell,
    /// Where workers sleep.
    pub(crate) workers: Parking,
    /// Cores of the machine.
    pub(crate) cores: usize,
    /// Workers that sleep or look for work.
    pub(crate) idle_workers: AtomicU32,
    /// Threads that verify a batch at this moment.
    pub(crate) verifying: AtomicU32,
    /// What is left to appenders of the memory that the options allow.
    pub(crate) memory: Budget,
    pub(crate) jobs: Jobs,
    /// No record is let in any more.
    pub(crate) closing: AtomicBool,
    /// The engine is gone; workers go when the jobs are done.
    pub(crate) stopped: AtomicBool,
    /// Callers who look for their answer instead of sleeping.
    pub(crate) lookers: AtomicU32,
    /// Why the next segment could not be made, until it is.
    pub(crate) obstacle: Mutex<Option<DiskError>>,
    /// The first failure, if there was one.
    pub(crate) halted: Mutex<Option<Halted>>,
    /// What was written; stored by the engine alone.
    pub(crate) meter: Meter,
}

/// Threads that so many bytes of unverified entries are work for.
fn worthwhile_verifiers(waiting: u64) -> u32 {
    if waiting == 0 { 0 } else { u32::try_from(1 + waiting / SHARED_BYTES).unwrap_or(u32::MAX) }
}

impl Shared {
    /// The ledger's id.
    pub(crate) fn ledger(&self) -> LedgerId {
        self.query.ledger
    }

    /// Whether more waits than can be answered soon: then what counts is how much is done, not how long each record waits.
    pub(crate) fn is_flooded(&self) -> bool {
        self.ring.capacity() / 2 < self.ring.used()
    }

    /// Whether one more thread that verifies is worth it.
    ///
    /// The first one always is; a further one only when what waits makes a batch worth having for each. Two threads that share
    /// little make small batches of it, and in a small batch a signature costs three times as much.
    pub(crate) fn wants_verifier(&self) -> bool {
        // Relaxed: a hint; whether anything waits is found out by taking it.
        let verifying = self.verifying.load(Ordering::Relaxed);
        verifying < worthwhile_verifiers(self.ring.unverified())
    }

    /// Threads that what waits is to be split between, if so many are free, the asking one among them.
    pub(crate) fn free_verifiers(&self) -> u32 {
        // Relaxed: a hint of how to share.
        let free = 1 + self.idle_workers.load(Ordering::Relaxed);
        free.min(worthwhile_verifiers(self.ring.unverified()).max(1))
    }

    /// Entries were published that workers or the engine shall verify.
    ///
    /// A thread that verifies looks again when it is done, so nobody else is woken for little. SeqCst pairs with the fence in
    /// `Verifying::drop`: either that look sees what was published, or the load here sees that nobody verifies.
    pub(crate) fn wake_for_verification(&self) {
        fence(Ordering::SeqCst);
        // Relaxed: ordered by the fences.
        let verifying = self.verifying.load(Ordering::Relaxed);
        if 0 < verifying && !self.wants_verifier() {
            return;
        }
        self.workers.wake(|_| true);
        // All workers are at something else, or there is enough for the engine too.
        if 0 < verifying || self.idle_workers.load(Ordering::Relaxed) == 0 {
            self.bell.ring();
        }
    }

    /// Looks for an answer for about as long as a durable write takes, unless as many callers as there are cores beside the
    /// engine's do so already.
    pub(crate) fn look_awhile(&self, is_there: impl FnMut() -> bool) {
        let lookers_max = u32::try_from(self.cores.saturating_sub(1)).unwrap_or(u32::MAX);
        // Relaxed: a bound on wasted time, nothing more.
        if self.lookers.fetch_add(1, Ordering::Relaxed) < lookers_max {
            look_for(LOOK, is_there);
        }
        self.lookers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Hands a job to the workers.
    pub(crate) fn give(&self, job: Job) {
        self.jobs.push(job);
        self.workers.wake(|_| true);
    }

    /// Answers "unknown" to all who wait, now and ever after.
    pub(crate) fn halt(&self) {
        self.closing.store(true, Ordering::Release);
        self.query.watermark.halt();
        self.registry.halt();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_thread_verifies_only_what_is_worth_it() {
        let mib = |count: u64| count << 20;
        let table = [(0, 0), (1, 1), (mib(2) - 1, 1), (mib(2), 2), (mib(4) - 1, 2), (mib(4), 3), (u64::MAX, u32::MAX)];
        for (waiting, expected) in table {
            assert_eq!(worthwhile_verifiers(waiting), expected, "{waiting} bytes");
        }
    }
}
