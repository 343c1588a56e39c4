//! Contracts on an Annals ledger: what its records mean, decided the same way wherever they are applied again.
//!
//! The engine orders records and knows nothing of them. Here they become state: a deterministic function of the log, with a
//! root a block. [`Platform`] is a ledger with contracts on it; `docs/CONTRACTS.md` is the model and the rules; `services/` holds what
//! departments add, as data.
#![forbid(unsafe_code)]

pub mod administration;
mod apply;
mod charter;
pub mod codes;
pub mod days;
pub mod definition;
mod deployed;
mod draft;
mod failure;
pub mod guard;
mod host;
mod keys;
mod label;
mod library;
pub mod message;
mod officer;
pub mod outcome;
pub mod platform;
pub mod policy;
mod proof;
pub mod registry;
pub mod scenario;
pub mod schema;
pub mod service;
pub mod state;
pub mod value;
pub mod workflow;

pub use draft::{At, STEPS_MAX};
pub use failure::{CONTRACTS_VERSION, HostError};
pub use guard::{Budget, Guard, GuardError, GuardFault};
pub use keys::{is_id, is_invisible, parse_case};
pub use label::Label;
pub use officer::Officer;
pub use outcome::{Event, Outcome, Refused, Status};
pub use platform::{Founding, Platform, PlatformError, PlatformOptions, SubmitError, Submitted, View};
pub use proof::{ListPlace, OUTCOME_PROOF_SIZE_MAX, OutcomeProof, OutcomeProofError, ProofStep, RootRecord};
pub use scenario::{Scenario, ScenarioError};
pub use service::{Service, ServiceError};
pub use value::{Value, ValueError};
