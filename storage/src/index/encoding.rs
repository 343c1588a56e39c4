//! An index file, made and written some entries at a time.
//!
//! A large segment's index takes tens of milliseconds to merge, and as many to write down. Whoever does that looks after more
//! urgent things between two steps; the bytes are the same whatever the steps were.

use annals_core::limits::PAGE_SIZE;

use crate::disk::DiskError;
use crate::fields::put;
use crate::index::layout::{PAGE_CONTENT_SIZE, page_sum};
use crate::index::open::{BlockRow, Merge, Pair};
use crate::index::store::{IndexStore, WriteIndex};
use crate::index::{IndexError, LookupKey, PendingIndexFile};

/// Bytes that are written and synced at a time.
const WRITTEN_AT_ONCE: usize = 512 << 10;

/// The section that is being made.
#[derive(Debug)]
enum Section {
    Blocks,
    RecordIds(Merge),
    Nonces(Merge),
    Authors,
    Done,
}

/// The bytes of an index file as they are made.
#[derive(Debug)]
pub(super) struct Encoding {
    pending: PendingIndexFile,
    section: Section,
    /// Entries of the section that were made.
    made: usize,
    pages: Pages,
}

impl Encoding {
    /// Begins the file of a sealed index.
    pub(super) fn new(pending: &PendingIndexFile) -> Self {
        let (_, header, sections, _) = pending.sealed();
        let mut pages = Pages::new(header.lookup_key);
        pages.push_page(header.encode(sections));
        Self { pending: pending.clone(), section: Section::Blocks, made: 0, pages }
    }

    /// Makes about so many more entries, at least one; whether all are made.
    pub(super) fn step(&mut self, entry_count: usize) -> bool {
        let Self { pending, section, made, pages } = self;
        let (index, _, sections, authors) = pending.sealed();
        let contents = index.contents();
        let (before, count) = (*made, entry_count.max(1));
        let next = match section {
            Section::Blocks => {
                contents.blocks.iter().skip(before).take(count).for_each(|row| pages.push_entry(encode_row(row)));
                *made = before.saturating_add(count).min(contents.blocks.len());
                (*made == contents.blocks.len()).then(|| Section::RecordIds(Merge::new(&contents.record_ids)))
            }
            Section::RecordIds(merge) => {
                merge.take(&contents.record_ids, count, |pair| pages.push_entry(encode_pair(pair)));
                merge.is_done().then(|| Section::Nonces(Merge::new(&contents.nonces)))
            }
            Section::Nonces(merge) => {
                merge.take(&contents.nonces, count, |pair| pages.push_entry(encode_pair(pair)));
                merge.is_done().then_some(Section::Authors)
            }
            Section::Authors => {
                authors.iter().skip(before).take(count).for_each(|author| pages.push_entry(author.encode()));
                *made = before.saturating_add(count).min(authors.len());
                (*made == authors.len()).then_some(Section::Done)
            }
            Section::Done => return true,
        };
        if let Some(next) = next {
            pages.end_section();
            (*section, *made) = (next, 0);
        }
        let is_done = matches!(section, Section::Done);
        assert!(
            !is_done || pages.count * PAGE_SIZE as u64 == sections.file_size,
            "the sections are where the header says"
        );
        is_done
    }

    /// The bytes that were made since this was last asked, whole pages.
    pub(super) fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pages.bytes)
    }
}

/// An index file that is being written.
#[derive(Debug)]
pub struct WritingIndex {
    encoding: Encoding,
    file: Box<dyn WriteIndex>,
}

impl WritingIndex {
    /// Begins the file of a sealed index.
    ///
    /// # Errors
    ///
    /// [`IndexError::Write`]; the index in memory goes on answering.
    pub(super) fn begin(pending: &PendingIndexFile, store: &dyn IndexStore) -> Result<Self, IndexError> {
        let file = store.begin(pending.segment()).map_err(|source| failed(pending, source))?;
        Ok(Self { encoding: Encoding::new(pending), file })
    }

    /// The index whose file it is.
    pub const fn pending(&self) -> &PendingIndexFile {
        &self.encoding.pending
    }

    /// Makes about so many more entries, at least one, and writes them once there are enough of them. Returns what is left to
    /// do; none once the file is there.
    ///
    /// # Errors
    ///
    /// [`IndexError::Write`]; the index in memory goes on answering.
    ///
    /// # Panics
    ///
    /// If the sections are not where the header says: that is our own bug.
    pub fn step(mut self, entry_count: usize) -> Result<Option<Self>, IndexError> {
        let is_done = self.encoding.step(entry_count);
        if is_done || WRITTEN_AT_ONCE <= self.encoding.pages.bytes.len() {
            let bytes = self.encoding.take_bytes();
            self.file.append(&bytes).map_err(|source| failed(self.pending(), source))?;
        }
        if !is_done {
            return Ok(Some(self));
        }
        let Self { encoding, file } = self;
        file.finish().map_err(|source| failed(&encoding.pending, source))?;
        Ok(None)
    }
}

fn failed(pending: &PendingIndexFile, source: DiskError) -> IndexError {
    IndexError::Write { segment: pending.header().segment, source }
}

fn encode_row(row: &BlockRow) -> [u8; 16] {
    let mut bytes = [0; 16];
    put(&mut bytes, 0, &row.first_seq.to_le_bytes());
    put(&mut bytes, 8, &row.offset_pages.to_le_bytes());
    put(&mut bytes, 12, &row.record_count.to_le_bytes());
    bytes
}

fn encode_pair((fingerprint, seq): Pair) -> [u8; 16] {
    let mut bytes = [0; 16];
    put(&mut bytes, 0, &fingerprint.to_le_bytes());
    put(&mut bytes, 8, &seq.to_le_bytes());
    bytes
}

/// The pages of a file as they are made.
#[derive(Debug)]
struct Pages {
    key: LookupKey,
    /// Whole pages that nobody has taken yet.
    bytes: Vec<u8>,
    /// Pages made so far.
    count: u64,
    /// The page that is being filled, and how far it is.
    page: [u8; PAGE_SIZE],
    used: usize,
}

impl Pages {
    const fn new(key: LookupKey) -> Self {
        Self { key, bytes: Vec::new(), count: 0, page: [0; PAGE_SIZE], used: 0 }
    }

    fn push_page(&mut self, page: [u8; PAGE_SIZE]) {
        self.bytes.extend_from_slice(&page);
        self.count += 1;
    }

    /// Adds an entry to the section.
    fn push_entry<const N: usize>(&mut self, entry: [u8; N]) {
        if PAGE_CONTENT_SIZE < self.used + N {
            self.push_summed();
        }
        put(&mut self.page, self.used, &entry);
        self.used += N;
    }

    /// The next section starts with a page; the last page of this one is filled with zeros.
    fn end_section(&mut self) {
        if 0 < self.used {
            self.push_summed();
        }
    }

    fn push_summed(&mut self) {
        let mut page = std::mem::replace(&mut self.page, [0; PAGE_SIZE]);
        self.used = 0;
        let sum = page_sum(&self.key, self.count, &page);
        put(&mut page, PAGE_CONTENT_SIZE, &sum.to_le_bytes());
        self.push_page(page);
    }
}
