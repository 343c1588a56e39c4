//! `annals bench` from outside: every mode in a short run, its JSON object, its report, and what it refuses.
//!
//! No figure is compared with any that was hoped for: what is compared is that figures agree with each other, that nothing
//! acknowledged was lost, and that fields which others read keep their names.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tests"
)]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn bench(directory: &Path, arguments: &str) -> Output {
    let words = ["bench"].into_iter().chain(arguments.split_whitespace());
    Command::new(env!("CARGO_BIN_EXE_annals")).current_dir(directory).args(words).output().unwrap()
}

/// A short run of one shape, so that the records that one has signed serve the next.
fn run(directory: &Path, arguments: &str) -> Value {
    let arguments = format!("--seconds 1 --warmup 0 --authors 16 --dir . --json {arguments}");
    let output = bench(directory, &arguments);
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    let object = serde_json::from_slice(&output.stdout).unwrap();
    holds_together(&arguments, &object);
    object
}

fn number(object: &Value, pointer: &str) -> u64 {
    object.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no number at {pointer} in {object}"))
}

/// What every load says, and how it has to agree.
fn holds_together(arguments: &str, object: &Value) {
    let at = |pointer: &str| number(object, pointer);
    for pointer in [
        "/records_per_s",
        "/items_per_s",
        "/mb_per_s",
        "/rss_mib",
        "/load_rss_mib",
        "/engine_memory_mib",
        "/workload_mib",
        "/runway_left_mib",
        "/latency_us/p90",
    ] {
        at(pointer);
    }
    for pointer in ["/ceiling/verify_records_per_s", "/ceiling/disk_mb_per_s", "/ceiling/durable_4k_write_us_p50"] {
        assert!(0 < at(pointer), "{arguments}: {pointer}");
    }
    assert_eq!(object["durable"], true);
    assert!(object["cpu_us_per_record"].is_number());
    let (reached, ceiling) = match object["mode"].as_str() {
        Some("bundles") => ("/mb_per_s", "/ceiling/disk_mb_per_s"),
        Some("latency") => ("/latency_us/p50", "/ceiling/durable_4k_write_us_p50"),
        _ => ("/records_per_s", "/ceiling/verify_records_per_s"),
    };
    let thousandths = at(reached) * 1000 / at(ceiling);
    let told = (object["ratio_to_ceiling"].as_f64().unwrap() * 1000.0) as u64;
    assert!(
        told.abs_diff(thousandths) <= 1,
        "{arguments}: {told} thousandths of the ceiling, by the figures {thousandths}"
    );
    let (records, acknowledged) = (at("/records"), at("/acknowledged"));
    assert!(0 < records && records <= acknowledged, "{arguments}: {object}");
    assert_eq!(at("/read_back_records"), acknowledged, "{arguments}: as many as were acknowledged were read again");
    let quantiles = ["p50", "p90", "p99", "p999", "max"].map(|name| at(&format!("/latency_us/{name}")));
    assert!(0 < quantiles[0] && quantiles.is_sorted(), "{arguments}: {quantiles:?}");
    let moments = object["over_time"].as_array().unwrap();
    let counted: u64 = moments.iter().map(|moment| number(moment, "/records")).sum();
    assert_eq!(counted, records, "{arguments}: each record that counts is in one moment");
    assert!(moments.iter().enumerate().all(|(place, moment)| number(moment, "/at_ms") == 100 * place as u64));
    // Head and payload, at least; the log is never smaller than what it holds.
    assert!(256 <= at("/written_bytes_per_record"), "{arguments}");
    assert!(at("/written_bytes_per_record") <= at("/written_with_runway_bytes_per_record"), "{arguments}");
    assert!(256 <= at("/disk_bytes_per_record") && 1 <= at("/segments"), "{arguments}");
}

#[test]
fn every_mode_tells_figures_that_agree() {
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &str| run(directory.path(), &format!("--payload 64 --sources 8 {arguments}"));
    // The one that needs most comes first.
    let bad = run("--mode records --bad 50");
    assert_eq!(
        (&bad["mode"], &bad["attack"]["kind"], &bad["attack"]["one_in"]),
        (&"records".into(), &"bad".into(), &50.into())
    );
    let (attempts, refused) = (number(&bad, "/attack/attempts"), number(&bad, "/attack/refused"));
    assert!(0 < refused && refused.abs_diff(attempts / 50) <= 1, "one in fifty: {refused} of {attempts}");
    for field in ["clean_records_per_s", "others_p99_us", "others_clean_p99_us"] {
        assert!(0 < number(&bad, &format!("/{field}")), "{field}");
    }
    assert!(bad["ratio_to_clean"].is_number() && bad["others_p99_ratio"].is_number());
    let stale = run("--mode records --nonces stale");
    assert_eq!(stale["attack"]["kind"], "stale");
    let (attempts, refused) = (number(&stale, "/attack/attempts"), number(&stale, "/attack/refused"));
    assert!(0 < refused && refused == attempts, "all are refused: {refused} of {attempts}");

    let open = run("--mode open --rate 2000");
    assert_eq!((number(&open, "/rate"), number(&open, "/records") + number(&open, "/unsent")), (2000, 2000));
    assert!(0 < number(&open, "/saturation_records_per_s") && 0 < number(&open, "/late_us"));
    number(&open, "/refused_attempts");
    let part = run("--mode open");
    assert_eq!(number(&part, "/rate"), number(&part, "/saturation_records_per_s") * 4 / 10);

    let overload = run("--mode overload --times 20");
    let (attempts, refused) = (number(&overload, "/attempts"), number(&overload, "/refused"));
    assert!(number(&overload, "/records") <= number(&overload, "/acknowledged") && refused <= attempts);
    assert_eq!(refused == 0, number(&overload, "/refusal_ns") == 0, "a refusal takes some time");
    assert!(0 < number(&overload, "/attempts_per_s") && overload["ratio_to_saturation"].is_number());

    let lone = run("--mode latency");
    assert!(number(&lone, "/latency_us/p50") < 1_000_000 && lone["mode"] == "latency");
    let records = run("--mode records --report report.html");
    assert_eq!((records["mode"].as_str(), records["sources"].as_u64()), (Some("records"), Some(8)));
    let report = std::fs::read_to_string(directory.path().join("report.html")).unwrap();
    assert!(report.contains("<!doctype html>") && report.contains("annals bench"), "a page");
    // What was measured reaches it in the units that it takes.
    for words in
        ["records/s on average over", "The worst interval ended at", "99.99% of the records were answered within"]
    {
        assert!(report.contains(words), "{words}: {report}");
    }
    let left: Vec<_> = directory.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the prepared records and the report, no ledger and no key: {left:?}");
}

#[test]
fn bundles_share_payloads_and_are_distinct_records() {
    let directory = tempfile::tempdir().unwrap();
    let bundles = run(directory.path(), "--mode bundles --items 256 --payload 256");
    assert_eq!(number(&bundles, "/sources"), 2);
    let (records, items) = (number(&bundles, "/records_per_s"), number(&bundles, "/items_per_s"));
    assert!(items.abs_diff(records * 256) <= 256, "{items} items of {records} records");
    assert!(256 * 256 <= number(&bundles, "/disk_bytes_per_record"));
    let large = run(directory.path(), "--mode records --payload 1048576");
    assert!((1 << 20) <= number(&large, "/disk_bytes_per_record"), "without a prepared file of gigabytes");
    assert!(number(&large, "/workload_mib") < 16);
}

#[test]
fn whole_cases_come_to_their_end() {
    let directory = tempfile::tempdir().unwrap();
    let output = bench(directory.path(), "--mode cases --cases 9 --authors 12 --dir . --json");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(number(&object, "/cases_looked_at"), 9, "every case was decided, served, paid and closed");
    assert_eq!((number(&object, "/cases"), number(&object, "/records")), (9, 9 * 18));
    assert!(0 < number(&object, "/records_per_s") && 0 < number(&object, "/alone/apply_records_per_s"));
    // A leaf a case, and what the platform was made with.
    assert!(9 < number(&object, "/state_leaves"));
    assert_eq!(object["growth"].as_array().unwrap().last().unwrap()["cases"], 9);
    let refused = bench(directory.path(), "--mode cases --cases 9 --seconds 1");
    assert_eq!(refused.status.code(), Some(64), "how many, or how long");
    assert_eq!(bench(directory.path(), "--mode read --cases 9").status.code(), Some(64));
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_made() {
    let directory = tempfile::tempdir().unwrap();
    for report in ["no/such/report.html", "."] {
        let nowhere = bench(directory.path(), &format!("--mode records --report {report} --dir made"));
        assert_eq!(nowhere.status.code(), Some(74), "{report}: {}", String::from_utf8_lossy(&nowhere.stderr));
    }
    for (arguments, words) in [
        ("--mode records --rate 1000", "--mode open"),
        ("--mode records --times 5", "--mode overload"),
        ("--mode latency --items 5", "--mode bundles"),
        ("--mode latency --bad 5", "--mode records"),
        ("--mode records --bad 5 --nonces stale", "one at a time"),
        ("--mode records --sources 9 --authors 8", "--authors"),
        ("--mode nonsense", "possible values"),
        ("--mode records --seconds 0", "--seconds"),
        ("--mode open --rate 0", "--rate"),
    ] {
        let output = bench(directory.path(), &format!("{arguments} --dir made"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(64), 0), "{arguments}: {stderr}");
        assert!(stderr.contains(words), "{arguments}: {stderr}");
        assert!(!directory.path().join("made").exists());
    }
}

#[test]
fn words_are_for_people() {
    let directory = tempfile::tempdir().unwrap();
    let output = bench(directory.path(), "--mode latency --seconds 1 --warmup 0 --payload 64 --dir .");
    let words = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    for expected in ["records", "throughput", "latency", "ceilings", "durable"] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    assert!(words.lines().all(|line| line.len() < 160), "{words}");
}
