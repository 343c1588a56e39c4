//! The state as it is now: what the store has, and over it what was applied since.
//!
//! One writer changes it, under a lock that it takes only to publish what it has worked out; readers hold the lock shared while
//! they read. What is read from the store is put in the caches under that same lock, so nothing older than the view gets there.

use super::cache::Cache;
use super::error::StateError;
use super::hash::{Hash, NONE, StateRoot, path_of, value_hash};
use super::store::{Found, Snapshot, decode_root};
use super::tiles::{TILE_SIZE, Tile, TileId, Tiles};
use super::{Applied, StateOptions};
use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes that a thing in a map takes beside its own: the entry, the counts, what allocation adds.
const OVERHEAD: usize = 192;

/// A key, its value, and its place in both orders.
#[derive(Clone)]
pub(super) struct Leaf {
    /// Its place in the order of creation.
    pub(super) index: u64,
    /// The path after its own; zero after the largest.
    pub(super) next: Hash,
    /// Hash of the value; zero if there is none.
    pub(super) value_hash: Hash,
    /// The key.
    pub(super) key: Arc<[u8]>,
    /// The value, if it still has one.
    pub(super) value: Option<Arc<[u8]>>,
}

impl Leaf {
    /// The leaf before all keys.
    pub(super) fn sentinel() -> Self {
        Self { index: 0, next: NONE, value_hash: NONE, key: Arc::from([]), value: None }
    }

    /// A leaf of a key that has or had a value.
    pub(super) fn new(index: u64, next: Hash, key: Arc<[u8]>, value: Option<Arc<[u8]>>) -> Self {
        Self { index, next, value_hash: value_hash(value.as_deref()), key, value }
    }

    /// Its row in the store.
    pub(super) fn encode(&self) -> Vec<u8> {
        let value = self.value.as_deref().unwrap_or_default();
        let mut row = Vec::with_capacity(34 + self.key.len() + value.len());
        row.extend_from_slice(&self.value_hash);
        row.extend_from_slice(&u16::try_from(self.key.len()).unwrap_or(u16::MAX).to_le_bytes());
        row.extend_from_slice(&self.key);
        row.extend_from_slice(value);
        row
    }

    /// Reads a row of the store.
    pub(super) fn decode(index: u64, next: Hash, row: &[u8]) -> Option<Self> {
        let (hash, rest) = row.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (key, value) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        let value = (*hash != NONE).then(|| value.into());
        Some(Self { index, next, value_hash: *hash, key: key.into(), value })
    }

    /// Bytes of memory, about.
    pub(super) fn size(&self) -> usize {
        self.key.len() + self.value.as_deref().map_or(0, <[u8]>::len) + OVERHEAD
    }
}

/// A leaf that differs from the store's.
#[derive(Clone)]
pub(super) struct Dirty {
    /// The leaf.
    pub(super) leaf: Arc<Leaf>,
    /// Whether its row differs too, not only what comes after it.
    pub(super) row: bool,
}

/// What the store has, and over it what was applied since.
pub(super) struct View {
    pub(super) applied: Applied,
    pub(super) leaf_count: u64,
    pub(super) snapshot: Arc<Snapshot>,
    /// Leaves that differ, by path.
    pub(super) leaves: HashMap<Hash, Dirty>,
    /// Paths that are not in the store, in order, with their index.
    pub(super) fresh: BTreeMap<Hash, u64>,
    pub(super) tiles: HashMap<TileId, Arc<Tile>>,
    pub(super) rows: BTreeMap<Vec<u8>, Option<Arc<[u8]>>>,
    /// Rows of the store's `roots`, by height.
    pub(super) roots: BTreeMap<u64, [u8; 72]>,
    /// Bytes of memory that all this takes, about.
    pub(super) dirty_bytes: usize,
}

impl View {
    /// What the store has and nothing over it.
    pub(super) fn of(snapshot: Snapshot, applied: Applied, leaf_count: u64) -> Self {
        Self {
            applied,
            leaf_count,
            snapshot: Arc::new(snapshot),
            leaves: HashMap::new(),
            fresh: BTreeMap::new(),
            tiles: HashMap::new(),
            rows: BTreeMap::new(),
            roots: BTreeMap::new(),
            dirty_bytes: 0,
        }
    }

    /// The root that a block left.
    pub(super) fn root_at(&self, height: u64) -> Result<Option<StateRoot>, StateError> {
        let fresh = self.roots.get(&height).and_then(decode_root);
        fresh.map_or_else(|| self.snapshot.root_at(height), |root| Ok(Some(root)))
    }

    /// A row of the host's.
    pub(super) fn row(&self, key: &[u8]) -> Result<Option<Arc<[u8]>>, StateError> {
        self.rows.get(key).map_or_else(|| self.snapshot.row(key), |row| Ok(row.clone()))
    }

    /// Puts leaves over those that are there.
    pub(super) fn put_leaves(&mut self, leaves: impl IntoIterator<Item = (Hash, Dirty)>) {
        for (path, mut dirty) in leaves {
            self.dirty_bytes += dirty.leaf.size();
            if let Some(before) = self.leaves.get(&path) {
                self.dirty_bytes -= before.leaf.size();
                dirty.row |= before.row;
            }
            self.leaves.insert(path, dirty);
        }
    }

    /// Puts tiles over those that are there.
    pub(super) fn put_tiles(&mut self, tiles: impl IntoIterator<Item = (TileId, Arc<Tile>)>) {
        for (id, tile) in tiles {
            if self.tiles.insert(id, tile).is_none() {
                self.dirty_bytes += TILE_SIZE + OVERHEAD;
            }
        }
    }

    /// Puts rows over those that are there.
    pub(super) fn put_rows(&mut self, rows: impl IntoIterator<Item = (Vec<u8>, Option<Arc<[u8]>>)>) {
        for (key, row) in rows {
            let key_size = key.len();
            self.dirty_bytes += key_size + row.as_ref().map_or(0, |row| row.len()) + OVERHEAD;
            if let Some(before) = self.rows.insert(key, row) {
                self.dirty_bytes -= key_size + before.map_or(0, |row| row.len()) + OVERHEAD;
            }
        }
    }
}

/// What writer and readers share.
pub(super) struct Shared {
    pub(super) view: RwLock<View>,
    pub(super) leaf_cache: Cache<Hash, Arc<Leaf>>,
    pub(super) tile_cache: Cache<TileId, Arc<Tile>>,
    /// The file, if there is one.
    pub(super) path: Option<PathBuf>,
}

/// Where a path stands in a view.
pub(super) enum Place {
    /// It has a leaf.
    Leaf(Arc<Leaf>),
    /// It has none; the leaf before it, with its path.
    After(Hash, Arc<Leaf>),
}

impl Shared {
    pub(super) fn new(view: View, options: &StateOptions, path: Option<PathBuf>) -> Self {
        Self {
            view: RwLock::new(view),
            leaf_cache: Cache::new(options.leaf_memory),
            tile_cache: Cache::new(options.tile_memory),
            path,
        }
    }

    /// The leaf of a path, if it is in memory.
    fn leaf_in_memory(&self, view: &View, path: &Hash) -> Option<Arc<Leaf>> {
        let dirty = view.leaves.get(path).map(|dirty| Arc::clone(&dirty.leaf));
        dirty.or_else(|| self.leaf_cache.get(path))
    }

    /// The leaf of a path, if it has one.
    pub(super) fn leaf(&self, view: &View, path: &Hash) -> Result<Option<Arc<Leaf>>, StateError> {
        if let Some(leaf) = self.leaf_in_memory(view, path) {
            return Ok(Some(leaf));
        }
        match view.snapshot.find(path)? {
            Found::Leaf { index, next } => self.load(view, *path, index, next).map(Some),
            Found::Gap { .. } => Ok(None),
        }
    }

    /// The leaf of a path, or the one before where it would be.
    pub(super) fn place(&self, view: &View, path: &Hash) -> Result<Place, StateError> {
        if let Some(leaf) = self.leaf_in_memory(view, path) {
            return Ok(Place::Leaf(leaf));
        }
        match view.snapshot.find(path)? {
            Found::Leaf { index, next } => Ok(Place::Leaf(self.load(view, *path, index, next)?)),
            Found::Gap { previous, index, next } => {
                let fresh = view.fresh.range::<Hash, _>(..path).next_back().filter(|(fresh, _)| previous < **fresh);
                let before = fresh.map_or(previous, |(fresh, _)| *fresh);
                let known = self.leaf_in_memory(view, &before);
                let leaf = known.map_or_else(|| self.load(view, before, index, next), Ok)?;
                Ok(Place::After(before, leaf))
            }
        }
    }

    /// A leaf of the store, that nothing in memory differs from.
    fn load(&self, view: &View, path: Hash, index: u64, next: Hash) -> Result<Arc<Leaf>, StateError> {
        let leaf = Arc::new(view.snapshot.leaf(index, next)?);
        // Nothing is decided by a value that its own hash disowns, whoever changed it.
        if path != NONE && path_of(&leaf.key) != path || value_hash(leaf.value.as_deref()) != leaf.value_hash {
            return Err(StateError::damaged(&leaf.key, "is not what its hash says"));
        }
        self.leaf_cache.put(path, Arc::clone(&leaf), leaf.size());
        Ok(leaf)
    }

    /// A tile of the tree.
    pub(super) fn tile(&self, view: &View, id: TileId) -> Result<Arc<Tile>, StateError> {
        if let Some(tile) = view.tiles.get(&id).map(Arc::clone).or_else(|| self.tile_cache.get(&id)) {
            return Ok(tile);
        }
        let tile = view.snapshot.tile(id)?;
        self.tile_cache.put(id, Arc::clone(&tile), TILE_SIZE + OVERHEAD);
        Ok(tile)
    }

    /// Puts what the view has over its store in the caches, as it is what the store has from now on. Readers still find it in the
    /// view first, so none sees a mixture.
    pub(super) fn keep(&self, view: &View) {
        for (path, dirty) in &view.leaves {
            if dirty.row {
                self.leaf_cache.put(*path, Arc::clone(&dirty.leaf), dirty.leaf.size());
            } else {
                self.leaf_cache.remove(path);
            }
        }
        for (id, tile) in &view.tiles {
            self.tile_cache.put(*id, Arc::clone(tile), TILE_SIZE + OVERHEAD);
        }
    }
}

/// A view's tree.
pub(super) struct ViewTiles<'a>(pub(super) &'a Shared, pub(super) &'a View);

impl Tiles for ViewTiles<'_> {
    fn with_tile<T>(&self, id: TileId, read: impl FnOnce(&Tile) -> T) -> Result<T, StateError> {
        Ok(read(self.0.tile(self.1, id)?.as_ref()))
    }
}
