//! Restarts: after a clean close, after a crash at any moment, and how much of the log they read.

use crate::DEVICE;
use crate::support::{Place, SMALL, copy, key, open, options, record};
use annals::{DeviceChoice, HomeError, Ledger, OpenError, check_ledger};

/// Appends records until the ledger has so many segments; how many records.
fn fill(ledger: &Ledger, segment_count: u64) -> u64 {
    let mut appender = ledger.appender().unwrap();
    let mut nonce = 0;
    while ledger.reader().head().unwrap().end.0 + 1 < segment_count {
        let author = key(1 + (nonce / 16 % 5) as u8);
        let records: Vec<_> = (nonce..nonce + 16)
            .map(|nonce| record(ledger.id(), &author, nonce, &vec![nonce as u8; 16_000 + nonce as usize % 9000]))
            .collect();
        let batch: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        for answer in appender.append_batch(&batch).unwrap() {
            answer.unwrap().wait().unwrap();
        }
        nonce += 16;
    }
    nonce
}

#[test]
fn reopening_twenty_segments_reads_the_last_one_only() {
    let place = Place::new();
    let ledger = place.create();
    let count = fill(&ledger, 20);
    let receipt = ledger.reader().prove(3).unwrap();
    let first = record(ledger.id(), &key(1), 0, &vec![0; 16_000]);
    ledger.close().unwrap();
    let ledger = place.open();
    let read = ledger.bytes_read_opening();
    // The last segment, a look at the one prepared behind it, and the genesis block.
    assert!(read <= 2 * SMALL, "opening read {read} bytes of 20 segments of {SMALL}");
    assert_eq!(ledger.reader().next_seq(), 1 + count);
    assert_eq!(ledger.reader().prove(3).unwrap(), receipt, "an old receipt is the same");
    assert_eq!(ledger.appender().unwrap().append_wait(&first).unwrap().seq, 1, "an old record is known");
    ledger.close().unwrap();
    let report = check_ledger(&place.path(), None, &mut |_, _| {}).unwrap();
    assert_eq!((report.records, report.closed, report.segments >= 20), (1 + count, true, true));
    assert!(report.indexes_missing.is_empty());
    // Indexes are derived: without them everything is answered all the same, and they are made again.
    std::fs::remove_dir_all(place.path().join("index")).unwrap();
    let ledger = place.open();
    assert_eq!(ledger.appender().unwrap().append_wait(&first).unwrap().seq, 1);
    assert_eq!(ledger.reader().prove(3).unwrap(), receipt);
    ledger.close().unwrap();
    let index = place.path().join("index/0000000004.idx");
    let mut bytes = std::fs::read(&index).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&index, bytes).unwrap();
    let damaged = check_ledger(&place.path(), None, &mut |_, _| {}).unwrap_err();
    assert_eq!(damaged.code(), "check.index");
    let ledger = place.open();
    for seq in 0..=count {
        let stored = ledger.reader().get(seq).unwrap();
        assert_eq!(ledger.reader().find(&stored.record_id()).unwrap().unwrap().seq(), seq);
    }
    ledger.close().unwrap();
    check_ledger(&place.path(), None, &mut |_, _| {}).unwrap();
}

#[test]
fn a_crash_between_blocks_loses_nothing_acknowledged() {
    let place = Place::new();
    let ledger = place.create();
    let mut appender = ledger.appender().unwrap();
    for round in 0..8u64 {
        let records: Vec<_> =
            (100 * round..100 * (round + 1)).map(|nonce| record(ledger.id(), &key(1), nonce, &vec![1; 3000])).collect();
        let batch: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        let acks: Vec<_> =
            appender.append_batch(&batch).unwrap().into_iter().map(|it| it.unwrap().wait().unwrap()).collect();
        // All is acknowledged and the writer is there still: as if the machine stopped now.
        let moment = place.beside(&format!("moment-{round}"));
        copy(&place.path(), &moment);
        let copied = open(&moment);
        assert_eq!(copied.reader().next_seq(), 100 * (round + 1) + 1);
        let again = copied.appender().unwrap().append_wait(&records[40]).unwrap();
        assert_eq!(again, acks[40], "round {round}");
        assert_eq!(copied.reader().prove(again.seq).unwrap(), ledger.reader().prove(again.seq).unwrap());
        copied.close().unwrap();
        check_ledger(&moment, None, &mut |_, _| {}).unwrap();
    }
    ledger.close().unwrap();
}

#[test]
fn one_writer_at_a_time_and_nothing_is_made_over_something() {
    let place = Place::new();
    let ledger = place.create();
    let second = Ledger::open(&place.path(), options()).unwrap_err();
    let own = std::process::id().to_string();
    assert!(matches!(&second, OpenError::Home(HomeError::Held { holder, .. }) if *holder == own), "{second}");
    ledger.close().unwrap();
    let over = Ledger::create(&place.path(), &annals::Creation::open("annals.example/x"), options());
    assert!(matches!(over.unwrap_err(), OpenError::Home(HomeError::Exists(_))));
    let nothing = Ledger::open(&place.beside("nothing"), options()).unwrap_err();
    assert!(matches!(nothing, OpenError::Home(HomeError::NoLedger(_))));
    std::fs::remove_file(place.path().join("ledger.key")).unwrap();
    annals::write_key(&place.path().join("ledger.key"), &key(7)).unwrap();
    let wrong = Ledger::open(&place.path(), options()).unwrap_err();
    assert!(matches!(wrong, OpenError::WrongKey { .. }));
}

#[test]
fn opening_and_closing_without_a_record_changes_nothing() {
    let place = Place::new();
    place.create().close().unwrap();
    let segment = place.path().join("segments/0000000000.seg");
    let before = std::fs::read(&segment).unwrap();
    place.open().close().unwrap();
    assert!(before == std::fs::read(&segment).unwrap());
    assert_eq!(std::fs::read_dir(place.path().join("segments")).unwrap().count(), 1);
}

#[test]
fn the_device_is_the_one_asked_for_or_the_reason_is_there() {
    let place = Place::new();
    let ledger = place.create();
    match (DEVICE, ledger.device_refusal()) {
        (DeviceChoice::Best, Some(refusal)) => eprintln!("NOT TESTED: this machine has no io_uring: {refusal}"),
        (DeviceChoice::Best, None) => assert_eq!(ledger.device(), "io_uring"),
        (DeviceChoice::Pwrite, refusal) => assert_eq!((ledger.device(), refusal), ("pwrite", None)),
    }
}
