//! The 32-byte names of the ledger, one type each, so that a record id is never taken for a block hash.
//!
//! Parsing and printing is lower-case hexadecimal, 64 digits. These types hold bytes; they do not hash. What
//! is hashed, and how, stands beside the structure it names.

use core::fmt;
use core::str::FromStr;

/// Why text is not 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HexError {
    /// The text has another length.
    #[error("needs {needed} hexadecimal digits, got {got} characters")]
    Length {
        /** Digits needed. */
        needed: usize,
        /** Bytes of text there are. */
        got: usize,
    },
    /// A character is no lower-case hexadecimal digit.
    #[error("character {position} is no lower-case hexadecimal digit")]
    Digit {
        /** Its position, from 0. */
        position: usize,
    },
}

impl HexError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Length { .. } => "hex.length",
            Self::Digit { .. } => "hex.digit",
        }
    }
}

/// Parses exactly `N` bytes from `2 * N` lower-case hexadecimal digits.
///
/// # Errors
///
/// [`HexError`] if the length or a digit is wrong.
pub fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    if text.len() != 2 * N {
        return Err(HexError::Length { needed: 2 * N, got: text.len() });
    }
    let mut bytes = [0; N];
    for (index, (byte, digits)) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)).enumerate() {
        let digit = |which: usize| {
            digits
                .get(which)
                .and_then(|character| match character {
                    b'0'..=b'9' => Some(character - b'0'),
                    b'a'..=b'f' => Some(character - b'a' + 10),
                    _ => None,
                })
                .ok_or(HexError::Digit { position: 2 * index + which })
        };
        *byte = digit(0)? << 4 | digit(1)?;
    }
    Ok(bytes)
}

/// Bytes that are shown at a time: those of a name.
const HEX_PIECE: usize = 32;

const fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

/// Bytes shown as lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A piece at a time: to format each byte by itself takes many times as long, and names are told at every record.
        self.0.chunks(HEX_PIECE).try_for_each(|piece| {
            let mut digits = [0; 2 * HEX_PIECE];
            for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(piece) {
                *pair = [hex_digit(byte >> 4), hex_digit(byte & 15)];
            }
            let written = digits.get(..2 * piece.len()).unwrap_or_default();
            formatter.write_str(core::str::from_utf8(written).unwrap_or_default())
        })
    }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Eq, PartialEq, Ord, PartialOrd, Hash, Default)]
        pub struct $name([u8; 32]);

        impl $name {
            /// All zeros: stands for "none" where the format says so.
            pub const ZERO: Self = Self([0; 32]);

            /// Takes the bytes as they are.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The bytes, by value.
            pub const fn to_bytes(self) -> [u8; 32] {
                self.0
            }

            /// Whether every byte is zero.
            pub fn is_zero(&self) -> bool {
                self.0 == [0; 32]
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                Hex(&self.0).fmt(formatter)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = HexError;

            fn from_str(text: &str) -> Result<Self, HexError> {
                parse_hex(text).map(Self)
            }
        }
    };
}

name_type! {
    /// Name of a ledger: the record id of its genesis record.
    LedgerId
}
name_type! {
    /// Bytes of an author's Ed25519 public key, as a head carries them; not yet known to be a good key.
    AuthorId
}
name_type! {
    /// SHA-256 of a record's head.
    RecordId
}
name_type! {
    /// BLAKE3 commitment of a payload, see [`crate::record::content_hash`].
    ContentHash
}
name_type! {
    /// BLAKE3 of one item of a bundle, its salt included.
    ItemHash
}
name_type! {
    /// BLAKE3 of a block header, in `derive_key` mode.
    BlockHash
}
name_type! {
    /// SHA-256 node or leaf hash of the RFC 6962 tree.
    TreeHash
}
name_type! {
    /// Root of the state that contracts make of a ledger's records; how, is the contracts' affair.
    StateRoot
}
