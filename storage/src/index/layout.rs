//! The header page of an index file, its sections and its page sums.
//!
//! A file is the header page and four sections, each of whole pages. A page is 4,088 bytes of entries, then XXH3-64 of
//! them, seeded by the lookup key and the page's number, so a page that was put elsewhere is damaged too. Where the sections
//! lie and how long the file is follows from the counts; the header says it all the same, and parsing compares. So every
//! number in a header was compared with the file's length before anything is sized by it.
//!
//! Source: `docs/FORMAT.md`, "Index file". No I/O here.

use annals_core::hash::{BlockHash, LedgerId};
use annals_core::limits::{BLOCK_RECORD_COUNT_MAX, NUMBER_MAX, PAGE_SIZE};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::fields::{all_zero, array, number_u64, part, put};
use crate::frame::FrameChecksum;
use crate::index::author::AUTHOR_ENTRY_SIZE;
use crate::index::{IndexDamage, LookupKey};

const MAGIC: &[u8; 4] = b"ANX1";
const LEDGER_AT: usize = 8;
const SEGMENT_AT: usize = 40;
const FIRST_SEQ_AT: usize = 48;
const RECORD_COUNT_AT: usize = 56;
const FIRST_HEIGHT_AT: usize = 64;
const BLOCK_COUNT_AT: usize = 72;
const NEWEST_BLOCK_AT: usize = 80;
const END_CHECKSUM_AT: usize = 112;
const LOOKUP_KEY_AT: usize = 144;
const AUTHOR_COUNT_AT: usize = 160;
const SECTIONS_AT: usize = 168;
const ZERO_AT: usize = SECTIONS_AT + 16 * SECTION_COUNT;
const SUM_AT: usize = PAGE_SIZE - 32;
const SECTION_COUNT: usize = 4;
/// Bytes of entries in a page; the page's sum follows.
pub(super) const PAGE_CONTENT_SIZE: usize = PAGE_SIZE - 8;
/// Bytes of an entry of the block table, and of a (fingerprint, seq) pair.
pub(super) const PAIR_SIZE: usize = 16;

/// What an index file says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IndexHeader {
    /// The ledger.
    pub ledger: LedgerId,
    /// Number of the segment.
    pub segment: u64,
    /// Seq of the segment's first record; the next one if it has none.
    pub first_seq: u64,
    /// Records in the segment.
    pub record_count: u64,
    /// Height of the segment's first block; the next one if it has none.
    pub first_height: u64,
    /// Blocks in the segment.
    pub block_count: u64,
    /// Hash of the newest block that the index covers; zero if there is none up to here.
    pub newest_block: BlockHash,
    /// Checksum of the segment's end frame; zero if it was not known.
    pub end_checksum: FrameChecksum,
    /// Key of fingerprints and page sums.
    pub lookup_key: LookupKey,
    /// Authors with an entry.
    pub author_count: u64,
}

/// One kind of entries in a file: where its pages are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    /// Number of its first page in the file.
    pub(super) first_page: u64,
    /// Pages.
    pub(super) page_count: u64,
    /// Entries.
    pub(super) entry_count: u64,
    /// Bytes of an entry.
    pub(super) entry_size: usize,
}

impl Section {
    /// Entries of a full page.
    pub(super) const fn page_entry_count(&self) -> u64 {
        (PAGE_CONTENT_SIZE / self.entry_size) as u64
    }

    /// Entries in the section's page `at`, counted from 0.
    pub(super) const fn entries_in(&self, at: u64) -> u64 {
        let left = self.entry_count.saturating_sub(at.saturating_mul(self.page_entry_count()));
        if left < self.page_entry_count() { left } else { self.page_entry_count() }
    }
}

/// The sections of a file, in their order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sections {
    pub(super) blocks: Section,
    pub(super) record_ids: Section,
    pub(super) nonces: Section,
    pub(super) authors: Section,
    /// Bytes of the whole file.
    pub(super) file_size: u64,
}

impl IndexHeader {
    /// The seq behind the segment's last.
    pub const fn next_seq(&self) -> u64 {
        self.first_seq.saturating_add(self.record_count)
    }

    /// The height behind the segment's last block.
    pub const fn next_height(&self) -> u64 {
        self.first_height.saturating_add(self.block_count)
    }

    /// Where the sections lie; `None` if the counts exceed what a file can hold.
    pub(super) fn sections(&self) -> Option<Sections> {
        let mut next_page = 1_u64;
        let mut place = |entry_count: u64, entry_size: usize| {
            let page_count = entry_count.div_ceil((PAGE_CONTENT_SIZE / entry_size) as u64);
            let section = Section { first_page: next_page, page_count, entry_count, entry_size };
            next_page = next_page.checked_add(page_count)?;
            Some(section)
        };
        let blocks = place(self.block_count, PAIR_SIZE)?;
        let record_ids = place(self.record_count, PAIR_SIZE)?;
        let nonces = place(self.record_count, PAIR_SIZE)?;
        let authors = place(self.author_count, AUTHOR_ENTRY_SIZE)?;
        let file_size = next_page.checked_mul(PAGE_SIZE as u64)?;
        Some(Sections { blocks, record_ids, nonces, authors, file_size })
    }

    /// Whether the counts go together.
    fn is_consistent(&self) -> bool {
        let records_max = self.block_count.saturating_mul(BLOCK_RECORD_COUNT_MAX as u64);
        self.block_count <= self.record_count
            && self.record_count <= records_max
            && self.next_seq() <= NUMBER_MAX
            && self.next_height() <= NUMBER_MAX
    }

    /// Encodes the header page for these sections, which are its own.
    pub(super) fn encode(&self, sections: &Sections) -> [u8; PAGE_SIZE] {
        let mut page = [0; PAGE_SIZE];
        put(&mut page, 0, MAGIC);
        put(&mut page, LEDGER_AT, self.ledger.as_bytes());
        put(&mut page, SEGMENT_AT, &self.segment.to_le_bytes());
        put(&mut page, FIRST_SEQ_AT, &self.first_seq.to_le_bytes());
        put(&mut page, RECORD_COUNT_AT, &self.record_count.to_le_bytes());
        put(&mut page, FIRST_HEIGHT_AT, &self.first_height.to_le_bytes());
        put(&mut page, BLOCK_COUNT_AT, &self.block_count.to_le_bytes());
        put(&mut page, NEWEST_BLOCK_AT, self.newest_block.as_bytes());
        put(&mut page, END_CHECKSUM_AT, self.end_checksum.as_bytes());
        put(&mut page, LOOKUP_KEY_AT, &self.lookup_key.0);
        put(&mut page, AUTHOR_COUNT_AT, &self.author_count.to_le_bytes());
        put(&mut page, SECTIONS_AT, &section_table(sections));
        let sum = blake3::hash(part(&page, 0, SUM_AT));
        put(&mut page, SUM_AT, sum.as_bytes());
        page
    }

    /// Parses the header page of a file of `file_size` bytes; every byte of the page is checked.
    pub(super) fn parse(page: &[u8; PAGE_SIZE], file_size: u64) -> Result<(Self, Sections), IndexDamage> {
        let magic = array(page, 0);
        if magic != *MAGIC {
            return Err(IndexDamage::Magic { found: magic });
        }
        let (expected, found) = (*blake3::hash(part(page, 0, SUM_AT)).as_bytes(), array(page, SUM_AT));
        if expected != found {
            return Err(IndexDamage::Checksum { expected, found });
        }
        if !all_zero(part(page, MAGIC.len(), LEDGER_AT)) || !all_zero(part(page, ZERO_AT, SUM_AT)) {
            return Err(IndexDamage::Reserved);
        }
        let header = Self {
            ledger: LedgerId::from_bytes(array(page, LEDGER_AT)),
            segment: number_u64(page, SEGMENT_AT),
            first_seq: number_u64(page, FIRST_SEQ_AT),
            record_count: number_u64(page, RECORD_COUNT_AT),
            first_height: number_u64(page, FIRST_HEIGHT_AT),
            block_count: number_u64(page, BLOCK_COUNT_AT),
            newest_block: BlockHash::from_bytes(array(page, NEWEST_BLOCK_AT)),
            end_checksum: FrameChecksum::from_bytes(array(page, END_CHECKSUM_AT)),
            lookup_key: LookupKey(array(page, LOOKUP_KEY_AT)),
            author_count: number_u64(page, AUTHOR_COUNT_AT),
        };
        let sections = header.sections().ok_or(IndexDamage::Counts)?;
        if !header.is_consistent() || part(page, SECTIONS_AT, ZERO_AT) != section_table(&sections) {
            return Err(IndexDamage::Counts);
        }
        if sections.file_size != file_size {
            return Err(IndexDamage::Length { found: file_size, needed: sections.file_size });
        }
        Ok((header, sections))
    }
}

/// Offset and length in bytes of each section.
fn section_table(sections: &Sections) -> [u8; 16 * SECTION_COUNT] {
    let mut table = [0; 16 * SECTION_COUNT];
    let all = [sections.blocks, sections.record_ids, sections.nonces, sections.authors];
    for (index, section) in all.iter().enumerate() {
        // No overflow: a file size in bytes exists.
        put(&mut table, 16 * index, &(section.first_page * PAGE_SIZE as u64).to_le_bytes());
        put(&mut table, 16 * index + 8, &(section.page_count * PAGE_SIZE as u64).to_le_bytes());
    }
    table
}

/// The sum that stands at the end of the page with this number in the file.
pub(super) fn page_sum(key: &LookupKey, number: u64, page: &[u8; PAGE_SIZE]) -> u64 {
    xxh3_64_with_seed(part(page, 0, PAGE_CONTENT_SIZE), key.seed() ^ number)
}

/// The sum that a page carries.
pub(super) fn stored_sum(page: &[u8; PAGE_SIZE]) -> u64 {
    number_u64(page, PAGE_CONTENT_SIZE)
}
