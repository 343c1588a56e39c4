//! Reading: proofs anybody verifies, a reader beside the writer, followers that resume.

use crate::support::{Place, key, record};
use annals::{
    FollowError, Follower, Kind, LedgerId, Position, QueryError, Reader, ReceiptJson, RecordBuilder, StoredRecord,
};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

#[test]
fn every_receipt_verifies_and_every_item_is_proved_alone() {
    let place = Place::new();
    let ledger = place.create();
    let mut appender = ledger.appender().unwrap();
    let items: Vec<Vec<u8>> = (0..20u8).map(|item| vec![item; usize::from(item)]).collect();
    let refs: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
    let builder = RecordBuilder::new(ledger.id(), Kind(70_000));
    let plain = appender.append_wait(builder.clone().nonce(1).sign(&key(1), b"plain").unwrap().bytes()).unwrap();
    let bundle = appender.append_wait(builder.nonce(2).sign_bundle(&key(1), &refs).unwrap().bytes()).unwrap();
    let (reader, vkey) = (ledger.reader(), ledger.vkey());
    for seq in 0..reader.next_seq() {
        let receipt = reader.prove(seq).unwrap();
        assert_eq!(receipt.seq, seq);
        receipt.verify(vkey).unwrap();
    }
    let shown = |seq, item| {
        let text = reader.prove_json(seq, item).unwrap().encode().unwrap();
        ReceiptJson::parse(&text).unwrap()
    };
    shown(plain.seq, None).verify_payload(b"plain").unwrap();
    assert!(shown(plain.seq, None).verify_payload(b"plane").is_err());
    for (index, item) in (0..).zip(&items) {
        let proof = shown(bundle.seq, Some(index));
        proof.verify_payload(item).unwrap();
        assert!(proof.verify_payload(b"another").is_err());
        assert_eq!(reader.get(bundle.seq).unwrap().content(Some(index)).unwrap(), item.as_slice());
    }
    assert!(matches!(reader.prove_json(bundle.seq, Some(20)), Err(QueryError::Item { items: 20, .. })));
    assert!(matches!(reader.prove_json(plain.seq, Some(0)), Err(QueryError::Item { items: 1, .. })));
    assert!(matches!(reader.get(3), Err(QueryError::NotFound { seq: 3, next_seq: 3 })));
}

#[test]
fn a_reader_beside_the_writer_sees_what_is_durable_and_proves_it() {
    let place = Place::new();
    let ledger = place.create();
    let reader = Reader::open(&place.path()).unwrap();
    let mut appender = ledger.appender().unwrap();
    let mut expected = Vec::new();
    for nonce in 0..400u64 {
        // Large enough to go over several segments.
        let bytes = record(ledger.id(), &key(1), nonce, &vec![nonce as u8; 20_000]);
        expected.push(appender.append_wait(&bytes).unwrap());
    }
    let last = expected.last().unwrap().seq;
    assert!(reader.wait_past(last, Duration::from_secs(10)).unwrap(), "an idle writer's watermark shows all");
    for ack in expected.iter().step_by(37) {
        assert_eq!(reader.prove(ack.seq).unwrap(), ledger.reader().prove(ack.seq).unwrap());
        reader.prove(ack.seq).unwrap().verify(ledger.vkey()).unwrap();
    }
    assert_eq!(reader.head().unwrap(), ledger.reader().head().unwrap());
    assert_eq!(reader.checkpoint().unwrap(), ledger.reader().checkpoint().unwrap());
    assert_eq!(reader.next_nonce(&key(1).public()).unwrap(), 400);
    let found = reader.find_nonce(&key(1).public(), 7).unwrap().unwrap();
    assert_eq!(found.seq(), expected[7].seq);
    ledger.close().unwrap();
    let later = Reader::open(&place.path()).unwrap();
    assert_eq!(later.head().unwrap(), reader.head().unwrap());
    assert_eq!(later.scan(0).count() as u64, last + 1);
}

struct Collector {
    to: Sender<(Vec<u64>, Position)>,
    most: usize,
}

impl Follower for Collector {
    fn take(&mut self, records: &[StoredRecord], behind: Position) -> bool {
        self.to.send((records.iter().map(StoredRecord::seq).collect(), behind)).unwrap();
        self.most -= 1;
        0 < self.most
    }
}

#[test]
fn a_follower_gets_every_record_once_in_order_and_resumes() {
    let place = Place::new();
    let ledger = place.create();
    let append = |nonces: std::ops::Range<u64>| {
        let mut appender = ledger.appender().unwrap();
        for nonce in nonces {
            appender.append_wait(&record(ledger.id(), &key(1), nonce, b"x")).unwrap();
        }
    };
    append(0..10);
    let (to, from) = channel();
    let following = ledger.reader().follow(Position::BEGINNING, Collector { to, most: 5 }).unwrap();
    let (mut seqs, mut behind) = (Vec::new(), Position::BEGINNING);
    for (some, position) in from {
        seqs.extend(some);
        behind = position;
    }
    assert_eq!(following.stop().unwrap(), behind);
    assert_eq!(behind.next_seq, seqs.len() as u64);
    append(10..20);
    let (to, from) = channel();
    let following = ledger.reader().follow(behind, Collector { to, most: usize::MAX }).unwrap();
    append(20..30);
    while seqs.len() < 31 {
        seqs.extend(from.recv_timeout(Duration::from_secs(10)).unwrap().0);
    }
    following.stop().unwrap();
    assert_eq!(seqs, (0..31).collect::<Vec<_>>());
    let other = Position { root: None, ..behind };
    let (to, _from) = channel();
    let refused = ledger.reader().follow(other, Collector { to, most: 1 }).unwrap_err();
    assert!(matches!(refused, FollowError::Position { .. }));
}

#[test]
fn a_birth_can_be_repeated_and_a_ledger_never_taken_for_another() {
    let (one, two) = (Place::new(), Place::new());
    let born = |place: &Place, random: Option<[u8; 32]>| {
        let key_file = place.beside("key");
        if random.is_some() {
            annals::write_key(&key_file, &key(3)).unwrap();
        }
        let ledger_key = random.map(|_| key_file);
        let creation = annals::Creation { random, ledger_key, ..annals::Creation::open("annals.example/born") };
        annals::Ledger::create(&place.path(), &creation, crate::support::options()).unwrap()
    };
    assert_eq!(born(&one, Some([5; 32])).id(), born(&two, Some([5; 32])).id());
    let (three, four) = (Place::new(), Place::new());
    let ids: [LedgerId; 2] = [born(&three, None).id(), born(&four, None).id()];
    assert_ne!(ids[0], ids[1]);
}
