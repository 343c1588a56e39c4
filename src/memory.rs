//! How much memory a writer holds at most, counted before it is opened.
//!
//! | what | bytes |
//! |---|---|
//! | ring | its size, and a state word of 4 bytes for each cell of 64 |
//! | blocks | three of the largest frame: one that is filled, two that are written; 1 MiB of runway |
//! | indexes | 32 bytes a record of the open segment, and of one that waits for its file |
//! | authors | 400 bytes each, as many as are remembered beyond a segment's end |
//! | reading | what [`Options::reading_memory`] says |
//! | appenders | 17 bytes for each record that one may have outstanding |
//!
//! All but the appenders is known at opening; they are counted as they come and go. Not counted: authors first met in the open
//! segment beyond [`Options::author_count_max`], stacks of threads, and what the embedder holds itself, a [`crate::Pending`]
//! of 232 bytes for each record outstanding.

use crate::open_error::OpenError;
use crate::options::Options;
use annals_core::limits::{BODY_SIZE_MAX, PAYLOAD_SIZE_MAX};
use annals_ordering::ring::Ring;
use annals_ordering::slots::SLOT_COUNT_MAX;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a writer may hold unless an option says otherwise, if its segments allow it.
const DEFAULT: u64 = 256 << 20;
/// Left to appenders at least, where the default is raised for large segments.
const APPENDERS_LEAST: u64 = 32 << 20;
/// Least bytes of a segment for a record: head, state, end.
const RECORD_BYTES_LEAST: u64 = 204;
/// Bytes that an index in memory, or its file, takes for a record.
const INDEX_ENTRY_BYTES: u64 = 32;
/// Indexes there are at a time: that of the open segment, and a closed one's until its file is written.
const INDEX_COUNT: u64 = 2;
/// Bytes that an author takes, with the tables that find it.
const AUTHOR_BYTES: u64 = 400;
/// Frames in memory at a time.
const FRAME_COUNT: u64 = 3;
/// Bytes of runway written at a time.
const RUNWAY_BYTES: u64 = 1 << 20;

/// Records that the ledger key's own appender may have outstanding.
pub(crate) const TICKER_OUTSTANDING: u32 = 16;

/// Bytes that may still be given to appenders.
#[derive(Debug)]
pub(crate) struct Budget {
    left: AtomicU64,
    most: u64,
}

/// Bytes that a writer of these options holds on segments of this size, appenders left out.
fn needed(segment_size: u64, options: &Options) -> u64 {
    let ring = options.ring_size as u64;
    let frame = (BODY_SIZE_MAX as u64 + BODY_SIZE_MAX as u64 / 16).min(segment_size);
    let index = segment_size / RECORD_BYTES_LEAST * INDEX_ENTRY_BYTES;
    let authors = (options.author_count_max as u64).saturating_mul(AUTHOR_BYTES);
    let fixed = ring + ring / 16 + FRAME_COUNT * frame + RUNWAY_BYTES + INDEX_COUNT * index;
    fixed.saturating_add(authors).saturating_add(options.reading_memory as u64)
}

/// Bytes of an appender's slots.
pub(crate) const fn appender_bytes(outstanding_max: usize) -> u64 {
    17 * outstanding_max as u64
}

impl Budget {
    /// What is left to appenders when the rest has been taken. Sizes that no ledger can have are refused first.
    ///
    /// # Errors
    ///
    /// [`OpenError::Ring`], [`OpenError::Outstanding`]; [`OpenError::Memory`] if not even one appender is left beside that of
    /// the ledger key.
    pub(crate) fn new(segment_size: u64, options: &Options) -> Result<Self, OpenError> {
        Ring::check(options.ring_size, PAYLOAD_SIZE_MAX)?;
        if !(1..=SLOT_COUNT_MAX).contains(&options.outstanding_max) {
            return Err(OpenError::Outstanding { got: options.outstanding_max });
        }
        let fixed = needed(segment_size, options);
        let most = options.memory_max.unwrap_or_else(|| DEFAULT.max(fixed.saturating_add(APPENDERS_LEAST)));
        let appenders = appender_bytes(TICKER_OUTSTANDING as usize) + appender_bytes(options.outstanding_max as usize);
        // More than can be counted is more than there is, whatever is allowed.
        if most.checked_sub(fixed).is_none_or(|left| left < appenders) {
            return Err(OpenError::Memory { needed: fixed.saturating_add(appenders), allowed: most });
        }
        Ok(Self { left: AtomicU64::new(most - fixed), most })
    }

    /// Bytes that the writer holds at most.
    pub(crate) const fn most(&self) -> u64 {
        self.most
    }

    /// Takes so many bytes; whether there were as many.
    pub(crate) fn take(&self, bytes: u64) -> bool {
        // Relaxed, here and below: a count that hands on no data.
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    /// Gives them back.
    pub(crate) fn give_back(&self, bytes: u64) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_option_that_takes_memory_is_counted() {
        let options = Options::default();
        let before = needed(64 << 20, &options);
        let more = |options: Options| needed(64 << 20, &options) - before;
        // As the table at the head of this file says.
        assert_eq!(
            more(Options { ring_size: options.ring_size + (1 << 20), ..options.clone() }),
            (1 << 20) + (4 << 14)
        );
        assert_eq!(more(Options { reading_memory: options.reading_memory + 1000, ..options.clone() }), 1000);
        assert_eq!(more(Options { author_count_max: options.author_count_max + 10, ..options.clone() }), 4000);
        assert!(size_of::<crate::Pending>() <= 232);
    }

    #[test]
    fn defaults_fit_the_default_and_leave_room_for_a_hundred_appenders() {
        let options = Options::default();
        let budget = Budget::new(256 << 20, &options).unwrap();
        assert_eq!(budget.most(), 256 << 20);
        let appenders = (0..).take_while(|_| budget.take(appender_bytes(options.outstanding_max as usize))).count();
        assert!(100 < appenders, "{appenders}");
        budget.give_back(appender_bytes(options.outstanding_max as usize));
        assert!(budget.take(appender_bytes(options.outstanding_max as usize)));
    }

    #[test]
    fn large_segments_raise_the_default_but_not_what_was_asked_for() {
        let options = Options::default();
        // 4 GiB of the smallest records are 21 million, at 32 bytes, twice.
        let most = Budget::new(4 << 30, &options).unwrap().most();
        assert!((1285 << 20..1500 << 20).contains(&most), "{most}");
        let asked = Options { memory_max: Some(512 << 20), ..options };
        let refused = Budget::new(4 << 30, &asked).unwrap_err();
        assert!(matches!(refused, OpenError::Memory { allowed, .. } if allowed == 512 << 20), "{refused}");
        assert_eq!(Budget::new(256 << 20, &asked).unwrap().most(), 512 << 20);
    }

    #[test]
    fn what_is_said_to_be_needed_is_enough_and_less_is_not() {
        let options = Options { memory_max: Some(0), ..Options::default() };
        let Err(OpenError::Memory { needed, .. }) = Budget::new(2 << 20, &options) else { panic!("nothing is enough") };
        let budget = |most| Budget::new(2 << 20, &Options { memory_max: Some(most), ..options.clone() });
        assert_eq!(budget(needed - 1).unwrap_err().code(), "open.memory");
        let budget = budget(needed).unwrap();
        // As opening does, and then its caller.
        assert!(budget.take(appender_bytes(TICKER_OUTSTANDING as usize)));
        assert!(budget.take(appender_bytes(options.outstanding_max as usize)));
    }

    #[test]
    fn sizes_that_no_ledger_has_are_refused() {
        let some = Options::default;
        let table = [
            (Options { ring_size: 0, ..some() }, "ring.capacity"),
            (Options { ring_size: usize::MAX, ..some() }, "ring.capacity"),
            (Options { ring_size: 4 << 20, ..some() }, "ring.payload"),
            (Options { outstanding_max: 0, ..some() }, "open.outstanding"),
            (Options { outstanding_max: u32::MAX, memory_max: Some(u64::MAX), ..some() }, "open.outstanding"),
            (Options { reading_memory: usize::MAX, ..some() }, "open.memory"),
            (Options { author_count_max: usize::MAX, memory_max: Some(u64::MAX), ..some() }, "open.memory"),
        ];
        for (options, code) in table {
            assert_eq!(Budget::new(256 << 20, &options).unwrap_err().code(), code, "{options:?}");
        }
        for outstanding_max in [1, SLOT_COUNT_MAX] {
            Budget::new(2 << 20, &Options { outstanding_max, ..some() }).unwrap();
        }
    }
}
