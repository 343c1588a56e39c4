//! Ed25519 under ZIP-215: one acceptance rule, single and in batches.
//!
//! A batch that fails is halved until the culprits stand alone, so a batch gives the same answers as single
//! verification, record by record. Author keys must be canonical, of prime order and not the identity; that is
//! checked once for a key by [`parse_author`], and makes `[8]` in the equation harmless. The library behind
//! this seam is `ed25519-zebra`. Sources: RFC 8032, ZIP-215, `docs/FORMAT.md` "Signatures".

use crate::hash::AuthorId;
use crate::limits::HEAD_SIZE;
use crate::record::signed_message;
use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity, VartimeMultiscalarMul};
use ed25519_zebra::{Signature, VerificationKey, VerificationKeyBytes, batch};
use rand_core::CryptoRng;
use sha2::{Digest, Sha512};
use std::collections::BTreeMap;

/// A failed batch is halved down to this many, then verified one by one.
const BISECT_LEAST: usize = 16;

/// Why 32 bytes are not a key that Annals takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The bytes name no point of the curve.
    #[error("the key is no point of the curve")]
    NotAPoint,
    /// The bytes are not the canonical encoding of their point.
    #[error("the key is not canonically encoded")]
    NotCanonical,
    /// The point is of small or mixed order.
    #[error("the key is not of prime order")]
    Torsion,
}

impl KeyError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotAPoint => "key.not_a_point",
            Self::NotCanonical => "key.not_canonical",
            Self::Torsion => "key.torsion",
        }
    }
}

/// Checks that bytes are a good key: canonical, of prime order, not the identity.
///
/// # Errors
///
/// [`KeyError`] if they are not.
pub fn parse_author(author: &AuthorId) -> Result<(), KeyError> {
    let point = CompressedEdwardsY(author.to_bytes()).decompress().ok_or(KeyError::NotAPoint)?;
    if point.compress().as_bytes() != author.as_bytes() {
        return Err(KeyError::NotCanonical);
    }
    if point.is_identity() || !point.is_torsion_free() {
        return Err(KeyError::Torsion);
    }
    Ok(())
}

/// A secret key. Its bytes are wiped when it is dropped and never printed.
#[derive(Clone)]
pub struct SigningKey(ed25519_zebra::SigningKey);

impl core::fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "SigningKey(of {})", self.public())
    }
}

impl SigningKey {
    /// The key of a 32-byte seed (RFC 8032 section 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_zebra::SigningKey::from_bytes(seed))
    }

    /// The seed, to be written to a key file and nowhere else.
    pub fn seed(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(self.0.to_bytes())
    }

    /// The public key.
    pub fn public(&self) -> AuthorId {
        AuthorId::from_bytes(VerificationKeyBytes::from(&self.0).into())
    }

    /// Signs a message, deterministically.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// Signs a head in place: sets its last 64 bytes.
    pub fn sign_head(&self, head: &mut [u8; HEAD_SIZE]) {
        let signature = self.sign(&signed_message(head));
        if let Some(field) = head.last_chunk_mut::<64>() {
            *field = signature;
        }
    }
}

/// Verifies one signature.
pub fn verify(author: &AuthorId, message: &[u8], signature: &[u8; 64]) -> bool {
    VerificationKey::try_from(author.to_bytes())
        .is_ok_and(|key| key.verify(&Signature::from_bytes(signature), message).is_ok())
}

/// Verifies the signature that a head carries, by the author it names.
pub fn verify_head(head: &[u8; HEAD_SIZE]) -> bool {
    item(head).verify_single().is_ok()
}

/// What [`verify`] says, by the equation of ZIP-215 itself, \[8\]\[s\]B = \[8\]R + \[8\]\[k\]A, on curve arithmetic alone.
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

/// What [`verify_head`] says, by [`verify_by_equation`].
pub fn verify_head_by_equation(head: &[u8; HEAD_SIZE]) -> bool {
    let (author, signature) = author_and_signature(head);
    verify_by_equation(&author, &signed_message(head), &signature)
}

/// R and s of a signature.
fn halves(signature: &[u8; 64]) -> [[u8; 32]; 2] {
    let (commitment, response) = signature.split_at(32);
    [commitment, response].map(|half| half.first_chunk().copied().unwrap_or_default())
}

fn author_and_signature(head: &[u8; HEAD_SIZE]) -> (AuthorId, [u8; 64]) {
    let (_, rest) = head.split_at(40);
    let author = AuthorId::from_bytes(rest.first_chunk::<32>().copied().unwrap_or_default());
    (author, head.last_chunk::<64>().copied().unwrap_or([0; 64]))
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

/// Verifies many heads; `valid[i]` says of `heads[i]` what [`verify_head`] says.
///
/// `randomness` weighs the signatures of a batch against each other and must be unpredictable to their authors.
///
/// # Panics
///
/// If the two slices differ in length.
pub fn verify_heads(heads: &[&[u8; HEAD_SIZE]], valid: &mut [bool], randomness: &mut dyn CryptoRng) {
    assert_eq!(heads.len(), valid.len(), "one answer a head");
    if heads.is_empty() {
        return;
    }
    if 1 < heads.len() {
        let mut batch = batch::Verifier::new();
        for head in heads {
            batch.queue(item(head));
        }
        if batch.verify(&mut *randomness).is_ok() {
            valid.fill(true);
            return;
        }
    }
    if heads.len() <= BISECT_LEAST {
        for (head, valid) in heads.iter().zip(valid) {
            *valid = verify_head(head);
        }
        return;
    }
    let (heads_low, heads_high) = heads.split_at(heads.len() / 2);
    let (valid_low, valid_high) = valid.split_at_mut(heads_low.len());
    verify_heads(heads_low, valid_low, randomness);
    verify_heads(heads_high, valid_high, randomness);
}

fn item(head: &[u8; HEAD_SIZE]) -> batch::Item {
    let (_, rest) = head.split_at(40);
    let author = rest.first_chunk::<32>().copied().unwrap_or_default();
    let signature = head.last_chunk::<64>().copied().unwrap_or([0; 64]);
    let key = VerificationKeyBytes::from(author);
    batch::Item::from((key, Signature::from_bytes(&signature), &signed_message(head)))
}
