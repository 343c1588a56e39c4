//! Measuring a disk: the latency of one small durable write, and the bandwidth of large ones.
//!
//! Both write through the device that a ledger would use, to a segment in a scratch directory of their own that is
//! gone when they return. The segment is written with zeros first, as a ledger's runway is; writing into space that
//! is merely allocated is 2 to 6 times slower, and is not what is measured here.

use super::ProbeError;
use crate::buffer::PageBuffer;
use crate::device::{Completion, Device, Opened, Preference, Write, WriteKind, open};
use crate::disk::{Access, Disk, DiskError, FileDisk};
use annals_core::limits::PAGE_SIZE;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Most bytes that [`stream`] writes, and that its scratch file takes.
pub const STREAM_SIZE_MAX: u64 = 256 << 20;
/// Bytes of one write of a stream, and of the writes that make the zeros.
const LARGE_WRITE_SIZE: usize = 1 << 20;
/// Writes whose latency is measured.
const LATENCY_WRITE_COUNT: usize = 200;
/// Writes before those: the first ones meet cold caches.
const WARM_UP_COUNT: usize = 16;
/// Bytes of the file in which latency is measured.
const LATENCY_FILE_SIZE: u64 = LARGE_WRITE_SIZE as u64;
const _: () = assert!(
    (LATENCY_WRITE_COUNT + WARM_UP_COUNT) * PAGE_SIZE <= LARGE_WRITE_SIZE,
    "each page is written once, as in a log"
);
/// Writes in flight: as many as a ledger has.
const IN_FLIGHT_COUNT: usize = crate::log::IN_FLIGHT_MAX;

/// Which way a measured write goes; an engine takes both.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LatencyPath {
    /// Submitted and waited for, as a block is while others wait.
    Queued,
    /// [`Device::write_now`], as a lone small block is written.
    Now,
}

/// How long a small durable write takes, one after the other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Latency {
    /// The device that wrote: `io_uring` or `pwrite`.
    pub device: &'static str,
    /// The median, µs.
    pub us_p50: u64,
    /// The 99th percentile by nearest rank, µs.
    pub us_p99: u64,
    /// Writes that were measured: 200, or fewer if the time was over before.
    pub write_count: usize,
}

/// What a disk takes in large durable writes, two in flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stream {
    /// The device that wrote: `io_uring` or `pwrite`.
    pub device: &'static str,
    /// Bytes written durably, at most [`STREAM_SIZE_MAX`].
    pub bytes: u64,
    /// How long that took.
    pub elapsed: Duration,
}

impl Stream {
    /// MB (10^6 bytes) a second.
    pub fn mb_per_s(&self) -> u64 {
        // Bytes a microsecond.
        u64::try_from(u128::from(self.bytes) * 1000 / self.elapsed.as_nanos().max(1)).unwrap_or(u64::MAX)
    }
}

/// Measures the latency of a durable write of 4 KiB in an existing directory: 200 writes, fewer if `time_max` is over.
///
/// At least one write is measured, however little time there is.
///
/// # Errors
///
/// [`ProbeError`] if the directory has too little room, or its disk fails.
pub fn durable_4k_write(
    directory: &Path,
    preference: Preference,
    path: LatencyPath,
    time_max: Duration,
) -> Result<Latency, ProbeError> {
    let scratch = Scratch::new(directory, preference, LATENCY_FILE_SIZE)?;
    scratch.measure(|device| {
        ready(device, LATENCY_FILE_SIZE, None)?;
        let mut latencies = Vec::with_capacity(LATENCY_WRITE_COUNT);
        let (mut buffer, start) = (filled(PAGE_SIZE), now());
        for number in 0..LATENCY_WRITE_COUNT + WARM_UP_COUNT {
            let (ticket, offset) = (number as u64, (number * PAGE_SIZE) as u64);
            let began = now();
            let write = Write { ticket, segment: 0, offset, buffer, kind: WriteKind::Data };
            let done = match path {
                LatencyPath::Queued => {
                    device.submit(write)?;
                    wait_for_one(device)?
                }
                LatencyPath::Now => device.write_now(write),
            };
            let took = since(began);
            done.result?;
            buffer = done.buffer;
            let is_over = time_max <= since(start);
            if WARM_UP_COUNT <= number || is_over {
                latencies.push(took);
            }
            if is_over {
                break;
            }
        }
        Ok(latency(device.name(), latencies))
    })
}

/// Measures the bandwidth of durable writes of 1 MiB in an existing directory, two in flight, from end to end of a file
/// of up to 256 MiB.
///
/// The file is written twice, the first time with the zeros that a runway would have written; each time ends after half
/// of `time_max`, so that a slow disk is measured over fewer bytes, but over one write at least. A file is at most half
/// of the free room.
///
/// # Errors
///
/// [`ProbeError`] if the directory has too little room, or its disk fails.
pub fn stream(directory: &Path, preference: Preference, time_max: Duration) -> Result<Stream, ProbeError> {
    let scratch = Scratch::new(directory, preference, STREAM_SIZE_MAX)?;
    let size = scratch.size;
    scratch.measure(|device| {
        let size = ready(device, size, Some(time_max / 2))?;
        write_large(device, WriteKind::Data, size, Some(time_max / 2))
    })
}

/// A segment in a directory of its own, which is removed with it.
struct Scratch {
    path: PathBuf,
    device: Box<dyn Device>,
    /// Bytes of the segment.
    size: u64,
}

impl Scratch {
    /// A segment of up to `size_max` bytes, no more than half of the free room.
    fn new(directory: &Path, preference: Preference, size_max: u64) -> Result<Self, ProbeError> {
        let free = FileDisk::new(directory, Access::Read).available()?;
        let size = size_for(free, size_max)?;
        // Relaxed: a number that nobody else has, nothing more.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!(".annals-measure-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| ProbeError::system("make a scratch directory", &error))?;
        match Self::fill(&path, preference, size) {
            Ok(device) => Ok(Self { path, device, size }),
            Err(error) => {
                // The first failure is the one to tell.
                let _ = std::fs::remove_dir_all(&path);
                Err(error.into())
            }
        }
    }

    /// Makes the segment and its device.
    fn fill(path: &Path, preference: Preference, size: u64) -> Result<Box<dyn Device>, DiskError> {
        let disk = Arc::new(FileDisk::new(path, Access::Write));
        disk.create_segment(0, size, &[0; PAGE_SIZE])?;
        let Opened { device, .. } = open(&disk, preference)?;
        Ok(device)
    }

    /// Measures, and removes what was written whatever came of it.
    fn measure<T>(mut self, how: impl FnOnce(&mut dyn Device) -> Result<T, DiskError>) -> Result<T, ProbeError> {
        let measured = how(self.device.as_mut());
        // A device waits for what is in flight when it goes, and holds the file open until then.
        drop(self.device);
        let removed = std::fs::remove_dir_all(&self.path);
        let measured = measured?;
        removed.map_err(|error| ProbeError::system("remove the scratch directory", &error))?;
        Ok(measured)
    }
}

/// Bytes to measure with: whole large writes, at most half of what is free.
fn size_for(free: u64, size_max: u64) -> Result<u64, ProbeError> {
    let large = LARGE_WRITE_SIZE as u64;
    let size = size_max.min(free / 2 / large * large);
    if size == 0 { Err(ProbeError::NoRoom { needed: 2 * large, free }) } else { Ok(size) }
}

/// Writes zeros to the segment, to `size` or until the time is over; bytes that were written.
///
/// They are made durable, so that what is measured next does not pay for them.
fn ready(device: &mut dyn Device, size: u64, time_max: Option<Duration>) -> Result<u64, DiskError> {
    let zeros = write_large(device, WriteKind::Runway, size, time_max)?;
    let buffer = PageBuffer::new(PAGE_SIZE);
    device.write_now(Write { ticket: 0, segment: 0, offset: 0, buffer, kind: WriteKind::Data }).result?;
    Ok(zeros.bytes)
}

/// Writes the segment from its start, large writes in flight, to `size` or until the time is over.
fn write_large(
    device: &mut dyn Device,
    kind: WriteKind,
    size: u64,
    time_max: Option<Duration>,
) -> Result<Stream, DiskError> {
    let mut buffers = match kind {
        WriteKind::Data => vec![filled(LARGE_WRITE_SIZE); IN_FLIGHT_COUNT],
        WriteKind::Runway => vec![PageBuffer::new(LARGE_WRITE_SIZE); IN_FLIGHT_COUNT],
    };
    let (mut offset, mut bytes, start) = (0, 0, now());
    let mut done = Vec::new();
    loop {
        let is_in_time = offset == 0 || time_max.is_none_or(|time_max| since(start) < time_max);
        if offset < size
            && is_in_time
            && let Some(buffer) = buffers.pop()
        {
            device.submit(Write { ticket: offset, segment: 0, offset, buffer, kind })?;
            offset += LARGE_WRITE_SIZE as u64;
        } else if bytes < offset {
            wait_for_some(device, &mut done)?;
            for completion in done.drain(..) {
                completion.result?;
                bytes += completion.buffer.len() as u64;
                buffers.push(completion.buffer);
            }
        } else {
            return Ok(Stream { device: device.name(), bytes, elapsed: since(start) });
        }
    }
}

fn wait_for_some(device: &mut dyn Device, into: &mut Vec<Completion>) -> Result<(), DiskError> {
    device.reap(into)?;
    while into.is_empty() {
        device.wait(None)?;
        device.reap(into)?;
    }
    Ok(())
}

/// The completion of the only write in flight.
fn wait_for_one(device: &mut dyn Device) -> Result<Completion, DiskError> {
    let mut done = Vec::new();
    loop {
        wait_for_some(device, &mut done)?;
        if let Some(completion) = done.pop() {
            return Ok(completion);
        }
    }
}

/// Bytes that no device can leave out because they are zero.
fn filled(size: usize) -> PageBuffer {
    let mut buffer = PageBuffer::new(size);
    buffer.fill(0x5A);
    buffer
}

fn latency(device: &'static str, mut latencies: Vec<Duration>) -> Latency {
    latencies.sort_unstable();
    let write_count = latencies.len();
    // Nearest rank: the smallest latency that so many percent of the writes did not exceed.
    let at = |percent: usize| {
        let rank = (write_count * percent).div_ceil(100).saturating_sub(1);
        let micros = latencies.get(rank).map_or(0, |latency| (latency.as_nanos() + 500) / 1000);
        u64::try_from(micros).unwrap_or(u64::MAX)
    };
    Latency { device, us_p50: at(50), us_p99: at(99), write_count }
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn now() -> Instant {
    Instant::now()
}

fn since(start: Instant) -> Duration {
    now().saturating_duration_since(start)
}

#[cfg(test)]
mod tests {
    use super::{LARGE_WRITE_SIZE, Latency, ProbeError, STREAM_SIZE_MAX, Stream, latency, size_for};
    use std::time::Duration;

    #[test]
    fn percentiles_are_by_nearest_rank_and_rounded_to_microseconds() {
        let found = |nanos: Vec<u64>| latency("", nanos.into_iter().rev().map(Duration::from_nanos).collect());
        let expected = |us_p50, us_p99, write_count| Latency { device: "", us_p50, us_p99, write_count };
        assert_eq!(found((1..=200).map(|us| us * 1000).collect()), expected(100, 198, 200));
        assert_eq!(found(vec![1_499, 1_500]), expected(1, 2, 2));
        assert_eq!(found(vec![7_000]), expected(7, 7, 1));
    }

    #[test]
    fn bandwidth_is_millions_of_bytes_a_second() {
        let found = |bytes, elapsed| Stream { device: "", bytes, elapsed }.mb_per_s();
        assert_eq!(found(3_000_000_000, Duration::from_secs(2)), 1500);
        assert_eq!(found(STREAM_SIZE_MAX, Duration::from_millis(100)), 2684);
        assert_eq!(found(0, Duration::ZERO), 0);
    }

    #[test]
    fn measuring_leaves_half_of_the_free_room() {
        let large = LARGE_WRITE_SIZE as u64;
        assert_eq!(size_for(u64::MAX, STREAM_SIZE_MAX), Ok(STREAM_SIZE_MAX));
        assert_eq!(size_for(7 * large, STREAM_SIZE_MAX), Ok(3 * large));
        assert_eq!(size_for(2 * large, STREAM_SIZE_MAX), Ok(large));
        let (needed, free) = (2 * large, 2 * large - 1);
        assert_eq!(size_for(free, STREAM_SIZE_MAX), Err(ProbeError::NoRoom { needed, free }));
    }
}
