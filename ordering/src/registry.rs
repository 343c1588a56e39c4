//! Which slots an entry's source number stands for.
//!
//! Appenders register their slots and get a number, which their entries carry; the engine turns it back, from its own
//! copy and without a lock in the common case. A number is given again only when none of the earlier appender's slots
//! is outstanding: each of its entries holds a slot from the claim to the answer, so none can be on its way then.

use crate::slots::Slots;
use crate::sync::{AtomicBool, Monitor, Ordering};
use std::sync::Arc;

/// The registry is full: this many appenders are in use, or on their way out.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{source_count_max} appenders are in use; drop some, or raise the limit")]
pub struct RegistryFull {
    /// The limit.
    pub source_count_max: u32,
}

impl RegistryFull {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(self) -> &'static str {
        "registry.full"
    }
}

/// An appender's slots under its number.
#[derive(Debug)]
pub struct Source {
    id: u32,
    slots: Arc<Slots>,
    /// Set once the appender is gone; the number may stand for another from then on.
    retired: AtomicBool,
}

impl Source {
    /// Its number.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Its slots.
    pub const fn slots(&self) -> &Arc<Slots> {
        &self.slots
    }
}

#[derive(Debug, Default)]
struct Table {
    /// By number.
    sources: Vec<Arc<Source>>,
    /// Numbers whose appenders are gone.
    retired: Vec<u32>,
    /// Slots of appenders to come are halted from the start.
    halted: bool,
}

/// All appenders.
#[derive(Debug)]
pub struct Registry {
    source_count_max: u32,
    table: Monitor<Table>,
}

impl Registry {
    /// A registry of at most this many appenders at a time.
    pub fn new(source_count_max: u32) -> Self {
        Self { source_count_max, table: Monitor::new(Table::default()) }
    }

    /// Gives an appender's slots a number.
    ///
    /// # Errors
    ///
    /// [`RegistryFull`] if there are as many already.
    pub fn register(&self, slots: Arc<Slots>) -> Result<Arc<Source>, RegistryFull> {
        self.table.with(|table| {
            if table.halted {
                slots.halt();
            }
            let is_free = |id: &u32| table.sources.get(*id as usize).is_some_and(|old| old.slots.outstanding() == 0);
            let id = match table.retired.iter().position(is_free) {
                Some(index) => table.retired.swap_remove(index),
                None => u32::try_from(table.sources.len()).unwrap_or(u32::MAX),
            };
            let full = RegistryFull { source_count_max: self.source_count_max };
            if self.source_count_max <= id {
                return Err(full);
            }
            let source = Arc::new(Source { id, slots, retired: AtomicBool::new(false) });
            match table.sources.get_mut(id as usize) {
                Some(old) => *old = Arc::clone(&source),
                None => table.sources.push(Arc::clone(&source)),
            }
            Ok(source)
        })
    }

    /// Takes an appender's number back; its entries on their way are answered all the same. Once for a source.
    pub fn unregister(&self, source: &Source) {
        self.table.with(|table| {
            // Release pairs with the Acquire in `Sources::get`; the number is given anew only under this lock, later.
            if !source.retired.swap(true, Ordering::Release) {
                table.retired.push(source.id);
            }
        });
    }

    /// Answers [`crate::slots::Outcome::Unknown`] to all that is pending, in these appenders and those to come.
    pub fn halt(&self) {
        self.table.with(|table| {
            table.halted = true;
            table.sources.iter().for_each(|source| source.slots.halt());
        });
    }
}

/// The engine's copy of the registry.
#[derive(Debug)]
pub struct Sources {
    registry: Arc<Registry>,
    known: Vec<Option<Arc<Source>>>,
}

impl Sources {
    /// A copy that knows nobody yet.
    pub const fn new(registry: Arc<Registry>) -> Self {
        Self { registry, known: Vec::new() }
    }

    /// The appender that an entry in the ring came through; no lock if it was looked up before and is still there.
    ///
    /// `None` if the number was never given out: the entry is not one of ours.
    pub fn get(&mut self, id: u32) -> Option<&Arc<Source>> {
        let index = id as usize;
        // Acquire pairs with the Release in `unregister`. An entry of a later appender under this number was published
        // after that, so whoever reads the entry sees the earlier one retired.
        let is_current = |source: &Arc<Source>| !source.retired.load(Ordering::Acquire);
        if !self.known.get(index).and_then(Option::as_ref).is_some_and(is_current) {
            let found = self.registry.table.with(|table| table.sources.get(index).cloned())?;
            if self.known.len() <= index {
                self.known.resize(index + 1, None);
            }
            if let Some(known) = self.known.get_mut(index) {
                *known = Some(found);
            }
        }
        self.known.get(index).and_then(Option::as_ref)
    }
}
