//! `annals scenario run`: requirements, run.
//!
//! Every file is read before the first is run, so that a fault in one is told at once. As many run at a time as there are cores, each in
//! a temporary directory of its own that is removed behind it.

mod report;

use super::put;
use crate::exit::{CommandError, NEGATIVE};
use crate::line::ScenarioRun;
use annals_contracts::Service;
use annals_contracts::scenario::{Report, Scenario, find};
use serde_json::{Value, json};
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Scenarios that run at once at most: each is a ledger with threads of its own.
const THREADS_MAX: usize = 8;

#[expect(clippy::disallowed_methods, reason = "the front end's edge: how long it took is told")]
pub(crate) fn run(run: &ScenarioRun) -> Result<u8, CommandError> {
    if let Some(path) = run.report.as_ref().filter(|path| path.symlink_metadata().is_ok()) {
        return Err(CommandError::Exists(path.clone()));
    }
    let scenarios = read(run)?;
    let since = Instant::now();
    let reports = run_all(&scenarios)?;
    let duration = since.elapsed();
    let passed = reports.iter().filter(|report| report.passed()).count();
    if let Some(path) = &run.report {
        put(Some(path), report::markdown(&reports).as_bytes())?;
    }
    let mut out = std::io::stdout().lock();
    if run.json {
        let scenarios: Vec<_> = reports.iter().map(as_json).collect();
        let object = json!({
            "scenarios": scenarios,
            "passed": passed,
            "failed": reports.len() - passed,
            "seconds": duration.as_secs_f64(),
        });
        writeln!(out, "{object}")?;
    } else {
        for report in &reports {
            say(&mut out, report)?;
        }
        let (seconds, steps) =
            (super::check::seconds(duration), reports.iter().map(|it| it.steps_passed).sum::<usize>());
        writeln!(out, "{passed} of {} scenarios pass, {steps} steps, in {seconds} s", reports.len())?;
    }
    Ok(if passed == reports.len() { 0 } else { NEGATIVE })
}

/// The scenarios of all paths, each once, with the service that it runs on.
fn read(run: &ScenarioRun) -> Result<Vec<(Scenario, Service)>, CommandError> {
    let given = run.service.as_deref().map(super::services::find).transpose()?;
    let (mut scenarios, mut seen) = (Vec::new(), std::collections::BTreeSet::new());
    for path in &run.paths {
        let found = find(path)?;
        if found.is_empty() {
            return Err(CommandError::NoScenario(path.clone()));
        }
        for path in found.into_iter().filter(|path| seen.insert(path.clone())) {
            let scenario = Scenario::read(&path)?;
            let service = match &given {
                Some(service) => service.clone(),
                None => scenario.read_service()?,
            };
            scenarios.push((scenario, service));
        }
    }
    Ok(scenarios)
}

/// Runs all of them; the reports are in their order.
fn run_all(scenarios: &[(Scenario, Service)]) -> Result<Vec<Report>, CommandError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX).min(scenarios.len());
    let (next, reports) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || -> Result<(), CommandError> {
        while let Some((number, (scenario, service))) = taken(scenarios, &next) {
            let failed = |source| CommandError::Write { path: std::env::temp_dir(), source };
            let directory = tempfile::tempdir().map_err(failed)?;
            let report = scenario.run(service, directory.path());
            reports.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((number, report));
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        // A thread that panicked has a bug of ours to tell; it goes on here.
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    let mut reports = reports.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    reports.sort_by_key(|(number, _)| *number);
    Ok(reports.into_iter().map(|(_, report)| report).collect())
}

fn taken<'a, T>(items: &'a [T], next: &AtomicUsize) -> Option<(usize, &'a T)> {
    // Relaxed: a number is given once, and what it stands for was there before the threads.
    let number = next.fetch_add(1, Ordering::Relaxed);
    items.get(number).map(|item| (number, item))
}

fn say(out: &mut impl std::io::Write, report: &Report) -> Result<(), CommandError> {
    let (rows, title) = (report.rows.join(" "), &report.title);
    match &report.failure {
        None => writeln!(out, "{rows:<8} PASS  {title}")?,
        Some(failure) => {
            writeln!(out, "{rows:<8} FAIL  {title}\n  {}, {failure}", report.path.display())?;
        }
    }
    Ok(())
}

fn as_json(report: &Report) -> Value {
    let failure = report.failure.as_ref().map(|failure| {
        json!({
            "step": failure.step,
            "line": failure.line,
            "sentence": {"zh": failure.sentence.zh, "en": failure.sentence.en},
            "expected": failure.expected,
            "got": failure.got,
        })
    });
    json!({
        "rows": report.rows,
        "title": {"zh": report.title.zh, "en": report.title.en},
        "path": report.path.display().to_string(),
        "passed": report.passed(),
        "steps": report.sentences.len(),
        "steps_passed": report.steps_passed,
        "failure": failure,
    })
}
