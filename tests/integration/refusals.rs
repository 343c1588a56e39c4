//! Bad input: each kind is refused with its own code, at the right place, and changes nothing.

use crate::support::{Place, key, options, record};
use annals::{
    Creation, Fault, Kind, Ledger, LedgerId, NoAppender, OpenError, Options, Policy, Record, RecordBuilder, Refusal,
};
use std::sync::Arc;

/// Offers bytes alone and between good records; the codes that both ways give.
fn codes(ledger: &Ledger, bytes: &[u8], nonce: u64) -> [&'static str; 2] {
    let author = key(9);
    let mut appender = ledger.appender().unwrap();
    let alone = appender.append(bytes).and_then(annals::Pending::wait).unwrap_err();
    let good: Vec<_> = (nonce..nonce + 40).map(|nonce| record(ledger.id(), &author, nonce, b"good")).collect();
    let mut batch: Vec<&[u8]> = good.iter().map(Vec::as_slice).collect();
    batch.insert(20, bytes);
    let mut answers: Vec<_> =
        appender.append_batch(&batch).unwrap().into_iter().map(|it| it.and_then(|it| it.wait())).collect();
    let batched = answers.remove(20).unwrap_err();
    let seqs: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().seq).collect();
    assert!(
        seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]),
        "the good ones keep their order, and nothing is between"
    );
    [alone.code(), batched.code()]
}

#[test]
fn each_kind_of_bad_record_has_a_code_and_changes_nothing() {
    let place = Place::new();
    let creation = Creation {
        segment_size: 2 << 20,
        ..Creation::listed("annals.example/test", &[key(1).public(), key(9).public()])
    };
    let ledger = Ledger::create(&place.path(), &creation, options()).unwrap();
    let id = ledger.id();
    let good = record(id, &key(1), 5, b"payload");
    let change = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] ^= to;
        bytes
    };
    let engine = |kind: u32| {
        let builder = RecordBuilder::new(id, Kind(kind)).unsalted().nonce(1);
        builder.sign(&key(1), &[]).unwrap().bytes().to_vec()
    };
    let cases: [(&str, Vec<u8>, &str); 13] = [
        ("empty", vec![], "record.truncated"),
        ("truncated head", good[..100].to_vec(), "record.truncated"),
        ("truncated payload", good[..good.len() - 1].to_vec(), "record.truncated"),
        ("a byte too many", [&good[..], &[0]].concat(), "record.trailing"),
        ("other magic", change(0, 1), "record.magic"),
        ("another suite", change(4, 3), "record.suite"),
        ("unknown flag", change(5, 0x40), "record.flags"),
        ("oversized", change(95, 0x40), "record.payload_size"),
        ("another ledger", record(LedgerId::from_bytes([1; 32]), &key(1), 5, b"payload"), "record.ledger"),
        ("unknown author", record(id, &key(2), 5, b"payload"), "author.not_admitted"),
        ("reserved kind", engine(4), "engine.kind"),
        ("a tick by an author", engine(1), "engine.author"),
        ("bad signature", change(140, 1), "record.signature"),
    ];
    let mut nonce = 0;
    for (name, bytes, code) in cases {
        let found = codes(&ledger, &bytes, nonce);
        nonce += 40;
        assert_eq!(found, [code; 2], "{name}");
    }
    let changed_payload = change(good.len() - 1, 1);
    assert_eq!(codes(&ledger, &changed_payload, nonce), ["content.hash"; 2]);
    nonce += 40;
    assert_eq!(ledger.reader().next_seq(), 1 + nonce, "only the good ones are there");
    let ack = ledger.appender().unwrap().append_wait(&good).unwrap();
    assert_eq!(ack.seq, 1 + nonce, "a refused record uses no nonce up");
    ledger.close().unwrap();
}

#[test]
fn a_key_that_is_none_is_refused_before_anything_is_remembered() {
    let place = Place::new();
    let ledger = place.create();
    let mut bytes = record(ledger.id(), &key(1), 1, b"x");
    bytes[40..72].fill(0xFF);
    let refusal = ledger.appender().unwrap().append(&bytes).unwrap_err();
    assert!(matches!(refusal, Refusal::Key { .. }), "{refusal}");
    assert_eq!(refusal.fault(), Fault::Record);
}

#[derive(Debug)]
struct NoOdd;

impl Policy for NoOdd {
    fn judge(&self, record: &Record<'_>) -> Result<(), u32> {
        assert!(record.head.nonce != 13, "an unlucky policy");
        if record.head.nonce.is_multiple_of(2) { Ok(()) } else { Err(77) }
    }
}

#[test]
fn a_policy_refuses_and_its_panic_does_too() {
    let place = Place::new();
    let options = Options { policy: Some(Arc::new(NoOdd)), ..options() };
    let ledger = Ledger::create(&place.path(), &Creation::open("annals.example/test"), options).unwrap();
    let mut appender = ledger.appender().unwrap();
    let mut offer = |nonce| appender.append_wait(&record(ledger.id(), &key(1), nonce, b"x")).map(|ack| ack.seq);
    assert_eq!(offer(2), Ok(1));
    assert_eq!(offer(3), Err(Refusal::Policy(77)));
    assert_eq!(offer(13), Err(Refusal::PolicyPanic));
    assert_eq!(offer(4), Ok(2));
}

#[test]
fn a_flood_is_pushed_back_and_loses_nothing() {
    let place = Place::new();
    let options = Options { ring_size: 8 << 20, outstanding_max: 100, ..options() };
    let ledger = Ledger::create(&place.path(), &Creation::open("annals.example/test"), options).unwrap();
    let mut appender = ledger.appender().unwrap();
    let records: Vec<_> = (0..300).map(|nonce| record(ledger.id(), &key(1), nonce, &[7; 300])).collect();
    let all: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    assert_eq!(appender.append_batch(&all).unwrap_err(), Refusal::BatchTooLarge, "more than may ever be outstanding");
    // What was answered and not taken yet is outstanding still.
    let first = appender.append_batch(&all[..60]).unwrap();
    let refusal = appender.append_batch(&all[60..120]).unwrap_err();
    assert_eq!((refusal.clone(), refusal.fault()), (Refusal::Pushback, Fault::Load));
    assert!(first.into_iter().all(|answer| answer.unwrap().wait().is_ok()));
    for part in all[60..].chunks(100) {
        let acks: Vec<_> =
            appender.append_batch(part).unwrap().into_iter().map(|answer| answer.unwrap().wait().unwrap()).collect();
        assert_eq!(acks.len(), part.len());
    }
    assert_eq!(ledger.reader().next_seq(), 301);
}

#[test]
fn memory_is_bounded_by_its_option() {
    let place = Place::new();
    let creation = Creation { segment_size: 2 << 20, ..Creation::open("annals.example/test") };
    let small = Options { author_count_max: 1000, ring_size: 8 << 20, reading_memory: 1 << 20, ..options() };
    let needed = match Ledger::create(&place.path(), &creation, Options { memory_max: Some(1 << 20), ..small.clone() })
    {
        Err(OpenError::Memory { needed, allowed }) => {
            assert_eq!(allowed, 1 << 20);
            needed
        }
        other => panic!("{other:?}"),
    };
    assert!(!place.path().exists(), "nothing was made");
    assert!((8 << 20..32 << 20).contains(&needed), "the ring and some frames: {needed}");
    // Room for three appenders beside what the ledger needs with one.
    let slots = u64::from(small.outstanding_max) * 17;
    let allowed = needed + 2 * slots;
    let ledger = Ledger::create(&place.path(), &creation, Options { memory_max: Some(allowed), ..small }).unwrap();
    assert_eq!(ledger.memory_max(), allowed);
    let first = [(); 3].map(|()| ledger.appender().unwrap());
    let refused = ledger.appender().unwrap_err();
    assert_eq!((refused.code(), refused), ("appender.memory", NoAppender::Memory { allowed }));
    drop(first);
    assert!(ledger.appender().is_ok(), "what an appender took is given back");
    ledger.close().unwrap();
}
