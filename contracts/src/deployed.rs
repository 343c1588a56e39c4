//! Deployed definitions: which versions there are, and each with what it was checked against.
//!
//! A definition is compiled again years later by those who replay the ledger, so what it relied on is kept beside it.

use crate::definition::{Compiled, Fault, Surroundings};
use crate::registry::{self, RegistryType};
use crate::value::Value;
use serde::{Deserialize, Serialize};

/// Which versions a definition has.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Versions {
    /// Each version, and the height from which on cases begin under it.
    pub versions: Vec<(u64, u64)>,
}

impl Versions {
    /// The version under which a case begins at a height.
    pub fn at(&self, height: u64) -> Option<u64> {
        self.versions.iter().rev().find(|(_, from)| *from <= height).map(|(version, _)| *version)
    }
}

/// A definition in state: with what it was checked against.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct StoredDefinition {
    /// Calendars there were.
    pub calendars: Vec<String>,
    /// The definition.
    pub definition: Value,
    /// Registries there were.
    pub registries: Vec<RegistryType>,
}

impl StoredDefinition {
    /// Compiles it as it was when it was deployed.
    ///
    /// # Errors
    ///
    /// Every [`Fault`]; none was there when it was deployed.
    pub fn compile(&self) -> Result<Compiled, Vec<Fault>> {
        let registries = self.registries.iter().cloned().chain(registry::built_in());
        let surroundings = Surroundings {
            registries: registry::fields_of(registries),
            calendars: self.calendars.iter().cloned().collect(),
        };
        Compiled::from_value(&self.definition, &surroundings)
    }
}
