//! Signing: whether those who signed are those whom a transition asks for.
//!
//! Every signer stands for himself: the key whose signature holds, and the officer to whom the registry gives that key now. A name in
//! a payload is nobody's signature. Different signatures are different officers, not only different keys.

use super::instance::Instance;
use crate::definition::{Compiled, CompiledTransition, SignerRule};
use crate::draft::{Draft, Stop};
use crate::message::Act;
use crate::officer::Officer;
use crate::outcome::Refused;
use crate::policy;
use crate::value::Value;
use std::sync::Arc;

/// Holds the officers who signed against a transition's rules.
///
/// Returns whose signatures are missing.
pub(super) fn missing<'a>(
    draft: &mut Draft<'_>,
    instance: &Instance,
    compiled: &Compiled,
    transition: &'a CompiledTransition,
    act: &Act,
    officers: &[Arc<Officer>],
) -> Result<Vec<&'a SignerRule>, Stop> {
    let definition = compiled.definition();
    let policy = policy::policy(draft, &definition.name)?;
    let time_ms = draft.at.time_ms;
    // Who signs in one role does so by what that role was granted, whatever other roles he has.
    let is_granted = |rule: &SignerRule, officer: &Officer| {
        policy.allows(&act.act, std::slice::from_ref(&rule.role), &officer.agency, time_ms)
    };
    for (index, officer) in officers.iter().enumerate() {
        let earlier = officers.get(..index).unwrap_or_default();
        check_person(instance, officer, earlier)?;
        check_scope(instance, compiled, act, officer)?;
        let mut fitting = transition.rule.signers.iter().filter(|rule| fits(rule, instance, act, officer)).peekable();
        if fitting.peek().is_none() {
            return Err(misfit(transition, compiled, instance, act, officer).into());
        }
        if !fitting.any(|rule| is_granted(rule, officer)) {
            let words = format!(
                "no grant lets {} of {} do {} ({}) now; an administrator grants it",
                officer.officer, officer.agency, transition.rule.label, act.act
            );
            return Err(Refused::new("policy.denied", &[&act.act, &officer.officer], words).into());
        }
    }
    let mut places: Vec<&'a SignerRule> = Vec::new();
    for rule in &transition.rule.signers {
        places.extend(std::iter::repeat_n(rule, rule.count as usize));
    }
    let mut taken = vec![None; places.len()];
    for officer in 0..officers.len() {
        if !seat(officer, &mut vec![false; places.len()], &mut taken, &|officer, place| {
            let (Some(officer), Some(rule)) = (officers.get(officer), places.get(place)) else { return false };
            fits(rule, instance, act, officer) && is_granted(rule, officer)
        }) {
            let name = officers.get(officer).map_or("", |officer| officer.officer.as_str());
            let words =
                format!("{name} can't sign in addition: the places for that role are taken; another role must sign");
            return Err(Refused::new("signer.role", &[name], words).into());
        }
    }
    Ok(places.into_iter().zip(taken).filter(|(_, taken)| taken.is_none()).map(|(rule, _)| rule).collect())
}

/// Gives an officer a place, moving others where that makes room (an augmenting path); at most 8 places.
fn seat(
    officer: usize,
    tried: &mut Vec<bool>,
    taken: &mut Vec<Option<usize>>,
    fits: &dyn Fn(usize, usize) -> bool,
) -> bool {
    for place in 0..taken.len() {
        if tried.get(place) != Some(&false) || !fits(officer, place) {
            continue;
        }
        if let Some(tried) = tried.get_mut(place) {
            *tried = true;
        }
        let holder = taken.get(place).copied().flatten();
        if holder.is_none_or(|holder| seat(holder, tried, taken, fits)) {
            if let Some(slot) = taken.get_mut(place) {
                *slot = Some(officer);
            }
            return true;
        }
    }
    false
}

fn check_person(instance: &Instance, officer: &Officer, earlier: &[Arc<Officer>]) -> Result<(), Refused> {
    if earlier.iter().any(|other| other.officer == officer.officer || other.key == officer.key) {
        let words = format!("{} has signed already; a different officer must sign too", officer.officer);
        return Err(Refused::new("signer.twice", &[&officer.officer], words));
    }
    if instance.recused.contains(&officer.officer) {
        let words = format!("{} is recused from this case; another officer acts in it", officer.officer);
        return Err(Refused::new("signer.recused", &[&officer.officer], words));
    }
    Ok(())
}

/// Whether an officer's credential covers the field of work in which a case lies, as far as that is known.
pub(super) fn check_scope(
    instance: &Instance,
    compiled: &Compiled,
    act: &Act,
    officer: &Officer,
) -> Result<(), Refused> {
    let Some(field) = &compiled.definition().scope_field else { return Ok(()) };
    let in_case = instance.data.get(field).and_then(Value::as_text);
    let Some(scope) = in_case.or_else(|| act.data.get(field).and_then(Value::as_text)) else { return Ok(()) };
    if officer.scope.iter().any(|covered| covered == "*" || covered == scope) {
        return Ok(());
    }
    let words = format!(
        "the credential of {} covers {}, not {scope}; an officer of that field must sign",
        officer.officer,
        officer.scope.join(", ")
    );
    Err(Refused::new("signer.scope", &[&officer.officer, scope], words))
}

/// The agency that a rule asks for; none: any.
fn agency_of<'a>(rule: &SignerRule, instance: &'a Instance, act: &'a Act) -> Option<&'a str> {
    match rule.agency.as_str() {
        "any" => None,
        "case" => Some(&instance.agency),
        field => Some(act.data.get(field.trim_start_matches("record.")).and_then(Value::as_text).unwrap_or_default()),
    }
}

fn fits(rule: &SignerRule, instance: &Instance, act: &Act, officer: &Officer) -> bool {
    officer.roles.contains(&rule.role) && agency_of(rule, instance, act).is_none_or(|agency| agency == officer.agency)
}

/// Why an officer fits no rule.
fn misfit(
    transition: &CompiledTransition,
    compiled: &Compiled,
    instance: &Instance,
    act: &Act,
    officer: &Officer,
) -> Refused {
    let of_role = transition.rule.signers.iter().find(|rule| officer.roles.contains(&rule.role));
    let what = &transition.rule.label;
    match of_role {
        Some(rule) => {
            let agency = agency_of(rule, instance, act).unwrap_or_default();
            let words =
                format!("{what} is signed by an officer of {agency}; {} is of {}", officer.officer, officer.agency);
            Refused::new("signer.agency", &[&officer.officer, agency], words)
        }
        None => {
            let role = |rule: &SignerRule| {
                let label = compiled.definition().roles.get(&rule.role);
                label.map_or_else(|| rule.role.clone(), ToString::to_string)
            };
            let wanted: Vec<_> = transition.rule.signers.iter().map(role).collect();
            let words = format!(
                "{what} is signed by {}; the credential of {} says {}",
                wanted.join(" and "),
                officer.officer,
                officer.roles.join(", ")
            );
            let names: Vec<_> = transition.rule.signers.iter().map(|rule| rule.role.as_str()).collect();
            Refused::new("signer.role", &names, words)
        }
    }
}
