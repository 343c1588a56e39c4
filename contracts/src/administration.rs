//! Administration: how a platform begins, and who may change its registries, grants and definitions.
//!
//! The record of seq 1, which only the platform's host can order, names the administrators and how many of them must sign. What they
//! put takes effect when the last of them has signed. A registry may name a role whose officers put entries of their own agency
//! alone. A definition's version holds from a height on; versions before it stay for the cases that began under them.

pub use crate::charter::Platform;
pub use crate::deployed::{StoredDefinition, Versions};

use crate::charter::platform;
use crate::days::OFFSET_MAX;
use crate::definition::Fault;
use crate::draft::{Draft, Stop, stored};
use crate::failure::{CONTRACTS_VERSION, HostError};
use crate::keys::{self, is_name};
use crate::message::{Body, EntryForm, Message, PolicyForm, encode};
use crate::officer::Officer;
use crate::outcome::{Refused, Status};
use crate::policy;
use crate::registry::{self, CALENDAR, RegistryType};
use crate::value::{FormError, Value};
use crate::workflow::recount_calendar;
use annals::AuthorId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Administrators at most.
pub const ADMINS_MAX: usize = 64;

/// What the record of seq 1 says.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformForm {
    /// The first definitions.
    pub definitions: Vec<Value>,
    /// The first registry entries.
    pub entries: Vec<EntryForm>,
    /// The first grants.
    pub grants: Vec<PolicyForm>,
    /// Who administers it.
    pub platform: Platform,
    /// The service's registries.
    pub registries: Vec<RegistryType>,
}

/// A version of a definition, and from where on it holds.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DeployForm {
    /// The definition.
    pub definition: Value,
    /// Height from which on cases begin under it; 0: at once.
    #[serde(default)]
    pub from_height: u64,
}

/// The form of a registry, that is declared or changed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DeclareForm {
    /// The registry.
    pub registry: RegistryType,
}

/// A later version of the contracts, and from where on it holds.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UpgradeForm {
    /// The version: one more than the one before.
    pub contracts: u64,
    /// Height from which on records are applied by it; above that of the upgrade's own block.
    pub from_height: u64,
}

/// An administrators' act that waits for signatures.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Proposal {
    /// `registry`, `policy` or `definition`.
    pub kind: String,
    /// What it would put.
    pub payload: Value,
    /// Keys of those who have signed, its author first.
    pub signers: Vec<String>,
}

/// Begins the platform.
pub(crate) fn begin(draft: &mut Draft<'_>, author: AuthorId, payload: &Value) -> Result<Status, Stop> {
    let refuse = |words: String| Stop::from(Refused::new("platform.form", &[], words));
    if draft.at.seq != 1 {
        let words = "a platform begins with the record of seq 1; this ledger has begun already".to_owned();
        return Err(Refused::new("platform.begun", &[], words).into());
    }
    let form: PlatformForm =
        payload.clone().read().map_err(|error| refuse(format!("not a platform's form: {error}")))?;
    let Platform { admins, contracts, host, threshold, utc_offset_minutes, .. } = &form.platform;
    if *contracts != CONTRACTS_VERSION {
        return Err(refuse(format!(
            "contracts of version {contracts}; this is {CONTRACTS_VERSION}: use the program that knows it"
        )));
    }
    if *host != author.to_string() {
        return Err(refuse("the record's author is not the host it names".to_owned()));
    }
    let distinct = admins.windows(2).all(|pair| pair.first() < pair.last());
    let are_keys = admins.iter().all(|admin| admin.parse::<AuthorId>().is_ok());
    if admins.is_empty() || ADMINS_MAX < admins.len() || !distinct || !are_keys {
        return Err(refuse(format!("admins are 1 to {ADMINS_MAX} keys in hexadecimal, sorted, each once")));
    }
    if *threshold == 0 || admins.len() < *threshold as usize {
        return Err(refuse(format!("{threshold} of {} administrators can't sign", admins.len())));
    }
    if !(-OFFSET_MAX..=OFFSET_MAX).contains(utc_offset_minutes) {
        return Err(refuse(format!(
            "utc_offset_minutes {utc_offset_minutes}: no clock is more than {OFFSET_MAX} from UTC"
        )));
    }
    draft.put_bytes(keys::platform(), encode(&form.platform))?;
    for registry in &form.registries {
        put_registry_type(draft, registry)?;
    }
    for entry in &form.entries {
        registry::check_form(draft, entry).map_err(|stop| of_entry(entry, stop))?;
        registry::put(draft, entry).map_err(|stop| of_entry(entry, stop))?;
    }
    for grants in &form.grants {
        policy::put(draft, grants)?;
    }
    for definition in &form.definitions {
        deploy(draft, &DeployForm { definition: definition.clone(), from_height: 0 })?;
    }
    draft.happened("platform.begun", "", &[&form.platform.service]);
    Ok(Status::Accepted)
}

/// Says which entry is refused: a platform's first record has many.
fn of_entry(entry: &EntryForm, stop: Stop) -> Stop {
    match stop {
        Stop::Refused(refused) => {
            let words = format!("entry {} {}: {}", entry.registry, entry.id, refused.words);
            Refused { words, ..refused }.into()
        }
        Stop::Broken(error) => Stop::Broken(error),
    }
}

fn put_registry_type(draft: &mut Draft<'_>, registry: &RegistryType) -> Result<(), Stop> {
    let refuse = |words: String| Stop::from(Refused::new("definition.faults", &[&registry.name], words));
    if !is_name(&registry.name) || registry::built_in().iter().any(|each| each.name == registry.name) {
        return Err(refuse(format!("registry {:?}: no name, or one that is built in", registry.name)));
    }
    let mut faults = Vec::new();
    for (name, field) in &registry.fields {
        field.faults(name, &mut faults);
    }
    if !faults.is_empty() {
        let lines: Vec<_> = faults.iter().map(|(field, problem)| format!("field {field}: {problem}")).collect();
        return Err(refuse(fault_words(&format!("the registry {}", registry.name), &lines)));
    }
    draft.put_bytes(keys::registry_type(&registry.name), encode(registry))?;
    let mut names = registry_names(draft)?;
    if !names.contains(&registry.name) {
        names.push(registry.name.clone());
        names.sort();
    }
    draft.put(registry_list(), &keys::texts(names))
}

fn registry_list() -> Vec<u8> {
    b"types".to_vec()
}

pub(crate) fn registry_names(draft: &mut Draft<'_>) -> Result<Vec<String>, Stop> {
    let names: Option<Arc<Vec<String>>> = stored(draft, &registry_list())?;
    Ok(names.map(|names| names.to_vec()).unwrap_or_default())
}

/// Deploys a version of a definition.
fn deploy(draft: &mut Draft<'_>, form: &DeployForm) -> Result<(), Stop> {
    let mut registries = Vec::new();
    for name in registry_names(draft)? {
        registries.extend(registry::registry_type(draft, &name)?);
    }
    let calendar = form.definition.get("calendar").and_then(Value::as_text);
    let mut calendars = Vec::new();
    if let Some(id) = calendar
        && registry::entry(draft, CALENDAR, id)?.is_some()
    {
        calendars.push(id.to_owned());
    }
    let stored_definition = StoredDefinition { calendars, definition: form.definition.clone(), registries };
    let named = form.definition.get("name").and_then(Value::as_text).unwrap_or_default();
    let compiled = stored_definition.compile().map_err(|faults| refuse_faults(named, &faults))?;
    let (name, version) = (compiled.definition().name.clone(), compiled.definition().version);
    let versions: Option<Arc<Versions>> = stored(draft, &keys::definition(&name))?;
    let mut versions = versions.map(Arc::unwrap_or_clone).unwrap_or_default();
    let newest = versions.versions.last().copied();
    if version != newest.map_or(1, |(newest, _)| newest + 1) {
        let next = newest.map_or(1, |(newest, _)| newest + 1);
        let words = format!("{name} would get version {next}, not {version}; number it so and deploy it again");
        return Err(Refused::new("definition.version", &[&name], words).into());
    }
    let from_height = if form.from_height == 0 { draft.at.height } else { form.from_height };
    if from_height < draft.at.height || newest.is_some_and(|(_, from)| from_height < from) {
        let words = format!(
            "{name} version {version} can't hold from height {from_height} on: that has passed, or an earlier version begins later"
        );
        return Err(Refused::new("definition.height", &[&name], words).into());
    }
    versions.versions.push((version, from_height));
    draft.put_bytes(keys::definition_version(&name, version), encode(&stored_definition))?;
    draft.put_row(keys::catalog_row(&keys::definition(&name)), *b"")?;
    draft.put_bytes(keys::definition(&name), encode(&versions))?;
    draft.happened("definition.deployed", "", &[&name, &version.to_string(), &from_height.to_string()]);
    Ok(())
}

/// The version of the contracts by which records are applied at a draft's height.
pub(crate) fn contracts_version(draft: &mut Draft<'_>) -> Result<u64, Stop> {
    let height = draft.at.height;
    let versions: Option<Arc<Versions>> = stored(draft, &keys::contracts())?;
    if let Some(version) = versions.and_then(|versions| versions.at(height)) {
        return Ok(version);
    }
    Ok(platform(draft)?.map_or(CONTRACTS_VERSION, |platform| platform.contracts))
}

/// Has records applied by a later version of the contracts from a height on. A program that does not know it stops here: it can't
/// say whether the record is refused, and must not guess.
fn upgrade(draft: &mut Draft<'_>, form: &UpgradeForm) -> Result<(), Stop> {
    if CONTRACTS_VERSION < form.contracts {
        return Err(Stop::Broken(HostError::Version { needed: form.contracts }));
    }
    let mut versions = check_upgrade(draft, form)?;
    versions.versions.push((form.contracts, form.from_height));
    draft.put_bytes(keys::contracts(), encode(&versions))?;
    draft.happened("contracts.upgraded", "", &[&form.contracts.to_string(), &form.from_height.to_string()]);
    Ok(())
}

/// Whether an upgrade is to the next version, from a height that is to come; returns the versions before it.
fn check_upgrade(draft: &mut Draft<'_>, form: &UpgradeForm) -> Result<Versions, Stop> {
    let versions: Option<Arc<Versions>> = stored(draft, &keys::contracts())?;
    let versions = versions.map(Arc::unwrap_or_clone).unwrap_or_default();
    let first = platform(draft)?.map_or(CONTRACTS_VERSION, |platform| platform.contracts);
    let (newest, from) = versions.versions.last().copied().unwrap_or((first, 0));
    if form.contracts != newest + 1 || form.from_height <= draft.at.height || form.from_height < from {
        let words =
            format!("the contracts are of version {newest}; the next is {}, from a height that is to come", newest + 1);
        return Err(Refused::new("contract.version", &[&form.contracts.to_string()], words).into());
    }
    Ok(versions)
}

fn refuse_faults(name: &str, faults: &[Fault]) -> Stop {
    let about: Vec<_> = faults.iter().map(|fault| fault.at.as_str()).collect();
    let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
    Refused::new("definition.faults", &about, fault_words(&format!("the definition {name:?}"), &lines)).into()
}

/// Says what has faults, and all of them: a single one in the same line.
fn fault_words(what: &str, faults: &[String]) -> String {
    match faults {
        [fault] => format!("{what} has a fault: {fault}"),
        _ => format!("{what} has {} faults:\n  {}", faults.len(), faults.join("\n  ")),
    }
}

/// Puts something as an administrator, or as an officer who manages a registry for his agency.
pub(crate) fn administer(draft: &mut Draft<'_>, message: &Message) -> Result<Status, Stop> {
    let Some(platform) = platform(draft)? else { return Err(no_platform()) };
    let author = message.author.to_string();
    let (kind, payload) = match &message.body {
        Body::Registry(form) => {
            let registry = registry::check_form(draft, form)?;
            if !platform.admins.contains(&author) {
                return manage(draft, message, &registry, form);
            }
            ("registry", encode(form))
        }
        Body::Policy(form) => ("policy", encode(form)),
        Body::Definition(value) => ("definition", value.encode()),
        Body::Platform(_) | Body::Case(_) | Body::Countersign(_) | Body::Attempt(_) => return Err(no_platform()),
    };
    if !platform.admins.contains(&author) {
        return Err(not_an_administrator());
    }
    let payload = Value::parse(&payload).map_err(|error| Refused::new("payload.form", &[], error.to_string()))?;
    let proposal = Proposal { kind: kind.to_owned(), payload, signers: vec![author] };
    // It must be one that would take effect, or nobody need sign it; what it would change now is thrown away.
    // A later version of the contracts stops a host that does not know it: for that, one signature of several is not enough. But it
    // says no more than its form has, since the others see it before they sign.
    if platform.threshold == 1 || proposal.payload.get("contracts").is_none() {
        take_effect(&mut draft.trial(), &proposal)?;
    } else {
        let form = proposal.payload.clone().read().map_err(not_its_form)?;
        check_upgrade(&mut draft.trial(), &form)?;
    }
    settle(draft, &message.record.to_string(), proposal, platform.threshold)
}

/// Adds an administrator's signature to a proposal; none if the record is no proposal.
pub(crate) fn countersign(draft: &mut Draft<'_>, author: &AuthorId, record: &str) -> Result<Option<Status>, Stop> {
    let Some(proposal) = stored::<Proposal>(draft, &keys::proposal(record))? else { return Ok(None) };
    let mut proposal = Arc::unwrap_or_clone(proposal);
    let Some(platform) = platform(draft)? else { return Err(no_platform()) };
    let author = author.to_string();
    if !platform.admins.contains(&author) {
        return Err(not_an_administrator());
    }
    if proposal.signers.contains(&author) {
        let words = "this administrator has signed it already; another one must".to_owned();
        return Err(Refused::new("signer.twice", &[&author], words).into());
    }
    proposal.signers.push(author);
    settle(draft, record, proposal, platform.threshold).map(Some)
}

/// Lets a proposal take effect if enough have signed it; keeps it otherwise.
fn settle(draft: &mut Draft<'_>, record: &str, proposal: Proposal, threshold: u32) -> Result<Status, Stop> {
    let signed = u32::try_from(proposal.signers.len()).unwrap_or(u32::MAX);
    let key = keys::proposal(record);
    if signed < threshold {
        draft.put_row(keys::catalog_row(&key), *b"")?;
        draft.put_bytes(key, encode(&proposal))?;
        return Ok(Status::Waiting(threshold - signed));
    }
    take_effect(draft, &proposal)?;
    if 1 < signed {
        draft.remove_row(keys::catalog_row(&key))?;
        draft.remove(key)?;
    }
    Ok(Status::Accepted)
}

fn not_its_form(error: FormError) -> Stop {
    Refused::new("payload.form", &[], format!("not its form: {error}")).into()
}

fn take_effect(draft: &mut Draft<'_>, proposal: &Proposal) -> Result<(), Stop> {
    let (form, payload) = (not_its_form, proposal.payload.clone());
    match proposal.kind.as_str() {
        "registry" => {
            let entry: EntryForm = payload.read().map_err(form)?;
            registry::put(draft, &entry)?;
            if entry.registry == CALENDAR {
                recount_calendar(draft, &entry.id)?;
            }
            Ok(())
        }
        "policy" => policy::put(draft, &payload.read().map_err(form)?),
        _ if proposal.payload.get("contracts").is_some() => upgrade(draft, &payload.read().map_err(form)?),
        _ if proposal.payload.get("registry").is_some() => {
            let DeclareForm { registry } = payload.read().map_err(form)?;
            put_registry_type(draft, &registry)
        }
        _ => deploy(draft, &payload.read().map_err(form)?),
    }
}

/// Puts an entry as an officer of the role that manages its registry, for his own agency.
fn manage(draft: &mut Draft<'_>, message: &Message, registry: &RegistryType, form: &EntryForm) -> Result<Status, Stop> {
    let denied = |words: String| Stop::from(Refused::new("registry.not_allowed", &[&registry.name], words));
    let Some(manager) = &registry.manager else { return Err(not_an_administrator()) };
    let officer = Officer::of_key(draft, &message.author)?;
    if !officer.roles.contains(manager) {
        return Err(denied(format!(
            "entries of {} are put by administrators, or by officers of the role {manager}",
            registry.name
        )));
    }
    let before = registry::entry(draft, &registry.name, &form.id)?;
    let theirs = |data: &Value| data.get("agency").and_then(Value::as_text) == Some(&officer.agency);
    if !theirs(&form.data) || before.is_some_and(|before| !theirs(&before.form.data)) {
        return Err(denied(format!("{} may put entries of agency {} alone", officer.officer, officer.agency)));
    }
    let action = format!("registry/{}", registry.name);
    let grants = policy::policy(draft, &action)?;
    if !grants.allows("put", &officer.roles, &officer.agency, draft.at.time_ms) {
        let words =
            format!("nobody granted {} at {} to put entries of {}", officer.officer, officer.agency, registry.name);
        return Err(Refused::new("policy.denied", &[&action], words).into());
    }
    registry::put(draft, form)?;
    Ok(Status::Accepted)
}

fn not_an_administrator() -> Stop {
    let words = "the author is no administrator of this platform; let one of them put it".to_owned();
    Refused::new("registry.not_allowed", &[], words).into()
}

/// The refusal of whatever comes before the platform's record.
pub(crate) fn no_platform() -> Stop {
    let words = "this ledger holds no platform; `annals platform init` makes one".to_owned();
    Refused::new("platform.missing", &[], words).into()
}
