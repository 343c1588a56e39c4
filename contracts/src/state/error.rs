//! Why state cannot be opened, read or changed.

use super::KEY_SIZE_MAX;
use crate::value::VALUE_SIZE_MAX;
use std::io;
use std::path::PathBuf;

/// Why state cannot be opened, read or changed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// A key has more bytes than fit.
    #[error("a key of {0} bytes is longer than {KEY_SIZE_MAX}")]
    KeyTooLong(usize),
    /// A value has more bytes than fit.
    #[error("a value of {0} bytes is larger than {VALUE_SIZE_MAX}")]
    ValueTooLarge(usize),
    /// A block's changes came again, or before those of an earlier one.
    #[error(
        "block {height}, next seq {next_seq}, does not follow block {applied}, next seq {applied_seq}: apply each block once, in order"
    )]
    OutOfOrder {
        /** The block that was given. */
        height: u64,
        /** Its first seq not in it. */
        next_seq: u64,
        /** The last block that is applied. */
        applied: u64,
        /** The first seq not in it. */
        applied_seq: u64,
    },
    /// Somebody else has the store open.
    #[error("{} is open elsewhere: stop the other node, or wait for it", .0.display())]
    InUse(PathBuf),
    /// The file is no store of this format, or is damaged.
    #[error("{}: {what}; state is derived, so remove the file or rebuild it from the log with `annals state rebuild`", path.display())]
    Damaged {
        /** The file. */
        path: PathBuf,
        /** What is wrong with it. */
        what: String,
    },
    /// The file cannot be opened or made.
    #[error("cannot open {}", path.display())]
    Open {
        /** The file. */
        path: PathBuf,
        /** What the system says. */
        source: io::Error,
    },
    /// The store failed. After a failed write it stays so until it is opened again.
    #[error("the state's store failed; open it again, and if that fails rebuild it with `annals state rebuild`")]
    Store(#[source] Box<redb::Error>),
    /// The writer was dropped, and with it the store closed.
    #[error("the state is closed: its writer is gone; open it again")]
    Closed,
    /// The store lacks what its own numbers say it has.
    #[error("the state's store lacks {0}; remove the file or rebuild it from the log with `annals state rebuild`")]
    Missing(&'static str),
}

impl StateError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::KeyTooLong(_) => "state.key_too_long",
            Self::ValueTooLarge(_) => "state.value_too_large",
            Self::OutOfOrder { .. } => "state.out_of_order",
            Self::InUse(_) => "state.in_use",
            Self::Damaged { .. } => "state.damaged",
            Self::Open { .. } => "state.open",
            Self::Store(_) => "state.store",
            Self::Closed => "state.closed",
            Self::Missing(_) => "state.missing",
        }
    }

    /// A value that no contract wrote stands under a key.
    pub(crate) fn damaged(key: &[u8], problem: &str) -> Self {
        let what = format!("{} {problem}", String::from_utf8_lossy(key).replace('\0', "/"));
        Self::Damaged { path: PathBuf::from("state"), what }
    }

    /// From whatever the store gives.
    pub(super) fn store(error: impl Into<redb::Error>) -> Self {
        let error = error.into();
        if matches!(error, redb::Error::DatabaseClosed) { Self::Closed } else { Self::Store(Box::new(error)) }
    }
}
