//! Ordering for an Annals ledger: what turns verified records into sealed blocks.
//!
//! Plain state machines without files, clocks or threads: nonce windows, sequencing, sealing. What a record is
//! comes from `annals-core`; where a block goes is somebody else's care.
#![forbid(unsafe_code)]

pub mod seal;
pub mod sequence;
pub mod window;
