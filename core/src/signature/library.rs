//! The libraries that verify signatures, the choice between them, and the search for culprits in a batch that fails.
//!
//! | library | where | a signature in a batch of 512, of 4,096; alone |
//! |---|---|---|
//! | `ed25519-zebra` | everywhere | 7.1 µs, 5.7 µs; 30 µs |
//! | `commonware-cryptography-curve25519` | feature `fast-signatures`, x86-64 with AVX-512 IFMA | 2.3 µs, 1.4 µs; 12 µs |
//!
//! Without AVX-512 the second is the slower one (9.6 µs, 6.6 µs; 34 µs), so the choice is made when the program runs, by what the
//! processor can do. Figures: 64 authors, one core of a Zen 4, `docs/decisions/0006-signature-libraries.md`.

#[cfg(feature = "fast-signatures")]
use super::commonware;
use super::zebra;
use crate::limits::HEAD_SIZE;
use rand_core::CryptoRng;

/// A failed batch is halved down to this many, then verified one by one.
///
/// At 16 a half costs about as much as its signatures alone, with either library.
const BISECT_LEAST: usize = 16;

/// A library that verifies signatures. All accept exactly what ZIP-215 accepts, alone and in batches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Library {
    /// `ed25519-zebra`.
    Zebra,
    /// `commonware-cryptography-curve25519`, in builds with the feature `fast-signatures`.
    #[cfg(feature = "fast-signatures")]
    Commonware,
}

impl Library {
    /// All that this build has.
    pub const ALL: &'static [Self] = &[
        Self::Zebra,
        #[cfg(feature = "fast-signatures")]
        Self::Commonware,
    ];

    /// The fastest one on the machine that it runs on, of those that this build has.
    pub fn of_this_machine() -> Self {
        #[cfg(all(feature = "fast-signatures", target_arch = "x86_64"))]
        if commonware::is_fast_here() {
            return Self::Commonware;
        }
        Self::Zebra
    }

    /// Its short name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zebra => "zebra",
            #[cfg(feature = "fast-signatures")]
            Self::Commonware => "commonware",
        }
    }

    /// Verifies the signature that a head carries, by the author it names.
    pub fn verify_head(self, head: &[u8; HEAD_SIZE]) -> bool {
        match self {
            Self::Zebra => zebra::verify_head(head),
            #[cfg(feature = "fast-signatures")]
            Self::Commonware => commonware::verify_head(head),
        }
    }

    /// Verifies many heads; `valid[i]` says of `heads[i]` what [`Library::verify_head`] says.
    ///
    /// `randomness` weighs the signatures of a batch against each other and must be unpredictable to their authors.
    ///
    /// # Panics
    ///
    /// If the two slices differ in length.
    pub fn verify_heads(self, heads: &[&[u8; HEAD_SIZE]], valid: &mut [bool], randomness: &mut dyn CryptoRng) {
        assert_eq!(heads.len(), valid.len(), "one answer a head");
        if self.all_hold(heads, randomness) {
            valid.fill(true);
        } else {
            self.find_culprits(heads, valid, randomness);
        }
    }

    /// Whether the signatures of all these heads hold.
    fn all_hold(self, heads: &[&[u8; HEAD_SIZE]], randomness: &mut dyn CryptoRng) -> bool {
        match heads {
            [] => true,
            [head] => self.verify_head(head),
            heads => match self {
                Self::Zebra => zebra::all_hold(heads, randomness),
                #[cfg(feature = "fast-signatures")]
                Self::Commonware => commonware::all_hold(heads, randomness),
            },
        }
    }

    /// Judges the heads of a batch that failed one by one; a half without culprits is known by its failing neighbour.
    fn find_culprits(self, heads: &[&[u8; HEAD_SIZE]], valid: &mut [bool], randomness: &mut dyn CryptoRng) {
        if heads.len() <= BISECT_LEAST {
            for (head, valid) in heads.iter().zip(valid) {
                *valid = self.verify_head(head);
            }
            return;
        }
        let (low, high) = heads.split_at(heads.len() / 2);
        let (valid_low, valid_high) = valid.split_at_mut(low.len());
        if self.all_hold(low, randomness) {
            valid_low.fill(true);
            // The culprit is not here, so it is there: no need to ask.
            self.find_culprits(high, valid_high, randomness);
        } else {
            self.find_culprits(low, valid_low, randomness);
            self.verify_heads(high, valid_high, randomness);
        }
    }
}
