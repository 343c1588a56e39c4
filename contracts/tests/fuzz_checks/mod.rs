//! What must hold of what contracts read, whatever bytes they are given: one check a fuzz target.
//!
//! As for the engine in `tests/fuzz_checks`: `cargo test` replays seeds and regressions through these very functions.

mod definitions;
mod guards;
mod payloads;
mod proofs;

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
pub const TARGETS: [Target; 4] = [
    Target { name: "guard", check: guards::guard, seeds: guards::guard_seeds },
    Target { name: "definition", check: definitions::definition, seeds: definitions::definition_seeds },
    Target { name: "payload", check: payloads::payload, seeds: payloads::payload_seeds },
    Target { name: "outcome_proof", check: proofs::outcome_proof, seeds: proofs::outcome_proof_seeds },
];

/// Runs the check of a target.
pub fn check(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a target of this name").check)(data);
}
