//! What a segment's index keeps of an author: the newest statement on it, and its nonces.
//!
//! An entry is complete: it tells the state after the segment, whichever segment the parts came from. So the newest
//! segment that mentions an author answers alone. The nonces are the sequencer's; they are stored here bit by bit and not
//! interpreted.
//!
//! ```text
//! | author 32 | suite 1 | statement 1 | has nonces 1 | 0 5 | statement seq 8 | top nonce 8 | window 128 | 0 8 |
//! ```

use core::cmp::Ordering;

use annals_core::hash::AuthorId;
use annals_core::limits::{NONCE_WINDOW, NUMBER_MAX};

use crate::fields::{all_zero, array, byte, number_u64, part, put};

const SUITE_AT: usize = 32;
const STATEMENT_AT: usize = 33;
const HAS_NONCES_AT: usize = 34;
const RESERVED_AT: usize = 35;
const STATEMENT_SEQ_AT: usize = 40;
const TOP_AT: usize = 48;
const WINDOW_AT: usize = 56;
const TAIL_AT: usize = 184;
/// Bytes of an author's entry.
pub(super) const AUTHOR_ENTRY_SIZE: usize = 192;
/// 64-bit words of a nonce window.
const WINDOW_WORD_COUNT: usize = 16;

const _: () = assert!(64 * WINDOW_WORD_COUNT as u64 == NONCE_WINDOW, "the window is one bit a nonce");
const _: () = assert!(WINDOW_AT + 8 * WINDOW_WORD_COUNT == TAIL_AT, "the window lies before the reserved bytes");

/// The newest statement of the ledger on an author.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AuthorStatement {
    /// No record admits or revokes it. Genesis may still name it.
    #[default]
    None,
    /// Admitted by the record of this seq.
    Admitted(u64),
    /// Revoked by the record of this seq.
    Revoked(u64),
}

/// The used nonces of an author, as the sequencer gave them away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StoredNonces {
    /// The highest nonce used.
    pub top: u64,
    /// Bit `nonce % 1024` belongs to `nonce`; words from the lowest, bits from the lowest.
    pub window: [u64; WINDOW_WORD_COUNT],
}

/// An author as a segment left it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AuthorEntry {
    /// Suite of its key.
    pub suite: u8,
    /// Its key.
    pub author: AuthorId,
    /// The newest statement on it up to the segment's end, in whichever segment that was made.
    pub statement: AuthorStatement,
    /// Its nonces after the segment; `None` if it has no record.
    pub nonces: Option<StoredNonces>,
}

impl AuthorEntry {
    /// What entries are sorted by.
    pub(super) fn sort_key(&self) -> (u8, AuthorId) {
        (self.suite, self.author)
    }

    pub(super) fn encode(&self) -> [u8; AUTHOR_ENTRY_SIZE] {
        let mut bytes = [0; AUTHOR_ENTRY_SIZE];
        let (statement, seq) = match self.statement {
            AuthorStatement::None => (0, 0),
            AuthorStatement::Admitted(seq) => (1, seq),
            AuthorStatement::Revoked(seq) => (2, seq),
        };
        put(&mut bytes, 0, self.author.as_bytes());
        put(&mut bytes, SUITE_AT, &[self.suite]);
        put(&mut bytes, STATEMENT_AT, &[statement]);
        put(&mut bytes, STATEMENT_SEQ_AT, &seq.to_le_bytes());
        if let Some(nonces) = &self.nonces {
            put(&mut bytes, HAS_NONCES_AT, &[1]);
            put(&mut bytes, TOP_AT, &nonces.top.to_le_bytes());
            for (index, word) in nonces.window.iter().enumerate() {
                put(&mut bytes, WINDOW_AT + 8 * index, &word.to_le_bytes());
            }
        }
        bytes
    }

    /// The entry in these bytes; `None` if they are no valid one.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let seq = number_u64(bytes, STATEMENT_SEQ_AT);
        let statement = match (byte(bytes, STATEMENT_AT), seq) {
            (0, 0) => AuthorStatement::None,
            (1, 1..=NUMBER_MAX) => AuthorStatement::Admitted(seq),
            (2, 1..=NUMBER_MAX) => AuthorStatement::Revoked(seq),
            _ => return None,
        };
        let nonces = match byte(bytes, HAS_NONCES_AT) {
            0 if all_zero(part(bytes, TOP_AT, TAIL_AT)) => None,
            1 => {
                let mut window = [0; WINDOW_WORD_COUNT];
                for (index, word) in window.iter_mut().enumerate() {
                    *word = number_u64(bytes, WINDOW_AT + 8 * index);
                }
                Some(StoredNonces { top: number_u64(bytes, TOP_AT), window })
            }
            _ => return None,
        };
        let reserved =
            all_zero(part(bytes, RESERVED_AT, STATEMENT_SEQ_AT)) && all_zero(part(bytes, TAIL_AT, bytes.len()));
        if bytes.len() != AUTHOR_ENTRY_SIZE || !reserved {
            return None;
        }
        let author = AuthorId::from_bytes(array(bytes, 0));
        Some(Self { suite: byte(bytes, SUITE_AT), author, statement, nonces })
    }
}

/// How the author of an encoded entry compares with the one that is looked for.
pub(super) fn compare_author(entry: &[u8], suite: u8, author: &AuthorId) -> Ordering {
    byte(entry, SUITE_AT).cmp(&suite).then_with(|| part(entry, 0, 32).cmp(author.as_bytes()))
}

/// A number that rises with (suite, author), to interpolate by.
pub(super) fn author_position(suite: u8, author: &[u8]) -> u64 {
    u64::from(suite) << 56 | u64::from_be_bytes(array(author, 0)) >> 8
}

/// [`author_position`] of an encoded entry.
pub(super) fn entry_position(entry: &[u8]) -> u64 {
    author_position(byte(entry, SUITE_AT), entry)
}
