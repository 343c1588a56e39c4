//! Why applying stops: what is no decision of a contract, and must not pass for one.

use crate::state::StateError;
use annals::QueryError;
use std::sync::Arc;

/// The version of the contracts that this code is.
pub const CONTRACTS_VERSION: u64 = 1;

/// Why a host stopped.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// State can't be read or stored.
    #[error("{0}")]
    State(Arc<StateError>),
    /// A record of the ledger can't be read.
    #[error("{0}")]
    Query(Arc<QueryError>),
    /// A block came that is not the next one.
    #[error(
        "block {height} came, but state is applied through block {applied}; rebuild it with `annals state rebuild`"
    )]
    Gap {
        /** The block's height. */
        height: u64,
        /** Through where state is applied. */
        applied: u64,
    },
    /// Its thread ended before it came so far; closing the platform tells why.
    #[error("the contract host has stopped; close the platform, which tells the cause, and open it again")]
    Stopped,
    /// The ledger's contracts are of a later version than this program knows.
    #[error(
        "from here on the ledger needs contracts of version {needed}, this program knows {CONTRACTS_VERSION}: install the program that does"
    )]
    Version {
        /** The version that is needed. */
        needed: u64,
    },
    /// It panicked, which is a bug of ours.
    #[error("the host stopped by a panic; open the platform again, and report it")]
    Panicked,
}

impl HostError {
    /// Stable machine name; never renamed, only added to.
    pub fn code(&self) -> &'static str {
        match self {
            Self::State(error) => error.code(),
            Self::Query(error) => error.code(),
            Self::Gap { .. } => "host.gap",
            Self::Stopped => "host.stopped",
            Self::Version { .. } => "host.version",
            Self::Panicked => "host.panicked",
        }
    }
}

impl From<StateError> for HostError {
    fn from(error: StateError) -> Self {
        Self::State(Arc::new(error))
    }
}

impl From<QueryError> for HostError {
    fn from(error: QueryError) -> Self {
        Self::Query(Arc::new(error))
    }
}
