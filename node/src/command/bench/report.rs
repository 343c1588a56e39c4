//! The report of a bench: one HTML file with charts, that anybody opens, prints or mails.
//!
//! It needs nothing beside itself: no network, no script, no font. Style and charts stand in the file; colours follow the
//! reader's light or dark setting, and lines differ by dashes too, so that a black and white print can be read. All text is
//! escaped. A measurement that was not made leaves its chart out, and the report says so. What the figures mean is decided
//! by whoever fills the report in; here they are only shown.

mod axis;
mod chart;
#[cfg(test)]
mod tests;

use axis::{Axis, Unit, number};
use chart::{Chart, Series, Style};
use std::fmt::{self, Write as _};
use std::path::Path;

/// What a report shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// Its heading.
    pub(crate) title: String,
    /// What it answers, in one sentence.
    pub(crate) question: String,
    /// What is seen first: names and values.
    pub(crate) highlights: Vec<(&'static str, String)>,
    /// The command that made it.
    pub(crate) command: String,
    /// What the machine is: names and values.
    pub(crate) machine: Vec<(String, String)>,
    /// The figures: names and values.
    pub(crate) summary: Vec<(String, String)>,
    /// Records a second that the machine verifies and does nothing else, if the run can come near it.
    pub(crate) ceiling_per_s: Option<u64>,
    /// The run by intervals, in order.
    pub(crate) over_time: Vec<Moment>,
    /// Quantiles from 0 to below 1, rising, and their latencies in µs.
    pub(crate) quantiles: Vec<(f64, u64)>,
    /// Latency by offered load, by rising load.
    pub(crate) load_curve: Vec<LoadPoint>,
}

/// One interval of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// When it began, since the start of what counts.
    pub(crate) at_ms: u64,
    /// How long it was.
    pub(crate) interval_ms: u64,
    /// Records answered in it; latencies mean nothing if there are none.
    pub(crate) records: u64,
    /// Their median latency.
    pub(crate) p50_us: u64,
    /// Their 99th percentile.
    pub(crate) p99_us: u64,
}

impl Moment {
    /// When it ended, since the start of what counts.
    const fn end_ms(&self) -> u64 {
        self.at_ms.saturating_add(self.interval_ms)
    }
}

/// What one offered load came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadPoint {
    /// Records offered a second.
    pub(crate) offered_per_s: u64,
    /// Records answered a second.
    pub(crate) done_per_s: u64,
    /// Median latency.
    pub(crate) p50_us: u64,
    /// 99th percentile.
    pub(crate) p99_us: u64,
    /// 99.9th percentile.
    pub(crate) p999_us: u64,
}

/// Whether a page can be written there; leaves none, and an older one as it is.
pub(crate) fn check_writable(path: &Path) -> std::io::Result<()> {
    let is_new = path.symlink_metadata().is_err();
    std::fs::OpenOptions::new().append(true).create(true).open(path)?;
    if is_new { std::fs::remove_file(path) } else { Ok(()) }
}

/// Writes a report to a file, in place of what is there.
///
/// # Errors
///
/// What the system says if the file can't be written.
pub(crate) fn write(report: &Report, path: &Path) -> std::io::Result<()> {
    let mut page = String::new();
    render(report, &mut page).map_err(std::io::Error::other)?;
    std::fs::write(path, page)
}

/// Microseconds in the unit that suits.
pub(crate) fn duration(us: u64) -> String {
    Unit::Micros.label(float(us))
}

/// A whole number with its thousands apart.
pub(crate) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if 0 < place && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Text in which nothing is markup.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => formatter.write_str("&amp;")?,
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '"' => formatter.write_str("&quot;")?,
                '\'' => formatter.write_str("&#39;")?,
                // Control characters are no text; a line feed is.
                other if other.is_control() && other != '\n' => formatter.write_char(char::REPLACEMENT_CHARACTER)?,
                other => formatter.write_char(other)?,
            }
        }
        Ok(())
    }
}

const STYLE: &str = "
:root{color-scheme:light dark;--ground:#fff;--ink:#1c2024;--faint:#697077;--rule:#d9dde1;--panel:#f6f7f9;
--s0:#1f63c6;--s1:#c2570c;--s2:#8a2be2;--s3:#697077}
@media (prefers-color-scheme:dark){:root{--ground:#14171a;--ink:#e8eaed;--faint:#9aa2aa;--rule:#343a40;--panel:#1c2024;
--s0:#6ea8ff;--s1:#ffa24d;--s2:#c79bff;--s3:#9aa2aa}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:60rem;padding:2rem 1.25rem;background:var(--ground);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .5rem}
h2{font-size:1.1rem;margin:2.25rem 0 .25rem}
p{margin:.25rem 0 .75rem}
.note{color:var(--faint);font-size:.875rem}
pre{background:var(--panel);border:1px solid var(--rule);border-radius:6px;padding:.75rem;white-space:pre-wrap;
overflow-wrap:anywhere;font:.875rem/1.5 ui-monospace,monospace}
table{border-collapse:collapse;width:100%;font-size:.9375rem}
th,td{border-bottom:1px solid var(--rule);padding:.3rem .75rem .3rem 0;text-align:left;vertical-align:top;
overflow-wrap:anywhere}
th{font-weight:500;color:var(--faint)}
.pairs th{width:11rem;white-space:nowrap}
.figures td{white-space:nowrap}
.figures td,.figures th{text-align:right;font-variant-numeric:tabular-nums}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.75rem;padding:0;margin:1rem 0;
list-style:none}
.tiles li{background:var(--panel);border:1px solid var(--rule);border-radius:6px;padding:.6rem .75rem;color:var(--faint);
font-size:.875rem;line-height:1.35}
.tiles b{display:block;color:var(--ink);font-size:1.5rem;font-weight:600;font-variant-numeric:tabular-nums}
.legend{display:flex;flex-wrap:wrap;gap:.1rem 1.25rem;padding:0;margin:.25rem 0 0;list-style:none;font-size:.8125rem;
color:var(--faint)}
.legend svg{display:inline-block;width:28px;height:8px;min-width:0;margin:0 .4rem 0 0;vertical-align:middle}
.wide{overflow-x:auto}
.wide svg{min-width:32rem}
.wide table{min-width:26rem}
svg{display:block;width:100%;height:auto;margin:.5rem 0}
svg text{fill:var(--faint);font:12px system-ui,sans-serif}
.grid{stroke:var(--rule);stroke-width:1}
.line{fill:none;stroke-width:2;stroke-linejoin:round}
.s0{stroke:var(--s0)}.s1{stroke:var(--s1)}.s2{stroke:var(--s2)}.s3{stroke:var(--s3)}
.s1.line{stroke-dasharray:7 3}.s2.line{stroke-dasharray:2 3}.s3.line{stroke-dasharray:1 5;stroke-linecap:round}
.dot{stroke-width:0}.dot.s0{fill:var(--s0)}.dot.s1{fill:var(--s1)}.dot.s2{fill:var(--s2)}.dot.s3{fill:var(--s3)}
@media print{:root{color-scheme:light;--ground:#fff;--ink:#000;--faint:#333;--rule:#bbb;--panel:#fff;
--s0:#1f63c6;--s1:#c2570c;--s2:#8a2be2;--s3:#333}
body{max-width:none;padding:0}section,svg,table,.tiles{break-inside:avoid}h2{break-after:avoid}
.wide{overflow:visible}.wide svg,.wide table{min-width:0}}
@media (max-width:30rem){body{padding:1.25rem .75rem}.pairs th{width:7rem;white-space:normal}}
";

fn render(report: &Report, out: &mut String) -> fmt::Result {
    let title = Escaped(&report.title);
    write!(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>")?;
    write!(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
    write!(out, "<style>{STYLE}</style></head>\n<body><main><h1>{title}</h1>\n")?;
    writeln!(out, "<p>{}</p>", Escaped(&report.question))?;
    tiles(out, &report.highlights)?;
    writeln!(out, "<pre>{}</pre>", Escaped(&report.command))?;
    pairs(out, "Figures", &report.summary)?;
    throughput(out, &report.over_time, report.ceiling_per_s)?;
    latency(out, &report.over_time)?;
    percentiles(out, &report.quantiles)?;
    load_latency(out, &report.load_curve)?;
    load_done(out, &report.load_curve)?;
    pairs(out, "Machine", &report.machine)?;
    out.write_str("</main></body></html>\n")
}

/// The few figures that a reader in a hurry takes along.
fn tiles(out: &mut String, highlights: &[(&'static str, String)]) -> fmt::Result {
    if highlights.is_empty() {
        return Ok(());
    }
    out.write_str("<ul class=\"tiles\">")?;
    for (name, value) in highlights {
        write!(out, "<li><b>{}</b>{}</li>", Escaped(value), Escaped(name))?;
    }
    out.write_str("</ul>\n")
}

/// A table of names and values.
fn pairs(out: &mut String, heading: &str, pairs: &[(String, String)]) -> fmt::Result {
    if pairs.is_empty() {
        return missing(out, heading);
    }
    write!(out, "<section><h2>{}</h2><table class=\"pairs\">", Escaped(heading))?;
    for (name, value) in pairs {
        write!(out, "<tr><th>{}</th><td>{}</td></tr>", Escaped(name), Escaped(value))?;
    }
    out.write_str("</table></section>\n")
}

/// Says that something was not measured.
fn missing(out: &mut String, heading: &str) -> fmt::Result {
    writeln!(out, "<section><h2>{}</h2><p class=\"note\">Not measured in this run.</p></section>", Escaped(heading))
}

/// A heading, a sentence on what is seen, and the chart.
fn section(out: &mut String, heading: &str, seen: &str, chart: &Chart) -> fmt::Result {
    write!(out, "<section><h2>{}</h2><p>{}</p>", Escaped(heading), Escaped(seen))?;
    chart.draw(heading, out)?;
    out.write_str("</section>\n")
}

/// Figures of people: far below 2^53, and if not, near enough for a chart.
#[expect(clippy::cast_precision_loss, reason = "a chart is no more exact")]
const fn float(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::float_arithmetic, reason = "figures for a chart")]
fn rate(records: u64, interval_ms: u64) -> f64 {
    float(records) * 1000.0 / float(interval_ms.max(1))
}

#[expect(clippy::float_arithmetic, reason = "figures for a chart")]
fn seconds(ms: u64) -> f64 {
    float(ms) / 1000.0
}

fn throughput(out: &mut String, moments: &[Moment], ceiling_per_s: Option<u64>) -> fmt::Result {
    let heading = "Throughput over time";
    if moments.is_empty() {
        return missing(out, heading);
    }
    let points =
        moments.iter().map(|moment| (seconds(moment.end_ms()), Some(rate(moment.records, moment.interval_ms))));
    let rates: Vec<_> = points.clone().filter_map(|(_, rate)| rate).collect();
    let (least, most) =
        rates.iter().fold((f64::MAX, 0.0_f64), |(least, most), rate| (least.min(*rate), most.max(*rate)));
    let records = moments.iter().map(|moment| moment.records).fold(0, u64::saturating_add);
    let time = moments.iter().map(|moment| moment.interval_ms).fold(0, u64::saturating_add);
    let mut seen = format!(
        "{} records/s on average over {}; {} in the slowest interval, {} in the fastest.",
        number(rate(records, time)),
        Unit::Seconds.label(seconds(time)),
        number(least),
        number(most)
    );
    if ceiling_per_s.is_some_and(|ceiling| float(ceiling) < rate(records, time)) {
        seen.push_str(
            " That is above the ceiling, which was measured while the machine was busy: run it on an idle one.",
        );
    }
    let mut series = vec![Series { name: "answered", style: Style::First, points: points.clone().collect() }];
    if let Some(ceiling) = ceiling_per_s {
        let level = points.map(|(at, _)| (at, Some(float(ceiling)))).collect();
        series.push(Series { name: "ceiling: verifying and nothing else", style: Style::Aid, points: level });
    }
    let chart = Chart {
        x: Axis::linear("time since the warm-up", Unit::Seconds),
        y: Axis::linear("records/s", Unit::Count),
        series,
    };
    section(out, heading, &seen, &chart)
}

fn latency(out: &mut String, moments: &[Moment]) -> fmt::Result {
    let heading = "Latency over time";
    let Some(worst) = moments.iter().filter(|moment| 0 < moment.records).max_by_key(|moment| moment.p99_us) else {
        return missing(out, heading);
    };
    let points = |of: fn(&Moment) -> u64| {
        let latency = |moment: &Moment| (0 < moment.records).then(|| float(of(moment)));
        moments.iter().map(|moment| (seconds(moment.end_ms()), latency(moment))).collect()
    };
    let seen = format!(
        "The worst interval ended at {}: its 99th percentile was {}. A line breaks where nothing was answered.",
        Unit::Seconds.label(seconds(worst.end_ms())),
        Unit::Micros.label(float(worst.p99_us))
    );
    let chart = Chart {
        x: Axis::linear("time since the warm-up", Unit::Seconds),
        y: Axis::log("latency, log scale", Unit::Micros),
        series: vec![
            Series { name: "p50", style: Style::First, points: points(|moment| moment.p50_us) },
            Series { name: "p99", style: Style::Second, points: points(|moment| moment.p99_us) },
        ],
    };
    section(out, heading, &seen, &chart)
}

#[expect(clippy::float_arithmetic, reason = "figures for a chart")]
fn percentiles(out: &mut String, quantiles: &[(f64, u64)]) -> fmt::Result {
    let heading = "Latency by percentile";
    let drawn: Vec<_> = quantiles.iter().copied().filter(|(quantile, _)| (0.0..1.0).contains(quantile)).collect();
    let Some((quantile, latency)) = drawn.last() else { return missing(out, heading) };
    let seen = format!(
        "{} of the records were answered within {}.",
        Unit::Percentile.label(1.0 / (1.0 - quantile)),
        Unit::Micros.label(float(*latency))
    );
    let points = drawn.iter().map(|(quantile, latency)| (1.0 / (1.0 - quantile), Some(float(*latency)))).collect();
    let chart = Chart {
        x: Axis::log("percentile", Unit::Percentile),
        y: Axis::log("latency, log scale", Unit::Micros),
        series: vec![Series { name: "latency", style: Style::First, points }],
    };
    section(out, heading, &seen, &chart)
}

fn load_points(curve: &[LoadPoint], of: fn(&LoadPoint) -> u64) -> Vec<(f64, Option<f64>)> {
    curve.iter().map(|point| (float(point.offered_per_s), Some(float(of(point))))).collect()
}

fn load_latency(out: &mut String, curve: &[LoadPoint]) -> fmt::Result {
    let heading = "Latency by offered load";
    let (Some(first), Some(last)) = (curve.first(), curve.last()) else { return missing(out, heading) };
    let seen = format!(
        "The 99th percentile goes from {} at {} records/s offered to {} at {}.",
        Unit::Micros.label(float(first.p99_us)),
        number(float(first.offered_per_s)),
        Unit::Micros.label(float(last.p99_us)),
        number(float(last.offered_per_s))
    );
    let chart = Chart {
        x: Axis::linear("records/s offered", Unit::Count),
        y: Axis::log("latency, log scale", Unit::Micros),
        series: vec![
            Series { name: "p50", style: Style::First, points: load_points(curve, |point| point.p50_us) },
            Series { name: "p99", style: Style::Second, points: load_points(curve, |point| point.p99_us) },
            Series { name: "p99.9", style: Style::Third, points: load_points(curve, |point| point.p999_us) },
        ],
    };
    section(out, heading, &seen, &chart)
}

fn load_done(out: &mut String, curve: &[LoadPoint]) -> fmt::Result {
    let heading = "Answered by offered load";
    let Some(best) = curve.iter().max_by_key(|point| point.done_per_s) else { return missing(out, heading) };
    let seen = format!(
        "At most {} records/s were answered, with {} offered. Where the line leaves the dotted one, not all was answered in time.",
        number(float(best.done_per_s)),
        number(float(best.offered_per_s))
    );
    let chart = Chart {
        x: Axis::linear("records/s offered", Unit::Count),
        y: Axis::linear("records/s answered", Unit::Count),
        series: vec![
            Series { name: "answered", style: Style::First, points: load_points(curve, |point| point.done_per_s) },
            Series {
                name: "all that is offered",
                style: Style::Aid,
                points: load_points(curve, |point| point.offered_per_s),
            },
        ],
    };
    section(out, heading, &seen, &chart)?;
    out.write_str(
        "<div class=\"wide\"><table class=\"figures\"><tr><th>records/s offered</th><th>records/s answered</th>\
         <th>p50 latency</th><th>p99</th><th>p99.9</th></tr>",
    )?;
    for point in curve {
        write!(out, "<tr><td>{}</td><td>{}</td>", grouped(point.offered_per_s), grouped(point.done_per_s))?;
        for latency in [point.p50_us, point.p99_us, point.p999_us] {
            write!(out, "<td>{}</td>", Unit::Micros.label(float(latency)))?;
        }
        out.write_str("</tr>")?;
    }
    out.write_str("</table></div>\n")
}
