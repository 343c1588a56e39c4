//! Why a machine gives no io_uring: a value that a caller reports, with what to do about it.

use rustix::io::Errno;
use std::fmt;
use std::io;

/// Why the io_uring device can't be used here. Nothing is wrong with the ledger: the pwrite device serves.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UringError {
    /// The system makes no ring.
    #[error("the system makes no io_uring: {kind} (os error {code}){}", Advice(*.code))]
    Refused {
        /** What kind of failure. */
        kind: io::ErrorKind,
        /** The system's number for it, 0 if there is none. */
        code: i32,
    },
    /// The kernel's io_uring has no wait with a time limit, which came with Linux 5.11.
    #[error("this kernel's io_uring has no wait with a time limit; Linux 5.11 has")]
    NoTimedWait,
    /// The kernel's io_uring lacks an operation.
    #[error("this kernel's io_uring lacks {name}")]
    MissingOperation {
        /** The operation, by the name in the kernel's manual. */
        name: &'static str,
    },
}

impl UringError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "uring.refused",
            Self::NoTimedWait => "uring.no_timed_wait",
            Self::MissingOperation { .. } => "uring.missing_operation",
        }
    }

    pub(super) fn refused(error: &io::Error) -> Self {
        Self::Refused { kind: error.kind(), code: error.raw_os_error().unwrap_or(0) }
    }
}

/// What to do about the usual refusals, by the system's number.
struct Advice(i32);

impl fmt::Display for Advice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forbidden = "; see the sysctl kernel.io_uring_disabled and the container's seccomp profile";
        let files = "; raise the limit of open files, RLIMIT_NOFILE";
        let known = [
            (Errno::NOSYS, "; the kernel is built without it"),
            (Errno::PERM, forbidden),
            (Errno::ACCESS, forbidden),
            (Errno::NOMEM, "; raise the limit of locked memory, RLIMIT_MEMLOCK"),
            (Errno::MFILE, files),
            (Errno::NFILE, files),
        ];
        let advice = known.into_iter().find(|(errno, _)| errno.raw_os_error() == self.0);
        formatter.write_str(advice.map_or("", |(_, advice)| advice))
    }
}
