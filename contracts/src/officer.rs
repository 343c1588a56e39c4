//! Officers: who a verified author is, as the registry of credentials says it at that moment.

use crate::draft::{Draft, Stop};
use crate::keys;
use crate::outcome::Refused;
use crate::registry::{self, AGENCY, CREDENTIAL, Entry};
use crate::value::Value;
use annals::AuthorId;
use std::sync::Arc;

/// A key's holder, by a credential that is valid now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Officer {
    /// The key, in hexadecimal.
    pub key: String,
    /// The officer's badge: two keys of one officer are one officer.
    pub officer: String,
    /// The agency.
    pub agency: String,
    /// The roles.
    pub roles: Vec<String>,
    /// The fields of work.
    pub scope: Vec<String>,
}

/// A credential, and the officer whom it makes of its key's holder.
struct Credential {
    entry: Entry,
    officer: Arc<Officer>,
}

impl Credential {
    fn read(key: &str, bytes: &[u8]) -> Result<Self, String> {
        let entry: Entry = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let data = &entry.form.data;
        let text = |name: &str| data.get(name).and_then(Value::as_text).unwrap_or_default().to_owned();
        let officer = Officer {
            key: key.to_owned(),
            officer: text("officer"),
            agency: text("agency"),
            roles: texts(data, "roles"),
            scope: texts(data, "scope"),
        };
        Ok(Self { officer: Arc::new(officer), entry })
    }
}

impl Officer {
    /// The officer who holds a key.
    pub(crate) fn of_key(draft: &mut Draft<'_>, author: &AuthorId) -> Result<Arc<Self>, Stop> {
        let key = author.to_string();
        let credential = draft.decoded(&keys::entry(CREDENTIAL, &key), |bytes| Credential::read(&key, bytes))?;
        let Some(credential) = credential else {
            let words = format!("no credential is registered for the key {key}; an administrator registers one");
            return Err(Refused::new("signer.unknown", &[&key], words).into());
        };
        let officer = Arc::clone(&credential.officer);
        if let Some((why, words)) = registry::check_valid(draft, &credential.entry)? {
            let code = match why {
                "suspended" => "signer.suspended",
                "revoked" => "signer.revoked",
                "not_yet_valid" => "signer.not_yet_valid",
                _ => "signer.expired",
            };
            let words = format!("the credential of {} {words}; have it renewed before acting", officer.officer);
            return Err(Refused::new(code, &[&officer.officer], words).into());
        }
        let agency = registry::entry(draft, AGENCY, &officer.agency)?;
        let trouble = match &agency {
            Some(agency) => registry::check_valid(draft, agency)?.map(|(_, words)| words),
            None => Some("is not registered".to_owned()),
        };
        match trouble {
            Some(words) => {
                let words = format!("agency {} of {} {words}", officer.agency, officer.officer);
                Err(Refused::new("signer.agency", &[&officer.agency], words).into())
            }
            None => Ok(officer),
        }
    }

    /// What guards see of it.
    pub(crate) fn value(&self) -> Value {
        Value::map([
            ("agency", Value::from(self.agency.as_str())),
            ("key", Value::from(self.key.as_str())),
            ("officer", Value::from(self.officer.as_str())),
            ("roles", keys::texts(&self.roles)),
            ("scope", keys::texts(&self.scope)),
        ])
    }
}

fn texts(data: &Value, name: &str) -> Vec<String> {
    let list = data.get(name).and_then(Value::as_list).unwrap_or_default();
    list.iter().filter_map(|item| item.as_text().map(str::to_owned)).collect()
}
