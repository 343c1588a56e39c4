//! Definitions that are inconsistent: each fault is found when it is deployed, and told with its place.

use crate::desk::DEFINITION;
use annals_contracts::definition::{Compiled, Fault, Surroundings};
use annals_contracts::registry::{RegistryType, built_in};
use annals_contracts::service::definition_value;

fn compile(text: &str) -> Result<Compiled, Vec<Fault>> {
    let value = definition_value("permit.toml", text).unwrap_or_else(|error| panic!("{error}"));
    let device: RegistryType =
        toml::from_str("name = \"device\"\nlabel = { en = \"Device\" }\n[fields.agency]\ntype = \"text\"\n").unwrap();
    let registries = built_in().into_iter().chain([device]).map(|each| (each.name, each.fields)).collect();
    Compiled::from_value(&value, &Surroundings { registries, calendars: ["cn".to_owned()].into() })
}

const AUTOMATIC: &str = r#"
[[transition]]
name = "up"
label = { en = "Up" }
trigger = "automatic"
from = ["filed"]
to = "inspected"
requires = [{ that = "has(case.data.fee) && case.data.fee > 5", else = { en = "fee" } }]
[[transition]]
name = "OTHER"
label = { en = "Other" }
trigger = "automatic"
from = ["FROM"]
to = "TO"
requires = [{ that = "GUARD", else = { en = "fee" } }]
"#;

fn automatic(name: &str, from: &str, to: &str, guard: &str) -> String {
    AUTOMATIC.replace("OTHER", name).replace("FROM", from).replace("TO", to).replace("GUARD", guard)
}

/// What is replaced, by what, and where a fault must be found; an empty pattern adds the text at the end.
#[allow(clippy::too_many_lines, reason = "a table")]
fn faulty() -> Vec<(&'static str, String, &'static str)> {
    let signer = r#"signers = [{ role = "officer", count = 2 }]"#;
    let lapse = "name = \"lapse\"\nlabel = { zh = \"逾期\", en = \"Lapse\" }\ntrigger = \"deadline\"";
    let file = |field: &str| format!("to = \"filed\"\n{field}");
    let state = |name: &str| format!("[[state]]\nname = \"{name}\"\nlabel = {{ en = \"S\" }}\n");
    let inspect = |text: &str| format!("to = \"inspected\"\n{text}");
    vec![
        ("", state("nowhere"), "state nowhere"),
        ("from = [\"inspected\"]\nto = \"granted\"", "from = [\"inspected\"]".to_owned(), "state granted"),
        (
            "name = \"granted\"\nlabel = { zh = \"准予\", en = \"Granted\" }\nfinal = true",
            "name = \"granted\"\nlabel = {}".to_owned(),
            "state granted",
        ),
        (signer, signer.replace("officer", "clerk"), "transition inspect"),
        (signer, signer.replace("count = 2", "count = 0"), "transition inspect"),
        (signer, signer.replace("count = 2", "count = 9"), "transition inspect"),
        (signer, signer.replace("count = 2", "agency = \"record.nothing\""), "transition inspect"),
        (signer, signer.replace("count = 2", "agency = \"somebody\""), "transition inspect"),
        (signer, String::new(), "transition inspect"),
        (
            "from = [\"filed\"]\nto = \"inspected\"",
            "from = [\"field\"]\nto = \"inspected\"".to_owned(),
            "transition inspect",
        ),
        ("payload = \"inspection\"", "payload = \"inspector\"".to_owned(), "transition inspect"),
        ("before = [\"decide\"]", "before = [\"decided\"]".to_owned(), "transition grant"),
        ("before = [\"decide\"]", "blocked_by = [\"papers\"]".to_owned(), "transition grant"),
        ("before = [\"decide\"]", "effects = { release = [\"papers\"] }".to_owned(), "transition grant"),
        ("before = [\"decide\"]", "effects = { open = [\"work\"] }".to_owned(), "transition grant"),
        (
            "before = [\"decide\"]",
            "effects = { extend = { deadline = \"x\", days = 1 } }".to_owned(),
            "transition grant",
        ),
        (
            "before = [\"decide\"]",
            "effects = { extend = { deadline = \"decide\", days = 0 } }".to_owned(),
            "transition grant, extend",
        ),
        (
            "before = [\"decide\"]",
            "effects = { extend = { deadline = \"decide\", days = -5 } }".to_owned(),
            "transition grant, extend",
        ),
        (
            "before = [\"decide\"]",
            "effects = { extend = { deadline = \"decide\", days = 9007199254740991 } }".to_owned(),
            "transition grant, extend",
        ),
        ("before = [\"decide\"]", "effects = { set = { tax = \"1\" } }".to_owned(), "transition grant, set tax"),
        ("before = [\"decide\"]", "effects = { set = { fee = \"true\" } }".to_owned(), "transition grant, set fee"),
        ("device.agency == case.agency", "device.agency == 5".to_owned(), "transition inspect, requires 1"),
        ("device.agency == case.agency", "device.weight == 5".to_owned(), "transition inspect, requires 1"),
        (
            "has(case.data.fee) && case.data.fee <= 1000",
            "case.data.fee <= 1000".to_owned(),
            "transition grant, requires 1",
        ),
        ("type = \"device\", id", "type = \"drone\", id".to_owned(), "transition inspect, lookup device"),
        ("as = \"device\"", "as = \"record\"".to_owned(), "transition inspect, lookup record"),
        ("calendar = \"cn\"", String::new(), "deadline decide"),
        ("calendar = \"cn\"", "calendar = \"de\"".to_owned(), "deadline decide"),
        ("days = 20", "days = 0".to_owned(), "deadline decide"),
        ("days = 20", "days = 99999999".to_owned(), "deadline decide"),
        ("article = \"Article 42\"", "article = \"\"".to_owned(), "deadline decide"),
        ("starts_on = [\"file\"]", "starts_on = [\"fill\"]".to_owned(), "deadline decide"),
        ("starts_on = [\"file\"]", "starts_on = []".to_owned(), "deadline decide"),
        ("act = \"lapse\"", "act = \"grant\"".to_owned(), "deadline decide"),
        ("act = \"lapse\"", String::new(), "transition lapse"),
        ("act = \"lapse\"", "act = \"lapse\"\nescalate = \"work\"".to_owned(), "deadline decide"),
        ("act = \"lapse\"", "act = \"lapse\"\npauses_in = [\"moon\"]".to_owned(), "deadline decide"),
        (lapse, format!("{lapse}\nsigners = [{{ role = \"officer\" }}]"), "transition lapse"),
        (lapse, lapse.replace("deadline", "automatic"), "deadline decide"),
        (
            "from = [\"filed\"]\nto = \"inspected\"",
            "from = [\"filed\"]\nto = \"granted\"".to_owned(),
            "state inspected",
        ),
        ("needs = \"inspect\"", "needs = \"note\"".to_owned(), "invariant granted"),
        ("needs = \"inspect\"", "needs = \"nothing\"".to_owned(), "invariant granted"),
        ("state = \"granted\"", "state = \"nothing\"".to_owned(), "invariant nothing"),
        ("", state("filed"), "state filed"),
        ("", "[[task]]\nname = \"work\"\nlabel = {}\nrole = \"clerk\"\n".to_owned(), "task work"),
        ("", "[[task]]\nname = \"work\"\nlabel = {}\nrole = \"officer\"\ndays = 0\n".to_owned(), "task work"),
        (
            "",
            "[[task]]\nname = \"work\"\nlabel = {}\nrole = \"officer\"\nescalate = \"more\"\n".to_owned(),
            "task work",
        ),
        (
            "to = \"filed\"\n",
            file("effects = { suspend = true }\n").replace("effects", "when_suspended = true\neffects"),
            "transition file",
        ),
        ("", "[publication]\nfields = [\"applicant\"]\n".to_owned(), "publication"),
        (
            "[case.applicant]\ntype = \"text\"\npersonal = true",
            "[case.applicant]\ntype = \"record\"\nfields = { name = { type = \"text\", personal = true } }\n[publication]\nfields = [\"applicant\"]"
                .to_owned(),
            "publication",
        ),
        (
            "personal = true\n\n[payloads.application.fields.applicant]",
            "[payloads.application.fields.applicant]\npersonal = true".to_owned(),
            "transition file, set applicant",
        ),
        ("", "[publication]\nfields = [\"name\"]\n".to_owned(), "publication"),
        ("", "[publication]\nsecret_when = \"record.fee > 1\"\n".to_owned(), "publication.secret_when"),
        ("calendar = \"cn\"", "calendar = \"cn\"\nscope_field = \"fee\"".to_owned(), "scope_field"),
        ("calendar = \"cn\"", "calendar = \"cn\"\nutc_offset_minutes = 9000".to_owned(), "utc_offset_minutes"),
        ("version = 1", "version = 0".to_owned(), "version"),
        (
            "to = \"inspected\"\n",
            inspect("attachments = [{ name = \"a\", label = {}, when = \"1\" }]\n"),
            "transition inspect, attachment a",
        ),
        ("", automatic("other", "filed", "granted", "has(case.data.fee) && case.data.fee > 7"), "transition other"),
        ("", automatic("other", "inspected", "filed", "has(case.data.fee) && case.data.fee > 7"), "transition other"),
        ("", automatic("up", "inspected", "granted", "has(case.data.fee)"), "transition up"),
        ("[case.fee]\ntype = \"integer\"", "[case.fee]\ntype = \"list\"".to_owned(), "case, field fee"),
        ("min = 0", "min = 5\nmax = 1".to_owned(), "payload application, field fee"),
    ]
}

fn broken(text: &str, pattern: &str, replacement: &str) -> String {
    if pattern.is_empty() {
        return format!("{text}\n{replacement}");
    }
    assert!(text.contains(pattern), "{pattern}");
    // An effect that stands there already gives way.
    let text = if replacement.contains("suspend") {
        text.replace("effects = { set = { fee = \"record.fee\", applicant = \"record.applicant\" } }", "")
    } else {
        text.to_owned()
    };
    text.replacen(pattern, replacement, 1)
}

#[test]
fn every_inconsistency_is_found_with_its_place() {
    assert!(compile(DEFINITION).is_ok());
    for (pattern, replacement, place) in faulty() {
        match compile(&broken(DEFINITION, pattern, &replacement)) {
            Ok(_) => panic!("{replacement}: no fault is found, though {place} has one"),
            Err(faults) => {
                assert!(faults.iter().any(|fault| fault.at == place), "{replacement}: no fault at {place}: {faults:?}")
            }
        }
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let wanted = ["days = 20", "needs = \"inspect\"", "version = 1", "payload = \"inspection\"", "min = 0"];
    let (mut text, mut places) = (DEFINITION.to_owned(), Vec::new());
    for wanted in wanted {
        let (pattern, replacement, place) = faulty().into_iter().find(|(pattern, ..)| *pattern == wanted).unwrap();
        text = broken(&text, pattern, &replacement);
        places.push(place);
    }
    let faults = compile(&text).map(drop).unwrap_err();
    for place in places {
        assert!(faults.iter().any(|fault| fault.at == place), "{place}: {faults:?}");
    }
}

#[test]
fn automatic_transitions_that_exclude_each_other_are_no_fault() {
    let text = automatic("other", "filed", "granted", "!(has(case.data.fee) && case.data.fee > 5)");
    let text = format!("{}\n{text}", DEFINITION.replace("needs = \"inspect\"", "needs = \"file\""));
    compile(&text).unwrap_or_else(|faults| panic!("{faults:?}"));
}
