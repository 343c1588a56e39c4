//! Loading: what a ledger's newest segment tells whoever opens it, gathered frame by frame.
//!
//! The writer loads what recovery shows it, a reader beside the writer what its view shows; both need the same: the
//! open segment's index, the authors with something in it, the tree through the newest block, and which checkpoints
//! no frame stores yet. Closed segments are not read, but for the genesis block.

use crate::open_error::OpenError;
use crate::rebuild::rebuild;
use crate::replay::{Base, Replay, ReplayError, take_touched};
use annals_core::checkpoint::Checkpoint;
use annals_core::genesis::Genesis;
use annals_core::hash::{BlockHash, LedgerId};
use annals_core::leaf::LeafEntry;
use annals_core::limits::PAGE_SIZE;
use annals_core::record::{Record, SUITE_ED25519};
use annals_core::tree::Frontier;
use annals_storage::buffer::PageBuffer;
use annals_storage::check::segment_header;
use annals_storage::disk::Disk;
use annals_storage::frame::{FrameChecksum, FrameKind, HashedHeader, Location, Slot};
use annals_storage::index::{
    BlockEntry, Closing, Index, IndexError, IndexStore, LookupKey, OpenIndex, PendingIndexFile,
};
use annals_storage::reader::{BlockReader, Way};
use annals_storage::recovery::RecoveredFrame;
use annals_storage::segment::{FIRST_FRAME_OFFSET, SegmentHeader};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

/// The genesis block lies this many frames from the ledger's start at most: behind an opening mark.
const GENESIS_DISTANCE_MAX: usize = 4;

/// Reads which ledger a disk holds, and its rules.
pub(crate) fn read_genesis(disk: &Arc<dyn Disk>) -> Result<(LedgerId, Genesis), OpenError> {
    let mut page = PageBuffer::new(PAGE_SIZE);
    disk.read(0, 0, &mut page)?;
    let ledger = SegmentHeader::parse(&page).map_err(OpenError::Segment)?.ledger;
    let reader = BlockReader::new(Arc::clone(disk), ledger);
    let mut location = Location { segment: 0, offset: FIRST_FRAME_OFFSET };
    for _ in 0..GENESIS_DISTANCE_MAX {
        let frame = reader.read_header(location)?;
        if frame.kind == FrameKind::Block {
            break;
        }
        location.offset = frame.end();
    }
    let block = reader.read(location, 0, Way::Direct)?;
    let body = block.body();
    let (Some(head), Some(payload)) = (body.head(0), body.payload(0)) else { return Err(OpenError::NoGenesis) };
    let bytes = [&head[..], payload].concat();
    let record = Record::parse(&bytes).map_err(|_| OpenError::NoGenesis)?;
    let genesis = Genesis::from_record(&record).map_err(OpenError::Genesis)?;
    if !annals_core::signature::verify_head(head)
        || annals_core::record::record_id(head).to_bytes() != ledger.to_bytes()
    {
        return Err(OpenError::NoGenesis);
    }
    Ok((ledger, genesis))
}

/// A block whose checkpoint no frame was seen to store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unsigned {
    pub(crate) height: u64,
    pub(crate) checkpoint: Checkpoint,
}

/// What frames have told so far.
#[derive(Debug)]
pub(crate) struct Loader {
    disk: Arc<dyn Disk>,
    store: Arc<dyn IndexStore>,
    ledger: LedgerId,
    genesis: Genesis,
    /// Whether rebuilt index files are written.
    writes: bool,
    loaded: Option<Loaded>,
    /// Blocks above the newest stored checkpoint.
    unsigned: VecDeque<Unsigned>,
    /// The checkpoints that frames store, the newest last, as many as a reader wants at once.
    stored: VecDeque<Slot>,
    failure: Option<OpenError>,
}

/// The state behind the newest frame.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) index: Arc<Index>,
    pub(crate) replay: Replay,
    pub(crate) frontier: Frontier,
    pub(crate) newest: Option<HashedHeader>,
    last_checksum: FrameChecksum,
    /// The index that was sealed last, in memory until the writer's file is there.
    sealed: Option<PendingIndexFile>,
}

impl Loader {
    /// A loader that has seen nothing. `writes` says whether the caller is the ledger's writer.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        store: Arc<dyn IndexStore>,
        ledger: LedgerId,
        genesis: Genesis,
        writes: bool,
    ) -> Self {
        let (unsigned, stored) = (VecDeque::new(), VecDeque::new());
        Self { disk, store, ledger, genesis, writes, loaded: None, unsigned, stored, failure: None }
    }

    /// Takes the next frame; for recovery and views.
    pub(crate) fn visit(&mut self, frame: RecoveredFrame<'_>) -> ControlFlow<()> {
        match self.frame(&frame) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failure = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    /// Why the loader stopped a visit.
    pub(crate) const fn take_failure(&mut self) -> Option<OpenError> {
        self.failure.take()
    }

    /// The state, once a frame was seen.
    pub(crate) const fn loaded(&mut self) -> Option<&mut Loaded> {
        self.loaded.as_mut()
    }

    /// Ends loading.
    pub(crate) fn finish(self) -> Option<(Loaded, VecDeque<Unsigned>, VecDeque<Slot>)> {
        self.loaded.map(|loaded| (loaded, self.unsigned, self.stored))
    }

    /// Blocks whose checkpoint no frame was seen to store.
    pub(crate) fn unsigned(&self) -> impl Iterator<Item = &Unsigned> {
        self.unsigned.iter()
    }

    /// Takes the stored checkpoints seen since this was last asked.
    pub(crate) fn take_stored(&mut self) -> VecDeque<Slot> {
        std::mem::take(&mut self.stored)
    }

    fn frame(&mut self, frame: &RecoveredFrame<'_>) -> Result<(), OpenError> {
        let header = frame.header;
        let loaded = match self.loaded.take() {
            None => self.begin(frame)?,
            Some(loaded) if header.segment != loaded.index.open().segment() => self.roll(loaded, header.segment)?,
            Some(loaded) => loaded,
        };
        let loaded = self.loaded.insert(loaded);
        loaded.frontier = header.frontier.clone();
        loaded.last_checksum = header.checksum;
        if let Some(block) = header.block() {
            let (first_seq, height) = (block.header.first_seq, block.header.height);
            let records = loaded.replay.block(&block.header, frame.body)?;
            for record in &records {
                let ordered_time_ms = block.header.ordered_time_ms;
                let entry = LeafEntry { record_id: record.record_id, height, ordered_time_ms };
                loaded.frontier.push(entry.hash());
            }
            loaded.index.push_block(&BlockEntry { first_seq, height, offset: header.offset, records: &records });
            loaded.newest = Some(*block);
            self.unsigned.push_back(unsigned(block));
        }
        for slot in header.slots.iter().flatten() {
            self.stored.push_back(*slot);
            while self.unsigned.pop_front_if(|block| block.height <= slot.height).is_some() {}
        }
        Ok(())
    }

    /// The state before the first frame.
    fn begin(&mut self, frame: &RecoveredFrame<'_>) -> Result<Loaded, OpenError> {
        let header = frame.header;
        // A block's frame names the block itself as the newest, any other frame the one before it.
        let before = if header.block().is_some() { None } else { header.newest };
        let (first_seq, first_height) = match (header.block(), before) {
            (Some(block), _) => (block.header.first_seq, block.header.height),
            (None, Some(newest)) => (newest.header.next_seq(), newest.header.height + 1),
            (None, None) => (0, 0),
        };
        self.unsigned.extend(before.as_ref().map(unsigned));
        let open = OpenIndex::new(header.segment, self.lookup_key(header.segment)?, first_seq, first_height);
        let closed: Vec<u64> = (0..header.segment).collect();
        let index = Arc::new(Index::new(Arc::clone(&self.store), self.ledger, &closed, open));
        let replay = Replay::new(self.ledger, self.genesis.clone(), self.base(&index));
        Ok(Loaded {
            index,
            replay,
            frontier: header.frontier.clone(),
            newest: before,
            last_checksum: header.checksum,
            sealed: None,
        })
    }

    /// What closed segments say of an author, by an index that is rebuilt where it has to be.
    fn base(&self, index: &Arc<Index>) -> Base {
        let store = self.writes.then(|| Arc::clone(&self.store));
        base(Arc::clone(&self.disk), self.ledger, self.genesis.clone(), Arc::clone(index), store)
    }

    /// The next segment begins, for a reader beside the writer.
    fn roll(&self, mut loaded: Loaded, segment: u64) -> Result<Loaded, OpenError> {
        let newest_block = loaded.newest.map_or(BlockHash::ZERO, |newest| newest.hash);
        let closing = Closing { newest_block, end_checksum: loaded.last_checksum };
        let authors = take_touched(loaded.replay.sequencer_mut());
        let sealed = loaded.index.seal_open(closing, authors, self.lookup_key(segment)?);
        if let Some(earlier) = loaded.sealed.replace(sealed)
            && self.store.open(earlier.segment())?.is_some()
        {
            loaded.index.written(&earlier);
        }
        Ok(loaded)
    }

    fn lookup_key(&self, segment: u64) -> Result<LookupKey, OpenError> {
        Ok(LookupKey::derive(&segment_header(self.disk.as_ref(), self.ledger, segment)?.key))
    }
}

/// What the closed segments of an index say of an author; an index file that is missing or damaged is made again, in
/// memory, and in `store` if there is one.
pub(crate) fn base(
    disk: Arc<dyn Disk>,
    ledger: LedgerId,
    genesis: Genesis,
    index: Arc<Index>,
    store: Option<Arc<dyn IndexStore>>,
) -> Base {
    Box::new(move |id| ask(&disk, ledger, &genesis, &index, store.as_deref(), || index.author(SUITE_ED25519, id)))
}

/// Asks an index, again and again while that needs the index of a closed segment to be made again.
pub(crate) fn ask<T>(
    disk: &Arc<dyn Disk>,
    ledger: LedgerId,
    genesis: &Genesis,
    index: &Arc<Index>,
    store: Option<&dyn IndexStore>,
    question: impl Fn() -> Result<T, IndexError>,
) -> Result<T, ReplayError> {
    loop {
        let error = match question() {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let Some(segment) = error.rebuild() else { return Err(error.into()) };
        rebuild(disk, ledger, genesis, index, store, segment)?;
    }
}

const fn unsigned(block: &HashedHeader) -> Unsigned {
    let header = &block.header;
    Unsigned { height: header.height, checkpoint: Checkpoint { size: header.next_seq(), root: header.root } }
}
