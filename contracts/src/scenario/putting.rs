//! What administrators put: registry entries, grants, and new versions of definitions.

use super::acting::submit;
use super::form::{ChangeForm, DeployLine, EntryLine, GrantForm, GrantsForm, Part};
use super::moment;
use super::report::Unlike;
use super::step::{Expect, Hands, Step, fields_of};
use super::world::{ADMINS, World, key};
use crate::administration::{DeployForm, StoredDefinition, Versions};
use crate::draft::stored;
use crate::keys;
use crate::message::{DEFINITION, EntryForm, EntryStatus, Grant, POLICY, PolicyForm, REGISTRY, encode};
use crate::registry::CREDENTIAL;
use crate::value::{INTEGER_MAX, Value};
use annals::Kind;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Puts a new version of a registry entry; what the step leaves out is what the version before says.
pub(super) fn put_entry(
    world: &mut World<'_>,
    line: &EntryLine,
    hands: &Hands,
    step: &Step,
) -> Result<Option<u64>, Unlike> {
    let id = match (&line.id, &line.person) {
        (Some(id), _) => id.clone(),
        (None, Some(person)) if line.registry == CREDENTIAL => key(person).public().to_string(),
        _ => return Err(Unlike::form("an entry has an id, or is the credential of a person")),
    };
    let before = world.platform.entry(&line.registry, &id, None)?.map(|entry| entry.form.clone());
    let mut data = fields_of(line.data.clone().unwrap_or_default()).map_err(Unlike::form)?;
    let old = before.as_ref().and_then(|before| before.data.as_map());
    // Of a person's credential single fields are changed; other entries are written anew.
    if let Some(old) = old.filter(|_| line.person.is_some() || line.data.is_none()) {
        for (name, value) in old {
            data.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    let (from, until) = before.as_ref().map_or((0, INTEGER_MAX), |before| (before.from, before.until));
    let form = EntryForm {
        data: Value::Map(data),
        from: moment::parse_or(line.from.as_deref(), from)?,
        id,
        registry: line.registry.clone(),
        status: line.status.or(before.as_ref().map(|before| before.status)).unwrap_or(EntryStatus::Valid),
        until: moment::parse_or(line.until.as_deref(), until)?,
        version: line.version.unwrap_or_else(|| before.map_or(1, |before| before.version + 1)),
    };
    put(world, REGISTRY, &encode(&form), hands, step)
}

/// Replaces all grants of an action.
pub(super) fn set_grants(
    world: &mut World<'_>,
    form: &GrantsForm,
    hands: &Hands,
    step: &Step,
) -> Result<Option<u64>, Unlike> {
    let grant = |GrantForm { role, acts, agency }: &GrantForm| Grant {
        acts: acts.clone(),
        agency: agency.clone(),
        from: 0,
        role: role.clone(),
        until: INTEGER_MAX,
    };
    let version = world.platform.policy(&form.action, None)?.version + 1;
    let policy = PolicyForm { action: form.action.clone(), grants: form.set.iter().map(grant).collect(), version };
    put(world, POLICY, &encode(&policy), hands, step)
}

/// Deploys a version of a definition: the newest there is, with its changes.
pub(super) fn deploy(
    world: &mut World<'_>,
    form: &DeployLine,
    hands: &Hands,
    step: &Step,
) -> Result<Option<u64>, Unlike> {
    let name = &form.definition;
    let stored: Option<Arc<StoredDefinition>> = world.platform.look(|draft| {
        let versions: Option<Arc<Versions>> = stored(draft, &keys::definition(name))?;
        let newest = versions.and_then(|versions| versions.versions.last().copied());
        match newest {
            Some((version, _)) => stored(draft, &keys::definition_version(name, version)),
            None => Ok(None),
        }
    })?;
    let Some(Value::Map(mut definition)) = stored.map(|stored| stored.definition.clone()) else {
        return Err(Unlike::form(format!("there is no definition {name}")));
    };
    definition.insert("version".to_owned(), Value::Integer(i64::try_from(form.version).unwrap_or(i64::MAX)));
    for one in &form.change {
        change(&mut definition, one).map_err(Unlike::form)?;
    }
    // Each submission is a block of its own: the one that deploys is that of the last signature.
    let signatures = 1 + signers(hands, step).1.len() as u64;
    let from_height = match form.after_blocks {
        0 => 0,
        blocks => world.platform.applied().height + signatures + blocks,
    };
    put(world, DEFINITION, &encode(&DeployForm { definition: Value::Map(definition), from_height }), hands, step)
}

/// Who puts something. Of what is to be refused the first signature is the last: it is tried before anybody else is asked.
fn signers(hands: &Hands, step: &Step) -> (String, Vec<String>) {
    let [first, second] = ADMINS;
    let with = match (&hands.with, &step.expect) {
        (Some(with), _) => with.clone(),
        (None, Expect::Refused { .. } | Expect::Waiting) => Vec::new(),
        (None, Expect::Accepted) => vec![second.to_owned()],
    };
    (hands.by.clone().unwrap_or_else(|| first.to_owned()), with)
}

fn put(world: &mut World<'_>, kind: Kind, payload: &[u8], hands: &Hands, step: &Step) -> Result<Option<u64>, Unlike> {
    let (by, with) = signers(hands, step);
    let ledger = world.platform.id();
    let record = world.sign(&by, kind, payload, ledger)?;
    let id = record.record_id();
    let mut signatures = vec![record.bytes().to_vec()];
    for signer in with {
        signatures.push(world.sign(&signer, Kind::COUNTERSIGN, id.as_bytes(), ledger)?.bytes().to_vec());
    }
    submit(world, &signatures, "", &step.expect, step.name.as_deref().map(|name| (name, id)))
}

/// Changes one part of a definition.
fn change(definition: &mut BTreeMap<String, Value>, change: &ChangeForm) -> Result<(), String> {
    let table = |table: &Option<toml::Table>| table.clone().map(fields_of).transpose();
    let (set, add) = (table(&change.set)?, table(&change.add)?);
    if usize::from(set.is_some()) + usize::from(add.is_some()) + usize::from(change.remove) != 1 {
        return Err("a change sets, adds or removes: one of them".to_owned());
    }
    let name = change.name.as_deref();
    match change.place {
        Part::Publication => {
            let part = definition.entry("publication".to_owned()).or_default();
            change_named(part, None, set, add)
        }
        Part::Case | Part::Payloads | Part::Roles => {
            let part = definition.entry(change.place.key().to_owned()).or_default();
            let name = name.ok_or("the change has no name")?;
            if change.remove { remove_key(part, name) } else { change_named(part, Some(name), set, add) }
        }
        Part::State | Part::Transition | Part::Deadline | Part::Task | Part::Invariant => {
            let key = if change.place == Part::Invariant { "state" } else { "name" };
            let part = definition.entry(change.place.key().to_owned()).or_insert_with(|| Value::List(Vec::new()));
            let Value::List(items) = part else { return Err(format!("{} is no list", change.place.key())) };
            change_listed(items, key, name, set, add)
        }
    }
}

type Table = Option<BTreeMap<String, Value>>;

/// Changes a part whose items have keys, or a part that is one.
fn change_named(part: &mut Value, name: Option<&str>, set: Table, add: Table) -> Result<(), String> {
    let Value::Map(fields) = part else { return Err("the part is no table".to_owned()) };
    match (name, set, add) {
        (None, Some(set), _) => fields.extend(set),
        (Some(name), Some(set), _) => match fields.get_mut(name) {
            Some(Value::Map(item)) => item.extend(set),
            _ => return Err(format!("there is no {name} to change")),
        },
        (Some(name), None, Some(add)) => drop(fields.insert(name.to_owned(), Value::Map(add))),
        _ => return Err("nothing can be added there".to_owned()),
    }
    Ok(())
}

fn remove_key(part: &mut Value, name: &str) -> Result<(), String> {
    let Value::Map(fields) = part else { return Err("the part is no table".to_owned()) };
    fields.remove(name).map(drop).ok_or_else(|| format!("there is no {name} to remove"))
}

/// Changes a part that is a list of named items.
fn change_listed(items: &mut Vec<Value>, key: &str, name: Option<&str>, set: Table, add: Table) -> Result<(), String> {
    if let Some(add) = add {
        items.push(Value::Map(add));
        return Ok(());
    }
    let name = name.ok_or("the change has no name")?;
    let is_it = |item: &Value| item.get(key).and_then(Value::as_text) == Some(name);
    let Some(place) = items.iter().position(is_it) else { return Err(format!("there is no {name} to change")) };
    match (set, items.get_mut(place)) {
        (Some(set), Some(Value::Map(item))) => item.extend(set),
        _ => drop(items.remove(place)),
    }
    Ok(())
}
