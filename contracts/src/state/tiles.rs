//! The tree's nodes, in tiles: subtrees of six levels, and what is made of them.
//!
//! A tile of level `l` and number `t` holds the nodes of the tree's levels `6l` to `6l + 5` above (and including) its 64 lowest,
//! whose first is node `64t` of level `6l`. That is 126 hashes, one page of the store. Only nodes are kept whose subtree is
//! complete; what stands above the right edge of an unbalanced tree is hashed when it is needed, from at most one node a level.
//! An update takes each tile once and hashes what changed in it level by level, so the keys of a block share what is above them.
//!
//! Source of the tree's shape, its root and its audit paths: RFC 6962, section 2.1.

use super::error::StateError;
use super::hash::{Hash, NONE, leaf_hash, node_hash};

/// Levels of a tile.
const HEIGHT: u32 = 6;
/// Nodes of a tile's lowest level.
const WIDTH: usize = 1 << HEIGHT;
/// Hashes of a tile: of all its levels, without the root, which is in the tile above.
const NODE_COUNT: usize = 2 * WIDTH - 2;
/// Bytes of a tile as it is stored.
pub(super) const TILE_SIZE: usize = NODE_COUNT * 32;
/// Levels of tiles that a tree below 2^53 leaves can have.
const LEVELS_MAX: u64 = 9;

/// Which tile.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct TileId {
    /// Level of tiles, 0 at the leaves.
    level: u64,
    /// Its place in the level.
    number: u64,
}

impl TileId {
    /// Its key in the store: tiles of a level lie side by side.
    pub(super) const fn key(self) -> u64 {
        self.level << 56 | self.number
    }
}

/// The nodes of a subtree of six levels, lowest first. Places of nodes that are not complete are zero.
#[derive(Clone)]
pub(super) struct Tile([Hash; NODE_COUNT]);

impl Tile {
    pub(super) const fn new() -> Self {
        Self([NONE; NODE_COUNT])
    }

    /// The tile of a tree that holds its sentinel alone.
    pub(super) fn of_sentinel() -> (TileId, Self) {
        let mut tile = Self::new();
        tile.set(0, 0, leaf_hash(&NONE, &NONE, &NONE));
        (TileId { level: 0, number: 0 }, tile)
    }

    /// Reads a stored tile.
    pub(super) fn from_bytes(bytes: &[u8; TILE_SIZE]) -> Self {
        let mut tile = Self::new();
        for (to, from) in tile.0.iter_mut().zip(bytes.as_chunks::<32>().0) {
            *to = *from;
        }
        tile
    }

    /// The bytes to store.
    pub(super) fn to_bytes(&self) -> [u8; TILE_SIZE] {
        let mut bytes = [0; TILE_SIZE];
        for (to, from) in bytes.as_chunks_mut::<32>().0.iter_mut().zip(&self.0) {
            *to = *from;
        }
        bytes
    }

    /// Where a node of one of the levels is: behind all lower levels.
    const fn place(height: u32, at: usize) -> usize {
        2 * WIDTH - ((2 * WIDTH) >> height) + at
    }

    fn node(&self, height: u32, at: usize) -> Hash {
        self.0.get(Self::place(height, at)).copied().unwrap_or(NONE)
    }

    fn set(&mut self, height: u32, at: usize, hash: Hash) {
        if let Some(node) = self.0.get_mut(Self::place(height, at)) {
            *node = hash;
        }
    }

    /// Puts nodes in its lowest level, of which `count` are there then, and hashes what is above them. Gives the root if the tile
    /// is full.
    fn update(&mut self, nodes: &[(u64, Hash)], count: usize) -> Option<Hash> {
        let mut dirty = 0_u64;
        for (index, hash) in nodes {
            let at = place_in_tile(*index, HEIGHT);
            self.set(0, at, *hash);
            dirty |= 1 << at;
        }
        for height in 1..HEIGHT {
            let complete = count >> height;
            let mut parents = 0_u64;
            while dirty != 0 {
                let at = dirty.trailing_zeros() as usize / 2;
                dirty &= !(0b11 << (2 * at));
                if at < complete {
                    let hash = node_hash(&self.node(height - 1, 2 * at), &self.node(height - 1, 2 * at + 1));
                    self.set(height, at, hash);
                    parents |= 1 << at;
                }
            }
            dirty = parents;
        }
        (count == WIDTH).then(|| node_hash(&self.node(HEIGHT - 1, 0), &self.node(HEIGHT - 1, 1)))
    }
}

/// The place of a node in its tile, if its level has `bits` bits of places there.
fn place_in_tile(index: u64, bits: u32) -> usize {
    let place = index & ((1 << bits) - 1);
    usize::try_from(place).unwrap_or_default()
}

/// Whatever has a tree's tiles.
pub(super) trait Tiles {
    /// The hash of a node; it is complete.
    fn with_tile<T>(&self, id: TileId, read: impl FnOnce(&Tile) -> T) -> Result<T, StateError>;
}

/// A tree that is being changed.
pub(super) trait TilesMut: Tiles {
    /// The tile, to be changed; a new one if there is none yet.
    fn change(&mut self, id: TileId, exists: bool) -> Result<&mut Tile, StateError>;
}

/// Puts leaves, sorted by index, in a tree that then has `leaf_count` of them, and hashes what is above them once.
pub(super) fn put_leaves(
    tiles: &mut impl TilesMut,
    leaves: Vec<(u64, Hash)>,
    before: u64,
    leaf_count: u64,
) -> Result<(), StateError> {
    let mut nodes = leaves;
    for level in 0..LEVELS_MAX {
        let (had, have) = (before >> (HEIGHT as u64 * level), leaf_count >> (HEIGHT as u64 * level));
        let mut parents = Vec::with_capacity(nodes.len() / WIDTH + 1);
        for group in nodes.chunk_by(|a, b| a.0 >> HEIGHT == b.0 >> HEIGHT) {
            let Some((first, _)) = group.first() else { continue };
            let (number, start) = (first >> HEIGHT, first >> HEIGHT << HEIGHT);
            let count = usize::try_from(have - start).unwrap_or(WIDTH).min(WIDTH);
            let tile = tiles.change(TileId { level, number }, start < had)?;
            parents.extend(tile.update(group, count).map(|root| (number, root)));
        }
        if parents.is_empty() {
            break;
        }
        nodes = parents;
    }
    Ok(())
}

/// A complete node of the tree.
fn node(tiles: &impl Tiles, height: u32, index: u64) -> Result<Hash, StateError> {
    let (level, within) = (u64::from(height / HEIGHT), height % HEIGHT);
    let bits = HEIGHT - within;
    tiles.with_tile(TileId { level, number: index >> bits }, |tile| tile.node(within, place_in_tile(index, bits)))
}

/// The hash over the leaves from `from` to the tree's end, made of the complete subtrees that the bits of their number name.
fn right_edge(tiles: &impl Tiles, from: u64, leaf_count: u64) -> Result<Hash, StateError> {
    let mut edge = None;
    let mut bits = leaf_count - from;
    while bits != 0 {
        let height = bits.trailing_zeros();
        bits &= bits - 1;
        let peak = node(tiles, height, (leaf_count >> height) - 1)?;
        edge = Some(edge.map_or(peak, |right| node_hash(&peak, &right)));
    }
    Ok(edge.unwrap_or(NONE))
}

/// The root of the tree; of at least one leaf.
pub(super) fn tree_root(tiles: &impl Tiles, leaf_count: u64) -> Result<Hash, StateError> {
    right_edge(tiles, 0, leaf_count)
}

/// The hashes beside a leaf's way to the root, lowest first.
pub(super) fn audit_path(tiles: &impl Tiles, index: u64, leaf_count: u64) -> Result<Vec<Hash>, StateError> {
    let mut path = Vec::with_capacity(64);
    let mut height = 0;
    while 1 << height < leaf_count {
        let sibling = index >> height ^ 1;
        let (from, to) = (sibling << height, (sibling + 1) << height);
        if to <= leaf_count {
            path.push(node(tiles, height, sibling)?);
        } else if from < leaf_count {
            path.push(right_edge(tiles, from, leaf_count)?);
        }
        height += 1;
    }
    Ok(path)
}
