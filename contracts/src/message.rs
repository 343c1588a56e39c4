//! Messages: what a contract record says, read from its payload.
//!
//! Every kind has one form, checked before any contract sees it: canonical, bounded, with no field that the form does not name.
//! Who says it is the record's verified author, never a name in the payload.

use crate::keys::{ID_WORDS, is_hash, is_id, is_name, parse_case};
use crate::outcome::Refused;
use crate::value::Value;
use annals::{AuthorId, Kind, RecordId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Begins a platform: the record of seq 1, by its host.
pub const PLATFORM: Kind = Kind(0x1_0000);
/// Registers something, or changes what is registered.
pub const REGISTRY: Kind = Kind(0x1_0001);
/// Grants and withdraws.
pub const POLICY: Kind = Kind(0x1_0002);
/// Deploys a version of a definition, or the form of a registry.
pub const DEFINITION: Kind = Kind(0x1_0003);
/// Acts in a case.
pub const CASE: Kind = Kind(0x1_0010);
/// Notes that somebody tried what he may not: by the host, so that it is known.
pub const ATTEMPT: Kind = Kind(0x1_0020);

/// Bytes of a record that acts in a case, at most; documents are attached by their hash.
pub const CASE_PAYLOAD_MAX: usize = 64 << 10;
/// Attachments and parents that one record may name, each.
pub const REFERENCES_MAX: usize = 256;

/// Whether records of a kind are for contracts.
pub const fn is_contract(kind: Kind) -> bool {
    matches!(kind, PLATFORM | REGISTRY | POLICY | DEFINITION | CASE | ATTEMPT | Kind::COUNTERSIGN)
}

/// A contract record: what it says, and who says it.
#[derive(Clone, Debug)]
pub struct Message {
    /// The record.
    pub record: RecordId,
    /// Its author, whose signature holds.
    pub author: AuthorId,
    /// What it says.
    pub body: Body,
}

/// What a record says.
#[derive(Clone, Debug)]
pub enum Body {
    /// Begin the platform.
    Platform(Value),
    /// Put a registry entry.
    Registry(EntryForm),
    /// Set an action's grants.
    Policy(PolicyForm),
    /// Deploy a definition.
    Definition(Value),
    /// Act in a case.
    Case(Act),
    /// Sign a record too.
    Countersign(RecordId),
    /// Note a refused attempt.
    Attempt(AttemptForm),
}

/// An act in a case, as its record's payload says it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// The transition.
    pub act: String,
    /// Documents, by their hash.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<AttachedForm>,
    /// The case: `AGENCY/NUMBER`.
    pub case: String,
    /// What the form asks for.
    #[serde(default, skip_serializing_if = "is_empty_map")]
    pub data: Value,
    /// Of an act that opens a case: the definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// Acts that this one rests on or corrects: `#3` of the same case, or `AGENCY/NUMBER#3`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<String>,
}

/// A document that is attached.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AttachedForm {
    /// BLAKE3 of the document, in hexadecimal.
    pub hash: String,
    /// Which of the documents that the definition asks for.
    pub name: String,
    /// Its bytes.
    pub size: u64,
}

/// A registry entry, as its record's payload says it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EntryForm {
    /// What it says.
    pub data: Value,
    /// From when it is valid, ms since the Unix epoch.
    pub from: i64,
    /// Its id.
    pub id: String,
    /// Whether it is valid.
    pub status: EntryStatus,
    /// The registry.
    #[serde(rename = "type")]
    pub registry: String,
    /// Until when, exclusive.
    pub until: i64,
    /// Its version: one more than the one there is, so that of two who change it at once one is refused.
    pub version: u64,
}

/// Whether a registry entry is valid.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryStatus {
    /// Within its time.
    Valid,
    /// Not for now.
    Suspended,
    /// Never again.
    Revoked,
}

/// An action's grants, as their record's payload says them.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyForm {
    /// The action: a definition's name, or `registry/` and a registry's.
    pub action: String,
    /// All grants on it from now on.
    pub grants: Vec<Grant>,
    /// One more than the version there is.
    pub version: u64,
}

/// Who may do what, until when.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Transitions, or `*`.
    pub acts: Vec<String>,
    /// The agency of those who may, or `*`.
    pub agency: String,
    /// From when, ms since the Unix epoch.
    #[serde(default)]
    pub from: i64,
    /// The role of those who may.
    pub role: String,
    /// Until when, exclusive.
    #[serde(default = "for_ever")]
    pub until: i64,
}

const fn for_ever() -> i64 {
    crate::value::INTEGER_MAX
}

/// A note on a refused attempt.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AttemptForm {
    /// Who tried.
    pub author: String,
    /// In which case, if in one.
    pub case: String,
    /// Why it was refused.
    pub code: String,
    /// The record that was refused and never ordered.
    pub record: String,
}

fn is_empty_map(value: &Value) -> bool {
    value.as_map().is_some_and(BTreeMap::is_empty)
}

impl Default for Value {
    fn default() -> Self {
        Self::Map(BTreeMap::new())
    }
}

impl Act {
    /// Agency and number of the case.
    pub fn case_parts(&self) -> Option<(&str, &str)> {
        parse_case(&self.case)
    }

    /// The payload that says it.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }
}

/// The canonical payload of a form.
///
/// What state makes of a form may be a little larger and deeper than the payload that said it, so nothing is bounded here: whoever
/// puts it into state, or orders it, bounds it.
///
/// # Panics
///
/// If a form holds what values leave out, `null` and fractions: none does.
#[expect(clippy::expect_used, reason = "forms are ours, and a form that was left out would be stored as nothing")]
pub fn encode<T: Serialize>(form: &T) -> Vec<u8> {
    // serde writes fields as declared; the canonical order is the value's.
    let value = serde_json::to_value(form).ok().and_then(of_json);
    value.expect("a form holds nothing that values leave out").encode()
}

fn of_json(json: serde_json::Value) -> Option<Value> {
    use serde_json::Value as Json;
    Some(match json {
        Json::Bool(truth) => Value::Bool(truth),
        Json::Number(number) => Value::Integer(number.as_i64()?),
        Json::String(text) => Value::Text(text),
        Json::Array(items) => Value::List(items.into_iter().map(of_json).collect::<Option<_>>()?),
        Json::Object(fields) => {
            let field = |(name, value)| Some((name, of_json(value)?));
            Value::Map(fields.into_iter().map(field).collect::<Option<_>>()?)
        }
        Json::Null => return None,
    })
}

impl Message {
    /// Reads a contract record.
    ///
    /// # Errors
    ///
    /// [`Refused`] if its payload has not its kind's form.
    pub fn read(kind: Kind, record: RecordId, author: AuthorId, payload: &[u8]) -> Result<Self, Refused> {
        let body = match kind {
            Kind::COUNTERSIGN => {
                let id = payload.try_into().map_err(|_| form("a countersign record holds 32 bytes"))?;
                Body::Countersign(RecordId::from_bytes(id))
            }
            PLATFORM => Body::Platform(canonical(payload)?),
            DEFINITION => Body::Definition(canonical(payload)?),
            REGISTRY => Body::Registry(read(payload)?),
            POLICY => Body::Policy(read(payload)?),
            ATTEMPT => Body::Attempt(read_attempt(payload)?),
            CASE => Body::Case(read_act(payload)?),
            other => return Err(form(&format!("kind {} is none that contracts know", other.0))),
        };
        Ok(Self { record, author, body })
    }
}

fn form(problem: &str) -> Refused {
    Refused::new("payload.form", &[], problem)
}

fn canonical(payload: &[u8]) -> Result<Value, Refused> {
    Value::parse(payload).map_err(|error| {
        let code = if error.code() == "value.not_canonical" { "payload.not_canonical" } else { "payload.form" };
        Refused::new(code, &[], error.to_string())
    })
}

fn read<T: for<'de> Deserialize<'de>>(payload: &[u8]) -> Result<T, Refused> {
    canonical(payload)?.read().map_err(|error| form(&format!("the payload has not its form: {error}")))
}

/// A note is bounded as what it is about is: all of it goes into an event.
fn read_attempt(payload: &[u8]) -> Result<AttemptForm, Refused> {
    let attempt: AttemptForm = read(payload)?;
    let is_about = attempt.case.is_empty() || parse_case(&attempt.case).is_some();
    if is_about && is_hash(&attempt.author) && is_hash(&attempt.record) && is_id(&attempt.code) {
        return Ok(attempt);
    }
    Err(form("a note names an author, a record, a code, and the case if there is one"))
}

fn read_act(payload: &[u8]) -> Result<Act, Refused> {
    if CASE_PAYLOAD_MAX < payload.len() {
        let words = format!("{} bytes are more than {CASE_PAYLOAD_MAX}; attach documents by their hash", payload.len());
        return Err(Refused::new("payload.too_large", &[], words));
    }
    let act: Act = read(payload)?;
    if act.case_parts().is_none() {
        return Err(form(&format!("case is AGENCY/NUMBER, each of {ID_WORDS}")));
    }
    if act.definition.as_deref().is_some_and(|name| !is_name(name)) {
        return Err(form("definition is a name: lower-case letters, digits, _ and -"));
    }
    if REFERENCES_MAX < act.attachments.len() || REFERENCES_MAX < act.parents.len() {
        return Err(form("more than 256 attachments or parents"));
    }
    if let Some(wrong) = act.attachments.iter().find(|attached| !is_id(&attached.name)) {
        return Err(form(&format!("attachment {:?}: a name is {ID_WORDS}", wrong.name)));
    }
    if let Some(wrong) = act.attachments.iter().find(|attached| !is_hash(&attached.hash)) {
        let problem = "has no BLAKE3 hash of 64 lower-case hexadecimal digits; `b3sum FILE` prints it";
        return Err(form(&format!("attachment {}: {problem}", wrong.name)));
    }
    Ok(act)
}
