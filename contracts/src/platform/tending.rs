//! Tending: what a platform does when nobody asks anything of it.

use super::{Core, Platform, PlatformError};
use crate::keys;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Rows of deadlines by which it is told whether a tick let any of them pass.
const DUE_MAX: usize = 4096;
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
        // Without a thread nothing is lost: deadlines pass with the next record.
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
        while !self.core.progress.wait_past(ack.seq, super::APPLY_WAIT)? {}
        Ok(())
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

    /// Orders a tick if a deadline's time has come and no record has marked that time. What is due after a tick as before it could
    /// not pass; another tick would not help it, and goes with the next record.
    fn mark_time(&self) -> Result<(), PlatformError> {
        let (from, to) = keys::due_range(self.now().time_ms);
        if self.reader.next_seq() != self.state.applied().next_seq {
            return Ok(());
        }
        let due: Vec<_> = self.state.rows(&from, &to, DUE_MAX)?.into_iter().map(|(key, _)| key).collect();
        let mut marked = self.marked.lock();
        if !due.is_empty() && *marked != due {
            self.ledger.tick()?;
        }
        *marked = due;
        Ok(())
    }
}
