//! Where a check starts: at the ledger's birth, or at the segment that holds a record.
//!
//! What lies before that segment is taken as checked before. Its start frame carries the tree, which hashes to the root of
//! the newest block before, and names that block; authors' windows and admission come from the index of the segments before,
//! exactly as for opening. An index file that is missing or damaged is made again in memory.

use super::error::CheckError;
use crate::loading::{ask, base};
use crate::open_error::OpenError;
use crate::replay::{Base, ReplayError};
use annals_core::block::BlockHeader;
use annals_core::genesis::Genesis;
use annals_core::hash::LedgerId;
use annals_core::tree::Frontier;
use annals_storage::disk::Disk;
use annals_storage::frame::{FrameKind, HashedHeader, Location};
use annals_storage::index::{Index, IndexStore, LookupKey, OpenIndex};
use annals_storage::reader::BlockReader;
use annals_storage::segment::FIRST_FRAME_OFFSET;
use std::sync::Arc;

/// Where a check starts, and what is known there.
#[derive(Debug)]
pub(super) struct Start {
    /// The first segment read.
    pub(super) segment: u64,
    /// The newest block before it.
    pub(super) newest: Option<HashedHeader>,
    /// The tree before it.
    pub(super) frontier: Frontier,
    disk: Arc<dyn Disk>,
    /// Over the segments before it; none at the ledger's birth.
    before: Option<Arc<Index>>,
}

impl Start {
    /// The start of the segment that holds a record, or of the newest segment if there is no such record yet; the ledger's
    /// birth if none is given. A segment whose start frame can't be read is passed over for the one before: the walk will
    /// meet what is wrong with it.
    pub(super) fn find(
        disk: &Arc<dyn Disk>,
        store: &Arc<dyn IndexStore>,
        ledger: LedgerId,
        since: Option<u64>,
    ) -> Result<Self, CheckError> {
        let files = disk.segments().map_err(OpenError::from)?;
        let reader = BlockReader::new(Arc::clone(disk), ledger);
        for file in files.iter().rev().filter(|file| since.is_some() && 0 < file.number) {
            let segment = file.number;
            let Ok(first) = reader.read_header(Location { segment, offset: FIRST_FRAME_OFFSET }) else { continue };
            let next_seq = first.newest.map_or(0, |newest| newest.header.next_seq());
            if first.kind != FrameKind::Start || since.is_none_or(|since| since < next_seq) {
                continue;
            }
            let height = first.newest.map_or(0, |newest| newest.header.height + 1);
            // Only the closed segments are asked: nothing is ever put into the open one, whatever its key.
            let open = OpenIndex::new(segment, LookupKey::derive(&[0; 32]), next_seq, height);
            let closed: Vec<u64> = (0..segment).collect();
            let before = Some(Arc::new(Index::new(Arc::clone(store), ledger, &closed, open)));
            let (newest, frontier) = (first.newest, first.frontier);
            return Ok(Self { segment, newest, frontier, disk: Arc::clone(disk), before });
        }
        Ok(Self { segment: 0, newest: None, frontier: Frontier::new(), disk: Arc::clone(disk), before: None })
    }

    /// Looks up authors as the segments before left them.
    pub(super) fn authors(&self, ledger: LedgerId, genesis: &Genesis) -> Base {
        match &self.before {
            None => Box::new(|_| Ok(None)),
            Some(index) => base(Arc::clone(&self.disk), ledger, genesis.clone(), Arc::clone(index), None),
        }
    }

    /// A block of the segments before, of which a frame stores the checkpoint.
    pub(super) fn block_before(
        &self,
        ledger: LedgerId,
        genesis: &Genesis,
        height: u64,
    ) -> Result<Option<BlockHeader>, ReplayError> {
        let Some(index) = self.before.as_ref().filter(|index| height < index.open().first_height()) else {
            return Ok(None);
        };
        let found = ask(&self.disk, ledger, genesis, index, None, || index.locate_height(height))?;
        let Some(found) = found else { return Ok(None) };
        let place = Location { segment: found.segment, offset: found.offset };
        let header = BlockReader::new(Arc::clone(&self.disk), ledger).read_header(place).ok();
        // What can't be read there is damage of what was checked before: here it only vouches for no checkpoint.
        Ok(header.and_then(|header| header.block().map(|block| block.header)).filter(|block| block.height == height))
    }
}
