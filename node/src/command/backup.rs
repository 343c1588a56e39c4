//! `annals backup` and `annals restore`: a ledger's durable prefix to another place, and back.

use super::open_to_read;
use super::progress::Progress;
use super::reopen::note;
use crate::exit::CommandError;
use crate::line::Restore;
use annals::Restoring;
use serde_json::json;
use std::io::Write as _;
use std::path::Path;

pub(crate) fn back_up(dir: &Path, out: &Path, as_json: bool) -> Result<u8, CommandError> {
    // Without a writer, what a crash has left at the very end is recovered first, so that it is part of the backup.
    drop(open_to_read(dir)?);
    let mut progress = Progress::bytes("backing up");
    let result = annals::backup(dir, out, &mut |done, total| progress.set(done, total));
    progress.finish();
    let report = result?;
    let mut stdout = std::io::stdout().lock();
    if as_json {
        let object = json!({
            "ledger": report.ledger.to_string(),
            "size": report.size,
            "segments": report.segments,
            "segments_kept": report.segments_kept,
            "bytes_copied": report.bytes_copied,
            "bytes_kept": report.bytes_kept,
            "checkpoint": {"size": report.checkpoint.size, "root": report.checkpoint.root.to_string()},
        });
        writeln!(stdout, "{object}")?;
        return Ok(0);
    }
    writeln!(
        stdout,
        "{} records in {} segments; {} bytes copied, {} segments of {} bytes kept; checkpoint of {} records, root {}",
        report.size,
        report.segments,
        report.bytes_copied,
        report.segments_kept,
        report.bytes_kept,
        report.checkpoint.size,
        report.checkpoint.root
    )?;
    say!("annals: the ledger key is not part of it; keep a copy of that elsewhere");
    Ok(0)
}

pub(crate) fn restore(restore: &Restore) -> Result<u8, CommandError> {
    let Restore { out, dir, ledger_key, continue_after, accept_clock, json: as_json } = restore;
    let continue_after = continue_after.as_deref().map(note).transpose()?;
    let restoring = Restoring { ledger_key: ledger_key.clone(), continue_after, accept_clock: *accept_clock };
    let mut progress = Progress::bytes("restoring");
    let result = annals::restore(out, dir, &restoring, &mut |done, total| progress.set(done, total));
    progress.finish();
    let report = result?;
    let mut stdout = std::io::stdout().lock();
    if *as_json {
        let object = json!({
            "ledger": report.ledger.to_string(),
            "size": report.size,
            "segments": report.segments,
            "bytes": report.bytes,
            "checkpoint": {"size": report.checkpoint.size, "root": report.checkpoint.root.to_string()},
            "reopened": report.reopened,
        });
        writeln!(stdout, "{object}")?;
    } else {
        let (size, root) = (report.checkpoint.size, report.checkpoint.root);
        writeln!(
            stdout,
            "{} records in {} segments, {} bytes; checkpoint of {size} records, root {root}",
            report.size, report.segments, report.bytes
        )?;
    }
    let dir = dir.display();
    match report.reopened.first() {
        Some(seq) => say!("annals: {dir} goes on; record {seq} says from where"),
        None => say!(
            "annals: {dir} is read-only; go on with `annals reopen {dir} --continue-after CHECKPOINT`, the newest that anybody holds"
        ),
    }
    Ok(0)
}
