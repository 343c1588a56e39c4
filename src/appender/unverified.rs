//! Appending without verifying signatures, so that a bench can measure the engine apart from them. Only with the feature
//! `bench-unverified`.
//!
//! All else stays as it is: the gate, the content hash and the record id, both computed in the caller's thread, nonces,
//! order, chain and tree. An author must have been met through a verified record before. A ledger made so must not be
//! used, and `check` refuses it at the first record whose signature does not hold.

use super::{Ack, Appender, Pending};
use crate::gate::{Gated, gate};
use crate::refusal::Refusal;
use annals_core::record::{record_id, verify_content};

impl Appender {
    /// Appends many records with one claim, as [`Appender::append_batch`] does, and takes their signatures as verified.
    ///
    /// # Errors
    ///
    /// As [`Appender::append_batch`].
    #[doc(hidden)]
    pub fn append_batch_unverified(&mut self, records: &[&[u8]]) -> Result<Vec<Result<Pending, Refusal>>, Refusal> {
        let gated: Vec<_> = records.iter().map(|record| self.vouch(record)).collect();
        self.claim(&gated)
    }

    /// Appends a record whose signature is taken as verified, and waits until it is final.
    ///
    /// # Errors
    ///
    /// [`Refusal`], whether told at once or after the order.
    #[doc(hidden)]
    pub fn append_wait_unverified(&mut self, record: &[u8]) -> Result<Ack, Refusal> {
        let gated = self.vouch(record);
        let pending = self.claim(&[gated])?.pop().unwrap_or(Err(Refusal::Pushback))?;
        self.look_for(&pending);
        pending.wait()
    }

    fn vouch<'a>(&mut self, record: &'a [u8]) -> Result<Gated<'a>, Refusal> {
        let mut gated = gate(&self.line.shared, &mut self.met, record)?;
        verify_content(&gated.record.head, gated.record.payload)?;
        gated.verified = Some(record_id(gated.record.head_bytes));
        Ok(gated)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use crate::{Creation, Kind, Ledger, Options, RecordBuilder, Refusal, SigningKey, check_ledger};

    #[test]
    fn what_is_taken_as_verified_is_refused_by_check() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger");
        let creation = Creation { segment_size: 2 << 20, ..Creation::open("annals.example/bench") };
        let ledger = Ledger::create(&path, &creation, Options::default()).unwrap();
        let key = SigningKey::from_seed(&[1; 32]);
        let record = |nonce: u64, is_signed: bool| {
            let builder = RecordBuilder::new(ledger.id(), Kind::APPLICATION_FIRST).unsalted().nonce(nonce);
            let mut bytes = builder.sign(&key, b"a notice").unwrap().bytes().to_vec();
            if !is_signed {
                bytes[128..192].fill(0);
            }
            bytes
        };
        let mut appender = ledger.appender().unwrap();
        assert!(matches!(appender.append_wait_unverified(&record(0, false)), Err(Refusal::Signature)), "not met yet");
        assert_eq!(appender.append_wait(&record(1, true)).unwrap().seq, 1);
        assert_eq!(appender.append_wait_unverified(&record(2, false)).unwrap().seq, 2);
        let mut other_payload = record(3, false);
        other_payload[195] ^= 1;
        let records = [&record(4, false)[..], &other_payload];
        let mut answers = appender.append_batch_unverified(&records).unwrap();
        assert!(matches!(answers.pop().unwrap(), Err(Refusal::Content(_))), "all but the signature is verified");
        assert_eq!(answers.pop().unwrap().unwrap().wait().unwrap().seq, 3);
        assert!(matches!(appender.append_wait(&record(5, false)), Err(Refusal::Signature)));
        drop(appender);
        ledger.close().unwrap();
        let refused = check_ledger(&path, None, &mut |_, _| {}).unwrap_err();
        assert!(refused.to_string().contains("the signature does not hold"), "{refused}");
    }
}
