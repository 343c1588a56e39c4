//! `--mode check`: what `annals check` does, with and without signatures.

use super::prepare::{Prepared, prepare};
use super::{gb_of_mb, gb_per_s, millis};
use crate::command::bench::ceiling::sample_count;
use crate::command::bench::clock::cpu_time;
use crate::command::bench::figures::ratio;
use crate::command::bench::workload::Workload;
use crate::exit::CommandError;
use crate::line::Bench;
use annals::measure::{check_records_per_s, hash_records_per_s, per_second, read_speed};
use annals::{CheckOptions, check_with};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Checks of each kind; the median counts.
const ROUNDS: usize = 3;

/// One kind of check.
struct Checked {
    took: Duration,
    cpu: Duration,
    segment_bytes: u64,
}

pub(super) fn measure(bench: &Bench, dir: &Path) -> Result<Value, CommandError> {
    let prepared = prepare(bench, dir)?;
    let (bare, full) = (check(&prepared, false)?, check(&prepared, true)?);
    let time = bench.time() / 5;
    let count = sample_count(prepared.shape.record_size()).min(prepared.records()).max(1);
    let bytes = Arc::new(Workload::prepare(dir, prepared.id, prepared.shape, count)?).sample(count)?;
    let records: Vec<&[u8]> = bytes.chunks_exact(prepared.shape.record_size()).collect();
    let (hash, verify) = (hash_records_per_s(&records, time), check_records_per_s(&records, time));
    let read = read_speed(&prepared.path, prepared.newest.end, time)?;
    Ok(json!({
        "mode": "check",
        "records": prepared.records(),
        "payload": prepared.shape.payload,
        "used_bytes": prepared.used_bytes,
        "segment_bytes": bare.segment_bytes,
        "without_signatures": bare.to_json(&prepared, hash),
        "with_signatures": full.to_json(&prepared, verify),
        "ceiling": {
            "direct_gb_per_s": gb_of_mb(read.direct_mb_per_s),
            "hash_records_per_s": hash,
            "verify_records_per_s": verify,
        },
    }))
}

fn check(prepared: &Prepared, signatures: bool) -> Result<Checked, CommandError> {
    let options = CheckOptions { signatures, ..CheckOptions::default() };
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let cpu = cpu_time();
        let report = check_with(&prepared.path, &options, &mut |_, _| {})?;
        if report.records != prepared.newest.size {
            return Err(CommandError::Bench("the check saw another ledger; no figure is given"));
        }
        let cpu = cpu_time().saturating_sub(cpu);
        rounds.push(Checked { took: report.duration, cpu, segment_bytes: report.bytes });
    }
    rounds.sort_by_key(|round| round.took);
    let median = rounds.into_iter().nth(ROUNDS / 2);
    median.ok_or(CommandError::Bench("nothing was checked; no figure is given"))
}

impl Checked {
    /// The figures, beside the records that the machine could do at most.
    fn to_json(&self, prepared: &Prepared, ceiling: u64) -> Value {
        let records_per_s = per_second(prepared.newest.size, self.took);
        json!({
            "ms": millis(self.took),
            "cpu_ms": millis(self.cpu),
            "gb_per_s": gb_per_s(prepared.used_bytes, self.took),
            "segment_gb_per_s": gb_per_s(self.segment_bytes, self.took),
            "records_per_s": records_per_s,
            "ratio_to_ceiling": ratio(records_per_s, ceiling),
        })
    }
}
