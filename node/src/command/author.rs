//! `annals author`: admitting and revoking, by an admin's signed record.

use super::{author_id, now_ms, open_to_append};
use crate::exit::CommandError;
use crate::line::{Authority, Order};
use annals::{Kind, RecordBuilder, read_key};
use std::io::Write as _;

pub(crate) fn run(order: &Order) -> Result<u8, CommandError> {
    let (kind, Authority { dir, author, key, accept_clock }) = match order {
        Order::Admit(authority) => (Kind::AUTHOR_ADMIT, authority),
        Order::Revoke(authority) => (Kind::AUTHOR_REVOKE, authority),
    };
    let (named, key) = (author_id("author", author)?, read_key(key)?);
    let ledger = open_to_append(dir, *accept_clock)?;
    let nonce = ledger.reader().next_nonce(&key.public())?;
    let builder = RecordBuilder::new(ledger.id(), kind).unsalted().nonce(nonce).claimed_time_ms(now_ms());
    let record = builder.sign(&key, named.as_bytes())?;
    let ack = ledger.appender()?.append_wait(record.bytes())?;
    let receipt = ledger.reader().prove_json(ack.seq, None)?.encode().map_err(CommandError::Encode)?;
    ledger.close()?;
    writeln!(std::io::stdout(), "{receipt}")?;
    Ok(0)
}
