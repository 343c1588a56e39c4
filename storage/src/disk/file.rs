//! A disk of real files: `DIR/NNNNNNNNNN.seg`, read and written with `O_DIRECT` where the file system takes it.
//!
//! A segment is made under a temporary name, allocated, its first page written, synced, renamed, and the
//! directory synced, so that a crash leaves it whole or absent. Direct reads see the disk, not a page cache that
//! may hold what a failed write left behind.

use super::{Disk, DiskError, Operation, SegmentFile, check_aligned};
use crate::buffer::PageBuffer;
use annals_core::limits::PAGE_SIZE;
use parking_lot::RwLock;
use rustix::event::{Timespec, poll};
use rustix::fs::{FallocateFlags, FlockOperation, OFlags, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes of zeros written at a time.
const ZEROS_AT_ONCE: usize = 1 << 20;

/// Between two looks whether a file is still written to.
const LOCK_PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
/// Looks before it is given up: half a minute, after which a disk answers as a rule, or fails.
const LOCK_WAITS_MAX: u32 = 6_000;
/// Segment files kept open at most: those in use and some that are read, far below a process's limit, so that a ledger open
/// for years needs no more than one just opened.
const OPEN_COUNT_MAX: usize = 64;

/// The segments in a directory.
#[derive(Debug)]
pub struct FileDisk {
    directory: PathBuf,
    access: Access,
    files: RwLock<HashMap<u64, OpenFile>>,
    /// Files of segments that are written no more, opened for the page cache.
    settled: RwLock<HashMap<u64, Arc<File>>>,
    /// Rises with each use of a file.
    uses: AtomicU64,
    bytes_read: AtomicU64,
}

/// A file that is kept open. Who uses it holds it too, so one that is not locked may be dropped from among these at any
/// time.
#[derive(Debug)]
struct OpenFile {
    file: Arc<File>,
    /// The use that was its last.
    used: AtomicU64,
    /// Whether it is locked against other writers.
    is_locked: AtomicBool,
}

impl OpenFile {
    /// Lets other writers at it. Closing the file does so too; this only does not wait for readers that still hold it.
    fn unlock(&self) {
        if self.is_locked.swap(false, Ordering::Relaxed) {
            let _ = flock(&self.file, FlockOperation::Unlock);
        }
    }
}

/// What a disk was opened for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// Reading only.
    Read,
    /// Reading and writing.
    Write,
}

impl FileDisk {
    /// The segments in a directory, which exists.
    pub fn new(directory: &Path, access: Access) -> Self {
        Self {
            directory: directory.to_owned(),
            access,
            files: RwLock::default(),
            settled: RwLock::default(),
            uses: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
        }
    }

    /// The path of a segment's file.
    pub fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number:010}.seg"))
    }

    /// A segment's file, kept open for the next use; direct where the file system takes it.
    ///
    /// # Errors
    ///
    /// [`DiskError`] if it can't be opened.
    pub fn file(&self, number: u64) -> Result<Arc<File>, DiskError> {
        // Relaxed, here and below: a hint of which file to close; it orders nothing.
        let used = self.uses.fetch_add(1, Ordering::Relaxed);
        if let Some(open) = self.files.read().get(&number) {
            open.used.store(used, Ordering::Relaxed);
            return Ok(Arc::clone(&open.file));
        }
        let path = self.path_of_file(number)?;
        let open = |flags: OFlags| {
            OpenOptions::new()
                .read(true)
                .write(self.access == Access::Write)
                .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
                .open(&path)
        };
        let file = match open(OFlags::DIRECT) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => open(OFlags::empty()),
            other => other,
        };
        let file = Arc::new(file.map_err(|error| DiskError::from_io(&error, Operation::Open, number, 0))?);
        let mut files = self.files.write();
        if OPEN_COUNT_MAX <= files.len() && !files.contains_key(&number) {
            // Not one that is written to: opened anew, it would wait for its own lock.
            let closed = files.iter().filter(|(_, open)| !open.is_locked.load(Ordering::Relaxed));
            let oldest = closed.min_by_key(|(_, open)| open.used.load(Ordering::Relaxed)).map(|(number, _)| *number);
            oldest.and_then(|number| files.remove(&number));
        }
        let (used, is_locked) = (AtomicU64::new(used), AtomicBool::new(false));
        let open = files.entry(number).or_insert_with(|| OpenFile { file, used, is_locked });
        Ok(Arc::clone(&open.file))
    }

    /// The path of a segment, unless something else than a file lies there.
    fn path_of_file(&self, number: u64) -> Result<PathBuf, DiskError> {
        let path = self.path(number);
        // Opening a pipe would wait for somebody to write to it.
        if std::fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(DiskError::NotAFile { segment: number });
        }
        Ok(path)
    }

    /// A segment's file, opened for the page cache and kept open.
    fn settled_file(&self, number: u64) -> Result<Arc<File>, DiskError> {
        if let Some(file) = self.settled.read().get(&number) {
            return Ok(Arc::clone(file));
        }
        let file = File::open(self.path_of_file(number)?);
        let file = Arc::new(file.map_err(|error| DiskError::from_io(&error, Operation::Open, number, 0))?);
        // The system reads ahead of whoever reads on, and only of him: no advice is better than any.
        let mut settled = self.settled.write();
        if OPEN_COUNT_MAX <= settled.len() {
            // Any of them: opening one again costs microseconds.
            let other = settled.keys().next().copied();
            other.and_then(|other| settled.remove(&other));
        }
        Ok(Arc::clone(settled.entry(number).or_insert(file)))
    }

    /// Waits until nothing that a process now gone has sent to the newest segments can land any more, and locks them.
    ///
    /// A process that is killed while io_uring writes for it lets go of its ledger's lock before those writes end: a request
    /// keeps only the file that it writes to. So that file is locked by whoever writes, and a writer asks for this before
    /// it reads where the ledger ends. On a file system without locks there is nothing to wait for.
    ///
    /// # Errors
    ///
    /// [`DiskError`] if a write of another process does not end, or a file can't be opened.
    pub fn lock_newest(&self) -> Result<(), DiskError> {
        // The newest segment may be only prepared; the one before it is written to then.
        let newest: Vec<u64> = self.segments()?.iter().rev().take(2).map(|segment| segment.number).collect();
        if let [segment, other] = newest[..] {
            let identity = |number| {
                let metadata = self.file(number)?.metadata();
                let metadata = metadata.map_err(|error| DiskError::from_io(&error, Operation::Open, number, 0))?;
                Ok((metadata.dev(), metadata.ino()))
            };
            // It would wait for its own lock.
            if identity(segment)? == identity(other)? {
                return Err(DiskError::Linked { segment, other });
            }
        }
        newest.into_iter().try_for_each(|number| self.lock(number).map(drop))
    }

    /// Lets other writers at the segments: nothing is written through this disk any more.
    pub fn unlock(&self) {
        self.files.read().values().for_each(OpenFile::unlock);
    }

    /// The file of a segment, locked against other writers, and those long written let go.
    fn lock(&self, number: u64) -> Result<Arc<File>, DiskError> {
        let file = self.file(number)?;
        // Relaxed: one thread writes, and it alone locks; others only leave a locked file open.
        let is_locked = |open: &OpenFile| Arc::ptr_eq(&open.file, &file) && open.is_locked.load(Ordering::Relaxed);
        if self.files.read().get(&number).is_some_and(is_locked) {
            return Ok(file);
        }
        wait_for_lock(&file, number)?;
        let mut files = self.files.write();
        // In place of what it was closed and opened as in the meantime, which has no lock.
        let used = AtomicU64::new(self.uses.load(Ordering::Relaxed));
        files.insert(number, OpenFile { file: Arc::clone(&file), used, is_locked: AtomicBool::new(true) });
        // A segment is written to only once the one before the last is durable to its end.
        let before = number.saturating_sub(1);
        files.iter().filter(|(number, _)| **number < before).for_each(|(_, open)| open.unlock());
        Ok(file)
    }

    /// The file of a segment in which so many bytes may be written at an offset.
    ///
    /// # Errors
    ///
    /// [`DiskError::Short`] if the segment ends before: it never grows; others if it can't be opened, or the offset is
    /// unaligned.
    pub(crate) fn check_place(&self, number: u64, offset: u64, length: usize) -> Result<Arc<File>, DiskError> {
        check_aligned(number, offset)?;
        debug_assert!(PAGE_SIZE <= length, "an empty write is our own bug");
        let file = self.lock(number)?;
        let size = file.metadata().map_err(|error| DiskError::from_io(&error, Operation::Write, number, offset))?.len();
        let end = offset.saturating_add(length as u64);
        if size < end { Err(DiskError::Short { segment: number, end }) } else { Ok(file) }
    }

    fn fill(&self, file: &File, number: u64, offset: u64, into: &mut PageBuffer) -> Result<(), DiskError> {
        check_aligned(number, offset)?;
        // A count for tests; it orders nothing.
        self.bytes_read.fetch_add(into.len() as u64, Ordering::Relaxed);
        let end = offset.saturating_add(into.len() as u64);
        match file.read_exact_at(into, offset) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(DiskError::Short { segment: number, end })
            }
            Err(error) => Err(DiskError::from_io(&error, Operation::Read, number, offset)),
        }
    }

    fn make(&self, number: u64, size: u64, first_page: &[u8]) -> io::Result<()> {
        let (path, temporary) = (self.path(number), self.directory.join(format!("{number:010}.tmp")));
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&temporary)?;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, size) {
            Ok(()) => {}
            // A file system that reserves nothing: what is written is reserved.
            Err(Errno::OPNOTSUPP) => write_zeros(&file, size)?,
            Err(error) => return Err(error.into()),
        }
        file.write_all_at(first_page, 0)?;
        file.sync_all()?;
        let here = rustix::fs::CWD;
        renameat_with(here, &temporary, here, &path, RenameFlags::NOREPLACE)?;
        File::open(&self.directory)?.sync_all()
    }
}

/// Locks a file against other writers; a write in flight keeps it locked.
fn wait_for_lock(file: &File, segment: u64) -> Result<(), DiskError> {
    let mut waits = 0;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if waits < LOCK_WAITS_MAX => {
                waits += 1;
                // Interrupted or failed, it is a shorter pause.
                let _ = poll(&mut [], Some(&LOCK_PAUSE));
            }
            Err(Errno::WOULDBLOCK) => return Err(DiskError::Busy { segment }),
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOLCK) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(DiskError::from_io(&error.into(), Operation::Lock, segment, 0)),
        }
    }
}

/// Whether a segment's file may be called so.
fn is_number(digits: &str) -> bool {
    digits.len() == 10 && digits.bytes().all(|digit| digit.is_ascii_digit())
}

/// Writes zeros from the start of a file to this size.
fn write_zeros(file: &File, size: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS_AT_ONCE];
    let mut offset = 0;
    while offset < size {
        let left = usize::try_from(size - offset).unwrap_or(usize::MAX);
        let some = zeros.get(..left.min(ZEROS_AT_ONCE)).unwrap_or_default();
        file.write_all_at(some, offset)?;
        offset += some.len() as u64;
    }
    Ok(())
}

impl Disk for FileDisk {
    fn segments(&self) -> Result<Vec<SegmentFile>, DiskError> {
        let error = |error: io::Error| DiskError::from_io(&error, Operation::List, 0, 0);
        let mut segments = Vec::new();
        for entry in std::fs::read_dir(&self.directory).map_err(error)? {
            let entry = entry.map_err(error)?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".seg")).filter(|digits| is_number(digits));
            if let Some(number) = number.and_then(|digits| digits.parse().ok()) {
                segments.push(SegmentFile { number, size: entry.metadata().map_err(error)?.len() });
            }
        }
        segments.sort_unstable_by_key(|segment| segment.number);
        Ok(segments)
    }

    fn create_segment(&self, number: u64, size: u64, first_page: &[u8]) -> Result<(), DiskError> {
        self.make(number, size, first_page).map_err(|error| {
            // What is left of the attempt takes room and nothing else; the next attempt truncates it.
            let _ = std::fs::remove_file(self.directory.join(format!("{number:010}.tmp")));
            DiskError::from_io(&error, Operation::Create, number, 0)
        })
    }

    fn read(&self, number: u64, offset: u64, into: &mut PageBuffer) -> Result<(), DiskError> {
        let file = self.file(number)?;
        self.fill(&file, number, offset, into)
    }

    fn read_settled(&self, number: u64, offset: u64, into: &mut PageBuffer) -> Result<(), DiskError> {
        let file = self.settled_file(number)?;
        self.fill(&file, number, offset, into)
    }

    fn write(&self, number: u64, offset: u64, from: &PageBuffer) -> Result<(), DiskError> {
        let file = self.check_place(number, offset, from.len())?;
        file.write_all_at(from, offset)
            .and_then(|()| file.sync_data())
            .map_err(|error| DiskError::from_io(&error, Operation::Write, number, offset))
    }

    fn sync(&self, number: u64) -> Result<(), DiskError> {
        // Also what was written past the page cache: a sync empties the disk's own cache, whoever filled it.
        let synced = self.file(number)?.sync_all();
        synced.map_err(|error| DiskError::from_io(&error, Operation::Sync, number, 0))
    }

    fn sync_names(&self) -> Result<(), DiskError> {
        let synced = File::open(&self.directory).and_then(|directory| directory.sync_all());
        synced.map_err(|error| DiskError::from_io(&error, Operation::Sync, 0, 0))
    }

    fn available(&self) -> Result<u64, DiskError> {
        let space = rustix::fs::statvfs(&self.directory)
            .map_err(|error| DiskError::from_io(&error.into(), Operation::Space, 0, 0))?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }

    fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn few_files_are_kept_open_and_all_can_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let disk = FileDisk::new(directory.path(), Access::Write);
        let numbers = 0..OPEN_COUNT_MAX as u64 + 20;
        let mut page = PageBuffer::new(PAGE_SIZE);
        for number in numbers.clone() {
            page.fill(u8::try_from(number).unwrap());
            disk.create_segment(number, 2 * PAGE_SIZE as u64, &page).unwrap();
            // The first is in use all the time.
            for number in [number, 0] {
                disk.read(number, 0, &mut page).unwrap();
            }
            assert!(disk.files.read().len() <= OPEN_COUNT_MAX);
        }
        assert!(disk.files.read().contains_key(&0), "what is in use is kept");
        assert!(!disk.files.read().contains_key(&1), "what is not makes room");
        for number in numbers {
            disk.read(number, 0, &mut page).unwrap();
            assert_eq!(page.first().copied().map(u64::from), Some(number));
        }
    }

    #[test]
    fn a_segment_that_is_written_to_stays_open_however_many_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let disk = FileDisk::new(directory.path(), Access::Write);
        let mut page = PageBuffer::new(PAGE_SIZE);
        for number in 0..OPEN_COUNT_MAX as u64 + 20 {
            disk.create_segment(number, 2 * PAGE_SIZE as u64, &page).unwrap();
        }
        // As a write in flight does, this one holds its file.
        let in_flight = disk.check_place(0, PAGE_SIZE as u64, PAGE_SIZE).unwrap();
        for number in 1..OPEN_COUNT_MAX as u64 + 20 {
            disk.read(number, 0, &mut page).unwrap();
        }
        let again = disk.check_place(0, PAGE_SIZE as u64, PAGE_SIZE).unwrap();
        assert!(Arc::ptr_eq(&in_flight, &again), "its own lock would keep it out of another one");
    }

    #[test]
    fn files_are_locked_while_written_to_and_let_go_behind() {
        let directory = tempfile::tempdir().unwrap();
        let disk = FileDisk::new(directory.path(), Access::Write);
        let page = PageBuffer::new(PAGE_SIZE);
        (0..4).for_each(|number| disk.create_segment(number, 2 * PAGE_SIZE as u64, &page).unwrap());
        let is_free = |number: u64| {
            let file = File::open(disk.path(number)).unwrap();
            flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        };
        disk.lock_newest().unwrap();
        assert_eq!([0, 1, 2, 3].map(is_free), [true, true, false, false]);
        let held = disk.check_place(1, 0, PAGE_SIZE).unwrap();
        assert!(!is_free(1));
        disk.unlock();
        assert_eq!([0, 1, 2, 3].map(is_free), [true; 4], "though somebody still holds {held:?}");
        (0..4).for_each(|number| drop(disk.check_place(number, 0, PAGE_SIZE).unwrap()));
        assert_eq!([0, 1, 2, 3].map(is_free), [true, true, false, false]);
    }

    #[test]
    fn one_file_under_two_names_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let disk = FileDisk::new(directory.path(), Access::Write);
        disk.create_segment(0, 2 * PAGE_SIZE as u64, &PageBuffer::new(PAGE_SIZE)).unwrap();
        std::fs::hard_link(disk.path(0), disk.path(1)).unwrap();
        assert_eq!(disk.lock_newest(), Err(DiskError::Linked { segment: 1, other: 0 }));
    }

    #[test]
    fn other_names_are_no_segments() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["+000000001.seg", "00000000001.seg", "000000001.seg", "0000000001.tmp", "0000000001.seg.old"] {
            std::fs::write(directory.path().join(name), []).unwrap();
        }
        assert_eq!(FileDisk::new(directory.path(), Access::Read).segments().unwrap(), []);
    }

    #[test]
    fn no_room_and_no_quota_are_told_from_other_failures() {
        let code = |errno: Errno| DiskError::from_io(&errno.into(), Operation::Create, 0, 0).code();
        assert_eq!([Errno::NOSPC, Errno::DQUOT].map(code), ["disk.full"; 2]);
        assert_eq!([Errno::IO, Errno::MFILE, Errno::ROFS].map(code), ["disk.io"; 3]);
    }

    #[test]
    fn zeros_reach_to_the_size_and_no_further() {
        let file = tempfile::tempfile().unwrap();
        let size = 2 * ZEROS_AT_ONCE as u64 + 4096;
        write_zeros(&file, size).unwrap();
        assert_eq!(file.metadata().unwrap().len(), size);
    }
}
