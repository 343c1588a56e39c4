//! The workflow contract: cases that go from state to state by signed acts, periods of law and rules.
//!
//! An act is held against its definition in a fixed order: is it the turn of this step, does its record have the form, do its parents
//! exist, is its author known, is everything attached, may those who sign, is it in time, does nothing hold it, do the guards hold.
//! The first that fails is told. If further officers must sign, the act waits in the case, and the transition happens at the last
//! signature, when all of it is asked again; what was allowed when the first signed must still be when the last does.

mod advice;
mod effects;
mod guards;
mod instance;
mod periods;
mod signing;

pub use instance::{Instance, Late, OpenTask, Pending, Period};

use crate::days::{DAY_MS, Day};
use crate::definition::{Compiled, CompiledTransition, SignerRule, Trigger};
use crate::deployed::{StoredDefinition, Versions};
use crate::draft::{ACCESS_STEPS, Draft, STEPS_MAX, Stop, damaged, stored};
use crate::guard::Budget;
use crate::keys;
use crate::message::{Act, Message};
use crate::officer::Officer;
use crate::outcome::{Refused, Status};
use crate::schema::check_fields;
use annals::AuthorId;
use guards::{Variables, check_guards, holds, variables};
use instance::ACTS_MAX;
use periods::Due;
use std::sync::Arc;

/// Steps that following a calendar's change may take for one case.
const RECOUNT_STEPS: u32 = STEPS_MAX;
/// How long an act may wait for signatures before somebody else may ask for another.
const PENDING_MAX_MS: i64 = 7 * DAY_MS;
/// Rows of deadlines that are read at a time.
const ROWS_AT_A_TIME: usize = 4096;

/// A transition that is being tried.
struct Step<'a> {
    compiled: &'a Compiled,
    transition: &'a CompiledTransition,
    act: &'a Act,
    record: String,
    officers: Vec<Arc<Officer>>,
}

/// The compiled version of a definition.
pub(crate) fn compiled(draft: &mut Draft<'_>, name: &str, version: u64) -> Result<Arc<Compiled>, Stop> {
    // Known or not, it costs the same, so that no cache decides on a budget.
    draft.spend(ACCESS_STEPS)?;
    if let Some(known) = draft.library().find(name, version) {
        return Ok(known);
    }
    let key = keys::definition_version(name, version);
    let left = std::mem::replace(&mut draft.budget, Budget::new(STEPS_MAX));
    let Some(stored) = stored::<StoredDefinition>(draft, &key)? else { return Err(damaged(&key, "is missing")) };
    draft.budget = left;
    let fresh = Arc::new(stored.compile().map_err(|_| damaged(&key, "compiles no more"))?);
    draft.library().add(name, version, &fresh);
    Ok(fresh)
}

/// Acts in a case.
pub(crate) fn act(draft: &mut Draft<'_>, message: &Message, act: &Act) -> Result<Status, Stop> {
    let Some((agency, number)) = act.case_parts() else { return Err(case_unknown(&act.case)) };
    let key = keys::case(agency, number);
    let (mut instance, mut since) = match Instance::load(draft, &key)? {
        // What nobody else signed has opened nothing: the case begins anew, whatever its first record named.
        Some(mut unopened) if unopened.acts == 0 => {
            let since = withdraw_pending(draft, &mut unopened, message)?;
            (open(draft, act, agency, number)?, since)
        }
        Some(instance) => (instance, None),
        None => (open(draft, act, agency, number)?, None),
    };
    let compiled = compiled(draft, &instance.definition, instance.version)?;
    fire_own(draft, &mut instance, &compiled)?;
    let Some(transition) = compiled.transition(&act.act).filter(|each| each.rule.trigger == Trigger::Signed) else {
        return Err(advice::no_such_act(&compiled, &instance, &act.act).into());
    };
    if 0 < instance.acts && (transition.rule.from.is_empty() || act.definition.is_some()) {
        let seq = instance.opened.to_string();
        let words = format!("case {} exists: seq {seq} opened it; use that one, or another number", instance.name());
        return Err(Refused::new("case.exists", &[&seq], words).into());
    }
    since = since.or(withdraw_pending(draft, &mut instance, message)?);
    check_turn(&compiled, transition, &instance)?;
    check_form(draft, &compiled, transition, &instance, act)?;
    let officers = vec![Officer::of_key(draft, &message.author)?];
    let record = message.record.to_string();
    let step = Step { compiled: &compiled, transition, act, record: record.clone(), officers };
    let (missing, variables) = check(draft, &step, &instance)?;
    if missing == 0 {
        complete(draft, &step, &mut instance, &variables)?;
    } else {
        let (seq, signers) = (draft.at.seq, vec![message.author.to_string()]);
        let since = since.unwrap_or(draft.at.time_ms);
        instance.pending = Some(Pending { act: act.clone(), record: record.clone(), seq, signers, since });
        draft.put_row(keys::pending_row(&record), key)?;
        draft.happened("act.waiting", &instance.name(), &[&act.act, &missing.to_string()]);
    }
    instance.save(draft)?;
    Ok(if missing == 0 { Status::Accepted } else { Status::Waiting(missing) })
}

/// Makes room for another act: who asked for the one that waits may ask for another, and after some days anybody may.
///
/// Returns since when its author has kept the case waiting, if it is he who asks again: asking again wins him no further days.
fn withdraw_pending(draft: &mut Draft<'_>, instance: &mut Instance, message: &Message) -> Result<Option<i64>, Stop> {
    let Some(pending) = &instance.pending else { return Ok(None) };
    let is_own = pending.signers.first() == Some(&message.author.to_string());
    let since = pending.since;
    if !is_own && draft.at.time_ms < since.saturating_add(PENDING_MAX_MS) {
        let words = format!(
            "{} of seq {} waits for signatures: sign it, or let its author ask for something else; it lapses after 7 days",
            pending.act.act, pending.seq
        );
        return Err(Refused::new("workflow.pending", &[&pending.act.act, &pending.seq.to_string()], words).into());
    }
    effects::lapse(draft, instance)?;
    Ok(is_own.then_some(since))
}

/// Adds a signature to an act that waits; none if the record is no such act.
pub(crate) fn countersign(draft: &mut Draft<'_>, author: &AuthorId, record: &str) -> Result<Option<Status>, Stop> {
    let Some(key) = draft.row(&keys::pending_row(record))? else { return Ok(None) };
    let Some(mut instance) = Instance::load(draft, &key)? else { return Err(damaged(&key, "is missing")) };
    let compiled = compiled(draft, &instance.definition, instance.version)?;
    fire_own(draft, &mut instance, &compiled)?;
    // A deadline may have ended what waited.
    let Some(mut pending) = instance.pending.take_if(|pending| pending.record == record) else { return Ok(None) };
    let Some(transition) = compiled.transition(&pending.act.act) else {
        return Err(damaged(&key, "waits for no transition"));
    };
    check_turn(&compiled, transition, &instance)?;
    check_form(draft, &compiled, transition, &instance, &pending.act)?;
    pending.signers.push(author.to_string());
    let mut officers = Vec::new();
    for signer in &pending.signers {
        let signer = signer.parse().map_err(|_| damaged(&key, "names no key"))?;
        officers.push(Officer::of_key(draft, &signer)?);
    }
    let act = pending.act.clone();
    let step = Step { compiled: &compiled, transition, act: &act, record: record.to_owned(), officers };
    let (missing, variables) = check(draft, &step, &instance)?;
    if missing == 0 {
        draft.remove_row(keys::pending_row(record))?;
        complete(draft, &step, &mut instance, &variables)?;
    } else {
        instance.pending = Some(pending);
    }
    instance.save(draft)?;
    Ok(Some(if missing == 0 { Status::Accepted } else { Status::Waiting(missing) }))
}

/// A case that is to be opened.
fn open(draft: &mut Draft<'_>, act: &Act, agency: &str, number: &str) -> Result<Instance, Stop> {
    let Some(name) = &act.definition else { return Err(case_unknown(&act.case)) };
    let versions: Option<Arc<Versions>> = stored(draft, &keys::definition(name))?;
    let height = draft.at.height;
    let Some(version) = versions.and_then(|versions| versions.at(height)) else {
        let words = format!("no definition {name:?} holds at height {height}; an administrator deploys it");
        return Err(Refused::new("definition.unknown", &[name], words).into());
    };
    let instance = Instance::new(agency, number, name, version);
    let compiled = compiled(draft, name, version)?;
    match compiled.transition(&act.act) {
        Some(transition) if !transition.rule.from.is_empty() => Err(case_unknown(&act.case)),
        _ => Ok(instance),
    }
}

fn case_unknown(case: &str) -> Stop {
    let words = format!("there is no case {case}; open it first, or mend its number");
    Refused::new("case.unknown", &[case], words).into()
}

/// Whether it is the turn of a step.
fn check_turn(compiled: &Compiled, transition: &CompiledTransition, instance: &Instance) -> Result<(), Refused> {
    let rule = &transition.rule;
    let opens = rule.from.is_empty() && instance.state.is_empty();
    if !opens && !rule.from.contains(&instance.state) {
        return Err(advice::out_of_order(compiled, transition, instance));
    }
    if instance.suspended && !rule.when_suspended {
        let words = format!("the case is suspended; {} needs it resumed first", rule.label);
        return Err(Refused::new("workflow.suspended", &[&rule.name], words));
    }
    if ACTS_MAX <= instance.acts {
        let words =
            format!("the case has {ACTS_MAX} acts, the most there may be; open a further case that names it as parent");
        return Err(Refused::new("workflow.acts", &[&rule.name], words));
    }
    Ok(())
}

/// Whether a record has the form that its step asks for.
fn check_form(
    draft: &mut Draft<'_>,
    compiled: &Compiled,
    transition: &CompiledTransition,
    instance: &Instance,
    act: &Act,
) -> Result<(), Stop> {
    let rule = &transition.rule;
    let none = crate::schema::Fields::new();
    let payload = rule.payload.as_ref().and_then(|name| compiled.definition().payloads.get(name));
    check_fields(payload.map_or(&none, |payload| &payload.fields), &act.data)
        .map_err(|misfit| Refused::new("payload.form", &[&misfit.field], format!("{}: {misfit}", rule.label)))?;
    check_parents(draft, rule.needs_parent, instance, act)
}

fn check_parents(draft: &mut Draft<'_>, needed: bool, instance: &Instance, act: &Act) -> Result<(), Stop> {
    if needed && act.parents.is_empty() {
        let words = "names no act that it rests on or corrects; name one as #3, or AGENCY/NUMBER#3";
        return Err(Refused::new("workflow.parent_missing", &[&act.act], format!("{} {words}", act.act)).into());
    }
    for parent in &act.parents {
        let (case, number) = parent.rsplit_once('#').unwrap_or((parent, ""));
        // As it is told, so that one act has one name.
        let number: u32 = number.parse().ok().filter(|it: &u32| it.to_string() == number).unwrap_or(0);
        let acts = if case.is_empty() || case == instance.name() {
            instance.acts
        } else {
            let key = keys::parse_case(case).map(|(agency, number)| keys::case(agency, number));
            let other = key.map(|key| Instance::look(draft, &key)).transpose()?.flatten();
            other.map_or(0, |other| other.acts)
        };
        if number == 0 || acts < number {
            let words = format!("{parent:?} is no act that there is; name one as #3, or AGENCY/NUMBER#3");
            return Err(Refused::new("workflow.parent_unknown", &[parent], words).into());
        }
    }
    Ok(())
}

/// Holds everything else against a step; returns how many signatures are missing, and what its guards see.
fn check<'a>(draft: &mut Draft<'_>, step: &Step<'a>, instance: &Instance) -> Result<(u32, Variables<'a>), Stop> {
    let variables = variables(draft, step, instance);
    check_attachments(draft, step, &variables)?;
    let missing = signing::missing(draft, instance, step.compiled, step.transition, step.act, &step.officers)?;
    check_time(draft, step, instance)?;
    let rule = &step.transition.rule;
    if let Some(hold) = rule.blocked_by.iter().find(|hold| instance.holds.contains_key(*hold)) {
        let act = instance.holds.get(hold).copied().unwrap_or_default();
        let words =
            format!("{} is blocked by a hold on {hold} that act #{act} placed; have it released first", rule.label);
        return Err(Refused::new("workflow.hold", &[hold], words).into());
    }
    let variables = check_guards(draft, step.transition, variables)?;
    Ok((u32::try_from(missing.len()).unwrap_or(u32::MAX), variables))
}

/// Whose signatures the act is missing that waits in a case; none if nothing waits, or it would be refused now.
pub(crate) fn missing_signers(draft: &mut Draft<'_>, instance: &Instance) -> Result<Vec<SignerRule>, Stop> {
    let Some(pending) = &instance.pending else { return Ok(Vec::new()) };
    let compiled = compiled(draft, &instance.definition, instance.version)?;
    let Some(transition) = compiled.transition(&pending.act.act) else { return Ok(Vec::new()) };
    let mut officers = Vec::new();
    for signer in pending.signers.iter().filter_map(|signer| signer.parse().ok()) {
        match Officer::of_key(draft, &signer) {
            Ok(officer) => officers.push(officer),
            Err(Stop::Refused(_)) => return Ok(Vec::new()),
            Err(stop) => return Err(stop),
        }
    }
    match signing::missing(draft, instance, &compiled, transition, &pending.act, &officers) {
        Ok(missing) => Ok(missing.into_iter().cloned().collect()),
        Err(Stop::Refused(_)) => Ok(Vec::new()),
        Err(stop) => Err(stop),
    }
}

fn check_attachments(draft: &mut Draft<'_>, step: &Step<'_>, variables: &Variables<'_>) -> Result<(), Stop> {
    for attachment in &step.transition.attachments {
        let wanted = match &attachment.when {
            Some(when) => holds(draft, when, variables)?,
            None => true,
        };
        if wanted && !step.act.attachments.iter().any(|attached| attached.name == attachment.name) {
            let (what, label, name) = (&step.transition.rule.label, &attachment.label, &attachment.name);
            let words = format!("{what} needs {label}: attach it as {name}");
            return Err(Refused::new("workflow.attachment_missing", &[name], words).into());
        }
    }
    Ok(())
}

fn check_time(draft: &Draft<'_>, step: &Step<'_>, instance: &Instance) -> Result<(), Refused> {
    let rule = &step.transition.rule;
    let offset_minutes = step.compiled.definition().utc_offset_minutes;
    for name in rule.before.iter().chain(rule.effects.extend.iter().map(|extend| &extend.deadline)) {
        let period = instance.due.get(name);
        if let Some(period) =
            period.filter(|period| period.passed || period.left.is_none() && period.at <= draft.at.time_ms)
        {
            let (label, article) = step
                .compiled
                .deadline(name)
                .map_or((String::new(), ""), |deadline| (deadline.label.to_string(), deadline.article.as_str()));
            // People are told the last day on which it was in time, not the midnight behind it.
            let last = Day::of(period.at - 1, offset_minutes);
            let words = format!("{} is late: {label} ({article}) ended with {last}", rule.label);
            return Err(Refused::new("workflow.late", &[name], words));
        }
    }
    let extended = rule.effects.extend.as_ref().map(|extend| &extend.deadline);
    if let Some(name) = extended.filter(|name| !instance.due.contains_key(*name)) {
        let words = format!("{} has nothing to extend: {name} does not run", rule.label);
        return Err(Refused::new("workflow.late", &[name], words));
    }
    Ok(())
}

/// Does a step that all have signed.
fn complete(
    draft: &mut Draft<'_>,
    step: &Step<'_>,
    instance: &mut Instance,
    variables: &Variables<'_>,
) -> Result<(), Stop> {
    let is_new = instance.state.is_empty();
    if is_new {
        instance.opened = draft.at.seq;
        draft.put_row(keys::case_row(&instance.key()), *b"")?;
    }
    let signers = step.officers.iter().map(|officer| officer.officer.as_str()).collect();
    let done = effects::Done {
        record: &step.record,
        signers,
        parents: &step.act.parents,
        attachments: &step.act.attachments,
        event_ms: draft.at.time_ms,
    };
    effects::apply(draft, step.compiled, step.transition, instance, variables, &done)?;
    if is_new {
        // Only now it is known in which field of work the case lies.
        step.officers
            .iter()
            .try_for_each(|officer| signing::check_scope(instance, step.compiled, step.act, officer))?;
    }
    effects::follow(draft, step.compiled, instance, done.event_ms)
}

/// Lets the deadlines of a case pass whose time has come, before anything else happens in it.
fn fire_own(draft: &mut Draft<'_>, instance: &mut Instance, compiled: &Compiled) -> Result<(), Stop> {
    let time = draft.at.time_ms;
    // One at a time: what the passing of one begins may have ended, too, if nothing marked the time for long.
    while let Some(name) = periods::next_due(instance, time) {
        effects::pass(draft, compiled, instance, Due::parse(&name))?;
    }
    Ok(())
}

/// Lets the deadlines of one case pass whose time has come: what a row of a deadline asks for.
pub(crate) fn fire(draft: &mut Draft<'_>, key: &[u8]) -> Result<(), Stop> {
    let Some(mut instance) = Instance::load(draft, key)? else { return Err(damaged(key, "is missing")) };
    let compiled = compiled(draft, &instance.definition, instance.version)?;
    fire_own(draft, &mut instance, &compiled)?;
    instance.save_by_itself(draft)
}

/// Moves the ends of periods that are still to come, for a calendar that changed.
pub(crate) fn recount_calendar(draft: &mut Draft<'_>, calendar: &str) -> Result<(), Stop> {
    let (mut from, end) = keys::due_range(i64::MAX - 1);
    let mut seen = std::collections::BTreeSet::new();
    loop {
        let rows = draft.rows(&from, &end, ROWS_AT_A_TIME)?;
        let Some(last) = rows.last() else { return Ok(()) };
        from = [&last[..], &[0]].concat();
        for (_, key, _) in rows.iter().filter_map(|row| keys::parse_due_row(row)) {
            if !seen.insert(key.clone()) {
                continue;
            }
            draft.budget = Budget::new(RECOUNT_STEPS);
            let Some(mut instance) = Instance::load(draft, &key)? else { continue };
            let compiled = compiled(draft, &instance.definition, instance.version)?;
            if compiled.definition().calendar.as_deref() != Some(calendar) {
                continue;
            }
            let moved = periods::recount(draft, &mut instance, &compiled)?;
            if !moved.is_empty() {
                let names: Vec<_> = moved.iter().map(String::as_str).collect();
                draft.happened("deadline.moved", &instance.name(), &names);
                instance.save_by_itself(draft)?;
            }
        }
    }
}

/// Whether a case is kept from the public. One of which that can't be told is.
pub(crate) fn is_secret(compiled: &Compiled, instance: &Instance) -> bool {
    let Some(guard) = compiled.secret_when() else { return false };
    let case = instance.value();
    let shown = guard.evaluate(&[("case", &case)], &mut Budget::new(STEPS_MAX));
    shown.ok().and_then(|value| value.as_bool()) != Some(false)
}
