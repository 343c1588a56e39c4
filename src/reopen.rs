//! Going on: whether a directory may be appended to, and the record that says so where that was in doubt.
//!
//! A copy of a ledger (see `place.rs`) goes on only from a checkpoint that its operator hands in: the newest that anybody
//! holds. If it was signed over more records than the copy has, others hold receipts for records that the copy lost;
//! appending would sign two histories with one key, so that is refused. If it was signed over another tree, that has happened
//! already. Otherwise the first record that the engine orders says why the ledger went on and from where; only when it
//! is durable is the copy's mark taken away, and only then does anybody get the ledger.

use crate::home::{Home, HomeError};
use crate::key_path::read_key;
use crate::loading::read_genesis;
use crate::open_error::OpenError;
use crate::options::Options;
use crate::place::{Mark, Standing};
use crate::query::Query;
use annals_core::checkpoint::Checkpoint;
use annals_core::genesis::Genesis;
use annals_core::reopening::{Reason, Reopening};
use annals_storage::disk::{Access, Disk, FileDisk};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Name of the file that holds the newest checkpoint of a backup, and of what was restored from it.
pub(crate) const CHECKPOINT_NAME: &str = "checkpoint";

/// Whether a directory may be appended to, as far as its files tell.
#[derive(Debug)]
pub(crate) struct GoingOn {
    standing: Standing,
    note: Option<String>,
}

impl GoingOn {
    /// Refuses a copy unless a checkpoint to go on from is given.
    pub(crate) fn ask(home: &Home, options: &Options) -> Result<Self, OpenError> {
        let (standing, note) = (home.standing()?, options.continue_after.clone());
        let path = || home.root().to_owned();
        match standing {
            // A backup stays what it is: what is appended to it would be lost with the next one.
            Standing::Marked(Mark::Backup) => Err(OpenError::Backup { path: path() }),
            Standing::Marked(Mark::Restored) if note.is_none() => Err(OpenError::Restored { path: path() }),
            Standing::Copied { expected, found } if note.is_none() => {
                Err(OpenError::Copied { path: path(), expected, found })
            }
            Standing::InPlace | Standing::Unknown | Standing::Marked(Mark::Restored) | Standing::Copied { .. } => {
                Ok(Self { standing, note })
            }
        }
    }

    /// What has to be ordered before anything else, once the ledger has been read to its end.
    pub(crate) fn judge(&self, query: &Query, clock_accepted: bool, wall_ms: u64) -> Result<Vec<Reopening>, OpenError> {
        let from = self.note.as_deref().map(|note| compare(query, note)).transpose()?;
        let reason = match self.standing {
            Standing::Marked(_) => Some(Reason::Restored),
            Standing::Copied { .. } => Some(Reason::Copied),
            Standing::InPlace | Standing::Unknown => None,
        };
        let copy = reason.zip(from).map(|(reason, (checkpoint, signature))| {
            Reopening::of_copy(reason == Reason::Restored, wall_ms, checkpoint, signature)
        });
        let clock = clock_accepted.then(|| Reopening::by_clock(wall_ms));
        Ok(copy.into_iter().chain(clock).collect())
    }

    /// Notes that the ledger lies here, now that whatever had to be ordered first is durable.
    pub(crate) fn settle(&self, home: &Home) -> Result<(), HomeError> {
        match self.standing {
            Standing::InPlace => Ok(()),
            // A ledger from before places were noted: if that fails, the next opening tries again.
            Standing::Unknown => {
                let _ = home.settle();
                Ok(())
            }
            Standing::Marked(_) | Standing::Copied { .. } => {
                home.settle()?;
                // It was the copy's; from here on the log stores its own. Left behind, nobody reads it.
                let _: io::Result<()> = std::fs::remove_file(home.root().join(CHECKPOINT_NAME));
                Ok(())
            }
        }
    }
}

/// Notes where the ledger key lies from now on, for a directory that came without one. `annals.toml` is written anew.
///
/// # Errors
///
/// [`OpenError`] if somebody writes to the ledger, or the key is missing, open to others or another one than the ledger was
/// born with; nothing has changed then.
pub fn use_ledger_key(path: &Path, ledger_key: &Path) -> Result<(), OpenError> {
    let mut home = Home::open(path)?;
    let _lock = home.lock()?;
    let ledger_key = std::path::absolute(ledger_key)
        .map_err(|source| OpenError::System { operation: "find the ledger key", source })?;
    let disk: Arc<dyn Disk> = Arc::new(FileDisk::new(&home.segments(), Access::Read));
    let (_, genesis) = read_genesis(&disk)?;
    check_key(&genesis, &ledger_key)?;
    Ok(home.set_key_path(Some(ledger_key))?)
}

/// Refuses a key file that holds another key than the ledger was born with.
pub(crate) fn check_key(genesis: &Genesis, ledger_key: &Path) -> Result<(), OpenError> {
    let (expected, found) = (genesis.vkey.key(), read_key(ledger_key).map_err(HomeError::from)?.public());
    if expected == found { Ok(()) } else { Err(OpenError::WrongKey { expected, found }) }
}

/// Compares a checkpoint that somebody holds with a ledger that was read to its end; the checkpoint and its signature.
pub(crate) fn compare(query: &Query, note: &str) -> Result<(Checkpoint, [u8; 64]), OpenError> {
    let (checkpoint, signature) = Checkpoint::open_signed(note, &query.genesis.vkey).map_err(OpenError::Checkpoint)?;
    let size = query.watermark.next_seq();
    if size < checkpoint.size {
        return Err(OpenError::OlderThanCheckpoint { size, expected: checkpoint.size });
    }
    let found = query.root_at(checkpoint.size)?;
    if found != checkpoint.root {
        return Err(OpenError::OtherTree { size: checkpoint.size, expected: checkpoint.root, found });
    }
    Ok((checkpoint, signature))
}
