//! The ceilings of a run: what this machine can do at all, measured with nothing of the engine around it.

use super::workload::Workload;
use crate::exit::CommandError;
use annals::DeviceChoice;
use annals::measure::{DiskSpeed, disk_speed, verify_records_per_s};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long each ceiling is measured, at most; no longer than the run.
const TIME_MAX: Duration = Duration::from_secs(2);
/// Records that verification is measured over, at most: more than any cache holds.
const RECORDS: u64 = 131_072;
/// Bytes of them, at most.
const BYTES: u64 = 128 << 20;
/// Lone records that no machine exceeds, a second.
const LONE_PER_SECOND: u64 = 20_000;

/// What the machine can do.
#[derive(Clone, Debug)]
pub(crate) struct Ceilings {
    pub(crate) verify_records_per_s: u64,
    pub(crate) disk: DiskSpeed,
}

/// Records of this size that the ceiling is measured over.
pub(crate) fn sample_count(record_size: usize) -> u64 {
    RECORDS.min(BYTES / record_size as u64).max(1)
}

impl Ceilings {
    /// Measures them with records of the workload, on the disk of a directory.
    pub(crate) fn measure(sample: &Arc<Workload>, dir: &Path, run: Duration) -> Result<Self, CommandError> {
        let time = run.min(TIME_MAX);
        let size = sample.shape.record_size();
        let bytes = sample.sample(sample_count(size))?;
        let records: Vec<&[u8]> = bytes.chunks_exact(size).collect();
        let verify_records_per_s = verify_records_per_s(&records, time);
        Ok(Self { verify_records_per_s, disk: disk_speed(dir, DeviceChoice::Best, time)? })
    }

    /// Records of this size that no run exceeds, a second.
    pub(crate) fn records_per_s(&self, record_size: usize) -> u64 {
        self.verify_records_per_s.min(self.disk.mb_per_s * 1_000_000 / record_size as u64).max(1)
    }

    /// The same, of lone records.
    pub(crate) fn lone_per_s(&self) -> u64 {
        self.verify_records_per_s.clamp(1, LONE_PER_SECOND)
    }
}
