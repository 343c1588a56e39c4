//! Contracts on an Annals ledger: what its records mean, decided the same way wherever they are applied again.
//!
//! The engine orders records and knows nothing of them. Here they become state: a deterministic function of the log, with a
//! root a block. `docs/CONTRACTS.md` is the model and the rules; `services/` holds what departments add, as data.
#![forbid(unsafe_code)]

pub mod guard;
pub mod state;
pub mod value;

pub use guard::{Budget, Guard, GuardError, GuardFault};
pub use value::{Value, ValueError};
