//! After a run: the ledger is opened again, and what was acknowledged must be there, each record once.
//!
//! Without that no figure is given: a ledger that loses records is fast. Three things are compared: the seqs that were
//! acknowledged are all of those there are, each once; every author's nonces rise, without a gap where none was refused;
//! and receipts, some of them, hold offline.

use super::source::{Acks, mix};
use crate::exit::CommandError;
use annals::{AuthorId, Ledger, Options, Reader};
use std::collections::HashMap;
use std::path::Path;

/// Receipts verified.
const RECEIPTS: usize = 1000;
/// Bytes of records that are read again, about; what lies behind is counted only.
const READ_BYTES: u64 = 2 << 30;

/// What was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// Bytes of the log, from the first segment's start to the newest frame's end.
    pub(crate) disk_bytes: u64,
    pub(crate) segments: u64,
    /// Records that were read again.
    pub(crate) read_back: u64,
}

/// Opens the ledger again and compares. Authors of whom records were refused may have gaps.
pub(crate) fn verify(path: &Path, acks: &Acks, may_have_gaps: bool) -> Result<Found, CommandError> {
    let ledger = Ledger::open(path, Options::default())?;
    let reader = ledger.reader();
    let newest = reader.head()?;
    if newest.size != acks.count + 1 || !each_once(acks) {
        return Err(CommandError::Bench(
            "the ledger does not hold the records that it acknowledged, each once; no figure is given",
        ));
    }
    let read_back = read_again(&reader, may_have_gaps)?;
    let step = (acks.seqs.len() / RECEIPTS).max(1);
    for seq in acks.seqs.iter().step_by(step).take(RECEIPTS) {
        if reader.prove(*seq)?.verify(ledger.vkey()).is_err() {
            return Err(CommandError::Bench("a receipt does not hold; no figure is given"));
        }
    }
    let (segment, offset) = newest.end;
    let segment_size = annals::ledger_size(path).map_err(annals::OpenError::from)?.segment_size;
    Ok(Found { disk_bytes: segment * segment_size + offset, segments: segment + 1, read_back })
}

/// Whether the acknowledged seqs are those of 1 to their number.
fn each_once(acks: &Acks) -> bool {
    let count = u128::from(acks.count);
    let mixed = (1..=acks.count).fold(0u64, |sum, seq| sum.wrapping_add(mix(seq)));
    !acks.disordered && acks.sum == count * (count + 1) / 2 && acks.mixed == mixed
}

/// Reads records again, and looks at their authors' nonces.
fn read_again(reader: &Reader, may_have_gaps: bool) -> Result<u64, CommandError> {
    let (mut nonces, mut count, mut bytes) = (Nonces { may_have_gaps, next: HashMap::new() }, 0, 0);
    for record in reader.scan(1) {
        let record = record?;
        let head = record.head()?;
        if !nonces.take(head.author, head.nonce) {
            return Err(CommandError::Bench(
                "the ledger holds a record twice, or lacks one that was acknowledged; no figure is given",
            ));
        }
        (count, bytes) = (count + 1, bytes + record.payload().len() as u64);
        if READ_BYTES < bytes {
            break;
        }
    }
    Ok(count)
}

/// What each author's next nonce is.
struct Nonces {
    may_have_gaps: bool,
    next: HashMap<AuthorId, u64>,
}

impl Nonces {
    /// Takes an author's nonce; whether it is one that may follow.
    fn take(&mut self, author: AuthorId, nonce: u64) -> bool {
        let next = self.next.entry(author).or_insert(0);
        let follows = *next == nonce || (self.may_have_gaps && *next < nonce);
        *next = nonce.saturating_add(1);
        follows
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use annals::Ack;

    fn acks(seqs: &[u64]) -> Acks {
        let mut all = Acks::default();
        seqs.iter().for_each(|seq| all.note(Ack { seq: *seq, height: 1 }));
        all
    }

    #[test]
    fn nonces_of_an_author_rise_and_without_attack_have_no_gap() {
        let authors = [1, 2].map(|byte| AuthorId::from_bytes([byte; 32]));
        // Author and nonce of each record; whether it is taken with gaps forbidden, and with gaps allowed.
        type Records = [(usize, u64)];
        let table: &[(&Records, bool, bool)] = &[
            (&[(0, 0), (0, 1), (1, 0), (0, 2), (1, 1)], true, true),
            (&[(0, 0), (1, 0), (0, 2)], false, true),
            (&[(0, 1)], false, true),
            (&[(0, 0), (0, 1), (0, 1)], false, false),
            (&[(0, 0), (0, 2), (0, 1)], false, false),
        ];
        for (records, whole, gapped) in table {
            for (may_have_gaps, expected) in [(false, whole), (true, gapped)] {
                let mut nonces = Nonces { may_have_gaps, next: HashMap::new() };
                let taken = records.iter().all(|(author, nonce)| nonces.take(authors[*author], *nonce));
                assert_eq!(taken, *expected, "{records:?}, gaps {may_have_gaps}");
            }
        }
    }

    #[test]
    fn each_seq_is_acknowledged_once() {
        let table: &[(&[u64], bool)] = &[
            (&[], true),
            (&[1, 2, 3], true),
            (&[1, 3], false),
            (&[1, 1, 3], false),
            (&[2, 3], false),
            (&[1, 3, 2], false),
            (&[0, 1, 2], false),
        ];
        for (seqs, expected) in table {
            assert_eq!(each_once(&acks(seqs)), *expected, "{seqs:?}");
        }
        let mut two = acks(&[1, 4, 5]);
        two.merge(acks(&[2, 3, 6]));
        assert!(each_once(&two), "of two sources");
        // The same number, the same sum, each source's in order: 2 twice and 3 never.
        let mut twice = acks(&[1, 4, 5]);
        twice.merge(acks(&[2, 7]));
        twice.merge(acks(&[2]));
        assert_eq!((twice.count, twice.sum), (6, 21));
        assert!(!each_once(&twice));
    }
}
