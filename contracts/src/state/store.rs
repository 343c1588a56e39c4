//! What of the state is in its file, and what it looks like there.
//!
//! | table | key | value |
//! |---|---|---|
//! | `keys` | path | index of the leaf; its neighbour's path is the leaf's `next` |
//! | `leaves` | index | value hash, key length as u16, key, value |
//! | `tiles` | level << 56 and number | 126 hashes |
//! | `roots` | height | state root, next seq, ledger root |
//! | `rows` | what the host says | what the host says |
//! | `meta` | `format`, `applied` | u32; height, next seq, leaf count, state root, ledger root or nothing |
//!
//! Integers are little-endian. All that a group of blocks changed becomes durable in one write, or nothing of it. The next path of
//! a leaf is not stored with the leaf: a new key changes its predecessor's, which is anywhere, so each would cost a page with a
//! value that did not change.

use super::error::StateError;
use super::hash::{Hash, NONE, StateRoot, state_root};
use super::tiles::{TILE_SIZE, Tile, TileId, Tiles, tree_root};
use super::view::{Leaf, View};
use super::{Applied, Row, StateOptions};
use annals::TreeHash;
use annals::limits::NUMBER_MAX;
use redb::backends::{FileBackend, InMemoryBackend};
use redb::{
    Builder, Database, DatabaseError, Key, ReadOnlyTable, ReadableDatabase as _, ReadableTable as _, StorageError,
    TableDefinition,
};
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

const KEYS: TableDefinition<&Hash, u64> = TableDefinition::new("keys");
const LEAVES: TableDefinition<u64, &[u8]> = TableDefinition::new("leaves");
const TILES: TableDefinition<u64, &[u8; TILE_SIZE]> = TableDefinition::new("tiles");
const ROOTS: TableDefinition<u64, &[u8; ROOT_SIZE]> = TableDefinition::new("roots");
const ROWS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("rows");
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

/// Bytes of a row of `roots`.
const ROOT_SIZE: usize = 32 + 8 + 32;
/// The layout of the tables; another one gets another number.
const FORMAT: u32 = 1;

/// Opens the file, or makes it, for its owner alone.
pub(super) fn open_file(path: &Path, options: &StateOptions) -> Result<Database, StateError> {
    let at = |source| StateError::Open { path: path.to_owned(), source };
    let mut opening = OpenOptions::new();
    let file = opening.read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(at)?;
    let open = |file: File| -> Result<Database, DatabaseError> {
        builder(options).create_with_backend(FileBackend::new(file)?)
    };
    open(file).map_err(|error| not_opened(path, error))
}

/// A store that is gone when it is dropped.
pub(super) fn open_memory(options: &StateOptions) -> Result<Database, StateError> {
    builder(options).create_with_backend(InMemoryBackend::new()).map_err(StateError::store)
}

fn builder(options: &StateOptions) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(options.page_memory).set_check_integrity_on_open(options.check);
    builder
}

fn not_opened(path: &Path, error: DatabaseError) -> StateError {
    let damaged = |what: String| StateError::Damaged { path: path.to_owned(), what };
    if let DatabaseError::DatabaseAlreadyOpen = error {
        return StateError::InUse(path.to_owned());
    }
    if let DatabaseError::UpgradeRequired(version) = error {
        return damaged(format!("written in the old format {version}"));
    }
    if let DatabaseError::Storage(StorageError::Corrupted(what)) = error {
        return damaged(what);
    }
    let DatabaseError::Storage(StorageError::Io(source)) = error else { return StateError::store(error) };
    // A file without the store's magic, or one that ends too early.
    if matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) {
        return damaged(format!("no state store: {source}"));
    }
    StateError::Open { path: path.to_owned(), source }
}

/// What it means that a file which the store opened has not in it what it must; a failing disk says nothing of the file.
pub(super) fn not_understood(path: &Path, error: StateError) -> StateError {
    let StateError::Store(cause) = &error else {
        return StateError::Damaged { path: path.to_owned(), what: error.to_string() };
    };
    if matches!(**cause, redb::Error::Io(_)) {
        return error;
    }
    let what = cause.to_string();
    StateError::Damaged { path: path.to_owned(), what }
}

/// Runs what reads or writes the store. It trusts a file unless it is told to check it, and panics at some of what no store has
/// written; what contracts panic at is a refusal, and what a disk has spoiled must never be one.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, StateError>) -> Result<T, StateError> {
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    done.unwrap_or(Err(StateError::Missing("pages that can be read")))
}

/// Puts the sentinel and the format in a new store.
pub(super) fn prepare(database: &Database) -> Result<(), StateError> {
    let write = database.begin_write().map_err(StateError::store)?;
    let is_new = write.list_tables().map_err(StateError::store)?.next().is_none();
    if !is_new {
        // A store, or somebody else's tables: what is in them shows when it is opened. Nothing is put beside them.
        return write.abort().map_err(StateError::store);
    }
    {
        let mut meta = write.open_table(META).map_err(StateError::store)?;
        meta.insert("format", FORMAT.to_le_bytes().as_slice()).map_err(StateError::store)?;
        let (applied, leaf_count) = (Applied::nothing(), 1);
        meta.insert("applied", encode_applied(&applied, leaf_count).as_slice()).map_err(StateError::store)?;
        let mut keys = write.open_table(KEYS).map_err(StateError::store)?;
        keys.insert(&NONE, 0).map_err(StateError::store)?;
        let mut leaves = write.open_table(LEAVES).map_err(StateError::store)?;
        leaves.insert(0, Leaf::sentinel().encode().as_slice()).map_err(StateError::store)?;
        let mut tiles = write.open_table(TILES).map_err(StateError::store)?;
        let (id, tile) = Tile::of_sentinel();
        tiles.insert(id.key(), &tile.to_bytes()).map_err(StateError::store)?;
        write.open_table(ROOTS).map_err(StateError::store)?;
        write.open_table(ROWS).map_err(StateError::store)?;
    }
    write.commit().map_err(StateError::store)
}

/// Makes all that the view has beyond the store durable.
pub(super) fn write(database: &Database, view: &View, quick: bool) -> Result<(), StateError> {
    let mut write = database.begin_write().map_err(StateError::store)?;
    write.set_quick_repair(quick);
    {
        let mut keys = write.open_table(KEYS).map_err(StateError::store)?;
        for (path, index) in &view.fresh {
            keys.insert(path, *index).map_err(StateError::store)?;
        }
        let mut changed: Vec<&Leaf> = view.leaves.values().filter(|it| it.row).map(|it| it.leaf.as_ref()).collect();
        changed.sort_unstable_by_key(|leaf| leaf.index);
        let mut leaves = write.open_table(LEAVES).map_err(StateError::store)?;
        for leaf in changed {
            leaves.insert(leaf.index, leaf.encode().as_slice()).map_err(StateError::store)?;
        }
        let mut changed: Vec<(u64, &Tile)> = view.tiles.iter().map(|(id, tile)| (id.key(), tile.as_ref())).collect();
        changed.sort_unstable_by_key(|(key, _)| *key);
        let mut tiles = write.open_table(TILES).map_err(StateError::store)?;
        for (key, tile) in changed {
            tiles.insert(key, &tile.to_bytes()).map_err(StateError::store)?;
        }
        let mut rows = write.open_table(ROWS).map_err(StateError::store)?;
        for (key, row) in &view.rows {
            match row {
                Some(row) => rows.insert(key.as_slice(), row.as_ref()).map_err(StateError::store)?,
                None => rows.remove(key.as_slice()).map_err(StateError::store)?,
            };
        }
        let mut roots = write.open_table(ROOTS).map_err(StateError::store)?;
        for (height, root) in &view.roots {
            roots.insert(height, root).map_err(StateError::store)?;
        }
        let mut meta = write.open_table(META).map_err(StateError::store)?;
        let applied = encode_applied(&view.applied, view.leaf_count);
        meta.insert("applied", applied.as_slice()).map_err(StateError::store)?;
    }
    write.commit().map_err(StateError::store)
}

/// A row of `roots`.
pub(super) fn encode_root(applied: &Applied) -> [u8; ROOT_SIZE] {
    let mut bytes = [0; ROOT_SIZE];
    let ledger_root = applied.ledger_root.unwrap_or(TreeHash::ZERO);
    let fields = applied.root.as_bytes().iter().copied().chain(applied.next_seq.to_le_bytes());
    for (to, from) in bytes.iter_mut().zip(fields.chain(ledger_root.to_bytes())) {
        *to = from;
    }
    bytes
}

/// The root in a row of `roots`.
pub(super) fn decode_root(bytes: &[u8; ROOT_SIZE]) -> Option<StateRoot> {
    bytes.first_chunk().copied().map(StateRoot::from_bytes)
}

fn encode_applied(applied: &Applied, leaf_count: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(88);
    for number in [applied.height, applied.next_seq, leaf_count] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(applied.root.as_bytes());
    bytes.extend(applied.ledger_root.iter().flat_map(|root| *root.as_bytes()));
    bytes
}

fn decode_applied(bytes: &[u8]) -> Option<(Applied, u64)> {
    let (height, rest) = bytes.split_first_chunk()?;
    let (next_seq, rest) = rest.split_first_chunk()?;
    let (leaf_count, rest) = rest.split_first_chunk()?;
    let (root, rest) = rest.split_first_chunk()?;
    let ledger_root = if rest.is_empty() { None } else { Some(TreeHash::from_bytes(*rest.as_array()?)) };
    let [height, next_seq, leaf_count] = [height, next_seq, leaf_count].map(|bytes| u64::from_le_bytes(*bytes));
    let sound = [height, next_seq, leaf_count].iter().all(|number| *number <= NUMBER_MAX) && 0 < leaf_count;
    let applied = Applied { height, next_seq, ledger_root, root: StateRoot::from_bytes(*root) };
    sound.then_some((applied, leaf_count))
}

/// Where a path stands among those in the store.
pub(super) enum Found {
    /// It is there.
    Leaf {
        /** Its index. */
        index: u64,
        /** The path after it. */
        next: Hash,
    },
    /// It is not.
    Gap {
        /** The path before. */
        previous: Hash,
        /** Its index. */
        index: u64,
        /** The path after. */
        next: Hash,
    },
}

/// The store as it was after some write; all reads of it agree.
pub(super) struct Snapshot {
    keys: ReadOnlyTable<&'static Hash, u64>,
    leaves: ReadOnlyTable<u64, &'static [u8]>,
    tiles: ReadOnlyTable<u64, &'static [u8; TILE_SIZE]>,
    roots: ReadOnlyTable<u64, &'static [u8; ROOT_SIZE]>,
    rows: ReadOnlyTable<&'static [u8], &'static [u8]>,
}

impl Snapshot {
    /// The store as it is now, and how far it is.
    pub(super) fn take(database: &Database) -> Result<(Self, Applied, u64), StateError> {
        let read = database.begin_read().map_err(StateError::store)?;
        let meta = read.open_table(META).map_err(StateError::store)?;
        let format = meta.get("format").map_err(StateError::store)?;
        if format.is_none_or(|bytes| bytes.value() != FORMAT.to_le_bytes()) {
            return Err(StateError::Missing("a format that this version knows"));
        }
        let applied = meta.get("applied").map_err(StateError::store)?;
        let applied = applied.and_then(|bytes| decode_applied(bytes.value()));
        let (applied, leaf_count) = applied.ok_or(StateError::Missing("how far it is"))?;
        let snapshot = Self {
            keys: read.open_table(KEYS).map_err(StateError::store)?,
            leaves: read.open_table(LEAVES).map_err(StateError::store)?,
            tiles: read.open_table(TILES).map_err(StateError::store)?,
            roots: read.open_table(ROOTS).map_err(StateError::store)?,
            rows: read.open_table(ROWS).map_err(StateError::store)?,
        };
        Ok((snapshot, applied, leaf_count))
    }

    /// Whether the tree gives the root that the store names.
    pub(super) fn agrees(&self, applied: &Applied, leaf_count: u64) -> Result<bool, StateError> {
        Ok(state_root(leaf_count, &tree_root(self, leaf_count)?) == applied.root)
    }

    /// What differs from another store of the same blocks; none if all does agree but rows that need not.
    pub(super) fn differs(
        &self,
        other: &Self,
        need_not: fn(&[u8]) -> bool,
    ) -> Result<Option<&'static str>, StateError> {
        let all = |_: &[u8]| true;
        let differs = [
            ("values", is_same(&self.leaves, &other.leaves, all)?),
            ("keys", is_same(&self.keys, &other.keys, all)?),
            ("hashes", is_same(&self.tiles, &other.tiles, all)?),
            ("rows", is_same(&self.rows, &other.rows, |key| !need_not(key))?),
        ];
        Ok(differs.into_iter().find(|(_, is_same)| !is_same).map(|(what, _)| what))
    }

    /// Where a path stands.
    pub(super) fn find(&self, path: &Hash) -> Result<Found, StateError> {
        guarded(|| self.find_stored(path))
    }

    fn find_stored(&self, path: &Hash) -> Result<Found, StateError> {
        let mut cursor = self.keys.lower_bound(Bound::Included(path)).map_err(StateError::store)?;
        let previous =
            cursor.peek_prev().map_err(StateError::store)?.map(|(path, index)| (*path.value(), index.value()));
        let at = cursor.next().map_err(StateError::store)?.map(|(path, index)| (*path.value(), index.value()));
        if let Some((_, index)) = at.filter(|(found, _)| found == path) {
            let next = cursor.peek_next().map_err(StateError::store)?.map_or(NONE, |(path, _)| *path.value());
            return Ok(Found::Leaf { index, next });
        }
        let (previous, index) = previous.ok_or(StateError::Missing("the sentinel"))?;
        Ok(Found::Gap { previous, index, next: at.map_or(NONE, |(path, _)| path) })
    }

    /// A leaf whose place is known.
    pub(super) fn leaf(&self, index: u64, next: Hash) -> Result<Leaf, StateError> {
        guarded(|| {
            let row = self.leaves.get(index).map_err(StateError::store)?.ok_or(StateError::Missing("a leaf"))?;
            Leaf::decode(index, next, row.value()).ok_or(StateError::Missing("a leaf that can be read"))
        })
    }

    /// A tile of the tree.
    pub(super) fn tile(&self, id: TileId) -> Result<Arc<Tile>, StateError> {
        guarded(|| {
            let row = self.tiles.get(id.key()).map_err(StateError::store)?.ok_or(StateError::Missing("a tile"))?;
            Ok(Arc::new(Tile::from_bytes(row.value())))
        })
    }

    /// The root that a block left.
    pub(super) fn root_at(&self, height: u64) -> Result<Option<StateRoot>, StateError> {
        guarded(|| Ok(self.roots.get(height).map_err(StateError::store)?.and_then(|row| decode_root(row.value()))))
    }

    /// A row of the host's.
    pub(super) fn row(&self, key: &[u8]) -> Result<Option<Arc<[u8]>>, StateError> {
        guarded(|| Ok(self.rows.get(key).map_err(StateError::store)?.map(|row| row.value().into())))
    }

    /// The host's rows in a range.
    pub(super) fn rows(
        &self,
        from: &[u8],
        to: &[u8],
    ) -> Result<impl Iterator<Item = Result<Row, StateError>>, StateError> {
        let mut range = guarded(|| self.rows.range::<&[u8]>(from..to).map_err(StateError::store))?;
        let mut next = move || -> Result<Option<Row>, StateError> {
            let Some(row) = range.next() else { return Ok(None) };
            let (key, value) = row.map_err(StateError::store)?;
            Ok(Some((key.value().to_vec(), value.value().to_vec())))
        };
        Ok(std::iter::from_fn(move || guarded(&mut next).transpose()))
    }
}

/// Whether two tables hold the same under those keys that count.
fn is_same<K: Key + 'static, V: redb::Value + 'static>(
    one: &ReadOnlyTable<K, V>,
    other: &ReadOnlyTable<K, V>,
    counts: impl Fn(&[u8]) -> bool,
) -> Result<bool, StateError> {
    let (mut one, mut other) = (pairs(one, &counts)?, pairs(other, &counts)?);
    loop {
        match (one.next().transpose()?, other.next().transpose()?) {
            (None, None) => return Ok(true),
            (one, other) if one != other => return Ok(false),
            _ => {}
        }
    }
}

/// Bytes of a table's keys and values.
fn pairs<'a, K: Key + 'static, V: redb::Value + 'static>(
    table: &'a ReadOnlyTable<K, V>,
    counts: &'a impl Fn(&[u8]) -> bool,
) -> Result<impl Iterator<Item = Result<Row, StateError>> + 'a, StateError> {
    let rows = table.iter().map_err(StateError::store)?.map(|row| {
        let (key, value) = row.map_err(StateError::store)?;
        Ok((K::as_bytes(&key.value()).as_ref().to_vec(), V::as_bytes(&value.value()).as_ref().to_vec()))
    });
    Ok(rows.filter(|row: &Result<Row, StateError>| row.as_ref().map_or(true, |(key, _)| counts(key))))
}

impl Tiles for Snapshot {
    fn with_tile<T>(&self, id: TileId, read: impl FnOnce(&Tile) -> T) -> Result<T, StateError> {
        Ok(read(self.tile(id)?.as_ref()))
    }
}
