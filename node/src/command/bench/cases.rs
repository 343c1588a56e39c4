//! `annals bench --mode cases`: how many records of whole cases are applied a second, and what a case takes of state.
//!
//! The first platform's procedure, start to end: each case is registered, filed, investigated by two officers, concluded, notified,
//! decided, served, paid and closed, 16 records; and a case of before is corrected, 2 more, so that state is touched all over. Records
//! are signed beforehand, a round of cases at a time, outside the clock. Inside it they are verified, ordered, made durable, applied
//! by the host, and put into authenticated state. The clock stops when the last record of a round is applied.
//!
//! Beside it, in the same run: what the host does alone, applying the same ledger again from genesis into an empty state, which reads it
//! from the disk and begins with nothing decoded, so it is no ceiling; and what the machine verifies when it does nothing else.

mod acts;
mod people;

use super::answers::wait;
use super::clock::{cpu_time, micros, now};
use super::figures::ratio;
use super::place::{Place, check_room};
use crate::command::progress::Progress;
use crate::exit::CommandError;
use crate::line::Bench;
use acts::{Caseload, RECORDS_PER_CASE};
use annals::{Appender, Pending, Reader, Refusal};
use annals_contracts::platform::rebuild_state;
use annals_contracts::workflow::Instance;
use annals_contracts::{Platform, PlatformOptions};
use people::People;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Cases of a round: enough for a second or so, few enough to hold their records in memory.
const ROUND_CASES: u64 = 2_000;
/// Records that are handed over at once: a round comes from one producer, which need not leave room for others.
const BATCH: usize = 512;
/// Bytes that a case takes on disk at most: its records, their state, and room to store it.
const CASE_BYTES: u64 = 40_000;
/// How long the machine's own speed is measured.
const CEILING_TIME: Duration = Duration::from_secs(2);
/// Numbers of cases at which the rate is told, if the run gets there.
const MARKS: [u64; 7] = [1_000, 10_000, 50_000, 100_000, 250_000, 500_000, 1_000_000];

/// A round: how many cases there were behind it, how long it took, and what state took.
#[derive(Clone, Copy, Debug)]
struct Round {
    cases: u64,
    took: Duration,
    cpu: Duration,
    state_bytes: u64,
}

/// Refuses what has no meaning for whole cases.
pub(super) fn judge(bench: &Bench) -> Result<(), CommandError> {
    let is_other = bench.warmup.is_some()
        || bench.rate.is_some()
        || bench.times.is_some()
        || bench.items.is_some()
        || bench.bad.is_some()
        || bench.nonces == crate::line::Nonces::Stale
        || bench.producers.is_some()
        || bench.sources.is_some()
        || bench.payload.is_some()
        || bench.records.is_some()
        || bench.gib.is_some()
        || bench.report.is_some();
    if is_other {
        return Err(CommandError::Usage(
            "--mode cases has records of its own; it takes --seconds, --cases, --authors, --dir and --json",
        ));
    }
    if bench.cases.is_some() && bench.seconds.is_some() {
        return Err(CommandError::Usage("--cases says how many, --seconds how long; leave one of them out"));
    }
    Ok(())
}

/// Runs the mode and prints what it came to.
pub(super) fn run(bench: &Bench, dir: &Path) -> Result<u8, CommandError> {
    let wanted = bench.cases.unwrap_or(0);
    check_room(dir, wanted.max(bench.time().as_secs() * 4_000) * CASE_BYTES)?;
    let place = Place::make(dir)?;
    let people = People::new(bench.authors.unwrap_or(64).max(4));
    let platform = Platform::create(&place.ledger, &people.founding(&place.key)?, PlatformOptions::default())?;
    people.register(&platform)?;
    let mut caseload = Caseload::new(platform.id(), people);
    let mut rounds = Vec::new();
    let mut progress = Progress::count("applied, cases");
    let (mut ran, mut cases, mut sample) = (Duration::ZERO, 0, Vec::new());
    while if bench.cases.is_some() { cases < wanted } else { ran < bench.time() } {
        let count = if bench.cases.is_some() { ROUND_CASES.min(wanted - cases) } else { ROUND_CASES };
        let records = caseload.round(count)?;
        let (start, cpu) = (now(), cpu_time());
        append(&platform, &records)?;
        platform.catch_up()?;
        let (took, cpu) = (now().saturating_duration_since(start), cpu_time().saturating_sub(cpu));
        cases += count;
        ran += took;
        let state_bytes = platform.state().file_bytes().map_err(annals_contracts::PlatformError::from)?;
        rounds.push(Round { cases, took, cpu, state_bytes });
        progress.set(cases, wanted.max(cases));
        if sample.is_empty() {
            sample = records;
        }
    }
    progress.finish();
    let looked_at = look_at_cases(&platform, &caseload)?;
    let leaves = platform.state().leaf_count();
    platform.close()?;
    let slices: Vec<_> = sample.iter().map(Vec::as_slice).collect();
    let verify = annals::measure::verify_records_per_s(&slices, CEILING_TIME);
    let alone = apply_alone(&place.ledger)?;
    let figures = figures(&rounds, caseload.records(), verify, alone, leaves, looked_at);
    print(bench.json, &figures)?;
    Ok(0)
}

/// Appends records in order, as many at once as are taken, and waits until the last is durable.
fn append(platform: &Platform, records: &[Vec<u8>]) -> Result<(), CommandError> {
    let mut appender: Appender = platform.appender()?;
    let mut outstanding: VecDeque<Pending> = VecDeque::new();
    let mut left = records;
    while !left.is_empty() {
        let (batch, rest) = left.split_at(BATCH.min(left.len()));
        let slices: Vec<_> = batch.iter().map(Vec::as_slice).collect();
        match appender.append_batch(&slices) {
            Err(Refusal::Pushback) => wait(&mut outstanding, BATCH)?,
            answers => {
                for answer in answers? {
                    outstanding.push_back(answer?);
                }
                left = rest;
            }
        }
    }
    let all = outstanding.len();
    wait(&mut outstanding, all)
}

/// Looks at up to a thousand cases and counts them; one that did not come to its end, or lacks a correction, leaves no figure: a
/// record that is refused costs less than one that is not.
fn look_at_cases(platform: &Platform, caseload: &Caseload) -> Result<u64, CommandError> {
    let mut looked_at = 0;
    for (agency, number, corrections) in caseload.closed() {
        let is_whole = |case: Instance| {
            case.state == "closed" && case.done.get("correct").copied().unwrap_or_default() == corrections
        };
        if !platform.case(agency, &number)?.is_some_and(is_whole) {
            return Err(CommandError::Bench(
                "a case of the bench did not come to its end, or lacks a correction, so there is no figure; report it",
            ));
        }
        looked_at += 1;
    }
    Ok(looked_at)
}

/// Applies the ledger again into an empty state: records a second.
fn apply_alone(place: &Path) -> Result<u64, CommandError> {
    let reader = Reader::open(place)?;
    let start: Instant = now();
    let check = rebuild_state(place, &reader, |_| ())?;
    Ok(annals::measure::per_second(check.records, now().saturating_duration_since(start)))
}

fn figures(rounds: &[Round], records: u64, verify: u64, alone: u64, leaves: u64, looked_at: u64) -> Value {
    let rates: Vec<(u64, u64, u64)> = rounds
        .iter()
        .scan(0, |before, round| {
            let cases = round.cases - *before;
            *before = round.cases;
            Some((round.cases, annals::measure::per_second(cases, round.took), round.state_bytes))
        })
        .collect();
    let (took, cpu) =
        rounds.iter().fold((Duration::ZERO, Duration::ZERO), |(took, cpu), round| (took + round.took, cpu + round.cpu));
    let last = rounds.last().copied();
    let cases = last.map_or(0, |round| round.cases);
    let state_bytes = last.map_or(0, |round| round.state_bytes);
    let per_s = annals::measure::per_second(records, took);
    json!({
        "mode": "cases",
        "durable": true,
        "cases": cases,
        "records": records,
        "records_per_case": RECORDS_PER_CASE,
        "records_per_s": per_s,
        "cases_per_s": annals::measure::per_second(cases, took),
        "seconds": ratio(micros(took), 1_000_000),
        "cpu_us_per_record": ratio(micros(cpu), records),
        "cases_looked_at": looked_at,
        "state_leaves": leaves,
        "state_bytes": state_bytes,
        "state_bytes_per_case": state_bytes / cases.max(1),
        "growth": growth(&rates, rounds),
        "alone": { "apply_records_per_s": alone, "verify_records_per_s": verify },
        "ratio_to_apply_alone": ratio(per_s, alone),
    })
}

/// The rate around each mark: the median of the rounds next to it.
fn growth(rates: &[(u64, u64, u64)], rounds: &[Round]) -> Value {
    const NEAR: usize = 5;
    let per_case = RECORDS_PER_CASE;
    let mut marks: Vec<u64> =
        MARKS.into_iter().filter(|mark| rounds.iter().any(|round| *mark <= round.cases)).collect();
    marks.extend(rounds.last().map(|round| round.cases));
    marks.dedup();
    let at = |mark: u64| {
        let index = rates.iter().position(|(cases, _, _)| mark <= *cases).unwrap_or(0);
        let near =
            rates.get(index.saturating_sub(NEAR / 2)..(index + NEAR / 2 + 1).min(rates.len())).unwrap_or_default();
        let mut speeds: Vec<_> = near.iter().map(|(_, cases_per_s, _)| *cases_per_s).collect();
        speeds.sort_unstable();
        let median = speeds.get(speeds.len() / 2).copied().unwrap_or_default();
        let bytes = rates.get(index).map_or(0, |(cases, _, bytes)| bytes / cases);
        json!({ "cases": mark, "records_per_s": median * per_case, "state_bytes_per_case": bytes })
    };
    marks.into_iter().map(at).collect()
}

fn print(as_json: bool, figures: &Value) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{figures}")?;
        return Ok(());
    }
    super::reading::print("", figures, &mut out)?;
    Ok(())
}
