//! Reading state, from any thread, also while it is changed.

use super::error::StateError;
use super::hash::{StateRoot, path_of};
use super::proof::{PreviousLeaf, Sha256Hash, StateProof};
use super::tiles::audit_path;
use super::view::{Place, Shared, ViewTiles};
use super::{Applied, Proven, Row};
use std::collections::Bound;
use std::fmt;
use std::sync::Arc;

/// A way to look at state; clones are cheap.
///
/// It sees everything that is applied, also what is not durable yet. Two looks may see two heights; [`prove`](Self::prove) gives
/// value, proof and height of one. A look waits for the writer only while that publishes a block that it has worked out already.
#[derive(Clone)]
pub struct State {
    pub(super) shared: Arc<Shared>,
}

impl State {
    /// The value of a key.
    ///
    /// # Errors
    ///
    /// [`StateError`] if the store fails.
    pub fn get(&self, key: &[u8]) -> Result<Option<Arc<[u8]>>, StateError> {
        let path = path_of(key);
        let view = self.shared.view.read();
        Ok(self.shared.leaf(&view, &path)?.and_then(|leaf| leaf.value.clone()))
    }

    /// A row of the host's: what it put beside the state, unproved.
    ///
    /// # Errors
    ///
    /// [`StateError`] if the store fails.
    pub fn row(&self, key: &[u8]) -> Result<Option<Arc<[u8]>>, StateError> {
        self.shared.view.read().row(key)
    }

    /// The host's rows with keys in `from..to`, in order, `most` of them at most.
    ///
    /// # Errors
    ///
    /// [`StateError`] if the store fails.
    pub fn rows(&self, from: &[u8], to: &[u8], most: usize) -> Result<Vec<Row>, StateError> {
        if to <= from {
            return Ok(Vec::new());
        }
        let view = self.shared.view.read();
        let range: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Included(from), Bound::Excluded(to));
        let mut fresh = view.rows.range::<[u8], _>(range).peekable();
        let mut stored = view.snapshot.rows(from, to)?;
        let (mut next, mut rows) = (stored.next().transpose()?, Vec::new());
        while rows.len() < most {
            let over = fresh.next_if(|(key, _)| next.as_ref().is_none_or(|(stored, _)| *key <= stored));
            let Some((key, row)) = over else {
                let Some(row) = next else { break };
                rows.push(row);
                next = stored.next().transpose()?;
                continue;
            };
            if next.as_ref().is_some_and(|(stored, _)| stored == key) {
                next = stored.next().transpose()?;
            }
            rows.extend(row.as_ref().map(|row| (key.clone(), row.to_vec())));
        }
        Ok(rows)
    }

    /// The root that the block of that height left; none if it was not applied.
    ///
    /// # Errors
    ///
    /// [`StateError`] if the store fails.
    pub fn root_at(&self, height: u64) -> Result<Option<StateRoot>, StateError> {
        self.shared.view.read().root_at(height)
    }

    /// What of the store differs from another's, beyond their roots: a store's values and rows are not hashed again when they are
    /// read. Both must be stored through the same block; rows that need not agree are left out.
    pub(crate) fn differs(
        &self,
        other: &Self,
        need_not: fn(&[u8]) -> bool,
    ) -> Result<Option<&'static str>, StateError> {
        let (one, other) =
            (Arc::clone(&self.shared.view.read().snapshot), Arc::clone(&other.shared.view.read().snapshot));
        one.differs(&other, need_not)
    }

    /// Through which block state was applied.
    pub fn applied(&self) -> Applied {
        self.shared.view.read().applied
    }

    /// A key's value now, and the proof of it.
    ///
    /// # Errors
    ///
    /// [`StateError`] if the store fails.
    pub fn prove(&self, key: &[u8]) -> Result<Proven, StateError> {
        let path = path_of(key);
        let view = self.shared.view.read();
        let (leaf, previous) = match self.shared.place(&view, &path)? {
            Place::Leaf(leaf) => (leaf, None),
            Place::After(path, leaf) => {
                let value_hash = Sha256Hash(leaf.value_hash);
                (leaf, Some(PreviousLeaf { path: Sha256Hash(path), value_hash }))
            }
        };
        let audit_path = audit_path(&ViewTiles(&self.shared, &view), leaf.index, view.leaf_count)?;
        let proof = StateProof {
            size: view.leaf_count,
            index: leaf.index,
            next: Sha256Hash(leaf.next),
            previous,
            audit_path: audit_path.into_iter().map(Sha256Hash).collect(),
        };
        let value = if previous.is_some() { None } else { leaf.value.clone() };
        Ok(Proven { applied: view.applied, value, proof })
    }

    /// Leaves of the tree: the sentinel and every key that ever had a value.
    pub fn leaf_count(&self) -> u64 {
        self.shared.view.read().leaf_count
    }

    /// Bytes of the store's file; 0 in memory.
    ///
    /// # Errors
    ///
    /// [`StateError::Open`] if the system does not say.
    pub fn file_bytes(&self) -> Result<u64, StateError> {
        let Some(path) = &self.shared.path else { return Ok(0) };
        let at = |source| StateError::Open { path: path.clone(), source };
        std::fs::metadata(path).map(|file| file.len()).map_err(at)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("State").field("applied", &self.applied()).finish_non_exhaustive()
    }
}
