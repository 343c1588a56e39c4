//! Figures: what a bench came to, as one JSON object, as words, and as what a report shows.
//!
//! The object's names and meanings are a contract: fields are added, none is renamed.

use super::ceiling::Ceilings;
use super::clock::micros;
use super::modes::fields;
use super::plan::{Load, Plan};
use super::report::{LoadPoint, Moment, duration, grouped};
use super::rig::{After, Outcome, Ran};
use super::tally::Tally;
use crate::exit::CommandError;
use annals::measure::per_second;
use serde_json::{Map, Value, json};
use std::io::Write as _;

/// Quantiles of a report, as [`Report::quantiles`](super::report::Report) takes them.
const QUANTILES: [f64; 16] =
    [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999];

/// What a bench came to, of whatever mode.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// The JSON object.
    pub(crate) object: Map<String, Value>,
    /// Words for people: what, and how much.
    pub(crate) summary: Vec<(String, String)>,
    pub(crate) device: &'static str,
    pub(crate) records_per_s: u64,
    pub(crate) verify_records_per_s: u64,
    pub(crate) ratio_to_ceiling: f64,
    /// The rest is for a report; empty where a mode has none.
    pub(crate) over_time: Vec<Moment>,
    /// What a report shows first: names and values.
    pub(crate) highlights: Vec<(&'static str, String)>,
    /// Quantiles from 0 to below 1, rising, and the latency in us that so many records stayed below or at.
    pub(crate) quantiles: Vec<(f64, u64)>,
    pub(crate) load_curve: Vec<LoadPoint>,
}

#[expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]
pub(crate) fn ratio(value: u64, by: u64) -> f64 {
    (value as f64 / by.max(1) as f64 * 1000.0).round() / 1000.0
}

/// The word for a mode.
pub(crate) const fn name(mode: Load) -> &'static str {
    match mode {
        Load::Records => "records",
        Load::Bundles => "bundles",
        Load::Latency => "latency",
        Load::Open => "open",
        Load::Overload => "overload",
    }
}

/// Rates of a load, from its counts.
#[derive(Debug)]
struct Rates {
    records_per_s: u64,
    items_per_s: u64,
    mb_per_s: u64,
    cpu_us_per_record: f64,
    /// To the verification of records, the disk's stream, or its durable write, as the mode has it.
    ratio_to_ceiling: f64,
}

impl Rates {
    fn of(plan: &Plan, ceilings: &Ceilings, tally: &Tally, ran: &Ran) -> Self {
        let items = tally.records * u64::from(plan.shape.items);
        let payload_bytes = items * u64::from(plan.shape.payload);
        let records_per_s = tally.records_per_s();
        let mb_per_s = per_second(payload_bytes, tally.took()) / 1_000_000;
        let ratio_to_ceiling = if plan.mode == Load::Bundles {
            ratio(mb_per_s, ceilings.disk.mb_per_s)
        } else if plan.mode == Load::Latency {
            ratio(tally.at(0.5), ceilings.disk.durable_4k_write_us_p50)
        } else {
            ratio(records_per_s, ceilings.verify_records_per_s)
        };
        let cpu_us = micros(ran.cpu);
        let cpu_us_per_record = ratio(cpu_us, ran.acknowledged);
        Self {
            records_per_s,
            items_per_s: per_second(items, tally.took()),
            mb_per_s,
            cpu_us_per_record,
            ratio_to_ceiling,
        }
    }
}

impl Figures {
    /// Of a load.
    pub(crate) fn of_load(
        plan: &Plan,
        ceilings: &Ceilings,
        outcome: Outcome,
        after: &After,
        load_curve: Vec<LoadPoint>,
    ) -> Self {
        let Outcome { tally, ran, fields: own, summary: words, .. } = outcome;
        let rates = Rates::of(plan, ceilings, &tally, &ran);
        let mut object = load_object(plan, &rates, &tally, &ran);
        object.extend(after_object(ceilings, &ran, after));
        object.extend(own);
        let mut summary = load_summary(&rates, &tally, after);
        summary.extend(words);
        summary.extend(machine_summary(ceilings, &rates, &ran, after));
        Self {
            object,
            summary: summary.into_iter().map(|(what, words)| (what.to_owned(), words)).collect(),
            device: after.device,
            records_per_s: rates.records_per_s,
            verify_records_per_s: ceilings.verify_records_per_s,
            ratio_to_ceiling: rates.ratio_to_ceiling,
            over_time: tally.series.moments(),
            highlights: highlights(plan.mode, &rates, &tally),
            quantiles: QUANTILES.map(|quantile| (quantile, tally.at(quantile))).to_vec(),
            load_curve,
        }
    }

    pub(crate) fn print_json(&self) -> Result<(), CommandError> {
        let object = Value::Object(self.object.clone());
        Ok(writeln!(std::io::stdout(), "{object}")?)
    }

    pub(crate) fn print(&self) -> Result<(), CommandError> {
        let mut out = std::io::stdout().lock();
        let widest = self.summary.iter().map(|(what, _)| what.len()).max().unwrap_or(0);
        for (what, words) in &self.summary {
            writeln!(out, "{what:<widest$}  {words}")?;
        }
        Ok(())
    }
}

/// The question that a mode answers, for who reads its report alone.
pub(crate) const fn question(mode: Load) -> &'static str {
    match mode {
        Load::Records => {
            "How many signed records a second are verified and durable when as many are sent as are taken."
        }
        Load::Bundles => "How much payload a second is made durable and provable item by item, in bundles.",
        Load::Latency => "How long one record takes until it is durable when nothing else is under way.",
        Load::Open => "How long records take at a constant rate that does not ask whether the ledger keeps up.",
        Load::Overload => "What the ledger does when far more is sent than it can take.",
    }
}

fn highlights(mode: Load, rates: &Rates, tally: &Tally) -> Vec<(&'static str, String)> {
    let limit = match mode {
        Load::Bundles => "of the disk's stream",
        Load::Latency => "times a bare durable write of 4 KiB",
        Load::Records | Load::Open | Load::Overload => "of what verifying alone reaches",
    };
    vec![
        ("records/s, durable", grouped(rates.records_per_s)),
        ("median latency", duration(tally.at(0.5))),
        ("99th percentile", duration(tally.at(0.99))),
        (limit, rates.ratio_to_ceiling.to_string()),
    ]
}

fn load_object(plan: &Plan, rates: &Rates, tally: &Tally, ran: &Ran) -> Map<String, Value> {
    let moment = |moment: Moment| {
        let Moment { at_ms, records, p50_us, p99_us, .. } = moment;
        json!({ "at_ms": at_ms, "records": records, "p50_us": p50_us, "p99_us": p99_us })
    };
    let over_time: Vec<Value> = tally.series.moments().into_iter().map(moment).collect();
    fields(json!({
        "mode": name(plan.mode),
        "durable": true,
        "records": tally.records,
        "records_per_s": rates.records_per_s,
        "items_per_s": rates.items_per_s,
        "mb_per_s": rates.mb_per_s,
        "seconds": ratio(micros(tally.took()), 1_000_000),
        "warmup_seconds": plan.span.warmup.as_secs(),
        "sources": plan.shape.sources,
        "cpu_us_per_record": rates.cpu_us_per_record,
        "latency_us": {
            "p50": tally.at(0.5),
            "p90": tally.at(0.9),
            "p99": tally.at(0.99),
            "p999": tally.at(0.999),
            "max": tally.latency_us.max(),
        },
        "over_time": over_time,
        "workload_used_up": tally.ran_dry,
        "load_rss_mib": ran.rss_kib >> 10,
        "engine_memory_mib": ran.engine_kib >> 10,
        "ratio_to_ceiling": rates.ratio_to_ceiling,
    }))
}

fn after_object(ceilings: &Ceilings, ran: &Ran, after: &After) -> Map<String, Value> {
    let acknowledged = ran.acknowledged.max(1);
    let written = ran.written;
    fields(json!({
        "device": after.device,
        "acknowledged": after.acks.count,
        "read_back_records": after.found.read_back,
        "rss_mib": after.peak_kib >> 10,
        "workload_mib": after.workload_bytes >> 20,
        "disk_bytes_per_record": after.found.disk_bytes / after.acks.count.max(1),
        "segments": after.found.segments,
        "disk_bytes_written": written.data + written.runway,
        "written_bytes_per_record": written.data / acknowledged,
        "written_with_runway_bytes_per_record": (written.data + written.runway) / acknowledged,
        "runway_left_mib": ran.runway_left >> 20,
        "ceiling": {
            "verify_records_per_s": ceilings.verify_records_per_s,
            "disk_mb_per_s": ceilings.disk.mb_per_s,
            "durable_4k_write_us_p50": ceilings.disk.durable_4k_write_us_p50,
        },
    }))
}

fn load_summary(rates: &Rates, tally: &Tally, after: &After) -> Vec<(&'static str, String)> {
    let Rates { records_per_s, items_per_s, mb_per_s, .. } = rates;
    let mut words = vec![
        (
            "records",
            format!(
                "{} on {}, all verified, durable, and there after reopening, each once",
                tally.records, after.device
            ),
        ),
        ("throughput", format!("{records_per_s} records/s, {items_per_s} items/s, {mb_per_s} MB/s of payload")),
        (
            "latency",
            format!(
                "{} us (median), {} us (99th percentile), {} us (99.9th), {} us at most",
                tally.at(0.5),
                tally.at(0.99),
                tally.at(0.999),
                tally.latency_us.max()
            ),
        ),
    ];
    if tally.ran_dry {
        words.push(("cut short", "the prepared records were used up before the time was over".to_owned()));
    }
    words
}

fn machine_summary(ceilings: &Ceilings, rates: &Rates, ran: &Ran, after: &After) -> Vec<(&'static str, String)> {
    let Ceilings { verify_records_per_s, disk } = ceilings;
    let (acknowledged, written) = (ran.acknowledged.max(1), ran.written);
    vec![
        (
            "cost",
            format!(
                "{} us of CPU a record; {} MiB of memory at the peak",
                rates.cpu_us_per_record,
                after.peak_kib >> 10
            ),
        ),
        (
            "disk",
            format!(
                "{} bytes written a record, {} with the zeros ahead; {} MiB of those were left",
                written.data / acknowledged,
                (written.data + written.runway) / acknowledged,
                ran.runway_left >> 20
            ),
        ),
        (
            "ceilings",
            format!(
                "{verify_records_per_s} records/s verified and nothing else; {} MB/s durable; 4 KiB durable in {} us",
                disk.mb_per_s, disk.durable_4k_write_us_p50
            ),
        ),
        ("ratio", format!("{} of the ceiling", rates.ratio_to_ceiling)),
    ]
}
