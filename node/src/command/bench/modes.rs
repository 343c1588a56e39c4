//! The modes of a load: which phases each has, and what it says of them.

use super::figures::ratio;
use super::plan::{Load, Plan};
use super::rig::{Outcome, Ran, Rig, Split};
use super::schedule::Schedule;
use super::source::Source;
use super::{attack, closed, load, open, overload};
use crate::exit::CommandError;
use annals::measure::per_second;
use serde_json::{Map, Value, json};

/// Runs the phases of the plan's mode.
pub(crate) fn run(rig: &mut Rig) -> Result<Outcome, CommandError> {
    let Plan { mode, attack, .. } = rig.plan;
    if let Some(attack) = attack {
        attack::run(rig, attack)
    } else if mode == Load::Latency {
        lone(rig)
    } else if mode == Load::Open {
        at_rate(rig)
    } else if mode == Load::Overload {
        overloaded(rig)
    } else {
        flood(rig)
    }
}

/// The fields of an object.
pub(super) fn fields(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

fn outcome(ran: Ran, saturation: Option<u64>) -> Result<Outcome, CommandError> {
    let tally = load::merged(&ran.tallies)?;
    Ok(Outcome { tally, ran, saturation, fields: Map::new(), summary: Vec::new() })
}

fn flood(rig: &mut Rig) -> Result<Outcome, CommandError> {
    let ran = rig.run(Split::Even, rig.plan.span, closed::flood)?;
    let mut outcome = outcome(ran, None)?;
    outcome.saturation = Some(outcome.tally.records_per_s().max(1));
    Ok(outcome)
}

fn lone(rig: &mut Rig) -> Result<Outcome, CommandError> {
    let ran = rig.run(Split::Even, rig.plan.span, closed::one_by_one)?;
    outcome(ran, None)
}

fn at_rate(rig: &mut Rig) -> Result<Outcome, CommandError> {
    let saturation = rig.saturation()?;
    let rate = rig.plan.rate(saturation);
    let ran = rig.run(Split::Even, rig.plan.span, |sources, phase, thread| {
        open::at_rate(sources, phase, Schedule::new(rate, thread, phase.threads))
    })?;
    let mut outcome = outcome(ran, Some(saturation))?;
    let alone = rig.disk_alone(&outcome)?;
    let tally = &outcome.tally;
    let late_us = tally.late_us.value_at_quantile(0.99);
    outcome.fields = fields(json!({
        "rate": rate,
        "saturation_records_per_s": saturation,
        "rate_to_saturation": ratio(rate, saturation),
        "refused_attempts": tally.pushed_back,
        "late_us": late_us,
        "unsent": tally.unsent,
        "disk_alone_us": { "p50": alone.us_p50, "p99": alone.us_p99, "max": alone.us_max },
    }));
    outcome.summary = vec![
        ("offered", format!("{rate} records/s at a constant rate, {} of saturation", ratio(rate, saturation))),
        ("saturation", format!("{saturation} records/s")),
        ("sent late", format!("{late_us} us behind schedule (99th percentile); latencies count from the schedule")),
        ("pushed back", format!("{} attempts; {} records never sent", tally.pushed_back, tally.unsent)),
        (
            "disk alone",
            format!(
                "{} us (median), {} us (99th percentile) for as many bytes as constantly, with no ledger",
                alone.us_p50, alone.us_p99
            ),
        ),
    ];
    Ok(outcome)
}

fn overloaded(rig: &mut Rig) -> Result<Outcome, CommandError> {
    let saturation = rig.saturation()?;
    let attempts_per_s = saturation.saturating_mul(rig.plan.times);
    // It is the ledger that shall refuse.
    rig.sources.iter_mut().for_each(Source::unbind);
    let ran = rig.run(Split::Even, rig.plan.span, |sources, phase, thread| {
        overload::attempts_at_rate(sources, phase, thread, attempts_per_s)
    })?;
    let mut outcome = outcome(ran, Some(saturation))?;
    let (tally, ran) = (&outcome.tally, &outcome.ran);
    let made_per_s = per_second(tally.attempts, tally.took());
    let mean = mean(&tally.refusal_ns);
    let kept = ratio(tally.records_per_s(), saturation);
    if saturation + saturation / 20 < tally.records_per_s() {
        say!(
            "annals: more was taken in the overload than in what was measured as saturation; measure on an idle machine"
        );
    }
    let fields = fields(json!({
        "times": rig.plan.times,
        "attempts": tally.attempts,
        "attempts_per_s": made_per_s,
        "refused": tally.pushed_back,
        "refusal_ns": mean,
        "refusal_ns_p50": tally.refusal_ns.value_at_quantile(0.5),
        "refusal_ns_p99": tally.refusal_ns.value_at_quantile(0.99),
        "saturation_records_per_s": saturation,
        "ratio_to_saturation": kept,
    }));
    let summary = vec![
        (
            "attempts",
            format!(
                "{made_per_s} a second, {} times saturation; {} pushed back",
                ratio(made_per_s, saturation),
                tally.pushed_back
            ),
        ),
        ("a refusal", format!("{mean} ns a record on average")),
        ("saturation", format!("{saturation} records/s, of which {kept} is kept")),
        ("engine's memory", format!("{} MiB at most", ran.engine_kib >> 10)),
    ];
    (outcome.fields, outcome.summary) = (fields, summary);
    Ok(outcome)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean of latencies, positive and small")]
fn mean(histogram: &hdrhistogram::Histogram<u64>) -> u64 {
    histogram.mean().round() as u64
}
