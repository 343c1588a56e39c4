//! Exit codes and the one error type that commands end with.
//!
//! 0 done · 1 a negative finding or refused input · 64 usage · 66 no such file · 73 would overwrite · 74 I/O · 77
//! permissions of a key. Words go to stderr, once, in `main`.

use annals::{KeyPathError, ReceiptJsonError, VkeyError};
use std::io;
use std::path::PathBuf;

/// A negative finding, or input that was refused.
pub(crate) const NEGATIVE: u8 = 1;
/// The command line makes no sense.
pub(crate) const USAGE: u8 = 64;
const NO_INPUT: u8 = 66;
const CANNOT_CREATE: u8 = 73;
const IO: u8 = 74;
const NO_PERMISSION: u8 = 77;

/// Why a command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is larger than {most} bytes, so it is not what was asked for", path.display())]
    TooLarge { path: PathBuf, most: u64 },
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
    #[error(transparent)]
    Key(#[from] KeyPathError),
    #[error("--ledger-key: {0}")]
    Vkey(#[from] VkeyError),
    #[error("{}: {source}", path.display())]
    Receipt { path: PathBuf, source: ReceiptJsonError },
}

impl CommandError {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => NO_INPUT,
            Self::Key(KeyPathError::Exists(_)) => CANNOT_CREATE,
            Self::Key(KeyPathError::KeyMode { .. }) => NO_PERMISSION,
            Self::Vkey(_) => USAGE,
            Self::Receipt { .. } | Self::TooLarge { .. } => NEGATIVE,
            Self::Read { .. } | Self::Output(_) | Self::Key(_) => IO,
        }
    }
}
