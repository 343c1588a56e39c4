//! The benches of reading: how fast what is in a ledger comes out again, verified, beside what the machine can do at all.
//!
//! Which questions they answer: `read`, what a scan, a look-up and a receipt cost a warm reader; `follow`, how fast somebody who
//! knows nothing yet catches up; `reopen`, how soon a killed writer's ledger takes records again, and that its size does not
//! matter; `check`, how long an audit takes. Every figure is of answers that were looked at: a record of another seq, or a
//! receipt that does not hold, ends the run without one. Ceilings are measured in the same run.

mod catching_up;
mod checking;
mod killed;
mod looking_up;
mod prepare;

use super::clock::{cpu_time, micros, nanos, now};
use super::figures::ratio;
use crate::exit::CommandError;
use crate::line::{Bench, Mode, Nonces};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

/// Longest time that is told apart, ns.
const NANOS_MAX: u64 = 60_000_000_000;

/// Refuses what has no meaning for a mode that reads.
pub(crate) fn judge(bench: &Bench) -> Result<(), CommandError> {
    let is_load = bench.warmup.is_some()
        || bench.rate.is_some()
        || bench.times.is_some()
        || bench.items.is_some()
        || bench.bad.is_some()
        || bench.nonces == Nonces::Stale
        || bench.producers.is_some()
        || bench.sources.is_some()
        || bench.report.is_some();
    if is_load {
        return Err(CommandError::Usage(
            "--warmup, --rate, --times, --items, --bad, --nonces, --producers, --sources and --report are for modes that \
             load a ledger; leave them out",
        ));
    }
    let is_sized = bench.seconds.is_some() || bench.payload.is_some() || bench.authors.is_some();
    if bench.mode == Mode::Reopen && (is_sized || bench.records.is_some()) {
        return Err(CommandError::Usage(
            "--mode reopen takes as long as its rounds and has records of its own; of --seconds, --payload, --authors and \
             --records leave out all, and say --gib",
        ));
    }
    if bench.mode != Mode::Reopen && bench.gib.is_some() {
        return Err(CommandError::Usage("--gib is for --mode reopen; say --records, or leave it out"));
    }
    Ok(())
}

/// Runs one of the modes that read and prints what it came to.
pub(crate) fn run(bench: &Bench, dir: &Path) -> Result<u8, CommandError> {
    if let Some(victim) = &bench.victim {
        return killed::append_until_killed(victim);
    }
    let figures = match bench.mode {
        Mode::Follow => catching_up::measure(bench, dir)?,
        Mode::Reopen => killed::measure(bench, dir)?,
        Mode::Check => checking::measure(bench, dir)?,
        Mode::Read | Mode::Records | Mode::Bundles | Mode::Latency | Mode::Open | Mode::Overload | Mode::Cases => {
            looking_up::measure(bench, dir)?
        }
    };
    let mut out = std::io::stdout().lock();
    if bench.json {
        writeln!(out, "{figures}")?;
    } else {
        print("", &figures, &mut out)?;
    }
    Ok(0)
}

/// A line a figure, named by the way to it.
pub(super) fn print(name: &str, value: &Value, out: &mut impl std::io::Write) -> std::io::Result<()> {
    let Value::Object(fields) = value else { return writeln!(out, "{name:<44}{value}") };
    fields.iter().try_for_each(|(field, value)| {
        let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
        print(&name, value, out)
    })
}

/// Nanoseconds of some answers, and the CPU time of all of them.
#[derive(Debug)]
struct Answers {
    took_ns: Histogram<u64>,
    cpu: Duration,
}

impl Answers {
    /// Asks over and over for so long, after as long again that is not counted: what is cached then is what use caches.
    fn ask(time: Duration, mut question: impl FnMut() -> Result<(), CommandError>) -> Result<Self, CommandError> {
        let histogram = Histogram::new_with_bounds(1, NANOS_MAX, 3);
        let mut took = histogram.map_err(|_| CommandError::Bench("no histogram of these bounds"))?;
        let start = now();
        while now().saturating_duration_since(start) < time {
            question()?;
        }
        let (start, cpu) = (now(), cpu_time());
        while now().saturating_duration_since(start) < time || took.is_empty() {
            let asked = now();
            question()?;
            took.saturating_record(nanos(now().saturating_duration_since(asked)).clamp(1, NANOS_MAX));
        }
        Ok(Self { took_ns: took, cpu: cpu_time().saturating_sub(cpu) })
    }

    fn to_json(&self) -> Value {
        let micros = |quantile: f64| ratio(self.took_ns.value_at_quantile(quantile), 1000);
        json!({
            "answers": self.took_ns.len(),
            "p50": micros(0.5),
            "p99": micros(0.99),
            "max": micros(1.0),
            "cpu": ratio(nanos(self.cpu) / self.took_ns.len().max(1), 1000),
        })
    }
}

/// Milliseconds, with three digits behind the point.
fn millis(duration: Duration) -> f64 {
    ratio(micros(duration), 1000)
}

/// GB (10^9 bytes) a second, with three digits behind the point.
fn gb_per_s(bytes: u64, took: Duration) -> f64 {
    ratio(annals::measure::per_second(bytes, took), 1_000_000_000)
}

/// The same of MB a second.
fn gb_of_mb(mb_per_s: u64) -> f64 {
    ratio(mb_per_s, 1000)
}
