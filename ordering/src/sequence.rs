//! Sequencing: which verified records take the next seq, decided one by one by the engine thread.
//!
//! A plain state machine: no clock, no I/O, no thread. It owns what the decision depends on: each author's
//! admission and nonce window. A record that is accepted uses up its nonce at once; since the engine halts when
//! a block can't be written, nothing is ever taken back. The authors are found by slots that the gate gave out,
//! so no lookup by key happens here; the slot is compared with the head all the same.

use crate::window::{Nonce, NonceWindow};
use annals_core::genesis::{self, Genesis, Order};
use annals_core::hash::{AuthorId, LedgerId};
use annals_core::record::{Head, Kind};
use std::collections::HashMap;

/// What the ledger said last of an author.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Statement {
    /// Nothing beyond genesis.
    #[default]
    None,
    /// Admitted by the record of this seq.
    Admitted(u64),
    /// Revoked by the record of this seq.
    Revoked(u64),
}

/// What sequencing knows of an author.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Author {
    /// The key.
    pub id: AuthorId,
    /// The last statement on it.
    pub statement: Statement,
    /// Its nonces.
    pub window: NonceWindow,
    /// Whether a record of it, or on it, was ordered since this flag was cleared.
    pub touched: bool,
}

impl Author {
    /// An author of whom the log says nothing yet.
    pub fn new(id: AuthorId) -> Self {
        Self { id, statement: Statement::None, window: NonceWindow::default(), touched: false }
    }

    /// Whether its records are taken under this genesis.
    pub fn is_admitted(&self, genesis: &Genesis) -> bool {
        match self.statement {
            Statement::Admitted(_) => true,
            Statement::Revoked(_) => false,
            Statement::None => genesis.admission == genesis::Admission::Open || genesis.is_first_author(&self.id),
        }
    }
}

/// Why sequencing refuses a record. The nonce stays free.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SequenceError {
    /// The author is not admitted, or not any more.
    #[error("the author is not admitted to this ledger, or was revoked")]
    NotAdmitted,
    /// The engine record is not one that this author may send.
    #[error(transparent)]
    Order(#[from] genesis::OrderError),
    /// The head is not one of this ledger; the gate lets none through.
    #[error("the record is for another ledger")]
    Ledger,
    /// A reopened record names a checkpoint over more records than there are before it.
    #[error("the record reopens the ledger from a checkpoint of {size} records, but {seq} stand before it")]
    Reopening {
        /** Records that the checkpoint covers. */
        size: u64,
        /** Records before this one. */
        seq: u64,
    },
    /// A state-root record names a block that is not below its own.
    #[error(
        "the record says the state root of block {height}, but would itself stand in block {next}; say that of a final block"
    )]
    StateRoot {
        /** Height that the record names. */
        height: u64,
        /** Height of the block that it would stand in. */
        next: u64,
    },
    /// The slot names another author: the author was evicted meanwhile.
    #[error("the author's state was evicted; send the record again")]
    Evicted,
}

impl SequenceError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotAdmitted => "author.not_admitted",
            Self::Order(error) => error.code(),
            Self::Ledger => "record.ledger",
            Self::Reopening { .. } => "reopened.later",
            Self::StateRoot { .. } => "state_root.later",
            Self::Evicted => "author.evicted",
        }
    }
}

/// The place that an offered record would take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Next {
    /// Its seq.
    pub seq: u64,
    /// Its block's height.
    pub height: u64,
}

/// What became of an offered record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It takes the next seq.
    Accepted,
    /// Its nonce was used, or is too old to tell from memory: the caller looks it up once all before is final.
    Met,
}

/// The authors and what they may still send.
#[derive(Debug)]
pub struct Sequencer {
    ledger: LedgerId,
    genesis: Genesis,
    authors: Vec<Author>,
    slots: HashMap<AuthorId, u32>,
}

impl Sequencer {
    /// A sequencer that knows no author yet.
    pub fn new(ledger: LedgerId, genesis: Genesis) -> Self {
        Self { ledger, genesis, authors: Vec::new(), slots: HashMap::new() }
    }

    /// Adds an author behind those there are; its slot is their number so far.
    pub fn add(&mut self, author: Author) -> u32 {
        let slot = u32::try_from(self.authors.len()).unwrap_or(u32::MAX);
        self.slots.insert(author.id, slot);
        self.authors.push(author);
        slot
    }

    /// Slots given out so far.
    pub const fn author_count(&self) -> usize {
        self.authors.len()
    }

    /// The slot of an author that was added.
    pub fn slot(&self, id: &AuthorId) -> Option<u32> {
        self.slots.get(id).copied()
    }

    /// An author, by key.
    pub fn author(&self, id: &AuthorId) -> Option<&Author> {
        self.slots.get(id).and_then(|slot| self.authors.get(*slot as usize))
    }

    /// All authors, to be told apart by [`Author::touched`].
    pub fn authors_mut(&mut self) -> impl Iterator<Item = &mut Author> {
        self.authors.iter_mut()
    }

    /// Decides on a record whose content and signature are verified, which would take the place `next`.
    ///
    /// # Errors
    ///
    /// [`SequenceError`] if it is refused; nothing has changed then.
    ///
    /// The author that an admit or revoke record names must have been added, or the record is refused as evicted.
    pub fn offer(&mut self, slot: u32, head: &Head, payload: &[u8], next: Next) -> Result<Verdict, SequenceError> {
        if head.ledger != self.ledger {
            return Err(SequenceError::Ledger);
        }
        let author = self.authors.get_mut(slot as usize).ok_or(SequenceError::Evicted)?;
        if author.id != head.author {
            return Err(SequenceError::Evicted);
        }
        let order = if head.kind.is_engine() {
            let order = genesis::order(&self.genesis, head, payload)?;
            // The gate resolves the named author before the claim, and replay before it offers the record.
            if let Order::Admit(id) | Order::Revoke(id) = order
                && !self.slots.contains_key(&id)
            {
                return Err(SequenceError::Evicted);
            }
            check_below(order, next)?;
            Some(order)
        } else {
            None
        };
        // An appointment holds without admission, until an admin revokes the host's key.
        let is_revoked_host = head.kind == Kind::STATE_ROOT && matches!(author.statement, Statement::Revoked(_));
        if is_revoked_host || (head.kind.is_for_admitted() && !author.is_admitted(&self.genesis)) {
            return Err(SequenceError::NotAdmitted);
        }
        match author.window.test(head.nonce) {
            Nonce::New => {}
            Nonce::Seen | Nonce::Below => return Ok(Verdict::Met),
        }
        author.window.insert(head.nonce);
        author.touched = true;
        if let Some(order) = order {
            self.obey(order, next.seq);
        }
        Ok(Verdict::Accepted)
    }

    fn obey(&mut self, order: Order, seq: u64) {
        let (id, statement) = match order {
            Order::Tick | Order::Reopen(_) | Order::StateRoot(_) | Order::Countersign(_) => return,
            Order::Admit(id) => (id, Statement::Admitted(seq)),
            Order::Revoke(id) => (id, Statement::Revoked(seq)),
        };
        let slot = self.slots.get(&id).copied();
        assert!(slot.is_some(), "a record that names an unknown author was refused");
        if let Some(author) = slot.and_then(|slot| self.authors.get_mut(slot as usize)) {
            author.statement = statement;
            author.touched = true;
        }
    }
}

/// What a record says of the ledger is said of what stands below it.
fn check_below(order: Order, next: Next) -> Result<(), SequenceError> {
    match order {
        Order::Reopen(reopening) => match reopening.checkpoint() {
            Some(checkpoint) if next.seq < checkpoint.size => {
                Err(SequenceError::Reopening { size: checkpoint.size, seq: next.seq })
            }
            Some(_) | None => Ok(()),
        },
        Order::StateRoot(said) if next.height <= said.height => {
            Err(SequenceError::StateRoot { height: said.height, next: next.height })
        }
        Order::StateRoot(_) | Order::Tick | Order::Admit(_) | Order::Revoke(_) | Order::Countersign(_) => Ok(()),
    }
}
