//! The benches of reading, tiny: they run, check what they read, and print what they say they print.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Figures of one mode, over a small ledger that is kept in the directory.
fn figures(directory: &Path, mode: &str) -> Value {
    let size = if mode == "reopen" { "--gib 0" } else { "--seconds 1 --records 3000 --authors 3" };
    let arguments = ["bench", "--json", "--mode", mode].into_iter().chain(size.split(' '));
    let output =
        Command::new(env!("CARGO_BIN_EXE_annals")).args(arguments).arg("--dir").arg(directory).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{mode}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A number above 0.
fn positive(figures: &Value, path: &str) -> f64 {
    let number = figures.pointer(path).and_then(Value::as_f64);
    assert!(number.is_some_and(|number| 0.0 < number), "{path}: {figures}");
    number.unwrap()
}

#[test]
fn every_way_of_reading_is_measured() {
    let directory = tempfile::tempdir().unwrap();
    let read = figures(directory.path(), "read");
    for question in ["get_us", "prove_us", "find_id_us", "find_nonce_us"] {
        for figure in ["answers", "p50", "p99", "max"] {
            positive(&read, &format!("/{question}/{figure}"));
        }
        assert!(positive(&read, &format!("/{question}/p50")) <= positive(&read, &format!("/{question}/p99")));
    }
    let ceilings = ["direct_gb_per_s", "cached_gb_per_s", "cached_and_summed_gb_per_s"];
    for path in ["/scan/records_per_s", "/scan/gb_per_s", "/ratio_to_ceiling", "/used_bytes"] {
        positive(&read, path);
    }
    for ceiling in ceilings {
        positive(&read, &format!("/ceiling/{ceiling}"));
    }
    assert_eq!(positive(&read, "/record_bytes"), positive(&read, "/records") * (192.0 + 256.0));

    // The ledger that the first one made is used again.
    let made = std::fs::metadata(directory.path().join("reading-256-3/segments/0000000000.seg")).unwrap();
    let follow = figures(directory.path(), "follow");
    assert_eq!(follow.get("records"), read.get("records"));
    for path in ["/records_per_s", "/gb_per_s", "/open_ms", "/follow_ms"] {
        positive(&follow, path);
    }
    let check = figures(directory.path(), "check");
    for kind in ["without_signatures", "with_signatures"] {
        for figure in ["ms", "gb_per_s", "records_per_s", "ratio_to_ceiling"] {
            positive(&check, &format!("/{kind}/{figure}"));
        }
    }
    positive(&check, "/ceiling/hash_records_per_s");
    positive(&check, "/ceiling/verify_records_per_s");
    let kept = std::fs::metadata(directory.path().join("reading-256-3/segments/0000000000.seg")).unwrap();
    assert_eq!(made.modified().unwrap(), kept.modified().unwrap());
}

#[test]
fn a_killed_writer_loses_nothing_and_its_ledger_opens_again() {
    let directory = tempfile::tempdir().unwrap();
    let reopen = figures(directory.path(), "reopen");
    for ledger in ["one_segment", "all_segments"] {
        for figure in ["open_ms/p50", "open_ms/max", "first_ack_ms/p50", "first_ack_ms/max", "bytes", "segments"] {
            positive(&reopen, &format!("/{ledger}/{figure}"));
        }
    }
    assert!(positive(&reopen, "/one_segment/bytes") < positive(&reopen, "/all_segments/bytes"));
    positive(&reopen, "/ratio_of_all_to_one");
}

#[test]
fn without_json_each_figure_has_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["bench", "--mode", "read", "--seconds", "1", "--records", "500", "--authors", "2", "--dir"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_annals"));
    let output = command.args(arguments).arg(directory.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().any(|line| line.starts_with("get_us.p50 ")), "{text}");
}

#[test]
fn what_a_mode_has_no_use_for_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, words) in [
        ("--mode read --warmup 1", "--warmup"),
        ("--mode follow --sources 2", "--sources"),
        ("--mode check --producers 2", "--producers"),
        ("--mode read --report report.html", "--report"),
        ("--mode read --gib 1", "--records"),
        ("--mode reopen --seconds 3", "--gib"),
        ("--mode reopen --payload 64", "--gib"),
        ("--mode reopen --authors 2", "--gib"),
        ("--mode reopen --records 5", "--gib"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_annals"));
        let made = directory.path().join("made");
        let output = command.arg("bench").args(arguments.split(' ')).arg("--dir").arg(&made).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{arguments}: {said}");
        assert!(said.contains(words) && !made.exists(), "{arguments}: {said}");
    }
}

#[test]
fn a_bench_that_ends_leaves_no_writer_behind() {
    let directory = tempfile::tempdir().unwrap();
    figures(directory.path(), "reopen");
    // Linux counts a process as orphaned when the thread that started it has ended (prctl(2), PR_SET_PDEATHSIG).
    let ledger = directory.path().join("reopen-0");
    let starting = std::thread::spawn(move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_annals"));
        command.args(["bench", "--mode", "reopen", "--victim"]).arg(ledger);
        let mut writer = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(writer.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        assert!(line.trim().parse::<u64>().is_ok(), "it appends: {line}");
        writer
    });
    let mut writer = starting.join().unwrap();
    let ended = (0..500).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        writer.try_wait().unwrap()
    });
    writer.kill().unwrap();
    assert_eq!(ended.and_then(|status| status.signal()), Some(9), "it is killed with whoever started it");
}
