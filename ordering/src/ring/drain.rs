//! The engine's end: read final entries in order, ahead as far as it likes, and give their cells back.

use super::Ring;
use super::entry::{EntryView, HEAD_OFFSET, Header, PAYLOAD_OFFSET, State, Verification, Word};
use super::storage::CELL_SIZE;
use crate::sync::Ordering;
use annals_core::limits::HEAD_SIZE;
use std::cell::Cell;
use std::sync::Arc;

/// The one consumer of a ring. It may move between threads, but is never shared.
#[derive(Debug)]
pub struct Drain {
    ring: Arc<Ring>,
    /// The ring's head, which only this drain moves.
    head: u64,
    /// A tail read before, so that the producers' line is not asked for every entry.
    tail: Cell<u64>,
}

/// What stands at a position.
#[derive(Clone, Copy, Debug)]
pub enum Peek<'a> {
    /// Nothing that is final yet.
    Waiting,
    /// No record: padding, or an entry whose producer gave up. Go on at `next_position`, and release it like others.
    Gap {
        /** Where the next entry starts, in cells. */
        next_position: u64,
    },
    /// A record.
    Entry(EntryView<'a>),
}

impl Drain {
    pub(super) const fn new(ring: Arc<Ring>) -> Self {
        Self { ring, head: 0, tail: Cell::new(0) }
    }

    /// Where the first entry that was not given back starts, in cells.
    pub const fn position(&self) -> u64 {
        self.head
    }

    /// The ring.
    pub const fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// Looks at the entry at a position: [`Drain::position`] or the `next_position` of one before.
    ///
    /// # Panics
    ///
    /// If the position was given back already.
    pub fn peek(&self, position: u64) -> Peek<'_> {
        assert!(self.head <= position, "cell {position} was given back, up to {}", self.head);
        if self.tail.get() <= position {
            // Acquire pairs with the Release CAS in `claim`: below this tail no state word is of an earlier round.
            self.tail.set(self.ring.tail.load(Ordering::Acquire));
        }
        if self.tail.get() <= position {
            return Peek::Waiting;
        }
        // Acquire pairs with the Release in `Batch::finish` and `Claim::publish`: bytes and record id are there.
        let word = Word(self.ring.storage.state(position).load(Ordering::Acquire));
        let next_position = position + word.cells();
        let state = word.state();
        match state {
            State::Empty | State::Published => return Peek::Waiting,
            State::Void | State::Pad => return Peek::Gap { next_position },
            State::Verified | State::BadSignature | State::BadContent | State::Abandoned => {}
        }
        // SAFETY: a word that is not Empty stands at the first cell of an entry only, and this one is of the current
        // round, since it was read below the tail and at or above the head. Its state is final, so its bytes were
        // written, and nobody writes them before `release_to`, which takes the drain exclusively.
        let (header, head, payload) = unsafe {
            let header = Header::decode(self.ring.storage.read(position, 0, CELL_SIZE));
            let head = self.ring.storage.read(position, HEAD_OFFSET, HEAD_SIZE).first_chunk();
            (header, head, self.ring.storage.read(position, PAYLOAD_OFFSET, header.payload_size as usize))
        };
        let Some(head) = head else { return Peek::Gap { next_position } };
        let verification = match state {
            State::Verified => Verification::Verified(header.record_id),
            State::BadSignature => Verification::BadSignature,
            State::BadContent => Verification::BadContent,
            State::Empty | State::Published | State::Abandoned | State::Void | State::Pad => Verification::Abandoned,
        };
        let Header { source, slot, author_slot, .. } = header;
        Peek::Entry(EntryView { head, payload, verification, source, slot, author_slot, position, next_position })
    }

    /// Gives back all cells below a position that [`Drain::peek`] came to.
    ///
    /// # Panics
    ///
    /// If an entry below it is not final, or the position is not where an entry starts.
    pub fn release_to(&mut self, position: u64) {
        assert!(position <= self.tail.get(), "cell {position} was not seen, only up to {}", self.tail.get());
        let mut at = self.head;
        while at < position {
            let state = self.ring.storage.state(at);
            // Acquire pairs with the Release in `Batch::finish` and `Claim::publish`, in case it was not peeked at.
            let word = Word(state.load(Ordering::Acquire));
            let is_final = !matches!(word.state(), State::Empty | State::Published);
            assert!(is_final, "the entry at cell {at} is not final");
            // Relaxed: ordered by the store of the head below.
            state.store(Word::EMPTY.0, Ordering::Relaxed);
            at += word.cells();
        }
        assert_eq!(at, position, "an entry is given back whole");
        // Relaxed: the cursor hands on no data. It moves before the head does, so a verifier that was looking at what is
        // given back here fails its CAS.
        if self.ring.verify.load(Ordering::Relaxed) < position {
            self.ring.verify.fetch_max(position, Ordering::Relaxed);
        }
        self.head = position;
        // Release pairs with the Acquire of the head in `claim`: the words are emptied and the reads are over.
        self.ring.head.store(position, Ordering::Release);
    }
}
