//! What a ledger was made with and what is asked of it now: differences are refused, with both values.

use crate::support::{ORIGIN, Place, SMALL, key, record};
use annals::{Creation, HomeError, Ledger, OpenError, Reader};
use std::path::Path;

fn refused(path: &Path) -> OpenError {
    Ledger::open(path, crate::support::options()).unwrap_err()
}

#[test]
fn another_segment_size_or_format_in_the_configuration_is_refused() {
    let place = Place::new();
    place.create().close().unwrap();
    let config = place.path().join("annals.toml");
    let right = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, right.replace("2097152", "4194304")).unwrap();
    let error = refused(&place.path());
    assert!(matches!(error, OpenError::SegmentSizeChanged { configured: 0x40_0000, created: SMALL }), "{error}");
    let words = error.to_string();
    assert!(words.contains("4194304") && words.contains("2097152"), "{words}");
    Reader::open(&place.path()).unwrap();
    // A newer format may have fields that this build does not know; its number is what counts.
    std::fs::write(&config, right.replace("format = 1", "format = 2\nshards = 4")).unwrap();
    let error = refused(&place.path());
    assert!(matches!(&error, OpenError::Home(HomeError::Format { found: 2, known: 1, .. })), "{error}");
    assert_eq!(error.code(), "home.format");
    std::fs::write(&config, right.replace("format = 1", "format = 1\nshards = 4")).unwrap();
    assert_eq!(refused(&place.path()).code(), "home.config");
    std::fs::write(&config, right).unwrap();
    crate::support::open(&place.path()).close().unwrap();
}

#[test]
fn a_segment_or_frame_of_a_newer_format_is_called_so() {
    let place = Place::new();
    let ledger = place.create();
    ledger.appender().unwrap().append_wait(&record(ledger.id(), &key(1), 1, b"one")).unwrap();
    ledger.close().unwrap();
    let segment = place.path().join("segments/0000000000.seg");
    let whole = std::fs::read(&segment).unwrap();
    let frames: Vec<_> = (4096..whole.len()).step_by(4096).filter(|at| whole[*at..].starts_with(b"ANF1")).collect();
    // The segment's first page, the genesis block, and a mark behind it, which others read.
    let table =
        [(0, b"ANS2", "segment.newer"), (frames[1], b"ANF7", "read.frame"), (frames[4], b"ANF2", "recovery.damaged")];
    for (offset, magic, code) in table {
        let mut newer = whole.clone();
        newer[offset..offset + 4].copy_from_slice(magic);
        std::fs::write(&segment, newer).unwrap();
        let error = refused(&place.path());
        let words = error.to_string();
        let magic = std::str::from_utf8(magic).unwrap();
        assert!(words.contains("newer format") && words.contains(magic), "{words}");
        assert_eq!(error.code(), code);
    }
    std::fs::write(&segment, whole).unwrap();
    crate::support::open(&place.path()).close().unwrap();
}

#[test]
fn a_ledger_is_opened_as_it_was_made_or_not_at_all() {
    let place = Place::new();
    let (key_file, other_file) = (place.beside("key"), place.beside("other"));
    annals::write_key(&key_file, &key(3)).unwrap();
    annals::write_key(&other_file, &key(3)).unwrap();
    let authors = [key(1).public(), key(2).public()];
    let creation = Creation {
        segment_size: SMALL,
        ledger_key: Some(key_file),
        random: Some([5; 32]),
        ..Creation::listed(ORIGIN, &authors)
    };
    let open = |creation: &Creation| Ledger::open_or_create(&place.path(), creation, crate::support::options());
    std::fs::create_dir(place.path()).unwrap();
    let id = open(&creation).unwrap().id();
    let turned = Creation { authors: vec![authors[1], authors[0], authors[1]], random: None, ..creation.clone() };
    assert_eq!(open(&turned).unwrap().id(), id, "order and repetition say nothing");
    let named = Creation { admins: vec![key(3).public()], ..creation.clone() };
    assert_eq!(open(&named).unwrap().id(), id, "the ledger key is the admin where none is named");
    let table: [(&str, Creation, &str, &str); 7] = [
        ("origin", Creation { origin: "annals.example/y".into(), ..creation.clone() }, "annals.example/y", ORIGIN),
        ("admission", Creation { authors: vec![], ..creation.clone() }, "open", "listed"),
        ("admins", Creation { admins: vec![key(7).public()], ..creation.clone() }, "", ""),
        ("authors", Creation { authors: vec![authors[0]], ..creation.clone() }, "", ""),
        ("segment_size", Creation { segment_size: 2 * SMALL, ..creation.clone() }, "4194304", "2097152"),
        ("ledger_key", Creation { ledger_key: None, ..creation.clone() }, "in the directory", "/key"),
        ("random", Creation { random: Some([6; 32]), ..creation.clone() }, "0606", "0505"),
    ];
    for (name, other, asked, there) in &table {
        let error = open(other).unwrap_err();
        let OpenError::CreationDiffers { field, wanted, found } = &error else { panic!("{name}: {error}") };
        assert_eq!(field, name);
        assert!(wanted.contains(asked) && found.contains(there) && wanted != found, "{error}");
        let words = error.to_string();
        assert!(words.contains(name) && words.contains(wanted.as_str()) && words.contains(found.as_str()), "{words}");
    }
    // The same key elsewhere is another path.
    let moved = open(&Creation { ledger_key: Some(other_file), ..creation.clone() }).unwrap_err();
    assert_eq!(moved.code(), "open.creation_differs");
    assert_eq!(open(&creation).unwrap().id(), id);
    std::fs::create_dir(place.beside("full")).unwrap();
    std::fs::write(place.beside("full/letter"), "dear").unwrap();
    let full = Ledger::open_or_create(&place.beside("full"), &creation, crate::support::options()).unwrap_err();
    assert!(matches!(full, OpenError::Home(HomeError::NoLedger(_))), "{full}");
}
