//! Ed25519 under ZIP-215: one acceptance rule, single and in batches.
//!
//! A batch that fails is halved until the culprits stand alone, so a batch gives the same answers as single
//! verification, record by record. Author keys must be canonical, of prime order and not the identity; that is
//! checked once for a key by [`parse_author`], and makes `[8]` in the equation harmless. Behind the seam stands
//! the fastest [`Library`] of the machine; all of them accept the same. Sources: RFC 8032, ZIP-215, `docs/FORMAT.md`
//! "Signatures".

#[cfg(feature = "fast-signatures")]
mod commonware;
mod equation;
mod library;
mod zebra;

pub use equation::{EquationBatch, verify_by_equation, verify_head_by_equation};
pub use library::Library;

use crate::hash::AuthorId;
use crate::limits::HEAD_SIZE;
use crate::record::signed_message;
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::traits::IsIdentity;
use ed25519_zebra::{Signature, VerificationKey, VerificationKeyBytes};
use rand_core::CryptoRng;

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
    Library::of_this_machine().verify_head(head)
}

/// Verifies many heads; `valid[i]` says of `heads[i]` what [`verify_head`] says.
///
/// `randomness` weighs the signatures of a batch against each other and must be unpredictable to their authors.
///
/// # Panics
///
/// If the two slices differ in length.
pub fn verify_heads(heads: &[&[u8; HEAD_SIZE]], valid: &mut [bool], randomness: &mut dyn CryptoRng) {
    Library::of_this_machine().verify_heads(heads, valid, randomness);
}

fn author_and_signature(head: &[u8; HEAD_SIZE]) -> (AuthorId, [u8; 64]) {
    let (_, rest) = head.split_at(40);
    let author = AuthorId::from_bytes(rest.first_chunk::<32>().copied().unwrap_or_default());
    (author, head.last_chunk::<64>().copied().unwrap_or([0; 64]))
}
