//! Runs the fuzz targets with cargo-fuzz on the nightly toolchain, for a time.
//!
//! Each target starts from its seeds and regressions and uses its dictionary, where there are such. What a run finds is
//! left where cargo-fuzz puts it (`fuzz/artifacts/TARGET`); move it to `fuzz/regressions/TARGET`, and `cargo test` replays it from then on.

use std::io::Write;
use std::path::Path;

use crate::error::TaskError;
use crate::shell::{self, Invocation};
use crate::workspace;

/// Where a target's inputs and words lie, relative to `fuzz/`; only those that are there are used.
const INPUT_DIRECTORIES: [&str; 2] = ["seeds", "regressions"];
const DICTIONARY_DIRECTORY: &str = "dictionaries";

/// Fuzzes `target`, or each target in turn, for `seconds`; `true` says that nothing was found.
///
/// # Errors
///
/// [`TaskError::Missing`] without fuzz targets or cargo-fuzz; others if a program cannot be run.
pub fn run(root: &Path, target: Option<&str>, seconds: u32, out: &mut dyn Write) -> Result<bool, TaskError> {
    if !root.join("fuzz/Cargo.toml").is_file() {
        return Err(TaskError::Missing { missing: "fuzz/Cargo.toml", remedy: "this tree has no fuzz targets" });
    }
    if !shell::works(root, "cargo", &["+nightly", "fuzz", "--version"]) {
        let remedy = "rustup toolchain install nightly && cargo install cargo-fuzz --locked";
        return Err(TaskError::Missing { missing: "cargo-fuzz on a nightly toolchain", remedy });
    }
    let all = workspace::graph(root, "fuzz/Cargo.toml")?.binaries;
    let wanted: Vec<&str> = all.iter().map(String::as_str).filter(|name| target.is_none_or(|t| t == *name)).collect();
    if wanted.is_empty() {
        writeln!(out, "no such target; there are: {}", all.join(" ")).map_err(TaskError::Output)?;
        return Ok(false);
    }
    let mut clean = true;
    for name in wanted {
        // libFuzzer writes to a directory that is there.
        std::fs::create_dir_all(root.join("fuzz/corpus").join(name)).map_err(TaskError::Output)?;
        let invocation = plan(name, seconds, |path| root.join("fuzz").join(path).exists());
        writeln!(out, "=== {name}\n$ {}", invocation.line()).and_then(|()| out.flush()).map_err(TaskError::Output)?;
        clean &= shell::run(root, &invocation)?;
    }
    Ok(clean)
}

/// The command for one target; `exists` answers for paths relative to `fuzz/`.
fn plan(target: &str, seconds: u32, exists: impl Fn(&str) -> bool) -> Invocation {
    let mut invocation = Invocation::new("cargo", &["+nightly", "fuzz", "run", target]);
    let inputs: Vec<String> = INPUT_DIRECTORIES.iter().map(|kind| format!("{kind}/{target}")).collect();
    let there = inputs.iter().filter(|path| exists(path)).map(|path| format!("fuzz/{path}"));
    // The first directory is the one that libFuzzer writes new inputs to.
    invocation.arguments.push(format!("fuzz/corpus/{target}"));
    invocation.arguments.extend(there);
    invocation.arguments.extend(["--".to_owned(), format!("-max_total_time={seconds}")]);
    let dictionary = format!("{DICTIONARY_DIRECTORY}/{target}.dict");
    if exists(&dictionary) {
        invocation.arguments.push(format!("-dict=fuzz/{dictionary}"));
    }
    invocation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there_is_used() {
        assert_eq!(
            plan("record", 9, |_| false).line(),
            "cargo +nightly fuzz run record fuzz/corpus/record -- -max_total_time=9"
        );
        assert_eq!(
            plan("record", 9, |path| path != "regressions/record").line(),
            "cargo +nightly fuzz run record fuzz/corpus/record fuzz/seeds/record -- -max_total_time=9 \
             -dict=fuzz/dictionaries/record.dict"
        );
    }
}
