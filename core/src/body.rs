//! The body of a block: an rkyv archive of fixed layout, written by hand and read through the checked API.
//!
//! [`BodyWriter`] copies each head and payload once, straight to its place in the block's buffer. What it
//! writes equals rkyv's own bytes; a test asserts it. Reading goes through rkyv's validation, and then the four
//! relative pointers are compared with those that the counts dictate, so that one encoding alone is valid.
//!
//! ```text
//! | heads 192n | states 8n | ends 4n | payloads P | 0..3 zeros | root: 4 x (offset i32, length u32) |
//! ```
//!
//! No hash or signature depends on these bytes. Source: `docs/FORMAT.md`, "Body".

use core::ops::Range;

use crate::limits::{BLOCK_RECORD_COUNT_MAX, BODY_SIZE_MAX, HEAD_SIZE};

const ROOT_SIZE: usize = 32;
/// Bytes that a record takes beside its payload: head, state and end.
pub const RECORD_OVERHEAD: usize = HEAD_SIZE + 8 + 4;

/// What rkyv sees; the field order is the order of the bytes. Only its archived form is used outside tests.
#[cfg_attr(not(test), expect(dead_code, reason = "bodies are written by hand; rkyv derives the reader from it"))]
#[derive(Debug, rkyv::Archive, rkyv::Serialize)]
struct Archive {
    heads: Vec<[u8; HEAD_SIZE]>,
    states: Vec<u64>,
    ends: Vec<u32>,
    payloads: Vec<u8>,
}

/// Why bytes are no body of a block.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The number of records is out of range.
    #[error("body of {0} records; 1 to 16384 are possible")]
    RecordCount(usize),
    /// The body is larger than a frame may hold.
    #[error("body of {0} bytes is larger than {BODY_SIZE_MAX}")]
    TooLarge(usize),
    /// The bytes are no valid archive.
    #[error("body is no valid archive of heads, states, ends and payloads")]
    Archive,
    /// The bytes are valid, but not the one encoding that the counts dictate.
    #[error("body of {0} bytes is not in the one valid layout")]
    Layout(usize),
    /// A payload's end or size does not fit its head.
    #[error("payload {index} does not fit its head or its neighbours")]
    Payload {
        /** The record's index in the block. */
        index: usize,
    },
}

impl BodyError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(self) -> &'static str {
        match self {
            Self::RecordCount(_) => "body.record_count",
            Self::TooLarge(_) => "body.too_large",
            Self::Archive => "body.archive",
            Self::Layout(_) => "body.layout",
            Self::Payload { .. } => "body.payload",
        }
    }
}

/// Where the parts of a body lie.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BodyLayout {
    record_count: usize,
    payload_bytes: usize,
}

impl BodyLayout {
    /// Layout for so many records whose payloads are so many bytes together.
    ///
    /// # Errors
    ///
    /// [`BodyError`] if there are none or too many, or they do not fit a frame.
    pub fn new(record_count: usize, payload_bytes: usize) -> Result<Self, BodyError> {
        if !(1..=BLOCK_RECORD_COUNT_MAX).contains(&record_count) {
            return Err(BodyError::RecordCount(record_count));
        }
        if BODY_SIZE_MAX < payload_bytes {
            return Err(BodyError::TooLarge(payload_bytes));
        }
        let layout = Self { record_count, payload_bytes };
        if BODY_SIZE_MAX < layout.size() {
            return Err(BodyError::TooLarge(layout.size()));
        }
        Ok(layout)
    }

    /// Records there are.
    pub const fn record_count(self) -> usize {
        self.record_count
    }

    /// Bytes of all payloads together.
    pub const fn payload_bytes(self) -> usize {
        self.payload_bytes
    }

    /// Bytes of the body.
    pub const fn size(self) -> usize {
        self.root() + ROOT_SIZE
    }

    /// The layout of a body of so many bytes that ends with `tail` and holds so many records.
    ///
    /// For whoever reads a part of a body: the whole root is compared with what the counts dictate. Sizes of the payloads that are
    /// padded alike are not told apart by it, but by the last payload's end.
    ///
    /// # Errors
    ///
    /// [`BodyError`] if no such body ends so.
    pub fn of_tail(record_count: usize, body_size: usize, tail: &[u8]) -> Result<Self, BodyError> {
        let wrong = BodyError::Layout(body_size);
        let root = tail.last_chunk::<ROOT_SIZE>().ok_or(wrong)?;
        let payload_bytes = root.last_chunk::<4>().map_or(0, |length| u32::from_le_bytes(*length) as usize);
        let layout = Self::new(record_count, payload_bytes)?;
        if layout.size() == body_size && layout.root_bytes() == *root { Ok(layout) } else { Err(wrong) }
    }

    /// Bytes of some heads, from the body's start.
    pub const fn head_range(self, records: Range<usize>) -> Range<usize> {
        HEAD_SIZE * records.start..HEAD_SIZE * records.end
    }

    /// Bytes of the payloads' ends.
    pub const fn end_range(self) -> Range<usize> {
        self.ends()..self.payloads()
    }

    /// Bytes of the root, with which a body ends.
    pub const fn root_range(self) -> Range<usize> {
        self.root()..self.size()
    }

    /// Bytes of some of the payload bytes, these being counted from the first payload's start.
    pub const fn payload_range(self, payload: Range<usize>) -> Range<usize> {
        self.payloads() + payload.start..self.payloads() + payload.end
    }

    const fn states(self) -> usize {
        HEAD_SIZE * self.record_count
    }

    const fn ends(self) -> usize {
        self.states() + 8 * self.record_count
    }

    const fn payloads(self) -> usize {
        self.ends() + 4 * self.record_count
    }

    const fn root(self) -> usize {
        (self.payloads() + self.payload_bytes).next_multiple_of(4)
    }

    /// The root that the counts dictate: each pointer counts from its own place.
    fn root_bytes(self) -> [u8; ROOT_SIZE] {
        let parts = [
            (0, self.record_count),
            (self.states(), self.record_count),
            (self.ends(), self.record_count),
            (self.payloads(), self.payload_bytes),
        ];
        let mut bytes = [0; ROOT_SIZE];
        for (index, (pair, (start, count))) in bytes.chunks_exact_mut(8).zip(parts).enumerate() {
            // rkyv points the vectors of an empty slice at where they would have begun; ours are laid out so too.
            let offset = start as i64 - (self.root() + 8 * index) as i64;
            #[expect(clippy::cast_possible_truncation, reason = "a body is at most 4 MiB")]
            let (offset, count) = (offset as i32, count as u32);
            let mut fields = [0; 8];
            for (to, from) in fields.iter_mut().zip(offset.to_le_bytes().into_iter().chain(count.to_le_bytes())) {
                *to = from;
            }
            pair.copy_from_slice(&fields);
        }
        bytes
    }
}

/// Writes a body into a zeroed buffer, record by record.
#[derive(Debug)]
pub struct BodyWriter<'a> {
    layout: BodyLayout,
    bytes: &'a mut [u8],
    records: usize,
    payload_end: usize,
}

impl<'a> BodyWriter<'a> {
    /// Starts a body of this layout. All of `bytes` is written by [`BodyWriter::finish`]; it need not be zeroed.
    ///
    /// # Panics
    ///
    /// If `bytes` has not the layout's size: that is our own bug.
    pub fn new(layout: BodyLayout, bytes: &'a mut [u8]) -> Self {
        assert_eq!(bytes.len(), layout.size(), "the buffer is the layout's");
        Self { layout, bytes, records: 0, payload_end: 0 }
    }

    /// Adds a record behind those before.
    ///
    /// # Panics
    ///
    /// If there are more records or payload bytes than the layout says: that is our own bug.
    #[expect(clippy::indexing_slicing, reason = "the assertions bound every range by the layout's own size")]
    pub fn push(&mut self, head: &[u8; HEAD_SIZE], payload: &[u8]) {
        let (index, layout) = (self.records, self.layout);
        assert!(index < layout.record_count, "no more records than the layout says");
        let start = self.payload_end;
        let end = start + payload.len();
        assert!(end <= layout.payload_bytes, "no more payload than the layout says");
        self.bytes[HEAD_SIZE * index..][..HEAD_SIZE].copy_from_slice(head);
        self.bytes[layout.states() + 8 * index..][..8].fill(0);
        #[expect(clippy::cast_possible_truncation, reason = "a body is at most 4 MiB")]
        self.bytes[layout.ends() + 4 * index..][..4].copy_from_slice(&(end as u32).to_le_bytes());
        self.bytes[layout.payloads() + start..][..payload.len()].copy_from_slice(payload);
        self.records = index + 1;
        self.payload_end = end;
    }

    /// Writes the root.
    ///
    /// # Panics
    ///
    /// If records or payload bytes are missing: that is our own bug.
    #[expect(clippy::indexing_slicing, reason = "the layout's own offsets")]
    pub fn finish(self) {
        assert_eq!(self.records, self.layout.record_count, "every record was written");
        assert_eq!(self.payload_end, self.layout.payload_bytes, "every payload byte was written");
        let root = self.layout.root();
        self.bytes[self.layout.payloads() + self.payload_end..root].fill(0);
        self.bytes[root..].copy_from_slice(&self.layout.root_bytes());
    }
}

/// A valid body, in place.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    heads: &'a [[u8; HEAD_SIZE]],
    states: &'a [[u8; 8]],
    ends: &'a [[u8; 4]],
    payloads: &'a [u8],
}

impl<'a> Body<'a> {
    /// Checks bytes and gives access to the records in them. The bytes must start at a multiple of 8 in memory.
    ///
    /// # Errors
    ///
    /// [`BodyError`] if they are not the one valid encoding of some records.
    #[expect(clippy::indexing_slicing, reason = "the layout was compared with the length")]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BodyError> {
        if BODY_SIZE_MAX < bytes.len() {
            return Err(BodyError::TooLarge(bytes.len()));
        }
        let archive = rkyv::access::<ArchivedArchive, rkyv::rancor::Failure>(bytes).map_err(|_| BodyError::Archive)?;
        let layout = BodyLayout::new(archive.heads.len(), archive.payloads.len())?;
        let same_count = archive.states.len() == layout.record_count && archive.ends.len() == layout.record_count;
        if !same_count || bytes.len() != layout.size() || bytes[layout.root()..] != layout.root_bytes() {
            return Err(BodyError::Layout(bytes.len()));
        }
        let padding = layout.payloads() + layout.payload_bytes..layout.root();
        if bytes[padding].iter().any(|byte| *byte != 0) {
            return Err(BodyError::Layout(bytes.len()));
        }
        let body = Self::parsed(bytes, layout);
        body.check_payloads()?;
        Ok(body)
    }

    /// Access to the records in bytes that were parsed before and have this layout; looks at nothing again.
    ///
    /// # Panics
    ///
    /// If there are fewer bytes than the layout has: they are not those that were parsed, which is our own bug.
    #[expect(clippy::indexing_slicing, reason = "the caller's bytes have this layout")]
    pub fn parsed(bytes: &'a [u8], layout: BodyLayout) -> Self {
        Self {
            heads: bytes[..layout.states()].as_chunks().0,
            states: bytes[layout.states()..layout.ends()].as_chunks().0,
            ends: bytes[layout.ends()..layout.payloads()].as_chunks().0,
            payloads: &bytes[layout.payloads()..][..layout.payload_bytes],
        }
    }

    /// Where its parts lie.
    pub const fn layout(&self) -> BodyLayout {
        BodyLayout { record_count: self.heads.len(), payload_bytes: self.payloads.len() }
    }

    fn check_payloads(&self) -> Result<(), BodyError> {
        let mut start = 0;
        for (index, (head, end)) in self.heads.iter().zip(self.ends).enumerate() {
            let end = u32::from_le_bytes(*end) as usize;
            let size =
                head.get(92..96).and_then(|field| field.first_chunk::<4>()).map(|field| u32::from_le_bytes(*field));
            if end < start || self.payloads.len() < end || size.map(|size| size as usize) != Some(end - start) {
                return Err(BodyError::Payload { index });
            }
            start = end;
        }
        if start == self.payloads.len() { Ok(()) } else { Err(BodyError::Payload { index: self.heads.len() }) }
    }

    /// Records there are, at least one.
    pub const fn record_count(&self) -> usize {
        self.heads.len()
    }

    /// The head of a record, by its index in the block.
    pub fn head(&self, index: usize) -> Option<&'a [u8; HEAD_SIZE]> {
        self.heads.get(index)
    }

    /// The heads in order.
    pub const fn heads(&self) -> &'a [[u8; HEAD_SIZE]] {
        self.heads
    }

    /// The payload of a record, by its index in the block.
    pub fn payload(&self, index: usize) -> Option<&'a [u8]> {
        let end = u32::from_le_bytes(*self.ends.get(index)?) as usize;
        let start = index
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .map_or(0, |end| u32::from_le_bytes(*end) as usize);
        self.payloads.get(start..end)
    }

    /// The state of a record's payload: 0 present, else the seq of the record that destroyed it.
    pub fn state(&self, index: usize) -> Option<u64> {
        self.states.get(index).map(|state| u64::from_le_bytes(*state))
    }

    /// Bytes of all payloads together.
    pub const fn payload_bytes(&self) -> usize {
        self.payloads.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn head(payload: &[u8], fill: u8) -> [u8; HEAD_SIZE] {
        let mut head = [fill; HEAD_SIZE];
        head[92..96].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        head
    }

    fn write(payloads: &[Vec<u8>]) -> rkyv::util::AlignedVec {
        let layout = BodyLayout::new(payloads.len(), payloads.iter().map(Vec::len).sum()).unwrap();
        let mut bytes = rkyv::util::AlignedVec::<16>::new();
        bytes.resize(layout.size(), 0xEE);
        let mut writer = BodyWriter::new(layout, &mut bytes);
        for (index, payload) in payloads.iter().enumerate() {
            writer.push(&head(payload, index as u8), payload);
        }
        writer.finish();
        bytes
    }

    proptest! {
        #[test]
        fn equals_rkyv_and_reads_back(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..20)) {
            let bytes = write(&payloads);
            let mut ends = Vec::new();
            for payload in &payloads {
                ends.push(ends.last().copied().unwrap_or(0) + payload.len() as u32);
            }
            let archive = Archive {
                heads: payloads.iter().enumerate().map(|(index, payload)| head(payload, index as u8)).collect(),
                states: vec![0; payloads.len()],
                ends,
                payloads: payloads.concat(),
            };
            let theirs = rkyv::to_bytes::<rkyv::rancor::Error>(&archive).unwrap();
            prop_assert_eq!(&bytes[..], &theirs[..]);
            let body = Body::parse(&bytes).unwrap();
            for (index, payload) in payloads.iter().enumerate() {
                prop_assert_eq!(body.payload(index).unwrap(), &payload[..]);
                prop_assert_eq!(body.head(index).unwrap(), &head(payload, index as u8));
                prop_assert_eq!(body.state(index), Some(0));
            }
        }

        #[test]
        fn damaged_layout_is_refused(at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let mut bytes = write(&[vec![1, 2, 3], vec![], vec![4; 10]]);
            let layout = BodyLayout::new(3, 13).unwrap();
            // Ends, padding and root: the bytes that only the layout vouches for.
            let fragile: Vec<usize> = (layout.ends()..layout.payloads()).chain(layout.payloads() + 13..layout.size()).collect();
            let place = fragile[at.index(fragile.len())];
            bytes[place] ^= 1 << bit;
            prop_assert!(Body::parse(&bytes).is_err());
        }
    }

    #[test]
    fn the_tail_gives_the_layout_and_where_everything_lies() {
        let payloads = [vec![1, 2, 3], vec![], vec![4; 10]];
        let mut bytes = write(&payloads);
        let (size, tail) = (bytes.len(), bytes.len() - 40);
        let layout = BodyLayout::of_tail(3, size, &bytes[tail..]).unwrap();
        assert_eq!(layout, Body::parse(&bytes).unwrap().layout());
        assert_eq!(bytes[layout.head_range(1..2)], head(&payloads[1], 1));
        assert_eq!(bytes[layout.payload_range(3..13)], payloads[2]);
        assert_eq!((layout.end_range().len(), layout.root_range()), (12, size - 32..size));
        assert_eq!(Body::parsed(&bytes, layout).payload(2), Some(&payloads[2][..]));
        assert_eq!(BodyLayout::of_tail(2, size, &bytes[tail..]), Err(BodyError::Layout(size)));
        assert_eq!(BodyLayout::of_tail(3, size + 4, &bytes[tail..]), Err(BodyError::Layout(size + 4)));
        assert_eq!(BodyLayout::of_tail(3, size, &bytes[size - 31..]), Err(BodyError::Layout(size)));
        for bit in 0..32 * 8 {
            bytes[size - 32 + bit / 8] ^= 1 << (bit % 8);
            // Payloads of another size that is padded to the same: the last end, which has to equal it, tells them apart.
            let found = BodyLayout::of_tail(3, size, &bytes[tail..]);
            assert!(found.is_err() || found.unwrap().payload_bytes().abs_diff(13) < 4, "bit {bit} of the root");
            assert_ne!(found, Ok(layout));
            bytes[size - 32 + bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(BodyLayout::new(0, 0), Err(BodyError::RecordCount(0)));
        assert_eq!(BodyLayout::new(16_385, 0), Err(BodyError::RecordCount(16_385)));
        assert_eq!(BodyLayout::new(1, usize::MAX), Err(BodyError::TooLarge(usize::MAX)));
        assert!(BodyLayout::new(1, 1_048_608).is_ok());
    }
}
