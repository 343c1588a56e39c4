//! The crash loop: builds the writer and the loop that kills it, both examples of the facade, and starts the loop.
//!
//! What is killed when, and what must be there afterwards, stands in `examples/crash/`. It is no part of this crate, which sees
//! nothing of ours.

use std::io::Write;
use std::path::Path;

use crate::error::TaskError;
use crate::shell::{self, Invocation};

/// Options of the loop, in the order in which the help gives them.
pub const OPTIONS: [&str; 4] = ["--rounds", "--producers", "--device", "--seed"];

/// Runs the crash loop with these options, each with its value; `true` says that nothing was lost and no opening refused.
///
/// # Errors
///
/// [`TaskError`] if cargo cannot be run.
pub fn run(root: &Path, options: &[String], out: &mut dyn Write) -> Result<bool, TaskError> {
    for invocation in plan(options) {
        writeln!(out, "$ {}", invocation.line()).and_then(|()| out.flush()).map_err(TaskError::Output)?;
        if !shell::run(root, &invocation)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The loop looks for the writer beside itself, so both are built first.
fn plan(options: &[String]) -> [Invocation; 2] {
    let example = ["--release", "--package", "annals", "--example", "crash_loop"];
    let mut build = Invocation::new("cargo", &["build"]);
    build.arguments.extend(example.iter().chain(&["--example", "crash_writer"]).map(|word| (*word).to_owned()));
    let mut start = Invocation::new("cargo", &["run", "--quiet"]);
    start.arguments.extend(example.iter().chain(&["--"]).map(|word| (*word).to_owned()));
    start.arguments.extend_from_slice(options);
    [build, start]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_programs_are_built_and_the_options_passed_on() {
        let options = ["--rounds", "10"].map(str::to_owned);
        assert_eq!(
            plan(&options).map(|invocation| invocation.line()),
            [
                "cargo build --release --package annals --example crash_loop --example crash_writer",
                "cargo run --quiet --release --package annals --example crash_loop -- --rounds 10",
            ]
        );
    }
}
