//! Looking what the machine can do for a ledger in a directory, and how fast its disk is.
//!
//! [`probe`] tells all of it at once. Each fact is also a function of its own, and so are the two measurements
//! [`durable_4k_write`] and [`stream`], which say what no ledger on this disk can beat. Nothing here is a
//! verdict: what a figure means is for the caller to say.

mod measure;

pub use measure::{Latency, LatencyPath, STREAM_SIZE_MAX, Stream, durable_4k_write, stream};

use crate::device::{Preference, UringError, UringOperation, uring_operations};
use crate::disk::{Access, Disk, DiskError, FileDisk};
use rustix::fs::{Mode, OFlags};
use std::io;
use std::path::Path;
use std::time::Duration;

/// What a machine and a directory on it can do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Probe {
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// The io_uring operations that the device uses, each with whether the kernel has it; or why there are none.
    pub uring_operations: Result<Vec<UringOperation>, UringError>,
    /// Whether files in the directory can be opened past the page cache.
    pub direct_io: bool,
    /// The type of the directory's file system, as `mount` names it: `ext4`, `xfs`, `tmpfs`.
    pub file_system: String,
    /// Bytes that are free for new segments.
    pub free_bytes: u64,
    /// The device that would be used, and that was measured: `io_uring` or `pwrite`.
    pub device: &'static str,
    /// Latency of a durable write of 4 KiB that was submitted and waited for.
    pub durable_4k_write: Latency,
    /// Bandwidth of durable writes of 1 MiB.
    pub stream: Stream,
}

/// Why a machine could not be looked at or measured.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The system refused something around the measurement.
    #[error("cannot {operation}: {kind} (os error {code})")]
    System {
        /** What was tried. */
        operation: &'static str,
        /** What kind of failure. */
        kind: io::ErrorKind,
        /** The system's number for it, 0 if there is none. */
        code: i32,
    },
    /// There is too little room to measure without filling the disk.
    #[error("measuring needs {needed} free bytes, there are {free}; free some, or name another directory")]
    NoRoom {
        /** Bytes that have to be free. */
        needed: u64,
        /** Bytes that are. */
        free: u64,
    },
    /// The disk failed.
    #[error("the disk failed while it was measured")]
    Disk(#[from] DiskError),
}

impl ProbeError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::System { .. } => "probe.system",
            Self::NoRoom { .. } => "probe.no_room",
            Self::Disk(_) => "probe.disk",
        }
    }

    fn system(operation: &'static str, error: &io::Error) -> Self {
        Self::System { operation, kind: error.kind(), code: error.raw_os_error().unwrap_or(0) }
    }
}

/// Looks at the machine and an existing directory, and measures its disk with the device that would be used there.
///
/// Takes somewhat more than `time_max`, which each of the two measurements gets half of.
///
/// # Errors
///
/// [`ProbeError`] if the directory can't be used, has too little room, or its disk fails.
pub fn probe(directory: &Path, time_max: Duration) -> Result<Probe, ProbeError> {
    let durable_4k_write = durable_4k_write(directory, Preference::Best, LatencyPath::Queued, time_max / 2)?;
    let stream = stream(directory, Preference::Best, time_max / 2)?;
    Ok(Probe {
        kernel: kernel(),
        uring_operations: uring_operations().map(Vec::from),
        direct_io: direct_io(directory),
        file_system: file_system(directory)?,
        free_bytes: FileDisk::new(directory, Access::Read).available()?,
        device: stream.device,
        durable_4k_write,
        stream,
    })
}

/// The kernel's release.
pub fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Whether a new file in this directory can be opened past the page cache.
pub fn direct_io(directory: &Path) -> bool {
    let path = directory.join(format!(".annals-probe-{}", std::process::id()));
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::DIRECT | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).is_ok();
    // A file system that refuses the flag may have made the file all the same.
    let _ = std::fs::remove_file(&path);
    opened
}

/// The io_uring operations that the device uses, or why it can't be used.
///
/// # Errors
///
/// The reason, for people.
pub fn io_uring() -> Result<String, String> {
    let operations = uring_operations().map_err(|error| error.to_string())?;
    match operations.into_iter().find(|operation| !operation.is_supported) {
        Some(UringOperation { name, .. }) => Err(UringError::MissingOperation { name }.to_string()),
        None => Ok(operations.map(|operation| operation.name).join(", ")),
    }
}

/// The type of a directory's file system, as `mount` names it; `unknown (0x…)` with the kernel's number for it if
/// no mount says.
///
/// # Errors
///
/// [`ProbeError::System`] if the directory can't be looked at.
pub fn file_system(directory: &Path) -> Result<String, ProbeError> {
    let looked = |error: rustix::io::Errno| ProbeError::system("look at the directory's file system", &error.into());
    let device = rustix::fs::stat(directory).map_err(looked)?.st_dev;
    let numbers = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    // Without /proc the number below still says which it is.
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    match mounts.lines().find_map(|line| mounted_type(line, &numbers)) {
        Some(name) => Ok(name.to_owned()),
        None => Ok(format!("unknown (0x{:x})", rustix::fs::statfs(directory).map_err(looked)?.f_type)),
    }
}

/// The file system's type in a line of `mountinfo`, if it is of the device with these numbers; see proc(5).
fn mounted_type<'a>(line: &'a str, numbers: &str) -> Option<&'a str> {
    let (mount, file_system) = line.split_once(" - ")?;
    let found = mount.split(' ').nth(2)? == numbers;
    file_system.split(' ').next().filter(|_| found)
}

#[cfg(test)]
mod tests {
    use super::mounted_type;

    #[test]
    fn a_mount_names_its_file_system_behind_fields_whose_count_varies() {
        // The example of proc(5), and one without optional fields.
        let example = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        assert_eq!(mounted_type(example, "98:0"), Some("ext3"));
        assert_eq!(mounted_type(example, "98:1"), None);
        assert_eq!(mounted_type("21 1 254:0 / / rw,relatime - ext4 /dev/vda rw", "254:0"), Some("ext4"));
        for damaged in ["", " - ", "36 35 - ext3", "36 35 98:0 / / rw"] {
            assert_eq!(mounted_type(damaged, "98:0"), None, "{damaged:?}");
        }
    }
}
