//! `--mode follow`: a follower from the beginning to the head, with nothing of the ledger in memory.

use super::prepare::prepare;
use super::{gb_of_mb, gb_per_s, millis};
use crate::command::bench::clock::{cpu_time, nanos, now};
use crate::command::bench::figures::ratio;
use crate::exit::CommandError;
use crate::line::Bench;
use annals::measure::{per_second, read_speed};
use annals::{FollowError, Follower, Position, Reader, StoredRecord};
use rustix::fs::{Advice, fadvise};
use serde_json::{Value, json};
use std::fs::File;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};

/// Counts what it is handed, up to a seq.
struct Counter {
    size: u64,
    records: u64,
    bytes: u64,
    done: SyncSender<(u64, u64)>,
}

impl Follower for Counter {
    fn take(&mut self, records: &[StoredRecord], behind: Position) -> bool {
        self.records += records.len() as u64;
        for record in records {
            let (head, payload) = (record.head_bytes(), record.payload());
            std::hint::black_box((head.last(), payload.last()));
            self.bytes += (head.len() + payload.len()) as u64;
        }
        let goes_on = behind.next_seq < self.size;
        if !goes_on {
            // Whoever does not wait any more needs no answer.
            let _ = self.done.send((self.records, self.bytes));
        }
        goes_on
    }
}

pub(super) fn measure(bench: &Bench, dir: &Path) -> Result<Value, CommandError> {
    let prepared = prepare(bench, dir)?;
    let forgotten = forget(&prepared.path);
    let (start, cpu) = (now(), cpu_time());
    let reader = Reader::open(&prepared.path)?;
    let opened = now().saturating_duration_since(start);
    let (done, wait) = sync_channel(1);
    let counter = Counter { size: prepared.newest.size, records: 0, bytes: 0, done };
    let following = reader.follow(Position::BEGINNING, counter).map_err(follow_error)?;
    let counted = wait.recv();
    let took = now().saturating_duration_since(start).saturating_sub(opened);
    let cpu = cpu_time().saturating_sub(cpu);
    let position = following.stop().map_err(follow_error)?;
    let (records, bytes) = counted.map_err(|_| CommandError::Bench("the follower ended early; no figure is given"))?;
    if records != prepared.newest.size || position.root != Some(prepared.newest.root) {
        return Err(CommandError::Bench("the follower did not see every record; no figure is given"));
    }
    let ceiling = read_speed(&prepared.path, prepared.newest.end, bench.time() / 5)?;
    Ok(json!({
        "mode": "follow",
        "cold": forgotten,
        "records": prepared.records(),
        "payload": prepared.shape.payload,
        "used_bytes": prepared.used_bytes,
        "open_ms": millis(opened),
        "follow_ms": millis(took),
        "records_per_s": per_second(records, took),
        "gb_per_s": gb_per_s(bytes, took),
        "cpu_ns_per_record": nanos(cpu) / records.max(1),
        "ceiling": {
            "direct_gb_per_s": gb_of_mb(ceiling.direct_mb_per_s),
            "cached_and_summed_gb_per_s": gb_of_mb(ceiling.cached_and_summed_mb_per_s),
        },
        "ratio_to_ceiling": ratio(per_second(bytes, took) / 1_000_000, ceiling.direct_mb_per_s),
    }))
}

fn follow_error(error: FollowError) -> CommandError {
    match error {
        FollowError::Query(error) => error.into(),
        FollowError::Open(error) => error.into(),
        FollowError::Position { .. } | _ => CommandError::Bench("the beginning is no position; no figure is given"),
    }
}

/// Lets the system forget the ledger's files; whether it took the advice for all of them.
fn forget(ledger: &Path) -> bool {
    let forget = |path: &Path| File::open(path).is_ok_and(|file| fadvise(&file, 0, None, Advice::DontNeed).is_ok());
    ["segments", "index"].into_iter().all(|name| {
        let entries = std::fs::read_dir(ledger.join(name));
        entries.is_ok_and(|entries| entries.flatten().all(|entry| forget(&entry.path())))
    })
}
