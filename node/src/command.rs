//! The commands, a file each, and how they read bounded input.

mod keygen;
mod verify;

use crate::exit::CommandError;
use crate::line::{Command, Line};
use clap::CommandFactory as _;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

/// Runs a command; the number is the exit code of an answer, good or bad.
pub(crate) fn run(command: Command) -> Result<u8, CommandError> {
    match command {
        Command::Keygen { out } => keygen::run(&out),
        Command::Verify { receipt, payload, ledger_key } => verify::run(&receipt, payload.as_deref(), &ledger_key),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Line::command(), "annals", &mut script);
            std::io::stdout().write_all(&script)?;
            Ok(0)
        }
    }
}

/// Reads a whole file of at most so many bytes.
fn read_file(path: &Path, most: usize) -> Result<Vec<u8>, CommandError> {
    let error = |source| CommandError::Read { path: path.to_owned(), source };
    let (mut bytes, most) = (Vec::new(), most as u64);
    File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes)).map_err(error)?;
    if most < bytes.len() as u64 {
        return Err(CommandError::TooLarge { path: path.to_owned(), most });
    }
    Ok(bytes)
}
