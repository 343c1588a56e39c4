//! The tree against the values that Certificate Transparency publishes and against the RFC's own recursion.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use annals_core::hash::TreeHash;
use annals_core::proof::{consistency_path, inclusion_path, verify_consistency, verify_inclusion};
use annals_core::tree::{Frontier, empty_root, leaf_hash};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

/// The eight leaves of the reference tests of Certificate Transparency.
const LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];

/// The roots published for the first n of them.
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// MTH of RFC 9162 section 2.1.1, to the letter.
fn naive_root(leaves: &[Vec<u8>]) -> TreeHash {
    let hash = |parts: &[&[u8]]| TreeHash::from_bytes(Sha256::digest(parts.concat()).into());
    match leaves.len() {
        0 => hash(&[]),
        1 => hash(&[&[0], &leaves[0]]),
        n => {
            let k = n.next_power_of_two() / 2;
            hash(&[&[1], naive_root(&leaves[..k]).as_bytes(), naive_root(&leaves[k..]).as_bytes()])
        }
    }
}

/// PATH of RFC 9162 section 2.1.3.1, to the letter.
fn naive_path(m: usize, leaves: &[Vec<u8>]) -> Vec<TreeHash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (mut path, beside) = if m < k {
        (naive_path(m, &leaves[..k]), naive_root(&leaves[k..]))
    } else {
        (naive_path(m - k, &leaves[k..]), naive_root(&leaves[..k]))
    };
    path.push(beside);
    path
}

/// SUBPROOF of RFC 9162 section 2.1.4.1, to the letter.
fn naive_subproof(m: usize, leaves: &[Vec<u8>], whole: bool) -> Vec<TreeHash> {
    if m == leaves.len() {
        return if whole { Vec::new() } else { vec![naive_root(leaves)] };
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (mut path, beside) = if m <= k {
        (naive_subproof(m, &leaves[..k], whole), naive_root(&leaves[k..]))
    } else {
        (naive_subproof(m - k, &leaves[k..], false), naive_root(&leaves[..k]))
    };
    path.push(beside);
    path
}

fn hashes(leaves: &[Vec<u8>]) -> Vec<TreeHash> {
    leaves.iter().map(|leaf| leaf_hash(leaf)).collect()
}

fn frontier(hashes: &[TreeHash]) -> Frontier {
    let mut frontier = Frontier::new();
    hashes.iter().for_each(|hash| frontier.push(*hash));
    frontier
}

#[test]
fn published_roots_hold() {
    let mut frontier = Frontier::new();
    assert_eq!(frontier.root(), empty_root());
    for (n, root) in ROOTS.iter().enumerate() {
        assert_eq!(frontier.root().to_string(), *root, "{n} leaves");
        assert_eq!(Frontier::from_hashes(frontier.size(), frontier.hashes()).unwrap(), frontier);
        if let Some(leaf) = LEAVES.get(n) {
            frontier.push(leaf_hash(leaf));
        }
    }
}

#[test]
fn published_paths_hold() {
    let leaves: Vec<Vec<u8>> = LEAVES.iter().map(|leaf| leaf.to_vec()).collect();
    // Certificate Transparency's own test: leaf 5 (counted from 0) of 8.
    let expected = [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    let path = inclusion_path(&Frontier::new(), &hashes(&leaves), 5).unwrap();
    assert_eq!(path.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    // From 6 leaves to 8.
    let expected = [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    let path = consistency_path(&hashes(&leaves), 6).unwrap();
    assert_eq!(path.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn paths_are_the_rfcs(count in 1..70usize, before in any::<prop::sample::Index>(), at in any::<prop::sample::Index>()) {
        let leaves: Vec<Vec<u8>> = (0..count).map(|n| n.to_string().into_bytes()).collect();
        let hashes = hashes(&leaves);
        let root = naive_root(&leaves);
        let before = before.index(count);
        let index = before + at.index(count - before);
        let path = inclusion_path(&frontier(&hashes[..before]), &hashes[before..], index as u64).unwrap();
        prop_assert_eq!(&path, &naive_path(index, &leaves));
        prop_assert!(verify_inclusion(hashes[index], index as u64, count as u64, &path, root).is_ok());
        prop_assert_eq!(frontier(&hashes).root(), root);
        let old = 1 + before;
        let path = consistency_path(&hashes, old as u64).unwrap();
        prop_assert_eq!(&path, &naive_subproof(old, &leaves, true));
        prop_assert!(verify_consistency(old as u64, naive_root(&leaves[..old]), count as u64, root, &path).is_ok());
    }

    #[test]
    fn damaged_proofs_are_refused(count in 2..70usize, at in any::<prop::sample::Index>(), damage in 0..6usize, which in any::<prop::sample::Index>()) {
        let leaves: Vec<Vec<u8>> = (0..count).map(|n| n.to_string().into_bytes()).collect();
        let hashes = hashes(&leaves);
        let (root, index) = (naive_root(&leaves), at.index(count));
        let mut path = inclusion_path(&Frontier::new(), &hashes, index as u64).unwrap();
        let (mut leaf, mut place, mut size) = (hashes[index], index as u64, count as u64);
        let flip = |hash: &TreeHash| { let mut bytes = hash.to_bytes(); bytes[3] ^= 4; TreeHash::from_bytes(bytes) };
        match damage {
            0 => { let n = which.index(path.len()); path[n] = flip(&path[n]); }
            1 => path.push(hashes[0]),
            2 => { path.pop(); }
            3 => leaf = flip(&leaf),
            4 => place = (place + 1) % size,
            _ => size = size.next_power_of_two() * 2 + 1,
        }
        prop_assert!(verify_inclusion(leaf, place, size, &path, root).is_err());
        let old = 1 + which.index(count - 1);
        let mut path = consistency_path(&hashes, old as u64).unwrap();
        let (old_root, mut claimed) = (naive_root(&leaves[..old]), root);
        match damage {
            0 if !path.is_empty() => { let n = which.index(path.len()); path[n] = flip(&path[n]); }
            1 => path.push(hashes[0]),
            2 => { path.pop(); }
            _ => claimed = flip(&claimed),
        }
        prop_assert!(verify_consistency(old as u64, old_root, count as u64, claimed, &path).is_err());
    }
}
