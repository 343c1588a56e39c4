//! Definitions: bytes as TOML or JSON, compiled as a whole.

use annals_contracts::Value;
use annals_contracts::definition::{Compiled, Surroundings};
use annals_contracts::registry::built_in;
use annals_contracts::service::definition_value;
use std::sync::LazyLock;

/// What a definition may rely on: the built-in registries, and a calendar.
static SURROUNDINGS: LazyLock<Surroundings> = LazyLock::new(|| Surroundings {
    registries: built_in().into_iter().map(|each| (each.name, each.fields)).collect(),
    calendars: ["cn".to_owned()].into(),
});

const SMALL: &str = r#"
name = "permit"
version = 1
label = { en = "Permit" }
calendar = "cn"
roles = { officer = { en = "Officer" } }
[case]
fee = { type = "integer" }
[payloads.form.fields]
fee = { type = "integer", min = 0 }
agency = { type = "text" }
items = { type = "list", of = { type = "record", fields = { size = { type = "integer" } } }, max = 4 }
[[state]]
name = "open"
label = { en = "Open" }
[[state]]
name = "done"
label = { en = "Done" }
final = true
[[transition]]
name = "file"
label = { en = "File" }
to = "open"
payload = "form"
signers = [{ role = "officer", count = 2, agency = "record.agency" }]
attachments = [{ name = "form", label = { en = "form" }, when = "record.fee > 0" }]
lookup = [{ as = "agency", type = "agency", id = "record.agency", else = { en = "agency" } }]
requires = [{ that = "record.items.all(i, i.size > 0)", else = { en = "sizes" } }]
effects = { set = { fee = "record.fee" }, hold = ["papers"], open = ["look"] }
[[transition]]
name = "end"
label = { en = "End" }
trigger = "deadline"
from = ["*"]
to = "done"
[[transition]]
name = "skip"
label = { en = "Skip" }
trigger = "automatic"
from = ["open"]
to = "done"
requires = [{ that = "has(case.data.fee) && case.data.fee > 9", else = { en = "fee" } }]
[[deadline]]
name = "wait"
label = { en = "Wait" }
article = "1"
days = 5
unit = "working"
starts_on = ["file"]
act = "end"
[[task]]
name = "look"
label = { en = "Look" }
role = "officer"
days = 3
escalate = "look"
[[invariant]]
state = "done"
needs = "file"
[publication]
fields = ["fee"]
secret_when = "has(case.data.fee) && case.data.fee == 7"
"#;

/// What compiles says the same twice and compiles again from its own words; what does not names a fault with its place.
pub(super) fn definition(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let value = Value::parse_loose(data).ok().or_else(|| definition_value("fuzz.toml", text).ok());
    let Some(value) = value else { return };
    match Compiled::from_value(&value, &SURROUNDINGS) {
        Ok(compiled) => {
            // What it was made of compiles to the same.
            let again = Compiled::new(compiled.definition().clone(), &SURROUNDINGS).expect("it compiles again");
            assert_eq!(again.definition(), compiled.definition());
            compiled
                .definition()
                .transitions
                .iter()
                .for_each(|each| assert!(compiled.transition(&each.name).is_some()));
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            assert!(faults.iter().all(|fault| !fault.at.is_empty() && !fault.problem.is_empty()));
        }
    }
}

pub(super) fn definition_seeds() -> Vec<Vec<u8>> {
    let json = definition_value("small.toml", SMALL).expect("the seed is a definition");
    Compiled::from_value(&json, &SURROUNDINGS).expect("the seed compiles");
    let automatic =
        SMALL.replace("from = [\"open\"]\nto = \"done\"\nrequires", "from = [\"open\"]\nto = \"open\"\nrequires");
    vec![SMALL.as_bytes().to_vec(), json.encode(), automatic.into_bytes()]
}
