//! Receipts as JSON: one object, with what a holder needs to show the payload beside it.
//!
//! The head is carried whole; fields that repeat it are there for people and must agree with it. Unknown and
//! repeated fields are refused, so a receipt has one meaning. Salts and item proofs are added by whoever holds
//! the payload and are checked against the head's commitment only together with it. Source: `docs/FORMAT.md`,
//! "Receipt".

use crate::bundle::{BundleError, item_hash};
use crate::hash::{Hex, HexError, ItemHash, TreeHash, parse_hex};
use crate::item_proof::{ItemProof, ItemProofError};
use crate::leaf::LeafEntry;
use crate::limits::{FRONTIER_LENGTH_MAX, HEAD_SIZE, ITEM_COUNT_MAX, NUMBER_MAX, RECEIPT_JSON_SIZE_MAX, SALT_SIZE};
use crate::receipt::{Receipt, ReceiptError};
use crate::record::{self, ContentError, Head};
use serde::{Deserialize, Serialize};

const FORMAT: &str = "annals.receipt.v1";

/// Why text is no receipt, or why a payload is not the one it speaks of.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptJsonError {
    /// The text is too large.
    #[error("a receipt of {0} bytes is larger than {RECEIPT_JSON_SIZE_MAX}")]
    Size(usize),
    /// The text is no JSON object with a receipt's fields.
    #[error("not a receipt: line {line}, column {column}: not the JSON that a receipt is made of")]
    Json {
        /** The line, from 1. */
        line: usize,
        /** The column, from 1. */
        column: usize,
    },
    /// The format is another one.
    #[error("the receipt's format is not annals.receipt.v1; use a newer annals")]
    Format,
    /// A field of hexadecimal digits is malformed.
    #[error("field {field}: {error}")]
    Hex {
        /** The field. */
        field: &'static str,
        /** What is wrong with it. */
        error: HexError,
    },
    /// A field says something else than the head, or does not fit it.
    #[error("field {0} does not fit the head")]
    Field(&'static str),
    /// The receipt is malformed.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The receipt does not carry the salt that the payload is shown with.
    #[error("the record is salted, and the receipt carries no {0} to show the payload with")]
    NoSalt(&'static str),
    /// The payload is not the one that the head commits to.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The items are not those that the head commits to.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The item is not shown.
    #[error(transparent)]
    Item(#[from] ItemProofError),
}

impl ReceiptJsonError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Size(_) => "receipt.size",
            Self::Json { .. } => "receipt.json",
            Self::Format => "receipt.format",
            Self::Hex { error, .. } => error.code(),
            Self::Field(_) => "receipt.field",
            Self::Receipt(error) => error.code(),
            Self::NoSalt(_) => "receipt.no_salt",
            Self::Content(error) => error.code(),
            Self::Bundle(error) => error.code(),
            Self::Item(error) => error.code(),
        }
    }
}

/// The object as it is written; field order here is field order there.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    format: String,
    seq: u64,
    height: u64,
    ordered_time_ms: u64,
    kind: u32,
    record_id: String,
    author: String,
    nonce: String,
    content_hash: String,
    head: String,
    path: Vec<String>,
    checkpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salts: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    item: Option<ItemFields>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ItemFields {
    index: u16,
    hashes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
}

/// What goes with a receipt so that a payload can be shown beside it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Disclosure {
    /// Nothing: the payload is unsalted, or not to be shown.
    #[default]
    None,
    /// The salt of a plain payload.
    Salt([u8; SALT_SIZE]),
    /// The salts of all items of a bundle.
    Salts(Vec<[u8; SALT_SIZE]>),
    /// One item of a bundle.
    Item {
        /// The hashes of all items, and which one is shown.
        proof: ItemProof,
        /// Its salt, if the bundle is salted.
        salt: Option<[u8; SALT_SIZE]>,
    },
}

/// A receipt and what goes with it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReceiptJson {
    /// The receipt, its parts not yet verified.
    pub receipt: Receipt,
    /// What goes with it.
    pub disclosure: Disclosure,
}

impl ReceiptJson {
    /// Parses the text of a receipt.
    ///
    /// # Errors
    ///
    /// [`ReceiptJsonError`] if it is malformed or contradicts itself.
    pub fn parse(text: &str) -> Result<Self, ReceiptJsonError> {
        if RECEIPT_JSON_SIZE_MAX < text.len() {
            return Err(ReceiptJsonError::Size(text.len()));
        }
        let fields: Fields = serde_json::from_str(text)
            .map_err(|error| ReceiptJsonError::Json { line: error.line(), column: error.column() })?;
        if fields.format != FORMAT {
            return Err(ReceiptJsonError::Format);
        }
        let head_bytes = hex::<HEAD_SIZE>("head", &fields.head)?;
        let head = Head::parse(&head_bytes).map_err(ReceiptError::Head)?;
        let record_id = record::record_id(&head_bytes);
        let agree = [
            ("kind", fields.kind == head.kind.0),
            ("record_id", fields.record_id == record_id.to_string()),
            ("author", fields.author == head.author.to_string()),
            ("nonce", fields.nonce == head.nonce.to_string()),
            ("content_hash", fields.content_hash == head.content_hash.to_string()),
            ("seq", fields.seq <= NUMBER_MAX),
            ("height", fields.height <= NUMBER_MAX),
            ("ordered_time_ms", fields.ordered_time_ms <= NUMBER_MAX),
            ("path", fields.path.len() <= FRONTIER_LENGTH_MAX),
        ];
        if let Some((field, _)) = agree.into_iter().find(|(_, agrees)| !agrees) {
            return Err(ReceiptJsonError::Field(field));
        }
        let disclosure = disclosure(&head, fields.salt, fields.salts, fields.item)?;
        let leaf = LeafEntry { record_id, height: fields.height, ordered_time_ms: fields.ordered_time_ms };
        let path = fields.path.iter().map(|it| hex("path", it).map(TreeHash::from_bytes)).collect::<Result<_, _>>()?;
        let receipt = Receipt { seq: fields.seq, head: head_bytes, leaf, path, checkpoint: fields.checkpoint };
        Ok(Self { receipt, disclosure })
    }

    /// The text: one line, without its end.
    ///
    /// # Errors
    ///
    /// [`ReceiptJsonError`] if the receipt's head is malformed.
    pub fn encode(&self) -> Result<String, ReceiptJsonError> {
        let Receipt { seq, head: head_bytes, leaf, path, checkpoint } = &self.receipt;
        let head = self.receipt.head()?;
        let salt_text = |salt: &[u8; SALT_SIZE]| Hex(salt).to_string();
        let (mut salt, mut salts, mut item) = (None, None, None);
        match &self.disclosure {
            Disclosure::None => {}
            Disclosure::Salt(it) => salt = Some(salt_text(it)),
            Disclosure::Salts(all) => salts = Some(all.iter().map(salt_text).collect()),
            Disclosure::Item { proof, salt } => {
                item = Some(ItemFields {
                    index: proof.index,
                    hashes: proof.hashes.iter().map(ToString::to_string).collect(),
                    salt: salt.as_ref().map(salt_text),
                });
            }
        }
        let fields = Fields {
            format: FORMAT.to_owned(),
            seq: *seq,
            height: leaf.height,
            ordered_time_ms: leaf.ordered_time_ms,
            kind: head.kind.0,
            record_id: leaf.record_id.to_string(),
            author: head.author.to_string(),
            nonce: head.nonce.to_string(),
            content_hash: head.content_hash.to_string(),
            head: Hex(head_bytes).to_string(),
            path: path.iter().map(ToString::to_string).collect(),
            checkpoint: checkpoint.clone(),
            salt,
            salts,
            item,
        };
        serde_json::to_string(&fields)
            .map_err(|error| ReceiptJsonError::Json { line: error.line(), column: error.column() })
    }

    /// Checks that `content`, without any salt, is what the receipt speaks of: the plain payload, the one item, or
    /// the items of the bundle joined by line feeds.
    ///
    /// # Errors
    ///
    /// [`ReceiptJsonError`] if it is not, or if the receipt does not carry what it takes to tell.
    pub fn verify_payload(&self, content: &[u8]) -> Result<(), ReceiptJsonError> {
        let head = self.receipt.head()?;
        let salted = |salt: &[u8]| [salt, content].concat();
        match &self.disclosure {
            Disclosure::Salt(salt) => Ok(record::verify_content(&head, &salted(salt))?),
            Disclosure::Item { proof, salt } => {
                Ok(proof.verify(&head, &salted(salt.as_ref().map_or(&[], |salt| &salt[..])))?)
            }
            Disclosure::None if !head.is_bundle() && head.is_salted() => Err(ReceiptJsonError::NoSalt("salt")),
            Disclosure::None if !head.is_bundle() => Ok(record::verify_content(&head, content)?),
            Disclosure::None if head.is_salted() => Err(ReceiptJsonError::NoSalt("salts")),
            Disclosure::None => verify_lines(&head, content, &[]),
            Disclosure::Salts(salts) => verify_lines(&head, content, salts),
        }
    }
}

/// Checks the items of a whole bundle, given as lines, against the head.
fn verify_lines(head: &Head, content: &[u8], salts: &[[u8; SALT_SIZE]]) -> Result<(), ReceiptJsonError> {
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    let mut salts = salts.iter();
    let hashes: Vec<ItemHash> = content
        .split(|byte| *byte == b'\n')
        .take(ITEM_COUNT_MAX + 1)
        .map(|line| match salts.next() {
            Some(salt) => item_hash(&[salt, line].concat()),
            None => item_hash(line),
        })
        .collect();
    Ok(ItemProof { index: 0, hashes }.verify_hashes(head)?)
}

/// Reads what goes with a receipt; whatever is there must fit the head.
fn disclosure(
    head: &Head,
    salt: Option<String>,
    salts: Option<Vec<String>>,
    item: Option<ItemFields>,
) -> Result<Disclosure, ReceiptJsonError> {
    let (bundle, salted) = (head.is_bundle(), head.is_salted());
    match (salt, salts, item) {
        (None, None, None) => Ok(Disclosure::None),
        (Some(salt), None, None) if !bundle && salted => Ok(Disclosure::Salt(hex("salt", &salt)?)),
        (None, Some(salts), None) if bundle && salted && salts.len() == usize::from(head.item_count) => {
            Ok(Disclosure::Salts(salts.iter().map(|salt| hex("salts", salt)).collect::<Result<_, _>>()?))
        }
        (None, None, Some(item)) if bundle && item.salt.is_some() == salted && item.index < head.item_count => {
            let hashes = item.hashes.iter().map(|hash| hex("item", hash).map(ItemHash::from_bytes));
            let proof = ItemProof { index: item.index, hashes: hashes.collect::<Result<_, _>>()? };
            proof.verify_hashes(head)?;
            let salt = item.salt.map(|salt| hex("item", &salt)).transpose()?;
            Ok(Disclosure::Item { proof, salt })
        }
        (Some(_), ..) => Err(ReceiptJsonError::Field("salt")),
        (_, Some(_), _) => Err(ReceiptJsonError::Field("salts")),
        (.., Some(_)) => Err(ReceiptJsonError::Field("item")),
    }
}

fn hex<const N: usize>(field: &'static str, text: &str) -> Result<[u8; N], ReceiptJsonError> {
    parse_hex(text).map_err(|error| ReceiptJsonError::Hex { field, error })
}
