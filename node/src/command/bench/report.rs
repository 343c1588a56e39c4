//! The report of a run: a placeholder of the page that shows it.
#![allow(dead_code, reason = "the page shows all of it")]

use std::path::Path;

#[derive(Debug)]
pub(crate) struct Report {
    pub title: String,
    pub command: String,
    pub machine: Vec<(String, String)>,
    pub summary: Vec<(String, String)>,
    pub over_time: Vec<Moment>,
    pub percentiles: Vec<(f64, u64)>,
    pub load_curve: Vec<LoadPoint>,
}

#[derive(Debug)]
pub(crate) struct Moment {
    pub at_ms: u64,
    pub interval_ms: u64,
    pub records: u64,
    pub p50_us: u64,
    pub p99_us: u64,
}

#[derive(Debug)]
pub(crate) struct LoadPoint {
    pub offered_per_s: u64,
    pub done_per_s: u64,
    pub p50_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
}

pub(crate) fn write(report: &Report, path: &Path) -> std::io::Result<()> {
    std::fs::write(path, format!("<!doctype html><title>{}</title>\n<pre>{report:?}</pre>\n", report.title))
}
