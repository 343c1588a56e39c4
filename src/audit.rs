//! Checking a whole ledger: everything that was ever written is read and verified once more.
//!
//! Frames, sums, padding and their chain ([`annals_storage::check`]); content hashes, signatures (by the equation of ZIP-215
//! itself, not by the library that the engine uses), leaves, tree, nonces and admission (by the sequencer that
//! ordered them), stored checkpoints, those from which the ledger was reopened, and the index files, byte for byte. It needs the writer to be away, changes nothing,
//! and stops at the first thing that is wrong. A torn tail is no damage: it is reported, and the next opening cuts it.

use crate::home::{Home, HomeError};
use crate::loading::read_genesis;
use crate::open_error::OpenError;
use crate::replay::{Replay, ReplayError, take_touched};
use crate::still::Still;
use annals_core::block::BlockHeader;
use annals_core::body::Body;
use annals_core::checkpoint::{Checkpoint, CheckpointError};
use annals_core::genesis::Genesis;
use annals_core::hash::{BlockHash, LedgerId, TreeHash};
use annals_core::leaf::LeafEntry;
use annals_core::limits::HEAD_SIZE;
use annals_core::record::{ContentError, Head, Kind, ParseError, verify_content};
use annals_core::reopening::Reopening;
use annals_core::signature::{verify, verify_head_by_equation};
use annals_core::tree::Frontier;
use annals_storage::check::{CheckReport as StorageReport, check, segment_header};
use annals_storage::disk::{Access, Disk, FileDisk};
use annals_storage::frame::{FrameHeader, FrameKind, Slot};
use annals_storage::index::{BlockEntry, Closing, FileIndexStore, IndexBuilder, IndexStore, LookupKey};
use annals_storage::recovery::{RecoveredFrame, RecoveryError};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// Heads whose signatures are verified at a time, over all cores.
const SIGNATURES_AT_ONCE: usize = 4096;
/// Blocks whose checkpoints may still be stored: two in flight, and some more.
const CHECKPOINT_DISTANCE_MAX: usize = 16;

/// What a record or block turned out to be wrong by.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// The body can't be read, or a record is not one that the ledger takes.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The payload is not what the head commits to.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The head is malformed.
    #[error(transparent)]
    Head(#[from] ParseError),
    /// The signature does not hold.
    #[error("the signature does not hold")]
    Signature,
    /// A record is marked as destroyed, which this version never does.
    #[error("the record is marked as destroyed by seq {0}, which no record says")]
    State(u64),
    /// The block counts its items wrongly.
    #[error("the block says {expected} items, its records have {found}")]
    Items {
        /** What the header says. */
        expected: u64,
        /** What the heads say. */
        found: u64,
    },
    /// The tree over the records has another root than the block says.
    #[error("the block says tree root {expected}, its records make {found}")]
    Root {
        /** What the header says. */
        expected: TreeHash,
        /** Computed. */
        found: TreeHash,
    },
    /// The frame's frontier is not that of the tree so far.
    #[error("the frame carries another tree than the records before it make")]
    Frontier,
    /// The checkpoint from which the ledger was reopened is not one of its tree.
    #[error("the ledger was reopened from a checkpoint of {size} records with root {expected}; they make {found}")]
    Reopened {
        /** Records that the checkpoint covers. */
        size: u64,
        /** The checkpoint's root. */
        expected: TreeHash,
        /** Computed. */
        found: TreeHash,
    },
    /// A stored checkpoint is not one of the ledger.
    #[error("the checkpoint stored for block {height} is not signed by the ledger key")]
    StoredCheckpoint {
        /** The block. */
        height: u64,
    },
}

/// Why a ledger is not sound, or could not be checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The directory can't be used, or the genesis block can't be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log is damaged.
    #[error(transparent)]
    Log(RecoveryError),
    /// A record or block is not what it should be.
    #[error("segment {segment}, offset {offset}, seq {seq}: {finding}")]
    Record {
        /** The segment. */
        segment: u64,
        /** Offset of the frame in bytes. */
        offset: u64,
        /** The record, or the first of the block. */
        seq: u64,
        /** What is wrong. */
        finding: Box<Finding>,
    },
    /// An index file is not what its segment makes.
    #[error("index of segment {segment} is not what the segment makes; remove the file, it is made again")]
    Index {
        /** The segment. */
        segment: u64,
    },
    /// The checkpoint to compare with is no signed note of this ledger.
    #[error("the checkpoint: {0}")]
    Note(#[from] CheckpointError),
    /// The ledger is shorter than the checkpoint says it was.
    #[error(
        "the ledger has {size} records, the checkpoint was signed over {expected}: it was cut back, or restored from an old copy"
    )]
    Shorter {
        /** Records there are. */
        size: u64,
        /** Records that the checkpoint covers. */
        expected: u64,
    },
    /// The ledger's tree is not the one that the checkpoint was signed over.
    #[error(
        "the first {size} records make root {found}, the checkpoint was signed over {expected}: this is another history"
    )]
    OtherTree {
        /** Records that the checkpoint covers. */
        size: u64,
        /** The checkpoint's root. */
        expected: TreeHash,
        /** Computed. */
        found: TreeHash,
    },
}

impl CheckError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Open(error) => error.code(),
            Self::Log(error) => error.code(),
            Self::Record { .. } => "check.record",
            Self::Index { .. } => "check.index",
            Self::Note(error) => error.code(),
            Self::Shorter { .. } => "check.shorter",
            Self::OtherTree { .. } => "check.other_tree",
        }
    }

    /// Segment, offset in bytes and seq of what is wrong, as far as they are known.
    pub const fn place(&self) -> (Option<u64>, Option<u64>, Option<u64>) {
        match self {
            Self::Record { segment, offset, seq, .. } => (Some(*segment), Some(*offset), Some(*seq)),
            Self::Log(error) => match error.place() {
                Some((segment, offset)) => (Some(segment), Some(offset), None),
                None => (None, None, None),
            },
            Self::Index { segment } => (Some(*segment), None, None),
            Self::Open(_) | Self::Note(_) | Self::Shorter { .. } | Self::OtherTree { .. } => (None, None, None),
        }
    }
}

/// A sound ledger.
#[derive(Clone, Debug)]
pub struct CheckReport {
    /// The ledger.
    pub ledger: LedgerId,
    /// Its records.
    pub records: u64,
    /// Their items.
    pub items: u64,
    /// Its blocks.
    pub blocks: u64,
    /// Its segments.
    pub segments: u64,
    /// Bytes of the segments.
    pub bytes: u64,
    /// Root of the tree over all records.
    pub root: TreeHash,
    /// Whether it was closed cleanly.
    pub closed: bool,
    /// A torn tail: segment and range of bytes. The next opening for writing cuts it.
    pub torn: Option<(u64, u64, u64)>,
    /// Closed segments without an index file, which the next look-up makes again.
    pub indexes_missing: Vec<u64>,
}

/// Checks the ledger in a directory, and that it goes on from a checkpoint if one is given.
///
/// `progress` is told bytes checked and bytes in all, often.
///
/// # Errors
///
/// [`CheckError`] with the first thing that is wrong.
pub fn check_ledger(
    path: &Path,
    note: Option<&str>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<CheckReport, CheckError> {
    let home = Home::open(path).map_err(OpenError::from)?;
    let _lock = home.lock().map_err(OpenError::from)?;
    check_home(&home, note, progress)
}

fn check_home(home: &Home, note: Option<&str>, progress: &mut dyn FnMut(u64, u64)) -> Result<CheckReport, CheckError> {
    let disk: Arc<dyn Disk> = Arc::new(FileDisk::new(&home.segments(), Access::Read));
    let (ledger, genesis) = identify(&disk)?;
    let wanted = note.map(|note| Checkpoint::open(note, &genesis.vkey)).transpose()?;
    let total = disk.segments().map_err(OpenError::from)?.iter().map(|file| file.size).sum();
    let mut audit = Audit {
        disk: Arc::clone(&disk),
        store: FileIndexStore::new(&home.index()),
        ledger,
        replay: Replay::new(ledger, genesis.clone(), Box::new(|_| Ok(None))),
        genesis,
        frontier: Frontier::new(),
        blocks: VecDeque::new(),
        builder: None,
        heads: Vec::new(),
        wanted,
        items: 0,
        indexes_missing: Vec::new(),
        reopened: Vec::new(),
        failure: None,
    };
    let report = check(disk.as_ref(), Some(ledger), &mut |frame| {
        progress(disk.bytes_read().min(total), total);
        audit.visit(&frame)
    });
    if report.is_err()
        && let Some(failure) = audit.failure.take()
    {
        return Err(failure);
    }
    let report = report.map_err(CheckError::Log)?;
    audit.verify_signatures()?;
    audit.check_reopened(home)?;
    progress(total, total);
    if let Some(other_tree) = audit.failure.take() {
        return Err(other_tree);
    }
    audit.conclude(&report)
}

/// Reads the genesis block; if that fails for damage, the check that follows names the place.
fn identify(disk: &Arc<dyn Disk>) -> Result<(LedgerId, Genesis), CheckError> {
    match read_genesis(disk) {
        Ok(found) => Ok(found),
        Err(error @ OpenError::Home(HomeError::Io { .. })) => Err(error.into()),
        Err(error) => match check(disk.as_ref(), None, &mut |_| ControlFlow::Continue(())) {
            Err(damage) => Err(CheckError::Log(damage)),
            Ok(_) => Err(error.into()),
        },
    }
}

/// A head whose signature is still to be verified.
struct Unverified {
    head: [u8; HEAD_SIZE],
    segment: u64,
    offset: u64,
    seq: u64,
}

struct Audit {
    disk: Arc<dyn Disk>,
    store: FileIndexStore,
    ledger: LedgerId,
    genesis: Genesis,
    replay: Replay,
    frontier: Frontier,
    /// The newest blocks, whose checkpoints may be stored in the frames to come.
    blocks: VecDeque<BlockHeader>,
    builder: Option<(u64, IndexBuilder)>,
    heads: Vec<Unverified>,
    wanted: Option<Checkpoint>,
    items: u64,
    indexes_missing: Vec<u64>,
    /// From where the ledger was reopened: checked when all else is, since it may be any earlier place.
    reopened: Vec<Reopened>,
    failure: Option<CheckError>,
}

/// A record that reopened the ledger from a checkpoint.
struct Reopened {
    segment: u64,
    offset: u64,
    seq: u64,
    checkpoint: Checkpoint,
}

impl Audit {
    fn visit(&mut self, frame: &RecoveredFrame<'_>) -> ControlFlow<()> {
        match self.frame(frame) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failure = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn frame(&mut self, frame: &RecoveredFrame<'_>) -> Result<(), CheckError> {
        let header = frame.header;
        let seq = self.frontier.size();
        let wrong = |seq: u64, finding: Finding| CheckError::Record {
            segment: header.segment,
            offset: header.offset,
            seq,
            finding: Box::new(finding),
        };
        if header.frontier != self.frontier {
            return Err(wrong(seq, Finding::Frontier));
        }
        for slot in header.slots.iter().flatten() {
            self.check_slot(slot).map_err(|finding| wrong(seq, finding))?;
        }
        self.begin_segment(header)?;
        if let Some(block) = header.block() {
            self.block(header, &block.header, frame.body).map_err(|(seq, finding)| wrong(seq, finding))?;
            self.blocks.push_back(block.header);
            if CHECKPOINT_DISTANCE_MAX < self.blocks.len() {
                self.blocks.pop_front();
            }
            if SIGNATURES_AT_ONCE <= self.heads.len() {
                self.verify_signatures()?;
            }
        }
        if header.kind == FrameKind::End { self.end_segment(header) } else { Ok(()) }
    }

    fn begin_segment(&mut self, header: &FrameHeader) -> Result<(), CheckError> {
        if self.builder.as_ref().is_some_and(|(segment, _)| *segment == header.segment) {
            return Ok(());
        }
        let key = segment_header(self.disk.as_ref(), self.ledger, header.segment).map_err(CheckError::Log)?.key;
        let height = self.blocks.back().map_or(0, |block| block.height + 1);
        let key = LookupKey::derive(&key);
        let builder = IndexBuilder::new(self.ledger, header.segment, key, self.frontier.size(), height);
        self.builder = Some((header.segment, builder));
        Ok(())
    }

    /// Verifies a block but for its signatures, which follow in larger numbers.
    fn block(&mut self, frame: &FrameHeader, block: &BlockHeader, body: &[u8]) -> Result<(), (u64, Finding)> {
        let first_seq = block.first_seq;
        let records = self.replay.block(first_seq, body).map_err(|error| (first_seq, error.into()))?;
        let Ok(body) = Body::parse(body) else { unreachable!("the body was parsed for the replay") };
        let mut items = 0;
        for (index, (seq, record)) in (first_seq..).zip(&records).enumerate() {
            let (Some(bytes), Some(payload)) = (body.head(index), body.payload(index)) else { continue };
            let head = Head::parse(bytes).map_err(|error| (seq, error.into()))?;
            verify_content(&head, payload).map_err(|error| (seq, error.into()))?;
            if let Some(state @ 1..) = body.state(index) {
                return Err((seq, Finding::State(state)));
            }
            items += u64::from(head.item_count);
            let (height, ordered_time_ms) = (block.height, block.ordered_time_ms);
            let leaf = LeafEntry { record_id: record.record_id, height, ordered_time_ms };
            self.frontier.push(leaf.hash());
            self.compare_with_checkpoint();
            if head.kind == Kind::REOPENED
                && let Ok(reopening) = Reopening::parse(payload, &self.genesis.vkey)
                && let Some(checkpoint) = reopening.checkpoint()
            {
                let FrameHeader { segment, offset, .. } = *frame;
                self.reopened.push(Reopened { segment, offset, seq, checkpoint });
            }
            self.heads.push(Unverified { head: *bytes, segment: frame.segment, offset: frame.offset, seq });
        }
        self.items += items;
        if items != block.item_count {
            return Err((first_seq, Finding::Items { expected: block.item_count, found: items }));
        }
        let found = self.frontier.root();
        if found != block.root {
            return Err((first_seq, Finding::Root { expected: block.root, found }));
        }
        if let Some((_, builder)) = &mut self.builder {
            let (height, offset) = (block.height, frame.offset);
            builder.push_block(&BlockEntry { first_seq, height, offset, records: &records });
        }
        Ok(())
    }

    fn compare_with_checkpoint(&mut self) {
        let Some(wanted) = self.wanted.filter(|wanted| wanted.size == self.frontier.size()) else { return };
        let (size, expected, found) = (wanted.size, wanted.root, self.frontier.root());
        if expected != found && self.failure.is_none() {
            // Told at the end, unless something worse comes: the ledger may be sound, but another one.
            self.failure = Some(CheckError::OtherTree { size, expected, found });
        }
    }

    fn check_slot(&self, slot: &Slot) -> Result<(), Finding> {
        let height = slot.height;
        let block = self.blocks.iter().find(|block| block.height == height && block.next_seq() == slot.size);
        let signed = block.is_some_and(|block| {
            let checkpoint = Checkpoint { size: slot.size, root: block.root };
            let text = checkpoint.text(&self.genesis.vkey);
            verify(&self.genesis.vkey.key(), text.as_bytes(), &slot.signature)
        });
        if signed { Ok(()) } else { Err(Finding::StoredCheckpoint { height }) }
    }

    /// Makes the index of a closed segment and compares it with the file.
    fn end_segment(&mut self, end: &FrameHeader) -> Result<(), CheckError> {
        let authors = take_touched(self.replay.sequencer_mut());
        let Some((segment, builder)) = self.builder.take() else { return Ok(()) };
        let newest_block = end.newest.map_or(BlockHash::ZERO, |newest| newest.hash);
        let expected = builder.finish(Closing { newest_block, end_checksum: end.checksum }, authors).encode();
        let Some(file) = self.store.open(segment).map_err(OpenError::from)? else {
            self.indexes_missing.push(segment);
            return Ok(());
        };
        let mut found = vec![0; expected.len()];
        let same = file.size() == expected.len() as u64 && file.read_at(0, &mut found).is_ok() && found == expected;
        if same { Ok(()) } else { Err(CheckError::Index { segment }) }
    }

    fn verify_signatures(&mut self) -> Result<(), CheckError> {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let share = self.heads.len().div_ceil(threads).max(1);
        let bad = std::thread::scope(|scope| {
            let first_bad = |heads: &[Unverified]| heads.iter().position(|it| !verify_head_by_equation(&it.head));
            let shares: Vec<_> =
                self.heads.chunks(share).map(|heads| (heads, scope.spawn(move || first_bad(heads)))).collect();
            shares.into_iter().find_map(|(heads, thread)| match thread.join() {
                Ok(bad) => bad.and_then(|at| heads.get(at)),
                Err(panic) => std::panic::resume_unwind(panic),
            })
        });
        if let Some(Unverified { segment, offset, seq, .. }) = bad {
            let (segment, offset, seq) = (*segment, *offset, *seq);
            return Err(CheckError::Record { segment, offset, seq, finding: Box::new(Finding::Signature) });
        }
        self.heads.clear();
        Ok(())
    }

    /// Compares the checkpoints from which the ledger was reopened with the tree, now that all of it is known to be sound.
    fn check_reopened(&mut self, home: &Home) -> Result<(), CheckError> {
        if self.reopened.is_empty() {
            return Ok(());
        }
        let still = Still::load(home)?;
        still.show_all();
        for Reopened { segment, offset, seq, checkpoint } in self.reopened.drain(..) {
            let Checkpoint { size, root: expected } = checkpoint;
            let found = still.query.root_at(size).map_err(OpenError::from)?;
            if found != expected {
                let finding = Box::new(Finding::Reopened { size, expected, found });
                return Err(CheckError::Record { segment, offset, seq, finding });
            }
        }
        Ok(())
    }

    fn conclude(self, report: &StorageReport) -> Result<CheckReport, CheckError> {
        let size = self.frontier.size();
        if let Some(wanted) = self.wanted.filter(|wanted| size < wanted.size) {
            return Err(CheckError::Shorter { size, expected: wanted.size });
        }
        Ok(CheckReport {
            ledger: self.ledger,
            records: size,
            items: self.items,
            blocks: report.blocks,
            segments: report.segments,
            bytes: report.bytes,
            root: self.frontier.root(),
            closed: report.closed,
            torn: report.torn.map(|cut| (cut.segment, cut.from, cut.to)),
            indexes_missing: self.indexes_missing,
        })
    }
}
