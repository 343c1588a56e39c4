//! Looking: cases and what they hang on, from state and the rows beside it.

use super::{PlatformError, View};
use crate::definition::Compiled;
use crate::keys;
use crate::policy::{self, Policy};
use crate::registry::{self, Entry};
use crate::state::{State, StateError};
use crate::value::Value;
use crate::workflow::{self, Instance};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Rows that are read at a time.
const ROWS_AT_A_TIME: usize = 1024;
/// Acts of one trace at most.
pub const TRACE_MAX: usize = 4096;

/// An act of a case, as it is kept beside state.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ActRow {
    /// The transition.
    pub act: String,
    /// What was attached.
    pub attachments: Vec<AttachedRow>,
    /// The state before.
    pub from: String,
    /// Height of the block in which it happened.
    pub height: u64,
    /// Its number in the case, from 1.
    pub number: u32,
    /// Acts that it rests on or corrects.
    pub parents: Vec<String>,
    /// The record that asked for it; empty if it happened by itself.
    pub record: String,
    /// Seq at which it happened: that of the last signature.
    pub seq: u64,
    /// Officers who signed.
    pub signers: Vec<String>,
    /// When, ms since the Unix epoch.
    pub time: i64,
    /// The state after.
    pub to: String,
}

/// A document that was attached.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AttachedRow {
    /// Its BLAKE3.
    pub hash: String,
    /// Its name.
    pub name: String,
}

/// Which cases to list.
#[derive(Clone, Debug, Default)]
pub struct CaseFilter {
    /// Of the agency that has them now.
    pub agency: Option<String>,
    /// In this state.
    pub state: Option<String>,
    /// Those that are not closed.
    pub open: bool,
    /// Behind this one, as `AGENCY/NUMBER`, in the order of the list.
    pub after: Option<String>,
}

/// A period that was, or is, exceeded.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Overdue {
    /// The case.
    pub case: String,
    /// The agency that has it now.
    pub agency: String,
    /// Its state.
    pub state: String,
    /// The deadline, or task.
    pub name: String,
    /// When it ended, ms since the Unix epoch.
    pub due: i64,
    /// Until when it is counted: when what was due was done, or the moment asked for.
    pub until: i64,
    /// Whether it still is.
    pub open: bool,
}

/// One act of a trace.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct TraceLine {
    /// How many steps from the case that was asked for.
    pub depth: u32,
    /// The case.
    pub case: String,
    /// The act.
    pub act: ActRow,
}

impl View {
    /// A case, by agency and number.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if state can't be read.
    pub fn case(&self, agency: &str, number: &str) -> Result<Option<Instance>, PlatformError> {
        self.instance(&keys::case(agency, number))
    }

    pub(super) fn instance(&self, key: &[u8]) -> Result<Option<Instance>, PlatformError> {
        let bytes = self.state().get(key)?;
        let read = |bytes: &[u8]| Instance::read(bytes).map_err(|problem| StateError::damaged(key, &problem));
        Ok(bytes.map(|bytes| read(&bytes)).transpose()?)
    }

    /// The definition that a case runs under.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if state can't be read.
    pub fn definition_of(&self, instance: &Instance) -> Result<Arc<Compiled>, PlatformError> {
        self.look(|draft| workflow::compiled(draft, &instance.definition, instance.version))
    }

    /// What everybody may see of a case: the fields that its definition publishes and that are set.
    ///
    /// None of a case that is not shown, as of one that there is not: nobody can tell the two apart.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if state can't be read.
    pub fn published(&self, agency: &str, number: &str) -> Result<Option<BTreeMap<String, Value>>, PlatformError> {
        let Some(instance) = self.case(agency, number)? else { return Ok(None) };
        let compiled = self.definition_of(&instance)?;
        if workflow::is_secret(&compiled, &instance) {
            return Ok(None);
        }
        let fields = &compiled.definition().publication.fields;
        let set = fields.iter().filter_map(|name| Some((name.clone(), instance.data.get(name)?.clone())));
        Ok(Some(set.collect()))
    }

    /// Cases in the order of agency and number, at most so many.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if state can't be read.
    pub fn cases(&self, filter: &CaseFilter, most: usize) -> Result<Vec<Instance>, PlatformError> {
        let start =
            filter.after.as_deref().and_then(keys::parse_case).map(|(agency, number)| keys::case(agency, number));
        let start = start.map_or_else(|| keys::case_row(b""), |after| [keys::case_row(&after), vec![0]].concat());
        let mut found = Vec::new();
        self.each_row(start, &keys::after(b"c"), |row| {
            let Some(instance) = self.instance(row.get(1..).unwrap_or_default())? else { return Ok(true) };
            let fits = filter.agency.as_ref().is_none_or(|agency| *agency == instance.agency)
                && filter.state.as_ref().is_none_or(|state| *state == instance.state)
                && (!filter.open || !self.definition_of(&instance)?.is_final(&instance.state));
            if fits {
                found.push(instance);
            }
            Ok(found.len() < most)
        })?;
        Ok(found)
    }

    /// Hands the keys of rows of a range on until one is enough.
    pub(super) fn each_row(
        &self,
        mut from: Vec<u8>,
        to: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<bool, PlatformError>,
    ) -> Result<(), PlatformError> {
        loop {
            let rows = self.state().rows(&from, to, ROWS_AT_A_TIME)?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            from = [&last[..], &[0]].concat();
            for (row, _) in &rows {
                if !take(row)? {
                    return Ok(());
                }
            }
        }
    }

    /// The acts of a case, in order.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if state can't be read.
    pub fn history(&self, instance: &Instance) -> Result<Vec<ActRow>, PlatformError> {
        let key = instance.key();
        let missing = |number| StateError::damaged(&keys::act_row(&key, number), "is missing").into();
        (1..=instance.acts).map(|number| self.act(&key, number)?.ok_or_else(|| missing(number))).collect()
    }

    fn act(&self, case: &[u8], number: u32) -> Result<Option<ActRow>, PlatformError> {
        let key = keys::act_row(case, number);
        let read =
            |bytes: &[u8]| serde_json::from_slice(bytes).map_err(|error| StateError::damaged(&key, &error.to_string()));
        Ok(self.state().row(&key)?.map(|bytes| read(&bytes)).transpose()?)
    }

    /// Periods that were exceeded by a moment, those first that ended first: of open ones until then, of others until what was due was
    /// done.
    ///
    /// Those count too whose time has come without a record that marked it, or would come by a moment ahead.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if state can't be read.
    pub fn overdue(&self, agency: Option<&str>, now_ms: i64, most: usize) -> Result<Vec<Overdue>, PlatformError> {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        let mut take = |key: &[u8]| {
            if !seen.insert(key.to_owned()) {
                return Ok(true);
            }
            let Some(instance) = self.instance(key)? else { return Ok(true) };
            if agency.is_none_or(|agency| agency == instance.agency) {
                let compiled = self.definition_of(&instance)?;
                found.extend(overdue_of(&instance, &compiled, now_ms));
            }
            // Rows come in another order than this one: all are looked at, and no more kept than are asked for.
            if most.saturating_mul(2).max(ROWS_AT_A_TIME) < found.len() {
                first_overdue(&mut found, most);
            }
            Ok(true)
        };
        self.each_row(keys::overdue_row(b""), &keys::after(b"v"), |row| take(row.get(1..).unwrap_or_default()))?;
        let (from, to) = keys::due_range(now_ms);
        self.each_row(from, &to, |row| keys::parse_due_row(row).map_or(Ok(true), |(_, key, _)| take(&key)))?;
        first_overdue(&mut found, most);
        Ok(found)
    }

    /// A case traced to its sources: its acts, and whatever they rest on or correct, in this and other cases.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if state can't be read.
    pub fn trace(&self, instance: &Instance) -> Result<Vec<TraceLine>, PlatformError> {
        let (mut lines, mut seen) = (Vec::new(), BTreeSet::new());
        for act in self.history(instance)? {
            self.trace_act(0, &instance.name(), act, &mut lines, &mut seen)?;
        }
        Ok(lines)
    }

    fn trace_act(
        &self,
        depth: u32,
        case: &str,
        act: ActRow,
        lines: &mut Vec<TraceLine>,
        seen: &mut BTreeSet<(String, u32)>,
    ) -> Result<(), PlatformError> {
        let mut waiting = vec![(depth, case.to_owned(), act)];
        while let Some((depth, case, act)) = waiting.pop() {
            if TRACE_MAX <= lines.len() {
                return Ok(());
            }
            let is_known = !seen.insert((case.clone(), act.number)) && depth == 0;
            for parent in act.parents.iter().rev() {
                let (other, number) = parent.rsplit_once('#').unwrap_or((parent, ""));
                let other = if other.is_empty() { &case } else { other };
                let (Some((agency, name)), Ok(number)) = (keys::parse_case(other), number.parse()) else { continue };
                if let Some(parent) = self.act(&keys::case(agency, name), number)?.filter(|_| depth < 64) {
                    waiting.push((depth + 1, other.to_owned(), parent));
                }
            }
            if !is_known {
                lines.push(TraceLine { depth, case, act });
            }
        }
        Ok(())
    }

    /// The version of a registry entry that held behind a seq; the newest if none is given.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if state can't be read.
    pub fn entry(&self, registry: &str, id: &str, seq: Option<u64>) -> Result<Option<Arc<Entry>>, PlatformError> {
        self.look(|draft| registry::entry_at(draft, registry, id, seq.unwrap_or(u64::MAX)))
    }

    /// The grants on an action that held behind a seq; the newest if none is given.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if state can't be read.
    pub fn policy(&self, action: &str, seq: Option<u64>) -> Result<Arc<Policy>, PlatformError> {
        self.look(|draft| policy::policy_at(draft, action, seq.unwrap_or(u64::MAX)))
    }

    /// What happened in a block, and what became of its records: the list that state commits to.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if state can't be read.
    pub fn block_list(&self, height: u64) -> Result<Vec<Value>, PlatformError> {
        block_list(&self.state, height)
    }
}

/// What became of a block's records, and what happened in it.
pub(super) fn block_list(state: &State, height: u64) -> Result<Vec<Value>, PlatformError> {
    let (from, to) = (keys::list_row(height, 0), keys::after(&keys::list_row(height, u32::MAX)));
    let mut list = Vec::new();
    for (key, piece) in state.rows(&from, &to, usize::MAX)? {
        let piece = Value::parse(&piece).map_err(|error| StateError::damaged(&key, &error.to_string()))?;
        let Value::List(entries) = piece else {
            return Err(StateError::damaged(&key, &format!("is {}, no list", piece.type_name())).into());
        };
        list.extend(entries);
    }
    Ok(list)
}

/// Leaves those that ended first, in that order.
fn first_overdue(found: &mut Vec<Overdue>, most: usize) {
    found.sort_by(|one, other| (one.due, &one.case, &one.name).cmp(&(other.due, &other.case, &other.name)));
    found.truncate(most);
}

/// A right that lapsed with its time, by an act of its own, is not overdue.
fn overdue_of(instance: &Instance, compiled: &Compiled, now_ms: i64) -> Vec<Overdue> {
    let one = |name: &str, due: i64, until: i64, open: bool| Overdue {
        case: instance.name(),
        agency: instance.agency.clone(),
        state: instance.state.clone(),
        name: name.to_owned(),
        due,
        until,
        open,
    };
    let is_duty = |name: &&String| compiled.deadline(name).is_none_or(|deadline| deadline.act.is_none());
    let duties = instance.due.iter().filter(|(name, _)| is_duty(name));
    let periods = duties.chain(instance.tasks.iter().filter_map(|(name, task)| Some((name, task.due.as_ref()?))));
    let running = periods.filter(|(_, period)| (period.passed || period.runs()) && period.at <= now_ms);
    let running = running.map(|(name, period)| one(name, period.at, now_ms, true));
    let ended = instance.late.iter().filter(|late| late.due <= now_ms);
    running.chain(ended.map(|late| one(&late.name, late.due, late.done.min(now_ms), now_ms < late.done))).collect()
}
