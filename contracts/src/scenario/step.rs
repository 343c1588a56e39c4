//! Steps, read: one verb each, and nothing beside it that the verb has no use for.

use super::form::{
    CheckForm, Damage, DeployLine, EntryLine, ExpectForm, GrantsForm, ProveAct, ProveForm, RaceForm, SampleForm,
    StepForm, When,
};
use super::moment;
use crate::label::Label;
use crate::service::value_of;
use crate::value::Value;
use std::collections::BTreeMap;

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    /// Its line in the file.
    pub(super) line: usize,
    /// What happens, as people say it.
    pub(super) sentence: Label,
    pub(super) verb: Verb,
    pub(super) expect: Expect,
    /// What must have happened in its block.
    pub(super) events: Vec<String>,
    /// The name by which later steps know its record.
    pub(super) name: Option<String>,
    /// The name by which later steps know the state root before it.
    pub(super) remember: Option<String>,
}

/// What a step does.
#[derive(Debug)]
pub(super) enum Verb {
    Act(ActStep),
    Sign { name: String, by: String },
    Run(Vec<Item>),
    At(i64),
    Entry(EntryLine, Hands),
    Grants(GrantsForm, Hands),
    Deploy(DeployLine, Hands),
    Check(Box<CheckForm>),
    Prove(ProveStep),
    Race { acts: Vec<ActStep>, accepted: usize },
    Replay { until: Option<String> },
}

/// An item of a run.
#[derive(Debug)]
pub(super) enum Item {
    Act(ActStep),
    At(i64),
}

/// A signed act, with its sample.
#[derive(Clone, Debug)]
pub(super) struct ActStep {
    pub(super) act: String,
    pub(super) case: String,
    pub(super) by: String,
    pub(super) with: Vec<String>,
    pub(super) data: BTreeMap<String, Value>,
    pub(super) attach: BTreeMap<String, String>,
    pub(super) parents: Vec<String>,
    pub(super) definition: Option<String>,
    pub(super) damage: Option<Damage>,
}

/// A proof, and what it must say.
#[derive(Debug)]
pub(super) struct ProveStep {
    pub(super) of: Proven,
    pub(super) status: &'static str,
    /// The code of a refusal, if the step says it.
    pub(super) code: Option<String>,
}

/// The record whose outcome is proved.
#[derive(Debug)]
pub(super) enum Proven {
    /// That of an act.
    Act { case: String, act: String },
    /// That of a step with a name.
    Step(String),
}

/// Who puts something; the administrators unless said.
#[derive(Clone, Debug)]
pub(super) struct Hands {
    pub(super) by: Option<String>,
    pub(super) with: Option<Vec<String>>,
}

/// What is expected of a step's last submission.
#[derive(Clone, Debug)]
pub(super) enum Expect {
    Accepted,
    Waiting,
    Refused { code: String, says: Vec<String>, when: When },
}

/// What goes with a verb: with every one that submits, and with each of them.
const EXPECTED: &[&str] = &["expect", "refused", "says", "when", "events", "as", "remember"];
const ACT: &[&str] = &["case", "by", "with", "data", "attach", "parents", "without", "definition", "damaged"];

impl StepForm {
    /// The verbs that are there.
    fn verbs(&self) -> Vec<&'static str> {
        let all = [
            ("act", self.act.is_some()),
            ("sign", self.sign.is_some()),
            ("run", self.run.is_some()),
            ("at", self.at.is_some()),
            ("entry", self.entry.is_some()),
            ("grants", self.grants.is_some()),
            ("deploy", self.deploy.is_some()),
            ("check", self.check.is_some()),
            ("prove", self.prove.is_some()),
            ("race", self.race.is_some()),
            ("replay", self.replay.is_some()),
        ];
        all.into_iter().filter_map(|(name, is_there)| is_there.then_some(name)).collect()
    }

    /// What else is there.
    fn others(&self) -> Vec<&'static str> {
        let all = [
            ("case", self.case.is_some()),
            ("by", self.by.is_some()),
            ("with", self.with.is_some()),
            ("data", self.data.is_some()),
            ("attach", self.attach.is_some()),
            ("parents", self.parents.is_some()),
            ("without", self.without.is_some()),
            ("definition", self.definition.is_some()),
            ("damaged", self.damaged.is_some()),
            ("as", self.name.is_some()),
            ("remember", self.remember.is_some()),
            ("of", self.of.is_some()),
            ("until", self.until.is_some()),
            ("accepted", self.accepted.is_some()),
            ("expect", self.expect.is_some()),
            ("refused", self.refused.is_some()),
            ("says", self.says.is_some()),
            ("when", self.when.is_some()),
            ("events", self.events.is_some()),
        ];
        all.into_iter().filter_map(|(name, is_there)| is_there.then_some(name)).collect()
    }

    /// The one verb, and whether everything else goes with it.
    fn verb(&self) -> Result<&'static str, String> {
        let [verb] = self.verbs()[..] else {
            return Err(format!("a step has one verb, this one has {:?}", self.verbs()));
        };
        let hands: &[&str] = &["by", "with"];
        let (own, expected): (&[&str], &[&str]) = match verb {
            "act" => (ACT, EXPECTED),
            "sign" => (&["by"], EXPECTED),
            "entry" | "grants" | "deploy" => (hands, EXPECTED),
            "run" => (&["case"], &["events", "remember"]),
            "at" => (&[], &["events", "remember"]),
            "prove" => (&["of"], &["expect", "refused"]),
            "race" => (&["accepted"], &["refused"]),
            "replay" => (&["until"], &[]),
            _ => (&[], &[]),
        };
        match self.others().into_iter().find(|name| !own.contains(name) && !expected.contains(name)) {
            Some(other) => Err(format!("{other} does not go with {verb}")),
            None => Ok(verb),
        }
    }

    fn expect(&self) -> Result<Expect, String> {
        match (self.expect, &self.refused) {
            (Some(_), Some(_)) => Err("expect and refused exclude each other".to_owned()),
            (_, Some(code)) => Ok(Expect::Refused {
                code: code.clone(),
                says: self.says.clone().unwrap_or_default(),
                when: self.when.unwrap_or_default(),
            }),
            _ if self.says.is_some() || self.when.is_some() => Err("says and when go with refused".to_owned()),
            (Some(ExpectForm::Waiting), None) => Ok(Expect::Waiting),
            (Some(ExpectForm::Accepted) | None, None) => Ok(Expect::Accepted),
        }
    }
}

/// What a step's file says of samples.
pub(super) type Samples = BTreeMap<String, SampleForm>;

impl Step {
    /// Reads a step.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub(super) fn read(line: usize, mut form: StepForm, samples: &Samples) -> Result<Self, String> {
        let verb_name = form.verb()?;
        let expect = form.expect()?;
        let hands = Hands { by: form.by.clone(), with: form.with.clone() };
        let verb = match verb_name {
            "act" => Verb::Act(act_step(&form, samples)?),
            "sign" => {
                let by = form.by.clone().ok_or("sign needs by: who signs")?;
                Verb::Sign { name: form.sign.take().unwrap_or_default(), by }
            }
            "run" => run(&form, samples)?,
            "at" => Verb::At(moment_of(&form.at.take().unwrap_or_default())?),
            "replay" => Verb::Replay { until: form.until.take() },
            "race" => race(&form, samples)?,
            "prove" => prove(&mut form)?,
            _ => match (form.entry.take(), form.grants.take(), form.deploy.take(), form.check.take()) {
                (Some(entry), ..) => Verb::Entry(checked_entry(entry)?, hands),
                (_, Some(grants), ..) => Verb::Grants(grants, hands),
                (_, _, Some(deploy), _) => Verb::Deploy(deploy, hands),
                (_, _, _, check) => Verb::Check(Box::new(check.unwrap_or_default().checked()?)),
            },
        };
        let events = form.events.take().unwrap_or_default();
        if !events.is_empty() && matches!(expect, Expect::Refused { .. }) {
            return Err("nothing happens where something is refused: events do not go with it".to_owned());
        }
        let sentence = Label { zh: form.zh, en: form.en };
        Ok(Self { line, sentence, verb, expect, events, name: form.name, remember: form.remember })
    }
}

fn moment_of(text: &str) -> Result<i64, String> {
    moment::parse(text).ok_or_else(|| format!("{text:?} is no moment; write it as 2025-03-04T09:00:00+08:00"))
}

fn checked_entry(entry: EntryLine) -> Result<EntryLine, String> {
    for time in [&entry.from, &entry.until].into_iter().flatten() {
        moment_of(time)?;
    }
    match (&entry.id, &entry.person) {
        (Some(_), None) | (None, Some(_)) => Ok(entry),
        _ => Err("an entry has an id, or is the credential of a person".to_owned()),
    }
}

fn run(form: &StepForm, samples: &Samples) -> Result<Verb, String> {
    let case = form.case.clone().ok_or("run needs a case")?;
    let mut items = Vec::new();
    for item in form.run.iter().flatten() {
        items.push(match item.strip_prefix('@') {
            Some(moment) => Item::At(moment_of(moment)?),
            None => {
                if !samples.contains_key(item) {
                    return Err(format!("there is no sample of {item}"));
                }
                let one = StepForm { act: Some(item.clone()), case: Some(case.clone()), ..StepForm::default() };
                Item::Act(act_step(&one, samples)?)
            }
        });
    }
    Ok(Verb::Run(items))
}

fn race(form: &StepForm, samples: &Samples) -> Result<Verb, String> {
    let accepted = form.accepted.ok_or("race needs accepted: how many are")?;
    if form.refused.is_none() {
        return Err("race needs refused: the code of all others".to_owned());
    }
    let mut acts = Vec::new();
    for RaceForm { act, case, by, data } in form.race.clone().unwrap_or_default() {
        let one = StepForm { act: Some(act), case: Some(case), by, data, ..StepForm::default() };
        acts.push(act_step(&one, samples)?);
    }
    Ok(Verb::Race { acts, accepted })
}

fn prove(form: &mut StepForm) -> Result<Verb, String> {
    let of = match (form.prove.take(), form.of.take()) {
        (Some(ProveForm::Act(ProveAct { case, act })), None) => Proven::Act { case, act },
        (Some(ProveForm::Word(word)), Some(name)) if word == "attempt" => Proven::Step(name),
        _ => return Err("prove is { case, act }, or \"attempt\" with of".to_owned()),
    };
    let code = form.refused.take();
    let is_attempt = matches!(of, Proven::Step(_));
    let status = match form.expect {
        Some(ExpectForm::Waiting) => return Err("a proof shows what is accepted or refused".to_owned()),
        None if is_attempt || code.is_some() => "refused",
        Some(ExpectForm::Accepted) | None => "accepted",
    };
    Ok(Verb::Prove(ProveStep { of, status, code }))
}

/// An act with what its sample says where the step says nothing.
fn act_step(form: &StepForm, samples: &Samples) -> Result<ActStep, String> {
    let act = form.act.clone().unwrap_or_default();
    let case = form.case.clone().ok_or_else(|| format!("{act} needs a case"))?;
    let sample = samples.get(&act).cloned().unwrap_or_default();
    let by = form.by.clone().or(sample.by).ok_or_else(|| format!("{act} has no sample and no by: who signs it"))?;
    let (mut fields, mut attach) = (sample.data, sample.attach);
    fields.extend(form.data.clone().unwrap_or_default());
    attach.extend(form.attach.clone().unwrap_or_default());
    for left_out in form.without.iter().flatten() {
        let was_there = match left_out.strip_prefix("attach.") {
            Some(document) => attach.remove(document).is_some(),
            None => fields.remove(left_out).is_some(),
        };
        if !was_there {
            return Err(format!("without names {left_out}, which {act} has not"));
        }
    }
    Ok(ActStep {
        act,
        case,
        by,
        // What is damaged is refused before anybody else is asked to sign.
        with: form.with.clone().unwrap_or(if form.damaged.is_some() { Vec::new() } else { sample.with }),
        data: fields_of(fields)?,
        attach,
        parents: form.parents.clone().unwrap_or_default(),
        definition: form.definition.clone(),
        damage: form.damaged,
    })
}

/// The values of a TOML table.
pub(super) fn fields_of(table: toml::Table) -> Result<BTreeMap<String, Value>, String> {
    table.into_iter().map(|(name, value)| Ok((name, value_of(value)?))).collect()
}
