//! Checks of a ledger's end, and what they leave to earlier ones.

use crate::support::{Place, SMALL, key, record};
use annals::{CheckError, CheckOptions, CheckReport, Ledger, check_ledger, check_with};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

fn check(path: &Path, since: Option<u64>, note: Option<&str>) -> Result<CheckReport, CheckError> {
    let options = CheckOptions { since, checkpoint: note.map(str::to_owned), ..CheckOptions::default() };
    check_with(path, &options, &mut |_, _| {})
}

fn append(ledger: &Ledger, nonces: std::ops::Range<u64>) {
    let mut appender = ledger.appender().unwrap();
    for nonce in nonces {
        let payload = vec![nonce.to_le_bytes()[0]; 400 << 10];
        appender.append_wait(&record(ledger.id(), &key(1 + (nonce % 3) as u8), nonce, &payload)).unwrap();
    }
}

/// A closed ledger of some segments, opened and closed in between, and a checkpoint of its first records.
fn ledger() -> (Place, String) {
    let place = Place::new();
    let ledger = place.create();
    append(&ledger, 0..9);
    let note = ledger.reader().checkpoint().unwrap();
    ledger.close().unwrap();
    let ledger = place.open();
    append(&ledger, 9..20);
    ledger.close().unwrap();
    (place, note)
}

#[test]
fn a_check_since_a_record_starts_at_its_segment_and_says_so() {
    let (place, note) = ledger();
    let whole = check_ledger(&place.path(), None, &mut |_, _| {}).unwrap();
    assert_eq!((whole.since, whole.records, whole.bytes), (0, 21, whole.segments * SMALL));
    let mut starts = Vec::new();
    for seq in 0..=21 {
        let (mut last, mut total) = (0, 0);
        let options = CheckOptions { since: Some(seq), ..CheckOptions::default() };
        let report = check_with(&place.path(), &options, &mut |done, of| (last, total) = (done, of)).unwrap();
        assert!(report.since <= seq && whole.records == report.records && report.root == whole.root && report.closed);
        assert_eq!((last, total), (report.bytes, report.bytes));
        assert_eq!(report.items, whole.records - report.since, "plain records have one item each");
        assert!(starts.last().is_none_or(|last| *last <= report.since));
        starts.push(report.since);
        assert_eq!((report.bytes < whole.bytes, report.blocks < whole.blocks), (0 < report.since, 0 < report.since));
    }
    let last = *starts.last().unwrap();
    starts.dedup();
    assert!(3 < starts.len() && starts.len() as u64 <= whole.segments && last < whole.records, "{starts:?}");
    // A checkpoint has to be met: it moves the start to where its last record was ordered.
    let report = check(&place.path(), Some(20), Some(&note)).unwrap();
    assert!(report.since < 10 && 0 < report.since, "{}", report.since);
    assert_eq!(check(&place.path(), None, Some(&note)).unwrap().since, 0);
}

#[test]
fn a_checkpoint_of_the_state_between_two_segments_is_compared() {
    let (place, _) = ledger();
    let whole = check_ledger(&place.path(), None, &mut |_, _| {}).unwrap();
    // Another ledger's checkpoints: same key and sizes, other trees.
    let other = place.beside("other");
    let creation = annals::Creation {
        segment_size: SMALL,
        ledger_key: Some(place.path().join("ledger.key")),
        ..annals::Creation::open(crate::support::ORIGIN)
    };
    let ledger = Ledger::create(&other, &creation, crate::support::options()).unwrap();
    for size in 2..whole.records {
        append(&ledger, size..size + 1);
        let note = ledger.reader().checkpoint().unwrap();
        for since in [None, Some(0), Some(20)] {
            let error = check(&place.path(), since, Some(&note)).unwrap_err();
            assert!(matches!(error, CheckError::OtherTree { size: found, .. } if found == size), "{error}");
        }
    }
    ledger.close().unwrap();
}

#[test]
fn what_lies_before_is_taken_as_checked_before() {
    let (place, _) = ledger();
    let file = OpenOptions::new().write(true).open(place.path().join("segments/0000000001.seg")).unwrap();
    file.write_all_at(&[0x55], 500_000).unwrap();
    let error = check(&place.path(), None, None).unwrap_err();
    assert_eq!(error.place().0, Some(1));
    assert!(error.advice().contains("backup"));
    assert!(0 < check(&place.path(), Some(20), None).unwrap().since);
    let file = OpenOptions::new().write(true).open(place.path().join("segments/0000000002.seg")).unwrap();
    // The start frame of a segment is damaged: the check starts before it and meets it.
    file.write_all_at(&[0x55], 4096 + 300).unwrap();
    let all = check_ledger(&place.beside("none"), None, &mut |_, _| {}).unwrap_err();
    assert_eq!(all.code(), "home.no_ledger");
    let error = check(&place.path(), Some(8), None).unwrap_err();
    assert!(error.place().0 <= Some(2), "{error}");
}

#[test]
fn a_wrong_index_is_told_when_the_log_is_sound() {
    let (place, _) = ledger();
    let path = place.path().join("index/0000000001.idx");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = check(&place.path(), None, None).unwrap_err();
    assert!(matches!(error, CheckError::Index { segment: 1 }) && error.advice().contains("annals repair"), "{error}");
    // Where the log itself is damaged, behind the segment of that index, that is told.
    let file = OpenOptions::new().write(true).open(place.path().join("segments/0000000003.seg")).unwrap();
    file.write_all_at(&[0x55], 500_000).unwrap();
    assert_eq!(check(&place.path(), None, None).unwrap_err().place().0, Some(3));
    std::fs::remove_file(path).unwrap();
    let fresh = ledger().0;
    std::fs::remove_file(fresh.path().join("index/0000000001.idx")).unwrap();
    assert_eq!(check(&fresh.path(), None, None).unwrap().indexes_missing, [1]);
}

#[test]
fn a_check_since_a_record_that_is_gone_is_told() {
    let place = Place::new();
    let ledger = place.create();
    append(&ledger, 0..9);
    let size = ledger.reader().next_seq();
    ledger.close().unwrap();
    let since = |since| {
        let options = CheckOptions { since: Some(since), ..CheckOptions::default() };
        check_with(&place.path(), &options, &mut |_, _| {}).map(|report| report.records)
    };
    assert_eq!(since(size).unwrap(), size, "nothing was added since");
    for beyond in [size + 1, u64::MAX] {
        assert_eq!(since(beyond).unwrap_err().code(), "check.since_beyond");
    }
}

#[test]
fn a_check_changes_nothing_and_says_where_a_segment_may_be_missing() {
    let place = Place::new();
    let ledger = place.create();
    append(&ledger, 0..9);
    ledger.close().unwrap();
    let lock = place.path().join("lock");
    let before = (std::fs::read(&lock).unwrap(), std::fs::metadata(&lock).unwrap().modified().unwrap());
    let check = || check_with(&place.path(), &CheckOptions::default(), &mut |_, _| {}).unwrap();
    assert_eq!(check().ends_segment, None);
    assert_eq!((std::fs::read(&lock).unwrap(), std::fs::metadata(&lock).unwrap().modified().unwrap()), before);
    // The newest segment that has begun, and the prepared one if there is one.
    let mut segments: Vec<_> =
        std::fs::read_dir(place.path().join("segments")).unwrap().map(|it| it.unwrap().path()).collect();
    segments.sort();
    let keep = segments.len() as u64 - 1;
    let last = check().segments - 1;
    for path in segments.iter().skip(last.min(keep) as usize) {
        std::fs::remove_file(path).unwrap();
    }
    assert_eq!(check().ends_segment, Some(last.min(keep) - 1));
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_told_and_not_waited_for() {
    let place = Place::new();
    let ledger = place.create();
    append(&ledger, 0..9);
    ledger.close().unwrap();
    let instead = |name: &str| {
        let path = place.path().join(name);
        let aside = place.beside("aside");
        std::fs::rename(&path, &aside).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        let result = check_with(&place.path(), &CheckOptions::default(), &mut |_, _| {});
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(&aside, &path).unwrap();
        result
    };
    assert_eq!(instead("annals.toml").unwrap_err().code(), "home.not_a_file");
    assert!(instead("segments/0000000001.seg").is_err());
    assert_eq!(instead("index/0000000000.idx").unwrap().indexes_missing, [0]);
}
