//! The bench's clock: what it reads of time, and how it rests.

use rustix::time::{ClockId, clock_gettime};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Whole microseconds, rounded down.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Whole nanoseconds.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// CPU time of this process so far.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or(Duration::ZERO)
}

/// Sleeps for about this long; may return early.
pub(crate) fn rest(time: Duration) {
    std::thread::park_timeout(time);
}

/// Lets this thread be woken when it asked to, not up to 50 us later as Linux does by default.
pub(crate) fn wake_on_time() {
    // Where it is refused, records are sent somewhat later behind their time, which the figures show.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
}
