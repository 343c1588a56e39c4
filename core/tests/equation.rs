//! The equation of ZIP-215, summed over many heads, against the single form and against every library that the engine may
//! verify with: on signatures with torsion in R and A and in encodings that are not canonical, which ZIP-215 takes, and on damaged ones.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

use annals_core::limits::HEAD_SIZE;
use annals_core::record::signed_message;
use annals_core::signature::{EquationBatch, Library, verify_head_by_equation};
use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::scalar::Scalar;
use proptest::prelude::*;
use sha2::{Digest, Sha512};

/// A deterministic stand-in for randomness: tests need no secrecy.
struct Counter(u64);

impl rand_core::TryRng for Counter {
    type Error = core::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.try_next_u64().map(|word| word as u32)
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Ok(self.0 ^ (self.0 >> 29))
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for byte in bytes {
            *byte = self.try_next_u64()?.to_le_bytes()[7];
        }
        Ok(())
    }
}
impl rand_core::TryCryptoRng for Counter {}

/// Encodings of points of small order that are not canonical: y = p + 1 and p, and x = 0 with the sign bit set.
const NOT_CANONICAL: [&str; 4] = [
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

/// How a signature is made unlike others.
#[derive(Clone, Copy, Debug)]
enum Twist {
    /// R and A each get a point of small order added.
    Torsion { commitment: usize, author: usize },
    /// R is of small order, in an encoding that is not canonical.
    Encoding { commitment: usize },
    /// The author is of small order, in an encoding that is not canonical.
    Author { author: usize },
    /// A bit is flipped afterwards.
    Flip { bit: usize },
    /// The scalar is not reduced: the group's order was added.
    Scalar,
}

/// A head signed by the textbook: s = r + ka, with R and A as the twist has them.
fn signed(number: u8, twist: Twist) -> [u8; HEAD_SIZE] {
    let secret = Scalar::from_bytes_mod_order([number % 5 + 1; 32]);
    let mut nonce = Scalar::from_bytes_mod_order([number.wrapping_add(100); 32]);
    let mut author = ED25519_BASEPOINT_POINT * secret;
    let mut commitment = ED25519_BASEPOINT_POINT * nonce;
    let (mut commitment_bytes, mut author_bytes) = (None, None);
    let mut secret = secret;
    match twist {
        Twist::Torsion { commitment: which, author: other } => {
            commitment += EIGHT_TORSION[which];
            author += EIGHT_TORSION[other];
        }
        Twist::Encoding { commitment: which } => {
            nonce = Scalar::ZERO;
            commitment_bytes = Some(annals_core::hash::parse_hex::<32>(NOT_CANONICAL[which]).unwrap());
        }
        Twist::Author { author: which } => {
            secret = Scalar::ZERO;
            author_bytes = Some(annals_core::hash::parse_hex::<32>(NOT_CANONICAL[which]).unwrap());
        }
        Twist::Flip { .. } | Twist::Scalar => {}
    }
    let commitment = commitment_bytes.unwrap_or_else(|| commitment.compress().to_bytes());
    let author = author_bytes.unwrap_or_else(|| author.compress().to_bytes());
    let mut head = [number; HEAD_SIZE];
    head[40..72].copy_from_slice(&author);
    let digest = Sha512::new().chain_update(commitment).chain_update(author).chain_update(signed_message(&head));
    let k = Scalar::from_bytes_mod_order_wide(&digest.finalize().into());
    head[128..160].copy_from_slice(&commitment);
    head[160..].copy_from_slice((nonce + k * secret).as_bytes());
    match twist {
        Twist::Flip { bit } => head[bit / 8] ^= 1 << (bit % 8),
        Twist::Scalar => {
            // The group's order, RFC 8032 section 5.1, little-endian.
            let order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
            let order = annals_core::hash::parse_hex::<32>(order).unwrap();
            let mut carry = 0;
            for (byte, add) in head[160..].iter_mut().zip(order) {
                let sum = u16::from(*byte) + u16::from(add) + carry;
                (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
            }
        }
        Twist::Torsion { .. } | Twist::Encoding { .. } | Twist::Author { .. } => {}
    }
    head
}

fn twist() -> impl Strategy<Value = Twist> {
    prop_oneof![
        4 => Just(Twist::Torsion { commitment: 0, author: 0 }),
        3 => (0..8usize, 0..8usize).prop_map(|(commitment, author)| Twist::Torsion { commitment, author }),
        1 => (0..4usize).prop_map(|commitment| Twist::Encoding { commitment }),
        1 => (0..4usize).prop_map(|author| Twist::Author { author }),
    ]
}

fn damage() -> impl Strategy<Value = Twist> {
    prop_oneof![3 => (0..HEAD_SIZE * 8).prop_map(|bit| Twist::Flip { bit }), 1 => Just(Twist::Scalar)]
}

fn all_hold(heads: &[&[u8; HEAD_SIZE]], randomness: &mut Counter) -> bool {
    let mut batch = EquationBatch::new();
    heads.iter().for_each(|head| batch.push_head(head));
    batch.holds(randomness)
}

/// What all ways say, alone and together, if they agree.
fn verdicts(heads: &[[u8; HEAD_SIZE]], seed: u64) -> Vec<bool> {
    let refs: Vec<_> = heads.iter().collect();
    let single: Vec<bool> = refs.iter().map(|head| verify_head_by_equation(head)).collect();
    assert_eq!(all_hold(&refs, &mut Counter(seed)), single.iter().all(|valid| *valid));
    for library in Library::ALL {
        let mut together = vec![false; refs.len()];
        library.verify_heads(&refs, &mut together, &mut Counter(seed));
        assert_eq!(together, single, "{} in batches", library.name());
        let alone: Vec<_> = refs.iter().map(|head| library.verify_head(head)).collect();
        assert_eq!(alone, single, "{} alone", library.name());
    }
    single
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn torsion_and_odd_encodings_are_taken_by_all_ways(twists in prop::collection::vec(twist(), 1..300), seed in any::<u64>()) {
        let heads: Vec<_> = (0..=u8::MAX).cycle().zip(&twists).map(|(number, twist)| signed(number, *twist)).collect();
        prop_assert_eq!(verdicts(&heads, seed), vec![true; heads.len()]);
    }

    #[test]
    fn bad_ones_among_good_are_named_by_all_ways(
        twists in prop::collection::vec(twist(), 2..200),
        bad in prop::collection::vec((damage(), any::<prop::sample::Index>()), 1..4),
        seed in any::<u64>(),
    ) {
        let mut heads: Vec<_> = (0..=u8::MAX).cycle().zip(&twists).map(|(number, twist)| signed(number, *twist)).collect();
        let mut expected = vec![true; heads.len()];
        for (damage, at) in bad {
            let at = at.index(heads.len());
            heads[at] = signed(7, damage);
            expected[at] = false;
        }
        prop_assert_eq!(verdicts(&heads, seed), expected);
    }
}

#[test]
fn nothing_and_one_are_answered() {
    assert_eq!(verdicts(&[], 1), Vec::<bool>::new());
    assert_eq!(verdicts(&[signed(1, Twist::Torsion { commitment: 3, author: 5 })], 1), [true]);
    assert_eq!(verdicts(&[signed(1, Twist::Scalar)], 1), [false]);
}

#[test]
fn two_errors_that_cancel_out_are_seen() {
    // s is one too large in one signature and one too small in the other: an unweighed sum would not notice.
    let mut heads = [signed(1, Twist::Encoding { commitment: 0 }), signed(2, Twist::Encoding { commitment: 0 })];
    for (head, change) in heads.iter_mut().zip([Scalar::ONE, -Scalar::ONE]) {
        let s = Scalar::from_bytes_mod_order(*head.last_chunk::<32>().unwrap()) + change;
        head[160..].copy_from_slice(s.as_bytes());
    }
    assert_eq!(verdicts(&heads, 9), [false, false]);
}
