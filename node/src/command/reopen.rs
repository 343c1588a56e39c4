//! `annals reopen`: a restored or copied ledger goes on, from the newest checkpoint that anybody holds.

use super::read_file;
use crate::exit::CommandError;
use crate::line::Reopen;
use annals::{Ledger, Options, limits};
use std::io::Write as _;
use std::path::Path;

pub(crate) fn run(reopen: &Reopen) -> Result<u8, CommandError> {
    let Reopen { dir, continue_after, ledger_key, accept_clock } = reopen;
    let note = note(continue_after)?;
    if let Some(key) = ledger_key {
        annals::use_ledger_key(dir, key)?;
    }
    let options = Options { continue_after: Some(note), accept_clock: *accept_clock, ..Options::default() };
    let ledger = Ledger::open(dir, options)?;
    tell(&ledger)?;
    ledger.close()?;
    Ok(0)
}

/// Reads the checkpoint to go on from.
pub(super) fn note(path: &Path) -> Result<String, CommandError> {
    let note = read_file(path, limits::CHECKPOINT_SIZE_MAX)?;
    Ok(String::from_utf8_lossy(&note).into_owned())
}

/// Prints the receipts of the records by which the ledger went on.
fn tell(ledger: &Ledger) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    for ack in ledger.reopened() {
        let receipt = ledger.reader().prove_json(ack.seq, None)?.encode().map_err(CommandError::Encode)?;
        writeln!(out, "{receipt}")?;
    }
    if ledger.reopened().is_empty() {
        say!("annals: {} is no copy: nothing to go on from; it agrees with the checkpoint", ledger.path().display());
    } else {
        say!("annals: {} goes on; the receipt above names the checkpoint", ledger.path().display());
    }
    Ok(())
}
