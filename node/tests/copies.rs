//! The binary and copies: `cp -r`, reading what it made, and going on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
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
    desk.good(&["info", "copy"]);
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
