//! Numbers in no order, the same in every run: xorshift64*, of Marsaglia and Vigna.

/// A generator of numbers; no secret is made of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// One that begins with this state, which is not 0.
    pub(crate) const fn new(state: u64) -> Self {
        Self(state)
    }

    /// The next number.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

impl Default for Random {
    /// The golden ratio's bits.
    fn default() -> Self {
        Self::new(0x9E37_79B9_7F4A_7C15)
    }
}
