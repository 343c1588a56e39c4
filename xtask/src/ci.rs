//! Continuous integration: an ordered list of steps, each planned from facts and then run.
//!
//! A failed step does not stop the ones after it, so one run shows all there is to mend. A step whose tools or files are
//! not there is *skipped* and says why, in its place and again in the summary: silence never means that a check was made.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::TaskError;
use crate::shell::{self, Invocation};
use crate::{bench_guard, tidy, workspace};

/// One step of continuous integration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// The sources are formatted.
    Fmt,
    /// The tidy rules hold.
    Tidy,
    /// No lint warns, in any target of any crate.
    Clippy,
    /// The documentation builds without warnings.
    Doc,
    /// `cargo test`, exactly as the README says it.
    Test,
    /// What an embedder gets who turns no feature on: lints, signatures, and a ledger, without `fast-signatures`.
    Plain,
    /// The loom models of the ordering crate.
    Loom,
    /// Each benchmark runs once, as a test.
    Benches,
    /// `annals bench` reaches of its ceilings what the baseline says.
    BenchGuard,
    /// The fuzz targets compile; `cargo test` replays their seeds.
    Fuzz,
    /// The tool that cuts the power compiles; running it takes root.
    Powerloss,
    /// The comparison with other stores is formatted and its lock fits; what it appends without signatures, check refuses.
    Peers,
    /// Licences, sources and banned crates among the dependencies.
    Deny,
    /// Known vulnerabilities of the dependencies.
    Advisories,
    /// The Python verifier takes our receipts and refuses damaged ones.
    Verifier,
}

impl Step {
    /// All steps, in the order in which they run: the quick ones first.
    pub const ALL: [Self; 15] = [
        Self::Fmt,
        Self::Tidy,
        Self::Clippy,
        Self::Doc,
        Self::Test,
        Self::Plain,
        Self::Loom,
        Self::Benches,
        Self::BenchGuard,
        Self::Fuzz,
        Self::Powerloss,
        Self::Peers,
        Self::Deny,
        Self::Advisories,
        Self::Verifier,
    ];

    /// The name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Tidy => "tidy",
            Self::Clippy => "clippy",
            Self::Doc => "doc",
            Self::Test => "test",
            Self::Plain => "plain",
            Self::Loom => "loom",
            Self::Benches => "benches",
            Self::BenchGuard => "bench-guard",
            Self::Fuzz => "fuzz",
            Self::Powerloss => "powerloss",
            Self::Peers => "peers",
            Self::Deny => "deny",
            Self::Advisories => "advisories",
            Self::Verifier => "verifier",
        }
    }

    /// The step of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }
}

/// What the plan of a step depends on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Facts {
    /// Where cargo builds.
    pub target_directory: PathBuf,
    /// `ordering/tests/loom.rs` is there.
    pub has_loom_models: bool,
    /// `benches/benches/` is there.
    pub has_benches: bool,
    /// `benches/baseline.json` is there.
    pub has_baseline: bool,
    /// `fuzz/Cargo.toml` is there.
    pub has_fuzz_targets: bool,
    /// `tools/powerloss/Cargo.toml` is there.
    pub has_powerloss: bool,
    /// `benches/peers/Cargo.toml` is there.
    pub has_peers: bool,
    /// A C++ compiler works; libFuzzer's runtime is C++.
    pub has_cpp_compiler: bool,
    /// `cargo deny` works.
    pub has_cargo_deny: bool,
    /// The advisory database could be fetched; only looked at if that step is asked for, since it asks the network.
    pub has_advisory_database: bool,
    /// `python3` works and can import `blake3` and `cryptography`.
    pub has_python_packages: bool,
}

impl Facts {
    /// Looks at the workspace at `root` and at this machine, for the sake of `steps`.
    ///
    /// # Errors
    ///
    /// [`TaskError`] if cargo cannot describe the workspace.
    pub fn gather(root: &Path, steps: &[Step]) -> Result<Self, TaskError> {
        let has_cargo_deny = shell::works(root, "cargo", &["deny", "--version"]);
        let asks_database = has_cargo_deny && steps.contains(&Step::Advisories);
        Ok(Self {
            target_directory: workspace::graph(root, "Cargo.toml")?.target_directory,
            has_loom_models: root.join("ordering/tests/loom.rs").is_file(),
            has_benches: root.join("benches/benches").is_dir(),
            has_baseline: root.join(bench_guard::BASELINE_PATH).is_file(),
            has_fuzz_targets: root.join("fuzz/Cargo.toml").is_file(),
            has_powerloss: root.join("tools/powerloss/Cargo.toml").is_file(),
            has_peers: root.join("benches/peers/Cargo.toml").is_file(),
            has_cpp_compiler: shell::works(root, "c++", &["--version"]),
            has_cargo_deny,
            has_advisory_database: asks_database && shell::works(root, "cargo", &["deny", "fetch", "db"]),
            has_python_packages: shell::works(root, "python3", &["-c", "import blake3, cryptography"]),
        })
    }
}

/// What a step is going to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Plan {
    /// Run these programs, one after the other, up to the first that fails.
    Run(Vec<Invocation>),
    /// Hold the workspace against the tidy rules, in this process.
    Tidy,
    /// Compare figures with the baseline, in this process, in the short form.
    BenchGuard,
    /// Nothing, for this reason.
    Skip(&'static str),
}

/// Plans one step from what is there.
pub fn plan(step: Step, facts: &Facts) -> Plan {
    let cargo = |arguments: &[&str]| Invocation::new("cargo", arguments);
    match step {
        Step::Fmt => Plan::Run(vec![cargo(&["fmt", "--all", "--check"])]),
        Step::Tidy => Plan::Tidy,
        Step::Clippy => Plan::Run(vec![cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])]),
        Step::Doc => Plan::Run(vec![cargo(&["doc", "--workspace", "--no-deps"]).with("RUSTDOCFLAGS", "-D warnings")]),
        Step::Test => Plan::Run(vec![cargo(&["test"])]),
        Step::Plain => Plan::Run(plain()),
        Step::Loom if !facts.has_loom_models => Plan::Skip("ordering/tests/loom.rs is not there"),
        Step::Loom => Plan::Run(vec![loom(facts)]),
        Step::Benches if !facts.has_benches => Plan::Skip("benches/benches is not there"),
        // Without cargo's `--bench`, criterion runs each benchmark once and measures nothing.
        Step::Benches => Plan::Run(vec![cargo(&["test", "--package", "annals-benches", "--benches"])]),
        Step::BenchGuard if !facts.has_baseline => {
            Plan::Skip("benches/baseline.json is not there (cargo xtask bench-guard --record, on an idle machine)")
        }
        Step::BenchGuard => Plan::BenchGuard,
        Step::Fuzz if !facts.has_fuzz_targets => Plan::Skip("fuzz/Cargo.toml is not there"),
        Step::Fuzz if !facts.has_cpp_compiler => Plan::Skip("no C++ compiler, which libFuzzer's runtime needs"),
        Step::Fuzz => Plan::Run(vec![cargo(&["check", "--manifest-path", "fuzz/Cargo.toml"])]),
        Step::Powerloss if !facts.has_powerloss => Plan::Skip("tools/powerloss/Cargo.toml is not there"),
        Step::Powerloss => {
            Plan::Run(vec![cargo(&["check", "--all-targets", "--manifest-path", "tools/powerloss/Cargo.toml"])])
        }
        Step::Peers if !facts.has_peers => Plan::Skip("benches/peers/Cargo.toml is not there"),
        Step::Peers => Plan::Run(peers()),
        Step::Deny | Step::Advisories if !facts.has_cargo_deny => {
            Plan::Skip("cargo-deny is not installed (cargo install cargo-deny --locked)")
        }
        Step::Deny => Plan::Run(vec![cargo(&["deny", "check", "bans", "licenses", "sources"])]),
        Step::Advisories if !facts.has_advisory_database => Plan::Skip("the advisory database cannot be fetched"),
        // It has just been fetched.
        Step::Advisories => Plan::Run(vec![cargo(&["deny", "check", "--disable-fetch", "advisories"])]),
        Step::Verifier if !facts.has_python_packages => {
            Plan::Skip("no python3 with blake3 and cryptography (pip install -r tools/requirements.txt)")
        }
        Step::Verifier => Plan::Run(verifier(facts)),
    }
}

/// Every other step builds with the binary, whose default feature cargo then gives to the libraries too. Run is what the
/// library of signatures can spoil: its acceptance rule, the batches of the engine, and a ledger from the command line.
fn plain() -> Vec<Invocation> {
    let cargo = |arguments: &[&[&str]]| Invocation::new("cargo", &arguments.concat());
    let product = ["--package", "annals-core", "--package", "annals", "--package", "annals-node"];
    let without = ["--no-default-features"];
    vec![
        cargo(&[&["clippy"], &product, &without, &["--all-targets", "--", "-D", "warnings"]]),
        cargo(&[&["test", "--quiet", "--package", "annals-core", "--lib", "--test", "equation"], &without]),
        cargo(&[
            &["test", "--quiet", "--package", "annals", "--test", "integration"],
            &without,
            &["--", "forged", "refusals"],
        ]),
        cargo(&[&["test", "--quiet", "--package", "annals-node", "--test", "cli"], &without]),
    ]
}

/// The loom models, in a directory of their own: another `--cfg` would rebuild everything else each time.
fn loom(facts: &Facts) -> Invocation {
    Invocation::new("cargo", &["test", "--package", "annals-ordering", "--release", "--test", "loom"])
        .with("RUSTFLAGS", "--cfg loom")
        .with("CARGO_TARGET_DIR", facts.target_directory.join("loom").to_string_lossy())
}

/// Its stores take minutes to compile, so it is not built; the call that it alone uses is.
fn peers() -> Vec<Invocation> {
    let manifest = ["--manifest-path", "benches/peers/Cargo.toml"];
    let unverified = ["--package", "annals", "--lib", "--features", "bench-unverified"];
    let cargo = |arguments: &[&[&str]]| Invocation::new("cargo", &arguments.concat());
    vec![
        cargo(&[&["fmt", "--check"], &manifest]),
        cargo(&[&["tree", "--quiet", "--locked", "--depth", "0"], &manifest]),
        cargo(&[&["clippy"], &unverified, &["--", "-D", "warnings"]]),
        cargo(&[&["test", "--quiet"], &unverified, &["--", "unverified"]]),
    ]
}

fn verifier(facts: &Facts) -> Vec<Invocation> {
    let binary = facts.target_directory.join("debug/annals");
    vec![
        Invocation::new("cargo", &["build", "--package", "annals-node"]),
        Invocation::new("python3", &["tools/test_verify_receipt.py", &binary.to_string_lossy()]),
    ]
}

/// How a step ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    Ok,
    Failed,
    Skipped(&'static str),
}

/// Runs `steps` in the workspace at `root` and reports each to `out`; `true` says that none failed.
///
/// # Errors
///
/// [`TaskError`] if the workspace cannot be described, the report cannot be written, or a program cannot be started.
pub fn run(root: &Path, steps: &[Step], out: &mut dyn Write) -> Result<bool, TaskError> {
    let facts = Facts::gather(root, steps)?;
    let mut results = Vec::new();
    for step in steps {
        let started = shell::now();
        writeln!(out, "\n=== {}", step.name()).map_err(TaskError::Output)?;
        let outcome = execute(root, &plan(*step, &facts), out)?;
        let result = (*step, outcome, started.elapsed());
        writeln!(out, "=== {}", line(&result)).map_err(TaskError::Output)?;
        results.push(result);
    }
    summarise(&results, out).map_err(TaskError::Output)?;
    Ok(results.iter().all(|(_, outcome, _)| *outcome != Outcome::Failed))
}

/// Carries one plan out.
fn execute(root: &Path, plan: &Plan, out: &mut dyn Write) -> Result<Outcome, TaskError> {
    let invocations = match plan {
        Plan::Skip(reason) => return Ok(Outcome::Skipped(reason)),
        Plan::Tidy => {
            let findings = tidy::check(root)?;
            tidy::report(&findings, out).map_err(TaskError::Output)?;
            return Ok(if findings.is_empty() { Outcome::Ok } else { Outcome::Failed });
        }
        Plan::BenchGuard => {
            let options = bench_guard::Options { form: bench_guard::Form::Short, ..bench_guard::Options::default() };
            return Ok(if bench_guard::run(root, &options, out)? { Outcome::Ok } else { Outcome::Failed });
        }
        Plan::Run(invocations) => invocations,
    };
    for invocation in invocations {
        writeln!(out, "$ {}", invocation.line()).and_then(|()| out.flush()).map_err(TaskError::Output)?;
        if !shell::run(root, invocation)? {
            return Ok(Outcome::Failed);
        }
    }
    Ok(Outcome::Ok)
}

/// One line of report: name, outcome, duration.
fn line((step, outcome, took): &(Step, Outcome, Duration)) -> String {
    let name = step.name();
    match outcome {
        Outcome::Ok => format!("{name:<11} ok       {took:.1?}"),
        Outcome::Failed => format!("{name:<11} FAILED   {took:.1?}   again: cargo xtask ci {name}"),
        Outcome::Skipped(reason) => format!("{name:<11} skipped  {reason}"),
    }
}

fn summarise(results: &[(Step, Outcome, Duration)], out: &mut dyn Write) -> io::Result<()> {
    let total: Duration = results.iter().map(|(_, _, took)| *took).sum();
    writeln!(out, "\n=== summary, {total:.1?}")?;
    results.iter().try_for_each(|result| writeln!(out, "{}", line(result)))?;
    out.flush()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    fn everything() -> Facts {
        Facts {
            target_directory: "/t".into(),
            has_loom_models: true,
            has_benches: true,
            has_baseline: true,
            has_fuzz_targets: true,
            has_powerloss: true,
            has_peers: true,
            has_cpp_compiler: true,
            has_cargo_deny: true,
            has_advisory_database: true,
            has_python_packages: true,
        }
    }

    fn lines(step: Step, facts: &Facts) -> Vec<String> {
        match plan(step, facts) {
            Plan::Run(invocations) => invocations.iter().map(Invocation::line).collect(),
            Plan::Tidy | Plan::BenchGuard | Plan::Skip(_) => Vec::new(),
        }
    }

    #[test]
    fn names_are_distinct_and_lead_back() {
        for step in Step::ALL {
            assert_eq!(Step::from_name(step.name()), Some(step));
        }
        assert_eq!(Step::from_name("polish"), None);
    }

    #[test]
    fn with_everything_there_no_step_is_skipped() {
        for step in Step::ALL {
            assert!(!matches!(plan(step, &everything()), Plan::Skip(_)), "{} is skipped", step.name());
        }
        assert_eq!(lines(Step::Test, &everything()), ["cargo test"], "the README's command, exactly");
        for line in lines(Step::Plain, &everything()) {
            assert!(line.contains(" --no-default-features") && !line.contains("fast-signatures"), "{line}");
            // Others of the workspace, benches above all, would bring the feature back.
            assert!(line.contains(" --package ") && !line.contains("--workspace"), "{line}");
        }
        let loom = "RUSTFLAGS='--cfg loom' CARGO_TARGET_DIR=/t/loom \
                    cargo test --package annals-ordering --release --test loom";
        assert_eq!(lines(Step::Loom, &everything()), [loom]);
        assert_eq!(
            lines(Step::Verifier, &everything()),
            ["cargo build --package annals-node", "python3 tools/test_verify_receipt.py /t/debug/annals"]
        );
    }

    #[test]
    fn what_is_not_there_is_skipped_with_a_reason() {
        let skipped = |step| matches!(plan(step, &Facts::default()), Plan::Skip(reason) if !reason.is_empty());
        let optional = [
            Step::Loom,
            Step::Benches,
            Step::BenchGuard,
            Step::Fuzz,
            Step::Powerloss,
            Step::Peers,
            Step::Deny,
            Step::Advisories,
            Step::Verifier,
        ];
        for step in Step::ALL {
            assert_eq!(skipped(step), optional.contains(&step), "{}", step.name());
        }
    }

    #[test]
    fn a_failing_program_fails_the_step_and_stops_it() {
        let mut out = Vec::new();
        let plan = Plan::Run(vec![Invocation::new("false", &[]), Invocation::new("no-such-program-anywhere", &[])]);
        assert_eq!(execute(Path::new("."), &plan, &mut out).unwrap(), Outcome::Failed);
        let plan = Plan::Run(vec![Invocation::new("true", &[])]);
        assert_eq!(execute(Path::new("."), &plan, &mut out).unwrap(), Outcome::Ok);
        assert_eq!(String::from_utf8(out).unwrap(), "$ false\n$ true\n");
    }

    #[test]
    fn the_summary_says_what_was_skipped_and_how_to_run_a_failed_step_again() {
        let second = Duration::from_secs(1);
        let results = [
            (Step::Fmt, Outcome::Ok, second),
            (Step::Test, Outcome::Failed, second),
            (Step::Deny, Outcome::Skipped("no tool"), Duration::ZERO),
        ];
        let mut out = Vec::new();
        summarise(&results, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "\n=== summary, 2.0s\n\
             fmt         ok       1.0s\n\
             test        FAILED   1.0s   again: cargo xtask ci test\n\
             deny        skipped  no tool\n"
        );
    }
}
