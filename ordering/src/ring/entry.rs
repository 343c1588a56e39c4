//! What stands in an entry: the state word, the header cell, and what a producer and the engine see of it.
//!
//! ```text
//! state word of the first cell:  bits 0..4 state | bits 4..32 cells of the entry
//! state words of its other cells: always 0
//!
//! cell 0   0            4      8    12          16    20    24         56    64
//!          | payload sz | src  | slot | author slot | flags | 0  | record id | 0  |
//! cell 1   head (192 bytes, three cells)
//! cell 4   payload, up to the end of its last cell
//! ```

use super::storage::CELL_SIZE;
use annals_core::hash::RecordId;
use annals_core::limits::HEAD_SIZE;

/// Offset of the head in an entry, in bytes.
pub(super) const HEAD_OFFSET: usize = CELL_SIZE;
/// Offset of the payload in an entry, in bytes.
pub(super) const PAYLOAD_OFFSET: usize = HEAD_OFFSET + HEAD_SIZE;
/// Offset of the record id in the header cell, in bytes.
pub(super) const RECORD_ID_OFFSET: usize = 24;

const FLAG_CONTENT_CHECKED: u32 = 1;

/// Cells of an entry with a payload of this many bytes.
pub(super) const fn entry_cells(payload_size: u32) -> u64 {
    (PAYLOAD_OFFSET as u64 + payload_size as u64).div_ceil(CELL_SIZE as u64)
}

/// How far an entry has come. It only walks down this list, and back to Empty when its cells are given back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// Nothing was published here.
    Empty,
    /// Complete; a verifier may take it.
    Published,
    /// Content and signature are right, the record id is filled in.
    Verified,
    /// The signature does not hold.
    BadSignature,
    /// The payload is not what the head commits to.
    BadContent,
    /// The verifier gave up; nothing is known.
    Abandoned,
    /// The producer gave up; no record.
    Void,
    /// Fills the rest of the buffer before the wrap.
    Pad,
}

/// A state word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Word(pub(super) u32);

impl Word {
    pub(super) const EMPTY: Self = Self(0);

    #[expect(clippy::cast_possible_truncation, reason = "an entry lies within the ring, at most 2^20 cells")]
    pub(super) const fn new(state: State, cells: u64) -> Self {
        Self((cells as u32) << 4 | state as u32)
    }

    pub(super) const fn state(self) -> State {
        match self.0 & 0xF {
            1 => State::Published,
            2 => State::Verified,
            3 => State::BadSignature,
            4 => State::BadContent,
            5 => State::Abandoned,
            6 => State::Void,
            7 => State::Pad,
            _ => State::Empty,
        }
    }

    pub(super) const fn cells(self) -> u64 {
        (self.0 >> 4) as u64
    }

    /// The same entry, further down.
    pub(super) const fn with(self, state: State) -> Self {
        Self::new(state, self.cells())
    }
}

/// What the producer has checked already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Known {
    /// Nothing: the verifier checks content and signature.
    Nothing,
    /// The content hash (of a large payload, hashed in the caller's thread); the verifier checks the signature.
    Content,
    /// Content and signature (a lone record, verified in the caller's thread): the entry skips the verifiers.
    All(RecordId),
}

/// An entry as a producer writes it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The head.
    pub head: &'a [u8; HEAD_SIZE],
    /// The payload; as many bytes as were claimed for it.
    pub payload: &'a [u8],
    /// The appender it came through, as [`crate::registry::Registry`] numbers them.
    pub source: u32,
    /// That appender's completion slot.
    pub slot: u32,
    /// The author's slot in the sequencer.
    pub author_slot: u32,
    /// What is checked already.
    pub known: Known,
}

/// What verification found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verification {
    /// Content and signature are right; the record's id.
    Verified(RecordId),
    /// The signature does not hold.
    BadSignature,
    /// The payload is not what the head commits to.
    BadContent,
    /// A verifier gave up on it (it panicked); nothing is known of the record, and it may be sent again.
    Abandoned,
}

/// An entry in place, as the engine sees it.
#[derive(Clone, Copy, Debug)]
pub struct EntryView<'a> {
    /// The head.
    pub head: &'a [u8; HEAD_SIZE],
    /// The payload.
    pub payload: &'a [u8],
    /// What verification found.
    pub verification: Verification,
    /// The appender it came through.
    pub source: u32,
    /// That appender's completion slot.
    pub slot: u32,
    /// The author's slot in the sequencer.
    pub author_slot: u32,
    /// Where the entry starts, in cells.
    pub position: u64,
    /// Where the next one starts, in cells.
    pub next_position: u64,
}

/// The header cell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Header {
    pub(super) payload_size: u32,
    pub(super) source: u32,
    pub(super) slot: u32,
    pub(super) author_slot: u32,
    pub(super) content_checked: bool,
    pub(super) record_id: RecordId,
}

impl Header {
    /// The header of an entry whose payload size was claimed before.
    pub(super) const fn of(entry: &Entry<'_>, payload_size: u32) -> Self {
        let (content_checked, record_id) = match entry.known {
            Known::Nothing => (false, RecordId::from_bytes([0; 32])),
            Known::Content => (true, RecordId::from_bytes([0; 32])),
            Known::All(record_id) => (true, record_id),
        };
        let Entry { source, slot, author_slot, .. } = *entry;
        Self { payload_size, source, slot, author_slot, content_checked, record_id }
    }

    pub(super) fn encode(&self) -> [u8; CELL_SIZE] {
        let mut cell = [0; CELL_SIZE];
        let (numbers, rest) = cell.split_at_mut(RECORD_ID_OFFSET);
        let flags = if self.content_checked { FLAG_CONTENT_CHECKED } else { 0 };
        let values = [self.payload_size, self.source, self.slot, self.author_slot, flags];
        for (field, value) in numbers.chunks_exact_mut(4).zip(values) {
            field.copy_from_slice(&value.to_le_bytes());
        }
        if let Some(field) = rest.first_chunk_mut::<32>() {
            *field = self.record_id.to_bytes();
        }
        cell
    }

    pub(super) fn decode(cell: &[u8]) -> Self {
        let number = |index: usize| {
            cell.get(4 * index..).and_then(|rest| rest.first_chunk::<4>()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        let record_id = cell.get(RECORD_ID_OFFSET..).and_then(|rest| rest.first_chunk::<32>());
        Self {
            payload_size: number(0),
            source: number(1),
            slot: number(2),
            author_slot: number(3),
            content_checked: number(4) & FLAG_CONTENT_CHECKED != 0,
            record_id: RecordId::from_bytes(record_id.copied().unwrap_or_default()),
        }
    }
}
