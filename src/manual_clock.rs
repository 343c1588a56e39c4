//! A clock that stands still until its embedder sets it: for scenarios, tests and simulations.
//!
//! A ledger that is made or opened with one asks it wherever it would ask the machine's wall clock: for the time that its
//! genesis claims, for ordered times, for the time that a tick claims, and for the rules of opening. Its ordered times are
//! then what the embedder says, so they prove nothing about the world. What only waits, retries and idleness, goes by the
//! machine's clock all the same.

use annals_core::limits::NUMBER_MAX;
use parking_lot::Mutex;
use std::sync::Arc;

/// Why a manual clock was not set. It shows what it showed before.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ManualClockError {
    /// The time is earlier than what the clock shows.
    #[error("the clock shows {now_ms} ms and never goes back to {asked_ms} ms; set a later time, or make a new clock")]
    Back {
        /** What the clock shows, in ms since the Unix epoch. */
        now_ms: u64,
        /** What it was to show. */
        asked_ms: u64,
    },
    /// The time is beyond what a ledger can write down.
    #[error("{0} ms is not below 2^53, so no ledger can write it down; give ms since the Unix epoch")]
    Range(u64),
}

impl ManualClockError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Back { .. } => "clock.back",
            Self::Range(_) => "clock.range",
        }
    }
}

/// A clock that stands still until it is set, and never goes back. A clone is a handle on the same clock.
///
/// The next block after [`ManualClock::set`] is ordered at that time, however far ahead it is; between two settings all
/// blocks have one ordered time. Opening goes by the usual rules against it: more than five seconds behind the newest
/// block, or further ahead of it than [`crate::Options::clock_jump_max`], is refused unless
/// [`crate::Options::accept_clock`] says otherwise.
///
/// ```
/// use annals::{Creation, Ledger, ManualClock, Options};
/// # let directory = tempfile::tempdir()?;
/// # let place = directory.path().join("ledger");
/// const DAY_MS: u64 = 24 * 3600 * 1000;
/// let clock = ManualClock::new(1_800_000_000_000);
/// let options = Options { clock: Some(clock.clone()), ..Options::default() };
/// let ledger = Ledger::create(&place, &Creation::open("example.gov/scenario"), options)?;
/// clock.set(clock.now_ms() + 90 * DAY_MS)?;
/// let tick = ledger.tick()?;
/// assert_eq!(ledger.reader().get(tick.seq)?.ordered_time_ms(), 1_800_000_000_000 + 90 * DAY_MS);
/// assert!(clock.set(1_800_000_000_000).is_err(), "it never goes back");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    start_ms: u64,
    /// Invariant: `start_ms <= now_ms && now_ms <= NUMBER_MAX`; it only grows.
    now_ms: Mutex<u64>,
}

impl ManualClock {
    /// A clock that shows `ms` since the Unix epoch.
    ///
    /// # Panics
    ///
    /// If `ms` is not below 2^53: no ledger can write that down.
    pub fn new(ms: u64) -> Self {
        assert!(ms <= NUMBER_MAX, "{ms} ms is not below 2^53");
        Self(Arc::new(Inner { start_ms: ms, now_ms: Mutex::new(ms) }))
    }

    /// Sets the clock to `ms` since the Unix epoch; every ledger that was opened with it follows with its next block.
    ///
    /// # Errors
    ///
    /// [`ManualClockError`] if that is earlier than what it shows, or not below 2^53.
    pub fn set(&self, ms: u64) -> Result<(), ManualClockError> {
        if NUMBER_MAX < ms {
            return Err(ManualClockError::Range(ms));
        }
        let mut now_ms = self.0.now_ms.lock();
        if ms < *now_ms {
            return Err(ManualClockError::Back { now_ms: *now_ms, asked_ms: ms });
        }
        *now_ms = ms;
        Ok(())
    }

    /// What it shows, in ms since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        *self.0.now_ms.lock()
    }

    /// What it shows, and how far it was set ahead since it was made, both in ms and of one moment.
    pub(crate) fn look(&self) -> (u64, u64) {
        let now_ms = self.now_ms();
        (now_ms, now_ms - self.0.start_ms)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn it_stands_still_goes_ahead_and_never_back() {
        let clock = ManualClock::new(1_000);
        let handle = clock.clone();
        assert_eq!((clock.now_ms(), clock.look()), (1_000, (1_000, 0)));
        handle.set(1_000).unwrap();
        handle.set(5_000).unwrap();
        assert_eq!(clock.look(), (5_000, 4_000), "a clone is a handle on the same clock");
        assert_eq!(clock.set(4_999), Err(ManualClockError::Back { now_ms: 5_000, asked_ms: 4_999 }));
        assert_eq!(clock.set(1 << 53), Err(ManualClockError::Range(1 << 53)));
        assert_eq!(clock.now_ms(), 5_000, "a refused setting changes nothing");
        clock.set(NUMBER_MAX).unwrap();
    }

    #[test]
    #[should_panic(expected = "is not below 2^53")]
    fn a_time_that_no_ledger_can_write_down_is_none_to_begin_with() {
        ManualClock::new(1 << 53);
    }
}
