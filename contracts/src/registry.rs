//! The registry contract: typed, versioned entries with a validity and a status.
//!
//! Agencies, officers' credentials, devices, calendars: whatever procedures look up. An entry is never changed in place: a new
//! version takes over and the one before stays, so what held at a seq can be said for ever. Whoever changes an entry names the version
//! that he makes, so of two who change it at once the second is refused.

use crate::charter::platform_offset;
use crate::days::{Calendar, Day, Moment};
use crate::draft::{Draft, Stop, stored};
use crate::keys;
use crate::label::Label;
use crate::message::{EntryForm, EntryStatus, encode};
use crate::outcome::Refused;
use crate::schema::{FieldSchema, Fields, Kind, check_fields};
use crate::value::{INTEGER_MAX, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The registry of agencies.
pub const AGENCY: &str = "agency";
/// The registry of officers' keys.
pub const CREDENTIAL: &str = "credential";
/// The registry of calendars.
pub const CALENDAR: &str = "calendar";
/// Days that one calendar may name, each way.
const CALENDAR_DAYS_MAX: i64 = 4096;

/// The form of a registry's entries.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryType {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub label: Label,
    /// What an entry says.
    #[serde(default)]
    pub fields: Fields,
    /// The role whose officers may put entries of their own agency; none: administrators alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
}

/// A registry entry as state holds it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Entry {
    /// What its record said.
    pub form: EntryForm,
    /// The seq at which it took over.
    pub seq: u64,
}

impl Entry {
    /// Whether it is valid at a time.
    pub fn is_valid_at(&self, time_ms: i64) -> bool {
        self.form.status == EntryStatus::Valid && (self.form.from..self.form.until).contains(&time_ms)
    }

    /// Why it is not valid at a time; none if it is.
    pub fn invalid_at(&self, time_ms: i64, offset_minutes: i64) -> Option<(&'static str, String)> {
        let day = |time_ms| Moment { time_ms, offset_minutes };
        match self.form.status {
            EntryStatus::Suspended => Some(("suspended", format!("is suspended since seq {}", self.seq))),
            EntryStatus::Revoked => Some(("revoked", format!("was revoked at seq {}", self.seq))),
            EntryStatus::Valid if self.is_valid_at(time_ms) => None,
            EntryStatus::Valid if time_ms < self.form.from => {
                Some(("not_yet_valid", format!("is valid only from {} on", day(self.form.from))))
            }
            EntryStatus::Valid => Some(("expired", format!("expired at {}", day(self.form.until)))),
        }
    }
}

/// The registries that contracts themselves read.
pub fn built_in() -> Vec<RegistryType> {
    let text = || FieldSchema::required(Kind::Text);
    let list = |of: Kind, max: i64| FieldSchema {
        of: Some(Box::new(FieldSchema::required(of))),
        max: Some(max),
        ..FieldSchema::required(Kind::List)
    };
    let registry = |name: &str, zh: &str, en: &str, fields: Vec<(&str, FieldSchema)>| RegistryType {
        name: name.to_owned(),
        label: Label { zh: zh.to_owned(), en: en.to_owned() },
        fields: fields.into_iter().map(|(name, field)| (name.to_owned(), field)).collect(),
        manager: None,
    };
    let days = || list(Kind::Date, CALENDAR_DAYS_MAX);
    vec![
        registry(AGENCY, "机关", "Agency", vec![("name", text())]),
        registry(CALENDAR, "工作日历", "Calendar", vec![("holidays", days()), ("workdays", days())]),
        registry(
            CREDENTIAL,
            "工作证件",
            "Credential",
            vec![
                ("agency", text()),
                ("officer", text()),
                ("roles", list(Kind::Text, 64)),
                ("scope", list(Kind::Text, 64)),
            ],
        ),
    ]
}

/// The form of a registry.
pub(crate) fn registry_type(draft: &mut Draft<'_>, name: &str) -> Result<Option<RegistryType>, Stop> {
    if let Some(built_in) = built_in().into_iter().find(|each| each.name == name) {
        return Ok(Some(built_in));
    }
    let declared: Option<Arc<RegistryType>> = stored(draft, &keys::registry_type(name))?;
    Ok(declared.map(Arc::unwrap_or_clone))
}

/// The newest version of an entry; none under what can be no id, though a key of state were made of it.
pub(crate) fn entry(draft: &mut Draft<'_>, registry: &str, id: &str) -> Result<Option<Arc<Entry>>, Stop> {
    if !keys::is_id(id) {
        return Ok(None);
    }
    stored(draft, &keys::entry(registry, id))
}

/// The version of an entry that held behind a seq.
pub(crate) fn entry_at(draft: &mut Draft<'_>, registry: &str, id: &str, seq: u64) -> Result<Option<Arc<Entry>>, Stop> {
    let Some(mut found) = entry(draft, registry, id)? else { return Ok(None) };
    while seq < found.seq {
        let Some(before) = found.form.version.checked_sub(1).filter(|version| 0 < *version) else { return Ok(None) };
        let key = keys::entry_version(registry, id, before);
        found = stored(draft, &key)?.ok_or_else(|| crate::draft::damaged(&key, "is missing"))?;
    }
    Ok(Some(found))
}

/// A calendar; one without exceptions if it is not registered.
pub(crate) fn calendar(draft: &mut Draft<'_>, id: &str) -> Result<Arc<Calendar>, Stop> {
    let read = |bytes: &[u8]| -> Result<Calendar, String> {
        let entry: Entry = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let mut calendar = Calendar::default();
        let days = |name: &str| -> Vec<Day> {
            let list = entry.form.data.get(name).and_then(Value::as_list).unwrap_or_default();
            list.iter().filter_map(|day| Day::parse(day.as_text()?)).collect()
        };
        days("holidays").into_iter().for_each(|day| calendar.add_holiday(day));
        days("workdays").into_iter().for_each(|day| calendar.add_workday(day));
        Ok(calendar)
    };
    Ok(draft.decoded(&keys::entry(CALENDAR, id), read)?.unwrap_or_default())
}

/// Holds an entry's form against its registry, before anybody is asked whether its author may put it.
pub(crate) fn check_form(draft: &mut Draft<'_>, form: &EntryForm) -> Result<RegistryType, Stop> {
    let refuse = |about: &str, words: String| Stop::from(Refused::new("registry.form", &[about], words));
    let Some(registry) = registry_type(draft, &form.registry)? else {
        return Err(refuse(
            &form.registry,
            format!("there is no registry {:?}; a definition record declares one", form.registry),
        ));
    };
    if !keys::is_id(&form.id) {
        return Err(refuse("id", format!("an id is {}", keys::ID_WORDS)));
    }
    if form.registry == CREDENTIAL && form.id.parse::<annals::AuthorId>().is_err() {
        return Err(refuse("id", "a credential's id is its author's key: 64 hexadecimal digits".to_owned()));
    }
    let holds_for_ever = form.status == EntryStatus::Valid && form.from == 0 && form.until == INTEGER_MAX;
    if form.registry == CALENDAR && !holds_for_ever {
        let words = "periods are counted by a calendar, so it is valid for ever; put a version that names other days";
        return Err(refuse("status", words.to_owned()));
    }
    if form.until <= form.from || form.from < 0 {
        return Err(refuse("until", format!("from {} is not before until {}", form.from, form.until)));
    }
    check_fields(&registry.fields, &form.data).map_err(|misfit| refuse(&misfit.field, misfit.to_string()))?;
    Ok(registry)
}

/// Puts a checked entry in place of the version before.
pub(crate) fn put(draft: &mut Draft<'_>, form: &EntryForm) -> Result<(), Stop> {
    let before = entry(draft, &form.registry, &form.id)?;
    let expected = before.as_ref().map_or(1, |before| before.form.version + 1);
    if form.version != expected {
        let words = format!(
            "{} {} would get version {expected}, not {}: somebody changed it since; look at it and submit again",
            form.registry, form.id, form.version
        );
        return Err(Refused::new("registry.version", &[&form.registry, &form.id], words).into());
    }
    if let Some(before) = &before {
        if before.form.status == EntryStatus::Revoked {
            let words = format!("{} {} was revoked for good; register a new one", form.registry, form.id);
            return Err(Refused::new("registry.revoked", &[&form.registry, &form.id], words).into());
        }
        draft.put_bytes(keys::entry_version(&form.registry, &form.id, before.form.version), encode(before.as_ref()))?;
    }
    let (entry, key) = (Entry { form: form.clone(), seq: draft.at.seq }, keys::entry(&form.registry, &form.id));
    draft.put_row(keys::catalog_row(&key), *b"")?;
    draft.put_bytes(key, encode(&entry))?;
    draft.happened("registry.put", "", &[&form.registry, &form.id, &form.version.to_string()]);
    Ok(())
}

/// Why an entry is not valid now, in a word and in words that go on from its name; none if it is.
pub(crate) fn check_valid(draft: &mut Draft<'_>, entry: &Entry) -> Result<Option<(&'static str, String)>, Stop> {
    // The clock by which people are told is looked up for them alone.
    if entry.is_valid_at(draft.at.time_ms) {
        return Ok(None);
    }
    let offset = platform_offset(draft)?;
    Ok(entry.invalid_at(draft.at.time_ms, offset))
}

/// Fields of every registry, by name, for definitions that look things up.
pub(crate) fn fields_of(types: impl IntoIterator<Item = RegistryType>) -> BTreeMap<String, Fields> {
    types.into_iter().map(|each| (each.name, each.fields)).collect()
}
