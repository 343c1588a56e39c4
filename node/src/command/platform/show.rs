//! `annals platform show`: what a platform is, and what its registries and grants say.

use super::procedure;
use super::putting::proposal_name;
use crate::command::form;
use crate::command::looking::open_to_look;
use crate::command::table::{Table, plain};
use crate::exit::CommandError;
use crate::line::PlatformShow;
use annals_contracts::View;
use annals_contracts::administration::Proposal;
use annals_contracts::days::{Day, Moment};
use annals_contracts::message::{EntryStatus, Grant};
use annals_contracts::registry::{Entry, RegistryType};
use annals_contracts::value::INTEGER_MAX;
use serde_json::json;
use std::io::{StdoutLock, Write as _};
use std::sync::Arc;

pub(super) fn run(show: &PlatformShow) -> Result<u8, CommandError> {
    if show.at.is_some() && show.registry.is_none() && show.policy.is_none() {
        return Err(CommandError::Usage("--at goes with --registry or --policy"));
    }
    let view = open_to_look(&show.dir)?;
    if let Some(at) = show.at.filter(|at| view.applied().next_seq <= *at) {
        return Err(CommandError::NotFound(format!("--at {at}: the ledger has {} records", view.applied().next_seq)));
    }
    let mut out = std::io::stdout().lock();
    match show.procedure.as_deref() {
        Some([name, act]) => return procedure::show_act(&mut out, &view, name, act, show.json),
        Some([name, ..]) => return procedure::show(&mut out, &view, name, show.json),
        _ => {}
    }
    match (show.registry.as_deref(), &show.policy) {
        (Some([registry, id]), _) => entry(&mut out, &view, registry, id, show),
        (Some([registry, ..]), _) => registry_entries(&mut out, &view, registry, show),
        (_, Some(action)) => grants(&mut out, &view, action, show),
        _ => platform(&mut out, &view, show.json),
    }
}

fn moment(time_ms: i64, offset_minutes: i64) -> String {
    match time_ms {
        0 => "始终 always".to_owned(),
        INTEGER_MAX => "长期 for ever".to_owned(),
        time_ms => Moment { time_ms, offset_minutes }.to_string(),
    }
}

/// The end of a validity: its last day where it ends with a day.
fn end(time_ms: i64, offset_minutes: i64) -> String {
    let last = Day::of(time_ms.saturating_sub(1), offset_minutes);
    if last.end_ms(offset_minutes) == time_ms { last.to_string() } else { moment(time_ms, offset_minutes) }
}

fn status(entry: &Entry, now_ms: i64, offset_minutes: i64) -> String {
    match (entry.form.status, entry.invalid_at(now_ms, offset_minutes)) {
        (EntryStatus::Suspended, _) => "停用 suspended",
        (EntryStatus::Revoked, _) => "吊销 revoked",
        (EntryStatus::Valid, None) => "有效 valid",
        (EntryStatus::Valid, Some(("expired", _))) => "过期 expired",
        (EntryStatus::Valid, Some(_)) => "未生效 not yet valid",
    }
    .to_owned()
}

fn entry_json(entry: &Entry, problem: Option<&str>) -> serde_json::Value {
    let mut object = json!(entry.form);
    if let Some(map) = object.as_object_mut() {
        map.insert("seq".to_owned(), json!(entry.seq));
        map.insert("valid_now".to_owned(), json!(problem.is_none()));
    }
    object
}

fn registry_type(view: &View, name: &str) -> Result<RegistryType, CommandError> {
    let registries = view.registries()?;
    let names: Vec<_> = registries.iter().map(|registry| registry.name.clone()).collect();
    let found = registries.into_iter().find(|registry| registry.name == name);
    found
        .ok_or_else(|| CommandError::NotFound(format!("there is no registry {name:?}; there are {}", names.join(", "))))
}

fn registry_entries(
    out: &mut StdoutLock<'_>,
    view: &View,
    registry: &str,
    show: &PlatformShow,
) -> Result<u8, CommandError> {
    let form = registry_type(view, registry)?;
    let (offset, now) = (view.administration()?.utc_offset_minutes, view.now().time_ms);
    let mut table = Table::new(["编号 id", "状态 status", "版本 version", "有效至 until", "内容 data"]);
    for id in view.entry_ids(registry, None, usize::MAX)? {
        let Some(entry) = view.entry(registry, &id, show.at)? else { continue };
        let problem = entry.invalid_at(now, offset).map(|(problem, _)| problem);
        if show.json {
            writeln!(out, "{}", entry_json(&entry, problem))?;
            continue;
        }
        let until = end(entry.form.until, offset);
        let data = form::line(&entry.form.data);
        table.row([id, status(&entry, now, offset), entry.form.version.to_string(), until, data]);
    }
    if !show.json {
        writeln!(out, "{} {}", plain(&form.label.to_string()), plain(registry))?;
        if table.is_empty() { writeln!(out, "(空 none)")? } else { table.write(out)? }
    }
    Ok(0)
}

fn entry(
    out: &mut StdoutLock<'_>,
    view: &View,
    registry: &str,
    id: &str,
    show: &PlatformShow,
) -> Result<u8, CommandError> {
    let form = registry_type(view, registry)?;
    let Some(entry) = view.entry(registry, id, show.at)? else {
        let when = show.at.map_or_else(String::new, |at| format!(" behind seq {at}"));
        return Err(CommandError::NotFound(format!("there is no {registry} {id}{when}")));
    };
    let (offset, now) = (view.administration()?.utc_offset_minutes, view.now().time_ms);
    if show.json {
        let problem = entry.invalid_at(now, offset).map(|(problem, _)| problem);
        writeln!(out, "{}", entry_json(&entry, problem))?;
        return Ok(0);
    }
    let mut table = Table::default();
    table.row([form.label.to_string(), entry.form.id.clone()]);
    table.row(["状态 status".to_owned(), status(&entry, now, offset)]);
    table.row(["版本 version".to_owned(), format!("{}, seq {}", entry.form.version, entry.seq)]);
    table.row(["自 from".to_owned(), moment(entry.form.from, offset)]);
    table.row(["至 until".to_owned(), end(entry.form.until, offset)]);
    for (name, value) in entry.form.data.as_map().into_iter().flatten() {
        let label = form.fields.get(name).map(|field| field.label.to_string()).filter(|label| !label.is_empty());
        table.row([label.unwrap_or_else(|| name.clone()), form::words(value)]);
    }
    table.write(out)?;
    Ok(0)
}

fn grants(out: &mut StdoutLock<'_>, view: &View, action: &str, show: &PlatformShow) -> Result<u8, CommandError> {
    let policy = view.policy(action, show.at)?;
    if policy.version == 0 {
        let actions = view.actions()?.join(", ");
        return Err(CommandError::NotFound(format!(
            "nothing is granted on {action:?}, so it is denied; there are grants on {actions}"
        )));
    }
    if show.json {
        let (grants, version, seq) = (&policy.grants, policy.version, policy.seq);
        writeln!(out, "{}", json!({"action": action, "version": version, "seq": seq, "grants": grants}))?;
        return Ok(0);
    }
    let offset = view.administration()?.utc_offset_minutes;
    let mut table = Table::new(["角色 role", "机关 agency", "步骤 acts", "自 from", "至 until"]);
    for Grant { acts, agency, from, role, until } in &policy.grants {
        table.row([role.clone(), agency.clone(), acts.join(","), moment(*from, offset), end(*until, offset)]);
    }
    writeln!(out, "授权 grants on {}, version {}, seq {}", plain(action), policy.version, policy.seq)?;
    table.write(out)?;
    Ok(0)
}

fn platform(out: &mut StdoutLock<'_>, view: &View, as_json: bool) -> Result<u8, CommandError> {
    let (administration, applied) = (view.administration()?, view.applied());
    let (definitions, proposals) = (view.definitions()?, view.proposals()?);
    if as_json {
        let versions = |(name, versions): &(String, Arc<annals_contracts::administration::Versions>)| {
            let list = versions.versions.iter().map(|(version, from)| json!({"version": version, "from_height": from}));
            json!({"name": name, "versions": list.collect::<Vec<_>>()})
        };
        let waiting = |(record, proposal): &(String, Arc<Proposal>)| {
            let Proposal { kind, payload, signers } = proposal.as_ref();
            json!({"record": record, "kind": kind, "payload": payload, "signers": signers})
        };
        let object = json!({
            "origin": view.reader().vkey().origin(),
            "vkey": view.reader().vkey().to_string(),
            "platform": administration.as_ref(),
            "definitions": definitions.iter().map(versions).collect::<Vec<_>>(),
            "registries": view.registries()?.iter().map(|registry| registry.name.clone()).collect::<Vec<_>>(),
            "actions": view.actions()?,
            "proposals": proposals.iter().map(waiting).collect::<Vec<_>>(),
            "records": applied.next_seq,
            "height": applied.height,
            "state_root": applied.root.to_string(),
        });
        writeln!(out, "{object}")?;
        return Ok(0);
    }
    let mut table = Table::default();
    table.row(["账本 ledger".to_owned(), view.reader().vkey().to_string()]);
    table.row(["服务 service".to_owned(), administration.service.clone()]);
    let signing = format!("{} 人签名 must sign, of {}", administration.threshold, administration.admins.len());
    table.row(["管理员 administrators".to_owned(), signing]);
    for admin in &administration.admins {
        table.row([String::new(), admin.clone()]);
    }
    table.row(["主机 host".to_owned(), administration.host.clone()]);
    table.row(["记录 records".to_owned(), format!("{}, height {}", applied.next_seq, applied.height)]);
    table.row(["状态根 state root".to_owned(), applied.root.to_string()]);
    table.write(out)?;
    for (name, versions) in &definitions {
        let label = view.definition(name)?.map_or_else(String::new, |it| it.definition().label.to_string());
        let list: Vec<_> =
            versions.versions.iter().map(|(version, from)| format!("{version} (height {from})")).collect();
        writeln!(out, "程序 procedure {name} {}: version {}", plain(&label), list.join(", "))?;
    }
    let registries: Vec<_> = view.registries()?.iter().map(|it| format!("{} {}", it.name, it.label)).collect();
    writeln!(out, "登记簿 registries: {}", plain(&registries.join(", ")))?;
    writeln!(out, "授权 grants on: {}", plain(&view.actions()?.join(", ")))?;
    for (record, proposal) in &proposals {
        let signed = proposal.signers.len();
        writeln!(
            out,
            "待签 waiting: {record} {}, {signed} of {} signed",
            plain(&proposal_name(proposal)),
            administration.threshold
        )?;
    }
    Ok(0)
}
