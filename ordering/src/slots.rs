//! Completion slots: how the engine answers the callers of one appender, without allocating for a record.
//!
//! The producer reserves a slot before it claims room in the ring; the entry carries its number; the engine
//! completes it once the record is final or refused; the caller's `Pending` reads it and gives it back, from any
//! thread. A slot that is given back before it is completed stays out of use until the engine has completed it, so
//! an answer never reaches the wrong record. Who a slot belongs to is not kept here.
//!
//! ```text
//! outcome word:  bits 0..8 tag: 0 free, 1 pending, 2 dropped, 3 final, 4 seen, 5 refused, 6 unknown
//!                bits 8..64 seq (below 2^53) or code
//! free -reserve-> pending -complete-> final, seen, refused, unknown -release-> free
//!                 pending -release-> dropped -complete-> free
//! ```
//!
//! Free slots are bits of a map, so that "all outstanding" is found out in a few loads. Cost a record: four
//! read-modify-writes on lines that only this appender and the engine share.

use crate::park::Parking;
use crate::ring::Pushback;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use annals_core::limits::NUMBER_MAX;
use std::task::{Poll, Waker};
use std::time::Duration;

/// Most slots of an appender.
pub const SLOT_COUNT_MAX: u32 = 1 << 20;

/// Why the engine refused a record that had a place in the ring.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RefusalCode {
    /// The signature does not hold.
    BadSignature,
    /// The payload is not what the head commits to.
    BadContent,
    /// The author is not admitted.
    NotAdmitted,
    /// The author was revoked.
    Revoked,
    /// The sequencer does not know the author, or no longer; the gate looks it up when the record is sent again.
    UnknownAuthor,
    /// An engine record by one who is no admin.
    NotAdmin,
    /// An engine record that is malformed or not taken.
    EngineRecord,
    /// The record is for another ledger.
    Ledger,
    /// The engine could not take it now; the same bytes may be taken later.
    Overloaded,
    /// The disk has no room for another segment.
    DiskFull,
    /// The next segment can't be made, for another reason.
    NoSegment,
    /// A state root of a block that is not below the record's own.
    StateRootLater,
}

impl RefusalCode {
    const ALL: [Self; 12] = [
        Self::BadSignature,
        Self::BadContent,
        Self::NotAdmitted,
        Self::Revoked,
        Self::UnknownAuthor,
        Self::NotAdmin,
        Self::EngineRecord,
        Self::Ledger,
        Self::Overloaded,
        Self::DiskFull,
        Self::NoSegment,
        Self::StateRootLater,
    ];
}

/// What became of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It is final.
    Final {
        /// Its seq.
        seq: u64,
        /// Its block's height.
        height: u64,
    },
    /// Its nonce was met before or is too old to tell: the caller looks it up.
    Seen {
        /// All records below this seq are final, and the one that used the nonce, if any, is among them.
        below: u64,
    },
    /// It was refused; its nonce stays free.
    Refused(RefusalCode),
    /// The ledger halted before the record was final: ask again after reopening.
    Unknown,
}

const TAG_FREE: u64 = 0;
const TAG_PENDING: u64 = 1;
const TAG_DROPPED: u64 = 2;
const TAG_FINAL: u64 = 3;
const TAG_SEEN: u64 = 4;
const TAG_REFUSED: u64 = 5;
const TAG_UNKNOWN: u64 = 6;

const _: () = assert!(NUMBER_MAX < 1 << 56, "a seq fits beside the tag");

impl Outcome {
    /// The outcome word and the height word.
    fn encode(self) -> (u64, u64) {
        match self {
            Self::Final { seq, height } => (seq << 8 | TAG_FINAL, height),
            Self::Seen { below } => (below << 8 | TAG_SEEN, 0),
            Self::Refused(code) => ((code as u64) << 8 | TAG_REFUSED, 0),
            Self::Unknown => (TAG_UNKNOWN, 0),
        }
    }

    /// `height` is called only if the outcome has one.
    fn decode(word: u64, height: impl FnOnce() -> u64) -> Option<Self> {
        let value = word >> 8;
        match word & 0xFF {
            TAG_FINAL => Some(Self::Final { seq: value, height: height() }),
            TAG_SEEN => Some(Self::Seen { below: value }),
            TAG_REFUSED => RefusalCode::ALL.into_iter().find(|code| *code as u64 == value).map(Self::Refused),
            TAG_UNKNOWN => Some(Self::Unknown),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Slot {
    outcome: AtomicU64,
    /// Written by the engine before `outcome`, read after it.
    height: AtomicU64,
}

/// The slots of one appender.
#[derive(Debug)]
pub struct Slots {
    slots: Box<[Slot]>,
    /// One bit a slot, set while it is free.
    free: Box<[AtomicU64]>,
    /// Word of `free` that had a free slot last: a hint of where to look first.
    hint: AtomicU32,
    halted: AtomicBool,
    parking: Parking,
}

impl Slots {
    /// This many slots, all free.
    ///
    /// # Panics
    ///
    /// If the count is zero or above [`SLOT_COUNT_MAX`].
    pub fn new(count: u32) -> Self {
        assert!(0 < count && count <= SLOT_COUNT_MAX, "an appender has 1 to {SLOT_COUNT_MAX} slots");
        let bits = |word: u32| if count - 64 * word < 64 { (1 << (count - 64 * word)) - 1 } else { u64::MAX };
        Self {
            slots: (0..count).map(|_| Slot { outcome: AtomicU64::new(TAG_FREE), height: AtomicU64::new(0) }).collect(),
            free: (0..count.div_ceil(64)).map(|word| AtomicU64::new(bits(word))).collect(),
            hint: AtomicU32::new(0),
            halted: AtomicBool::new(false),
            parking: Parking::new(),
        }
    }

    /// Reserves a free slot. Meant for one producer; sound for several.
    ///
    /// # Errors
    ///
    /// [`Pushback::SlotsOutstanding`] if there is none. Nothing was written.
    pub fn reserve(&self) -> Result<u32, Pushback> {
        // Relaxed: a hint.
        let hint = self.hint.load(Ordering::Relaxed);
        let word_count = u32::try_from(self.free.len()).unwrap_or(u32::MAX);
        for word in (hint..word_count).chain(0..hint) {
            let Some(map) = self.free.get(word as usize) else { continue };
            // Relaxed: only a set bit that the exchange below clears counts.
            let mut bits = map.load(Ordering::Relaxed);
            while bits != 0 {
                let bit = bits & bits.wrapping_neg();
                // Acquire pairs with the Release in `free`: the earlier holder is done with the slot.
                bits = map.fetch_and(!bit, Ordering::Acquire);
                if bits & bit != 0 {
                    if word != hint {
                        self.hint.store(word, Ordering::Relaxed);
                    }
                    let slot = 64 * word + bit.trailing_zeros();
                    // Relaxed: the slot is this thread's; the ring or the `Pending` hands it on.
                    self.slot(slot).outcome.store(TAG_PENDING, Ordering::Relaxed);
                    return Ok(slot);
                }
            }
        }
        Err(Pushback::SlotsOutstanding)
    }

    /// Whether so many slots are free, as far as one look tells. Writes nothing.
    pub fn has_free(&self, count: usize) -> bool {
        let mut found = 0;
        // Relaxed: a hint; `reserve` decides.
        count == 0
            || self.free.iter().any(|map| {
                found += map.load(Ordering::Relaxed).count_ones() as usize;
                count <= found
            })
    }

    /// Answers: for the engine, once a slot. Sleepers are told by [`Slots::wake`], once for many answers.
    ///
    /// # Panics
    ///
    /// If the slot does not wait for an answer: that is our own bug.
    pub fn complete(&self, slot: u32, outcome: Outcome) {
        let cell = self.slot(slot);
        let (word, height) = outcome.encode();
        // Relaxed: ordered before the exchange by its Release.
        cell.height.store(height, Ordering::Relaxed);
        // Release pairs with the Acquire in `read`: the height is there. Acquire on failure pairs with the Release in
        // `release`: the caller is done with the slot.
        match cell.outcome.compare_exchange(TAG_PENDING, word, Ordering::Release, Ordering::Acquire) {
            Ok(_) => {}
            Err(TAG_DROPPED) => self.free(slot),
            Err(other) => panic!("slot {slot} is completed while its word is {other:#x}"),
        }
    }

    /// The answer, if there is one yet.
    pub fn read(&self, slot: u32) -> Option<Outcome> {
        let cell = self.slot(slot);
        // Acquire pairs with the Release in `complete`: the height is there, and so is what the engine did before.
        let word = cell.outcome.load(Ordering::Acquire);
        // Relaxed: ordered by the load above.
        let outcome = Outcome::decode(word, || cell.height.load(Ordering::Relaxed));
        // Acquire pairs with the Release in `halt`.
        if outcome.is_none() && word == TAG_PENDING && self.halted.load(Ordering::Acquire) {
            // An answer that was given before the halt counts, so it is looked for once more.
            let word = cell.outcome.load(Ordering::Acquire);
            return Outcome::decode(word, || cell.height.load(Ordering::Relaxed)).or(Some(Outcome::Unknown));
        }
        outcome
    }

    /// Gives a slot back, answered or not; for its holder, once.
    pub fn release(&self, slot: u32) {
        // Release pairs with the Acquire on failure in `complete`: this thread is done with the slot. Acquire on
        // failure pairs with the Release in `complete`: the engine is.
        let dropped =
            self.slot(slot).outcome.compare_exchange(TAG_PENDING, TAG_DROPPED, Ordering::Release, Ordering::Acquire);
        if dropped.is_err() {
            self.free(slot);
        }
    }

    /// Sleeps until the slot is answered.
    pub fn wait(&self, slot: u32) -> Outcome {
        // Without a time limit the wait ends only with an answer.
        self.parking.wait(None, || self.read(slot)).unwrap_or(Outcome::Unknown)
    }

    /// Sleeps until the slot is answered, at most this long; `None` if it passed.
    pub fn wait_timeout(&self, slot: u32, timeout: Duration) -> Option<Outcome> {
        self.parking.wait(Some(timeout), || self.read(slot))
    }

    /// For a future: the answer, or the waker is kept and called when there is one.
    pub fn poll(&self, slot: u32, waker: &Waker) -> Poll<Outcome> {
        self.parking.poll(slot, waker, || self.read(slot)).map_or(Poll::Pending, Poll::Ready)
    }

    /// Tells sleepers about the answers given before; for the engine, once a block. One load if nobody sleeps.
    pub fn wake(&self) {
        // Acquire: as in `read`. A waker that was left for a slot and not called before its release is dropped thus too.
        self.parking.wake(|slot| {
            self.halted.load(Ordering::Acquire) || self.slot(slot).outcome.load(Ordering::Acquire) != TAG_PENDING
        });
    }

    /// Answers [`Outcome::Unknown`] for all that is pending now and ever after, and wakes all.
    pub fn halt(&self) {
        // Release pairs with the Acquire in `read`: answers given before the halt are seen.
        self.halted.store(true, Ordering::Release);
        self.wake();
    }

    /// Slots in all.
    pub const fn count(&self) -> usize {
        self.slots.len()
    }

    /// Slots that are reserved, or dropped and not yet answered.
    pub fn outstanding(&self) -> usize {
        // Acquire pairs with the Release in `free`: whoever sees no slot outstanding sees that the engine is done.
        let free: u32 = self.free.iter().map(|map| map.load(Ordering::Acquire).count_ones()).sum();
        self.slots.len() - free as usize
    }

    fn free(&self, slot: u32) {
        // Relaxed: ordered before the bit by its Release.
        self.slot(slot).outcome.store(TAG_FREE, Ordering::Relaxed);
        if let Some(map) = self.free.get(slot as usize / 64) {
            // Release pairs with the Acquire in `reserve` and `outstanding`: both sides are done with the slot.
            map.fetch_or(1 << (slot % 64), Ordering::Release);
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a slot comes from `reserve` of the same slots; another is our own bug"
    )]
    fn slot(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }
}
