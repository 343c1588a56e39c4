//! Listing: what a platform holds beside its cases, for those who do not know its names.

use super::{PlatformError, View};
use crate::administration::{self, Proposal, Versions};
use crate::days::Calendar;
use crate::definition::{Compiled, SignerRule};
use crate::draft::stored;
use crate::keys;
use crate::registry::{self, Entry, RegistryType};
use crate::workflow::{self, Instance};
use std::sync::Arc;

impl View {
    /// The registries: those that contracts themselves read, and the service's.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if state can't be read.
    pub fn registries(&self) -> Result<Vec<RegistryType>, PlatformError> {
        let mut registries = registry::built_in();
        for name in self.look(administration::registry_names)? {
            registries.extend(self.look(|draft| registry::registry_type(draft, &name))?);
        }
        Ok(registries)
    }

    /// Ids of a registry's entries in order, behind one if it is given, at most so many.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if state can't be read.
    pub fn entry_ids(&self, registry: &str, after: Option<&str>, most: usize) -> Result<Vec<String>, PlatformError> {
        self.catalog(&["registry", registry], after, most)
    }

    /// The entries of a registry, newest versions.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if state can't be read.
    pub fn entries(&self, registry: &str) -> Result<Vec<Arc<Entry>>, PlatformError> {
        let ids = self.entry_ids(registry, None, usize::MAX)?;
        ids.iter().filter_map(|id| self.entry(registry, id, None).transpose()).collect()
    }

    /// The actions on which something was granted.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if state can't be read.
    pub fn actions(&self) -> Result<Vec<String>, PlatformError> {
        self.catalog(&["policy"], None, usize::MAX)
    }

    /// The definitions, and the versions of each.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if state can't be read.
    pub fn definitions(&self) -> Result<Vec<(String, Arc<Versions>)>, PlatformError> {
        let mut definitions = Vec::new();
        for name in self.catalog(&["definition"], None, usize::MAX)? {
            let versions = self.look(|draft| stored(draft, &keys::definition(&name)))?;
            definitions.push((name, versions.unwrap_or_default()));
        }
        Ok(definitions)
    }

    /// The version of a definition under which a case would begin now; none if none would.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if state can't be read.
    pub fn definition(&self, name: &str) -> Result<Option<Arc<Compiled>>, PlatformError> {
        let height = self.now().height;
        self.look(|draft| {
            let versions: Option<Arc<Versions>> = stored(draft, &keys::definition(name))?;
            let version = versions.and_then(|versions| versions.at(height));
            version.map(|version| workflow::compiled(draft, name, version)).transpose()
        })
    }

    /// What administrators proposed and not enough of them have signed: records, and what each would put.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if state can't be read.
    pub fn proposals(&self) -> Result<Vec<(String, Arc<Proposal>)>, PlatformError> {
        let mut proposals = Vec::new();
        for record in self.catalog(&["proposal"], None, usize::MAX)? {
            if let Some(proposal) = self.proposal(&record)? {
                proposals.push((record, proposal));
            }
        }
        Ok(proposals)
    }

    /// What an administrator's record proposed; none if it waits for nobody.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if state can't be read.
    pub fn proposal(&self, record: &str) -> Result<Option<Arc<Proposal>>, PlatformError> {
        self.look(|draft| stored(draft, &keys::proposal(record)))
    }

    /// The case in which a record waits for signatures.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if state can't be read.
    pub fn waiting_case(&self, record: &str) -> Result<Option<Instance>, PlatformError> {
        let Some(key) = self.state().row(&keys::pending_row(record))? else { return Ok(None) };
        let found = self.instance(&key)?;
        Ok(found.filter(|instance| instance.pending.as_ref().is_some_and(|pending| pending.record == record)))
    }

    /// Whose signatures the act is missing that waits in a case; none if nothing waits, or it would be refused now.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if state can't be read.
    pub fn missing_signers(&self, instance: &Instance) -> Result<Vec<SignerRule>, PlatformError> {
        self.look(|draft| workflow::missing_signers(draft, instance))
    }

    /// A calendar; one without exceptions if it is not registered.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if state can't be read.
    pub fn calendar(&self, id: &str) -> Result<Arc<Calendar>, PlatformError> {
        self.look(|draft| registry::calendar(draft, id))
    }

    /// The last part of the names that begin with these parts.
    fn catalog(&self, parts: &[&str], after: Option<&str>, most: usize) -> Result<Vec<String>, PlatformError> {
        let (begin, to) = keys::catalog_range(parts);
        let from = after.map_or_else(|| begin.clone(), |after| [&begin[..], after.as_bytes(), &[0]].concat());
        let mut names = Vec::new();
        self.each_row(from, &to, |row| {
            names.extend(row.get(begin.len()..).map(|name| String::from_utf8_lossy(name).into_owned()));
            Ok(names.len() < most)
        })?;
        Ok(names)
    }
}
