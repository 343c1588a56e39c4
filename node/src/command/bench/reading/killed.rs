//! `--mode reopen`: a writer is killed in the middle of appends; how soon does its ledger take records again?
//!
//! The writer is this program, started again, so that it can be killed as the system kills: without warning, with writes in
//! flight. What is measured is the time from calling `Ledger::open` to the first acknowledgement. It is done with a ledger of
//! one segment and with a large one, since the time must not grow with the ledger. Records are large, so that signing
//! them takes little of the time in which ledgers are made.

use super::{millis, prepare};
use crate::command::bench::clock::{nanos, now, rest};
use crate::command::bench::workload::{creation, fixed_key};
use crate::exit::CommandError;
use crate::line::Bench;
use annals::limits::SEGMENT_SIZE_MIN;
use annals::{Appender, Creation, Kind, Ledger, Options, Pending, RecordBuilder, Refusal, SigningKey, write_key};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Times that each ledger's writer is killed.
const ROUNDS: u64 = 7;
/// Bytes of a payload.
const PAYLOAD: usize = 64 << 10;
/// Records on their way at most.
const OUTSTANDING_MAX: usize = 128;
/// Acknowledgements after which a writer may be killed.
const ACKS: u64 = 64;
/// Bytes of the small ledger: what a writer adds before it is killed has room in the same segment.
const SMALL: u64 = 32 << 20;
/// The same, and those of the large one, for `--gib 0`.
const TINY: u64 = 1 << 20;
const LARGER: u64 = 12 << 20;

pub(super) fn measure(bench: &Bench, dir: &Path) -> Result<Value, CommandError> {
    let is_tiny = bench.gib == Some(0);
    let (small, large) = if is_tiny { (TINY, LARGER) } else { (SMALL, bench.gib.unwrap_or(1) << 30) };
    let segment_size = if is_tiny { SEGMENT_SIZE_MIN } else { annals::limits::SEGMENT_SIZE_DEFAULT };
    let small = Size { bytes: small, segment_size, growth: Growth::NewEachRound };
    let large = Size { bytes: large, segment_size, growth: Growth::Kept };
    let one = rounds(&dir.join("reopen-small"), small)?;
    let all = rounds(&dir.join(format!("reopen-{}", bench.gib.unwrap_or(1))), large)?;
    let grows = super::ratio(nanos(all.first_ack()), nanos(one.first_ack()));
    Ok(json!({
        "mode": "reopen",
        "rounds": ROUNDS,
        "one_segment": one.to_json(),
        "all_segments": all.to_json(),
        "ratio_of_all_to_one": grows,
    }))
}

/// How large a ledger is.
#[derive(Clone, Copy, Debug)]
struct Size {
    /// Bytes at the least.
    bytes: u64,
    segment_size: u64,
    growth: Growth,
}

/// What becomes of what writers added.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Growth {
    /// It stays, for the next round and the next run.
    Kept,
    /// Each round has a new ledger.
    NewEachRound,
}

/// What the rounds with one ledger came to.
struct Rounds {
    bytes: u64,
    segments: u64,
    torn: u64,
    open: Vec<Duration>,
    first_ack: Vec<Duration>,
}

impl Rounds {
    fn first_ack(&self) -> Duration {
        median(&self.first_ack)
    }

    fn to_json(&self) -> Value {
        let times = |times: &[Duration]| {
            let most = times.iter().max().copied().unwrap_or_default();
            json!({ "p50": millis(median(times)), "max": millis(most) })
        };
        json!({
            "bytes": self.bytes,
            "segments": self.segments,
            "torn_tails": self.torn,
            "open_ms": times(&self.open),
            "first_ack_ms": times(&self.first_ack),
        })
    }
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn rounds(path: &Path, size: Size) -> Result<Rounds, CommandError> {
    let mut rounds = Rounds { bytes: 0, segments: 0, torn: 0, open: Vec::new(), first_ack: Vec::new() };
    for round in 0..ROUNDS {
        if size.growth == Growth::NewEachRound {
            prepare::remove(path);
        }
        let filled = fill(path, size)?;
        let mut writer = start(path)?;
        let first = wait_for_acks(&mut writer);
        // At a different moment each time.
        rest(Duration::from_millis(20 + 13 * round));
        let killed = writer.kill().and_then(|()| writer.wait());
        killed.map_err(|source| CommandError::Write { path: path.to_owned(), source })?;
        let acknowledged = filled.max(first?);
        let began = now();
        let ledger = Ledger::open(path, Options::default())?;
        rounds.open.push(now().saturating_duration_since(began));
        let mut writer = Writer::new(&ledger, 8)?;
        let record = writer.next_record()?;
        let ack = writer.appender.append_wait(&record)?;
        rounds.first_ack.push(now().saturating_duration_since(began));
        rounds.torn += u64::from(ledger.torn_tail().is_some());
        if ack.seq < acknowledged {
            return Err(CommandError::Bench("the ledger lost what it had acknowledged; no figure is given"));
        }
        let (segment, offset) = ledger.reader().head()?.end;
        (rounds.segments, rounds.bytes) = (segment + 1, segment * size.segment_size + offset);
        ledger.close().map_err(CommandError::Close)?;
    }
    Ok(rounds)
}

/// Opens or makes a ledger of at least so many bytes; the seq behind its last record.
fn fill(path: &Path, Size { bytes, segment_size, .. }: Size) -> Result<u64, CommandError> {
    let kept = Ledger::open(path, Options::default());
    let ledger = match kept {
        Ok(ledger) => ledger,
        Err(_) => {
            prepare::remove(path);
            let key = path.with_extension("key");
            write_key(&key, &fixed_key(None))?;
            Ledger::create(path, &Creation { segment_size, ..creation(&key) }, Options::default())?
        }
    };
    let (segment, offset) = ledger.reader().head()?.end;
    let there = segment * segment_size + offset;
    let count = bytes.saturating_sub(there) / PAYLOAD as u64;
    Writer::new(&ledger, PAYLOAD)?.append(count, &mut |_| Ok(()))?;
    let next = ledger.reader().next_seq();
    ledger.close().map_err(CommandError::Close)?;
    Ok(next)
}

fn start(path: &Path) -> Result<Child, CommandError> {
    let failed = |source| CommandError::Read { path: path.to_owned(), source };
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(["bench", "--mode", "reopen", "--victim"]).arg(path).stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().map_err(failed)
}

/// Waits until the writer says how far it was acknowledged: the seq behind.
fn wait_for_acks(writer: &mut Child) -> Result<u64, CommandError> {
    let mut line = String::new();
    if let Some(out) = writer.stdout.take() {
        BufReader::new(out).read_line(&mut line)?;
    }
    line.trim().parse().map_err(|_| CommandError::Bench("the writer ended before it was killed; no figure is given"))
}

/// Appends until killed; says once how far it was acknowledged.
pub(super) fn append_until_killed(path: &Path) -> Result<u8, CommandError> {
    // A bench that is itself killed must not leave behind a writer that fills the disk.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(std::io::Error::from)?;
    let ledger = Ledger::open(path, Options::default())?;
    let mut acks = 0;
    let mut writer = Writer::new(&ledger, PAYLOAD)?;
    writer.append(u64::MAX, &mut |seq| {
        acks += 1;
        if acks == ACKS {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", seq + 1)?;
            out.flush()?;
        }
        Ok(())
    })?;
    Ok(0)
}

/// One author who appends.
struct Writer<'a> {
    ledger: &'a Ledger,
    appender: Appender,
    key: SigningKey,
    nonce: u64,
    payload: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn new(ledger: &'a Ledger, payload: usize) -> Result<Self, CommandError> {
        let key = fixed_key(Some(0));
        let nonce = ledger.reader().next_nonce(&key.public())?;
        Ok(Self { ledger, appender: ledger.appender()?, key, nonce, payload: vec![0x5A; payload] })
    }

    fn next_record(&mut self) -> Result<Vec<u8>, CommandError> {
        if let Some(number) = self.payload.first_chunk_mut() {
            *number = self.nonce.to_le_bytes();
        }
        let builder = RecordBuilder::new(self.ledger.id(), Kind::APPLICATION_FIRST).unsalted().nonce(self.nonce);
        self.nonce += 1;
        Ok(builder.sign(&self.key, &self.payload)?.bytes().to_vec())
    }

    /// Appends so many records and tells the seq of each acknowledgement.
    fn append(
        &mut self,
        count: u64,
        told: &mut dyn FnMut(u64) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let mut outstanding: VecDeque<Pending> = VecDeque::new();
        for _ in 0..count {
            let record = self.next_record()?;
            loop {
                match self.appender.append(&record) {
                    Ok(pending) => break outstanding.push_back(pending),
                    Err(Refusal::Pushback) => settle(&mut outstanding, told, 0)?,
                    Err(refusal) => return Err(refusal.into()),
                }
            }
            settle(&mut outstanding, told, OUTSTANDING_MAX)?;
        }
        while !outstanding.is_empty() {
            settle(&mut outstanding, told, 0)?;
        }
        Ok(())
    }
}

/// Waits for the oldest answer if more are outstanding than may be.
fn settle(
    outstanding: &mut VecDeque<Pending>,
    told: &mut dyn FnMut(u64) -> Result<(), CommandError>,
    most: usize,
) -> Result<(), CommandError> {
    if most < outstanding.len()
        && let Some(pending) = outstanding.pop_front()
    {
        told(pending.wait()?.seq)?;
    }
    Ok(())
}
