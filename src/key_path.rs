//! Key files on disk: made closed to group and others, never replaced, read only if still closed.
//!
//! What a key file holds is `annals_core::key_file`'s business; this is the edge to the file system.

use annals_core::key_file;
use annals_core::limits::KEY_FILE_SIZE_MAX;
use annals_core::signature::SigningKey;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why a key file could not be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyPathError {
    /// A file operation failed.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /** What was tried. */
        operation: &'static str,
        /** On which file. */
        path: PathBuf,
        /** What the system said. */
        source: io::Error,
    },
    /// There is a file already.
    #[error("{} already exists and is not replaced; choose another name", .0.display())]
    Exists(PathBuf),
    /// The system gave no randomness.
    #[error("the system gave no random bytes for a key")]
    Randomness,
    /// A key file can be read by others.
    #[error("key file {} has mode {mode:03o}; run `chmod 600` on it, and ask who has read it", path.display())]
    KeyMode {
        /** The file. */
        path: PathBuf,
        /** Its permission bits. */
        mode: u32,
    },
    /// A key file is malformed.
    #[error("key file {}: {source}", path.display())]
    Key {
        /** The file. */
        path: PathBuf,
        /** What is wrong with it. */
        source: key_file::KeyFileError,
    },
}

impl KeyPathError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "key.io",
            Self::Exists(_) => "key.exists",
            Self::Randomness => "key.randomness",
            Self::KeyMode { .. } => "key.mode",
            Self::Key { .. } => "key.malformed",
        }
    }
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyPathError {
    move |source| KeyPathError::Io { operation, path: path.to_owned(), source }
}

fn create_new(path: &Path, mode: u32) -> Result<File, KeyPathError> {
    match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Ok(file) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(KeyPathError::Exists(path.to_owned())),
        Err(error) => Err(io_error("create", path)(error)),
    }
}

/// A new random key.
///
/// # Errors
///
/// [`KeyPathError::Randomness`] if the system gives none.
pub fn generate_key() -> Result<SigningKey, KeyPathError> {
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|_| KeyPathError::Randomness)?;
    Ok(SigningKey::from_seed(&seed))
}

/// 32 random bytes of the system's.
///
/// # Errors
///
/// [`KeyPathError::Randomness`] if the system gives none.
pub fn random_bytes() -> Result<[u8; 32], KeyPathError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| KeyPathError::Randomness)?;
    Ok(bytes)
}

/// Writes a key file of mode 0600; an existing file is never replaced.
///
/// # Errors
///
/// [`KeyPathError::Exists`] or [`KeyPathError::Io`].
pub fn write_key(path: &Path, key: &SigningKey) -> Result<(), KeyPathError> {
    let text = key_file::encode(key);
    let mut file = create_new(path, 0o600)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io_error("write", path))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Its name too: a ledger may outlive a power cut that takes its key.
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io_error("sync", directory))
}

/// Reads a key file, which must be closed to group and others.
///
/// # Errors
///
/// [`KeyPathError`] if it is missing, open to others or malformed.
pub fn read_key(path: &Path) -> Result<SigningKey, KeyPathError> {
    let file = File::open(path).map_err(io_error("open", path))?;
    let mode = file.metadata().map_err(io_error("inspect", path))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyPathError::KeyMode { path: path.to_owned(), mode });
    }
    let mut text = zeroize::Zeroizing::new(Vec::with_capacity(KEY_FILE_SIZE_MAX + 1));
    file.take(KEY_FILE_SIZE_MAX as u64 + 1).read_to_end(&mut text).map_err(io_error("read", path))?;
    key_file::parse(&text).map_err(|source| KeyPathError::Key { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_key_file_is_closed_kept_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let key = generate_key().unwrap();
        write_key(&path, &key).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_key(&path).unwrap().public(), key.public());
        assert_eq!(write_key(&path, &generate_key().unwrap()).unwrap_err().code(), "key.exists");
        assert_eq!(read_key(&path).unwrap().public(), key.public(), "the file was not replaced");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        assert_eq!(read_key(&path).unwrap_err().code(), "key.mode");
        assert_eq!(read_key(&directory.path().join("other")).unwrap_err().code(), "key.io");
    }
}
