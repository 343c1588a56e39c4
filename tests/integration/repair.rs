//! Repairs: derived files are made again as they were, segments are never touched, and damage of a segment is told.

use crate::support::{Place, copy, key, record};
use annals::{Ledger, RepairReport, check_ledger, repair_ledger};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn repair(path: &Path) -> RepairReport {
    let (mut done, mut total) = (0, 0);
    let report = repair_ledger(path, &mut |now, all| (done, total) = (now, all)).unwrap();
    assert_eq!(done, total);
    report
}

/// A closed ledger of four closed segments or more, whose authors have records in several of them.
fn ledger() -> Place {
    let place = Place::new();
    let ledger = place.create();
    append(&ledger, 0..26);
    ledger.close().unwrap();
    assert!(repair(&place.path()).indexes_made.is_empty(), "what the engine wrote is what the segments make");
    place
}

fn append(ledger: &Ledger, nonces: std::ops::Range<u64>) {
    let mut appender = ledger.appender().unwrap();
    for nonce in nonces {
        let payload = vec![nonce.to_le_bytes()[0]; 400 << 10];
        appender.append_wait(&record(ledger.id(), &key(1 + (nonce % 3) as u8), nonce, &payload)).unwrap();
    }
}

fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().into(), std::fs::read(&path).unwrap())).collect()
}

#[test]
fn missing_and_damaged_indexes_are_made_again_as_they_were() {
    let place = ledger();
    let (index, segments) = (files(&place.path().join("index")), files(&place.path().join("segments")));
    let count = index.len() as u64;
    assert!(4 <= count);
    let at = |segment: u64| place.path().join(format!("index/{segment:010}.idx"));
    let damages: [fn(&Path); 7] = [
        |path| std::fs::remove_file(path).unwrap(),
        |path| std::fs::write(path, b"").unwrap(),
        |path| alter(path, |bytes| bytes[100] ^= 1),
        |path| alter(path, |bytes| bytes[4096 + 9] ^= 1),
        |path| alter(path, |bytes| *bytes.last_mut().unwrap() ^= 128),
        |path| alter(path, |bytes| bytes.push(0)),
        |path| assert!(std::fs::copy(path.with_file_name("0000000003.idx"), path).is_ok()),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        for broken in [vec![0], vec![2], vec![0, 1, 2]] {
            broken.iter().for_each(|segment| damage(&at(*segment)));
            let report = repair(&place.path());
            assert_eq!(report.indexes_made, broken, "{number}");
            assert_eq!((report.segments, report.indexes_sound), (count, count - broken.len() as u64));
            assert!(report.damaged.is_empty() && report.removed.is_empty());
            assert_eq!(files(&place.path().join("index")), index, "{number}: the bytes that the engine wrote");
        }
    }
    std::fs::remove_dir_all(place.path().join("index")).unwrap();
    assert_eq!(repair(&place.path()).indexes_made.len() as u64, count);
    assert_eq!(files(&place.path().join("index")), index);
    assert_eq!(files(&place.path().join("segments")), segments);
    assert!(check_ledger(&place.path(), None, &mut |_, _| {}).unwrap().indexes_missing.is_empty());
}

fn alter(path: &Path, alter: impl Fn(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    alter(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn leftovers_are_removed_and_nothing_else() {
    let place = ledger();
    let before = (files(&place.path().join("index")), files(&place.path().join("segments")));
    for leftover in ["segments/0000000009.tmp", "index/0000000001.idx.tmp"] {
        std::fs::write(place.path().join(leftover), b"half").unwrap();
    }
    for kept in ["segments/notes.tmp", "segments/00000000090.tmp", "index/0000000001.idx.old", "index/0000000009.tmp"] {
        std::fs::write(place.path().join(kept), b"somebody's").unwrap();
    }
    let removed = repair(&place.path()).removed;
    let names: Vec<_> = removed.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["0000000001.idx.tmp", "0000000009.tmp"]);
    let after = (files(&place.path().join("index")), files(&place.path().join("segments")));
    assert_eq!((after.0.len(), after.1.len()), (before.0.len() + 2, before.1.len() + 2));
    assert!(before.0.iter().all(|(name, bytes)| after.0.get(name) == Some(bytes)));
}

#[test]
fn a_damaged_segment_is_told_and_left_as_it_is() {
    let place = ledger();
    let segment = place.path().join("segments/0000000001.seg");
    alter(&segment, |bytes| bytes[700_000] ^= 1);
    let damaged = std::fs::read(&segment).unwrap();
    // Its index is there: the segments behind are repaired all the same.
    std::fs::remove_file(place.path().join("index/0000000002.idx")).unwrap();
    let report = repair(&place.path());
    assert_eq!(report.indexes_made, [2]);
    let [told] = report.damaged.as_slice() else { panic!("{:?}", report.damaged) };
    assert!(told.segment == 1 && told.offset().unwrap() <= 700_000 && told.advice().contains("backup"), "{told:?}");
    assert_eq!(told.cause.code(), "recovery.damaged", "what is wrong, not what is missing behind it");
    // Its index is gone too: what stands on it can't be made, and says so.
    for number in [1, 2] {
        std::fs::remove_file(place.path().join(format!("index/000000000{number}.idx"))).unwrap();
    }
    let report = repair(&place.path());
    let told: Vec<_> = report.damaged.iter().map(|it| (it.segment, it.advice().contains("older segment"))).collect();
    assert!(told.starts_with(&[(1, false), (2, true)]), "{told:?}");
    assert!(!place.path().join("index/0000000002.idx").exists());
    assert_eq!(std::fs::read(&segment).unwrap(), damaged);
}

#[test]
fn a_ledger_in_use_is_refused_and_a_torn_tail_left_alone() {
    let place = ledger();
    let ledger = place.open();
    assert_eq!(repair_ledger(&place.path(), &mut |_, _| {}).unwrap_err().code(), "home.held");
    append(&ledger, 50..52);
    let crashed = place.beside("crashed");
    copy(&place.path(), &crashed);
    ledger.close().unwrap();
    let before = files(&crashed.join("segments"));
    assert!(repair(&crashed).damaged.is_empty());
    assert_eq!(files(&crashed.join("segments")), before);
    // The tail itself is damaged, behind what a crash explains.
    let last = crashed
        .join("segments")
        .join(before.keys().rfind(|name| before[*name][4096..].iter().any(|b| *b != 0)).unwrap());
    alter(&last, |bytes| bytes[4096 + 8] ^= 1);
    let report = repair(&crashed);
    assert!(report.damaged.iter().any(|it| it.advice().contains("backup")), "{report:?}");
}
