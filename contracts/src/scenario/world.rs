//! The world of a scenario: a platform in a directory of its own, a clock that stands still, and people with keys.

use super::form::{EntryLine, PersonForm};
use super::moment;
use super::read::Scenario;
use super::report::Unlike;
use super::step::fields_of;
use crate::days::{DAY_MS, Moment, OFFSET_MINUTES_DEFAULT};
use crate::definition::Definition;
use crate::message::{CASE_PAYLOAD_MAX, EntryForm, EntryStatus, REGISTRY, encode};
use crate::outcome::{Refused, Status};
use crate::platform::{Founding, Platform, PlatformOptions, SubmitError};
use crate::registry::{CALENDAR, CREDENTIAL};
use crate::service::Service;
use crate::state::{StateOptions, StateRoot};
use crate::value::{INTEGER_MAX, Value};
use annals::{Ack, Appender, AuthorId, Kind, LedgerId, ManualClock, Options, RecordBuilder, RecordId, SigningKey};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Who administer a scenario's platform: both must sign.
pub(super) const ADMINS: [&str; 2] = ["管理员甲", "管理员乙"];
/// Context of the key derivation of people.
const PERSON_CONTEXT: &str = "annals.scenario.person.v1";
/// How long entries are valid before a scenario starts, and after, unless they say it.
const VALID_BEFORE_MS: i64 = 3652 * DAY_MS;
const VALID_AFTER_MS: i64 = 30 * 3652 / 10 * DAY_MS;
/// Bytes of a segment.
const SEGMENT_SIZE: u64 = 2 << 20;
/// Bytes that state keeps in memory of each thing; a scenario's is small.
const MEMORY: usize = 4 << 20;
/// The registry in which a service may keep its officers' badges, with the fields `name` and `agency`.
const OFFICER: &str = "officer";

/// A platform, and those who use it.
#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) platform: Platform,
    clock: ManualClock,
    appender: Appender,
    nonces: BTreeMap<String, u64>,
    /// Definitions by the act that opens their cases.
    opening: BTreeMap<String, String>,
    /// Records by the name that a step gave them.
    pub(super) named: BTreeMap<String, Named>,
    /// Height and state root by the name that a step gave them.
    pub(super) remembered: BTreeMap<String, (u64, StateRoot)>,
}

/// A record that a step gave a name.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) record: RecordId,
    pub(super) case: String,
    /// Its place; none if it was refused before ordering.
    pub(super) seq: Option<u64>,
}

/// What became of a submission.
#[derive(Clone, Debug)]
pub(super) struct Delivered {
    pub(super) record: RecordId,
    pub(super) author: AuthorId,
    pub(super) kind: Kind,
    /// Its place; none if it was refused before ordering.
    pub(super) ack: Option<Ack>,
    /// What became of it, wherever that was decided.
    pub(super) status: Status,
    /// Whether it was the contracts that refused it before ordering.
    pub(super) by_contracts: bool,
    /// The first free seq before and after.
    pub(super) next_seq: (u64, u64),
}

/// The key of a person.
pub(super) fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(&blake3::derive_key(PERSON_CONTEXT, name.as_bytes()))
}

impl<'a> World<'a> {
    /// Founds a scenario's platform in a directory, and registers what the scenario begins with.
    pub(super) fn begin(scenario: &'a Scenario, service: &Service, directory: &Path) -> Result<Self, Unlike> {
        let time_ms = u64::try_from(scenario.starts).unwrap_or_default();
        let clock = ManualClock::new(time_ms);
        let founding = Founding {
            origin: format!("scenario.example/{}", service.name),
            service: service.clone(),
            admins: ADMINS.iter().map(|name| key(name).public()).collect(),
            threshold: 2,
            segment_size: SEGMENT_SIZE,
            ledger_key: None,
        };
        let state =
            StateOptions { page_memory: MEMORY, leaf_memory: MEMORY, tile_memory: MEMORY, ..StateOptions::default() };
        let ledger = Options { clock: Some(clock.clone()), verifier_count: Some(1), ..Options::default() };
        let options = PlatformOptions { ledger, state, untended: true, root_interval: None };
        let platform = Platform::create(&directory.join("ledger"), &founding, options)?;
        let appender = platform.appender().map_err(|error| Unlike::broken(&error))?;
        let mut world = Self {
            scenario,
            platform,
            clock,
            appender,
            nonces: BTreeMap::new(),
            opening: opening(service),
            named: BTreeMap::new(),
            remembered: BTreeMap::new(),
        };
        let entries = world.first_entries()?;
        world.register(&entries)?;
        Ok(world)
    }

    /// What the clock shows, ms since the Unix epoch.
    pub(super) fn now_ms(&self) -> i64 {
        i64::try_from(self.clock.now_ms()).unwrap_or(i64::MAX)
    }

    /// What the clock shows, as people read it.
    pub(super) fn now(&self) -> Moment {
        Moment { time_ms: self.now_ms(), offset_minutes: OFFSET_MINUTES_DEFAULT }
    }

    /// The definition whose cases an act opens.
    pub(super) fn opens(&self, act: &str) -> Option<&str> {
        self.opening.get(act).map(String::as_str)
    }

    /// Sets the clock and has time marked; returns the height of the block that does.
    pub(super) fn set_clock(&self, time_ms: i64) -> Result<u64, Unlike> {
        let time = u64::try_from(time_ms).unwrap_or_default();
        self.clock.set(time).map_err(|error| Unlike::broken(&error))?;
        self.platform.tick()?;
        Ok(self.platform.applied().height)
    }

    /// The entries of the city and the scenario, and for each person a credential and, if the service registers those, a badge.
    fn first_entries(&self) -> Result<Vec<EntryForm>, Unlike> {
        let mut forms = Vec::new();
        for line in &self.scenario.entries {
            forms.push(self.first_entry(line)?);
        }
        let (mut officers, has_badges) = (BTreeSet::new(), self.platform.registries()?);
        let has_badges = has_badges.iter().any(|registry| registry.name == OFFICER);
        for (name, person) in self.scenario.people.iter().filter(|(_, person)| !person.unregistered) {
            if has_badges && officers.insert(person.officer.clone()) {
                forms.push(self.of_person(
                    person,
                    OFFICER,
                    person.officer.clone(),
                    &[("name", Value::from(name.as_str())), ("agency", Value::from(person.agency.as_str()))],
                )?);
            }
            forms.push(self.of_person(
                person,
                CREDENTIAL,
                key(name).public().to_string(),
                &[
                    ("agency", Value::from(person.agency.as_str())),
                    ("officer", Value::from(person.officer.as_str())),
                    ("roles", crate::keys::texts(&person.roles)),
                    ("scope", crate::keys::texts(&person.scope)),
                ],
            )?);
        }
        Ok(forms)
    }

    fn first_entry(&self, line: &EntryLine) -> Result<EntryForm, Unlike> {
        let data = fields_of(line.data.clone().unwrap_or_default()).map_err(Unlike::form)?;
        let (from, until) = match line.registry.as_str() {
            // It is valid for ever, or refused.
            CALENDAR => {
                (moment::parse_or(line.from.as_deref(), 0)?, moment::parse_or(line.until.as_deref(), INTEGER_MAX)?)
            }
            _ => self.validity(line.from.as_deref(), line.until.as_deref())?,
        };
        Ok(EntryForm {
            data: Value::Map(data),
            from,
            id: line.id.clone().unwrap_or_default(),
            registry: line.registry.clone(),
            status: line.status.unwrap_or(EntryStatus::Valid),
            until,
            version: line.version.unwrap_or(1),
        })
    }

    fn of_person(
        &self,
        person: &PersonForm,
        registry: &str,
        id: String,
        data: &[(&str, Value)],
    ) -> Result<EntryForm, Unlike> {
        let data = data.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let (from, until) = self.validity(person.from.as_deref(), person.until.as_deref())?;
        // A badge is one thing, the credential of a key another: only this may be suspended or expired.
        let is_credential = registry == CREDENTIAL;
        let (usual_from, usual_until) = self.validity(None, None)?;
        Ok(EntryForm {
            data: Value::Map(data),
            from: if is_credential { from } else { usual_from },
            id,
            registry: registry.to_owned(),
            status: person.status.filter(|_| is_credential).unwrap_or(EntryStatus::Valid),
            until: if is_credential { until } else { usual_until },
            version: 1,
        })
    }

    fn validity(&self, from: Option<&str>, until: Option<&str>) -> Result<(i64, i64), Unlike> {
        let starts = self.scenario.starts;
        let from = moment::parse_or(from, starts - VALID_BEFORE_MS)?;
        Ok((from, moment::parse_or(until, starts + VALID_AFTER_MS)?))
    }

    /// Registers entries, both administrators signing each; all are sent before the first answer is looked at.
    fn register(&mut self, entries: &[EntryForm]) -> Result<(), Unlike> {
        let [first, second] = ADMINS;
        let (mut pending, mut records) = (Vec::new(), Vec::new());
        for entry in entries {
            let put = self.sign(first, REGISTRY, &encode(entry), self.platform.id())?;
            let signed = self.sign(second, Kind::COUNTERSIGN, put.record_id().as_bytes(), self.platform.id())?;
            for record in [put, signed] {
                pending.push(self.appender.append(record.bytes()).map_err(|error| Unlike::broken(&error))?);
            }
            records.push((entry.registry.clone(), entry.id.clone()));
        }
        let mut seqs = Vec::new();
        for pending in pending {
            seqs.push(pending.wait().map_err(|error| Unlike::broken(&error))?.seq);
        }
        for (seqs, (registry, id)) in seqs.chunks(2).zip(records) {
            let last = seqs.last().copied().unwrap_or_default();
            match self.platform.outcome(last)? {
                Status::Accepted => {}
                Status::Waiting(_) | Status::Refused(_) => {
                    let first = self.platform.outcome(seqs.first().copied().unwrap_or_default())?;
                    return Err(Unlike::new(format!("{registry} {id} is registered"), told(&first)));
                }
            }
        }
        Ok(())
    }

    /// Signs a record with a person's key and next nonce.
    pub(super) fn sign(
        &mut self,
        who: &str,
        kind: Kind,
        payload: &[u8],
        ledger: LedgerId,
    ) -> Result<annals::SignedRecord, Unlike> {
        debug_assert!(payload.len() <= 2 * CASE_PAYLOAD_MAX, "scenarios are short");
        let nonce = self.nonces.entry(who.to_owned()).or_default();
        *nonce += 1;
        let builder = RecordBuilder::new(ledger, kind).nonce(*nonce).claimed_time_ms(self.clock.now_ms());
        let builder = if kind.is_engine() { builder.unsalted() } else { builder };
        builder.sign(&key(who), payload).map_err(|error| Unlike::broken(&error))
    }

    /// Submits a record as everybody does, or without the check before ordering.
    pub(super) fn deliver(&mut self, bytes: &[u8], is_checked: Checked) -> Result<Delivered, Unlike> {
        self.platform.catch_up()?;
        let reader = self.platform.ledger().reader();
        let before = reader.next_seq();
        let submitted = match is_checked {
            Checked::First => self.platform.submit(&mut self.appender, bytes),
            Checked::Not => self.platform.submit_unchecked(&mut self.appender, bytes),
        };
        self.platform.catch_up()?;
        let (mut ack, mut by_contracts) = (None, false);
        let status = match submitted {
            Ok(submitted) => {
                ack = Some(submitted.ack);
                submitted.status
            }
            Err(SubmitError::Refused(refused)) => {
                by_contracts = true;
                Status::Refused(refused)
            }
            Err(SubmitError::Ledger(refusal)) => {
                Status::Refused(Refused::new(refusal.code(), &[], refusal.to_string()))
            }
            Err(error @ SubmitError::Platform(_)) => return Err(Unlike::broken(&error)),
        };
        let record = annals::Record::parse(bytes).map_err(|error| Unlike::broken(&error))?;
        let next_seq = (before, reader.next_seq());
        let (author, kind, record) = (record.head.author, record.head.kind, record.record_id());
        Ok(Delivered { record, author, kind, ack, status, by_contracts, next_seq })
    }
}

/// Whether a submission is held against the newest state before it is ordered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Checked {
    First,
    Not,
}

/// A status in words.
pub(super) fn told(status: &Status) -> String {
    match status {
        Status::Accepted => "accepted".to_owned(),
        Status::Waiting(count) => format!("waiting for {count} further signatures"),
        Status::Refused(refused) => format!("refused, {}: {refused}", refused.code),
    }
}

/// Definitions of a service, by the acts that open their cases; of two with one act the first.
fn opening(service: &Service) -> BTreeMap<String, String> {
    let mut opening = BTreeMap::new();
    for definition in &service.definitions {
        let Ok(definition) = serde_json::from_slice::<Definition>(&definition.encode()) else { continue };
        for transition in definition.transitions.iter().filter(|transition| transition.from.is_empty()) {
            opening.entry(transition.name.clone()).or_insert_with(|| definition.name.clone());
        }
    }
    opening
}
