//! Advice: what is missing before a step may be taken, so that a refusal says what to do.

use super::instance::Instance;
use crate::definition::{Compiled, CompiledTransition, Transition, Trigger};
use crate::outcome::Refused;
use std::collections::{BTreeMap, VecDeque};

/// The refusal of a step that does not start from the case's state: names the steps before it.
pub(super) fn out_of_order(compiled: &Compiled, transition: &CompiledTransition, instance: &Instance) -> Refused {
    let (rule, state) = (&transition.rule, compiled.state_label(&instance.state));
    let missing = path(compiled, &instance.state, &rule.from);
    let labels: Vec<_> = missing.iter().map(|step| step.label.to_string()).collect();
    let names: Vec<_> = missing.iter().map(|step| step.name.as_str()).collect();
    let words = if compiled.is_final(&instance.state) {
        format!("{} is not possible: the case has ended in {state}", rule.label)
    } else if missing.is_empty() {
        format!(
            "{} is not possible any more: the case is in {state}; possible now: {}",
            rule.label,
            possible(compiled, &instance.state)
        )
    } else {
        format!("{} needs {} first: the case is in {state}", rule.label, labels.join(" → "))
    };
    Refused::new("workflow.order", &names, words)
}

/// The refusal of a step that the definition does not have.
pub(super) fn no_such_act(compiled: &Compiled, instance: &Instance, act: &str) -> Refused {
    let words = format!("there is no step {act:?}; possible now: {}", possible(compiled, &instance.state));
    Refused::new("workflow.no_such_act", &[act], words)
}

/// What may be done in a state, by name and label.
fn possible(compiled: &Compiled, state: &str) -> String {
    let starts = |each: &&Transition| {
        each.trigger == Trigger::Signed
            && (each.from.iter().any(|from| from == state) || state.is_empty() && each.from.is_empty())
    };
    let steps: Vec<_> = compiled
        .definition()
        .transitions
        .iter()
        .filter(starts)
        .map(|each| format!("{} ({})", each.name, each.label))
        .collect();
    if steps.is_empty() { "nothing".to_owned() } else { steps.join(", ") }
}

/// The shortest way from a state to one of others; empty if there is none.
fn path<'a>(compiled: &'a Compiled, from: &str, to: &[String]) -> Vec<&'a Transition> {
    let transitions = &compiled.definition().transitions;
    let mut came: BTreeMap<&str, (&str, &Transition)> = BTreeMap::new();
    let known = transitions.iter().flat_map(|each| &each.from).find(|start| *start == from);
    // From the definition's own words, so that the way back lives as long as they do.
    let Some(from) = known.map(String::as_str) else { return Vec::new() };
    let mut queue = VecDeque::from([from]);
    while let Some(state) = queue.pop_front() {
        if state != from && to.iter().any(|target| target == state) {
            return way_back(&came, from, state);
        }
        for step in transitions.iter().filter(|step| step.from.iter().any(|start| start == state)) {
            let Some(next) = step.to.as_deref().filter(|next| *next != from && !came.contains_key(next)) else {
                continue;
            };
            came.insert(next, (state, step));
            queue.push_back(next);
        }
    }
    Vec::new()
}

fn way_back<'a>(came: &BTreeMap<&str, (&'a str, &'a Transition)>, from: &str, state: &str) -> Vec<&'a Transition> {
    let Some((mut before, step)) = came.get(state).copied() else { return Vec::new() };
    let mut steps = vec![step];
    while before != from {
        let Some((earlier, step)) = came.get(before).copied() else { return Vec::new() };
        steps.push(step);
        before = earlier;
    }
    steps.reverse();
    steps
}
