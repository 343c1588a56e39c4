//! Backups: taken beside a writer under load, added to, crashed, damaged, restored, and gone on from.

use crate::support::{Place, SMALL, copy_all, key, record};
use annals::{
    BackupReport, Ledger, ManifestError, OpenError, Options, Reader, Reason, RestoreError, Restoring, backup,
    check_ledger, restore,
};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

fn append(ledger: &Ledger, nonces: std::ops::Range<u64>, payload_size: usize) {
    let mut appender = ledger.appender().unwrap();
    for nonce in nonces {
        appender.append_wait(&record(ledger.id(), &key(1), nonce, &vec![nonce as u8 | 1; payload_size])).unwrap();
    }
}

/// Backs a ledger up whose writer, if there is one, has been idle for a moment: then all is known to be durable.
fn back_up_all(ledger: &Ledger, to: &Path) -> BackupReport {
    let newest = ledger.reader().next_seq() - 1;
    assert!(Reader::open(ledger.path()).unwrap().wait_past(newest, Duration::from_secs(10)).unwrap());
    let report = back_up(ledger.path(), to);
    assert_eq!(report.size, newest + 1);
    report
}

fn back_up(from: &Path, to: &Path) -> BackupReport {
    backup(from, to, &mut |_, _| {}).unwrap()
}

fn restored(from: &Path, to: &Path) -> PathBuf {
    restore(from, to, &Restoring::default(), &mut |_, _| {}).unwrap();
    to.to_owned()
}

fn check(path: &Path) -> u64 {
    check_ledger(path, None, &mut |_, _| {}).unwrap().records
}

/// Every file of a directory, with its bytes.
fn files(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

/// Ends a thread's loop when dropped, also by a failing assertion: the test would wait for it for ever.
struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_backup_beside_a_writer_under_load_is_a_sound_prefix() {
    let place = Place::new();
    let ledger = place.create();
    let (out, stop) = (place.beside("backup"), AtomicBool::new(false));
    // How far the writer may go: enough for a backup to be taken amid it, and no more, so that the test ends.
    let bound = AtomicU64::new(0);
    let reports: Vec<BackupReport> = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut appender = ledger.appender().unwrap();
            let mut nonce = 0;
            while !stop.load(Ordering::Relaxed) {
                if bound.load(Ordering::Relaxed) <= nonce {
                    std::thread::yield_now();
                    continue;
                }
                let records: Vec<_> = (nonce..nonce + 8)
                    .map(|nonce| record(ledger.id(), &key(1), nonce, &vec![nonce as u8; 500 + nonce as usize % 9000]))
                    .collect();
                let batch: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
                appender.append_batch(&batch).unwrap().into_iter().for_each(|it| assert!(it.unwrap().wait().is_ok()));
                nonce += 8;
            }
        });
        let _stopping = Stopping(&stop);
        (0..6)
            .map(|turn| {
                let least = ledger.reader().next_seq();
                bound.fetch_add(400, Ordering::Relaxed);
                while ledger.reader().next_seq() < least + 50 {
                    std::thread::yield_now();
                }
                let report = back_up(&place.path(), &out);
                let copy = restored(&out, &place.beside(&format!("restored-{turn}")));
                let (reader, original) = (Reader::open(&copy).unwrap(), ledger.reader());
                assert_eq!((reader.next_seq(), report.checkpoint.size), (report.size, report.size));
                assert!(least <= report.size + 64, "at most what is in flight is missing");
                for (stored, expected) in reader.scan(0).zip(original.scan(0)) {
                    let (stored, expected) = (stored.unwrap(), expected.unwrap());
                    assert_eq!(stored.head_bytes(), expected.head_bytes());
                    assert_eq!(stored.payload(), expected.payload());
                    assert_eq!(stored.ordered_time_ms(), expected.ordered_time_ms());
                }
                assert_eq!(reader.scan(0).count() as u64, report.size);
                let newest = report.size - 1;
                assert_eq!(reader.prove(newest).unwrap(), original.prove(newest).unwrap());
                assert_eq!((check(&out), check(&copy)), (report.size, report.size));
                report
            })
            .collect()
    });
    assert!(reports.is_sorted_by(|one, other| one.size < other.size));
    let last = reports.last().unwrap();
    assert!(2 < last.segments && 0 < last.segments_kept, "{last:?}");
    ledger.close().unwrap();
}

#[test]
fn a_later_backup_keeps_what_it_has_and_mends_what_is_not_equal() {
    let place = Place::new();
    let out = place.beside("backup");
    let ledger = place.create();
    append(&ledger, 0..60, 100_000);
    let first = back_up_all(&ledger, &out);
    assert!(3 <= first.segments && first.segments_kept == 0, "{first:?}");
    append(&ledger, 60..100, 100_000);
    let second = back_up_all(&ledger, &out);
    assert_eq!(second.segments_kept, first.segments - 1, "the one that was open has changed");
    assert_eq!(second.bytes_kept, SMALL * second.segments_kept);
    ledger.close().unwrap();
    // Nothing has changed but the closing mark: all closed ones are kept.
    let third = back_up(&place.path(), &out);
    assert_eq!((third.segments_kept, third.size), (second.segments - 1, 101));
    let damaged = out.join("segments/0000000001.seg");
    let mut bytes = std::fs::read(&damaged).unwrap();
    bytes[70_000] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let fourth = back_up(&place.path(), &out);
    assert_eq!(fourth.segments_kept, third.segments_kept - 1, "the damaged one is copied again");
    assert_eq!(check(&out), 101);
    let (key_text, secret) = (std::fs::read(place.path().join("ledger.key")).unwrap(), b"PRIVATE KEY");
    for (path, bytes) in files(&out) {
        assert!(!path.ends_with("ledger.key") && bytes != key_text, "{path:?}");
        assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{path:?} holds a key");
    }
}

#[test]
fn a_crash_in_the_middle_leaves_the_older_backup_as_it_was() {
    let place = Place::new();
    let (out, partial) = (place.beside("backup"), place.beside(".backup.partial"));
    let ledger = place.create();
    append(&ledger, 0..40, 100_000);
    back_up_all(&ledger, &out);
    let before = files(&out);
    append(&ledger, 40..80, 100_000);
    back_up_all(&ledger, &place.beside("aside"));
    // Once for each moment that progress is told of.
    let (mut moment, mut crashes) = (0, 0);
    loop {
        let mut left = moment;
        let done = catch_unwind(AssertUnwindSafe(|| {
            backup(&place.path(), &out, &mut |_, _| {
                assert!(left != 0, "crash");
                left -= 1;
            })
        }));
        if let Ok(report) = done {
            assert_eq!(report.unwrap().size, 81);
            break;
        }
        assert!(files(&out) == before, "moment {moment}");
        // A crash of the machine leaves what was begun as well.
        copy_all(&place.path(), &partial);
        (moment, crashes) = (moment + 1, crashes + 1);
    }
    assert!(4 < crashes, "{crashes}");
    assert!(!partial.exists());
    assert_eq!(check(&out), 81);
    ledger.close().unwrap();
}

#[test]
fn a_link_to_a_backup_stays_a_link() {
    let place = Place::new();
    let (real, link) = (place.beside("disk/backup"), place.beside("link"));
    std::fs::create_dir_all(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let ledger = place.create();
    append(&ledger, 0..5, 100);
    for size in [6, 9] {
        assert_eq!(back_up_all(&ledger, &link).size, size);
        append(&ledger, size..size + 3, 100);
        assert!(link.is_symlink() && real.join("manifest.toml").exists());
        assert_eq!(std::fs::read_dir(place.beside("disk")).unwrap().count(), 1);
    }
    restored(&link, &place.beside("restored"));
}

#[test]
fn nothing_else_is_replaced() {
    let place = Place::new();
    let ledger = place.create();
    append(&ledger, 0..5, 100);
    let code = |out: &Path| backup(&place.path(), out, &mut |_, _| {}).unwrap_err().code();
    let (full, out) = (place.beside("full"), place.beside("out"));
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("letter"), "dear").unwrap();
    assert_eq!(code(&full), "backup.exists");
    assert_eq!(std::fs::read_to_string(full.join("letter")).unwrap(), "dear");
    assert_eq!(code(&place.path()), "backup.inside");
    let other = Place::new();
    other.create().close().unwrap();
    back_up(&other.path(), &out);
    assert_eq!(code(&out), "backup.other_ledger");
    ledger.close().unwrap();
    // A ledger that was cut back does not replace the backup that has more, nor does another history.
    let (old, newer) = (place.beside("old"), place.beside("newer"));
    crate::support::copy(&place.path(), &old);
    let ledger = place.open();
    append(&ledger, 5..10, 100);
    back_up_all(&ledger, &newer);
    let before = files(&newer);
    let error = backup(&old, &newer, &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, annals::BackupError::Newer { size: 6, found: 11, .. }), "{error}");
    let forked = crate::support::open(&old);
    append(&forked, 100..120, 100);
    forked.close().unwrap();
    assert_eq!(backup(&old, &newer, &mut |_, _| {}).unwrap_err().code(), "backup.other_tree");
    assert!(files(&newer) == before);
    std::fs::write(newer.join("checkpoint"), "annals.example/test\n").unwrap();
    let error = backup(&place.path(), &newer, &mut |_, _| {}).unwrap_err();
    assert!(error.code() == "backup.checkpoint" && error.to_string().contains("newer/checkpoint"), "{error}");
    // A copy is no ledger to back up.
    assert_eq!(backup(&newer, &place.beside("again"), &mut |_, _| {}).unwrap_err().code(), "open.backup");
}

#[test]
fn a_damaged_source_makes_no_backup() {
    let place = Place::new();
    let out = place.beside("backup");
    let ledger = place.create();
    append(&ledger, 0..40, 100_000);
    ledger.close().unwrap();
    let segment = place.path().join("segments/0000000000.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[500_000] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let error = backup(&place.path(), &out, &mut |_, _| {}).unwrap_err();
    assert_eq!(error.code(), "recovery.damaged", "{error}");
    assert!(!out.exists() && !place.beside(".backup.partial").exists());
}

#[test]
fn a_tampered_backup_is_refused_by_the_name_of_the_file() {
    let place = Place::new();
    let (out, to) = (place.beside("backup"), place.beside("restored"));
    let ledger = place.create();
    append(&ledger, 0..30, 100_000);
    back_up_all(&ledger, &out);
    ledger.close().unwrap();
    let refused = || {
        let error = restore(&out, &to, &Restoring::default(), &mut |_, _| {}).unwrap_err();
        assert!(!to.exists() && !place.beside(".restored.partial").exists(), "nothing is left");
        error
    };
    let names = ["annals.toml", "checkpoint", "segments/0000000000.seg", "segments/0000000001.seg"];
    for name in names {
        let path = out.join(name);
        let whole = std::fs::read(&path).unwrap();
        for place in [0, whole.len() / 2, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            let error = refused();
            assert_eq!(error.code(), "backup.file_hash");
            assert!(error.to_string().contains(name), "{error}");
        }
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(matches!(refused(), RestoreError::Manifest(ManifestError::Size { path, .. }) if path.ends_with(name)));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(refused(), RestoreError::Manifest(ManifestError::Missing(path)) if path.ends_with(name)));
        std::fs::write(&path, whole).unwrap();
    }
    let more = out.join("segments/0000000007.seg");
    std::fs::write(&more, "").unwrap();
    assert!(matches!(refused(), RestoreError::Manifest(ManifestError::Unlisted(path)) if path == more));
    std::fs::remove_file(&more).unwrap();
    let manifest = out.join("manifest.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    for (from, to, code) in [
        ("format = 1", "format = 2", "home.format"),
        ("\"checkpoint\"", "\"../checkpoint\"", "backup.manifest"),
        ("0000000001.seg", "0000000002.seg", "backup.manifest"),
        ("records = 31", "records = 30", "backup.records"),
        ("ledger = \"", "ledger = \"0", "backup.manifest"),
    ] {
        assert!(text.contains(from), "{from}");
        std::fs::write(&manifest, text.replace(from, to)).unwrap();
        assert_eq!(refused().code(), code, "{to}");
    }
    std::fs::remove_file(&manifest).unwrap();
    assert_eq!(refused().code(), "backup.none");
    std::fs::write(&manifest, &text).unwrap();
    std::fs::write(place.beside("file"), "").unwrap();
    assert_eq!(restore(&out, &place.path(), &Restoring::default(), &mut |_, _| {}).unwrap_err().code(), "home.exists");
    restored(&out, &to);
    assert_eq!(check(&to), 31);
}

#[test]
fn a_restored_ledger_is_read_only_until_it_goes_on_from_the_newest_checkpoint() {
    let place = Place::new();
    let out = place.beside("backup");
    let ledger = place.create();
    append(&ledger, 0..10, 100);
    back_up_all(&ledger, &out);
    let covered = ledger.reader().checkpoint().unwrap();
    append(&ledger, 10..12, 100);
    let later = ledger.reader().checkpoint().unwrap();
    ledger.close().unwrap();
    let ledger_key = Some(place.path().join("ledger.key"));
    let (one, two) = (place.beside("one"), place.beside("two"));
    for copy in [&one, &two] {
        let restoring = Restoring { ledger_key: ledger_key.clone(), ..Restoring::default() };
        restore(&out, copy, &restoring, &mut |_, _| {}).unwrap();
        let error = Ledger::open(copy, crate::support::options()).unwrap_err();
        assert_eq!(error.code(), "open.restored");
        assert!(error.to_string().contains(&format!("annals reopen {}", copy.display())), "{error}");
        assert_eq!(Reader::open(copy).unwrap().next_seq(), 11);
    }
    assert_eq!(Ledger::open(&out, crate::support::options()).unwrap_err().code(), "open.backup");
    let going_on = |note: &str| Options { continue_after: Some(note.to_owned()), ..crate::support::options() };
    assert_eq!(Ledger::open(&out, going_on(&covered)).unwrap_err().code(), "open.backup", "not even so");
    let older = Ledger::open(&one, going_on(&later)).unwrap_err();
    assert!(matches!(older, OpenError::OlderThanCheckpoint { size: 11, expected: 13 }));
    let ledger = Ledger::open(&one, going_on(&covered)).unwrap();
    let reopening = ledger.reader().get(11).unwrap().reopening(ledger.vkey()).unwrap();
    assert_eq!((reopening.reason(), reopening.checkpoint().unwrap().size), (Reason::Restored, 11));
    append(&ledger, 10..15, 100);
    ledger.close().unwrap();
    assert!(!one.join("checkpoint").exists());
    crate::support::open(&one).close().unwrap();
    assert_eq!(check(&one), 17);
    assert_eq!(Ledger::open(&two, crate::support::options()).unwrap_err().code(), "open.restored");
}

#[test]
fn restoring_goes_on_in_one_step_or_not_at_all() {
    let place = Place::new();
    let (out, to) = (place.beside("backup"), place.beside("restored"));
    let ledger = place.create();
    append(&ledger, 0..10, 100);
    back_up_all(&ledger, &out);
    let covered = ledger.reader().checkpoint().unwrap();
    append(&ledger, 10..12, 100);
    let later = ledger.reader().checkpoint().unwrap();
    ledger.close().unwrap();
    let wrong_key = place.beside("wrong");
    annals::write_key(&wrong_key, &key(9)).unwrap();
    let right_key = place.path().join("ledger.key");
    let go = |ledger_key: &Path, note: &str| {
        let (ledger_key, continue_after) = (Some(ledger_key.to_owned()), Some(note.to_owned()));
        restore(&out, &to, &Restoring { ledger_key, continue_after, accept_clock: false }, &mut |_, _| {})
    };
    for (ledger_key, note, code) in [(&right_key, &later, "reopen.older"), (&wrong_key, &covered, "open.wrong_key")] {
        assert_eq!(go(ledger_key, note).unwrap_err().code(), code);
        assert!(!to.exists(), "nothing is left of {code}");
    }
    let keyless = Restoring { continue_after: Some(covered.clone()), ..Restoring::default() };
    let error = restore(&out, &to, &keyless, &mut |_, _| {}).unwrap_err();
    assert!(error.code() == "key.io" && error.to_string().contains("restored/ledger.key"), "{error}");
    assert!(!to.exists());
    let report = go(&right_key, &covered).unwrap();
    assert_eq!((report.size, report.reopened), (11, vec![11]));
    let ledger = crate::support::open(&to);
    append(&ledger, 20..22, 100);
    ledger.close().unwrap();
    assert_eq!(check(&to), 14);
    // And it is backed up as any other.
    back_up(&to, &place.beside("next"));
}

#[test]
fn a_segment_that_has_only_begun_is_left_out_and_made_again() {
    let place = Place::new();
    let (out, early, to) = (place.beside("backup"), place.beside("early"), place.beside("restored"));
    let ledger = place.create();
    append(&ledger, 0..45, 100_000);
    let ledger_key = Some(place.path().join("ledger.key"));
    ledger.close().unwrap();
    // As it was when the newest segment had its start frame and nothing else.
    crate::support::copy(&place.path(), &early);
    let mut segments: Vec<PathBuf> =
        std::fs::read_dir(early.join("segments")).unwrap().map(|it| it.unwrap().path()).collect();
    segments.sort_unstable();
    let mut newest = segments.pop().unwrap();
    while std::fs::read(&newest).unwrap()[4096..8192].iter().all(|byte| *byte == 0) {
        std::fs::remove_file(&newest).unwrap();
        newest = segments.pop().unwrap();
    }
    let mut bytes = std::fs::read(&newest).unwrap();
    bytes[8192..].fill(0);
    std::fs::write(&newest, bytes).unwrap();
    assert!(2 <= segments.len());
    let report = back_up(&early, &out);
    assert_eq!((report.segments, check(&out)), (segments.len() as u64, report.size));
    assert!(report.checkpoint.size <= report.size && report.size < 46);
    let reader = Reader::open(&out).unwrap();
    assert_eq!(reader.next_seq(), report.checkpoint.size);
    reader.prove(report.checkpoint.size - 1).unwrap().verify(reader.vkey()).unwrap();
    let continue_after = Some(reader.checkpoint().unwrap());
    let restored = restore(&out, &to, &Restoring { ledger_key, continue_after, accept_clock: false }, &mut |_, _| {});
    assert_eq!(restored.unwrap().reopened, [report.size]);
    let ledger = crate::support::open(&to);
    append(&ledger, 100..110, 100_000);
    ledger.close().unwrap();
    assert_eq!(check(&to), report.size + 11);
}

#[test]
fn what_the_manifest_vouches_for_is_checked_all_the_same() {
    let place = Place::new();
    let (out, to) = (place.beside("backup"), place.beside("restored"));
    let ledger = place.create();
    append(&ledger, 0..30, 100_000);
    back_up_all(&ledger, &out);
    let other_note = ledger.reader().prove(3).unwrap().checkpoint;
    ledger.close().unwrap();
    let manifest = out.join("manifest.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    // Somebody who writes the sums anew as well: frames, or the checkpoint's signature, tell.
    let forged = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let path = out.join(name);
        let whole = std::fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        change(&mut bytes);
        let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
        let sized = |bytes: &[u8]| format!("path = \"{name}\"\nsize = {}\nblake3 = \"{}\"", bytes.len(), hash(bytes));
        assert!(text.contains(&sized(&whole)), "{text}");
        std::fs::write(&manifest, text.replace(&sized(&whole), &sized(&bytes))).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let refused = restore(&out, &to, &Restoring::default(), &mut |_, _| {}).map(drop);
        std::fs::write(&path, whole).unwrap();
        std::fs::write(&manifest, &text).unwrap();
        let _ = std::fs::remove_dir_all(&to);
        refused
    };
    let error = forged("segments/0000000000.seg", &|bytes| bytes[700_000] ^= 1).unwrap_err();
    assert_eq!(error.code(), "recovery.damaged");
    let error = forged("checkpoint", &|bytes| bytes[45] ^= 1).unwrap_err();
    assert!(error.code().starts_with("checkpoint."), "{error}");
    // An older checkpoint of the same ledger is a true one.
    forged("checkpoint", &|bytes| *bytes = other_note.clone().into_bytes()).unwrap();
    let error = forged("annals.toml", &|bytes| bytes.extend_from_slice(b"more = 1\n")).unwrap_err();
    assert_eq!(error.code(), "home.config");
}

#[test]
fn an_older_backup_that_a_crash_left_aside_is_put_back() {
    let place = Place::new();
    let (out, aside) = (place.beside("backup"), place.beside(".backup.old"));
    let ledger = place.create();
    append(&ledger, 0..45, 100_000);
    let first = back_up_all(&ledger, &out);
    // What a crash leaves on a file system that exchanges nothing.
    std::fs::rename(&out, &aside).unwrap();
    let again = back_up(&place.path(), &out);
    assert_eq!((again.segments_kept, again.size), (first.segments - 1, first.size));
    assert!(!aside.exists());
    ledger.close().unwrap();
}
