//! What a *state-root* record says: which state the contracts have made of the ledger's records, through which block.
//!
//! A contract host says so with a key of its own. Its *appointment*, a signature of the ledger key over the ledger's id and
//! the host's key, stands in every such record; so whoever has the ledger's vkey can tell offline that the ledger's operator
//! let this host speak. What the state is, and how its root is made, is the contracts' affair: 32 bytes here. Exactly one
//! encoding is valid. Source: `docs/FORMAT.md`, "Engine kinds".
//!
//! ```text
//! | height 8 | state root 32 | appointment 64 |
//! ```

use crate::bytes::{Reader, Truncated, Writer};
use crate::checkpoint::Vkey;
use crate::hash::{AuthorId, LedgerId, StateRoot};
use crate::limits::NUMBER_MAX;
use crate::signature::{SigningKey, verify};

/// Bytes of the payload.
const PAYLOAD_SIZE: usize = 104;
/// What an appointment signs begins with this, so that it passes for no record and no checkpoint, nor the other way round.
const FRAME: &[u8; 20] = b"\x13annals.state-key.v1";
const MESSAGE_SIZE: usize = FRAME.len() + 32 + 32;

/// Why a payload is not that of a *state-root* record of this author on this ledger.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StateRootError {
    /// The payload has another size.
    #[error("the payload of a state-root record has {got} bytes; it is 104: height, state root, appointment")]
    Size {
        /** Bytes it has. */
        got: usize,
    },
    /// The height is out of range.
    #[error("height {0} of a state-root record is not below 2^53; give the height of a final block")]
    Height(u64),
    /// The ledger key did not sign the appointment.
    #[error(
        "the ledger key has not appointed {author} to say state roots of ledger {ledger}; ask its operator to appoint this key"
    )]
    Appointment {
        /** The ledger. */
        ledger: LedgerId,
        /** Who is not appointed. */
        author: AuthorId,
    },
}

impl StateRootError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Size { .. } => "state_root.size",
            Self::Height(_) => "state_root.height",
            Self::Appointment { .. } => "state_root.appointment",
        }
    }
}

impl From<Truncated> for StateRootError {
    fn from(error: Truncated) -> Self {
        Self::Size { got: error.got }
    }
}

/// The ledger key's word that a contract host may say state roots of its ledger: a signature, not yet verified.
///
/// It names one ledger and one key of a host, and is no secret. It holds for good; an admin takes it back by revoking the
/// host's key.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Appointment([u8; 64]);

impl core::fmt::Debug for Appointment {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "Appointment({})", crate::hash::Hex(&self.0))
    }
}

impl Appointment {
    /// Appoints a host's key on a ledger, by the ledger's key.
    pub fn sign(ledger: LedgerId, host: &AuthorId, ledger_key: &SigningKey) -> Self {
        Self(ledger_key.sign(&message(ledger, host)))
    }

    /// Takes the bytes of a signature as they are.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The bytes of the signature.
    pub const fn to_bytes(self) -> [u8; 64] {
        self.0
    }

    /// Verifies that the ledger key has appointed this host on this ledger.
    ///
    /// # Errors
    ///
    /// [`StateRootError::Appointment`] if it has not.
    pub fn verify(&self, vkey: &Vkey, ledger: LedgerId, host: &AuthorId) -> Result<(), StateRootError> {
        if verify(&vkey.key(), &message(ledger, host), &self.0) {
            Ok(())
        } else {
            Err(StateRootError::Appointment { ledger, author: *host })
        }
    }
}

fn message(ledger: LedgerId, host: &AuthorId) -> [u8; MESSAGE_SIZE] {
    Writer::new().put(FRAME).put(ledger.as_bytes()).put(host.as_bytes()).finish()
}

/// What a *state-root* record says: applying the contracts to all records through a block gives this state root.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StateRootRecord {
    /// Height of the last block whose records were applied; below the block that the record stands in, and below 2^53.
    pub height: u64,
    /// Root of the state then.
    pub root: StateRoot,
    /// Why its author may say so.
    pub appointment: Appointment,
}

impl StateRootRecord {
    /// Encodes the payload.
    pub fn encode(&self) -> [u8; PAYLOAD_SIZE] {
        Writer::new().put(&self.height.to_le_bytes()).put(self.root.as_bytes()).put(&self.appointment.0).finish()
    }

    /// Parses a payload. The appointment is *not* verified here.
    ///
    /// # Errors
    ///
    /// [`StateRootError`] naming what is wrong.
    pub fn parse(payload: &[u8]) -> Result<Self, StateRootError> {
        let mut reader = Reader::new(payload);
        let (height, root) = (reader.u64()?, StateRoot::from_bytes(*reader.array()?));
        let appointment = Appointment(*reader.array()?);
        if !reader.rest().is_empty() {
            return Err(StateRootError::Size { got: payload.len() });
        }
        if NUMBER_MAX < height {
            return Err(StateRootError::Height(height));
        }
        Ok(Self { height, root, appointment })
    }

    /// Verifies that the author of the record was appointed: ledger and author are those of its head.
    ///
    /// That the author signed the record, and where it stands, is for its receipt to show.
    ///
    /// # Errors
    ///
    /// [`StateRootError::Appointment`] if not.
    pub fn verify(&self, vkey: &Vkey, ledger: LedgerId, author: &AuthorId) -> Result<(), StateRootError> {
        self.appointment.verify(vkey, ledger, author)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    const APPOINTMENT: &str = concat!(
        "7f16490e6f7c5f16c6be1697a8de2c68fb5bb4168a9e95116244051c0b808467",
        "66e0f98e9035381edb7b88a52a2dd7b0b7d84daa97d3db96909dc1e4a81bb209",
    );
    const LEDGER: LedgerId = LedgerId::from_bytes([9; 32]);

    fn vkey() -> Vkey {
        Vkey::new("annals.example/state", SigningKey::from_seed(&[1; 32]).public()).unwrap()
    }

    fn host() -> AuthorId {
        SigningKey::from_seed(&[2; 32]).public()
    }

    fn record() -> StateRootRecord {
        let appointment = Appointment::sign(LEDGER, &host(), &SigningKey::from_seed(&[1; 32]));
        StateRootRecord { height: 0x0001_0203_0405_0607, root: StateRoot::from_bytes([5; 32]), appointment }
    }

    #[test]
    fn payload_is_the_documented_table() {
        // Made by Python's `cryptography` (OpenSSL) from FORMAT.md, with the seeds above.
        let appointment = crate::hash::parse_hex::<64>(APPOINTMENT).unwrap();
        let bytes = [&[7, 6, 5, 4, 3, 2, 1, 0][..], &[5; 32], &appointment].concat();
        assert_eq!(record().encode()[..], bytes);
        let parsed = StateRootRecord::parse(&bytes).unwrap();
        assert_eq!(parsed, record());
        assert_eq!(parsed.verify(&vkey(), LEDGER, &host()), Ok(()));
        assert_eq!(usize::from(FRAME[0]), FRAME.len() - 1, "the name's length stands before it");
    }

    #[test]
    fn no_damage_to_a_valid_payload_passes_for_what_it_was() {
        let bytes = record().encode();
        for bit in 0..8 * bytes.len() {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            let Ok(other) = StateRootRecord::parse(&damaged) else { continue };
            assert!(other != record() && other.encode() == damaged, "bit {bit}");
            // Another height or root is another statement, which the author's signature has to cover.
            assert_eq!(other.verify(&vkey(), LEDGER, &host()).is_ok(), bit < 8 * 40, "bit {bit}");
        }
        for size in (0..bytes.len()).chain([bytes.len() + 1]) {
            let resized: Vec<u8> = bytes.iter().copied().chain([0]).take(size).collect();
            assert_eq!(StateRootRecord::parse(&resized), Err(StateRootError::Size { got: size }));
        }
        let late = StateRootRecord { height: 1 << 53, ..record() };
        assert_eq!(StateRootRecord::parse(&late.encode()), Err(StateRootError::Height(1 << 53)));
    }

    #[test]
    fn an_appointment_is_by_one_key_on_one_ledger_of_one_host() {
        let (key, other) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[3; 32]));
        let verify =
            |ledger, host: &AuthorId, by| Appointment::sign(ledger, host, by).verify(&vkey(), LEDGER, &self::host());
        assert_eq!(verify(LEDGER, &host(), &key), Ok(()));
        let refused = Err(StateRootError::Appointment { ledger: LEDGER, author: host() });
        assert_eq!(verify(LEDGER, &host(), &other), refused, "by another key");
        assert_eq!(verify(LedgerId::from_bytes([8; 32]), &host(), &key), refused, "on another ledger");
        assert_eq!(verify(LEDGER, &other.public(), &key), refused, "of another host");
        let unframed = Appointment(key.sign(&[&LEDGER.as_bytes()[..], host().as_bytes()].concat()));
        assert_eq!(unframed.verify(&vkey(), LEDGER, &host()), refused, "without its frame");
    }
}
