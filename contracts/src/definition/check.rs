//! What makes a definition inconsistent: found when it is deployed, all of it at once, and told with its place.
//!
//! States nobody reaches and states nobody leaves, names of nothing, deadlines without a calendar, holds that nobody places: each
//! would show itself years later in somebody's case. That no path to a state leaves a transition out is proved here by taking the
//! transition away and looking whether the state is reached all the same.

use super::compile::is_text;
use super::{Deadline, Definition, SignerRule, Surroundings, Transition, Trigger, Unit};
use crate::days::{OFFSET_MAX, PERIOD_DAYS_MAX, PERIOD_MONTHS_MAX};
use crate::keys::{is_id, is_name};
use crate::schema::Fields;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// States, transitions, deadlines and tasks of a definition at most, each.
const PARTS_MAX: usize = 256;
/// Guards that one transition may require: those of two automatic ones are compared each with each.
pub(super) const REQUIRES_MAX: usize = 16;
/// Signatures that one transition may ask for.
pub const SIGNERS_MAX: u32 = 8;

/// Something that is wrong with a definition.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Fault {
    /// Where: the part of the definition.
    pub at: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.at, self.problem)
    }
}

/// The faults found so far.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn find(&mut self, at: &str, problem: String) {
        self.0.push(Fault { at: at.to_owned(), problem });
    }

    pub(super) fn into_list(self) -> Vec<Fault> {
        self.0
    }
}

/// The names of a definition's parts.
struct Names<'a> {
    states: BTreeSet<&'a str>,
    transitions: BTreeSet<&'a str>,
    deadlines: BTreeSet<&'a str>,
    tasks: BTreeSet<&'a str>,
    holds: BTreeSet<&'a str>,
}

/// Finds everything that is wrong with a definition but its guards.
pub(super) fn check(definition: &Definition, surroundings: &Surroundings, faults: &mut Faults) {
    let names = Names {
        states: definition.states.iter().map(|state| state.name.as_str()).collect(),
        transitions: definition.transitions.iter().map(|transition| transition.name.as_str()).collect(),
        deadlines: definition.deadlines.iter().map(|deadline| deadline.name.as_str()).collect(),
        tasks: definition.tasks.iter().map(|task| task.name.as_str()).collect(),
        holds: definition.transitions.iter().flat_map(|each| &each.effects.hold).map(String::as_str).collect(),
    };
    check_names(definition, faults);
    check_fields("case", &definition.case, faults);
    for (name, payload) in &definition.payloads {
        check_fields(&format!("payload {name}"), &payload.fields, faults);
    }
    if let Some(field) = &definition.scope_field
        && !definition.case.get(field).is_some_and(|field| is_text(field.kind))
    {
        faults.find("scope_field", format!("the case has no text field {field:?}"));
    }
    for transition in &definition.transitions {
        check_transition(transition, definition, &names, faults);
    }
    for deadline in &definition.deadlines {
        check_deadline(deadline, definition, &names, faults);
    }
    check_calendar(definition, surroundings, faults);
    if !(-OFFSET_MAX..=OFFSET_MAX).contains(&definition.utc_offset_minutes) {
        faults.find("utc_offset_minutes", format!("no clock is more than {OFFSET_MAX} minutes from UTC"));
    }
    check_tasks(definition, &names, faults);
    check_paths(definition, &names, faults);
    check_circles(definition, faults);
    check_publication(definition, faults);
}

fn check_names(definition: &Definition, faults: &mut Faults) {
    if definition.version == 0 {
        faults.find("version", "versions begin with 1".to_owned());
    }
    let states = definition.states.iter().map(|state| &state.name).collect();
    let transitions = definition.transitions.iter().map(|transition| &transition.name).collect();
    let deadlines = definition.deadlines.iter().map(|deadline| &deadline.name).collect();
    let tasks = definition.tasks.iter().map(|task| &task.name).collect();
    let lists: [(&str, Vec<&String>); 6] = [
        ("definition", vec![&definition.name]),
        ("role", definition.roles.keys().collect()),
        ("state", states),
        ("transition", transitions),
        ("deadline", deadlines),
        ("task", tasks),
    ];
    for (what, list) in lists {
        if PARTS_MAX < list.len() {
            faults.find(what, format!("{} of them are more than {PARTS_MAX}", list.len()));
        }
        let mut seen = BTreeSet::new();
        for name in list {
            if !is_name(name) {
                let problem = "a name begins with a lower-case letter and goes on with those, digits, _ and -";
                faults.find(&format!("{what} {name:?}"), problem.to_owned());
            }
            if !seen.insert(name) {
                faults
                    .find(&format!("{what} {name}"), "stands there twice, so both would be enabled at once".to_owned());
            }
        }
    }
}

fn check_fields(at: &str, fields: &Fields, faults: &mut Faults) {
    let mut found = Vec::new();
    for (name, field) in fields {
        field.faults(name, &mut found);
    }
    for (path, problem) in found {
        faults.find(&format!("{at}, field {path}"), problem);
    }
}

/// Looks a name up in a set, and finds fault if it is not there.
fn known(at: &str, what: &str, name: &str, names: &BTreeSet<&str>, faults: &mut Faults) {
    if !names.contains(name) {
        let names: Vec<_> = names.iter().copied().collect();
        let there =
            if names.is_empty() { "none is declared".to_owned() } else { format!("there are {}", names.join(", ")) };
        faults.find(at, format!("no {what} {name:?}; {there}"));
    }
}

fn check_transition(transition: &Transition, definition: &Definition, names: &Names<'_>, faults: &mut Faults) {
    let at = format!("transition {}", transition.name);
    for state in transition.from.iter().chain(&transition.to) {
        known(&at, "state", state, &names.states, faults);
    }
    if transition.from.is_empty() && transition.to.is_none() {
        faults.find(&at, "opens a case, so it says which state it leads to".to_owned());
    }
    if let Some(payload) = &transition.payload {
        let forms = definition.payloads.keys().map(String::as_str).collect();
        known(&at, "payload", payload, &forms, faults);
    }
    check_trigger(transition, definition, &at, faults);
    for rule in &transition.signers {
        check_signer(rule, transition, definition, &at, faults);
    }
    for deadline in transition.before.iter().chain(transition.effects.extend.iter().map(|extend| &extend.deadline)) {
        known(&at, "deadline", deadline, &names.deadlines, faults);
    }
    if let Some(extension) = &transition.effects.extend {
        let unit = definition.deadlines.iter().find(|deadline| deadline.name == extension.deadline).map(|it| it.unit);
        check_length(&format!("{at}, extend"), extension.days, unit.unwrap_or(Unit::Calendar), faults);
    }
    for hold in transition.blocked_by.iter().chain(&transition.effects.release) {
        known(&at, "hold that a transition places,", hold, &names.holds, faults);
    }
    for task in transition.effects.open.iter().chain(&transition.effects.complete) {
        known(&at, "task", task, &names.tasks, faults);
    }
    if REQUIRES_MAX < transition.requires.len() {
        faults.find(&at, format!("requires {} guards, more than {REQUIRES_MAX}", transition.requires.len()));
    }
    let mut attached = BTreeSet::new();
    for attachment in &transition.attachments {
        if !attached.insert(&attachment.name) {
            faults.find(&at, format!("attachment {} stands there twice", attachment.name));
        }
        if !is_id(&attachment.name) {
            faults.find(&at, format!("attachment {:?}: no record can name it so; leave out / and #", attachment.name));
        }
    }
    let is_final = |name: &String| definition.states.iter().any(|state| state.is_final && state.name == *name);
    if let Some(state) = transition.from.iter().find(|state| is_final(state))
        && transition.to.as_ref().is_some_and(|to| to != state)
    {
        faults.find(&at, format!("leads out of {state}, where a case ends"));
    }
}

fn check_trigger(transition: &Transition, definition: &Definition, at: &str, faults: &mut Faults) {
    let is_signed = transition.trigger == Trigger::Signed;
    if is_signed && transition.signers.is_empty() {
        faults.find(at, "nobody must sign it; say who in signers".to_owned());
    }
    if is_signed {
        return;
    }
    let asks = !transition.signers.is_empty()
        || transition.payload.is_some()
        || !transition.attachments.is_empty()
        || transition.needs_parent;
    if asks {
        faults.find(at, "happens by itself, so it has no signers, data, attachments or parents".to_owned());
    }
    // Nobody asks either of a step that happens by itself: what they would forbid would happen, or it never would.
    if !transition.lookup.is_empty() || !transition.before.is_empty() {
        faults.find(at, "happens by itself, so it has no lookup and no before; say it in requires".to_owned());
    }
    if transition.from.is_empty() {
        faults.find(at, "happens by itself, so it opens no case".to_owned());
    }
    if transition.trigger == Trigger::Automatic && transition.to.as_ref().is_none_or(|to| transition.from.contains(to))
    {
        faults.find(at, "happens by itself and stays where it is, so it would happen for ever".to_owned());
    }
    let is_named = definition.deadlines.iter().any(|deadline| deadline.act.as_ref() == Some(&transition.name));
    if transition.trigger == Trigger::Deadline && !is_named {
        faults.find(at, "waits for a deadline, and none names it in act".to_owned());
    }
}

fn check_signer(rule: &SignerRule, transition: &Transition, definition: &Definition, at: &str, faults: &mut Faults) {
    let roles = definition.roles.keys().map(String::as_str).collect();
    known(at, "role", &rule.role, &roles, faults);
    let total: u32 = transition.signers.iter().fold(0, |sum, rule| sum.saturating_add(rule.count));
    if rule.count == 0 || SIGNERS_MAX < total {
        faults.find(at, format!("asks for 1 to {SIGNERS_MAX} signatures in all"));
    }
    if matches!(rule.agency.as_str(), "case" | "any") {
        return;
    }
    let payload = transition.payload.as_ref().and_then(|name| definition.payloads.get(name));
    let field = rule.agency.strip_prefix("record.").and_then(|name| payload?.fields.get(name));
    if !field.is_some_and(|field| is_text(field.kind) && !field.optional) {
        let problem =
            format!("signers of agency {:?}: say case, any, or record. and a text field of its form", rule.agency);
        faults.find(at, problem);
    }
}

/// Whether a period of this length can be counted.
fn check_length(at: &str, days: i64, unit: Unit, faults: &mut Faults) {
    let (most, what) = match unit {
        Unit::Calendar | Unit::Working => (PERIOD_DAYS_MAX, "days"),
        Unit::Months => (PERIOD_MONTHS_MAX, "months"),
    };
    if !(1..=most).contains(&days) {
        faults.find(at, format!("{days} {what} are not 1 to {most}"));
    }
}

fn check_deadline(deadline: &Deadline, definition: &Definition, names: &Names<'_>, faults: &mut Faults) {
    let at = format!("deadline {}", deadline.name);
    check_length(&at, deadline.days, deadline.unit, faults);
    if deadline.article.is_empty() {
        faults.find(&at, "names no article that it comes from".to_owned());
    }
    if deadline.starts_on.is_empty() {
        faults.find(&at, "never begins: name transitions in starts_on".to_owned());
    }
    for transition in deadline.starts_on.iter().chain(&deadline.ends_on) {
        known(&at, "transition", transition, &names.transitions, faults);
    }
    for state in &deadline.pauses_in {
        known(&at, "state", state, &names.states, faults);
    }
    if let Some(task) = &deadline.escalate {
        known(&at, "task", task, &names.tasks, faults);
    }
    if let Some(act) = &deadline.act {
        let transition = definition.transitions.iter().find(|transition| transition.name == *act);
        if transition.is_none_or(|transition| transition.trigger != Trigger::Deadline) {
            faults.find(&at, format!("act {act:?} is no transition with trigger = \"deadline\""));
        }
    }
}

fn check_calendar(definition: &Definition, surroundings: &Surroundings, faults: &mut Faults) {
    let mut at = definition.deadlines.iter().map(|deadline| format!("deadline {}", deadline.name));
    let timed = definition.tasks.iter().find(|task| task.days.is_some());
    let Some(at) = at.next().or_else(|| timed.map(|task| format!("task {}", task.name))) else { return };
    match &definition.calendar {
        None => faults.find(&at, "counts days, but the definition names no calendar".to_owned()),
        Some(calendar) if !surroundings.calendars.contains(calendar) => {
            faults.find(&at, format!("calendar {calendar:?} is not registered; register it first"));
        }
        Some(_) => {}
    }
}

fn check_tasks(definition: &Definition, names: &Names<'_>, faults: &mut Faults) {
    let roles = definition.roles.keys().map(String::as_str).collect();
    for task in &definition.tasks {
        let at = format!("task {}", task.name);
        known(&at, "role", &task.role, &roles, faults);
        if let Some(days) = task.days {
            check_length(&at, days, task.unit, faults);
        }
        if let Some(next) = &task.escalate {
            known(&at, "task", next, &names.tasks, faults);
            if task.days.is_none() {
                faults.find(&at, "escalates, and has no days after which it would".to_owned());
            }
        }
    }
}

/// The states that steps lead to, from some states on; `None` among those is where a case is opened.
fn reached<'a>(steps: &[&'a Transition], from: BTreeSet<Option<&'a str>>) -> BTreeSet<&'a str> {
    let mut leads: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    for step in steps {
        let Some(to) = step.to.as_deref() else { continue };
        let starts = step.from.iter().map(|state| Some(state.as_str()));
        let opens = step.from.is_empty().then_some(None);
        starts.chain(opens).for_each(|state| leads.entry(state).or_default().push(to));
    }
    let (mut states, mut waiting) = (BTreeSet::new(), Vec::from_iter(from));
    while let Some(state) = waiting.pop() {
        let next = leads.get(&state).into_iter().flatten().copied().filter(|next| states.insert(*next));
        waiting.extend(next.map(Some));
    }
    states
}

/// Automatic transitions that may lead back to where they start: nobody would stop them.
fn check_circles(definition: &Definition, faults: &mut Faults) {
    let automatic = definition.transitions.iter().filter(|each| each.trigger == Trigger::Automatic);
    let automatic: Vec<_> = automatic.collect();
    for step in &automatic {
        let (at, to) = (format!("transition {}", step.name), step.to.as_deref());
        let behind = reached(&automatic, BTreeSet::from_iter(to.map(Some)));
        if let Some(state) = step.from.iter().find(|state| behind.contains(state.as_str()) && to != Some(state)) {
            faults.find(&at, format!("goes in a circle by itself, back to {state}; let somebody sign a step of it"));
        }
    }
}

fn check_paths(definition: &Definition, names: &Names<'_>, faults: &mut Faults) {
    if !definition.transitions.iter().any(|transition| transition.from.is_empty()) {
        faults.find("transition", "none opens a case: one has an empty from".to_owned());
    }
    let steps: Vec<_> = definition.transitions.iter().collect();
    let all = reached(&steps, [None].into());
    for state in &definition.states {
        let at = format!("state {}", state.name);
        if !all.contains(state.name.as_str()) {
            faults.find(&at, "no case ever reaches it".to_owned());
        }
        let leads_out =
            |each: &Transition| each.from.contains(&state.name) && each.to.as_ref().is_some_and(|to| *to != state.name);
        if !state.is_final && !definition.transitions.iter().any(leads_out) {
            faults.find(&at, "nothing leads out of it; say final = true if a case ends there".to_owned());
        }
    }
    if PARTS_MAX < definition.invariants.len() {
        faults.find("invariant", format!("{} of them are more than {PARTS_MAX}", definition.invariants.len()));
    }
    for invariant in definition.invariants.iter().take(PARTS_MAX) {
        let at = format!("invariant {}", invariant.state);
        known(&at, "state", &invariant.state, &names.states, faults);
        known(&at, "transition", &invariant.needs, &names.transitions, faults);
        let without: Vec<_> = steps.iter().copied().filter(|step| step.name != invariant.needs).collect();
        if reached(&without, [None].into()).contains(invariant.state.as_str()) {
            faults.find(&at, format!("a path leads there without {}", invariant.needs));
        }
    }
    let suspends = definition.transitions.iter().find(|each| each.effects.suspend);
    let resumes = definition.transitions.iter().any(|each| each.effects.resume && each.when_suspended);
    if let Some(transition) = suspends
        && !resumes
    {
        let problem = "suspends a case, and no transition with when_suspended resumes one".to_owned();
        faults.find(&format!("transition {}", transition.name), problem);
    }
}

fn check_publication(definition: &Definition, faults: &mut Faults) {
    for field in &definition.publication.fields {
        match definition.case.get(field) {
            None => faults.find("publication", format!("the case has no field {field:?}")),
            Some(schema) if schema.is_personal() => faults.find("publication", format!("{field} is personal")),
            Some(_) => {}
        }
    }
}
