//! Reading ahead: a disk whose next chunks are read while those before them are looked at.
//!
//! It stands between the walk over the segments and their files. Some threads read the segments in order, a few chunks
//! ahead; a read that was foreseen takes the buffer as it is. A read that was not foreseen yet goes to the file itself, and is
//! not done again. So no byte is read twice, in whatever order the walk asks.

use annals_storage::buffer::PageBuffer;
use annals_storage::check::READ_SIZE;
use annals_storage::disk::{Disk, DiskError, SegmentFile};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::thread::Scope;

/// Chunks that are ready or being read: enough to hide a disk's latency, and soon used up.
const DEPTH: usize = 8;
/// Threads that read: two reads are in flight.
const READERS: usize = 2;

/// Where a chunk lies: segment and offset.
type Key = (u64, u64);

#[derive(Debug)]
struct State {
    /// The first chunk that nobody has taken on.
    next: Option<Key>,
    reading: Vec<Key>,
    ready: Vec<(Key, Result<PageBuffer, DiskError>)>,
    /// Chunks from `next` on that were read already.
    done: Vec<Key>,
    spare: Vec<PageBuffer>,
    stopped: bool,
}

/// A disk that reads ahead.
#[derive(Debug)]
pub(super) struct Ahead {
    disk: Arc<dyn Disk>,
    files: Vec<SegmentFile>,
    state: Mutex<State>,
    changed: Condvar,
}

/// Ends the readers when dropped.
#[derive(Debug)]
pub(super) struct Reading<'a>(&'a Ahead);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.state.lock().stopped = true;
        self.0.changed.notify_all();
    }
}

impl Ahead {
    /// A disk that reads these segments ahead, once it is started.
    pub(super) fn new(disk: Arc<dyn Disk>, files: Vec<SegmentFile>) -> Self {
        let state = State {
            next: files.first().map(|file| (file.number, 0)),
            reading: Vec::new(),
            ready: Vec::new(),
            done: Vec::new(),
            spare: Vec::new(),
            stopped: false,
        };
        Self { disk, files, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Starts the readers; they end with what this returns.
    pub(super) fn start<'scope, 'env>(&'env self, scope: &'scope Scope<'scope, 'env>) -> Reading<'env> {
        for _ in 0..READERS {
            scope.spawn(|| while self.read_next() {});
        }
        Reading(self)
    }

    /// Reads the next chunk; whether there was one.
    fn read_next(&self) -> bool {
        let mut state = self.state.lock();
        while !state.stopped && DEPTH <= state.ready.len() + state.reading.len() {
            self.changed.wait(&mut state);
        }
        let Some(key) = self.take_on(&mut state) else { return false };
        let mut buffer = state.spare.pop().unwrap_or_else(|| PageBuffer::new(READ_SIZE));
        state.reading.push(key);
        drop(state);
        let result = self.disk.read(key.0, key.1, &mut buffer);
        let mut state = self.state.lock();
        state.reading.retain(|reading| *reading != key);
        state.ready.push((key, result.map(|()| buffer)));
        drop(state);
        self.changed.notify_all();
        true
    }

    /// The next chunk that nobody has read or taken on.
    fn take_on(&self, state: &mut State) -> Option<Key> {
        while !state.stopped {
            let key = state.next?;
            state.next = self.behind(key);
            match state.done.iter().position(|done| *done == key) {
                Some(at) => drop(state.done.swap_remove(at)),
                None => return Some(key),
            }
        }
        None
    }

    fn behind(&self, (number, offset): Key) -> Option<Key> {
        let offset = offset + READ_SIZE as u64;
        let file = self.files.iter().find(|file| file.number == number)?;
        if offset < file.size {
            return Some((number, offset));
        }
        self.files.iter().find(|file| number < file.number).map(|file| (file.number, 0))
    }

    /// The chunk, if it was read ahead; waits for it if it is being read.
    fn take(&self, key: Key) -> Option<Result<PageBuffer, DiskError>> {
        let mut state = self.state.lock();
        loop {
            if let Some(at) = state.ready.iter().position(|(ready, _)| *ready == key) {
                let (_, result) = state.ready.swap_remove(at);
                drop(state);
                self.changed.notify_all();
                return Some(result);
            }
            if !state.reading.contains(&key) {
                if state.next.is_some_and(|next| next <= key) {
                    state.done.push(key);
                }
                return None;
            }
            self.changed.wait(&mut state);
        }
    }
}

impl Disk for Ahead {
    fn segments(&self) -> Result<Vec<SegmentFile>, DiskError> {
        self.disk.segments()
    }

    fn create_segment(&self, number: u64, size: u64, first_page: &[u8]) -> Result<(), DiskError> {
        self.disk.create_segment(number, size, first_page)
    }

    fn read(&self, number: u64, offset: u64, into: &mut PageBuffer) -> Result<(), DiskError> {
        if into.len() == READ_SIZE
            && let Some(read) = self.take((number, offset))
        {
            let spare = std::mem::replace(into, read?);
            self.state.lock().spare.push(spare);
            return Ok(());
        }
        self.disk.read(number, offset, into)
    }

    fn write(&self, number: u64, offset: u64, from: &PageBuffer) -> Result<(), DiskError> {
        self.disk.write(number, offset, from)
    }

    fn sync(&self, number: u64) -> Result<(), DiskError> {
        self.disk.sync(number)
    }

    fn sync_names(&self) -> Result<(), DiskError> {
        self.disk.sync_names()
    }

    fn available(&self) -> Result<u64, DiskError> {
        self.disk.available()
    }

    fn bytes_read(&self) -> u64 {
        self.disk.bytes_read()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]
    use super::*;
    use annals_storage::disk::MemoryDisk;

    const SIZE: u64 = 12 << 20;

    fn disk() -> Arc<dyn Disk> {
        let disk = MemoryDisk::new();
        for number in 0..3 {
            disk.create_segment(number, SIZE, &[number as u8 + 1; 4096]).unwrap();
            for offset in (0..SIZE).step_by(READ_SIZE) {
                let mut page = PageBuffer::new(4096);
                page.fill((number * 12 + offset / READ_SIZE as u64) as u8);
                disk.write(number, offset, &page).unwrap();
            }
        }
        Arc::new(disk)
    }

    fn read(ahead: &Ahead, order: &[Key]) {
        let mut buffer = PageBuffer::new(READ_SIZE);
        for (number, offset) in order {
            ahead.read(*number, *offset, &mut buffer).unwrap();
            assert_eq!(buffer.first(), Some(&((number * 12 + offset / READ_SIZE as u64) as u8)), "{number} {offset}");
        }
    }

    #[test]
    fn every_chunk_is_read_once_in_whatever_order() {
        let forward: Vec<Key> =
            (0..3).flat_map(|number| (0..SIZE).step_by(READ_SIZE).map(move |offset| (number, offset))).collect();
        let mut jumping = forward.clone();
        // The way of a check: the segment behind is looked at before this one's rest is read.
        jumping.swap(6, 12);
        jumping.swap(14, 35);
        let backward: Vec<Key> = forward.iter().rev().copied().collect();
        for order in [forward, jumping, backward] {
            let disk = disk();
            let ahead = Ahead::new(Arc::clone(&disk), disk.segments().unwrap());
            std::thread::scope(|scope| {
                let _reading = ahead.start(scope);
                read(&ahead, &order);
            });
            assert_eq!(disk.bytes_read(), 3 * SIZE);
        }
    }

    #[test]
    fn what_is_not_read_to_the_end_ends_all_the_same() {
        let disk = disk();
        let ahead = Ahead::new(Arc::clone(&disk), disk.segments().unwrap());
        std::thread::scope(|scope| {
            let _reading = ahead.start(scope);
            read(&ahead, &[(0, 0), (2, 4 << 20)]);
            let mut page = PageBuffer::new(4096);
            ahead.read(1, 1 << 20, &mut page).unwrap();
            assert_eq!(page.first(), Some(&13), "a page is read by itself");
            assert!(matches!(
                ahead.read(7, 0, &mut PageBuffer::new(READ_SIZE)),
                Err(DiskError::Missing { segment: 7 })
            ));
        });
    }
}
