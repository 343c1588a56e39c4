//! Records: the 192-byte head that an author signs, and the payload it commits to.
//!
//! Parsing copies no payload and allocates nothing. A parsed [`Head`] is well formed; it is *not* yet known to
//! be signed ([`crate::signature`]), to commit to its payload ([`Record::verify_content`]) or to belong to a
//! ledger. Source: `docs/FORMAT.md`, "Record".
//!
//! ```text
//!  0      4 5 6   8          40         72      80     88   92   96          128        192
//!  | ANR1 |s|f|cnt| ledger id | author  | nonce | time |kind|size| content h. | signature |
//! ```

use crate::bundle::{self, BundleError};
use crate::bytes::{Reader, Truncated, Writer};
use crate::hash::{AuthorId, ContentHash, LedgerId, RecordId};
use crate::lanes;
use crate::limits::{HEAD_SIGNED_SIZE, HEAD_SIZE, ITEM_COUNT_MAX, NUMBER_MAX, PAYLOAD_SIZE_MAX, SALT_SIZE};
use sha2::{Digest, Sha256};

const MAGIC: &[u8; 4] = b"ANR1";

/// The one suite that is built: Ed25519 signatures, BLAKE3 content hashes.
pub const SUITE_ED25519: u8 = 1;

/// Flags of a head; two bits are in use.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Flags(u8);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// The payload is ciphertext.
    pub const SEALED: Self = Self(1);
    /// The payload, or each item, starts with 32 random bytes.
    pub const SALTED: Self = Self(2);

    /// Both this and the other's flags.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of the other's flags are set here.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The byte in the head.
    pub const fn bits(self) -> u8 {
        self.0
    }
}

/// What a record is for. Numbers up to 0xFFFF belong to the engine; all others are opaque to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Kind(pub u32);

impl Kind {
    /// The record of seq 0.
    pub const GENESIS: Self = Self(0);
    /// Marks time on an idle ledger.
    pub const TICK: Self = Self(1);
    /// Admits an author.
    pub const AUTHOR_ADMIT: Self = Self(2);
    /// Revokes an author.
    pub const AUTHOR_REVOKE: Self = Self(3);
    /// Says which state the contracts have made of the records through a block.
    pub const STATE_ROOT: Self = Self(6);
    /// Signs a record once more.
    pub const COUNTERSIGN: Self = Self(7);
    /// Goes on after a clock, a restored backup or a copy that had to be accepted.
    pub const REOPENED: Self = Self(8);
    /// The lowest number that is free for front ends.
    pub const APPLICATION_FIRST: Self = Self(0x1_0000);

    /// Whether the number belongs to the engine.
    pub const fn is_engine(self) -> bool {
        self.0 < Self::APPLICATION_FIRST.0
    }

    /// Whether its authors have to be admitted; those of the other kinds are entitled in another way.
    pub const fn is_for_admitted(self) -> bool {
        !self.is_engine() || self.0 == Self::COUNTERSIGN.0
    }
}

/// Why bytes are not a record. Nothing was kept; sending the same bytes again fails the same way.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The input ended inside a field.
    #[error("record needs {needed} bytes, got {got}")]
    Truncated {
        /** Bytes the field needs, from the start of the record. */
        needed: usize,
        /** Bytes there are. */
        got: usize,
    },
    /// Bytes stand behind the record.
    #[error("record ends at byte {end}, but {got} bytes were given")]
    Trailing {
        /** Where the record ends. */
        end: usize,
        /** Bytes there are. */
        got: usize,
    },
    /// The first four bytes are not `ANR1`.
    #[error("not an Annals record: the first four bytes are not ANR1")]
    Magic,
    /// The suite is not built.
    #[error("suite {0} is not supported; use 1 (Ed25519 + BLAKE3)")]
    Suite(u8),
    /// A flag is unknown.
    #[error("flags {0:#04x} hold an unknown bit; sealed is 1, salted is 2")]
    Flags(u8),
    /// The item count is out of range.
    #[error("item count {0} is out of range: 1 is a plain record, 2 to 4096 a bundle")]
    ItemCount(u16),
    /// The claimed time is out of range.
    #[error("claimed time {0} ms is not below 2^53")]
    ClaimedTime(u64),
    /// The payload is too large.
    #[error("payload of {0} bytes is larger than 1048608")]
    PayloadSize(u32),
    /// The payload is too small for what the head says of it.
    #[error("payload of {size} bytes is smaller than the {needed} that its salt and item count need")]
    PayloadTooSmall {
        /** The payload's bytes. */
        size: u32,
        /** Bytes needed. */
        needed: usize,
    },
}

impl ParseError {
    /// Stable machine name for the wire and for metrics; never renamed, only added to.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Truncated { .. } => "record.truncated",
            Self::Trailing { .. } => "record.trailing",
            Self::Magic => "record.magic",
            Self::Suite(_) => "record.suite",
            Self::Flags(_) => "record.flags",
            Self::ItemCount(_) => "record.item_count",
            Self::ClaimedTime(_) => "record.claimed_time",
            Self::PayloadSize(_) => "record.payload_size",
            Self::PayloadTooSmall { .. } => "record.payload_too_small",
        }
    }
}

impl From<Truncated> for ParseError {
    fn from(error: Truncated) -> Self {
        Self::Truncated { needed: error.needed, got: error.got }
    }
}

/// Why a payload is not the one that its head commits to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// The payload has another size.
    #[error("payload has {got} bytes, the head says {expected}")]
    Size {
        /** What the head says. */
        expected: u32,
        /** What there is. */
        got: usize,
    },
    /// The payload hashes to something else.
    #[error("payload hashes to {got}, the head says {expected}")]
    Hash {
        /** What the head says. */
        expected: ContentHash,
        /** What it hashes to. */
        got: ContentHash,
    },
    /// The payload is no well-formed bundle.
    #[error("payload is no bundle: {0}")]
    Bundle(#[from] BundleError),
}

impl ContentError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Size { .. } => "content.size",
            Self::Hash { .. } => "content.hash",
            Self::Bundle(error) => error.code(),
        }
    }
}

/// A well-formed head, field by field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head {
    /// Signature and hash suite; 1.
    pub suite: u8,
    /// Flags.
    pub flags: Flags,
    /// 1 for a plain record, 2 to 4,096 for a bundle.
    pub item_count: u16,
    /// The ledger it is for; zero in the genesis record alone.
    pub ledger: LedgerId,
    /// The author's public key.
    pub author: AuthorId,
    /// The author's own number for this record.
    pub nonce: u64,
    /// What the author says the time was, in ms since the Unix epoch.
    pub claimed_time_ms: u64,
    /// What the record is for.
    pub kind: Kind,
    /// Bytes of the payload, salts included.
    pub payload_size: u32,
    /// Commitment to the payload.
    pub content_hash: ContentHash,
    /// Signature over [`signed_message`].
    pub signature: [u8; 64],
}

impl Head {
    /// Parses a head.
    ///
    /// # Errors
    ///
    /// [`ParseError`] if a field is out of its range.
    pub fn parse(bytes: &[u8; HEAD_SIZE]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        if reader.array::<4>()? != MAGIC {
            return Err(ParseError::Magic);
        }
        let head = Self {
            suite: reader.u8()?,
            flags: Flags(reader.u8()?),
            item_count: reader.u16()?,
            ledger: LedgerId::from_bytes(*reader.array()?),
            author: AuthorId::from_bytes(*reader.array()?),
            nonce: reader.u64()?,
            claimed_time_ms: reader.u64()?,
            kind: Kind(reader.u32()?),
            payload_size: reader.u32()?,
            content_hash: ContentHash::from_bytes(*reader.array()?),
            signature: *reader.array()?,
        };
        head.check()?;
        Ok(head)
    }

    /// Whether every field is in its range; what [`Head::parse`] checks, for a head made field by field.
    ///
    /// # Errors
    ///
    /// [`ParseError`] naming the first field out of range.
    pub fn check(&self) -> Result<(), ParseError> {
        if self.suite != SUITE_ED25519 {
            return Err(ParseError::Suite(self.suite));
        }
        if self.flags.0 & !3 != 0 {
            return Err(ParseError::Flags(self.flags.0));
        }
        if self.item_count == 0 || usize::from(self.item_count) > ITEM_COUNT_MAX {
            return Err(ParseError::ItemCount(self.item_count));
        }
        if self.claimed_time_ms > NUMBER_MAX {
            return Err(ParseError::ClaimedTime(self.claimed_time_ms));
        }
        if self.payload_size as usize > PAYLOAD_SIZE_MAX {
            return Err(ParseError::PayloadSize(self.payload_size));
        }
        let needed = self.payload_size_least();
        if (self.payload_size as usize) < needed {
            return Err(ParseError::PayloadTooSmall { size: self.payload_size, needed });
        }
        Ok(())
    }

    /// Encodes the head. The fields are taken as they are; [`Head::check`] tells whether they parse again.
    pub fn encode(&self) -> [u8; HEAD_SIZE] {
        Writer::<HEAD_SIZE>::new()
            .put(MAGIC)
            .put(&[self.suite, self.flags.0])
            .put(&self.item_count.to_le_bytes())
            .put(self.ledger.as_bytes())
            .put(self.author.as_bytes())
            .put(&self.nonce.to_le_bytes())
            .put(&self.claimed_time_ms.to_le_bytes())
            .put(&self.kind.0.to_le_bytes())
            .put(&self.payload_size.to_le_bytes())
            .put(self.content_hash.as_bytes())
            .put(&self.signature)
            .finish()
    }

    /// Whether the payload is a bundle of items.
    pub const fn is_bundle(&self) -> bool {
        1 < self.item_count
    }

    /// Whether the payload, or each item, starts with a salt.
    pub const fn is_salted(&self) -> bool {
        self.flags.contains(Flags::SALTED)
    }

    fn payload_size_least(&self) -> usize {
        let count = usize::from(self.item_count);
        let ends = if self.is_bundle() { 4 * count } else { 0 };
        ends + if self.is_salted() { SALT_SIZE * count } else { 0 }
    }
}

/// Where a head has its item count, and its content hash.
const ITEM_COUNT_OFFSET: usize = 6;
const CONTENT_HASH_OFFSET: usize = 96;

/// What keeps a record's signature from being one of anything else.
pub const SIGNING_NAMESPACE: &[u8; 16] = b"annals.record.v1";

/// The message that a head's signature covers: `0x10 "annals.record.v1"` and the head's first 128 bytes.
pub fn signed_message(head: &[u8; HEAD_SIZE]) -> [u8; 17 + HEAD_SIGNED_SIZE] {
    let signed = head.first_chunk::<HEAD_SIGNED_SIZE>().unwrap_or(&[0; HEAD_SIGNED_SIZE]);
    Writer::new().put(&[0x10]).put(SIGNING_NAMESPACE).put(signed).finish()
}

/// Record id: SHA-256 of the whole head.
pub fn record_id(head: &[u8; HEAD_SIZE]) -> RecordId {
    RecordId::from_bytes(Sha256::digest(head).into())
}

/// Content hash of a payload with this many items: plain BLAKE3 for one, the bundle hash otherwise.
///
/// # Errors
///
/// [`BundleError`] if a payload of several items is no well-formed bundle.
pub fn content_hash(item_count: u16, payload: &[u8]) -> Result<ContentHash, BundleError> {
    if item_count == 1 {
        return Ok(ContentHash::from_bytes(*blake3::hash(payload).as_bytes()));
    }
    bundle::Bundle::parse(item_count, payload).map(|bundle| bundle.content_hash())
}

/// A head with the payload that came with it, in place.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The head, parsed.
    pub head: Head,
    /// The head's bytes.
    pub head_bytes: &'a [u8; HEAD_SIZE],
    /// The payload: as many bytes as the head says.
    pub payload: &'a [u8],
}

impl<'a> Record<'a> {
    /// Parses a head and the payload behind it; nothing may follow.
    ///
    /// # Errors
    ///
    /// [`ParseError`] if the bytes are no well-formed record.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        let head_bytes = reader.array::<HEAD_SIZE>()?;
        let head = Head::parse(head_bytes)?;
        let payload = reader.slice(head.payload_size as usize)?;
        if !reader.rest().is_empty() {
            return Err(ParseError::Trailing { end: bytes.len() - reader.rest().len(), got: bytes.len() });
        }
        Ok(Self { head, head_bytes, payload })
    }

    /// Checks that the payload is the one that the head commits to, and well formed if it is a bundle.
    ///
    /// # Errors
    ///
    /// [`ContentError`] if it is not.
    pub fn verify_content(&self) -> Result<(), ContentError> {
        verify_content(&self.head, self.payload)
    }

    /// SHA-256 of the head.
    pub fn record_id(&self) -> RecordId {
        record_id(self.head_bytes)
    }

    /// Whether content and signature hold: what a verifier looks at before the record is ordered.
    pub fn holds(&self) -> bool {
        self.verify_content().is_ok() && crate::signature::verify_head(self.head_bytes)
    }
}

/// Checks that a payload is the one that a head commits to.
///
/// # Errors
///
/// [`ContentError`] if it is not, or is no well-formed bundle where the head says so.
pub fn verify_content(head: &Head, payload: &[u8]) -> Result<(), ContentError> {
    if payload.len() != head.payload_size as usize {
        return Err(ContentError::Size { expected: head.payload_size, got: payload.len() });
    }
    let got = if head.is_bundle() {
        let bundle = bundle::Bundle::parse(head.item_count, payload)?;
        if head.is_salted() {
            bundle.check_salted()?;
        }
        bundle.content_hash()
    } else {
        ContentHash::from_bytes(*blake3::hash(payload).as_bytes())
    };
    if got != head.content_hash {
        return Err(ContentError::Hash { expected: head.content_hash, got });
    }
    Ok(())
}

/// Checks many payloads at once: `holds[i]` says whether [`verify_content`] has nothing against `records[i]`, a head with its payload.
///
/// Payloads of up to 1 KiB are hashed side by side, four to six times as fast as one by one.
///
/// # Panics
///
/// If the two slices differ in length.
pub fn contents_hold(records: &[(&[u8; HEAD_SIZE], &[u8])], holds: &mut [bool]) {
    assert_eq!(records.len(), holds.len(), "one answer a record");
    for ((head, payload), holds) in records.iter().zip(holds.iter_mut()) {
        *holds = match Head::parse(head) {
            Ok(head) if head.is_bundle() => verify_content(&head, payload).is_ok(),
            Ok(head) => payload.len() == head.payload_size as usize,
            Err(_) => false,
        };
    }
    // A bundle's content is not its payload's hash: nothing stands in for it, and what comes of that is not looked at.
    let messages = records.iter().map(|(head, payload)| if is_plain(head) { *payload } else { &[] });
    lanes::hash_each(messages, |number, hash| {
        if let (Some((head, _)), Some(holds)) = (records.get(number), holds.get_mut(number))
            && is_plain(head)
        {
            *holds &= head.get(CONTENT_HASH_OFFSET..HEAD_SIGNED_SIZE) == Some(&hash);
        }
    });
}

/// Whether a head's record has one item.
fn is_plain(head: &[u8; HEAD_SIZE]) -> bool {
    head.get(ITEM_COUNT_OFFSET..).and_then(|rest| rest.first_chunk()) == Some(&1u16.to_le_bytes())
}
