//! Acts and signatures: signed, submitted, and held against what is expected of them.

use super::damage;
use super::form::{Damage, When};
use super::moment;
use super::report::{Unlike, same};
use super::run::event_words;
use super::step::{ActStep, Expect};
use super::world::{Checked, Delivered, Named, World, told};
use crate::apply::is_attempt;
use crate::keys;
use crate::message::{Act, AttachedForm, CASE};
use crate::outcome::{Refused, Status};
use crate::platform::ATTEMPTS_MAX;
use crate::value::Value;
use crate::workflow::Instance;
use annals::{Hex, Kind, RecordId};

/// How a key is refused that nobody registered.
const UNKNOWN: &str = "signer.unknown";

/// What a step's act says.
pub(super) fn form_of(world: &World<'_>, step: &ActStep) -> Act {
    let attached = |(name, text): (&String, &String)| AttachedForm {
        hash: Hex(blake3::hash(text.as_bytes()).as_bytes()).to_string(),
        name: name.clone(),
        size: text.len() as u64,
    };
    Act {
        act: step.act.clone(),
        attachments: step.attach.iter().map(attached).collect(),
        case: step.case.clone(),
        data: Value::Map(moment::fill_fields(&step.data, world.now_ms())),
        definition: step.definition.clone().or_else(|| world.opens(&step.act).map(str::to_owned)),
        parents: step.parents.clone(),
    }
}

/// A case as it stands; none if there is none.
pub(super) fn case_of(world: &World<'_>, name: &str) -> Result<Option<Instance>, Unlike> {
    let (agency, number) = keys::parse_case(name).ok_or_else(|| Unlike::form(format!("{name:?} is no case")))?;
    Ok(world.platform.case(agency, number)?)
}

/// Acts in a case, with those who sign too; returns the height of the last block.
pub(super) fn act(
    world: &mut World<'_>,
    step: &ActStep,
    expect: &Expect,
    name: Option<&str>,
) -> Result<Option<u64>, Unlike> {
    let payload = form_of(world, step).encode();
    let bytes = match step.damage {
        Some(damage) => damaged(world, step, &payload, damage)?,
        None => world.sign(&step.by, CASE, &payload, world.platform.id())?.bytes().to_vec(),
    };
    let mut signatures = vec![bytes];
    let record = annals::Record::parse(signatures.first().map(Vec::as_slice).unwrap_or_default())
        .map_err(|error| Unlike::broken(&error))?
        .record_id();
    for signer in &step.with {
        let signed = world.sign(signer, Kind::COUNTERSIGN, record.as_bytes(), world.platform.id())?;
        signatures.push(signed.bytes().to_vec());
    }
    submit(world, &signatures, &step.case, expect, name.map(|name| (name, record)))
}

fn damaged(world: &mut World<'_>, step: &ActStep, payload: &[u8], damage: Damage) -> Result<Vec<u8>, Unlike> {
    let payload = damage::payload(damage, payload).ok_or_else(|| Unlike::form("there is nothing to damage so"))?;
    let ledger = damage::ledger(damage, world.platform.id());
    let by = if damage == Damage::UnknownKey { damage::NOBODY } else { &step.by };
    let mut bytes = world.sign(by, CASE, &payload, ledger)?.bytes().to_vec();
    damage::record(damage, &mut bytes);
    Ok(bytes)
}

/// Signs a record that waits, or one that there is not.
pub(super) fn sign(
    world: &mut World<'_>,
    of: &str,
    by: &str,
    expect: &Expect,
    name: Option<&str>,
) -> Result<Option<u64>, Unlike> {
    let (record, case) = match world.named.get(of) {
        Some(named) => (named.record, named.case.clone()),
        None if of == "nothing" => (RecordId::from_bytes([0; 32]), String::new()),
        None => return Err(Unlike::form(format!("no step before has as = {of:?}"))),
    };
    let signed = world.sign(by, Kind::COUNTERSIGN, record.as_bytes(), world.platform.id())?;
    let own = signed.record_id();
    submit(world, &[signed.bytes().to_vec()], &case, expect, name.map(|name| (name, own)))
}

/// Submits an act and its further signatures: all but the last leave it waiting, the last is held against what is expected.
pub(super) fn submit(
    world: &mut World<'_>,
    signatures: &[Vec<u8>],
    case: &str,
    expect: &Expect,
    name: Option<(&str, RecordId)>,
) -> Result<Option<u64>, Unlike> {
    let Some((last, earlier)) = signatures.split_last() else { return Ok(None) };
    for bytes in earlier {
        let delivered = world.deliver(bytes, Checked::First)?;
        if !matches!(delivered.status, Status::Waiting(_)) {
            return Err(Unlike::new("waiting for further signatures", told(&delivered.status)));
        }
    }
    let is_after = matches!(expect, Expect::Refused { when: When::After, .. });
    let before = if is_after && !case.is_empty() { case_of(world, case)? } else { None };
    let delivered = world.deliver(last, if is_after { Checked::Not } else { Checked::First })?;
    if let Some((name, record)) = name {
        let seq = delivered.ack.map(|ack| ack.seq);
        world.named.insert(name.to_owned(), Named { record, case: case.to_owned(), seq });
    }
    meet(world, &delivered, expect)?;
    if is_after && !case.is_empty() && case_of(world, case)? != before {
        return Err(Unlike::new("a case that is unchanged", "a case that was changed"));
    }
    Ok(delivered.ack.map(|ack| ack.height))
}

/// Holds what became of a submission against what is expected.
fn meet(world: &World<'_>, delivered: &Delivered, expect: &Expect) -> Result<(), Unlike> {
    match (expect, &delivered.status) {
        (Expect::Accepted, Status::Accepted) | (Expect::Waiting, Status::Waiting(_)) => Ok(()),
        (Expect::Accepted, status) => Err(Unlike::new("accepted", told(status))),
        (Expect::Waiting, status) => Err(Unlike::new("waiting for further signatures", told(status))),
        (Expect::Refused { code, says, when }, Status::Refused(refused)) => {
            check_refusal(code, says, refused)?;
            match (when, delivered.ack) {
                (When::Before, None) => check_unchanged(world, delivered, refused),
                (When::After, Some(_)) => Ok(()),
                (When::Before, Some(ack)) => {
                    Err(Unlike::new("refused before it was ordered", format!("ordered at seq {}", ack.seq)))
                }
                (When::After, None) => Err(Unlike::new("ordered, then refused", "refused before it was ordered")),
            }
        }
        (Expect::Refused { code, .. }, status) => Err(Unlike::new(format!("refused, {code}"), told(status))),
    }
}

pub(super) fn check_refusal(code: &str, says: &[String], refused: &Refused) -> Result<(), Unlike> {
    if refused.code != code {
        return Err(Unlike::new(format!("refused, {code}"), format!("refused, {}: {refused}", refused.code)));
    }
    let words = refused.to_string();
    match says.iter().find(|part| !words.contains(*part)) {
        Some(part) => Err(Unlike::new(format!("a refusal that says {part:?}"), format!("it says: {words}"))),
        None => Ok(()),
    }
}

/// Whether a refusal before ordering left the ledger as it was, but for the host's note of an attempt where there must be one.
fn check_unchanged(world: &World<'_>, delivered: &Delivered, refused: &Refused) -> Result<(), Unlike> {
    let (before, after) = delivered.next_seq;
    let is_noted = delivered.by_contracts && is_attempt(delivered.kind, refused);
    if !is_noted {
        return same("records in the ledger", &before, &after);
    }
    let author = delivered.author.to_string();
    let (mut own, mut noted) = (0, false);
    for [by, code, record] in attempts(world)? {
        // Keys that nobody registered share one author's notes.
        own += usize::from(by == author || code == UNKNOWN && refused.code == UNKNOWN);
        noted |= by == author && code == refused.code && record == delivered.record.to_string();
    }
    if after != before + u64::from(noted) {
        return Err(Unlike::new("nothing ordered but the note of the attempt", format!("{} records", after - before)));
    }
    if !noted && own < ATTEMPTS_MAX {
        let expected = format!("the attempt in the audit feed, with its author and {}", refused.code);
        return Err(Unlike::new(expected, "no such note"));
    }
    Ok(())
}

/// The audit feed: author, code and record of every attempt that the host noted.
pub(super) fn attempts(world: &World<'_>) -> Result<Vec<[String; 3]>, Unlike> {
    let mut found = Vec::new();
    for height in 1..=world.platform.applied().height {
        for entry in world.platform.block_list(height)? {
            let Some(words) = event_words(&entry) else { continue };
            if let [name, .., author, code, record] = &words[..]
                && name == "attempt.refused"
            {
                found.push([author.clone(), code.clone(), record.clone()]);
            }
        }
    }
    Ok(found)
}

/// Submits acts at once without the check before ordering: as many are accepted as must be, all others refused with the code.
pub(super) fn race(world: &mut World<'_>, acts: &[ActStep], accepted: usize, expect: &Expect) -> Result<(), Unlike> {
    let mut signed = Vec::new();
    for step in acts {
        let payload = form_of(world, step).encode();
        signed.push(world.sign(&step.by, CASE, &payload, world.platform.id())?);
    }
    let platform = &world.platform;
    let send = |bytes: &[u8]| -> Result<Status, Unlike> {
        let mut appender = platform.appender().map_err(|error| Unlike::broken(&error))?;
        Ok(platform.submit_unchecked(&mut appender, bytes)?.status)
    };
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = signed.iter().map(|record| scope.spawn(|| send(record.bytes()))).collect();
        let failed = |_| Err(Unlike::broken(&"a thread of the race failed"));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(failed)).collect()
    });
    let mut won = 0;
    for status in statuses {
        match (status?, expect) {
            (Status::Accepted, _) => won += 1,
            (Status::Refused(refused), Expect::Refused { code, .. }) => check_refusal(code, &[], &refused)?,
            (status, _) => return Err(Unlike::new("accepted or refused", told(&status))),
        }
    }
    same("of those that race, accepted:", &accepted, &won)
}
