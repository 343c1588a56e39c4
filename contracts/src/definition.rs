//! Definitions: a procedure as data. What a department writes; no code of it runs here.
//!
//! A workflow has states and the transitions between them: who must sign, what must be attached, what must hold (guards), which periods
//! of law begin and end, and what follows from it. [`Definition`] is its form, as TOML or JSON says it; [`Compiled`] is one that was
//! checked as a whole and whose guards are ready. Nothing but a compiled definition is ever applied.

mod check;
mod compile;
mod personal;

pub use check::{Fault, SIGNERS_MAX};
pub use compile::{Compiled, CompiledAttachment, CompiledLookup, CompiledTransition, Requirement, Surroundings};

use crate::label::Label;
use crate::schema::Fields;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A workflow: one procedure, one version of it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Its name: lower-case letters, digits, `_` and `-`.
    pub name: String,
    /// Its version, from 1, one more than the one before.
    pub version: u64,
    /// What people call it.
    pub label: Label,
    /// Field of the case that says in which field of work it lies; officers' credentials must cover it.
    #[serde(default)]
    pub scope_field: Option<String>,
    /// Calendar that periods are counted by: an entry of the registry `calendar`.
    #[serde(default)]
    pub calendar: Option<String>,
    /// Minutes that clocks are ahead of UTC where days are counted.
    #[serde(default = "crate::days::offset_default")]
    pub utc_offset_minutes: i64,
    /// Roles that credentials may carry.
    pub roles: BTreeMap<String, Label>,
    /// What a case remembers of its records, for guards and for those who look.
    #[serde(default)]
    pub case: Fields,
    /// Forms of the records' data, by name.
    #[serde(default)]
    pub payloads: BTreeMap<String, Payload>,
    /// The states.
    #[serde(rename = "state")]
    pub states: Vec<State>,
    /// The transitions.
    #[serde(rename = "transition")]
    pub transitions: Vec<Transition>,
    /// Periods of law.
    #[serde(default, rename = "deadline")]
    pub deadlines: Vec<Deadline>,
    /// What people are asked to do beside the case.
    #[serde(default, rename = "task")]
    pub tasks: Vec<Task>,
    /// What no path through the states may leave out.
    #[serde(default, rename = "invariant")]
    pub invariants: Vec<Invariant>,
    /// What the public may see.
    #[serde(default)]
    pub publication: Publication,
}

/// The form of a record's data.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// What people call the form.
    #[serde(default)]
    pub label: Label,
    /// Its fields.
    pub fields: Fields,
}

/// A state of a case.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub label: Label,
    /// Whether a case ends here: nothing then leads out but transitions that stay.
    #[serde(default, rename = "final")]
    pub is_final: bool,
}

/// What makes a transition happen.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A signed record.
    #[default]
    Signed,
    /// Its guard: as soon as it holds after another transition, in the same block.
    Automatic,
    /// A deadline that names it.
    Deadline,
}

/// A step from one state to another, or within one.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Transition {
    /// Its name: what a record asks for.
    pub name: String,
    /// What people call it.
    pub label: Label,
    /// The article of law that it rests on.
    #[serde(default)]
    pub article: String,
    /// What makes it happen.
    #[serde(default)]
    pub trigger: Trigger,
    /// States it may start from, `*` for all that are not final; none: it opens a case.
    #[serde(default)]
    pub from: Vec<String>,
    /// The state it leads to; none: the case stays where it is.
    #[serde(default)]
    pub to: Option<String>,
    /// Form of its data; none: no data.
    #[serde(default)]
    pub payload: Option<String>,
    /// Who must sign; all of them.
    #[serde(default)]
    pub signers: Vec<SignerRule>,
    /// What must be attached, by name.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// Registry entries that its guards read; of a signed one.
    #[serde(default)]
    pub lookup: Vec<Lookup>,
    /// What must hold.
    #[serde(default)]
    pub requires: Vec<Require>,
    /// Deadlines that must not have passed; of a signed one.
    #[serde(default)]
    pub before: Vec<String>,
    /// Holds that forbid it.
    #[serde(default)]
    pub blocked_by: Vec<String>,
    /// Whether it may happen while the case is suspended.
    #[serde(default)]
    pub when_suspended: bool,
    /// Whether it needs a record of this or another case that it corrects or rests on.
    #[serde(default)]
    pub needs_parent: bool,
    /// What follows from it.
    #[serde(default)]
    pub effects: Effects,
}

/// Signers of one role.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SignerRule {
    /// The role that their credentials must carry.
    pub role: String,
    /// How many different officers.
    #[serde(default = "one")]
    pub count: u32,
    /// Of which agency: `case`, `any`, or a field of the record as `record.to_agency`.
    #[serde(default = "of_the_case")]
    pub agency: String,
}

const fn one() -> u32 {
    1
}

fn of_the_case() -> String {
    "case".to_owned()
}

/// A document that must be attached by its content hash.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// Its name in the record.
    pub name: String,
    /// What people call it.
    pub label: Label,
    /// A guard: only if it holds must the document be there.
    #[serde(default)]
    pub when: Option<String>,
}

/// A registry entry that guards see under a name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// Its name in guards.
    #[serde(rename = "as")]
    pub name: String,
    /// The registry.
    #[serde(rename = "type")]
    pub registry: String,
    /// An expression that gives the entry's id.
    pub id: String,
    /// What is told if there is no valid entry.
    #[serde(rename = "else")]
    pub otherwise: Label,
}

/// Something that must hold, and what is told if it does not.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Require {
    /// The guard.
    pub that: String,
    /// What is missing, and what to do.
    #[serde(rename = "else")]
    pub otherwise: Label,
}

/// What follows from a transition.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Effects {
    /// Fields of the case and the expressions that give their values.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// Holds that it places.
    #[serde(default)]
    pub hold: Vec<String>,
    /// Holds that it releases.
    #[serde(default)]
    pub release: Vec<String>,
    /// Tasks that it opens.
    #[serde(default)]
    pub open: Vec<String>,
    /// Tasks that it completes.
    #[serde(default)]
    pub complete: Vec<String>,
    /// An expression that names an officer who may not act in the case any more.
    #[serde(default)]
    pub recuse: Option<String>,
    /// An expression that names the agency that goes on with the case.
    #[serde(default)]
    pub transfer_to: Option<String>,
    /// Stops the periods that run.
    #[serde(default)]
    pub suspend: bool,
    /// Lets them go on.
    #[serde(default)]
    pub resume: bool,
    /// Makes a period longer.
    #[serde(default)]
    pub extend: Option<Extension>,
}

/// Days added to a period that runs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    /// The deadline.
    pub deadline: String,
    /// Days, in the deadline's unit.
    pub days: i64,
}

/// How days are counted.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Every day; a period that ends on a day without work ends on the next one with work.
    Calendar,
    /// Days with work alone.
    Working,
    /// Months, to the day of the same number; one that ends on a day without work ends on the next one with work.
    Months,
}

/// A period of law.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Deadline {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub label: Label,
    /// The article that it comes from.
    pub article: String,
    /// How many days, or months, after the event's day.
    pub days: i64,
    /// How they are counted.
    pub unit: Unit,
    /// Transitions that begin it.
    pub starts_on: Vec<String>,
    /// Transitions that end it.
    #[serde(default)]
    pub ends_on: Vec<String>,
    /// States in which it stands still.
    #[serde(default)]
    pub pauses_in: Vec<String>,
    /// Whether it stands still while the case is suspended.
    #[serde(default = "yes")]
    pub pauses: bool,
    /// A task that opens when it passes.
    #[serde(default)]
    pub escalate: Option<String>,
    /// A transition that happens when it passes.
    #[serde(default)]
    pub act: Option<String>,
}

const fn yes() -> bool {
    true
}

/// What somebody is asked to do.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub label: Label,
    /// Whom it is for.
    pub role: String,
    /// Days until it is due; none: no limit.
    #[serde(default)]
    pub days: Option<i64>,
    /// How they are counted.
    #[serde(default = "calendar_days")]
    pub unit: Unit,
    /// A task that opens if it is not done in time.
    #[serde(default)]
    pub escalate: Option<String>,
}

const fn calendar_days() -> Unit {
    Unit::Calendar
}

/// A state that no path reaches without a transition: proved when the definition is deployed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Invariant {
    /// The state.
    pub state: String,
    /// A transition on every path to it.
    pub needs: String,
}

/// What the public may see of a case; nothing unless it says so.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    /// Fields of the case that may be shown; none that is personal.
    #[serde(default)]
    pub fields: Vec<String>,
    /// A guard: a case for which it holds is not shown at all.
    #[serde(default)]
    pub secret_when: Option<String>,
}
