//! What is wrong with a scenario's file, before anything of it is run.

use crate::service::ServiceError;
use std::path::{Path, PathBuf};

/// Why a file is no scenario.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// A file or directory can't be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /** The file. */
        path: PathBuf,
        /** What the system says. */
        source: std::io::Error,
    },
    /// A file has not its form.
    #[error("{}: {problem}", path.display())]
    Form {
        /** The file. */
        path: PathBuf,
        /** What is wrong, with its line. */
        problem: String,
    },
    /// The service that it is for can't be read.
    #[error("the service in {}: {source}", path.display())]
    Service {
        /** Its directory. */
        path: PathBuf,
        /** What is wrong with it. */
        source: ServiceError,
    },
}

impl ScenarioError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "scenario.read",
            Self::Form { .. } => "scenario.form",
            Self::Service { source, .. } => source.code(),
        }
    }

    pub(super) fn form(path: &Path, problem: impl Into<String>) -> Self {
        Self::Form { path: path.to_owned(), problem: problem.into() }
    }
}
