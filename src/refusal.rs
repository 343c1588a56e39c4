//! Why a record was not recorded: one enum for `append` and what comes after it.
//!
//! Every refusal has a stable code, says whose fault it was and whether sending the same record again can
//! help. Nothing is written for a refused record, and its nonce stays free.

use annals_core::genesis::OrderError;
use annals_core::hash::{AuthorId, LedgerId, RecordId};
use annals_core::record::{ContentError, ParseError};
use annals_core::signature::KeyError;
use annals_storage::disk::DiskError;

/// Whose fault a refusal was, and so who acts next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The record itself: the front end or its author mends it; the same bytes fail again.
    Record,
    /// The moment: the same bytes may be taken later.
    Load,
    /// The ledger halted: its operator reopens it; then ask what became of the record by sending it again.
    Ledger,
}

/// Why a record was refused, or its outcome is unknown.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The bytes are no record.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The record is for another ledger.
    #[error("the record is for ledger {got}, this is {expected}; sign it for this ledger")]
    Ledger {
        /** This ledger. */
        expected: LedgerId,
        /** The one it names. */
        got: LedgerId,
    },
    /// The author's key is not one that Annals takes.
    #[error("author {author}: {error}")]
    Key {
        /** The key. */
        author: AuthorId,
        /** What is wrong with it. */
        error: KeyError,
    },
    /// The author is not admitted, or was revoked.
    #[error("author {0} is not admitted to this ledger, or was revoked; an admin admits it with `annals author admit`")]
    NotAdmitted(AuthorId),
    /// An engine record that may not be sent so.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// The payload is not what the head commits to.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The payload is not what the head commits to.
    #[error("the payload is not the one that the head commits to")]
    ContentHash,
    /// An engine record that is not taken.
    #[error("the engine record is not one that this author may send")]
    EngineRecord,
    /// A state root of a block that is not below the record's own.
    #[error("the record says the state root of a block that is not there yet; say it of a final block")]
    StateRootLater,
    /// The signature does not hold.
    #[error("the signature of the record does not hold")]
    Signature,
    /// The embedder's policy refused it.
    #[error("the platform's policy refused the record with its code {0}")]
    Policy(u32),
    /// The embedder's policy panicked.
    #[error("the platform's policy panicked on the record, which is a refusal; mend the policy")]
    PolicyPanic,
    /// The nonce was used for another record.
    #[error("nonce {nonce} was used for another record, at seq {seq}; use a higher nonce")]
    NonceConflict {
        /** The nonce. */
        nonce: u64,
        /** Where the other record stands. */
        seq: u64,
        /** The other record's id. */
        record_id: RecordId,
    },
    /// The nonce is too far below the author's highest.
    #[error("nonce {0} lies more than 1024 below the author's highest and was never used; use a higher nonce")]
    NonceStale(u64),
    /// No room for it right now.
    #[error("the ledger is taking all it can; send the record again in a moment")]
    Pushback,
    /// The batch never fits.
    #[error(
        "the records never fit at once, in the ledger's ring or as those that an appender may have outstanding; append fewer at a time"
    )]
    BatchTooLarge,
    /// What the ledger holds of the author or the nonce could not be looked up.
    #[error("the ledger could not be read ({0}), so nothing can be said of the record; run `annals check`")]
    Lookup(&'static str),
    /// No room on the disk for another segment.
    #[error("the disk has no room for another segment; free some, then send the record again")]
    DiskFull,
    /// The next segment can't be made, for another reason than room.
    #[error("the next segment can't be made: {0}; mend that, then send the record again")]
    NoSegment(DiskError),
    /// The ledger was closed before the record was taken.
    #[error("the ledger is closed")]
    Closed,
    /// The ledger halted before the record was taken.
    #[error("the ledger halted after a failed write; reopen it, then send the record again")]
    Halted,
    /// The ledger halted; whether the record was recorded is not known.
    #[error("the ledger halted; whether the record was recorded is not known: reopen it and send the record again")]
    Unknown,
}

impl Refusal {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Parse(error) => error.code(),
            Self::Ledger { .. } => "record.ledger",
            Self::Key { error, .. } => error.code(),
            Self::NotAdmitted(_) => "author.not_admitted",
            Self::Order(error) => error.code(),
            Self::Content(error) => error.code(),
            Self::Signature => "record.signature",
            Self::ContentHash => "content.hash",
            Self::EngineRecord => "engine.refused",
            Self::StateRootLater => "state_root.later",
            Self::Policy(_) => "record.policy",
            Self::PolicyPanic => "record.policy_panic",
            Self::BatchTooLarge => "ledger.batch_too_large",
            Self::Lookup(_) => "ledger.lookup",
            Self::Halted => "ledger.halted",
            Self::NonceConflict { .. } => "nonce.conflict",
            Self::NonceStale(_) => "nonce.stale",
            Self::Pushback => "ledger.pushback",
            Self::DiskFull => "ledger.disk_full",
            Self::NoSegment(_) => "ledger.no_segment",
            Self::Closed => "ledger.closed",
            Self::Unknown => "ledger.unknown",
        }
    }

    /// Whose fault it was.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Pushback | Self::DiskFull | Self::NoSegment(_) => Fault::Load,
            Self::Closed | Self::Halted | Self::Lookup(_) | Self::Unknown => Fault::Ledger,
            Self::Parse(_)
            | Self::Ledger { .. }
            | Self::Key { .. }
            | Self::NotAdmitted(_)
            | Self::Order(_)
            | Self::Content(_)
            | Self::Signature
            | Self::ContentHash
            | Self::EngineRecord
            | Self::StateRootLater
            | Self::Policy(_)
            | Self::PolicyPanic
            | Self::BatchTooLarge
            | Self::NonceConflict { .. }
            | Self::NonceStale(_) => Fault::Record,
        }
    }

    /// Whether sending the same bytes again may succeed.
    pub const fn is_retryable(&self) -> bool {
        !matches!(self.fault(), Fault::Record)
    }
}
