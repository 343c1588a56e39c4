//! What must hold of what contracts read, whatever bytes they are given: one check a fuzz target.
//!
//! As for the engine in `tests/fuzz_checks`: `cargo test` replays seeds and regressions through these very functions.

mod guards;

/// A fuzz target.
pub struct Target {
    /// Its name, and that of its directories of seeds and regressions.
    pub name: &'static str,
    /// Panics if something does not hold.
    pub check: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 1] = [Target { name: "guard", check: guards::guard, seeds: guards::guard_seeds }];

/// Runs the check of a target.
pub fn check(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a target of this name").check)(data);
}
