//! The file system alone: what an append costs that promises durability and nothing else.
//!
//! `append` writes at the end of a growing file and calls fdatasync. `direct` is the ceiling of the run: page-aligned
//! O_DIRECT writes into a file of zeros written before, begun anew at its end, each with an fdatasync. RWF_DSYNC would save the
//! second call, but on busy cores it waits for a kernel thread. In flight, two threads do the same by 1 MiB.

use super::{CEILING, CEILING_IN_FLIGHT, Rate, Row, Store, plain};
use crate::Failure;
use crate::measure::now;
use crate::payloads::{BATCH, Census, Payloads, SIZE, number};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Instant;

const PAGE: usize = 4096;
/// Bytes of the direct file: a whole number of pieces.
const DIRECT_SIZE: usize = (256 << 20) / PIECE * PIECE;
/// Batches that one write of the ceiling in flight takes.
const PIECE_BATCHES: usize = 4;
/// Bytes of them.
const PIECE: usize = PIECE_BATCHES * BATCH_PAGES;
/// Bytes of a batch, in whole pages.
const BATCH_PAGES: usize = (BATCH * SIZE).div_ceil(PAGE) * PAGE;

pub(crate) fn rows() -> Vec<Row> {
    let append = plain("append", "write at the end of a file, fdatasync", open_append, count_append);
    let direct = plain(CEILING, "the ceiling: O_DIRECT over written zeros, fdatasync", open_direct, count_direct);
    let mut in_flight = plain(CEILING_IN_FLIGHT, "the same by 1 MiB, two at a time", open_direct, count_direct);
    (in_flight.rate, in_flight.has_lone) = (Rate::InFlight, false);
    vec![direct, in_flight, append]
}

struct Append {
    file: File,
    payloads: Payloads,
}

fn open_append(directory: &Path) -> Result<Box<dyn Store>, Failure> {
    let file = File::create_new(directory.join("log"))?;
    File::open(directory)?.sync_all()?;
    Ok(Box::new(Append { file, payloads: Payloads::new() }))
}

impl Store for Append {
    fn append(&mut self, first: u64, count: usize) -> Result<(), Failure> {
        self.file.write_all(self.payloads.numbered(first, count).as_flattened())?;
        Ok(self.file.sync_data()?)
    }

    fn close(self: Box<Self>) -> Result<Option<u64>, Failure> {
        Ok(None)
    }
}

fn count_append(directory: &Path) -> Result<u64, Failure> {
    let (mut file, mut census) = (BufReader::new(File::open(directory.join("log"))?), Census::default());
    let mut payload = [0; SIZE];
    while !file.fill_to(&mut payload)? {
        census.take(&payload)?;
    }
    Ok(census.count)
}

/// Reading fixed pieces to the end.
trait FillTo {
    /// Fills the buffer; `true` at the end.
    fn fill_to(&mut self, buffer: &mut [u8]) -> Result<bool, Failure>;
}

impl FillTo for BufReader<File> {
    fn fill_to(&mut self, buffer: &mut [u8]) -> Result<bool, Failure> {
        match self.read_exact(buffer) {
            Ok(()) => Ok(false),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

struct Direct {
    file: OwnedFd,
    path: PathBuf,
    buffer: Pages,
    appended: u64,
    written_bytes: u64,
    offset: usize,
}

/// A buffer whose pages are aligned, as O_DIRECT wants it.
struct Pages {
    payloads: Payloads,
    bytes: Vec<u8>,
    /// Where the first page begins.
    aligned: usize,
}

impl Pages {
    fn new() -> Self {
        let bytes = vec![0; PIECE + PAGE];
        let aligned = bytes.as_ptr().align_offset(PAGE);
        Self { payloads: Payloads::new(), bytes, aligned }
    }

    /// Makes these records durable at an offset, each batch on pages of its own; how many bytes they take.
    fn write(&mut self, file: &OwnedFd, offset: usize, first: u64, count: usize) -> Result<usize, Failure> {
        let mut size = 0;
        for from in (0..count).step_by(BATCH) {
            let bytes = self.payloads.numbered(first + from as u64, BATCH.min(count - from)).as_flattened();
            let padded = bytes.len().div_ceil(PAGE) * PAGE;
            let pages = &mut self.bytes[self.aligned + size..][..padded];
            pages[..bytes.len()].copy_from_slice(bytes);
            pages[bytes.len()..].fill(0);
            size += padded;
        }
        let written = rustix::io::pwrite(file, &self.bytes[self.aligned..][..size], offset as u64)?;
        if written != size {
            return Err(format!("{written} bytes of {size} were written").into());
        }
        rustix::fs::fdatasync(file)?;
        Ok(size)
    }
}

fn open_direct(directory: &Path) -> Result<Box<dyn Store>, Failure> {
    let path = directory.join("log");
    let mut zeros = File::create_new(&path)?;
    for _ in 0..DIRECT_SIZE / PIECE {
        zeros.write_all(&[0; PIECE])?;
    }
    zeros.sync_all()?;
    File::open(directory)?.sync_all()?;
    let file = rustix::fs::open(&path, OFlags::RDWR | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty())?;
    Ok(Box::new(Direct { file, path, buffer: Pages::new(), appended: 0, written_bytes: 0, offset: 0 }))
}

impl Store for Direct {
    fn append(&mut self, first: u64, count: usize) -> Result<(), Failure> {
        if DIRECT_SIZE < self.offset + BATCH_PAGES {
            self.offset = 0;
        }
        let written = self.buffer.write(&self.file, self.offset, first, count)?;
        self.offset += written;
        self.written_bytes += written as u64;
        self.appended += count as u64;
        Ok(())
    }

    fn flood(&mut self, first: u64, deadline: Instant) -> Result<Option<u64>, Failure> {
        let (next, file) = (AtomicUsize::new(0), &self.file);
        let work = || {
            let (mut buffer, mut count) = (Pages::new(), 0);
            while now() < deadline {
                // Relaxed: a ticket, nothing more.
                let piece = next.fetch_add(1, Ordering::Relaxed);
                let number = first + (piece * PIECE_BATCHES * BATCH) as u64;
                // Behind the piece that the first batch lies in.
                buffer.write(file, (piece + 1) * PIECE % DIRECT_SIZE, number, PIECE_BATCHES * BATCH)?;
                count += (PIECE_BATCHES * BATCH) as u64;
            }
            Ok::<_, Failure>(count)
        };
        let count = std::thread::scope(|scope| {
            let (one, other) = (scope.spawn(work), scope.spawn(work));
            let join = |thread: ScopedJoinHandle<'_, _>| thread.join().map_err(|_| "a writer panicked")?;
            Ok::<u64, Failure>(join(one)? + join(other)?)
        })?;
        self.appended += count;
        self.written_bytes += count / BATCH as u64 * BATCH_PAGES as u64;
        Ok(Some(count))
    }

    fn close(self: Box<Self>) -> Result<Option<u64>, Failure> {
        std::fs::write(self.path.with_extension("count"), self.appended.to_le_bytes())?;
        Ok(Some(self.written_bytes))
    }
}

/// The newest records must be there, as many as the file holds; what they overwrote is known from the count alone.
fn count_direct(directory: &Path) -> Result<u64, Failure> {
    let appended = std::fs::read(directory.join("log.count"))?;
    let appended = appended.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let bytes = std::fs::read(directory.join("log"))?;
    let mut numbers: Vec<u64> = bytes
        .chunks_exact(SIZE)
        .filter(|payload| payload.iter().any(|byte| *byte != 0))
        .filter_map(number)
        .filter(|number| *number < appended)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    let newest = numbers.iter().rev().zip((0..appended).rev()).take_while(|(there, due)| *there == due).count();
    // The fewest that a file so full of newer ones holds: lone ones take a page each, and a piece may be half overwritten.
    let due = (DIRECT_SIZE - 2 * PIECE) / PAGE;
    if (newest as u64) < appended.min(due as u64) {
        return Err(format!("of {appended} records only the newest {newest} are there").into());
    }
    Ok(appended)
}
