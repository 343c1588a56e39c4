//! Fuzzes `outcome_proof`; what must hold is said in `contracts/tests/fuzz_checks`.
#![no_main]

#[path = "../../contracts/tests/fuzz_checks/mod.rs"]
#[allow(dead_code, reason = "each target runs one check")]
mod fuzz_checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_checks::check("outcome_proof", data));
