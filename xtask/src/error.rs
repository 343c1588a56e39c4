//! Why a developer task could not do its work, as opposed to what it found.

use std::io;
use std::path::PathBuf;

/// Why a task could not finish. What a task *found* wrong is no error; it is the task's result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// A program could not be started.
    #[error("cannot start {program}: {source}; is it installed and on the PATH?")]
    Start {
        /// The program's name.
        program: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A program that the task needs the output of failed.
    #[error("{program} failed{}; what it wrote of that stands above", ended(*exit_code))]
    Failed {
        /// The program's name.
        program: &'static str,
        /// Its exit code, if it is known and the program was not killed.
        exit_code: Option<i32>,
    },
    /// The output of `cargo metadata` or `git ls-files` was not what this task reads.
    #[error("the output of {program} cannot be read: {missing} is missing")]
    Unreadable {
        /// The program's name.
        program: &'static str,
        /// What was looked for.
        missing: &'static str,
    },
    /// The output of `cargo metadata` was not JSON.
    #[error("the output of cargo metadata is not JSON: {0}")]
    Json(#[source] serde_json::Error),
    /// A file of the workspace could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no baseline to compare figures with.
    #[error("the baseline {path} {problem}; measure one on an idle machine with `cargo xtask bench-guard --record`")]
    Baseline {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// `annals bench` gave no figure that can be compared.
    #[error("annals bench gave no figure: {missing} is missing")]
    Bench {
        /// What was looked for.
        missing: &'static str,
    },
    /// The report could not be written.
    #[error("cannot write the report: {0}")]
    Output(#[source] io::Error),
    /// There is nothing to fuzz with.
    #[error("{missing} is not there; {remedy}")]
    Missing {
        /// The tool or file.
        missing: &'static str,
        /// What to do next.
        remedy: &'static str,
    },
}

fn ended(exit_code: Option<i32>) -> String {
    exit_code.map(|code| format!(" with exit code {code}")).unwrap_or_default()
}

impl TaskError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Start { .. } => "task.start",
            Self::Failed { .. } => "task.failed",
            Self::Unreadable { .. } => "task.unreadable",
            Self::Json(_) => "task.json",
            Self::Read { .. } => "task.read",
            Self::Write { .. } => "task.write",
            Self::Baseline { .. } => "task.baseline",
            Self::Bench { .. } => "task.bench",
            Self::Output(_) => "task.output",
            Self::Missing { .. } => "task.missing",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_its_exit_code_only_where_there_is_one() {
        let said = |exit_code| TaskError::Failed { program: "cargo", exit_code }.to_string();
        assert_eq!(said(Some(101)), "cargo failed with exit code 101; what it wrote of that stands above");
        assert_eq!(said(None), "cargo failed; what it wrote of that stands above");
    }
}
