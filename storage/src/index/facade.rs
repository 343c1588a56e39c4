//! One index over all segments: files of the closed ones, memory for the open one.
//!
//! A lookup takes a view, the list of segments as it is then, and works on it without a lock; sealing and swapping make
//! a new list. A segment's file is opened by the first lookup that needs it and kept open, up to a number of files;
//! the headers of those once opened stay in memory, some hundred bytes each. So reopening reads no index file, and a
//! seq or height finds its segment by bisection over headers.
//!
//! An error names the segment whose index is missing or damaged. The caller rebuilds it from the segment
//! ([`crate::index::IndexBuilder`]), hands it to [`Index::install`], and asks again.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use annals_core::hash::{AuthorId, LedgerId, RecordId};
use parking_lot::{Mutex, RwLock};

use crate::index::file::IndexFile;
use crate::index::store::IndexStore;
use crate::index::{
    AuthorEntry, BlockEntry, BlockLocation, Closing, IndexError, IndexHeader, LookupKey, OpenIndex, PendingIndexFile,
};

/// Index files kept open at most: the newest opened. Enough for the segments in use, far below a process's limit.
const OPEN_FILE_COUNT_MAX: usize = 64;

/// The index of a ledger. One thread pushes and seals; any thread looks up.
#[derive(Debug)]
pub struct Index {
    files: Files,
    view: RwLock<View>,
}

/// The segments as a lookup sees them.
#[derive(Clone, Debug)]
struct View {
    /// By rising number.
    closed: Arc<[Arc<Closed>]>,
    open: Arc<OpenIndex>,
}

/// A closed segment's index.
#[derive(Debug)]
struct Closed {
    segment: u64,
    /// Set while the index is in memory, until its file was written.
    pending: Option<PendingIndexFile>,
    /// Set by whoever opened the file first.
    header: OnceLock<IndexHeader>,
    /// The open file; locked by whoever opens it, so that it is opened once.
    file: Mutex<Option<Arc<IndexFile>>>,
}

/// The open files.
#[derive(Debug)]
struct Files {
    store: Arc<dyn IndexStore>,
    ledger: LedgerId,
    /// In the order of opening.
    opened: Mutex<VecDeque<Arc<Closed>>>,
}

/// What answers for a closed segment.
enum Answers<'a> {
    Memory(&'a PendingIndexFile),
    File(Arc<IndexFile>),
}

impl Closed {
    fn in_file(segment: u64) -> Arc<Self> {
        Arc::new(Self { segment, pending: None, header: OnceLock::new(), file: Mutex::new(None) })
    }

    fn in_memory(pending: PendingIndexFile) -> Arc<Self> {
        let segment = pending.segment();
        Arc::new(Self { segment, pending: Some(pending), header: OnceLock::new(), file: Mutex::new(None) })
    }
}

impl Files {
    fn answers<'a>(&self, closed: &'a Arc<Closed>) -> Result<Answers<'a>, IndexError> {
        match &closed.pending {
            Some(pending) => Ok(Answers::Memory(pending)),
            None => self.file(closed).map(Answers::File),
        }
    }

    /// The header of a closed segment's index, from memory if it was ever read.
    fn header(&self, closed: &Arc<Closed>) -> Result<IndexHeader, IndexError> {
        if let Some(header) = closed.header.get() {
            return Ok(*header);
        }
        match self.answers(closed)? {
            Answers::Memory(pending) => Ok(*pending.header()),
            Answers::File(file) => Ok(*file.header()),
        }
    }

    fn file(&self, closed: &Arc<Closed>) -> Result<Arc<IndexFile>, IndexError> {
        let segment = closed.segment;
        let mut slot = closed.file.lock();
        if let Some(file) = &*slot {
            return Ok(Arc::clone(file));
        }
        let source = self.store.open(segment).map_err(|source| IndexError::Read { segment, source })?;
        let source = source.ok_or(IndexError::Missing { segment })?;
        let file = Arc::new(IndexFile::open(source, self.ledger, segment)?);
        // The same file when it was opened before: an index does not change.
        let _ = closed.header.set(*file.header());
        *slot = Some(Arc::clone(&file));
        drop(slot);
        self.keep(closed);
        Ok(file)
    }

    /// Notes that a file was opened, and closes the one that was opened longest ago if there are too many.
    fn keep(&self, closed: &Arc<Closed>) {
        let mut opened = self.opened.lock();
        opened.push_back(Arc::clone(closed));
        let oldest = if OPEN_FILE_COUNT_MAX < opened.len() { opened.pop_front() } else { None };
        drop(opened);
        if let Some(oldest) = oldest {
            *oldest.file.lock() = None;
        }
    }
}

impl Answers<'_> {
    fn block_of_seq(&self, seq: u64) -> Result<Option<BlockLocation>, IndexError> {
        match self {
            Self::Memory(pending) => Ok(pending.contents().block_of_seq(seq)),
            Self::File(file) => file.block_of_seq(seq),
        }
    }

    fn block_of_height(&self, height: u64) -> Result<Option<BlockLocation>, IndexError> {
        match self {
            Self::Memory(pending) => Ok(pending.contents().block_of_height(height)),
            Self::File(file) => file.block_of_height(height),
        }
    }

    fn author(&self, suite: u8, author: &AuthorId) -> Result<Option<AuthorEntry>, IndexError> {
        match self {
            Self::Memory(pending) => Ok(pending.author(suite, author)),
            Self::File(file) => file.author(suite, author),
        }
    }

    fn find(&self, wanted: &Wanted) -> Result<Vec<u64>, IndexError> {
        match (self, wanted) {
            (Self::Memory(pending), wanted) => Ok(wanted.find_in(pending.contents())),
            (Self::File(file), Wanted::Record(record_id)) => file.find_record_id(record_id),
            (Self::File(file), Wanted::Nonce { suite, author, nonce }) => file.find_nonce(*suite, author, *nonce),
        }
    }
}

impl View {
    fn position(&self, segment: u64) -> Option<usize> {
        self.closed.binary_search_by_key(&segment, |closed| closed.segment).ok()
    }

    /// Puts `closed` in the place of the segment it is of, or behind all others.
    fn put(&mut self, closed: Arc<Closed>) {
        let mut list = self.closed.to_vec();
        match self.position(closed.segment).and_then(|at| list.get_mut(at)) {
            Some(place) => *place = closed,
            None => list.push(closed),
        }
        self.closed = list.into();
    }

    /// The last closed segment of which `starts_at_or_before` is true; it is true of a front part of them.
    fn last_where(
        &self,
        files: &Files,
        starts_at_or_before: impl Fn(&IndexHeader) -> bool,
    ) -> Result<Option<&Arc<Closed>>, IndexError> {
        let (mut from, mut to) = (0, self.closed.len());
        while from < to {
            let middle = from + (to - from) / 2;
            let Some(closed) = self.closed.get(middle) else { break };
            if starts_at_or_before(&files.header(closed)?) {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        Ok(from.checked_sub(1).and_then(|at| self.closed.get(at)))
    }
}

impl Index {
    /// The index of a ledger with these closed segments, by rising number, and this open one. Reads nothing.
    ///
    /// # Panics
    ///
    /// If the numbers do not rise, or reach that of the open segment: recovery lists them, so that is our own bug.
    pub fn new(store: Arc<dyn IndexStore>, ledger: LedgerId, closed: &[u64], open: OpenIndex) -> Self {
        assert!(closed.is_sorted_by(|a, b| a < b), "segments are listed by rising number");
        assert!(closed.last().is_none_or(|last| *last < open.segment()), "the open segment is the newest");
        let closed = closed.iter().map(|segment| Closed::in_file(*segment)).collect();
        let files = Files { store, ledger, opened: Mutex::default() };
        Self { files, view: RwLock::new(View { closed, open: Arc::new(open) }) }
    }

    fn view(&self) -> View {
        self.view.read().clone()
    }

    #[cfg(test)]
    pub(super) fn open_file_count(&self) -> usize {
        self.view().closed.iter().filter(|closed| closed.file.lock().is_some()).count()
    }

    /// The open segment's index.
    pub fn open(&self) -> Arc<OpenIndex> {
        Arc::clone(&self.view.read().open)
    }

    /// Adds the next block to the open segment's index.
    ///
    /// # Panics
    ///
    /// As [`OpenIndex::push_block`].
    pub fn push_block(&self, block: &BlockEntry<'_>) {
        self.open().push_block(block);
    }

    /// The open segment was closed: seals its index, which answers from memory until [`Index::written`], and begins that of
    /// the next segment, whose lookup key is given.
    ///
    /// `authors` has an entry for every author that has a record in the segment, or that a record in it admits or revokes, each
    /// as the segment leaves it.
    ///
    /// # Panics
    ///
    /// If an author is named twice.
    pub fn seal_open(&self, closing: Closing, authors: Vec<AuthorEntry>, next: LookupKey) -> PendingIndexFile {
        let open = self.open();
        let following = OpenIndex::new(open.segment() + 1, next, open.next_seq(), open.next_height());
        let pending = PendingIndexFile::seal(self.files.ledger, open, closing, authors);
        let mut view = self.view.write();
        view.put(Closed::in_memory(pending.clone()));
        view.open = Arc::new(following);
        pending
    }

    /// Lets a rebuilt index answer for its segment, in place of a missing or damaged file. Write it, then call
    /// [`Index::written`].
    ///
    /// # Panics
    ///
    /// If it is of another ledger, or of no closed segment.
    pub fn install(&self, pending: &PendingIndexFile) {
        assert_eq!(pending.header().ledger, self.files.ledger, "an index is rebuilt from its own ledger");
        let mut view = self.view.write();
        assert!(view.position(pending.segment()).is_some(), "only the index of a closed segment is rebuilt");
        view.put(Closed::in_memory(pending.clone()));
    }

    /// The file was written: from here on it answers, and the memory is given back.
    pub fn written(&self, pending: &PendingIndexFile) {
        let segment = pending.segment();
        let mut view = self.view.write();
        let closed = view.position(segment).and_then(|at| view.closed.get(at));
        // Another one may have been installed meanwhile; its own writing follows.
        if closed.and_then(|closed| closed.pending.as_ref()).is_some_and(|current| current.is_same(pending)) {
            view.put(Closed::in_file(segment));
        }
    }

    /// What the index of a closed segment covers; `None` if the segment is not closed or not there. For comparing the index
    /// with the segment.
    ///
    /// # Errors
    ///
    /// [`IndexError`] if the index is missing, damaged or unreadable.
    pub fn header(&self, segment: u64) -> Result<Option<IndexHeader>, IndexError> {
        let view = self.view();
        let closed = view.position(segment).and_then(|at| view.closed.get(at));
        closed.map(|closed| self.files.header(closed)).transpose()
    }

    /// The block that holds a seq; `None` if no block does yet.
    ///
    /// # Errors
    ///
    /// [`IndexError`] if an index that had to be asked is missing, damaged or unreadable.
    pub fn locate_seq(&self, seq: u64) -> Result<Option<BlockLocation>, IndexError> {
        let view = self.view();
        if view.open.first_seq() <= seq {
            return Ok(view.open.block_of_seq(seq));
        }
        match view.last_where(&self.files, |header| header.first_seq <= seq)? {
            Some(closed) => self.files.answers(closed)?.block_of_seq(seq),
            None => Ok(None),
        }
    }

    /// The block of a height; `None` if there is none yet.
    ///
    /// # Errors
    ///
    /// [`IndexError`] if an index that had to be asked is missing, damaged or unreadable.
    pub fn locate_height(&self, height: u64) -> Result<Option<BlockLocation>, IndexError> {
        let view = self.view();
        if view.open.first_height() <= height {
            return Ok(view.open.block_of_height(height));
        }
        match view.last_where(&self.files, |header| header.first_height <= height)? {
            Some(closed) => self.files.answers(closed)?.block_of_height(height),
            None => Ok(None),
        }
    }

    /// The seqs that may have this record id, the highest first; the caller compares with the log and stops at the first that
    /// is right.
    pub fn find_record_id(&self, record_id: &RecordId) -> Candidates<'_> {
        self.candidates(Wanted::Record(*record_id))
    }

    /// The seqs that may have this nonce of this author, the highest first; the caller compares with the log and stops at the
    /// first that is right.
    pub fn find_nonce(&self, suite: u8, author: &AuthorId, nonce: u64) -> Candidates<'_> {
        self.candidates(Wanted::Nonce { suite, author: *author, nonce })
    }

    fn candidates(&self, wanted: Wanted) -> Candidates<'_> {
        let view = self.view();
        let rising = wanted.find_in(&view.open);
        Candidates { files: &self.files, closed_left: view.closed.len(), view, wanted, rising }
    }

    /// An author as the newest closed segment that mentions it left it; `None` if none does. What the open segment adds
    /// is known to the engine, not here.
    ///
    /// # Errors
    ///
    /// [`IndexError`] if an index that had to be asked is missing, damaged or unreadable.
    pub fn author(&self, suite: u8, author: &AuthorId) -> Result<Option<AuthorEntry>, IndexError> {
        self.author_before(u64::MAX, suite, author)
    }

    /// An author as the newest of the segments below `segment` that mentions it left it: what a rebuild of that segment
    /// starts from.
    ///
    /// # Errors
    ///
    /// [`IndexError`] if an index that had to be asked is missing, damaged or unreadable.
    pub fn author_before(&self, segment: u64, suite: u8, author: &AuthorId) -> Result<Option<AuthorEntry>, IndexError> {
        let view = self.view();
        for closed in view.closed.iter().rev().skip_while(|closed| segment <= closed.segment) {
            if let Some(entry) = self.files.answers(closed)?.author(suite, author)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

/// What candidates are looked for.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Record(RecordId),
    Nonce { suite: u8, author: AuthorId, nonce: u64 },
}

impl Wanted {
    fn find_in(&self, contents: &OpenIndex) -> Vec<u64> {
        match self {
            Self::Record(record_id) => contents.find_record_id(record_id),
            Self::Nonce { suite, author, nonce } => contents.find_nonce(*suite, author, *nonce),
        }
    }
}

/// Seqs of equal fingerprint, the highest first. A segment is asked when all newer ones are used up; after an error nothing
/// more comes.
#[derive(Debug)]
pub struct Candidates<'a> {
    files: &'a Files,
    view: View,
    wanted: Wanted,
    /// Closed segments not yet asked: the first so many.
    closed_left: usize,
    /// Found and not yet given out.
    rising: Vec<u64>,
}

impl Iterator for Candidates<'_> {
    type Item = Result<u64, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(seq) = self.rising.pop() {
                return Some(Ok(seq));
            }
            self.closed_left = self.closed_left.checked_sub(1)?;
            let closed = self.view.closed.get(self.closed_left)?;
            match self.files.answers(closed).and_then(|answers| answers.find(&self.wanted)) {
                Ok(seqs) => self.rising = seqs,
                Err(error) => {
                    self.closed_left = 0;
                    return Some(Err(error));
                }
            }
        }
    }
}
