//! Axes of a chart: where a value lies, and which values are marked.
//!
//! Marks are round: 1, 2 or 5 times a power of ten. A linear axis begins at 0, since a bar or a line that begins elsewhere
//! exaggerates; a logarithmic one spans whole marks. What is not above 0 has no place on a logarithmic axis: it is drawn at
//! its lower end, which is 1 at the least.
#![expect(clippy::float_arithmetic, reason = "figures for a chart")]

/// Marks on a linear axis, at most.
const MARK_COUNT_MAX: f64 = 6.0;
/// Fewest decades that are marked at powers of ten alone.
const WIDE_DECADES: i32 = 3;

/// What the figures of an axis are, and how they are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unit {
    Count,
    Seconds,
    /// Microseconds, written in the unit that suits.
    Micros,
    /// `1 / (1 - quantile)`, written as the percentage below.
    Percentile,
}

impl Unit {
    /// A value with its unit.
    pub(super) fn label(self, value: f64) -> String {
        match self {
            Self::Count => number(value),
            Self::Seconds => format!("{} s", plain(value)),
            Self::Micros if value < 1000.0 => format!("{} µs", plain(value)),
            Self::Micros if value < 1_000_000.0 => format!("{} ms", plain(value / 1000.0)),
            Self::Micros => format!("{} s", number(value / 1_000_000.0)),
            Self::Percentile => percentage(value),
        }
    }
}

/// A number with up to three significant digits and k, M, G or T.
pub(super) fn number(value: f64) -> String {
    let scales = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let scale = scales.into_iter().find(|(scale, _)| *scale <= value.abs());
    scale.map_or_else(|| plain(value), |(scale, name)| format!("{}{name}", plain(value / scale)))
}

/// A number with three significant digits at the least, and no zeros behind.
fn plain(value: f64) -> String {
    let digits = match value.abs() {
        size if 100.0 <= size || size == 0.0 => 0,
        size if 10.0 <= size => 1,
        size if 1.0 <= size => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// The percentage of which `1 / value` is missing: as many nines as it takes.
fn percentage(value: f64) -> String {
    let missing = 100.0 / value.max(1.0);
    let mut digits = 0;
    while digits < 9 && missing * 10_f64.powi(digits) < 0.999 {
        digits += 1;
    }
    let digits = usize::try_from(digits).unwrap_or(0);
    format!("{:.digits$}%", 100.0 - missing)
}

/// An axis before it knows what is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) title: &'static str,
    pub(super) unit: Unit,
    is_log: bool,
}

impl Axis {
    pub(super) const fn linear(title: &'static str, unit: Unit) -> Self {
        Self { title, unit, is_log: false }
    }

    pub(super) const fn log(title: &'static str, unit: Unit) -> Self {
        Self { title, unit, is_log: true }
    }

    /// The scale for these values.
    pub(super) fn scale(&self, values: impl Iterator<Item = f64>) -> Scale {
        let finite = values.filter(|value| value.is_finite());
        let (low, high) = finite.fold((f64::MAX, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let low = low.min(high);
        let marks = match (self.is_log, self.unit) {
            (true, Unit::Percentile) => percentile_marks(high),
            (true, _) => log_marks(low, high),
            (false, _) => linear_marks(high),
        };
        Scale { marks, unit: self.unit, is_log: self.is_log }
    }
}

/// Where values lie, from 0 to 1.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    /// Two at the least, rising: the first and the last are the axis' ends.
    pub(super) marks: Vec<f64>,
    unit: Unit,
    is_log: bool,
}

impl Scale {
    /// The place of a value, from 0 to 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        let (from, to) = (self.marks.first().copied().unwrap_or(0.0), self.marks.last().copied().unwrap_or(1.0));
        let value = if value.is_finite() { value.clamp(from, to) } else { to };
        if self.is_log { (value / from).ln() / (to / from).ln() } else { (value - from) / (to - from) }
    }

    pub(super) fn label(&self, value: f64) -> String {
        self.unit.label(value)
    }

    /// Whether a value lies below the axis and is drawn at its lower end.
    pub(super) fn is_below(&self, value: f64) -> bool {
        self.marks.first().is_some_and(|first| value < *first)
    }
}

/// 0 and round steps to above `high`.
pub(super) fn linear_marks(high: f64) -> Vec<f64> {
    let high = if high.is_finite() && 0.0 < high { high } else { 1.0 };
    let step = round_up(high / MARK_COUNT_MAX);
    let mut marks = vec![0.0];
    let mut count = 0.0;
    while marks.last().is_some_and(|last| *last < high) {
        count += 1.0;
        marks.push(step * count);
    }
    marks
}

/// The smallest of 1, 2 and 5 times powers of ten that is not below a value.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    // A hair of tolerance, since powers of ten are not exact.
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|round| value <= round * 1.000_001)
        .unwrap_or(10.0 * power)
}

/// Powers of ten around what is drawn, or 1, 2 and 5 times them where few powers would do.
pub(super) fn log_marks(low: f64, high: f64) -> Vec<f64> {
    let (low, high) = (low.max(1.0), high.max(1.0));
    let (from, to) = (exponent(low), exponent(high));
    let is_wide = WIDE_DECADES <= to - from;
    let digits: &[f64] = if is_wide { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let decades = from..=to.saturating_add(1);
    let all: Vec<f64> =
        decades.flat_map(|exponent| digits.iter().map(move |digit| digit * 10_f64.powi(exponent))).collect();
    // From the last mark not above what is drawn to the first not below it, and two at the least.
    let first = all.iter().rposition(|mark| *mark <= low * 1.000_001).unwrap_or(0);
    let last = all.iter().position(|mark| high <= mark * 1.000_001).unwrap_or(all.len());
    let marks: Vec<f64> = all.into_iter().take(last.max(first + 1) + 1).skip(first).collect();
    debug_assert!(2 <= marks.len(), "an axis has two ends");
    marks
}

/// The power of ten not above a value from 1 on.
fn exponent(value: f64) -> i32 {
    (0..308).find(|exponent| value < 10_f64.powi(exponent + 1) * 0.999_999).unwrap_or(308)
}

/// Nothing, one half, and as many nines as are reached.
fn percentile_marks(high: f64) -> Vec<f64> {
    let mut marks = vec![1.0, 2.0, 10.0];
    while marks.last().is_some_and(|last| last * 1.001 < high && *last < 1e12) {
        marks.extend(marks.last().copied().map(|last| last * 10.0));
    }
    marks
}
