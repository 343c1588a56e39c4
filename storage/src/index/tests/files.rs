//! Index files in a directory.

use std::sync::{Arc, Mutex};

use super::{LEDGER, key, record, sealed};
use crate::disk::DiskError;
use crate::index::store::{ReadAt, WriteIndex};
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

/// A store that remembers the pieces it was given.
#[derive(Clone, Debug, Default)]
struct Pieces(Arc<Mutex<Vec<Vec<u8>>>>);

impl IndexStore for Pieces {
    fn open(&self, _: u64) -> Result<Option<Arc<dyn ReadAt>>, DiskError> {
        Ok(None)
    }

    fn begin(&self, _: u64) -> Result<Box<dyn WriteIndex>, DiskError> {
        Ok(Box::new(self.clone()))
    }
}

impl WriteIndex for Pieces {
    fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.0.lock().unwrap().push(bytes.to_vec());
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), DiskError> {
        Ok(())
    }
}

#[test]
fn a_file_is_written_in_pieces_and_is_the_same_whatever_the_steps_were() {
    let pending = sealed(40, 1000, 5);
    let whole = pending.encode();
    assert!(2 << 19 < whole.len(), "some pieces");
    for entry_count in [1, 7, 2048, usize::MAX] {
        let store = Pieces::default();
        let mut writing = Some(pending.begin(&store).unwrap());
        while let Some(unfinished) = writing {
            writing = unfinished.step(entry_count).unwrap();
        }
        let pieces = store.0.lock().unwrap();
        assert!(pieces.concat() == whole, "{entry_count} entries a step");
        // 512 KiB, and what a step adds: its entries of 16 bytes, on pages of their own.
        let longest = pieces.iter().map(Vec::len).max().unwrap();
        let most = (512_usize << 10).saturating_add(entry_count.saturating_mul(17)).saturating_add(2 * 4096);
        assert!(longest <= most, "{entry_count} entries a step, {longest} bytes at once");
    }
}
