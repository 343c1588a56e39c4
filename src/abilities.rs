//! What the machine under a ledger is able to do, as `annals doctor` reports it.

use crate::open_error::OpenError;
use annals_storage::disk::{Access, Disk, FileDisk};
use std::path::Path;

/// What a machine and a directory on it are able to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Abilities {
    /// The kernel's release.
    pub kernel: String,
    /// The io_uring operations that would be used, or why it is not.
    pub io_uring: Result<String, String>,
    /// Whether files there are written past the page cache.
    pub direct_io: bool,
    /// Free bytes.
    pub free_bytes: u64,
}

/// Looks what can be done in an existing directory.
///
/// # Errors
///
/// [`OpenError`] if the directory can't be used.
pub fn abilities(directory: &Path) -> Result<Abilities, OpenError> {
    let disk = FileDisk::new(directory, Access::Write);
    Ok(Abilities {
        kernel: annals_storage::probe::kernel(),
        io_uring: annals_storage::probe::io_uring(),
        direct_io: annals_storage::probe::direct_io(directory),
        free_bytes: disk.available()?,
    })
}
