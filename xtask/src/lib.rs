//! Developer tasks of the Annals workspace: continuous integration, the tidy rules, fuzzing, crashes, simulation, deliberate breaks
//! and the bench guard.
//!
//! The logic stands here, so that plain `cargo test` covers it; the binary in `xtask/cli` only passes its arguments on and
//! is no default member, which keeps plain `cargo run` unambiguous. What a task does is planned by pure functions
//! from facts ([`ci::Facts`], a file's path and text, the output of `cargo metadata`); only [`shell`] starts processes,
//! and it and [`bench_guard::machine`] look at the machine. Nothing here is part of the product, and no crate of the product sees it.
#![forbid(unsafe_code)]

pub mod arguments;
pub mod bench_guard;
pub mod ci;
pub mod crash;
mod error;
pub mod fuzz;
pub mod mutations;
pub mod shell;
pub mod simulate;
pub mod tidy;
pub mod workspace;

use std::io::Write;
use std::path::Path;

pub use arguments::{Command, UsageError};
pub use error::TaskError;

/// Exit code of a task that found nothing wrong.
pub const EXIT_OK: u8 = 0;
/// Exit code of a task that found something wrong, or could not finish.
pub const EXIT_FINDING: u8 = 1;
/// Exit code of arguments that make no sense.
pub const EXIT_USAGE: u8 = 64;

/// Runs the task that `arguments` (without the program's name) ask for and returns the process's exit code.
///
/// Reports go to `out`; what started programs print goes to this process's own outputs.
pub fn run(arguments: &[String], out: &mut dyn Write) -> u8 {
    let command = match arguments::parse(arguments) {
        Ok(command) => command,
        Err(error) => {
            // A closed output leaves nobody to tell; the exit code still says it.
            let _ = writeln!(out, "xtask: {error}\n\n{}", arguments::HELP);
            return EXIT_USAGE;
        }
    };
    match dispatch(&command, &workspace::root(), out) {
        Ok(true) => EXIT_OK,
        Ok(false) => EXIT_FINDING,
        Err(error) => {
            let _ = writeln!(out, "xtask: {error} ({})", error.code());
            EXIT_FINDING
        }
    }
}

/// Runs one command in the workspace at `root`; `true` says that it found nothing wrong.
fn dispatch(command: &Command, root: &Path, out: &mut dyn Write) -> Result<bool, TaskError> {
    match command {
        Command::Help => writeln!(out, "{}", arguments::HELP).map(|()| true).map_err(TaskError::Output),
        Command::Ci { steps } => ci::run(root, steps, out),
        Command::Tidy => {
            let findings = tidy::check(root)?;
            tidy::report(&findings, out).map_err(TaskError::Output)?;
            Ok(findings.is_empty())
        }
        Command::BenchGuard(options) => bench_guard::run(root, options, out),
        Command::Simulate { first, seeds } => simulate::run(root, *first, *seeds, out),
        Command::Mutate { name } => mutations::run(root, name.as_deref(), out),
        Command::Crash { options } => crash::run(root, options, out),
        Command::Fuzz { target, seconds } => fuzz::run(root, target.as_deref(), *seconds, out),
    }
}
