//! The command line of `cargo xtask`, parsed by hand: some commands need no library.
//!
//! Parsing is pure: it looks neither at the file system nor at which tools are installed.

use crate::bench_guard::{Form, Options, Purpose};
use crate::ci::Step;
use crate::crash;

/// What `cargo xtask help` prints.
pub const HELP: &str = "\
cargo xtask ci [STEP...]                      all checks of the workspace, or only the named steps, in the order given below
cargo xtask tidy                              the rules of the house on every file: heads, sizes, unsafe, crate graph, words
cargo xtask fuzz [TARGET] [--seconds N]       fuzz one target, or each in turn, N seconds a target (60 unless given)
cargo xtask simulate [--seeds N] [--first S]  simulated lives of a ledger, by seed; nothing acknowledged may be lost
cargo xtask mutate [NAME]                     deliberate breaks in a copy of the tree, each to be noticed by its test
cargo xtask crash [OPTION VALUE]...           kill writers at random moments; nothing that they acknowledged may be lost
cargo xtask bench-guard [OPTION]...           `annals bench` must reach what it did of its ceilings, but for 15 per cent
cargo xtask help                              this text

Steps of ci:
  fmt         the sources are formatted
  tidy        as `cargo xtask tidy`
  clippy      no lint warns, in any target of any crate
  doc         the documentation builds without warnings
  test        `cargo test`, as the README says
  plain       core, facade and binary without the feature fast-signatures: lints, and the tests of what signatures decide
  loom        every interleaving of the lock-free ring's models
  benches     each benchmark runs once, as a test
  bench-guard as `cargo xtask bench-guard --short`
  fuzz        the fuzz targets compile
  powerloss   the tool that cuts the power compiles
  peers       the comparison with other stores is formatted and locked; check refuses what it appends without signatures
  deny        licences, sources and banned crates among the dependencies (needs cargo-deny)
  advisories  known vulnerabilities of the dependencies (needs cargo-deny and the network)
  verifier    the Python verifier takes our receipts and refuses damaged ones (needs python3, blake3, cryptography)

Options of bench-guard:
  --short            runs of 2 s, the best of up to 3, for busy machines; else medians of 5 runs of 4 s
  --record           write the baseline instead of comparing with it
  --baseline FILE    another baseline than benches/baseline.json

Options of crash:
  --rounds N         how many writers are killed (100 unless given)
  --producers P      threads that append (4 unless given)
  --device D         io_uring, pwrite, or both, which is the default
  --seed S           what records and choices follow from; random unless given

A step whose tools are not there is skipped, and the summary says so. Exit: 0 all well, 1 a finding, 64 usage.";

/// Seconds of fuzzing a target unless told otherwise.
pub const FUZZ_SECONDS_DEFAULT: u32 = 60;

/// Seeds that are simulated unless told otherwise.
pub const SEEDS_DEFAULT: u64 = 1000;

/// One task to run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// Print [`HELP`].
    Help,
    /// Run these steps of continuous integration, in this order; never empty.
    Ci {
        /// The steps.
        steps: Vec<Step>,
    },
    /// Hold the workspace against the tidy rules.
    Tidy,
    /// Simulate.
    Simulate {
        /// The first seed.
        first: u64,
        /// How many, at least 1.
        seeds: u64,
    },
    /// Make deliberate breaks, and look for the tests that notice.
    Mutate {
        /// The break, or each one in turn.
        name: Option<String>,
    },
    /// Compare what `annals bench` reaches with the baseline, or make one.
    BenchGuard(Options),
    /// Kill writers, and look for what they acknowledged.
    Crash {
        /// Options of the loop, each with its value.
        options: Vec<String>,
    },
    /// Fuzz.
    Fuzz {
        /// The target, or each one in turn.
        target: Option<String>,
        /// Seconds a target, at least 1.
        seconds: u32,
    },
}

/// Why arguments make no sense.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// There is no such command.
    #[error("there is no command {0:?}")]
    UnknownCommand(String),
    /// There is no such step of `ci`.
    #[error("ci has no step {0:?}")]
    UnknownStep(String),
    /// A command was given an argument that it does not take.
    #[error("{0:?} is not expected here")]
    Unexpected(String),
    /// `--seconds` stands without a whole number from 1 on.
    #[error("--seconds needs a whole number from 1 on, got {0:?}")]
    Seconds(String),
    /// An option has no value that it takes.
    #[error("{option} does not take {value:?}")]
    Value {
        /// The option.
        option: String,
        /// What stands behind it.
        value: String,
    },
}

impl UsageError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownCommand(_) => "usage.command",
            Self::UnknownStep(_) => "usage.step",
            Self::Unexpected(_) => "usage.unexpected",
            Self::Seconds(_) => "usage.seconds",
            Self::Value { .. } => "usage.value",
        }
    }
}

/// Parses the arguments behind the program's name.
///
/// # Errors
///
/// [`UsageError`] names the first argument that makes no sense.
pub fn parse(arguments: &[String]) -> Result<Command, UsageError> {
    let Some((command, rest)) = arguments.split_first() else { return Ok(Command::Help) };
    match command.as_str() {
        "help" | "--help" | "-h" => nothing_more(rest).map(|()| Command::Help),
        "ci" => parse_ci(rest),
        "tidy" => nothing_more(rest).map(|()| Command::Tidy),
        "simulate" => parse_simulate(rest),
        "mutate" => parse_mutate(rest),
        "crash" => parse_crash(rest),
        "bench-guard" => parse_bench_guard(rest),
        "fuzz" => parse_fuzz(rest),
        other => Err(UsageError::UnknownCommand(other.to_owned())),
    }
}

fn nothing_more(rest: &[String]) -> Result<(), UsageError> {
    rest.first().map_or(Ok(()), |argument| Err(UsageError::Unexpected(argument.clone())))
}

fn parse_ci(rest: &[String]) -> Result<Command, UsageError> {
    if rest.is_empty() {
        return Ok(Command::Ci { steps: Step::ALL.to_vec() });
    }
    let steps = rest.iter().map(|name| Step::from_name(name).ok_or_else(|| UsageError::UnknownStep(name.clone())));
    Ok(Command::Ci { steps: steps.collect::<Result<_, _>>()? })
}

fn parse_simulate(rest: &[String]) -> Result<Command, UsageError> {
    let (mut first, mut seeds) = (0, SEEDS_DEFAULT);
    for pair in rest.chunks(2) {
        let (option, value) = (pair.first().cloned().unwrap_or_default(), pair.get(1).cloned().unwrap_or_default());
        let number = value.parse::<u64>().ok();
        match (option.as_str(), number) {
            ("--first", Some(number)) => first = number,
            ("--seeds", Some(number)) if 0 < number => seeds = number,
            ("--first" | "--seeds", _) => return Err(UsageError::Value { option, value }),
            _ => return Err(UsageError::Unexpected(option)),
        }
    }
    Ok(Command::Simulate { first, seeds })
}

fn parse_mutate(rest: &[String]) -> Result<Command, UsageError> {
    match rest {
        [] => Ok(Command::Mutate { name: None }),
        [name] if !name.starts_with('-') => Ok(Command::Mutate { name: Some(name.clone()) }),
        [first, .., last] if !first.starts_with('-') => Err(UsageError::Unexpected(last.clone())),
        [first, ..] => Err(UsageError::Unexpected(first.clone())),
    }
}

fn parse_crash(rest: &[String]) -> Result<Command, UsageError> {
    for pair in rest.chunks(2) {
        let (option, value) = (pair.first().cloned().unwrap_or_default(), pair.get(1).cloned().unwrap_or_default());
        if !crash::OPTIONS.contains(&option.as_str()) {
            return Err(UsageError::Unexpected(option));
        }
        let is_taken = match option.as_str() {
            "--device" => ["io_uring", "pwrite", "both"].contains(&value.as_str()),
            "--seed" => value.parse::<u64>().is_ok(),
            _ => value.parse::<u64>().is_ok_and(|number| 0 < number),
        };
        if !is_taken {
            return Err(UsageError::Value { option, value });
        }
    }
    Ok(Command::Crash { options: rest.to_vec() })
}

fn parse_bench_guard(rest: &[String]) -> Result<Command, UsageError> {
    let (mut options, mut arguments) = (Options::default(), rest.iter());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--short" => options.form = Form::Short,
            "--record" => options.purpose = Purpose::Record,
            "--baseline" => {
                let value = arguments.next().filter(|value| !value.starts_with('-')).cloned();
                let refused = || UsageError::Value { option: argument.clone(), value: String::new() };
                options.baseline = Some(value.ok_or_else(refused)?.into());
            }
            _ => return Err(UsageError::Unexpected(argument.clone())),
        }
    }
    Ok(Command::BenchGuard(options))
}

fn parse_fuzz(rest: &[String]) -> Result<Command, UsageError> {
    let (mut target, mut seconds) = (None, FUZZ_SECONDS_DEFAULT);
    let mut arguments = rest.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--seconds" {
            let value = arguments.next().cloned().unwrap_or_default();
            seconds = value.parse().ok().filter(|n| 0 < *n).ok_or(UsageError::Seconds(value))?;
        } else if argument.starts_with('-') || target.is_some() {
            return Err(UsageError::Unexpected(argument.clone()));
        } else {
            target = Some(argument.clone());
        }
    }
    Ok(Command::Fuzz { target, seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, UsageError> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn every_form_of_the_help_parses() {
        assert_eq!(parsed(""), Ok(Command::Help));
        assert_eq!(parsed("--help"), Ok(Command::Help));
        assert_eq!(parsed("tidy"), Ok(Command::Tidy));
        assert_eq!(parsed("ci"), Ok(Command::Ci { steps: Step::ALL.to_vec() }));
        assert_eq!(parsed("ci test fmt"), Ok(Command::Ci { steps: vec![Step::Test, Step::Fmt] }));
        assert_eq!(parsed("fuzz"), Ok(Command::Fuzz { target: None, seconds: FUZZ_SECONDS_DEFAULT }));
        let one = Command::Fuzz { target: Some("record".to_owned()), seconds: 9 };
        assert_eq!(parsed("fuzz record --seconds 9"), Ok(one.clone()));
        assert_eq!(parsed("fuzz --seconds 9 record"), Ok(one));
    }

    #[test]
    fn seeds_and_breaks_are_chosen() {
        assert_eq!(parsed("simulate"), Ok(Command::Simulate { first: 0, seeds: SEEDS_DEFAULT }));
        assert_eq!(parsed("simulate --first 7 --seeds 1"), Ok(Command::Simulate { first: 7, seeds: 1 }));
        for (option, value) in [("--seeds", "0"), ("--seeds", ""), ("--first", "-1")] {
            let refused = UsageError::Value { option: option.to_owned(), value: value.to_owned() };
            assert_eq!(parsed(&format!("simulate {option} {value}")), Err(refused));
        }
        assert_eq!(parsed("simulate 7"), Err(UsageError::Unexpected("7".to_owned())));
        assert_eq!(parsed("mutate"), Ok(Command::Mutate { name: None }));
        assert_eq!(parsed("mutate a"), Ok(Command::Mutate { name: Some("a".to_owned()) }));
        assert_eq!(parsed("mutate a b"), Err(UsageError::Unexpected("b".to_owned())));
        assert_eq!(parsed("mutate --all"), Err(UsageError::Unexpected("--all".to_owned())));
    }

    #[test]
    fn options_of_crash_have_values_that_they_take() {
        let options = |line: &str| line.split_whitespace().map(str::to_owned).collect();
        for line in ["", "--rounds 9", "--device both --seed 0 --producers 2 --rounds 1"] {
            assert_eq!(parsed(&format!("crash {line}")), Ok(Command::Crash { options: options(line) }));
        }
        assert_eq!(parsed("crash --fast 1"), Err(UsageError::Unexpected("--fast".to_owned())));
        for (option, value) in [("--rounds", "0"), ("--rounds", ""), ("--device", "tape"), ("--seed", "x")] {
            let refused = UsageError::Value { option: option.to_owned(), value: value.to_owned() };
            assert_eq!(parsed(&format!("crash {option} {value}")), Err(refused));
        }
    }

    #[test]
    fn the_bench_guard_compares_unless_told_otherwise() {
        assert_eq!(parsed("bench-guard"), Ok(Command::BenchGuard(Options::default())));
        let options = Options { form: Form::Short, purpose: Purpose::Record, baseline: Some("a.json".into()) };
        assert_eq!(parsed("bench-guard --short --record --baseline a.json"), Ok(Command::BenchGuard(options)));
        assert_eq!(parsed("bench-guard --fast"), Err(UsageError::Unexpected("--fast".to_owned())));
        for line in ["bench-guard --baseline", "bench-guard --baseline --short"] {
            assert!(matches!(parsed(line), Err(UsageError::Value { .. })), "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        assert_eq!(parsed("polish"), Err(UsageError::UnknownCommand("polish".to_owned())));
        assert_eq!(parsed("ci fmt polish"), Err(UsageError::UnknownStep("polish".to_owned())));
        assert_eq!(parsed("tidy now"), Err(UsageError::Unexpected("now".to_owned())));
        assert_eq!(parsed("fuzz a b"), Err(UsageError::Unexpected("b".to_owned())));
        assert_eq!(parsed("fuzz --fast"), Err(UsageError::Unexpected("--fast".to_owned())));
        for value in ["0", "-1", "ten", ""] {
            assert_eq!(parsed(&format!("fuzz --seconds {value}")), Err(UsageError::Seconds(value.to_owned())));
        }
    }

    #[test]
    fn the_help_names_every_step() {
        for step in Step::ALL {
            assert!(HELP.contains(&format!("\n  {} ", step.name())), "{} is not in the help", step.name());
        }
    }
}
