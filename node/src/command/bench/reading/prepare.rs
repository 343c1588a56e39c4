//! The ledger that is read: made of prepared records, and kept beside them for the next run.

use crate::command::bench::answers::wait;
use crate::command::bench::source::BATCH;
use crate::command::bench::workload::{Shape, Workload, creation, fixed_key};
use crate::exit::CommandError;
use crate::line::Bench;
use annals::{Ledger, LedgerId, Newest, Options, Reader, Refusal, write_key};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Records of a ledger unless told otherwise, and their bytes at most.
const RECORDS: u64 = 1_000_000;
const PAYLOAD_BYTES: u64 = 820_000_000;

/// A closed ledger to be read.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) path: PathBuf,
    pub(super) shape: Shape,
    pub(super) id: LedgerId,
    pub(super) newest: Newest,
    /// Bytes of its segments up to the newest block's end.
    pub(super) used_bytes: u64,
}

impl Prepared {
    /// Records that were appended, without genesis.
    pub(super) const fn records(&self) -> u64 {
        self.newest.size - 1
    }

    /// Bytes of their heads and payloads.
    pub(super) fn record_bytes(&self) -> u64 {
        self.records() * self.shape.record_size() as u64
    }
}

/// Finds a ledger of enough records in the directory, or makes one.
pub(super) fn prepare(bench: &Bench, dir: &Path) -> Result<Prepared, CommandError> {
    let count = bench.records.unwrap_or_else(|| RECORDS.min(PAYLOAD_BYTES / u64::from(bench.payload_size())).max(1));
    let shape = Shape { payload: bench.payload_size(), items: 1, authors: bench.author_count(), sources: 1 };
    let path = dir.join(format!("reading-{}-{}", shape.payload, shape.authors));
    let fits = Reader::open(&path).is_ok_and(|reader| count < reader.next_seq());
    if !fits {
        make(&path, dir, shape, count)?;
    }
    let reader = Reader::open(&path)?;
    let newest = reader.head()?;
    let (segment, offset) = newest.end;
    let used_bytes = segment * annals::ledger_size(&path).map_err(annals::OpenError::from)?.segment_size + offset;
    Ok(Prepared { id: reader.id(), path, shape, newest, used_bytes })
}

/// Removes what an earlier run left of a ledger and its key.
pub(super) fn remove(path: &Path) {
    let _ = (std::fs::remove_dir_all(path), std::fs::remove_file(path.with_extension("key")));
}

fn make(path: &Path, dir: &Path, shape: Shape, count: u64) -> Result<(), CommandError> {
    remove(path);
    let key = path.with_extension("key");
    write_key(&key, &fixed_key(None))?;
    let ledger = Ledger::create(path, &creation(&key), Options::default())?;
    let mut supply = Arc::new(Workload::prepare(dir, ledger.id(), shape, count)?).supply(0)?;
    let (mut appender, mut outstanding) = (ledger.appender()?, VecDeque::new());
    loop {
        let records = supply.batch(BATCH)?;
        let taken = records.len();
        if taken == 0 {
            break;
        }
        let answers = match appender.append_batch(&records) {
            Err(Refusal::Pushback) => {
                // Room comes in blocks.
                wait(&mut outstanding, BATCH)?;
                continue;
            }
            answers => answers?,
        };
        supply.take(taken);
        for answer in answers {
            outstanding.push_back(answer?);
        }
    }
    let left = outstanding.len();
    wait(&mut outstanding, left)?;
    ledger.close().map_err(CommandError::Close)
}
