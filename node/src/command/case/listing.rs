//! `annals case list`, `history`, `overdue` and `trace`: lines about many cases, or many acts.

use super::{act_name, last_day, period_name};
use crate::command::looking::{case_of, no_case_name, open_to_look};
use crate::command::moment;
use crate::command::table::{Table, plain};
use crate::exit::CommandError;
use crate::line::{CaseList, CaseOverdue};
use annals_contracts::days::Moment;
use annals_contracts::definition::Compiled;
use annals_contracts::platform::{ActRow, CaseFilter, TRACE_MAX};
use annals_contracts::registry::AGENCY;
use annals_contracts::workflow::Instance;
use annals_contracts::{View, parse_case};
use serde_json::json;
use std::io::Write as _;

pub(super) fn list(list: &CaseList) -> Result<u8, CommandError> {
    if let Some(after) = list.after.as_deref().filter(|after| parse_case(after).is_none()) {
        return Err(no_case_name(after));
    }
    let view = open_to_look(&list.dir)?;
    let filter = CaseFilter {
        agency: list.agency.clone(),
        state: list.state.clone(),
        open: list.open,
        after: list.after.clone(),
    };
    let most = list.limit as usize;
    let mut found = view.cases(&filter, most + 1)?;
    let more = most < found.len();
    found.truncate(most);
    let mut out = std::io::stdout().lock();
    let mut table =
        Table::new(["案件 case", "状态 state", "机关 agency", "步骤 acts", "下一期限 next period", "待签 waits"]);
    for instance in &found {
        let compiled = view.definition_of(instance)?;
        if list.json {
            let mut object = json!(instance);
            if let Some(map) = object.as_object_mut() {
                map.insert("case".to_owned(), json!(instance.name()));
                map.insert("ended".to_owned(), json!(compiled.is_final(&instance.state)));
            }
            writeln!(out, "{object}")?;
            continue;
        }
        let waits = instance.pending.as_ref().map_or_else(String::new, |pending| act_name(&compiled, &pending.act.act));
        table.row([
            instance.name(),
            compiled.state_label(&instance.state),
            instance.agency.clone(),
            instance.acts.to_string(),
            next_period(instance, &compiled),
            waits,
        ]);
    }
    if !list.json {
        if table.is_empty() { writeln!(out, "没有案件 no cases")? } else { table.write(&mut out)? }
    }
    if found.is_empty() {
        tell_unregistered(&view, list.agency.as_deref())?;
    }
    if let Some(last) = found.last().filter(|_| more) {
        say!("annals: there are more; go on with --after {}", last.name());
    }
    Ok(0)
}

/// Tells of an agency that is not registered: of one misspelt, "nothing" would pass for good news.
fn tell_unregistered(view: &View, agency: Option<&str>) -> Result<(), CommandError> {
    let Some(agency) = agency else { return Ok(()) };
    if view.entry(AGENCY, agency, None)?.is_none() {
        let agency = plain(agency);
        say!("annals: no agency {agency} is registered; `annals platform show DIR --registry agency` lists them");
    }
    Ok(())
}

/// The period that ends next, and its last day.
fn next_period(instance: &Instance, compiled: &Compiled) -> String {
    let tasks = instance.tasks.iter().filter_map(|(name, task)| Some((name, task.due.as_ref()?)));
    let running = instance.due.iter().chain(tasks).filter(|(_, period)| period.runs());
    let next = running.min_by_key(|(_, period)| period.at);
    next.map_or_else(String::new, |(name, period)| {
        let last = last_day(period.at, compiled.definition().utc_offset_minutes);
        format!("{last} {}", period_name(compiled, name))
    })
}

pub(super) fn history(view: &View, case: &str, as_json: bool) -> Result<u8, CommandError> {
    let instance = case_of(view, case)?;
    let compiled = view.definition_of(&instance)?;
    let mut out = std::io::stdout().lock();
    let mut table = Table::new([
        "#",
        "时间 time",
        "步骤 act",
        "状态 state",
        "签名 signed by",
        "依据 rests on",
        "附件 attached",
        "seq",
    ]);
    for act in view.history(&instance)? {
        if as_json {
            writeln!(out, "{}", json!(act))?;
            continue;
        }
        let offset_minutes = compiled.definition().utc_offset_minutes;
        let moved = if act.from == act.to {
            compiled.state_label(&act.to)
        } else {
            format!("→ {}", compiled.state_label(&act.to))
        };
        let attached: Vec<_> = act.attachments.iter().map(|it| it.name.as_str()).collect();
        table.row([
            act.number.to_string(),
            Moment { time_ms: act.time, offset_minutes }.to_string(),
            act_name(&compiled, &act.act),
            moved,
            signed_by(&act),
            act.parents.join(", "),
            attached.join(", "),
            act.seq.to_string(),
        ]);
    }
    if !as_json {
        table.write(&mut out)?;
    }
    Ok(0)
}

fn signed_by(act: &ActRow) -> String {
    if act.signers.is_empty() { "自动 by itself".to_owned() } else { act.signers.join(", ") }
}

pub(super) fn overdue(overdue: &CaseOverdue) -> Result<u8, CommandError> {
    let view = open_to_look(&overdue.dir)?;
    let offset = view.administration()?.utc_offset_minutes;
    let as_of = match &overdue.as_of {
        Some(text) => moment::parse(text, moment::Edge::End, offset)
            .ok_or_else(|| CommandError::Wrong(format!("--as-of {text}: no moment; {}", moment::FORMS)))?,
        None => view.now().time_ms,
    };
    let mut out = std::io::stdout().lock();
    let mut table =
        Table::new(["案件 case", "机关 agency", "状态 state", "期限 period", "截止 last day", "逾期 over", "现状 now"]);
    let most = overdue.limit as usize;
    let mut found = view.overdue(overdue.agency.as_deref(), as_of, most + 1)?;
    let more = most < found.len();
    found.truncate(most);
    if found.is_empty() {
        tell_unregistered(&view, overdue.agency.as_deref())?;
    }
    for late in found {
        let (agency, number) = parse_case(&late.case).unwrap_or_default();
        let Some(instance) = view.case(agency, number)? else { continue };
        let compiled = view.definition_of(&instance)?;
        let days = last_day(late.until, offset).0 - last_day(late.due, offset).0;
        if overdue.json {
            let mut object = json!(late);
            if let Some(map) = object.as_object_mut() {
                map.insert("days".to_owned(), json!(days));
                map.insert("last_day".to_owned(), json!(last_day(late.due, offset).to_string()));
            }
            writeln!(out, "{object}")?;
            continue;
        }
        table.row([
            late.case.clone(),
            late.agency.clone(),
            compiled.state_label(&late.state),
            period_name(&compiled, &late.name),
            last_day(late.due, offset).to_string(),
            format!("{days} 日 days"),
            if late.open { "未办 open" } else { "已办 done" }.to_owned(),
        ]);
    }
    if !overdue.json {
        if table.is_empty() { writeln!(out, "没有逾期 nothing is overdue")? } else { table.write(&mut out)? }
    }
    if more {
        say!("annals: there are more; say a higher --limit, or --agency");
    }
    Ok(0)
}

pub(super) fn trace(view: &View, case: &str, as_json: bool) -> Result<u8, CommandError> {
    let instance = case_of(view, case)?;
    let lines = view.trace(&instance)?;
    let mut out = std::io::stdout().lock();
    for line in &lines {
        if as_json {
            writeln!(out, "{}", json!(line))?;
            continue;
        }
        let (agency, number) = parse_case(&line.case).unwrap_or_default();
        let Some(instance) = view.case(agency, number)? else { continue };
        let compiled = view.definition_of(&instance)?;
        let time = Moment { time_ms: line.act.time, offset_minutes: compiled.definition().utc_offset_minutes };
        let indent = "  ".repeat(line.depth as usize);
        let (number, act, seq) = (line.act.number, act_name(&compiled, &line.act.act), line.act.seq);
        let rests = if 0 < line.depth { "↳ " } else { "" };
        let text = format!("{indent}{rests}{}#{number} {act}, {}, {time}, seq {seq}", line.case, signed_by(&line.act));
        writeln!(out, "{}", plain(&text))?;
        for document in &line.act.attachments {
            writeln!(out, "{}", plain(&format!("{indent}    {} blake3 {}", document.name, document.hash)))?;
        }
    }
    if TRACE_MAX <= lines.len() {
        say!("annals: the trace ends here, at {TRACE_MAX} acts; trace the cases it names");
    }
    Ok(0)
}
