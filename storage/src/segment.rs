//! The static first page of a segment: which ledger, which number, which size, and the segment's random key.
//!
//! It is written once, before the segment is used, and never again. The key makes the checksums of the frames in the
//! segment unforgeable by a payload: whoever submits records does not know it, so no payload imitates a frame. The key
//! is no secret from the operator. This module is pure; the disk creates the file.
//!
//! ```text
//! | magic ANS1 4 | 0 4 | ledger 32 | number 8 | size 8 | key 32 | zeros 3,976 | BLAKE3 of bytes 0..4064 32 |
//! ```
//!
//! Source: `docs/FORMAT.md`, "Segment".

use core::fmt;

use annals_core::hash::{Hex, LedgerId};
use annals_core::limits::{PAGE_SIZE, SEGMENT_SIZE_MAX, SEGMENT_SIZE_MIN};

use crate::fields::{array, first_nonzero, is_later, number_u64, part, put};

const MAGIC: &[u8; 4] = b"ANS1";
const LEDGER_AT: usize = 8;
const NUMBER_AT: usize = 40;
const SIZE_AT: usize = 48;
const KEY_AT: usize = 56;
const ZERO_AT: usize = 88;
const SUM_AT: usize = PAGE_SIZE - 32;

/// Offset of the first frame of a segment, in bytes.
pub const FIRST_FRAME_OFFSET: u64 = PAGE_SIZE as u64;

/// Why a page is not the first page of a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// The input is not one page.
    #[error("first page of a segment is {PAGE_SIZE} bytes, got {got}")]
    Length {
        /** Bytes there are. */
        got: usize,
    },
    /// The first four bytes are not `ANS1`.
    #[error("not a segment: the first four bytes are {found:02x?}, not ANS1")]
    Magic {
        /** What they are. */
        found: [u8; 4],
    },
    /// The first four bytes are those of a later layout.
    #[error("a segment of a newer format, {}, where this build knows ANS1: use a newer annals", found.escape_ascii())]
    Newer {
        /** What they are. */
        found: [u8; 4],
    },
    /// The page's checksum does not hold.
    #[error("checksum of the first page is {found}, computed {expected}", found = Hex(found), expected = Hex(expected))]
    Checksum {
        /** Computed from the page. */
        expected: [u8; 32],
        /** Stored in the page. */
        found: [u8; 32],
    },
    /// A byte that is kept zero is not.
    #[error("byte {offset} of the first page is not zero")]
    Reserved {
        /** Its offset in bytes. */
        offset: usize,
    },
    /// The size is not a power of two in the range that the format allows.
    #[error("segment size {found} bytes is no power of two from {SEGMENT_SIZE_MIN} to {SEGMENT_SIZE_MAX}")]
    Size {
        /** The size that the page says. */
        found: u64,
    },
}

impl SegmentError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Length { .. } => "segment.length",
            Self::Magic { .. } => "segment.magic",
            Self::Newer { .. } => "segment.newer",
            Self::Checksum { .. } => "segment.checksum",
            Self::Reserved { .. } => "segment.reserved",
            Self::Size { .. } => "segment.size",
        }
    }
}

/// What the first page of a segment says.
#[derive(Clone, Eq, PartialEq)]
pub struct SegmentHeader {
    /// The ledger that the segment belongs to.
    pub ledger: LedgerId,
    /// Number of the segment, from 0.
    pub number: u64,
    /// Size of the file in bytes: a power of two, 2 MiB to 4 GiB.
    pub size: u64,
    /// Random key of the checksums in this segment.
    pub key: [u8; 32],
}

impl fmt::Debug for SegmentHeader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ledger, number, size, key: _ } = self;
        write!(formatter, "SegmentHeader {{ ledger: {ledger}, number: {number}, size: {size} }}")
    }
}

/// Whether a segment may have this size: a power of two, 2 MiB to 4 GiB.
pub const fn is_segment_size(size: u64) -> bool {
    size.is_power_of_two() && SEGMENT_SIZE_MIN <= size && size <= SEGMENT_SIZE_MAX
}

impl SegmentHeader {
    /// Seed of the 64-bit sums in this segment: the first 8 bytes of the key.
    pub fn seed(&self) -> u64 {
        number_u64(&self.key, 0)
    }

    /// Encodes the first page.
    ///
    /// # Panics
    ///
    /// If the size is none that a segment may have: that is our own bug.
    pub fn encode(&self) -> [u8; PAGE_SIZE] {
        assert!(is_segment_size(self.size), "a segment's size was checked where the option was read");
        let mut page = [0; PAGE_SIZE];
        put(&mut page, 0, MAGIC);
        put(&mut page, LEDGER_AT, self.ledger.as_bytes());
        put(&mut page, NUMBER_AT, &self.number.to_le_bytes());
        put(&mut page, SIZE_AT, &self.size.to_le_bytes());
        put(&mut page, KEY_AT, &self.key);
        let sum = blake3::hash(part(&page, 0, SUM_AT));
        put(&mut page, SUM_AT, sum.as_bytes());
        page
    }

    /// Parses the first page of a segment; every byte of it is checked.
    ///
    /// # Errors
    ///
    /// [`SegmentError`] naming what is wrong.
    pub fn parse(page: &[u8]) -> Result<Self, SegmentError> {
        if page.len() != PAGE_SIZE {
            return Err(SegmentError::Length { got: page.len() });
        }
        let magic = array(page, 0);
        if is_later(magic, *MAGIC) {
            return Err(SegmentError::Newer { found: magic });
        }
        if magic != *MAGIC {
            return Err(SegmentError::Magic { found: magic });
        }
        let (expected, found) = (*blake3::hash(part(page, 0, SUM_AT)).as_bytes(), array(page, SUM_AT));
        if expected != found {
            return Err(SegmentError::Checksum { expected, found });
        }
        for (from, to) in [(MAGIC.len(), LEDGER_AT), (ZERO_AT, SUM_AT)] {
            if let Some(at) = first_nonzero(part(page, from, to)) {
                return Err(SegmentError::Reserved { offset: from + at });
            }
        }
        let header = Self {
            ledger: LedgerId::from_bytes(array(page, LEDGER_AT)),
            number: number_u64(page, NUMBER_AT),
            size: number_u64(page, SIZE_AT),
            key: array(page, KEY_AT),
        };
        if !is_segment_size(header.size) {
            return Err(SegmentError::Size { found: header.size });
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader { ledger: LedgerId::from_bytes([7; 32]), number: 3, size: 2 << 20, key: [9; 32] }
    }

    #[test]
    fn page_is_the_documented_table() {
        let page = header().encode();
        let mut expected = vec![0_u8; 4064];
        expected[..4].copy_from_slice(b"ANS1");
        expected[8..40].fill(7);
        expected[40] = 3;
        expected[50] = 0x20;
        expected[56..88].fill(9);
        assert_eq!(page[..4064], expected);
        assert_eq!(page[4064..], *blake3::hash(&expected).as_bytes());
        assert_eq!(SegmentHeader::parse(&page), Ok(header()));
        assert_eq!(header().seed(), 0x0909_0909_0909_0909);
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let page = header().encode();
        for bit in 0..8 * PAGE_SIZE {
            let mut damaged = page;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::parse(&damaged).is_err(), "bit {bit}");
        }
    }

    fn resummed(change: impl Fn(&mut [u8])) -> Result<SegmentHeader, SegmentError> {
        let mut page = header().encode();
        change(&mut page);
        let sum = blake3::hash(&page[..SUM_AT]);
        page[SUM_AT..].copy_from_slice(sum.as_bytes());
        SegmentHeader::parse(&page)
    }

    #[test]
    fn fields_are_checked_behind_the_checksum() {
        assert_eq!(resummed(|page| page[5] = 1), Err(SegmentError::Reserved { offset: 5 }));
        assert_eq!(resummed(|page| page[4063] = 1), Err(SegmentError::Reserved { offset: 4063 }));
        for size in [0, 1 << 20, 3 << 20, 8 << 30] {
            let written = resummed(|page| page[48..56].copy_from_slice(&u64::to_le_bytes(size)));
            assert_eq!(written, Err(SegmentError::Size { found: size }));
        }
        assert_eq!(resummed(|page| page[3] = b'2'), Err(SegmentError::Newer { found: *b"ANS2" }));
        assert_eq!(resummed(|page| page[3] = b'0'), Err(SegmentError::Magic { found: *b"ANS0" }));
        assert_eq!(resummed(|page| page[3] = b'a'), Err(SegmentError::Magic { found: *b"ANSa" }));
        assert_eq!(SegmentHeader::parse(&[0; 512]), Err(SegmentError::Length { got: 512 }));
        assert_eq!(SegmentHeader::parse(&[0; 4096]), Err(SegmentError::Magic { found: [0; 4] }));
    }
}
