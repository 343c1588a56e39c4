//! Instances: a case as state holds it, and the form in which it is hashed.
//!
//! Bounded whatever happens in the case: it counts acts and chains them by hash instead of listing them; the acts themselves are rows
//! beside state, which the chain verifies. Its fields are declared in the order of their names, so that serde writes its canonical form.

use crate::days::Day;
use crate::draft::{Draft, Stop};
use crate::keys;
use crate::message::Act;
use crate::outcome::Refused;
use crate::value::{VALUE_SIZE_MAX, Value};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Acts of one case at most.
pub(crate) const ACTS_MAX: u32 = 65_536;

/// Bytes of a case behind a signed act at most: so much less than state holds that what happens by itself always fits.
const SIZE_MAX: usize = VALUE_SIZE_MAX - (64 << 10);

/// Exceeded periods that a case remembers; further ones are in its acts.
const LATE_MAX: usize = 64;

/// A case.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Instance {
    /// Acts so far; they are numbered from 1.
    pub acts: u32,
    /// The agency that goes on with it.
    pub agency: String,
    /// What its records have set.
    pub data: BTreeMap<String, Value>,
    /// The definition it runs under.
    pub definition: String,
    /// How often each transition has happened.
    pub done: BTreeMap<String, u32>,
    /// Its periods, running and passed.
    pub due: BTreeMap<String, Period>,
    /// Holds, and the act that placed each.
    pub holds: BTreeMap<String, u32>,
    /// Periods that were exceeded before what was due was done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub late: Vec<Late>,
    /// Its number at the agency that opened it.
    pub number: String,
    /// Seq of the record that opened it.
    pub opened: u64,
    /// The agency that opened it.
    pub origin: String,
    /// An act that waits for signatures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// Officers who may not act in it.
    pub recused: BTreeSet<String>,
    /// Its state; empty before it is opened.
    pub state: String,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Open tasks.
    pub tasks: BTreeMap<String, OpenTask>,
    /// Hash chain over its acts, in hexadecimal.
    pub trail: String,
    /// The definition's version.
    pub version: u64,
}

/// A period that runs, stands still, or has passed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Period {
    /// The first moment after it, ms since the Unix epoch; what it was before it stood still.
    pub at: i64,
    /// Its length in its unit, or what was left of it when it went on.
    pub days: i64,
    /// The day of the event that began it, or on which it went on.
    pub from: i64,
    /// Whether its days are calendar days, though its unit is months: a part of a month is none.
    #[serde(default, skip_serializing_if = "is_false")]
    pub in_days: bool,
    /// Days left, if it stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<i64>,
    /// Whether it has passed.
    pub passed: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_false(truth: &bool) -> bool {
    !*truth
}

impl Period {
    /// Whether its end is still to come, and it runs.
    pub const fn runs(&self) -> bool {
        !self.passed && self.left.is_none()
    }

    /// The day behind which its days count.
    pub const fn event(&self) -> Day {
        Day(self.from)
    }
}

/// A period that was exceeded.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Late {
    /// When what was due was done, ms since the Unix epoch.
    pub done: i64,
    /// When the period ended.
    pub due: i64,
    /// The deadline or task.
    pub name: String,
}

/// A task that is open.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct OpenTask {
    /// The act that opened it.
    pub act: u32,
    /// Until when it is to be done; none: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Period>,
}

/// An act that waits for signatures.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Pending {
    /// What it asks for.
    pub act: Act,
    /// Its record.
    pub record: String,
    /// Its seq.
    pub seq: u64,
    /// Keys of those who have signed, its author first.
    pub signers: Vec<String>,
    /// Since when its author has kept the case waiting without a break, ms since the Unix epoch.
    pub since: i64,
}

impl Instance {
    /// A case that is not opened yet.
    pub(crate) fn new(agency: &str, number: &str, definition: &str, version: u64) -> Self {
        Self {
            acts: 0,
            agency: agency.to_owned(),
            data: BTreeMap::new(),
            definition: definition.to_owned(),
            done: BTreeMap::new(),
            due: BTreeMap::new(),
            holds: BTreeMap::new(),
            late: Vec::new(),
            number: number.to_owned(),
            opened: 0,
            origin: agency.to_owned(),
            pending: None,
            recused: BTreeSet::new(),
            state: String::new(),
            suspended: false,
            tasks: BTreeMap::new(),
            trail: String::new(),
            version,
        }
    }

    /// Its name: `AGENCY/NUMBER`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.origin, self.number)
    }

    /// Where it stands in state.
    pub(crate) fn key(&self) -> Vec<u8> {
        keys::case(&self.origin, &self.number)
    }

    /// The case under a key, to be changed and saved.
    pub(crate) fn load(draft: &mut Draft<'_>, key: &[u8]) -> Result<Option<Self>, Stop> {
        draft.decoded_for_change(key, Self::read)
    }

    /// The case under a key, to be looked at.
    pub(crate) fn look(draft: &mut Draft<'_>, key: &[u8]) -> Result<Option<Arc<Self>>, Stop> {
        draft.decoded(key, Self::read)
    }

    /// Reads what state holds of a case.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }

    /// What state holds of it.
    #[expect(clippy::expect_used, reason = "maps by text and no fraction: nothing that JSON can't say")]
    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a case is JSON")
    }

    /// Puts it into state behind a signed act.
    pub(crate) fn save(self, draft: &mut Draft<'_>) -> Result<(), Stop> {
        let bytes = self.encode();
        if SIZE_MAX < bytes.len() {
            let words = format!("the case would have {} bytes, more than {SIZE_MAX}; open a further case", bytes.len());
            return Err(Refused::new("contract.too_large", &[], words).into());
        }
        draft.put_decoded(self.key(), bytes, &Arc::new(self))
    }

    /// Puts it into state behind what happened by itself, which nobody can be told to do otherwise.
    pub(crate) fn save_by_itself(self, draft: &mut Draft<'_>) -> Result<(), Stop> {
        let bytes = self.encode();
        draft.put_decoded(self.key(), bytes, &Arc::new(self))
    }

    /// Adds an act to its chain; returns the act's number.
    pub(crate) fn add_act(&mut self, seq: u64, record: &str, transition: &str) -> u32 {
        self.acts += 1;
        *self.done.entry(transition.to_owned()).or_default() += 1;
        let mut hash = Sha256::new();
        for part in [self.trail.as_bytes(), &seq.to_le_bytes(), record.as_bytes(), transition.as_bytes()] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(part);
        }
        self.trail = annals::Hex(&hash.finalize()).to_string();
        self.acts
    }

    /// Notes that something was done after its time.
    pub(crate) fn note_late(&mut self, name: &str, period: &Period, time_ms: i64) {
        if period.passed && self.late.len() < LATE_MAX {
            self.late.push(Late { done: time_ms, due: period.at, name: name.to_owned() });
        }
    }

    /// What guards see of it.
    pub(crate) fn value(&self) -> Value {
        let counts = self.done.iter().map(|(name, count)| (name.clone(), Value::Integer(i64::from(*count))));
        let due = self.due.iter().map(|(name, period)| (name.clone(), Value::Integer(period.at)));
        Value::map([
            ("acts", Value::Integer(i64::from(self.acts))),
            ("agency", Value::from(self.agency.as_str())),
            ("data", Value::Map(self.data.clone())),
            ("done", Value::Map(counts.collect())),
            ("due", Value::Map(due.collect())),
            ("holds", keys::texts(self.holds.keys())),
            ("number", Value::from(self.number.as_str())),
            ("opened", Value::Integer(i64::try_from(self.opened).unwrap_or(i64::MAX))),
            ("recused", keys::texts(&self.recused)),
            ("state", Value::from(self.state.as_str())),
            ("suspended", Value::Bool(self.suspended)),
            ("tasks", keys::texts(self.tasks.keys())),
        ])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// Whoever reads state in another language has one rule for all of it.
    #[test]
    fn what_state_holds_of_a_case_is_canonical() {
        let period = Period { at: 9, days: 3, from: 1, in_days: true, left: Some(2), passed: false };
        let mut case = Instance::new("SJ", "2025-017", "enforcement", 2);
        case.add_act(7, "00", "register");
        case.data.insert("title".to_owned(), Value::from("\u{1}\u{7f}占道\n\"\\"));
        case.due.insert("decision".to_owned(), period.clone());
        case.holds.insert("evidence".to_owned(), 1);
        case.late.push(Late { done: 8, due: 7, name: "response".to_owned() });
        case.recused.insert("SJ-1".to_owned());
        case.tasks.insert("ask".to_owned(), OpenTask { act: 1, due: Some(period) });
        let hash = "0".repeat(64);
        let act = Act {
            act: "file".to_owned(),
            attachments: vec![crate::message::AttachedForm { hash, name: "report".to_owned(), size: 3 }],
            case: case.name(),
            data: Value::map([("major", Value::Bool(true))]),
            definition: Some("enforcement".to_owned()),
            parents: vec!["#1".to_owned()],
        };
        let signers = vec!["ab".to_owned()];
        case.pending = Some(Pending { act, record: "cd".to_owned(), seq: 9, signers, since: 5 });
        let bytes = case.encode();
        assert_eq!(Value::parse(&bytes).unwrap().encode(), bytes);
        assert_eq!(Instance::read(&bytes).unwrap(), case);
    }
}
