//! Periods: when they end, standing still and going on, and the rows that find those that end next.
//!
//! A period's end is computed once and stored. A calendar that changes later moves the ends that are still to come, and says so; one
//! that has passed stays.

use super::instance::{Instance, Period};
use crate::days::{Calendar, Day};
use crate::definition::{Compiled, Definition, Unit};
use crate::draft::{Draft, Stop};
use crate::keys;
use crate::registry;
use std::sync::Arc;

/// What the name of a task's row begins with.
const TASK: &str = "task:";

/// What a row of a deadline is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Due<'a> {
    /// A period of law.
    Deadline(&'a str),
    /// A task's time.
    Task(&'a str),
}

impl<'a> Due<'a> {
    /// Reads a row's name.
    pub(super) fn parse(name: &'a str) -> Self {
        name.strip_prefix(TASK).map_or(Due::Deadline(name), Due::Task)
    }

    /// A row's name.
    fn name(self) -> String {
        match self {
            Self::Deadline(name) => name.to_owned(),
            Self::Task(name) => format!("{TASK}{name}"),
        }
    }

    fn row(self, case: &[u8], at: i64) -> Vec<u8> {
        keys::due_row(at, case, &self.name())
    }

    /// The period it is about, in a case.
    pub(super) fn of(self, instance: &mut Instance) -> Option<&mut Period> {
        match self {
            Self::Deadline(name) => instance.due.get_mut(name),
            Self::Task(name) => instance.tasks.get_mut(name)?.due.as_mut(),
        }
    }
}

/// How days are counted where a definition holds.
pub(super) struct Counting {
    calendar: Arc<Calendar>,
    offset_minutes: i64,
}

impl Counting {
    /// How a definition counts.
    pub(super) fn of(draft: &mut Draft<'_>, definition: &Definition) -> Result<Self, Stop> {
        let calendar = match &definition.calendar {
            Some(id) => registry::calendar(draft, id)?,
            None => Arc::default(),
        };
        Ok(Self { calendar, offset_minutes: definition.utc_offset_minutes })
    }

    pub(super) fn day(&self, time_ms: i64) -> Day {
        Day::of(time_ms, self.offset_minutes)
    }

    /// The first moment after a period.
    fn end(&self, event: Day, days: i64, unit: Unit) -> i64 {
        let last = match unit {
            Unit::Working => self.calendar.after_working_days(event, days),
            Unit::Calendar => self.calendar.after_calendar_days(event, days),
            Unit::Months => self.calendar.after_months(event, days),
        };
        last.end_ms(self.offset_minutes)
    }

    /// Days of a period that are left behind a day.
    fn left(&self, day: Day, at: i64, unit: Unit) -> i64 {
        let last = self.day(at - 1);
        match unit {
            Unit::Working => self.calendar.working_days_between(day, last),
            Unit::Calendar | Unit::Months => (last.0 - day.0).max(0),
        }
    }

    /// When a period ends whose unit this is.
    fn end_of(&self, period: &Period, unit: Unit) -> i64 {
        self.end(period.event(), period.days, if period.in_days { Unit::Calendar } else { unit })
    }

    /// Makes a period longer by so many of its unit.
    fn add(&self, period: &mut Period, days: i64, unit: Unit) {
        if let Some(left) = &mut period.left {
            let last = self.day(period.at - 1);
            // What is left of months is days, so further months are counted in days, too.
            *left += if unit == Unit::Months { self.calendar.after_months(last, days).0 - last.0 } else { days };
            return;
        }
        // What has an end of its own goes on from there: one that kept it when its calendar changed, or goes on in days.
        if self.end_of(period, unit) != period.at || period.in_days {
            (period.from, period.days, period.in_days) = (self.day(period.at - 1).0, 0, false);
        }
        period.days += days;
        period.at = self.end_of(period, unit);
    }

    /// Lets a period go on that stood still.
    fn go_on(&self, period: &mut Period, today: Day, unit: Unit) {
        period.days = period.left.take().unwrap_or_default();
        (period.from, period.in_days) = (today.0, unit == Unit::Months);
        period.at = self.end_of(period, unit);
    }

    /// A period that an event at this time begins.
    pub(super) fn begin(&self, draft: &mut Draft<'_>, days: i64, unit: Unit, event_ms: i64) -> Result<Period, Stop> {
        draft.spend(u32::try_from(days).unwrap_or(u32::MAX))?;
        let event = self.day(event_ms);
        let at = self.end(event, days, unit);
        Ok(Period { at, days, from: event.0, in_days: false, left: None, passed: false })
    }
}

/// Lets a row find the period when it ends.
pub(super) fn watch(draft: &mut Draft<'_>, case: &[u8], due: Due<'_>, period: &Period) -> Result<(), Stop> {
    if period.runs() { draft.put_row(due.row(case, period.at), *b"") } else { Ok(()) }
}

/// Removes its row.
pub(super) fn unwatch(draft: &mut Draft<'_>, case: &[u8], due: Due<'_>, period: &Period) -> Result<(), Stop> {
    if period.runs() { draft.remove_row(due.row(case, period.at)) } else { Ok(()) }
}

/// What ends first of a case's periods and tasks that run, if its time has come: a row's name.
pub(super) fn next_due(instance: &Instance, time_ms: i64) -> Option<String> {
    let deadlines = instance.due.iter().map(|(name, period)| (period, Due::Deadline(name)));
    let tasks = instance.tasks.iter().filter_map(|(name, task)| Some((task.due.as_ref()?, Due::Task(name))));
    let ended = deadlines.chain(tasks).filter(|(period, _)| period.runs() && period.at <= time_ms);
    ended.map(|(period, due)| (period.at, due.name())).min().map(|(_, name)| name)
}

/// Begins the deadlines that a transition begins, and ends those that it ends.
pub(super) fn turn(
    draft: &mut Draft<'_>,
    instance: &mut Instance,
    compiled: &Compiled,
    act: &str,
    event_ms: i64,
) -> Result<(), Stop> {
    let key = instance.key();
    for deadline in &compiled.definition().deadlines {
        let (ends, starts) =
            (deadline.ends_on.iter().any(|name| name == act), deadline.starts_on.iter().any(|name| name == act));
        let due = Due::Deadline(&deadline.name);
        if (ends || starts)
            && let Some(period) = instance.due.remove(&deadline.name)
        {
            unwatch(draft, &key, due, &period)?;
            if deadline.act.is_none() {
                instance.note_late(&deadline.name, &period, draft.at.time_ms);
            }
        }
        if starts {
            let counting = Counting::of(draft, compiled.definition())?;
            let period = counting.begin(draft, deadline.days, deadline.unit, event_ms)?;
            watch(draft, &key, due, &period)?;
            instance.due.insert(deadline.name.clone(), period);
        }
    }
    Ok(())
}

/// Makes a period longer that runs.
pub(super) fn extend(
    draft: &mut Draft<'_>,
    instance: &mut Instance,
    compiled: &Compiled,
    name: &str,
    days: i64,
) -> Result<(), Stop> {
    let (Some(deadline), Some(mut period)) = (compiled.deadline(name), instance.due.remove(name)) else {
        return Ok(());
    };
    let key = instance.key();
    unwatch(draft, &key, Due::Deadline(name), &period)?;
    let counting = Counting::of(draft, compiled.definition())?;
    counting.add(&mut period, days, deadline.unit);
    watch(draft, &key, Due::Deadline(name), &period)?;
    instance.due.insert(name.to_owned(), period);
    Ok(())
}

/// Lets periods stand still that do so in the case's state, and those go on that do not any more: what was left counts from the day
/// of the event, which is over when a block marks that a deadline has passed.
pub(super) fn settle(
    draft: &mut Draft<'_>,
    instance: &mut Instance,
    compiled: &Compiled,
    event_ms: i64,
) -> Result<(), Stop> {
    let (key, mut counting) = (instance.key(), None);
    for deadline in &compiled.definition().deadlines {
        let stands = instance.suspended && deadline.pauses || deadline.pauses_in.contains(&instance.state);
        let period =
            instance.due.get_mut(&deadline.name).filter(|period| !period.passed && period.left.is_some() != stands);
        let Some(period) = period else { continue };
        let counting = match &mut counting {
            Some(counting) => counting,
            none => none.insert(Counting::of(draft, compiled.definition())?),
        };
        let (event, due) = (counting.day(event_ms), Due::Deadline(&deadline.name));
        if stands {
            unwatch(draft, &key, due, period)?;
            period.left = Some(counting.left(event, period.at, deadline.unit));
        } else {
            counting.go_on(period, event, deadline.unit);
            watch(draft, &key, due, period)?;
        }
    }
    Ok(())
}

/// Computes the ends that are still to come anew, for a calendar that changed; returns the names of those that moved.
pub(super) fn recount(
    draft: &mut Draft<'_>,
    instance: &mut Instance,
    compiled: &Compiled,
) -> Result<Vec<String>, Stop> {
    let (key, counting, mut moved) = (instance.key(), Counting::of(draft, compiled.definition())?, Vec::new());
    let units = compiled.definition().deadlines.iter().map(|each| (Due::Deadline(&each.name), each.unit));
    let tasks = compiled.definition().tasks.iter().map(|each| (Due::Task(&each.name), each.unit));
    for (due, unit) in units.chain(tasks) {
        let Some(period) = due.of(instance).filter(|period| period.runs() && draft.at.time_ms < period.at) else {
            continue;
        };
        let at = counting.end_of(period, unit);
        // One that would have ended already by the new calendar keeps its end.
        if at == period.at || at <= draft.at.time_ms {
            continue;
        }
        unwatch(draft, &key, due, period)?;
        period.at = at;
        watch(draft, &key, due, period)?;
        let (Due::Deadline(name) | Due::Task(name)) = due;
        moved.push(name.to_owned());
    }
    Ok(moved)
}

/// Ends all periods and tasks of a case that has ended.
pub(super) fn end_all(draft: &mut Draft<'_>, instance: &mut Instance, compiled: &Compiled) -> Result<(), Stop> {
    let key = instance.key();
    for (name, period) in std::mem::take(&mut instance.due) {
        unwatch(draft, &key, Due::Deadline(&name), &period)?;
        if compiled.deadline(&name).is_some_and(|deadline| deadline.act.is_none()) {
            instance.note_late(&name, &period, draft.at.time_ms);
        }
    }
    for (name, task) in std::mem::take(&mut instance.tasks) {
        if let Some(period) = &task.due {
            unwatch(draft, &key, Due::Task(&name), period)?;
            instance.note_late(&name, period, draft.at.time_ms);
        }
    }
    Ok(())
}
