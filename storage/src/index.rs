//! The index: where a record or a block lies, found by seq, height, record id, or author and nonce; and what the
//! closed segments leave behind of every author.
//!
//! ```text
//! blocks --push--> OpenIndex --seal--> PendingIndexFile --write--> index file --lookups--> IndexFile
//!                  in memory           in memory, frozen           immutable, one a closed segment
//! ```
//!
//! Each closed segment has one index file, written once. The open segment's index is in memory, so reopening a ledger
//! reads the newest segment and no index file; files are opened by the first lookup that needs them. All of this is
//! derived data, never evidence: an answer is a place to look at, which the caller compares with the log. Every page that
//! is read is verified; a missing or damaged file is an error that names its segment, and [`IndexBuilder`] makes it again
//! from the blocks, byte for byte.
//!
//! Record ids and nonces are found by 64-bit fingerprints in sorted order. Record ids are uniform as they are; nonces are
//! hashed with SipHash under a key that authors do not know. So a lookup guesses the page by interpolation and reads
//! about two pages; once guesses fail it bisects, so no choice of keys makes it slow. Why there is no filter in front:
//! `docs/decisions/0002-index-without-filter.md`.
//!
//! What it does not do: it does not know nonce windows or admission, it stores what the engine says of an author; it keeps
//! no threads; it does not read segments. The layout of the file is in `docs/FORMAT.md`, "Index file".

mod author;
mod encoding;
mod error;
mod facade;
mod file;
mod layout;
mod open;
mod pending;
mod store;
#[cfg(test)]
mod tests;

pub use author::{AuthorEntry, AuthorStatement, StoredNonces};
pub use encoding::WritingIndex;
pub use error::{IndexDamage, IndexError};
pub use facade::{Candidates, Index};
pub use layout::IndexHeader;
pub use open::OpenIndex;
pub use pending::{Closing, IndexBuilder, PendingIndexFile};
pub use store::{FileIndexStore, IndexStore, MemoryIndexStore, ReadAt, WriteIndex};

use core::fmt;

use annals_core::hash::{AuthorId, RecordId};
use siphasher::sip::SipHasher24;

use crate::fields::{array, number_u64, put};

/// Context of the key derivation in [`LookupKey::derive`].
const LOOKUP_KEY_CONTEXT: &str = "annals.index.v1";
/// Bytes that a nonce's fingerprint is made of: suite, author, nonce.
const NONCE_KEY_SIZE: usize = 1 + 32 + 8;

/// What the index keeps of one record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RecordEntry {
    /// The record's id.
    pub record_id: RecordId,
    /// Suite of its author's key.
    pub suite: u8,
    /// Its author.
    pub author: AuthorId,
    /// Its nonce.
    pub nonce: u64,
}

/// A block that joins an index.
#[derive(Clone, Copy, Debug)]
pub struct BlockEntry<'a> {
    /// Seq of its first record.
    pub first_seq: u64,
    /// Its height.
    pub height: u64,
    /// Offset of its frame in the segment, in bytes: whole pages.
    pub offset: u64,
    /// Its records in seq order, 1 to 16,384.
    pub records: &'a [RecordEntry],
}

/// Where a block lies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BlockLocation {
    /// Number of the segment.
    pub segment: u64,
    /// Offset of the block's frame in the segment, in bytes.
    pub offset: u64,
    /// The block's height.
    pub height: u64,
    /// Seq of its first record.
    pub first_seq: u64,
    /// Its records.
    pub record_count: u32,
}

/// Key of a segment's fingerprints and page sums in its index.
///
/// It follows from the segment's key, so a rebuilt index is the same file. Authors do not know it: they cannot choose
/// nonces whose fingerprints collide.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct LookupKey([u8; 16]);

impl LookupKey {
    /// The lookup key of the segment with this key: the first 16 bytes of BLAKE3 in `derive_key` mode.
    pub fn derive(segment_key: &[u8; 32]) -> Self {
        Self(array(&blake3::derive_key(LOOKUP_KEY_CONTEXT, segment_key), 0))
    }

    /// SipHash-2-4 of suite, author and nonce.
    fn nonce_fingerprint(&self, suite: u8, author: &AuthorId, nonce: u64) -> u64 {
        let mut bytes = [0; NONCE_KEY_SIZE];
        put(&mut bytes, 0, &[suite]);
        put(&mut bytes, 1, author.as_bytes());
        put(&mut bytes, 33, &nonce.to_le_bytes());
        SipHasher24::new_with_key(&self.0).hash(&bytes)
    }

    /// Seed of the page sums, before the page number is mixed in.
    fn seed(&self) -> u64 {
        number_u64(&self.0, 0)
    }
}

impl fmt::Debug for LookupKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LookupKey(..)")
    }
}

/// Fingerprint of a record id: its first 8 bytes, big-endian, so that fingerprints sort as ids do.
fn record_fingerprint(record_id: &RecordId) -> u64 {
    u64::from_be_bytes(array(record_id.as_bytes(), 0))
}
