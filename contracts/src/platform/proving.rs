//! Proving: having the state's root ordered, and what became of a record proved under it.

use super::looking::block_list;
use super::{Core, Platform, PlatformError};
use crate::keys;
use crate::proof::{ListPlace, OutcomeProof, Parts};
use crate::state::{Applied, Proven, Sha256Hash, empty_root};
use crate::value::Value;
use annals::tree::{Frontier, inclusion_path, leaf_hash};
use annals::{Ack, Disclosure, Kind, ReceiptJson, Signer as _, StateRootRecord};
use std::time::Duration;

/// How often proving begins anew because records were applied meanwhile.
const TRIES: u32 = 64;

impl Platform {
    /// Proves what became of an ordered record, for anybody to verify offline. Has the state's root ordered if it was not.
    ///
    /// # Errors
    ///
    /// [`PlatformError::Proof`] if the record is none of the contracts'; others if the ledger or state can't be read.
    pub fn prove(&self, seq: u64) -> Result<OutcomeProof, PlatformError> {
        self.core.prove(seq)
    }

    /// Orders a state-root record for the newest state; the one there is if nothing has changed since.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if the ledger refuses it.
    pub fn order_root(&self) -> Result<Ack, PlatformError> {
        self.core.order_root(&self.core.state.applied())
    }
}

impl Core {
    fn prove(&self, seq: u64) -> Result<OutcomeProof, PlatformError> {
        // Read before waiting: nobody waits for a record that is not there.
        let height = self.reader.get(seq)?.height();
        self.progress.wait_past(seq)?;
        let none = || PlatformError::Proof(format!("record {seq} is none of the contracts', so it has no outcome"));
        let (index, outcome) = self.find_outcome(seq, height)?.ok_or_else(none)?;
        let list = block_list(&self.state, height)?;
        let hashes: Vec<_> = list.iter().map(|entry| leaf_hash(&entry.encode())).collect();
        let path = inclusion_path(&Frontier::new(), &hashes, index).map_err(|_| none())?;
        let path = path.into_iter().map(|hash| Sha256Hash(*hash.as_bytes())).collect();
        let list = ListPlace { height, index, count: hashes.len() as u64, path };
        let (Proven { proof: state, .. }, ack) = self.prove_state(&keys::outcomes(height))?;
        let root_payload = self.reader.get(ack.seq)?.payload().to_vec();
        let (root_receipt, receipt) = (self.receipt(ack.seq)?, self.receipt(seq)?);
        Ok(OutcomeProof::new(Parts { outcome, list, state, root_payload, root_receipt, receipt }))
    }

    /// A proof of a key, and the record of the state root that it is under.
    pub(super) fn prove_state(&self, key: &[u8]) -> Result<(Proven, Ack), PlatformError> {
        for _ in 0..TRIES {
            let proven = self.state.prove(key)?;
            let ack = self.order_root(&proven.applied)?;
            // A root that was ordered for an earlier block stands for this one if nothing has changed between.
            let record = self.reader.get(ack.seq)?;
            if record.state_root().is_some_and(|record| record.root == proven.applied.root) {
                return Ok((proven, ack));
            }
        }
        Err(PlatformError::Proof("state changes faster than its root can be ordered; ask again".to_owned()))
    }

    /// A receipt without its salt: whoever has that can confirm a guess at the payload, and an outcome is shown to anybody.
    fn receipt(&self, seq: u64) -> Result<Value, PlatformError> {
        let receipt = ReceiptJson { disclosure: Disclosure::None, ..self.reader.prove_json(seq, None)? };
        let text = receipt.encode().map_err(|error| PlatformError::Proof(error.to_string()))?;
        Value::parse_loose(text.as_bytes()).map_err(|error| PlatformError::Proof(error.to_string()))
    }

    /// Orders a state-root record, or finds the one there is.
    fn order_root(&self, applied: &Applied) -> Result<Ack, PlatformError> {
        let mut line = self.host.lock();
        if let Some((root, ack)) = &line.ordered_root
            && *root == applied.root
        {
            return Ok(*ack);
        }
        let appointment = self.ledger.appoint(&self.key.author());
        let record = StateRootRecord { height: applied.height, root: applied.root, appointment };
        let ack = line.order(self, Kind::STATE_ROOT, &record.encode())?;
        line.ordered_root = Some((applied.root, ack));
        line.root_time_ms = self.now().time_ms;
        Ok(ack)
    }

    /// Orders a state-root record if the root has changed, and the last one was ordered so long ago.
    pub(super) fn order_root_if_due(&self, interval: Duration) -> Result<(), PlatformError> {
        let applied = self.state.applied();
        let (ordered, since) = {
            let line = self.host.lock();
            (line.ordered_root.map(|(root, _)| root), line.root_time_ms)
        };
        let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        let is_due = since.saturating_add(interval) <= self.now().time_ms;
        if is_due && ordered != Some(applied.root) && applied.root != empty_root() {
            self.order_root(&applied)?;
        }
        Ok(())
    }
}
