//! What an embedder chooses when making or opening a ledger.

use crate::manual_clock::ManualClock;
use crate::policy::Policy;
use annals_core::hash::AuthorId;
use annals_core::limits::SEGMENT_SIZE_DEFAULT;
use annals_ordering::ring::CAPACITY_DEFAULT;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Most verifiers, however many cores there are.
const VERIFIER_COUNT_MAX: usize = 8;

/// How a ledger is born. None of it can change later.
///
/// ```
/// let creation = annals::Creation::open("archive.example.gov/2026");
/// assert_eq!(creation.segment_size, 256 << 20);
/// ```
#[derive(Clone, Debug)]
pub struct Creation {
    /// Name of the ledger in its checkpoints: 1 to 128 printable ASCII characters without space and `+`.
    pub origin: String,
    /// The first authors; empty: anybody may append.
    pub authors: Vec<AuthorId>,
    /// Who may admit and revoke authors; empty: the ledger key alone.
    pub admins: Vec<AuthorId>,
    /// Bytes of a segment, a power of two from 2 MiB to 4 GiB.
    pub segment_size: u64,
    /// A key file to use as the ledger key, where it lies; none: a new key in the ledger's directory.
    pub ledger_key: Option<PathBuf>,
    /// What makes the ledger id unlike any other; none: random. Given only where the same ledger is to be born again: the
    /// genesis record then claims time 0, so that with the same key its id is the same.
    pub random: Option<[u8; 32]>,
}

impl Creation {
    /// A ledger that anybody may append to.
    pub fn open(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            authors: Vec::new(),
            admins: Vec::new(),
            segment_size: SEGMENT_SIZE_DEFAULT,
            ledger_key: None,
            random: None,
        }
    }

    /// A ledger that only these authors, and those admitted later, may append to.
    pub fn listed(origin: &str, authors: &[AuthorId]) -> Self {
        Self { authors: authors.to_vec(), ..Self::open(origin) }
    }
}

/// Bytes that reading keeps in memory unless told otherwise.
pub(crate) const READING_MEMORY_DEFAULT: usize = 32 << 20;

/// Which device writes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DeviceChoice {
    /// io_uring where the system allows it, otherwise pwrite.
    #[default]
    Best,
    /// pwrite and fdatasync.
    Pwrite,
}

/// How a ledger is opened for writing. The default suits most machines.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of the ring that records wait in, a power of two from 8 MiB to 64 MiB.
    pub ring_size: usize,
    /// Verifier threads; none: one less than there are cores, 1 to 8.
    pub verifier_count: Option<usize>,
    /// Most appenders at a time.
    pub appender_count_max: u32,
    /// Records that one appender may have outstanding, 1 to 1,048,576.
    pub outstanding_max: u32,
    /// Bytes that the writer may hold in memory for records on their way, their indexes, authors, appenders and reading; none:
    /// 256 MiB, or more where large segments ask for it. [`crate::Ledger::memory_max`] tells it. An appender that does not fit is refused, and
    /// a ledger that can't be held in it is not opened.
    pub memory_max: Option<u64>,
    /// Authors remembered beyond a segment's end, some 400 bytes each; those of the open segment always are.
    pub author_count_max: usize,
    /// Bytes that reading keeps in memory: a quarter for whole blocks, the rest for what finds single records, which is a
    /// hundredth of the ledger with records of 256 bytes and 0.5% with 4 KiB. What is not kept is read again.
    pub reading_memory: usize,
    /// Which device writes.
    pub device: DeviceChoice,
    /// A rule of the embedder's own.
    pub policy: Option<Arc<dyn Policy>>,
    /// How far the clock may be ahead of the newest block.
    pub clock_jump_max: Duration,
    /// Takes the clock as it is where opening would be refused for it; a *reopened* record says so.
    pub accept_clock: bool,
    /// The clock to go by instead of the machine's, genesis included if the ledger is made with it. It stands still until it
    /// is set: for scenarios, tests and simulations; ordered times then prove nothing about the world.
    pub clock: Option<ManualClock>,
    /// Reads the ledger again and again in the background, at so many bytes a second; none: never. What it finds is told by
    /// [`crate::Ledger::scrub_status`] and changes nothing.
    pub scrub_rate: Option<u64>,
    /// Lets a restored or copied ledger go on: the newest checkpoint, a signed note, that anybody holds. It is compared with
    /// what is here, also where the ledger is no copy; a *reopened* record then names it.
    pub continue_after: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ring_size: CAPACITY_DEFAULT,
            verifier_count: None,
            appender_count_max: 1024,
            outstanding_max: 16_384,
            memory_max: None,
            author_count_max: 65_536,
            reading_memory: READING_MEMORY_DEFAULT,
            device: DeviceChoice::Best,
            policy: None,
            clock_jump_max: Duration::from_hours(7 * 24),
            accept_clock: false,
            clock: None,
            scrub_rate: None,
            continue_after: None,
        }
    }
}

impl Options {
    /// Threads that verify: busy threads never exceed cores, and the engine is one.
    pub(crate) fn verifiers(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.verifier_count.unwrap_or(cores.saturating_sub(1)).clamp(1, VERIFIER_COUNT_MAX)
    }
}
