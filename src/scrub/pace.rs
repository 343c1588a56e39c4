//! Pacing: how long to wait so that no more than so many bytes a second are read, and a wait that can be ended.

use parking_lot::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// After a standstill no more is caught up than in this time.
const LAG_MAX: Duration = Duration::from_secs(1);

/// A pace. A plain state machine: the time comes in.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: Option<u64>,
    /// When the bytes before `paid` were due.
    since: Instant,
    paid: u64,
}

impl Pace {
    pub(super) const fn new(bytes_per_second: Option<u64>, now: Instant) -> Self {
        Self { bytes_per_second, since: now, paid: 0 }
    }

    /// How long to wait when so many bytes were read until now.
    pub(super) fn pause(&mut self, bytes: u64, now: Instant) -> Duration {
        let Some(rate) = self.bytes_per_second else { return Duration::ZERO };
        let unpaid = u128::from(bytes.saturating_sub(self.paid)) * 1_000_000_000 / u128::from(rate.max(1));
        let due = Duration::from_nanos(u64::try_from(unpaid).unwrap_or(u64::MAX));
        let passed = now.saturating_duration_since(self.since);
        if due.saturating_add(LAG_MAX) < passed {
            // The machine slept, or the disk stood still: what was not read then is not made up for.
            (self.since, self.paid) = (now, bytes);
        }
        due.saturating_sub(passed)
    }
}

/// Says to somebody who waits that he is to stop.
#[derive(Debug, Default)]
pub(super) struct Stop {
    asked: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Asks.
    pub(super) fn ask(&self) {
        *self.asked.lock() = true;
        self.changed.notify_all();
    }

    /// Whether it was asked.
    pub(super) fn is_asked(&self) -> bool {
        *self.asked.lock()
    }

    /// Waits so long, or until it is asked; whether it was.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let mut asked = self.asked.lock();
        if !*asked {
            // Woken for nothing, the caller looks at the clock again.
            self.changed.wait_for(&mut asked, time);
        }
        *asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a point to count from")]
    fn a_pace_is_kept_and_a_standstill_is_not_caught_up() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut pace = Pace::new(Some(1_000_000), start);
        assert_eq!(pace.pause(500_000, at(0)), Duration::from_millis(500));
        assert_eq!(pace.pause(500_000, at(200)), Duration::from_millis(300));
        assert_eq!(pace.pause(500_000, at(500)), Duration::ZERO);
        assert_eq!(pace.pause(1_000_000, at(900)), Duration::from_millis(100), "a little lag is made up for");
        assert_eq!(pace.pause(1_000_000, at(60_000)), Duration::ZERO);
        assert_eq!(pace.pause(2_000_000, at(60_000)), Duration::from_secs(1), "a minute is not");
        assert_eq!(Pace::new(None, start).pause(u64::MAX, start), Duration::ZERO);
        assert_eq!(Pace::new(Some(0), start).pause(1, start), Duration::from_secs(1));
    }
}
