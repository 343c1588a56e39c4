//! The library: definitions that were compiled, since compiling one takes longer than applying a thousand records.
//!
//! What stands under a name and a version never changes in a ledger, so a compiled definition is never stale.

use crate::definition::Compiled;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Definitions kept compiled at most.
const KEPT_MAX: usize = 1024;

/// Compiled definitions, by name and version.
#[derive(Debug, Default)]
pub(crate) struct Library {
    compiled: Mutex<BTreeMap<(String, u64), Arc<Compiled>>>,
}

impl Library {
    /// One that was compiled before.
    pub(crate) fn find(&self, name: &str, version: u64) -> Option<Arc<Compiled>> {
        self.compiled.lock().get(&(name.to_owned(), version)).cloned()
    }

    /// Keeps one.
    pub(crate) fn add(&self, name: &str, version: u64, compiled: &Arc<Compiled>) {
        let mut kept = self.compiled.lock();
        if kept.len() == KEPT_MAX {
            kept.clear();
        }
        kept.insert((name.to_owned(), version), Arc::clone(compiled));
    }
}
