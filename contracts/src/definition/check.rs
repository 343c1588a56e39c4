//! What makes a definition inconsistent: found when it is deployed, all of it at once, and told with its place.
//!
//! States nobody reaches and states nobody leaves, names of nothing, deadlines without a calendar, holds that nobody places: each
//! would show itself years later in somebody's case. That no path to a state leaves a transition out is proved here by taking the
//! transition away and looking whether the state is reached all the same.

use super::compile::is_text;
use super::{Deadline, Definition, SignerRule, Surroundings, Transition, Trigger};
use crate::days::{OFFSET_MAX, PERIOD_DAYS_MAX};
use crate::schema::Fields;
use std::collections::BTreeSet;
use std::fmt;

/// States, transitions, deadlines and tasks of a definition at most, each.
const PARTS_MAX: usize = 256;
/// Signatures that one transition may ask for.
pub const SIGNERS_MAX: u32 = 8;
/// Characters of a name.
const NAME_MAX: usize = 64;

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

/// Whether a name is one: lower-case letters, digits, `_` and `-`, beginning with a letter.
pub(crate) fn is_name(name: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    name.len() <= NAME_MAX
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
        && name.bytes().all(rest)
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
    if let Some(extend) = transition.effects.extend.as_ref().filter(|it| !(1..=PERIOD_DAYS_MAX).contains(&it.days)) {
        faults.find(&at, format!("extends by {} days; say 1 to {PERIOD_DAYS_MAX}", extend.days));
    }
    for hold in transition.blocked_by.iter().chain(&transition.effects.release) {
        known(&at, "hold that a transition places,", hold, &names.holds, faults);
    }
    for task in transition.effects.open.iter().chain(&transition.effects.complete) {
        known(&at, "task", task, &names.tasks, faults);
    }
    let mut attached = BTreeSet::new();
    for attachment in &transition.attachments {
        if !attached.insert(&attachment.name) {
            faults.find(&at, format!("attachment {} stands there twice", attachment.name));
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

fn check_deadline(deadline: &Deadline, definition: &Definition, names: &Names<'_>, faults: &mut Faults) {
    let at = format!("deadline {}", deadline.name);
    if !(1..=PERIOD_DAYS_MAX).contains(&deadline.days) {
        faults.find(&at, format!("{} days are not 1 to {PERIOD_DAYS_MAX}", deadline.days));
    }
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
        if let Some(days) = task.days
            && !(1..=PERIOD_DAYS_MAX).contains(&days)
        {
            faults.find(&at, format!("{days} days are not 1 to {PERIOD_DAYS_MAX}"));
        }
        if let Some(next) = &task.escalate {
            known(&at, "task", next, &names.tasks, faults);
        }
    }
}

/// The states that cases reach without a transition.
fn reached<'a>(definition: &'a Definition, without: Option<&str>) -> BTreeSet<&'a str> {
    let mut states = BTreeSet::new();
    loop {
        let before = states.len();
        for transition in definition.transitions.iter().filter(|each| Some(each.name.as_str()) != without) {
            let starts =
                transition.from.is_empty() || transition.from.iter().any(|state| states.contains(state.as_str()));
            if starts {
                states.extend(transition.to.as_deref());
            }
        }
        if states.len() == before {
            return states;
        }
    }
}

fn check_paths(definition: &Definition, names: &Names<'_>, faults: &mut Faults) {
    if !definition.transitions.iter().any(|transition| transition.from.is_empty()) {
        faults.find("transition", "none opens a case: one has an empty from".to_owned());
    }
    let all = reached(definition, None);
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
    for invariant in &definition.invariants {
        let at = format!("invariant {}", invariant.state);
        known(&at, "state", &invariant.state, &names.states, faults);
        known(&at, "transition", &invariant.needs, &names.transitions, faults);
        if reached(definition, Some(&invariant.needs)).contains(invariant.state.as_str()) {
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
            Some(schema) if schema.personal => faults.find("publication", format!("{field} is personal")),
            Some(_) => {}
        }
    }
}
