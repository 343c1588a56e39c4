//! Random histories of the enforcement service: nothing halts the host, every replay gives the same roots, and nobody gets further than
//! his signature carries him.

use crate::city::{CASE_NAME, City, credential, people, sample, samples, signers};
use crate::desk::{key, options};
use annals::{Kind, RecordId};
use annals_contracts::message::{Act, CASE, DEFINITION, EntryStatus, POLICY, REGISTRY, encode};
use annals_contracts::platform::{ActRow, check_state, rebuild_state};
use annals_contracts::registry::Entry;
use annals_contracts::workflow::Instance;
use annals_contracts::{Platform, Status, SubmitError, Value};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// The way of a case that nothing goes wrong in, and what lies beside it.
const ROAD: [&str; 12] = [
    "register",
    "file",
    "scene",
    "conclude",
    "notify",
    "waive",
    "legal_review",
    "decide",
    "serve",
    "execute",
    "close",
    "evidence",
];

/// One record, or one thing that happens between records.
#[derive(Clone, Debug)]
enum Step {
    /// The next step of the road, as it should be.
    Next,
    /// A form, sound or damaged.
    Act {
        act: usize,
        case: usize,
        damage: Damage,
        is_checked: bool,
    },
    Countersign {
        who: usize,
        back: usize,
        is_checked: bool,
    },
    Credential {
        who: usize,
        status: usize,
    },
    Grants {
        keep: usize,
    },
    Wait {
        days: u64,
    },
    Garbage {
        kind: usize,
        bytes: Vec<u8>,
    },
}

#[derive(Clone, Debug)]
enum Damage {
    None,
    Signer(usize),
    Name(usize),
    Missing(usize),
    Changed(usize, Value),
    Bare,
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        (-10..10_000_000_i64).prop_map(Value::Integer),
        "[a-zA-Z0-9 /#\u{0}十]{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["SJ-2140", "SJ-1001", "HJ", "CG", "major"]).prop_map(Value::from),
        prop::collection::vec(prop::sample::select(vec!["SJ-2140", "SJ-2101", "fine"]).prop_map(Value::from), 0..4)
            .prop_map(Value::List),
    ]
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => Just(Damage::None),
        2 => any::<usize>().prop_map(Damage::Signer),
        1 => any::<usize>().prop_map(Damage::Name),
        1 => any::<usize>().prop_map(Damage::Missing),
        2 => (any::<usize>(), value()).prop_map(|(field, value)| Damage::Changed(field, value)),
        1 => Just(Damage::Bare),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Next),
        6 => (any::<usize>(), 0..6_usize, damage(), any::<bool>())
            .prop_map(|(act, case, damage, is_checked)| Step::Act { act, case, damage, is_checked }),
        4 => (any::<usize>(), 0..4_usize, any::<bool>())
            .prop_map(|(who, back, is_checked)| Step::Countersign { who, back, is_checked }),
        1 => (any::<usize>(), 0..3_usize).prop_map(|(who, status)| Step::Credential { who, status }),
        1 => (0..8_usize).prop_map(|keep| Step::Grants { keep }),
        2 => (0..30_u64).prop_map(|days| Step::Wait { days }),
        1 => (0..7_usize, prop::collection::vec(any::<u8>(), 0..48)).prop_map(|(kind, bytes)| Step::Garbage { kind, bytes }),
    ]
}

/// What a history leaves behind for the next step.
struct History {
    city: City,
    next: usize,
    records: Vec<RecordId>,
    versions: std::collections::BTreeMap<String, u64>,
    grants: u64,
}

fn pick<T: Clone>(list: &[T], number: usize) -> T {
    list[number % list.len()].clone()
}

impl History {
    fn new() -> Self {
        Self { city: City::new(), next: 0, records: Vec::new(), versions: std::collections::BTreeMap::new(), grants: 1 }
    }

    /// Sends a record, and says whether pre-check and decision agree: nothing happened in between.
    fn send(&mut self, who: &str, kind: Kind, payload: &[u8], is_checked: bool) -> Option<Status> {
        let record = self.city.sign(who, kind, payload);
        let before = self.city.platform.precheck(record.bytes());
        let after = self.city.send(&record, is_checked);
        match (&before, &after) {
            (Ok(()), Ok(Status::Accepted | Status::Waiting(_))) => {}
            (Err(SubmitError::Refused(one)), Ok(Status::Refused(two)) | Err(SubmitError::Refused(two))) => {
                assert_eq!((one.code, &one.about), (two.code, &two.about));
                assert_ne!(one.code, "contract.panic");
            }
            // An engine kind whose payload the ledger refuses is no matter of the contracts.
            (_, Err(SubmitError::Ledger(_))) => {}
            other => panic!("{other:?}"),
        }
        self.records.push(record.record_id());
        after.ok()
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Next => self.go_on(),
            Step::Act { act, case, damage, is_checked } => {
                let name = pick(&samples(), *act);
                let case = pick(&[CASE_NAME, CASE_NAME, CASE_NAME, "SJ/2", "HJ/1", "SJ/1 "], *case);
                let (author, act) = self.damaged(&name, case, damage);
                self.send(&author, CASE, &act.encode(), *is_checked);
            }
            Step::Countersign { who, back, is_checked } => {
                let Some(record) = self.records.iter().rev().nth(*back).copied() else { return };
                let who = pick(&people(), *who);
                self.send(&who, Kind::COUNTERSIGN, record.as_bytes(), *is_checked);
            }
            Step::Credential { who, status } => {
                let name = pick(&people(), *who);
                let version = self.versions.entry(name.clone()).or_insert(1);
                *version += 1;
                let status = [EntryStatus::Valid, EntryStatus::Suspended, EntryStatus::Revoked][*status];
                let form = annals_contracts::message::EntryForm { version: *version, status, ..credential(&name) };
                if self.send("root", REGISTRY, &encode(&form), false) != Some(Status::Accepted) {
                    *self.versions.get_mut(&name).unwrap() -= 1;
                }
            }
            Step::Grants { keep } => {
                let mut grants = self.city.platform.policy("enforcement", None).unwrap().grants.clone();
                grants.rotate_left(keep % 5);
                if *keep == 7 {
                    grants.pop();
                }
                let form = annals_contracts::message::PolicyForm {
                    action: "enforcement".to_owned(),
                    grants,
                    version: self.grants + 1,
                };
                self.grants += u64::from(self.send("root", POLICY, &encode(&form), false) == Some(Status::Accepted));
            }
            Step::Wait { days } => {
                self.city.wait_days(*days);
                self.city.platform.tick().unwrap();
            }
            Step::Garbage { kind, bytes } => {
                let kinds = [CASE, REGISTRY, POLICY, DEFINITION, Kind(0x1_0000), Kind(0x1_0020), Kind::COUNTERSIGN];
                let who = pick(&["root", "程知白", "mallory"], bytes.len());
                self.send(who, kinds[*kind], bytes, false);
            }
        }
    }

    fn go_on(&mut self) {
        let name = ROAD[self.next % ROAD.len()];
        let act = sample(name, CASE_NAME, self.city.now());
        let mut signers = signers(name).into_iter();
        let first = self.send(&signers.next().unwrap(), CASE, &act.encode(), false);
        let record = *self.records.last().unwrap();
        let last = signers.fold(first, |_, who| self.send(&who, Kind::COUNTERSIGN, record.as_bytes(), false));
        self.next += usize::from(last == Some(Status::Accepted));
    }

    fn damaged(&self, name: &str, case: &str, damage: &Damage) -> (String, Act) {
        let mut act = sample(name, case, self.city.now());
        let mut author = signers(name)[0].clone();
        let mut data = act.data.as_map().unwrap().clone();
        let field = |number: usize| data.keys().nth(number % data.len().max(1)).cloned();
        match damage {
            Damage::None => {}
            Damage::Signer(who) => author = pick(&people(), *who),
            Damage::Name(other) => act.act = pick(&samples(), *other),
            Damage::Missing(number) => {
                field(*number).and_then(|field| data.remove(&field));
            }
            Damage::Changed(number, value) => {
                field(*number).and_then(|field| data.insert(field, value.clone()));
            }
            Damage::Bare => (act.attachments, act.parents) = (Vec::new(), vec!["SJ/1#1".to_owned()]),
        }
        act.data = Value::Map(data);
        (author, act)
    }
}

/// Holds a case's acts against definition and registries as they stood, without the host's own eyes.
fn walk(platform: &Platform, instance: &Instance) {
    let compiled = platform.definition_of(instance).unwrap();
    let (mut agency, mut recused, mut is_major) = (instance.origin.clone(), BTreeSet::new(), false);
    let (mut is_notified, mut is_reviewed, mut state) = (false, false, String::new());
    for row in platform.history(instance).unwrap() {
        let rule = &compiled.transition(&row.act).unwrap().rule;
        assert_eq!(row.from, state, "each act begins where the one before ended");
        assert!(rule.from.contains(&row.from) || rule.from.is_empty() && row.number == 1);
        assert_eq!(row.to, rule.to.clone().unwrap_or_else(|| row.from.clone()));
        state = row.to.clone();
        let wanted: usize = rule.signers.iter().map(|rule| rule.count as usize).sum();
        assert_eq!(row.signers.len(), wanted, "{row:?}");
        assert_eq!(row.signers.iter().collect::<BTreeSet<_>>().len(), wanted, "different officers: {row:?}");
        assert!(row.signers.iter().all(|officer| !recused.contains(officer)), "{row:?}");
        let data = payload_of(platform, &row);
        let officers: Vec<_> = row.signers.iter().map(|officer| valid(platform, officer, &row)).collect();
        let to = data.get("to_agency").and_then(Value::as_text).unwrap_or_default();
        assert!(seats(rule, &officers, &agency, to), "{row:?}");
        for officer in &officers {
            let scope = list(officer, "scope");
            let field = instance.data.get("field").and_then(Value::as_text).unwrap();
            assert!(scope.iter().any(|covered| covered == field), "{row:?}");
        }
        match row.act.as_str() {
            "conclude" => (is_major, is_notified, is_reviewed) = (major(&data), false, false),
            "notify" => is_notified = true,
            "legal_review" => is_reviewed = true,
            "recuse" => recused.extend([data.get("officer").and_then(Value::as_text).unwrap().to_owned()]),
            "transfer" => agency = to.to_owned(),
            "decide" => assert!(is_notified && (is_reviewed || !is_major), "decided without notice or review"),
            _ => {}
        }
        assert!(row.to != "decided" || row.from == "decided" || row.act == "decide");
    }
    assert_eq!((&state, &agency), (&instance.state, &instance.agency));
    assert!(instance.recused.is_superset(&recused));
}

/// 《行政处罚法》: what the report says, or what gives a person a right to a hearing: ten thousand yuan, licences, business.
fn major(data: &Value) -> bool {
    let amount = |name: &str| data.get(name).and_then(Value::as_integer).unwrap();
    let kinds = data.get("kinds").and_then(Value::as_list).unwrap();
    data.get("major").and_then(Value::as_bool).unwrap()
        || kinds.iter().any(|kind| matches!(kind.as_text(), Some("licence_revocation" | "business_ban")))
        || 1_000_000 <= amount("fine_cents")
        || 1_000_000 <= amount("confiscation_cents")
}

fn payload_of(platform: &Platform, row: &ActRow) -> Value {
    if row.record.is_empty() {
        return Value::default();
    }
    let stored = platform.ledger().reader().find(&row.record.parse().unwrap()).unwrap().unwrap();
    Value::parse(stored.content(None).unwrap()).unwrap().get("data").cloned().unwrap_or_default()
}

fn list(officer: &Entry, name: &str) -> Vec<String> {
    let items = officer.form.data.get(name).and_then(Value::as_list).unwrap();
    items.iter().map(|item| item.as_text().unwrap().to_owned()).collect()
}

/// The credential of an officer, which was valid when an act happened.
fn valid(platform: &Platform, officer: &str, row: &ActRow) -> Entry {
    let named = |name: &String| credential(name).data.get("officer").and_then(Value::as_text) == Some(officer);
    let name = people().into_iter().find(named).unwrap();
    let id = key(&name).public().to_string();
    let entry = platform.entry("credential", &id, Some(row.seq)).unwrap().unwrap();
    assert_eq!(entry.form.status, EntryStatus::Valid, "{row:?}");
    assert!((entry.form.from..entry.form.until).contains(&row.time));
    (*entry).clone()
}

/// Whether officers can take the places of a rule, each one: every order is tried.
fn seats(rule: &annals_contracts::definition::Transition, officers: &[Entry], case: &str, to: &str) -> bool {
    let places: Vec<_> = rule.signers.iter().flat_map(|each| std::iter::repeat_n(each, each.count as usize)).collect();
    let fits = |officer: &Entry, place: usize| {
        let agency = officer.form.data.get("agency").and_then(Value::as_text).unwrap();
        let wanted = match places[place].agency.as_str() {
            "case" => agency == case,
            "any" => true,
            _ => agency == to,
        };
        wanted && list(officer, "roles").contains(&places[place].role)
    };
    fn fill(officers: &[Entry], free: &BTreeSet<usize>, fits: &dyn Fn(&Entry, usize) -> bool) -> bool {
        let Some((first, rest)) = officers.split_first() else { return true };
        free.iter().any(|place| {
            let others = free.iter().copied().filter(|other| other != place).collect();
            fits(first, *place) && fill(rest, &others, fits)
        })
    }
    fill(officers, &(0..places.len()).collect(), &fits)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_replays_and_nobody_oversteps(
        start in 0..11_usize, steps in prop::collection::vec(step(), 1..30), middle in 0..30_usize,
    ) {
        let mut history = History::new();
        (0..start).for_each(|_| history.go_on());
        for (number, step) in steps.iter().enumerate() {
            history.take(step);
            if number == middle {
                let (place, clock) = (history.city.place(), history.city.clock.clone());
                replace(&mut history.city.platform, &place, &clock);
            }
        }
        let platform = &history.city.platform;
        for instance in platform.cases(&annals_contracts::platform::CaseFilter::default(), 64).unwrap() {
            walk(platform, &instance);
        }
        let City { platform, clock, dir, .. } = history.city;
        let (root, place, reader) = (platform.applied().root, dir.path().join("ledger"), platform.ledger().reader());
        platform.close().unwrap();
        let check = check_state(&place, &reader, |_| ()).unwrap();
        prop_assert_eq!((check.root, check.differs_at), (root, None));
        prop_assert_eq!(rebuild_state(&place, &reader, |_| ()).unwrap().root, root);
        drop(reader);
        prop_assert_eq!(Platform::open(&place, options(&clock)).unwrap().applied().root, root);
    }
}

/// Closes a platform and opens it again: it goes on from stored state.
fn replace(platform: &mut Platform, place: &std::path::Path, clock: &annals::ManualClock) {
    let spare = tempfile::tempdir().unwrap();
    let founding = annals_contracts::Founding {
        origin: "example.gov/spare".to_owned(),
        service: annals_contracts::Service::of(&[("service.toml", "name = \"spare\"\nlabel = {}\ndefinitions = []\n")])
            .unwrap(),
        admins: vec![key("root").public()],
        threshold: 1,
        segment_size: 2 << 20,
        ledger_key: None,
    };
    let dummy = Platform::create(&spare.path().join("ledger"), &founding, options(clock)).unwrap();
    std::mem::replace(platform, dummy).close().unwrap();
    *platform = Platform::open(place, options(clock)).unwrap();
}

#[test]
fn the_road_of_the_samples_is_open() {
    let mut city = City::new();
    city.go(&["register", "file", "scene", "conclude", "notify", "statement", "waive", "legal_review", "decide"]);
    let case = city.platform.case("SJ", "1").unwrap().unwrap();
    assert_eq!(case.state, "decided");
    walk(&city.platform, &case);
}

/// Whose key it is decides, whatever a payload says of him.
#[test]
fn names_in_payloads_sign_nothing() {
    let mut city = City::new();
    for name in ["register", "file", "scene", "conclude", "notify", "waive", "legal_review", "decide", "serve"] {
        let act = sample(name, CASE_NAME, city.now());
        for outsider in ["mallory", "夏至真", "百里清", "令狐记", "root"] {
            let record = city.sign(outsider, CASE, &act.encode());
            assert!(matches!(city.send(&record, false).unwrap(), Status::Refused(_)), "{outsider} does {name}");
            let record = city.sign(outsider, CASE, &act.encode());
            assert!(matches!(city.send(&record, true), Err(SubmitError::Refused(_))), "{outsider} does {name}");
        }
        assert_eq!(city.act(&act), Status::Accepted);
    }
}

/// The code with which an act of a sample's signers is refused; empty if it is not.
fn code(city: &mut City, name: &str) -> &'static str {
    match city.act(&sample(name, CASE_NAME, city.now())) {
        Status::Refused(refused) => refused.code,
        Status::Accepted | Status::Waiting(_) => "",
    }
}

#[test]
fn who_is_recused_or_of_another_field_signs_nothing() {
    let mut city = City::new();
    city.go(&["register", "file", "scene", "recuse"]);
    let inquiry = sample("inquiry", CASE_NAME, city.now()).encode();
    let record = city.sign("沈亦安", CASE, &inquiry);
    assert!(matches!(city.send(&record, false), Ok(Status::Refused(refused)) if refused.code == "signer.recused"));
    // Of the evidence he is the second.
    assert_eq!(code(&mut city, "evidence"), "signer.recused");
    let mut city = City::new();
    city.go(&["register", "file"]);
    let mut form = annals_contracts::message::EntryForm { version: 2, ..credential("沈亦安") };
    let mut data = form.data.as_map().unwrap().clone();
    data.insert("scope".to_owned(), Value::List(vec![Value::from("environment")]));
    form.data = Value::Map(data);
    let record = city.sign("root", REGISTRY, &encode(&form));
    assert_eq!(city.send(&record, true).unwrap(), Status::Accepted);
    assert_eq!(code(&mut city, "scene"), "signer.scope");
}
