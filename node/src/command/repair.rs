//! `annals repair`: what is derived is made again, and leftovers are removed.

use super::progress::Progress;
use crate::exit::{CommandError, NEGATIVE};
use annals::{DamagedSegment, RepairReport, repair_ledger};
use serde_json::json;
use std::io::Write as _;
use std::path::Path;

pub(crate) fn run(dir: &Path, as_json: bool) -> Result<u8, CommandError> {
    let mut progress = Progress::bytes("repairing");
    let repaired = repair_ledger(dir, &mut |done, total| progress.set(done, total));
    progress.finish();
    let report = repaired?;
    if as_json {
        print_json(&report)?
    } else {
        print(&report)?
    }
    Ok(if report.damaged.is_empty() { 0 } else { NEGATIVE })
}

fn print_json(report: &RepairReport) -> Result<(), CommandError> {
    let damaged = |it: &DamagedSegment| {
        json!({
            "segment": it.segment,
            "offset": it.offset(),
            "code": it.cause.code(),
            "message": it.cause.to_string(),
            "advice": it.advice(),
        })
    };
    let object = json!({
        "ledger": report.ledger.to_string(),
        "segments": report.segments,
        "indexes_sound": report.indexes_sound,
        "indexes_made": report.indexes_made,
        "removed": report.removed,
        "damaged": report.damaged.iter().map(damaged).collect::<Vec<_>>(),
    });
    Ok(writeln!(std::io::stdout(), "{object}")?)
}

fn print(report: &RepairReport) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    for path in &report.removed {
        writeln!(out, "removed {}, left behind by broken work", path.display())?;
    }
    for segment in &report.indexes_made {
        writeln!(out, "made the index of segment {segment} again")?;
    }
    for damaged in &report.damaged {
        writeln!(out, "segment {}: {}; {}", damaged.segment, damaged.cause, damaged.advice())?;
    }
    let RepairReport { segments, indexes_sound, indexes_made, damaged, .. } = report;
    let (made, damaged) = (indexes_made.len(), damaged.len());
    writeln!(
        out,
        "{segments} closed segments: {indexes_sound} indexes sound, {made} made again, {damaged} segments damaged"
    )?;
    Ok(())
}
