//! The `annals` binary: parses the command line, runs one command, turns its result into an exit code.

/// Says a line on standard error. Nobody may be there to be told any more: that is no reason to end in the middle of the work, as
/// `eprintln!` does by a panic.
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}

mod command;
mod exit;
mod line;

use clap::Parser as _;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let line = match line::Line::try_parse() {
        Ok(line) => line,
        Err(error) => {
            // Help and version are answers, everything else is a usage error.
            let code = if error.use_stderr() { exit::USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match command::run(line.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say!("annals: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
