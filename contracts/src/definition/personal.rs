//! What a transition takes of what tells something of a person: followed from the fields that its expressions read, so that nothing of it
//! gets into a field of the case that may be published.

use super::{Definition, Surroundings, Transition};
use crate::guard::Read;
use crate::schema::{FieldSchema, Kind};

/// Where the values come from that a transition's expressions read.
pub(super) struct Sources<'a> {
    pub(super) rule: &'a Transition,
    pub(super) definition: &'a Definition,
    pub(super) surroundings: &'a Surroundings,
}

impl Sources<'_> {
    /// Whether a read takes in what tells something of a person.
    pub(super) fn is_personal(&self, read: &Read) -> bool {
        let Self { rule, definition, surroundings } = self;
        let form = || definition.payloads.get(rule.payload.as_ref()?);
        let registry = |name: &str| rule.lookup.iter().find(|lookup| lookup.name == name).map(|it| &it.registry);
        let (fields, path) = match (read.variable.as_str(), read.fields.as_slice()) {
            ("record", path) => (form().map(|form| &form.fields), path),
            ("case", [data, path @ ..]) if data == "data" => (Some(&definition.case), path),
            ("case", []) => (Some(&definition.case), &[][..]),
            (name, path) => (registry(name).and_then(|name| surroundings.registries.get(name)), path),
        };
        let Some(mut fields) = fields else { return false };
        for name in path {
            match fields.get(name) {
                Some(schema) if schema.personal || schema.kind != Kind::Record => return schema.is_personal(),
                Some(schema) => fields = &schema.fields,
                None => return false,
            }
        }
        fields.values().any(FieldSchema::is_personal)
    }
}
