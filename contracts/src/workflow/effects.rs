//! Effects: what a transition changes, in a fixed order, and what happens by itself after it.

use super::guards::{Variables, common, evaluate, holds};
use super::instance::{Instance, OpenTask};
use super::periods::{self, Counting, Due};
use crate::definition::{Compiled, CompiledTransition, Trigger};
use crate::draft::{Draft, Stop};
use crate::keys;
use crate::message::AttachedForm;
use crate::outcome::Refused;
use crate::value::{MapWriter, Value};

/// Transitions that may follow by themselves on one record.
const FOLLOWING_MAX: usize = 16;

/// What an act's row keeps of its record.
pub(super) struct Done<'a> {
    pub(super) record: &'a str,
    pub(super) signers: Vec<&'a str>,
    pub(super) parents: &'a [String],
    pub(super) attachments: &'a [AttachedForm],
    /// When it happened as the law counts: the block's time, or the end of the period whose passing made it happen.
    pub(super) event_ms: i64,
}

/// Does a transition: what its expressions say is computed first, on the case as it was.
pub(super) fn apply(
    draft: &mut Draft<'_>,
    compiled: &Compiled,
    transition: &CompiledTransition,
    instance: &mut Instance,
    variables: &Variables<'_>,
    done: &Done<'_>,
) -> Result<(), Stop> {
    let (rule, case) = (&transition.rule, instance.name());
    let mut data = Vec::new();
    for (field, guard) in &transition.set {
        let value = evaluate(draft, guard, variables)?;
        check_field(compiled, transition, field, &value)?;
        data.push((field.clone(), value));
    }
    let mut text = |guard: &Option<crate::guard::Guard>| -> Result<Option<String>, Stop> {
        let Some(guard) = guard else { return Ok(None) };
        Ok(evaluate(draft, guard, variables)?.as_text().map(str::to_owned))
    };
    let (recused, transferred) = (text(&transition.recuse)?, text(&transition.transfer_to)?);
    instance.data.extend(data);
    let from = instance.state.clone();
    instance.state = rule.to.clone().unwrap_or_else(|| from.clone());
    let act = instance.add_act(draft.at.seq, done.record, &rule.name);
    put_row(draft, instance, act, &rule.name, &from, done)?;
    draft.happened("case.transition", &case, &[&rule.name, &from, &instance.state, &act.to_string()]);
    if let Some(officer) = recused {
        draft.happened("officer.recused", &case, &[&officer]);
        instance.recused.insert(officer);
    }
    if let Some(agency) = transferred {
        draft.happened("case.transferred", &case, &[&instance.agency, &agency]);
        instance.agency = agency;
    }
    turn_holds(draft, transition, instance, act, &case);
    for name in &rule.effects.complete {
        complete_task(draft, instance, name)?;
    }
    for name in &rule.effects.open {
        open_task(draft, compiled, instance, name)?;
    }
    periods::turn(draft, instance, compiled, &rule.name, done.event_ms)?;
    if let Some(extension) = &rule.effects.extend {
        periods::extend(draft, instance, compiled, &extension.deadline, extension.days)?;
    }
    instance.suspended = rule.effects.suspend || instance.suspended && !rule.effects.resume;
    periods::settle(draft, instance, compiled, done.event_ms)?;
    if compiled.is_final(&instance.state) && !compiled.is_final(&from) {
        periods::end_all(draft, instance, compiled)?;
        draft.happened("case.closed", &case, &[&instance.state]);
    }
    Ok(())
}

/// What a case holds fits its fields, wherever it came from: forms are held against theirs, expressions may make anything of it.
fn check_field(
    compiled: &Compiled,
    transition: &CompiledTransition,
    field: &str,
    value: &Value,
) -> Result<(), Refused> {
    let Some(schema) = compiled.definition().case.get(field) else { return Ok(()) };
    schema.check(field, value).map_err(|misfit| {
        let words = format!("{} would set {misfit}; mend the record's data", transition.rule.label);
        Refused::new("workflow.set", &[field], words)
    })
}

fn turn_holds(draft: &mut Draft<'_>, transition: &CompiledTransition, instance: &mut Instance, act: u32, case: &str) {
    for hold in &transition.rule.effects.release {
        if instance.holds.remove(hold).is_some() {
            draft.happened("hold.released", case, &[hold]);
        }
    }
    for hold in &transition.rule.effects.hold {
        instance.holds.entry(hold.clone()).or_insert(act);
        draft.happened("hold.placed", case, &[hold]);
    }
}

fn put_row(
    draft: &mut Draft<'_>,
    instance: &Instance,
    act: u32,
    name: &str,
    from: &str,
    done: &Done<'_>,
) -> Result<(), Stop> {
    let row = MapWriter::default()
        .text("act", name)
        .list("attachments", done.attachments.iter().map(attached))
        .text("from", from)
        .number("height", draft.at.height)
        .number("number", u64::from(act))
        .texts("parents", done.parents)
        .text("record", done.record)
        .number("seq", draft.at.seq)
        .texts("signers", &done.signers)
        .number("time", u64::try_from(draft.at.time_ms).unwrap_or_default())
        .text("to", &instance.state)
        .finish();
    draft.put_row(keys::act_row(&instance.key(), act), row)
}

/// What an act has attached, as its row keeps it.
fn attached(attachment: &AttachedForm) -> Vec<u8> {
    MapWriter::default().text("hash", &attachment.hash).text("name", &attachment.name).finish()
}

fn open_task(draft: &mut Draft<'_>, compiled: &Compiled, instance: &mut Instance, name: &str) -> Result<(), Stop> {
    let Some(task) = compiled.task(name).filter(|_| !instance.tasks.contains_key(name)) else { return Ok(()) };
    let due = match task.days {
        Some(days) => {
            let now = draft.at.time_ms;
            Some(Counting::of(draft, compiled.definition())?.begin(draft, days, task.unit, now)?)
        }
        None => None,
    };
    if let Some(period) = &due {
        periods::watch(draft, &instance.key(), Due::Task(name), period)?;
    }
    draft.happened("task.opened", &instance.name(), &[name, &task.role]);
    instance.tasks.insert(name.to_owned(), OpenTask { act: instance.acts, due });
    Ok(())
}

fn complete_task(draft: &mut Draft<'_>, instance: &mut Instance, name: &str) -> Result<(), Stop> {
    let Some(task) = instance.tasks.remove(name) else { return Ok(()) };
    if let Some(period) = &task.due {
        periods::unwatch(draft, &instance.key(), Due::Task(name), period)?;
        instance.note_late(name, period, draft.at.time_ms);
    }
    draft.happened("task.completed", &instance.name(), &[name]);
    Ok(())
}

/// Does the transitions whose guards hold now, one after the other; as the law counts, when that happened which they follow.
pub(super) fn follow(
    draft: &mut Draft<'_>,
    compiled: &Compiled,
    instance: &mut Instance,
    event_ms: i64,
) -> Result<(), Stop> {
    for _ in 0..FOLLOWING_MAX {
        let mut next = None;
        for transition in compiled.automatic() {
            if next.is_none() && is_enabled(draft, transition, instance)? {
                next = Some(transition);
            }
        }
        let Some(transition) = next else { return Ok(()) };
        by_itself(draft, compiled, transition, instance, event_ms)?;
    }
    let words = format!(
        "more than {FOLLOWING_MAX} steps follow by themselves; the definition's automatic transitions go in a circle"
    );
    Err(Refused::new("workflow.circle", &[&instance.state], words).into())
}

fn is_enabled(draft: &mut Draft<'_>, transition: &CompiledTransition, instance: &Instance) -> Result<bool, Stop> {
    let rule = &transition.rule;
    if !rule.from.contains(&instance.state)
        || instance.suspended && !rule.when_suspended
        || rule.blocked_by.iter().any(|hold| instance.holds.contains_key(hold))
    {
        return Ok(false);
    }
    let variables = common(draft, transition, instance);
    for requirement in &transition.requires {
        match holds(draft, &requirement.guard, &variables) {
            Ok(true) => {}
            // What can't be computed does not hold; only a signed record has somebody to be told.
            Ok(false) | Err(Stop::Refused(Refused { code: "workflow.guard", .. })) => return Ok(false),
            Err(stop) => return Err(stop),
        }
    }
    Ok(true)
}

fn by_itself(
    draft: &mut Draft<'_>,
    compiled: &Compiled,
    transition: &CompiledTransition,
    instance: &mut Instance,
    event_ms: i64,
) -> Result<(), Stop> {
    let variables = common(draft, transition, instance);
    let done = Done { record: "", signers: Vec::new(), parents: &[], attachments: &[], event_ms };
    apply(draft, compiled, transition, instance, &variables, &done)
}

/// Lets a deadline or a task's time pass: once, with what follows from it.
pub(super) fn pass(
    draft: &mut Draft<'_>,
    compiled: &Compiled,
    instance: &mut Instance,
    due: Due<'_>,
) -> Result<(), Stop> {
    let (key, case) = (instance.key(), instance.name());
    let Some(period) = due.of(instance).filter(|period| period.runs()) else { return Ok(()) };
    periods::unwatch(draft, &key, due, period)?;
    period.passed = true;
    // What its passing begins counts from its last day, however long after that the block came that marks it.
    let last_ms = period.at - 1;
    let (event, name, escalate, act) = match due {
        Due::Deadline(name) => {
            let deadline = compiled.deadline(name);
            let escalate = deadline.and_then(|deadline| deadline.escalate.as_deref());
            ("deadline.passed", name, escalate, deadline.and_then(|deadline| deadline.act.as_deref()))
        }
        Due::Task(name) => ("task.overdue", name, compiled.task(name).and_then(|task| task.escalate.as_deref()), None),
    };
    if act.is_none() {
        draft.put_row(keys::overdue_row(&key), *b"")?;
    }
    draft.happened(event, &case, &[name]);
    if let Some(task) = escalate {
        draft.happened("escalated", &case, &[name, task]);
        open_task(draft, compiled, instance, task)?;
    }
    let transition = act.and_then(|act| compiled.transition(act)).filter(|each| each.rule.trigger == Trigger::Deadline);
    transition.map_or(Ok(()), |transition| act_on(draft, compiled, instance, transition, (name, last_ms)))
}

/// Does the transition of a deadline that has passed. One that can't be done does not happen: nobody is there to be told, and a
/// deadline that came again and again would hold the case up for ever.
fn act_on(
    draft: &mut Draft<'_>,
    compiled: &Compiled,
    instance: &mut Instance,
    transition: &CompiledTransition,
    (deadline, last_ms): (&str, i64),
) -> Result<(), Stop> {
    let (mut trial, mut tried) = (draft.trial(), instance.clone());
    match turn_by_itself(&mut trial, compiled, &mut tried, transition, last_ms) {
        Ok(()) => (*draft, *instance) = (trial, tried),
        Err(Stop::Refused(refused)) => {
            draft.happened("deadline.failed", &instance.name(), &[deadline, &transition.rule.name, refused.code]);
        }
        Err(broken) => return Err(broken),
    }
    Ok(())
}

fn turn_by_itself(
    draft: &mut Draft<'_>,
    compiled: &Compiled,
    instance: &mut Instance,
    transition: &CompiledTransition,
    event_ms: i64,
) -> Result<(), Stop> {
    if !is_enabled(draft, transition, instance)? {
        return Ok(());
    }
    // What waits for a signature waits for a state that is no more.
    lapse(draft, instance)?;
    by_itself(draft, compiled, transition, instance, event_ms)?;
    follow(draft, compiled, instance, event_ms)
}

/// Lets an act lapse that waits for signatures.
pub(super) fn lapse(draft: &mut Draft<'_>, instance: &mut Instance) -> Result<(), Stop> {
    let Some(pending) = instance.pending.take() else { return Ok(()) };
    draft.remove_row(keys::pending_row(&pending.record))?;
    draft.happened("act.lapsed", &instance.name(), &[&pending.act.act, &pending.seq.to_string()]);
    Ok(())
}
