//! What outlives a process: the disk, the index files, the key, and time.

use super::plan::{Plan, SEGMENT_SIZE};
use super::process::Process;
use crate::clock::{Reading, Time};
use crate::creating::{Birth, append_genesis};
use crate::open_error::OpenError;
use crate::options::Options;
use annals_core::checkpoint::Vkey;
use annals_core::genesis::{Admission, Genesis};
use annals_core::hash::LedgerId;
use annals_core::record::record_id;
use annals_core::signature::SigningKey;
use annals_storage::disk::{Dice, DiskError, SimulatedDisk};
use annals_storage::index::{IndexStore, MemoryIndexStore, ReadAt, WriteIndex};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When every simulated ledger is born, in ms since the Unix epoch.
const BIRTH_MS: u64 = 1_800_000_000_000;
const HOUR_MS: u64 = 3_600_000;

/// Index files in memory, some writes of which fail.
#[derive(Clone, Debug)]
pub(super) struct Indexes {
    files: MemoryIndexStore,
    /// Writes left before one fails; counted down, none fails once it has.
    left: Arc<AtomicU64>,
}

impl IndexStore for Indexes {
    fn open(&self, segment: u64) -> Result<Option<Arc<dyn ReadAt>>, DiskError> {
        self.files.open(segment)
    }

    fn begin(&self, segment: u64) -> Result<Box<dyn WriteIndex>, DiskError> {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        if left == 1 { Err(DiskError::Full { segment }) } else { self.files.begin(segment) }
    }
}

/// What outlives a process.
#[derive(Debug)]
pub(super) struct World {
    pub(super) disk: SimulatedDisk,
    pub(super) indexes: Indexes,
    pub(super) key: Arc<SigningKey>,
    pub(super) ledger: LedgerId,
    pub(super) vkey: Vkey,
    now: Arc<Mutex<Reading>>,
}

impl World {
    /// A ledger that was just born.
    #[expect(clippy::disallowed_methods, reason = "a point to count from; nothing depends on which")]
    pub(super) fn born(dice: &mut Dice, room: u64) -> Self {
        let key = SigningKey::from_seed(&[9; 32]);
        let vkey = Vkey::new("annals.example/simulated", key.public()).unwrap();
        let admins = vec![key.public()];
        let genesis =
            Genesis { admission: Admission::Open, vkey: vkey.clone(), admins, authors: Vec::new(), random: [3; 32] };
        let disk = SimulatedDisk::new(dice.roll(), room * SEGMENT_SIZE);
        let birth =
            Birth { segment_size: SEGMENT_SIZE, segment_key: segment_key(dice), clock_ms: BIRTH_MS, claimed_ms: 0 };
        append_genesis(&disk, &genesis, &key, birth).unwrap();
        let (head, _) = genesis.record(&key, 0);
        let ledger = LedgerId::from_bytes(record_id(&head).to_bytes());
        let now = Reading { wall_ms: BIRTH_MS, monotonic: Instant::now() };
        let indexes = Indexes { files: MemoryIndexStore::new(), left: Arc::default() };
        Self { disk, indexes, key: Arc::new(key), ledger, vkey, now: Arc::new(Mutex::new(now)) }
    }

    /// Opens the ledger in a new process.
    pub(super) fn open(&self, plan: &Plan, accept_clock: bool) -> Result<Process, OpenError> {
        let options =
            Options { ring_size: 8 << 20, author_count_max: plan.author_count_max, accept_clock, ..Options::default() };
        Process::open(self, &self.disk, &options)
    }

    /// The clock that processes look at.
    pub(super) fn time(&self) -> Time {
        Time::Simulated(Arc::clone(&self.now))
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.now.lock().wall_ms
    }

    /// Time passes.
    pub(super) fn pass(&self, time: Duration) {
        let mut now = self.now.lock();
        now.monotonic += time;
        now.wall_ms += u64::try_from(time.as_millis()).unwrap_or(0);
    }

    /// Somebody sets the clock: back an hour, or ahead a year.
    pub(super) fn set_clock(&self, dice: &mut Dice) {
        let mut now = self.now.lock();
        now.wall_ms = if dice.happens(512) { now.wall_ms - HOUR_MS } else { now.wall_ms + 365 * 24 * HOUR_MS };
    }

    /// Index files go bad, each with these odds, and writing the next ones may fail.
    pub(super) fn spoil_indexes(&self, dice: &mut Dice, odds: u32) {
        let files = &self.indexes.files;
        let segments = (0..64).filter(|segment| files.bytes(*segment).is_some()).collect::<Vec<_>>();
        for segment in segments.iter().copied() {
            if !dice.happens(odds) {
                continue;
            }
            let mut bytes = files.bytes(segment).unwrap_or_default();
            let at = usize::try_from(dice.below(bytes.len() as u64)).unwrap_or(0);
            match dice.below(5) {
                0 => files.set(segment, None),
                1 => files.set(segment, Some(bytes.drain(..at).collect())),
                2 => {
                    let bit = 1 << dice.below(8);
                    bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bit);
                    files.set(segment, Some(bytes));
                }
                3 => {
                    bytes.iter_mut().skip(at).for_each(|byte| *byte = 0);
                    files.set(segment, Some(bytes));
                }
                _ => files.set(segment, segments.first().and_then(|other| files.bytes(*other))),
            }
        }
        let left = if dice.happens(odds) { 1 + dice.below(3) } else { 0 };
        self.indexes.left.store(left, Ordering::Relaxed);
    }
}

/// A segment's random key.
pub(super) fn segment_key(dice: &mut Dice) -> [u8; 32] {
    let mut key = [0; 32];
    key.chunks_exact_mut(8).for_each(|bytes| bytes.copy_from_slice(&dice.roll().to_le_bytes()));
    key
}
