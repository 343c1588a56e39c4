//! A platform that is torn from its work: whatever lies on the disk then, the log alone decides what its state is.
#![allow(clippy::disallowed_methods, reason = "it waits for others to have done some work")]

use crate::desk::{Desk, act, file, options};
use annals_contracts::platform::check_state;
use annals_contracts::state::StateRoot;
use annals_contracts::{Platform, PlatformError, Status};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Copies a directory with all that is in it. What its writer renames meanwhile is left out, as from a crash before the renaming.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            match std::fs::copy(entry.path(), target) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                copied => drop(copied.unwrap()),
            }
        }
    }
}

/// A copy of a ledger as a crash would leave it, which may go on since nobody else has what it lacks.
pub(crate) struct Torn {
    place: PathBuf,
    checkpoint: String,
    roots: Vec<StateRoot>,
}

impl Torn {
    pub(crate) fn of(desk: &Desk, place: &Path) -> Self {
        let (platform, place) = (&desk.platform, place.to_owned());
        let checkpoint = platform.ledger().reader().checkpoint().unwrap();
        let roots = (1..=platform.applied().height).map_while(|height| platform.state().root_at(height).unwrap());
        let roots = roots.collect();
        copy(platform.ledger().path(), &place);
        Self { place, checkpoint, roots }
    }

    fn open(&self, desk: &Desk) -> Result<Platform, PlatformError> {
        let mut options = options(&desk.clock);
        options.ledger.continue_after = Some(self.checkpoint.clone());
        Platform::open(&self.place, options)
    }

    /// Opens it, and finds the roots there that were before.
    pub(crate) fn holds(&self, desk: &Desk) -> Platform {
        let platform = self.open(desk).unwrap();
        assert!(!self.roots.is_empty());
        for (height, root) in (1..).zip(&self.roots) {
            assert_eq!(platform.state().root_at(height).unwrap(), Some(*root), "at height {height}");
        }
        platform
    }
}

#[test]
fn a_copy_from_the_middle_of_the_work_is_whole() {
    let mut desk = Desk::new();
    let spare = tempfile::tempdir().unwrap();
    for turn in 0..24_u32 {
        desk.inspected(&format!("{turn}a"));
        // State is stored now and then, so that it lags behind the log by one block to a dozen.
        if turn % 5 == 0 {
            desk.platform.tend().unwrap();
        }
        if turn % 4 == 1 {
            let torn = Torn::of(&desk, &spare.path().join(turn.to_string()));
            let mut again = torn.holds(&desk);
            again.tick().unwrap();
            let (root, reader) = (again.applied().root, again.ledger().reader());
            again.close().unwrap();
            let check = check_state(&torn.place, &reader, |_| ()).unwrap();
            assert_eq!((check.root, check.differs_at), (root, None));
            drop(reader);
            again = Platform::open(&torn.place, options(&desk.clock)).unwrap();
            assert_eq!(again.applied().root, root);
        }
    }
    desk.replays();
}

#[test]
fn a_copy_while_others_append_is_whole() {
    let desk = Arc::new(parking_lot::Mutex::new(Desk::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let worker = {
        let (desk, stop) = (Arc::clone(&desk), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                desk.lock().act("ann", &file(&number.to_string())).1.unwrap();
            }
        })
    };
    let spare = tempfile::tempdir().unwrap();
    for turn in 0..5 {
        std::thread::sleep(Duration::from_millis(7 + 13 * turn));
        let torn = {
            let torn = Torn::of(&desk.lock(), &spare.path().join(turn.to_string()));
            // Once more while the worker appends: what is there grows under the copying.
            let place = desk.lock().platform.ledger().path().to_owned();
            copy(&place, &torn.place);
            torn
        };
        drop(torn.holds(&desk.lock()));
    }
    stop.store(true, Ordering::Relaxed);
    worker.join().unwrap();
}

#[test]
fn state_that_is_not_this_ledgers_is_made_again_or_refused() {
    let mut desk = Desk::new();
    let place = desk.platform.ledger().path().to_owned();
    let spare = tempfile::tempdir().unwrap();
    desk.inspected("1");
    desk.platform.tend().unwrap();
    let older = Torn::of(&desk, &spare.path().join("older"));
    desk.inspected("2");
    desk.platform.tend().unwrap();
    let newer = std::fs::read(place.join("contracts/state.redb")).unwrap();
    let other = {
        let mut other = Desk::new();
        other.inspected("1");
        other.platform.tend().unwrap();
        std::fs::read(other.platform.ledger().path().join("contracts/state.redb")).unwrap()
    };
    let old = std::fs::read(older.place.join("contracts/state.redb")).unwrap();
    let mut flipped = old.clone();
    flipped[0] ^= 1;
    let garbage: Vec<u8> = (0..old.len()).map(|at| blake3::hash(at.to_string().as_bytes()).as_bytes()[0]).collect();
    let cases: [(&str, Option<&[u8]>, bool); 8] = [
        ("deleted", None, true),
        ("newer", Some(&newer), true),
        ("of another ledger", Some(&other), true),
        ("empty", Some(&[]), true),
        ("garbage", Some(&garbage), false),
        ("one bit", Some(&flipped), false),
        ("half", Some(&old[..old.len() / 2]), false),
        ("one byte", Some(&old[..1]), false),
    ];
    for (name, bytes, is_remade) in cases {
        let torn =
            Torn { place: spare.path().join(name), roots: older.roots.clone(), checkpoint: older.checkpoint.clone() };
        copy(&older.place, &torn.place);
        let state = torn.place.join("contracts/state.redb");
        match bytes {
            Some(bytes) => std::fs::write(&state, bytes).unwrap(),
            None => std::fs::remove_file(&state).unwrap(),
        }
        let open = std::panic::AssertUnwindSafe(|| torn.open(&desk));
        let opened = std::panic::catch_unwind(open);
        match opened.unwrap_or_else(|_| panic!("{name}: it panics")) {
            Ok(platform) => {
                drop(platform);
                drop(torn.holds(&desk));
            }
            Err(error) => {
                assert!(!is_remade, "{name}: {error}");
                assert!(matches!(error, PlatformError::State(_)), "{name}: {error:?}");
                assert!(error.to_string().contains("state"), "{name}: {error}");
                std::fs::remove_file(&state).unwrap();
                drop(torn.holds(&desk));
            }
        }
    }
}

/// Many submit while the platform goes away: each is answered, and nobody waits for ever.
#[test]
fn closing_while_others_submit_leaves_nobody_waiting() {
    let mut desk = Desk::new();
    let records: Vec<_> = (0..64)
        .map(|number| desk.sign("ann", annals_contracts::message::CASE, &file(&number.to_string()).encode()))
        .collect();
    let (done, answers) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let platform = Arc::new(desk.platform);
        let workers: Vec<_> = records
            .chunks(16)
            .map(|some| {
                let (platform, some) = (Arc::clone(&platform), some.to_vec());
                std::thread::spawn(move || {
                    let mut appender = platform.appender().unwrap();
                    let answer = |record: &annals::SignedRecord| platform.submit(&mut appender, record.bytes());
                    some.iter().map(answer).filter(Result::is_ok).count()
                })
            })
            .collect();
        // The last who holds it closes it.
        drop(platform);
        done.send(workers.into_iter().map(|worker| worker.join().unwrap()).sum::<usize>()).unwrap();
    });
    assert_eq!(answers.recv_timeout(Duration::from_secs(30)), Ok(64));
}

/// Somebody still waits for what the ledger will never order: he is told.
#[test]
fn a_record_of_another_ledger_is_refused_at_once() {
    let (mut one, mut two) = (Desk::new(), Desk::new());
    let record = two.sign("ann", annals_contracts::message::CASE, &file("1").encode());
    assert!(one.send(&record).is_err());
    let mut appender = one.platform.appender().unwrap();
    assert!(one.platform.submit_unchecked(&mut appender, record.bytes()).is_err());
    assert_eq!(one.act("ann", &file("1")).1.unwrap(), Status::Accepted);
    assert_eq!(one.refusal("ann", &act("none", "1")).code, "workflow.no_such_act");
}
