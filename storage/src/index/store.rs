//! Where index files are kept: a directory, or memory for tests.
//!
//! A file is written once, whole, and replaced as a whole when it is rebuilt; a reader never sees part of one. Reads go
//! through the page cache: the files are derived and every page carries a sum, so a stale or torn page is noticed and
//! costs a rebuild, nothing more. Nothing here knows what the bytes mean.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::disk::{DiskError, Operation};

/// An open index file.
pub trait ReadAt: Send + Sync + Debug {
    /// Bytes of the file.
    fn size(&self) -> u64;

    /// Fills `into` from `offset` on.
    ///
    /// # Errors
    ///
    /// [`DiskError`]; [`DiskError::Short`] if the file ends before.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError>;
}

/// The index files of one ledger, one a closed segment.
pub trait IndexStore: Send + Sync + Debug {
    /// Opens the index of a segment; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`DiskError`] if it is there and can't be opened.
    fn open(&self, segment: u64) -> Result<Option<Arc<dyn ReadAt>>, DiskError>;

    /// Begins the index of a segment, in place of one that may be there; it appears whole, when it is finished, or not at all.
    /// Files opened before go on showing what they were.
    ///
    /// # Errors
    ///
    /// [`DiskError`]; the file that was there is there still.
    fn begin(&self, segment: u64) -> Result<Box<dyn WriteIndex>, DiskError>;

    /// Writes the index of a segment from bytes that are all there.
    ///
    /// # Errors
    ///
    /// As [`IndexStore::begin`].
    fn write(&self, segment: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let mut file = self.begin(segment)?;
        file.append(bytes)?;
        file.finish()
    }
}

/// An index file that is being written, a piece at a time. Dropped, it was never there.
pub trait WriteIndex: Send + Debug {
    /// Adds bytes behind those before.
    ///
    /// # Errors
    ///
    /// [`DiskError`]; there will be no file then.
    fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError>;

    /// Lets the file be seen.
    ///
    /// # Errors
    ///
    /// [`DiskError`]; the file that was there is there still.
    fn finish(self: Box<Self>) -> Result<(), DiskError>;
}

/// Index files in a directory: `NNNNNNNNNN.idx`.
#[derive(Debug)]
pub struct FileIndexStore {
    directory: PathBuf,
    /// Of the next file's temporary name, so that two writers of one segment do not share one.
    temporary: AtomicU64,
}

/// A file under its temporary name.
#[derive(Debug)]
struct WritingFile {
    file: File,
    segment: u64,
    temporary: PathBuf,
    path: PathBuf,
    /// Once it has its name, there is nothing to remove.
    finished: bool,
}

impl FileIndexStore {
    /// The index files in a directory, which exists.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), temporary: AtomicU64::new(0) }
    }

    /// The path of a segment's index.
    pub fn path(&self, segment: u64) -> PathBuf {
        self.directory.join(format!("{segment:010}.idx"))
    }
}

impl WritingFile {
    fn failed(&self, error: &io::Error) -> DiskError {
        DiskError::from_io(error, Operation::Write, self.segment, 0)
    }
}

impl WriteIndex for WritingFile {
    fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        // Synced piece by piece: a file system that puts data before its journal would have a block of records, which waits for
        // the journal too, wait for all of it.
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        written.map_err(|error| self.failed(&error))
    }

    fn finish(mut self: Box<Self>) -> Result<(), DiskError> {
        // Not for truth's sake, the file is derived; it spares the next opening a rebuild.
        let renamed = self.file.sync_all().and_then(|()| fs::rename(&self.temporary, &self.path));
        renamed.map_err(|error| self.failed(&error))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for WritingFile {
    fn drop(&mut self) {
        if !self.finished {
            // What is left of an attempt takes room and nothing else.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

impl IndexStore for FileIndexStore {
    fn open(&self, segment: u64) -> Result<Option<Arc<dyn ReadAt>>, DiskError> {
        let error = |error: io::Error| DiskError::from_io(&error, Operation::Open, segment, 0);
        // A pipe would be waited for. Whatever is no file is no index: derived data keeps nobody from reading.
        if fs::metadata(self.path(segment)).is_ok_and(|metadata| !metadata.is_file()) {
            return Ok(None);
        }
        match File::open(self.path(segment)) {
            Ok(file) => {
                let size = file.metadata().map_err(error)?.len();
                Ok(Some(Arc::new(OpenFile { file, segment, size })))
            }
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(other) => Err(error(other)),
        }
    }

    fn begin(&self, segment: u64) -> Result<Box<dyn WriteIndex>, DiskError> {
        // Relaxed: a number that nobody else gets.
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.directory.join(format!("{segment:010}.{number}.idx.tmp"));
        let file =
            File::create(&temporary).map_err(|error| DiskError::from_io(&error, Operation::Write, segment, 0))?;
        Ok(Box::new(WritingFile { file, segment, temporary, path: self.path(segment), finished: false }))
    }
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    segment: u64,
    size: u64,
}

impl ReadAt for OpenFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        self.file.read_exact_at(into, offset).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                short(self.segment, offset, into)
            } else {
                DiskError::from_io(&error, Operation::Read, self.segment, offset)
            }
        })
    }
}

fn short(segment: u64, offset: u64, into: &[u8]) -> DiskError {
    DiskError::Short { segment, end: offset.saturating_add(into.len() as u64) }
}

/// Index files in memory, for tests: clones share them, and what is read is counted.
#[derive(Clone, Debug, Default)]
pub struct MemoryIndexStore {
    files: Arc<Mutex<BTreeMap<u64, Arc<[u8]>>>>,
    bytes_read: Arc<AtomicU64>,
    opened: Arc<AtomicU64>,
}

impl MemoryIndexStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes of a segment's index.
    pub fn bytes(&self, segment: u64) -> Option<Vec<u8>> {
        self.files.lock().get(&segment).map(|bytes| bytes.to_vec())
    }

    /// Makes the index of a segment these bytes, or removes it.
    pub fn set(&self, segment: u64, bytes: Option<Vec<u8>>) {
        let mut files = self.files.lock();
        match bytes {
            Some(bytes) => files.insert(segment, bytes.into()),
            None => files.remove(&segment),
        };
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Files opened so far.
    pub fn opened_count(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }
}

impl IndexStore for MemoryIndexStore {
    fn open(&self, segment: u64) -> Result<Option<Arc<dyn ReadAt>>, DiskError> {
        let Some(bytes) = self.files.lock().get(&segment).cloned() else {
            return Ok(None);
        };
        // A count for tests; it orders nothing.
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Some(Arc::new(OpenMemory { segment, bytes, bytes_read: Arc::clone(&self.bytes_read) })))
    }

    fn begin(&self, segment: u64) -> Result<Box<dyn WriteIndex>, DiskError> {
        Ok(Box::new(WritingMemory { store: self.clone(), segment, bytes: Vec::new() }))
    }
}

#[derive(Debug)]
struct WritingMemory {
    store: MemoryIndexStore,
    segment: u64,
    bytes: Vec<u8>,
}

impl WriteIndex for WritingMemory {
    fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), DiskError> {
        self.store.set(self.segment, Some(self.bytes));
        Ok(())
    }
}

#[derive(Debug)]
struct OpenMemory {
    segment: u64,
    bytes: Arc<[u8]>,
    bytes_read: Arc<AtomicU64>,
}

impl ReadAt for OpenMemory {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        // A count for tests; it orders nothing.
        self.bytes_read.fetch_add(into.len() as u64, Ordering::Relaxed);
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let Some(bytes) = self.bytes.get(from..from.saturating_add(into.len())) else {
            return Err(short(self.segment, offset, into));
        };
        into.copy_from_slice(bytes);
        Ok(())
    }
}
