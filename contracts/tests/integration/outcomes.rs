//! From a submitted record to an outcome that is verified offline, and back through a replay.

use crate::desk::{Desk, act, file, inspect, options};
use annals_contracts::message::Act;
use annals_contracts::platform::{check_state, rebuild_state};
use annals_contracts::{OutcomeProof, Platform, Status, Value};

#[test]
fn a_case_goes_its_way_and_its_outcome_is_proved() {
    let mut desk = Desk::new();
    desk.inspected("1");
    assert_eq!(desk.act("eve", &act("grant", "1")).1.unwrap(), Status::Accepted);
    assert_eq!(desk.state("1"), "granted");
    let seq = desk.platform.applied().next_seq - 1;
    let proof = desk.platform.prove(seq).unwrap();
    let vkey = desk.platform.ledger().vkey().clone();
    assert_eq!(proof.verify(&vkey), Ok(()));
    let text = proof.encode().unwrap();
    assert_eq!(OutcomeProof::parse(&text).unwrap().verify(&vkey), Ok(()));
    assert!(OutcomeProof::is_one(&text));
    assert!(!text.contains("salt"), "nobody guesses at a payload by its outcome's proof");
    let salted = desk.platform.ledger().reader().prove_json(seq, None).unwrap().encode().unwrap();
    let receipt = Value::parse_loose(salted.as_bytes()).unwrap();
    assert!(OutcomeProof { receipt, ..proof }.verify(&vkey).is_err(), "a salt that nothing covers");
    let forged = text.replace("\"accepted\"", "\"refused\"");
    assert!(OutcomeProof::parse(&forged).unwrap().verify(&vkey).is_err());
}

#[test]
fn replay_gives_the_same_root_at_every_height() {
    let mut desk = Desk::new();
    for number in ["1", "2", "3"] {
        desk.inspected(number);
    }
    desk.set_day(40);
    desk.platform.tick().unwrap();
    assert_eq!(desk.state("1"), "lapsed");
    let root = desk.platform.applied().root;
    let place = desk.platform.ledger().path().to_owned();
    let (reader, clock) = (desk.platform.ledger().reader(), desk.clock.clone());
    desk.platform.close().unwrap();
    let check = check_state(&place, &reader, |_| ()).unwrap();
    assert_eq!((check.root, check.differs_at), (root, None));
    assert_eq!(rebuild_state(&place, &reader, |_| ()).unwrap().root, root);
    drop(reader);
    let again = Platform::open(&place, options(&clock)).unwrap();
    assert_eq!(again.applied().root, root);
}

#[test]
fn mistakes_are_told_in_one_line() {
    let mut desk = Desk::new();
    assert_eq!(desk.refusal("ann", &inspect("1")).code, "case.unknown");
    let no_form = Act { attachments: Vec::new(), ..file("1") };
    assert_eq!(desk.refusal("ann", &no_form).to_string(), "受理 File needs 申请表 application form: attach it as form");
    desk.act("ann", &file("1")).1.unwrap();
    assert_eq!(desk.refusal("ann", &file("1")).code, "case.exists");
    let early = desk.refusal("eve", &act("grant", "1"));
    assert_eq!(early.to_string(), "准予 Grant needs 核查 Inspect first: the case is in 受理 Filed");
    assert_eq!(early.about, ["inspect"]);
    assert_eq!(desk.refusal("cid", &act("note", "1")).code, "workflow.parent_missing");
    let note = |parent: &str| Act { parents: vec![parent.to_owned()], ..act("note", "1") };
    for unknown in ["#2", "#0", "#01", "#+1", "#", "1", "A/1#01"] {
        assert_eq!(desk.refusal("ann", &note(unknown)).code, "workflow.parent_unknown", "{unknown}");
    }
    assert_eq!(desk.refusal("cid", &note("#1")).code, "signer.agency");
    assert_eq!(desk.refusal("eve", &note("#1")).code, "signer.role");
    assert_eq!(desk.refusal("mallory", &note("#1")).code, "signer.unknown");
    assert_eq!(desk.act("ann", &note("#1")).1.unwrap(), Status::Accepted);
}

#[test]
fn who_did_not_sign_is_told_what_is_wrong() {
    let mut desk = Desk::new();
    let refused = desk.sign("mallory", annals_contracts::message::CASE, &inspect("1").encode());
    let flipped = |at: usize| {
        let mut bytes = refused.bytes().to_vec();
        bytes[at] ^= 1;
        bytes
    };
    let next_seq = desk.platform.ledger().reader().next_seq();
    let mut appender = desk.platform.appender().unwrap();
    // A byte of the payload first: with it the contracts would refuse the record too.
    for (at, code) in [(refused.bytes().len() - 2, "content.hash"), (191, "record.signature")] {
        assert_eq!(desk.platform.submit(&mut appender, &flipped(at)).unwrap_err().code(), code);
    }
    assert_eq!(desk.platform.ledger().reader().next_seq(), next_seq, "nobody is blamed for it");
    let ordered = desk.sign("ann", annals_contracts::message::CASE, &file("1").encode());
    assert_eq!(desk.send(&ordered).unwrap(), Status::Accepted);
    let mut other = ordered.bytes().to_vec();
    let last = other.len() - 2;
    other[last] ^= 1;
    assert_eq!(
        desk.platform.submit(&mut appender, &other).unwrap_err().code(),
        "content.hash",
        "that one was not accepted"
    );
}

/// Everybody knows an administrator's key, and what he may put takes longer the larger the platform is.
#[test]
fn nothing_is_tried_for_who_only_names_an_administrator() {
    let mut desk = Desk::founded(crate::desk::DEFINITION, &["one", "two"], 2);
    let days = || Value::List(Vec::new());
    let data = Value::map([("holidays", days()), ("workdays", days())]);
    let form = annals_contracts::message::EntryForm { version: 2, ..crate::desk::entry("calendar", "cn", data) };
    let payload = annals_contracts::message::encode(&form);
    let proposed = desk.sign("one", annals_contracts::message::REGISTRY, &payload);
    assert!(desk.platform.precheck(proposed.bytes()).is_ok());
    assert_eq!(desk.send(&proposed).unwrap(), Status::Waiting(1));
    let again = desk.sign("one", annals_contracts::message::REGISTRY, &payload);
    let last = desk.sign("two", annals::Kind::COUNTERSIGN, proposed.record_id().as_bytes());
    for record in [again, last] {
        let mut forged = record.bytes().to_vec();
        forged[191] ^= 1;
        assert_eq!(desk.platform.precheck(&forged).unwrap_err().code(), "record.signature");
        assert!(desk.platform.precheck(record.bytes()).is_ok());
    }
}

#[test]
fn keys_that_nobody_registered_fill_no_ledger() {
    let mut desk = Desk::new();
    desk.act("ann", &file("1")).1.unwrap();
    let next_seq = |desk: &Desk| desk.platform.ledger().reader().next_seq();
    let before = next_seq(&desk);
    let note = Act { parents: vec!["#1".to_owned()], ..act("note", "1") };
    for number in 0..20 {
        assert_eq!(desk.refusal(&format!("mallory {number}"), &note).code, "signer.unknown");
    }
    assert_eq!(next_seq(&desk) - before, 8, "they share what one officer has");
    assert_eq!(desk.refusal("cid", &note).code, "signer.agency");
    assert_eq!(next_seq(&desk) - before, 9, "officers have theirs");
}

#[test]
fn the_enforcement_service_is_consistent() {
    let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../services/enforcement");
    let service = annals_contracts::Service::read(&place).unwrap_or_else(|error| panic!("{error}"));
    let dir = tempfile::tempdir().unwrap();
    let founding = annals_contracts::Founding {
        origin: "example.gov/enforcement".to_owned(),
        service,
        admins: vec![crate::desk::key("root").public()],
        threshold: 1,
        segment_size: 2 << 20,
        ledger_key: None,
    };
    let made = Platform::create(
        &dir.path().join("ledger"),
        &founding,
        options(&annals::ManualClock::new(crate::desk::START_MS)),
    );
    if let Err(error) = made {
        panic!("{error}");
    }
}

#[test]
fn a_host_stops_where_it_does_not_know_the_contracts() {
    use annals_contracts::{HostError, PlatformError, SubmitError};
    let mut desk = Desk::founded(crate::desk::DEFINITION, &["one", "two"], 2);
    let later = br#"{"contracts":2,"from_height":9}"#;
    let record = desk.sign("one", annals_contracts::message::DEFINITION, later);
    let proposed = desk.send(&record).unwrap();
    assert_eq!(proposed, Status::Waiting(1), "one of two administrators stops nobody");
    match desk.countersign("two", record.record_id()) {
        Err(SubmitError::Refused(refused)) => assert_eq!(refused.code, "contract.version"),
        other => panic!("{other:?}"),
    }
    let last = desk.sign("two", annals::Kind::COUNTERSIGN, record.record_id().as_bytes());
    let mut appender = desk.platform.appender().unwrap();
    match desk.platform.submit_unchecked(&mut appender, last.bytes()) {
        Err(SubmitError::Platform(PlatformError::Host(HostError::Version { needed: 2 }))) => {}
        other => panic!("{other:?}"),
    }
}

/// What waits is shown to those who are to sign it: an upgrade that isn't tried says no more than its form has.
#[test]
fn an_upgrade_that_could_never_hold_is_not_proposed() {
    use annals_contracts::message::DEFINITION;
    let mut desk = Desk::founded(crate::desk::DEFINITION, &["one", "two"], 2);
    for (payload, code) in [
        (r#"{"contracts":2,"definition":{"name":"permit\u001b[2J","version":2},"from_height":9}"#, "payload.form"),
        (r#"{"contracts":"2, as agreed","from_height":9}"#, "payload.form"),
        (r#"{"contracts":2,"from_height":1}"#, "contract.version"),
        (r#"{"contracts":3,"from_height":9}"#, "contract.version"),
    ] {
        assert_eq!(desk.order_code("one", DEFINITION, payload.as_bytes()), code, "{payload}");
    }
    assert_eq!(desk.platform.proposals().unwrap().len(), 0);
    desk.replays();
}
