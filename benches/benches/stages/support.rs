//! Records for the benches, and a source of weights that need not be secret.

use annals::{Creation, Kind, Ledger, LedgerId, Options, RecordBuilder, SigningKey};
use std::path::Path;

/// Records of a block.
pub(crate) const RECORDS: usize = 1000;
/// Bytes of a payload.
pub(crate) const PAYLOAD: usize = 256;

/// Counts up; weights of a batch need not be secret in a bench.
pub(crate) struct Counter(pub(crate) u64);

impl rand_core::TryRng for Counter {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.try_next_u64().map(|number| (number >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in bytes.chunks_mut(8) {
            let number = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Counter {}

pub(crate) const fn ledger_id() -> LedgerId {
    LedgerId::from_bytes([7; 32])
}

pub(crate) fn key(author: usize) -> SigningKey {
    let mut seed = [1; 32];
    seed[..8].copy_from_slice(&(author as u64).to_le_bytes());
    SigningKey::from_seed(&seed)
}

/// Signed records for a ledger, their authors taking turns.
pub(crate) fn records_by(author_count: usize, ledger: LedgerId, count: usize) -> Vec<Vec<u8>> {
    let keys: Vec<_> = (0..author_count).map(key).collect();
    let record = |number: usize| {
        let nonce = (number / author_count) as u64;
        let builder = RecordBuilder::new(ledger, Kind::APPLICATION_FIRST).unsalted().nonce(nonce);
        builder.sign(&keys[number % author_count], &[number as u8; PAYLOAD]).unwrap().bytes().to_vec()
    };
    (0..count).map(record).collect()
}

/// The same by 64 authors.
pub(crate) fn records(ledger: LedgerId, count: usize) -> Vec<Vec<u8>> {
    records_by(64, ledger, count)
}

/// A new ledger with small segments that anybody may append to.
pub(crate) fn create(directory: &Path) -> Ledger {
    let creation = Creation { segment_size: 16 << 20, ..Creation::open("annals.example/bench") };
    Ledger::create(&directory.join("ledger"), &creation, Options::default()).unwrap()
}
