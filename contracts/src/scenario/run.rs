//! Running: one step after the other, up to the first that is not as expected.

use super::acting::{act, race, sign};
use super::checking::check;
use super::proving::{prove, replay};
use super::putting::{deploy, put_entry, set_grants};
use super::read::Scenario;
use super::report::{Failure, Report, Unlike};
use super::step::{Expect, Item, Step, Verb};
use super::world::World;
use crate::label::Label;
use crate::service::Service;
use crate::value::Value;
use std::path::Path;

impl Scenario {
    /// Runs it on a platform of its own, which is made in a directory of the caller's, missing or empty.
    ///
    /// The first step that is not as expected ends it. Behind the last one the ledger is replayed, whether or not a step asks for it.
    pub fn run(&self, service: &Service, directory: &Path) -> Report {
        let mut report = Report {
            rows: self.rows.clone(),
            title: self.title.clone(),
            path: self.path.clone(),
            sentences: self.steps.iter().map(|step| step.sentence.clone()).collect(),
            steps_passed: 0,
            failure: None,
        };
        report.failure = self.run_steps(service, directory, &mut report.steps_passed).err();
        report
    }

    fn run_steps(&self, service: &Service, directory: &Path, passed: &mut usize) -> Result<(), Failure> {
        let around = |step: usize, zh: &str, en: &str| {
            let sentence = Label { zh: zh.to_owned(), en: en.to_owned() };
            move |Unlike { expected, got }| Failure { step, line: None, sentence, expected, got }
        };
        let mut world = World::begin(self, service, directory).map_err(around(
            0,
            "建立平台，登记机构和人员。",
            "The platform begins; agencies and people are registered.",
        ))?;
        for (number, step) in (1..).zip(&self.steps) {
            run_step(&mut world, step).map_err(|Unlike { expected, got }| Failure {
                step: number,
                line: Some(step.line),
                sentence: step.sentence.clone(),
                expected,
                got,
            })?;
            *passed = number;
        }
        replay(&world, None).map_err(around(
            self.steps.len() + 1,
            "最后从头重放。",
            "At the end it is replayed from genesis.",
        ))?;
        // What it leaves is the caller's to remove; nobody reads it again.
        drop(world);
        Ok(())
    }
}

fn run_step(world: &mut World<'_>, step: &Step) -> Result<(), Unlike> {
    if let Some(name) = &step.remember {
        world.platform.catch_up()?;
        let applied = world.platform.applied();
        world.remembered.insert(name.clone(), (applied.height, applied.root));
    }
    let from_height = world.platform.applied().height + 1;
    let heights = match &step.verb {
        Verb::Act(acted) => block(act(world, acted, &step.expect, step.name.as_deref())?),
        Verb::Sign { name, by } => block(sign(world, name, by, &step.expect, step.name.as_deref())?),
        Verb::Run(items) => {
            run_items(world, items)?;
            Some((from_height, world.platform.applied().height))
        }
        Verb::At(time_ms) => block(Some(world.set_clock(*time_ms)?)),
        Verb::Entry(line, hands) => block(put_entry(world, line, hands, step)?),
        Verb::Grants(grants, hands) => block(set_grants(world, grants, hands, step)?),
        Verb::Deploy(form, hands) => block(deploy(world, form, hands, step)?),
        Verb::Check(form) => return check(world, form),
        Verb::Prove(proof) => return prove(world, proof),
        Verb::Race { acts, accepted } => return race(world, acts, *accepted, &step.expect),
        Verb::Replay { until } => return replay(world, until.as_deref()),
    };
    match heights {
        Some((first, last)) => check_events(world, &step.events, first, last),
        None => Ok(()),
    }
}

fn block(height: Option<u64>) -> Option<(u64, u64)> {
    height.map(|height| (height, height))
}

fn run_items(world: &mut World<'_>, items: &[Item]) -> Result<(), Unlike> {
    for item in items {
        match item {
            Item::At(time_ms) => world.set_clock(*time_ms).map(drop)?,
            Item::Act(step) => act(world, step, &Expect::Accepted, None)
                .map(drop)
                .map_err(|Unlike { expected, got }| Unlike::new(format!("{}: {expected}", step.act), got))?,
        }
    }
    Ok(())
}

/// Whether all that is expected happened in these blocks.
fn check_events(world: &World<'_>, expected: &[String], first: u64, last: u64) -> Result<(), Unlike> {
    if expected.is_empty() {
        return Ok(());
    }
    let mut happened = Vec::new();
    for height in first..=last {
        happened.extend(world.platform.block_list(height)?.iter().filter_map(event_words));
    }
    for wanted in expected {
        if !happened.iter().any(|words| fits(wanted, words)) {
            let told: Vec<_> = happened.iter().map(|words| words.join(" ")).collect();
            return Err(Unlike::new(format!("the event {wanted}"), format!("the events {}", told.join("; "))));
        }
    }
    Ok(())
}

/// An event's name, its case if it is about one, and what it is about.
pub(super) fn event_words(entry: &Value) -> Option<Vec<String>> {
    let mut words = vec![entry.get("event")?.as_text()?.to_owned()];
    words.extend(entry.get("case").and_then(Value::as_text).filter(|case| !case.is_empty()).map(str::to_owned));
    let about = entry.get("about").and_then(Value::as_list).unwrap_or_default();
    words.extend(about.iter().filter_map(|item| item.as_text().map(str::to_owned)));
    Some(words)
}

/// Whether words begin as they are expected to; `*` is any.
fn fits(wanted: &str, words: &[String]) -> bool {
    let wanted: Vec<_> = wanted.split_whitespace().collect();
    wanted.len() <= words.len() && wanted.iter().zip(words).all(|(wanted, word)| *wanted == "*" || wanted == word)
}
