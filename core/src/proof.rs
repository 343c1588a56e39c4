//! Inclusion and consistency proofs of the tree, made and verified as RFC 9162 sections 2.1.3 and 2.1.4 say.
//!
//! [`inclusion_path`] needs the frontier before a block and the block's leaves, no more (see [`crate::tree`]).
//! [`consistency_path`] takes all leaves and is for tools and tests. Verification allocates nothing.

use crate::hash::TreeHash;
use crate::limits::NUMBER_MAX;
use crate::tree::{Frontier, TreeError, empty_root, node_hash};

/// A tree known from the frontier before some leaves, and these leaves.
#[derive(Debug)]
struct Tail<'a> {
    before: &'a Frontier,
    leaves: &'a [TreeHash],
}

impl Tail<'_> {
    /// Hash of the subtree over leaves `start..end`, which the RFC's recursion asks for. `None` if it would need a
    /// node inside the frontier's subtrees.
    fn hash(&self, start: u64, end: u64) -> Option<TreeHash> {
        let from = self.before.size();
        if end <= from {
            return self.frontier_hash(start, end);
        }
        if end - start == 1 {
            return self.leaves.get(usize::try_from(start - from).ok()?).copied();
        }
        let middle = start + split(end - start);
        Some(node_hash(&self.hash(start, middle)?, &self.hash(middle, end)?))
    }

    fn frontier_hash(&self, start: u64, end: u64) -> Option<TreeHash> {
        let mut first = 0;
        for (bit, hash) in
            (0..u64::BITS).rev().filter(|bit| self.before.size() >> bit & 1 == 1).zip(self.before.hashes())
        {
            if (first, first + (1 << bit)) == (start, end) {
                return Some(*hash);
            }
            first += 1 << bit;
        }
        None
    }
}

/// The largest power of two below `size`, which is at least 2.
const fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The audit path, leaf to root, of the leaf `index` in the tree of `before` and `leaves` behind it.
///
/// # Errors
///
/// [`TreeError::Index`] if the leaf is none of `leaves`.
pub fn inclusion_path(before: &Frontier, leaves: &[TreeHash], index: u64) -> Result<Vec<TreeHash>, TreeError> {
    let (first, end) = (before.size(), before.size() + leaves.len() as u64);
    let missing = TreeError::Index { index, first, end };
    if index < first || end <= index {
        return Err(missing);
    }
    let tail = Tail { before, leaves };
    let mut path = Vec::new();
    let (mut from, mut to) = (0, end);
    while 1 < to - from {
        let middle = from + split(to - from);
        let beside = if index < middle { tail.hash(middle, to) } else { tail.hash(from, middle) };
        path.push(beside.ok_or(missing)?);
        (from, to) = if index < middle { (from, middle) } else { (middle, to) };
    }
    path.reverse();
    Ok(path)
}

/// Verifies an audit path (RFC 9162 section 2.1.3.2).
///
/// # Errors
///
/// [`TreeError`] if the path does not lead from the leaf to the root.
pub fn verify_inclusion(
    leaf: TreeHash,
    index: u64,
    size: u64,
    path: &[TreeHash],
    root: TreeHash,
) -> Result<(), TreeError> {
    let got = inclusion_root(leaf, index, size, path)?;
    if got == root { Ok(()) } else { Err(TreeError::Root { expected: root, got }) }
}

/// The root to which an audit path leads from the leaf `index` of a tree of `size` (RFC 9162 section 2.1.3.2).
///
/// # Errors
///
/// [`TreeError`] if there is no such leaf, or the path has another length than its tree needs.
pub fn inclusion_root(leaf: TreeHash, index: u64, size: u64, path: &[TreeHash]) -> Result<TreeHash, TreeError> {
    if NUMBER_MAX < size {
        return Err(TreeError::Size(size));
    }
    if size <= index {
        return Err(TreeError::Index { index, first: 0, end: size });
    }
    let length = TreeError::Length { got: path.len() };
    let (mut node, mut last, mut got) = (index, size - 1, leaf);
    for beside in path {
        if last == 0 {
            return Err(length);
        }
        if node & 1 == 1 || node == last {
            got = node_hash(beside, &got);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            got = node_hash(&got, beside);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 { Ok(got) } else { Err(length) }
}

/// The consistency proof from the tree of the first `old_size` leaves to the tree of all of them (RFC 9162
/// section 2.1.4.1); empty if both are one tree.
///
/// # Errors
///
/// [`TreeError::Index`] if `old_size` is 0 or above the number of leaves.
pub fn consistency_path(leaves: &[TreeHash], old_size: u64) -> Result<Vec<TreeHash>, TreeError> {
    let size = leaves.len() as u64;
    let missing = TreeError::Index { index: old_size, first: 1, end: size + 1 };
    if old_size == 0 || size < old_size {
        return Err(missing);
    }
    let empty = Frontier::new();
    let tail = Tail { before: &empty, leaves };
    let mut path = Vec::new();
    let (mut from, mut to, mut whole) = (0, size, true);
    while old_size != to {
        let middle = from + split(to - from);
        let beside = if old_size <= middle { tail.hash(middle, to) } else { tail.hash(from, middle) };
        path.push(beside.ok_or(missing)?);
        (from, to, whole) = if old_size <= middle { (from, middle, whole) } else { (middle, to, false) };
    }
    if !whole {
        path.push(tail.hash(from, to).ok_or(missing)?);
    }
    path.reverse();
    Ok(path)
}

/// Verifies a consistency proof (RFC 9162 section 2.1.4.2).
///
/// # Errors
///
/// [`TreeError`] if the path does not show the old tree to be the beginning of the new one.
pub fn verify_consistency(
    old_size: u64,
    old_root: TreeHash,
    new_size: u64,
    new_root: TreeHash,
    path: &[TreeHash],
) -> Result<(), TreeError> {
    if NUMBER_MAX < new_size || new_size < old_size {
        return Err(TreeError::Size(new_size));
    }
    let length = TreeError::Length { got: path.len() };
    if old_size == 0 || old_size == new_size {
        let expected = if old_size == 0 { empty_root() } else { new_root };
        return match (path.is_empty(), old_root == expected) {
            (false, _) => Err(length),
            (true, true) => Ok(()),
            (true, false) => Err(TreeError::Root { expected: old_root, got: expected }),
        };
    }
    let whole = old_size.is_power_of_two().then_some(old_root);
    let mut hashes = whole.iter().chain(path);
    let first = *hashes.next().ok_or(length)?;
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    let shift = node.trailing_ones();
    node >>= shift;
    last >>= shift;
    let (mut old, mut new) = (first, first);
    for beside in hashes {
        if last == 0 {
            return Err(length);
        }
        if node & 1 == 1 || node == last {
            old = node_hash(beside, &old);
            new = node_hash(beside, &new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, beside);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(length);
    }
    for (expected, got) in [(old_root, old), (new_root, new)] {
        if got != expected {
            return Err(TreeError::Root { expected, got });
        }
    }
    Ok(())
}
