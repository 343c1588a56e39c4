//! The birth of a ledger and the engine's own records.
//!
//! Everything that rules a ledger stands in the payload of its genesis record, whose id is the ledger's id, so
//! nothing about a ledger's birth can change unseen. Admitting and revoking authors are records too; which
//! kinds the engine knows, who may author them and what they carry is decided here. Source: `docs/FORMAT.md`,
//! "Engine kinds".

use crate::bytes::{Reader, Truncated};
use crate::checkpoint::Vkey;
use crate::hash::{AuthorId, ContentHash, LedgerId, RecordId};
use crate::limits::{
    ADMIN_COUNT_MAX, BLOCK_RECORD_COUNT_MAX, FIRST_AUTHOR_COUNT_MAX, HEAD_SIZE, ITEM_COUNT_MAX, PAYLOAD_SIZE_MAX,
};
use crate::record::{Flags, Head, Kind, Record, SUITE_ED25519};
use crate::reopening::{Reopening, ReopeningError};
use crate::signature::{KeyError, SigningKey, parse_author};
use crate::state_root::{StateRootError, StateRootRecord};

const MAGIC: &[u8; 4] = b"ANG1";
const FORMAT_VERSION: u32 = 1;
const SUITES: u8 = 1;
const FIXED_SIZE: usize = 64;

/// Which authors a ledger takes records from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Admission {
    /// Only authors named in genesis or admitted since.
    Listed,
    /// Every author that was not revoked.
    Open,
}

/// Why a genesis record or an engine record is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisError {
    /// The payload ends inside a field, or goes on behind the last.
    #[error("genesis payload has {got} bytes where {needed} are needed")]
    Size {
        /** Bytes needed. */
        needed: usize,
        /** Bytes there are. */
        got: usize,
    },
    /// The first four bytes are not `ANG1`.
    #[error("not a genesis payload: the first four bytes are not ANG1")]
    Magic,
    /// The format version is a newer one.
    #[error("ledger format version {0} is not known to this program, which knows 1; use a newer annals")]
    Version(u32),
    /// A field has a value that is not allowed.
    #[error("genesis field {field} has value {value}, which is not allowed")]
    Field {
        /** The field's name. */
        field: &'static str,
        /** Its value. */
        value: u64,
    },
    /// A list of keys is not strictly rising.
    #[error("genesis list of {0} is not strictly rising")]
    Order(&'static str),
    /// A key is not a good one.
    #[error("genesis key {key}: {error}")]
    Key {
        /** The key. */
        key: AuthorId,
        /** What is wrong with it. */
        error: KeyError,
    },
    /// The origin or vkey is malformed, or they disagree with each other or with the head.
    #[error("genesis vkey, origin and author do not agree or are malformed")]
    Vkey,
    /// The head is not that of a genesis record.
    #[error("genesis head is wrong in its {0}")]
    Head(&'static str),
}

impl GenesisError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Size { .. } => "genesis.size",
            Self::Magic => "genesis.magic",
            Self::Version(_) => "genesis.version",
            Self::Field { .. } => "genesis.field",
            Self::Order(_) => "genesis.order",
            Self::Key { .. } => "genesis.key",
            Self::Vkey => "genesis.vkey",
            Self::Head(_) => "genesis.head",
        }
    }
}

impl From<Truncated> for GenesisError {
    fn from(error: Truncated) -> Self {
        Self::Size { needed: error.needed, got: error.got }
    }
}

/// What a genesis record says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Genesis {
    /// Admission mode.
    pub admission: Admission,
    /// The ledger's origin and key, as checkpoints name them.
    pub vkey: Vkey,
    /// Who may admit and revoke, strictly rising, 1 to 64.
    pub admins: Vec<AuthorId>,
    /// Who is admitted from the start, strictly rising, at most 4,096; empty if and only if admission is open.
    pub authors: Vec<AuthorId>,
    /// 32 random bytes: no two ledgers have one id.
    pub random: [u8; 32],
}

impl Genesis {
    /// Encodes the payload. [`Genesis::parse`] tells whether it is a good one.
    pub fn encode(&self) -> Vec<u8> {
        let (origin, vkey) = (self.vkey.origin().to_owned(), self.vkey.to_string());
        let mut bytes = Vec::with_capacity(FIXED_SIZE + 512 + 32 * (self.admins.len() + self.authors.len()));
        let count = |count: usize| u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes();
        let limit = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX).to_le_bytes();
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        let admission = if self.admission == Admission::Listed { 1 } else { 2 };
        bytes.extend_from_slice(&[admission, 1, SUITES, u8::try_from(origin.len()).unwrap_or(u8::MAX)]);
        for bound in [PAYLOAD_SIZE_MAX, BLOCK_RECORD_COUNT_MAX, ITEM_COUNT_MAX, vkey.len()] {
            bytes.extend_from_slice(&limit(bound));
        }
        bytes.extend_from_slice(&count(self.admins.len()));
        bytes.extend_from_slice(&count(self.authors.len()));
        bytes.extend_from_slice(&self.random);
        bytes.extend_from_slice(origin.as_bytes());
        bytes.extend_from_slice(vkey.as_bytes());
        for key in self.admins.iter().chain(&self.authors) {
            bytes.extend_from_slice(key.as_bytes());
        }
        bytes
    }

    /// Parses and checks a payload.
    ///
    /// # Errors
    ///
    /// [`GenesisError`] naming what is wrong.
    pub fn parse(payload: &[u8]) -> Result<Self, GenesisError> {
        let mut reader = Reader::new(payload);
        if reader.array::<4>()? != MAGIC {
            return Err(GenesisError::Magic);
        }
        let version = reader.u32()?;
        if version != FORMAT_VERSION {
            return Err(GenesisError::Version(version));
        }
        let admission = match reader.u8()? {
            1 => Admission::Listed,
            2 => Admission::Open,
            other => return Err(GenesisError::Field { field: "admission", value: other.into() }),
        };
        expect("admin threshold", reader.u8()?.into(), 1)?;
        expect("suites", reader.u8()?.into(), SUITES.into())?;
        let origin_size = usize::from(reader.u8()?);
        expect("largest payload", reader.u32()?.into(), PAYLOAD_SIZE_MAX as u64)?;
        expect("most records in a block", reader.u32()?.into(), BLOCK_RECORD_COUNT_MAX as u64)?;
        expect("most items in a bundle", reader.u32()?.into(), ITEM_COUNT_MAX as u64)?;
        let vkey_size = reader.u32()? as usize;
        let (admin_count, author_count) = (usize::from(reader.u16()?), usize::from(reader.u16()?));
        if !(1..=ADMIN_COUNT_MAX).contains(&admin_count) {
            return Err(GenesisError::Field { field: "admin count", value: admin_count as u64 });
        }
        if FIRST_AUTHOR_COUNT_MAX < author_count || (author_count == 0) != (admission == Admission::Open) {
            return Err(GenesisError::Field { field: "first author count", value: author_count as u64 });
        }
        let random = *reader.array::<32>()?;
        let origin = reader.slice(origin_size)?;
        let vkey = text(reader.slice(vkey_size)?)?.parse::<Vkey>().map_err(|_| GenesisError::Vkey)?;
        if vkey.origin().as_bytes() != origin {
            return Err(GenesisError::Vkey);
        }
        let admins = keys("admins", &mut reader, admin_count)?;
        let authors = keys("authors", &mut reader, author_count)?;
        if !reader.rest().is_empty() {
            return Err(GenesisError::Size { needed: payload.len() - reader.rest().len(), got: payload.len() });
        }
        Ok(Self { admission, vkey, admins, authors, random })
    }

    /// Makes and signs the genesis record: head and payload.
    pub fn record(&self, key: &SigningKey, claimed_time_ms: u64) -> ([u8; HEAD_SIZE], Vec<u8>) {
        let payload = self.encode();
        let mut head = engine_head(LedgerId::ZERO, key.public(), 0, claimed_time_ms, Kind::GENESIS, &payload).encode();
        key.sign_head(&mut head);
        (head, payload)
    }

    /// Reads a genesis record. Its signature is *not* verified here.
    ///
    /// # Errors
    ///
    /// [`GenesisError`] if head or payload are not those of a genesis record, or do not agree.
    pub fn from_record(record: &Record<'_>) -> Result<Self, GenesisError> {
        let head = &record.head;
        let wrong = if head.kind != Kind::GENESIS {
            "kind"
        } else if !head.ledger.is_zero() {
            "ledger id"
        } else if head.nonce != 0 {
            "nonce"
        } else if head.flags != Flags::NONE || head.item_count != 1 {
            "flags or item count"
        } else if record.verify_content().is_err() {
            "content hash"
        } else {
            let genesis = Self::parse(record.payload)?;
            if genesis.vkey.key() != head.author {
                return Err(GenesisError::Vkey);
            }
            return Ok(genesis);
        };
        Err(GenesisError::Head(wrong))
    }

    /// Whether a key may admit and revoke.
    pub fn is_admin(&self, author: &AuthorId) -> bool {
        self.admins.binary_search(author).is_ok()
    }

    /// Whether a key was admitted by genesis itself.
    pub fn is_first_author(&self, author: &AuthorId) -> bool {
        self.authors.binary_search(author).is_ok()
    }
}

/// The head, not yet signed, of a plain record with no flags: the form of every engine record.
pub fn engine_head(
    ledger: LedgerId,
    author: AuthorId,
    nonce: u64,
    claimed_time_ms: u64,
    kind: Kind,
    payload: &[u8],
) -> Head {
    Head {
        suite: SUITE_ED25519,
        flags: Flags::NONE,
        item_count: 1,
        ledger,
        author,
        nonce,
        claimed_time_ms,
        kind,
        payload_size: u32::try_from(payload.len()).unwrap_or(u32::MAX),
        content_hash: ContentHash::from_bytes(*blake3::hash(payload).as_bytes()),
        signature: [0; 64],
    }
}

/// What an engine record asks the engine to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    /// Mark time.
    Tick,
    /// Admit this author.
    Admit(AuthorId),
    /// Revoke this author.
    Revoke(AuthorId),
    /// Note why the ledger went on, and from which checkpoint.
    Reopen(Reopening),
    /// Note what state the contracts have made; its author is appointed.
    StateRoot(StateRootRecord),
    /// Note that the author signs this record, too. Whether it is there is for contracts to tell.
    Countersign(RecordId),
}

/// Why an engine record is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// The kind belongs to the engine and is not built, or is genesis.
    #[error("kind {0} belongs to the engine and is not one a front end may send; application kinds start at 65536")]
    Kind(u32),
    /// Engine records are plain and carry no flags.
    #[error("an engine record is plain (one item) and carries no flags")]
    Form,
    /// The payload has not the size that the kind asks for.
    #[error("payload of {got} bytes; this kind has {expected}")]
    PayloadSize {
        /** Bytes it should have. */
        expected: usize,
        /** Bytes it has. */
        got: usize,
    },
    /// The author may not send this kind.
    #[error("only {0} may author a record of this kind")]
    Author(&'static str),
    /// The named author is not a good key.
    #[error("the author named: {0}")]
    Key(#[from] KeyError),
    /// The payload does not say why the ledger went on.
    #[error(transparent)]
    Reopening(#[from] ReopeningError),
    /// The payload is not that of a state root, or its author is not appointed.
    #[error(transparent)]
    StateRoot(#[from] StateRootError),
}

impl OrderError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Kind(_) => "engine.kind",
            Self::Form => "engine.form",
            Self::PayloadSize { .. } => "engine.payload_size",
            Self::Author(_) => "engine.author",
            Self::Key(error) => error.code(),
            Self::Reopening(error) => error.code(),
            Self::StateRoot(error) => error.code(),
        }
    }
}

/// Reads what an engine record asks for, and whether its author may ask it.
///
/// Not told here, since it depends on the order: whether the author of a kind [`Kind::is_for_admitted`] is admitted, and whether
/// the height and the checkpoint that a record names lie below it.
///
/// # Errors
///
/// [`OrderError`] if it is refused.
pub fn order(genesis: &Genesis, head: &Head, payload: &[u8]) -> Result<Order, OrderError> {
    check_author(genesis, head)?;
    if head.flags != Flags::NONE || head.item_count != 1 {
        return Err(OrderError::Form);
    }
    match head.kind {
        Kind::TICK => fixed::<0>(payload).map(|_| Order::Tick),
        Kind::AUTHOR_ADMIT => named_author(payload).map(Order::Admit),
        Kind::AUTHOR_REVOKE => named_author(payload).map(Order::Revoke),
        Kind::STATE_ROOT => {
            let said = StateRootRecord::parse(payload)?;
            said.verify(&genesis.vkey, head.ledger, &head.author)?;
            Ok(Order::StateRoot(said))
        }
        Kind::COUNTERSIGN => fixed(payload).map(RecordId::from_bytes).map(Order::Countersign),
        Kind::REOPENED => Ok(Order::Reopen(Reopening::parse(payload, &genesis.vkey)?)),
        other => Err(OrderError::Kind(other.0)),
    }
}

/// Refuses kinds that nobody may send, and authors who may not send theirs.
fn check_author(genesis: &Genesis, head: &Head) -> Result<(), OrderError> {
    let (allowed, by) = match head.kind {
        Kind::TICK | Kind::REOPENED => (head.author == genesis.vkey.key(), "the ledger key"),
        Kind::AUTHOR_ADMIT | Kind::AUTHOR_REVOKE => (genesis.is_admin(&head.author), "an admin"),
        // Of the one the payload tells, of the other sequencing.
        Kind::STATE_ROOT | Kind::COUNTERSIGN => return Ok(()),
        other => return Err(OrderError::Kind(other.0)),
    };
    if allowed { Ok(()) } else { Err(OrderError::Author(by)) }
}

fn fixed<const N: usize>(payload: &[u8]) -> Result<[u8; N], OrderError> {
    payload.try_into().map_err(|_| OrderError::PayloadSize { expected: N, got: payload.len() })
}

fn named_author(payload: &[u8]) -> Result<AuthorId, OrderError> {
    let author = AuthorId::from_bytes(fixed(payload)?);
    parse_author(&author)?;
    Ok(author)
}

fn expect(field: &'static str, value: u64, expected: u64) -> Result<(), GenesisError> {
    if value == expected { Ok(()) } else { Err(GenesisError::Field { field, value }) }
}

fn text(bytes: &[u8]) -> Result<&str, GenesisError> {
    core::str::from_utf8(bytes).map_err(|_| GenesisError::Vkey)
}

fn keys(list: &'static str, reader: &mut Reader<'_>, count: usize) -> Result<Vec<AuthorId>, GenesisError> {
    let bytes = reader.slice(32 * count)?;
    let keys: Vec<_> = bytes.as_chunks::<32>().0.iter().copied().map(AuthorId::from_bytes).collect();
    if !keys.is_sorted_by(|low, high| low < high) {
        return Err(GenesisError::Order(list));
    }
    match keys.iter().find_map(|key| parse_author(key).err().map(|error| (*key, error))) {
        Some((key, error)) => Err(GenesisError::Key { key, error }),
        None => Ok(keys),
    }
}
