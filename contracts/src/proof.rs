//! Outcome proofs: that a record was accepted or refused, verified offline with nothing but the ledger's vkey.
//!
//! A chain of five links: the record's receipt says *ordered at seq*; the block's list says what became of that seq; an audit path leads
//! to the list's root; a state proof leads from there to a state root; and a state-root record, by a host whom the ledger key
//! appointed, says that this is the root, with a receipt of its own. Whoever holds it needs neither ledger nor state.
//!
//! What it does not show: that the host applied the contracts rightly. Who doubts that replays the ledger.

use crate::keys;
use crate::state::{Sha256Hash, StateProof};
use crate::value::Value;
use annals::tree::{inclusion_root, leaf_hash};
use annals::{Disclosure, Hex, ReceiptJson, StateRootRecord, TreeHash, Vkey, parse_hex};
use serde::{Deserialize, Serialize};

/// What the first field says.
const VERSION: &str = "annals-outcome-v1";
/// Bytes of a proof at most: two receipts, two paths, one outcome.
pub const OUTCOME_PROOF_SIZE_MAX: usize = 1 << 20;
/// Hashes of a list's audit path at most: a list has fewer than 2^32 entries.
const PATH_LENGTH_MAX: usize = 32;

/// A proof of what became of a record.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OutcomeProof {
    /// Says that it is one, and which form it has.
    pub format: String,
    /// What became of the record: `about`, `code`, `record`, `seq`, `status`.
    pub outcome: Value,
    /// Where the outcome stands in its block's list.
    pub list: ListPlace,
    /// The list's root in state.
    pub state: StateProof,
    /// The state-root record: its payload in hexadecimal, and its receipt.
    pub state_root: RootRecord,
    /// The record's own receipt.
    pub receipt: Value,
}

/// Where an entry stands in a block's list.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ListPlace {
    /// The block's height.
    pub height: u64,
    /// The entry's index.
    pub index: u64,
    /// Entries of the list.
    pub count: u64,
    /// The hashes beside its way to the list's root.
    pub path: Vec<Sha256Hash>,
}

/// A state-root record.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RootRecord {
    /// Its payload, in hexadecimal.
    pub payload: String,
    /// Its receipt.
    pub receipt: Value,
}

/// A step of verifying an outcome proof.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProofStep {
    /// The record's receipt holds.
    Receipt,
    /// The outcome is that record's.
    Outcome,
    /// The state root was ordered by a host whom the ledger key appointed.
    StateRoot,
    /// The outcome stands in its block's list, and the list's root in that state.
    State,
}

impl ProofStep {
    /// All steps, in order.
    pub const ALL: [Self; 4] = [Self::Receipt, Self::Outcome, Self::StateRoot, Self::State];

    /// What holds if it does.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Receipt => "the record's receipt holds: it was ordered at this seq",
            Self::Outcome => "the outcome is the one of this record at this seq",
            Self::StateRoot => "a host whom the ledger key appointed ordered the state root",
            Self::State => "the outcome is in the state of that root",
        }
    }
}

/// Why a proof does not hold.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OutcomeProofError {
    /// The text is no outcome proof.
    #[error("not an outcome proof: {0}")]
    Form(String),
    /// One of its receipts does not hold.
    #[error("{which} receipt: {problem}")]
    Receipt {
        /** Whose. */
        which: &'static str,
        /** What is wrong. */
        problem: String,
    },
    /// The outcome names another record or seq.
    #[error("the outcome is of {outcome}, the receipt of {receipt}")]
    Other {
        /** What the outcome names. */
        outcome: String,
        /** What the receipt is of. */
        receipt: String,
    },
    /// The state-root record says nothing that counts.
    #[error("the state-root record: {0}")]
    StateRoot(String),
    /// The state root is of a block before the record's.
    #[error("the state root is of block {root}, the outcome of block {outcome}")]
    Early {
        /** The root's. */
        root: u64,
        /** The outcome's. */
        outcome: u64,
    },
    /// The paths lead to another root.
    #[error("the outcome is not in that state: {0}")]
    State(String),
}

impl OutcomeProofError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Form(_) => "outcome_proof.form",
            Self::Receipt { .. } => "outcome_proof.receipt",
            Self::Other { .. } => "outcome_proof.other",
            Self::StateRoot(_) => "outcome_proof.state_root",
            Self::Early { .. } => "outcome_proof.early",
            Self::State(_) => "outcome_proof.state",
        }
    }
}

/// What a proof is made of.
pub(crate) struct Parts {
    pub(crate) outcome: Value,
    pub(crate) list: ListPlace,
    pub(crate) state: StateProof,
    pub(crate) root_payload: Vec<u8>,
    pub(crate) root_receipt: Value,
    pub(crate) receipt: Value,
}

impl OutcomeProof {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            format: VERSION.to_owned(),
            outcome: parts.outcome,
            list: parts.list,
            state: parts.state,
            state_root: RootRecord { payload: Hex(&parts.root_payload).to_string(), receipt: parts.root_receipt },
            receipt: parts.receipt,
        }
    }

    /// Whether a text says that it is an outcome proof.
    pub fn is_one(text: &str) -> bool {
        serde_json::from_str::<Tag>(text).is_ok_and(|tag| tag.format == VERSION)
    }

    /// Reads a proof.
    ///
    /// # Errors
    ///
    /// [`OutcomeProofError::Form`] if the text is none.
    pub fn parse(text: &str) -> Result<Self, OutcomeProofError> {
        if OUTCOME_PROOF_SIZE_MAX < text.len() {
            return Err(OutcomeProofError::Form(format!(
                "{} bytes are more than {OUTCOME_PROOF_SIZE_MAX}",
                text.len()
            )));
        }
        let proof: Self = serde_json::from_str(text).map_err(|error| OutcomeProofError::Form(error.to_string()))?;
        if proof.format != VERSION || PATH_LENGTH_MAX < proof.list.path.len() {
            return Err(OutcomeProofError::Form(format!("not of the form {VERSION}")));
        }
        Ok(proof)
    }

    /// The text that [`OutcomeProof::parse`] reads.
    ///
    /// # Errors
    ///
    /// [`OutcomeProofError::Form`] if it can't be written.
    pub fn encode(&self) -> Result<String, OutcomeProofError> {
        serde_json::to_string(self).map_err(|error| OutcomeProofError::Form(error.to_string()))
    }

    /// Seq of the record.
    pub fn seq(&self) -> Option<u64> {
        self.outcome.get("seq").and_then(Value::as_integer).and_then(|seq| u64::try_from(seq).ok())
    }

    /// Verifies all of it.
    ///
    /// # Errors
    ///
    /// [`OutcomeProofError`] with the first step that fails.
    pub fn verify(&self, vkey: &Vkey) -> Result<(), (ProofStep, OutcomeProofError)> {
        ProofStep::ALL.into_iter().try_for_each(|step| self.verify_step(step, vkey).map_err(|error| (step, error)))
    }

    /// Verifies one step.
    ///
    /// # Errors
    ///
    /// [`OutcomeProofError`] if it does not hold.
    pub fn verify_step(&self, step: ProofStep, vkey: &Vkey) -> Result<(), OutcomeProofError> {
        match step {
            ProofStep::Receipt => receipt(&self.receipt, "the record's", vkey).map(drop),
            ProofStep::Outcome => self.verify_outcome(vkey),
            ProofStep::StateRoot => self.verify_state_root(vkey).map(drop),
            ProofStep::State => self.verify_state(vkey),
        }
    }

    fn verify_outcome(&self, vkey: &Vkey) -> Result<(), OutcomeProofError> {
        let receipt = receipt(&self.receipt, "the record's", vkey)?.receipt;
        let named = (self.outcome.get("record").and_then(Value::as_text).unwrap_or_default(), self.seq());
        let (record, height) = (receipt.leaf.record_id.to_string(), receipt.leaf.height);
        if named == (record.as_str(), Some(receipt.seq)) && height == self.list.height {
            return Ok(());
        }
        let outcome = format!("record {} at seq {:?} in block {}", named.0, named.1, self.list.height);
        Err(OutcomeProofError::Other {
            outcome,
            receipt: format!("record {record} at seq {} in block {height}", receipt.seq),
        })
    }

    fn verify_state_root(&self, vkey: &Vkey) -> Result<StateRootRecord, OutcomeProofError> {
        let json = receipt(&self.state_root.receipt, "the state root's", vkey)?;
        let wrong = |problem: String| OutcomeProofError::StateRoot(problem);
        let payload =
            hex(&self.state_root.payload).ok_or_else(|| wrong("its payload is not hexadecimal".to_owned()))?;
        json.receipt.verify_payload(&payload).map_err(|error| wrong(error.to_string()))?;
        let head = json.receipt.head().map_err(|error| wrong(error.to_string()))?;
        if head.kind != annals::Kind::STATE_ROOT {
            return Err(wrong("the record is of another kind".to_owned()));
        }
        // One ledger key may serve two ledgers, and who is appointed on one says nothing of what became of records on the other.
        let of_record = receipt(&self.receipt, "the record's", vkey)?.receipt;
        if of_record.head().map_err(|error| wrong(error.to_string()))?.ledger != head.ledger {
            return Err(wrong("it stands in another ledger than the record".to_owned()));
        }
        let record = StateRootRecord::parse(&payload).map_err(|error| wrong(error.to_string()))?;
        record.verify(vkey, head.ledger, &head.author).map_err(|error| wrong(error.to_string()))?;
        if record.height < self.list.height {
            return Err(OutcomeProofError::Early { root: record.height, outcome: self.list.height });
        }
        Ok(record)
    }

    fn verify_state(&self, vkey: &Vkey) -> Result<(), OutcomeProofError> {
        let record = self.verify_state_root(vkey)?;
        let ListPlace { height, index, count, path } = &self.list;
        let path: Vec<_> = path.iter().map(|hash| TreeHash::from_bytes(hash.0)).collect();
        let root = inclusion_root(leaf_hash(&self.outcome.encode()), *index, *count, &path)
            .map_err(|error| OutcomeProofError::State(error.to_string()))?;
        let count = Value::Integer(i64::try_from(*count).unwrap_or(i64::MAX));
        let value = Value::map([("count", count), ("root", Value::from(root.to_string()))]);
        let proved = self.state.verify(&record.root, &keys::outcomes(*height), Some(&value.encode()));
        proved.map_err(|error| OutcomeProofError::State(error.to_string()))
    }
}

#[derive(Deserialize)]
struct Tag {
    format: String,
}

fn receipt(value: &Value, which: &'static str, vkey: &Vkey) -> Result<ReceiptJson, OutcomeProofError> {
    let wrong = |problem: String| OutcomeProofError::Receipt { which, problem };
    let text = String::from_utf8(value.encode()).map_err(|error| wrong(error.to_string()))?;
    let json = ReceiptJson::parse(&text).map_err(|error| wrong(error.to_string()))?;
    if json.disclosure != Disclosure::None {
        return Err(wrong(
            "carries a salt, which shows nothing here and helps to guess at the payload; leave it out".to_owned(),
        ));
    }
    json.receipt.verify(vkey).map_err(|(_, error)| wrong(error.to_string()))?;
    Ok(json)
}

/// The bytes of a state-root record's payload.
fn hex(text: &str) -> Option<Vec<u8>> {
    parse_hex::<104>(text).ok().map(|bytes| bytes.to_vec())
}
