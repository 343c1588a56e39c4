//! The machine and this process: facts beside the figures.

use std::fs::read_to_string;
use std::path::Path;

/// The value of a line of a file of /proc, such as `MemTotal: 123 kB`.
fn line(path: &str, name: &str) -> Option<String> {
    let text = read_to_string(path).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
    value.map(|value| value.trim().to_owned())
}

fn kib(path: &str, name: &str) -> u64 {
    let value = line(path, name).unwrap_or_default();
    value.strip_suffix("kB").and_then(|kib| kib.trim().parse().ok()).unwrap_or(0)
}

/// This process's memory, KiB, as the system counts it: pages of its own and of files that are mapped, no page cache. 0 if
/// the system does not say.
pub(crate) fn rss_kib() -> u64 {
    kib("/proc/self/status", "VmRSS")
}

/// The most that it was, KiB, since the process began or the peak was forgotten.
pub(crate) fn peak_kib() -> u64 {
    kib("/proc/self/status", "VmHWM")
}

/// Forgets the peak, where the system lets it; where not, the peak is that of the whole process.
pub(crate) fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// What a report says of the machine.
pub(crate) fn facts(dir: &Path, device: &str) -> Vec<(String, String)> {
    let unknown = || "unknown".to_owned();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = kib("/proc/meminfo", "MemTotal") >> 10;
    let system = rustix::system::uname();
    let kernel = format!("{} {}", system.sysname().to_string_lossy(), system.release().to_string_lossy());
    let facts = [
        ("processor", line("/proc/cpuinfo", "model name").unwrap_or_else(unknown)),
        ("cores", cores.to_string()),
        ("memory", format!("{memory} MiB")),
        ("kernel", kernel),
        ("written with", device.to_owned()),
        ("disk", disk(dir).unwrap_or_else(unknown)),
        ("annals", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    facts.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

/// The file system that holds a directory, and what it lies on.
fn disk(dir: &Path) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    let mounts = read_to_string("/proc/self/mounts").ok()?;
    let fields = mounts.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        Some((fields.next()?, fields.next()?, fields.next()?))
    });
    let holding = fields.filter(|(_, place, _)| dir.starts_with(place));
    let (device, place, system) = holding.max_by_key(|(_, place, _)| place.len())?;
    Some(format!("{system} on {device} at {place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_this_process_s_memory() {
        assert!(0 < rss_kib() && rss_kib() <= peak_kib() + 4096);
        assert_eq!(kib("/proc/self/status", "NoSuchLine"), 0);
        assert!(facts(Path::new("/"), "pwrite").iter().all(|(_, value)| !value.is_empty()));
    }
}
