//! Verification: what a batch of entries is, record by record.
//!
//! Content hashes first (unless the caller checked them), then the signatures in batches of up to 4,096, then the record ids
//! of those that hold. A source that sent a bad signature is verified apart for a while, since one bad signature makes
//! its whole batch several times dearer; never the claimed author, who is innocent. Allocates nothing for a record
//! outside the signature library. Who calls it, and when, is not decided here.

use crate::ring::{Batch, Unverified, Verification};
use crate::sync::{AtomicU64, Ordering};
use annals_core::hash::RecordId;
use annals_core::limits::HEAD_SIZE;
use annals_core::record::{self, Head};
use annals_core::signature;
use rand_core::CryptoRng;
use std::ops::Range;
use std::sync::Arc;

/// Most signatures verified together: beyond it a batch gains little, and the first results come later.
const SIGNATURE_COUNT_MAX: usize = 4096;
/// Contents hashed side by side.
const CONTENT_COUNT_MAX: usize = 256;
/// Sources remembered as suspect; a later one may push an earlier one out.
const SUSPECT_COUNT_MAX: u32 = 64;
/// Good records that a suspect source sends before it is trusted again.
const SUSPICION: u64 = 4096;

/// Verifies one record, in its caller's thread.
///
/// It is what a batch says of the same record, so a lone record skips the verifiers as [`crate::ring::Known::All`].
pub fn verify_one(head: &[u8; HEAD_SIZE], payload: &[u8]) -> Verification {
    if !content_holds(head, payload) {
        Verification::BadContent
    } else if !signature::verify_head(head) {
        Verification::BadSignature
    } else {
        Verification::Verified(record::record_id(head))
    }
}

/// Whether a payload is the one that a head commits to.
pub fn content_holds(head: &[u8; HEAD_SIZE], payload: &[u8]) -> bool {
    Head::parse(head).is_ok_and(|head| record::verify_content(&head, payload).is_ok())
}

/// The sources that sent bad signatures lately, as all verifiers of a ring share them.
///
/// A fixed table: a source has one place by its number, and shares it with others. Forgetting one is harmless.
#[derive(Debug)]
pub struct Suspects {
    /// Source in the upper half, good records it still has to send in the lower.
    places: Box<[AtomicU64]>,
}

impl Default for Suspects {
    fn default() -> Self {
        Self { places: (0..SUSPECT_COUNT_MAX).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Suspects {
    fn is_suspect(&self, source: u32) -> bool {
        // Relaxed, here and below: a guess about speed, which orders nothing.
        let place = self.place(source).map_or(0, |place| place.load(Ordering::Relaxed));
        place >> 32 == u64::from(source) && place & u64::from(u32::MAX) != 0
    }

    fn accuse(&self, source: u32) {
        if let Some(place) = self.place(source) {
            place.store(u64::from(source) << 32 | SUSPICION, Ordering::Relaxed);
        }
    }

    /// Counts good records of a suspect source.
    fn clear(&self, source: u32, count: u64) {
        if let Some(place) = self.place(source) {
            let (of, left) = (u64::from(source) << 32, place.load(Ordering::Relaxed) & u64::from(u32::MAX));
            place.store(of | left.saturating_sub(count), Ordering::Relaxed);
        }
    }

    fn place(&self, source: u32) -> Option<&AtomicU64> {
        self.places.get((source % SUSPECT_COUNT_MAX) as usize)
    }
}

/// What a batch came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Records that are right.
    pub verified: u32,
    /// Records whose signature does not hold.
    pub bad_signature: u32,
    /// Records whose payload is not what the head commits to.
    pub bad_content: u32,
}

/// Which of these entries' contents hold, or were checked by their callers; at most `CONTENT_COUNT_MAX`.
fn contents(batch: &Batch<'_, '_>, indices: Range<usize>) -> [bool; CONTENT_COUNT_MAX] {
    let mut hold = [true; CONTENT_COUNT_MAX];
    let mut unchecked = [(&[0; HEAD_SIZE], &[] as &[u8]); CONTENT_COUNT_MAX];
    let mut places = [0; CONTENT_COUNT_MAX];
    let mut count = 0;
    for (place, index) in indices.enumerate() {
        if let Some(Unverified { head, payload, content_checked: false, .. }) = batch.entry(index)
            && let (Some(to), Some(at)) = (unchecked.get_mut(count), places.get_mut(count))
        {
            (*to, *at) = ((head, payload), place);
            count += 1;
        }
    }
    let mut answers = [false; CONTENT_COUNT_MAX];
    if let (Some(unchecked), Some(answers)) = (unchecked.get(..count), answers.get_mut(..count)) {
        record::contents_hold(unchecked, answers);
    }
    for (place, answer) in places.iter().zip(answers).take(count) {
        if let Some(holds) = hold.get_mut(*place) {
            *holds = answer;
        }
    }
    hold
}

/// A verifier: the scratch memory of one thread.
#[derive(Debug)]
pub struct Verifier {
    suspects: Arc<Suspects>,
    /// Entries of the batch whose signatures are verified together.
    together: Vec<usize>,
    /// Entries of suspect sources, with the source.
    apart: Vec<(u32, usize)>,
}

impl Verifier {
    /// A verifier beside others that share the suspects.
    pub const fn new(suspects: Arc<Suspects>) -> Self {
        Self { suspects, together: Vec::new(), apart: Vec::new() }
    }

    /// Verifies and finishes all entries of a batch. `randomness` must be unpredictable to the authors.
    pub fn verify(&mut self, batch: Batch<'_, '_>, randomness: &mut dyn CryptoRng) -> Tally {
        self.verify_by(batch, |heads, valid| signature::verify_heads(heads, valid, randomness))
    }

    /// The same with another way to verify signatures: `signatures(heads, valid)` sets `valid[i]` if `heads[i]`'s holds.
    ///
    /// All of `valid` is false before. For tests and benches.
    pub fn verify_by(
        &mut self,
        mut batch: Batch<'_, '_>,
        mut signatures: impl FnMut(&[&[u8; HEAD_SIZE]], &mut [bool]),
    ) -> Tally {
        let mut tally = Tally::default();
        self.sort_out(&mut batch, &mut tally);
        for indices in self.together.chunks(SIGNATURE_COUNT_MAX) {
            let count = self.judge(&mut batch, indices.iter().copied(), &mut signatures);
            tally.verified += count.verified;
            tally.bad_signature += count.bad_signature;
        }
        for group in self.apart.chunk_by(|one, next| one.0 == next.0) {
            for entries in group.chunks(SIGNATURE_COUNT_MAX) {
                let count = self.judge(&mut batch, entries.iter().map(|(_, index)| *index), &mut signatures);
                if let (Some((source, _)), 0) = (entries.first(), count.bad_signature) {
                    self.suspects.clear(*source, u64::from(count.verified));
                }
                tally.verified += count.verified;
                tally.bad_signature += count.bad_signature;
            }
        }
        tally
    }

    /// Checks the content hashes, and sorts out which signatures are verified together.
    fn sort_out(&mut self, batch: &mut Batch<'_, '_>, tally: &mut Tally) {
        self.together.clear();
        self.apart.clear();
        for first in (0..batch.len()).step_by(CONTENT_COUNT_MAX) {
            let indices = first..batch.len().min(first + CONTENT_COUNT_MAX);
            let hold = contents(batch, indices.clone());
            for (index, holds) in indices.zip(hold) {
                let Some(source) = batch.entry(index).map(|entry| entry.source) else { continue };
                if !holds {
                    batch.finish(index, Verification::BadContent);
                    tally.bad_content += 1;
                } else if self.suspects.is_suspect(source) {
                    self.apart.push((source, index));
                } else {
                    self.together.push(index);
                }
            }
        }
        self.apart.sort_unstable();
    }

    /// Verifies the signatures of these entries together, at most `SIGNATURE_COUNT_MAX`, and finishes the entries.
    fn judge(
        &self,
        batch: &mut Batch<'_, '_>,
        indices: impl Iterator<Item = usize> + Clone,
        signatures: &mut impl FnMut(&[&[u8; HEAD_SIZE]], &mut [bool]),
    ) -> Tally {
        let mut valid = [false; SIGNATURE_COUNT_MAX];
        let mut heads = [&[0; HEAD_SIZE]; SIGNATURE_COUNT_MAX];
        let mut count = 0;
        let entries = indices.clone().filter_map(|index| batch.entry(index));
        for (place, entry) in heads.iter_mut().zip(entries) {
            *place = entry.head;
            count += 1;
        }
        if let (Some(heads), Some(valid)) = (heads.get(..count), valid.get_mut(..count)) {
            signatures(heads, valid);
        }
        let mut tally = Tally::default();
        for (index, valid) in indices.zip(valid) {
            let Some(entry) = batch.entry(index) else { continue };
            let record_id: Option<RecordId> = valid.then(|| record::record_id(entry.head));
            match record_id {
                Some(record_id) => {
                    batch.finish(index, Verification::Verified(record_id));
                    tally.verified += 1;
                }
                None => {
                    self.suspects.accuse(entry.source);
                    batch.finish(index, Verification::BadSignature);
                    tally.bad_signature += 1;
                }
            }
        }
        tally
    }
}
