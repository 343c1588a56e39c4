//! Assembling an open ledger from what its disk holds, without its threads.
//!
//! Everything that opening decides happens here: recovery, the cut of a torn tail, the look at the clock, missing
//! signatures. [`crate::Ledger`] gives the result its threads; a simulation drives the same engine step by step.

use crate::authors::Authors;
use crate::clock::Time;
use crate::engine::{Engine, EntropyVerifier, Parts};
use crate::loading::{Loader, read_genesis};
use crate::memory::Budget;
use crate::meter::Meter;
use crate::open_error::OpenError;
use crate::options::Options;
use crate::query::Query;
use crate::shared::{Bell, Jobs, Shared};
use annals_core::block::BlockHeader;
use annals_core::limits::PAYLOAD_SIZE_MAX;
use annals_core::signature::SigningKey;
use annals_ordering::park::Parking;
use annals_ordering::registry::Registry;
use annals_ordering::ring::Ring;
use annals_ordering::seal::Chain;
use annals_ordering::sequence::{Author, Sequencer};
use annals_ordering::verify::Suspects;
use annals_storage::device::Device;
use annals_storage::disk::Disk;
use annals_storage::frame::Slot;
use annals_storage::index::{IndexStore, LookupKey};
use annals_storage::log::Log;
use annals_storage::recovery::{Cut, Recovered, recover};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Duration;

/// How far the machine's clock may be behind the newest block.
const CLOCK_BEHIND_MS_MAX: u64 = 5_000;

/// What a ledger is opened from.
#[derive(Debug)]
pub(crate) struct Material {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) store: Arc<dyn IndexStore>,
    pub(crate) key: Arc<SigningKey>,
    /// Bytes of each new segment.
    pub(crate) segment_size: u64,
    pub(crate) time: Time,
}

/// An open ledger whose engine nobody runs yet.
#[derive(Debug)]
pub(crate) struct Assembled {
    pub(crate) shared: Arc<Shared>,
    pub(crate) engine: Engine,
    pub(crate) disk: Arc<dyn Disk>,
    /// The torn tail that was cut, if there was one.
    pub(crate) cut: Option<Cut>,
    /// Bytes of segments read so far.
    pub(crate) bytes_read: u64,
    /// Name of the device.
    pub(crate) device: &'static str,
}

/// A ledger that was recovered and is not written to yet.
#[derive(Debug)]
pub(crate) struct Opening {
    material: Material,
    found: Found,
    bytes_read: u64,
    /// The clock was accepted although it would have been refused.
    pub(crate) clock_accepted: bool,
    /// What it shows, in ms since the Unix epoch.
    pub(crate) clock_ms: u64,
}

impl Opening {
    /// Recovers the ledger on a disk.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing has changed then but for a torn tail that was cut.
    pub(crate) fn recover(material: Material, options: &Options) -> Result<Self, OpenError> {
        let Material { disk, store, key, time, .. } = &material;
        let found = Found::load(disk, store, key, options)?;
        let (bytes_read, clock_ms) = (disk.bytes_read(), time.now().wall_ms);
        let clock_accepted = check_clock(found.chain.newest(), clock_ms, options)?;
        Ok(Self { material, found, bytes_read, clock_accepted, clock_ms })
    }

    /// Its read side.
    pub(crate) fn query(&self) -> &Query {
        &self.found.query
    }

    /// Makes its engine, which nobody runs yet.
    ///
    /// # Errors
    ///
    /// [`OpenError::Ring`] if the ring can't be made as large as asked for.
    pub(crate) fn assemble(self, options: &Options, device: Box<dyn Device>) -> Result<Assembled, OpenError> {
        let Self { material: Material { disk, key, segment_size, time, .. }, found, bytes_read, .. } = self;
        let name = device.name();
        let memory = Budget::new(segment_size, options)?;
        let (ring, drain) = Ring::new(options.ring_size, PAYLOAD_SIZE_MAX)?;
        let registry = Arc::new(Registry::new(options.appender_count_max.saturating_add(1)));
        let shared = Arc::new(Shared {
            query: found.query,
            authors: Arc::new(Authors::default()),
            policy: options.policy.clone(),
            ring,
            registry,
            suspects: Arc::new(Suspects::default()),
            bell: Bell::new(device.waker()),
            workers: Parking::new(),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            idle_workers: AtomicU32::new(0),
            verifying: AtomicU32::new(0),
            lookers: AtomicU32::new(0),
            memory,
            jobs: Jobs::default(),
            closing: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            obstacle: Mutex::new(None),
            halted: Mutex::new(None),
            meter: Meter::default(),
        });
        let sequencer = announce(&shared, found.sequencer);
        let engine = Engine::new(Parts {
            shared: Arc::clone(&shared),
            drain,
            sequencer,
            chain: found.chain,
            log: found.log,
            prepared: found.prepared,
            device,
            key,
            time,
            segment_size,
            author_count_max: options.author_count_max,
            verifier: EntropyVerifier::new(Arc::clone(&shared.suspects)),
        });
        Ok(Assembled { shared, engine, disk, cut: found.cut, bytes_read, device: name })
    }
}

/// Refuses a clock behind the newest block or far ahead of it; whether one was accepted that would have been refused.
fn check_clock(newest: Option<&BlockHeader>, now_ms: u64, options: &Options) -> Result<bool, OpenError> {
    match judge_clock(newest, now_ms, options) {
        Ok(()) => Ok(false),
        Err(_) if options.accept_clock => Ok(true),
        Err(refusal) => Err(refusal),
    }
}

fn judge_clock(newest: Option<&BlockHeader>, now_ms: u64, options: &Options) -> Result<(), OpenError> {
    let Some(newest) = newest else { return Ok(()) };
    let behind_ms = newest.ordered_time_ms.saturating_sub(now_ms);
    if CLOCK_BEHIND_MS_MAX < behind_ms {
        return Err(OpenError::ClockBehind { behind_ms });
    }
    let ahead_ms = now_ms.saturating_sub(newest.ordered_time_ms);
    let ahead_ms_max = u64::try_from(options.clock_jump_max.max(Duration::ZERO).as_millis()).unwrap_or(u64::MAX);
    if ahead_ms_max < ahead_ms {
        return Err(OpenError::ClockAhead { ahead_ms, ahead_ms_max });
    }
    Ok(())
}

/// Hands the replayed authors to the gate, so that gate and engine number them alike.
fn announce(shared: &Shared, mut replayed: Sequencer) -> Sequencer {
    let genesis = shared.query.genesis.clone();
    for author in replayed.authors_mut() {
        let admitted = author.is_admitted(&genesis);
        // Nobody has forgotten anything yet.
        let _ = shared.authors.add(Author::clone(author), admitted, 0);
    }
    // The engine takes them as it takes all others: as arrivals.
    Sequencer::new(shared.ledger(), genesis)
}

/// What opening found.
#[derive(Debug)]
struct Found {
    query: Arc<Query>,
    sequencer: Sequencer,
    chain: Chain,
    log: Log,
    prepared: Option<LookupKey>,
    cut: Option<Cut>,
}

impl Found {
    fn load(
        disk: &Arc<dyn Disk>,
        store: &Arc<dyn IndexStore>,
        key: &Arc<SigningKey>,
        options: &Options,
    ) -> Result<Self, OpenError> {
        let (ledger, genesis) = read_genesis(disk)?;
        let (expected, found) = (genesis.vkey.key(), key.public());
        if expected != found {
            return Err(OpenError::WrongKey { expected, found });
        }
        let mut loader = Loader::new(Arc::clone(disk), Arc::clone(store), ledger, genesis.clone(), true);
        let recovered = recover(disk.as_ref(), Some(ledger), &mut |frame| loader.visit(frame));
        if let Some(failure) = loader.take_failure() {
            return Err(failure);
        }
        let recovered: Recovered = recovered?;
        let Some((loaded, unsigned, stored)) = loader.finish() else { return Err(OpenError::NoGenesis) };
        let Some(newest) = loaded.newest else { return Err(OpenError::NoGenesis) };
        recovered.settle(disk.as_ref())?;
        let mut log = Log::new(&recovered);
        let next_seq = newest.header.next_seq();
        let store = Some(Arc::clone(store));
        let query = Query::new(ledger, genesis.clone(), Arc::clone(disk), Arc::clone(&loaded.index), store, next_seq)
            .with_key(Arc::clone(key))
            .with_memory(options.reading_memory);
        stored.into_iter().for_each(|slot| query.add_checkpoint(slot));
        for block in unsigned {
            let signature = block.checkpoint.sign(&genesis.vkey, key);
            let slot = Slot { size: block.checkpoint.size, height: block.height, signature };
            query.add_checkpoint(slot);
            log.add_checkpoint(slot);
        }
        Ok(Self {
            query: Arc::new(query),
            sequencer: loaded.replay.into_sequencer(),
            chain: Chain::resume(newest.header, loaded.frontier),
            log,
            prepared: recovered.tail.prepared.as_ref().map(|segment| LookupKey::derive(&segment.key)),
            cut: recovered.cut,
        })
    }
}
