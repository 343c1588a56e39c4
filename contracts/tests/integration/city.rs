//! A city to try the enforcement service in: the invented one of its scenarios, with its officers and one filled-in form for each act.

use crate::desk::{START_MS, entry, key, options};
use annals::{Kind, ManualClock, RecordBuilder, RecordId, SignedRecord};
use annals_contracts::message::{Act, AttachedForm, CASE, EntryForm};
use annals_contracts::service::value_of;
use annals_contracts::{Founding, Platform, Service, Status, SubmitError, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use tempfile::TempDir;

/// The case that samples are of, unless another is named.
pub(crate) const CASE_NAME: &str = "SJ/1";

static CITY: LazyLock<Value> =
    LazyLock::new(|| value_of(toml::from_str(&file("scenarios/city.toml")).unwrap()).unwrap());

/// The service, founded with the city's agencies, matters and devices, and with its people's credentials.
static SERVICE: LazyLock<Service> = LazyLock::new(|| {
    let city = file("scenarios/city.toml");
    let (entries, _) = city.split_once("[people.").unwrap();
    let credential = |name: &String| {
        let EntryForm { id, data, .. } = credential(name);
        let field = |(name, value): (&String, &Value)| format!("{name} = {value}");
        let data: Vec<_> = data.as_map().unwrap().iter().map(field).collect();
        format!("[[entry]]\ntype = \"credential\"\nid = \"{id}\"\ndata = {{ {} }}\n", data.join(", "))
    };
    let credentials: String = people().iter().map(credential).collect();
    let manifest = format!("{}\n{entries}\n{credentials}", file("service.toml"));
    Service::of(&[("service.toml", &manifest), ("procedure.toml", &file("procedure.toml"))]).unwrap()
});

fn file(name: &str) -> String {
    let service = Path::new(env!("CARGO_MANIFEST_DIR")).join("../services/enforcement");
    std::fs::read_to_string(service.join(name)).unwrap()
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_text).unwrap_or_default().to_owned()
}

/// People of the city, by name.
pub(crate) fn people() -> Vec<String> {
    CITY.get("people").and_then(Value::as_map).unwrap().keys().cloned().collect()
}

/// A person's credential.
pub(crate) fn credential(name: &str) -> EntryForm {
    entry("credential", &key(name).public().to_string(), CITY.get("people").unwrap().get(name).unwrap().clone())
}

/// Acts that there is a form of.
pub(crate) fn samples() -> Vec<String> {
    CITY.get("sample").and_then(Value::as_map).unwrap().keys().cloned().collect()
}

/// Who signs an act, the author first.
pub(crate) fn signers(act: &str) -> Vec<String> {
    let sample = CITY.get("sample").unwrap().get(act).unwrap();
    let with = sample.get("with").and_then(Value::as_list).unwrap_or_default();
    let with = with.iter().map(|name| name.as_text().unwrap().to_owned());
    std::iter::once(text(sample, "by")).chain(with).collect()
}

/// The act as its form is filled in, at a time.
pub(crate) fn sample(act: &str, case: &str, now_ms: u64) -> Act {
    let sample = CITY.get("sample").unwrap().get(act).unwrap();
    let now = i64::try_from(now_ms).unwrap();
    let timed = |value: &Value| match value.as_text().and_then(|text| text.strip_prefix("@now-")) {
        Some(minutes) => Value::Integer(now - minutes.trim_end_matches('m').parse::<i64>().unwrap() * 60_000),
        None => value.clone(),
    };
    let data = sample.get("data").and_then(Value::as_map).unwrap();
    let attached = sample.get("attach").and_then(Value::as_map).cloned().unwrap_or_default();
    let attach = |(name, document): (String, Value)| {
        let document = document.as_text().unwrap().to_owned();
        AttachedForm { hash: blake3::hash(document.as_bytes()).to_hex().to_string(), name, size: document.len() as u64 }
    };
    Act {
        act: act.to_owned(),
        attachments: attached.into_iter().map(attach).collect(),
        case: case.to_owned(),
        data: Value::Map(data.iter().map(|(name, value)| (name.clone(), timed(value))).collect()),
        definition: (act == "register").then(|| "enforcement".to_owned()),
        parents: if act == "correct" { vec!["#1".to_owned()] } else { Vec::new() },
    }
}

pub(crate) struct City {
    pub(crate) platform: Platform,
    pub(crate) clock: ManualClock,
    nonces: BTreeMap<String, u64>,
    pub(crate) dir: TempDir,
}

impl City {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(START_MS);
        let founding = Founding {
            origin: "example.gov/enforcement".to_owned(),
            service: SERVICE.clone(),
            admins: vec![key("root").public()],
            threshold: 1,
            segment_size: 2 << 20,
            ledger_key: None,
        };
        let platform = Platform::create(&dir.path().join("ledger"), &founding, options(&clock)).unwrap();
        Self { platform, clock, nonces: BTreeMap::new(), dir }
    }

    pub(crate) fn place(&self) -> PathBuf {
        self.dir.path().join("ledger")
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.now_ms()
    }

    pub(crate) fn sign(&mut self, who: &str, kind: Kind, payload: &[u8]) -> SignedRecord {
        let nonce = self.nonces.entry(who.to_owned()).or_default();
        *nonce += 1;
        let builder = RecordBuilder::new(self.platform.id(), kind).nonce(*nonce);
        let builder = if kind.is_engine() { builder.unsalted() } else { builder };
        builder.sign(&key(who), payload).unwrap()
    }

    /// Submits a record: held against state first, or ordered whatever it is.
    pub(crate) fn send(&self, record: &SignedRecord, is_checked: bool) -> Result<Status, SubmitError> {
        let mut appender = self.platform.appender().unwrap();
        let submitted = if is_checked {
            self.platform.submit(&mut appender, record.bytes())
        } else {
            self.platform.submit_unchecked(&mut appender, record.bytes())
        };
        submitted.map(|submitted| submitted.status)
    }

    /// An act with all its signatures.
    pub(crate) fn act(&mut self, act: &Act) -> Status {
        let mut signers = signers(&act.act).into_iter();
        let record = self.sign(&signers.next().unwrap(), CASE, &act.encode());
        let mut status = self.send(&record, false).unwrap();
        for signer in signers {
            status = self.countersign(&signer, record.record_id(), false).unwrap();
        }
        status
    }

    pub(crate) fn countersign(&mut self, who: &str, record: RecordId, is_checked: bool) -> Result<Status, SubmitError> {
        let record = self.sign(who, Kind::COUNTERSIGN, record.as_bytes());
        self.send(&record, is_checked)
    }

    /// Does samples one after the other, each accepted.
    pub(crate) fn go(&mut self, acts: &[&str]) {
        for name in acts {
            let act = sample(name, CASE_NAME, self.now());
            assert_eq!(self.act(&act), Status::Accepted, "{name}");
        }
    }

    pub(crate) fn wait_days(&self, days: u64) {
        self.clock.set(self.now() + days * crate::desk::DAY_MS).unwrap();
    }
}
