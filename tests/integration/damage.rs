//! Damage: whatever is changed on the disk is found, and a shorter or another history is told from a sound one.

use crate::support::{Place, copy, key, record};
use annals::{CheckError, CheckReport, Ledger, check_ledger};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

fn check(path: &Path, note: Option<&str>) -> Result<CheckReport, CheckError> {
    check_ledger(path, note, &mut |_, _| {})
}

fn append(ledger: &Ledger, nonces: std::ops::Range<u64>) {
    let mut appender = ledger.appender().unwrap();
    for nonce in nonces {
        appender.append_wait(&record(ledger.id(), &key(1), nonce, &nonce.to_le_bytes().repeat(30))).unwrap();
    }
}

#[test]
fn a_bit_flipped_anywhere_is_found_and_named() {
    let place = Place::new();
    let ledger = place.create();
    append(&ledger, 0..40);
    let used = ledger.reader().head().unwrap().end.1 + 2 * 4096;
    ledger.close().unwrap();
    assert!(check(&place.path(), None).unwrap().closed);
    let file = OpenOptions::new().read(true).write(true).open(place.path().join("segments/0000000000.seg")).unwrap();
    // Primes, so that bytes and bits of every kind are met: header, sums, padding, body, and zeros behind the end.
    let offsets = (0..used).step_by(1499).chain((used..2 << 20).step_by(200_003)).chain([(2 << 20) - 1]);
    for (turn, offset) in offsets.enumerate() {
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[byte[0] ^ 1 << (turn % 8)], offset).unwrap();
        let Err(error) = check(&place.path(), None) else { panic!("bit {} of byte {offset} went unseen", turn % 8) };
        let (segment, at, seq) = error.place();
        assert!(segment == Some(0) && at.unwrap() <= offset, "offset {offset}: {error}");
        // A record a block, and a block behind each frame's header: the seq never lies behind the damage.
        assert!(seq.is_none_or(|seq| seq <= 41 && seq <= at.unwrap() / 4096), "offset {offset}: {error}");
        file.write_all_at(&byte, offset).unwrap();
    }
    check(&place.path(), None).unwrap();
}

#[test]
fn a_ledger_that_was_cut_back_is_shorter_than_its_checkpoint() {
    let place = Place::new();
    let ledger = place.create();
    append(&ledger, 0..10);
    let early = ledger.reader().checkpoint().unwrap();
    ledger.close().unwrap();
    let old = place.beside("old");
    copy(&place.path(), &old);
    let ledger = place.open();
    append(&ledger, 10..20);
    let late = ledger.reader().checkpoint().unwrap();
    ledger.close().unwrap();
    for note in [&early, &late] {
        check(&place.path(), Some(note)).unwrap();
    }
    check(&old, Some(&early)).unwrap();
    assert!(matches!(check(&old, Some(&late)), Err(CheckError::Shorter { size: 11, expected: 21 })));
    // The old state goes on in another way: another history, as long as the first.
    let ledger = crate::support::open(&old);
    append(&ledger, 100..115);
    ledger.close().unwrap();
    check(&old, Some(&early)).unwrap();
    assert!(matches!(check(&old, Some(&late)), Err(CheckError::OtherTree { size: 21, .. })));
    let forged = late.replace("\n21\n", "\n22\n");
    assert!(matches!(check(&place.path(), Some(&forged)), Err(CheckError::Note(_))));
}

#[test]
fn a_missing_segment_and_a_ledger_in_use_are_told() {
    let place = Place::new();
    let ledger = place.create();
    let mut appender = ledger.appender().unwrap();
    for nonce in 0..6 {
        appender.append_wait(&record(ledger.id(), &key(1), nonce, &vec![1; 1 << 20])).unwrap();
    }
    assert_eq!(check(&place.path(), None).unwrap_err().code(), "home.held");
    ledger.close().unwrap();
    let report = check(&place.path(), None).unwrap();
    assert!(3 < report.segments);
    std::fs::remove_file(place.path().join("segments/0000000001.seg")).unwrap();
    let error = check(&place.path(), None).unwrap_err();
    assert_eq!((error.code(), error.place().0), ("recovery.missing_segment", Some(1)));
}
