//! Checkpoints: the signed tree heads of a ledger, as C2SP signed notes.
//!
//! ```text
//! <origin> LF <size> LF <base64 root> LF LF "— " <origin> " " <base64(key id || signature)> LF
//! ```
//!
//! What Annals issues has one signature and no extension lines. What it reads may carry further signatures by
//! other keys (witnesses); the ledger's own must be there once, and hold. Sources: c2sp.org/signed-note,
//! c2sp.org/tlog-checkpoint, `docs/FORMAT.md` "Checkpoint".

use crate::hash::{AuthorId, TreeHash};
use crate::limits::{CHECKPOINT_SIZE_MAX, NUMBER_MAX, ORIGIN_SIZE_MAX};
use crate::signature::{self, KeyError, SigningKey, parse_author};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use core::fmt;
use core::str::FromStr;
use sha2::{Digest, Sha256};

const ED25519: u8 = 1;
const DASH: &str = "\u{2014} ";

/// Why text is no origin or vkey.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VkeyError {
    /// The origin is empty, too long, or has a character that is not allowed.
    #[error("an origin is 1 to 128 characters from 0x21 to 0x7E, without `+`")]
    Origin,
    /// The text has not the form `origin+keyid+key`.
    #[error("a vkey has the form origin+8 hexadecimal digits+base64 of the key")]
    Form,
    /// The key id is not that of origin and key.
    #[error("the vkey's key id does not belong to its origin and key; copy it again")]
    KeyId,
    /// The key is not one that Annals takes.
    #[error("the vkey's key: {0}")]
    Key(#[from] KeyError),
}

impl VkeyError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Origin => "vkey.origin",
            Self::Form => "vkey.form",
            Self::KeyId => "vkey.key_id",
            Self::Key(error) => error.code(),
        }
    }
}

/// A ledger's name and public key: what a verifier must know beforehand.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Vkey {
    origin: String,
    key: AuthorId,
}

impl Vkey {
    /// Joins an origin and a key.
    ///
    /// # Errors
    ///
    /// [`VkeyError`] if one of them is malformed.
    pub fn new(origin: &str, key: AuthorId) -> Result<Self, VkeyError> {
        let allowed = |byte: u8| (0x21..=0x7E).contains(&byte) && byte != b'+';
        if origin.is_empty() || ORIGIN_SIZE_MAX < origin.len() || !origin.bytes().all(allowed) {
            return Err(VkeyError::Origin);
        }
        parse_author(&key)?;
        Ok(Self { origin: origin.to_owned(), key })
    }

    /// The ledger's name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The ledger's public key.
    pub const fn key(&self) -> AuthorId {
        self.key
    }

    /// First 4 bytes of SHA-256(origin, LF, 0x01, key): which signature line is the ledger's.
    pub fn key_id(&self) -> [u8; 4] {
        key_id(&self.origin, &self.key)
    }
}

fn key_id(origin: &str, key: &AuthorId) -> [u8; 4] {
    let hash: [u8; 32] = Sha256::new()
        .chain_update(origin.as_bytes())
        .chain_update([b'\n', ED25519])
        .chain_update(key.as_bytes())
        .finalize()
        .into();
    hash.first_chunk().copied().unwrap_or_default()
}

impl fmt::Display for Vkey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = [ED25519; 33];
        key.iter_mut().skip(1).zip(self.key.as_bytes()).for_each(|(to, from)| *to = *from);
        let id = u32::from_be_bytes(self.key_id());
        write!(formatter, "{}+{id:08x}+{}", self.origin, STANDARD.encode(key))
    }
}

impl FromStr for Vkey {
    type Err = VkeyError;

    fn from_str(text: &str) -> Result<Self, VkeyError> {
        let mut parts = text.splitn(3, '+');
        let (Some(origin), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(VkeyError::Form);
        };
        let id = crate::hash::parse_hex::<4>(id).map_err(|_| VkeyError::Form)?;
        let key = decode::<33>(key).ok_or(VkeyError::Form)?;
        let (ED25519, Ok(key)) = (key[0], <[u8; 32]>::try_from(&key[1..])) else { return Err(VkeyError::Form) };
        let key = AuthorId::from_bytes(key);
        if key_id(origin, &key) != id {
            return Err(VkeyError::KeyId);
        }
        Self::new(origin, key)
    }
}

/// Why a note is no checkpoint of a ledger.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The note is too large.
    #[error("a checkpoint of {0} bytes is larger than 512")]
    Size(usize),
    /// The note has not the form of a checkpoint.
    #[error("the checkpoint is malformed in its {0}")]
    Form(&'static str),
    /// It is another ledger's.
    #[error("the checkpoint is for another origin than the vkey")]
    Origin,
    /// No signature line is by the vkey's key.
    #[error("the checkpoint carries no signature by the vkey's key, or more than one")]
    Unsigned,
    /// The signature does not hold.
    #[error("the ledger's signature on the checkpoint does not hold")]
    Signature,
}

impl CheckpointError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Size(_) => "checkpoint.size",
            Self::Form(_) => "checkpoint.form",
            Self::Origin => "checkpoint.origin",
            Self::Unsigned => "checkpoint.unsigned",
            Self::Signature => "checkpoint.signature",
        }
    }
}

/// What a checkpoint says: the ledger's tree had this root at this size.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    /// Leaves of the tree.
    pub size: u64,
    /// Its root.
    pub root: TreeHash,
}

impl Checkpoint {
    /// The text that is signed: origin, size and root, a line each.
    pub fn text(&self, vkey: &Vkey) -> String {
        format!("{}\n{}\n{}\n", vkey.origin, self.size, STANDARD.encode(self.root.as_bytes()))
    }

    /// The ledger's signature over the text.
    pub fn sign(&self, vkey: &Vkey, key: &SigningKey) -> [u8; 64] {
        key.sign(self.text(vkey).as_bytes())
    }

    /// The whole note, given its signature.
    pub fn note(&self, vkey: &Vkey, signature: &[u8; 64]) -> String {
        let line = STANDARD.encode([&vkey.key_id()[..], signature].concat());
        format!("{}\n{DASH}{} {line}\n", self.text(vkey), vkey.origin)
    }

    /// Reads a note and verifies the ledger's signature on it.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`] if it is malformed, another ledger's, or not signed by this one.
    pub fn open(note: &str, vkey: &Vkey) -> Result<Self, CheckpointError> {
        Self::open_signed(note, vkey).map(|(checkpoint, _)| checkpoint)
    }

    /// The same, with the ledger's signature.
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::open`].
    pub fn open_signed(note: &str, vkey: &Vkey) -> Result<(Self, [u8; 64]), CheckpointError> {
        if CHECKPOINT_SIZE_MAX < note.len() {
            return Err(CheckpointError::Size(note.len()));
        }
        let (text, signatures) = note.split_once("\n\n").ok_or(CheckpointError::Form("empty line"))?;
        let mut lines = text.split('\n');
        if lines.next() != Some(vkey.origin()) {
            return Err(CheckpointError::Origin);
        }
        let size = lines.next().and_then(decimal).ok_or(CheckpointError::Form("size"))?;
        let root = lines.next().and_then(decode::<32>).ok_or(CheckpointError::Form("root"))?;
        if lines.next().is_some() {
            return Err(CheckpointError::Form("extension lines"));
        }
        let checkpoint = Self { size, root: TreeHash::from_bytes(root) };
        let signature = ledger_signature(signatures, vkey)?;
        if !signature::verify(&vkey.key, checkpoint.text(vkey).as_bytes(), &signature) {
            return Err(CheckpointError::Signature);
        }
        Ok((checkpoint, signature))
    }
}

/// The one signature line of the ledger's own key among the lines of a note.
fn ledger_signature(lines: &str, vkey: &Vkey) -> Result<[u8; 64], CheckpointError> {
    let lines = lines.strip_suffix('\n').ok_or(CheckpointError::Form("last line"))?;
    let mut found = None;
    for line in lines.split('\n') {
        let (name, signature) =
            line.strip_prefix(DASH).and_then(|it| it.split_once(' ')).ok_or(CheckpointError::Form("signature line"))?;
        let bytes = STANDARD.decode(signature).map_err(|_| CheckpointError::Form("signature line"))?;
        let (id, signature) = bytes.split_first_chunk::<4>().ok_or(CheckpointError::Form("signature line"))?;
        if name != vkey.origin() || *id != vkey.key_id() {
            continue;
        }
        let signature = <[u8; 64]>::try_from(signature).map_err(|_| CheckpointError::Form("signature line"))?;
        if found.replace(signature).is_some() {
            return Err(CheckpointError::Unsigned);
        }
    }
    found.ok_or(CheckpointError::Unsigned)
}

fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| canonical && *number <= NUMBER_MAX)
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// The Go checksum database's public vkey, and the key of the Go note package's own example.
    const SUM_GOLANG: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    const NEUMANN: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    fn signer() -> (Vkey, SigningKey) {
        let key = SigningKey::from_seed(&[5; 32]);
        (Vkey::new("annals.example/demo", key.public()).unwrap(), key)
    }

    #[test]
    fn published_vkeys_read_back() {
        for text in [SUM_GOLANG, NEUMANN] {
            assert_eq!(text.parse::<Vkey>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn published_note_verifies() {
        // The example of the Go note package: a text that is no checkpoint, so only its signature is checked.
        let vkey: Vkey = NEUMANN.parse().unwrap();
        let text =
            "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        let line = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let signature = ledger_signature(line, &vkey).unwrap();
        assert!(signature::verify(&vkey.key(), text.as_bytes(), &signature));
    }

    #[test]
    fn note_reads_back_and_every_changed_byte_is_refused() {
        let (vkey, key) = signer();
        let checkpoint = Checkpoint { size: 123_456, root: TreeHash::from_bytes([9; 32]) };
        let note = checkpoint.note(&vkey, &checkpoint.sign(&vkey, &key));
        assert_eq!(Checkpoint::open(&note, &vkey), Ok(checkpoint));
        for place in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1;
            }
            if let Ok(text) = String::from_utf8(bytes) {
                assert!(Checkpoint::open(&text, &vkey).is_err(), "byte {place} of {note}");
            }
        }
        for cut in (0..note.len()).filter(|cut| note.is_char_boundary(*cut)) {
            assert!(Checkpoint::open(note.get(..cut).unwrap(), &vkey).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_witness_may_sign_beside_the_ledger_but_nobody_twice() {
        let (vkey, key) = signer();
        let checkpoint = Checkpoint { size: 1, root: TreeHash::ZERO };
        let note = checkpoint.note(&vkey, &checkpoint.sign(&vkey, &key));
        let witness = format!("{DASH}witness.example {}\n", STANDARD.encode([7; 76]));
        assert_eq!(Checkpoint::open(&format!("{note}{witness}"), &vkey), Ok(checkpoint));
        let own = note.split_once("\n\n").unwrap().1;
        assert_eq!(Checkpoint::open(&format!("{note}{own}"), &vkey), Err(CheckpointError::Unsigned));
        let text = checkpoint.text(&vkey);
        assert_eq!(Checkpoint::open(&format!("{text}\n{witness}"), &vkey), Err(CheckpointError::Unsigned));
    }

    #[test]
    fn sizes_have_one_spelling() {
        for (text, number) in
            [("0", Some(0)), ("10", Some(10)), ("010", None), ("+1", None), ("", None), ("9007199254740992", None)]
        {
            assert_eq!(decimal(text), number, "{text}");
        }
    }
}
