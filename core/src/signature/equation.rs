//! The equation of ZIP-215 itself, on curve arithmetic alone: for whoever checks the engine.
//!
//! It shares no verification code with the libraries that the engine verifies with, and is slower for it. Source: ZIP
//! 215, "Specification"; RFC 8032 section 5.1.7.

use super::author_and_signature;
use crate::hash::AuthorId;
use crate::limits::HEAD_SIZE;
use crate::record::signed_message;
use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity, VartimeMultiscalarMul};
use rand_core::CryptoRng;
use sha2::{Digest, Sha512};
use std::collections::BTreeMap;

/// What [`super::verify`] says, by the equation of ZIP-215 itself, \[8\]\[s\]B = \[8\]R + \[8\]\[k\]A, on curve arithmetic alone.
///
/// For whoever checks the engine: it shares no verification code with the engine's library. Source: ZIP 215,
/// "Specification"; k is SHA-512 of R, A and the message (RFC 8032 section 5.1.7).
pub fn verify_by_equation(author: &AuthorId, message: &[u8], signature: &[u8; 64]) -> bool {
    let [commitment, response] = halves(signature);
    let Some(s) = Option::<Scalar>::from(Scalar::from_canonical_bytes(response)) else { return false };
    let a = CompressedEdwardsY(author.to_bytes()).decompress();
    let (Some(a), Some(r)) = (a, CompressedEdwardsY(commitment).decompress()) else { return false };
    let k = challenge(&commitment, author.as_bytes(), message);
    let difference = EdwardsPoint::vartime_double_scalar_mul_basepoint(&k, &-a, &s) - r;
    difference.mul_by_cofactor().is_identity()
}

/// What [`super::verify_head`] says, by [`verify_by_equation`].
pub fn verify_head_by_equation(head: &[u8; HEAD_SIZE]) -> bool {
    let (author, signature) = author_and_signature(head);
    verify_by_equation(&author, &signed_message(head), &signature)
}

/// R and s of a signature.
fn halves(signature: &[u8; 64]) -> [[u8; 32]; 2] {
    let (commitment, response) = signature.split_at(32);
    [commitment, response].map(|half| half.first_chunk().copied().unwrap_or_default())
}

/// k of the equation.
fn challenge(commitment: &[u8; 32], author: &[u8; 32], message: &[u8]) -> Scalar {
    let digest = Sha512::new().chain_update(commitment).chain_update(author).chain_update(message);
    Scalar::from_bytes_mod_order_wide(&digest.finalize().into())
}

/// Many signatures, verified by one sum: whether [`verify_by_equation`] is true of all of them.
///
/// Each is weighed by 128 random bits: \[8\](sum z\[i\]R\[i\] + sum z\[i\]k\[i\]A\[i\] - (sum z\[i\]s\[i\])B) = 0,
/// where an author's terms are added up first. A wrong answer has odds of 2^-128. Source: Bernstein, Duif, Lange, Schwabe,
/// Yang, "High-speed high-security signatures", section 5, with the cofactor as ZIP 215 has it, so that the sum agrees with
/// the single form on points of small order too.
#[derive(Debug, Default)]
pub struct EquationBatch {
    signed: Vec<Signed>,
}

/// What of a signed message the equation is about.
#[derive(Debug)]
struct Signed {
    author: [u8; 32],
    commitment: [u8; 32],
    response: [u8; 32],
    k: Scalar,
}

impl EquationBatch {
    /// An empty batch, which holds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a signature.
    pub fn push(&mut self, author: &AuthorId, message: &[u8], signature: &[u8; 64]) {
        let author = author.to_bytes();
        let [commitment, response] = halves(signature);
        let k = challenge(&commitment, &author, message);
        self.signed.push(Signed { author, commitment, response, k });
    }

    /// Adds the signature that a head carries, by the author it names.
    pub fn push_head(&mut self, head: &[u8; HEAD_SIZE]) {
        let (author, signature) = author_and_signature(head);
        self.push(&author, &signed_message(head), &signature);
    }

    /// Whether all hold. `randomness` must be unpredictable to the authors.
    pub fn holds(&self, randomness: &mut dyn CryptoRng) -> bool {
        let mut weights = vec![[0; 16]; self.signed.len()];
        randomness.fill_bytes(weights.as_flattened_mut());
        self.weighed_sum(&weights).is_some_and(|sum| sum.mul_by_cofactor().is_identity())
    }

    /// The sum; none if some bytes are no point, or no reduced scalar.
    fn weighed_sum(&self, weights: &[[u8; 16]]) -> Option<EdwardsPoint> {
        let count_max = 2 * self.signed.len() + 1;
        let (mut scalars, mut points) = (Vec::with_capacity(count_max), Vec::with_capacity(count_max));
        let (mut base, mut authors) = (Scalar::ZERO, BTreeMap::<[u8; 32], Scalar>::new());
        for (Signed { author, commitment, response, k }, weight) in self.signed.iter().zip(weights) {
            let z = Scalar::from(u128::from_le_bytes(*weight));
            base -= z * Option::<Scalar>::from(Scalar::from_canonical_bytes(*response))?;
            *authors.entry(*author).or_insert(Scalar::ZERO) += z * k;
            scalars.push(z);
            points.push(CompressedEdwardsY(*commitment).decompress()?);
        }
        for (author, scalar) in authors {
            scalars.push(scalar);
            points.push(CompressedEdwardsY(author).decompress()?);
        }
        scalars.push(base);
        points.push(ED25519_BASEPOINT_POINT);
        Some(EdwardsPoint::vartime_multiscalar_mul(scalars, points))
    }
}
