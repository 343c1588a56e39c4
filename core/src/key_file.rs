//! Key files: an Ed25519 seed as PKCS#8 version 1 in PEM, the form that openssl writes.
//!
//! The encoding of an Ed25519 key is a fixed prefix and the seed, so nothing here parses ASN.1. The text is
//! wiped when dropped and never printed; who may read the file is its holder's care. Sources: RFC 5958,
//! RFC 7468, RFC 8410 section 7.

use crate::limits::KEY_FILE_SIZE_MAX;
use crate::signature::SigningKey;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----\n";
const END: &str = "\n-----END PRIVATE KEY-----\n";
/// PrivateKeyInfo { version 0, algorithm 1.3.101.112, OCTET STRING of an OCTET STRING of 32 bytes }.
const PREFIX: [u8; 16] =
    [0x30, 0x2E, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Why a file is no key file.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file is too large.
    #[error("a key file of more than {KEY_FILE_SIZE_MAX} bytes; one of Annals has 119")]
    Size,
    /// The file is no PEM block of a private key.
    #[error("not a PEM file of one PRIVATE KEY block; make a key with `annals keygen`")]
    Pem,
    /// The block holds another kind of key.
    #[error("the PRIVATE KEY block holds no PKCS#8 version 1 Ed25519 key; make one with `annals keygen`")]
    Algorithm,
}

impl KeyFileError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Size => "key_file.size",
            Self::Pem => "key_file.pem",
            Self::Algorithm => "key_file.algorithm",
        }
    }
}

/// Reads a key file.
///
/// # Errors
///
/// [`KeyFileError`] if it is none.
pub fn parse(text: &[u8]) -> Result<SigningKey, KeyFileError> {
    if KEY_FILE_SIZE_MAX < text.len() {
        return Err(KeyFileError::Size);
    }
    let text = core::str::from_utf8(text).map_err(|_| KeyFileError::Pem)?;
    let base64 = text.strip_prefix(BEGIN).and_then(|it| it.strip_suffix(END)).ok_or(KeyFileError::Pem)?;
    let der = Zeroizing::new(STANDARD.decode(base64).map_err(|_| KeyFileError::Pem)?);
    let seed = der.strip_prefix(&PREFIX).ok_or(KeyFileError::Algorithm)?;
    let seed = Zeroizing::new(<[u8; 32]>::try_from(seed).map_err(|_| KeyFileError::Algorithm)?);
    Ok(SigningKey::from_seed(&seed))
}

/// Writes a key file's text.
pub fn encode(key: &SigningKey) -> Zeroizing<String> {
    let der = Zeroizing::new([&PREFIX[..], &key.seed()[..]].concat());
    // Room for all of it: a string that grew would leave copies of the key behind.
    let mut text = Zeroizing::new(String::with_capacity(KEY_FILE_SIZE_MAX));
    text.push_str(BEGIN);
    STANDARD.encode_string(&*der, &mut text);
    text.push_str(END);
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// RFC 8410 section 10.3: the private key, and the public key of section 10.1 that belongs to it.
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";

    #[test]
    fn the_standards_key_reads_and_writes_back() {
        let key = parse(PEM.as_bytes()).unwrap();
        assert_eq!(key.public().to_string(), PUBLIC);
        assert_eq!(encode(&key).as_str(), PEM);
    }

    #[test]
    fn damaged_files_are_refused_or_another_key() {
        for place in 0..PEM.len() {
            let mut bytes = PEM.as_bytes().to_vec();
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1;
            }
            assert!(parse(&bytes).is_err() || parse(&bytes).unwrap().public().to_string() != PUBLIC, "byte {place}");
            assert!(parse(PEM.as_bytes().get(..place).unwrap()).is_err(), "cut at {place}");
        }
        assert_eq!(parse(&[b'-'; 2000]).unwrap_err(), KeyFileError::Size);
        assert_eq!(parse(PEM.replace("MC4CAQAw", "MC4CAQEw").as_bytes()).unwrap_err(), KeyFileError::Algorithm);
    }

    #[test]
    fn a_key_is_never_printed() {
        let text = format!("{:?}", parse(PEM.as_bytes()).unwrap());
        assert_eq!(text, format!("SigningKey(of {PUBLIC})"));
    }
}
