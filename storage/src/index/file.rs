//! Lookups in one index file.
//!
//! Every lookup finds its page the same way: guess by interpolation between the keys known at both ends, read, verify,
//! and narrow; after a few guesses bisect, so that keys in clusters cost a logarithm and no more. Fingerprints of honest
//! records are uniform, so the first guess is off by about half the square root of the entries, and the second, from
//! the nearer end, by a page at most (interpolation search: Perl, Itai, Avni, CACM 21, 1978). Entries of equal
//! fingerprint may cross pages; then the neighbours are read as well.

use core::cmp::Ordering;
use std::sync::Arc;

use annals_core::hash::{AuthorId, LedgerId, RecordId};
use annals_core::limits::PAGE_SIZE;

use crate::fields::{all_zero, number_u32, number_u64, part};
use crate::index::author::{author_position, compare_author, entry_position};
use crate::index::layout::{PAGE_CONTENT_SIZE, PAIR_SIZE, Section, Sections, page_sum, stored_sum};
use crate::index::store::ReadAt;
use crate::index::{AuthorEntry, BlockLocation, IndexDamage, IndexError, IndexHeader, record_fingerprint};

/// Guesses before a search bisects.
const GUESS_COUNT: u32 = 4;

/// An index file whose header was verified; its pages are verified as they are read.
#[derive(Debug)]
pub(super) struct IndexFile {
    header: IndexHeader,
    sections: Sections,
    source: Arc<dyn ReadAt>,
}

/// A verified page of one section.
struct Page {
    bytes: [u8; PAGE_SIZE],
    entry_size: usize,
    /// Bytes in use.
    used: usize,
}

impl Page {
    fn entries(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        part(&self.bytes, 0, self.used).chunks_exact(self.entry_size)
    }
}

/// What a search looks for in a sorted section.
trait Target {
    /// Positions that entries have at least and at most, as far as is known beforehand.
    fn range(&self) -> (u64, u64);
    /// The target's own position.
    fn position(&self) -> u64;
    /// The position of an entry: a number that never falls from entry to entry.
    fn position_of(&self, entry: &[u8]) -> u64;
    /// How an entry compares with the target.
    fn compare(&self, entry: &[u8]) -> Ordering;
}

struct SeqTarget {
    seq: u64,
    first: u64,
    last: u64,
}

impl Target for SeqTarget {
    fn range(&self) -> (u64, u64) {
        (self.first, self.last)
    }

    fn position(&self) -> u64 {
        self.seq
    }

    fn position_of(&self, entry: &[u8]) -> u64 {
        number_u64(entry, 0)
    }

    fn compare(&self, entry: &[u8]) -> Ordering {
        let first = number_u64(entry, 0);
        if self.seq < first {
            Ordering::Greater
        } else if self.seq - first < u64::from(number_u32(entry, 12)) {
            Ordering::Equal
        } else {
            Ordering::Less
        }
    }
}

struct FingerprintTarget(u64);

impl Target for FingerprintTarget {
    fn range(&self) -> (u64, u64) {
        (0, u64::MAX)
    }

    fn position(&self) -> u64 {
        self.0
    }

    fn position_of(&self, entry: &[u8]) -> u64 {
        number_u64(entry, 0)
    }

    fn compare(&self, entry: &[u8]) -> Ordering {
        number_u64(entry, 0).cmp(&self.0)
    }
}

struct AuthorTarget<'a> {
    suite: u8,
    author: &'a AuthorId,
}

impl Target for AuthorTarget<'_> {
    /// Nearly always all authors are of one suite; where not, the first page read corrects this.
    fn range(&self) -> (u64, u64) {
        (author_position(self.suite, &[0; 8]), author_position(self.suite, &[0xff; 8]))
    }

    fn position(&self) -> u64 {
        author_position(self.suite, self.author.as_bytes())
    }

    fn position_of(&self, entry: &[u8]) -> u64 {
        entry_position(entry)
    }

    fn compare(&self, entry: &[u8]) -> Ordering {
        compare_author(entry, self.suite, self.author)
    }
}

/// The page of `from..to` where `position` is expected, if positions are spread evenly from `low` to `high`.
fn interpolate(from: u64, to: u64, low: u64, high: u64, position: u64) -> u64 {
    let span = u128::from(high.saturating_sub(low)) + 1;
    let into = u128::from(position.saturating_sub(low)).min(span - 1);
    let steps = into * u128::from(to.saturating_sub(from)) / span;
    // `into` is below `span`, so the steps are below `to - from`.
    from.saturating_add(u64::try_from(steps).unwrap_or(u64::MAX))
}

impl IndexFile {
    /// Reads and verifies the header of the index of `segment`.
    pub(super) fn open(source: Arc<dyn ReadAt>, ledger: LedgerId, segment: u64) -> Result<Self, IndexError> {
        let damaged = |damage| IndexError::Damaged { segment, offset: 0, damage };
        let size = source.size();
        if size < PAGE_SIZE as u64 {
            return Err(damaged(IndexDamage::Length { found: size, needed: PAGE_SIZE as u64 }));
        }
        let mut page = [0; PAGE_SIZE];
        source.read_at(0, &mut page).map_err(|source| IndexError::Read { segment, source })?;
        let (header, sections) = IndexHeader::parse(&page, size).map_err(damaged)?;
        if header.ledger != ledger {
            return Err(damaged(IndexDamage::Ledger { expected: ledger, found: header.ledger }));
        }
        if header.segment != segment {
            return Err(damaged(IndexDamage::Segment { found: header.segment }));
        }
        Ok(Self { header, sections, source })
    }

    pub(super) const fn header(&self) -> &IndexHeader {
        &self.header
    }

    /// The block that holds a seq.
    pub(super) fn block_of_seq(&self, seq: u64) -> Result<Option<BlockLocation>, IndexError> {
        let (first, next) = (self.header.first_seq, self.header.next_seq());
        if seq < first || next <= seq {
            return Ok(None);
        }
        let target = SeqTarget { seq, first, last: next - 1 };
        let section = &self.sections.blocks;
        let Some((at, page)) = self.find_page(section, &target)? else {
            return Ok(None);
        };
        let found = page.entries().zip(0_u64..).find(|(entry, _)| target.compare(entry) == Ordering::Equal);
        Ok(found.map(|(entry, index)| self.location(entry, at * section.page_entry_count() + index)))
    }

    /// The block of a height.
    pub(super) fn block_of_height(&self, height: u64) -> Result<Option<BlockLocation>, IndexError> {
        let section = &self.sections.blocks;
        let Some(index) = height.checked_sub(self.header.first_height).filter(|index| *index < section.entry_count)
        else {
            return Ok(None);
        };
        let page = self.read_page(section, index / section.page_entry_count())?;
        let within = usize::try_from(index % section.page_entry_count()).unwrap_or(usize::MAX);
        let found = page.entries().nth(within);
        Ok(found.map(|entry| self.location(entry, index)))
    }

    /// The seqs of all records with this id's fingerprint, rising.
    pub(super) fn find_record_id(&self, record_id: &RecordId) -> Result<Vec<u64>, IndexError> {
        self.find_fingerprint(&self.sections.record_ids, record_fingerprint(record_id))
    }

    /// The seqs of all records with this nonce's fingerprint, rising.
    pub(super) fn find_nonce(&self, suite: u8, author: &AuthorId, nonce: u64) -> Result<Vec<u64>, IndexError> {
        let fingerprint = self.header.lookup_key.nonce_fingerprint(suite, author, nonce);
        self.find_fingerprint(&self.sections.nonces, fingerprint)
    }

    /// The entry of an author.
    pub(super) fn author(&self, suite: u8, author: &AuthorId) -> Result<Option<AuthorEntry>, IndexError> {
        let target = AuthorTarget { suite, author };
        let section = &self.sections.authors;
        let Some((at, page)) = self.find_page(section, &target)? else {
            return Ok(None);
        };
        let Some(entry) = page.entries().find(|entry| target.compare(entry) == Ordering::Equal) else {
            return Ok(None);
        };
        match AuthorEntry::parse(entry) {
            Some(entry) => Ok(Some(entry)),
            None => Err(self.damaged(section.first_page + at, IndexDamage::Author)),
        }
    }

    fn location(&self, entry: &[u8], index: u64) -> BlockLocation {
        BlockLocation {
            segment: self.header.segment,
            offset: u64::from(number_u32(entry, 8)) * PAGE_SIZE as u64,
            height: self.header.first_height.saturating_add(index),
            first_seq: number_u64(entry, 0),
            record_count: number_u32(entry, 12),
        }
    }

    fn find_fingerprint(&self, section: &Section, fingerprint: u64) -> Result<Vec<u64>, IndexError> {
        let Some((found_at, page)) = self.find_page(section, &FingerprintTarget(fingerprint))? else {
            return Ok(Vec::new());
        };
        let matches = |entry: &&[u8]| number_u64(entry, 0) == fingerprint;
        let seqs_of =
            |page: &Page| page.entries().filter(matches).map(|entry| number_u64(entry, 8)).collect::<Vec<_>>();
        let mut seqs = seqs_of(&page);
        let (mut first_matches, mut last_matches) = (
            page.entries().next().is_some_and(|e| matches(&e)),
            page.entries().next_back().is_some_and(|e| matches(&e)),
        );
        let mut before = found_at;
        while first_matches && 0 < before {
            before -= 1;
            let page = self.read_page(section, before)?;
            seqs.extend(seqs_of(&page));
            first_matches = page.entries().next().is_some_and(|entry| matches(&entry));
        }
        let mut after = found_at + 1;
        while last_matches && after < section.page_count {
            let page = self.read_page(section, after)?;
            seqs.extend(seqs_of(&page));
            last_matches = page.entries().next_back().is_some_and(|entry| matches(&entry));
            after += 1;
        }
        seqs.sort_unstable();
        Ok(seqs)
    }

    /// The page whose first entry is not above the target and whose last is not below it.
    fn find_page(&self, section: &Section, target: &impl Target) -> Result<Option<(u64, Page)>, IndexError> {
        let (mut from, mut to) = (0, section.page_count);
        let (mut low, mut high) = target.range();
        let mut guesses = 0..GUESS_COUNT;
        while from < to {
            let at = match guesses.next() {
                Some(_) => interpolate(from, to, low, high, target.position()),
                None => from + (to - from) / 2,
            };
            let page = self.read_page(section, at)?;
            let (mut ends, mut rest) = (page.entries(), page.entries());
            let (Some(first), Some(last)) = (ends.next(), rest.next_back()) else {
                return Ok(None);
            };
            if target.compare(first) == Ordering::Greater {
                (to, high) = (at, target.position_of(first));
            } else if target.compare(last) == Ordering::Less {
                (from, low) = (at + 1, target.position_of(last));
            } else {
                drop((ends, rest));
                return Ok(Some((at, page)));
            }
        }
        Ok(None)
    }

    /// Reads and verifies a page of a section, counted from 0.
    fn read_page(&self, section: &Section, at: u64) -> Result<Page, IndexError> {
        let number = section.first_page + at;
        let mut bytes = [0; PAGE_SIZE];
        let offset = number * PAGE_SIZE as u64;
        let segment = self.header.segment;
        self.source.read_at(offset, &mut bytes).map_err(|source| IndexError::Read { segment, source })?;
        let (expected, found) = (page_sum(&self.header.lookup_key, number, &bytes), stored_sum(&bytes));
        if expected != found {
            return Err(self.damaged(number, IndexDamage::PageSum { expected, found }));
        }
        let used = usize::try_from(section.entries_in(at)).unwrap_or(usize::MAX).saturating_mul(section.entry_size);
        if !all_zero(part(&bytes, used, PAGE_CONTENT_SIZE)) {
            return Err(self.damaged(number, IndexDamage::Reserved));
        }
        Ok(Page { bytes, entry_size: section.entry_size, used })
    }

    fn damaged(&self, page: u64, damage: IndexDamage) -> IndexError {
        IndexError::Damaged { segment: self.header.segment, offset: page * PAGE_SIZE as u64, damage }
    }
}

const _: () = assert!(PAGE_CONTENT_SIZE / PAIR_SIZE == 255, "pages hold 255 pairs");
