//! Building and signing records: what a front end does before it appends.
//!
//! [`RecordBuilder`] fills the head, salts the payload unless told not to, and signs through a [`Signer`], so
//! that a key may live in a file, an agent or an HSM. The result is plain bytes: head, then payload.

use annals_core::bundle::{self, BundleError};
use annals_core::hash::{AuthorId, ContentHash, LedgerId, RecordId};
use annals_core::limits::{HEAD_SIZE, PAYLOAD_SIZE_MAX, SALT_SIZE};
use annals_core::record::{Flags, Head, Kind, ParseError, SUITE_ED25519, content_hash, record_id};
use annals_core::signature::SigningKey;

/// Something that signs heads for one author.
pub trait Signer {
    /// The author's public key.
    fn author(&self) -> AuthorId;

    /// Sets the signature, the last 64 bytes of a head.
    fn sign_head(&self, head: &mut [u8; HEAD_SIZE]);
}

impl Signer for SigningKey {
    fn author(&self) -> AuthorId {
        self.public()
    }

    fn sign_head(&self, head: &mut [u8; HEAD_SIZE]) {
        Self::sign_head(self, head);
    }
}

/// Why a record could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The payload with its salt is too large.
    #[error("payload of {0} bytes with its salt is larger than {PAYLOAD_SIZE_MAX}; split it, or record its hash")]
    TooLarge(usize),
    /// The items do not make a bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A field is out of its range.
    #[error(transparent)]
    Head(#[from] ParseError),
    /// The system gave no randomness for a salt.
    #[error("the system gave no random bytes for a salt")]
    Randomness,
}

impl BuildError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "build.too_large",
            Self::Bundle(error) => error.code(),
            Self::Head(error) => error.code(),
            Self::Randomness => "build.randomness",
        }
    }
}

/// A signed record: its bytes, and the salts that its holder needs to show a payload later.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedRecord {
    bytes: Vec<u8>,
    salts: Vec<[u8; SALT_SIZE]>,
}

impl SignedRecord {
    /// Head and payload, as `append` takes them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The salts: none, one for a plain record, one an item for a bundle.
    pub fn salts(&self) -> &[[u8; SALT_SIZE]] {
        &self.salts
    }

    /// SHA-256 of the head.
    pub fn record_id(&self) -> RecordId {
        record_id(self.bytes.first_chunk().unwrap_or(&[0; HEAD_SIZE]))
    }
}

/// Collects what a record says, then signs it.
///
/// ```
/// use annals::{Kind, LedgerId, RecordBuilder, SigningKey};
/// let key = SigningKey::from_seed(&[1; 32]);
/// let record = RecordBuilder::new(LedgerId::from_bytes([7; 32]), Kind(0x1_0000)).nonce(1).sign(&key, b"a notice")?;
/// assert_eq!(record.bytes().len(), 192 + 32 + 8);
/// # Ok::<(), annals::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RecordBuilder {
    ledger: LedgerId,
    kind: Kind,
    nonce: u64,
    claimed_time_ms: u64,
    flags: Flags,
    salt_secret: Option<[u8; 32]>,
}

/// Context of the key derivation of salts.
const SALT_CONTEXT: &str = "annals.salt.v1";

impl RecordBuilder {
    /// A salted record of this kind for this ledger, with nonce 0 and no claimed time.
    pub const fn new(ledger: LedgerId, kind: Kind) -> Self {
        Self { ledger, kind, nonce: 0, claimed_time_ms: 0, flags: Flags::SALTED, salt_secret: None }
    }

    /// Sets the author's number for this record; each is used once, and they rise.
    #[must_use]
    pub const fn nonce(mut self, nonce: u64) -> Self {
        self.nonce = nonce;
        self
    }

    /// Sets what the author says the time is, in ms since the Unix epoch, below 2^53.
    #[must_use]
    pub const fn claimed_time_ms(mut self, time: u64) -> Self {
        self.claimed_time_ms = time;
        self
    }

    /// Leaves the salt out: whoever guesses the payload can then confirm the guess from the head.
    #[must_use]
    pub const fn unsalted(mut self) -> Self {
        self.flags = Flags::NONE;
        self
    }

    /// Makes the salts from a secret and the nonce instead of fresh randomness, so that a record that was lost on its way can
    /// be built again, byte for byte. Whoever has the secret can guess at payloads; nonces must not be used twice.
    #[must_use]
    pub const fn salts_from(mut self, secret: [u8; 32]) -> Self {
        self.salt_secret = Some(secret);
        self
    }

    /// Marks the payload as ciphertext.
    #[must_use]
    pub const fn sealed(mut self) -> Self {
        self.flags = self.flags.with(Flags::SEALED);
        self
    }

    /// Builds and signs a plain record.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if the payload does not fit or a field is out of range.
    pub fn sign(&self, signer: &impl Signer, content: &[u8]) -> Result<SignedRecord, BuildError> {
        let salts = self.salts(1)?;
        let size = content.len() + SALT_SIZE * salts.len();
        if PAYLOAD_SIZE_MAX < size {
            return Err(BuildError::TooLarge(size));
        }
        let mut payload = Vec::with_capacity(size);
        payload.extend(salts.iter().flatten());
        payload.extend_from_slice(content);
        self.finish(signer, 1, &payload, salts)
    }

    /// Builds and signs a bundle of 2 to 4,096 items.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if the items do not make a bundle or a field is out of range.
    pub fn sign_bundle(&self, signer: &impl Signer, items: &[&[u8]]) -> Result<SignedRecord, BuildError> {
        let salts = self.salts(items.len().min(PAYLOAD_SIZE_MAX))?;
        let parts: Vec<[&[u8]; 2]> = items
            .iter()
            .enumerate()
            .map(|(index, item)| [salts.get(index).map_or(&[][..], |salt| &salt[..]), *item])
            .collect();
        let payload = bundle::encode(&parts)?;
        self.finish(signer, u16::try_from(items.len()).unwrap_or(u16::MAX), &payload, salts)
    }

    fn salts(&self, count: usize) -> Result<Vec<[u8; SALT_SIZE]>, BuildError> {
        if !self.flags.contains(Flags::SALTED) {
            return Ok(Vec::new());
        }
        let mut salts = vec![[0; SALT_SIZE]; count];
        match self.salt_secret {
            Some(secret) => {
                let key = blake3::derive_key(SALT_CONTEXT, &secret);
                let mut stream = blake3::Hasher::new_keyed(&key).update(&self.nonce.to_le_bytes()).finalize_xof();
                stream.fill(salts.as_flattened_mut());
            }
            None => getrandom::fill(salts.as_flattened_mut()).map_err(|_| BuildError::Randomness)?,
        }
        Ok(salts)
    }

    fn finish(
        &self,
        signer: &impl Signer,
        item_count: u16,
        payload: &[u8],
        salts: Vec<[u8; SALT_SIZE]>,
    ) -> Result<SignedRecord, BuildError> {
        let content_hash: ContentHash = content_hash(item_count, payload)?;
        let head = Head {
            suite: SUITE_ED25519,
            flags: self.flags,
            item_count,
            ledger: self.ledger,
            author: signer.author(),
            nonce: self.nonce,
            claimed_time_ms: self.claimed_time_ms,
            kind: self.kind,
            payload_size: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            content_hash,
            signature: [0; 64],
        };
        head.check()?;
        let mut head = head.encode();
        signer.sign_head(&mut head);
        Ok(SignedRecord { bytes: [&head[..], payload].concat(), salts })
    }
}
