//! Who acts in the bench's cases: agencies with two investigators and a head each, one administrator, one matter for all.

use super::super::workload::fixed_key;
use crate::exit::CommandError;
use annals::{AuthorId, Kind, LedgerId, RecordBuilder, SigningKey};
use annals_contracts::message::{EntryForm, EntryStatus, REGISTRY, encode};
use annals_contracts::{Founding, Platform, Status, Value};
use std::path::Path;

/// People of an agency.
const AGENCY_SIZE: u32 = 3;

/// A key and its next nonce.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) badge: String,
    key: SigningKey,
    nonce: u64,
}

impl Person {
    fn new(badge: String, number: u32) -> Self {
        Self { badge, key: fixed_key(Some(number)), nonce: 0 }
    }

    pub(super) fn author(&self) -> AuthorId {
        self.key.public()
    }

    /// Signs a record.
    pub(super) fn sign(
        &mut self,
        ledger: LedgerId,
        kind: Kind,
        payload: &[u8],
    ) -> Result<annals::SignedRecord, CommandError> {
        self.nonce += 1;
        let builder = RecordBuilder::new(ledger, kind).nonce(self.nonce);
        let builder = if kind.is_engine() { builder.unsalted() } else { builder };
        Ok(builder.sign(&self.key, payload)?)
    }
}

/// An agency and its people.
#[derive(Debug)]
pub(super) struct Agency {
    pub(super) id: String,
    /// Two investigators and the head.
    pub(super) people: [Person; AGENCY_SIZE as usize],
}

/// Everybody.
#[derive(Debug)]
pub(super) struct People {
    pub(super) agencies: Vec<Agency>,
}

impl People {
    /// As many as these authors make.
    pub(super) fn new(authors: u32) -> Self {
        let agency = |number: u32| {
            let person = |index: u32| Person::new(format!("A{number}-{index}"), 1 + number * AGENCY_SIZE + index);
            Agency { id: format!("A{number}"), people: [person(0), person(1), person(2)] }
        };
        Self { agencies: (0..(authors / AGENCY_SIZE).max(1)).map(agency).collect() }
    }

    /// How the bench's platform is born: with one administrator, as no other should be.
    pub(super) fn founding(&self, ledger_key: &Path) -> Result<Founding, CommandError> {
        Ok(Founding {
            origin: "example.gov/bench".to_owned(),
            service: crate::command::services::find("enforcement")?,
            admins: vec![fixed_key(Some(0)).public()],
            threshold: 1,
            segment_size: annals::limits::SEGMENT_SIZE_DEFAULT,
            ledger_key: Some(ledger_key.to_owned()),
        })
    }

    /// Registers everybody.
    pub(super) fn register(&self, platform: &Platform) -> Result<(), CommandError> {
        let mut admin = Person::new("admin".to_owned(), 0);
        let mut appender = platform.appender()?;
        let mut put = |form: EntryForm| -> Result<(), CommandError> {
            let record = admin.sign(platform.id(), REGISTRY, &encode(&form))?;
            match platform.submit(&mut appender, record.bytes())?.status {
                Status::Accepted => Ok(()),
                Status::Waiting(_) | Status::Refused(_) => {
                    Err(CommandError::Bench("an entry of the bench was refused; report it"))
                }
            }
        };
        let ids = self.agencies.iter().map(|agency| Value::from(agency.id.as_str())).collect();
        for agency in &self.agencies {
            put(entry("agency", &agency.id, Value::map([("name", Value::from(agency.id.as_str()))])))?;
            for (person, role) in agency.people.iter().zip(["investigator", "investigator", "head"]) {
                let data = Value::map([
                    ("agency", Value::from(agency.id.as_str())),
                    ("officer", Value::from(person.badge.as_str())),
                    ("roles", Value::List(vec![Value::from(role)])),
                    ("scope", Value::List(vec![Value::from("food")])),
                ]);
                put(entry("credential", &person.author().to_string(), data))?;
                let data = Value::map([
                    ("agency", Value::from(agency.id.as_str())),
                    ("name", Value::from(person.badge.as_str())),
                ]);
                put(entry("officer", &person.badge, data))?;
            }
        }
        put(entry(
            "matter",
            "M",
            Value::map([
                ("agencies", Value::List(ids)),
                ("basis", Value::List(vec![Value::from("《中华人民共和国食品安全法》第三十四条第十项")])),
                ("field", Value::from("food")),
                ("title", Value::from("对经营超过保质期的食品的处罚")),
            ]),
        ))
    }
}

fn entry(registry: &str, id: &str, data: Value) -> EntryForm {
    let (registry, id, status) = (registry.to_owned(), id.to_owned(), EntryStatus::Valid);
    EntryForm { data, from: 0, id, registry, status, until: annals_contracts::value::INTEGER_MAX, version: 1 }
}
