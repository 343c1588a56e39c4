//! `annals keygen`: a new key in a file of its own.

use crate::exit::CommandError;
use std::io::Write as _;
use std::path::Path;

pub(crate) fn run(out: &Path) -> Result<u8, CommandError> {
    let key = annals::generate_key()?;
    annals::write_key(out, &key)?;
    writeln!(std::io::stdout(), "{}", key.public())?;
    Ok(0)
}
