//! `--mode read`: scanning, getting, proving and finding, by a reader that has been in use for a while.

use super::prepare::{Prepared, prepare};
use super::{Answers, gb_of_mb, gb_per_s};
use crate::command::bench::clock::{cpu_time, nanos, now};
use crate::command::bench::figures::ratio;
use crate::command::bench::load::joined;
use crate::command::bench::random::Random;
use crate::exit::CommandError;
use crate::line::Bench;
use annals::measure::{per_second, read_speed};
use annals::{AuthorId, Reader, RecordId, StoredRecord};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Threads that scan.
const THREADS: u64 = 2;
/// Records that are looked for by id and by nonce.
const KNOWN: usize = 4096;
/// Receipts that are verified.
const RECEIPTS: u64 = 1000;
const OTHER: CommandError = CommandError::Bench("another record was read than was asked for; no figure is given");

pub(super) fn measure(bench: &Bench, dir: &Path) -> Result<Value, CommandError> {
    let prepared = prepare(bench, dir)?;
    let reader = Reader::open(&prepared.path)?;
    let time = bench.time() / 5;
    let scanned = scan(&reader, &prepared, time)?;
    let mut random = Seqs::new(prepared.newest.size);
    let get = Answers::ask(time, || looked_at(&reader.get(random.seq())?, random.last).map(drop))?;
    let prove = Answers::ask(time, || {
        let receipt = reader.prove(random.seq())?;
        if receipt.seq == random.last { Ok(()) } else { Err(OTHER) }
    })?;
    verify_some(&reader, &mut random)?;
    let known = known(&reader, &mut random)?;
    let mut one = || known.get(usize::try_from(random.seq()).unwrap_or(0) % known.len().max(1)).ok_or(OTHER);
    let find = Answers::ask(time, || {
        let known = one()?;
        looked_at(&reader.find(&known.id)?.ok_or(OTHER)?, known.seq).map(drop)
    })?;
    let find_nonce = Answers::ask(time, || {
        let known = one()?;
        looked_at(&reader.find_nonce(&known.author, known.nonce)?.ok_or(OTHER)?, known.seq).map(drop)
    })?;
    let ceiling = read_speed(&prepared.path, prepared.newest.end, time)?;
    let scan_mb = per_second(scanned.bytes, scanned.took) / 1_000_000;
    Ok(json!({
        "mode": "read",
        "records": prepared.records(),
        "payload": prepared.shape.payload,
        "record_bytes": prepared.record_bytes(),
        "used_bytes": prepared.used_bytes,
        "scan": {
            "threads": THREADS,
            "gb_per_s": gb_per_s(scanned.bytes, scanned.took),
            "records_per_s": per_second(scanned.records, scanned.took),
            "cpu_ns_per_record": nanos(scanned.cpu) / scanned.records.max(1),
        },
        "get_us": get.to_json(),
        "prove_us": prove.to_json(),
        "find_id_us": find.to_json(),
        "find_nonce_us": find_nonce.to_json(),
        "ceiling": {
            "direct_gb_per_s": gb_of_mb(ceiling.direct_mb_per_s),
            "cached_gb_per_s": gb_of_mb(ceiling.cached_mb_per_s),
            "cached_and_summed_gb_per_s": gb_of_mb(ceiling.cached_and_summed_mb_per_s),
        },
        "ratio_to_ceiling": ratio(scan_mb, ceiling.cached_and_summed_mb_per_s),
    }))
}

/// Reads head and payload; how many bytes they are.
fn looked_at(record: &StoredRecord, seq: u64) -> Result<u64, CommandError> {
    let (head, payload) = (record.head_bytes(), record.payload());
    std::hint::black_box((head.last(), payload.last()));
    if record.seq() == seq { Ok((head.len() + payload.len()) as u64) } else { Err(OTHER) }
}

struct Scanned {
    records: u64,
    bytes: u64,
    took: Duration,
    cpu: Duration,
}

/// Scans the ledger, each thread a range of its own, over and over for so long.
fn scan(reader: &Reader, prepared: &Prepared, time: Duration) -> Result<Scanned, CommandError> {
    let size = prepared.newest.size;
    // Once for what is warmed by use.
    scan_once(reader, size)?;
    let (start, cpu) = (now(), cpu_time());
    let (mut records, mut bytes) = (0, 0);
    while records == 0 || now().saturating_duration_since(start) < time {
        bytes += scan_once(reader, size)?;
        records += size;
    }
    Ok(Scanned { records, bytes, took: now().saturating_duration_since(start), cpu: cpu_time().saturating_sub(cpu) })
}

fn scan_once(reader: &Reader, size: u64) -> Result<u64, CommandError> {
    let range = |from: u64, to: u64| {
        (from..to).zip(reader.scan(from)).try_fold(0, |bytes, (seq, record)| Ok(bytes + looked_at(&record?, seq)?))
    };
    std::thread::scope(|scope| {
        let bounds = (0..THREADS).map(|thread| (size * thread / THREADS, size * (thread + 1) / THREADS));
        let threads: Vec<_> = bounds.map(|(from, to)| scope.spawn(move || range(from, to))).collect();
        threads.into_iter().map(joined).sum()
    })
}

/// Seqs in no order.
struct Seqs {
    random: Random,
    size: u64,
    last: u64,
}

impl Seqs {
    fn new(size: u64) -> Self {
        Self { random: Random::default(), size, last: 0 }
    }

    fn seq(&mut self) -> u64 {
        self.last = self.random.next() % self.size.max(1);
        self.last
    }
}

fn verify_some(reader: &Reader, random: &mut Seqs) -> Result<(), CommandError> {
    (0..RECEIPTS).try_for_each(|_| {
        let receipt = reader.prove(random.seq())?;
        receipt
            .verify(reader.vkey())
            .map(drop)
            .map_err(|_| CommandError::Bench("a receipt does not hold; no figure is given"))
    })
}

/// A record by which others find it.
struct Known {
    seq: u64,
    id: RecordId,
    author: AuthorId,
    nonce: u64,
}

fn known(reader: &Reader, random: &mut Seqs) -> Result<Vec<Known>, CommandError> {
    let known = (0..KNOWN).map(|_| {
        let record = reader.get(random.seq())?;
        let head = record.head()?;
        Ok(Known { seq: record.seq(), id: record.record_id(), author: head.author, nonce: head.nonce })
    });
    known.collect()
}
