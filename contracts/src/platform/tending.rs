//! Tending: what a platform does when nobody asks anything of it.

use super::{Core, Platform, PlatformError};
use crate::keys;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often the tender looks.
const LOOK: Duration = Duration::from_millis(200);

/// A thread that tends a platform until it is dropped.
#[derive(Debug)]
pub(super) struct Tender {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Tender {
    pub(super) fn start(core: Arc<Core>) -> Self {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let told = Arc::clone(&stop);
        let run = move || {
            let (stopped, bell) = &*told;
            let mut stopped = stopped.lock();
            while !*stopped {
                bell.wait_for(&mut stopped, LOOK);
                // What fails here fails again where somebody is told: in the next submission, or in closing.
                let _ = core.tend();
            }
        };
        // Without a thread nothing is lost: deadlines pass with the next record, state is stored in groups and on closing, and a
        // root is ordered when a proof asks for one.
        let thread = std::thread::Builder::new().name("annals-tender".to_owned()).spawn(run).ok();
        Self { stop, thread }
    }
}

impl Drop for Tender {
    fn drop(&mut self) {
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Now, in ms since the Unix epoch.
#[expect(
    clippy::disallowed_methods,
    reason = "when a record would be ordered, as far as a front end can tell; no contract reads it"
)]
pub(super) fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl Platform {
    /// Marks time if a deadline's time has come, stores state, and has its root ordered if that is due. The platform's own thread
    /// does it, unless it was opened as untended.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if the ledger or the host failed.
    pub fn tend(&self) -> Result<(), PlatformError> {
        self.core.tend()
    }

    /// Marks time: deadlines pass whose time has come.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if the ledger refuses, or the host stopped.
    pub fn tick(&self) -> Result<(), PlatformError> {
        let ack = self.core.ledger.tick()?;
        Ok(self.core.progress.wait_past(ack.seq)?)
    }
}

impl Core {
    pub(super) fn tend(&self) -> Result<(), PlatformError> {
        self.mark_time()?;
        let applied = self.state.applied();
        if self.reader.next_seq() == applied.next_seq
            && let Some(mut applier) = self.applier.try_lock()
        {
            applier.commit()?;
        }
        if let Some(interval) = self.root_interval {
            self.order_root_if_due(interval)?;
        }
        Ok(())
    }

    /// Orders a tick if a deadline's time has come and no record has marked that time.
    fn mark_time(&self) -> Result<(), PlatformError> {
        let next_seq = self.reader.next_seq();
        let (Some(last), true) = (next_seq.checked_sub(1), next_seq == self.state.applied().next_seq) else {
            return Ok(());
        };
        // What the newest block could not let pass, the next one tries again: no tick of its own for that, or there were five a second.
        let marked_ms = i64::try_from(self.reader.get(last)?.ordered_time_ms()).unwrap_or(i64::MAX);
        let (from, to) = keys::due_between(marked_ms, self.now().time_ms);
        if !self.state.rows(&from, &to, 1)?.is_empty() {
            self.ledger.tick()?;
        }
        Ok(())
    }
}
