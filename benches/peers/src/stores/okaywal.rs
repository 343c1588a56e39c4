//! okaywal: a write-ahead log whose `commit` returns once fdatasync has. An entry a batch, a chunk a record.
//!
//! Its log is made to be moved elsewhere and used again; here it never is, since all records are to stay. The file is
//! written with zeros in advance, which it does itself.

use super::{Row, Store, plain};
use crate::Failure;
use crate::payloads::{Census, Payloads};
use okaywal::{Configuration, Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Bytes of zeros written in advance.
const PREPARED: u32 = 1 << 30;
const BUFFER: usize = 256 << 10;

pub(crate) fn row() -> Row {
    plain("okaywal", "okaywal 0.3: an entry a batch, commit", open, count)
}

#[derive(Debug)]
struct Keeper {
    seen: Arc<Mutex<(Census, Option<String>)>>,
}

impl LogManager for Keeper {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        let Ok(mut seen) = self.seen.lock() else { return Ok(()) };
        for chunk in entry.read_all_chunks()?.unwrap_or_default() {
            if let Err(failure) = seen.0.take(&chunk) {
                seen.1 = Some(failure.to_string());
            }
        }
        Ok(())
    }

    fn checkpoint_to(&mut self, _: EntryId, _: &mut SegmentReader, _: &WriteAheadLog) -> io::Result<()> {
        Err(io::Error::other("the log was to be kept"))
    }
}

fn start(directory: &Path) -> Result<(WriteAheadLog, Keeper), Failure> {
    let seen = Arc::default();
    let configuration = Configuration::default_for(directory)
        .preallocate_bytes(PREPARED)
        .checkpoint_after_bytes(u64::MAX)
        .buffer_bytes(BUFFER);
    let log = configuration.open(Keeper { seen: Arc::clone(&seen) })?;
    Ok((log, Keeper { seen }))
}

struct Log {
    log: WriteAheadLog,
    payloads: Payloads,
    /// Bytes up to the newest chunk's start.
    used: u64,
}

fn open(directory: &Path) -> Result<Box<dyn Store>, Failure> {
    Ok(Box::new(Log { log: start(directory)?.0, payloads: Payloads::new(), used: 0 }))
}

impl Store for Log {
    fn append(&mut self, first: u64, count: usize) -> Result<(), Failure> {
        let mut entry = self.log.begin_entry()?;
        let mut newest = None;
        for payload in self.payloads.numbered(first, count) {
            newest = Some(entry.write_chunk(payload)?.position);
        }
        entry.commit()?;
        let mut position = Vec::new();
        newest.ok_or("no record")?.serialize_to(&mut position)?;
        self.used = position.last_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<Option<u64>, Failure> {
        self.log.shutdown()?;
        Ok(Some(self.used))
    }
}

fn count(directory: &Path) -> Result<u64, Failure> {
    let (log, keeper) = start(directory)?;
    log.shutdown()?;
    let seen = keeper.seen.lock().map_err(|_| "recovery panicked")?;
    seen.1.clone().map_or(Ok(seen.0.count), |failure| Err(failure.into()))
}
