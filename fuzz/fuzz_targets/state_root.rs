//! Fuzzes `state_root`; what must hold is said in `tests/fuzz_checks`.
#![no_main]

#[path = "../../tests/fuzz_checks/mod.rs"]
#[allow(dead_code, reason = "each target runs one check")]
mod fuzz_checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_checks::check("state_root", data));
