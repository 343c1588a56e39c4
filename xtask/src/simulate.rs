//! The simulator: hands the seeds to the test of the facade that runs them, in release.
//!
//! What is simulated, and what must hold, stands in `src/simulation.rs`. It is no part of this crate, which sees nothing of ours.

use std::io::Write;
use std::path::Path;

use crate::error::TaskError;
use crate::shell::{self, Invocation};

/// Runs seeds from `first` on; `true` says that nothing was lost.
///
/// # Errors
///
/// [`TaskError`] if cargo cannot be run.
pub fn run(root: &Path, first: u64, seeds: u64, out: &mut dyn Write) -> Result<bool, TaskError> {
    let invocation = plan(first, seeds);
    writeln!(out, "$ {}", invocation.line()).and_then(|()| out.flush()).map_err(TaskError::Output)?;
    shell::run(root, &invocation)
}

fn plan(first: u64, seeds: u64) -> Invocation {
    let test = "simulation::seeds_of_the_environment";
    let arguments = ["test", "--quiet", "--release", "--package", "annals", "--lib", "--"];
    let mut invocation = Invocation::new("cargo", &arguments);
    invocation.arguments.extend(["--ignored", "--exact", test, "--nocapture"].map(str::to_owned));
    invocation.with("ANNALS_SIMULATE_FIRST", first.to_string()).with("ANNALS_SIMULATE_SEEDS", seeds.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_handed_over() {
        assert_eq!(
            plan(7, 100).line(),
            "ANNALS_SIMULATE_FIRST=7 ANNALS_SIMULATE_SEEDS=100 cargo test --quiet --release --package annals --lib -- \
             --ignored --exact simulation::seeds_of_the_environment --nocapture"
        );
    }
}
