//! `annals get`, `prove` and `checkpoint`: one thing out of a ledger, to a file or to standard output.

use super::{open_to_read, put};
use crate::exit::CommandError;
use std::path::Path;

pub(crate) fn get(dir: &Path, seq: u64, item: Option<u16>, out: Option<&Path>) -> Result<u8, CommandError> {
    let opened = open_to_read(dir)?;
    let record = opened.reader.get(seq)?;
    put(out, record.content(item)?)?;
    Ok(0)
}

pub(crate) fn prove(dir: &Path, seq: u64, item: Option<u16>, out: Option<&Path>) -> Result<u8, CommandError> {
    let opened = open_to_read(dir)?;
    let receipt = opened.reader.prove_json(seq, item)?.encode().map_err(CommandError::Encode)?;
    put(out, format!("{receipt}\n").as_bytes())?;
    Ok(0)
}

pub(crate) fn checkpoint(dir: &Path, out: Option<&Path>) -> Result<u8, CommandError> {
    let opened = open_to_read(dir)?;
    put(out, opened.reader.checkpoint()?.as_bytes())?;
    Ok(0)
}
