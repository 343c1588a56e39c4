//! Two records that race for one thing, and versions that follow each other: ordered both, one takes effect.

use crate::desk::{Desk, act, credential, entry, file, inspect};
use annals::{Kind, SignedRecord};
use annals_contracts::message::{CASE, DEFINITION as DEPLOY, EntryForm, Grant, POLICY, PolicyForm, REGISTRY, encode};
use annals_contracts::service::definition_value;
use annals_contracts::{Status, Value};

fn order(desk: &Desk, record: &SignedRecord) -> Status {
    let mut appender = desk.platform.appender().unwrap();
    desk.platform.submit_unchecked(&mut appender, record.bytes()).unwrap().status
}

/// Both are held against the same state, and would both be accepted; ordered, the second is refused.
fn race(desk: &Desk, one: &SignedRecord, two: &SignedRecord, code: &str) {
    assert!(desk.platform.precheck(one.bytes()).is_ok() && desk.platform.precheck(two.bytes()).is_ok());
    assert!(matches!(order(desk, one), Status::Accepted | Status::Waiting(_)));
    let before = desk.platform.cases(&annals_contracts::platform::CaseFilter::default(), 9).unwrap();
    match order(desk, two) {
        Status::Refused(refused) => assert_eq!(refused.code, code),
        other @ (Status::Accepted | Status::Waiting(_)) => panic!("{other:?}"),
    }
    assert_eq!(desk.platform.cases(&annals_contracts::platform::CaseFilter::default(), 9).unwrap(), before);
}

#[test]
fn of_two_that_race_one_is_accepted() {
    let mut desk = Desk::new();
    let (ann, bob) = (file("1").encode(), file("1").encode());
    let (one, two) = (desk.sign("ann", CASE, &ann), desk.sign("bob", CASE, &bob));
    race(&desk, &one, &two, "case.exists");
    let device = |serial: &str| encode(&entry("device", serial, Value::map([("agency", Value::from("A"))])));
    let (one, two) = (desk.sign("ann", REGISTRY, &device("cam")), desk.sign("root", REGISTRY, &device("cam")));
    race(&desk, &one, &two, "registry.version");
    let (one, two) = (desk.sign("ann", CASE, &inspect("1").encode()), desk.sign("bob", CASE, &inspect("1").encode()));
    race(&desk, &one, &two, "workflow.pending");
    let waiting = one.record_id();
    desk.administer("root", REGISTRY, &encode(&credential("dan", "A", "officer"))).unwrap();
    let (one, two) = ["bob", "dan"].map(|who| desk.sign(who, Kind::COUNTERSIGN, waiting.as_bytes())).into();
    race(&desk, &one, &two, "countersign.unknown");
    desk.administer("root", REGISTRY, &encode(&credential("fay", "A", "head"))).unwrap();
    let grant = act("grant", "1").encode();
    let (one, two) = (desk.sign("eve", CASE, &grant), desk.sign("fay", CASE, &grant));
    race(&desk, &one, &two, "workflow.order");
    let grants = vec![Grant {
        acts: vec!["*".to_owned()],
        agency: "*".to_owned(),
        from: 0,
        role: "officer".to_owned(),
        until: 9,
    }];
    let form = encode(&PolicyForm { action: "permit".to_owned(), grants, version: 2 });
    let (one, two) = (desk.sign("root", POLICY, &form), desk.sign("root", POLICY, &form));
    race(&desk, &one, &two, "policy.version");
    desk.replays();
}

/// One officer with two keys is one officer; so is one key that signs twice.
#[test]
fn two_keys_of_one_officer_are_one_signature() {
    let mut desk = Desk::new();
    let mut second = credential("ann2", "A", "officer");
    second.data = credential("ann", "A", "officer").data;
    desk.administer("root", REGISTRY, &encode(&second)).unwrap();
    desk.act("ann", &file("1")).1.unwrap();
    let device = entry("device", "cam", Value::map([("agency", Value::from("A"))]));
    desk.administer("root", REGISTRY, &encode(&device)).unwrap();
    let (record, status) = desk.act("ann", &inspect("1"));
    assert_eq!(status.unwrap(), Status::Waiting(1));
    for who in ["ann", "ann2"] {
        assert_eq!(desk.order_code(who, Kind::COUNTERSIGN, record.as_bytes()), "signer.twice", "{who}");
    }
    assert_eq!(desk.order_code("eve", Kind::COUNTERSIGN, record.as_bytes()), "signer.role");
    assert_eq!(desk.order_code("cid", Kind::COUNTERSIGN, record.as_bytes()), "signer.agency");
    let suspended = EntryForm {
        version: 2,
        status: annals_contracts::message::EntryStatus::Suspended,
        ..credential("ann", "A", "officer")
    };
    desk.administer("root", REGISTRY, &encode(&suspended)).unwrap();
    assert_eq!(desk.order_code("bob", Kind::COUNTERSIGN, record.as_bytes()), "signer.suspended", "the first one's");
    desk.replays();
}

/// What a ledger did before a version holds is what it does without that version.
#[test]
fn a_later_version_changes_nothing_before() {
    let text = crate::desk::DEFINITION
        .replace("version = 1", "version = 2")
        .replace("case.data.fee <= 1000", "case.data.fee <= 1");
    let definition = definition_value("permit.toml", &text).unwrap();
    let mut desk = Desk::new();
    desk.inspected("old");
    let from = desk.platform.applied().height + 4;
    let deploy =
        Value::map([("definition", definition.clone()), ("from_height", Value::Integer(i64::try_from(from).unwrap()))]);
    let before = desk.platform.applied().height;
    let roots: Vec<_> = (1..=before).map(|height| desk.platform.state().root_at(height).unwrap()).collect();
    // The ledger as it is now never gets the version.
    let spare = tempfile::tempdir().unwrap();
    let place = spare.path().join("without");
    let without = crate::crashes::Torn::of(&desk, &place);
    std::fs::remove_file(place.join("contracts/state.redb")).unwrap();
    assert_eq!(desk.administer("root", DEPLOY, &deploy.encode()).unwrap(), Status::Accepted);
    assert_eq!(desk.order_code("root", DEPLOY, &deploy.encode()), "definition.version");
    desk.act("ann", &file("between")).1.unwrap();
    while desk.platform.applied().height + 1 < from {
        desk.platform.tick().unwrap();
    }
    desk.act("ann", &file("new")).1.unwrap();
    let version = |number: &str| desk.platform.case("A", number).unwrap().unwrap().version;
    assert_eq!((version("old"), version("between"), version("new")), (1, 1, 2));
    assert_eq!(desk.act("eve", &act("grant", "old")).1.unwrap(), Status::Accepted, "as version 1 says");
    desk.inspected("newer");
    assert_eq!(desk.refusal("eve", &act("grant", "newer")).code, "workflow.guard", "as version 2 says");
    let late = Value::map([
        ("definition", definition_value("permit.toml", &text.replace("version = 2", "version = 3")).unwrap()),
        ("from_height", Value::Integer(1)),
    ]);
    assert_eq!(desk.order_code("root", DEPLOY, &late.encode()), "definition.height");
    let skipped = definition_value("permit.toml", &text.replace("version = 2", "version = 4")).unwrap();
    assert_eq!(desk.order_code("root", DEPLOY, &Value::map([("definition", skipped)]).encode()), "definition.version");
    drop(without.holds(&desk));
    for (height, root) in (1..).zip(&roots) {
        assert_eq!(desk.platform.state().root_at(height).unwrap(), *root);
    }
    desk.replays();
}
