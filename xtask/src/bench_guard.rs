//! The bench guard: what `annals bench` reaches of its ceilings must not fall behind the last landed baseline.
//!
//! Absolute figures belong to a machine and an hour; the ratio to a ceiling of the same run is what is compared, and a ratio
//! that is worse by more than [`compare::WORSE_PERCENT_MAX`] is a finding. The long form takes medians of five runs of four seconds,
//! for an idle machine and for `--record`. The short form, for continuous integration beside neighbours, runs each mode for two
//! seconds and tries it again, three times at most, while it looks worse; the best try counts. So it finds what is always
//! slower, and misses what is only sometimes.
//!
//! Three things keep a ratio from being judged, and each is said: a baseline of another machine kind; one that was measured while
//! others had the processors, since its ceilings then suffered otherwise than its figures; and others that had more than
//! [`machine::OTHERS_PERCENT_MAX`] of the processors during each of a mode's runs. A ceiling is measured in other seconds than what is
//! compared with it: beside compilers, ratios of records lay between 0.27 and 0.64 on a machine that reaches 0.58 at rest.
//! Of `annals bench`'s answer only the fields `mode`, `records_per_s`, `ratio_to_ceiling` and `ceiling` are read.

pub mod baseline;
pub mod compare;
pub mod machine;

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::TaskError;
use crate::shell::{self, Invocation};
use crate::workspace;
use baseline::{Baseline, Measured};
use compare::{Mode, Verdict, best, judge, median};
use machine::{Kind, Usage};

/// Where the last landed baseline stands, from the workspace's root.
pub const BASELINE_PATH: &str = "benches/baseline.json";

/// How much is measured.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Form {
    /// Medians of five runs of four seconds.
    #[default]
    Long,
    /// The best of up to three runs of two seconds.
    Short,
}

impl Form {
    /// Seconds of a run.
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Long => 4,
            Self::Short => 2,
        }
    }

    /// Runs of a mode, at most.
    pub const fn runs_max(self) -> usize {
        match self {
            Self::Long => 5,
            Self::Short => 3,
        }
    }
}

/// What is done with the figures.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Purpose {
    /// They are compared with the baseline.
    #[default]
    Compare,
    /// They become the baseline.
    Record,
}

/// What `bench-guard` was asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Options {
    /// How much is measured.
    pub form: Form,
    /// What is done with the figures.
    pub purpose: Purpose,
    /// Another baseline than the landed one.
    pub baseline: Option<PathBuf>,
}

/// Measures, and compares or records; `true` says that nothing is worse.
///
/// # Errors
///
/// [`TaskError`] if `annals bench` cannot be run or gives no figure, or there is no baseline to compare with.
pub fn run(root: &Path, options: &Options, out: &mut dyn Write) -> Result<bool, TaskError> {
    let path = options.baseline.clone().unwrap_or_else(|| root.join(BASELINE_PATH));
    // Looked at first: nobody should wait for figures that there is nothing to compare with.
    let baseline = match options.purpose {
        Purpose::Compare => Some(Baseline::read(&path)?),
        Purpose::Record => None,
    };
    let kind = Kind::of_this_machine()?;
    let unfit = baseline.as_ref().and_then(|baseline| baseline.unfit_for(&kind));
    if let Some((baseline, unfit)) = baseline.as_ref().zip(unfit) {
        say(out, &format!("{}: figures are shown, not judged", baseline.complaint(unfit, &kind)))?;
    }
    let bench = Bench::prepare(root, options.form, out)?;
    let (mut measured, mut is_well, mut others) = (Vec::new(), true, Usage::default());
    for mode in Mode::ALL {
        let landed = baseline.as_ref().map(|baseline| baseline.of(mode)).transpose()?;
        let is_enough = |ratio| landed.is_some_and(|landed| unfit.is_some() || mode.holds(landed.ratio, ratio));
        let Tried { figures, others_least, others_most } = bench.measure(mode, &is_enough)?;
        others = others.max(others_most);
        if let Some(landed) = landed {
            let verdict = judge(mode, landed.ratio, figures.ratio, unfit, others_least);
            is_well &= !matches!(verdict, Verdict::Worse);
            say(out, &compare::line(mode, landed.ratio, figures.ratio, verdict))?;
        } else {
            say(out, &format!("{:<8} {} of its ceiling", mode.name(), figures.ratio))?;
        }
        measured.push(figures);
    }
    if options.purpose == Purpose::Record {
        // Rounded up, so that a baseline that is called busy here is one when it is read, too.
        let others_percent = others.others_percent.ceil();
        Baseline { kind, form: options.form, others_percent, measured }.write(&path)?;
        if others.is_busy() {
            say(out, &format!("others had up to {others_percent} % of the processors: record again when they rest"))?;
        }
        say(out, &format!("wrote {}; it is the baseline once it has landed", path.display()))?;
    }
    Ok(is_well)
}

fn say(out: &mut dyn Write, line: &str) -> Result<(), TaskError> {
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(TaskError::Output)
}

/// What the runs of a mode came to.
struct Tried {
    /// The run that counts.
    figures: Measured,
    /// What others had of the processors in the quietest run: a ratio that is worse there too is nobody else's fault.
    others_least: Usage,
    /// And in the busiest.
    others_most: Usage,
}

impl Tried {
    /// Of all runs of a mode, and what others had during each; none if there was no run.
    fn of(form: Form, mode: Mode, runs: &[Measured], others: &[Usage]) -> Option<Self> {
        let chosen = match form {
            Form::Long => median(runs),
            Form::Short => best(mode, runs),
        };
        let others_most = others.iter().copied().fold(Usage::default(), Usage::max);
        let others_least = others.iter().copied().fold(others_most, Usage::min);
        Some(Self { figures: chosen?.clone(), others_least, others_most })
    }
}

/// `annals bench`, built, with a directory for the records that it signs in advance.
struct Bench<'a> {
    root: &'a Path,
    form: Form,
    directory: PathBuf,
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        // Gigabytes of signed records; what cannot be removed lies in cargo's own directory.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl<'a> Bench<'a> {
    fn prepare(root: &'a Path, form: Form, out: &mut dyn Write) -> Result<Self, TaskError> {
        let directory = workspace::graph(root, "Cargo.toml")?.target_directory.join("bench-guard");
        let build = Invocation::new("cargo", &["build", "--release", "--package", "annals-node"]);
        say(out, &format!("$ {}", build.line()))?;
        if !shell::run(root, &build)? {
            return Err(TaskError::Failed { program: "cargo build", exit_code: None });
        }
        Ok(Self { root, form, directory })
    }

    /// Runs a mode as often as the form has it.
    fn measure(&self, mode: Mode, is_enough: &dyn Fn(f64) -> bool) -> Result<Tried, TaskError> {
        let (mut runs, mut others) = (Vec::new(), Vec::new());
        while runs.len() < self.form.runs_max() {
            let before = machine::Ticks::now()?;
            runs.push(self.run_once(mode)?);
            others.push(before.until(machine::Ticks::now()?));
            // The short form is content with the first try that holds.
            if self.form == Form::Short && best(mode, &runs).is_some_and(|best| is_enough(best.ratio)) {
                break;
            }
        }
        Tried::of(self.form, mode, &runs, &others).ok_or(TaskError::Bench { missing: "a run" })
    }

    fn run_once(&self, mode: Mode) -> Result<Measured, TaskError> {
        let invocation = command(mode, self.form, &self.directory);
        let arguments: Vec<&str> = invocation.arguments.iter().map(String::as_str).collect();
        // What it says of a failure is for whoever started the guard.
        Measured::parse(mode, &shell::output(self.root, invocation.program, &arguments)?)
    }
}

fn command(mode: Mode, form: Form, directory: &Path) -> Invocation {
    let (seconds, directory) = (form.seconds().to_string(), directory.to_string_lossy());
    let run = ["run", "--quiet", "--release", "--package", "annals-node", "--"];
    let bench = ["bench", "--mode", mode.name(), "--seconds", &seconds, "--json", "--dir", &directory];
    Invocation::new("cargo", &[&run[..], &bench].concat())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_command_can_be_typed() {
        assert_eq!(
            command(Mode::Latency, Form::Short, Path::new("/t/bench-guard")).line(),
            "cargo run --quiet --release --package annals-node -- \
             bench --mode latency --seconds 2 --json --dir /t/bench-guard"
        );
    }

    #[test]
    fn the_quietest_run_excuses_and_the_busiest_is_recorded() {
        let runs = [0.5, 0.7, 0.6].map(Measured::for_test);
        let others = [20.0, 5.0, 40.0].map(|others_percent| Usage { others_percent });
        for (form, ratio) in [(Form::Long, 0.6), (Form::Short, 0.7)] {
            let tried = Tried::of(form, Mode::Records, &runs, &others).unwrap();
            let percents = (tried.others_least.others_percent, tried.others_most.others_percent);
            assert_eq!((tried.figures.ratio, percents), (ratio, (5.0, 40.0)), "{form:?}");
        }
        assert!(Tried::of(Form::Long, Mode::Records, &[], &[]).is_none());
    }

    #[test]
    fn without_a_baseline_nothing_is_built() {
        let options = Options { baseline: Some("/nowhere/baseline.json".into()), ..Options::default() };
        let mut out = Vec::new();
        let refused = run(&workspace::root(), &options, &mut out);
        assert!(matches!(refused, Err(TaskError::Baseline { .. })), "{refused:?}");
        assert!(out.is_empty());
    }
}
