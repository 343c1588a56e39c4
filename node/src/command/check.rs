//! `annals check`: a whole ledger, read and verified again.

use super::progress::Progress;
use super::read_file;
use crate::exit::CommandError;
use crate::line::Check;
use annals::{CheckError, CheckOptions, CheckReport, Finding, check_with, limits};
use serde_json::json;
use std::io::Write as _;
use std::time::Duration;

pub(crate) fn run(check: &Check) -> Result<u8, CommandError> {
    let note = check.checkpoint.as_ref().map(|path| read_file(path, limits::CHECKPOINT_SIZE_MAX)).transpose()?;
    let options = CheckOptions {
        checkpoint: note.map(|note| String::from_utf8_lossy(&note).into_owned()),
        since: check.since,
        signatures: !check.no_signatures,
    };
    let mut progress = Progress::bytes("checking");
    let result = check_with(&check.dir, &options, &mut |done, total| progress.set(done, total));
    progress.finish();
    match result {
        Ok(report) => sound(&report, check.json),
        Err(CheckError::Open(error)) => Err(error.into()),
        Err(error) => unsound(error, check.json),
    }
}

/// Bytes a second.
pub(super) fn speed(bytes: u64, duration: Duration) -> u64 {
    let per_second = u128::from(bytes) * 1_000_000_000 / duration.as_nanos().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}

/// Seconds with three decimals, in whole numbers.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{}.{:03}", duration.as_secs(), duration.subsec_millis())
}

/// Gigabytes with two decimals, in whole numbers.
pub(super) fn gigabytes(bytes: u64) -> String {
    format!("{}.{:02}", bytes / 1_000_000_000, bytes % 1_000_000_000 / 10_000_000)
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
            "ends_segment": report.ends_segment,
            "torn": torn,
            "indexes_missing": report.indexes_missing,
            "since": report.since,
            "signatures": report.signatures,
            "seconds": report.duration.as_secs_f64(),
            "bytes_per_second": speed(report.bytes, report.duration),
        });
        writeln!(out, "{object}")?;
        return Ok(0);
    }
    let CheckReport { records, items, blocks, segments, root, since, bytes, .. } = report;
    writeln!(out, "sound: {records} records, {items} items, {blocks} blocks, {segments} segments, root {root}")?;
    if 0 < *since {
        writeln!(
            out,
            "verified from seq {since} on, items, blocks and segments are of that; what lies before was not read"
        )?;
    }
    let signatures = if report.signatures { "signatures verified" } else { "signatures not verified" };
    let (seconds, speed) = (seconds(report.duration), gigabytes(speed(*bytes, report.duration)));
    writeln!(out, "{bytes} bytes in {seconds} s, {speed} GB/s; {signatures}")?;
    if let Some((segment, from, to)) = report.torn {
        writeln!(
            out,
            "torn tail in segment {segment}, bytes {from} to {to}: never acknowledged; the next opening cuts it"
        )?;
    } else if !report.closed {
        writeln!(out, "not closed cleanly; nothing is missing")?;
    }
    if let Some(segment) = report.ends_segment {
        let next = segment + 1;
        writeln!(
            out,
            "it ends with the end of segment {segment}, and segment {next} is not there: not made yet, or gone; a checkpoint kept elsewhere tells (--checkpoint)"
        )?;
    }
    for segment in &report.indexes_missing {
        writeln!(out, "index of segment {segment} is missing; the next look-up or `annals repair` makes it again")?;
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
            "finding": error.finding().map(Finding::code),
            "advice": error.advice(),
        });
        writeln!(std::io::stdout(), "{object}")?;
        return Ok(CommandError::from(error).exit_code());
    }
    Err(error.into())
}
