//! Services that are built in, and those that lie in a directory.

use crate::exit::CommandError;
use annals_contracts::{Service, ServiceError};
use std::path::Path;

/// A service's files, by name.
type Files = &'static [(&'static str, &'static str)];

/// The services that are built in.
const BUILT_IN: &[(&str, Files)] = &[(
    "enforcement",
    &[
        ("service.toml", include_str!("../../../services/enforcement/service.toml")),
        ("procedure.toml", include_str!("../../../services/enforcement/procedure.toml")),
    ],
)];

/// The service of a name, or of a directory.
pub(crate) fn find(name: &str) -> Result<Service, CommandError> {
    if let Some((_, files)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
        return Ok(Service::of(files)?);
    }
    let directory = Path::new(name);
    if directory.is_dir() {
        return Service::read(directory).map_err(|error| within(error, directory));
    }
    let names: Vec<_> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    Err(CommandError::NotFound(format!(
        "--service {name}: there is no such service or directory; built in: {}",
        names.join(", ")
    )))
}

/// A fault of a form names its file alone; say where it lies.
fn within(error: ServiceError, directory: &Path) -> CommandError {
    if let ServiceError::Form { path, problem } = error {
        // A path that is absolute, or begins so already, stays what it is.
        let path = if path.starts_with(directory) { path } else { directory.join(path) };
        return ServiceError::Form { path, problem }.into();
    }
    error.into()
}
