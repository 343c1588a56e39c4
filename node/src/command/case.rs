//! `annals case`: acting in cases, looking at them, and proving what became of a record.

mod listing;
mod show;
mod submit;

use super::looking::{open_to_look, open_to_submit};
use super::{platform, put};
use crate::exit::CommandError;
use crate::line::CaseOrder;
use annals_contracts::View;
use annals_contracts::days::Day;
use annals_contracts::definition::{Compiled, SignerRule};
use annals_contracts::workflow::Instance;
use std::path::Path;

pub(super) fn run(order: &CaseOrder) -> Result<u8, CommandError> {
    match order {
        CaseOrder::Submit(submission) => submit::run(submission),
        CaseOrder::Sign(signing) => platform::sign(signing, "case"),
        CaseOrder::Show { dir, case, json } => show::run(&*open_to_look(dir)?, case, *json),
        CaseOrder::List(list) => listing::list(list),
        CaseOrder::History { dir, case, json } => listing::history(&*open_to_look(dir)?, case, *json),
        CaseOrder::Overdue(overdue) => listing::overdue(overdue),
        CaseOrder::Trace { dir, case, json } => listing::trace(&*open_to_look(dir)?, case, *json),
        CaseOrder::Prove { dir, seq, out, accept_clock } => prove(dir, *seq, out.as_deref(), *accept_clock),
    }
}

fn prove(dir: &Path, seq: u64, out: Option<&Path>, accept_clock: bool) -> Result<u8, CommandError> {
    super::submitting::check_free(out)?;
    let platform = open_to_submit(dir, accept_clock)?;
    let encoded = platform.prove(seq)?.encode();
    let path = || out.unwrap_or(Path::new("-")).to_owned();
    let proof = encoded.map_err(|source| CommandError::Proof { path: path(), source })?;
    platform.close()?;
    put(out, format!("{proof}\n").as_bytes())?;
    Ok(0)
}

/// What people call the act that waits in a case.
pub(super) fn pending_name(view: &View, instance: &Instance) -> Result<String, CommandError> {
    let Some(pending) = &instance.pending else { return Ok(String::new()) };
    let compiled = view.definition_of(instance)?;
    Ok(act_name(&compiled, &pending.act.act))
}

/// What people call a step, with its name in the procedure.
pub(super) fn act_name(compiled: &Compiled, act: &str) -> String {
    compiled.transition(act).map_or_else(|| act.to_owned(), |step| format!("{} ({act})", step.rule.label))
}

/// What people call a role.
fn role_name(compiled: &Compiled, role: &str) -> String {
    compiled.definition().roles.get(role).map_or_else(|| role.to_owned(), ToString::to_string)
}

/// Whose signature a rule asks for, in words.
pub(super) fn signer_name(compiled: &Compiled, rule: &SignerRule) -> String {
    let role = role_name(compiled, &rule.role);
    let of = match rule.agency.as_str() {
        "case" => String::new(),
        "any" => ", 任何机关 any agency".to_owned(),
        field => format!(", {field}"),
    };
    if rule.count == 1 { format!("{role}{of}") } else { format!("{role}{of} ×{}", rule.count) }
}

/// What people call a period: a deadline, or a task.
fn period_name(compiled: &Compiled, name: &str) -> String {
    let label = compiled.deadline(name).map(|it| &it.label).or_else(|| compiled.task(name).map(|it| &it.label));
    label.map_or_else(|| name.to_owned(), ToString::to_string)
}

/// The last day of a period that ends at a moment.
fn last_day(at: i64, offset_minutes: i64) -> Day {
    Day::of(at.saturating_sub(1), offset_minutes)
}
