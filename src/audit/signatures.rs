//! The signatures of a check: by the equation of ZIP-215, thousands at a time, and by the engine's library where it refuses.
//!
//! The engine verified them with its library. Whoever checks takes the other implementation; if that one refuses, both are
//! asked about each signature, so that a difference between them is told from a bad signature.

use super::error::{CheckError, Finding};
use annals_core::hash::AuthorId;
use annals_core::limits::HEAD_SIZE;
use annals_core::record::signed_message;
use annals_core::signature::{EquationBatch, verify, verify_by_equation};
use getrandom::SysRng;
use rand_core::UnwrapErr;

/// Signatures verified by one sum: beyond that a larger one gains little.
pub(super) const SIGNATURES_AT_ONCE: usize = 4096;

/// Something signed whose signature is still to be verified, and where it lies.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) what: What,
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) seq: u64,
}

/// What was signed.
#[derive(Debug)]
pub(super) enum What {
    /// A record.
    Head([u8; HEAD_SIZE]),
    /// The checkpoint of a block.
    Checkpoint { height: u64, key: AuthorId, text: String, signature: [u8; 64] },
}

/// The ways to verify; tests put others in their place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judges {
    /// Whether all hold.
    pub(super) all: fn(&[Signed]) -> bool,
    /// Whether one holds, by the equation.
    pub(super) equation: fn(&AuthorId, &[u8], &[u8; 64]) -> bool,
    /// Whether one holds, by the engine's library.
    pub(super) library: fn(&AuthorId, &[u8], &[u8; 64]) -> bool,
}

impl Judges {
    /// Those that a check is done with.
    pub(super) const REAL: Self = Self { all: all_hold, equation: verify_by_equation, library: verify };

    /// The first signature that one of the two ways refuses. If the sum refuses and both ways accept each, all hold: each was
    /// verified twice.
    pub(super) fn first_bad(&self, signed: &[Signed]) -> Option<CheckError> {
        if (self.all)(signed) {
            return None;
        }
        signed.iter().find_map(|it| {
            let judged = |judge: fn(&AuthorId, &[u8], &[u8; 64]) -> bool| it.what.with(judge);
            let finding = match (judged(self.equation), judged(self.library)) {
                (true, true) => return None,
                (false, false) => it.what.finding(),
                (equation, library) => Finding::Disagreement { equation, library },
            };
            let (segment, offset, seq) = (it.segment, it.offset, it.seq);
            Some(CheckError::Record { segment, offset, seq, finding: Box::new(finding) })
        })
    }
}

impl What {
    fn with<T>(&self, each: impl FnOnce(&AuthorId, &[u8], &[u8; 64]) -> T) -> T {
        match self {
            Self::Head(head) => {
                let (_, rest) = head.split_at(40);
                let author = AuthorId::from_bytes(rest.first_chunk().copied().unwrap_or_default());
                each(&author, &signed_message(head), head.last_chunk().unwrap_or(&[0; 64]))
            }
            Self::Checkpoint { key, text, signature, .. } => each(key, text.as_bytes(), signature),
        }
    }

    const fn finding(&self) -> Finding {
        match self {
            Self::Head(_) => Finding::Signature,
            Self::Checkpoint { height, .. } => Finding::StoredCheckpoint { height: *height },
        }
    }
}

fn all_hold(signed: &[Signed]) -> bool {
    let mut batch = EquationBatch::new();
    signed.iter().for_each(|it| it.what.with(|author, message, signature| batch.push(author, message, signature)));
    // A system that gives no randomness is beyond help: the check ends by a panic and says nothing.
    batch.holds(&mut UnwrapErr(SysRng))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use annals_core::signature::SigningKey;

    fn signed() -> Vec<Signed> {
        let key = SigningKey::from_seed(&[1; 32]);
        let mut signed: Vec<Signed> = (0..40_u8)
            .map(|number| {
                let mut head = [number; HEAD_SIZE];
                head[40..72].copy_from_slice(key.public().as_bytes());
                key.sign_head(&mut head);
                Signed { what: What::Head(head), segment: 1, offset: 4096, seq: number.into() }
            })
            .collect();
        let (text, key) = (String::from("a checkpoint"), SigningKey::from_seed(&[2; 32]));
        let what = What::Checkpoint { height: 9, key: key.public(), signature: key.sign(text.as_bytes()), text };
        signed.push(Signed { what, segment: 1, offset: 8192, seq: 40 });
        signed
    }

    fn flip(signed: &mut [Signed], at: usize) {
        match &mut signed.get_mut(at).unwrap().what {
            What::Head(head) => head[190] ^= 1,
            What::Checkpoint { signature, .. } => signature[62] ^= 1,
        }
    }

    fn found(judges: &Judges, signed: &[Signed]) -> Option<(u64, &'static str, &'static str)> {
        let error = judges.first_bad(signed)?;
        Some((error.place().2.unwrap(), error.code(), error.finding().unwrap().code()))
    }

    #[test]
    fn the_first_bad_signature_is_named() {
        let mut signed = signed();
        assert_eq!(found(&Judges::REAL, &[]), None);
        assert_eq!(found(&Judges::REAL, &signed), None);
        flip(&mut signed, 40);
        assert_eq!(found(&Judges::REAL, &signed), Some((40, "check.record", "finding.stored_checkpoint")));
        flip(&mut signed, 33);
        flip(&mut signed, 17);
        assert_eq!(found(&Judges::REAL, &signed), Some((17, "check.record", "finding.signature")));
    }

    #[test]
    fn a_difference_between_the_two_ways_is_told_from_a_bad_signature() {
        let disagreement = Some((17, "check.disagreement", "finding.disagreement"));
        let mut signed = signed();
        // A library that refuses what the equation accepts, if anybody asks it.
        let severe = Judges { all: |_| false, library: |_, message, _| message.get(17) != Some(&17), ..Judges::REAL };
        assert_eq!(found(&severe, &signed), disagreement);
        flip(&mut signed, 17);
        let lenient = Judges { library: |_, _, _| true, ..Judges::REAL };
        assert_eq!(found(&lenient, &signed), disagreement);
        let words = lenient.first_bad(&signed).unwrap().to_string();
        assert!(words.contains("equation refuses") && words.contains("library accepts"), "{words}");
    }
}
