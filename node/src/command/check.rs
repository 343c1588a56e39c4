//! `annals check`: a whole ledger, read and verified again.

use super::progress::Progress;
use super::read_file;
use crate::exit::{CommandError, SHORTER};
use annals::{CheckError, CheckReport, check_ledger, limits};
use serde_json::json;
use std::io::Write as _;
use std::path::Path;

pub(crate) fn run(dir: &Path, checkpoint: Option<&Path>, as_json: bool) -> Result<u8, CommandError> {
    let note = checkpoint.map(|path| read_file(path, limits::CHECKPOINT_SIZE_MAX)).transpose()?;
    let note = note.map(|note| String::from_utf8_lossy(&note).into_owned());
    let mut progress = Progress::bytes("checking");
    let result = check_ledger(dir, note.as_deref(), &mut |done, total| progress.set(done, total));
    progress.finish();
    match result {
        Ok(report) => sound(&report, as_json),
        Err(CheckError::Open(error)) => Err(error.into()),
        Err(error) => unsound(error, as_json),
    }
}

fn sound(report: &CheckReport, as_json: bool) -> Result<u8, CommandError> {
    let mut out = std::io::stdout().lock();
    let torn = report.torn.map(|(segment, from, to)| json!({"segment": segment, "from": from, "to": to}));
    if as_json {
        let object = json!({
            "sound": true,
            "ledger": report.ledger.to_string(),
            "records": report.records,
            "items": report.items,
            "blocks": report.blocks,
            "segments": report.segments,
            "bytes": report.bytes,
            "root": report.root.to_string(),
            "closed": report.closed,
            "torn": torn,
            "indexes_missing": report.indexes_missing,
        });
        writeln!(out, "{object}")?;
        return Ok(0);
    }
    let CheckReport { records, items, blocks, segments, root, .. } = report;
    writeln!(out, "sound: {records} records, {items} items, {blocks} blocks, {segments} segments, root {root}")?;
    if let Some((segment, from, to)) = report.torn {
        writeln!(
            out,
            "torn tail in segment {segment}, bytes {from} to {to}: never acknowledged; the next opening cuts it"
        )?;
    } else if !report.closed {
        writeln!(out, "not closed cleanly; nothing is missing")?;
    }
    for segment in &report.indexes_missing {
        writeln!(out, "index of segment {segment} is missing; the next look-up makes it again")?;
    }
    Ok(0)
}

fn unsound(error: CheckError, as_json: bool) -> Result<u8, CommandError> {
    if as_json {
        let (segment, offset, seq) = error.place();
        let object = json!({
            "sound": false,
            "code": error.code(),
            "message": error.to_string(),
            "segment": segment,
            "offset": offset,
            "seq": seq,
        });
        writeln!(std::io::stdout(), "{object}")?;
        let shorter = matches!(error, CheckError::Shorter { .. });
        return Ok(if shorter { SHORTER } else { crate::exit::NEGATIVE });
    }
    Err(error.into())
}
