//! Annals: an embeddable ordering service and ledger engine. The one crate that embedders name.
//!
//! [`Ledger`] is a ledger open for writing, [`Appender`] a producer's way in, [`Reader`] a way to look, also beside a writer in
//! another process. [`RecordBuilder`] makes signed records; [`Receipt`] and [`ReceiptJson`] verify offline. `docs/ARCHITECTURE.md`
//! is the map.
//!
//! # Features
//!
//! None is on by default. `fast-signatures` adds a library that verifies signatures three to four times as fast where the
//! processor has AVX-512 (the program looks when it runs) and brings about 90 crates; both libraries accept the same. The
//! `annals` binary has it on, embedders decide for themselves: `docs/decisions/0006-signature-libraries.md`. `bench-unverified`
//! takes records as verified and is for comparisons with other stores only; a ledger made with it must not be used.
#![forbid(unsafe_code)]

mod abilities;
mod appender;
mod assembly;
mod audit;
mod authors;
mod backup;
mod builder;
mod clock;
mod creating;
mod engine;
mod follower;
mod gate;
mod home;
mod key_path;
mod ledger;
mod loading;
mod manual_clock;
mod matching;
pub mod measure;
mod memory;
mod meter;
mod open_error;
mod options;
mod place;
mod policy;
mod query;
mod reader;
mod rebuild;
mod refusal;
mod reopen;
mod repair;
mod replay;
mod scrub;
mod shared;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]
mod simulation;
mod still;

pub use abilities::{Abilities, abilities};
pub use annals_core::checkpoint::{Checkpoint, CheckpointError, Vkey, VkeyError};
pub use annals_core::genesis::{Admission, Genesis};
pub use annals_core::hash::{
    AuthorId, ContentHash, Hex, HexError, ItemHash, LedgerId, RecordId, StateRoot, TreeHash, parse_hex,
};
pub use annals_core::item_proof::{ItemProof, ItemProofError};
pub use annals_core::leaf::LeafEntry;
pub use annals_core::limits;
pub use annals_core::receipt::{Receipt, ReceiptError, Step};
pub use annals_core::receipt_json::{Disclosure, ReceiptJson, ReceiptJsonError};
pub use annals_core::record::{Flags, Head, Kind, ParseError, Record};
pub use annals_core::reopening::{Reason, Reopening};
pub use annals_core::signature::{KeyError, SigningKey, parse_author};
pub use annals_core::state_root::{Appointment, StateRootError, StateRootRecord};
pub use annals_ordering::registry::RegistryFull;
pub use annals_storage::device::UringError;
pub use annals_storage::disk::DiskError;
pub use annals_storage::index::IndexError;
pub use annals_storage::log::Halted;
pub use annals_storage::reader::ReadError;
pub use annals_storage::recovery::RecoveryError;
pub use appender::{Ack, Appender, NoAppender, Pending};
pub use audit::{CheckError, CheckOptions, CheckReport, Finding, check_ledger, check_with};
pub use backup::{BackupError, BackupReport, ManifestError, RestoreError, RestoreReport, Restoring, backup, restore};
pub use builder::{BuildError, RecordBuilder, SignedRecord, Signer};
pub use follower::{FollowError, Follower, Following, Position};
pub use home::{FORMAT_VERSION, HomeError, LedgerSize, ledger_size};
pub use key_path::{KeyPathError, generate_key, random_bytes, read_key, write_key};
pub use ledger::{CloseError, Ledger};
pub use manual_clock::{ManualClock, ManualClockError};
pub use meter::Written;
pub use open_error::OpenError;
pub use options::{Creation, DeviceChoice, Options};
pub use place::FileIdentity;
pub use policy::Policy;
pub use query::{QueryError, StoredRecord};
pub use reader::{Newest, Reader, Scan};
pub use refusal::{Fault, Refusal};
pub use reopen::use_ledger_key;
pub use repair::{DamagedSegment, RepairError, RepairReport, repair_ledger};
pub use replay::ReplayError;
pub use scrub::{ScrubError, ScrubReport, ScrubStatus};

/// Trees as RFC 6962 and RFC 9162 make them, for embedders who prove lists of their own.
pub mod tree {
    pub use annals_core::proof::{inclusion_path, inclusion_root, verify_inclusion};
    pub use annals_core::tree::{Frontier, TreeError, empty_root, leaf_hash, node_hash};
}

/// The README's example, compiled and run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
