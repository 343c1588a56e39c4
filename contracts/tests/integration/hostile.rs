//! What somebody may send who wishes the platform ill: nothing of it halts the host, and nobody gains what he may not.

use crate::desk::{DAY_MS, DEFINITION, Desk, START_MS, act, entry, file, inspect};
use annals::RecordBuilder;
use annals_contracts::message::{
    ATTEMPT, Act, AttemptForm, CASE, DEFINITION as DEPLOY, EntryForm, EntryStatus, POLICY, PolicyForm, REGISTRY, encode,
};
use annals_contracts::value::{INTEGER_MAX as VALUE_INTEGER_MAX, VALUE_SIZE_MAX};
use annals_contracts::{Status, Value};

/// The desk's definition with a part of its own.
pub(crate) fn definition_with(part: &str) -> String {
    format!("{DEFINITION}\n{part}")
}

fn device(version: u64, status: EntryStatus) -> EntryForm {
    EntryForm { version, status, ..entry("device", "cam", Value::map([("agency", Value::from("A"))])) }
}

#[test]
fn a_definition_named_by_a_key_of_state_is_none() {
    let mut desk = Desk::new();
    for name in ["permit\u{0}1", "", "\u{0}", "permit\u{0}", &"x".repeat(60_000)] {
        let act = Act { definition: Some(name.to_owned()), ..file("1") };
        let code = desk.order_code("mallory", CASE, &act.encode());
        assert!(["definition.unknown", "payload.form"].contains(&code), "{name:?}: {code}");
    }
    assert_eq!(desk.act("ann", &file("1")).1.unwrap(), Status::Accepted);
    desk.replays();
}

#[test]
fn an_entry_is_not_looked_up_as_it_was_before() {
    let mut desk = Desk::new();
    desk.act("ann", &file("1")).1.unwrap();
    for form in [device(1, EntryStatus::Valid), device(2, EntryStatus::Suspended)] {
        assert_eq!(desk.administer("root", REGISTRY, &encode(&form)).unwrap(), Status::Accepted);
    }
    for id in ["cam", "cam\u{0}1", "cam\u{0}2", "\u{0}", &"c".repeat(4096)] {
        let inspect = Act { data: Value::map([("device", Value::from(id))]), ..inspect("1") };
        assert_eq!(desk.refusal("ann", &inspect).code, "workflow.guard", "{id:?}");
    }
}

#[test]
fn an_entry_as_large_as_a_record_does_not_halt_the_host() {
    let mut desk = Desk::new();
    let texts = || Value::List((0..64).map(|_| Value::from("十".repeat(2725))).collect());
    let zoe = |size: usize| {
        let id = crate::desk::key("zoe").public().to_string();
        let data = Value::map([
            ("agency", Value::from("A")),
            ("officer", Value::from("z".repeat(size))),
            ("roles", texts()),
            ("scope", texts()),
        ]);
        encode(&entry("credential", &id, data))
    };
    let largest = VALUE_SIZE_MAX + 1 - zoe(1).len();
    for size in [largest, largest - 20, largest - 30] {
        let refused = desk.order_code("root", REGISTRY, &zoe(size));
        assert!(["", "contract.too_large", "registry.version"].contains(&refused), "{refused}");
        assert!(desk.order_code("zoe", CASE, &file("1").encode()).starts_with("signer."));
    }
    assert_eq!(desk.act("ann", &file("1")).1.unwrap(), Status::Accepted);
    desk.replays();
}

/// A registry as deep as a payload may be lies one level deeper beside a definition.
#[test]
fn a_deep_registry_does_not_spoil_definitions() {
    let mut desk = Desk::new();
    let mut field = String::from(r#"{"type":"text"}"#);
    let (mut accepted, mut depth) = (0, 0);
    while depth < 20 {
        let label = r#""label":{"zh":"深"}"#;
        let registry = format!(r#"{{"registry":{{"fields":{{"a":{field}}},{label},"name":"deep{depth}"}}}}"#);
        accepted += u32::from(desk.order_code("root", DEPLOY, registry.as_bytes()).is_empty());
        field = format!(r#"{{"of":{field},"type":"list"}}"#);
        depth += 1;
    }
    assert!(8 < accepted && accepted < depth);
    let text = DEFINITION.replace("version = 1", "version = 2");
    let definition = annals_contracts::service::definition_value("permit.toml", &text).unwrap();
    let form = Value::map([("definition", definition)]);
    assert_eq!(desk.order("root", DEPLOY, &form.encode()).unwrap(), Status::Accepted);
    assert_eq!(desk.order("ann", CASE, &file("1").encode()).unwrap(), Status::Accepted);
    desk.replays();
}

/// A guard that can't be computed must not keep a deadline from passing, nor a case from going on.
#[test]
fn a_deadline_passes_though_its_act_fails() {
    let part = r#"
[case.left]
type = "integer"
[[transition]]
name = "count"
label = { zh = "计", en = "Count" }
trigger = "deadline"
from = ["filed"]
effects = { set = { left = "has(case.data.fee) ? 100 / (case.data.fee - 100) : 0" } }
[[deadline]]
name = "counting"
label = { zh = "计", en = "count" }
article = "Article 1"
days = 1
unit = "calendar"
starts_on = ["file"]
act = "count"
"#;
    let mut desk = Desk::with(&definition_with(part));
    assert_eq!(desk.act("ann", &file("1")).1.unwrap(), Status::Accepted);
    desk.set_day(2);
    desk.platform.tick().unwrap();
    let case = desk.platform.case("A", "1").unwrap().unwrap();
    assert!(case.due["counting"].passed, "{case:?}");
    assert!(!case.data.contains_key("left"));
    let note = Act { parents: vec!["#1".to_owned()], ..act("note", "1") };
    assert_eq!(desk.act("ann", &note).1.unwrap(), Status::Accepted);
    let height = desk.platform.applied().height;
    desk.platform.tend().unwrap();
    assert_eq!(desk.platform.applied().height, height, "nothing is due, so time need not be marked");
    desk.replays();
}

/// Asking again and again for a second signature must not keep all others from a case for ever.
#[test]
fn who_waits_for_a_signature_holds_a_case_up_for_a_week_at_most() {
    let mut desk = Desk::new();
    desk.act("ann", &file("1")).1.unwrap();
    let device = device(1, EntryStatus::Valid);
    desk.administer("root", REGISTRY, &encode(&device)).unwrap();
    for day in [0, 3, 6] {
        desk.set_day(day);
        assert_eq!(desk.act("ann", &inspect("1")).1.unwrap(), Status::Waiting(1));
    }
    let note = Act { parents: vec!["#1".to_owned()], ..act("note", "1") };
    assert_eq!(desk.refusal("bob", &note).code, "workflow.pending");
    desk.set_day(7);
    assert_eq!(desk.act("bob", &note).1.unwrap(), Status::Accepted);
}

/// An opening that nobody else signed opened nothing: the next one chooses its definition and version anew.
#[test]
fn a_case_that_was_never_opened_binds_nobody() {
    let two = |text: &str| {
        text.replacen(r#"signers = [{ role = "officer" }]"#, r#"signers = [{ role = "officer", count = 2 }]"#, 1)
    };
    let mut desk = Desk::with(&two(DEFINITION));
    assert_eq!(desk.act("ann", &file("1")).1.unwrap(), Status::Waiting(1));
    let definition =
        annals_contracts::service::definition_value("permit.toml", &DEFINITION.replace("version = 1", "version = 2"));
    let form = Value::map([("definition", definition.unwrap())]);
    desk.administer("root", DEPLOY, &form.encode()).unwrap();
    desk.set_day(8);
    assert_eq!(desk.act("bob", &file("1")).1.unwrap(), Status::Accepted);
    let case = desk.platform.case("A", "1").unwrap().unwrap();
    assert_eq!((case.version, case.acts, case.pending), (2, 1, None));
    desk.replays();
}

#[test]
fn a_key_is_written_in_one_way() {
    let mut desk = Desk::new();
    let mut form = crate::desk::credential("ann", "A", "officer");
    form.id = form.id.to_uppercase();
    assert_eq!(desk.order_code("root", REGISTRY, &encode(&form)), "registry.form");
}

#[test]
fn odd_ids_are_refused_or_harmless() {
    let mut desk = Desk::new();
    let long = "长".repeat(42) + "ab";
    for (number, is_good) in [
        ("", false),
        (" 1", false),
        ("1 ", false),
        ("1\u{0}", false),
        ("1/2", false),
        ("1#2", false),
        ("\u{85}", false),
        ("1\u{3000}", false),
        ("\u{202e}1", false),
        ("1\u{200b}", false),
        ("\u{feff}1", false),
        // What an input method writes as people write ２０２５, and reads as 2025.
        ("２０２５-1", false),
        ("Ａ1", false),
        ("a\u{a0}b", false),
        ("a  b", false),
        ("a b", true),
        ("（一）1", true),
        ("e\u{301}", true),
        ("京A·1", true),
        ("〔2025〕17号", true),
        (&long, true),
        (&format!("{long}c"), false),
    ] {
        let code = desk.order_code("ann", CASE, &file(number).encode());
        assert_eq!(code, if is_good { "" } else { "payload.form" }, "{number:?}");
    }
    desk.set_day(60);
    desk.platform.tick().unwrap();
    assert_eq!(desk.state("〔2025〕17号"), "lapsed");
    assert_eq!(desk.state(&long), "lapsed");
    desk.replays();
}

/// A time at the end of what a clock can say.
#[test]
fn the_end_of_time_is_survived() {
    let mut desk = Desk::new();
    desk.act("ann", &file("1")).1.unwrap();
    for time in [START_MS + 400 * 365 * DAY_MS, 1 << 53, u64::MAX / 2, u64::MAX - 1] {
        if desk.clock.set(time).is_err() {
            continue;
        }
        desk.platform.tick().unwrap();
        let _ = desk.order("ann", CASE, &file(&time.to_string()).encode()).unwrap();
    }
    assert_eq!(desk.state("1"), "lapsed");
    desk.replays();
}

/// A refused record leaves nothing behind: what waits for a signature, which its author would have withdrawn, still waits.
#[test]
fn a_refused_act_withdraws_nothing() {
    let mut desk = Desk::new();
    desk.act("ann", &file("1")).1.unwrap();
    desk.administer("root", REGISTRY, &encode(&device(1, EntryStatus::Valid))).unwrap();
    let (waiting, status) = desk.act("ann", &inspect("1"));
    assert_eq!(status.unwrap(), Status::Waiting(1));
    let unknown = Act { data: Value::map([("device", Value::from("none"))]), ..inspect("1") };
    assert_eq!(desk.order_code("ann", CASE, &unknown.encode()), "workflow.guard");
    assert_eq!(desk.countersign("bob", waiting).unwrap(), Status::Accepted);
    desk.replays();
}

/// What an event is about is as long as an expression makes it; the block's list is stored all the same.
#[test]
fn an_event_about_very_long_texts_does_not_halt_the_host() {
    let part = format!(
        r#"
[payloads.long.fields]
text = {{ type = "text", max = 62000 }}
[[transition]]
name = "move"
label = {{ en = "Move" }}
from = ["filed"]
payload = "long"
signers = [{{ role = "officer", agency = "any" }}]
effects = {{ transfer_to = "{}" }}
"#,
        ["record.text"; 15].join(" + ")
    );
    let mut desk = Desk::with(&definition_with(&part));
    desk.act("ann", &file("1")).1.unwrap();
    for letter in ["a", "b", "c"] {
        let data = Value::map([("text", Value::from(letter.repeat(62_000)))]);
        let code = desk.order_code("ann", CASE, &Act { data, ..act("move", "1") }.encode());
        assert!(["", "contract.too_large"].contains(&code), "{code}");
    }
    desk.replays();
}

/// Whoever makes keys makes as many as he likes, whatever kind of record he signs with them.
#[test]
fn keys_of_nobody_fill_no_ledger_with_any_record() {
    let mut desk = Desk::founded(DEFINITION, &["root", "rita"], 2);
    let grants = PolicyForm { action: "permit".to_owned(), grants: Vec::new(), version: 2 };
    let proposed = desk.sign("root", POLICY, &encode(&grants));
    assert_eq!(desk.send(&proposed).unwrap(), Status::Waiting(1));
    let before = desk.platform.ledger().reader().next_seq();
    for number in 0..40 {
        let nobody = format!("nobody {number}");
        desk.administer(&nobody, POLICY, &encode(&grants)).unwrap_err();
        desk.administer(&nobody, REGISTRY, &encode(&crate::desk::credential(&nobody, "A", "head"))).unwrap_err();
        desk.countersign(&nobody, proposed.record_id()).unwrap_err();
    }
    let noted = desk.platform.ledger().reader().next_seq() - before;
    assert!((1..=8).contains(&noted), "{noted} records were ordered for keys that nobody registered");
}

/// What the host notes has a form, too: a thief of its key must not stop whoever applies the ledger.
#[test]
fn a_note_of_the_host_as_large_as_a_record_does_not_halt_the_host() {
    let mut desk = Desk::new();
    let place = desk.platform.ledger().path().join("contracts/host.key");
    let host = annals::read_key(&place).unwrap();
    let form = |size: usize| {
        let text = || String::new();
        encode(&AttemptForm { author: text(), case: "x".repeat(size), code: text(), record: text() })
    };
    for size in [VALUE_SIZE_MAX - form(0).len(), VALUE_SIZE_MAX - form(0).len() - 300] {
        let nonce = desk.platform.ledger().reader().next_nonce(&host.public()).unwrap();
        let record = RecordBuilder::new(desk.platform.id(), ATTEMPT).unsalted().nonce(nonce);
        let record = record.sign(&host, &form(size)).unwrap();
        let mut appender = desk.platform.appender().unwrap();
        let status = desk.platform.submit_unchecked(&mut appender, record.bytes()).unwrap().status;
        assert!(matches!(&status, Status::Refused(refused) if refused.code == "payload.form"), "{status:?}");
    }
    assert_eq!(desk.act("ann", &file("1")).1.unwrap(), Status::Accepted);
    desk.replays();
}

/// A deadline that can't pass, as its case has no room left, is tried with every block; it must not make blocks of its own.
#[test]
fn a_deadline_that_fails_marks_time_once() {
    let part = r#"
[case.pad]
type = "text"
max = 2000000
[payloads.padding.fields.text]
type = "text"
[[transition]]
name = "pad"
label = { zh = "填", en = "Pad" }
from = ["filed"]
payload = "padding"
signers = [{ role = "officer" }]
effects = { set = { pad = '(has(case.data.pad) ? case.data.pad : "") + record.text' } }
[[deadline]]
name = "answering"
label = { zh = "答", en = "answer" }
article = "Article 1"
days = 1
unit = "calendar"
starts_on = ["file"]
escalate = "warn"
[[task]]
name = "warn"
label = { zh = "督", en = "Warn" }
role = "head"
days = 3
unit = "working"
"#;
    let mut desk = Desk::with(&definition_with(part));
    assert_eq!(desk.act("ann", &file("1")).1.unwrap(), Status::Accepted);
    let mut size = 4000;
    while 16 < size {
        let data = Value::map([("text", Value::from("x".repeat(size)))]);
        let code = desk.order_code("ann", CASE, &Act { data, ..act("pad", "1") }.encode());
        if !code.is_empty() {
            size /= 2;
        }
    }
    desk.set_day(3);
    for _ in 0..4 {
        desk.platform.tend().unwrap();
        desk.platform.catch_up().unwrap();
    }
    let height = desk.platform.applied().height;
    for _ in 0..8 {
        desk.platform.tend().unwrap();
        desk.platform.catch_up().unwrap();
    }
    assert_eq!(desk.platform.applied().height, height, "ticks that nothing asks for fill the ledger");
    desk.replays();
}

/// What is added up over the years of a case must not overflow, nor what times are told by.
#[test]
fn days_and_offsets_are_within_what_is_counted() {
    let mut desk = Desk::new();
    for (days, refused) in [(i64::MIN / 2048, true), (-1, true), (0, true), (VALUE_INTEGER_MAX, true), (30, false)] {
        let part = format!(
            r#"
[[transition]]
name = "extend"
label = {{ zh = "延", en = "Extend" }}
from = ["filed"]
signers = [{{ role = "head" }}]
effects = {{ extend = {{ deadline = "decide", days = {days} }} }}
"#
        );
        let text = definition_with(&part).replace("version = 1", "version = 2");
        let definition = annals_contracts::service::definition_value("permit.toml", &text).unwrap();
        let code = desk.order_code("root", DEPLOY, &Value::map([("definition", definition)]).encode());
        assert_eq!(code, if refused { "definition.faults" } else { "" }, "{days}");
    }
    let service = format!("utc_offset_minutes = {VALUE_INTEGER_MAX}\n{}", crate::desk::SERVICE);
    let founding = annals_contracts::Founding {
        origin: "example.gov/permits".to_owned(),
        service: annals_contracts::Service::of(&[("service.toml", &service), ("permit.toml", DEFINITION)]).unwrap(),
        admins: vec![crate::desk::key("root").public()],
        threshold: 1,
        segment_size: 2 << 20,
        ledger_key: None,
    };
    let dir = tempfile::tempdir().unwrap();
    let made = annals_contracts::Platform::create(&dir.path().join("ledger"), &founding, Default::default());
    assert_eq!(made.unwrap_err().code(), "platform.form");
}

/// A form's field is held against its own bounds; what an expression makes of it, against the case's.
#[test]
fn what_a_case_holds_fits_its_fields() {
    let text = DEFINITION.replacen("[case.fee]\ntype = \"integer\"", "[case.fee]\ntype = \"integer\"\nmax = 900", 1);
    let mut desk = Desk::with(&text);
    let fee = |fee: i64| Value::map([("applicant", Value::from("子虚")), ("fee", Value::from(fee))]);
    let refused = desk.refusal("ann", &Act { data: fee(901), ..file("1") });
    assert_eq!((refused.code, refused.about), ("workflow.set", vec!["fee".to_owned()]));
    assert!(refused.words.contains("901 is not between"), "{}", refused.words);
    assert_eq!(desk.state("1"), "");
    assert_eq!(desk.act("ann", &Act { data: fee(900), ..file("1") }).1.unwrap(), Status::Accepted);
}

/// Periods are counted by it as long as there are any.
#[test]
fn a_calendar_holds_for_ever() {
    let mut desk = Desk::new();
    let none = Value::map([("holidays", Value::List(vec![])), ("workdays", Value::List(vec![]))]);
    let calendar = EntryForm { version: 2, ..entry("calendar", "cn", none) };
    for wrong in [
        EntryForm { status: EntryStatus::Revoked, ..calendar.clone() },
        EntryForm { status: EntryStatus::Suspended, ..calendar.clone() },
        EntryForm { until: 5, ..calendar.clone() },
        EntryForm { from: 5, ..calendar.clone() },
    ] {
        assert_eq!(desk.order_code("root", REGISTRY, &encode(&wrong)), "registry.form");
    }
    assert_eq!(desk.order_code("root", REGISTRY, &encode(&calendar)), "");
}

/// A small folder that names a large file many times takes no memory for each.
#[test]
fn a_service_that_names_a_file_again_and_again_is_refused() {
    let names = ["\"large.toml\""; 4096].join(",");
    let manifest = crate::desk::SERVICE.replace("\"permit.toml\"", &names);
    let large = format!("list = [{}0]", "0,".repeat(1 << 18));
    let files = [("service.toml", manifest.as_str()), ("large.toml", &large)];
    let error = annals_contracts::Service::of(&files).unwrap_err();
    assert_eq!(error.code(), "service.form");
    assert!(error.to_string().contains("4194304 bytes"), "{error}");
}

/// Who signs in one role does so by that role's grant: another of his roles, granted the same act, does not stand in for it.
#[test]
fn a_grant_is_of_the_role_in_which_one_signs() {
    let mut desk = Desk::new();
    let mut both = crate::desk::credential("zoe", "A", "officer");
    let Value::Map(data) = &mut both.data else { panic!("a credential has fields") };
    data.insert("roles".to_owned(), Value::List(vec![Value::from("officer"), Value::from("head")]));
    desk.administer("root", REGISTRY, &encode(&both)).unwrap();
    let acts = |role: &str, acts: &[&str]| annals_contracts::message::Grant {
        acts: acts.iter().map(|act| (*act).to_owned()).collect(),
        agency: "*".to_owned(),
        from: 0,
        role: role.to_owned(),
        until: VALUE_INTEGER_MAX,
    };
    // The head may file by the grant, but it is officers who sign that.
    let grants = vec![acts("officer", &["inspect"]), acts("head", &["file", "grant"])];
    let form = PolicyForm { action: "permit".to_owned(), grants, version: 2 };
    desk.administer("root", POLICY, &encode(&form)).unwrap();
    assert_eq!(desk.refusal("zoe", &file("1")).code, "policy.denied");
    let grants = vec![acts("officer", &["file"]), acts("head", &["grant"])];
    let form = PolicyForm { action: "permit".to_owned(), grants, version: 3 };
    desk.administer("root", POLICY, &encode(&form)).unwrap();
    assert_eq!(desk.act("zoe", &file("1")).1.unwrap(), Status::Accepted);
}

/// A label is for people, and may be mended: state names the field.
#[test]
fn what_is_wrong_is_named_in_state_without_its_label() {
    let mut desk = Desk::new();
    let no_applicant = Act { data: Value::map([("fee", Value::from(1))]), ..file("1") };
    let refused = desk.refusal("ann", &no_applicant);
    assert_eq!((refused.code, refused.about), ("payload.form", vec!["applicant".to_owned()]));
    assert!(refused.words.contains("applicant (申请人 Applicant): is missing"), "{}", refused.words);
}

/// A misspelt act would be denied to everybody without a word.
#[test]
fn a_service_grants_what_it_has() {
    let with = |from: &str, to: &str| {
        let manifest = crate::desk::SERVICE.replacen(from, to, 1);
        assert_ne!(manifest, crate::desk::SERVICE, "{from}");
        annals_contracts::Service::of(&[("service.toml", &manifest), ("permit.toml", DEFINITION)])
    };
    let grant = "[[grant]]\n";
    for (wrong, what) in [
        ("action = \"permits\"\nrole = \"officer\"\nacts = [\"*\"]", "\"permits\""),
        ("action = \"permit\"\nrole = \"officer\"\nacts = [\"fill\"]", "\"fill\""),
        ("action = \"permit\"\nrole = \"clerk\"\nacts = [\"*\"]", "\"clerk\""),
        ("action = \"registry/devices\"\nrole = \"officer\"\nacts = [\"put\"]", "\"registry/devices\""),
    ] {
        let error = with(grant, &format!("{grant}{wrong}\n\n{grant}")).unwrap_err();
        assert_eq!(error.code(), "service.form");
        assert!(error.to_string().contains(what), "{error}");
    }
    let error = with("\"permit.toml\"", "\"../permit.toml\"").unwrap_err();
    assert!(error.to_string().contains("beside it"), "{error}");
}
