//! The table, as Markdown or as JSON.

use crate::measure::Figures;
use crate::stores::{CEILING, CEILING_IN_FLIGHT, Rate, Row};
use serde_json::{Value, json};

/// Prints the rows with their figures and what they are.
pub(crate) fn markdown(rows: &[(&Row, Figures)]) -> String {
    let mut text = String::from(
        "| store | records/s in batches of 1,000 | of the ceiling | lone p50 µs | lone p99 µs | CPU µs a record \
         | bytes a record | bytes a lone record | signatures verified | chained and provable |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|---|---|\n",
    );
    for (row, figures) in rows {
        let lone = |figure: fn(&crate::measure::Lone) -> f64| {
            figures.lone.as_ref().map_or_else(|| "-".to_owned(), |lone| format!("{:.0}", figure(lone)))
        };
        let cells = [
            row.name.to_owned(),
            format!("{:.0}", figures.rate),
            ratio(rows, row, figures).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}")),
            lone(|lone| lone.p50_us),
            lone(|lone| lone.p99_us),
            format!("{:.2}", figures.cpu_us),
            format!("{:.0}", figures.bytes),
            lone(|lone| lone.bytes),
            yes(row.verifies).to_owned(),
            yes(row.proves).to_owned(),
        ];
        text += &format!("| {} |\n", cells.join(" | "));
    }
    text.push('\n');
    for (row, _) in rows {
        text += &format!("- {}: {}\n", row.name, row.what);
    }
    text
}

/// The same, for programs.
pub(crate) fn json(rows: &[(&Row, Figures)], seconds: u64, rounds: usize) -> Value {
    let stores: Vec<Value> = rows
        .iter()
        .map(|(row, figures)| {
            let lone = figures.lone.as_ref();
            json!({
                "store": row.name,
                "what": row.what,
                "records_per_s": figures.rate.round(),
                "ratio_to_ceiling": ratio(rows, row, figures),
                "lone_us_p50": lone.map(|lone| lone.p50_us),
                "lone_us_p99": lone.map(|lone| lone.p99_us),
                "cpu_us_per_record": figures.cpu_us,
                "bytes_per_record": figures.bytes,
                "bytes_per_lone_record": lone.map(|lone| lone.bytes),
                "durable_calls": figures.durable_calls,
                "verifies_signatures": row.verifies,
                "chained_and_provable": row.proves,
            })
        })
        .collect();
    json!({ "seconds": seconds, "rounds": rounds, "payload_bytes": crate::payloads::SIZE, "stores": stores })
}

/// To the ceiling that keeps as many writes on their way; none if that was not measured.
fn ratio(rows: &[(&Row, Figures)], row: &Row, figures: &Figures) -> Option<f64> {
    let name = if row.rate == Rate::InFlight { CEILING_IN_FLIGHT } else { CEILING };
    let ceiling = rows.iter().find(|(row, _)| row.name == name)?;
    Some(figures.rate / ceiling.1.rate)
}

const fn yes(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}
