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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use crate::{Creation, Kind, Ledger, Options, RecordBuilder, SigningKey};
    use std::time::Duration;

    #[test]
    fn a_ledger_tells_what_it_has_written_and_what_is_left_of_its_runway() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("ledger");
        let ledger = Ledger::create(&place, &Creation::open("annals.example/meter"), Options::default()).unwrap();
        let (mut appender, key) = (ledger.appender().unwrap(), SigningKey::from_seed(&[1; 32]));
        let mut append = |nonce| {
            let builder = RecordBuilder::new(ledger.id(), Kind::APPLICATION_FIRST).unsalted().nonce(nonce);
            appender.append_wait(builder.sign(&key, &[7; 1000]).unwrap().bytes()).unwrap();
        };
        append(0);
        let (before, end) = (ledger.written(), ledger.reader().head().unwrap().end);
        (1..100).for_each(append);
        let (after, new_end) = (ledger.written(), ledger.reader().head().unwrap().end);
        assert_eq!(end.0, new_end.0, "in one segment");
        let (written, grown) = (after.data - before.data, new_end.1 - end.1);
        // A mark that says what is durable may have been written behind either.
        assert!(written.abs_diff(grown) <= 4 * 4096 && 100 * 1000 < written, "{written} written, {grown} grown");
        assert_eq!(written % 4096, 0);
        // The engine readies the runway as soon as it has nothing else to do.
        for _ in 0..1000 {
            if 60 << 20 <= ledger.runway_left() {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        let left = ledger.runway_left();
        assert!((60 << 20..=66 << 20).contains(&left), "{left} bytes, of 64 MiB");
        assert!(left <= ledger.written().runway, "all of it was written");
        ledger.close().unwrap();
    }
}
