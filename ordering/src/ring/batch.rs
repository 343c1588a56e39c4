//! The verifiers' end: take published entries, look at them in place, say what they are.
//!
//! A batch owns its entries from the CAS that took them until each is finished. It remembers where they stand,
//! since entries among them that needed no verifier may be given back and overwritten meanwhile.

use super::Ring;
use super::entry::{HEAD_OFFSET, Header, PAYLOAD_OFFSET, RECORD_ID_OFFSET, State, Verification, Word};
use super::storage::CELL_SIZE;
use crate::sync::Ordering;
use annals_core::limits::HEAD_SIZE;

/// What a finished entry's position is replaced by. No entry starts there.
const FINISHED: u64 = u64::MAX;

/// How much of what waits a verifier takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Share {
    /// All of it.
    All,
    /// An even part, by bytes, when this many verifiers are free, the asking one among them; at least one entry.
    Of {
        /** Free verifiers. */
        free_workers: u32,
    },
}

impl Ring {
    /// Takes published entries that no verifier has taken, at most `entry_count_max` of them.
    ///
    /// `positions` is scratch memory of the caller, to be used again; with room for `entry_count_max` it never grows.
    /// `None` if nothing waits, or the next entry is claimed and not yet published.
    pub fn take_batch<'r, 's>(
        &'r self,
        entry_count_max: usize,
        share: Share,
        positions: &'s mut Vec<u64>,
    ) -> Option<Batch<'r, 's>> {
        // Relaxed: the cursor hands on no data. What a verifier may look at is bounded by the tail, and what it owns
        // decided by the CAS.
        let mut from = self.verify.load(Ordering::Relaxed);
        loop {
            // Acquire pairs with the Release CAS in `claim`: below this tail no state word is of an earlier round.
            let tail = self.tail.load(Ordering::Acquire);
            let until = match share {
                Share::All => tail,
                Share::Of { free_workers } => {
                    tail.min(from + tail.saturating_sub(from).div_ceil(u64::from(free_workers.max(1))))
                }
            };
            positions.clear();
            let mut position = from;
            while position < until && positions.len() < entry_count_max {
                // Acquire pairs with the Release in `Claim::publish`: the bytes are there.
                let word = Word(self.storage.state(position).load(Ordering::Acquire));
                match word.state() {
                    State::Empty => break,
                    State::Published => positions.push(position),
                    State::Verified | State::BadSignature | State::BadContent => {}
                    State::Abandoned | State::Void | State::Pad => {}
                }
                position += word.cells();
            }
            if position == from {
                return None;
            }
            // Relaxed: as above. Success says the cursor was at `from` all the while, so no other verifier took these
            // entries, and the engine gave none of them back.
            match self.verify.compare_exchange(from, position, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) if positions.is_empty() => from = position,
                Ok(_) => return Some(Batch { ring: self, positions }),
                Err(current) => from = current,
            }
        }
    }
}

/// Entries that one verifier owns. Those not finished when it is dropped are published as Abandoned.
#[derive(Debug)]
#[must_use = "the entries of a batch that is dropped are abandoned"]
pub struct Batch<'r, 's> {
    ring: &'r Ring,
    /// Where the entries start, or `FINISHED`.
    positions: &'s mut Vec<u64>,
}

/// An entry in place, as a verifier sees it.
#[derive(Clone, Copy, Debug)]
pub struct Unverified<'a> {
    /// The head.
    pub head: &'a [u8; HEAD_SIZE],
    /// The payload.
    pub payload: &'a [u8],
    /// The appender it came through.
    pub source: u32,
    /// Whether the content hash was checked by the caller.
    pub content_checked: bool,
}

impl Batch<'_, '_> {
    /// Entries of the batch, finished ones too; at least one.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub const fn len(&self) -> usize {
        self.positions.len()
    }

    /// The entry of this number, from 0; `None` if there is none or it is finished.
    pub fn entry(&self, index: usize) -> Option<Unverified<'_>> {
        let position = self.owned(index)?;
        // SAFETY: the entry is Published and owned by this batch: the CAS on the verify cursor gave it away once, and
        // `finish`, which hands it on, takes the batch exclusively and forgets the position. Its bytes were written
        // before the state word that `take_batch` acquired. The engine gives back only what is final.
        unsafe {
            let header = Header::decode(self.ring.storage.read(position, 0, CELL_SIZE));
            let head = self.ring.storage.read(position, HEAD_OFFSET, HEAD_SIZE).first_chunk()?;
            let payload = self.ring.storage.read(position, PAYLOAD_OFFSET, header.payload_size as usize);
            Some(Unverified { head, payload, source: header.source, content_checked: header.content_checked })
        }
    }

    /// Says what an entry is, and hands it on to the engine.
    ///
    /// # Panics
    ///
    /// If there is no such entry, or it is finished.
    pub fn finish(&mut self, index: usize, verification: Verification) {
        let position = self.owned(index);
        assert!(position.is_some(), "an entry of a batch is finished once");
        let Some(position) = position else { return };
        let state = match verification {
            Verification::Verified(record_id) => {
                // SAFETY: the entry is owned by this batch, as in `entry`; `&mut self` says that no reference into it
                // is alive, and nobody else looks at it until the state word is stored below.
                unsafe { self.ring.storage.write(position, RECORD_ID_OFFSET, record_id.as_bytes()) };
                State::Verified
            }
            Verification::BadSignature => State::BadSignature,
            Verification::BadContent => State::BadContent,
            Verification::Abandoned => State::Abandoned,
        };
        if let Some(entry) = self.positions.get_mut(index) {
            *entry = FINISHED;
        }
        let word = self.ring.storage.state(position);
        // Relaxed: the word of an entry that this batch owns changes by this batch alone.
        let final_word = Word(word.load(Ordering::Relaxed)).with(state);
        // Release pairs with the Acquire in `peek`: the record id is there, and the verifier's reads are over.
        word.store(final_word.0, Ordering::Release);
    }

    fn owned(&self, index: usize) -> Option<u64> {
        self.positions.get(index).copied().filter(|position| *position != FINISHED)
    }
}

impl Drop for Batch<'_, '_> {
    fn drop(&mut self) {
        for index in 0..self.positions.len() {
            if self.owned(index).is_some() {
                self.finish(index, Verification::Abandoned);
            }
        }
    }
}
