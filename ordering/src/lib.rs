//! Ordering for an Annals ledger: what stands between the callers' records and sealed blocks.
//!
//! The lock-free ring that records wait in, their batch verification, the slots that answer their callers, and
//! plain state machines: nonce windows, sequencing, sealing. No files and no clock, and no thread of its own. What a
//! record is comes from `annals-core`; where a block goes is somebody else's care.
#![deny(unsafe_code, unsafe_op_in_unsafe_fn)]

#[expect(unsafe_code, reason = "producers, verifiers and the engine share its bytes without a lock")]
pub mod ring;
mod sync;

pub mod park;
pub mod slots;

pub mod registry;
pub mod verify;
pub mod watermark;

pub mod seal;
pub mod sequence;
pub mod window;
