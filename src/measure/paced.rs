//! What the disk alone makes of a constant load: the latency below which no ledger on it can stay.

use super::{filled, micros, now, on_scratch, percentile, wait_for_one};
use crate::open_error::OpenError;
use crate::options::DeviceChoice;
use annals_core::limits::PAGE_SIZE;
use annals_storage::device::{Device, Write, WriteKind};
use annals_storage::disk::DiskError;
use std::path::Path;
use std::time::{Duration, Instant};

/// What comes due together.
const TICK: Duration = Duration::from_millis(1);
/// Most bytes of one write: those of the largest block.
const WRITE_SIZE_MAX: u64 = 4 << 20;

/// Latencies of writes at a constant rate, from when their bytes were due to when they were durable, µs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PacedWrites {
    /// The median.
    pub us_p50: u64,
    /// The 99th percentile.
    pub us_p99: u64,
    /// The longest.
    pub us_max: u64,
}

/// Writes so many bytes a second for about `time`, durably, with the device that a ledger there would use.
///
/// What comes due within a millisecond is written together, one write at a time; what comes due during a write waits and goes
/// with the next one. So it is a ledger's way to the disk with no records and nobody to wait for.
///
/// # Errors
///
/// [`OpenError`] if the disk has no room, or fails.
pub fn paced_writes(
    directory: &Path,
    choice: DeviceChoice,
    bytes_per_s: u64,
    time: Duration,
) -> Result<PacedWrites, OpenError> {
    on_scratch(directory, choice, |device, size| {
        let mut latencies = pace(device, size, bytes_per_s, time)?;
        latencies.sort_unstable();
        Ok(PacedWrites {
            us_p50: percentile(&latencies, 50),
            us_p99: percentile(&latencies, 99),
            us_max: percentile(&latencies, 100),
        })
    })
}

/// The latency of each tick's bytes.
fn pace(device: &mut dyn Device, size: u64, bytes_per_s: u64, time: Duration) -> Result<Vec<u64>, DiskError> {
    let page = PAGE_SIZE as u64;
    let tick_size = (bytes_per_s / 1000).next_multiple_of(page).clamp(page, WRITE_SIZE_MAX.min(size));
    let together_max = WRITE_SIZE_MAX.min(size) / tick_size;
    let (mut latencies, mut completions) = (Vec::new(), Vec::new());
    let (mut offset, mut written, start) = (0, 0, now());
    let due = |tick: u64| start + TICK.saturating_mul(u32::try_from(tick + 1).unwrap_or(u32::MAX));
    loop {
        let moment = now();
        let elapsed = moment.saturating_duration_since(start);
        if time < elapsed {
            return Ok(latencies);
        }
        let ticks = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let count = ticks.saturating_sub(written).min(together_max);
        if count == 0 {
            rest(until(due(written), moment));
            continue;
        }
        let bytes = count * tick_size;
        if size < offset + bytes {
            offset = 0;
        }
        let buffer = filled(usize::try_from(bytes).unwrap_or(PAGE_SIZE));
        device.submit(Write { ticket: written, segment: 0, offset, buffer, kind: WriteKind::Data })?;
        wait_for_one(device, &mut completions)?;
        completions.clear();
        let durable = now();
        latencies.extend((written..written + count).map(|tick| micros(until(durable, due(tick)))));
        (offset, written) = (offset + bytes, written + count);
    }
}

#[expect(clippy::disallowed_methods, reason = "a measurement keeps a rate")]
fn rest(time: Duration) {
    std::thread::sleep(time);
}

fn until(later: Instant, earlier: Instant) -> Duration {
    later.saturating_duration_since(earlier)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_constant_load_is_measured_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let began = now();
        let time = Duration::from_millis(60);
        let paced = paced_writes(directory.path(), DeviceChoice::Best, 20_000_000, time).unwrap();
        assert!(0 < paced.us_p50 && paced.us_p50 <= paced.us_p99 && paced.us_p99 <= paced.us_max, "{paced:?}");
        assert!(until(now(), began) > time);
        assert!(Duration::from_micros(paced.us_max) < until(now(), began), "no write took longer than the whole");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
