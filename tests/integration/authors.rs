//! Who may append: admission, revocation, ticks, and what of it restarts remember.

use crate::support::{Place, key, options, record};
use annals::{AuthorId, Creation, Kind, Ledger, RecordBuilder, Refusal};

fn order(ledger: &Ledger, admin: u8, kind: Kind, author: AuthorId) -> Result<u64, Refusal> {
    let nonce = ledger.reader().next_nonce(&key(admin).public()).unwrap();
    let builder = RecordBuilder::new(ledger.id(), kind).unsalted().nonce(nonce);
    let bytes = builder.sign(&key(admin), author.as_bytes()).unwrap();
    ledger.appender().unwrap().append_wait(bytes.bytes()).map(|ack| ack.seq)
}

#[test]
fn admins_admit_and_revoke_and_restarts_remember() {
    let place = Place::new();
    let creation = Creation {
        segment_size: 2 << 20,
        admins: vec![key(50).public()],
        ..Creation::listed("annals.example/test", &[key(1).public()])
    };
    let mut ledger = Ledger::create(&place.path(), &creation, options()).unwrap();
    let id = ledger.id();
    let offer = |ledger: &Ledger, author: u8, nonce| {
        ledger.appender().unwrap().append_wait(&record(id, &key(author), nonce, b"x")).map(|_| ())
    };
    let (one, two) = (key(1).public(), key(2).public());
    let mut nonce = 0;
    for round in 0..4 {
        assert_eq!(offer(&ledger, 2, nonce), Err(Refusal::NotAdmitted(two)), "round {round}");
        assert!(order(&ledger, 1, Kind::AUTHOR_ADMIT, two).is_err(), "an author is no admin");
        order(&ledger, 50, Kind::AUTHOR_ADMIT, two).unwrap();
        assert_eq!(offer(&ledger, 2, nonce), Ok(()));
        assert_eq!(offer(&ledger, 1, nonce), Ok(()));
        assert_eq!(
            offer(&ledger, 50, nonce + 1_000_000),
            Err(Refusal::NotAdmitted(key(50).public())),
            "an admin is no author"
        );
        ledger.close().unwrap();
        ledger = place.open();
        assert_eq!(offer(&ledger, 2, nonce + 1), Ok(()), "still admitted after a restart");
        order(&ledger, 50, Kind::AUTHOR_REVOKE, two).unwrap();
        assert_eq!(offer(&ledger, 2, nonce + 2), Err(Refusal::NotAdmitted(two)));
        nonce += 10;
        // Over a segment's end every other round, so that the index remembers.
        if round % 2 == 0 {
            let large = vec![3; 1 << 20];
            for more in 0..3 {
                let bytes = record(id, &key(1), nonce + more, &large);
                ledger.appender().unwrap().append_wait(&bytes).unwrap();
            }
            nonce += 10;
        }
        ledger.close().unwrap();
        ledger = place.open();
    }
    order(&ledger, 50, Kind::AUTHOR_REVOKE, one).unwrap();
    assert_eq!(offer(&ledger, 1, nonce + 1), Err(Refusal::NotAdmitted(one)), "a first author can be revoked too");
    ledger.close().unwrap();
    annals::check_ledger(&place.path(), None, &mut |_, _| {}).unwrap();
}

#[test]
fn a_tick_marks_time() {
    let place = Place::new();
    let ledger = place.create();
    let acks = [ledger.tick().unwrap(), ledger.tick().unwrap()];
    assert_eq!(acks.map(|ack| ack.seq), [1, 2]);
    let ticked = ledger.reader().get(2).unwrap();
    assert_eq!((ticked.head().unwrap().kind, ticked.head().unwrap().author), (Kind::TICK, ledger.vkey().key()));
    ledger.reader().prove(2).unwrap().verify(ledger.vkey()).unwrap();
    ledger.close().unwrap();
    let ledger = place.open();
    assert_eq!(ledger.tick().unwrap().seq, 3, "the ledger key's nonces go on");
}
