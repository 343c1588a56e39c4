//! The binary and copies: `cp -r`, reading what it made, and going on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A directory with a ledger of two records, and an author's key.
struct Desk {
    directory: TempDir,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

impl Desk {
    fn new() -> Self {
        let desk = Self { directory: tempfile::tempdir().unwrap() };
        let author = desk.good(&["keygen", "--out", "key"]);
        desk.good(&[
            "init",
            "ledger",
            "--origin",
            "annals.example/desk",
            "--author",
            author.trim(),
            "--segment-size",
            "2097152",
        ]);
        desk.append("ledger", "one\ntwo\n");
        desk
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_annals")).current_dir(self.path()).args(arguments).output().unwrap()
    }

    fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// A command that fails with this code; what it says.
    fn bad(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let words = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {words}");
        words
    }

    fn append(&self, ledger: &str, lines: &str) {
        std::fs::write(self.path().join("lines"), lines).unwrap();
        self.good(&["append", ledger, "--key", "key", "--lines", "lines"]);
    }

    fn copy(&self, from: &str, to: &str) {
        assert!(Command::new("cp").current_dir(self.path()).args(["-r", from, to]).status().unwrap().success());
    }
}

#[test]
fn a_copy_is_read_and_goes_on_when_it_is_told_to() {
    let desk = Desk::new();
    desk.good(&["checkpoint", "ledger", "--out", "note"]);
    desk.copy("ledger", "copy");
    let words = desk.bad(1, &["append", "copy", "--key", "key", "--lines", "lines"]);
    assert!(words.contains("annals reopen copy --continue-after"), "{words}");
    assert_eq!(desk.good(&["get", "copy", "2"]), "two");
    assert_eq!(desk.good(&["prove", "copy", "2"]), desk.good(&["prove", "ledger", "2"]));
    assert_eq!(desk.good(&["log", "copy"]).lines().count(), 3);
    assert!(desk.good(&["info", "copy"]).contains("a copy, read-only"));
    desk.good(&["check", "copy", "--checkpoint", "note"]);
    // The ledger goes on; what it says now is too new for the copy.
    desk.append("ledger", "three\n");
    desk.good(&["checkpoint", "ledger", "--out", "newer"]);
    let words = desk.bad(2, &["reopen", "copy", "--continue-after", "newer"]);
    assert!(words.contains("ends at 3 records") && words.contains("signed over 4"), "{words}");
    let receipt: Value = serde_json::from_str(&desk.good(&["reopen", "copy", "--continue-after", "note"])).unwrap();
    assert_eq!((receipt["seq"].as_u64(), receipt["kind"].as_u64()), (Some(3), Some(8)));
    desk.append("copy", "another three\n");
    desk.bad(1, &["reopen", "copy", "--continue-after", "newer"]);
    assert_eq!(desk.good(&["reopen", "copy", "--continue-after", "note"]), "", "it is no copy any more");
    desk.good(&["check", "copy"]);
    let log = desk.good(&["log", "copy"]);
    let line = log.lines().nth(3).unwrap();
    assert!(line.contains("reopened: copied, after the checkpoint of 3 records"), "{line}");
    let line = desk.good(&["log", "copy", "--from", "3", "--limit", "1", "--json"]);
    let reopened = &serde_json::from_str::<Value>(&line).unwrap()["reopened"];
    assert_eq!((reopened["reason"].as_str(), reopened["checkpoint"]["size"].as_u64()), (Some("copied"), Some(3)));
    // The original knows nothing of all that.
    desk.append("ledger", "four\n");
    std::fs::rename(desk.path().join("ledger"), desk.path().join("moved")).unwrap();
    desk.append("moved", "five\n");
}

#[test]
fn a_backup_is_read_restored_and_goes_on() {
    let desk = Desk::new();
    let report: Value = serde_json::from_str(&desk.good(&["backup", "ledger", "out", "--json"])).unwrap();
    let expected = (Some(3), Some(1), Some(0), Some(3));
    let found = (
        report["size"].as_u64(),
        report["segments"].as_u64(),
        report["segments_kept"].as_u64(),
        report["checkpoint"]["size"].as_u64(),
    );
    assert_eq!(found, expected, "{report}");
    assert!(!desk.path().join("out/ledger.key").exists());
    // It is read as a ledger is, and appended to by nobody.
    assert_eq!(desk.good(&["get", "out", "1"]), "one");
    assert_eq!(desk.good(&["prove", "out", "2"]), desk.good(&["prove", "ledger", "2"]));
    assert_eq!(desk.good(&["checkpoint", "out"]), desk.good(&["checkpoint", "ledger"]));
    desk.good(&["info", "out"]);
    desk.good(&["check", "out"]);
    let words = desk.bad(1, &["append", "out", "--key", "key", "--lines", "lines"]);
    assert!(words.contains("annals restore out DIR"), "{words}");
    desk.bad(73, &["backup", "ledger", "ledger"]);
    desk.bad(66, &["restore", "ledger", "new"]);
    desk.bad(73, &["restore", "out", "ledger"]);
    desk.good(&["checkpoint", "ledger", "--out", "note"]);
    desk.append("ledger", "three\n");
    desk.good(&["checkpoint", "ledger", "--out", "newer"]);
    desk.good(&["restore", "out", "restored"]);
    let words = desk.bad(1, &["append", "restored", "--key", "key", "--lines", "lines"]);
    assert!(words.contains("annals reopen restored --continue-after CHECKPOINT"), "{words}");
    assert_eq!(desk.good(&["get", "restored", "2"]), "two");
    // Without the ledger key it can't go on, with another one neither.
    desk.bad(66, &["reopen", "restored", "--continue-after", "note"]);
    desk.bad(1, &["reopen", "restored", "--continue-after", "note", "--ledger-key", "key"]);
    let ledger_key = "ledger/ledger.key";
    desk.bad(2, &["reopen", "restored", "--continue-after", "newer", "--ledger-key", ledger_key]);
    let receipt = desk.good(&["reopen", "restored", "--continue-after", "note", "--ledger-key", ledger_key]);
    std::fs::write(desk.path().join("receipt"), receipt).unwrap();
    let info: Value = serde_json::from_str(&desk.good(&["info", "restored", "--json"])).unwrap();
    desk.good(&["verify", "receipt", "--ledger-key", info["vkey"].as_str().unwrap()]);
    desk.append("restored", "another three\n");
    desk.good(&["check", "restored", "--checkpoint", "note"]);
    // In one step: all of it or nothing.
    let step = |note| ["restore", "out", "step", "--ledger-key", ledger_key, "--continue-after", note, "--json"];
    desk.bad(2, &step("newer"));
    assert!(!desk.path().join("step").exists());
    let report: Value = serde_json::from_str(&desk.good(&step("note"))).unwrap();
    assert_eq!(report["reopened"], serde_json::json!([3]));
    desk.append("step", "yet another three\n");
    let segment = desk.path().join("out/segments/0000000000.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[9000] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let words = desk.bad(1, &["restore", "out", "never"]);
    assert!(words.contains("out/segments/0000000000.seg"), "{words}");
}

#[test]
fn a_killed_backup_leaves_the_older_one_and_the_next_is_made() {
    let desk = Desk::new();
    let lines: String = (0..300).map(|line| format!("{line} {}\n", "x".repeat(60_000))).collect();
    desk.append("ledger", &lines);
    desk.good(&["backup", "ledger", "out"]);
    desk.append("ledger", &lines);
    let mut killed = 0;
    for round in 0..12 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_annals"))
            .current_dir(desk.path())
            .args(["backup", "ledger", "out"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::park_timeout(Duration::from_millis(3 + 9 * round));
        child.kill().unwrap();
        let done = child.wait().unwrap().success();
        killed += u64::from(!done);
        let report: Value = serde_json::from_str(&desk.good(&["check", "out", "--json"])).unwrap();
        let records = report["records"].as_u64().unwrap();
        assert!([303, 603].contains(&records), "{records} is neither the older nor the newer");
    }
    assert!(0 < killed, "no run was killed");
    desk.good(&["backup", "ledger", "out"]);
    desk.good(&["restore", "out", "restored"]);
    let report: Value = serde_json::from_str(&desk.good(&["check", "restored", "--json"])).unwrap();
    assert_eq!(report["records"], 603);
    let names: Vec<_> = std::fs::read_dir(desk.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_str().unwrap().starts_with('.')), "{names:?}");
}
