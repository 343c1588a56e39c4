//! What one source appends next: records of the prepared file, or an attacker's.
//!
//! A record stays next until it is taken, so one that is pushed back is offered again, and no phase of a run leaves any out.
//! The bytes that are offered lie ready in memory: a piece of the file, or payloads of the pool under heads of a piece.

use super::pool;
use super::workload::{HEAD_SIZE, Workload};
use std::io;
use std::sync::Arc;

/// Bytes of the file read at a time.
const PIECE: usize = 4 << 20;
/// The byte of a signature in which a bad one differs from a good one.
const FLIPPED: usize = HEAD_SIZE - 40;

/// A source's records, in order.
#[derive(Debug)]
pub(crate) struct Supply {
    workload: Arc<Workload>,
    source: u32,
    /// The next record's number.
    next: u64,
    /// Entries of the file, from the `from`-th on.
    piece: Vec<u8>,
    from: u64,
    /// Whole records whose heads are replaced when they are offered; empty if the file has whole records.
    pool: Vec<u8>,
    /// One bad signature in so many records; 0: none.
    bad_in: u64,
    /// An attacker's records, sent again and again instead of the file's.
    again: Vec<Vec<u8>>,
}

impl Supply {
    pub(super) const fn new(workload: Arc<Workload>, source: u32, pool: Vec<u8>) -> Self {
        Self { workload, source, next: 0, piece: Vec::new(), from: 0, pool, bad_in: 0, again: Vec::new() }
    }

    /// From now on one signature in `n` is bad.
    pub(crate) fn spoil(&mut self, n: u64) {
        self.bad_in = n;
        // Those that were read ahead are read again.
        self.piece.clear();
    }

    /// From now on these records come, again and again.
    pub(crate) fn repeat(&mut self, records: Vec<Vec<u8>>) {
        (self.again, self.next) = (records, 0);
    }

    /// Bytes in memory.
    pub(crate) fn memory(&self) -> u64 {
        let again: usize = self.again.iter().map(Vec::capacity).sum();
        (self.piece.capacity() + self.pool.capacity() + again) as u64
    }

    /// The next records, at most so many; none when the file is used up.
    pub(crate) fn batch(&mut self, most: usize) -> io::Result<Vec<&[u8]>> {
        if !self.again.is_empty() {
            let first = usize::try_from(self.next % self.again.len() as u64).unwrap_or(0);
            return Ok(self.again.iter().skip(first).take(most).map(Vec::as_slice).collect());
        }
        let size = self.workload.shape.entry_size();
        if self.from + (self.piece.len() / size) as u64 <= self.next {
            self.read()?;
        }
        let skipped = usize::try_from(self.next - self.from).unwrap_or(usize::MAX);
        let entries = self.piece.chunks_exact(size).skip(skipped).take(most);
        if self.pool.is_empty() {
            return Ok(entries.collect());
        }
        let (size, slots) = (self.workload.shape.record_size(), pool::count(self.workload.shape));
        let slot = usize::try_from(self.next % slots as u64).unwrap_or(0);
        // A batch ends with the pool, so that it lies together.
        let records = self.pool.get_mut(slot * size..).unwrap_or_default();
        let mut count = 0;
        for (record, head) in records.chunks_exact_mut(size).zip(entries) {
            if let Some(place) = record.get_mut(..HEAD_SIZE) {
                place.copy_from_slice(head);
            }
            count += 1;
        }
        Ok(records.chunks_exact(size).take(count).collect())
    }

    /// So many of them are on their way.
    pub(crate) fn take(&mut self, count: usize) {
        self.next += count as u64;
    }

    /// Reads on from the next record.
    fn read(&mut self) -> io::Result<()> {
        let size = self.workload.shape.entry_size();
        self.from = self.next;
        self.workload.read(self.source, self.next, &mut self.piece, (PIECE / size).max(1) as u64)?;
        if 0 < self.bad_in {
            for (number, entry) in (self.from..).zip(self.piece.chunks_exact_mut(size)) {
                if number % self.bad_in == self.bad_in - 1
                    && let Some(byte) = entry.get_mut(FLIPPED)
                {
                    *byte ^= 1;
                }
            }
        }
        Ok(())
    }
}
