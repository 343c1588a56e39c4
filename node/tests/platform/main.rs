//! The commands of a platform from outside: outputs, exit codes, files left behind, and every refusal in one line.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod acting;
mod administering;
mod looking;
mod proving;
mod town;
