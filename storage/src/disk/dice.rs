//! Dice: a stream of numbers that a seed fixes for good, for simulations.
//!
//! SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): a seed printed by a failed
//! run leads to the same run on any machine and with any later version of any library. No randomness for keys.

/// A stream of numbers.
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// The stream of a seed.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number.
    pub const fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if that is 0.
    pub const fn below(&mut self, end: u64) -> u64 {
        // The bias of a remainder is far below what a simulation could notice.
        if end == 0 { 0 } else { self.roll() % end }
    }

    /// Whether something of these odds, in 1,024, happens.
    pub const fn happens(&mut self, odds: u32) -> bool {
        self.below(1024) < odds as u64
    }

    /// A stream of its own, for something that shall not disturb this one.
    pub const fn split(&mut self) -> Self {
        Self::new(self.roll())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_published_one() {
        // The first numbers of seed 1234567 in the reference implementation.
        let mut dice = Dice::new(1_234_567);
        let numbers = [0; 5].map(|_: u64| dice.roll());
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(numbers, expected);
    }

    #[test]
    fn odds_are_kept() {
        let mut dice = Dice::new(1);
        assert!(!(0..1000).any(|_| dice.happens(0)));
        assert!((0..1000).all(|_| dice.happens(1024)));
        let half = (0..10_000).filter(|_| dice.happens(512)).count();
        assert!((4_700..5_300).contains(&half), "{half}");
        assert_eq!(dice.below(0), 0);
    }
}
