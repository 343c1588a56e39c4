//! The services that the binary brings along, by name; others are read from their directories.

use crate::exit::CommandError;
use annals_contracts::Service;
use std::path::Path;

/// Name, and files by their names.
type Files = &'static [(&'static str, &'static str)];

/// What is built in.
const BUILT_IN: [(&str, Files); 1] = [(
    "enforcement",
    &[
        ("service.toml", include_str!("../../services/enforcement/service.toml")),
        ("procedure.toml", include_str!("../../services/enforcement/procedure.toml")),
    ],
)];

/// A service that is built in, or one of a directory.
pub(crate) fn find(name: &str) -> Result<Service, CommandError> {
    let built_in = BUILT_IN.iter().find(|(known, _)| *known == name);
    Ok(match built_in {
        Some((_, files)) => Service::of(files)?,
        None => Service::read(Path::new(name))?,
    })
}
