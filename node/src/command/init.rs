//! `annals init`: a new ledger, and the vkey that its receipts are verified against.

use super::{author_id, warn_of_device};
use crate::exit::CommandError;
use crate::line::Init;
use annals::{AuthorId, Creation, Ledger, Options};
use std::io::Write as _;

pub(crate) fn run(init: &Init) -> Result<u8, CommandError> {
    let authors = keys("--author", &init.author)?;
    let admins = keys("--admin", &init.admin)?;
    let creation = Creation {
        admins,
        segment_size: init.segment_size,
        ledger_key: init.ledger_key.clone(),
        ..Creation::listed(&init.origin, &authors)
    };
    let ledger = Ledger::create(&init.dir, &creation, Options::default())?;
    warn_of_device(&ledger);
    let vkey = ledger.vkey().to_string();
    ledger.close()?;
    writeln!(std::io::stdout(), "{vkey}")?;
    say!("annals: made a ledger in {}; standard output has its vkey: publish it", init.dir.display());
    Ok(0)
}

fn keys(argument: &'static str, values: &[String]) -> Result<Vec<AuthorId>, CommandError> {
    values.iter().map(|value| author_id(argument, value)).collect()
}
