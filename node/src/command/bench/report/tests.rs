//! Whatever is measured, the page is whole, escaped and readable.
#![allow(clippy::unwrap_used, clippy::float_arithmetic, clippy::float_cmp, reason = "tests")]

use super::axis::{Axis, Unit, linear_marks, log_marks, number};
use super::{LoadPoint, Moment, Report, duration, grouped, render, write};

fn page(report: &Report) -> String {
    let mut page = String::new();
    render(report, &mut page).unwrap();
    check(&page);
    page
}

/// A tiny parser: every tag is closed in order, attributes are quoted, and numbers are numbers.
fn check(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page.strip_prefix("<!doctype html>").unwrap();
    while let Some(at) = rest.find('<') {
        let text = &rest.get(..at).unwrap();
        assert!(open.last() == Some(&"style") || !text.contains('>'), "unescaped text: {text}");
        let tag = rest.get(at + 1..).unwrap();
        let end = tag.find('>').unwrap();
        let inside = tag.get(..end).unwrap();
        rest = tag.get(end + 1..).unwrap();
        assert_eq!(inside.matches('"').count() % 2, 0, "quotes: {inside}");
        if let Some(name) = inside.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closed in order");
        } else if !inside.ends_with('/') && !inside.starts_with("meta ") {
            open.push(inside.split(' ').next().unwrap());
        }
    }
    assert!(open.is_empty(), "not closed: {open:?}");
    assert!(!page.contains("NaN") && !page.contains("inf"), "every number is one");
    assert!(!page.contains("http") && !page.contains("<script"), "nothing from elsewhere, nothing that runs");
}

/// Charts, without the strokes of their legends.
fn charts(page: &str) -> usize {
    page.matches("<svg viewBox=\"0 0 860 ").count()
}

fn moment(at_ms: u64, records: u64, p50_us: u64, p99_us: u64) -> Moment {
    Moment { at_ms, interval_ms: 250, records, p50_us, p99_us }
}

fn point(offered_per_s: u64, done_per_s: u64, p50_us: u64) -> LoadPoint {
    LoadPoint { offered_per_s, done_per_s, p50_us, p99_us: p50_us.saturating_mul(3), p999_us: p50_us.saturating_mul(9) }
}

fn full() -> Report {
    Report {
        title: "Annals bench: records of 256 bytes".to_owned(),
        question: "How many records a second are durable.".to_owned(),
        highlights: vec![("records/s, durable", "282,000".to_owned()), ("99th percentile", "90 ms".to_owned())],
        ceiling_per_s: Some(480_000),
        command: "annals bench --mode records --seconds 10 --report report.html".to_owned(),
        machine: vec![("cores".to_owned(), "2".to_owned()), ("kernel".to_owned(), "Linux 6.18".to_owned())],
        summary: vec![("records/s".to_owned(), "282,000".to_owned())],
        over_time: (0..40)
            .map(|at| moment(250 * at, 70_000 - 1000 * (at % 7), 50_000 + 900 * (at % 5), 90_000))
            .collect(),
        quantiles: vec![(0.0, 40), (0.5, 66), (0.9, 80), (0.99, 150), (0.999, 400), (0.9999, 2100), (1.0, 9000)],
        load_curve: (1..=10)
            .map(|step| point(30_000 * step, (30_000 * step).min(270_000), 60 + step * step * step * 20))
            .collect(),
    }
}

#[test]
fn all_that_is_measured_is_shown() {
    let page = page(&full());
    assert_eq!(charts(&page), 5);
    assert!(!page.contains("Not measured"));
    for words in [
        "records/s on average over 10 s",
        "p99.9",
        "99.99%",
        "99%",
        "50%",
        "log scale",
        "99.99% of the records",
        "How many records",
        "282,000",
        "99th percentile",
        "ceiling: verifying",
        "--mode records",
        "Linux 6.18",
        "270,000",
    ] {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn what_is_not_measured_is_left_out_and_said() {
    let empty = page(&Report::default());
    assert_eq!((charts(&empty), empty.matches("Not measured").count()), (0, 7));
    let silent = page(&Report { over_time: vec![moment(250, 0, 0, 0)], ..Report::default() });
    assert_eq!((charts(&silent), silent.matches("Not measured").count()), (1, 6));
}

#[test]
fn more_than_the_ceiling_is_not_passed_over() {
    let busy = |ceiling| page(&Report { ceiling_per_s: ceiling, ..full() }).contains("was busy");
    assert_eq!([Some(480_000), Some(100_000), None].map(busy), [false, true, false]);
}

#[test]
fn an_interval_is_shown_where_it_ends() {
    let page = page(&Report { over_time: vec![moment(0, 9, 5, 6), moment(250, 9, 5, 7)], ..Report::default() });
    for words in ["over 0.5 s", "The worst interval ended at 0.5 s", "p50: 5 µs at 0.25 s", "p99: 7 µs at 0.5 s"] {
        assert!(page.contains(words), "{words}");
    }
    assert!(!page.contains("at 0 s"), "nothing was answered before the start");
}

#[test]
fn odd_figures_make_a_whole_page() {
    let huge = u64::MAX;
    let reports = [
        Report {
            over_time: vec![moment(250, 1, 7, 7)],
            quantiles: vec![(0.5, 7)],
            load_curve: vec![point(1, 1, 7)],
            ..full()
        },
        Report { over_time: vec![moment(0, 1, 0, 0), moment(250, 0, 0, 0), moment(500, 2, 0, 1)], ..full() },
        Report {
            over_time: vec![moment(huge, huge, huge, huge); 3],
            load_curve: vec![point(huge, huge, huge); 2],
            ..full()
        },
        Report { quantiles: vec![(0.5, 0), (0.999_999_999, huge), (f64::NAN, 3), (1.5, 3), (-1.0, 3)], ..full() },
        Report {
            load_curve: vec![point(0, 0, 0)],
            over_time: vec![Moment { interval_ms: 0, ..moment(0, 5, 1, 1) }],
            ..full()
        },
    ];
    for report in &reports {
        page(report);
    }
    assert!(page(reports.get(1).unwrap()).contains("is drawn there"), "latencies of 0 are said to be drawn elsewhere");
    assert_eq!(charts(&page(reports.first().unwrap())), 5);
}

#[test]
fn text_is_never_markup() {
    let evil = "<script>alert('x')</script>\" & \u{0}".to_owned();
    let report = Report {
        title: evil.clone(),
        question: evil.clone(),
        highlights: vec![("evil", evil.clone())],
        command: evil.clone(),
        machine: vec![(evil.clone(), evil.clone())],
        summary: vec![(evil.clone(), evil)],
        ..full()
    };
    let page = page(&report);
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot; &amp; \u{fffd}"));
}

#[test]
fn marks_are_round_and_around_what_is_drawn() {
    let linear: &[(f64, &[f64])] = &[
        (0.0, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (6.0, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        (6.1, &[0.0, 2.0, 4.0, 6.0, 8.0]),
        (282_000.0, &[0.0, 50_000.0, 100_000.0, 150_000.0, 200_000.0, 250_000.0, 300_000.0]),
    ];
    for (high, expected) in linear {
        let marks = linear_marks(*high);
        let near = marks.iter().zip(*expected).all(|(mark, expected)| (mark - expected).abs() < 1e-9);
        assert!(near && marks.len() == expected.len(), "{high}: {marks:?}");
    }
    let log: &[(f64, f64, &[f64])] = &[
        (0.0, 0.0, &[1.0, 2.0]),
        (7.0, 7.0, &[5.0, 10.0]),
        (66.0, 150.0, &[50.0, 100.0, 200.0]),
        (1000.0, 1000.0, &[1000.0, 2000.0]),
        (40.0, 55_000.0, &[10.0, 100.0, 1000.0, 10_000.0, 100_000.0]),
    ];
    for (low, high, expected) in log {
        assert_eq!(log_marks(*low, *high), *expected, "{low} to {high}");
    }
    for value in (0..200).map(|power| 1.35_f64.powi(power)) {
        let (linear, log) = (linear_marks(value), log_marks(value / 3.0, value));
        assert!(linear.len() <= 8 && value <= linear.last().unwrap() * 1.000_01, "{value}: {linear:?}");
        assert!((2..=8).contains(&log.len()) && value <= log.last().unwrap() * 1.000_01, "{value}: {log:?}");
    }
}

#[test]
fn values_lie_within_their_axis() {
    let scale = Axis::log("", Unit::Micros).scale([0.0, 10.0, 1000.0].into_iter());
    let places = [-5.0, 0.0, 1.0, 1000.0, 1e30, f64::NAN].map(|value| scale.place(value));
    assert_eq!(places, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    assert!((scale.place(10.0) - 1.0 / 3.0).abs() < 1e-9, "a decade is a decade");
    assert!(scale.is_below(0.0) && !scale.is_below(1.0));
}

#[test]
fn labels_are_short_and_have_units() {
    let table = [
        (Unit::Count, 282_000.0, "282k"),
        (Unit::Count, 1_500_000.0, "1.5M"),
        (Unit::Count, 0.0, "0"),
        (Unit::Seconds, 2.5, "2.5 s"),
        (Unit::Micros, 66.0, "66 µs"),
        (Unit::Micros, 1500.0, "1.5 ms"),
        (Unit::Micros, 12_000_000.0, "12 s"),
        (Unit::Percentile, 1.0, "0%"),
        (Unit::Percentile, 2.0, "50%"),
        (Unit::Percentile, 10.0, "90%"),
        (Unit::Percentile, 100.0, "99%"),
        (Unit::Percentile, 1000.0, "99.9%"),
        (Unit::Percentile, 1.0 / (1.0 - 0.9999), "99.99%"),
    ];
    for (unit, value, label) in table {
        assert_eq!(unit.label(value), label);
    }
    assert_eq!(number(999.0), "999");
    assert_eq!([0, 999, 1000, 282_000, 1_234_567].map(grouped), ["0", "999", "1,000", "282,000", "1,234,567"]);
    assert_eq!((duration(66), duration(1500)), ("66 µs".to_owned(), "1.5 ms".to_owned()));
}

#[test]
fn a_report_replaces_what_was_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.html");
    std::fs::write(&path, "old").unwrap();
    write(&full(), &path).unwrap();
    assert!(std::fs::read_to_string(&path).unwrap().ends_with("</html>\n"));
    assert!(write(&full(), &directory.path().join("no/such/report.html")).is_err());
}
