//! `annals platform`: making and administering one.

mod init;
mod procedure;
mod putting;
mod show;

use super::submitting::{Desk, check_free};
use crate::exit::CommandError;
use crate::line::{PlatformOrder, Sign};
use annals::{Kind, RecordId, parse_hex};

pub(super) fn run(order: &PlatformOrder) -> Result<u8, CommandError> {
    match order {
        PlatformOrder::Init(init) => init::run(init),
        PlatformOrder::Put(put) => putting::run(put),
        PlatformOrder::Sign(signing) => sign(signing, "platform"),
        PlatformOrder::Show(show) => show::run(show),
    }
}

/// Signs records that wait, one after the other; `command` is how the next signer is told to go on.
pub(super) fn sign(signing: &Sign, command: &str) -> Result<u8, CommandError> {
    if 1 < signing.records.len() && signing.prove.is_some() {
        return Err(CommandError::Usage(
            "--prove is for one record; sign them one by one, or prove them by `annals case prove`",
        ));
    }
    let records = signing.records.iter().map(|text| record_id(text)).collect::<Result<Vec<_>, _>>()?;
    check_free(signing.prove.as_deref())?;
    let mut desk = Desk::open(&signing.dir, &signing.key, signing.json, signing.accept_clock)?;
    for record in records {
        let what = what_waits(&desk, &record)?;
        let seq = desk.submit(Kind::COUNTERSIGN, record.as_bytes(), &what)?;
        still_waiting(&mut desk, &record)?;
        if let Some(out) = &signing.prove {
            desk.prove(seq, out)?;
        }
    }
    desk.tell_next(command);
    desk.close()
}

fn record_id(text: &str) -> Result<RecordId, CommandError> {
    let bytes = parse_hex::<32>(text).map_err(|source| CommandError::Author {
        argument: "RECORD_ID",
        value: text.to_owned(),
        source,
    })?;
    Ok(RecordId::from_bytes(bytes))
}

/// What a signature is put to, in words.
fn what_waits(desk: &Desk, record: &RecordId) -> Result<String, CommandError> {
    let record = record.to_string();
    if let Some(instance) = desk.platform.waiting_case(&record)? {
        return Ok(format!(
            "the signature on {} in {}",
            super::case::pending_name(&desk.platform, &instance)?,
            instance.name()
        ));
    }
    match desk.platform.proposal(&record)? {
        Some(proposal) => Ok(format!("the signature on {}", putting::proposal_name(&proposal))),
        None => Ok("the signature".to_owned()),
    }
}

/// Of a record that waits still, the next signer signs that one and not the countersignature.
fn still_waiting(desk: &mut Desk, record: &RecordId) -> Result<(), CommandError> {
    let text = record.to_string();
    let waits = desk.platform.waiting_case(&text)?.is_some() || desk.platform.proposal(&text)?.is_some();
    desk.now_waits(waits.then_some(*record));
    Ok(())
}
