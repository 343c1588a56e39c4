//! A full disk that is really full: small file systems of their own, mounted for the test.
//!
//! Mounting takes root; elsewhere these tests say aloud that they tested nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use annals::{Ack, Creation, Kind, Ledger, LedgerId, Options, RecordBuilder, Refusal, SigningKey, check_ledger};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use tempfile::TempDir;

const MIB: u64 = 1 << 20;
const SEGMENT_SIZE: u64 = 2 * MIB;
/// What keeps room from the ledger until it is removed: two segments and some.
const BALLAST: u64 = 5 * MIB;
/// Longest that going on may take once there is room: the engine tries again each second.
const TRIES: u32 = 100;

/// A file system of some size; unmounted when dropped, so also when a test fails.
struct Mount {
    directory: TempDir,
}

impl Mount {
    /// A tmpfs of so many bytes, or none where mounting is not allowed.
    fn tmpfs(bytes: u64) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let options = format!("size={bytes}");
        Self::mounted(directory, &["-t", "tmpfs", "-o", &options, "annals-test"])
    }

    /// An ext4 of so many bytes in a file, or none where that can't be made or mounted.
    fn ext4(bytes: u64) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(bytes).unwrap();
        let image = image.to_str().unwrap();
        // No blocks kept for root, who runs this.
        if !works(Command::new("mkfs.ext4").args(["-q", "-m", "0", image])) {
            eprintln!("NOT TESTED: this machine makes no ext4");
            return None;
        }
        Self::mounted(directory, &["-o", "loop", image])
    }

    fn mounted(directory: TempDir, arguments: &[&str]) -> Option<Self> {
        let place = directory.path().join("mount");
        std::fs::create_dir(&place).unwrap();
        if !rustix::process::geteuid().is_root() || !works(Command::new("mount").args(arguments).arg(&place)) {
            eprintln!("NOT TESTED: mounting a file system takes root, who may mount {arguments:?}");
            return None;
        }
        Some(Self { directory })
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("mount")
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily, since a failed test may have files open still.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn works(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn annals(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_annals")).args(arguments).output().unwrap()
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

fn record(ledger: LedgerId, nonce: u64) -> Vec<u8> {
    let builder = RecordBuilder::new(ledger, Kind::APPLICATION_FIRST).unsalted().nonce(nonce);
    builder.sign(&key(), &[b'x'; 30_000]).unwrap().bytes().to_vec()
}

fn creation() -> Creation {
    Creation { segment_size: SEGMENT_SIZE, ..Creation::open("annals.example/full") }
}

/// Appends until a record is refused; what was acknowledged, by nonce, and the refusal.
fn fill(ledger: &Ledger, acks: &mut Vec<Ack>) -> Refusal {
    let mut appender = ledger.appender().unwrap();
    loop {
        match appender.append_wait(&record(ledger.id(), acks.len() as u64)) {
            Ok(ack) => acks.push(ack),
            Err(refusal) => return refusal,
        }
        assert!(acks.len() < 10_000, "the disk is not full");
    }
}

/// Everything that was acknowledged is there, with its bytes and its receipt.
fn all_there(ledger: &Ledger, acks: &[Ack]) {
    let reader = ledger.reader();
    for (nonce, ack) in (0..).zip(acks) {
        let stored = reader.get(ack.seq).unwrap();
        assert_eq!([&stored.head_bytes()[..], stored.payload()].concat(), record(ledger.id(), nonce));
        reader.prove(ack.seq).unwrap().verify(ledger.vkey()).unwrap();
    }
}

fn goes_on_when_there_is_room(mount: &Mount) {
    let (place, ballast) = (mount.path().join("ledger"), mount.path().join("ballast"));
    std::fs::write(&ballast, vec![1; usize::try_from(BALLAST).unwrap()]).unwrap();
    let ledger = Ledger::create(&place, &creation(), Options::default()).unwrap();
    let mut acks = Vec::new();
    let refusal = fill(&ledger, &mut acks);
    assert_eq!((refusal.code(), refusal.is_retryable()), ("ledger.disk_full", true));
    assert!(SEGMENT_SIZE < 30_000 * acks.len() as u64, "more than one segment was filled: {}", acks.len());
    assert_eq!(fill(&ledger, &mut acks), Refusal::DiskFull, "and again");
    assert!(ledger.halted().is_none());
    all_there(&ledger, &acks);
    ledger.close().unwrap();

    // Reopened while it is full: reading works, appending is refused, by the binary with an exit code of its own.
    let ledger = Ledger::open(&place, Options::default()).unwrap();
    all_there(&ledger, &acks);
    assert_eq!(fill(&ledger, &mut acks), Refusal::DiskFull);
    ledger.close().unwrap();
    binary_says_so(mount, &place, &acks);

    let ledger = Ledger::open(&place, Options::default()).unwrap();
    assert_eq!(fill(&ledger, &mut acks), Refusal::DiskFull);
    std::fs::remove_file(&ballast).unwrap();
    let mut appender = ledger.appender().unwrap();
    let next = record(ledger.id(), acks.len() as u64);
    let gone_on = (0..TRIES).find_map(|_| {
        std::thread::park_timeout(Duration::from_millis(50));
        appender.append_wait(&next).ok()
    });
    assert!(gone_on.is_some(), "it goes on when there is room, without being opened again");
    acks.extend(gone_on);
    assert_eq!(fill(&ledger, &mut acks), Refusal::DiskFull, "until it is full again");
    all_there(&ledger, &acks);
    ledger.close().unwrap();
    let report = check_ledger(&place, None, &mut |_, _| {}).unwrap();
    assert_eq!((report.records, report.closed), (1 + acks.len() as u64, true));
}

fn binary_says_so(mount: &Mount, place: &Path, acks: &[Ack]) {
    let (key_path, place) = (mount.directory.path().join("key"), place.to_str().unwrap());
    annals::write_key(&key_path, &key()).unwrap();
    let lines = mount.directory.path().join("lines");
    std::fs::write(&lines, format!("{}\n", "y".repeat(60_000)).repeat(100)).unwrap();
    let (key_path, lines) = (key_path.to_str().unwrap(), lines.to_str().unwrap());
    let append = annals(&["append", place, "--key", key_path, "--lines", lines]);
    assert_eq!(append.status.code(), Some(75), "{}", words(&append));
    assert!(words(&append).contains("no room for another segment"), "{}", words(&append));
    let read = annals(&["get", place, &acks[3].seq.to_string()]);
    assert_eq!((read.status.code(), read.stdout.len()), (Some(0), 30_000));
    assert_eq!(annals(&["check", place]).status.code(), Some(0));
}

#[test]
fn a_full_tmpfs_refuses_loses_nothing_and_goes_on() {
    if let Some(mount) = Mount::tmpfs(14 * MIB) {
        goes_on_when_there_is_room(&mount);
    }
}

#[test]
fn a_full_ext4_refuses_loses_nothing_and_goes_on() {
    if let Some(mount) = Mount::ext4(24 * MIB) {
        goes_on_when_there_is_room(&mount);
    }
}

#[test]
fn where_a_ledger_does_not_fit_none_is_made() {
    // The configuration fits, but no key; the key, but no segment; all but a page of the segment.
    for size in [4096, MIB, SEGMENT_SIZE + 4096] {
        let Some(mount) = Mount::tmpfs(size) else { return };
        let place = mount.path().join("ledger");
        let refused = Ledger::create(&place, &creation(), Options::default()).unwrap_err();
        assert_eq!(refused.code(), if size == 4096 { "key.io" } else { "disk.full" });
        let size_word = SEGMENT_SIZE.to_string();
        let arguments = ["init", place.to_str().unwrap(), "--origin", "annals.example/x", "--open", "--segment-size"];
        let init = annals(&[&arguments[..], &[&size_word]].concat());
        assert_eq!(init.status.code(), Some(75), "{size}: {}", words(&init));
        assert!(std::fs::read_dir(mount.path()).unwrap().next().is_none(), "{size}: nothing is left");
    }
}

#[test]
fn a_ledger_that_leaves_no_byte_free_is_made_and_opened() {
    // Configuration, key, place and segment, to the page: not even the writer's number finds room in the lock.
    let Some(mount) = Mount::tmpfs(SEGMENT_SIZE + 12_288) else { return };
    let place = mount.path().join("ledger");
    let ledger = Ledger::create(&place, &creation(), Options::default()).unwrap();
    assert_eq!(rustix::fs::statvfs(mount.path()).unwrap().f_bavail, 0);
    let mut acks = Vec::new();
    assert_eq!(fill(&ledger, &mut acks), Refusal::DiskFull);
    assert!(10 < acks.len());
    ledger.close().unwrap();
    let ledger = Ledger::open(&place, Options::default()).unwrap();
    all_there(&ledger, &acks);
    let second = Ledger::open(&place, Options::default()).unwrap_err();
    assert_eq!(second.code(), "home.held", "the lock holds without its number");
    ledger.close().unwrap();
}
