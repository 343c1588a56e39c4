//! The nodes over the leaves of one block, kept so that proving one record does not hash the whole block again.
//!
//! A proof needs a node beside every step of the way from the leaf to the root. Kept are the nodes from [`CHUNK_SIZE`] leaves
//! upward: two hashes for so many records. What lies below is made again from the leaves of one chunk.
//!
//! ```text
//! level 8          o                 kept
//! level 7       o     o              kept
//! level 6     o   o o   o            kept: one for each chunk of 64 leaves
//! levels 0-5  ........               made again, of one chunk
//! ```
//!
//! Nodes lie where the whole ledger's tree has them: node `i` of level `l` is over the leaves from `i << l` to below
//! `(i + 1) << l`, or to the tree's end. One without a right neighbour is its own parent, which is RFC 9162's tree (section
//! 2.1.1). The first node of a level may reach below the block's first leaf; what is missing on its left is in the
//! frontier before the block, since the bits of the frontier's size name just those nodes.

use core::ops::Range;

use crate::hash::TreeHash;
use crate::tree::{Frontier, TreeError, node_hash};

/// Level of the lowest nodes that are kept.
const CHUNK_LEVEL: u32 = 6;
/// Leaves below one of them.
pub const CHUNK_SIZE: u64 = 1 << CHUNK_LEVEL;

/// The nodes over one block's leaves, in the tree that ends with the block.
#[derive(Clone, Debug)]
pub struct BlockNodes {
    first: u64,
    end: u64,
    /// From level 6 to the root, level by level.
    nodes: Box<[TreeHash]>,
}

/// One level's nodes.
#[derive(Clone, Copy, Debug)]
struct Row<'a> {
    level: u32,
    /// Index of the first node.
    first: u64,
    nodes: &'a [TreeHash],
}

/// How many nodes of a level are over the leaves from `first` to below `end`.
const fn width(first: u64, end: u64, level: u32) -> u64 {
    ((end - 1) >> level) - (first >> level) + 1
}

impl Row<'_> {
    /// A node of this level; none behind the last. On the left of the first it is in the frontier.
    fn node(&self, before: &Frontier, index: u64) -> Option<TreeHash> {
        if let Some(at) = index.checked_sub(self.first) {
            return self.nodes.get(usize::try_from(at).ok()?).copied();
        }
        let above = before.size().checked_shr(self.level + 1).unwrap_or(0).count_ones();
        before.hashes().get(above as usize).copied()
    }

    /// The nodes above these.
    fn parents(&self, before: &Frontier) -> Option<Vec<TreeHash>> {
        let last = self.first + (self.nodes.len() as u64).checked_sub(1)?;
        let parent = |index: u64| {
            let left = self.node(before, 2 * index)?;
            Some(self.node(before, 2 * index + 1).map_or(left, |right| node_hash(&left, &right)))
        };
        (self.first >> 1..=last >> 1).map(parent).collect()
    }

    /// The node beside one of these; none if there is none.
    fn beside(&self, before: &Frontier, index: u64) -> Option<TreeHash> {
        self.node(before, index ^ 1)
    }
}

impl BlockNodes {
    /// The nodes over a block's leaves, behind the frontier before them; none without leaves.
    pub fn new(before: &Frontier, leaves: &[TreeHash]) -> Option<Self> {
        let (first, end) = (before.size(), before.size() + leaves.len() as u64);
        if leaves.is_empty() {
            return None;
        }
        let mut row = leaves.to_vec();
        let mut nodes = Vec::new();
        let mut level = 0;
        loop {
            if CHUNK_LEVEL <= level {
                nodes.extend_from_slice(&row);
            }
            if CHUNK_LEVEL <= level && (end - 1) >> level == 0 {
                return Some(Self { first, end, nodes: nodes.into() });
            }
            row = Row { level, first: first >> level, nodes: &row }.parents(before)?;
            level += 1;
        }
    }

    /// Root of the tree that ends with the block.
    pub fn root(&self) -> Option<TreeHash> {
        self.nodes.last().copied()
    }

    /// The leaves that a proof of one of them is made of: seqs of the block's records.
    pub fn needed(&self, index: u64) -> Range<u64> {
        let chunk = index >> CHUNK_LEVEL << CHUNK_LEVEL;
        chunk.max(self.first)..chunk.saturating_add(CHUNK_SIZE).min(self.end)
    }

    /// The audit path, leaf to root, of the leaf `index`; `leaves` are those that are [`BlockNodes::needed`].
    ///
    /// # Errors
    ///
    /// [`TreeError::Index`] if the leaf is none of the block, or other leaves are given than needed.
    pub fn path(&self, before: &Frontier, leaves: &[TreeHash], index: u64) -> Result<Vec<TreeHash>, TreeError> {
        let missing = TreeError::Index { index, first: self.first, end: self.end };
        let needed = self.needed(index);
        let is_here = self.first <= index && index < self.end && before.size() == self.first;
        if !is_here || needed.end - needed.start != leaves.len() as u64 {
            return Err(missing);
        }
        let mut path = Vec::with_capacity(FRONTIER_LEVELS);
        let mut below = leaves.to_vec();
        for level in 0..CHUNK_LEVEL {
            let row = Row { level, first: needed.start >> level, nodes: &below };
            path.extend(row.beside(before, index >> level));
            below = row.parents(before).ok_or(missing)?;
        }
        let (mut level, mut rest) = (CHUNK_LEVEL, &*self.nodes);
        while 0 < (self.end - 1) >> level {
            let count = usize::try_from(width(self.first, self.end, level)).map_err(|_| missing)?;
            let (nodes, above) = rest.split_at_checked(count).ok_or(missing)?;
            path.extend(Row { level, first: self.first >> level, nodes }.beside(before, index >> level));
            (level, rest) = (level + 1, above);
        }
        Ok(path)
    }

    /// Bytes that the nodes of a block take in memory, for a block of so many records in a tree of so many.
    pub fn memory_size(record_count: usize, tree_size: u64) -> usize {
        // A level has half as many nodes as the one below, and at least one or two.
        let levels = u64::BITS - tree_size.leading_zeros();
        size_of::<Self>() + 32 * ((record_count >> (CHUNK_LEVEL - 1)) + 2 * levels as usize)
    }
}

/// Most nodes of a path in a tree that is not extraordinarily large; a longer one moves once.
const FRONTIER_LEVELS: usize = 40;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]
    use super::*;
    use crate::proof::{inclusion_path, verify_inclusion};
    use crate::tree::leaf_hash;
    use proptest::prelude::*;

    fn leaves(from: u64, count: u64) -> Vec<TreeHash> {
        (from..from + count).map(|seq| leaf_hash(&seq.to_le_bytes())).collect()
    }

    fn check(before_size: u64, count: u64) {
        let mut before = Frontier::new();
        leaves(0, before_size).iter().for_each(|leaf| before.push(*leaf));
        let leaves = leaves(before_size, count);
        let mut after = before.clone();
        leaves.iter().for_each(|leaf| after.push(*leaf));
        let nodes = BlockNodes::new(&before, &leaves).unwrap();
        assert_eq!(nodes.root(), Some(after.root()), "{count} behind {before_size}");
        let most = BlockNodes::memory_size(count as usize, before_size + count);
        assert!(size_of::<BlockNodes>() + 32 * nodes.nodes.len() <= most, "{} nodes", nodes.nodes.len());
        for (at, leaf) in leaves.iter().enumerate() {
            let index = before_size + at as u64;
            let needed = nodes.needed(index);
            assert!(needed.contains(&index) && needed.end - needed.start <= CHUNK_SIZE);
            let some = &leaves[(needed.start - before_size) as usize..(needed.end - before_size) as usize];
            let path = nodes.path(&before, some, index).unwrap();
            // The RFC's own recursion, from all leaves.
            assert_eq!(
                path,
                inclusion_path(&before, &leaves, index).unwrap(),
                "{index} of {count} behind {before_size}"
            );
            verify_inclusion(*leaf, index, before_size + count, &path, after.root()).unwrap();
            assert!(nodes.path(&before, &some[1..], index).is_err(), "other leaves than needed");
        }
        for outside in [before_size.wrapping_sub(1), before_size + count, u64::MAX >> 1] {
            assert!(nodes.path(&before, &leaves[..leaves.len().min(64)], outside).is_err());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn paths_are_those_of_the_rfc(before in 0..3000_u64, count in 1..400_u64) {
            check(before, count);
        }
    }

    #[test]
    fn paths_are_right_around_every_boundary() {
        for before in [0, 1, 2, 63, 64, 65, 127, 128, 1023, 1024, 1025, 4095] {
            for count in [1, 2, 3, 62, 63, 64, 65, 127, 128, 129, 1100] {
                check(before, count);
            }
        }
        assert!(BlockNodes::new(&Frontier::new(), &[]).is_none());
    }
}
