//! The authors that the gate and the engine both know: where each stands in the sequencer, and whether it is let in.
//!
//! The gate looks an author up once, in the index, and gives it the next slot; the engine takes such arrivals before it
//! meets their first record. So the engine thread never reads the disk for an author, and a record carries a number
//! instead of a key. Authors who have something in the open segment are all here from the start.

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
}

impl Known {
    /// Whether its records are let in, as far as was sequenced.
    pub(crate) fn is_admitted(&self) -> bool {
        // Relaxed, here and below: hints; the sequencer decides.
        self.admitted.load(Ordering::Relaxed)
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

/// All authors met since the ledger was opened.
#[derive(Debug, Default)]
pub(crate) struct Authors {
    table: RwLock<HashMap<AuthorId, Arc<Known>>>,
    /// In the order of their slots. Locked while `table` is, or by the engine alone.
    arrivals: Mutex<Vec<Arrival>>,
}

impl Authors {
    /// An author met before.
    pub(crate) fn find(&self, id: &AuthorId) -> Option<Arc<Known>> {
        self.table.read().get(id).cloned()
    }

    /// Gives an author the next slot, unless another thread has just done so.
    pub(crate) fn add(&self, author: Author, admitted: bool) -> Arc<Known> {
        let mut table = self.table.write();
        if let Some(known) = table.get(&author.id) {
            return Arc::clone(known);
        }
        let known = Arc::new(Known {
            slot: u32::try_from(table.len()).unwrap_or(u32::MAX),
            admitted: AtomicBool::new(admitted),
            next_nonce: AtomicU64::new(author.window.top().map_or(0, |top| top.saturating_add(1))),
        });
        table.insert(author.id, Arc::clone(&known));
        self.arrivals.lock().push(Arrival { author, known: Arc::clone(&known) });
        known
    }

    /// For the engine: the authors added since it last asked, in the order of their slots.
    pub(crate) fn take_arrivals(&self) -> Vec<Arrival> {
        std::mem::take(&mut *self.arrivals.lock())
    }
}
