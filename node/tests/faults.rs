//! The binary under faults: killed at any moment, run again, fed bad input, run twice at once.
//!
//! Killing is real (SIGKILL to the process), so what survives is what the kernel has of its writes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

use serde_json::Value;
use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

struct Bench {
    directory: TempDir,
    vkey: String,
}

fn annals(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_annals")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs a command that succeeds; its standard output.
fn good(arguments: &[&str]) -> String {
    let output = annals(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

impl Bench {
    /// A ledger with small segments, and an author's key.
    fn new() -> Self {
        let mut bench = Self { directory: tempfile::tempdir().unwrap(), vkey: String::new() };
        let author = good(&["keygen", "--out", &bench.at("key")]);
        let size = (2 << 20).to_string();
        let arguments = [
            "init",
            &bench.at("ledger"),
            "--origin",
            "annals.example/faults",
            "--author",
            author.trim(),
            "--segment-size",
            &size,
        ];
        bench.vkey = good(&arguments).trim().to_owned();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn at(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn ledger(&self) -> String {
        self.at("ledger")
    }

    fn append(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_annals"));
        command.args(["append", &self.ledger(), "--key", &self.at("key")]).args(arguments);
        command
    }

    /// Starts an append and kills it after a while; the whole lines that it printed.
    fn killed(&self, arguments: &[&str], after: Duration) -> Vec<String> {
        let mut child = self.append(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            out.read_to_end(&mut all).unwrap();
            all
        });
        std::thread::park_timeout(after);
        child.kill().unwrap();
        child.wait().unwrap();
        let printed = text(&reading.join().unwrap());
        let whole = printed.rfind('\n').map_or(0, |end| end + 1);
        printed[..whole].lines().map(str::to_owned).collect()
    }

    fn verify(&self, receipt: &str, payload: &Path) {
        let path = self.path("receipt.json");
        std::fs::write(&path, receipt).unwrap();
        let arguments =
            ["verify", path.to_str().unwrap(), "--payload", payload.to_str().unwrap(), "--ledger-key", &self.vkey];
        good(&arguments);
    }

    fn check(&self) -> Value {
        serde_json::from_str(&good(&["check", &self.ledger(), "--json"])).unwrap()
    }

    /// What is recorded of the application's kinds, in order, by item for bundles.
    fn contents(&self) -> Vec<String> {
        let log = good(&["log", &self.ledger(), "--from", "1", "--json"]);
        let mut contents = Vec::new();
        for line in log.lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            let seq = record["seq"].to_string();
            match record["items"].as_u64().unwrap() {
                1 => contents.push(good(&["get", &self.ledger(), &seq])),
                items => contents
                    .extend((0..items).map(|item| good(&["get", &self.ledger(), &seq, "--item", &item.to_string()]))),
            }
        }
        contents
    }
}

fn seq(receipt: &str) -> u64 {
    serde_json::from_str::<Value>(receipt).unwrap()["seq"].as_u64().unwrap()
}

#[test]
fn every_receipt_printed_before_a_kill_holds_after_it() {
    let bench = Bench::new();
    let lines: String = (0..20_000).map(|line| format!("line {line} {}\n", "x".repeat(line % 700))).collect();
    std::fs::write(bench.path("lines"), &lines).unwrap();
    let (mut printed, mut cut_short) = (Vec::new(), 0);
    for round in 0..20u64 {
        let receipts = bench.killed(&["--lines", &bench.at("lines")], Duration::from_millis(15 + 13 * round));
        cut_short += usize::from(!receipts.is_empty() && receipts.len() < 20_000);
        printed.extend(receipts.into_iter().step_by(97));
        let report = bench.check();
        assert_eq!(report["sound"], true);
    }
    assert!(5 < cut_short, "only {cut_short} runs were killed amid their receipts");
    assert!(20 < printed.len());
    // Beside each other, since each is a process or two.
    for receipt in printed.iter().step_by((printed.len() / 50).max(1)) {
        let seq = seq(receipt).to_string();
        assert_eq!(good(&["prove", &bench.ledger(), &seq]).trim(), receipt, "prove gives the same object");
        good(&["get", &bench.ledger(), &seq, "--out", &bench.at(&format!("payload-{seq}"))]);
        bench.verify(receipt, &bench.path(&format!("payload-{seq}")));
    }
    assert_eq!(bench.check()["sound"], true);
}

/// Kills a job at 20 points, runs it to the end, and finds its lines once each, in one ledger.
fn job_is_exact(options: &[&str], line_count: usize) {
    let bench = Bench::new();
    // Equal lines, empty ones, and some that are unlike all others.
    let lines: Vec<String> =
        (0..line_count).map(|line| if line % 3 == 0 { "same".to_owned() } else { format!("{}", line / 2) }).collect();
    std::fs::write(bench.path("lines"), lines.join("\n") + "\n").unwrap();
    let (lines_path, job) = (bench.at("lines"), bench.at("job"));
    let arguments = [&["--job", &job, "--lines", &lines_path], options].concat();
    for point in 0..20u64 {
        bench.killed(&arguments, Duration::from_millis(4 + 4 * point));
    }
    let output = bench.append(&arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let first = text(&output.stdout);
    assert_eq!(bench.contents(), lines, "each line once, in order");
    let again = text(&bench.append(&arguments).output().unwrap().stdout);
    assert_eq!(again, first, "a run that is complete says the same again");
    assert_eq!(bench.check()["sound"], true);
}

#[test]
fn a_job_killed_at_twenty_points_records_every_line_once() {
    job_is_exact(&[], 300);
}

#[test]
fn a_job_of_bundles_killed_at_twenty_points_records_every_line_once() {
    job_is_exact(&["--bundle", "7"], 310);
}

#[test]
fn a_job_goes_on_after_somebody_else_used_its_nonces() {
    let bench = Bench::new();
    let lines: Vec<String> = (0..200).map(|line| format!("job line {line}")).collect();
    std::fs::write(bench.path("lines"), lines.join("\n") + "\n").unwrap();
    std::fs::write(bench.path("part"), lines[..20].join("\n") + "\n").unwrap();
    std::fs::write(bench.path("others"), "other\n".repeat(50)).unwrap();
    let job = bench.at("job");
    // The job's first twenty lines, then fifty others under the same key, then the whole job.
    assert!(bench.append(&["--job", &job, "--lines", &bench.at("part")]).output().unwrap().status.success());
    assert!(bench.append(&["--lines", &bench.at("others")]).output().unwrap().status.success());
    let output = bench.append(&["--job", &job, "--lines", &bench.at("lines")]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().count(), 200);
    let mut counts: HashMap<String, usize> = HashMap::new();
    bench.contents().into_iter().for_each(|content| *counts.entry(content).or_default() += 1);
    assert_eq!(counts.remove("other"), Some(50));
    assert_eq!(counts, lines.into_iter().map(|line| (line, 1)).collect());
    let wrong = bench.append(&["--job", &job, "--no-salt", "--lines", &bench.at("lines")]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(64), "a job's terms do not change");
}

#[test]
fn a_job_spares_other_files_and_counts_by_place() {
    let bench = Bench::new();
    for (name, text) in [("words", "no journal\nat all"), ("line", "one line\n"), ("bytes", "\u{fffd}")] {
        std::fs::write(bench.path(name), text).unwrap();
        let output = bench.append(&["--job", &bench.at(name), "--files", &bench.at("key")]).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{}", text_of(&output));
        assert_eq!(std::fs::read_to_string(bench.path(name)).unwrap(), text, "it is as it was");
    }
    std::fs::write(bench.path("b"), "second").unwrap();
    let (job, a, b) = (bench.at("job"), bench.at("a"), bench.at("b"));
    let arguments = ["--job", &job, "--files", &a, &b];
    assert_eq!(bench.append(&arguments).output().unwrap().status.code(), Some(1), "the first is not there yet");
    std::fs::write(bench.path("a"), "first").unwrap();
    assert!(bench.append(&arguments).output().unwrap().status.success());
    assert_eq!(bench.contents(), ["second", "first"], "each once");
}

fn text_of(output: &Output) -> String {
    text(&output.stderr)
}

#[test]
fn bad_lines_are_told_by_number_and_the_rest_goes_on() {
    let bench = Bench::new();
    let large = "L".repeat((1 << 20) + 1);
    std::fs::write(bench.path("lines"), format!("one\n{large}\nthree\n\n{large}\nsix")).unwrap();
    let output = bench.append(&["--lines", &bench.at("lines")]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout).lines().map(seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let words = text(&output.stderr);
    assert!(words.contains("line 2: ") && words.contains("line 5: ") && !words.contains("line 3"), "{words}");
    assert_eq!(bench.contents(), ["one", "three", "", "six"]);
    let strict = bench.append(&["--strict", "--lines", &bench.at("lines")]).output().unwrap();
    assert_eq!(strict.status.code(), Some(1));
    assert_eq!(text(&strict.stdout).lines().count(), 1, "it stops at line 2");
    assert!(!text(&strict.stderr).contains("line 5"));
}

#[test]
fn a_revoked_author_is_refused_line_by_line() {
    let bench = Bench::new();
    let author = serde_json::from_str::<Value>(&good(&["info", &bench.ledger(), "--json"])).unwrap();
    assert_eq!(author["admission"], "listed");
    let other = good(&["keygen", "--out", &bench.at("other")]);
    let arguments = ["append", &bench.ledger(), "--key", &bench.at("other"), "--files", &bench.at("other")];
    let refused = annals(&arguments);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("author.not_admitted"));
    let admin = bench.at("ledger/ledger.key");
    good(&["author", "admit", &bench.ledger(), other.trim(), "--key", &admin]);
    good(&arguments);
    good(&["author", "revoke", &bench.ledger(), other.trim(), "--key", &admin]);
    assert_eq!(annals(&arguments).status.code(), Some(1));
    let not_admin = annals(&["author", "admit", &bench.ledger(), other.trim(), "--key", &bench.at("key")]);
    assert_eq!(not_admin.status.code(), Some(1));
}

#[test]
fn files_of_all_sizes_come_back_the_same() {
    let bench = Bench::new();
    let sizes = [0, 1, 31, 32, 33, 4095, 4096, 65_536, 131_072, 131_073, 700_000, 1 << 20];
    let paths: Vec<String> = sizes.iter().map(|size| bench.at(&format!("file-{size}"))).collect();
    for (path, size) in paths.iter().zip(sizes) {
        let bytes: Vec<u8> = (0..size).map(|at: usize| ((at * 31) >> 3) as u8).collect();
        std::fs::write(path, bytes).unwrap();
    }
    let arguments: Vec<&str> = std::iter::once("--files").chain(paths.iter().map(String::as_str)).collect();
    let output = bench.append(&arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    for (receipt, path) in text(&output.stdout).lines().zip(&paths) {
        bench.verify(receipt, Path::new(path));
        let copy = format!("{path}.copy");
        good(&["get", &bench.ledger(), &seq(receipt).to_string(), "--out", &copy]);
        assert!(std::fs::read(&copy).unwrap() == std::fs::read(path).unwrap(), "{path}");
    }
    assert_eq!(bench.check()["records"], 1 + sizes.len());
}

#[test]
fn a_second_writer_is_told_who_holds_the_ledger_and_readers_work_beside_it() {
    let bench = Bench::new();
    let mut writer = bench.append(&["--lines", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = writer.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"first\nsecond\n").unwrap();
    let mut out = std::io::BufReader::new(writer.stdout.take().unwrap());
    let mut receipt = String::new();
    // A receipt comes while the input is open still.
    std::io::BufRead::read_line(&mut out, &mut receipt).unwrap();
    assert_eq!(seq(&receipt), 1);
    let second = bench.append(&["--lines", "-"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(second.status.code(), Some(75));
    assert!(text(&second.stderr).contains(&writer.id().to_string()), "{}", text(&second.stderr));
    assert_eq!(annals(&["check", &bench.ledger()]).status.code(), Some(75));
    // An idle writer's watermark shows its records within moments.
    let mut tries = 0;
    while annals(&["get", &bench.ledger(), "2"]).stdout != b"second" {
        tries += 1;
        assert!(tries < 100, "the reader sees nothing");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert_eq!(good(&["prove", &bench.ledger(), "1"]), receipt);
    assert_eq!(good(&["log", &bench.ledger()]).lines().count(), 3);
    drop(input);
    assert!(writer.wait().unwrap().success());
    assert_eq!(bench.check()["closed"], true);
}

#[test]
fn a_flipped_byte_and_a_cut_back_ledger_have_exit_codes_of_their_own() {
    let bench = Bench::new();
    std::fs::write(bench.path("lines"), "a\nb\nc\n").unwrap();
    assert!(bench.append(&["--lines", &bench.at("lines")]).output().unwrap().status.success());
    let copied = Command::new("cp").args(["-r", &bench.ledger(), &bench.at("old")]).status().unwrap();
    assert!(copied.success());
    assert!(bench.append(&["--lines", &bench.at("lines")]).output().unwrap().status.success());
    good(&["checkpoint", &bench.ledger(), "--out", &bench.at("note")]);
    good(&["check", &bench.ledger(), "--checkpoint", &bench.at("note")]);
    let shorter = annals(&["check", &bench.at("old"), "--checkpoint", &bench.at("note")]);
    assert_eq!(shorter.status.code(), Some(2), "{}", text(&shorter.stderr));
    let report: Value =
        serde_json::from_str(&good(&["check", &bench.ledger(), "--json", "--no-signatures", "--since", "3"])).unwrap();
    assert_eq!((report["sound"].as_bool(), report["signatures"].as_bool()), (Some(true), Some(false)));
    assert_eq!(report["since"], 0, "there is one segment");
    assert!(0 < report["bytes_per_second"].as_u64().unwrap() && 0.0 < report["seconds"].as_f64().unwrap());
    let words = good(&["check", &bench.ledger()]);
    assert!(words.contains(" GB/s; signatures verified"), "{words}");
    let segment = bench.path("ledger/segments/0000000000.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[20_000] ^= 4;
    std::fs::write(&segment, &bytes).unwrap();
    let damaged = annals(&["check", &bench.ledger(), "--json"]);
    assert_eq!(damaged.status.code(), Some(1));
    let finding: Value = serde_json::from_str(&text(&damaged.stdout)).unwrap();
    assert_eq!((finding["sound"].as_bool(), finding["segment"].as_u64()), (Some(false), Some(0)));
    assert!(finding["offset"].as_u64().unwrap() <= 20_000);
    let damaged = annals(&["check", &bench.ledger()]);
    assert_eq!(damaged.status.code(), Some(1));
    assert!(text(&damaged.stderr).contains("restore the ledger from a backup"), "{}", text(&damaged.stderr));
}

#[test]
fn scrub_and_repair_say_what_they_found_and_did() {
    let bench = Bench::new();
    std::fs::write(bench.path("lines"), "a\nb\nc\n").unwrap();
    assert!(bench.append(&["--lines", &bench.at("lines")]).output().unwrap().status.success());
    let value = |arguments: &[&str]| -> Value { serde_json::from_str(&good(arguments)).unwrap() };
    let report = value(&["scrub", &bench.ledger(), "--json", "--rate", "1000"]);
    assert_eq!((report["sound"].as_bool(), report["records"].as_u64()), (Some(true), Some(4)), "{report}");
    assert!(good(&["scrub", &bench.ledger()]).starts_with("sound: 4 records"));
    std::fs::write(bench.path("ledger/segments/0000000007.tmp"), "half").unwrap();
    let report = value(&["repair", &bench.ledger(), "--json"]);
    assert_eq!(report["removed"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!((report["segments"].as_u64(), report["damaged"].as_array().map(Vec::len)), (Some(0), Some(0)));
    assert!(good(&["repair", &bench.ledger()]).contains("0 segments damaged"));
    let segment = bench.path("ledger/segments/0000000000.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[4096 + 4096 + 4] ^= 4;
    std::fs::write(&segment, &bytes).unwrap();
    let damaged = annals(&["scrub", &bench.ledger(), "--json"]);
    assert_eq!(damaged.status.code(), Some(1));
    let report: Value = serde_json::from_str(&text(&damaged.stdout)).unwrap();
    assert_eq!((report["sound"].as_bool(), report["segment"].as_u64()), (Some(false), Some(0)), "{report}");
    let damaged = annals(&["repair", &bench.ledger()]);
    assert_eq!(damaged.status.code(), Some(1), "{}", text(&damaged.stderr));
    assert_eq!(annals(&["scrub", &bench.at("nothing")]).status.code(), Some(66));
    assert_eq!(annals(&["repair", &bench.at("nothing")]).status.code(), Some(66));
}

#[test]
fn exit_codes_tell_what_to_do() {
    let bench = Bench::new();
    let code = |arguments: &[&str]| annals(arguments).status.code().unwrap();
    let ledger = bench.ledger();
    assert_eq!(code(&["get", &ledger, "7"]), 66);
    assert_eq!(code(&["prove", &ledger, "7"]), 66);
    assert_eq!(code(&["info", &bench.at("nothing")]), 66);
    assert_eq!(code(&["append", &ledger, "--key", &bench.at("key"), "--lines", &bench.at("nothing")]), 66);
    assert_eq!(code(&["append", &ledger, "--key", &bench.at("key")]), 64);
    assert_eq!(code(&["append", &ledger, "--key", &bench.at("nothing"), "--files", &bench.at("key")]), 66);
    assert_eq!(code(&["get", &ledger, "0", "--item", "3"]), 64);
    assert_eq!(code(&["init", &ledger, "--origin", "annals.example/x", "--open"]), 73);
    assert_eq!(code(&["init", &bench.at("new"), "--origin", "bad origin", "--open"]), 64);
    assert_eq!(code(&["init", &bench.at("new"), "--origin", "annals.example/x", "--author", "12"]), 64);
    assert_eq!(code(&["init", &bench.at("new"), "--origin", "annals.example/x"]), 64);
    assert!(!bench.path("new").exists(), "nothing is left of what was refused");
    assert_eq!(code(&["checkpoint", &ledger, "--out", &bench.at("key")]), 73);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(bench.path("key"), open).unwrap();
    assert_eq!(code(&["append", &ledger, "--key", &bench.at("key"), "--files", &bench.at("key")]), 77);
}

#[test]
fn a_segment_that_cannot_be_made_is_told_and_made_when_it_can() {
    let bench = Bench::new();
    std::fs::write(bench.path("lines"), format!("{}\n", "z".repeat(60_000)).repeat(60)).unwrap();
    // In the way of the next segment: not a full disk, which would pass, but something that never will.
    let in_the_way = bench.path("ledger/segments/0000000001.tmp");
    std::fs::create_dir(&in_the_way).unwrap();
    let stopped = bench.append(&["--lines", &bench.at("lines")]).output().unwrap();
    assert_eq!(stopped.status.code(), Some(75), "{}", text_of(&stopped));
    let words = text_of(&stopped);
    assert!(words.contains("next segment can't be made") && words.contains("cannot create segment 1"), "{words}");
    assert!(words.contains("is a directory"), "the system's own reason: {words}");
    let printed = text(&stopped.stdout);
    assert_eq!(bench.check()["sound"], true);
    std::fs::remove_dir(&in_the_way).unwrap();
    for receipt in printed.lines() {
        assert_eq!(good(&["prove", &bench.ledger(), &seq(receipt).to_string()]).trim(), receipt);
    }
    assert!(bench.append(&["--lines", &bench.at("lines")]).output().unwrap().status.success(), "it goes on");
}
