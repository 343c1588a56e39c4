//! Periods of law against a count of days that is done here, one day after the other.

use crate::desk::{DAY_MS, DEFINITION, Desk, START_MS, act, entry, file};
use annals_contracts::message::{EntryForm, REGISTRY, encode};
use annals_contracts::{Status, Value};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// The desk's procedure, in which officers may suspend, resume and extend.
fn definition(days: u32, unit: &str) -> String {
    let part = r#"
[[transition]]
name = "pause"
label = { zh = "中止", en = "Pause" }
from = ["filed"]
signers = [{ role = "officer" }]
effects = { suspend = true }
[[transition]]
name = "resume"
label = { zh = "恢复", en = "Resume" }
from = ["filed"]
signers = [{ role = "officer" }]
when_suspended = true
effects = { resume = true }
[[transition]]
name = "extend"
label = { zh = "延长", en = "Extend" }
from = ["filed"]
signers = [{ role = "officer" }]
when_suspended = true
effects = { extend = { deadline = "decide", days = 7 } }
"#;
    let rule = format!("days = {days}\nunit = \"{unit}\"");
    let text = DEFINITION.replace("days = 20\nunit = \"working\"", &rule);
    assert!(text.contains(&rule));
    format!("{text}\n{part}")
}

/// Days of the desk's clock on which nobody works, counted from its first day, a Tuesday.
#[derive(Clone, Debug)]
struct Off(BTreeSet<i64>);

impl Off {
    fn works(&self, day: i64) -> bool {
        // Day 0 is a Tuesday, so days 4 and 5 of each week are the weekend.
        !matches!(day.rem_euclid(7), 4 | 5) && !self.0.contains(&day)
    }

    /// The day at whose end a period ends that began on a day.
    fn last(&self, from: i64, days: i64, is_working: bool) -> i64 {
        let mut last = from;
        let mut left = days;
        while 0 < left {
            last += 1;
            left -= i64::from(!is_working || self.works(last));
        }
        while !self.works(last) {
            last += 1;
        }
        last
    }

    /// Days of a period that are left behind a day.
    fn left(&self, today: i64, last: i64, is_working: bool) -> i64 {
        i64::try_from((today + 1..=last).filter(|day| !is_working || self.works(*day)).count()).unwrap()
    }

    fn entry(&self, version: u64) -> EntryForm {
        let date = |day: &i64| Value::from(annals_contracts::days::Day(20_151 + day).to_string());
        let data = Value::map([
            ("holidays", Value::List(self.0.iter().map(date).collect())),
            ("workdays", Value::List(Vec::new())),
        ]);
        EntryForm { version, ..entry("calendar", "cn", data) }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Wait(i64),
    Pause,
    Resume,
    Extend,
    Calendar(BTreeSet<i64>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..12_i64).prop_map(Step::Wait),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => Just(Step::Extend),
        1 => prop::collection::btree_set(1..60_i64, 0..12).prop_map(Step::Calendar),
    ]
}

/// What the desk's deadline is by our own count.
struct Count {
    off: Off,
    is_working: bool,
    today: i64,
    /// From which day, how many days, and the last of them.
    runs: (i64, i64, i64),
    left: Option<i64>,
}

impl Count {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Wait(days) => self.today += days,
            Step::Pause => self.left = Some(self.off.left(self.today, self.runs.2, self.is_working)),
            Step::Resume => {
                if let Some(left) = self.left.take() {
                    self.runs = (self.today, left, self.off.last(self.today, left, self.is_working));
                }
            }
            Step::Extend => match &mut self.left {
                Some(left) => *left += 7,
                None => {
                    // One that kept its end, though its days would have been over before, goes on from there.
                    if self.off.last(self.runs.0, self.runs.1, self.is_working) != self.runs.2 {
                        (self.runs.0, self.runs.1) = (self.runs.2, 0);
                    }
                    self.runs.1 += 7;
                    self.runs.2 = self.off.last(self.runs.0, self.runs.1, self.is_working);
                }
            },
            Step::Calendar(days) => {
                self.off = Off(days.clone());
                let last = self.off.last(self.runs.0, self.runs.1, self.is_working);
                if self.left.is_none() && self.today <= last {
                    self.runs.2 = last;
                }
            }
        }
    }
}

fn run(desk: &mut Desk, step: &Step, count: &Count, versions: &mut u64) {
    let does = |desk: &mut Desk, name: &str| {
        assert_eq!(desk.act("ann", &act(name, "1")).1.unwrap(), Status::Accepted, "{name}");
    };
    match step {
        Step::Wait(_) => desk.set_day(u64::try_from(count.today).unwrap()),
        Step::Pause => does(desk, "pause"),
        Step::Resume => does(desk, "resume"),
        Step::Extend => does(desk, "extend"),
        Step::Calendar(_) => {
            *versions += 1;
            let payload = encode(&count.off.entry(*versions));
            assert_eq!(desk.administer("root", REGISTRY, &payload).unwrap(), Status::Accepted);
        }
    }
}

fn events(desk: &Desk, name: &str) -> Vec<u64> {
    let heights = 1..=desk.platform.applied().height;
    let count = |height: &u64| {
        let list = desk.platform.block_list(*height).unwrap();
        list.iter().filter(|entry| entry.get("event").and_then(Value::as_text) == Some(name)).count()
    };
    heights.flat_map(|height| std::iter::repeat_n(height, count(&height))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// A deadline stands at the day that we count, passes once, in the first block at or behind its end, and not before.
    #[test]
    fn a_deadline_passes_when_its_days_are_over(
        days in 1..25_u32, is_working in any::<bool>(), steps in prop::collection::vec(step(), 0..10),
    ) {
        let unit = if is_working { "working" } else { "calendar" };
        let mut desk = Desk::with(&definition(days, unit));
        let off = Off(BTreeSet::from([31, 58, 59, 62]));
        let mut versions = 2;
        desk.administer("root", REGISTRY, &encode(&off.entry(2))).unwrap();
        prop_assert_eq!(desk.act("ann", &file("1")).1.unwrap(), Status::Accepted);
        let last = off.last(0, i64::from(days), is_working);
        let mut count = Count { off, is_working, today: 0, runs: (0, i64::from(days), last), left: None };
        for step in &steps {
            let is_late = count.left.is_none() && count.runs.2 < count.today;
            if is_late || matches!((step, count.left), (Step::Pause, Some(_)) | (Step::Resume, None)) {
                continue;
            }
            count.take(step);
            let is_late = count.left.is_none() && count.runs.2 < count.today;
            if !is_late || matches!(step, Step::Wait(_)) {
                run(&mut desk, step, &count, &mut versions);
            }
            let period = desk.platform.case("A", "1").unwrap().unwrap().due["decide"].clone();
            prop_assert_eq!(period.left, count.left, "after {:?}", step);
            if count.left.is_none() {
                prop_assert_eq!(period.at, end_ms(count.runs.2), "after {:?}", step);
            }
        }
        if count.left.is_some() {
            count.take(&Step::Resume);
            run(&mut desk, &Step::Resume, &count, &mut versions);
        }
        let end = u64::try_from(end_ms(count.runs.2)).unwrap();
        if count.today <= count.runs.2 {
            desk.clock.set(end - 1).unwrap();
            desk.platform.tick().unwrap();
            prop_assert_eq!(desk.state("1"), "filed");
            desk.clock.set(end).unwrap();
        }
        prop_assert_eq!(events(&desk, "deadline.passed"), Vec::<u64>::new());
        desk.platform.tick().unwrap();
        prop_assert_eq!(desk.state("1"), "lapsed");
        let height = desk.platform.applied().height;
        desk.clock.set(end + 40 * DAY_MS).unwrap();
        desk.platform.tick().unwrap();
        prop_assert_eq!(events(&desk, "deadline.passed"), vec![height]);
        let moved = desk.administer("root", REGISTRY, &encode(&Off(BTreeSet::new()).entry(versions + 1)));
        prop_assert_eq!(moved.unwrap(), Status::Accepted);
        prop_assert_eq!(events(&desk, "deadline.passed"), vec![height]);
        desk.replays();
    }
}

/// The end of a day of the desk's clock, which begins at 10:05 in Beijing.
fn end_ms(day: i64) -> i64 {
    let midnight = i64::try_from(START_MS).unwrap() - (10 * 60 + 5) * 60_000;
    midnight + (day + 1) * i64::try_from(DAY_MS).unwrap()
}

#[test]
fn a_period_that_stood_still_keeps_its_days_when_the_calendar_changes() {
    let mut desk = Desk::with(&definition(10, "working"));
    desk.act("ann", &file("1")).1.unwrap();
    for (day, name) in [(1, "pause"), (8, "resume")] {
        desk.set_day(day);
        desk.act("ann", &act(name, "1")).1.unwrap();
    }
    let end = |desk: &Desk| desk.platform.case("A", "1").unwrap().unwrap().due["decide"].at;
    // Behind Wednesday, day 1, nine of ten days are left; from Wednesday, day 8, they go through Tuesday, day 21.
    assert_eq!(end(&desk), end_ms(21));
    let holiday = Off([20].into());
    desk.administer("root", REGISTRY, &encode(&holiday.entry(2))).unwrap();
    assert_eq!(end(&desk), end_ms(22));
    assert_eq!(events(&desk, "deadline.moved").len(), 1);
    desk.replays();
}

/// A period that stands still from the end of another on keeps the days it had then, whenever a block marked that the other ended.
#[test]
fn a_period_that_a_deadline_stops_loses_no_day() {
    let part = r#"
[[state]]
name = "resting"
label = { zh = "停", en = "Resting" }
[[transition]]
name = "rest"
label = { zh = "停", en = "Rest" }
trigger = "deadline"
from = ["filed"]
to = "resting"
[[transition]]
name = "wake"
label = { zh = "醒", en = "Wake" }
from = ["resting"]
to = "filed"
signers = [{ role = "officer" }]
[[deadline]]
name = "ripening"
label = { zh = "熟", en = "ripen" }
article = "Article 1"
days = 1
unit = "calendar"
starts_on = ["file"]
act = "rest"
[[deadline]]
name = "answering"
label = { zh = "答", en = "answer" }
article = "Article 2"
days = 10
unit = "calendar"
starts_on = ["file"]
pauses_in = ["resting"]
"#;
    for marked in [2, 5, 30] {
        let mut desk = Desk::with(&crate::hostile::definition_with(part));
        desk.act("ann", &file("1")).1.unwrap();
        desk.set_day(marked);
        desk.platform.tick().unwrap();
        let answering = desk.platform.case("A", "1").unwrap().unwrap().due["answering"].clone();
        assert_eq!((answering.left, answering.passed), (Some(9), false), "marked on day {marked}");
        desk.replays();
    }
}
