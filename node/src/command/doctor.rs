//! `annals doctor`: what this machine can do, and what would be used.

use crate::exit::CommandError;
use annals::DeviceChoice;
use annals::measure::disk_speed;
use serde_json::json;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

/// How long the disk is measured.
const MEASURED: Duration = Duration::from_secs(2);

pub(crate) fn run(dir: Option<&Path>, as_json: bool) -> Result<u8, CommandError> {
    let scratch = match dir {
        Some(_) => None,
        None => Some(tempfile::tempdir().map_err(|source| CommandError::Write { path: std::env::temp_dir(), source })?),
    };
    let dir = dir.or_else(|| scratch.as_ref().map(tempfile::TempDir::path)).unwrap_or(Path::new("."));
    let abilities = annals::abilities(dir)?;
    let speed = disk_speed(dir, DeviceChoice::Best, MEASURED)?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let features = cpu_features();
    let mut out = std::io::stdout().lock();
    if as_json {
        let object = json!({
            "kernel": abilities.kernel,
            "cores": cores,
            "cpu_features": features,
            "io_uring": abilities.io_uring.is_ok(),
            "io_uring_missing": abilities.io_uring.as_ref().err(),
            "direct_io": abilities.direct_io,
            "free_bytes": abilities.free_bytes,
            "device": speed.device,
            "durable_4k_write_us": {"p50": speed.durable_4k_write_us_p50, "p99": speed.durable_4k_write_us_p99},
            "disk_mb_per_s": speed.mb_per_s,
        });
        writeln!(out, "{object}")?;
        return Ok(0);
    }
    writeln!(out, "kernel      {}", abilities.kernel)?;
    writeln!(out, "cores       {cores}; CPU features in use: {}", features.join(" "))?;
    match &abilities.io_uring {
        Ok(operations) => writeln!(out, "io_uring    yes: {operations}")?,
        Err(reason) => {
            writeln!(out, "io_uring    no: {reason}; pwrite and fdatasync instead, which is slower in a flood")?
        }
    }
    let direct = if abilities.direct_io { "yes" } else { "no: the page cache stands between; prefer ext4 or xfs" };
    writeln!(out, "O_DIRECT    {direct}")?;
    writeln!(out, "free        {} MiB under {}", abilities.free_bytes >> 20, dir.display())?;
    let (p50, p99) = (speed.durable_4k_write_us_p50, speed.durable_4k_write_us_p99);
    writeln!(out, "durable     4 KiB in {p50} us (median), {p99} us (99th percentile)")?;
    writeln!(out, "stream      {} MB/s durable, 1 MiB at a time, two in flight", speed.mb_per_s)?;
    writeln!(out, "would use   {}", speed.device)?;
    Ok(0)
}

/// CPU features that hashes and signatures profit from.
fn cpu_features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let known = [
        ("sse4.1", std::is_x86_feature_detected!("sse4.1")),
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
        ("avx512ifma", std::is_x86_feature_detected!("avx512ifma")),
        ("sha", std::is_x86_feature_detected!("sha")),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let known: [(&str, bool); 0] = [];
    known.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}
