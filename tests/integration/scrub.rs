//! Scrubbing beside a writer: sound while records arrive, damage named, paced, ended at once, and nothing disturbed by it.

use crate::forged::forge;
use crate::support::{Place, SMALL, key, record};
use annals::{Ledger, Options, Reader, ScrubError, ScrubReport};
use std::fs::OpenOptions;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

fn scrub(reader: &Reader) -> Result<ScrubReport, ScrubError> {
    reader.scrub(None, &mut |_, _| ControlFlow::Continue(()))
}

fn append(ledger: &Ledger, nonces: std::ops::Range<u64>) {
    let mut appender = ledger.appender().unwrap();
    for nonce in nonces {
        let payload = vec![nonce.to_le_bytes()[0]; 300 << 10];
        appender.append_wait(&record(ledger.id(), &key(1), nonce, &payload)).unwrap();
    }
}

fn flip(path: &Path, segment: u64, offset: u64) {
    let path = path.join(format!("segments/{segment:010}.seg"));
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 16], offset).unwrap();
}

#[test]
fn a_ledger_in_use_is_scrubbed_from_inside_and_beside() {
    let place = Place::new();
    let ledger = place.create();
    append(&ledger, 0..12);
    let beside = Reader::open(&place.path()).unwrap();
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| append(&ledger, 12..60));
        let mut rounds = 0;
        while rounds < 3 || !writing.is_finished() {
            let (from, size) = (ledger.reader().next_seq(), beside.next_seq());
            let report = scrub(&ledger.reader()).unwrap();
            assert!(report.complete && from <= report.records, "{from} {report:?}");
            let report = scrub(&beside).unwrap();
            assert!(report.complete && size <= report.records, "{size} {report:?}");
            rounds += 1;
        }
    });
    let report = scrub(&ledger.reader()).unwrap();
    let newest = ledger.reader().head().unwrap();
    assert_eq!((report.records, report.blocks, report.segments), (61, newest.height + 1, newest.end.0 + 1));
    assert_eq!(report.bytes, newest.end.0 * SMALL + newest.end.1);
    ledger.close().unwrap();
    let closed = Reader::open(&place.path()).unwrap();
    assert_eq!(scrub(&closed).unwrap().records, 61);
}

#[test]
fn latent_damage_is_named_and_the_engine_goes_on() {
    let place = Place::new();
    let ledger = place.create();
    append(&ledger, 0..20);
    let end = ledger.reader().head().unwrap().end;
    assert!(2 <= end.0);
    for (segment, offset) in [(0, 70), (0, 300_000), (1, 5000), (1, SMALL - 1), (end.0, end.1 - 5000)] {
        flip(&place.path(), segment, offset);
        let error = scrub(&ledger.reader()).unwrap_err();
        let (at, from, _) = error.place();
        assert!(at == Some(segment) && from <= Some(offset), "{segment} {offset}: {error}");
        assert!(error.advice().contains("backup"));
        append(&ledger, 100 + segment * 10 + offset % 7..101 + segment * 10 + offset % 7);
        flip(&place.path(), segment, offset);
        scrub(&ledger.reader()).unwrap();
    }
    assert!(ledger.halted().is_none());
    ledger.close().unwrap();
}

#[test]
fn a_payload_that_its_head_does_not_commit_to_is_found() {
    let place = Place::new();
    let ledger = place.create();
    let mut next = record(ledger.id(), &key(1), 1, b"next");
    ledger.close().unwrap();
    *next.last_mut().unwrap() ^= 1;
    forge(&place.path(), &[record(Reader::open(&place.path()).unwrap().id(), &key(1), 0, b"true"), next], |_| {});
    // The forger's block carries no checkpoint: one more behind it lets readers see it.
    let ledger = place.open();
    append(&ledger, 5..6);
    let error = scrub(&ledger.reader()).unwrap_err();
    assert_eq!((error.code(), error.place().2), ("scrub.record", Some(2)), "{error}");
    ledger.close().unwrap();
}

#[test]
fn a_scrub_keeps_its_pace_and_stops_when_told() {
    let place = Place::new();
    let ledger = place.create();
    append(&ledger, 0..12);
    let reader = ledger.reader();
    let bytes = scrub(&reader).unwrap().bytes;
    let report = reader.scrub(Some(bytes * 4), &mut |_, _| ControlFlow::Continue(())).unwrap();
    assert!(Duration::from_millis(240) <= report.duration, "a quarter of a second at least: {report:?}");
    let mut told = Vec::new();
    let report = reader.scrub(Some(1), &mut |done, total| {
        told.push((done, total));
        if told.len() < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let report = report.unwrap();
    assert!(!report.complete && report.duration < Duration::from_secs(5));
    assert_eq!(told, [(8192, bytes); 3], "told again and again while it waits behind the first frame");
    ledger.close().unwrap();
}

#[test]
fn an_open_ledger_scrubs_itself_tells_what_it_found_and_closes_at_once() {
    let place = Place::new();
    let ledger = place.create();
    append(&ledger, 0..20);
    assert_eq!(ledger.scrub_status().rounds, 0, "nobody asked for it");
    ledger.close().unwrap();
    let wait_for_round = |ledger: &Ledger| {
        while ledger.scrub_status().rounds == 0 {
            std::thread::yield_now();
        }
        ledger.scrub_status()
    };
    let fast = Options { scrub_rate: Some(1 << 30), ..crate::support::options() };
    let ledger = Ledger::open(&place.path(), fast.clone()).unwrap();
    let status = wait_for_round(&ledger);
    assert!(status.failure.is_none() && 2 * SMALL < status.bytes, "{status:?}");
    ledger.close().unwrap();
    flip(&place.path(), 0, 300_000);
    let ledger = Ledger::open(&place.path(), fast).unwrap();
    let failure = wait_for_round(&ledger).failure.unwrap();
    assert_eq!(failure.place().0, Some(0));
    append(&ledger, 50..52);
    assert!(ledger.halted().is_none(), "it is for people to judge");
    ledger.close().unwrap();
    // In the middle of a pause of an hour.
    let slow = Options { scrub_rate: Some(1), ..crate::support::options() };
    let ledger = Ledger::open(&place.path(), slow).unwrap();
    while ledger.scrub_status().bytes == 0 {
        std::thread::yield_now();
    }
    #[expect(clippy::disallowed_methods, reason = "how long closing takes")]
    let begun = std::time::Instant::now();
    ledger.close().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
}
