//! Receipts: what anyone needs, beside the ledger's vkey, to check offline that a record was ordered.
//!
//! ```text
//! | ANP1 | n u16 | c u16 | seq u64 | head 192 | leaf entry 52 | zero 4 | path 32n | checkpoint c |
//! ```
//!
//! [`Receipt::verify`] goes step by step, so that a person can be told what holds. What a receipt can't show:
//! that others see the same ledger, and that the author was entitled. Source: `docs/FORMAT.md`, "Receipt".

use crate::bytes::{Reader, Truncated};
use crate::checkpoint::{Checkpoint, CheckpointError, Vkey};
use crate::hash::TreeHash;
use crate::leaf::{LeafEntry, LeafError};
use crate::limits::{CHECKPOINT_SIZE_MAX, FRONTIER_LENGTH_MAX, HEAD_SIZE, NUMBER_MAX};
use crate::proof::verify_inclusion;
use crate::record::{self, ContentError, Flags, Head, Kind, ParseError};
use crate::signature::{KeyError, parse_author, verify_head};
use crate::tree::TreeError;

const MAGIC: &[u8; 4] = b"ANP1";

/// Why bytes are no receipt, or why one does not hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The bytes are not in the form of a receipt.
    #[error("not a receipt: wrong in its {0}")]
    Form(&'static str),
    /// The leaf entry is malformed.
    #[error("leaf entry: {0}")]
    Leaf(#[from] LeafError),
    /// The head is malformed.
    #[error("head: {0}")]
    Head(#[from] ParseError),
    /// The head is well formed, but no ledger takes it at this seq.
    #[error("head: no ledger takes a record with such {0} at this seq")]
    Place(&'static str),
    /// The author's key is not one that a ledger takes.
    #[error("author: {0}")]
    Key(#[from] KeyError),
    /// The checkpoint is malformed, another ledger's, or not signed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The leaf entry names another record than the head.
    #[error("the leaf entry's record id is not the SHA-256 of the head")]
    RecordId,
    /// The audit path does not lead to the checkpoint's root.
    #[error("the audit path does not hold: {0}")]
    Inclusion(TreeError),
    /// The author's signature does not hold.
    #[error("the author's signature on the head does not hold")]
    Signature,
}

impl ReceiptError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Form(_) => "receipt.form",
            Self::Leaf(error) => error.code(),
            Self::Head(error) => error.code(),
            Self::Place(_) => "receipt.place",
            Self::Key(error) => error.code(),
            Self::Checkpoint(error) => error.code(),
            Self::RecordId => "receipt.record_id",
            Self::Inclusion(_) => "receipt.inclusion",
            Self::Signature => "receipt.signature",
        }
    }
}

impl From<Truncated> for ReceiptError {
    fn from(_: Truncated) -> Self {
        Self::Form("length")
    }
}

/// What [`Receipt::verify`] checks, in this order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// The ledger key signed the checkpoint.
    Checkpoint,
    /// The leaf entry names this head.
    RecordId,
    /// The record is in the checkpoint's tree, at this seq, in this block, at this time.
    Inclusion,
    /// The head is well formed, and one that the ledger takes at this seq.
    Head,
    /// The author signed the head.
    Signature,
}

/// A receipt, its parts not yet verified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// The record's place in the total order.
    pub seq: u64,
    /// The head as the author signed it.
    pub head: [u8; HEAD_SIZE],
    /// What the tree says of the record.
    pub leaf: LeafEntry,
    /// Audit path, leaf to root.
    pub path: Vec<TreeHash>,
    /// The checkpoint note that covers the record.
    pub checkpoint: String,
}

impl Receipt {
    /// Parses the binary form.
    ///
    /// # Errors
    ///
    /// [`ReceiptError`] if it is malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let mut reader = Reader::new(bytes);
        if reader.array::<4>()? != MAGIC {
            return Err(ReceiptError::Form("magic"));
        }
        let (path_length, note_size) = (usize::from(reader.u16()?), usize::from(reader.u16()?));
        if FRONTIER_LENGTH_MAX < path_length || CHECKPOINT_SIZE_MAX < note_size {
            return Err(ReceiptError::Form("lengths"));
        }
        let seq = reader.u64()?;
        let head = *reader.array::<HEAD_SIZE>()?;
        let leaf = LeafEntry::parse(reader.array()?)?;
        if reader.array::<4>()? != &[0; 4] || NUMBER_MAX < seq {
            return Err(ReceiptError::Form("padding or seq"));
        }
        let path = reader.slice(32 * path_length)?.as_chunks().0.iter().copied().map(TreeHash::from_bytes).collect();
        let note = core::str::from_utf8(reader.slice(note_size)?).map_err(|_| ReceiptError::Form("checkpoint"))?;
        if !reader.rest().is_empty() {
            return Err(ReceiptError::Form("length"));
        }
        Ok(Self { seq, head, leaf, path, checkpoint: note.to_owned() })
    }

    /// Encodes the binary form.
    pub fn encode(&self) -> Vec<u8> {
        let count = |size: usize| u16::try_from(size).unwrap_or(u16::MAX).to_le_bytes();
        let mut bytes = Vec::with_capacity(264 + 32 * self.path.len() + self.checkpoint.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&count(self.path.len()));
        bytes.extend_from_slice(&count(self.checkpoint.len()));
        bytes.extend_from_slice(&self.seq.to_le_bytes());
        bytes.extend_from_slice(&self.head);
        bytes.extend_from_slice(&self.leaf.encode());
        bytes.extend_from_slice(&[0; 4]);
        self.path.iter().for_each(|hash| bytes.extend_from_slice(hash.as_bytes()));
        bytes.extend_from_slice(self.checkpoint.as_bytes());
        bytes
    }

    /// Verifies one step; each is independent of the others but for the checkpoint that [`Step::Inclusion`] reads.
    ///
    /// # Errors
    ///
    /// [`ReceiptError`] if the step does not hold.
    pub fn verify_step(&self, step: Step, vkey: &Vkey) -> Result<(), ReceiptError> {
        match step {
            Step::Checkpoint => Checkpoint::open(&self.checkpoint, vkey).map(drop)?,
            Step::RecordId if record::record_id(&self.head) != self.leaf.record_id => {
                return Err(ReceiptError::RecordId);
            }
            Step::RecordId => {}
            Step::Inclusion => {
                let checkpoint = Checkpoint::open(&self.checkpoint, vkey)?;
                verify_inclusion(self.leaf.hash(), self.seq, checkpoint.size, &self.path, checkpoint.root)
                    .map_err(ReceiptError::Inclusion)?;
            }
            Step::Head => self.check_head(vkey)?,
            Step::Signature if verify_head(&self.head) => {}
            Step::Signature => return Err(ReceiptError::Signature),
        }
        Ok(())
    }

    /// Verifies the receipt against a ledger's vkey.
    ///
    /// Of a state root it sees the head alone: that its author was appointed is shown by its payload, with
    /// [`crate::state_root::StateRootRecord::verify`].
    ///
    /// # Errors
    ///
    /// The first step that does not hold, and why.
    pub fn verify(&self, vkey: &Vkey) -> Result<Head, (Step, ReceiptError)> {
        for step in [Step::Checkpoint, Step::RecordId, Step::Inclusion, Step::Head, Step::Signature] {
            self.verify_step(step, vkey).map_err(|error| (step, error))?;
        }
        self.head().map_err(|error| (Step::Head, error))
    }

    /// What the engine asks of a head and a receipt can show: genesis at seq 0 alone, engine records in their form,
    /// genesis, ticks and reopenings by the ledger key, a good author key.
    fn check_head(&self, vkey: &Vkey) -> Result<(), ReceiptError> {
        let head = self.head()?;
        let (first, genesis) = (self.seq == 0, head.kind == Kind::GENESIS);
        if first != genesis || head.ledger.is_zero() != genesis {
            return Err(ReceiptError::Place("ledger id or kind"));
        }
        if head.kind.is_engine() {
            let by_ledger_key = matches!(head.kind, Kind::GENESIS | Kind::TICK | Kind::REOPENED);
            let by_others =
                matches!(head.kind, Kind::AUTHOR_ADMIT | Kind::AUTHOR_REVOKE | Kind::STATE_ROOT | Kind::COUNTERSIGN);
            if !by_ledger_key && !by_others {
                return Err(ReceiptError::Place("kind"));
            }
            if head.flags != Flags::NONE || head.is_bundle() {
                return Err(ReceiptError::Place("flags or item count"));
            }
            if by_ledger_key && head.author != vkey.key() {
                return Err(ReceiptError::Place("author"));
            }
        }
        Ok(parse_author(&head.author)?)
    }

    /// The head, parsed.
    ///
    /// # Errors
    ///
    /// [`ReceiptError::Head`] if it is malformed.
    pub fn head(&self) -> Result<Head, ReceiptError> {
        Ok(Head::parse(&self.head)?)
    }

    /// Checks that a payload, its salts included, is the one that the head commits to.
    ///
    /// # Errors
    ///
    /// [`ContentError`] if it is not; a malformed head commits to nothing.
    pub fn verify_payload(&self, payload: &[u8]) -> Result<(), ContentError> {
        match Head::parse(&self.head) {
            Ok(head) => record::verify_content(&head, payload),
            Err(_) => Err(ContentError::Size { expected: 0, got: payload.len() }),
        }
    }
}
