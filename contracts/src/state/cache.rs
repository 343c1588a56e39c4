//! A cache of bounded bytes, in two generations.
//!
//! What is put in or found goes to the young generation. When that has half of the bytes it becomes the old one, and what was old
//! and not asked for meanwhile is dropped. So it keeps what was used of late, to within a factor of two, without a list to maintain.
//! It is in parts, each with a lock of its own that is held for a look-up, so readers seldom wait for each other.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};

/// Parts; a power of two.
const PARTS: usize = 16;

/// Clean copies of what the store has.
pub(super) struct Cache<K, V> {
    parts: [Mutex<Part<K, V>>; PARTS],
    hasher: RandomState,
    /// Bytes of a generation of a part at most.
    generation_bytes: usize,
}

struct Part<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    young_bytes: usize,
}

impl<K: Copy + Eq + Hash, V: Clone> Cache<K, V> {
    /// An empty one that takes at most that many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let part = || Mutex::new(Part { young: HashMap::new(), old: HashMap::new(), young_bytes: 0 });
        Self { parts: std::array::from_fn(|_| part()), hasher: RandomState::new(), generation_bytes: bytes / PARTS / 2 }
    }

    fn part(&self, key: &K) -> Option<&Mutex<Part<K, V>>> {
        let hash = self.hasher.hash_one(key);
        self.parts.get(usize::try_from(hash >> 60).unwrap_or_default() % PARTS)
    }

    /// What is under the key.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let mut part = self.part(key)?.lock();
        if let Some((value, _)) = part.young.get(key) {
            return Some(value.clone());
        }
        let (value, size) = part.old.remove(key)?;
        part.put(*key, value.clone(), size, self.generation_bytes);
        Some(value)
    }

    /// Puts something of `size` bytes under the key.
    pub(super) fn put(&self, key: K, value: V, size: usize) {
        let Some(part) = self.part(&key) else { return };
        let mut part = part.lock();
        part.old.remove(&key);
        part.put(key, value, size, self.generation_bytes);
    }

    /// Forgets what is under the key.
    pub(super) fn remove(&self, key: &K) {
        let Some(part) = self.part(key) else { return };
        part.lock().remove(key);
    }
}

impl<K: Eq + Hash, V> Part<K, V> {
    fn remove(&mut self, key: &K) {
        self.old.remove(key);
        if let Some((_, size)) = self.young.remove(key) {
            self.young_bytes -= size;
        }
    }

    fn put(&mut self, key: K, value: V, size: usize, generation_bytes: usize) {
        if generation_bytes < size {
            // What was there is no longer so, and what is there now does not fit.
            self.remove(&key);
            return;
        }
        if generation_bytes < self.young_bytes + size {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += size;
        if let Some((_, before)) = self.young.insert(key, (value, size)) {
            self.young_bytes -= before;
        }
    }
}
