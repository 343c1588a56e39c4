//! State as a whole, against a tree that is built anew each time from a list in the order of creation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use super::hash::{Hash, NONE};
use super::*;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The definition, as naively as it can be written: keys in the order of creation, everything hashed again for each root.
#[derive(Clone, Default)]
struct Naive {
    keys: Vec<Vec<u8>>,
    values: HashMap<Vec<u8>, Vec<u8>>,
}

fn sha(parts: &[&[u8]]) -> Hash {
    Sha256::digest(parts.concat()).into()
}

/// MTH of RFC 6962, section 2.1, by its own recursion.
fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [leaf] => *leaf,
        _ => {
            let mut half = 1;
            while half * 2 < leaves.len() {
                half *= 2;
            }
            sha(&[&[1], &mth(&leaves[..half]), &mth(&leaves[half..])])
        }
    }
}

/// PATH of RFC 6962, section 2.1.1, by its own recursion.
fn audit(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let mut half = 1;
    while half * 2 < leaves.len() {
        half *= 2;
    }
    let (within, beside) = if index < half {
        (audit(&leaves[..half], index), mth(&leaves[half..]))
    } else {
        (audit(&leaves[half..], index - half), mth(&leaves[..half]))
    };
    within.into_iter().chain([beside]).collect()
}

impl Naive {
    fn apply(&mut self, changes: &Changes) {
        for (key, value) in changes {
            match value {
                Some(value) => {
                    if !self.keys.contains(key) {
                        self.keys.push(key.clone());
                    }
                    self.values.insert(key.clone(), value.clone());
                }
                None => drop(self.values.remove(key)),
            }
        }
    }

    fn leaves(&self) -> Vec<Hash> {
        let paths: Vec<Hash> = std::iter::once(NONE).chain(self.keys.iter().map(|key| sha(&[&[0x10], key]))).collect();
        let mut sorted = paths.clone();
        sorted.sort_unstable();
        let next: HashMap<Hash, Hash> = sorted.windows(2).map(|pair| (pair[0], pair[1])).collect();
        let hash = |at: usize, path: &Hash| {
            let value = at.checked_sub(1).and_then(|at| self.values.get(&self.keys[at]));
            let value = value.map_or(NONE, |value| sha(&[&[0x11], value]));
            sha(&[&[0], path, next.get(path).unwrap_or(&NONE), &value])
        };
        paths.iter().enumerate().map(|(at, path)| hash(at, path)).collect()
    }

    fn root(&self) -> StateRoot {
        let leaves = self.leaves();
        let size = u64::try_from(leaves.len()).unwrap();
        StateRoot::from_bytes(sha(&[&[0x12], &size.to_le_bytes(), &mth(&leaves)]))
    }
}

type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The changes as a writer takes them.
fn shared(changes: Changes) -> crate::state::Changes {
    changes.into_iter().map(|(key, value)| (key, value.map(Into::into))).collect()
}

fn block(height: u64, changes: Changes) -> BlockChanges {
    let ledger_root = TreeHash::from_bytes([u8::try_from(height % 251).unwrap(); 32]);
    BlockChanges { height, next_seq: height * 3 + 1, ledger_root, changes: shared(changes), rows: BTreeMap::new() }
}

fn key(number: u16) -> Vec<u8> {
    format!("case/{number}").into_bytes()
}

/// Changes of keys from a few, so that blocks meet again what they made, changed and removed.
fn changes(keys: u16, most: usize) -> impl Strategy<Value = Changes> {
    let value = prop_oneof![3 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Some), 1 => Just(None)];
    prop::collection::btree_map((0..keys).prop_map(key), value, 0..most)
}

/// Little memory, so that everything is read again from the store.
fn small() -> StateOptions {
    StateOptions { page_memory: 1 << 16, leaf_memory: 1 << 14, tile_memory: 1 << 17, ..StateOptions::default() }
}

fn check_key(state: &State, naive: &Naive, key: &[u8]) {
    let expected = naive.values.get(key).map(Vec::as_slice);
    assert_eq!(state.get(key).unwrap().as_deref(), expected);
    let proven = state.prove(key).unwrap();
    assert_eq!(proven.value.as_deref(), expected);
    assert_eq!(proven.applied, state.applied());
    proven.proof.verify(&naive.root(), key, expected).unwrap();
    assert_eq!(proven.proof.previous.is_none(), naive.keys.iter().any(|it| it == key));
    let index = usize::try_from(proven.proof.index).unwrap();
    let path: Vec<Hash> = proven.proof.audit_path.iter().map(|hash| hash.0).collect();
    assert_eq!(path, audit(&naive.leaves(), index), "as the RFC makes it");
}

/// A page that a disk spoiled shows when it is read: as an error, never as a panic, of which contracts would make a refusal.
#[test]
fn what_a_damaged_file_holds_is_read_or_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let (path, damaged) = (directory.path().join("state"), directory.path().join("damaged"));
    let (mut writer, _) = filled(&path);
    writer.commit().unwrap();
    drop(writer);
    let bytes = std::fs::read(&path).unwrap();
    let pages = (4096..bytes.len()).step_by(4096).flat_map(|page| [page, page + 2, page + 9, page + 40]);
    for at in pages {
        let mut altered = bytes.clone();
        altered[at] ^= 0x55;
        std::fs::write(&damaged, altered).unwrap();
        let Ok(mut writer) = StateWriter::open(&damaged, &small()) else { continue };
        let state = writer.reader();
        for number in 0..64 {
            let _ = (state.get(&key(number)), state.prove(&key(number)), state.root_at(u64::from(number)));
        }
        let _ = (state.row(b"row"), state.rows(b"", b"z", usize::MAX));
        let next = Changes::from([(key(7), Some(b"x".to_vec())), (key(60_000), Some(b"y".to_vec()))]);
        let height = state.applied().height + 1;
        let _ = (writer.apply(block(height, next)), writer.commit());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Blocks, commits and reopenings in any order give the roots, values and proofs of the definition.
    #[test]
    fn it_is_the_tree_that_the_definition_gives(
        blocks in prop::collection::vec((changes(400, 60), 0..6_u8), 1..14),
        ask in prop::collection::vec(0..440_u16, 12),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let mut writer = StateWriter::open(&path, &small()).unwrap();
        let mut naive = Naive::default();
        let mut roots = Vec::new();
        prop_assert_eq!(writer.reader().applied().root, naive.root());
        for (height, (changes, then)) in (0..).zip(blocks) {
            naive.apply(&changes);
            let root = writer.apply(block(height, changes)).unwrap();
            prop_assert_eq!(root, naive.root());
            roots.push(root);
            if then < 3 {
                writer.commit().unwrap();
                prop_assert_eq!(writer.dirty_bytes(), 0);
            }
            if then == 0 {
                drop(writer);
                writer = StateWriter::open(&path, &small()).unwrap();
                prop_assert_eq!(writer.reader().applied().height, height);
            }
            for number in &ask {
                check_key(&writer.reader(), &naive, &key(*number));
            }
        }
        for (height, root) in (0..).zip(roots) {
            prop_assert_eq!(writer.reader().root_at(height).unwrap(), Some(root));
        }
        prop_assert_eq!(writer.reader().root_at(99).unwrap(), None);
        prop_assert_eq!(writer.reader().leaf_count(), u64::try_from(naive.keys.len()).unwrap() + 1);
    }
}

/// Every size to beyond two levels of tiles, at the edges of tiles and between.
#[test]
fn it_grows_through_the_edges_of_tiles() {
    let mut writer = StateWriter::in_memory(&StateOptions::default()).unwrap();
    let mut naive = Naive::default();
    let mut made = 0;
    for (height, count) in [1, 1, 60, 1, 1, 1, 63, 2, 1900, 2066, 1, 1, 300].into_iter().enumerate() {
        let changes: Changes = (made..made + count).map(|it| (key(it), Some(vec![1; 9]))).collect();
        made += count;
        naive.keys.extend(changes.keys().cloned());
        naive.values.extend(changes.iter().map(|(key, value)| (key.clone(), value.clone().unwrap())));
        let height = u64::try_from(height).unwrap();
        assert_eq!(writer.apply(block(height, changes)).unwrap(), naive.root(), "{made} keys");
        if height % 2 == 0 {
            writer.commit().unwrap();
        }
    }
    for number in (0..made).step_by(331) {
        check_key(&writer.reader(), &naive, &key(number));
    }
}

/// A state of some keys, of which some were removed, and its file.
fn filled(path: &Path) -> (StateWriter, Naive) {
    let mut writer = StateWriter::open(path, &small()).unwrap();
    let mut naive = Naive::default();
    for height in 0..6 {
        let changes: Changes = (0..40_u16)
            .map(|at| (at * 7 + u16::try_from(height).unwrap() * 11) % 130)
            .map(|at| (key(at), (at % 9 != 4 || height == 0).then(|| key(at + 1))))
            .collect();
        naive.apply(&changes);
        assert_eq!(writer.apply(block(height, changes)).unwrap(), naive.root());
    }
    (writer, naive)
}

#[test]
fn what_was_not_made_durable_is_gone_and_can_be_applied_again() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("state"), directory.path().join("copy"));
    let (mut writer, _) = filled(&path);
    writer.commit().unwrap();
    let durable = writer.reader().applied();
    let more = block(6, [(key(900), Some(vec![1])), (key(3), None)].into());
    let root = writer.apply(more.clone()).unwrap();
    assert_eq!(writer.reader().applied().root, root);
    // As a power cut leaves it: the file of a writer that is still open.
    std::fs::copy(&path, &copy).unwrap();
    drop(writer);
    for path in [path, copy] {
        let mut writer = StateWriter::open(&path, &StateOptions { check: true, ..small() }).unwrap();
        assert_eq!(writer.reader().applied(), durable);
        assert_eq!(writer.reader().get(&key(900)).unwrap(), None);
        assert_eq!(writer.apply(more.clone()).unwrap(), root);
    }
}

#[test]
fn blocks_rise_and_sizes_are_bounded() {
    let mut writer = StateWriter::in_memory(&small()).unwrap();
    writer.apply(block(0, [(key(0), Some(Vec::new()))].into())).unwrap();
    writer.apply(block(5, [(key(1), Some(Vec::new()))].into())).unwrap();
    let before = writer.reader().applied();
    let refused = [
        (block(5, Changes::new()), "state.out_of_order"),
        (block(4, Changes::new()), "state.out_of_order"),
        (BlockChanges { next_seq: before.next_seq, ..block(6, Changes::new()) }, "state.out_of_order"),
        (BlockChanges { next_seq: 1 << 53, ..block(6, Changes::new()) }, "state.out_of_order"),
        (block(6, [(vec![0; KEY_SIZE_MAX + 1], None)].into()), "state.key_too_long"),
        (block(6, [(key(2), Some(vec![0; (1 << 20) + 1]))].into()), "state.value_too_large"),
        (
            BlockChanges { rows: [(vec![0; KEY_SIZE_MAX + 1], None)].into(), ..block(6, Changes::new()) },
            "state.key_too_long",
        ),
    ];
    for (block, code) in refused {
        assert_eq!(writer.apply(block).unwrap_err().code(), code);
        assert_eq!(writer.reader().applied(), before);
    }
    writer.apply(block(6, [(vec![0; KEY_SIZE_MAX], Some(vec![0; 1 << 20]))].into())).unwrap();
    writer.commit().unwrap();
    assert_eq!(writer.reader().get(&[0; KEY_SIZE_MAX]).unwrap().unwrap().len(), 1 << 20);
}

#[test]
fn files_are_private_opened_once_and_refused_when_foreign() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let (mut writer, _) = filled(&path);
    writer.commit().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(writer.reader().file_bytes().unwrap(), std::fs::metadata(&path).unwrap().len());
    assert_eq!(StateWriter::open(&path, &small()).unwrap_err().code(), "state.in_use");
    // Handles do not keep the file from being opened again.
    let reader = writer.reader();
    drop(writer);
    drop(StateWriter::open(&path, &small()).unwrap());
    assert_eq!(reader.get(&key(9999)).unwrap_err().code(), "state.closed");

    let foreign = directory.path().join("foreign");
    std::fs::write(&foreign, b"This is a letter, not a store of state.".repeat(300)).unwrap();
    let error = StateWriter::open(&foreign, &small()).unwrap_err();
    assert_eq!(error.code(), "state.damaged");
    assert!(error.to_string().contains("annals state rebuild"), "{error}");
    assert_eq!(StateWriter::open(directory.path(), &small()).unwrap_err().code(), "state.open");

    let other = directory.path().join("other");
    let database = redb::Database::create(&other).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(redb::TableDefinition::<u64, u64>::new("others")).unwrap();
    write.commit().unwrap();
    drop(database);
    assert_eq!(StateWriter::open(&other, &small()).unwrap_err().code(), "state.damaged");
    let others = redb::Database::open(&other).unwrap().begin_write().unwrap().list_tables().unwrap().count();
    assert_eq!(others, 1, "nothing was put beside them");
}

/// Whatever byte of the file is changed, and wherever it is cut: opening it is refused, or it says the root that it had.
#[test]
fn a_damaged_file_is_refused_or_right() {
    let directory = tempfile::tempdir().unwrap();
    let (path, damaged) = (directory.path().join("state"), directory.path().join("damaged"));
    let (mut writer, naive) = filled(&path);
    writer.commit().unwrap();
    drop(writer);
    let bytes = std::fs::read(&path).unwrap();
    let (mut refused, used) = (0, bytes.len());
    let places = (0..400).step_by(3).chain((400..used).step_by(used / 300));
    let altered = places.map(|at| {
        let mut altered = bytes.clone();
        altered[at] ^= 0x55;
        altered
    });
    let cut = [1, 63, 320, 4096, used / 2, used - 1].map(|length| bytes[..length].to_vec());
    for file in altered.chain(cut) {
        std::fs::write(&damaged, file).unwrap();
        for check in [false, true] {
            match StateWriter::open(&damaged, &StateOptions { check, ..small() }) {
                Ok(writer) => assert_eq!(writer.reader().applied().root, naive.root()),
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.code(), "state.damaged", "{error}");
                }
            }
        }
    }
    assert!(20 < refused, "{refused}");
}

proptest! {
    /// Rows of the host over those in the file, in every mixture, are those of a map.
    #[test]
    fn rows_are_those_of_a_map(
        blocks in prop::collection::vec(
            (prop::collection::btree_map(prop::collection::vec(0..4_u8, 0..3), prop::option::of(prop::collection::vec(any::<u8>(), 0..4)), 0..9), any::<bool>()),
            1..6,
        ),
        from in prop::collection::vec(0..5_u8, 0..3),
        to in prop::collection::vec(0..5_u8, 0..3),
        most in 0..9_usize,
    ) {
        let mut writer = StateWriter::in_memory(&small()).unwrap();
        let mut map = BTreeMap::new();
        for (height, (rows, commit)) in (0..).zip(blocks) {
            for (key, row) in &rows {
                match row {
                    Some(row) => drop(map.insert(key.clone(), row.clone())),
                    None => drop(map.remove(key)),
                }
            }
            let root = writer.reader().applied().root;
            prop_assert_eq!(writer.apply(BlockChanges { rows: shared(rows), ..block(height, Changes::new()) }).unwrap(), root);
            if commit {
                writer.commit().unwrap();
            }
            let expected = map.iter().filter(|(key, _)| from <= **key && **key < to).take(most);
            let expected: Vec<_> = expected.map(|(key, row)| (key.clone(), row.clone())).collect();
            prop_assert_eq!(writer.reader().rows(&from, &to, most).unwrap(), expected);
            let row = writer.reader().row(&from).unwrap();
            prop_assert_eq!(row.as_deref(), map.get(&from).map(Vec::as_slice));
        }
    }
}

/// Tells readers to stop, also when the writer fails.
struct Stop<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Readers in other threads see one block or the next, value and proof of the same, while blocks are applied and made durable.
#[test]
fn readers_see_whole_blocks() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = StateWriter::open(&directory.path().join("state"), &small()).unwrap();
    let (state, done) = (writer.reader(), std::sync::atomic::AtomicBool::new(false));
    let order = std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|scope| {
        for at in 0..3_u16 {
            let (state, done) = (state.clone(), &done);
            scope.spawn(move || {
                let mut looks = 0;
                while !done.load(order) || looks < 10 {
                    looks += 1;
                    let proven = state.prove(&key(at)).unwrap();
                    proven.proof.verify(&proven.applied.root, &key(at), proven.value.as_deref()).unwrap();
                    let height = proven.applied.ledger_root.map(|_| proven.applied.height.to_le_bytes().to_vec());
                    assert_eq!(proven.value.as_deref(), height.as_deref(), "all keys of a block say its height");
                    if height.is_some() {
                        let root = state.root_at(proven.applied.height).unwrap();
                        assert_eq!(root, Some(proven.applied.root));
                    }
                }
            });
        }
        let stop = Stop(&done);
        for height in 0..200_u64 {
            let old = (0..3).map(key);
            let new = (0..20).map(|at| format!("{height}/{at}").into_bytes());
            let value = |key| (key, Some(height.to_le_bytes().to_vec()));
            writer.apply(block(height, old.chain(new).map(value).collect())).unwrap();
            if height % 7 == 0 {
                writer.commit().unwrap();
            }
        }
        drop(stop);
    });
}
