//! `annals bench`: how fast a ledger is on this machine, beside what the machine can do at all.
//!
//! Which question it answers: how many records a second become durable and provable (records, bundles), how long a
//! lone record takes (latency), how long one takes at a rate that does not ask whether the ledger keeps up (open), and what the
//! ledger does when far more is sent than it can take (overload) or one source attacks (--bad, --nonces stale). Verification
//! and writing lie inside the clock, signing outside. The ceilings are measured in the same run. Afterwards the ledger is opened
//! again, and what was acknowledged must be there, each record once.
//!
//! ```text
//! plan      the command line, judged        workload, pool, supply  records, signed beforehand
//! rig       ledger, sources, phases         source, load, tally     appending, threads, counting
//! modes     which phases a mode has         closed, open, overload, attack, curve   how they are driven
//! ceiling   the machine's limits            afterwards, figures, report             what is said in the end
//! ```
//!
//! Modes that read a ledger are in `reading`; whole cases of a platform in `cases`.

mod afterwards;
mod answers;
mod attack;
mod cases;
mod ceiling;
mod clock;
mod closed;
mod curve;
mod figures;
mod load;
mod machine;
mod modes;
mod open;
mod overload;
mod place;
mod plan;
mod pool;
mod random;
mod reading;
mod report;
mod rig;
mod schedule;
mod source;
mod supply;
mod tally;
mod workload;

use crate::exit::CommandError;
use crate::line::{Bench, Mode};
pub(crate) use figures::Figures;
pub(crate) use plan::Load;
use plan::Plan;
use report::Report;
use std::path::Path;

pub(crate) fn run(bench: &Bench) -> Result<u8, CommandError> {
    // What makes no sense leaves no directory behind.
    match Load::of(bench.mode) {
        Some(load) => {
            Plan::of(bench, load)?;
        }
        None if bench.mode == Mode::Cases => cases::judge(bench)?,
        None => reading::judge(bench)?,
    }
    if bench.mode != Mode::Cases && bench.cases.is_some() {
        return Err(CommandError::Usage("--cases is for --mode cases; leave it out"));
    }
    // Nor shall a report that can't be written be found out after the run.
    if let Some(path) = &bench.report {
        report::check_writable(path).map_err(|source| CommandError::Write { path: path.clone(), source })?;
    }
    let scratch = match &bench.dir {
        Some(dir) => {
            std::fs::create_dir_all(dir).map_err(|source| CommandError::Write { path: dir.clone(), source })?;
            None
        }
        None => Some(tempfile::tempdir().map_err(|source| CommandError::Write { path: std::env::temp_dir(), source })?),
    };
    let scratch_path = scratch.as_ref().map(|scratch| scratch.path().to_owned());
    let dir = bench.dir.clone().or(scratch_path).unwrap_or_default();
    if bench.mode == Mode::Cases {
        return cases::run(bench, &dir);
    }
    let Some(load) = Load::of(bench.mode) else { return reading::run(bench, &dir) };
    let figures = measure(bench, load, &dir)?;
    if bench.json {
        figures.print_json()?
    } else {
        figures.print()?
    }
    if let Some(path) = &bench.report {
        let failed = |source| CommandError::Write { path: path.clone(), source };
        report::write(&report(load, figures, &dir), path).map_err(failed)?;
    }
    Ok(0)
}

/// Runs one load in a directory.
pub(crate) fn measure(bench: &Bench, load: Load, dir: &Path) -> Result<Figures, CommandError> {
    rig::measure(Plan::of(bench, load)?, dir)
}

fn report(load: Load, figures: Figures, dir: &Path) -> Report {
    let arguments: Vec<_> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let Figures { summary, device, over_time, highlights, quantiles, load_curve, verify_records_per_s, .. } = figures;
    // A lone record waits for the disk, and a bundle is mostly payload: neither comes near it.
    let is_near = matches!(load, Load::Records | Load::Open | Load::Overload);
    Report {
        title: format!("annals bench: {}", figures::name(load)),
        question: figures::question(load).to_owned(),
        highlights,
        ceiling_per_s: is_near.then_some(verify_records_per_s),
        command: format!("annals {}", arguments.join(" ")),
        machine: machine::facts(dir, device),
        summary,
        over_time,
        quantiles,
        load_curve,
    }
}
