//! Copies: a directory that was copied is noticed, is read and not appended to, and goes on from a checkpoint alone.

use crate::support::{Place, copy_all, key, record};
use annals::{Ledger, OpenError, Options, Reader, Reason, RecordBuilder, check_ledger};
use std::path::Path;
use std::time::Duration;

fn append(ledger: &Ledger, nonces: std::ops::Range<u64>) {
    let mut appender = ledger.appender().unwrap();
    for nonce in nonces {
        appender.append_wait(&record(ledger.id(), &key(1), nonce, &nonce.to_le_bytes())).unwrap();
    }
}

fn check(path: &Path) -> u64 {
    check_ledger(path, None, &mut |_, _| {}).unwrap().records
}

fn refused(path: &Path) -> OpenError {
    Ledger::open(path, crate::support::options()).unwrap_err()
}

fn going_on(note: &str) -> Options {
    Options { continue_after: Some(note.to_owned()), ..crate::support::options() }
}

#[test]
fn a_copied_directory_is_read_only_until_it_is_told_to_go_on() {
    let place = Place::new();
    let ledger = place.create();
    append(&ledger, 0..10);
    let note = ledger.reader().checkpoint().unwrap();
    let receipt = ledger.reader().prove(10).unwrap();
    ledger.close().unwrap();
    let (one, two) = (place.beside("one"), place.beside("two"));
    copy_all(&place.path(), &one);
    copy_all(&one, &two);
    for copy in [&one, &two] {
        let error = refused(copy);
        assert!(
            matches!(&error, OpenError::Copied { expected, found, .. } if expected.inode != found.inode),
            "{error}"
        );
        assert!(error.to_string().contains("--continue-after"), "{error}");
        assert_eq!(refused(copy).code(), "open.copied", "it stays so");
        let reader = Reader::open(copy).unwrap();
        assert_eq!((reader.next_seq(), reader.prove(10).unwrap()), (11, receipt.clone()));
        assert_eq!(check(copy), 11);
    }
    let ledger = Ledger::open(&one, going_on(&note)).unwrap();
    let [ack] = ledger.reopened() else { panic!("one record") };
    assert_eq!(ack.seq, 11);
    let stored = ledger.reader().get(11).unwrap();
    let reopening = stored.reopening(ledger.vkey()).unwrap();
    assert_eq!((reopening.reason(), reopening.checkpoint().unwrap().size), (Reason::Copied, 11));
    assert_eq!(stored.head().unwrap().author, ledger.vkey().key());
    append(&ledger, 10..12);
    ledger.close().unwrap();
    let ledger = Ledger::open(&one, crate::support::options()).unwrap();
    assert!(ledger.reopened().is_empty(), "once is enough");
    ledger.close().unwrap();
    assert_eq!(check(&one), 14);
    assert_eq!(refused(&two).code(), "open.copied", "the other copy is none the wiser");
}

#[test]
fn a_move_is_no_copy_and_a_ledger_without_a_place_is_taken_where_it_lies() {
    let place = Place::new();
    place.create().close().unwrap();
    let moved = place.beside("moved");
    std::fs::rename(place.path(), &moved).unwrap();
    Ledger::open(&moved, crate::support::options()).unwrap().close().unwrap();
    std::fs::remove_file(moved.join("place")).unwrap();
    Ledger::open(&moved, crate::support::options()).unwrap().close().unwrap();
    let copy = place.beside("copy");
    copy_all(&moved, &copy);
    assert_eq!(refused(&copy).code(), "open.copied", "it was taken: its copy is one");
    std::fs::write(copy.join("place"), "format = 1\n").unwrap();
    assert_eq!(refused(&copy).code(), "home.config", "half a place is none");
    std::fs::write(copy.join("place"), "format = 2\n").unwrap();
    assert_eq!(refused(&copy).code(), "home.format");
}

#[test]
fn an_older_copy_and_another_history_do_not_go_on() {
    let place = Place::new();
    let ledger = place.create();
    append(&ledger, 0..10);
    let early = ledger.reader().checkpoint().unwrap();
    ledger.close().unwrap();
    let copy = place.beside("copy");
    copy_all(&place.path(), &copy);
    let ledger = place.open();
    append(&ledger, 10..20);
    let late = ledger.reader().checkpoint().unwrap();
    ledger.close().unwrap();
    let older = Ledger::open(&copy, going_on(&late)).unwrap_err();
    assert!(matches!(older, OpenError::OlderThanCheckpoint { size: 11, expected: 21 }), "{older}");
    assert_eq!(older.code(), "reopen.older");
    let forged = Ledger::open(&copy, going_on(&early.replace("\n11\n", "\n10\n"))).unwrap_err();
    assert_eq!(forged.code(), "checkpoint.signature");
    assert_eq!((check(&copy), refused(&copy).code()), (11, "open.copied"), "nothing was appended");
    // Whoever holds the early checkpoint alone lets it go on; then the late one shows another history.
    let ledger = Ledger::open(&copy, going_on(&early)).unwrap();
    append(&ledger, 100..115);
    ledger.close().unwrap();
    let again = place.beside("again");
    copy_all(&copy, &again);
    let other = Ledger::open(&again, going_on(&late)).unwrap_err();
    assert!(matches!(other, OpenError::OtherTree { size: 21, .. }), "{other}");
    assert_eq!(other.code(), "reopen.other_tree");
    // Where the ledger is no copy the checkpoint is compared too, and no record is ordered.
    assert_eq!(Ledger::open(&copy, going_on(&late)).unwrap_err().code(), "reopen.other_tree");
    let ledger = Ledger::open(&place.path(), going_on(&late)).unwrap();
    assert!(ledger.reopened().is_empty());
}

#[test]
fn an_accepted_clock_is_a_record_if_it_would_have_been_refused() {
    let place = Place::new();
    let ledger = place.create();
    append(&ledger, 0..2);
    ledger.close().unwrap();
    let accept = Options { accept_clock: true, ..crate::support::options() };
    let ledger = Ledger::open(&place.path(), accept.clone()).unwrap();
    assert!(ledger.reopened().is_empty(), "a right clock needs no record");
    ledger.close().unwrap();
    // A moment is a jump where none is allowed.
    std::thread::park_timeout(Duration::from_millis(20));
    let strict = Options { clock_jump_max: Duration::ZERO, ..crate::support::options() };
    let refused = Ledger::open(&place.path(), strict.clone()).unwrap_err();
    assert_eq!(refused.code(), "open.clock_ahead");
    let ledger = Ledger::open(&place.path(), Options { accept_clock: true, ..strict }).unwrap();
    let [ack] = ledger.reopened() else { panic!("one record") };
    let stored = ledger.reader().get(ack.seq).unwrap();
    let reopening = stored.reopening(ledger.vkey()).unwrap();
    assert_eq!((ack.seq, reopening.reason(), reopening.checkpoint()), (3, Reason::Clock, None));
    assert!(reopening.wall_clock_ms() <= stored.ordered_time_ms());
    ledger.reader().prove(ack.seq).unwrap().verify(ledger.vkey()).unwrap();
    ledger.close().unwrap();
    assert_eq!(check(&place.path()), 4);
}

#[test]
fn nobody_but_the_ledger_key_reopens() {
    let place = Place::new();
    let ledger = place.create();
    append(&ledger, 0..1);
    let payload = annals::Reopening::by_clock(7).encode(ledger.vkey());
    let builder = RecordBuilder::new(ledger.id(), annals::Kind::REOPENED).unsalted().nonce(50);
    let forged = builder.sign(&key(1), &payload).unwrap();
    let refusal = ledger.appender().unwrap().append_wait(forged.bytes()).unwrap_err();
    assert_eq!(refusal.code(), "engine.author");
    assert_eq!(ledger.reader().next_seq(), 2);
}

#[test]
fn a_backup_without_its_note_is_a_backup_still() {
    let place = Place::new();
    let ledger = place.create();
    append(&ledger, 0..3);
    ledger.close().unwrap();
    let out = place.beside("backup");
    annals::backup(&place.path(), &out, &mut |_, _| {}).unwrap();
    std::fs::remove_file(out.join("place")).unwrap();
    std::fs::copy(place.path().join("ledger.key"), out.join("ledger.key")).unwrap();
    assert_eq!(refused(&out).code(), "open.backup");
    let inside = annals::backup(&place.path(), &place.path().join("segments/b"), &mut |_, _| {}).unwrap_err();
    assert_eq!(inside.code(), "backup.inside");
}
