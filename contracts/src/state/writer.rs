//! Changing state: a block at a time in memory, a group of blocks at a time on disk.
//!
//! A block is worked out beside what readers see: look-ups, hashes, new tiles. Only then the view is locked, and what was worked
//! out is put there. Nothing that can fail comes after that.

use super::error::StateError;
use super::hash::{Hash, leaf_hash, path_of, state_root, value_hash};
use super::reader::State;
use super::store::{self, Snapshot};
use super::tiles::{Tile, TileId, Tiles, TilesMut, put_leaves, tree_root};
use super::view::{Dirty, Leaf, Place, Shared, View};
use super::{Applied, BlockChanges, Changes, KEY_SIZE_MAX, StateOptions, StateRoot};
use crate::value::VALUE_SIZE_MAX;
use annals::limits::NUMBER_MAX;
use redb::Database;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The one way to change state.
///
/// [`apply`](Self::apply) changes memory, [`commit`](Self::commit) makes what was applied durable, in one write. What was not is
/// lost when this is dropped, on purpose: a process that ends without it and one that is killed leave the same, the state of the last
/// `commit`, and the blocks after it are applied again from the log. So the caller commits when [`dirty_bytes`](Self::dirty_bytes)
/// gets large, and before it closes. Readers that outlive it are told [`StateError::Closed`] for what isn't in memory.
pub struct StateWriter {
    shared: Arc<Shared>,
    /// The store; none once it is closed, in dropping.
    database: Option<Database>,
    quick_open: bool,
}

impl Drop for StateWriter {
    fn drop(&mut self) {
        // A store that panicked over damage panics again as it closes, and nothing of it is wanted any more.
        let database = self.database.take();
        let _ = store::guarded(|| {
            drop(database);
            Ok(())
        });
    }
}

impl StateWriter {
    /// Opens the state's file, or makes it, readable by its owner alone.
    ///
    /// # Errors
    ///
    /// [`StateError::InUse`] while somebody else has it open, [`StateError::Damaged`] if it is something else or is damaged: as far as
    /// the store's own sums and the tree's root show, see [`StateOptions::check`].
    pub fn open(path: &Path, options: &StateOptions) -> Result<Self, StateError> {
        let open = || {
            let database = store::open_file(path, options)?;
            let prepared = store::prepare(&database).and_then(|()| Self::start(database, options, Some(path)));
            prepared.map_err(|error| store::not_understood(path, error))
        };
        // The store trusts a file unless it is told to check it, and panics at some of what no store has written.
        std::panic::catch_unwind(open).unwrap_or_else(|_| {
            let what = "the store panicked over what is in it".to_owned();
            Err(StateError::Damaged { path: path.to_owned(), what })
        })
    }

    /// State that is gone when this is dropped: for scenarios and tests.
    ///
    /// # Errors
    ///
    /// [`StateError`] if there is no memory for it.
    pub fn in_memory(options: &StateOptions) -> Result<Self, StateError> {
        let database = store::open_memory(options)?;
        store::prepare(&database)?;
        Self::start(database, options, None)
    }

    fn start(database: Database, options: &StateOptions, path: Option<&Path>) -> Result<Self, StateError> {
        let (snapshot, applied, leaf_count) = Snapshot::take(&database)?;
        if !snapshot.agrees(&applied, leaf_count)? {
            return Err(StateError::Missing("the tree that its root names"));
        }
        let view = View::of(snapshot, applied, leaf_count);
        let shared = Arc::new(Shared::new(view, options, path.map(Path::to_owned)));
        Ok(Self { shared, database: Some(database), quick_open: options.quick_open })
    }

    /// A way to look at the state.
    pub fn reader(&self) -> State {
        State { shared: Arc::clone(&self.shared) }
    }

    /// Bytes of memory that what is applied and not durable takes, about.
    pub fn dirty_bytes(&self) -> usize {
        self.shared.view.read().dirty_bytes
    }

    /// Applies a block; readers see all of it or nothing. Removing a key that has no value changes nothing.
    ///
    /// # Errors
    ///
    /// [`StateError::OutOfOrder`] if the block does not come after the last one, [`StateError::KeyTooLong`],
    /// [`StateError::ValueTooLarge`], or the store's failure. The state is as it was.
    pub fn apply(&mut self, block: BlockChanges) -> Result<StateRoot, StateError> {
        let BlockChanges { height, next_seq, ledger_root, changes, rows } = block;
        check_bounds(&changes)?;
        check_bounds(&rows)?;
        let view = self.shared.view.read();
        check_order(&view.applied, height, next_seq)?;
        let mut work = Work::new(&self.shared, &view);
        for (key, value) in changes {
            work.change(key, value)?;
        }
        let root = work.hash()?;
        let Work { leaves, fresh, tiles, leaf_count, .. } = work;
        let applied = Applied { height, next_seq, ledger_root: Some(ledger_root), root };
        drop(view);

        let mut view = self.shared.view.write();
        view.put_leaves(leaves);
        view.fresh.extend(fresh);
        view.put_tiles(tiles);
        view.put_rows(rows);
        view.roots.insert(height, store::encode_root(&applied));
        view.leaf_count = leaf_count;
        view.applied = applied;
        Ok(root)
    }

    /// Makes everything that was applied durable.
    ///
    /// # Errors
    ///
    /// [`StateError::Store`] if it could not be written. Then nothing is durable that was not before; readers go on, and what was
    /// applied is still there for them, but the store takes no more writes until it is opened again.
    pub fn commit(&mut self) -> Result<(), StateError> {
        let view = self.shared.view.read();
        if view.roots.is_empty() {
            return Ok(());
        }
        let database = self.database.as_ref().ok_or(StateError::Closed)?;
        let (snapshot, applied, leaf_count) = store::guarded(|| {
            store::write(database, &view, self.quick_open)?;
            Snapshot::take(database)
        })?;
        self.shared.keep(&view);
        drop(view);
        let after = View::of(snapshot, applied, leaf_count);
        let before = std::mem::replace(&mut *self.shared.view.write(), after);
        // Thousands of allocations, given back while nobody waits.
        drop(before);
        Ok(())
    }
}

impl fmt::Debug for StateWriter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let applied = self.shared.view.read().applied;
        formatter.debug_struct("StateWriter").field("applied", &applied).finish_non_exhaustive()
    }
}

fn check_bounds(changes: &Changes) -> Result<(), StateError> {
    for (key, value) in changes {
        if KEY_SIZE_MAX < key.len() {
            return Err(StateError::KeyTooLong(key.len()));
        }
        let size = value.as_ref().map_or(0, |value| value.len());
        if VALUE_SIZE_MAX < size {
            return Err(StateError::ValueTooLarge(size));
        }
    }
    Ok(())
}

fn check_order(applied: &Applied, height: u64, next_seq: u64) -> Result<(), StateError> {
    let follows = applied.ledger_root.is_none() || applied.height < height;
    if follows && applied.next_seq < next_seq && height <= NUMBER_MAX && next_seq <= NUMBER_MAX {
        return Ok(());
    }
    Err(StateError::OutOfOrder { height, next_seq, applied: applied.height, applied_seq: applied.next_seq })
}

/// What a block changes, while it is worked out.
struct Work<'a> {
    shared: &'a Shared,
    view: &'a View,
    leaf_count: u64,
    leaves: HashMap<Hash, Dirty>,
    fresh: BTreeMap<Hash, u64>,
    tiles: HashMap<TileId, Arc<Tile>>,
}

impl<'a> Work<'a> {
    fn new(shared: &'a Shared, view: &'a View) -> Self {
        let leaf_count = view.leaf_count;
        Self { shared, view, leaf_count, leaves: HashMap::new(), fresh: BTreeMap::new(), tiles: HashMap::new() }
    }

    /// Gives a key a value, or takes it.
    fn change(&mut self, key: Vec<u8>, value: Option<Arc<[u8]>>) -> Result<(), StateError> {
        let path = path_of(&key);
        match self.place(&path)? {
            Place::Leaf(leaf) => {
                let hash = value_hash(value.as_deref());
                if hash != leaf.value_hash {
                    let leaf = Leaf { value_hash: hash, value, key: Arc::clone(&leaf.key), ..*leaf };
                    self.leaves.insert(path, Dirty { leaf: Arc::new(leaf), row: true });
                }
            }
            Place::After(previous, before) => {
                if let Some(value) = value {
                    self.insert(path, key, value, previous, &before);
                }
            }
        }
        Ok(())
    }

    /// Appends a leaf and links it in behind the one before it.
    fn insert(&mut self, path: Hash, key: Vec<u8>, value: Arc<[u8]>, previous: Hash, before: &Leaf) {
        let leaf = Leaf::new(self.leaf_count, before.next, key.into(), Some(value));
        let row = self.leaves.get(&previous).is_some_and(|dirty| dirty.row);
        let linked = Leaf { next: path, ..before.clone() };
        self.leaves.insert(previous, Dirty { leaf: Arc::new(linked), row });
        self.fresh.insert(path, leaf.index);
        self.leaves.insert(path, Dirty { leaf: Arc::new(leaf), row: true });
        self.leaf_count += 1;
    }

    /// Where a path stands, with what was changed so far.
    fn place(&self, path: &Hash) -> Result<Place, StateError> {
        if let Some(dirty) = self.leaves.get(path) {
            return Ok(Place::Leaf(Arc::clone(&dirty.leaf)));
        }
        let (before, leaf) = match self.shared.place(self.view, path)? {
            Place::After(before, leaf) => (before, leaf),
            leaf @ Place::Leaf(_) => return Ok(leaf),
        };
        let fresh = self.fresh.range::<Hash, _>(..path).next_back().filter(|(fresh, _)| before < **fresh);
        let before = fresh.map_or(before, |(fresh, _)| *fresh);
        let leaf = self.leaves.get(&before).map_or(leaf, |dirty| Arc::clone(&dirty.leaf));
        Ok(Place::After(before, leaf))
    }

    /// Hashes what changed, and gives the root.
    fn hash(&mut self) -> Result<StateRoot, StateError> {
        let hashed = self
            .leaves
            .iter()
            .map(|(path, Dirty { leaf, .. })| (leaf.index, leaf_hash(path, &leaf.next, &leaf.value_hash)));
        let mut hashed: Vec<(u64, Hash)> = hashed.collect();
        hashed.sort_unstable_by_key(|(index, _)| *index);
        let (before, leaf_count) = (self.view.leaf_count, self.leaf_count);
        put_leaves(self, hashed, before, leaf_count)?;
        Ok(state_root(leaf_count, &tree_root(self, leaf_count)?))
    }
}

impl Tiles for Work<'_> {
    fn with_tile<T>(&self, id: TileId, read: impl FnOnce(&Tile) -> T) -> Result<T, StateError> {
        match self.tiles.get(&id) {
            Some(tile) => Ok(read(tile)),
            None => Ok(read(self.shared.tile(self.view, id)?.as_ref())),
        }
    }
}

impl TilesMut for Work<'_> {
    fn change(&mut self, id: TileId, exists: bool) -> Result<&mut Tile, StateError> {
        let tile = if exists { self.shared.tile(self.view, id)? } else { Arc::new(Tile::new()) };
        Ok(Arc::make_mut(self.tiles.entry(id).or_insert(tile)))
    }
}
