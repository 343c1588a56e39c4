//! The directory of a ledger: what lies where, who holds it, and how it comes to be.
//!
//! ```text
//! DIR/annals.toml   format, segment size, where the ledger key lies
//! DIR/ledger.key    the ledger's signing key, mode 0600, unless annals.toml names another place
//! DIR/lock          held by the one writer; holds its process number
//! DIR/place         where the files were made, so that a copy is noticed; see `place.rs`
//! DIR/segments/     the log
//! DIR/index/        derived from it
//! ```
//!
//! A ledger is made beside its place and renamed into it, so it is there whole or not at all.

use crate::key_path::{KeyPathError, read_key};
use annals_core::signature::SigningKey;
use annals_storage::segment::is_segment_size;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Version of the directory's layout and of all formats in it.
pub const FORMAT_VERSION: u32 = 1;
/// No configuration is this large; more is not read.
const CONFIG_SIZE_MAX: u64 = 64 << 10;
const CONFIG_NAME: &str = "annals.toml";
const KEY_NAME: &str = "ledger.key";
const LOCK_NAME: &str = "lock";

/// Why a ledger's directory could not be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// A file operation failed.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /** What was tried. */
        operation: &'static str,
        /** On which file or directory. */
        path: PathBuf,
        /** What the system said. */
        source: io::Error,
    },
    /// There is something there already.
    #[error("{} exists already and is not empty; a ledger is made in a place of its own", .0.display())]
    Exists(PathBuf),
    /// The directory is not there, or holds no ledger.
    #[error("{} holds no ledger; make one with `annals init`, or a platform with `annals platform init`", .0.display())]
    NoLedger(PathBuf),
    /// What should be a file is something else.
    #[error("{} is no file, but a directory, a pipe or a device; put the ledger's own file there", .0.display())]
    NotAFile(PathBuf),
    /// A backup or a ledger is made beside its place and renamed, which a mount point does not allow.
    #[error("{} is a mount point; name a directory in it", .0.display())]
    MountPoint(PathBuf),
    /// Another process writes to the ledger.
    #[error("the ledger in {} is held by process {holder}; read beside it, or stop it first", path.display())]
    Held {
        /** The ledger's directory. */
        path: PathBuf,
        /** The number of the process, as it wrote it down. */
        holder: String,
    },
    /// The configuration can't be understood.
    #[error("{}: {reason}", path.display())]
    Config {
        /** The file. */
        path: PathBuf,
        /** What is wrong with it. */
        reason: String,
    },
    /// A file of the directory has a newer layout than this build knows.
    #[error("{}: format {found}; this build knows {known}: use a newer annals", path.display())]
    Format {
        /** The file. */
        path: PathBuf,
        /** The format's number in the file. */
        found: u32,
        /** The one that this build knows. */
        known: u32,
    },
    /// The ledger key can't be used.
    #[error(transparent)]
    Key(#[from] KeyPathError),
}

impl HomeError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "home.io",
            Self::Exists(_) => "home.exists",
            Self::NoLedger(_) => "home.no_ledger",
            Self::NotAFile(_) => "home.not_a_file",
            Self::MountPoint(_) => "home.mount_point",
            Self::Held { .. } => "home.held",
            Self::Config { .. } => "home.config",
            Self::Format { .. } => "home.format",
            Self::Key(error) => error.code(),
        }
    }
}

/// What every version of `annals.toml` says.
#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

/// What `annals.toml` says.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Config {
    format: u32,
    /// Bytes of each new segment.
    segment_size: u64,
    /// Where the ledger key lies, unless in the directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger_key: Option<PathBuf>,
}

/// A ledger's directory whose configuration was read.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    root: PathBuf,
    config: Config,
}

/// The writer's lock; given back when dropped, or when the process ends however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

pub(crate) fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> HomeError {
    move |source| HomeError::Io { operation, path: path.to_owned(), source }
}

pub(crate) fn sync_directory(path: &Path) -> Result<(), HomeError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(io_error("sync", path))
}

/// Reads a small text file; none if it is not there.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, HomeError> {
    // Opening a pipe would wait for somebody to write to it.
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(HomeError::NotAFile(path.to_owned()));
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(io_error("open", path)(error)),
    };
    let mut text = String::new();
    file.take(CONFIG_SIZE_MAX).read_to_string(&mut text).map_err(io_error("read", path))?;
    Ok(Some(text))
}

/// Writes a file whole or not at all, whatever was there. Durable on return.
pub(crate) fn write_replacing(path: &Path, bytes: &[u8]) -> Result<(), HomeError> {
    let beside = path.with_added_extension("new");
    let write = || {
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().map_err(io_error("write", path))?;
    sync_directory(parent(path))
}

impl Home {
    /// Lays out a directory, which must not be there. The key file comes later, or lies at `ledger_key`.
    pub(crate) fn lay_out(root: &Path, segment_size: u64, ledger_key: Option<PathBuf>) -> Result<Self, HomeError> {
        std::fs::create_dir(root).map_err(io_error("create", root))?;
        Self::lay_out_in(root, segment_size, ledger_key)
    }

    /// The same in a directory that is there and empty.
    pub(crate) fn lay_out_in(root: &Path, segment_size: u64, ledger_key: Option<PathBuf>) -> Result<Self, HomeError> {
        let config = Config { format: FORMAT_VERSION, segment_size, ledger_key };
        let home = Self { root: root.to_owned(), config };
        for directory in [home.segments(), home.index()] {
            std::fs::create_dir(&directory).map_err(io_error("create", &directory))?;
        }
        // Made now, so that a ledger that has filled its disk needs no room to be locked.
        let lock = root.join(LOCK_NAME);
        File::create(&lock).map_err(io_error("create", &lock))?;
        let path = root.join(CONFIG_NAME);
        let text = home.config_text()?;
        let mut file =
            OpenOptions::new().write(true).create_new(true).open(&path).map_err(io_error("create", &path))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io_error("write", &path))?;
        Ok(home)
    }

    /// Reads the configuration of a ledger's directory.
    pub(crate) fn open(root: &Path) -> Result<Self, HomeError> {
        let path = root.join(CONFIG_NAME);
        let text = read_text(&path)?.ok_or_else(|| HomeError::NoLedger(root.to_owned()))?;
        let wrong = |reason: String| HomeError::Config { path: path.clone(), reason };
        // First the number alone: a newer format may have fields that are unknown here.
        let Versioned { format: found } = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if found != FORMAT_VERSION {
            return Err(HomeError::Format { path, found, known: FORMAT_VERSION });
        }
        let config: Config = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if !is_segment_size(config.segment_size) {
            return Err(wrong(format!("a segment of {} bytes; it takes a power of two", config.segment_size)));
        }
        Ok(Self { root: root.to_owned(), config })
    }

    /// Takes the writer's lock.
    pub(crate) fn lock(&self) -> Result<Lock, HomeError> {
        let path = self.root.join(LOCK_NAME);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io_error("open", &path))?;
        self.take(&file)?;
        let number = format!("{}\n", std::process::id());
        // The number is for people: a full disk, which takes no byte of it, keeps nobody out.
        let _ = file.set_len(0).and_then(|()| file.write_all(number.as_bytes()));
        Ok(Lock { _file: file })
    }

    /// Keeps writers away while everything is read. Changes nothing, so whoever may only read can have it; none where no
    /// writer can come, since there is no lock and none can be made.
    pub(crate) fn lock_to_read(&self) -> Result<Option<Lock>, HomeError> {
        let path = self.root.join(LOCK_NAME);
        let opened = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                OpenOptions::new().write(true).create(true).truncate(false).open(&path)
            }
            opened => opened,
        };
        match opened {
            Ok(file) => {
                self.take(&file)?;
                Ok(Some(Lock { _file: file }))
            }
            Err(error)
                if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
                    && !path.exists() =>
            {
                Ok(None)
            }
            Err(error) => Err(io_error("open", &path)(error)),
        }
    }

    fn take(&self, file: &File) -> Result<(), HomeError> {
        let path = self.root.join(LOCK_NAME);
        match file.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The number is for people; that it can't be read changes nothing.
                let _ = file.take(32).read_to_string(&mut holder);
                Err(HomeError::Held { path: self.root.clone(), holder: holder.trim().to_owned() })
            }
            Err(TryLockError::Error(error)) => Err(io_error("lock", &path)(error)),
        }
    }

    /// Makes the ledger's own name durable, and those in its directory, which a killed writer may have given and not synced: a
    /// power cut would take them, with all that was appended since. Recovery does the same for the segments' names.
    pub(crate) fn settle_names(&self) -> Result<(), HomeError> {
        sync_directory(&self.root)?;
        // The directory that holds it really, whatever it was called by.
        let root = self.root.canonicalize().map_err(io_error("find", &self.root))?;
        match sync_directory(parent(&root)) {
            // Who may not read it has not made the ledger there.
            Err(HomeError::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        }
    }

    /// Moves a directory that was laid out to its place, which is missing or an empty directory.
    pub(crate) fn move_to(self, place: &Path) -> Result<Self, HomeError> {
        sync_directory(&self.root)?;
        std::fs::rename(&self.root, place).map_err(|error| {
            use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotADirectory};
            if matches!(error.kind(), DirectoryNotEmpty | AlreadyExists | NotADirectory) {
                HomeError::Exists(place.to_owned())
            } else {
                io_error("create", place)(error)
            }
        })?;
        sync_directory(parent(place))?;
        Ok(Self { root: place.to_owned(), config: self.config })
    }

    /// Notes in the configuration where the ledger key lies from now on. Durable on return.
    pub(crate) fn set_key_path(&mut self, ledger_key: Option<PathBuf>) -> Result<(), HomeError> {
        self.config.ledger_key = ledger_key;
        write_replacing(&self.root.join(CONFIG_NAME), self.config_text()?.as_bytes())
    }

    fn config_text(&self) -> Result<String, HomeError> {
        let wrong = |error: toml::ser::Error| HomeError::Config {
            path: self.root.join(CONFIG_NAME),
            reason: error.to_string(),
        };
        toml::to_string(&self.config).map_err(wrong)
    }

    /// Reads the ledger key.
    pub(crate) fn read_key(&self) -> Result<SigningKey, HomeError> {
        Ok(read_key(&self.key_path())?)
    }

    pub(crate) fn key_path(&self) -> PathBuf {
        self.config.ledger_key.clone().unwrap_or_else(|| self.root.join(KEY_NAME))
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the ledger key lies, unless in the directory.
    pub(crate) fn ledger_key(&self) -> Option<&Path> {
        self.config.ledger_key.as_deref()
    }

    pub(crate) fn segments(&self) -> PathBuf {
        self.root.join("segments")
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    pub(crate) const fn segment_size(&self) -> u64 {
        self.config.segment_size
    }
}

/// The directory that holds `place`.
pub(crate) fn parent(place: &Path) -> &Path {
    place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Refuses a place where something lies already: anything but a missing or empty directory.
pub(crate) fn check_free(place: &Path) -> Result<(), HomeError> {
    match std::fs::read_dir(place) {
        Ok(mut entries) => {
            if entries.next().is_none() {
                Ok(())
            } else {
                Err(HomeError::Exists(place.to_owned()))
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(HomeError::Exists(place.to_owned())),
        Err(error) => Err(io_error("read", place)(error)),
    }
}

/// What a ledger takes on the disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LedgerSize {
    /// Bytes of each new segment.
    pub segment_size: u64,
    /// Segments, one made ahead of need among them.
    pub segment_count: u64,
    /// Bytes of the segments.
    pub disk_bytes: u64,
    /// Bytes of the index files.
    pub index_bytes: u64,
}

/// Looks what the ledger in a directory takes on the disk.
///
/// # Errors
///
/// [`HomeError`] if there is no ledger, or it can't be listed.
pub fn ledger_size(path: &Path) -> Result<LedgerSize, HomeError> {
    let home = Home::open(path)?;
    let (segment_count, disk_bytes) = files(&home.segments())?;
    let (_, index_bytes) = files(&home.index())?;
    Ok(LedgerSize { segment_size: home.segment_size(), segment_count, disk_bytes, index_bytes })
}

/// Files in a directory, and their bytes.
fn files(directory: &Path) -> Result<(u64, u64), HomeError> {
    let mut total = (0, 0);
    for entry in std::fs::read_dir(directory).map_err(io_error("read", directory))? {
        let size = entry.and_then(|entry| entry.metadata()).map_err(io_error("read", directory))?.len();
        total = (total.0 + 1, total.1 + size);
    }
    Ok(total)
}
