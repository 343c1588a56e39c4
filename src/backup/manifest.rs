//! The manifest of a backup: which files it consists of, how large they are, and what they hash to.
//!
//! It tells a file that was damaged, cut or forgotten on its way, by name, and lets an older backup be added to. It is no proof:
//! whoever changes a file can write its new hash here. What the records are worth stands in the checkpoint and is said by
//! `check`.

use crate::home::{FORMAT_VERSION, HomeError, io_error, write_replacing};
use annals_core::hash::{Hex, LedgerId, parse_hex};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Name of the manifest in the backup's directory.
pub(crate) const MANIFEST_NAME: &str = "manifest.toml";
/// A segment takes some 150 bytes; no manifest is this large.
const MANIFEST_SIZE_MAX: u64 = 256 << 20;
/// Bytes read at a time.
const CHUNK_SIZE: usize = 1 << 20;

/// Why a directory is not the backup that its manifest describes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// There is no manifest: it is no backup, or one that was never finished.
    #[error("{} holds no backup: it has no {MANIFEST_NAME}", .0.display())]
    NoBackup(PathBuf),
    /// The manifest can't be understood.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /** The manifest. */
        path: PathBuf,
        /** What is wrong with it. */
        reason: String,
    },
    /// A file is missing.
    #[error("{} is missing; this backup can't be used, take another", .0.display())]
    Missing(PathBuf),
    /// A file has another size.
    #[error("{} has {found} bytes, the manifest says {expected}; this backup can't be used, take another", path.display())]
    Size {
        /** The file. */
        path: PathBuf,
        /** Bytes that the manifest says. */
        expected: u64,
        /** Bytes there are. */
        found: u64,
    },
    /// A file has other contents.
    #[error(
        "{} hashes to {found}, the manifest says {expected}; this backup can't be used, take another",
        path.display(), found = Hex(found), expected = Hex(expected)
    )]
    Hash {
        /** The file. */
        path: PathBuf,
        /** BLAKE3 that the manifest says. */
        expected: [u8; 32],
        /** Computed. */
        found: [u8; 32],
    },
    /// A segment lies there that the manifest does not know.
    #[error("{} is not in the manifest; this backup can't be used, take another", .0.display())]
    Unlisted(PathBuf),
    /// A file operation failed.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl ManifestError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoBackup(_) => "backup.none",
            Self::Malformed { .. } => "backup.manifest",
            Self::Missing(_) => "backup.file_missing",
            Self::Size { .. } => "backup.file_size",
            Self::Hash { .. } => "backup.file_hash",
            Self::Unlisted(_) => "backup.file_unlisted",
            Self::Home(error) => error.code(),
        }
    }
}

/// Takes pieces of a file, each with its offset in bytes.
pub(super) type Take<'a> = dyn FnMut(u64, &[u8]) -> Result<(), HomeError> + 'a;

/// A file of a backup.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    /// Its path in the backup.
    pub(super) path: String,
    pub(super) size: u64,
    blake3: String,
}

impl Listed {
    pub(super) fn new(path: String, size: u64, hash: &blake3::Hash) -> Self {
        Self { path, size, blake3: hash.to_hex().to_string() }
    }

    fn hash(&self) -> Option<[u8; 32]> {
        parse_hex(&self.blake3).ok()
    }
}

/// What a backup consists of.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    format: u32,
    ledger: String,
    /// Records in it.
    pub(super) records: u64,
    /// `annals.toml`, the checkpoint, and the segments in order.
    #[serde(rename = "file")]
    pub(super) files: Vec<Listed>,
}

/// Path in a backup of the segment of a number.
pub(super) fn segment_path(number: u64) -> String {
    format!("segments/{number:010}.seg")
}

impl Manifest {
    pub(super) fn new(ledger: LedgerId, records: u64, files: Vec<Listed>) -> Self {
        Self { format: FORMAT_VERSION, ledger: ledger.to_string(), records, files }
    }

    /// Reads the manifest of a backup.
    pub(super) fn read(backup: &Path) -> Result<Self, ManifestError> {
        let path = backup.join(MANIFEST_NAME);
        let wrong = |reason: String| ManifestError::Malformed { path: path.clone(), reason };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(ManifestError::NoBackup(backup.to_owned()));
            }
            Err(error) => return Err(io_error("open", &path)(error).into()),
        };
        let mut text = String::new();
        file.take(MANIFEST_SIZE_MAX).read_to_string(&mut text).map_err(io_error("read", &path))?;
        let manifest: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if manifest.format != FORMAT_VERSION {
            let (found, known) = (manifest.format, FORMAT_VERSION);
            return Err(HomeError::Format { path, found, known }.into());
        }
        manifest.check().map_err(|reason| wrong(reason.to_owned()))?;
        Ok(manifest)
    }

    /// Whether it lists what a backup consists of, and each file once: nothing else is ever opened by its paths.
    fn check(&self) -> Result<(), &'static str> {
        self.ledger().ok_or("the ledger's id is no 64 hexadecimal digits")?;
        let [config, checkpoint, segments @ ..] = self.files.as_slice() else {
            return Err("it lists too few files");
        };
        let fixed = [(config, "annals.toml"), (checkpoint, crate::reopen::CHECKPOINT_NAME)];
        let segments_fit = (0..).zip(segments).all(|(number, listed)| listed.path == segment_path(number));
        if fixed.iter().any(|(listed, path)| listed.path != *path) || !segments_fit || segments.is_empty() {
            return Err("it does not list annals.toml, checkpoint and the segments from 0 on, in this order");
        }
        if self.files.iter().any(|listed| listed.hash().is_none()) {
            return Err("a hash is no 64 hexadecimal digits");
        }
        Ok(())
    }

    /// The ledger that was backed up.
    pub(super) fn ledger(&self) -> Option<LedgerId> {
        self.ledger.parse().ok()
    }

    /// Writes it into a backup. Durable on return.
    pub(super) fn write(&self, backup: &Path) -> Result<(), ManifestError> {
        let path = backup.join(MANIFEST_NAME);
        let text = toml::to_string(self)
            .map_err(|error| ManifestError::Malformed { path: path.clone(), reason: error.to_string() })?;
        Ok(write_replacing(&path, text.as_bytes())?)
    }

    /// Refuses segments that are not listed.
    pub(super) fn check_listing(&self, backup: &Path) -> Result<(), ManifestError> {
        let listed: BTreeSet<PathBuf> = self.files.iter().map(|file| backup.join(&file.path)).collect();
        let segments = backup.join("segments");
        for entry in std::fs::read_dir(&segments).map_err(io_error("read", &segments))? {
            let path = entry.map_err(io_error("read", &segments))?.path();
            if !listed.contains(&path) {
                return Err(ManifestError::Unlisted(path));
            }
        }
        Ok(())
    }

    /// Hands a listed file on in pieces, up to its end; refused, by name, if it is not what is listed.
    ///
    /// What was handed on is only known to be right on return.
    pub(super) fn read_file(backup: &Path, listed: &Listed, take: &mut Take<'_>) -> Result<(), ManifestError> {
        let path = backup.join(&listed.path);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ManifestError::Missing(path)),
            Err(error) => return Err(io_error("open", &path)(error).into()),
        };
        let (expected, found) = (listed.size, file.metadata().map_err(io_error("inspect", &path))?.len());
        if expected != found {
            return Err(ManifestError::Size { path, expected, found });
        }
        let (mut hasher, mut offset) = (blake3::Hasher::new(), 0);
        let mut chunk = vec![0; CHUNK_SIZE];
        loop {
            let size = file.read(&mut chunk).map_err(io_error("read", &path))?;
            let Some(read @ [_, ..]) = chunk.get(..size) else { break };
            hasher.update(read);
            take(offset, read)?;
            offset += read.len() as u64;
        }
        let (expected, found) = (listed.hash().unwrap_or_default(), *hasher.finalize().as_bytes());
        if expected != found {
            return Err(ManifestError::Hash { path, expected, found });
        }
        Ok(())
    }
}
