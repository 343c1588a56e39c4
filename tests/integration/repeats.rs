//! The same record again: one place in the order, one receipt, whoever sends it and whenever.

use crate::support::{Place, key, options, record};
use annals::{Ack, Appender, Creation, Ledger, Options, Refusal};
use std::sync::Barrier;

#[test]
fn eight_threads_with_the_same_records_get_the_same_places() {
    let place = Place::new();
    let ledger = place.create();
    let records: Vec<_> = (0..500).map(|nonce| record(ledger.id(), &key(1), nonce, &nonce.to_le_bytes())).collect();
    let barrier = Barrier::new(8);
    let answers: Vec<Vec<Ack>> = std::thread::scope(|scope| {
        let send = || {
            let mut appender = ledger.appender().unwrap();
            barrier.wait();
            let mut acks = Vec::new();
            for part in records.chunks(50) {
                let batch: Vec<&[u8]> = part.iter().map(Vec::as_slice).collect();
                acks.extend(
                    appender.append_batch(&batch).unwrap().into_iter().map(|answer| answer.unwrap().wait().unwrap()),
                );
            }
            acks
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(send)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|acks| *acks == answers[0]));
    assert_eq!(ledger.reader().next_seq(), 501, "each is there once");
    for (ack, record) in answers[0].iter().zip(&records) {
        let stored = ledger.reader().get(ack.seq).unwrap();
        assert_eq!([&stored.head_bytes()[..], stored.payload()].concat(), *record);
    }
}

#[test]
fn a_repeat_is_told_from_a_conflict_and_from_a_stale_nonce_across_restarts() {
    let place = Place::new();
    let ledger = place.create();
    let id = ledger.id();
    let first = record(id, &key(1), 100, b"first");
    let ack = ledger.appender().unwrap().append_wait(&first).unwrap();
    let receipt = ledger.reader().prove(ack.seq).unwrap().encode();
    let check = |ledger: &annals::Ledger, older: bool| {
        let mut appender = ledger.appender().unwrap();
        assert_eq!(appender.append_wait(&first).unwrap(), ack);
        assert_eq!(ledger.reader().prove(ack.seq).unwrap().encode(), receipt, "the same bytes");
        let conflict = appender.append_wait(&record(id, &key(1), 100, b"other")).unwrap_err();
        assert!(matches!(conflict, Refusal::NonceConflict { nonce: 100, seq, .. } if seq == ack.seq), "{conflict}");
        if older {
            let stale = appender.append_wait(&record(id, &key(1), 50, b"never sent")).unwrap_err();
            assert_eq!(stale, Refusal::NonceStale(50));
        }
    };
    check(&ledger, false);
    // Far above: nonce 100 leaves the window, and the log has to tell.
    ledger.appender().unwrap().append_wait(&record(id, &key(1), 5000, b"far above")).unwrap();
    check(&ledger, true);
    ledger.close().unwrap();
    let ledger = place.open();
    check(&ledger, true);
    assert_eq!(ledger.reader().next_nonce(&key(1).public()).unwrap(), 5001);
    assert_eq!(ledger.reader().next_nonce(&key(2).public()).unwrap(), 0);
    let within = record(id, &key(1), 4500, b"within the window, never used");
    assert_eq!(ledger.appender().unwrap().append_wait(&within).unwrap().seq, 3);
    ledger.close().unwrap();
}

#[test]
fn forgotten_authors_are_looked_up_again_and_no_nonce_is_taken_twice() {
    let place = Place::new();
    let creation = Creation { segment_size: 2 << 20, ..Creation::open("annals.example/forgotten") };
    let options = Options { author_count_max: 2, ..options() };
    let ledger = Ledger::create(&place.path(), &creation, options).unwrap();
    let id = ledger.id();
    // Eight threads whose authors overlap: each sends what its neighbour sends too, over many segments.
    let append = |appender: &mut Appender, bytes: &[u8]| loop {
        match appender.append_wait(bytes) {
            // The author was forgotten between the gate and the sequencer.
            Err(Refusal::Pushback) => std::thread::yield_now(),
            answer => return answer.unwrap(),
        }
    };
    let answers: Vec<Vec<Ack>> = std::thread::scope(|scope| {
        let run = |thread: u8| {
            let (mut appender, mut acks) = (ledger.appender().unwrap(), Vec::new());
            for nonce in 0..60 {
                for author in [thread, (thread + 1) % 8] {
                    let bytes = record(id, &key(100 + author), nonce, &vec![author; 30_000]);
                    acks.push(append(&mut appender, &bytes));
                }
            }
            acks
        };
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(ledger.reader().next_seq(), 1 + 8 * 60, "each is there once");
    for (thread, acks) in answers.iter().enumerate() {
        let neighbour = &answers[(thread + 1) % 8];
        let theirs = acks.iter().skip(1).step_by(2);
        assert!(theirs.eq(neighbour.iter().step_by(2)), "both got the same answers");
    }
    assert!(4 < ledger.reader().head().unwrap().end.0, "several segments");
    ledger.close().unwrap();
    annals::check_ledger(&place.path(), None, &mut |_, _| {}).unwrap();
}

#[test]
fn another_valid_signature_is_the_same_record() {
    // Ed25519 signers may be randomised; here the same head bytes carry one that only ZIP-215 takes as well.
    let place = Place::new();
    let ledger = place.create();
    let sent = record(ledger.id(), &key(1), 1, b"once");
    let ack = ledger.appender().unwrap().append_wait(&sent).unwrap();
    let mut forged = sent;
    forged[150] ^= 1;
    let refusal = ledger.appender().unwrap().append_wait(&forged).unwrap_err();
    assert_eq!(refusal, Refusal::Signature, "a repeat needs a valid signature too");
    assert_eq!(ledger.reader().next_seq(), ack.seq + 1);
}
