//! What a scenario came to: all as expected, or the first step that was not.

use crate::label::Label;
use crate::platform::{PlatformError, SubmitError};
use std::fmt;
use std::path::PathBuf;

/// What a scenario came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// The rows of the requirements that it is about.
    pub rows: Vec<String>,
    /// What people call it.
    pub title: Label,
    /// Its file.
    pub path: PathBuf,
    /// Its steps, in order.
    pub sentences: Vec<Label>,
    /// How many of them were as expected.
    pub steps_passed: usize,
    /// What was not as expected; none: everything was.
    pub failure: Option<Failure>,
}

impl Report {
    /// Whether everything was as expected.
    pub const fn passed(&self) -> bool {
        self.failure.is_none()
    }
}

/// The first step that was not as expected.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// Its number, from 1; 0 before the first step, one more than there are steps at the replay behind the last.
    pub step: usize,
    /// Its line in the file; none if it is no step of the file.
    pub line: Option<usize>,
    /// Its sentence.
    pub sentence: Label,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub got: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, line, sentence, expected, got } = self;
        write!(formatter, "step {step}")?;
        if let Some(line) = line {
            write!(formatter, " (line {line})")?;
        }
        write!(formatter, ": {sentence}\n  expected: {expected}\n  got:      {got}")
    }
}

/// That something is not as expected.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Unlike {
    pub(super) expected: String,
    pub(super) got: String,
}

impl Unlike {
    pub(super) fn new(expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self { expected: expected.into(), got: got.into() }
    }

    /// Something that has nothing to do with the requirement failed.
    pub(super) fn broken(error: &dyn fmt::Display) -> Self {
        Self::new("that the step can be tried", error.to_string())
    }

    /// The scenario itself is wrong.
    pub(super) fn form(problem: impl Into<String>) -> Self {
        Self::new("a step that makes sense", problem)
    }
}

impl From<PlatformError> for Unlike {
    fn from(error: PlatformError) -> Self {
        Self::broken(&error)
    }
}

impl From<SubmitError> for Unlike {
    fn from(error: SubmitError) -> Self {
        Self::broken(&error)
    }
}

/// Holds what was found against what was expected.
pub(super) fn same<T: PartialEq + fmt::Debug + ?Sized>(what: &str, expected: &T, got: &T) -> Result<(), Unlike> {
    if expected == got {
        return Ok(());
    }
    Err(Unlike::new(format!("{what} {expected:?}"), format!("{what} {got:?}")))
}
