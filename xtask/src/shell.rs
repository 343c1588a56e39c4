//! The one place that starts programs, reads the clock and looks at what this machine has.
//!
//! Programs get no standard input, so none of them can wait for an answer.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::error::TaskError;

/// A program to run, with its arguments and what its environment has beside this process's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invocation {
    /// The program, looked up on the PATH.
    pub program: &'static str,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Environment variables to set.
    pub environment: Vec<(&'static str, String)>,
}

impl Invocation {
    /// `program` with `arguments` and this process's environment.
    pub fn new(program: &'static str, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { program, arguments, environment: Vec::new() }
    }

    /// The same with `name` set to `value` in its environment.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// The line to type in a shell for the same.
    pub fn line(&self) -> String {
        let quoted = |word: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=+:,".contains(c);
            if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
        };
        let set = self.environment.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
        let words = std::iter::once(self.program.to_owned()).chain(self.arguments.iter().map(|word| quoted(word)));
        set.chain(words).collect::<Vec<_>>().join(" ")
    }
}

/// Runs `invocation` in `directory` with this process's outputs; `true` says that it exited with 0.
///
/// # Errors
///
/// [`TaskError::Start`] if the program cannot be started.
pub fn run(directory: &Path, invocation: &Invocation) -> Result<bool, TaskError> {
    let program = invocation.program;
    let status = Command::new(program)
        .args(&invocation.arguments)
        .envs(invocation.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(directory)
        .stdin(Stdio::null())
        .status()
        .map_err(|source| TaskError::Start { program, source })?;
    Ok(status.success())
}

/// Runs `program` in `directory` and returns what it wrote to its standard output.
///
/// # Errors
///
/// [`TaskError`] if the program cannot be started or exits with anything but 0.
pub fn output(directory: &Path, program: &'static str, arguments: &[&str]) -> Result<Vec<u8>, TaskError> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| TaskError::Start { program, source })?;
    let exit_code = output.status.code();
    if output.status.success() { Ok(output.stdout) } else { Err(TaskError::Failed { program, exit_code }) }
}

/// Runs `invocation` in `directory` and returns what it wrote to its standard output, and whether it exited with 0.
///
/// # Errors
///
/// [`TaskError::Start`] if the program cannot be started.
pub fn capture(directory: &Path, invocation: &Invocation) -> Result<(Vec<u8>, bool), TaskError> {
    let program = invocation.program;
    let output = Command::new(program)
        .args(&invocation.arguments)
        .envs(invocation.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(directory)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(|source| TaskError::Start { program, source })?;
    Ok((output.stdout, output.status.success()))
}

/// Whether `program` with `arguments` can be started and exits with 0; what it prints is thrown away.
pub fn works(directory: &Path, program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Now, for the durations in reports.
#[expect(clippy::disallowed_methods, reason = "this is the edge where time enters")]
pub fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_be_typed() {
        let invocation = Invocation::new("cargo", &["test", "--config", "a b"]).with("RUSTFLAGS", "--cfg loom");
        assert_eq!(invocation.line(), "RUSTFLAGS='--cfg loom' cargo test --config 'a b'");
    }

    #[test]
    fn exit_codes_and_absent_programs_are_told_apart() {
        let here = Path::new(".");
        assert!(works(here, "true", &[]));
        assert!(!works(here, "false", &[]));
        assert!(!works(here, "no-such-program-anywhere", &[]));
        assert!(matches!(run(here, &Invocation::new("true", &[])), Ok(true)));
        assert!(matches!(run(here, &Invocation::new("false", &[])), Ok(false)));
        let absent = run(here, &Invocation::new("no-such-program-anywhere", &[]));
        assert!(matches!(absent, Err(TaskError::Start { program: "no-such-program-anywhere", .. })));
        assert!(matches!(output(here, "echo", &["yes"]), Ok(bytes) if bytes == b"yes\n"));
        assert!(matches!(output(here, "false", &[]), Err(TaskError::Failed { exit_code: Some(1), .. })));
    }
}
