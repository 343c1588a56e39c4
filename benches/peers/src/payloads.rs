//! What every store keeps: payloads of 256 bytes that nothing compresses, each with its number in its first 8 bytes.

use crate::Failure;

/// Bytes of a payload.
pub(crate) const SIZE: usize = 256;
/// Records of a batch.
pub(crate) const BATCH: usize = 1000;

/// The payloads of one batch, used again and again with other numbers.
#[derive(Debug)]
pub(crate) struct Payloads {
    payloads: Vec<[u8; SIZE]>,
}

impl Payloads {
    pub(crate) fn new() -> Self {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut payload = |_| {
            let mut payload = [0; SIZE];
            for chunk in payload.chunks_exact_mut(8) {
                // xorshift64*, Marsaglia and Vigna.
                state ^= state >> 12;
                state ^= state << 25;
                state ^= state >> 27;
                chunk.copy_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
            }
            payload
        };
        Self { payloads: (0..BATCH).map(&mut payload).collect() }
    }

    /// Records `first..first + count`, at most a batch.
    pub(crate) fn numbered(&mut self, first: u64, count: usize) -> &[[u8; SIZE]] {
        let payloads = &mut self.payloads[..count];
        for (number, payload) in (first..).zip(payloads.iter_mut()) {
            payload[..8].copy_from_slice(&number.to_le_bytes());
        }
        payloads
    }
}

/// The number of a payload.
pub(crate) fn number(payload: &[u8]) -> Option<u64> {
    (payload.len() == SIZE).then(|| payload.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))).flatten()
}

/// Counts payloads that must be all there, in order.
#[derive(Debug, Default)]
pub(crate) struct Census {
    pub(crate) count: u64,
}

impl Census {
    /// Takes the next one.
    pub(crate) fn take(&mut self, payload: &[u8]) -> Result<(), Failure> {
        if number(payload) != Some(self.count) {
            return Err(format!("record {} is not what was appended", self.count).into());
        }
        self.count += 1;
        Ok(())
    }
}
