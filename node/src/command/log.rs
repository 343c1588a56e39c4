//! `annals log`: what is recorded, a line a record.

use super::{Opened, open_to_read};
use crate::exit::CommandError;
use crate::line::Log;
use annals::{Reader, Reason, Reopening, StoredRecord, Vkey};
use serde_json::{Value, json};
use std::io::{BufWriter, Write};
use std::time::Duration;

/// How long to wait for more at a time.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) fn run(log: &Log) -> Result<u8, CommandError> {
    let mut opened = open_to_read(&log.dir)?;
    if log.follow && opened.ledger.is_some() {
        // Recovered by now; whoever follows holds nobody up.
        let device = opened.device;
        drop(opened);
        opened = Opened { ledger: None, reader: Reader::open(&log.dir)?, device };
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    let (mut next, mut left) = (log.from, log.limit.unwrap_or(u64::MAX));
    loop {
        for record in opened.reader.scan(next).take(usize::try_from(left).unwrap_or(usize::MAX)) {
            let record = record?;
            tell(&mut out, &record, opened.reader.vkey(), log.json)?;
            next = record.seq() + 1;
            left -= 1;
        }
        out.flush()?;
        if !log.follow || left == 0 {
            return Ok(0);
        }
        while !opened.reader.wait_past(next, PATIENCE)? {}
    }
}

fn tell(out: &mut impl Write, record: &StoredRecord, vkey: &Vkey, as_json: bool) -> Result<(), CommandError> {
    let head = record.head()?;
    let (reopening, state_root, countersigned) = (record.reopening(vkey), record.state_root(), record.countersigned());
    let (seq, height, time) = (record.seq(), record.height(), record.ordered_time_ms());
    if as_json {
        let mut line = json!({
            "seq": seq,
            "height": height,
            "ordered_time_ms": time,
            "claimed_time_ms": head.claimed_time_ms,
            "kind": head.kind.0,
            "author": head.author.to_string(),
            "nonce": head.nonce.to_string(),
            "items": head.item_count,
            "payload_size": head.payload_size,
            "salted": head.is_salted(),
            "content_hash": head.content_hash.to_string(),
            "record_id": record.record_id().to_string(),
        });
        if let (Some(reopening), Some(line)) = (&reopening, line.as_object_mut()) {
            line.insert("reopened".to_owned(), reopened_json(reopening));
        }
        if let (Some(said), Some(line)) = (&state_root, line.as_object_mut()) {
            line.insert("state_root".to_owned(), json!({"height": said.height, "root": said.root.to_string()}));
        }
        if let (Some(signed), Some(line)) = (&countersigned, line.as_object_mut()) {
            line.insert("countersigned".to_owned(), json!(signed.to_string()));
        }
        writeln!(out, "{line}")?;
    } else {
        let (kind, items, size) = (head.kind.0, head.item_count, head.payload_size);
        write!(
            out,
            "{seq:>10} {height:>8} {time} {kind:>8} {items:>4} {size:>8} {} {}",
            head.author,
            record.record_id()
        )?;
        if let Some(reopening) = &reopening {
            write!(out, " {}", reopened_words(reopening))?;
        }
        if let Some(said) = &state_root {
            write!(out, " state root through block {}: {}", said.height, said.root)?;
        }
        if let Some(signed) = &countersigned {
            write!(out, " countersigns {signed}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Why the ledger went on, as a JSON object.
fn reopened_json(reopening: &Reopening) -> Value {
    let checkpoint = reopening.checkpoint().map(|it| json!({"size": it.size, "root": it.root.to_string()}));
    json!({
        "reason": reopening.reason().name(),
        "wall_clock_ms": reopening.wall_clock_ms(),
        "checkpoint": checkpoint,
    })
}

/// Why the ledger went on, in words.
fn reopened_words(reopening: &Reopening) -> String {
    let why = match reopening.reason() {
        Reason::Clock => "its clock accepted",
        Reason::Restored => "restored from a backup",
        Reason::Copied => "copied",
    };
    let clock = reopening.wall_clock_ms();
    match reopening.checkpoint() {
        Some(it) => format!("reopened: {why}, after the checkpoint of {} records, by a clock of {clock} ms", it.size),
        None => format!("reopened: {why}, {clock} ms"),
    }
}
