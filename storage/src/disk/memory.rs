//! A disk in memory, for tests: cloned handles share it, so a test can reopen, damage and restore it.

use super::{Disk, DiskError, SegmentFile, check_aligned};
use crate::buffer::PageBuffer;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Segments by number, each a vector of bytes.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    segments: Arc<Mutex<BTreeMap<u64, Vec<u8>>>>,
    bytes_read: Arc<AtomicU64>,
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// What all segments hold right now.
    pub fn snapshot(&self) -> BTreeMap<u64, Vec<u8>> {
        self.segments.lock().clone()
    }

    /// Makes the segments hold what a snapshot says.
    pub fn restore(&self, snapshot: BTreeMap<u64, Vec<u8>>) {
        *self.segments.lock() = snapshot;
    }

    /// Flips one bit of a segment; past its end nothing happens.
    pub fn flip_bit(&self, number: u64, offset: u64, bit: u8) {
        let mut segments = self.segments.lock();
        let byte = segments.get_mut(&number).and_then(|bytes| bytes.get_mut(usize::try_from(offset).ok()?));
        if let Some(byte) = byte {
            *byte ^= 1 << (bit % 8);
        }
    }

    /// Removes a segment.
    pub fn remove(&self, number: u64) {
        self.segments.lock().remove(&number);
    }

    /// Lets `change` see the bytes of `length` at `offset`.
    fn range<T>(
        &self,
        number: u64,
        offset: u64,
        length: usize,
        change: impl FnOnce(&mut [u8]) -> T,
    ) -> Result<T, DiskError> {
        check_aligned(number, offset)?;
        let mut segments = self.segments.lock();
        let bytes = segments.get_mut(&number).ok_or(DiskError::Missing { segment: number })?;
        let end = offset.saturating_add(length as u64);
        let range = usize::try_from(offset).ok().zip(usize::try_from(end).ok());
        let slice = range.and_then(|(start, end)| bytes.get_mut(start..end));
        Ok(change(slice.ok_or(DiskError::Short { segment: number, end })?))
    }
}

impl Disk for MemoryDisk {
    fn segments(&self) -> Result<Vec<SegmentFile>, DiskError> {
        let segments = self.segments.lock();
        Ok(segments.iter().map(|(number, bytes)| SegmentFile { number: *number, size: bytes.len() as u64 }).collect())
    }

    fn create_segment(&self, number: u64, size: u64, first_page: &[u8]) -> Result<(), DiskError> {
        let mut segments = self.segments.lock();
        if segments.contains_key(&number) {
            return Err(DiskError::Exists { segment: number });
        }
        let mut bytes = vec![0; usize::try_from(size).map_err(|_| DiskError::Full { segment: number })?];
        bytes.iter_mut().zip(first_page).for_each(|(to, from)| *to = *from);
        segments.insert(number, bytes);
        Ok(())
    }

    fn read(&self, number: u64, offset: u64, into: &mut PageBuffer) -> Result<(), DiskError> {
        // A count for tests; it orders nothing.
        self.bytes_read.fetch_add(into.len() as u64, Ordering::Relaxed);
        self.range(number, offset, into.len(), |bytes| into.copy_from_slice(bytes))
    }

    fn write(&self, number: u64, offset: u64, from: &PageBuffer) -> Result<(), DiskError> {
        self.range(number, offset, from.len(), |bytes| bytes.copy_from_slice(from))
    }

    fn sync(&self, _number: u64) -> Result<(), DiskError> {
        Ok(())
    }

    fn sync_names(&self) -> Result<(), DiskError> {
        Ok(())
    }

    fn available(&self) -> Result<u64, DiskError> {
        Ok(u64::MAX)
    }

    fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }
}
