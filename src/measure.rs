//! Measuring the machine: what verification and the disk can do at most, as `annals bench` and `annals doctor` report it.
//!
//! The same library calls and the same device that the engine uses, with nothing of the engine around them. A figure of the
//! engine means something only beside these, measured in the same run.

mod paced;
mod reading;

pub use paced::{PacedWrites, paced_writes};
pub use reading::{ReadSpeed, hash_records_per_s, read_speed};

use crate::ledger::open_device;
use crate::open_error::OpenError;
use crate::options::DeviceChoice;
use annals_core::limits::{PAGE_SIZE, SEGMENT_SIZE_MIN};
use annals_core::record::{Record, contents_hold, record_id};
use annals_core::signature::{EquationBatch, Library, verify_heads};
use annals_storage::buffer::PageBuffer;
use annals_storage::device::{Completion, Device, Write, WriteKind};
use annals_storage::disk::{Access, Disk, DiskError, FileDisk};
use getrandom::SysRng;
use rand_core::UnwrapErr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Bytes that the disk is measured with, at most.
const DISK_SIZE: u64 = 256 << 20;
/// Bytes of one write of a stream.
const STREAM_WRITE_SIZE: usize = 1 << 20;
/// Writes whose latency is measured.
const LATENCY_WRITE_COUNT: u64 = 400;
/// Signatures verified together, as they are tried.
const BATCH_SIZES: [usize; 5] = [512, 1024, 2048, 4096, 8192];

/// What a disk can do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DiskSpeed {
    /// The device that wrote: `io_uring` or `pwrite`.
    pub device: &'static str,
    /// Latency of a durable write of 4 KiB into space written before, µs: the median.
    pub durable_4k_write_us_p50: u64,
    /// The same, the 99th percentile.
    pub durable_4k_write_us_p99: u64,
    /// Durable writes of 1 MiB, two in flight: MB (10^6 bytes) a second.
    pub mb_per_s: u64,
}

/// Short name of the library that verifies signatures on this machine, in this build.
pub fn signature_library() -> &'static str {
    Library::of_this_machine().name()
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn now() -> Instant {
    Instant::now()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Verifies these records on all cores, over and over for about `time` for each size of a batch; records a second, of the best.
///
/// Content hash, record id and signature, as a verifier does it. The records should be distinct and larger than the cache.
pub fn verify_records_per_s(records: &[&[u8]], time: Duration) -> u64 {
    best_rate(records, time, verify_chunk)
}

/// The same as `annals check` verifies them: by the equation of ZIP-215, an implementation other than the engine's.
pub fn check_records_per_s(records: &[&[u8]], time: Duration) -> u64 {
    best_rate(records, time, check_chunk)
}

/// Of the sizes of a batch that are tried, the fastest.
fn best_rate(records: &[&[u8]], time: Duration, chunk: fn(&[Record<'_>]) -> usize) -> u64 {
    let records: Vec<Record<'_>> = records.iter().filter_map(|record| Record::parse(record).ok()).collect();
    let share = time / u32::try_from(BATCH_SIZES.len()).unwrap_or(u32::MAX);
    BATCH_SIZES.iter().map(|size| rate(&records, *size, share, chunk)).max().unwrap_or(0)
}

fn rate(records: &[Record<'_>], batch_size: usize, time: Duration, verify: fn(&[Record<'_>]) -> usize) -> u64 {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // Few large records make smaller batches, so that every core has one.
    let batch_size = batch_size.min(records.len() / threads).max(1);
    let chunks: Vec<_> = records.chunks_exact(batch_size).collect();
    if chunks.is_empty() {
        return 0;
    }
    let (next, start) = (AtomicUsize::new(0), now());
    let done: usize = std::thread::scope(|scope| {
        let work = || {
            let mut done = 0;
            while now().saturating_duration_since(start) < time {
                // Relaxed: a ticket, nothing more.
                let ticket = next.fetch_add(1, Ordering::Relaxed);
                let Some(chunk) = chunks.get(ticket % chunks.len()) else { break };
                done += verify(chunk);
            }
            done
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(0)).sum()
    });
    per_second(done as u64, now().saturating_duration_since(start))
}

/// How many of the chunk are right.
fn verify_chunk(chunk: &[Record<'_>]) -> usize {
    let pairs: Vec<_> = chunk.iter().map(|record| (record.head_bytes, record.payload)).collect();
    let mut contents = vec![false; pairs.len()];
    contents_hold(&pairs, &mut contents);
    let heads: Vec<_> = chunk.iter().map(|record| record.head_bytes).collect();
    let mut signatures = vec![false; heads.len()];
    verify_heads(&heads, &mut signatures, &mut UnwrapErr(SysRng));
    for head in &heads {
        std::hint::black_box(record_id(head));
    }
    contents.into_iter().zip(signatures).filter(|(content, signature)| *content && *signature).count()
}

/// How many of the chunk are right, by the equation.
fn check_chunk(chunk: &[Record<'_>]) -> usize {
    let pairs: Vec<_> = chunk.iter().map(|record| (record.head_bytes, record.payload)).collect();
    let mut valid = vec![false; pairs.len()];
    contents_hold(&pairs, &mut valid);
    let mut batch = EquationBatch::new();
    for (head, _) in &pairs {
        batch.push_head(head);
        std::hint::black_box(record_id(head));
    }
    if batch.holds(&mut UnwrapErr(SysRng)) { valid.into_iter().filter(|valid| *valid).count() } else { 0 }
}

/// So many in so long, a second.
pub fn per_second(count: u64, time: Duration) -> u64 {
    let nanos = time.as_nanos().max(1);
    u64::try_from(u128::from(count) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

/// Measures the disk under an existing directory, with the device that a ledger there would use; takes about `time`.
///
/// # Errors
///
/// [`OpenError`] if the disk has no room, or fails.
pub fn disk_speed(directory: &Path, choice: DeviceChoice, time: Duration) -> Result<DiskSpeed, OpenError> {
    on_scratch(directory, choice, |device, size| measure(device, size, time))
}

/// Does this with a device and a segment of so many bytes that were written before, in a directory of its own.
fn on_scratch<T>(
    directory: &Path,
    choice: DeviceChoice,
    measure: impl FnOnce(&mut dyn Device, u64) -> Result<T, DiskError>,
) -> Result<T, OpenError> {
    let scratch = directory.join(format!(".annals-measure-{}", std::process::id()));
    std::fs::create_dir(&scratch)
        .map_err(|source| OpenError::System { operation: "make a scratch directory", source })?;
    let measured = prepare(&scratch, choice)
        .and_then(|(mut device, size)| measure(device.as_mut(), size).map_err(OpenError::from));
    let removed = std::fs::remove_dir_all(&scratch);
    let measured = measured?;
    removed.map_err(|source| OpenError::System { operation: "remove the scratch directory", source })?;
    Ok(measured)
}

/// A segment whose zeros were written, as a runway writes them, and its size.
fn prepare(scratch: &Path, choice: DeviceChoice) -> Result<(Box<dyn Device>, u64), OpenError> {
    let disk = Arc::new(FileDisk::new(scratch, Access::Write));
    let room = disk.available()? / 2;
    let size = DISK_SIZE.min(1 << (63 - room.max(SEGMENT_SIZE_MIN).leading_zeros()));
    disk.create_segment(0, size, &[0; PAGE_SIZE])?;
    let mut device = open_device(&disk, choice)?.device;
    stream(device.as_mut(), size, WriteKind::Runway, None)?;
    Ok((device, size))
}

fn measure(device: &mut dyn Device, size: u64, time: Duration) -> Result<DiskSpeed, DiskError> {
    let mut latencies = Vec::new();
    let (mut completions, start) = (Vec::new(), now());
    for number in 0..LATENCY_WRITE_COUNT {
        let began = now();
        let offset = number * PAGE_SIZE as u64 % size;
        device.submit(Write {
            ticket: number,
            segment: 0,
            offset,
            buffer: filled(PAGE_SIZE),
            kind: WriteKind::Data,
        })?;
        wait_for_one(device, &mut completions)?;
        latencies.push(micros(now().saturating_duration_since(began)));
        if time / 2 < now().saturating_duration_since(start) {
            break;
        }
    }
    latencies.sort_unstable();
    let (bytes, took) = stream(device, size, WriteKind::Data, Some(time / 2))?;
    Ok(DiskSpeed {
        device: device.name(),
        durable_4k_write_us_p50: percentile(&latencies, 50),
        durable_4k_write_us_p99: percentile(&latencies, 99),
        mb_per_s: per_second(bytes, took) / 1_000_000,
    })
}

/// A percentile of what was sorted; 0 of nothing.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0)
}

fn filled(size: usize) -> PageBuffer {
    let mut buffer = PageBuffer::new(size);
    buffer.fill(0x5A);
    buffer
}

/// Writes a segment from end to end, two writes in flight, for at most so long; bytes and time.
fn stream(
    device: &mut dyn Device,
    size: u64,
    kind: WriteKind,
    time: Option<Duration>,
) -> Result<(u64, Duration), DiskError> {
    let (mut completions, start) = (Vec::new(), now());
    let (mut offset, mut done) = (0, 0);
    let mut buffers = vec![filled(STREAM_WRITE_SIZE), filled(STREAM_WRITE_SIZE)];
    loop {
        let in_time = time.is_none_or(|time| now().saturating_duration_since(start) < time);
        // A limit on time goes over the segment again and again; without one it is written once.
        let goes_on = if time.is_some() { in_time } else { offset < size };
        if goes_on && let Some(buffer) = buffers.pop() {
            device.submit(Write { ticket: offset, segment: 0, offset: offset % size, buffer, kind })?;
            offset += STREAM_WRITE_SIZE as u64;
            continue;
        }
        if !goes_on && device.in_flight() == 0 {
            return Ok((done, now().saturating_duration_since(start)));
        }
        wait_for_one(device, &mut completions)?;
        for completion in completions.drain(..) {
            done += completion.buffer.len() as u64;
            buffers.push(completion.buffer);
        }
    }
}

fn wait_for_one(device: &mut dyn Device, completions: &mut Vec<Completion>) -> Result<(), DiskError> {
    let before = completions.len();
    loop {
        device.reap(completions)?;
        if before < completions.len() {
            break;
        }
        device.wait(None)?;
    }
    let failed = completions.iter_mut().find_map(|completion| std::mem::replace(&mut completion.result, Ok(())).err());
    failed.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use crate::{Kind, LedgerId, RecordBuilder, SigningKey};

    #[test]
    fn a_ceiling_counts_only_what_holds() {
        let record = |nonce: u64| {
            let builder = RecordBuilder::new(LedgerId::from_bytes([7; 32]), Kind::APPLICATION_FIRST).nonce(nonce);
            builder.sign(&SigningKey::from_seed(&[1; 32]), b"a notice").unwrap().bytes().to_vec()
        };
        let mut records: Vec<_> = (0..5).map(record).collect();
        let count = |records: &[Vec<u8>], verify: fn(&[Record<'_>]) -> usize| {
            let parsed: Vec<_> = records.iter().map(|record| Record::parse(record).unwrap()).collect();
            verify(&parsed)
        };
        assert_eq!((count(&records, verify_chunk), count(&records, check_chunk)), (5, 5));
        *records[2].last_mut().unwrap() ^= 1;
        assert_eq!((count(&records, verify_chunk), count(&records, check_chunk)), (4, 4), "a payload");
        records[4][130] ^= 1;
        // A sum of signatures does not say which one is bad.
        assert_eq!((count(&records, verify_chunk), count(&records, check_chunk)), (3, 0), "a signature");
    }
}
