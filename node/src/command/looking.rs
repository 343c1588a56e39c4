//! Opening a platform: to look at it, beside its writer if need be, and to submit to it.

use super::progress::Progress;
use super::{read_beside, warn_of_device};
use crate::exit::CommandError;
use annals::{Options, Reader};
use annals_contracts::state::StateError;
use annals_contracts::workflow::Instance;
use annals_contracts::{Platform, PlatformError, PlatformOptions, View, parse_case};
use std::ops::Deref;
use std::path::Path;

/// A platform that is looked at.
pub(super) enum Looking {
    /// Opened with its lock.
    Open(Box<Platform>),
    /// Its state made anew, in memory.
    Beside(Box<View>),
}

impl Deref for Looking {
    type Target = View;

    fn deref(&self) -> &View {
        match self {
            Self::Open(platform) => platform,
            Self::Beside(view) => view,
        }
    }
}

/// Opens a platform to look at it: with its lock if that is free; from a reader alone if it is held, or a copy.
pub(super) fn open_to_look(dir: &Path) -> Result<Looking, CommandError> {
    let ledger = Options { verifier_count: Some(1), ..Options::default() };
    // Nobody tends it: who only looks writes nothing.
    let error = match Platform::open(dir, PlatformOptions { ledger, untended: true, ..PlatformOptions::default() }) {
        Ok(platform) => return Ok(Looking::Open(Box::new(platform))),
        Err(error) => error,
    };
    let beside = matches!(&error, PlatformError::Open(error) if read_beside(error).is_some())
        || matches!(&error, PlatformError::State(StateError::InUse(_)));
    if !beside {
        return Err(error.into());
    }
    let reader = Reader::open(dir)?;
    let (mut progress, total) = (Progress::count("applying"), reader.next_seq());
    let view = View::beside(dir, &reader, |applied| progress.set(applied, total));
    progress.finish();
    Ok(Looking::Beside(Box::new(view?)))
}

/// Opens a platform to submit to it.
pub(super) fn open_to_submit(dir: &Path, accept_clock: bool) -> Result<Platform, CommandError> {
    let ledger = Options { accept_clock, ..Options::default() };
    let platform = Platform::open(dir, PlatformOptions { ledger, untended: true, ..PlatformOptions::default() })?;
    warn_of_device(platform.ledger());
    Ok(platform)
}

/// The case of a name.
pub(super) fn case_of(view: &View, name: &str) -> Result<Instance, CommandError> {
    let Some((agency, number)) = parse_case(name) else { return Err(no_case_name(name)) };
    let found = view.case(agency, number)?;
    found.ok_or_else(|| CommandError::NotFound(format!("there is no case {name}; `annals case list` lists them")))
}

/// What is told of a text that names no case.
pub(super) fn no_case_name(name: &str) -> CommandError {
    CommandError::Wrong(format!("{name:?} names no case; write AGENCY/NUMBER, such as SJ/2026-017"))
}
