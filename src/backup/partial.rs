//! A directory that is being made: under a name of its own beside its place, then there all at once.
//!
//! A crash leaves the place as it was, and beside it a directory whose name says what it is; the next attempt removes it. Where
//! the place holds something older, the two are exchanged in one step, if the file system can do that; where not, the older
//! one is set aside first, and the next attempt puts it back if a crash came in between.

use crate::home::{HomeError, io_error, parent, sync_directory};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A directory in the making; removed when dropped, unless it was published.
#[derive(Debug)]
pub(super) struct Partial {
    path: PathBuf,
    place: PathBuf,
    /// Tells another process that somebody is at work here.
    _lock: File,
}

impl Partial {
    /// Begins a directory for a place; none if somebody else is at work on it.
    pub(super) fn begin(place: &Path) -> Result<Option<Self>, HomeError> {
        // Through a symbolic link, it is the directory behind it that is replaced, in its own file system.
        let real = std::fs::canonicalize(place).or_else(|_| std::path::absolute(place));
        let place = real.map_err(io_error("find", place))?;
        let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev());
        if let (Ok(one), Ok(other)) = (device(&place), device(parent(&place)))
            && one != other
        {
            return Err(HomeError::MountPoint(place));
        }
        let (path, aside) = (named(&place, "partial"), named(&place, "old"));
        if let Err(error) = std::fs::create_dir(&path)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(io_error("create", &path)(error));
        }
        let lock = File::open(&path).map_err(io_error("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(io_error("lock", &path)(error)),
        }
        if !place.exists() && aside.exists() {
            std::fs::rename(&aside, &place).map_err(io_error("put back", &place))?;
        }
        let partial = Self { path, place, _lock: lock };
        partial.clear()?;
        Ok(Some(partial))
    }

    /// Removes what a crash has left.
    fn clear(&self) -> Result<(), HomeError> {
        for entry in std::fs::read_dir(&self.path).map_err(io_error("read", &self.path))? {
            let path = entry.map_err(io_error("read", &self.path))?.path();
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.map_err(io_error("remove", &path))?;
        }
        Ok(())
    }

    /// Where it is made.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it into its place, which is missing or empty. Its files are durable already; its name is on return.
    pub(super) fn publish(self) -> Result<(), HomeError> {
        let (path, place) = (&self.path, &self.place);
        sync_directory(path)?;
        std::fs::rename(path, place).map_err(|error| {
            if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) {
                HomeError::Exists(place.clone())
            } else {
                io_error("create", place)(error)
            }
        })?;
        sync_directory(parent(place))
    }

    /// Puts it into its place, instead of the directory that is there. Its files are durable already; its name is on return.
    pub(super) fn replace(self) -> Result<(), HomeError> {
        let (path, place) = (&self.path, &self.place);
        sync_directory(path)?;
        if renameat_with(CWD, path, CWD, place, RenameFlags::EXCHANGE).is_err() {
            let aside = named(place, "old");
            std::fs::rename(place, &aside).map_err(io_error("set aside", place))?;
            if let Err(error) = std::fs::rename(path, place) {
                // Back where it was; if even that fails, the next attempt puts it back.
                let _ = std::fs::rename(&aside, place);
                return Err(io_error("create", place)(error));
            }
            std::fs::rename(&aside, path).map_err(io_error("remove", &aside))?;
        }
        // What is left under the other name is the older one; dropping removes it, which is safe once the names are durable.
        sync_directory(parent(place))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // It takes room and nothing else; the next attempt removes it too.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A name beside a place that no other place has.
fn named(place: &Path, what: &str) -> PathBuf {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    parent(place).join(format!(".{name}.{what}"))
}
