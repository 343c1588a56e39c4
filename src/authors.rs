//! The authors that the gate and the engine both know: where each stands in the sequencer, and whether it is let in.
//!
//! The gate looks an author up once, in the index, and gives it the next slot; the engine takes such arrivals before it
//! meets their first record. So the engine thread never reads the disk for an author, and a record carries a number
//! instead of a key. Authors who have something in the open segment are all here from the start.
//!
//! When a segment ends, the index tells all that was known of every author. If there are more of them than the option allows,
//! they are all forgotten then, and slots are given out anew. Who still holds an old slot is refused for the moment: the
//! sequencer compares the key. An author that was looked up before they were forgotten is looked up again.

use annals_core::hash::AuthorId;
use annals_ordering::sequence::Author;
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What the gate knows of an author.
#[derive(Debug)]
pub(crate) struct Known {
    /// Its slot in the sequencer.
    pub(crate) slot: u32,
    /// Whether its records are let in. A hint that the engine keeps; the sequencer decides.
    admitted: AtomicBool,
    /// The first nonce above all that were sequenced.
    next_nonce: AtomicU64,
    /// The slot is another's by now: look the author up again.
    forgotten: AtomicBool,
}

impl Known {
    /// Whether its records are let in, as far as was sequenced.
    pub(crate) fn is_admitted(&self) -> bool {
        // Relaxed, here and below: hints; the sequencer decides.
        self.admitted.load(Ordering::Relaxed)
    }

    /// Whether the slot holds no more.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// For the engine: the author was admitted or revoked.
    pub(crate) fn set_admitted(&self, admitted: bool) {
        self.admitted.store(admitted, Ordering::Relaxed);
    }

    /// The first nonce above all that were sequenced.
    pub(crate) fn next_nonce(&self) -> u64 {
        self.next_nonce.load(Ordering::Relaxed)
    }

    /// For the engine, the only one who writes it: this nonce was sequenced.
    pub(crate) fn note_nonce(&self, nonce: u64) {
        if self.next_nonce.load(Ordering::Relaxed) <= nonce {
            self.next_nonce.store(nonce.saturating_add(1), Ordering::Relaxed);
        }
    }
}

/// An author on its way from the gate to the sequencer.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) author: Author,
    pub(crate) known: Arc<Known>,
}

/// The authors in memory.
#[derive(Debug, Default)]
struct Table {
    known: HashMap<AuthorId, Arc<Known>>,
    /// How often all were forgotten.
    generation: u64,
}

/// All authors met since the ledger was opened, or since they were forgotten.
#[derive(Debug, Default)]
pub(crate) struct Authors {
    table: RwLock<Table>,
    /// In the order of their slots. Locked while `table` is, or by the engine alone.
    arrivals: Mutex<Vec<Arrival>>,
}

impl Authors {
    /// An author met before.
    pub(crate) fn find(&self, id: &AuthorId) -> Option<Arc<Known>> {
        self.table.read().known.get(id).cloned()
    }

    /// What a look-up begins with, so that [`Authors::add`] can tell whether it holds still.
    pub(crate) fn generation(&self) -> u64 {
        self.table.read().generation
    }

    /// Gives an author the next slot, unless another thread has just done so. None if all authors were forgotten since
    /// `generation`: what was looked up may be outdated.
    pub(crate) fn add(&self, author: Author, admitted: bool, generation: u64) -> Option<Arc<Known>> {
        let mut table = self.table.write();
        if table.generation != generation {
            return None;
        }
        if let Some(known) = table.known.get(&author.id) {
            return Some(Arc::clone(known));
        }
        let known = Arc::new(Known {
            slot: u32::try_from(table.known.len()).unwrap_or(u32::MAX),
            admitted: AtomicBool::new(admitted),
            next_nonce: AtomicU64::new(author.window.top().map_or(0, |top| top.saturating_add(1))),
            forgotten: AtomicBool::new(false),
        });
        table.known.insert(author.id, Arc::clone(&known));
        self.arrivals.lock().push(Arrival { author, known: Arc::clone(&known) });
        Some(known)
    }

    /// For the engine, when the index tells all: forgets every author if there are more than so many; whether it did.
    pub(crate) fn forget_above(&self, count_max: usize) -> bool {
        let mut table = self.table.write();
        if table.known.len() <= count_max {
            return false;
        }
        table.generation += 1;
        for (_, known) in table.known.drain() {
            // Relaxed: who misses it is refused by the sequencer.
            known.forgotten.store(true, Ordering::Relaxed);
        }
        self.arrivals.lock().clear();
        true
    }

    /// For the engine: the authors added since it last asked, in the order of their slots.
    pub(crate) fn take_arrivals(&self) -> Vec<Arrival> {
        std::mem::take(&mut *self.arrivals.lock())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_was_looked_up_before_all_were_forgotten_is_not_taken() {
        let authors = Authors::default();
        let author = |number: u8| Author::new(AuthorId::from_bytes([number; 32]));
        let before = authors.generation();
        let first = authors.add(author(1), true, before).unwrap();
        assert_eq!((first.slot, authors.take_arrivals().len()), (0, 1));
        assert_eq!(authors.add(author(2), true, before).unwrap().slot, 1);
        assert!(!authors.forget_above(2) && !first.is_forgotten());
        assert!(authors.forget_above(1) && first.is_forgotten());
        assert!(authors.add(author(2), true, before).is_none(), "its window may be outdated");
        assert!(authors.find(&AuthorId::from_bytes([1; 32])).is_none());
        assert_eq!(authors.add(author(2), true, authors.generation()).unwrap().slot, 0);
        assert_eq!(authors.take_arrivals().len(), 1, "arrivals of before are gone");
    }
}
