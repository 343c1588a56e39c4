//! Ledgers in temporary directories, and records for them.

use annals::{Creation, Kind, Ledger, LedgerId, Options, RecordBuilder, SigningKey};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub(crate) const ORIGIN: &str = "annals.example/test";
pub(crate) const SMALL: u64 = 2 << 20;

pub(crate) fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

/// The default but for the device.
pub(crate) fn options() -> Options {
    Options { device: crate::DEVICE, ..Options::default() }
}

/// A place for a ledger.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("ledger")
    }

    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A new ledger with small segments that anybody may append to.
    pub(crate) fn create(&self) -> Ledger {
        let creation = Creation { segment_size: SMALL, ..Creation::open(ORIGIN) };
        Ledger::create(&self.path(), &creation, options()).unwrap()
    }

    pub(crate) fn open(&self) -> Ledger {
        open(&self.path())
    }
}

pub(crate) fn open(path: &Path) -> Ledger {
    Ledger::open(path, options()).unwrap()
}

/// A record without salt, so that the same call makes the same bytes.
pub(crate) fn record(ledger: LedgerId, author: &SigningKey, nonce: u64, payload: &[u8]) -> Vec<u8> {
    let builder = RecordBuilder::new(ledger, Kind::APPLICATION_FIRST).unsalted().nonce(nonce);
    builder.sign(author, payload).unwrap().bytes().to_vec()
}

/// Copies a directory as a crash of the machine might leave it: the ledger itself, so without what tells a copy.
pub(crate) fn copy(from: &Path, to: &Path) {
    copy_all(from, to);
    std::fs::remove_file(to.join("place")).unwrap();
}

/// Copies a directory as it is.
pub(crate) fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            match std::fs::copy(entry.path(), &target) {
                // A segment that is being made has a name of its own, for a moment.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                copied => assert!(copied.is_ok(), "{copied:?}"),
            }
        }
    }
}
