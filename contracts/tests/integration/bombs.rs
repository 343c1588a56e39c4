//! Records as large and as dear as they may be: refused or decided within a second each, and never the end of the host.
//!
//! The second is for release builds; what is measured here in a debug build has ten.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "it measures, and says what")]

use crate::city::{CASE_NAME, City, sample};
use crate::desk::{DEFINITION, Desk, act, entry, file, inspect};
use annals_contracts::message::{
    Act, AttachedForm, CASE, DEFINITION as DEPLOY, Grant, POLICY, PolicyForm, REGISTRY, encode,
};
use annals_contracts::service::definition_value;
use annals_contracts::{Status, Value};
use std::fmt::Write as _;
use std::time::Instant;

const SECONDS_MAX: u64 = if cfg!(debug_assertions) { 10 } else { 1 };

fn timed(what: &str, desk: &mut Desk, who: &str, kind: annals::Kind, payload: &[u8]) -> &'static str {
    let begun = Instant::now();
    let code = desk.order_code(who, kind, payload);
    let took = begun.elapsed();
    assert!(took.as_secs() < SECONDS_MAX, "{what} took {took:?}");
    println!("{what}: {} bytes, {took:?}, {code:?}", payload.len());
    code
}

#[test]
fn large_acts_are_decided() {
    let mut desk = Desk::new();
    let hash = "0".repeat(64);
    let attached = |count: usize| {
        let form = |number: usize| AttachedForm { hash: hash.clone(), name: format!("f{number}"), size: 1 };
        (0..count).map(form).collect::<Vec<_>>()
    };
    let form = file("1").attachments;
    let many = Act { attachments: attached(256), ..file("1") };
    assert_eq!(timed("256 attachments", &mut desk, "ann", CASE, &many.encode()), "workflow.attachment_missing");
    let more = Act { attachments: attached(257), ..file("1") };
    assert_eq!(timed("257 attachments", &mut desk, "ann", CASE, &more.encode()), "payload.form");
    let whole = Act { attachments: form.into_iter().chain(attached(255)).collect(), ..file("1") };
    assert_eq!(timed("255 attachments and the form", &mut desk, "ann", CASE, &whole.encode()), "");
    let note = |parents: usize| Act { parents: vec!["A/1#1".to_owned(); parents], ..act("note", "1") };
    assert_eq!(timed("256 parents", &mut desk, "ann", CASE, &note(256).encode()), "");
    let strangers = Act { parents: (0..256).map(|case| format!("A/{case}x#1")).collect(), ..act("note", "1") };
    assert_eq!(timed("256 other cases", &mut desk, "ann", CASE, &strangers.encode()), "workflow.parent_unknown");
    let text = |size: usize| Act { data: Value::map([("device", Value::from("\u{1}".repeat(size)))]), ..inspect("1") };
    assert_eq!(timed("a long id", &mut desk, "ann", CASE, &text(4096).encode()), "workflow.guard");
    assert_eq!(timed("64 KiB", &mut desk, "ann", CASE, &text(10_000).encode()), "payload.form");
    assert_eq!(timed("more", &mut desk, "ann", CASE, &text(11_000).encode()), "payload.too_large");
    for deep in ["[".repeat(60_000), "{\"a\":".repeat(10_000), format!("{}{}", "[".repeat(16), "]".repeat(16))] {
        assert_eq!(timed("deep", &mut desk, "ann", CASE, deep.as_bytes()), "payload.form");
    }
    desk.replays();
}

#[test]
fn guards_over_long_lists_end() {
    let inner = "record.b.exists(y, record.c.all(z, x + y != z))";
    let part = format!(
        r#"
[payloads.lists.fields]
a = {{ type = "list", of = {{ type = "integer" }}, max = 9000 }}
b = {{ type = "list", of = {{ type = "integer" }}, max = 9000 }}
c = {{ type = "list", of = {{ type = "integer" }}, max = 9000 }}
[[transition]]
name = "lists"
label = {{ en = "Lists" }}
from = ["filed"]
payload = "lists"
signers = [{{ role = "officer" }}]
requires = [{{ that = "record.a.all(x, {inner})", else = {{ en = "lists" }} }}]
"#
    );
    let mut desk = Desk::with(&format!("{DEFINITION}\n{part}"));
    desk.act("ann", &file("1")).1.unwrap();
    let list = || Value::List(vec![Value::Integer(7); 9000]);
    let lists = Act { data: Value::map([("a", list()), ("b", list()), ("c", list())]), ..act("lists", "1") };
    assert_eq!(timed("three loops in each other", &mut desk, "ann", CASE, &lists.encode()), "contract.budget");
    desk.replays();
}

#[test]
fn large_definitions_are_decided() {
    let mut desk = Desk::new();
    let (mut text, mut loops) = (DEFINITION.replace("name = \"permit\"", "name = \"large\""), String::new());
    for number in 0..250 {
        let _ = write!(loops, "[[state]]\nname = \"s{number}\"\nlabel = {{}}\n");
        let from = if number == 0 { "filed".to_owned() } else { format!("s{}", number - 1) };
        let _ = write!(
            loops,
            "[[transition]]\nname = \"t{number}\"\nlabel = {{}}\nfrom = [\"{from}\", \"filed\"]\nto = \"s{number}\"\n\
             signers = [{{ role = \"officer\", count = 8 }}]\n"
        );
    }
    loops.push_str("[[transition]]\nname = \"end\"\nlabel = {}\nfrom = [\"*\"]\nto = \"granted\"\nsigners = [{ role = \"head\" }]\n");
    text.push_str(&loops);
    let whole = text.replace("[[invariant]]\nstate = \"granted\"\nneeds = \"inspect\"", "");
    let deploy = |text: &str| Value::map([("definition", definition_value("large.toml", text).unwrap())]).encode();
    assert_eq!(timed("250 states", &mut desk, "root", DEPLOY, &deploy(&whole)), "");
    let invariants = |count: usize| "[[invariant]]\nstate = \"s249\"\nneeds = \"file\"\n".repeat(count);
    let many = text.replace("name = \"large\"", "name = \"larger\"");
    let many = many.replace("[[invariant]]\nstate = \"granted\"\nneeds = \"inspect\"", &invariants(256));
    assert_eq!(timed("256 invariants", &mut desk, "root", DEPLOY, &deploy(&many)), "");
    let more = many.replacen("[[invariant]]", &format!("{}[[invariant]]", invariants(12_000)), 1);
    assert_eq!(timed("12256 invariants", &mut desk, "root", DEPLOY, &deploy(&more)), "definition.faults");
    let mut automatic = DEFINITION.replace("name = \"permit\"", "name = \"auto\"");
    for number in 0..200 {
        let require =
            format!("{{ that = \"has(case.data.fee) && case.data.fee > {number}\", else = {{ en = \"f\" }} }}, ");
        let _ = write!(
            automatic,
            "[[transition]]\nname = \"a{number}\"\nlabel = {{}}\ntrigger = \"automatic\"\nfrom = [\"filed\"]\nto = \"lapsed\"\n\
             requires = [{}]\n",
            require.repeat(50)
        );
    }
    assert_eq!(timed("200 automatic", &mut desk, "root", DEPLOY, &deploy(&automatic)), "definition.faults");
    desk.replays();
}

#[test]
fn many_grants_and_days_are_decided() {
    let mut desk = Desk::new();
    let grant = |number: i64| Grant {
        acts: vec!["*".to_owned()],
        agency: "*".to_owned(),
        from: number,
        role: "officer".to_owned(),
        until: i64::from(u32::MAX) * 1000,
    };
    let form = |count| PolicyForm { action: "permit".to_owned(), grants: (0..count).map(grant).collect(), version: 2 };
    assert_eq!(timed("4097 grants", &mut desk, "root", POLICY, &encode(&form(4097))), "policy.form");
    assert_eq!(timed("4096 grants", &mut desk, "root", POLICY, &encode(&form(4096))), "");
    assert_eq!(timed("an act under them", &mut desk, "ann", CASE, &file("1").encode()), "");
    let day = |number: i64| Value::from(annals_contracts::days::Day(20_152 + number).to_string());
    let days = |count: i64| {
        let data = Value::map([
            ("holidays", Value::List((0..count).map(day).collect())),
            ("workdays", Value::List(Vec::new())),
        ]);
        let form = entry("calendar", "cn", data);
        encode(&annals_contracts::message::EntryForm { version: 2, ..form })
    };
    assert_eq!(timed("4097 holidays", &mut desk, "root", REGISTRY, &days(4097)), "registry.form");
    assert_eq!(timed("4096 holidays", &mut desk, "root", REGISTRY, &days(4096)), "");
    assert_eq!(timed("an act under them", &mut desk, "ann", CASE, &file("2").encode()), "");
    desk.replays();
}

/// A case in which everybody is recused whom one can think of: it stays a case that state holds.
#[test]
fn a_case_with_many_acts_stays_usable() {
    let mut city = City::new();
    city.go(&["register", "file"]);
    let count = if cfg!(debug_assertions) { 300 } else { 3000 };
    let mut appender = city.platform.appender().unwrap();
    for number in 0..count {
        let mut recuse = sample("recuse", CASE_NAME, city.now());
        let officer = format!("{number:06}{}", "十".repeat(58));
        recuse.data = Value::map([("officer", Value::from(officer)), ("reason", Value::from("x"))]);
        let record = city.sign("公孙度", CASE, &recuse.encode());
        let answer = city.platform.submit_unchecked(&mut appender, record.bytes()).unwrap().status;
        assert_eq!(answer, Status::Accepted);
    }
    let begun = Instant::now();
    city.go(&["scene"]);
    assert!(begun.elapsed().as_secs() < SECONDS_MAX);
    let case = city.platform.case("SJ", "1").unwrap().unwrap();
    assert_eq!(city.platform.history(&case).unwrap().len(), count + 3);
    city.wait_days(200);
    city.platform.tick().unwrap();
    assert!(city.platform.case("SJ", "1").unwrap().unwrap().due["decision"].passed);
}
