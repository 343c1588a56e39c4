//! `annals case show`: where a case stands, and what may be done next.

use super::{act_name, last_day, period_name, role_name, signer_name};
use crate::command::form;
use crate::command::looking::case_of;
use crate::command::table::Table;
use crate::exit::CommandError;
use annals_contracts::View;
use annals_contracts::days::{Calendar, Day, Moment};
use annals_contracts::definition::{Compiled, CompiledTransition, SignerRule, Trigger, Unit};
use annals_contracts::workflow::{Instance, Period};
use serde_json::{Value as Json, json};
use std::io::{StdoutLock, Write as _};
use std::sync::Arc;

/// A case, and what its parts are measured by.
struct Shown<'a> {
    instance: &'a Instance,
    compiled: &'a Compiled,
    calendar: Arc<Calendar>,
    missing: Vec<SignerRule>,
    now_ms: i64,
    offset: i64,
}

pub(super) fn run(view: &View, case: &str, as_json: bool) -> Result<u8, CommandError> {
    let instance = case_of(view, case)?;
    let compiled = view.definition_of(&instance)?;
    let definition = compiled.definition();
    let shown = Shown {
        instance: &instance,
        compiled: &compiled,
        calendar: definition.calendar.as_deref().map(|id| view.calendar(id)).transpose()?.unwrap_or_default(),
        missing: view.missing_signers(&instance)?,
        now_ms: view.now().time_ms,
        offset: definition.utc_offset_minutes,
    };
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{}", shown.json())?;
    } else {
        shown.write(&mut out)?;
    }
    Ok(0)
}

/// How a period stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    Running,
    Paused,
    Passed,
}

impl Standing {
    const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Passed => "passed",
        }
    }
}

impl Shown<'_> {
    fn standing(&self, period: &Period) -> Standing {
        match period.left {
            _ if period.passed => Standing::Passed,
            Some(_) => Standing::Paused,
            // Its time has come, though no record has marked it yet.
            None if period.at <= self.now_ms => Standing::Passed,
            None => Standing::Running,
        }
    }

    /// Days left, in the period's unit; days since its end if it has passed.
    fn days(&self, period: &Period, unit: Unit) -> i64 {
        let (today, last) = (Day::of(self.now_ms, self.offset), last_day(period.at, self.offset));
        match self.standing(period) {
            Standing::Paused => period.left.unwrap_or_default(),
            Standing::Passed => (today.0 - last.0).max(0),
            Standing::Running if unit == Unit::Working => self.calendar.working_days_between(today, last),
            Standing::Running => (last.0 - today.0).max(0),
        }
    }

    fn days_words(&self, period: &Period, unit: Unit) -> String {
        let (days, what) =
            (self.days(period, unit), if unit == Unit::Working { "工作日 working days" } else { "日 days" });
        match self.standing(period) {
            Standing::Passed => format!("逾期 {days} 日 days over"),
            Standing::Paused => format!("中止，余 paused, {days} {what} left"),
            Standing::Running => format!("余 {days} {what} left"),
        }
    }

    /// The steps that may be asked for now, as far as the state says it.
    fn possible(&self) -> impl Iterator<Item = &CompiledTransition> {
        let state = &self.instance.state;
        let names = self.compiled.definition().transitions.iter().filter(move |each| {
            each.trigger == Trigger::Signed
                && (each.from.contains(state) || state.is_empty() && each.from.is_empty())
                && (!self.instance.suspended || each.when_suspended)
        });
        names.filter_map(|each| self.compiled.transition(&each.name))
    }

    /// What stands in the way of a step.
    fn obstacle(&self, step: &CompiledTransition) -> Option<String> {
        let held = step.rule.blocked_by.iter().find(|hold| self.instance.holds.contains_key(*hold));
        let late =
            step.rule.before.iter().find(|name| {
                self.instance.due.get(*name).is_some_and(|period| self.standing(period) == Standing::Passed)
            });
        match (held, late) {
            (Some(hold), _) => Some(format!("被查封、扣押或者程序锁定 held by {hold}")),
            (None, Some(name)) => Some(format!("逾期 late: {}", period_name(self.compiled, name))),
            (None, None) => None,
        }
    }

    fn write(&self, out: &mut StdoutLock<'_>) -> Result<(), CommandError> {
        let (instance, definition) = (self.instance, self.compiled.definition());
        let mut table = Table::default();
        table.row(["案件 case".to_owned(), instance.name()]);
        table.row([
            "程序 procedure".to_owned(),
            format!("{} ({}, version {})", definition.label, definition.name, definition.version),
        ]);
        let state = if instance.state.is_empty() {
            "尚未开始 not begun".to_owned()
        } else {
            format!("{} ({})", self.compiled.state_label(&instance.state), instance.state)
        };
        let suspended = if instance.suspended { ", 中止 suspended" } else { "" };
        table.row(["状态 state".to_owned(), format!("{state}{suspended}")]);
        table.row(["机关 agency".to_owned(), instance.agency.clone()]);
        let since = if instance.acts == 0 { String::new() } else { format!(", 自 since seq {}", instance.opened) };
        table.row(["步骤 acts".to_owned(), format!("{}{since}", instance.acts)]);
        for (name, value) in &instance.data {
            let label = definition.case.get(name).map_or_else(String::new, |field| field.label.to_string());
            table.row([if label.is_empty() { name.clone() } else { label }, form::words(value)]);
        }
        table.write(out)?;
        self.write_periods(out)?;
        self.write_tasks(out)?;
        let recused: Vec<_> = instance.recused.iter().map(String::as_str).collect();
        if !recused.is_empty() {
            writeln!(out, "\n回避 recused: {}", crate::command::table::plain(&recused.join(", ")))?;
        }
        for (hold, act) in &instance.holds {
            writeln!(out, "\n锁定 hold: {hold}, placed by act #{act}")?;
        }
        self.write_pending(out)?;
        self.write_possible(out)
    }

    fn write_periods(&self, out: &mut StdoutLock<'_>) -> Result<(), CommandError> {
        let mut table = Table::new(["期限 period", "依据 article", "截止 last day", "余 left"]).indented(2);
        for (name, period) in &self.instance.due {
            let deadline = self.compiled.deadline(name);
            let unit = deadline.map_or(Unit::Calendar, |deadline| deadline.unit);
            let article = deadline.map_or_else(String::new, |deadline| deadline.article.clone());
            let last = last_day(period.at, self.offset).to_string();
            table.row([period_name(self.compiled, name), article, last, self.days_words(period, unit)]);
        }
        for late in &self.instance.late {
            let last = last_day(late.due, self.offset).to_string();
            let done = Moment { time_ms: late.done, offset_minutes: self.offset }.to_string();
            table.row([
                period_name(self.compiled, &late.name),
                String::new(),
                last,
                format!("逾期完成 done late, {done}"),
            ]);
        }
        if !table.is_empty() {
            writeln!(out)?;
            table.write(out)?;
        }
        Ok(())
    }

    fn write_tasks(&self, out: &mut StdoutLock<'_>) -> Result<(), CommandError> {
        let mut table = Table::new(["待办 task", "由 for", "截止 last day", "余 left"]).indented(2);
        for (name, task) in &self.instance.tasks {
            let rule = self.compiled.task(name);
            let role = rule.map_or_else(String::new, |task| role_name(self.compiled, &task.role));
            let unit = rule.map_or(Unit::Calendar, |task| task.unit);
            let last = task.due.as_ref().map_or_else(String::new, |due| last_day(due.at, self.offset).to_string());
            let left = task.due.as_ref().map_or_else(String::new, |due| self.days_words(due, unit));
            table.row([period_name(self.compiled, name), role, last, left]);
        }
        if !table.is_empty() {
            writeln!(out)?;
            table.write(out)?;
        }
        Ok(())
    }

    fn write_pending(&self, out: &mut StdoutLock<'_>) -> Result<(), CommandError> {
        let Some(pending) = &self.instance.pending else { return Ok(()) };
        let names: Vec<_> = self.missing.iter().map(|rule| role_name(self.compiled, &rule.role)).collect();
        let since = Moment { time_ms: pending.since, offset_minutes: self.offset };
        writeln!(out)?;
        let mut table = Table::default();
        table.row([
            "待签 waits".to_owned(),
            format!("{}, seq {}, {since}", act_name(self.compiled, &pending.act.act), pending.seq),
        ]);
        table.row(["记录 record".to_owned(), pending.record.clone()]);
        table.row([
            "尚缺 missing".to_owned(),
            if names.is_empty() { "不再可签 can't be signed any more".to_owned() } else { names.join(", ") },
        ]);
        table.write(out)?;
        Ok(())
    }

    fn write_possible(&self, out: &mut StdoutLock<'_>) -> Result<(), CommandError> {
        let mut table =
            Table::new(["可办 possible now", "签名 signed by", "附件 attachments", "备注 remarks"]).indented(2);
        for step in self.possible() {
            let signers: Vec<_> = step.rule.signers.iter().map(|rule| signer_name(self.compiled, rule)).collect();
            let attached = step
                .attachments
                .iter()
                .map(|it| if it.when.is_some() { format!("{} (有时 sometimes)", it.name) } else { it.name.clone() });
            let attached: Vec<_> = attached.collect();
            let parent = step.rule.needs_parent.then(|| "需指明所依步骤 needs --parent".to_owned());
            let remarks: Vec<_> = self.obstacle(step).into_iter().chain(parent).collect();
            let name = act_name(self.compiled, &step.rule.name);
            table.row([name, signers.join(" + "), attached.join(", "), remarks.join("; ")]);
        }
        writeln!(out)?;
        if table.is_empty() {
            writeln!(out, "已无可办步骤 nothing can be done any more")?;
        } else {
            table.write(out)?;
        }
        Ok(())
    }

    fn period_json(&self, name: &str, period: &Period, unit: Unit) -> Json {
        json!({
            "name": name,
            "at": period.at,
            "last_day": last_day(period.at, self.offset).to_string(),
            "unit": unit,
            "standing": self.standing(period).name(),
            "days": self.days(period, unit),
        })
    }

    fn json(&self) -> Json {
        let (instance, compiled) = (self.instance, self.compiled);
        let definition = compiled.definition();
        let state = definition.states.iter().find(|state| state.name == instance.state);
        let deadlines = instance.due.iter().map(|(name, period)| {
            let deadline = compiled.deadline(name);
            let unit = deadline.map_or(Unit::Calendar, |deadline| deadline.unit);
            let mut object = self.period_json(name, period, unit);
            if let (Some(map), Some(deadline)) = (object.as_object_mut(), deadline) {
                map.insert("label".to_owned(), json!(deadline.label));
                map.insert("article".to_owned(), json!(deadline.article));
            }
            object
        });
        let tasks = instance.tasks.iter().map(|(name, task)| {
            let rule = compiled.task(name);
            let unit = rule.map_or(Unit::Calendar, |task| task.unit);
            let due = task.due.as_ref().map(|due| self.period_json(name, due, unit));
            json!({"name": name, "label": rule.map(|it| &it.label), "role": rule.map(|it| &it.role), "act": task.act, "due": due})
        });
        let possible = self.possible().map(|step| {
            json!({
                "act": step.rule.name,
                "label": step.rule.label,
                "article": step.rule.article,
                "payload": step.rule.payload,
                "signers": step.rule.signers,
                "attachments": step.rule.attachments,
                "needs_parent": step.rule.needs_parent,
                "obstacle": self.obstacle(step),
            })
        });
        json!({
            "case": instance.name(),
            "definition": instance.definition,
            "version": instance.version,
            "state": instance.state,
            "state_label": state.map(|state| &state.label),
            "ended": compiled.is_final(&instance.state),
            "suspended": instance.suspended,
            "agency": instance.agency,
            "acts": instance.acts,
            "opened": instance.opened,
            "data": instance.data,
            "done": instance.done,
            "deadlines": deadlines.collect::<Vec<_>>(),
            "late": instance.late,
            "tasks": tasks.collect::<Vec<_>>(),
            "holds": instance.holds,
            "recused": instance.recused,
            "pending": instance.pending,
            "missing_signers": self.missing,
            "possible": possible.collect::<Vec<_>>(),
            "trail": instance.trail,
        })
    }
}
