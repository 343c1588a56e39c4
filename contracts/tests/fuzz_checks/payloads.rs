//! Payloads: bytes as what a record of each kind says, held against the state of a small platform.

use annals::{Kind, ManualClock, Options, RecordBuilder, SigningKey};
use annals_contracts::message::{CASE, DEFINITION, POLICY, REGISTRY, is_contract};
use annals_contracts::{Founding, Platform, PlatformOptions, Service, SubmitError, Value};
use std::sync::LazyLock;

const KINDS: [Kind; 7] = [Kind(0x1_0000), REGISTRY, POLICY, DEFINITION, CASE, Kind(0x1_0020), Kind::COUNTERSIGN];

const SERVICE: &str = r#"
name = "permits"
label = { en = "Permits" }
definitions = ["permit.toml"]
[[registry]]
name = "device"
label = { en = "Device" }
manager = "officer"
fields = { agency = { type = "text" }, sizes = { type = "list", of = { type = "integer" }, optional = true } }
[[grant]]
action = "permit"
role = "officer"
acts = ["*"]
[[grant]]
action = "registry/device"
role = "officer"
acts = ["put"]
[[entry]]
type = "agency"
id = "A"
data = { name = "A" }
[[entry]]
type = "calendar"
id = "cn"
data = { holidays = ["2025-04-04"], workdays = [] }
[[entry]]
type = "device"
id = "cam"
data = { agency = "A" }
"#;

const DEFINITION_TEXT: &str = r#"
name = "permit"
version = 1
label = { en = "Permit" }
calendar = "cn"
scope_field = "field"
roles = { officer = { en = "Officer" } }
case = { fee = { type = "integer" }, field = { type = "text" }, tags = { type = "list", of = { type = "text" } } }
[payloads.form.fields]
fee = { type = "integer" }
field = { type = "text" }
device = { type = "text" }
tags = { type = "list", of = { type = "text" } }
parts = { type = "list", of = { type = "record", fields = { size = { type = "integer" } } }, optional = true }
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
signers = [{ role = "officer" }]
attachments = [{ name = "form", label = { en = "form" }, when = "record.fee > 7" }]
lookup = [{ as = "device", type = "device", id = "record.device", else = { en = "device" } }]
requires = [
  { that = "device.agency == case.agency && record.tags.all(t, size(t) < 9)", else = { en = "device" } },
  { that = "has(record.parts) ? record.parts.map(p, 100 / p.size).all(n, n > 0) : true", else = { en = "parts" } },
]
effects = { set = { fee = "record.fee * 3 - 1", field = "record.field", tags = "record.tags" }, recuse = "record.field" }
[[transition]]
name = "end"
label = { en = "End" }
from = ["open"]
to = "done"
signers = [{ role = "officer", count = 2 }]
needs_parent = true
[[deadline]]
name = "wait"
label = { en = "Wait" }
article = "1"
days = 5
unit = "working"
starts_on = ["file"]
ends_on = ["end"]
"#;

fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(blake3::hash(name.as_bytes()).as_bytes())
}

/// A platform with an officer, `ann`, an administrator, `root`, and one case.
struct Small {
    platform: Platform,
    _dir: tempfile::TempDir,
}

static SMALL: LazyLock<Small> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let id = key("ann").public().to_string();
    let credential = format!(
        "[[entry]]\ntype = \"credential\"\nid = \"{id}\"\n\
         data = {{ agency = \"A\", officer = \"ann\", roles = [\"officer\"], scope = [\"food\"] }}\n"
    );
    let service = format!("{SERVICE}{credential}");
    let founding = Founding {
        origin: "example.gov/permits".to_owned(),
        service: Service::of(&[("service.toml", &service), ("permit.toml", DEFINITION_TEXT)]).expect("a service"),
        admins: vec![key("root").public()],
        threshold: 1,
        segment_size: 2 << 20,
        ledger_key: None,
    };
    let ledger = Options { clock: Some(ManualClock::new(1_741_053_900_000)), ..Options::default() };
    let options = PlatformOptions { ledger, untended: true, ..PlatformOptions::default() };
    let platform = Platform::create(&dir.path().join("ledger"), &founding, options).expect("a platform");
    let small = Small { platform, _dir: dir };
    let mut appender = small.platform.appender().expect("an appender");
    let record = sign(&small, "ann", CASE, FILE.replace("A/2", "A/1").as_bytes()).expect("a record");
    small.platform.submit(&mut appender, &record).expect("the case is opened");
    small
});

const FILE: &str = r#"{"act":"file","case":"A/2","data":{"device":"cam","fee":1,"field":"food","parts":[{"size":3}],"tags":["a"]},"definition":"permit"}"#;

fn sign(small: &Small, who: &str, kind: Kind, payload: &[u8]) -> Option<Vec<u8>> {
    let builder = RecordBuilder::new(small.platform.id(), kind).nonce(1).unsalted();
    builder.sign(&key(who), payload).ok().map(|record| record.bytes().to_vec())
}

/// The first byte says the kind and who signs; the rest is the payload, which is made canonical if it is JSON.
pub(super) fn payload(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let kind = KINDS[usize::from(first % 7)];
    assert!(is_contract(kind));
    let who = ["ann", "root", "mallory"][usize::from(first / 7) % 3];
    let canonical = Value::parse_loose(rest).map_or_else(|_| rest.to_vec(), |value| value.encode());
    let Some(record) = sign(&SMALL, who, kind, &canonical) else { return };
    let answer = SMALL.platform.precheck(&record);
    match &answer {
        Ok(()) => assert_ne!(who, "mallory", "nobody knows him"),
        Err(SubmitError::Refused(refused)) => {
            assert_ne!(refused.code, "contract.panic", "{refused}");
            assert!(annals_contracts::codes::ALL.contains(&refused.code), "{}", refused.code);
        }
        Err(SubmitError::Ledger(_)) => {}
        Err(other) => panic!("{other:?}"),
    }
    assert_eq!(format!("{answer:?}"), format!("{:?}", SMALL.platform.precheck(&record)), "the same twice");
}

pub(super) fn payload_seeds() -> Vec<Vec<u8>> {
    let definition = annals_contracts::service::definition_value("permit.toml", DEFINITION_TEXT).expect("a definition");
    let next = definition.to_string().replace(r#""version":1"#, r#""version":2"#);
    let texts = [
        (4, FILE.to_owned()),
        (4, r##"{"act":"end","case":"A/1","parents":["#1","A/1#1"]}"##.to_owned()),
        (4, format!(r#"{{"act":"end","attachments":[{{"hash":"{}","name":"a","size":1}}],"case":"A/1"}}"#, "0".repeat(64))),
        (1, r#"{"data":{"agency":"A","sizes":[1]},"from":0,"id":"cam","status":"valid","type":"device","until":9,"version":2}"#.to_owned()),
        (8, r#"{"data":{"holidays":[],"workdays":["2025-04-05"]},"from":0,"id":"cn","status":"valid","type":"calendar","until":9,"version":2}"#.to_owned()),
        (9, r#"{"action":"permit","grants":[{"acts":["*"],"agency":"*","from":0,"role":"officer","until":9}],"version":2}"#.to_owned()),
        (10, format!(r#"{{"definition":{next},"from_height":9}}"#)),
        (10, r#"{"registry":{"fields":{"a":{"of":{"type":"text"},"type":"list"}},"label":{"en":"R"},"name":"r"}}"#.to_owned()),
        (5, r#"{"author":"a","case":"A/1","code":"signer.role","record":"r"}"#.to_owned()),
    ];
    let seed = |(kind, text): (u8, String)| [&[kind][..], text.as_bytes()].concat();
    texts.into_iter().map(seed).chain([[&[6][..], &[7; 32]].concat()]).collect()
}
