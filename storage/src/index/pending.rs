//! From an index in memory to an index file: what closing a segment adds.
//!
//! A sealed index changes no more. It answers from memory until its file is written, on whichever thread has time; the
//! file's bytes follow from the segment's contents and its authors alone, so a rebuilt file equals the first one.

use std::sync::Arc;

use crate::frame::FrameChecksum;
use crate::index::encoding::{Encoding, WritingIndex};
use crate::index::layout::Sections;
use crate::index::store::IndexStore;
use crate::index::{AuthorEntry, BlockEntry, IndexError, IndexHeader, LookupKey, OpenIndex};

/// Entries made at a time where nobody waits meanwhile.
const ENTRIES_AT_ONCE: usize = 65_536;
use annals_core::hash::{AuthorId, BlockHash, LedgerId};

/// What the end of a segment says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Closing {
    /// Hash of the newest block up to the segment's end; zero if there is none.
    pub newest_block: BlockHash,
    /// Checksum of the segment's end frame; zero if it is not known.
    pub end_checksum: FrameChecksum,
}

/// A sealed index that answers from memory and can be written. Clones share it.
#[derive(Clone, Debug)]
pub struct PendingIndexFile(Arc<Sealed>);

#[derive(Debug)]
struct Sealed {
    contents: Arc<OpenIndex>,
    header: IndexHeader,
    sections: Sections,
    /// Sorted by suite and key.
    authors: Vec<AuthorEntry>,
}

impl PendingIndexFile {
    /// Seals an index.
    ///
    /// # Panics
    ///
    /// If an author is named twice: the engine has one entry an author, so that is our own bug.
    pub(super) fn seal(
        ledger: LedgerId,
        contents: Arc<OpenIndex>,
        closing: Closing,
        mut authors: Vec<AuthorEntry>,
    ) -> Self {
        contents.seal();
        authors.sort_unstable_by_key(AuthorEntry::sort_key);
        assert!(authors.is_sorted_by(|a, b| a.sort_key() < b.sort_key()), "an author has one entry a segment");
        let header = IndexHeader {
            ledger,
            segment: contents.segment(),
            first_seq: contents.first_seq(),
            record_count: contents.next_seq() - contents.first_seq(),
            first_height: contents.first_height(),
            block_count: contents.next_height() - contents.first_height(),
            newest_block: closing.newest_block,
            end_checksum: closing.end_checksum,
            lookup_key: contents.lookup_key(),
            author_count: authors.len() as u64,
        };
        #[expect(clippy::expect_used, reason = "counts of what is in memory are far below what a file can hold")]
        let sections = header.sections().expect("what is in memory fits a file");
        Self(Arc::new(Sealed { contents, header, sections, authors }))
    }

    /// Number of the segment.
    pub fn segment(&self) -> u64 {
        self.0.header.segment
    }

    /// What the file's header will say.
    pub fn header(&self) -> &IndexHeader {
        &self.0.header
    }

    /// Bytes of the file.
    pub fn file_size(&self) -> u64 {
        self.0.sections.file_size
    }

    pub(super) fn contents(&self) -> &OpenIndex {
        &self.0.contents
    }

    pub(super) fn author(&self, suite: u8, author: &AuthorId) -> Option<AuthorEntry> {
        let authors = &self.0.authors;
        let found = authors.binary_search_by_key(&(suite, *author), AuthorEntry::sort_key).ok()?;
        authors.get(found).copied()
    }

    /// The bytes of the file. Takes that much memory, and tens of milliseconds for a large segment.
    ///
    /// # Panics
    ///
    /// Never, unless header and contents disagree, which is our own bug.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoding = Encoding::new(self);
        while !encoding.step(usize::MAX) {}
        encoding.take_bytes()
    }

    /// Begins to write the file. For any thread but the engine's; the index in memory answers meanwhile.
    ///
    /// # Errors
    ///
    /// [`IndexError::Write`]; the index in memory goes on answering.
    pub fn begin(&self, store: &dyn IndexStore) -> Result<WritingIndex, IndexError> {
        WritingIndex::begin(self, store)
    }

    /// Writes the file, all of it.
    ///
    /// # Errors
    ///
    /// [`IndexError::Write`]; the index in memory goes on answering.
    pub fn write(&self, store: &dyn IndexStore) -> Result<(), IndexError> {
        let mut writing = Some(self.begin(store)?);
        while let Some(unfinished) = writing {
            writing = unfinished.step(ENTRIES_AT_ONCE)?;
        }
        Ok(())
    }

    pub(super) fn sealed(&self) -> (&OpenIndex, &IndexHeader, &Sections, &[AuthorEntry]) {
        let Sealed { contents, header, sections, authors } = &*self.0;
        (contents, header, sections, authors)
    }

    /// Whether both are the same sealed index, not merely equal ones.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Makes the index of a closed segment again, from its verified blocks.
#[derive(Debug)]
pub struct IndexBuilder {
    ledger: LedgerId,
    contents: OpenIndex,
}

impl IndexBuilder {
    /// A builder for a segment whose first block has this seq and this height.
    pub fn new(ledger: LedgerId, segment: u64, key: LookupKey, first_seq: u64, first_height: u64) -> Self {
        Self { ledger, contents: OpenIndex::new(segment, key, first_seq, first_height) }
    }

    /// Adds the next block.
    ///
    /// # Panics
    ///
    /// As [`OpenIndex::push_block`].
    pub fn push_block(&mut self, block: &BlockEntry<'_>) {
        self.contents.push_block(block);
    }

    /// Ends the segment. `authors` has an entry for every author that has a record in the segment, or that a record in it admits
    /// or revokes, each as the segment leaves it; parts that the segment does not tell come from older segments.
    ///
    /// # Panics
    ///
    /// If an author is named twice.
    pub fn finish(self, closing: Closing, authors: Vec<AuthorEntry>) -> PendingIndexFile {
        PendingIndexFile::seal(self.ledger, Arc::new(self.contents), closing, authors)
    }
}
