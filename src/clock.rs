//! The ledger's clock: which time a block is given, from a wall clock that people and machines set at will.
//!
//! A plain state machine; the readings come in. While the ledger runs, a wall clock that runs ahead of monotonic
//! progress by more than a second is not followed: time then goes on from where it was. That it never goes back is the
//! chain's care ([`annals_ordering::seal::Chain::ordered_time`]).

use crate::manual_clock::ManualClock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How far a wall clock may run ahead of monotonic progress between two readings.
const LEAD_MAX: Duration = Duration::from_secs(1);
/// Looks between two looks at the clock.
const LOOKS: u32 = 32;

/// One look at both clocks of the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// Ms since the Unix epoch.
    pub(crate) wall_ms: u64,
    /// Never goes back.
    pub(crate) monotonic: Instant,
}

impl Reading {
    /// Looks at the clocks.
    #[expect(clippy::disallowed_methods, reason = "the engine's edge: time enters here and nowhere below")]
    pub(crate) fn now() -> Self {
        let wall_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, milliseconds);
        Self { wall_ms, monotonic: Instant::now() }
    }
}

/// Where an open ledger's readings come from.
#[derive(Clone, Debug)]
pub(crate) enum Time {
    /// The machine's clocks.
    Machine,
    /// What the embedder sets.
    Manual(ManualClock),
    /// What a simulation says.
    #[cfg(test)]
    Simulated(std::sync::Arc<parking_lot::Mutex<Reading>>),
}

impl Time {
    /// The embedder's clock, or else the machine's.
    pub(crate) fn of(manual: Option<&ManualClock>) -> Self {
        manual.cloned().map_or(Self::Machine, Self::Manual)
    }

    /// Looks at the clocks.
    pub(crate) fn now(&self) -> Reading {
        match self {
            Self::Machine => Reading::now(),
            Self::Manual(clock) => {
                // The clock is looked at first. So between two readings the monotonic one grows by no less than the wall
                // clock, which is then always followed; and it grows while the wall clock stands still, for what waits.
                let (wall_ms, advance_ms) = clock.look();
                let now = Reading::now().monotonic;
                let monotonic = now.checked_add(Duration::from_millis(advance_ms)).unwrap_or(now);
                Reading { wall_ms, monotonic }
            }
            #[cfg(test)]
            Self::Simulated(reading) => *reading.lock(),
        }
    }
}

/// Looks again and again, for at most so long, whether something is there; whether it came.
///
/// For waits about as long as waking a sleeping thread takes.
pub(crate) fn look_for(time: Duration, mut is_there: impl FnMut() -> bool) -> bool {
    let start = Reading::now().monotonic;
    loop {
        for _ in 0..LOOKS {
            if is_there() {
                return true;
            }
            std::hint::spin_loop();
        }
        if time <= Reading::now().monotonic.saturating_duration_since(start) {
            return false;
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The time of a running ledger.
#[derive(Debug)]
pub(crate) struct Clock {
    last: Reading,
}

impl Clock {
    /// A clock that starts at this reading.
    pub(crate) const fn new(start: Reading) -> Self {
        Self { last: start }
    }

    /// The time in ms at a reading.
    pub(crate) fn tell(&mut self, reading: Reading) -> u64 {
        let progress = milliseconds(reading.monotonic.saturating_duration_since(self.last.monotonic));
        let expected = self.last.wall_ms.saturating_add(progress);
        let wall_ms =
            if expected.saturating_add(milliseconds(LEAD_MAX)) < reading.wall_ms { expected } else { reading.wall_ms };
        self.last = Reading { wall_ms, monotonic: reading.monotonic };
        wall_ms
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a point to count from")]
    fn a_jump_ahead_is_not_followed_and_a_step_is() {
        let start = Instant::now();
        let at = |wall_ms, seconds| Reading { wall_ms, monotonic: start + Duration::from_secs(seconds) };
        let mut clock = Clock::new(at(1_000_000, 0));
        assert_eq!(clock.tell(at(1_010_000, 10)), 1_010_000);
        assert_eq!(clock.tell(at(1_012_000, 11)), 1_012_000, "a second ahead is followed");
        assert_eq!(clock.tell(at(99_000_000, 12)), 1_013_000, "a day ahead is not");
        assert_eq!(clock.tell(at(99_001_000, 13)), 1_014_000, "nor later");
        assert_eq!(clock.tell(at(1_000_000, 14)), 1_000_000, "back is for the chain to refuse");
    }

    #[test]
    fn a_manual_clock_is_followed_however_far_it_is_set() {
        let manual = ManualClock::new(1_000_000);
        let time = Time::of(Some(&manual));
        let mut clock = Clock::new(time.now());
        for ahead_ms in [0, 1, 1_001, 90 * 24 * 3_600_000, 0, 1 << 50] {
            manual.set(manual.now_ms() + ahead_ms).unwrap();
            assert_eq!(clock.tell(time.now()), manual.now_ms());
        }
        let still = time.now();
        let passes = (0..100_000_000).any(|_| still.monotonic < time.now().monotonic);
        assert!(passes && time.now().wall_ms == still.wall_ms, "what waits goes on while the clock stands still");
    }
}
