//! Views: a platform to look at and not to write to.
//!
//! An open [`Platform`](super::Platform) is one. Where another process has the platform open, or there is but a copy of its ledger,
//! [`View::beside`] makes state anew, in memory, and changes nothing: slower by the length of the log, and the same answers.

use super::{PlatformError, files};
use crate::charter::{self, Platform as Charter};
use crate::draft::{At, Draft, Ground, Layer, Stop};
use crate::host::Applier;
use crate::library::Library;
use crate::state::{Applied, State, StateOptions, StateWriter};
use annals::{ManualClock, Reader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A platform to look at.
#[derive(Clone, Debug)]
pub struct View {
    pub(super) path: PathBuf,
    pub(super) reader: Reader,
    pub(super) state: State,
    pub(super) library: Arc<Library>,
    pub(super) clock: Option<ManualClock>,
    /// Of a state that was made for it: keeps the store open.
    pub(super) _store: Option<Arc<Applier>>,
}

impl View {
    /// Makes the state of a ledger anew, in memory, up to what is final now.
    ///
    /// `progress` is told how many records were applied, now and then.
    ///
    /// # Errors
    ///
    /// [`PlatformError::NoPlatform`] if the ledger holds none; others if it can't be read.
    pub fn beside(path: &Path, reader: &Reader, progress: impl FnMut(u64)) -> Result<Self, PlatformError> {
        if !files::holds_platform(reader)? {
            return Err(PlatformError::NoPlatform(path.to_owned()));
        }
        let writer = StateWriter::in_memory(&StateOptions::default())?;
        let state = writer.reader();
        let (_, applier) = files::replay(reader, writer, reader.next_seq(), None, progress)?;
        let library = Arc::new(Library::default());
        let _store = Some(Arc::new(applier));
        Ok(Self { path: path.to_owned(), reader: reader.clone(), state, library, clock: None, _store })
    }

    /// Its state, through whatever block was applied.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Its ledger's reader.
    pub const fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Through where its state is applied.
    pub fn applied(&self) -> Applied {
        self.state.applied()
    }

    /// Where and when a record would be applied that is ordered now.
    pub fn now(&self) -> At {
        now(&self.reader, &self.state, self.clock.as_ref())
    }

    /// Who administers it.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if state can't be read.
    pub fn administration(&self) -> Result<Arc<Charter>, PlatformError> {
        let found = self.look(charter::platform)?;
        found.ok_or_else(|| PlatformError::NoPlatform(self.path.clone()))
    }

    /// Reads through a draft of the newest state, which is thrown away.
    pub(crate) fn look<T>(&self, ask: impl FnOnce(&mut Draft<'_>) -> Result<T, Stop>) -> Result<T, PlatformError> {
        look(&self.state, &self.library, self.now(), ask)
    }
}

/// Where and when a record would be applied that is ordered now.
pub(super) fn now(reader: &Reader, state: &State, clock: Option<&ManualClock>) -> At {
    let time_ms = clock.map_or_else(super::tending::wall_ms, |clock| i64::try_from(clock.now_ms()).unwrap_or(i64::MAX));
    At { seq: reader.next_seq(), height: state.applied().height + 1, time_ms }
}

/// Reads through a draft of state, which is thrown away.
pub(super) fn look<T>(
    state: &State,
    library: &Library,
    at: At,
    ask: impl FnOnce(&mut Draft<'_>) -> Result<T, Stop>,
) -> Result<T, PlatformError> {
    let block = Layer::default();
    let mut draft = Draft::new(Ground { state, library, takes: false }, &block, at);
    ask(&mut draft).map_err(|stop| match stop {
        Stop::Broken(error) => PlatformError::Host(error),
        Stop::Refused(refused) => PlatformError::Refused(refused),
    })
}
