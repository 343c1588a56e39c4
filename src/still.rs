//! A ledger at rest: read to its last intact frame, without a writer and without writing.
//!
//! A reader beside a live writer shows what a later frame calls durable ([`annals_storage::view`]). In a copy there is no later
//! frame to come, so it is read as recovery would find it; but nothing is cut, made durable or signed: what
//! a copy shows may have been lost where it was copied from. Only blocks whose checkpoint is at hand are shown to readers, in
//! a frame or, for a backup and what was restored from it, in the file `checkpoint`.

use crate::home::{Home, read_text};
use crate::loading::{Loader, read_genesis};
use crate::open_error::OpenError;
use crate::query::Query;
use crate::reopen::CHECKPOINT_NAME;
use annals_core::checkpoint::Checkpoint;
use annals_storage::disk::{Access, Disk, FileDisk};
use annals_storage::frame::Slot;
use annals_storage::index::{FileIndexStore, IndexStore};
use annals_storage::recovery::recover;
use std::sync::Arc;

/// What was read.
#[derive(Debug)]
pub(crate) struct Still {
    pub(crate) query: Query,
    pub(crate) loader: Loader,
    /// Records, whether or not a checkpoint covers them.
    pub(crate) next_seq: u64,
}

impl Still {
    /// Reads the newest segment of a ledger that nobody writes to. Nothing is final yet: see [`Still::show_signed`].
    pub(crate) fn load(home: &Home) -> Result<Self, OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(FileDisk::new(&home.segments(), Access::Read));
        let store: Arc<dyn IndexStore> = Arc::new(FileIndexStore::new(&home.index()));
        let (ledger, genesis) = read_genesis(&disk)?;
        let mut loader = Loader::new(Arc::clone(&disk), store, ledger, genesis.clone(), false);
        let recovered = recover(disk.as_ref(), Some(ledger), &mut |frame| loader.visit(frame));
        if let Some(failure) = loader.take_failure() {
            return Err(failure);
        }
        recovered?;
        let Some(loaded) = loader.loaded() else { return Err(OpenError::NoGenesis) };
        let next_seq = loaded.newest.map_or(0, |newest| newest.header.next_seq());
        let query = Query::new(ledger, genesis, disk, Arc::clone(&loaded.index), None, 0);
        loader.take_stored().into_iter().for_each(|slot| query.add_checkpoint(slot));
        Ok(Self { query, loader, next_seq })
    }

    /// Shows every record, for whoever proves nothing.
    pub(crate) fn show_all(&self) {
        self.query.watermark.advance(self.next_seq);
    }

    /// Takes the checkpoint that lies beside the segments, if it is of a block here that no frame stores one of.
    pub(crate) fn take_beside(&self, home: &Home) -> Result<(), OpenError> {
        let Some(note) = read_text(&home.root().join(CHECKPOINT_NAME))? else { return Ok(()) };
        let (checkpoint, signature) =
            Checkpoint::open_signed(&note, &self.query.genesis.vkey).map_err(OpenError::Checkpoint)?;
        if let Some(block) = self.loader.unsigned().find(|block| block.checkpoint == checkpoint) {
            self.query.add_checkpoint(Slot { size: checkpoint.size, height: block.height, signature });
        }
        Ok(())
    }

    /// Shows every record that a checkpoint at hand covers.
    pub(crate) fn show_signed(&mut self) -> Result<(), OpenError> {
        if let Some(size) = self.query.newest_checkpoint_size() {
            self.query.watermark.advance(size);
            return Ok(());
        }
        // The newest segment stores none: the one before does.
        let first_height = self.loader.loaded().map_or(0, |loaded| loaded.index.open().first_height());
        let Some(height) = first_height.checked_sub(1) else { return Ok(()) };
        if let Some(slot) = self.query.stored_checkpoint_below(height)? {
            self.query.add_checkpoint(slot);
            self.query.watermark.advance(slot.size);
        }
        Ok(())
    }
}
