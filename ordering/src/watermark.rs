//! The final watermark: how far the ledger is final, and whoever waits for it to move.
//!
//! The engine moves it once a block; readers load it; followers sleep on it. It never falls. It says nothing about
//! single records: their callers are answered through [`crate::slots`].

use crate::park::Parking;
use crate::sync::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What a wait for the watermark ended with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// All records below this seq are final, and it is above the one asked for.
    Final {
        /// The first seq that is not final.
        next_seq: u64,
    },
    /// The ledger halted before; nothing more becomes final.
    Halted,
    /// The time passed.
    TimedOut,
}

/// The final watermark of a ledger.
#[derive(Debug)]
pub struct Watermark {
    next_seq: AtomicU64,
    halted: AtomicBool,
    parking: Parking,
}

impl Watermark {
    /// A watermark below which all is final already.
    pub fn new(next_seq: u64) -> Self {
        Self { next_seq: AtomicU64::new(next_seq), halted: AtomicBool::new(false), parking: Parking::new() }
    }

    /// The first seq that is not final.
    pub fn next_seq(&self) -> u64 {
        // Acquire pairs with the Release in `advance`: what was final is there to be read.
        self.next_seq.load(Ordering::Acquire)
    }

    /// Whether the ledger halted.
    pub fn is_halted(&self) -> bool {
        // Acquire pairs with the Release in `halt`: so is what became final before.
        self.halted.load(Ordering::Acquire)
    }

    /// Says that all below `next_seq` is final, and wakes who waits for it; for the engine.
    ///
    /// # Panics
    ///
    /// If it would fall: what is final stays so.
    pub fn advance(&self, next_seq: u64) {
        // Relaxed: the engine alone writes it.
        let current = self.next_seq.load(Ordering::Relaxed);
        assert!(current <= next_seq, "the watermark fell from {current} to {next_seq}");
        // Release pairs with the Acquire in `next_seq`.
        self.next_seq.store(next_seq, Ordering::Release);
        self.parking.wake(|_| true);
    }

    /// Says that nothing more becomes final, and wakes all.
    pub fn halt(&self) {
        // Release pairs with the Acquire in `is_halted`.
        self.halted.store(true, Ordering::Release);
        self.parking.wake(|_| true);
    }

    /// Sleeps until the record of this seq is final, at most `timeout` if there is one.
    pub fn wait_past(&self, seq: u64, timeout: Option<Duration>) -> Progress {
        self.parking.wait(timeout, || self.progress_past(seq)).unwrap_or(Progress::TimedOut)
    }

    fn progress_past(&self, seq: u64) -> Option<Progress> {
        // The flag first: what became final before the halt is still told.
        let halted = self.is_halted();
        let next_seq = self.next_seq();
        if seq < next_seq { Some(Progress::Final { next_seq }) } else { halted.then_some(Progress::Halted) }
    }
}
