//! The charter: what the record of seq 1 fixed for a platform, as state holds it.
//!
//! Below the contracts, since each of them may ask by which clock times are told.

use crate::days::OFFSET_MINUTES_DEFAULT;
use crate::draft::{Draft, Stop, stored};
use crate::keys;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Who administers a platform.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// The administrators' keys.
    pub admins: Vec<String>,
    /// The version of the contracts that its records are applied by.
    pub contracts: u64,
    /// The host's key.
    pub host: String,
    /// The service that it was made for.
    pub service: String,
    /// How many administrators must sign.
    pub threshold: u32,
    /// Minutes ahead of UTC by which times are told.
    #[serde(default = "crate::days::offset_default")]
    pub utc_offset_minutes: i64,
}

/// The platform; none before its record.
pub(crate) fn platform(draft: &mut Draft<'_>) -> Result<Option<Arc<Platform>>, Stop> {
    stored(draft, &keys::platform())
}

/// Minutes ahead of UTC by which times are told.
pub(crate) fn platform_offset(draft: &mut Draft<'_>) -> Result<i64, Stop> {
    Ok(platform(draft)?.map_or(OFFSET_MINUTES_DEFAULT, |platform| platform.utc_offset_minutes))
}
