//! Looking what the machine can do: whether direct I/O and io_uring are there.

use rustix::fs::{Mode, OFlags};
use std::path::Path;

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
    crate::device::probe_uring().map(str::to_owned).map_err(|error| error.to_string())
}
