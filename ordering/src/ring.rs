//! The ring: where records wait in one order between their callers, the verifiers and the engine.
//!
//! A bounded byte buffer for many producers, several verifiers and one engine. A record is copied into it once,
//! verified in place, and copied out of it once, into its block. It knows bytes and states; it hashes nothing,
//! wakes nobody and never waits: what does not fit is refused at once.
//!
//! # Algorithm
//!
//! Positions count 64-byte cells from 0 and only rise; the cell of a position is `position mod cells`. Three
//! cursors, `head <= verify <= tail` (verify may lag behind head for a moment, see 4 below):
//!
//! ```text
//!        head            verify             tail
//!  free   |  final, drained | published, taken |  free (up to head + cells)
//!         `- engine         `- verifiers (CAS) `- producers (CAS)
//! ```
//!
//! 1. *claim*: read tail, then head; if the entries do not fit below `head + cells`, push back: nothing was
//!    written. Otherwise one CAS moves the tail over all of them. An entry is contiguous; one that would cross the
//!    end of the buffer is preceded by a Pad entry up to the end, within the same CAS.
//! 2. *publish*: copy header, head and payload, then store the state word (Release). Nothing else happens in
//!    between. A claim that is dropped publishes what it did not write as Void.
//! 3. *verify*: scan published entries from the verify cursor, remember where they are, and CAS the cursor
//!    over them: who moved it owns them. Each ends with a state word (Release): Verified or why not.
//! 4. *drain*: the engine reads on from the head while the states are final. When it has copied a block it gives
//!    the cells back: it sets the state words to Empty, moves the verify cursor along if that lags (entries that
//!    were published verified, Void or Pad need no verifier), and stores the head (Release).
//!
//! **Nobody looks at a state word at or above a tail that he has read (Acquire).** So a word is never one of an
//! earlier round: the claim behind that tail came after the engine had emptied the cell (tail CAS Release, after
//! head Acquire). A word of a *later* round can be met only by a verifier that scans with an outdated cursor, and its
//! CAS then fails, since cells are given back only below the cursor. Positions are 64 bits: no cursor ever wraps.
//!
//! One producer's entries keep their order, since its claims do. Progress: claims and verification are lock-free;
//! an entry that is claimed and not yet published holds up those behind it, for the length of a memcpy (or of
//! the time that the scheduler takes the thread away).
//!
//! # Source, and how this departs from it
//!
//! The log buffer of Aeron (Thompson, Montgomery: `ManyToOneRingBuffer`, term buffers): claim by moving the tail, a
//! length word published last, padding at the wrap.
//!
//! 1. The state words are in an array of their own, one a cell, not in the bytes: payload bytes cannot imitate
//!    a state, nothing has to be zeroed when cells are given back, and loom can model this very source.
//! 2. The tail is moved by CAS after a look at the head, not by fetch-and-add: a refusal writes no shared line, and the
//!    tail never runs ahead of what there is room for.
//! 3. A whole batch of records is one CAS.
//! 4. Between producers and consumer stand the verifiers, with a cursor of their own.
//! 5. Each entry gets its own state rather than each consumer its own cursor alone, so verifiers finish in any order.
//!
//! Cost a record of 256 bytes: 9 cells; one memcpy of 512 bytes in; of shared lines the tail's once a batch, the state word's
//! three times, head and verify once a block or batch.

mod batch;
mod claim;
mod drain;
mod entry;
mod storage;

#[cfg(all(test, not(loom)))]
mod tests;

pub use batch::{Batch, Share, Unverified};
pub use claim::Claim;
pub use drain::{Drain, Peek};
pub use entry::{Entry, EntryView, Known, Verification};

use crate::sync::{AtomicU64, Ordering};
use annals_core::limits::PAYLOAD_SIZE_MAX;
use crossbeam_utils::CachePadded;
use std::sync::Arc;
use storage::{CELL_SIZE, Storage};

/// Least capacity of a ring in bytes.
pub const CAPACITY_MIN: usize = 1 << 20;
/// Largest capacity of a ring in bytes.
pub const CAPACITY_MAX: usize = 64 << 20;
/// Capacity of a ring in bytes unless an option says otherwise.
pub const CAPACITY_DEFAULT: usize = 16 << 20;
/// The largest entry fits the ring at least this often, so that padding never keeps it out.
const LARGEST_ENTRIES_MIN: u64 = 4;

const _: () = assert!(CAPACITY_MAX / CELL_SIZE < 1 << 28, "a state word holds the cells of an entry");
const _: () = assert!(PAYLOAD_SIZE_MAX < u32::MAX as usize, "a header holds the payload size");

/// Why a claim was refused. Nothing was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Pushback {
    /// The ring has no room right now.
    #[error("the ring is full; send the record again in a moment")]
    RingFull,
    /// All completion slots of this appender are outstanding.
    #[error("too many records of this appender are outstanding; wait for some of them")]
    SlotsOutstanding,
    /// A record above the ring's payload limit, or a batch that would never fit; claim fewer records at once.
    #[error("the records never fit the ring at once; send fewer at a time")]
    TooLarge,
}

impl Pushback {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(self) -> &'static str {
        match self {
            Self::RingFull => "pushback.ring",
            Self::SlotsOutstanding => "pushback.slots",
            Self::TooLarge => "pushback.too_large",
        }
    }
}

/// Why there can be no ring of this capacity.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// The capacity is out of range, or no power of two.
    #[error("a ring of {got} bytes; it takes a power of two from {CAPACITY_MIN} to {CAPACITY_MAX}")]
    Capacity {
        /** Bytes asked for. */
        got: usize,
    },
    /// The largest entry would not fit four times.
    #[error(
        "a ring of {capacity} bytes is too small for payloads of {payload_size_max} bytes; they must fit four times"
    )]
    Payload {
        /** Bytes of the ring. */
        capacity: usize,
        /** Bytes of the largest payload. */
        payload_size_max: usize,
    },
}

impl RingError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Capacity { .. } => "ring.capacity",
            Self::Payload { .. } => "ring.payload",
        }
    }
}

/// The ring, as producers and verifiers share it. The engine's end is the [`Drain`].
#[derive(Debug)]
pub struct Ring {
    storage: Storage,
    largest_entry: u64,
    /// End of what is claimed. Moved by producers, by CAS.
    tail: CachePadded<AtomicU64>,
    /// End of what verifiers have taken. Moved by verifiers, by CAS, and by the engine.
    verify: CachePadded<AtomicU64>,
    /// End of what was given back. Moved by the engine alone.
    head: CachePadded<AtomicU64>,
}

impl Ring {
    /// A ring of `capacity` bytes for payloads of up to `payload_size_max` bytes, and the engine's end of it.
    ///
    /// # Errors
    ///
    /// [`RingError`] if the capacity is no power of two from [`CAPACITY_MIN`] to [`CAPACITY_MAX`], or below four times
    /// the largest entry.
    pub fn new(capacity: usize, payload_size_max: usize) -> Result<(Arc<Self>, Drain), RingError> {
        Self::check(capacity, payload_size_max)?;
        Self::with_cells(capacity / CELL_SIZE, payload_size_max)
    }

    /// Whether there can be a ring of `capacity` bytes for payloads of up to `payload_size_max` bytes. Allocates nothing.
    ///
    /// # Errors
    ///
    /// As [`Ring::new`].
    pub fn check(capacity: usize, payload_size_max: usize) -> Result<(), RingError> {
        if !capacity.is_power_of_two() || !(CAPACITY_MIN..=CAPACITY_MAX).contains(&capacity) {
            return Err(RingError::Capacity { got: capacity });
        }
        Self::largest_entry(capacity / CELL_SIZE, payload_size_max).map(|_| ())
    }

    /// A ring as small as a model needs it: any power of two of cells.
    ///
    /// # Errors
    ///
    /// [`RingError::Payload`] if it is below four times the largest entry.
    #[cfg(loom)]
    pub fn for_model(cell_count: usize, payload_size_max: usize) -> Result<(Arc<Self>, Drain), RingError> {
        Self::with_cells(cell_count, payload_size_max)
    }

    /// Cells of the largest entry, if a ring of so many has room for some of them.
    fn largest_entry(cell_count: usize, payload_size_max: usize) -> Result<u64, RingError> {
        let error = RingError::Payload { capacity: cell_count * CELL_SIZE, payload_size_max };
        let largest_entry = u32::try_from(payload_size_max).map(entry::entry_cells).map_err(|_| error)?;
        if (cell_count as u64) < LARGEST_ENTRIES_MIN * largest_entry { Err(error) } else { Ok(largest_entry) }
    }

    /// A ring of any power of two of cells.
    fn with_cells(cell_count: usize, payload_size_max: usize) -> Result<(Arc<Self>, Drain), RingError> {
        let largest_entry = Self::largest_entry(cell_count, payload_size_max)?;
        let ring = Arc::new(Self {
            storage: Storage::new(cell_count),
            largest_entry,
            tail: CachePadded::new(AtomicU64::new(0)),
            verify: CachePadded::new(AtomicU64::new(0)),
            head: CachePadded::new(AtomicU64::new(0)),
        });
        let drain = Drain::new(Arc::clone(&ring));
        Ok((ring, drain))
    }

    /// Bytes of the ring.
    pub fn capacity(&self) -> u64 {
        self.storage.cell_count() * CELL_SIZE as u64
    }

    /// Whether nothing at all waits here, as far as one look tells: then a lone record is verified by its caller.
    pub fn is_empty(&self) -> bool {
        // Relaxed: a hint; whoever acts on it goes through `claim`, `take_batch` or `peek`.
        self.tail.load(Ordering::Relaxed) <= self.head.load(Ordering::Relaxed)
    }

    /// Bytes that no verifier has taken yet, as far as one look tells.
    pub fn unverified(&self) -> u64 {
        // Relaxed: a hint, as above.
        let verify = self.verify.load(Ordering::Relaxed);
        self.tail.load(Ordering::Relaxed).saturating_sub(verify) * CELL_SIZE as u64
    }

    /// Bytes in use, as far as one look tells.
    pub fn used(&self) -> u64 {
        // Relaxed: a hint, as above.
        let head = self.head.load(Ordering::Relaxed);
        self.tail.load(Ordering::Relaxed).saturating_sub(head) * CELL_SIZE as u64
    }

    /// Whether there is room for records with payloads of these sizes, as far as one look tells: who is told no here is spared
    /// all that comes before a claim. Also true of more than ever fits, which `claim` tells.
    pub fn has_room_for(&self, payload_sizes: impl Iterator<Item = usize>) -> bool {
        let cells = |size| u32::try_from(size).map_or(self.storage.cell_count(), entry::entry_cells);
        // Relaxed: a hint, as above; `claim` decides.
        let head = self.head.load(Ordering::Relaxed);
        let used = self.tail.load(Ordering::Relaxed).saturating_sub(head);
        let wanted = payload_sizes.map(cells).fold(0, u64::saturating_add);
        self.storage.cell_count() < wanted || used + wanted <= self.storage.cell_count()
    }

    /// Cells to pad so that an entry of `cells` that comes next at `position` does not cross the end of the buffer.
    fn padding(&self, position: u64, cells: u64) -> u64 {
        let to_end = self.storage.cell_count() - (position & (self.storage.cell_count() - 1));
        if cells <= to_end { 0 } else { to_end }
    }
}
