//! `annals info`: what a ledger is and how far it goes.

use super::open_to_read;
use crate::exit::CommandError;
use annals::Admission;
use serde_json::json;
use std::io::Write as _;
use std::path::Path;

pub(crate) fn run(dir: &Path, as_json: bool) -> Result<u8, CommandError> {
    let opened = open_to_read(dir)?;
    let (reader, newest) = (&opened.reader, opened.reader.head()?);
    let size = annals::ledger_size(dir).map_err(annals::OpenError::from)?;
    let device = opened.device;
    let admission = if reader.genesis().admission == Admission::Open { "open" } else { "listed" };
    let mut out = std::io::stdout().lock();
    if as_json {
        let object = json!({
            "origin": reader.vkey().origin(),
            "vkey": reader.vkey().to_string(),
            "ledger": reader.id().to_string(),
            "format": annals::FORMAT_VERSION,
            "admission": admission,
            "admins": reader.genesis().admins.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "records": newest.size,
            "height": newest.height,
            "block": newest.block.to_string(),
            "root": newest.root.to_string(),
            "ordered_time_ms": newest.ordered_time_ms,
            "segments": size.segment_count,
            "segment_size": size.segment_size,
            "disk_bytes": size.disk_bytes,
            "index_bytes": size.index_bytes,
            "device": device,
        });
        writeln!(out, "{object}")?;
        return Ok(0);
    }
    writeln!(out, "origin     {}", reader.vkey().origin())?;
    writeln!(out, "vkey       {}", reader.vkey())?;
    writeln!(out, "ledger     {}", reader.id())?;
    writeln!(out, "format     {}", annals::FORMAT_VERSION)?;
    writeln!(out, "admission  {admission}")?;
    writeln!(out, "records    {}", newest.size)?;
    writeln!(out, "blocks     {}, the newest {}", newest.height + 1, newest.block)?;
    writeln!(out, "root       {}", newest.root)?;
    writeln!(out, "ordered    {} ms", newest.ordered_time_ms)?;
    writeln!(
        out,
        "segments   {} of {} bytes; index {} bytes",
        size.segment_count, size.segment_size, size.index_bytes
    )?;
    writeln!(out, "device     {device}")?;
    Ok(0)
}
