//! What a bench of a load is to do: the command line, judged as a whole.
//!
//! What makes no sense together is refused before anything is made, and the refusal says what to do instead.

use super::ceiling::Ceilings;
use super::load::Span;
use super::pool;
use super::workload::Shape;
use crate::exit::CommandError;
use crate::line::{Bench, Mode, Nonces};
use std::time::Duration;

/// How long a ledger is under load before it counts, unless the command line says so.
const WARMUP: Duration = Duration::from_secs(1);
/// How long saturation is measured before a load that is given as a part of it.
const SATURATION: Duration = Duration::from_secs(2);
/// The longest step of a load curve; in a run of less than ten times that, a tenth of it.
const STEP_MAX: Duration = Duration::from_secs(1);
/// Items of a bundle unless the command line says so.
const ITEMS: u16 = 1000;
/// Sources beside an attacker, with him.
const SOURCES: u32 = 8;
/// Sources of an overload: together they may have more outstanding than the ring holds, so that it is the ring that is full.
const OVERLOAD_SOURCES: u32 = 4;
/// Attempts of an overload, in parts of saturation.
const TIMES: u64 = 10;
/// The steps of a load curve, in tenths of saturation.
pub(crate) const CURVE_TENTHS: std::ops::RangeInclusive<u64> = 1..=11;
/// The rate of an open loop unless the command line says so, in tenths of saturation.
const RATE_TENTHS: u64 = 4;

/// The modes that load a ledger; the others read one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Load {
    Records,
    Bundles,
    Latency,
    Open,
    Overload,
}

impl Load {
    /// The load of a mode; none for one that reads.
    pub(crate) const fn of(mode: Mode) -> Option<Self> {
        match mode {
            Mode::Records => Some(Self::Records),
            Mode::Bundles => Some(Self::Bundles),
            Mode::Latency => Some(Self::Latency),
            Mode::Open => Some(Self::Open),
            Mode::Overload => Some(Self::Overload),
            Mode::Read | Mode::Follow | Mode::Reopen | Mode::Check | Mode::Cases => None,
        }
    }
}

/// What one of the sources does to the others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Attack {
    /// It sends nonces that only the disk can tell anything of.
    Stale,
    /// One of its signatures in so many is bad.
    Bad(u64),
}

/// A load, judged.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) mode: Load,
    pub(crate) shape: Shape,
    pub(crate) threads: usize,
    pub(crate) span: Span,
    pub(crate) attack: Option<Attack>,
    pub(crate) rate: Option<u64>,
    pub(crate) times: u64,
    pub(crate) curve: bool,
}

impl Plan {
    /// Judges the command line.
    pub(crate) fn of(bench: &Bench, mode: Load) -> Result<Self, CommandError> {
        refuse(
            bench.records.is_some() || bench.gib.is_some(),
            "--records and --gib are for modes that read: read, follow, check; reopen; say one of those, or leave them out",
        )?;
        let attack = match (bench.nonces, bench.bad) {
            (Nonces::Rising, None) => None,
            (Nonces::Stale, None) => Some(Attack::Stale),
            (Nonces::Rising, Some(n)) => Some(Attack::Bad(n)),
            (Nonces::Stale, Some(_)) => {
                return usage("--nonces stale and --bad are two attacks; measure one at a time");
            }
        };
        refuse(
            bench.rate.is_some() && mode != Load::Open,
            "--rate is for an open loop; say --mode open, or leave it out",
        )?;
        refuse(
            bench.times.is_some() && mode != Load::Overload,
            "--times is for --mode overload; say that, or leave it out",
        )?;
        refuse(
            bench.items.is_some() && mode != Load::Bundles,
            "--items is for --mode bundles; say that, or leave it out",
        )?;
        refuse(
            attack.is_some() && !matches!(mode, Load::Records | Load::Open),
            "--bad and --nonces stale are measured with --mode records or open; say one, or leave them out",
        )?;
        let shape = shape(bench, mode, attack.is_some())?;
        refuse(attack.is_some() && shape.sources < 2, "an attack needs others beside it; say --sources 2 or more")?;
        let threads = bench.producers.unwrap_or(fitted_threads(mode)).min(shape.sources) as usize;
        let span = Span { warmup: bench.warmup.map_or(WARMUP, Duration::from_secs), time: bench.time() };
        let curve = bench.report.is_some() && attack.is_none() && mode != Load::Latency;
        let times = bench.times.unwrap_or(TIMES);
        Ok(Self { mode, shape, threads, span, attack, rate: bench.rate, times, curve })
    }

    /// The rate of an open loop, records a second.
    pub(crate) fn rate(&self, saturation: u64) -> u64 {
        self.rate.unwrap_or(saturation * RATE_TENTHS / 10).max(1)
    }

    /// The load that finds out what saturation is.
    pub(crate) fn saturation(&self) -> Span {
        Span { time: self.span.time.min(SATURATION), ..self.span }
    }

    /// A step of the load curve.
    pub(crate) fn step(&self) -> Span {
        Span { warmup: Duration::ZERO, time: (self.span.time / 10).min(STEP_MAX) }
    }

    /// Records that the run can use at most.
    pub(crate) fn record_count(&self, ceilings: &Ceilings) -> u64 {
        let top = ceilings.records_per_s(self.shape.record_size());
        let at = |rate: u64, span: Span| rate * millis(span.warmup + span.time) / 1000;
        let (run, saturation) = (self.span, self.saturation());
        // An attack is measured beside a clean phase, and no source shall run dry before the others.
        let phases = |count: u64| if self.attack.is_some() { count * 2 * 5 / 4 } else { count };
        let run = if self.mode == Load::Latency {
            at(ceilings.lone_per_s(), run)
        } else if self.mode == Load::Open {
            at(top, saturation) + phases(at(self.rate(top).min(top), run))
        } else if self.mode == Load::Overload {
            at(top, saturation) + at(top, run)
        } else {
            phases(at(top, run))
        };
        let curve = if self.curve { CURVE_TENTHS.sum::<u64>() * at(top, self.step()) / 10 } else { 0 };
        run + curve
    }

    /// Records to prepare for that: more, since a ceiling that was measured too low must not end the run early, and much more
    /// where a record is but its head.
    pub(crate) fn prepared_count(&self, record_count: u64) -> u64 {
        let runs_on = self.attack.is_some() || self.curve || matches!(self.mode, Load::Open | Load::Overload);
        let quarters = if pool::is_pooled(self.shape) {
            8
        } else if runs_on {
            // A phase that comes first would leave too little for the one that counts.
            6
        } else {
            5
        };
        record_count.saturating_mul(quarters) / 4
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn usage<T>(words: &'static str) -> Result<T, CommandError> {
    Err(CommandError::Usage(words))
}

fn refuse(wrong: bool, words: &'static str) -> Result<(), CommandError> {
    if wrong { usage(words) } else { Ok(()) }
}

/// Large payloads are hashed by whoever appends them; small ones cost a producer next to nothing.
fn fitted_threads(mode: Load) -> u32 {
    if mode == Load::Bundles { 2 } else { 1 }
}

fn shape(bench: &Bench, mode: Load, attack: bool) -> Result<Shape, CommandError> {
    let (payload, authors) = (bench.payload_size(), bench.author_count());
    // A bundle fits a record: fewer items if they are large.
    let entry = payload as usize + annals::limits::BUNDLE_ENTRY_SIZE;
    let fitting = u16::try_from(annals::limits::PAYLOAD_SIZE_MAX / entry).unwrap_or(u16::MAX).max(1);
    refuse(
        bench.items.is_some_and(|items| fitting < items),
        "so many items of that size do not fit a record; say fewer --items, or a smaller --payload",
    )?;
    let items = if mode == Load::Bundles { bench.items.unwrap_or(ITEMS.min(fitting)) } else { 1 };
    if bench.sources.is_some_and(|sources| authors < sources) {
        return usage("an author's records go through one source; say no more --sources than --authors");
    }
    let threads = bench.producers.unwrap_or(fitted_threads(mode));
    let fitted = if attack {
        SOURCES
    } else if mode == Load::Overload {
        OVERLOAD_SOURCES.max(threads)
    } else {
        threads
    };
    let sources = bench.sources.unwrap_or(fitted).min(authors);
    Ok(Shape { payload, items, authors, sources })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::line::{Command, Line};
    use clap::Parser as _;

    fn plan(arguments: &str) -> Result<Plan, CommandError> {
        let line = Line::try_parse_from(["annals", "bench"].into_iter().chain(arguments.split_whitespace())).unwrap();
        let Command::Bench(bench) = line.command else { unreachable!("it says bench") };
        Plan::of(&bench, Load::of(bench.mode).unwrap())
    }

    #[test]
    fn what_makes_no_sense_together_is_a_usage_error() {
        for arguments in [
            "--mode records --rate 1000",
            "--mode overload --rate 1000",
            "--mode records --times 3",
            "--mode records --items 256",
            "--mode bundles --items 256 --payload 4096",
            "--mode latency --bad 10",
            "--mode bundles --nonces stale",
            "--mode records --bad 10 --nonces stale",
            "--mode records --sources 65",
            "--mode records --bad 10 --sources 1",
            "--mode records --records 10",
            "--mode open --gib 1",
        ] {
            let refused = plan(arguments).unwrap_err();
            assert!(matches!(refused, CommandError::Usage(_)), "{arguments}: {refused}");
            assert_eq!(refused.exit_code(), crate::exit::USAGE, "{arguments}");
        }
    }

    #[test]
    fn defaults_suit_the_mode() {
        let table = [
            ("--mode records", (1, 1, 1)),
            ("--mode bundles", (2, 2, 1000)),
            ("--mode bundles --items 256", (2, 2, 256)),
            ("--mode bundles --payload 1048576", (2, 2, 1)),
            ("--mode bundles --items 255 --payload 4096", (2, 2, 255)),
            ("--mode records --producers 3", (3, 3, 1)),
            ("--mode records --producers 3 --authors 2", (2, 2, 1)),
            ("--mode records --sources 8", (8, 1, 1)),
            ("--mode records --bad 1000", (8, 1, 1)),
            ("--mode overload", (4, 1, 1)),
            ("--mode open", (1, 1, 1)),
            ("--mode records --nonces stale --sources 4 --producers 2", (4, 2, 1)),
        ];
        for (arguments, expected) in table {
            let Plan { shape, threads, .. } = plan(arguments).unwrap();
            assert_eq!((shape.sources, threads, shape.items), expected, "{arguments}");
        }
    }
}
