//! Where a ledger's files were born: what tells a copied directory from the ledger itself.
//!
//! `DIR/place` remembers the inode number and the birth time of segment 0's file. Renaming a directory within its file system
//! keeps both, and so does a reboot; `cp`, `tar`, `rsync` and a move to another file system change them. A directory
//! that was made by a backup or a restore carries a mark there instead. In both cases the files are a copy: somewhere else
//! the ledger may have gone on, so nothing is appended here until its operator says from where
//! ([`crate::Options::continue_after`]).
//!
//! It is a file of its own, not a part of `annals.toml`: that one is the operator's, says what the ledger was made with and
//! goes into backups; this one is about one directory on one machine, and is written anew when a copy goes on.
//!
//! What this does *not* notice: a copy on a file system without birth times, where inode numbers may change with each mount;
//! a machine or a block device that was set back as a whole, where nothing on the disk differs. Only a checkpoint that
//! somebody else kept shows that.

use crate::backup::MANIFEST_NAME;
use crate::home::{FORMAT_VERSION, Home, HomeError, io_error, read_text, write_replacing};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

const PLACE_NAME: &str = "place";

/// What a file system knows of a file that a copy of the file does not share.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FileIdentity {
    /// The inode number.
    pub inode: u64,
    /// When the file was made, in ns since the Unix epoch; none where the file system does not say.
    pub born_ns: Option<u64>,
}

impl std::fmt::Display for FileIdentity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "inode {}", self.inode)?;
        match self.born_ns {
            Some(born_ns) => write!(formatter, ", born at {born_ns} ns"),
            None => formatter.write_str(", birth unknown"),
        }
    }
}

impl FileIdentity {
    /// Of the file at a path.
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        Ok(Self { inode: metadata.ino(), born_ns: born.and_then(|born| u64::try_from(born.as_nanos()).ok()) })
    }

    /// Whether it may be the same file. A file system that does not say when a file was made is one over a network or in a
    /// program, as a rule, and may number its files anew when it is mounted: there nothing can be told.
    const fn fits(self, other: Self) -> bool {
        match (self.born_ns, other.born_ns) {
            (Some(one), Some(another)) => self.inode == other.inode && one == another,
            (None, _) | (_, None) => true,
        }
    }
}

/// What a directory was made by.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mark {
    /// `backup`: it is kept, never written to.
    Backup,
    /// `restore`: it may go on.
    Restored,
}

/// Whether the files in a directory are the ledger, or a copy of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// They lie where they were made.
    InPlace,
    /// No place was noted yet.
    Unknown,
    /// A backup or a restore made them.
    Marked(Mark),
    /// They were copied.
    Copied { expected: FileIdentity, found: FileIdentity },
}

/// What the file says. Numbers are text, since TOML's integers are too small for an inode's.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct PlaceFile {
    format: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    made_by: Option<Mark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    born_ns: Option<String>,
}

impl Home {
    /// Whether the files here are the ledger or a copy.
    pub(crate) fn standing(&self) -> Result<Standing, HomeError> {
        let path = self.place_path();
        let Some(text) = read_text(&path)? else {
            // Only a backup has a manifest, whatever became of the note beside it.
            let is_backup = self.root().join(MANIFEST_NAME).exists();
            return Ok(if is_backup { Standing::Marked(Mark::Backup) } else { Standing::Unknown });
        };
        let wrong = |reason: String| HomeError::Config { path: path.clone(), reason };
        let file: PlaceFile = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if file.format != FORMAT_VERSION {
            return Err(HomeError::Format { path, found: file.format, known: FORMAT_VERSION });
        }
        if let Some(mark) = file.made_by {
            return Ok(Standing::Marked(mark));
        }
        let number = |text: Option<String>| text.map(|text| text.parse::<u64>()).transpose();
        let (Ok(Some(inode)), Ok(born_ns)) = (number(file.inode), number(file.born_ns)) else {
            return Err(wrong("neither a mark nor the numbers of a file".to_owned()));
        };
        let expected = FileIdentity { inode, born_ns };
        let found = match FileIdentity::of(&self.first_segment()) {
            Ok(found) => found,
            // Whoever opens the ledger is told what is missing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Standing::InPlace),
            Err(error) => return Err(io_error("inspect", &self.first_segment())(error)),
        };
        Ok(if expected.fits(found) { Standing::InPlace } else { Standing::Copied { expected, found } })
    }

    /// Notes that the files lie here, whatever was noted before. Durable on return.
    pub(crate) fn settle(&self) -> Result<(), HomeError> {
        let first = self.first_segment();
        let FileIdentity { inode, born_ns } = FileIdentity::of(&first).map_err(io_error("inspect", &first))?;
        let born_ns = born_ns.map(|it| it.to_string());
        self.write_place(&PlaceFile { format: FORMAT_VERSION, made_by: None, inode: Some(inode.to_string()), born_ns })
    }

    /// Notes that a backup or a restore made the files. Durable on return.
    pub(crate) fn mark(&self, mark: Mark) -> Result<(), HomeError> {
        self.write_place(&PlaceFile { format: FORMAT_VERSION, made_by: Some(mark), inode: None, born_ns: None })
    }

    fn write_place(&self, file: &PlaceFile) -> Result<(), HomeError> {
        let path = self.place_path();
        let text = toml::to_string(file)
            .map_err(|error| HomeError::Config { path: path.clone(), reason: error.to_string() })?;
        write_replacing(&path, text.as_bytes())
    }

    fn place_path(&self) -> PathBuf {
        self.root().join(PLACE_NAME)
    }

    fn first_segment(&self) -> PathBuf {
        self.segments().join("0000000000.seg")
    }
}
