//! What guards see of a step, and asking them.

use super::Step;
use super::instance::Instance;
use crate::definition::CompiledTransition;
use crate::draft::{Draft, Stop, over_budget};
use crate::guard::{Guard, GuardError};
use crate::outcome::Refused;
use crate::registry;
use crate::value::Value;
use std::borrow::Cow;

/// What the guards of a transition see, by name; what none of them names is left out, since making it takes longer than they do.
pub(super) type Variables<'a> = Vec<(&'a str, Cow<'a, Value>)>;

pub(super) fn variables<'a>(draft: &Draft<'_>, step: &Step<'a>, instance: &Instance) -> Variables<'a> {
    let reads = |name| step.transition.reads(name);
    let mut variables = common(draft, step.transition, instance);
    variables.push(("record", Cow::Borrowed(&step.act.data)));
    if reads("actor") {
        let actor = step.officers.first().map(|officer| officer.value());
        variables.push(("actor", Cow::Owned(actor.unwrap_or_default())));
    }
    if reads("signers") {
        let signers = step.officers.iter().map(|officer| officer.value());
        variables.push(("signers", Cow::Owned(Value::List(signers.collect()))));
    }
    variables
}

/// What guards of steps that happen by themselves see.
pub(super) fn common<'a>(draft: &Draft<'_>, transition: &'a CompiledTransition, instance: &Instance) -> Variables<'a> {
    let mut variables = Vec::new();
    if transition.reads("case") {
        variables.push(("case", Cow::Owned(instance.value())));
    }
    if transition.reads("at") {
        let number = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
        let (seq, height, time) = (number(draft.at.seq), number(draft.at.height), Value::Integer(draft.at.time_ms));
        variables.push(("at", Cow::Owned(Value::map([("height", height), ("seq", seq), ("time", time)]))));
    }
    variables
}

pub(super) fn evaluate(draft: &mut Draft<'_>, guard: &Guard, variables: &Variables<'_>) -> Result<Value, Stop> {
    let bound: Vec<_> = variables.iter().map(|(name, value)| (*name, &**value)).collect();
    guard.evaluate(&bound, &mut draft.budget).map_err(|error| {
        if matches!(error, GuardError::Budget) {
            return over_budget().into();
        }
        let words = format!("`{}` can't be computed: {error}; mend the record's data", guard.source());
        Refused::new("workflow.guard", &[error.code()], words).into()
    })
}

pub(super) fn holds(draft: &mut Draft<'_>, guard: &Guard, variables: &Variables<'_>) -> Result<bool, Stop> {
    Ok(evaluate(draft, guard, variables)?.as_bool() == Some(true))
}

/// Looks up what the guards read, and asks them; the first that does not hold is told.
pub(super) fn check_guards<'a>(
    draft: &mut Draft<'_>,
    transition: &'a CompiledTransition,
    mut variables: Variables<'a>,
) -> Result<Variables<'a>, Stop> {
    for lookup in &transition.lookups {
        let id = evaluate(draft, &lookup.id, &variables)?;
        let id = id.as_text().unwrap_or_default();
        let trouble = match registry::entry(draft, &lookup.registry, id)? {
            Some(entry) => match registry::check_valid(draft, &entry)? {
                None => {
                    variables.push((&lookup.name, Cow::Owned(entry.form.data.clone())));
                    continue;
                }
                Some((_, words)) => words,
            },
            None => "is not registered".to_owned(),
        };
        let words = format!("{} ({} {id} {trouble})", lookup.otherwise, lookup.registry);
        return Err(Refused::new("workflow.guard", &[&lookup.registry, id], words).into());
    }
    for (number, requirement) in transition.requires.iter().enumerate() {
        if !holds(draft, &requirement.guard, &variables)? {
            let name = format!("{}.{}", transition.rule.name, number + 1);
            return Err(Refused::new("workflow.guard", &[&name], requirement.otherwise.to_string()).into());
        }
    }
    Ok(variables)
}
