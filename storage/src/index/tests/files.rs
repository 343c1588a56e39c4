//! Index files in a directory.

use std::sync::Arc;

use super::{LEDGER, key, record, sealed};
use crate::disk::DiskError;
use crate::index::{FileIndexStore, Index, IndexError, IndexStore, OpenIndex};

#[test]
fn files_are_named_by_segment_and_replaced_whole() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileIndexStore::new(directory.path());
    assert!(store.open(3).unwrap().is_none());
    store.write(3, b"first").unwrap();
    let first = store.open(3).unwrap().unwrap();
    store.write(3, b"second").unwrap();
    let names: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["0000000003.idx"]);
    let mut bytes = [0; 5];
    first.read_at(0, &mut bytes).unwrap();
    assert_eq!((first.size(), &bytes), (5, b"first"));
    assert_eq!(store.open(3).unwrap().unwrap().size(), 6);
    assert_eq!(first.read_at(2, &mut bytes), Err(DiskError::Short { segment: 3, end: 7 }));
    let nowhere = FileIndexStore::new(&directory.path().join("missing"));
    assert!(nowhere.write(3, b"").is_err());
}

#[test]
fn index_answers_from_files() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(FileIndexStore::new(directory.path()));
    let index = Index::new(store.clone(), LEDGER, &[3], OpenIndex::new(4, key(4), 1900, 400));
    assert!(matches!(index.locate_seq(1000), Err(IndexError::Missing { segment: 3 })));
    sealed(300, 3, 50).write(&*store).unwrap();
    for seq in 1000..1900 {
        assert_eq!(index.locate_seq(seq).unwrap().unwrap().height, 100 + (seq - 1000) / 3);
        assert_eq!(index.find_record_id(&record(seq).record_id).next().unwrap().unwrap(), seq);
    }
    assert_eq!(index.header(3).unwrap().unwrap().next_seq(), 1900);
    assert_eq!(index.header(4).unwrap(), None);
}
