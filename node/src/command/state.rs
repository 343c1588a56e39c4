//! `annals state`: what is derived from a platform's log, compared with it or made again.
//!
//! Both need the state for themselves: a process that has the platform open holds it. Making it again needs the ledger too, so that
//! nobody opens the platform meanwhile; a backup or copy, which nobody can write to, is read without.

use super::progress::Progress;
use super::read_beside;
use crate::exit::{CommandError, NEGATIVE};
use crate::line::{StateOrder, StateTarget};
use annals::{HomeError, Ledger, OpenError, Options, Reader};
use annals_contracts::PlatformError;
use annals_contracts::platform::{StateCheck, check_state, holds_platform, rebuild_state, state_path};
use serde_json::json;
use std::io::Write as _;
use std::path::Path;

pub(super) fn run(order: &StateOrder) -> Result<u8, CommandError> {
    match order {
        StateOrder::Check(target) => check(target),
        StateOrder::Rebuild(target) => rebuild(target),
    }
}

/// A ledger whose platform nobody else has open.
struct Alone {
    reader: Reader,
    /// Keeps others out as long as this lives.
    _ledger: Option<Ledger>,
}

fn alone(dir: &Path) -> Result<Alone, CommandError> {
    let options = Options { verifier_count: Some(1), ..Options::default() };
    let (reader, ledger) = match Ledger::open(dir, options) {
        Ok(ledger) => (ledger.reader(), Some(ledger)),
        Err(error @ OpenError::Home(HomeError::Held { .. })) => return Err(error.into()),
        Err(error) if read_beside(&error).is_some() => (Reader::open(dir)?, None),
        Err(error) => return Err(error.into()),
    };
    if !holds_platform(&reader)? {
        return Err(PlatformError::NoPlatform(dir.to_owned()).into());
    }
    Ok(Alone { reader, _ledger: ledger })
}

fn check(target: &StateTarget) -> Result<u8, CommandError> {
    let Alone { reader, _ledger } = alone(&target.dir)?;
    let path = state_path(&target.dir);
    if path.symlink_metadata().is_err() {
        let words = format!("{} is not there; `annals state rebuild` makes it", path.display());
        return Err(CommandError::NotFound(words));
    }
    let found = with_progress("checking", &reader, |progress| check_state(&target.dir, &reader, progress))?;
    let StateCheck { blocks, records, root, differs_at, differs_in, height: _ } = found;
    let is_sound = differs_at.is_none() && differs_in.is_none();
    let behind = reader.next_seq().saturating_sub(records);
    let mut out = std::io::stdout().lock();
    if target.json {
        let object = json!({
            "sound": is_sound,
            "blocks": blocks,
            "records": records,
            "behind": behind,
            "root": root.to_string(),
            "differs_at": differs_at,
            "differs_in": differs_in,
        });
        writeln!(out, "{object}")?;
    } else if let Some(height) = differs_at {
        writeln!(
            out,
            "differs: from height {height} on the stored state has another root than the log gives; `annals state rebuild` makes it again"
        )?;
    } else if let Some(what) = differs_in {
        writeln!(
            out,
            "differs: the stored {what} are not those that the log gives, though the roots are; `annals state rebuild` makes them again"
        )?;
    } else {
        writeln!(
            out,
            "sound: the roots of {blocks} blocks, {records} records, are those that the log gives; root {root}"
        )?;
        if 0 < behind {
            writeln!(out, "{behind} records more are in the log; the next opening applies them")?;
        }
    }
    Ok(if is_sound { 0 } else { NEGATIVE })
}

fn rebuild(target: &StateTarget) -> Result<u8, CommandError> {
    let Alone { reader, _ledger } = alone(&target.dir)?;
    let made = with_progress("rebuilding", &reader, |progress| rebuild_state(&target.dir, &reader, progress))?;
    let StateCheck { blocks, records, root, .. } = made;
    let mut out = std::io::stdout().lock();
    if target.json {
        writeln!(out, "{}", json!({"blocks": blocks, "records": records, "root": root.to_string()}))?;
    } else {
        writeln!(out, "rebuilt: {blocks} blocks, {records} records; root {root}")?;
    }
    Ok(0)
}

fn with_progress<T>(
    what: &'static str,
    reader: &Reader,
    work: impl FnOnce(&mut dyn FnMut(u64)) -> Result<T, PlatformError>,
) -> Result<T, CommandError> {
    let (mut progress, total) = (Progress::count(what), reader.next_seq());
    let result = work(&mut |applied| progress.set(applied, total));
    progress.finish();
    Ok(result?)
}
