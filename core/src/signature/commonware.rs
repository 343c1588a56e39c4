//! Verification by `commonware-cryptography-curve25519`, several signatures at a time in the processor's vectors.
//!
//! It verifies `varint(length of namespace) || namespace || message`; with a namespace of 16 bytes that is the framing
//! of [`crate::record::signed_message`] byte for byte, which a test compares.

use crate::limits::{HEAD_SIGNED_SIZE, HEAD_SIZE};
use crate::record::SIGNING_NAMESPACE;
use commonware_codec::{Copying, DecodeExt, FixedSize};
use commonware_cryptography::{BatchEntry, BatchVerifier};
use commonware_cryptography_curve25519::signing::{Signature, VerifyingKey};
use commonware_parallel::Sequential;
use rand_core::CryptoRng;

/// What of a head a batch is about.
struct Signed<'a> {
    author: VerifyingKey,
    signature: Signature,
    message: &'a [u8],
}

impl Signed<'_> {
    fn entry(&self) -> BatchEntry<'_, VerifyingKey> {
        let Self { author, signature, message } = self;
        BatchEntry { namespace: SIGNING_NAMESPACE, message, public_key: author, signature }
    }
}

/// Whether this processor has the instructions that make the library faster than the other one.
#[cfg(target_arch = "x86_64")]
pub(super) fn is_fast_here() -> bool {
    // The library asks for these three, and falls back to scalar arithmetic without them.
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512ifma")
}

pub(super) fn verify_head(head: &[u8; HEAD_SIZE]) -> bool {
    signed(head).is_some_and(|it| it.author.verify(SIGNING_NAMESPACE, it.message, &it.signature))
}

/// Whether the signatures of all these heads hold.
pub(super) fn all_hold(heads: &[&[u8; HEAD_SIZE]], mut randomness: &mut dyn CryptoRng) -> bool {
    let Some(all) = heads.iter().map(|head| signed(head)).collect::<Option<Vec<_>>>() else { return false };
    VerifyingKey::verify_batch(&mut randomness, &all, |_, it| it.entry(), &Sequential)
}

/// Splits a head; never none, since any bytes of these sizes are taken, and judged when they are verified.
fn signed(head: &[u8; HEAD_SIZE]) -> Option<Signed<'_>> {
    let (message, signature) = head.split_at(HEAD_SIGNED_SIZE);
    let author = head.get(40..)?.get(..VerifyingKey::SIZE)?;
    Some(Signed {
        author: VerifyingKey::decode(Copying(author)).ok()?,
        signature: Signature::decode(Copying(signature)).ok()?,
        message,
    })
}
