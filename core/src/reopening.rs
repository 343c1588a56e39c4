//! What a *reopened* record says: why a ledger went on, by which clock, and from which checkpoint.
//!
//! A ledger goes on by a record of this kind, by its own key, where opening it was refused until its operator decided: the
//! machine's clock was behind or far ahead, or the files were restored from a backup or copied. So whoever reads the ledger
//! later sees the decision where it was made. Exactly one encoding is valid. Source: `docs/FORMAT.md`, "Engine kinds".
//!
//! ```text
//! | ANO1 4 | reason 1 | 0 1 | note size 2 | wall clock ms 8 | note |
//! ```

use crate::bytes::{Reader, Truncated};
use crate::checkpoint::{Checkpoint, CheckpointError, Vkey};
use crate::limits::{CHECKPOINT_SIZE_MAX, NUMBER_MAX, PAYLOAD_SIZE_MAX};

const MAGIC: &[u8; 4] = b"ANO1";
const FIXED_SIZE: usize = 16;

const _: () = assert!(FIXED_SIZE + CHECKPOINT_SIZE_MAX <= PAYLOAD_SIZE_MAX, "a checkpoint fits");

/// Why a ledger was reopened by a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// The machine's clock was behind the newest block, or far ahead of it, and was accepted.
    Clock,
    /// The files were restored from a backup.
    Restored,
    /// The files were copied from another place.
    Copied,
}

impl Reason {
    /// The word for it, in listings and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Restored => "restored",
            Self::Copied => "copied",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Clock => 1,
            Self::Restored => 2,
            Self::Copied => 3,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Clock),
            2 => Some(Self::Restored),
            3 => Some(Self::Copied),
            _ => None,
        }
    }
}

/// Why a payload is not that of a *reopened* record.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReopeningError {
    /// The payload ends inside a field, or goes on behind the last.
    #[error("the payload of a reopened record has {got} bytes where {needed} are needed")]
    Size {
        /** Bytes needed. */
        needed: usize,
        /** Bytes there are. */
        got: usize,
    },
    /// The first four bytes are not `ANO1`.
    #[error("not the payload of a reopened record: the first four bytes are not ANO1")]
    Magic,
    /// The reason is none that is known.
    #[error("reason {0} is not known; 1 is the clock, 2 restored, 3 copied")]
    Reason(u8),
    /// The byte that is kept zero is not.
    #[error("byte 5 of a reopened record is {0}, expected zero")]
    Reserved(u8),
    /// The wall clock is out of range.
    #[error("wall clock {0} ms is not below 2^53")]
    Clock(u64),
    /// The checkpoint note is too large, or there where the reason has none, or missing where it has one.
    #[error("a checkpoint note of {0} bytes, which this reason does not have: none for a clock, up to 512 otherwise")]
    NoteSize(u16),
    /// The note is no checkpoint of this ledger.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The note carries more than the ledger's own signature, or is spelt in another way than the ledger spells it.
    #[error("the checkpoint note is not spelt as the ledger spells it: its own signature and nothing else")]
    Spelling,
}

impl ReopeningError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Size { .. } => "reopened.size",
            Self::Magic => "reopened.magic",
            Self::Reason(_) => "reopened.reason",
            Self::Reserved(_) => "reopened.reserved",
            Self::Clock(_) => "reopened.clock",
            Self::NoteSize(_) => "reopened.note_size",
            Self::Checkpoint(error) => error.code(),
            Self::Spelling => "reopened.spelling",
        }
    }
}

impl From<Truncated> for ReopeningError {
    fn from(error: Truncated) -> Self {
        Self::Size { needed: error.needed, got: error.got }
    }
}

/// What a *reopened* record says.
///
/// Invariant: a checkpoint is there if and only if the reason is not the clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reopening {
    reason: Reason,
    wall_clock_ms: u64,
    checkpoint: Option<(Checkpoint, [u8; 64])>,
}

impl Reopening {
    /// The machine's clock was accepted as it was, at `wall_clock_ms` since the Unix epoch.
    pub const fn by_clock(wall_clock_ms: u64) -> Self {
        Self { reason: Reason::Clock, wall_clock_ms, checkpoint: None }
    }

    /// Restored or copied files go on from a checkpoint, given with the ledger's signature on it.
    pub const fn of_copy(restored: bool, wall_clock_ms: u64, checkpoint: Checkpoint, signature: [u8; 64]) -> Self {
        let reason = if restored { Reason::Restored } else { Reason::Copied };
        Self { reason, wall_clock_ms, checkpoint: Some((checkpoint, signature)) }
    }

    /// Why the ledger was reopened.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// What the machine's clock said, in ms since the Unix epoch.
    pub const fn wall_clock_ms(&self) -> u64 {
        self.wall_clock_ms
    }

    /// The newest checkpoint that was known when the ledger went on; none for a clock.
    pub const fn checkpoint(&self) -> Option<Checkpoint> {
        match self.checkpoint {
            Some((checkpoint, _)) => Some(checkpoint),
            None => None,
        }
    }

    /// Encodes the payload for the ledger of a vkey.
    pub fn encode(&self, vkey: &Vkey) -> Vec<u8> {
        let note = self.checkpoint.map(|(checkpoint, signature)| checkpoint.note(vkey, &signature)).unwrap_or_default();
        let mut bytes = Vec::with_capacity(FIXED_SIZE + note.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[self.reason.number(), 0]);
        bytes.extend_from_slice(&u16::try_from(note.len()).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend_from_slice(&self.wall_clock_ms.to_le_bytes());
        bytes.extend_from_slice(note.as_bytes());
        bytes
    }

    /// Parses and checks a payload, the ledger's signature on the checkpoint included.
    ///
    /// Not told here: whether the checkpoint is one of the tree that the ledger has.
    ///
    /// # Errors
    ///
    /// [`ReopeningError`] naming what is wrong.
    pub fn parse(payload: &[u8], vkey: &Vkey) -> Result<Self, ReopeningError> {
        let mut reader = Reader::new(payload);
        if reader.array::<4>()? != MAGIC {
            return Err(ReopeningError::Magic);
        }
        let number = reader.u8()?;
        let reason = Reason::from_number(number).ok_or(ReopeningError::Reason(number))?;
        let reserved = reader.u8()?;
        if reserved != 0 {
            return Err(ReopeningError::Reserved(reserved));
        }
        let note_size = reader.u16()?;
        if CHECKPOINT_SIZE_MAX < usize::from(note_size) || (note_size == 0) != (reason == Reason::Clock) {
            return Err(ReopeningError::NoteSize(note_size));
        }
        let wall_clock_ms = reader.u64()?;
        if NUMBER_MAX < wall_clock_ms {
            return Err(ReopeningError::Clock(wall_clock_ms));
        }
        let note = reader.slice(usize::from(note_size))?;
        if !reader.rest().is_empty() {
            return Err(ReopeningError::Size { needed: payload.len() - reader.rest().len(), got: payload.len() });
        }
        let checkpoint = if note.is_empty() { None } else { Some(open(note, vkey)?) };
        Ok(Self { reason, wall_clock_ms, checkpoint })
    }
}

/// Opens a note that is spelt in the one way in which the ledger spells it.
fn open(note: &[u8], vkey: &Vkey) -> Result<(Checkpoint, [u8; 64]), ReopeningError> {
    let note = core::str::from_utf8(note).map_err(|_| ReopeningError::Spelling)?;
    let (checkpoint, signature) = Checkpoint::open_signed(note, vkey)?;
    if checkpoint.note(vkey, &signature) != note {
        return Err(ReopeningError::Spelling);
    }
    Ok((checkpoint, signature))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use crate::hash::TreeHash;
    use crate::signature::SigningKey;

    fn signed() -> (Vkey, Checkpoint, [u8; 64]) {
        let key = SigningKey::from_seed(&[5; 32]);
        let vkey = Vkey::new("annals.example/reopened", key.public()).unwrap();
        let checkpoint = Checkpoint { size: 17, root: TreeHash::from_bytes([9; 32]) };
        let signature = checkpoint.sign(&vkey, &key);
        (vkey, checkpoint, signature)
    }

    #[test]
    fn payload_is_the_documented_table() {
        let (vkey, checkpoint, signature) = signed();
        let clock = Reopening::by_clock(0x0001_0203_0405_0607);
        let bytes = [&b"ANO1\x01\0\0\0"[..], &[7, 6, 5, 4, 3, 2, 1, 0]].concat();
        assert_eq!(clock.encode(&vkey), bytes);
        assert_eq!(Reopening::parse(&bytes, &vkey), Ok(clock));
        let note = checkpoint.note(&vkey, &signature);
        for (restored, number) in [(true, 2), (false, 3)] {
            let reopening = Reopening::of_copy(restored, 1, checkpoint, signature);
            let size = u8::try_from(note.len()).unwrap();
            let bytes =
                [&[b'A', b'N', b'O', b'1', number, 0, size, 0, 1, 0, 0, 0, 0, 0, 0, 0], note.as_bytes()].concat();
            assert_eq!(reopening.encode(&vkey), bytes);
            assert_eq!(Reopening::parse(&bytes, &vkey), Ok(reopening));
            assert_eq!(reopening.checkpoint(), Some(checkpoint));
        }
    }

    #[test]
    fn no_damage_to_a_valid_payload_passes_for_what_it_was() {
        let (vkey, checkpoint, signature) = signed();
        for whole in [Reopening::by_clock(1_700_000_000_000), Reopening::of_copy(true, 7, checkpoint, signature)] {
            let bytes = whole.encode(&vkey);
            for bit in 0..8 * bytes.len() {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                match Reopening::parse(&damaged, &vkey) {
                    // Another reason or clock is another valid statement; whoever signs the record vouches for it.
                    Ok(other) => assert!(other != whole && other.encode(&vkey) == damaged, "bit {bit}"),
                    Err(_) => assert!(Reopening::parse(&bytes, &vkey).is_ok()),
                }
            }
            for cut in 0..bytes.len() {
                assert!(Reopening::parse(&bytes[..cut], &vkey).is_err(), "cut at {cut}");
            }
            let longer = [&bytes[..], &[0]].concat();
            let (needed, got) = (bytes.len(), longer.len());
            assert_eq!(Reopening::parse(&longer, &vkey), Err(ReopeningError::Size { needed, got }));
        }
    }

    #[test]
    fn each_field_is_refused_by_its_own_name() {
        let (vkey, checkpoint, signature) = signed();
        let bytes = Reopening::of_copy(true, 7, checkpoint, signature).encode(&vkey);
        let changed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = bytes.clone();
            change(&mut bytes);
            Reopening::parse(&bytes, &vkey).unwrap_err()
        };
        let note_size = u16::try_from(bytes.len() - FIXED_SIZE).unwrap();
        assert_eq!(changed(&|bytes| bytes[3] = b'2'), ReopeningError::Magic);
        assert_eq!(changed(&|bytes| bytes[4] = 0), ReopeningError::Reason(0));
        assert_eq!(changed(&|bytes| bytes[4] = 4), ReopeningError::Reason(4));
        assert_eq!(changed(&|bytes| bytes[5] = 1), ReopeningError::Reserved(1));
        assert_eq!(changed(&|bytes| bytes[4] = 1), ReopeningError::NoteSize(note_size), "a clock has no checkpoint");
        assert_eq!(changed(&|bytes| bytes[6..8].fill(0)), ReopeningError::NoteSize(0), "a copy has one");
        assert_eq!(changed(&|bytes| bytes[7] = 2), ReopeningError::NoteSize(512 + note_size));
        assert_eq!(changed(&|bytes| bytes[14] = 0x20), ReopeningError::Clock((1 << 53) | 7));
        let spelt_otherwise = changed(&|bytes| {
            // A cosignature by somebody else is a good note, and another spelling.
            let witness = "\u{2014} witness.example AAAAAAAA\n";
            bytes.extend_from_slice(witness.as_bytes());
            let size = u16::try_from(bytes.len() - FIXED_SIZE).unwrap();
            bytes[6..8].copy_from_slice(&size.to_le_bytes());
        });
        assert_eq!(spelt_otherwise, ReopeningError::Spelling);
        let other = Vkey::new("annals.example/other", vkey.key()).unwrap();
        let foreign = Reopening::parse(&bytes, &other);
        assert_eq!(foreign, Err(ReopeningError::Checkpoint(CheckpointError::Origin)));
    }
}
