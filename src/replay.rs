//! Replay: what the blocks of a segment leave behind of its authors, found by sequencing their records once more.
//!
//! Opening a ledger replays its open segment; rebuilding an index replays a closed one; a check replays them all. The
//! same sequencer that ordered the records takes them again, so a ledger that holds a record which it would refuse is
//! noticed. Signatures and content are not verified here.

use annals_core::block::BlockHeader;
use annals_core::body::{Body, BodyError};
use annals_core::genesis::{self, Genesis, Order};
use annals_core::hash::{AuthorId, LedgerId, RecordId};
use annals_core::record::{Head, Kind, ParseError, SUITE_ED25519, record_id};
use annals_ordering::sequence::{Author, Next, SequenceError, Sequencer, Statement, Verdict};
use annals_ordering::window::NonceWindow;
use annals_storage::index::{AuthorEntry, AuthorStatement, IndexError, RecordEntry, StoredNonces};
use annals_storage::recovery::RecoveryError;
use std::collections::HashMap;

/// Why the records of a ledger are not such as its engine orders.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// A block's body can't be read.
    #[error("the block at seq {seq}: {source}")]
    Body {
        /** Seq of its first record. */
        seq: u64,
        /** What is wrong. */
        source: BodyError,
    },
    /// A head is malformed.
    #[error("the record of seq {seq}: {source}")]
    Head {
        /** Its seq. */
        seq: u64,
        /** What is wrong. */
        source: ParseError,
    },
    /// The engine would not have ordered the record.
    #[error("the record of seq {seq} is not one that this ledger takes: {source}")]
    Refused {
        /** Its seq. */
        seq: u64,
        /** Why not. */
        source: SequenceError,
    },
    /// The nonce was used before.
    #[error("the record of seq {seq} uses its author's nonce {nonce} a second time")]
    Nonce {
        /** Its seq. */
        seq: u64,
        /** The nonce. */
        nonce: u64,
    },
    /// What older segments say of an author could not be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// An older segment, whose index is missing, could not be read.
    #[error(transparent)]
    Segment(#[from] RecoveryError),
}

impl ReplayError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Body { .. } => "replay.body",
            Self::Head { .. } => "replay.head",
            Self::Refused { .. } => "replay.refused",
            Self::Nonce { .. } => "replay.nonce",
            Self::Index(error) => error.code(),
            Self::Segment(error) => error.code(),
        }
    }
}

/// The author that an index entry describes.
pub(crate) fn author_of(entry: &AuthorEntry) -> Author {
    let statement = match entry.statement {
        AuthorStatement::None => Statement::None,
        AuthorStatement::Admitted(seq) => Statement::Admitted(seq),
        AuthorStatement::Revoked(seq) => Statement::Revoked(seq),
    };
    let window = entry.nonces.map_or_else(NonceWindow::default, |it| NonceWindow::from_parts(Some(it.top), it.window));
    Author { id: entry.author, statement, window, touched: false }
}

/// The index entry that describes an author.
pub(crate) fn entry_of(author: &Author) -> AuthorEntry {
    let statement = match author.statement {
        Statement::None => AuthorStatement::None,
        Statement::Admitted(seq) => AuthorStatement::Admitted(seq),
        Statement::Revoked(seq) => AuthorStatement::Revoked(seq),
    };
    let nonces = author.window.top().map(|top| StoredNonces { top, window: *author.window.bits() });
    AuthorEntry { suite: SUITE_ED25519, author: author.id, statement, nonces }
}

/// The entries of all authors touched since this was last asked; they are untouched from then on.
pub(crate) fn take_touched(sequencer: &mut Sequencer) -> Vec<AuthorEntry> {
    let touched = |author: &mut Author| std::mem::take(&mut author.touched).then(|| entry_of(author));
    sequencer.authors_mut().filter_map(touched).collect()
}

/// Looks up what older segments say of an author.
pub(crate) type Base = Box<dyn Fn(&AuthorId) -> Result<Option<AuthorEntry>, ReplayError> + Send>;

/// A sequencer that takes what was ordered before.
pub(crate) struct Replay {
    sequencer: Sequencer,
    genesis: Genesis,
    slots: HashMap<AuthorId, u32>,
    base: Base,
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Replay").field("authors", &self.slots.len()).finish_non_exhaustive()
    }
}

impl Replay {
    pub(crate) fn new(ledger: LedgerId, genesis: Genesis, base: Base) -> Self {
        Self { sequencer: Sequencer::new(ledger, genesis.clone()), genesis, slots: HashMap::new(), base }
    }

    /// The sequencer behind the last block.
    pub(crate) fn into_sequencer(self) -> Sequencer {
        self.sequencer
    }

    /// The sequencer behind the last block so far.
    pub(crate) const fn sequencer_mut(&mut self) -> &mut Sequencer {
        &mut self.sequencer
    }

    /// Sequences the records of the next block once more; what the index keeps of each.
    pub(crate) fn block(&mut self, header: &BlockHeader, body: &[u8]) -> Result<Vec<RecordEntry>, ReplayError> {
        let BlockHeader { first_seq, height, .. } = *header;
        let body = Body::parse(body).map_err(|source| ReplayError::Body { seq: first_seq, source })?;
        let mut entries = Vec::with_capacity(body.record_count());
        for (index, (seq, bytes)) in (first_seq..).zip(body.heads()).enumerate() {
            let head = Head::parse(bytes).map_err(|source| ReplayError::Head { seq, source })?;
            self.record(Next { seq, height }, &head, body.payload(index).unwrap_or_default())?;
            entries.push(record_entry(&head, record_id(bytes)));
        }
        Ok(entries)
    }

    /// Sequences the next record once more.
    pub(crate) fn record(&mut self, place: Next, head: &Head, payload: &[u8]) -> Result<(), ReplayError> {
        let seq = place.seq;
        if seq == 0 {
            // The genesis record stands outside its own rules; it uses up the ledger key's nonce 0.
            let mut author = Author::new(head.author);
            author.window.insert(head.nonce);
            author.touched = true;
            self.slots.insert(head.author, self.sequencer.add(author));
            return Ok(());
        }
        let slot = self.slot(&head.author)?;
        if matches!(head.kind, Kind::AUTHOR_ADMIT | Kind::AUTHOR_REVOKE)
            && let Ok(Order::Admit(id) | Order::Revoke(id)) = genesis::order(&self.genesis, head, payload)
        {
            self.slot(&id)?;
        }
        match self.sequencer.offer(slot, head, payload, place) {
            Ok(Verdict::Accepted) => Ok(()),
            Ok(Verdict::Met) => Err(ReplayError::Nonce { seq, nonce: head.nonce }),
            Err(source) => Err(ReplayError::Refused { seq, source }),
        }
    }

    fn slot(&mut self, id: &AuthorId) -> Result<u32, ReplayError> {
        if let Some(slot) = self.slots.get(id) {
            return Ok(*slot);
        }
        let author = (self.base)(id)?.map_or_else(|| Author::new(*id), |entry| author_of(&entry));
        let slot = self.sequencer.add(author);
        self.slots.insert(*id, slot);
        Ok(slot)
    }
}

/// What the index keeps of a record.
pub(crate) const fn record_entry(head: &Head, record_id: RecordId) -> RecordEntry {
    RecordEntry { record_id, suite: head.suite, author: head.author, nonce: head.nonce }
}
