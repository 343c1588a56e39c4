//! An idle ledger costs nothing: no processor time, and no thread that wakes up to look.
//!
//! The binary is left waiting for a line that does not come, with the ledger open for writing; the kernel's own counts
//! of its threads tell. After the last record the engine marks idleness once, 50 ms later; from then on it must be still.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "tests")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How often each thread has gone to sleep of its own accord, by its name and number.
fn switches(process: u32) -> BTreeMap<String, u64> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let count = |thread: &Path| {
        let status = std::fs::read_to_string(thread.join("status")).unwrap();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        (field("Name:") + &thread.display().to_string(), field("voluntary_ctxt_switches:").parse().unwrap())
    };
    threads.map(|thread| count(&thread.unwrap().path())).collect()
}

/// Processor time of a process so far, in ticks of the kernel's clock, of which there are 100 a second.
fn ticks(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // Fields 14 and 15 of proc_pid_stat(5), counted behind the second.
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn run(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_annals")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A writer that has appended one line and waits for the next.
fn waiting_writer(directory: &Path) -> Child {
    let at = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let author = run(&["keygen", "--out", &at("key")]);
    run(&["init", &at("ledger"), "--origin", "annals.example/idle", "--author", &author]);
    let mut writer = Command::new(env!("CARGO_BIN_EXE_annals"))
        .args(["append", &at("ledger"), "--key", &at("key"), "--kind", "65536", "--lines", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(writer.stdin.as_mut().unwrap(), "the only line").unwrap();
    let mut receipt = String::new();
    BufReader::new(writer.stdout.as_mut().unwrap()).read_line(&mut receipt).unwrap();
    assert!(receipt.contains("\"seq\""), "{receipt}");
    writer
}

#[test]
fn an_idle_writer_sleeps_in_all_its_threads() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = waiting_writer(directory.path());
    // The mark of idleness, and the zeros ahead of the data, which are readied once.
    std::thread::sleep(Duration::from_secs(1));
    let (before, ticks_before) = (switches(writer.id()), ticks(writer.id()));
    std::thread::sleep(Duration::from_secs(2));
    let (after, ticks_after) = (switches(writer.id()), ticks(writer.id()));
    drop(writer.stdin.take());
    assert!(writer.wait().unwrap().success());
    assert!(2 < before.len(), "the engine, a worker, the main thread: {before:?}");
    assert_eq!(before, after, "no thread has woken up");
    // Below 1% of one processor: two ticks in two seconds.
    assert!(ticks_after - ticks_before < 2, "{} ticks", ticks_after - ticks_before);
}
