//! `annals platform put`: entries, grants and procedures, from files that may leave out what is known.

use crate::command::submitting::Desk;
use crate::command::{form, moment};
use crate::exit::CommandError;
use crate::line::PlatformPut;
use annals_contracts::administration::{DeployForm, Proposal};
use annals_contracts::message::{DEFINITION, EntryForm, POLICY, PolicyForm, REGISTRY, encode};
use annals_contracts::value::INTEGER_MAX;
use annals_contracts::{Value, View};
use std::collections::BTreeMap;
use std::path::Path;

/// A map's fields.
type Map = BTreeMap<String, Value>;

pub(super) fn run(put: &PlatformPut) -> Result<u8, CommandError> {
    let path = [&put.registry, &put.policy, &put.definition].into_iter().flatten().next();
    let Some(path) = path else { return Err(CommandError::Usage("say --registry, --policy or --definition")) };
    if put.from_height.is_some() && put.definition.is_none() {
        return Err(CommandError::Usage("--from-height goes with --definition: entries and grants hold at once"));
    }
    let value = form::read(path)?;
    let mut desk = Desk::open(&put.dir, &put.key, put.json, put.accept_clock)?;
    if put.registry.is_some() {
        // One after the other: what an entry leaves out may be what the one before it says.
        for entry in entries(path, value)? {
            let form = entry_form(&desk.platform, path, entry)?;
            let what = entry_name(&form);
            desk.submit(REGISTRY, &encode(&form), &what)?;
        }
    } else if put.policy.is_some() {
        let form = policy_form(&desk.platform, path, value)?;
        desk.submit(POLICY, &encode(&form), &policy_name(&form))?;
    } else {
        let (payload, what) = definition_payload(&desk.platform, path, value, put.from_height)?;
        desk.submit(DEFINITION, &payload, &what)?;
    }
    desk.tell_next("platform");
    desk.close()
}

/// What an administrators' act is about, in words.
pub(super) fn proposal_name(proposal: &Proposal) -> String {
    let text = |value: Option<&Value>| value.and_then(Value::as_text).unwrap_or_default().to_owned();
    let (payload, version) =
        (&proposal.payload, |value: Option<&Value>| value.map_or_else(String::new, ToString::to_string));
    match proposal.kind.as_str() {
        "registry" => format!(
            "{} {} version {} ({}): {}",
            text(payload.get("type")),
            text(payload.get("id")),
            version(payload.get("version")),
            text(payload.get("status")),
            payload.get("data").map_or_else(String::new, form::line)
        ),
        "policy" => {
            let grants: Vec<_> = payload.get("grants").and_then(Value::as_list).unwrap_or_default().iter().collect();
            let grants: Vec<_> = grants.into_iter().map(form::line).collect();
            let (action, version) = (text(payload.get("action")), version(payload.get("version")));
            format!("grants on {action} version {version}: {}", form::shortened(&grants.join("; ")))
        }
        _ => match (payload.get("definition"), payload.get("contracts")) {
            (Some(definition), _) => {
                format!("procedure {} version {}", text(definition.get("name")), version(definition.get("version")))
            }
            (None, Some(later)) => {
                format!("contracts of version {later} from height {} on", version(payload.get("from_height")))
            }
            (None, None) => {
                format!("form of registry {}", text(payload.get("registry").and_then(|registry| registry.get("name"))))
            }
        },
    }
}

fn entry_name(form: &EntryForm) -> String {
    proposal_name(&proposal("registry", encode(form)))
}

fn policy_name(form: &PolicyForm) -> String {
    proposal_name(&proposal("policy", encode(form)))
}

fn proposal(kind: &str, payload: Vec<u8>) -> Proposal {
    let payload = Value::parse(&payload).unwrap_or_default();
    Proposal { kind: kind.to_owned(), payload, signers: Vec::new() }
}

fn wrong(path: &Path, problem: impl Into<String>) -> CommandError {
    CommandError::Form { path: path.to_owned(), problem: problem.into() }
}

fn map_of(path: &Path, value: Value) -> Result<Map, CommandError> {
    if let Value::Map(map) = value {
        return Ok(map);
    }
    Err(wrong(path, format!("must be a map of fields, not {}", value.type_name())))
}

/// The entries of a file: one, a list, or tables named `entry`.
fn entries(path: &Path, value: Value) -> Result<Vec<Map>, CommandError> {
    let tables = value.as_map().filter(|map| map.len() == 1).and_then(|map| map.get("entry"));
    let value = tables.cloned().unwrap_or(value);
    let list = if let Value::List(list) = value { list } else { vec![value] };
    if list.is_empty() {
        return Err(wrong(path, "holds no entry"));
    }
    list.into_iter().map(|entry| map_of(path, entry)).collect()
}

/// An entry's form: what it leaves out is that of the version there is.
fn entry_form(view: &View, path: &Path, mut map: Map) -> Result<EntryForm, CommandError> {
    let text = |map: &Map, name: &str| map.get(name).and_then(Value::as_text).map(str::to_owned);
    let (Some(registry), Some(id)) = (text(&map, "type"), text(&map, "id")) else {
        return Err(wrong(path, "an entry has a type (the registry) and an id, both text"));
    };
    let before = view.entry(&registry, &id, None)?.map(|entry| entry.form.clone());
    times(view, path, &mut map)?;
    if before.is_none() && !map.contains_key("data") {
        let words = format!("there is no {registry} {id} to take data from; mend its type or id, or say its data");
        return Err(wrong(path, words));
    }
    let mut fill = |name: &str, value: Value| {
        map.entry(name.to_owned()).or_insert(value);
    };
    match &before {
        Some(before) => {
            fill("version", number(before.version + 1));
            fill("data", before.data.clone());
            fill("from", Value::Integer(before.from));
            fill("until", Value::Integer(before.until));
            let status = Value::parse(&encode(&before.status)).unwrap_or_default();
            fill("status", status);
        }
        None => {
            fill("version", Value::Integer(1));
            fill("from", Value::Integer(0));
            fill("until", Value::Integer(INTEGER_MAX));
            fill("status", Value::from("valid"));
        }
    }
    form::typed(path, &Value::Map(map))
}

fn number(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(INTEGER_MAX))
}

/// Reads from and until, which may be dates; a date in until counts to its end.
fn times(view: &View, path: &Path, map: &mut Map) -> Result<(), CommandError> {
    let offset = view.administration()?.utc_offset_minutes;
    for (name, edge) in [("from", moment::Edge::Begin), ("until", moment::Edge::End)] {
        if let Some(Value::Text(text)) = map.get(name) {
            let time = moment::parse(text, edge, offset);
            let time = time.ok_or_else(|| wrong(path, format!("{name}: {text:?} is no moment; {}", moment::FORMS)))?;
            map.insert(name.to_owned(), Value::Integer(time));
        }
    }
    Ok(())
}

/// Grants on an action: to every agency unless one is named.
fn policy_form(view: &View, path: &Path, value: Value) -> Result<PolicyForm, CommandError> {
    let mut map = map_of(path, value)?;
    let Some(action) = map.get("action").and_then(Value::as_text).map(str::to_owned) else {
        return Err(wrong(path, "grants have an action: a procedure's name, or registry/ and a registry's"));
    };
    let mut grants = Vec::new();
    for grant in map.get("grants").and_then(Value::as_list).unwrap_or_default() {
        let mut grant = map_of(path, grant.clone())?;
        grant.entry("agency".to_owned()).or_insert_with(|| Value::from("*"));
        times(view, path, &mut grant)?;
        grants.push(Value::Map(grant));
    }
    if map.contains_key("grants") {
        map.insert("grants".to_owned(), Value::List(grants));
    }
    let version = view.policy(&action, None)?.version + 1;
    map.entry("version".to_owned()).or_insert_with(|| number(version));
    form::typed(path, &Value::Map(map))
}

/// A definition record's payload, and what it is about in words.
fn definition_payload(
    view: &View,
    path: &Path,
    value: Value,
    from_height: Option<u64>,
) -> Result<(Vec<u8>, String), CommandError> {
    if value.get("registry").is_some() && value.get("state").is_none() {
        if from_height.is_some() {
            return Err(CommandError::Usage("--from-height is for procedures; the form of a registry holds at once"));
        }
        let payload = value.encode();
        let what = proposal_name(&proposal("definition", payload.clone()));
        return Ok((payload, what));
    }
    let mut form: DeployForm = if value.get("definition").is_some() {
        form::typed(path, &value)?
    } else {
        DeployForm { definition: value, from_height: 0 }
    };
    form.from_height = from_height.unwrap_or(form.from_height);
    let name = form.definition.get("name").and_then(Value::as_text).map(str::to_owned);
    if let (Some(name), Value::Map(map)) = (name, &mut form.definition) {
        let versions = view.definitions()?.into_iter().find(|(known, _)| *known == name);
        let newest = versions.and_then(|(_, versions)| versions.versions.last().map(|(version, _)| *version));
        map.entry("version".to_owned()).or_insert_with(|| number(newest.unwrap_or(0) + 1));
    }
    let payload = encode(&form);
    let what = proposal_name(&proposal("definition", payload.clone()));
    Ok((payload, what))
}
