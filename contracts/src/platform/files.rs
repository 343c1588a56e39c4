//! What lies beside the ledger: the host's key and the state, and whether that state is of this ledger.

use super::{Platform, PlatformError};
use crate::host::Applier;
use crate::keys;
use crate::library::Library;
use crate::message::PLATFORM;
use crate::state::{State, StateError, StateOptions, StateRoot, StateWriter, empty_root};
use annals::{Position, QueryError, Reader, SigningKey, StoredRecord, generate_key, read_key, write_key};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files of a platform beside its ledger's.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
}

impl Files {
    pub(super) fn of(ledger: &Path) -> Self {
        Self { dir: ledger.join("contracts") }
    }

    /// Where state is stored.
    pub(super) fn state(&self) -> PathBuf {
        self.dir.join("state.redb")
    }

    fn key(&self) -> PathBuf {
        self.dir.join("host.key")
    }

    /// Makes the directory and the host's key.
    pub(super) fn make(&self, key: &SigningKey) -> Result<(), PlatformError> {
        let made = std::fs::DirBuilder::new().mode(0o700).recursive(true).create(&self.dir);
        made.map_err(|source| PlatformError::File { path: self.dir.clone(), source })?;
        Ok(write_key(&self.key(), key)?)
    }

    /// The host's key; a new one if it is missing, which is appointed anew but notes no attempts.
    pub(super) fn host_key(&self) -> Result<SigningKey, PlatformError> {
        if self.key().symlink_metadata().is_err() {
            self.make(&generate_key()?)?;
        }
        Ok(read_key(&self.key())?)
    }

    /// Removes state, which the log makes again.
    pub(super) fn remove_state(&self) -> Result<(), PlatformError> {
        match std::fs::remove_file(self.state()) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(PlatformError::File { path: self.state(), source })
            }
            _ => Ok(()),
        }
    }
}

/// Where the state of the platform in a directory is stored.
pub fn state_path(path: &Path) -> PathBuf {
    Files::of(path).state()
}

/// Whether the record of seq 1 begins a platform.
///
/// # Errors
///
/// [`PlatformError`] if the ledger can't be read.
pub fn holds_platform(reader: &Reader) -> Result<bool, PlatformError> {
    match reader.get(1) {
        Ok(record) => Ok(record.head()?.kind == PLATFORM),
        Err(QueryError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether state that was applied through a position is of this ledger.
pub(super) fn is_of(reader: &Reader, position: &Position) -> Result<bool, PlatformError> {
    let Some(last) = position.next_seq.checked_sub(1) else { return Ok(true) };
    match reader.get(last) {
        Ok(record) => Ok(Some(record.block_root()) == position.root),
        Err(QueryError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What checking state found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StateCheck {
    /// Blocks that were applied.
    pub blocks: u64,
    /// Height of the last one; 0 if there was none.
    pub height: u64,
    /// Records of them.
    pub records: u64,
    /// The root at the end.
    pub root: StateRoot,
    /// The first height at which the stored root is another than the log gives; none: all are the same.
    pub differs_at: Option<u64>,
    /// What is stored otherwise than the log gives, though the roots are the same; none: nothing, or it was not looked at.
    pub differs_in: Option<&'static str>,
}

/// Applies the log from genesis, and compares the root of every block and all that is stored. Changes nothing.
///
/// `progress` is told how many records were applied, now and then.
///
/// # Errors
///
/// [`PlatformError`] if the ledger or its state can't be read.
pub fn check_state(path: &Path, reader: &Reader, progress: impl FnMut(u64)) -> Result<StateCheck, PlatformError> {
    let stored = StateWriter::open(&Files::of(path).state(), &StateOptions { check: true, ..StateOptions::default() })?;
    let fresh = StateWriter::in_memory(&StateOptions::default())?;
    let until = stored.reader().applied().next_seq;
    let (mut check, applier) = replay(reader, fresh, until, Some(&stored.reader()), progress)?;
    if check.differs_at.is_none() {
        // The store's rows are under no root, and its values are not hashed when they are read: decisions rest on both.
        check.differs_in = applier.state().differs(&stored.reader(), keys::is_words_row)?;
    }
    Ok(check)
}

impl Platform {
    /// Applies the log from genesis on a host of its own, in memory, and compares the root of every block with this one's.
    /// Changes nothing; what is ordered meanwhile is left out.
    ///
    /// `progress` is told how many records were applied, now and then.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if the ledger or state can't be read.
    pub fn check(&self, progress: impl FnMut(u64)) -> Result<StateCheck, PlatformError> {
        self.catch_up()?;
        let fresh = StateWriter::in_memory(&StateOptions::default())?;
        let until = self.applied().next_seq;
        replay(&self.core.reader, fresh, until, Some(self.state()), progress).map(|(check, _)| check)
    }
}

/// Makes state again from the log, in place of what is stored.
///
/// # Errors
///
/// [`PlatformError`] if the ledger can't be read or state can't be stored.
pub fn rebuild_state(path: &Path, reader: &Reader, progress: impl FnMut(u64)) -> Result<StateCheck, PlatformError> {
    let files = Files::of(path);
    files.remove_state()?;
    let writer = StateWriter::open(&files.state(), &StateOptions::default())?;
    Ok(replay(reader, writer, reader.next_seq(), None, progress)?.0)
}

/// Applies the blocks below a seq. The store is open as long as the applier lives.
pub(super) fn replay(
    reader: &Reader,
    writer: StateWriter,
    until: u64,
    compare: Option<&State>,
    mut progress: impl FnMut(u64),
) -> Result<(StateCheck, Applier), PlatformError> {
    let state = writer.reader();
    let mut applier = Applier::new(writer, Arc::new(Library::default()));
    let mut check =
        StateCheck { blocks: 0, height: 0, records: 0, root: empty_root(), differs_at: None, differs_in: None };
    let mut block: Vec<StoredRecord> = Vec::new();
    let mut take = |block: &mut Vec<StoredRecord>| -> Result<(), PlatformError> {
        let Some(first) = block.first() else { return Ok(()) };
        let height = first.height();
        let next_seq = first.seq() + block.len() as u64;
        applier.take(block, Position { next_seq, root: Some(first.block_root()) })?;
        check.blocks += 1;
        check.height = height;
        check.records = next_seq;
        let differs =
            |stored: &State| -> Result<bool, StateError> { Ok(stored.root_at(height)? != state.root_at(height)?) };
        if check.differs_at.is_none() && compare.map(differs).transpose()? == Some(true) {
            check.differs_at = Some(height);
        }
        progress(next_seq);
        block.clear();
        Ok(())
    };
    for record in reader.scan(0) {
        let record = record?;
        if block.first().is_some_and(|first| first.height() != record.height()) {
            take(&mut block)?;
        }
        if until <= record.seq() {
            break;
        }
        block.push(record);
    }
    take(&mut block)?;
    applier.commit()?;
    check.root = state.applied().root;
    Ok((check, applier))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::platform::{Founding, PlatformOptions};
    use crate::service::Service;

    fn platform(place: &Path) -> Platform {
        let service = Path::new(env!("CARGO_MANIFEST_DIR")).join("../services/enforcement");
        let founding = Founding {
            origin: "example.gov/files".to_owned(),
            service: Service::read(&service).unwrap(),
            admins: vec![SigningKey::from_seed(&[1; 32]).public()],
            threshold: 1,
            segment_size: 2 << 20,
            ledger_key: None,
        };
        let options = PlatformOptions { untended: true, ..PlatformOptions::default() };
        Platform::create(place, &founding, options).unwrap()
    }

    #[test]
    fn a_replay_finds_the_first_height_that_differs() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, other) = (platform(&dir.path().join("ours")), platform(&dir.path().join("other")));
        ours.tick().unwrap();
        let check = ours.check(|_| ()).unwrap();
        assert_eq!((check.differs_at, check.height, check.root), (None, 2, ours.applied().root));
        // Another host's key stands in the other's state from its first record on.
        let fresh = StateWriter::in_memory(&StateOptions::default()).unwrap();
        let (check, _) =
            replay(&ours.core.reader, fresh, ours.applied().next_seq, Some(other.state()), |_| ()).unwrap();
        assert_eq!(check.differs_at, Some(1));
    }

    /// Changes the last row of a table of a store that nobody has open.
    fn spoil<K: redb::Key + 'static>(path: &Path, table: &str, spoil: impl Fn(&mut Vec<u8>)) {
        let database = redb::Database::create(path).unwrap();
        let write = database.begin_write().unwrap();
        {
            use redb::ReadableTable as _;
            let mut table = write.open_table(redb::TableDefinition::<K, &[u8]>::new(table)).unwrap();
            let (key, mut bytes) = {
                let (key, value) = table.last().unwrap().unwrap();
                (K::as_bytes(&key.value()).as_ref().to_vec(), value.value().to_vec())
            };
            spoil(&mut bytes);
            table.insert(K::from_bytes(&key), bytes.as_slice()).unwrap();
        }
        write.commit().unwrap();
    }

    /// Who changes what is stored and leaves the roots alone has the host decide by it.
    #[test]
    fn a_replay_finds_what_no_root_shows() {
        let dir = tempfile::tempdir().unwrap();
        let ours = platform(&dir.path().join("ours"));
        let (place, reader) = (ours.ledger().path().to_owned(), ours.ledger().reader());
        ours.close().unwrap();
        let found = || check_state(&place, &reader, |_| ()).unwrap();
        assert_eq!((found().differs_at, found().differs_in), (None, None));
        for (table, what) in [("leaves", "values"), ("rows", "rows")] {
            let change = |bytes: &mut Vec<u8>| bytes.push(b' ');
            match table {
                "leaves" => spoil::<u64>(&state_path(&place), table, change),
                _ => spoil::<&[u8]>(&state_path(&place), table, change),
            }
            assert_eq!((found().differs_at, found().differs_in), (None, Some(what)));
            rebuild_state(&place, &reader, |_| ()).unwrap();
            assert_eq!(found().differs_in, None);
        }
    }
}
