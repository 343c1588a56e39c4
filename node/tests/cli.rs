//! The binary from outside: outputs, exit codes, and files left behind.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use annals::TreeHash;
use annals::{
    Checkpoint, Disclosure, Kind, LeafEntry, LedgerId, Receipt, ReceiptJson, RecordBuilder, SigningKey, Vkey,
};
use sha2::{Digest, Sha256};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

fn annals(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_annals")).current_dir(directory).args(arguments).output().unwrap()
}

/// A ledger of two records, of which the second is proved: its audit path is the first's leaf hash.
fn receipt() -> (String, String) {
    let (ledger, author) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
    let vkey = Vkey::new("annals.example/cli", ledger.public()).unwrap();
    let record = RecordBuilder::new(LedgerId::from_bytes([7; 32]), Kind(0x1_0000)).sign(&author, b"a notice").unwrap();
    let leaf = LeafEntry { record_id: record.record_id(), height: 1, ordered_time_ms: 1 };
    let first = LeafEntry { height: 0, ..leaf }.hash();
    let root = Sha256::digest([&[1], &first.as_bytes()[..], leaf.hash().as_bytes()].concat());
    let checkpoint = Checkpoint { size: 2, root: TreeHash::from_bytes(root.into()) };
    let note = checkpoint.note(&vkey, &checkpoint.sign(&vkey, &ledger));
    let head = *record.bytes().first_chunk().unwrap();
    let receipt = Receipt { seq: 1, head, leaf, path: vec![first], checkpoint: note };
    let json = ReceiptJson { receipt, disclosure: Disclosure::Salt(record.salts()[0]) };
    (json.encode().unwrap(), vkey.to_string())
}

#[test]
fn keygen_makes_a_closed_file_once() {
    let directory = tempfile::tempdir().unwrap();
    let first = annals(directory.path(), &["keygen", "--out", "a.key"]);
    assert_eq!(first.status.code(), Some(0));
    let id = String::from_utf8(first.stdout).unwrap();
    assert_eq!(id.trim_end().parse::<annals::AuthorId>().unwrap().to_string(), id.trim_end());
    let path = directory.path().join("a.key");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&path).unwrap();
    let again = annals(directory.path(), &["keygen", "--out", "a.key"]);
    assert_eq!((again.status.code(), again.stdout.len()), (Some(73), 0));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(annals(directory.path(), &["keygen", "--out", "no/such/a.key"]).status.code(), Some(74));
}

#[test]
fn verify_tells_good_from_bad() {
    let directory = tempfile::tempdir().unwrap();
    let (text, vkey) = receipt();
    let write = |name: &str, bytes: &[u8]| std::fs::write(directory.path().join(name), bytes).unwrap();
    write("receipt.json", text.as_bytes());
    write("notice", b"a notice");
    write("other", b"a notjce");
    write("bad.json", text.replace("\"ordered_time_ms\":1,", "\"ordered_time_ms\":2,").as_bytes());
    write("cut.json", &text.as_bytes()[..text.len() - 1]);
    let table: &[(&[&str], i32, &str)] = &[
        (&["verify", "receipt.json", "--ledger-key", &vkey], 0, "GOOD"),
        (&["verify", "receipt.json", "--payload", "notice", "--ledger-key", &vkey], 0, "holds   the file"),
        (&["verify", "receipt.json", "--payload", "other", "--ledger-key", &vkey], 1, "FAILS   the file"),
        (&["verify", "bad.json", "--ledger-key", &vkey], 1, "FAILS   the record is in the signed tree"),
        (&["verify", "cut.json", "--ledger-key", &vkey], 1, ""),
        (&["verify", "receipt.json", "--ledger-key", &vkey[1..]], 64, ""),
        (&["verify", "missing.json", "--ledger-key", &vkey], 66, ""),
        (&["verify", "receipt.json"], 64, ""),
        (&["nonsense"], 64, ""),
        (&["--help"], 0, "verify"),
        (&["completions", "bash"], 0, "_annals"),
    ];
    for (arguments, code, words) in table {
        let output = annals(directory.path(), arguments);
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {stdout}{stderr}");
        assert!(stdout.contains(words), "{arguments:?}: {stdout}");
        assert!(*code == 0 || !words.is_empty() || !stderr.is_empty(), "{arguments:?} says why");
    }
}
