//! Checks: what must hold of a case, of its periods and acts, and of what everybody sees.

use super::acting::{attempts, case_of};
use super::form::{CheckForm, OverdueForm, TraceForm};
use super::report::{Unlike, same};
use super::step::fields_of;
use super::world::{World, key, told};
use crate::days::{Day, OFFSET_MINUTES_DEFAULT};
use crate::outcome::Status;
use crate::platform::ActRow;
use crate::value::Value;
use crate::workflow::{Instance, Period};
use std::collections::{BTreeMap, BTreeSet};

/// Periods of a list at most.
const LIST_MAX: usize = 4096;

/// Holds everything that a check names against how things are.
pub(super) fn check(world: &World<'_>, form: &CheckForm) -> Result<(), Unlike> {
    world.platform.catch_up()?;
    if let Some(overdue) = &form.overdue_of {
        check_overdue_of(world, overdue)?;
    }
    let feed = if form.attempts.is_empty() { Vec::new() } else { attempts(world)? };
    for attempt in &form.attempts {
        let author = key(&attempt.by).public().to_string();
        if !feed.iter().any(|[by, code, _]| *by == author && *code == attempt.code) {
            let own: Vec<_> = feed.iter().filter(|[by, ..]| *by == author).map(|[_, code, _]| code.as_str()).collect();
            let expected = format!("an attempt of {} in the audit feed, {}", attempt.by, attempt.code);
            return Err(Unlike::new(expected, format!("attempts of {}: {own:?}", attempt.by)));
        }
    }
    let Some(name) = &form.case else { return Ok(()) };
    check_public(world, form, name)?;
    match (case_of(world, name)?, form.absent) {
        (None, true) => Ok(()),
        (Some(instance), true) => Err(Unlike::new(format!("no case {name}"), format!("it is in {}", instance.state))),
        (None, false) => Err(Unlike::new(format!("a case {name}"), "there is none")),
        (Some(instance), false) => {
            check_names(world, form, &instance)?;
            check_case(form, &instance)?;
            check_periods(world, form, &instance)?;
            check_acts(world, form, &instance)
        }
    }
}

/// Whether what a check says never happened is something that could have: of what has no such name nothing ever happens.
fn check_names(world: &World<'_>, form: &CheckForm, instance: &Instance) -> Result<(), Unlike> {
    let compiled = world.platform.definition_of(instance)?;
    let wrong = |what: &str, name: &str| Err(Unlike::form(format!("{} has no {what} {name:?}", instance.definition)));
    if let Some(name) = form.done.keys().find(|name| compiled.transition(name).is_none()) {
        return wrong("transition", name);
    }
    if let Some(name) =
        form.not_due.iter().find(|name| compiled.deadline(name).is_none() && compiled.task(name).is_none())
    {
        return wrong("deadline or task", name);
    }
    match form.data_absent.iter().find(|name| !compiled.definition().case.contains_key(*name)) {
        Some(name) => wrong("field of the case", name),
        None => Ok(()),
    }
}

fn check_case(form: &CheckForm, instance: &Instance) -> Result<(), Unlike> {
    if let Some(state) = &form.state {
        same("state", state, &instance.state)?;
    }
    if let Some(agency) = &form.agency {
        same("agency", agency, &instance.agency)?;
    }
    if let Some(suspended) = &form.suspended {
        same("suspended", suspended, &instance.suspended)?;
    }
    if let Some(acts) = &form.acts {
        same("acts", acts, &instance.acts)?;
    }
    if let Some(version) = &form.version {
        same("version", version, &instance.version)?;
    }
    for (name, value) in fields_of(form.data.clone().unwrap_or_default()).map_err(Unlike::form)? {
        same(&format!("data {name}"), &Some(&value), &instance.data.get(&name))?;
    }
    for name in &form.data_absent {
        same(&format!("data {name}"), &None, &instance.data.get(name))?;
    }
    if let Some(holds) = &form.holds {
        same("holds", holds, &instance.holds.keys().cloned().collect())?;
    }
    if let Some(tasks) = &form.tasks {
        same("tasks", tasks, &instance.tasks.keys().cloned().collect())?;
    }
    if let Some(recused) = &form.recused {
        same("recused", recused, &instance.recused)?;
    }
    for (name, count) in &form.done {
        same(&format!("times that {name} was done"), count, instance.done.get(name).unwrap_or(&0))?;
    }
    Ok(())
}

/// A deadline, or an open task's time.
fn period<'a>(instance: &'a Instance, name: &str) -> Option<&'a Period> {
    let of_task = || instance.tasks.get(name).and_then(|task| task.due.as_ref());
    instance.due.get(name).or_else(of_task)
}

fn check_periods(world: &World<'_>, form: &CheckForm, instance: &Instance) -> Result<(), Unlike> {
    for (name, day) in &form.due {
        let Some(expected) = Day::parse(day) else { return Err(Unlike::form(format!("{day:?} is no date"))) };
        let last = period(instance, name).map(|period| Day::of(period.at - 1, OFFSET_MINUTES_DEFAULT).to_string());
        same(&format!("last day of {name}"), &Some(expected.to_string()), &last)?;
    }
    for name in &form.not_due {
        if let Some(period) = period(instance, name).filter(|period| period.runs()) {
            let last = Day::of(period.at - 1, OFFSET_MINUTES_DEFAULT);
            return Err(Unlike::new(format!("{name} does not run"), format!("it runs until {last}")));
        }
    }
    if let Some(overdue) = &form.overdue {
        let all = world.platform.overdue(None, world.now_ms(), LIST_MAX)?;
        let own = all.into_iter().filter(|each| each.open && each.case == instance.name()).map(|each| each.name);
        same(&format!("overdue at {}", world.now()), overdue, &own.collect())?;
    }
    Ok(())
}

fn check_overdue_of(world: &World<'_>, form: &OverdueForm) -> Result<(), Unlike> {
    let all = world.platform.overdue(Some(&form.agency), world.now_ms(), LIST_MAX)?;
    let cases: BTreeSet<_> = all.into_iter().filter(|each| each.open).map(|each| each.case).collect();
    same(&format!("cases of {} with something overdue", form.agency), &form.cases, &cases)
}

/// The act that a reference of the form `#3` names.
pub(super) fn act_of(world: &World<'_>, instance: &Instance, reference: &str) -> Result<ActRow, Unlike> {
    let number = reference.strip_prefix('#').and_then(|number| number.parse().ok()).unwrap_or(0_u32);
    let found = world.platform.history(instance)?.into_iter().find(|act| act.number == number);
    found.ok_or_else(|| Unlike::new(format!("act {reference}"), format!("the case has {} acts", instance.acts)))
}

fn check_acts(world: &World<'_>, form: &CheckForm, instance: &Instance) -> Result<(), Unlike> {
    if let Some(reference) = &form.verifies {
        verify(world, &act_of(world, instance, reference)?)?;
    }
    match &form.trace {
        Some(trace) => check_trace(world, trace, instance),
        None => Ok(()),
    }
}

/// Whether the record of an act is found, its signature and its receipt hold, and it was accepted.
fn verify(world: &World<'_>, act: &ActRow) -> Result<(), Unlike> {
    let reader = world.platform.ledger().reader();
    let id =
        act.record.parse().map_err(|_| Unlike::new("an act that somebody signed", "one that happened by itself"))?;
    let stored = reader.find(&id).map_err(|error| Unlike::broken(&error))?;
    let stored = stored.ok_or_else(|| Unlike::new(format!("the record {id} in the ledger"), "it is not there"))?;
    let bytes = [&stored.head_bytes()[..], stored.payload()].concat();
    let record = annals::Record::parse(&bytes).map_err(|error| Unlike::broken(&error))?;
    same("that signature and content hold:", &true, &record.holds())?;
    let receipt = reader.prove(stored.seq()).map_err(|error| Unlike::broken(&error))?;
    if let Err((_, error)) = receipt.verify(world.platform.ledger().vkey()) {
        return Err(Unlike::new("a receipt that holds", error.to_string()));
    }
    match world.platform.outcome(act.seq)? {
        Status::Accepted => Ok(()),
        status @ (Status::Waiting(_) | Status::Refused(_)) => Err(Unlike::new("accepted", told(&status))),
    }
}

/// Whether an act rests on these, nearest first.
fn check_trace(world: &World<'_>, form: &TraceForm, instance: &Instance) -> Result<(), Unlike> {
    let from = act_of(world, instance, &form.from)?;
    let lines = world.platform.trace(instance)?;
    let is_it = |depth: u32, case: &str, number: u32| depth == 0 && case == instance.name() && number == from.number;
    let behind = lines.iter().skip_while(|line| !is_it(line.depth, &line.case, line.act.number)).skip(1);
    let mut ancestors: Vec<_> = behind.take_while(|line| 0 < line.depth).collect();
    ancestors.sort_by_key(|line| line.depth);
    let mut names = Vec::new();
    for line in ancestors {
        let case = if line.case == instance.name() { "" } else { &line.case };
        let name = format!("{case}#{}", line.act.number);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    same(&format!("what {} rests on", form.from), &form.to, &names)
}

/// Whether everybody sees of a case what is expected, and no more.
fn check_public(world: &World<'_>, form: &CheckForm, name: &str) -> Result<(), Unlike> {
    if form.public.is_none() && !form.public_absent {
        return Ok(());
    }
    let (agency, number) = crate::keys::parse_case(name).ok_or_else(|| Unlike::form(format!("{name:?} is no case")))?;
    let seen = world.platform.published(agency, number)?;
    let expected: Option<BTreeMap<String, Value>> = match &form.public {
        Some(_) if form.public_absent => return Err(Unlike::form("public and public_absent exclude each other")),
        Some(fields) => Some(fields_of(fields.clone()).map_err(Unlike::form)?),
        None => None,
    };
    same("what everybody sees:", &expected, &seen)
}
