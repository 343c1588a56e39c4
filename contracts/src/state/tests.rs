//! State as a whole, against a tree that is built anew each time from a list in the order of creation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use super::hash::{Hash, NONE};
use super::*;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

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

fn block(height: u64, changes: Changes) -> BlockChanges {
    let ledger_root = TreeHash::from_bytes([u8::try_from(height % 251).unwrap(); 32]);
    BlockChanges { height, next_seq: height * 3 + 1, ledger_root, changes, rows: BTreeMap::new() }
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
