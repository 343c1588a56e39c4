//! The commands, a file each, and what they share: bounded reading, output that overwrites nothing, opening to read.

mod append;
mod author;
mod backup;
mod bench;
mod case;
mod check;
mod demo;
mod doctor;
mod form;
mod info;
mod init;
mod input;
mod job;
mod keygen;
mod log;
mod looking;
mod moment;
mod platform;
mod progress;
mod reopen;
mod repair;
mod scenario;
mod scrub;
pub(crate) mod services;
mod show;
mod state;
mod submitting;
mod table;
mod verify;

use crate::exit::CommandError;
use crate::line::{Command, Line, ScenarioOrder};
use annals::{AuthorId, HomeError, Ledger, OpenError, Options, Reader};
use clap::CommandFactory as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Once;

/// Runs a command; the number is the exit code of an answer, good or bad.
pub(crate) fn run(command: Command) -> Result<u8, CommandError> {
    match command {
        Command::Demo { dir } => demo::run(dir.as_deref()),
        Command::Keygen { out } => keygen::run(&out),
        Command::Init(init) => init::run(&init),
        Command::Author { order } => author::run(&order),
        Command::Append(append) => append::run(&append),
        Command::Get { dir, seq, item, out } => show::get(&dir, seq, item, out.as_deref()),
        Command::Log(log) => log::run(&log),
        Command::Prove { dir, seq, item, out } => show::prove(&dir, seq, item, out.as_deref()),
        Command::Verify { receipt, payload, ledger_key } => verify::run(&receipt, payload.as_deref(), &ledger_key),
        Command::Check(check) => check::run(&check),
        Command::Scrub { dir, rate, json } => scrub::run(&dir, rate, json),
        Command::Repair { dir, json } => repair::run(&dir, json),
        Command::Reopen(reopen) => reopen::run(&reopen),
        Command::Backup { dir, out, json } => backup::back_up(&dir, &out, json),
        Command::Restore(restore) => backup::restore(&restore),
        Command::Info { dir, json } => info::run(&dir, json),
        Command::Checkpoint { dir, out } => show::checkpoint(&dir, out.as_deref()),
        Command::Doctor { dir, json } => doctor::run(dir.as_deref(), json),
        Command::Bench(bench) => bench::run(&bench),
        Command::Platform { order } => platform::run(&order),
        Command::Case { order } => case::run(&order),
        Command::State { order } => state::run(&order),
        Command::Scenario { order: ScenarioOrder::Run(run) } => scenario::run(&run),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Line::command(), "annals", &mut script);
            io::stdout().write_all(&script)?;
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

/// Writes a result to a new file, or to standard output.
fn put(out: Option<&Path>, bytes: &[u8]) -> Result<(), CommandError> {
    let Some(path) = out else {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        return Ok(stdout.flush()?);
    };
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let written = file.and_then(|mut file| {
        // Half of it would be in the way of the next try.
        file.write_all(bytes).inspect_err(|_| drop(std::fs::remove_file(path)))
    });
    written.map_err(|source| {
        if source.kind() == io::ErrorKind::AlreadyExists {
            CommandError::Exists(path.to_owned())
        } else {
            CommandError::Write { path: path.to_owned(), source }
        }
    })
}

/// A ledger opened to be looked at: with its lock if that is free, so that a torn tail is cut; beside the writer if not.
struct Opened {
    /// Kept open as long as the reader is used.
    ledger: Option<Ledger>,
    reader: Reader,
    /// What writes, or why nothing does.
    device: &'static str,
}

fn open_to_read(dir: &Path) -> Result<Opened, CommandError> {
    let options = Options { verifier_count: Some(1), ..Options::default() };
    let error = match Ledger::open(dir, options) {
        Ok(ledger) => {
            if let Some((segment, from, to)) = ledger.torn_tail() {
                say!(
                    "annals: cut a torn tail in segment {segment}, bytes {from} to {to}; nothing in it was acknowledged"
                );
            }
            let (reader, device) = (ledger.reader(), ledger.device());
            return Ok(Opened { ledger: Some(ledger), reader, device });
        }
        Err(error) => error,
    };
    match read_beside(&error) {
        Some(device) => Ok(Opened { ledger: None, reader: Reader::open(dir)?, device }),
        None => Err(error.into()),
    }
}

/// Why nothing here writes to a ledger that can be read all the same; none if it can't.
///
/// A reader needs neither lock nor key, neither a right clock nor a segment size, and a copy is read too.
fn read_beside(error: &OpenError) -> Option<&'static str> {
    use OpenError::{Backup, ClockAhead, ClockBehind, Copied, Home, Restored, SegmentSizeChanged, WrongKey};
    if matches!(error, Home(HomeError::Held { .. })) {
        Some("held by a writer")
    } else if matches!(error, Restored { .. } | Backup { .. } | Copied { .. }) {
        Some("none: a copy, read-only")
    } else if matches!(error, WrongKey { .. } | ClockBehind { .. } | ClockAhead { .. } | SegmentSizeChanged { .. })
        || matches!(error, Home(HomeError::Key(_) | HomeError::Io { .. }))
    {
        Some("none: read-only here")
    } else {
        None
    }
}

/// Opens a ledger to append to it.
fn open_to_append(dir: &Path, accept_clock: bool) -> Result<Ledger, CommandError> {
    let ledger = Ledger::open(dir, Options { accept_clock, ..Options::default() })?;
    warn_of_device(&ledger);
    Ok(ledger)
}

/// Says that the ledger is written without io_uring, and why: once, however many ledgers a command opens.
fn warn_of_device(ledger: &Ledger) {
    static SAID: Once = Once::new();
    if let Some(refusal) = ledger.device_refusal() {
        SAID.call_once(|| say!("annals: writing with {}, which is slower in a flood: {refusal}", ledger.device()));
    }
}

/// Reads an author id.
fn author_id(argument: &'static str, value: &str) -> Result<AuthorId, CommandError> {
    value.parse().map_err(|source| CommandError::Author { argument, value: value.to_owned(), source })
}

/// Now, in ms since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "the front end's edge: a claimed time is what its clock says")]
fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
