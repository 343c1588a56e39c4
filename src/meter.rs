//! What the engine has written and how far its runway goes: figures for whoever measures or watches a ledger.
//!
//! Counters, nothing more: no decision depends on them. The engine thread alone stores them, a plain store each, since nobody
//! else writes; readers may see them a moment late, and one a moment before another.

use annals_storage::device::{Write, WriteKind};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that a ledger has handed to its device since it was opened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Written {
    /// Frames: blocks and marks, with their padding.
    pub data: u64,
    /// Zeros ahead of them.
    pub runway: u64,
}

/// The counters of an open ledger.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    data: AtomicU64,
    runway: AtomicU64,
    runway_left: AtomicU64,
}

impl Meter {
    /// A write goes to the device, and this is what it leaves of the runway; only the engine thread calls it.
    pub(crate) fn count(&self, write: &Write, runway_left: u64) {
        let counter = match write.kind {
            WriteKind::Data => &self.data,
            WriteKind::Runway => &self.runway,
        };
        // Relaxed: one writer, and a figure that orders nothing.
        counter.store(counter.load(Ordering::Relaxed) + write.buffer.len() as u64, Ordering::Relaxed);
        self.set_runway_left(runway_left);
    }

    /// So many bytes of written zeros lie ahead of the data; only the engine thread calls it.
    pub(crate) fn set_runway_left(&self, bytes: u64) {
        self.runway_left.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn runway_left(&self) -> u64 {
        self.runway_left.load(Ordering::Relaxed)
    }

    pub(crate) fn written(&self) -> Written {
        Written { data: self.data.load(Ordering::Relaxed), runway: self.runway.load(Ordering::Relaxed) }
    }
}
