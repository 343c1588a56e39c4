//! Loading a ledger: producers that append prepared records and wait for their answers.

use super::workload::Workload;
use crate::exit::CommandError;
use annals::{Ack, Ledger, Pending, Refusal};
use hdrhistogram::Histogram;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Bytes of the workload read at a time.
const PIECE: usize = 4 << 20;
/// Records appended at once.
const BATCH: usize = 64;
/// Longest latency that is told apart, µs.
const LATENCY_US_MAX: u64 = 60_000_000;

/// What loading came to.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) records: u64,
    pub(crate) took: Duration,
    pub(crate) latency_us: Histogram<u64>,
    /// Seqs of some of the records, to be verified afterwards.
    pub(crate) seqs: Vec<u64>,
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

fn micros(from: Instant) -> u64 {
    u64::try_from(now().saturating_duration_since(from).as_micros()).unwrap_or(u64::MAX).clamp(1, LATENCY_US_MAX)
}

fn histogram() -> Result<Histogram<u64>, CommandError> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).map_err(|_| CommandError::Bench("no histogram of these bounds"))
}

/// Appends from all producers until the time is over or the workload is used up, and waits for every answer.
pub(crate) fn load(ledger: &Ledger, workload: &Workload, time: Duration, lone: bool) -> Result<Load, CommandError> {
    let start = now();
    let parts = std::thread::scope(|scope| {
        let producers: Vec<_> = (0..workload.shape.producers)
            .map(|producer| {
                scope.spawn(move || {
                    let deadline = start + time;
                    if lone {
                        one_by_one(ledger, workload, producer, deadline)
                    } else {
                        flood(ledger, workload, producer, deadline)
                    }
                })
            })
            .collect();
        let join = |producer: std::thread::ScopedJoinHandle<'_, Result<Load, CommandError>>| match producer.join() {
            Ok(part) => part,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        producers.into_iter().map(join).collect::<Result<Vec<_>, _>>()
    })?;
    let mut total =
        Load { records: 0, took: now().saturating_duration_since(start), latency_us: histogram()?, seqs: Vec::new() };
    for part in parts {
        total.records += part.records;
        total.seqs.extend(part.seqs);
        total.latency_us.add(part.latency_us).map_err(|_| CommandError::Bench("no histogram of these bounds"))?;
    }
    Ok(total)
}

/// One producer: as many records on their way as the ledger takes.
fn flood(ledger: &Ledger, workload: &Workload, producer: u32, deadline: Instant) -> Result<Load, CommandError> {
    let mut appender = ledger.appender()?;
    let size = workload.shape.record_size();
    let at_once = (PIECE / size).max(1) as u64;
    let batch = BATCH.min((1 << 20) / size).max(1);
    let mut part = Load { records: 0, took: Duration::ZERO, latency_us: histogram()?, seqs: Vec::new() };
    let mut outstanding: VecDeque<(Instant, Pending)> = VecDeque::new();
    let (mut piece, mut from) = (Vec::new(), 0);
    'load: loop {
        let count = workload.read(producer, from, &mut piece, at_once)?;
        if count == 0 {
            break;
        }
        from += count as u64;
        let records: Vec<&[u8]> = piece.chunks_exact(size).collect();
        let mut rest = records.as_slice();
        while !rest.is_empty() {
            let (some, later) = rest.split_at(batch.min(rest.len()));
            let sent = now();
            let mut pushed_back = false;
            for answer in appender.append_batch(some) {
                match answer {
                    Ok(pending) => outstanding.push_back((sent, pending)),
                    // All of a batch or none.
                    Err(Refusal::Pushback) => pushed_back = true,
                    Err(refusal) => return Err(refusal.into()),
                }
            }
            if pushed_back {
                // Room comes in blocks: half of what is outstanding is worth one sleep.
                settle(&mut outstanding, &mut part, batch.max(1))?;
            } else {
                rest = later;
                settle(&mut outstanding, &mut part, 0)?;
            }
            if deadline <= sent {
                break 'load;
            }
        }
    }
    let all = outstanding.len();
    settle(&mut outstanding, &mut part, all)?;
    Ok(part)
}

/// Waits for the oldest answers, so many, and takes those behind that are there.
fn settle(outstanding: &mut VecDeque<(Instant, Pending)>, part: &mut Load, least: usize) -> Result<(), CommandError> {
    let mut waited = 0;
    while let Some((sent, mut pending)) = outstanding.pop_front() {
        let answer = if waited < least {
            pending.wait()
        } else {
            match pending.try_take() {
                Some(answer) => answer,
                None => {
                    outstanding.push_front((sent, pending));
                    break;
                }
            }
        };
        waited += 1;
        note(part, sent, answer?);
    }
    Ok(())
}

fn note(part: &mut Load, sent: Instant, ack: Ack) {
    part.latency_us.saturating_record(micros(sent));
    if part.records.is_multiple_of(64) {
        part.seqs.push(ack.seq);
    }
    part.records += 1;
}

/// One producer: one record at a time, each sent when the one before was answered.
fn one_by_one(ledger: &Ledger, workload: &Workload, producer: u32, deadline: Instant) -> Result<Load, CommandError> {
    let mut appender = ledger.appender()?;
    let size = workload.shape.record_size();
    let mut part = Load { records: 0, took: Duration::ZERO, latency_us: histogram()?, seqs: Vec::new() };
    let (mut piece, mut from) = (Vec::new(), 0);
    loop {
        let count = workload.read(producer, from, &mut piece, 1024)?;
        from += count as u64;
        for record in piece.chunks_exact(size).take(count) {
            let sent = now();
            if deadline <= sent {
                return Ok(part);
            }
            let ack = appender.append_wait(record)?;
            note(&mut part, sent, ack);
        }
        if count == 0 {
            return Ok(part);
        }
    }
}
