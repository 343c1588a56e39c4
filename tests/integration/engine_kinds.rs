//! State roots and countersigns: taken, kept, proved and checked; every damage to them refused, also behind the engine's back.

use crate::forged::forge;
use crate::support::{Place, SMALL, key, options};
use annals::{
    Ack, Appointment, AuthorId, CheckError, Creation, Kind, Ledger, LedgerId, RecordBuilder, Refusal, SignedRecord,
    SigningKey, StateRoot, StateRootRecord, check_ledger,
};

const ADMIN: u8 = 50;
const HOST: u8 = 60;

/// A ledger of one listed author.
fn listed(place: &Place) -> Ledger {
    let admins = vec![key(ADMIN).public()];
    let creation =
        Creation { segment_size: SMALL, admins, ..Creation::listed("annals.example/kinds", &[key(1).public()]) };
    Ledger::create(&place.path(), &creation, options()).unwrap()
}

fn sign(ledger: LedgerId, author: u8, nonce: u64, kind: Kind, payload: &[u8]) -> SignedRecord {
    RecordBuilder::new(ledger, kind).unsalted().nonce(nonce).sign(&key(author), payload).unwrap()
}

fn append(ledger: &Ledger, bytes: &[u8]) -> Result<Ack, Refusal> {
    ledger.appender().unwrap().append_wait(bytes)
}

/// Appends by an author's next nonce.
fn say(ledger: &Ledger, author: u8, kind: Kind, payload: &[u8]) -> Result<Ack, Refusal> {
    let nonce = ledger.reader().next_nonce(&key(author).public()).unwrap();
    append(ledger, sign(ledger.id(), author, nonce, kind, payload).bytes())
}

fn said(ledger: &Ledger, height: u64) -> StateRootRecord {
    StateRootRecord {
        height,
        root: StateRoot::from_bytes([height as u8; 32]),
        appointment: ledger.appoint(&key(HOST).public()),
    }
}

fn newest_height(ledger: &Ledger) -> u64 {
    let reader = ledger.reader();
    reader.get(reader.next_seq() - 1).unwrap().height()
}

#[test]
fn state_roots_and_countersigns_are_taken_kept_proved_and_checked() {
    let place = Place::new();
    let mut ledger = listed(&place);
    let notice = say(&ledger, 1, Kind::APPLICATION_FIRST, b"notice").unwrap();
    let signed = ledger.reader().get(notice.seq).unwrap().record_id();
    for round in 0..3 {
        let record = said(&ledger, newest_height(&ledger));
        let state = say(&ledger, HOST, Kind::STATE_ROOT, &record.encode()).unwrap();
        // A record that nobody knows may be signed, too: whether it is there is for contracts to tell.
        let named = if round == 0 { signed.to_bytes() } else { [round; 32] };
        let countersign = say(&ledger, 1, Kind::COUNTERSIGN, &named).unwrap();
        ledger.close().unwrap();
        check_ledger(&place.path(), None, &mut |_, _| {}).unwrap();
        ledger = place.open();
        for (seq, payload) in [(state.seq, &record.encode()[..]), (countersign.seq, &named)] {
            assert_eq!(ledger.reader().get(seq).unwrap().payload(), payload);
            let receipt = ledger.reader().prove(seq).unwrap();
            let head = receipt.verify(ledger.vkey()).unwrap();
            receipt.verify_payload(payload).unwrap();
            let stored = ledger.reader().get(seq).unwrap();
            let (said, countersigned) = (stored.state_root(), stored.countersigned().map(annals::RecordId::to_bytes));
            if head.kind == Kind::STATE_ROOT {
                assert_eq!((said, countersigned), (Some(record), None));
                let read = StateRootRecord::parse(payload).unwrap();
                assert_eq!((read, read.verify(ledger.vkey(), head.ledger, &head.author)), (record, Ok(())));
            } else {
                assert_eq!((said, countersigned), (None, Some(named)));
            }
        }
    }
    // Indexes made again from the segments say the same.
    let large = vec![1; 1 << 20];
    for _ in 0..3 {
        say(&ledger, 1, Kind::APPLICATION_FIRST, &large).unwrap();
    }
    ledger.close().unwrap();
    assert!(check_ledger(&place.path(), None, &mut |_, _| {}).unwrap().indexes_missing.is_empty());
    std::fs::remove_dir_all(place.path().join("index")).unwrap();
    let ledger = place.open();
    assert_eq!(ledger.reader().next_nonce(&key(HOST).public()).unwrap(), 3);
    say(&ledger, HOST, Kind::STATE_ROOT, &said(&ledger, 0).encode()).unwrap();
    ledger.close().unwrap();
    check_ledger(&place.path(), None, &mut |_, _| {}).unwrap();
}

#[test]
fn no_byte_of_a_state_root_can_be_changed() {
    let place = Place::new();
    let ledger = listed(&place);
    let payload = said(&ledger, 0).encode();
    let record = sign(ledger.id(), HOST, 0, Kind::STATE_ROOT, &payload);
    for at in 0..payload.len() {
        let mut bytes = record.bytes().to_vec();
        bytes[192 + at] ^= 1;
        let refusal = append(&ledger, &bytes).unwrap_err();
        // Another appointment, a height beyond all, or a payload that nobody signed.
        let expected = match at {
            7 => "state_root.height",
            0..40 => "content.hash",
            _ => "state_root.appointment",
        };
        assert_eq!(refusal.code(), expected, "byte {at}");
        // Signed anew by the host.
        let answer = say(&ledger, HOST, Kind::STATE_ROOT, &bytes[192..]);
        let code = answer.as_ref().map_or_else(Refusal::code, |_| "taken");
        let expected = match at {
            0..7 => "state_root.later",
            7 => "state_root.height",
            8..40 => "taken",
            _ => "state_root.appointment",
        };
        assert_eq!(code, expected, "byte {at}");
    }
    assert_eq!(ledger.reader().next_seq(), 1 + 32, "of what was refused nothing was kept");
    ledger.close().unwrap();
    check_ledger(&place.path(), None, &mut |_, _| {}).unwrap();
}

#[test]
fn a_state_root_is_said_of_a_block_below_by_whom_the_ledger_key_has_appointed() {
    let (place, other_place) = (Place::new(), Place::new());
    let (ledger, other) = (listed(&place), other_place.create());
    let host = key(HOST).public();
    let code = |author, payload: &[u8]| say(&ledger, author, Kind::STATE_ROOT, payload).unwrap_err().code();
    let by = |appointment| StateRootRecord { appointment, ..said(&ledger, 0) }.encode();
    assert_eq!(
        code(HOST, &by(Appointment::sign(ledger.id(), &host, &key(9)))),
        "state_root.appointment",
        "another key"
    );
    assert_eq!(code(HOST, &by(other.appoint(&host))), "state_root.appointment", "another ledger");
    assert_eq!(code(HOST, &by(ledger.appoint(&key(61).public()))), "state_root.appointment", "another host");
    assert_eq!(code(1, &by(ledger.appoint(&host))), "state_root.appointment", "an author with the host's appointment");
    let refusal = say(&ledger, 1, Kind::STATE_ROOT, &by(ledger.appoint(&host))).unwrap_err();
    assert!(refusal.to_string().contains("ask its operator to appoint"), "{refusal}");
    let good = said(&ledger, 0).encode();
    assert_eq!(code(HOST, &good[1..]), "state_root.size");
    assert_eq!(code(HOST, &[&good[..], &[0]].concat()), "state_root.size");
    assert_eq!(code(HOST, &said(&ledger, 1 << 53).encode()), "state_root.height");
    for height in [1, 2, (1 << 53) - 1] {
        let refusal = say(&ledger, HOST, Kind::STATE_ROOT, &said(&ledger, height).encode()).unwrap_err();
        assert_eq!((refusal.code(), &refusal), ("state_root.later", &Refusal::StateRootLater), "{height}");
        assert!(refusal.to_string().contains("say it of a final block") && !refusal.is_retryable());
    }
    let salted = RecordBuilder::new(ledger.id(), Kind::STATE_ROOT).sign(&key(HOST), &good).unwrap();
    assert_eq!(append(&ledger, salted.bytes()).unwrap_err().code(), "engine.form");
    let sealed = RecordBuilder::new(ledger.id(), Kind::STATE_ROOT).unsalted().sealed().sign(&key(HOST), &good).unwrap();
    assert_eq!(append(&ledger, sealed.bytes()).unwrap_err().code(), "engine.form");
    let bundle = RecordBuilder::new(ledger.id(), Kind::STATE_ROOT).unsalted();
    let bundle = bundle.sign_bundle(&key(HOST), &[&good[..], &good[..]]).unwrap();
    assert_eq!(append(&ledger, bundle.bytes()).unwrap_err().code(), "engine.form");
    let mut unsigned = sign(ledger.id(), HOST, 0, Kind::STATE_ROOT, &good).bytes().to_vec();
    unsigned[150] ^= 1;
    assert_eq!(append(&ledger, &unsigned).unwrap_err().code(), "record.signature");
    assert_eq!(ledger.reader().next_seq(), 1, "nothing was kept");
    assert_eq!(say(&ledger, HOST, Kind::STATE_ROOT, &good).unwrap().seq, 1, "and no nonce was used up");
    assert_eq!(ledger.appoint(&host), ledger.appoint(&host), "asked for again it is the same");
}

#[test]
fn an_appointment_gives_no_admission_and_ends_with_a_revocation() {
    for is_listed in [true, false] {
        let place = Place::new();
        let mut ledger = if is_listed { listed(&place) } else { place.create() };
        let ledger_key = annals::read_key(&place.path().join("ledger.key")).unwrap();
        let order = |ledger: &Ledger, kind| {
            let admin = if is_listed { key(ADMIN) } else { SigningKey::from_seed(&ledger_key.seed()) };
            let nonce = ledger.reader().next_nonce(&admin.public()).unwrap();
            let builder = RecordBuilder::new(ledger.id(), kind).unsalted().nonce(nonce);
            append(ledger, builder.sign(&admin, key(HOST).public().as_bytes()).unwrap().bytes()).unwrap();
        };
        let payload = said(&ledger, 0).encode();
        let refused = Refusal::NotAdmitted(key(HOST).public());
        say(&ledger, HOST, Kind::STATE_ROOT, &payload).unwrap();
        assert_eq!(say(&ledger, HOST, Kind::APPLICATION_FIRST, b"x").is_ok(), !is_listed);
        assert_eq!(say(&ledger, HOST, Kind::COUNTERSIGN, &[5; 32]).is_ok(), !is_listed);
        order(&ledger, Kind::AUTHOR_REVOKE);
        for _ in 0..2 {
            assert_eq!(say(&ledger, HOST, Kind::STATE_ROOT, &payload), Err(refused.clone()));
            ledger.close().unwrap();
            ledger = place.open();
        }
        order(&ledger, Kind::AUTHOR_ADMIT);
        say(&ledger, HOST, Kind::STATE_ROOT, &payload).unwrap();
        ledger.close().unwrap();
        check_ledger(&place.path(), None, &mut |_, _| {}).unwrap();
    }
}

#[test]
fn a_countersign_is_taken_from_admitted_authors_alone() {
    let place = Place::new();
    let mut ledger = listed(&place);
    let refused = |author| Err(Refusal::NotAdmitted(key(author).public()));
    let signs = |ledger: &Ledger, author| say(ledger, author, Kind::COUNTERSIGN, &[5; 32]).map(drop);
    let order = |ledger: &Ledger, kind, author: AuthorId| say(ledger, ADMIN, kind, author.as_bytes()).unwrap();
    for stranger in [2, ADMIN, HOST] {
        assert_eq!(signs(&ledger, stranger), refused(stranger), "also an admin is no author");
    }
    assert_eq!(signs(&ledger, 1), Ok(()));
    order(&ledger, Kind::AUTHOR_ADMIT, key(2).public());
    assert_eq!(signs(&ledger, 2), Ok(()));
    order(&ledger, Kind::AUTHOR_REVOKE, key(1).public());
    assert_eq!(signs(&ledger, 1), refused(1));
    ledger.close().unwrap();
    ledger = place.open();
    assert_eq!((signs(&ledger, 1), signs(&ledger, 2)), (refused(1), Ok(())), "restarts remember");
    // At the gate already: of a stranger not even the signature is verified, and nobody waits for the order.
    let mut stranger = sign(ledger.id(), 77, 0, Kind::COUNTERSIGN, &[5; 32]).bytes().to_vec();
    stranger[150] ^= 1;
    let revoked = sign(ledger.id(), 1, 900, Kind::COUNTERSIGN, &[5; 32]).bytes().to_vec();
    for (author, bytes) in [(77, stranger), (1, revoked)] {
        let answer = ledger.appender().unwrap().append(&bytes).map(drop);
        assert_eq!(answer, refused(author), "before it is taken");
    }
    for wrong in [&[5; 31][..], &[5; 33], b""] {
        assert_eq!(say(&ledger, 2, Kind::COUNTERSIGN, wrong).unwrap_err().code(), "engine.payload_size");
    }
    let salted = RecordBuilder::new(ledger.id(), Kind::COUNTERSIGN).nonce(9).sign(&key(2), &[5; 32]).unwrap();
    assert_eq!(append(&ledger, salted.bytes()).unwrap_err().code(), "engine.form");
    ledger.close().unwrap();
    check_ledger(&place.path(), None, &mut |_, _| {}).unwrap();
}

#[test]
fn what_the_engine_would_have_refused_is_found_by_a_check_and_not_opened() {
    type Forgery = fn(&Ledger) -> SignedRecord;
    // The forged block has height 1, behind genesis.
    let forgeries: [(Forgery, Option<&str>); 6] = [
        (|it| sign(it.id(), HOST, 0, Kind::STATE_ROOT, &said(it, 0).encode()), None),
        (|it| sign(it.id(), 1, 0, Kind::COUNTERSIGN, &[5; 32]), None),
        (|it| sign(it.id(), HOST, 0, Kind::STATE_ROOT, &said(it, 1).encode()), Some("of a final block")),
        (|it| sign(it.id(), 1, 0, Kind::STATE_ROOT, &said(it, 0).encode()), Some("has not appointed")),
        (|it| sign(it.id(), HOST, 0, Kind::COUNTERSIGN, &[5; 32]), Some("not admitted")),
        (|it| RecordBuilder::new(it.id(), Kind::COUNTERSIGN).sign(&key(1), b"").unwrap(), Some("no flags")),
    ];
    for (number, (forgery, words)) in forgeries.into_iter().enumerate() {
        let place = Place::new();
        let ledger = listed(&place);
        let record = forgery(&ledger).bytes().to_vec();
        ledger.close().unwrap();
        forge(&place.path(), &[record], |_| {});
        let checked = check_ledger(&place.path(), None, &mut |_, _| {});
        let opened = Ledger::open(&place.path(), options());
        match (words, checked, opened) {
            (None, Ok(report), Ok(_)) => assert_eq!(report.records, 2),
            (Some(words), Err(CheckError::Record { seq: 1, finding, .. }), Err(error)) => {
                assert!(finding.to_string().contains(words), "{number}: {finding}");
                assert!(error.to_string().contains(words), "{number}: {error}");
            }
            (_, checked, opened) => panic!("{number}: {checked:?} {opened:?}"),
        }
    }
}
