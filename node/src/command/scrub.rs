//! `annals scrub`: a ledger in use, read again beside its writer.

use super::check::{gigabytes, seconds, speed};
use super::progress::Progress;
use crate::exit::CommandError;
use annals::{Finding, Reader, ScrubError, ScrubReport};
use serde_json::json;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::Path;

/// Bytes of the megabyte that `--rate` counts in.
const MEGABYTE: u64 = 1_000_000;

pub(crate) fn run(dir: &Path, rate: Option<u64>, as_json: bool) -> Result<u8, CommandError> {
    let mut progress = Progress::bytes("scrubbing");
    let scrubbed = Reader::open(dir).map_err(ScrubError::from).and_then(|reader| {
        reader.scrub(rate.map(|rate| rate.saturating_mul(MEGABYTE)), &mut |done, total| {
            progress.set(done, total);
            ControlFlow::Continue(())
        })
    });
    progress.finish();
    match scrubbed {
        Ok(report) => sound(&report, as_json),
        Err(error) if as_json => unsound(error),
        Err(error) => Err(error.into()),
    }
}

fn sound(report: &ScrubReport, as_json: bool) -> Result<u8, CommandError> {
    let mut out = std::io::stdout().lock();
    let ScrubReport { records, blocks, segments, bytes, duration, .. } = *report;
    if as_json {
        let object = json!({
            "sound": true,
            "records": records,
            "blocks": blocks,
            "segments": segments,
            "bytes": bytes,
            "seconds": duration.as_secs_f64(),
            "bytes_per_second": speed(bytes, duration),
        });
        writeln!(out, "{object}")?;
        return Ok(0);
    }
    writeln!(out, "sound: {records} records, {blocks} blocks, {segments} segments; sums, chain and content hashes")?;
    writeln!(out, "{bytes} bytes in {} s, {} GB/s", seconds(duration), gigabytes(speed(bytes, duration)))?;
    Ok(0)
}

fn unsound(error: ScrubError) -> Result<u8, CommandError> {
    let (segment, offset, seq) = error.place();
    let finding = if let ScrubError::Record { finding, .. } = &error { Some(Finding::code(finding)) } else { None };
    let object = json!({
        "sound": false,
        "code": error.code(),
        "message": error.to_string(),
        "segment": segment,
        "offset": offset,
        "seq": seq,
        "finding": finding,
        "advice": error.advice(),
    });
    writeln!(std::io::stdout(), "{object}")?;
    Ok(CommandError::from(error).exit_code())
}
