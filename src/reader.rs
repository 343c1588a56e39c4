//! Reading: from a ledger that is open in this process, or beside a writer in another.

use crate::authors::Authors;
use crate::home::{Home, HomeError};
use crate::loading::{Loader, read_genesis};
use crate::open_error::OpenError;
use crate::place::Standing;
use crate::query::{Query, QueryError, StoredRecord};
use crate::still::Still;
use annals_core::checkpoint::Vkey;
use annals_core::genesis::Genesis;
use annals_core::hash::{AuthorId, BlockHash, LedgerId, RecordId, TreeHash};
use annals_core::receipt::Receipt;
use annals_core::receipt_json::ReceiptJson;
use annals_core::record::SUITE_ED25519;
use annals_ordering::watermark::Progress;
use annals_storage::disk::{Access, Disk, FileDisk};
use annals_storage::index::{FileIndexStore, IndexStore};
use annals_storage::view::View;
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How often a reader beside the writer looks again while it waits.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How far the ledger is final.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Newest {
    /// Records: the seq that the next one takes.
    pub size: u64,
    /// Height of the newest block.
    pub height: u64,
    /// Hash of the newest block.
    pub block: BlockHash,
    /// When it was ordered, ms since the Unix epoch.
    pub ordered_time_ms: u64,
    /// Root of the tree over all records.
    pub root: TreeHash,
    /// The newest segment, and the bytes of it up to the newest block's end.
    pub end: (u64, u64),
}

/// A ledger that is read from outside its writer's process.
#[derive(Debug)]
struct Beside {
    /// How a writer is looked at; none where nobody writes.
    view: Option<View>,
    loader: Loader,
}

#[derive(Clone, Debug)]
enum Side {
    Live(Arc<Authors>),
    Beside(Arc<Mutex<Beside>>),
}

/// A way to look at a ledger. Cheap to clone; shows what is final, and nothing else.
#[derive(Clone, Debug)]
pub struct Reader {
    query: Arc<Query>,
    side: Side,
}

impl Reader {
    pub(crate) const fn live(query: Arc<Query>, authors: Arc<Authors>) -> Self {
        Self { query, side: Side::Live(authors) }
    }

    /// Opens a ledger for reading only, without its lock, whether or not somebody writes to it.
    ///
    /// It shows what is surely durable: up to some milliseconds behind an idle writer, two blocks behind a busy one. What
    /// a crash left at the very end is not judged; [`crate::Ledger::open`] does that. A backup, and a restored or copied
    /// ledger that has not gone on, is read to the last block whose checkpoint is at hand.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if there is no ledger, or what was durable is damaged.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let home = Home::open(path)?;
        if matches!(home.standing()?, Standing::Marked(_) | Standing::Copied { .. }) {
            match Self::open_still(&home) {
                // It is just being told to go on: a writer like any other.
                Err(OpenError::Home(HomeError::Held { .. })) => {}
                opened => return opened,
            }
        }
        let disk: Arc<dyn Disk> = Arc::new(FileDisk::new(&home.segments(), Access::Read));
        let store: Arc<dyn IndexStore> = Arc::new(FileIndexStore::new(&home.index()));
        let (ledger, genesis) = read_genesis(&disk)?;
        let mut loader = Loader::new(Arc::clone(&disk), store, ledger, genesis.clone(), false);
        let view = View::open(disk.as_ref(), Some(ledger), &mut |frame| loader.visit(frame));
        if let Some(failure) = loader.take_failure() {
            return Err(failure);
        }
        let view = view?;
        let Some(loaded) = loader.loaded() else { return Err(OpenError::NoGenesis) };
        let query = Query::new(ledger, genesis, disk, Arc::clone(&loaded.index), None, 0);
        let beside = Beside { view: Some(view), loader };
        let reader = Self { query: Arc::new(query), side: Side::Beside(Arc::new(Mutex::new(beside))) };
        reader.refresh()?;
        if reader.query.watermark.next_seq() == 0 {
            reader.find_first_checkpoint()?;
        }
        Ok(reader)
    }

    /// Opens a copy, to which nobody writes; refused as held where it is just being told to go on.
    fn open_still(home: &Home) -> Result<Self, OpenError> {
        let _lock = home.lock_to_read()?;
        let mut still = Still::load(home)?;
        still.take_beside(home)?;
        still.show_signed()?;
        let Still { query, loader, .. } = still;
        Ok(Self { query: Arc::new(query), side: Side::Beside(Arc::new(Mutex::new(Beside { view: None, loader }))) })
    }

    /// The newest segment stores no checkpoint yet: the one before does.
    fn find_first_checkpoint(&self) -> Result<(), OpenError> {
        let Side::Beside(beside) = &self.side else { return Ok(()) };
        let mut beside = beside.lock();
        let first_height = beside.loader.loaded().map_or(0, |loaded| loaded.index.open().first_height());
        drop(beside);
        let Some(height) = first_height.checked_sub(1) else { return Ok(()) };
        if let Some(slot) = self.query.stored_checkpoint_below(height)? {
            self.query.add_checkpoint(slot);
            self.query.watermark.advance(slot.size);
        }
        Ok(())
    }

    /// Looks what the writer has made durable since; nothing to do for a ledger open in this process.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if what became durable can't be read.
    pub fn refresh(&self) -> Result<(), OpenError> {
        let Side::Beside(beside) = &self.side else { return Ok(()) };
        let mut beside = beside.lock();
        let Beside { view: Some(view), loader } = &mut *beside else { return Ok(()) };
        let refreshed = view.refresh(self.query.disk.as_ref(), &mut |frame| loader.visit(frame));
        if let Some(failure) = loader.take_failure() {
            return Err(failure);
        }
        refreshed?;
        // Only blocks whose checkpoint is stored are shown, so all that is shown can be proved. The frame that stores it
        // need not be durable: that the block is, was known before it was sealed.
        let stored = loader.take_stored();
        let loaded = loader.loaded().and_then(|loaded| loaded.newest).map_or(0, |newest| newest.header.next_seq());
        let mut next_seq = self.query.watermark.next_seq();
        for slot in stored.iter().chain(view.checkpoints()).filter(|slot| slot.size <= loaded) {
            next_seq = next_seq.max(slot.size);
            self.query.add_checkpoint(*slot);
        }
        self.query.watermark.advance(next_seq);
        Ok(())
    }

    /// The ledger's id.
    pub fn id(&self) -> LedgerId {
        self.query.ledger
    }

    /// What its checkpoints and receipts are verified against.
    pub fn vkey(&self) -> &Vkey {
        &self.query.genesis.vkey
    }

    /// Its rules, as the genesis record fixed them.
    pub fn genesis(&self) -> &Genesis {
        &self.query.genesis
    }

    /// The seq that the first record not final takes.
    pub fn next_seq(&self) -> u64 {
        self.query.watermark.next_seq()
    }

    /// How far the ledger is final.
    ///
    /// # Errors
    ///
    /// [`QueryError`] if the newest block can't be read.
    pub fn head(&self) -> Result<Newest, QueryError> {
        let (header, block, end) = self.query.newest_block()?;
        Ok(Newest {
            size: header.next_seq(),
            height: header.height,
            block,
            ordered_time_ms: header.ordered_time_ms,
            root: header.root,
            end,
        })
    }

    /// A final record.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] if there is none of this seq; others if the ledger can't be read.
    pub fn get(&self, seq: u64) -> Result<StoredRecord, QueryError> {
        self.query.get(seq)
    }

    /// The final record with this id, if there is one.
    ///
    /// # Errors
    ///
    /// [`QueryError`] if the ledger can't be read.
    pub fn find(&self, record_id: &RecordId) -> Result<Option<StoredRecord>, QueryError> {
        self.query.find(record_id)
    }

    /// The final record with this nonce of this author, if there is one.
    ///
    /// # Errors
    ///
    /// [`QueryError`] if the ledger can't be read.
    pub fn find_nonce(&self, author: &AuthorId, nonce: u64) -> Result<Option<StoredRecord>, QueryError> {
        self.query.find_nonce(SUITE_ED25519, author, nonce)
    }

    /// The final records from a seq on, in order, up to what is final when each is asked for.
    pub fn scan(&self, from: u64) -> Scan {
        Scan { query: Arc::clone(&self.query), seq: from, last: None }
    }

    /// The receipt of a final record: the same bytes whenever it is asked for.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] if there is none of this seq; others if the ledger can't be read.
    pub fn prove(&self, seq: u64) -> Result<Receipt, QueryError> {
        self.query.prove(seq)
    }

    /// The receipt with what its holder needs to show the payload, or one item of a bundle, beside it.
    ///
    /// # Errors
    ///
    /// As [`Reader::prove`]; [`QueryError::Item`] if there is no such item.
    pub fn prove_json(&self, seq: u64, item: Option<u16>) -> Result<ReceiptJson, QueryError> {
        self.query.prove_json(seq, item)
    }

    /// The newest checkpoint, as a signed note.
    ///
    /// # Errors
    ///
    /// [`QueryError`] if the newest block can't be read, or its checkpoint is not stored yet.
    pub fn checkpoint(&self) -> Result<String, QueryError> {
        self.query.newest_note()
    }

    /// The first nonce above all that this author has used, as far as is known here; 0 if it has used none.
    ///
    /// # Errors
    ///
    /// [`QueryError`] if the ledger can't be read.
    pub fn next_nonce(&self, author: &AuthorId) -> Result<u64, QueryError> {
        let open = match &self.side {
            Side::Live(authors) => authors.find(author).map(|known| known.next_nonce()),
            Side::Beside(beside) => {
                let mut beside = beside.lock();
                let loaded = beside.loader.loaded();
                let known = loaded.and_then(|loaded| loaded.replay.sequencer_mut().author(author).cloned());
                known.map(|author| author.window.top().map_or(0, |top| top.saturating_add(1)))
            }
        };
        if let Some(next) = open {
            return Ok(next);
        }
        let entry = self.query.ask(|index| index.author(SUITE_ED25519, author))?;
        Ok(entry.and_then(|entry| entry.nonces).map_or(0, |nonces| nonces.top.saturating_add(1)))
    }

    /// Sleeps until the record of this seq is final, at most `timeout`; whether it is.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if a writer elsewhere can't be followed.
    pub fn wait_past(&self, seq: u64, timeout: Duration) -> Result<bool, OpenError> {
        match &self.side {
            Side::Live(_) => Ok(matches!(self.query.watermark.wait_past(seq, Some(timeout)), Progress::Final { .. })),
            Side::Beside(_) => {
                let mut left = timeout;
                loop {
                    self.refresh()?;
                    if seq < self.next_seq() || left.is_zero() {
                        return Ok(seq < self.next_seq());
                    }
                    let pause = left.min(LOOK_AGAIN);
                    // Nobody advances this watermark but `refresh`: the wait is a pause.
                    let _ = self.query.watermark.wait_past(seq, Some(pause));
                    left -= pause;
                }
            }
        }
    }

    pub(crate) fn query(&self) -> &Query {
        &self.query
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.query.watermark.is_halted()
    }
}

/// Final records in order. Ends where the ledger is final when the next one is asked for; ask again later for more.
#[derive(Debug)]
pub struct Scan {
    query: Arc<Query>,
    seq: u64,
    last: Option<StoredRecord>,
}

impl Iterator for Scan {
    type Item = Result<StoredRecord, QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.query.watermark.next_seq() <= self.seq {
            return None;
        }
        let next = self.last.take().and_then(StoredRecord::next_in_block);
        let record = match next.map_or_else(|| self.query.get_with_block(self.seq), Ok) {
            Ok(record) => record,
            Err(error) => return Some(Err(error)),
        };
        self.seq += 1;
        self.last = Some(record.clone());
        Some(Ok(record))
    }
}
