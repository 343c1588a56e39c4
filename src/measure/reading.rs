//! What reading can come to at most: the same files read and summed page by page, with nothing of the engine around it.

use super::{now, per_second};
use crate::open_error::OpenError;
use annals_core::limits::PAGE_SIZE;
use annals_core::record::{Record, record_id};
use annals_storage::buffer::PageBuffer;
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of one read.
const READ_SIZE: usize = 1 << 20;

/// How fast the segments of a ledger can be read by all cores: MB (10^6 bytes) a second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReadSpeed {
    /// Past the page cache.
    pub direct_mb_per_s: u64,
    /// Through the page cache, which has them.
    pub cached_mb_per_s: u64,
    /// The same, and every page summed as its frame has it.
    pub cached_and_summed_mb_per_s: u64,
}

/// Reads the segments of a ledger, up to the newest block's end (segment and offset), over and over; takes about `time`.
///
/// # Errors
///
/// [`OpenError`] if they can't be read.
pub fn read_speed(ledger: &Path, end: (u64, u64), time: Duration) -> Result<ReadSpeed, OpenError> {
    let failed = |source| OpenError::System { operation: "read the segments", source };
    let pieces = pieces(&ledger.join("segments"), end).map_err(failed)?;
    let rate = |is_direct, is_summed| rate(&pieces, is_direct, is_summed, time / 4).map_err(failed);
    let direct_mb_per_s = rate(true, false)?;
    // Once for the page cache.
    rate(false, false)?;
    Ok(ReadSpeed {
        direct_mb_per_s,
        cached_mb_per_s: rate(false, false)?,
        cached_and_summed_mb_per_s: rate(false, true)?,
    })
}

/// A part of a file: its number in the list of paths, and the offset.
struct Pieces {
    paths: Vec<PathBuf>,
    places: Vec<(usize, u64)>,
}

fn pieces(segments: &Path, (last, end): (u64, u64)) -> io::Result<Pieces> {
    let mut pieces = Pieces { paths: Vec::new(), places: Vec::new() };
    for number in 0..=last {
        let path = segments.join(format!("{number:010}.seg"));
        let size = std::fs::metadata(&path)?.len();
        let used = if number == last { end.min(size) } else { size };
        let file = pieces.paths.len();
        pieces.places.extend((0..used).step_by(READ_SIZE).map(|offset| (file, offset)));
        pieces.paths.push(path);
    }
    Ok(pieces)
}

fn open(path: &Path, is_direct: bool) -> io::Result<File> {
    let open =
        |flags: OFlags| OpenOptions::new().read(true).custom_flags(i32::try_from(flags.bits()).unwrap_or(0)).open(path);
    match open(if is_direct { OFlags::DIRECT } else { OFlags::empty() }) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => open(OFlags::empty()),
        other => other,
    }
}

/// MB a second: at least the whole once, then on until the time is over.
fn rate(pieces: &Pieces, is_direct: bool, is_summed: bool, time: Duration) -> io::Result<u64> {
    let files = pieces.paths.iter().map(|path| open(path, is_direct)).collect::<io::Result<Vec<_>>>()?;
    let (next, start) = (AtomicUsize::new(0), now());
    let work = || {
        let (mut buffer, mut bytes) = (PageBuffer::new(READ_SIZE), 0);
        loop {
            // Relaxed: a ticket, nothing more.
            let ticket = next.fetch_add(1, Ordering::Relaxed);
            let is_over = pieces.places.len() <= ticket && time <= now().saturating_duration_since(start);
            let place = ticket.checked_rem(pieces.places.len()).and_then(|at| pieces.places.get(at));
            let Some((file, offset)) = place.filter(|_| !is_over) else { return Ok(bytes) };
            let Some(file) = files.get(*file) else { return Ok(bytes) };
            file.read_exact_at(&mut buffer, *offset)?;
            bytes += buffer.len() as u64;
            if is_summed {
                for page in buffer.chunks_exact(PAGE_SIZE) {
                    std::hint::black_box(xxh3_64_with_seed(page, 7));
                }
            }
        }
    };
    let bytes = on_all_cores(work).into_iter().sum::<io::Result<u64>>()?;
    Ok(per_second(bytes, now().saturating_duration_since(start)) / 1_000_000)
}

fn on_all_cores<T: Send>(work: impl Fn() -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(&work)).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, T>| match thread.join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        threads.into_iter().map(join).collect()
    })
}

/// Hashes the contents and heads of these records on all cores, over and over for about `time`; records a second.
///
/// What a check without signatures does at the least. The records should be distinct and larger than the cache.
pub fn hash_records_per_s(records: &[&[u8]], time: Duration) -> u64 {
    let records: Vec<Record<'_>> = records.iter().filter_map(|record| Record::parse(record).ok()).collect();
    let (next, start) = (AtomicUsize::new(0), now());
    let work = || {
        let mut done = 0_u64;
        while now().saturating_duration_since(start) < time {
            // Relaxed: a ticket, nothing more.
            let ticket = next.fetch_add(64, Ordering::Relaxed) % records.len().max(1);
            for record in records.iter().skip(ticket).take(64) {
                std::hint::black_box(record_id(record.head_bytes));
                done += u64::from(record.verify_content().is_ok());
            }
        }
        done
    };
    let done = on_all_cores(work).into_iter().sum();
    per_second(done, now().saturating_duration_since(start))
}
