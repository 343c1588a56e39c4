//! A desk to test at: a small service, officers with keys, and a platform whose clock stands still until it is set.

use annals::{Kind, ManualClock, Options, RecordBuilder, RecordId, SignedRecord, SigningKey};
use annals_contracts::message::{Act, CASE, EntryForm, EntryStatus, REGISTRY, encode};
use annals_contracts::{Founding, Platform, PlatformOptions, Refused, Service, Status, SubmitError, Value};
use std::collections::BTreeMap;
use tempfile::TempDir;

/// 2025-03-04 10:05 in Beijing, a Tuesday.
pub(crate) const START_MS: u64 = 1_741_053_900_000;
pub(crate) const DAY_MS: u64 = 86_400_000;

pub(crate) const SERVICE: &str = r#"
name = "permits"
label = { zh = "许可", en = "Permits" }
definitions = ["permit.toml"]

[[registry]]
name = "device"
label = { zh = "设备", en = "Device" }
manager = "officer"
[registry.fields.agency]
type = "text"

[[grant]]
action = "permit"
role = "officer"
acts = ["*"]

[[grant]]
action = "permit"
role = "head"
acts = ["grant"]

[[grant]]
action = "registry/device"
role = "officer"
acts = ["put"]

[[entry]]
type = "agency"
id = "A"
data = { name = "Agency A" }

[[entry]]
type = "agency"
id = "B"
data = { name = "Agency B" }

[[entry]]
type = "calendar"
id = "cn"
data = { holidays = ["2025-04-04", "2025-05-01", "2025-05-02", "2025-05-05"], workdays = ["2025-04-27"] }
"#;

pub(crate) const DEFINITION: &str = r#"
name = "permit"
version = 1
label = { zh = "许可", en = "Permit" }
calendar = "cn"
roles = { officer = { zh = "经办人", en = "Officer" }, head = { zh = "负责人", en = "Head" } }

[case.fee]
type = "integer"
[case.applicant]
type = "text"
personal = true

[payloads.application.fields.applicant]
type = "text"
label = { zh = "申请人", en = "Applicant" }
[payloads.application.fields.fee]
type = "integer"
min = 0

[payloads.inspection.fields.device]
type = "text"

[[state]]
name = "filed"
label = { zh = "受理", en = "Filed" }
[[state]]
name = "inspected"
label = { zh = "已核查", en = "Inspected" }
[[state]]
name = "granted"
label = { zh = "准予", en = "Granted" }
final = true
[[state]]
name = "lapsed"
label = { zh = "逾期", en = "Lapsed" }
final = true

[[transition]]
name = "file"
label = { zh = "受理", en = "File" }
to = "filed"
payload = "application"
signers = [{ role = "officer" }]
attachments = [{ name = "form", label = { zh = "申请表", en = "application form" } }]
effects = { set = { fee = "record.fee", applicant = "record.applicant" } }

[[transition]]
name = "inspect"
label = { zh = "核查", en = "Inspect" }
from = ["filed"]
to = "inspected"
payload = "inspection"
signers = [{ role = "officer", count = 2 }]
lookup = [{ as = "device", type = "device", id = "record.device", else = { zh = "设备", en = "the device" } }]
requires = [{ that = "device.agency == case.agency", else = { zh = "设备不属于本机关", en = "use a device of this agency" } }]

[[transition]]
name = "grant"
label = { zh = "准予", en = "Grant" }
from = ["inspected"]
to = "granted"
signers = [{ role = "head" }]
before = ["decide"]
requires = [{ that = "has(case.data.fee) && case.data.fee <= 1000", else = { zh = "费用超限", en = "the fee is too high" } }]

[[transition]]
name = "note"
label = { zh = "备注", en = "Note" }
from = ["filed", "inspected"]
needs_parent = true
signers = [{ role = "officer" }]

[[transition]]
name = "lapse"
label = { zh = "逾期", en = "Lapse" }
trigger = "deadline"
from = ["filed", "inspected"]
to = "lapsed"

[[deadline]]
name = "decide"
label = { zh = "决定期限", en = "time to decide" }
article = "Article 42"
days = 20
unit = "working"
starts_on = ["file"]
ends_on = ["grant"]
act = "lapse"

[[invariant]]
state = "granted"
needs = "inspect"
"#;

/// A key by name.
pub(crate) fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(blake3::hash(name.as_bytes()).as_bytes())
}

pub(crate) struct Desk {
    pub(crate) platform: Platform,
    pub(crate) clock: ManualClock,
    nonces: BTreeMap<String, u64>,
    /// Removed when the desk is.
    _dir: TempDir,
}

impl Desk {
    /// A desk with officers `ann`, `bob` (agency A), `cid` (agency B) and the head `eve` of A; one administrator, `root`.
    pub(crate) fn new() -> Self {
        Self::with(DEFINITION)
    }

    /// The same officers at a service of another procedure.
    pub(crate) fn with(definition: &str) -> Self {
        let mut desk = Self::founded(definition, &["root"], 1);
        desk.let_officers_in("root");
        desk
    }

    fn let_officers_in(&mut self, admin: &str) {
        for (name, agency, role) in
            [("ann", "A", "officer"), ("bob", "A", "officer"), ("cid", "B", "officer"), ("eve", "A", "head")]
        {
            let form = credential(name, agency, role);
            assert_eq!(self.administer(admin, REGISTRY, &encode(&form)).unwrap(), Status::Accepted);
        }
    }

    /// A desk without officers, with these administrators, of whom so many must sign.
    pub(crate) fn founded(definition: &str, admins: &[&str], threshold: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(START_MS);
        let founding = Founding {
            origin: "example.gov/permits".to_owned(),
            service: Service::of(&[("service.toml", SERVICE), ("permit.toml", definition)]).unwrap(),
            admins: admins.iter().map(|name| key(name).public()).collect(),
            threshold,
            segment_size: 2 << 20,
            ledger_key: None,
        };
        let platform = Platform::create(&dir.path().join("ledger"), &founding, options(&clock)).unwrap();
        Self { platform, clock, nonces: BTreeMap::new(), _dir: dir }
    }

    pub(crate) fn nonce(&mut self, who: &str) -> u64 {
        let nonce = self.nonces.entry(who.to_owned()).or_default();
        *nonce += 1;
        *nonce
    }

    pub(crate) fn sign(&mut self, who: &str, kind: Kind, payload: &[u8]) -> SignedRecord {
        let nonce = self.nonce(who);
        let builder = RecordBuilder::new(self.platform.id(), kind).nonce(nonce);
        let builder = if kind.is_engine() { builder.unsalted() } else { builder };
        builder.sign(&key(who), payload).unwrap()
    }

    pub(crate) fn send(&mut self, record: &SignedRecord) -> Result<Status, SubmitError> {
        let mut appender = self.platform.appender().unwrap();
        self.platform.submit(&mut appender, record.bytes()).map(|submitted| submitted.status)
    }

    pub(crate) fn administer(&mut self, who: &str, kind: Kind, payload: &[u8]) -> Result<Status, SubmitError> {
        let record = self.sign(who, kind, payload);
        self.send(&record)
    }

    /// Sends a record that is not held against state first: whatever it is, it is ordered.
    pub(crate) fn order(&mut self, who: &str, kind: Kind, payload: &[u8]) -> Result<Status, SubmitError> {
        let record = self.sign(who, kind, payload);
        let mut appender = self.platform.appender().unwrap();
        self.platform.submit_unchecked(&mut appender, record.bytes()).map(|submitted| submitted.status)
    }

    /// The code with which an ordered record was refused; empty if it was not.
    pub(crate) fn order_code(&mut self, who: &str, kind: Kind, payload: &[u8]) -> &'static str {
        match self.order(who, kind, payload).unwrap() {
            Status::Refused(refused) => refused.code,
            Status::Accepted | Status::Waiting(_) => "",
        }
    }

    /// Closes the platform and applies its log from genesis: the same root at every height.
    pub(crate) fn replays(self) {
        let root = self.platform.applied().root;
        let (place, reader) = (self.platform.ledger().path().to_owned(), self.platform.ledger().reader());
        self.platform.close().unwrap();
        let check = annals_contracts::platform::check_state(&place, &reader, |_| ()).unwrap();
        assert_eq!((check.root, check.differs_at), (root, None));
    }

    /// Acts, and tells the record.
    pub(crate) fn act(&mut self, who: &str, act: &Act) -> (RecordId, Result<Status, SubmitError>) {
        let record = self.sign(who, CASE, &act.encode());
        (record.record_id(), self.send(&record))
    }

    /// Acts, and tells the refusal's code.
    pub(crate) fn refusal(&mut self, who: &str, act: &Act) -> Refused {
        match self.act(who, act).1 {
            Err(SubmitError::Refused(refused)) => refused,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn countersign(&mut self, who: &str, record: RecordId) -> Result<Status, SubmitError> {
        let record = self.sign(who, Kind::COUNTERSIGN, record.as_bytes());
        self.send(&record)
    }

    /// Files a case and has it inspected.
    pub(crate) fn inspected(&mut self, number: &str) {
        assert_eq!(self.act("ann", &file(number)).1.unwrap(), Status::Accepted);
        if self.platform.entry("device", "cam", None).unwrap().is_none() {
            let device = entry("device", "cam", Value::map([("agency", Value::from("A"))]));
            assert_eq!(self.administer("ann", REGISTRY, &encode(&device)).unwrap(), Status::Accepted);
        }
        let (record, status) = self.act("ann", &inspect(number));
        assert_eq!(status.unwrap(), Status::Waiting(1));
        assert_eq!(self.countersign("bob", record).unwrap(), Status::Accepted);
    }

    pub(crate) fn state(&self, number: &str) -> String {
        self.platform.case("A", number).unwrap().map_or_else(String::new, |instance| instance.state)
    }

    pub(crate) fn set_day(&self, days: u64) {
        self.clock.set(START_MS + days * DAY_MS).unwrap();
    }
}

pub(crate) fn options(clock: &ManualClock) -> PlatformOptions {
    let ledger = Options { clock: Some(clock.clone()), ..Options::default() };
    PlatformOptions { ledger, untended: true, root_interval: None, ..PlatformOptions::default() }
}

pub(crate) fn credential(name: &str, agency: &str, role: &str) -> EntryForm {
    let list = |text: &str| Value::List(vec![Value::from(text)]);
    let data = Value::map([
        ("agency", Value::from(agency)),
        ("officer", Value::from(name)),
        ("roles", list(role)),
        ("scope", list("*")),
    ]);
    entry("credential", &key(name).public().to_string(), data)
}

pub(crate) fn entry(registry: &str, id: &str, data: Value) -> EntryForm {
    let (from, until) = (0, annals_contracts::value::INTEGER_MAX);
    EntryForm {
        data,
        from,
        id: id.to_owned(),
        registry: registry.to_owned(),
        status: EntryStatus::Valid,
        until,
        version: 1,
    }
}

pub(crate) fn act(name: &str, number: &str) -> Act {
    Act {
        act: name.to_owned(),
        attachments: Vec::new(),
        case: format!("A/{number}"),
        data: Value::default(),
        definition: None,
        parents: Vec::new(),
    }
}

pub(crate) fn file(number: &str) -> Act {
    let data = Value::map([("applicant", Value::from("Zixu")), ("fee", Value::Integer(100))]);
    let hash = blake3::hash(b"form").to_hex().to_string();
    let form = annals_contracts::message::AttachedForm { hash, name: "form".to_owned(), size: 4 };
    Act { attachments: vec![form], data, definition: Some("permit".to_owned()), ..act("file", number) }
}

pub(crate) fn inspect(number: &str) -> Act {
    Act { data: Value::map([("device", Value::from("cam"))]), ..act("inspect", number) }
}
