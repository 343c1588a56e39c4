//! Where a bench's ledger lies, and what is removed with it.

use super::workload::fixed_key;
use crate::exit::CommandError;
use std::path::{Path, PathBuf};

/// A ledger's directory and its key, removed when the bench is done.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) ledger: PathBuf,
    pub(crate) key: PathBuf,
}

impl Place {
    pub(crate) fn make(dir: &Path) -> Result<Self, CommandError> {
        let number = std::process::id();
        let place = Self { ledger: dir.join(format!("ledger-{number}")), key: dir.join(format!("bench-{number}.key")) };
        annals::write_key(&place.key, &fixed_key(None))?;
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What can't be removed lies in a directory that the caller chose, or that is temporary.
        let _ = (std::fs::remove_dir_all(&self.ledger), std::fs::remove_file(&self.key));
    }
}

/// Refuses a run that would fill the disk: nobody's other data shall lack room because of a measurement.
pub(crate) fn check_room(dir: &Path, needed: u64) -> Result<(), CommandError> {
    // Where the system does not say, the run itself finds out.
    let Ok(room) = rustix::fs::statvfs(dir) else { return Ok(()) };
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if needed <= free {
        return Ok(());
    }
    Err(CommandError::Room { dir: dir.to_owned(), needed_mib: needed.div_ceil(1 << 20), free_mib: free >> 20 })
}
