//! Making the index of a closed segment again, from its blocks: same blocks, same file.
//!
//! What a segment leaves of its authors stands on what older segments left, so an older index that is missing too is
//! made first. The segment is read past the index; whoever looks up meanwhile waits or reads elsewhere.

use crate::replay::{Replay, ReplayError, take_touched};
use annals_core::genesis::Genesis;
use annals_core::hash::{BlockHash, LedgerId};
use annals_core::record::SUITE_ED25519;
use annals_storage::check::{read_closed, segment_header};
use annals_storage::disk::Disk;
use annals_storage::index::{
    BlockEntry, Closing, Index, IndexBuilder, IndexError, IndexStore, LookupKey, PendingIndexFile,
};
use annals_storage::recovery::RecoveryError;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Why an index could not be rebuilt.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RebuildError {
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl From<RebuildError> for ReplayError {
    fn from(error: RebuildError) -> Self {
        match error {
            RebuildError::Recovery(error) => Self::Segment(error),
            RebuildError::Replay(error) => error,
            RebuildError::Index(error) => Self::Index(error),
        }
    }
}

/// Rebuilds the index of a closed segment and those of older ones that it needs; `store` takes the files if there is one.
pub(crate) fn rebuild(
    disk: &Arc<dyn Disk>,
    ledger: LedgerId,
    genesis: &Genesis,
    index: &Arc<Index>,
    store: Option<&dyn IndexStore>,
    segment: u64,
) -> Result<(), RebuildError> {
    let mut needed = vec![segment];
    while let Some(segment) = needed.last().copied() {
        match build(disk, ledger, genesis, index, segment) {
            Ok(pending) => {
                needed.pop();
                index.install(&pending);
                // A file that can't be written costs the next opening a rebuild; memory answers until then.
                if let Some(store) = store
                    && pending.write(store).is_ok()
                {
                    index.written(&pending);
                }
            }
            Err(RebuildError::Replay(ReplayError::Index(error))) => match error.rebuild() {
                Some(older) if older < segment => needed.push(older),
                Some(_) | None => return Err(error.into()),
            },
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads a closed segment and makes its index.
pub(crate) fn build(
    disk: &Arc<dyn Disk>,
    ledger: LedgerId,
    genesis: &Genesis,
    index: &Arc<Index>,
    segment: u64,
) -> Result<PendingIndexFile, RebuildError> {
    let older = Arc::clone(index);
    let base = Box::new(move |id: &_| Ok(older.author_before(segment, SUITE_ED25519, id)?));
    let mut replay = Replay::new(ledger, genesis.clone(), base);
    let key = LookupKey::derive(&segment_header(disk.as_ref(), ledger, segment)?.key);
    let mut builder: Option<IndexBuilder> = None;
    let mut failure = None;
    let end = read_closed(disk.as_ref(), ledger, segment, &mut |frame| {
        let builder = builder.get_or_insert_with(|| {
            let (seq, height) = frame.header.newest.map_or((0, 0), |newest| {
                let header = &newest.header;
                if frame.header.block().is_some() {
                    (header.first_seq, header.height)
                } else {
                    (header.next_seq(), header.height + 1)
                }
            });
            IndexBuilder::new(ledger, segment, key, seq, height)
        });
        let Some(block) = frame.header.block() else { return ControlFlow::Continue(()) };
        match replay.block(&block.header, frame.body) {
            Ok(records) => {
                let header = &block.header;
                let (first_seq, height, offset) = (header.first_seq, header.height, frame.header.offset);
                builder.push_block(&BlockEntry { first_seq, height, offset, records: &records });
                ControlFlow::Continue(())
            }
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    if let Some(error) = failure {
        return Err(error.into());
    }
    let end = end?;
    let builder = builder.unwrap_or_else(|| IndexBuilder::new(ledger, segment, key, 0, 0));
    let newest_block = end.newest.map_or(BlockHash::ZERO, |newest| newest.hash);
    let closing = Closing { newest_block, end_checksum: end.checksum };
    Ok(builder.finish(closing, take_touched(replay.sequencer_mut())))
}
