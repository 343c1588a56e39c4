//! `annals platform show --procedure`: the steps of a procedure, and what each asks for, before anybody is refused for it.

use crate::command::case::{act_name, signer_name};
use crate::command::table::{Table, plain};
use crate::exit::CommandError;
use annals_contracts::View;
use annals_contracts::definition::{Compiled, CompiledTransition, Trigger};
use annals_contracts::schema::{FieldSchema, Fields, Kind};
use serde_json::json;
use std::io::{StdoutLock, Write as _};
use std::sync::Arc;

fn found(view: &View, name: &str) -> Result<Arc<Compiled>, CommandError> {
    if let Some(compiled) = view.definition(name)? {
        return Ok(compiled);
    }
    let names: Vec<_> = view.definitions()?.into_iter().map(|(name, _)| name).collect();
    Err(CommandError::NotFound(format!("there is no procedure {name:?} now; there are {}", names.join(", "))))
}

/// All steps of a procedure.
pub(super) fn show(out: &mut StdoutLock<'_>, view: &View, name: &str, as_json: bool) -> Result<u8, CommandError> {
    let compiled = found(view, name)?;
    let definition = compiled.definition();
    if as_json {
        writeln!(out, "{}", json!(definition))?;
        return Ok(0);
    }
    writeln!(out, "{} ({name}, version {})", plain(&definition.label.to_string()), definition.version)?;
    let mut table = Table::new(["步骤 act", "自 from", "至 to", "签名 signed by", "依据 article"]);
    for rule in &definition.transitions {
        let signers = match rule.trigger {
            Trigger::Signed => {
                let signers: Vec<_> = rule.signers.iter().map(|signer| signer_name(&compiled, signer)).collect();
                signers.join(" + ")
            }
            Trigger::Automatic | Trigger::Deadline => "自动 by itself".to_owned(),
        };
        let from = if rule.from.is_empty() {
            "(新案 a new case)".to_owned()
        } else if definition.states.iter().filter(|state| !state.is_final).all(|state| rule.from.contains(&state.name))
        {
            "任何未结状态 any that is not final".to_owned()
        } else {
            rule.from.join(", ")
        };
        let to = rule.to.clone().unwrap_or_default();
        table.row([act_name(&compiled, &rule.name), from, to, signers, rule.article.clone()]);
    }
    table.write(out)?;
    Ok(0)
}

/// What one step asks for.
pub(super) fn show_act(
    out: &mut StdoutLock<'_>,
    view: &View,
    name: &str,
    act: &str,
    as_json: bool,
) -> Result<u8, CommandError> {
    let compiled = found(view, name)?;
    let Some(step) = compiled.transition(act) else {
        let names: Vec<_> = compiled.definition().transitions.iter().map(|each| each.name.as_str()).collect();
        return Err(CommandError::NotFound(format!("{name} has no step {act:?}; there are {}", names.join(", "))));
    };
    let payload = step.rule.payload.as_ref().and_then(|form| compiled.definition().payloads.get(form));
    let none = Fields::new();
    let fields = payload.map_or(&none, |payload| &payload.fields);
    if as_json {
        writeln!(out, "{}", json!({"procedure": name, "step": step.rule, "fields": fields}))?;
        return Ok(0);
    }
    writeln!(out, "{} {}", plain(&act_name(&compiled, act)), plain(&step.rule.article))?;
    let mut table = Table::new(["字段 field", "类型 type", "必填 must be there", "名称 label"]).indented(2);
    fields.iter().for_each(|(name, field)| field_rows(&mut table, name, field));
    if table.is_empty() {
        writeln!(out, "  没有字段 no fields")?
    } else {
        table.write(out)?
    }
    write_documents(out, step)?;
    for signer in &step.rule.signers {
        writeln!(out, "  签名 signed by {}", plain(&signer_name(&compiled, signer)))?;
    }
    if step.rule.needs_parent {
        writeln!(out, "  需指明所依步骤 needs --parent")?;
    }
    Ok(0)
}

fn write_documents(out: &mut StdoutLock<'_>, step: &CompiledTransition) -> Result<(), CommandError> {
    for document in &step.rule.attachments {
        let when = document.when.as_ref().map_or_else(String::new, |when| format!(", 如 if {when}"));
        writeln!(
            out,
            "  附件 --attach {}=FILE: {}{}",
            document.name,
            plain(&document.label.to_string()),
            plain(&when)
        )?;
    }
    Ok(())
}

/// A row for a field, and one for each that it holds.
fn field_rows(table: &mut Table, name: &str, field: &FieldSchema) {
    let needed = if field.optional { "" } else { "是 yes" };
    table.row([name.to_owned(), kind_name(field), needed.to_owned(), field.label.to_string()]);
    let (held, within) = match &field.of {
        Some(of) => (&of.fields, format!("{name}[]")),
        None => (&field.fields, name.to_owned()),
    };
    held.iter().for_each(|(inner, field)| field_rows(table, &format!("{within}.{inner}"), field));
}

/// What a field takes, in words.
fn kind_name(field: &FieldSchema) -> String {
    let kind = match field.kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Integer => "integer".to_owned(),
        Kind::Text if !field.one_of.is_empty() => field.one_of.join(" | "),
        Kind::Text => "text".to_owned(),
        Kind::Date => "date, 2025-03-04".to_owned(),
        Kind::Time => "moment, 2025-03-04T10:05:00+08:00".to_owned(),
        Kind::Hash => "BLAKE3, 64 digits".to_owned(),
        Kind::List => format!("list of {}", field.of.as_deref().map_or_else(String::new, kind_name)),
        Kind::Record => "fields below".to_owned(),
    };
    match (field.min, field.max) {
        (None, None) => kind,
        (Some(least), None) => format!("{kind}, at least {least}"),
        (None, Some(most)) => format!("{kind}, at most {most}"),
        (Some(least), Some(most)) => format!("{kind}, {least} to {most}"),
    }
}
