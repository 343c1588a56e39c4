//! A chart of lines as inline SVG: axes, grid, legend, lines, and a dot where a line has a single point.
#![expect(clippy::float_arithmetic, reason = "coordinates of a chart")]

use super::Escaped;
use super::axis::{Axis, Scale};
use std::fmt::{self, Write as _};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 34.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 50.0;
/// Points of all lines together that are drawn as dots, with their values to be read by pointing at them.
const DOT_COUNT_MAX: usize = 200;

/// How a line looks; the style sheet has colours and dashes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Style {
    First,
    Second,
    Third,
    /// No measurement, but something to compare with.
    Aid,
}

impl Style {
    const fn class(self) -> &'static str {
        match self {
            Self::First => "s0",
            Self::Second => "s1",
            Self::Third => "s2",
            Self::Aid => "s3",
        }
    }
}

/// A line; it breaks where there is no value.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) style: Style,
    pub(super) points: Vec<(f64, Option<f64>)>,
}

/// A chart.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) series: Vec<Series>,
}

/// Both scales of a chart.
struct Field {
    x: Scale,
    y: Scale,
}

impl Field {
    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM)
    }
}

impl Chart {
    /// Draws the chart; `name` is what it is called where it can't be seen.
    pub(super) fn draw(&self, name: &str, out: &mut String) -> fmt::Result {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let values = || points().filter_map(|(_, value)| *value);
        let field = Field { x: self.x.scale(points().map(|(x, _)| *x)), y: self.y.scale(values()) };
        self.draw_legend(out)?;
        write!(
            out,
            "<div class=\"wide\"><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\"><title>{}</title>",
            Escaped(name)
        )?;
        self.draw_axes(&field, out)?;
        let with_dots = points().count() <= DOT_COUNT_MAX;
        for series in &self.series {
            series.draw(&field, with_dots, out)?;
        }
        out.write_str("</svg></div>")?;
        if values().any(|value| field.y.is_below(value)) {
            let end = field.y.marks.first().copied().unwrap_or_default();
            write!(out, "<p class=\"note\">What is below {} is drawn there.</p>", Escaped(&field.y.label(end)))?;
        }
        Ok(())
    }

    fn draw_axes(&self, field: &Field, out: &mut String) -> fmt::Result {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for mark in &field.y.marks {
            let (y, label) = (field.y(*mark), field.y.label(*mark));
            write!(out, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>")?;
            let (x, y) = (LEFT - 8.0, y + 4.0);
            write!(out, "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", Escaped(&label))?;
        }
        for mark in &field.x.marks {
            let (x, label) = (field.x(*mark), field.x.label(*mark));
            write!(out, "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>")?;
            let y = bottom + 18.0;
            write!(out, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", Escaped(&label))?;
        }
        let (x, y) = (f64::midpoint(LEFT, right), HEIGHT - 8.0);
        write!(out, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", Escaped(self.x.title))?;
        write!(out, "<text x=\"{LEFT}\" y=\"12\">{}</text>", Escaped(self.y.title))
    }

    /// Beside the chart and not in it, so that it wraps on a narrow screen; a single line is named by its axis.
    fn draw_legend(&self, out: &mut String) -> fmt::Result {
        if self.series.len() < 2 {
            return Ok(());
        }
        out.write_str("<ul class=\"legend\">")?;
        for series in &self.series {
            write!(out, "<li><svg viewBox=\"0 0 28 8\"><line class=\"line {}\" x1=\"1\"", series.style.class())?;
            write!(out, " x2=\"27\" y1=\"4\" y2=\"4\"/></svg>{}</li>", Escaped(series.name))?;
        }
        out.write_str("</ul>")
    }
}

impl Series {
    fn draw(&self, field: &Field, with_dots: bool, out: &mut String) -> fmt::Result {
        let class = self.style.class();
        for line in self.points.split(|(_, value)| value.is_none()) {
            let points = || line.iter().filter_map(|(x, value)| value.map(|y| (*x, y)));
            if 1 < line.len() {
                write!(out, "<polyline class=\"line {class}\" points=\"")?;
                for (x, y) in points() {
                    write!(out, "{:.1},{:.1} ", field.x(x), field.y(y))?;
                }
                out.write_str("\"/>")?;
            }
            // A point with no neighbours is no line: without its dot it would not be seen.
            let is_dotted = line.len() == 1 || with_dots && !matches!(self.style, Style::Aid);
            for (x, y) in points().filter(|_| is_dotted) {
                let label = format!("{}: {} at {}", self.name, field.y.label(y), field.x.label(x));
                let (x, y) = (field.x(x), field.y(y));
                write!(out, "<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\">")?;
                write!(out, "<title>{}</title></circle>", Escaped(&label))?;
            }
        }
        Ok(())
    }
}
