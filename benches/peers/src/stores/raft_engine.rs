//! raft-engine: the log of TiKV's regions. A log batch is written with `sync`, which calls fdatasync before it returns.
//!
//! One region, its entries numbered by the records. Compression is off, since these payloads do not compress.

use super::{Row, Store, plain};
use crate::Failure;
use crate::payloads::{BATCH, Census, Payloads, number};
use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};
use std::path::Path;

const REGION: u64 = 1;

pub(crate) fn row() -> Row {
    plain("raft-engine", "raft-engine 0.4: a log batch, written with sync", open, count)
}

/// An entry is a payload; its index is the number in it.
#[derive(Clone)]
struct Numbered;

impl MessageExt for Numbered {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        number(&entry.value).unwrap_or(u64::MAX)
    }
}

fn start(directory: &Path) -> Result<Engine, Failure> {
    let dir = directory.join("log").to_str().ok_or("the directory is no UTF-8")?.to_owned();
    Ok(Engine::open(Config { dir, batch_compression_threshold: ReadableSize(0), ..Config::default() })?)
}

struct Log {
    engine: Engine,
    batch: LogBatch,
    entries: Vec<BytesValue>,
}

fn open(directory: &Path) -> Result<Box<dyn Store>, Failure> {
    let entry = |payload: &[u8; _]| {
        let mut entry = BytesValue::new();
        entry.set_value(payload.to_vec());
        entry
    };
    let entries = Payloads::new().numbered(0, BATCH).iter().map(entry).collect();
    Ok(Box::new(Log { engine: start(directory)?, batch: LogBatch::default(), entries }))
}

impl Store for Log {
    fn append(&mut self, first: u64, count: usize) -> Result<(), Failure> {
        let entries = &mut self.entries[..count];
        for (number, entry) in (first..).zip(entries.iter_mut()) {
            entry.value[..8].copy_from_slice(&number.to_le_bytes());
        }
        self.batch.add_entries::<Numbered>(REGION, entries)?;
        self.engine.write(&mut self.batch, true)?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<Option<u64>, Failure> {
        Ok(None)
    }
}

fn count(directory: &Path) -> Result<u64, Failure> {
    let (engine, mut census) = (start(directory)?, Census::default());
    let end = engine.last_index(REGION).map_or(0, |last| last + 1);
    let mut entries = Vec::new();
    while census.count < end {
        let to = end.min(census.count + BATCH as u64);
        engine.fetch_entries_to::<Numbered>(REGION, census.count, to, None, &mut entries)?;
        for entry in entries.drain(..) {
            census.take(&entry.value)?;
        }
    }
    Ok(census.count)
}
