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

#[test]
fn scenarios_are_run_and_reported() {
    let directory = tempfile::tempdir().unwrap();
    let service = Path::new(env!("CARGO_MANIFEST_DIR")).join("../services/enforcement");
    let service = service.to_str().unwrap();
    let write = |name: &str, what: &str| {
        let city = format!("{service}/scenarios/city.toml");
        let text = format!(
            "row = [\"Y2\"]\ntitle = {{ zh = \"试\", en = \"Trial|1\" }}\nstarts = \"2025-03-04T09:00:00+08:00\"\ncity = {city:?}\n\
             [[step]]\nzh = \"登记。\"\nen = \"Registered.\"\nact = \"register\"\ncase = \"SJ/1\"\n{what}\n"
        );
        std::fs::write(directory.path().join(name), text).unwrap();
    };
    write("good.toml", "");
    write("bad.toml", "refused = \"case.exists\"");
    write("wrong.toml", "colour = 1");
    std::fs::write(directory.path().join("shared.toml"), "[people]\n").unwrap();
    let run = |arguments: &[&str]| {
        let output = annals(directory.path(), &[&["scenario", "run", "--service", service], arguments].concat());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    let (code, out, _) = run(&["good.toml", "--report", "report.md"]);
    assert!(code == 0 && out.contains("Y2       PASS  试 Trial|1") && out.contains("1 of 1 scenarios pass"), "{out}");
    let report = std::fs::read_to_string(directory.path().join("report.md")).unwrap();
    assert!(report.contains("| Y2 | 试 Trial\\|1 | 1/1 | 通过 PASS |"), "{report}");
    assert_eq!(run(&["good.toml", "--report", "report.md"]).0, 73, "a report is not replaced");
    let (code, out, _) = run(&["bad.toml", "good.toml", "--json"]);
    assert!(
        code == 1 && out.contains("\"failed\":1") && out.contains("\"expected\":\"refused, case.exists\""),
        "{out}"
    );
    let (code, out, _) = run(&["bad.toml"]);
    assert!(
        code == 1 && out.contains("step 1 (line 5): 登记。 Registered.\n  expected: refused, case.exists"),
        "{out}"
    );
    let (code, _, words) = run(&["."]);
    assert!(code == 1 && words.contains("wrong.toml") && words.contains("colour"), "{words}");
    assert_eq!(run(&["missing.toml"]).0, 66);
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(run(&[empty.path().to_str().unwrap()]).0, 66);
}
