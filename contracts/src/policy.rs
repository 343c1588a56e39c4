//! The policy contract: who may do what, until when. What is not granted is denied.
//!
//! An action is a procedure or a registry; its grants name a role, an agency, the acts and the time. They are replaced as a whole, and the
//! version before stays, so "was it allowed then" has an answer.

use crate::draft::{Draft, Stop, stored};
use crate::keys;
use crate::message::{Grant, PolicyForm, encode};
use crate::outcome::Refused;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Grants on one action at most.
const GRANTS_MAX: usize = 4096;

/// The grants on an action, as state holds them.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Policy {
    /// The grants.
    pub grants: Vec<Grant>,
    /// The seq at which they took over.
    pub seq: u64,
    /// Their version, from 1.
    pub version: u64,
}

impl Policy {
    /// Whether somebody of an agency who has one of these roles may do an act at a time.
    pub fn allows(&self, act: &str, roles: &[String], agency: &str, time_ms: i64) -> bool {
        let covers = |grant: &Grant| {
            roles.contains(&grant.role)
                && (grant.agency == "*" || grant.agency == agency)
                && grant.acts.iter().any(|granted| granted == "*" || granted == act)
                && (grant.from..grant.until).contains(&time_ms)
        };
        self.grants.iter().any(covers)
    }
}

/// The grants on an action; none if nothing was ever granted.
pub(crate) fn policy(draft: &mut Draft<'_>, action: &str) -> Result<Arc<Policy>, Stop> {
    let policy: Arc<Policy> = stored(draft, &keys::policy(action))?.unwrap_or_default();
    draft.spend(u32::try_from(policy.grants.len()).unwrap_or(u32::MAX))?;
    Ok(policy)
}

/// The grants on an action that held behind a seq.
pub(crate) fn policy_at(draft: &mut Draft<'_>, action: &str, seq: u64) -> Result<Arc<Policy>, Stop> {
    let mut found = policy(draft, action)?;
    while seq < found.seq && 1 < found.version {
        found = policy(draft, &old_version(action, found.version - 1))?;
    }
    Ok(if seq < found.seq { Arc::default() } else { found })
}

fn old_version(action: &str, version: u64) -> String {
    format!("{action}\0{version}")
}

/// Replaces the grants on an action.
pub(crate) fn put(draft: &mut Draft<'_>, form: &PolicyForm) -> Result<(), Stop> {
    let refuse = |about: &str, words: String| Stop::from(Refused::new("policy.form", &[about], words));
    let is_action = form.action.split('/').all(keys::is_id) && form.action.split('/').count() <= 2;
    if !is_action {
        return Err(refuse("action", "an action is a definition's name, or registry/ and a registry's".to_owned()));
    }
    if GRANTS_MAX < form.grants.len() {
        return Err(refuse("grants", format!("{} grants are more than {GRANTS_MAX}", form.grants.len())));
    }
    if let Some(empty) = form.grants.iter().find(|grant| grant.until <= grant.from || grant.acts.is_empty()) {
        return Err(refuse("grants", format!("the grant to {} covers no act or no time", empty.role)));
    }
    let before = policy(draft, &form.action)?;
    if form.version != before.version + 1 {
        let words = format!(
            "the grants on {} would get version {}, not {}: somebody changed them since; look at them and submit again",
            form.action,
            before.version + 1,
            form.version
        );
        return Err(Refused::new("policy.version", &[&form.action], words).into());
    }
    if 0 < before.version {
        draft.put_bytes(keys::policy(&old_version(&form.action, before.version)), encode(before.as_ref()))?;
    }
    let policy = Policy { grants: form.grants.clone(), seq: draft.at.seq, version: form.version };
    let key = keys::policy(&form.action);
    draft.put_row(keys::catalog_row(&key), *b"")?;
    draft.put_bytes(key, encode(&policy))?;
    draft.happened("policy.put", "", &[&form.action, &form.version.to_string()]);
    Ok(())
}
