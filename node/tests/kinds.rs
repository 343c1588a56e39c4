//! The binary and the engine's own kinds: `log` tells them in words, `verify` holds a state root to its appointment.
#![allow(clippy::unwrap_used, reason = "tests")]

use annals::{Creation, Kind, Ledger, Options, RecordBuilder, SigningKey, StateRoot, StateRootRecord};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

fn run(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_annals")).args(arguments).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn state_roots_and_countersigns_are_told_and_verified() {
    let directory = tempfile::tempdir().unwrap();
    let desk = directory.path();
    let creation = Creation { segment_size: 2 << 20, ..Creation::open("annals.example/kinds") };
    let ledger = Ledger::create(&desk.join("ledger"), &creation, Options::default()).unwrap();
    let host = SigningKey::from_seed(&[8; 32]);
    let root = StateRoot::from_bytes([0xAB; 32]);
    let said = StateRootRecord { height: 0, root, appointment: ledger.appoint(&host.public()) }.encode();
    let named = [0xCD; 32];
    let mut appender = ledger.appender().unwrap();
    for (nonce, kind, payload) in [(0, Kind::STATE_ROOT, &said[..]), (1, Kind::COUNTERSIGN, &named)] {
        let record = RecordBuilder::new(ledger.id(), kind).unsalted().nonce(nonce).sign(&host, payload).unwrap();
        appender.append_wait(record.bytes()).unwrap();
    }
    let vkey = ledger.vkey().to_string();
    drop(appender);
    ledger.close().unwrap();
    let log = run(desk, &["log", "ledger"]);
    assert!(log.contains(&format!("state root through block 0: {root}")), "{log}");
    assert!(log.contains(&format!("countersigns {}", "cd".repeat(32))), "{log}");
    let json = run(desk, &["log", "ledger", "--from", "1", "--json"]);
    let lines: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.first().unwrap()["state_root"], serde_json::json!({"height": 0, "root": root.to_string()}));
    assert_eq!(lines.last().unwrap()["countersigned"], "cd".repeat(32));
    std::fs::write(desk.join("receipt"), run(desk, &["prove", "ledger", "1"])).unwrap();
    std::fs::write(desk.join("payload"), said).unwrap();
    let words = run(desk, &["verify", "receipt", "--ledger-key", &vkey, "--payload", "payload"]);
    assert!(words.contains("holds   the ledger key appointed the author"), "{words}");
}
