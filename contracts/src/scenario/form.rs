//! The form of a scenario's file, as TOML says it. What is not named here is a fault, told with its line.

use crate::label::Label;
use crate::message::EntryStatus;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use toml::Spanned;

/// A scenario's file; of one that is shared, everything but people, entries and samples is missing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileForm {
    #[serde(default)]
    pub(super) row: Vec<String>,
    pub(super) title: Option<Label>,
    pub(super) starts: Option<String>,
    pub(super) city: Option<String>,
    #[serde(default)]
    pub(super) people: BTreeMap<String, PersonForm>,
    #[serde(default, rename = "entry")]
    pub(super) entries: Vec<EntryLine>,
    #[serde(default, rename = "sample")]
    pub(super) samples: BTreeMap<String, SampleForm>,
    #[serde(default, rename = "step")]
    pub(super) steps: Vec<Spanned<StepForm>>,
}

/// Somebody with a key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PersonForm {
    pub(super) officer: String,
    pub(super) agency: String,
    pub(super) roles: Vec<String>,
    pub(super) scope: Vec<String>,
    pub(super) status: Option<EntryStatus>,
    pub(super) from: Option<String>,
    pub(super) until: Option<String>,
    #[serde(default)]
    pub(super) unregistered: bool,
}

/// A registry entry; in a step all but its name may be left out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntryLine {
    #[serde(rename = "type")]
    pub(super) registry: String,
    pub(super) id: Option<String>,
    pub(super) person: Option<String>,
    pub(super) data: Option<toml::Table>,
    pub(super) status: Option<EntryStatus>,
    pub(super) from: Option<String>,
    pub(super) until: Option<String>,
    pub(super) version: Option<u64>,
}

/// A filled-in form of an act.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SampleForm {
    pub(super) by: Option<String>,
    #[serde(default)]
    pub(super) with: Vec<String>,
    #[serde(default)]
    pub(super) data: toml::Table,
    #[serde(default)]
    pub(super) attach: BTreeMap<String, String>,
}

/// A step: which of these go together is the verb's.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepForm {
    pub(super) zh: String,
    pub(super) en: String,
    pub(super) act: Option<String>,
    pub(super) sign: Option<String>,
    pub(super) run: Option<Vec<String>>,
    pub(super) at: Option<String>,
    pub(super) entry: Option<EntryLine>,
    pub(super) grants: Option<GrantsForm>,
    pub(super) deploy: Option<DeployLine>,
    pub(super) check: Option<CheckForm>,
    pub(super) prove: Option<ProveForm>,
    pub(super) race: Option<Vec<RaceForm>>,
    pub(super) replay: Option<bool>,
    pub(super) case: Option<String>,
    pub(super) by: Option<String>,
    pub(super) with: Option<Vec<String>>,
    pub(super) data: Option<toml::Table>,
    pub(super) attach: Option<BTreeMap<String, String>>,
    pub(super) parents: Option<Vec<String>>,
    pub(super) without: Option<Vec<String>>,
    pub(super) definition: Option<String>,
    pub(super) damaged: Option<Damage>,
    #[serde(rename = "as")]
    pub(super) name: Option<String>,
    pub(super) remember: Option<String>,
    pub(super) of: Option<String>,
    pub(super) until: Option<String>,
    pub(super) accepted: Option<usize>,
    pub(super) expect: Option<ExpectForm>,
    pub(super) refused: Option<String>,
    pub(super) says: Option<Vec<String>>,
    pub(super) when: Option<When>,
    pub(super) events: Option<Vec<String>>,
}

/// What may be expected beside a refusal.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum ExpectForm {
    Accepted,
    Waiting,
}

/// Whether a refusal comes before or after ordering.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum When {
    #[default]
    Before,
    After,
}

/// What is wrong with a record on purpose.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Damage {
    Signature,
    UnknownKey,
    Spacing,
    KeyOrder,
    DuplicateKey,
    Float,
    OtherLedger,
    Payload,
}

/// One of the acts of a race.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RaceForm {
    pub(super) act: String,
    pub(super) case: String,
    pub(super) by: Option<String>,
    pub(super) data: Option<toml::Table>,
}

/// All grants on an action.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantsForm {
    pub(super) action: String,
    pub(super) set: Vec<GrantForm>,
}

/// One grant.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantForm {
    pub(super) role: String,
    pub(super) acts: Vec<String>,
    #[serde(default = "everybody")]
    pub(super) agency: String,
}

fn everybody() -> String {
    "*".to_owned()
}

/// The next version of a definition.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeployLine {
    pub(super) definition: String,
    pub(super) version: u64,
    #[serde(default)]
    pub(super) after_blocks: u64,
    #[serde(default)]
    pub(super) change: Vec<ChangeForm>,
}

/// A change to a definition.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeForm {
    #[serde(rename = "in")]
    pub(super) place: Part,
    pub(super) name: Option<String>,
    pub(super) set: Option<toml::Table>,
    pub(super) add: Option<toml::Table>,
    #[serde(default)]
    pub(super) remove: bool,
}

/// A part of a definition.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Part {
    State,
    Transition,
    Deadline,
    Task,
    Invariant,
    Case,
    Payloads,
    Roles,
    Publication,
}

impl Part {
    /// Its key in a definition.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Transition => "transition",
            Self::Deadline => "deadline",
            Self::Task => "task",
            Self::Invariant => "invariant",
            Self::Case => "case",
            Self::Payloads => "payloads",
            Self::Roles => "roles",
            Self::Publication => "publication",
        }
    }
}

/// What is proved.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "prove is { case, act } or \"attempt\"")]
pub(super) enum ProveForm {
    Act(ProveAct),
    Word(String),
}

/// An act whose outcome is proved.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProveAct {
    pub(super) case: String,
    pub(super) act: String,
}

/// What must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckForm {
    pub(super) case: Option<String>,
    #[serde(default)]
    pub(super) absent: bool,
    pub(super) state: Option<String>,
    pub(super) agency: Option<String>,
    pub(super) suspended: Option<bool>,
    pub(super) acts: Option<u32>,
    pub(super) data: Option<toml::Table>,
    #[serde(default)]
    pub(super) data_absent: Vec<String>,
    pub(super) holds: Option<BTreeSet<String>>,
    pub(super) tasks: Option<BTreeSet<String>>,
    pub(super) recused: Option<BTreeSet<String>>,
    #[serde(default)]
    pub(super) due: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) not_due: Vec<String>,
    pub(super) overdue: Option<BTreeSet<String>>,
    #[serde(default)]
    pub(super) done: BTreeMap<String, u32>,
    pub(super) version: Option<u64>,
    pub(super) verifies: Option<String>,
    pub(super) trace: Option<TraceForm>,
    pub(super) overdue_of: Option<OverdueForm>,
    #[serde(default)]
    pub(super) attempts: Vec<AttemptLine>,
    pub(super) public: Option<toml::Table>,
    #[serde(default)]
    pub(super) public_absent: bool,
}

impl CheckForm {
    /// What is asked of a case that there is.
    fn asks_of_case(&self) -> bool {
        let lists = [self.data_absent.is_empty(), self.due.is_empty(), self.not_due.is_empty(), self.done.is_empty()];
        let texts = [&self.state, &self.agency, &self.verifies];
        let sets = [&self.holds, &self.tasks, &self.recused, &self.overdue];
        lists.contains(&false)
            || texts.iter().any(|text| text.is_some())
            || sets.iter().any(|set| set.is_some())
            || (self.suspended.is_some() || self.acts.is_some() || self.version.is_some())
            || (self.data.is_some() || self.trace.is_some())
    }

    /// Whether everything that it names is looked at.
    ///
    /// # Errors
    ///
    /// What would be passed over, in words.
    pub(super) fn checked(self) -> Result<Self, String> {
        let is_public = self.public.is_some() || self.public_absent;
        let is_empty = self.overdue_of.is_none() && self.attempts.is_empty();
        match (&self.case, self.absent) {
            (None, false) if !self.asks_of_case() && !is_public && !is_empty => Ok(self),
            (None, _) => Err("a check names a case, unless it is about overdue_of or attempts alone".to_owned()),
            (Some(_), true) if self.asks_of_case() => Err("a case that is absent has nothing else to check".to_owned()),
            (Some(_), false) if !self.asks_of_case() && !is_public && is_empty => {
                Err("a check says what must hold of its case".to_owned())
            }
            (Some(_), _) => Ok(self),
        }
    }
}

/// An act and all that it rests on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TraceForm {
    pub(super) from: String,
    pub(super) to: Vec<String>,
}

/// An agency's cases with something overdue.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OverdueForm {
    pub(super) agency: String,
    pub(super) cases: BTreeSet<String>,
}

/// A refused attempt.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AttemptLine {
    pub(super) by: String,
    pub(super) code: String,
}
