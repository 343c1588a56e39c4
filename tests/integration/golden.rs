//! A ledger of format version 1, written once and kept: every later version opens it and gives the same receipts.
//!
//! `tests/golden/v1` holds the used part of its one segment (the rest is zeros) and the receipts that were issued. The ledger key
//! is no secret: it is made here from a fixed seed.

use crate::support::{Place, SMALL, key};
use annals::{Creation, Kind, Ledger, Options, RecordBuilder, check_ledger};
use std::path::{Path, PathBuf};

const CONFIG: &str = "format = 1\nsegment_size = 2097152\n";
const LEDGER_KEY: u8 = 77;
const SEGMENT: &str = "segments/0000000000.seg";

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name)
}

/// Options that take a clock years ahead of the golden ledger.
fn options() -> Options {
    Options { accept_clock: true, ..crate::support::options() }
}

/// Lays the golden ledger out as it was.
fn lay_out(place: &Place) {
    let path = place.path();
    std::fs::create_dir_all(path.join("segments")).unwrap();
    std::fs::create_dir_all(path.join("index")).unwrap();
    std::fs::write(path.join("annals.toml"), CONFIG).unwrap();
    annals::write_key(&path.join("ledger.key"), &key(LEDGER_KEY)).unwrap();
    std::fs::copy(golden("segment"), path.join(SEGMENT)).unwrap();
    std::fs::OpenOptions::new().write(true).open(path.join(SEGMENT)).unwrap().set_len(SMALL).unwrap();
}

#[test]
fn a_ledger_of_version_one_opens_and_gives_the_same_receipts() {
    let place = Place::new();
    lay_out(&place);
    let report = check_ledger(&place.path(), None, &mut |_, _| {}).unwrap();
    let issued = std::fs::read_to_string(golden("receipts.jsonl")).unwrap();
    assert_eq!((report.records, report.closed), (issued.lines().count() as u64, true));
    let ledger = Ledger::open(&place.path(), options()).unwrap();
    assert!(place.path().join("place").exists(), "it lay nowhere yet: it is taken where it lies");
    // If much time has passed since, the accepted clock is a record.
    let reopened = ledger.reopened().len() as u64;
    for (seq, receipt) in (0..).zip(issued.lines()) {
        let again = ledger.reader().prove_json(seq, None).unwrap();
        assert_eq!(again.encode().unwrap(), receipt, "seq {seq}");
        again.receipt.verify(ledger.vkey()).unwrap();
    }
    let contents = |seq, item| ledger.reader().get(seq).unwrap().content(item).unwrap().to_vec();
    assert_eq!(contents(1, None), "立案审批表".as_bytes());
    assert_eq!(contents(3, Some(1)), b"");
    assert_eq!(contents(4, None), key(2).public().as_bytes());
    // It goes on from there: the next nonce, the next seq.
    let author = key(1);
    let nonce = ledger.reader().next_nonce(&author.public()).unwrap();
    assert_eq!(nonce, 13);
    let record = RecordBuilder::new(ledger.id(), Kind(70_000)).nonce(nonce).sign(&author, b"later").unwrap();
    let ack = ledger.appender().unwrap().append_wait(record.bytes()).unwrap();
    assert_eq!(ack.seq, report.records + reopened);
    ledger.close().unwrap();
    check_ledger(&place.path(), None, &mut |_, _| {}).unwrap();
}

#[test]
#[ignore = "writes a golden ledger; only for a new version of the format, beside the old ones"]
fn write_golden_ledger() {
    let place = Place::new();
    let key_path = place.beside("ledger.key");
    annals::write_key(&key_path, &key(LEDGER_KEY)).unwrap();
    let creation = Creation {
        segment_size: SMALL,
        ledger_key: Some(key_path),
        ..Creation::listed("annals.example/golden-v1", &[key(1).public()])
    };
    let ledger = Ledger::create(&place.path(), &creation, crate::support::options()).unwrap();
    let (author, mut appender) = (key(1), ledger.appender().unwrap());
    let builder = |nonce| RecordBuilder::new(ledger.id(), Kind(70_000)).nonce(nonce).claimed_time_ms(1_700_000_000_000);
    let plain = builder(10).sign(&author, "立案审批表".as_bytes()).unwrap();
    let empty = builder(11).unsalted().sign(&author, b"").unwrap();
    let bundle = builder(12).sign_bundle(&author, &[b"one", b"", b"three"]).unwrap();
    let admit = RecordBuilder::new(ledger.id(), Kind::AUTHOR_ADMIT).unsalted().nonce(1);
    let admit = admit.sign(&key(LEDGER_KEY), key(2).public().as_bytes()).unwrap();
    for record in [plain, empty, bundle, admit] {
        appender.append_wait(record.bytes()).unwrap();
    }
    ledger.tick().unwrap();
    let receipt = |seq| ledger.reader().prove_json(seq, None).unwrap().encode().unwrap();
    let receipts: Vec<_> = (0..ledger.reader().next_seq()).map(receipt).collect();
    ledger.close().unwrap();
    let bytes = std::fs::read(place.path().join(SEGMENT)).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    std::fs::create_dir_all(golden("")).unwrap();
    std::fs::write(golden("segment"), &bytes[..used.next_multiple_of(4096)]).unwrap();
    std::fs::write(golden("receipts.jsonl"), receipts.join("\n") + "\n").unwrap();
}
