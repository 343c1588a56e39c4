//! Verification by `ed25519-zebra`, the library of every build.

use super::author_and_signature;
use crate::limits::HEAD_SIZE;
use crate::record::signed_message;
use ed25519_zebra::{Signature, VerificationKeyBytes, batch};
use rand_core::CryptoRng;

pub(super) fn verify_head(head: &[u8; HEAD_SIZE]) -> bool {
    item(head).verify_single().is_ok()
}

/// Whether the signatures of all these heads hold.
pub(super) fn all_hold(heads: &[&[u8; HEAD_SIZE]], randomness: &mut dyn CryptoRng) -> bool {
    let mut batch = batch::Verifier::new();
    for head in heads {
        batch.queue(item(head));
    }
    batch.verify(randomness).is_ok()
}

fn item(head: &[u8; HEAD_SIZE]) -> batch::Item {
    let (author, signature) = author_and_signature(head);
    let key = VerificationKeyBytes::from(author.to_bytes());
    batch::Item::from((key, Signature::from_bytes(&signature), &signed_message(head)))
}
