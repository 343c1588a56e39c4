//! Proofs that hold, and everything near them that must not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::state::{BlockChanges, StateOptions, StateWriter};
use annals::TreeHash;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn key(number: u64) -> Vec<u8> {
    format!("title/{number}").into_bytes()
}

/// A state of so many keys; every seventh had its value removed.
fn state(keys: u64) -> StateWriter {
    let mut writer = StateWriter::in_memory(&StateOptions::default()).unwrap();
    let block = |height, changes| {
        let (ledger_root, rows) = (TreeHash::ZERO, BTreeMap::new());
        BlockChanges { height, next_seq: height + 1, ledger_root, changes, rows }
    };
    let all: BTreeMap<_, _> = (0..keys).map(|at| (key(at), Some(key(at + 1).into()))).collect();
    writer.apply(block(0, all)).unwrap();
    writer.apply(block(1, (0..keys).step_by(7).map(|at| (key(at), None)).collect())).unwrap();
    writer
}

/// What a proof can be made to say otherwise.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Size(u64),
    Index(u64),
    Next,
    Path,
    ValueHash,
    Audit(prop::sample::Index),
    Shorter,
    Longer,
    Swapped,
    OtherKind,
    NoNext,
}

fn damages() -> impl Strategy<Value = Damage> {
    prop_oneof![
        any::<u64>().prop_map(Damage::Size),
        (0..200_u64).prop_map(Damage::Size),
        any::<u64>().prop_map(Damage::Index),
        (0..200_u64).prop_map(Damage::Index),
        Just(Damage::Next),
        Just(Damage::Path),
        Just(Damage::ValueHash),
        any::<prop::sample::Index>().prop_map(Damage::Audit),
        Just(Damage::Shorter),
        Just(Damage::Longer),
        Just(Damage::Swapped),
        Just(Damage::OtherKind),
        Just(Damage::NoNext),
    ]
}

/// The proof with one thing changed; none if it then says the same.
fn damaged(proof: &StateProof, damage: Damage, at: usize, bit: u8) -> Option<StateProof> {
    let mut other = proof.clone();
    let flip = |hash: &mut Sha256Hash| hash.0[at % 32] ^= 1 << (bit % 8);
    match damage {
        Damage::Size(size) => other.size = size,
        Damage::Index(index) => other.index = index,
        Damage::Next => flip(&mut other.next),
        Damage::NoNext => other.next.0 = NONE,
        Damage::Path => flip(&mut other.previous.as_mut()?.path),
        Damage::ValueHash => flip(&mut other.previous.as_mut()?.value_hash),
        Damage::Audit(place) if !other.audit_path.is_empty() => {
            let place = place.index(other.audit_path.len());
            flip(&mut other.audit_path[place]);
        }
        Damage::Shorter | Damage::Audit(_) => drop(other.audit_path.pop()),
        Damage::Longer => other.audit_path.extend([Sha256Hash([bit; 32])]),
        Damage::Swapped => other.audit_path.reverse(),
        Damage::OtherKind => {
            let previous = PreviousLeaf { path: Sha256Hash(NONE), value_hash: Sha256Hash(NONE) };
            other.previous = if other.previous.is_some() { None } else { Some(previous) };
        }
    }
    (other != *proof).then_some(other)
}

proptest! {
    #[test]
    fn what_is_damaged_proves_nothing(
        keys in 0..180_u64, asked in 0..200_u64, damage in damages(), at in 0..32_usize, bit in 0..8_u8, other in 0..200_u64,
    ) {
        let proven = state(keys).reader().prove(&key(asked)).unwrap();
        let (root, value) = (proven.applied.root, proven.value.as_deref());
        prop_assert_eq!(value.is_some(), asked < keys && asked % 7 != 0);
        prop_assert_eq!(proven.proof.verify(&root, &key(asked), value), Ok(()));
        if let Some(other) = damaged(&proven.proof, damage, at, bit) {
            prop_assert!(other.verify(&root, &key(asked), value).is_err(), "{damage:?}");
            // Nor does it prove what is not so.
            let wrong = if value.is_some() { None } else { Some(&b"forged"[..]) };
            prop_assert!(other.verify(&root, &key(asked), wrong).is_err(), "{damage:?}");
        }
        prop_assert!(proven.proof.verify(&root, &key(asked), Some(b"forged")).is_err());
        if value.is_some() {
            prop_assert!(proven.proof.verify(&root, &key(asked), None).is_err());
        }
        let mut bytes = *root.as_bytes();
        bytes[at] ^= 1 << bit;
        prop_assert!(proven.proof.verify(&StateRoot::from_bytes(bytes), &key(asked), value).is_err());
        // Another key's proof may say that both have none, and nothing else.
        if other != asked && proven.proof.verify(&root, &key(other), value).is_ok() {
            prop_assert!(proven.proof.previous.is_some() && value.is_none() && keys <= other);
        }
    }

    /// No leaf can be used to deny that a key has a value.
    #[test]
    fn no_other_leaf_denies_a_value(keys in 1..60_u64, asked in 0..60_u64) {
        prop_assume!(asked < keys && asked % 7 != 0);
        let writer = state(keys);
        let state = writer.reader();
        for other in (0..keys + 40).filter(|other| *other != asked) {
            let proven = state.prove(&key(other)).unwrap();
            let own = PreviousLeaf {
                path: Sha256Hash(path_of(&key(other))),
                value_hash: Sha256Hash(value_hash(proven.value.as_deref())),
            };
            for previous in [proven.proof.previous, proven.proof.previous.is_none().then_some(own)] {
                let proof = StateProof { previous, ..proven.proof.clone() };
                prop_assert!(proof.verify(&proven.applied.root, &key(asked), None).is_err());
            }
        }
    }

    #[test]
    fn its_json_says_all_of_it(keys in 0..180_u64, asked in 0..200_u64) {
        let proof = state(keys).reader().prove(&key(asked)).unwrap().proof;
        let json = serde_json::to_string(&proof).unwrap();
        prop_assert_eq!(&serde_json::from_str::<StateProof>(&json).unwrap(), &proof);
    }
}

/// More hashes than any tree needs are refused before one is hashed, and numbers of no tree before anything.
#[test]
fn work_is_bounded() {
    let proven = state(9).reader().prove(b"nothing").unwrap();
    let mut proof = proven.proof.clone();
    proof.audit_path = vec![Sha256Hash(NONE); 65];
    assert_eq!(proof.verify(&proven.applied.root, b"nothing", None), Err(StateProofError::Length(65)));
    proof = proven.proof.clone();
    proof.audit_path.truncate(3);
    assert_eq!(proof.verify(&proven.applied.root, b"nothing", None), Err(StateProofError::Length(3)));
    for (size, index) in [(0, 0), (9, 9), (u64::MAX, 0), (1 << 53, 0)] {
        let proof = StateProof { size, index, ..proven.proof.clone() };
        let code = proof.verify(&proven.applied.root, b"nothing", None).unwrap_err().code();
        assert_eq!(code, "state_proof.index", "{size} {index}");
    }
    assert_eq!(proven.proof.verify(&proven.applied.root, b"nothing", Some(b"")), Err(StateProofError::NoValue));
    for json in ["{}", "null", r#"{"size":1,"index":0,"next":"","audit_path":[]}"#] {
        assert!(serde_json::from_str::<StateProof>(json).is_err());
    }
    let json = serde_json::to_value(&proven.proof).unwrap();
    let mut null = json.clone();
    null["previous"] = serde_json::Value::Null;
    assert!(serde_json::from_value::<StateProof>(null).is_err(), "one form: what is not there is left out");
    let mut more = json;
    more["extra"] = 1.into();
    assert!(serde_json::from_value::<StateProof>(more).is_err());
}
