//! A ledger that is open for writing.

#[cfg(test)]
mod tests;

use crate::appender::{Ack, Appender};
use crate::authors::Authors;
use crate::clock::Reading;
use crate::creating::create;
use crate::engine::{Engine, EntropyVerifier, Parts, work};
use crate::follower::{FollowError, Follower, Following, Position};
use crate::home::{Home, Lock};
use crate::loading::{Loader, read_genesis};
use crate::matching::check_segment_size;
use crate::open_error::OpenError;
use crate::options::{Creation, DeviceChoice, Options};
use crate::query::Query;
use crate::reader::Reader;
use crate::refusal::Refusal;
use crate::reopen::GoingOn;
use crate::shared::{Bell, Jobs, Shared};
use annals_core::block::BlockHeader;
use annals_core::checkpoint::{Checkpoint, Vkey};
use annals_core::genesis::{Genesis, engine_head};
use annals_core::hash::LedgerId;
use annals_core::limits::PAYLOAD_SIZE_MAX;
use annals_core::record::Kind;
use annals_core::reopening::Reopening;
use annals_core::signature::SigningKey;
use annals_ordering::park::Parking;
use annals_ordering::registry::{Registry, RegistryFull};
use annals_ordering::ring::Ring;
use annals_ordering::seal::Chain;
use annals_ordering::sequence::{Author, Sequencer};
use annals_ordering::slots::Slots;
use annals_ordering::verify::Suspects;
use annals_storage::device::{Device, PwriteDevice, UringDevice};
use annals_storage::disk::{Access, Disk, FileDisk};
use annals_storage::frame::Slot;
use annals_storage::index::{FileIndexStore, IndexStore, LookupKey};
use annals_storage::log::{Halted, Log};
use annals_storage::recovery::{Cut, Recovered, recover};
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How far the machine's clock may be behind the newest block.
const CLOCK_BEHIND_MS_MAX: u64 = 5_000;

/// Why closing was not clean.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// A write had failed before.
    #[error(transparent)]
    Halted(#[from] Halted),
    /// The engine panicked, which is a bug of ours.
    #[error("the engine stopped by a panic; open the ledger again, and report it")]
    Panicked,
}

impl CloseError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Halted(_) => "ledger.halted",
            Self::Panicked => "ledger.panicked",
        }
    }
}

/// A ledger that is open for writing: one in all processes.
///
/// ```
/// use annals::{Creation, Kind, Ledger, Options, RecordBuilder, SigningKey};
/// # let directory = tempfile::tempdir()?;
/// # let place = directory.path().join("ledger");
/// let ledger = Ledger::create(&place, &Creation::open("example.gov/ledger"), Options::default())?;
/// let key = SigningKey::from_seed(&[7; 32]);
/// let record = RecordBuilder::new(ledger.id(), Kind::APPLICATION_FIRST).sign(&key, b"granted")?;
/// let ack = ledger.appender()?.append_wait(record.bytes())?;
/// let receipt = ledger.reader().prove(ack.seq)?;
/// assert!(receipt.verify(ledger.vkey()).is_ok());
/// ledger.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Ledger {
    shared: Arc<Shared>,
    key: Arc<SigningKey>,
    path: PathBuf,
    device: &'static str,
    outstanding_max: u32,
    cut: Option<Cut>,
    bytes_read: u64,
    /// The records by which opening went on.
    reopened: Vec<Ack>,
    engine: Option<JoinHandle<Result<(), Halted>>>,
    workers: Vec<JoinHandle<()>>,
    /// The ledger key's own way in, for ticks.
    ticker: Mutex<Appender>,
    /// Given back last, when all threads are gone.
    _lock: Lock,
}

/// The checkpoint of a block, signed.
pub(crate) fn sign(header: &BlockHeader, genesis: &Genesis, key: &SigningKey) -> Slot {
    let checkpoint = Checkpoint { size: header.next_seq(), root: header.root };
    Slot { size: header.next_seq(), height: header.height, signature: checkpoint.sign(&genesis.vkey, key) }
}

impl Ledger {
    /// Makes a ledger in a directory that is missing or empty, and opens it.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; then there is no ledger.
    pub fn create(path: &Path, creation: &Creation, options: Options) -> Result<Self, OpenError> {
        let home = create(path, creation)?;
        Self::open_home(&home, path, options)
    }

    /// Opens a ledger: takes its lock, recovers, and cuts a torn tail.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; damage is refused with its place, and nothing is changed then.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        Self::open_home(&Home::open(path)?, path, options)
    }

    fn open_home(home: &Home, path: &Path, options: Options) -> Result<Self, OpenError> {
        let choice = options.device;
        Self::open_on(home, path, options, |files| open_device(files, choice))
    }

    /// Opens a ledger whose blocks are written by the device that is made for its files.
    fn open_on(
        home: &Home,
        path: &Path,
        options: Options,
        make_device: impl FnOnce(&Arc<FileDisk>) -> Result<Box<dyn Device>, OpenError>,
    ) -> Result<Self, OpenError> {
        let lock = home.lock()?;
        let going_on = GoingOn::ask(home, &options)?;
        // Derived data: if its directory was removed, it is made again; if that fails, memory answers.
        let _ = std::fs::create_dir(home.index());
        let key = Arc::new(home.read_key()?);
        let files = Arc::new(FileDisk::new(&home.segments(), Access::Write));
        let disk: Arc<dyn Disk> = Arc::clone(&files) as Arc<dyn Disk>;
        let store: Arc<dyn IndexStore> = Arc::new(FileIndexStore::new(&home.index()));
        check_segment_size(home, disk.as_ref())?;
        let found = Found::load(&disk, &store, &key)?;
        let bytes_read = disk.bytes_read();
        let start = Reading::now();
        let clock_accepted = check_clock(found.chain.newest(), start.wall_ms, &options)?;
        let reopenings = going_on.judge(&found.query, clock_accepted, start.wall_ms)?;
        let device = make_device(&files)?;
        let device_name = device.name();
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
            lookers: AtomicU32::new(0),
            jobs: Jobs::default(),
            closing: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            halted: Mutex::new(None),
        });
        let sequencer = announce(&shared, found.sequencer);
        let mut workers = Vec::new();
        for _ in 0..options.verifiers() {
            let (shared, disk) = (Arc::clone(&shared), Arc::clone(&disk));
            workers.push(spawn("annals-worker", move || work(&shared, disk.as_ref()))?);
        }
        let engine = Engine::new(Parts {
            shared: Arc::clone(&shared),
            drain,
            sequencer,
            chain: found.chain,
            log: found.log,
            prepared: found.prepared,
            device,
            key: Arc::clone(&key),
            start,
            segment_size: home.segment_size(),
            author_count_max: options.author_count_max,
            verifier: EntropyVerifier::new(Arc::clone(&shared.suspects)),
        });
        let engine = Some(spawn("annals-engine", move || engine.run())?);
        let (outstanding_max, cut) = (options.outstanding_max, found.cut);
        let ticker = Mutex::new(appender(&shared, 16).map_err(|full| OpenError::System {
            operation: "make an appender",
            source: std::io::Error::other(full.to_string()),
        })?);
        let (path, device) = (path.to_owned(), device_name);
        let reopened = Vec::new();
        let ledger = Self {
            shared,
            key,
            path,
            device,
            outstanding_max,
            cut,
            bytes_read,
            reopened,
            engine,
            workers,
            ticker,
            _lock: lock,
        };
        ledger.go_on(home, &going_on, &reopenings)
    }

    /// Orders the records that say why the ledger goes on: durable before anybody has the ledger, and before it passes for
    /// no copy any more.
    fn go_on(mut self, home: &Home, going_on: &GoingOn, reopenings: &[Reopening]) -> Result<Self, OpenError> {
        for reopening in reopenings {
            let payload = reopening.encode(self.vkey());
            let ack = self.order(Kind::REOPENED, &payload).map_err(OpenError::Reopening)?;
            self.reopened.push(ack);
        }
        going_on.settle(home)?;
        Ok(self)
    }

    /// The ledger's id.
    pub fn id(&self) -> LedgerId {
        self.shared.ledger()
    }

    /// What its checkpoints and receipts are verified against.
    pub fn vkey(&self) -> &Vkey {
        &self.shared.query.genesis.vkey
    }

    /// Its rules, as the genesis record fixed them.
    pub fn genesis(&self) -> &Genesis {
        &self.shared.query.genesis
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The device that writes: `io_uring` or `pwrite`.
    pub const fn device(&self) -> &'static str {
        self.device
    }

    /// The torn tail that opening has cut, if there was one: segment and range of bytes.
    pub fn torn_tail(&self) -> Option<(u64, u64, u64)> {
        self.cut.map(|cut| (cut.segment, cut.from, cut.to))
    }

    /// The *reopened* records that opening has ordered: for a copy that went on, and for a clock that was accepted.
    pub fn reopened(&self) -> &[Ack] {
        &self.reopened
    }

    /// Bytes of segments that opening has read: those of the newest one, and the genesis block.
    pub const fn bytes_read_opening(&self) -> u64 {
        self.bytes_read
    }

    /// The failure that halted the ledger, if one did.
    pub fn halted(&self) -> Option<Halted> {
        self.shared.halted.lock().clone()
    }

    /// A way in for one producer.
    ///
    /// # Errors
    ///
    /// [`RegistryFull`] if as many appenders are in use as the options allow.
    pub fn appender(&self) -> Result<Appender, RegistryFull> {
        appender(&self.shared, self.outstanding_max)
    }

    /// A way to look.
    pub fn reader(&self) -> Reader {
        Reader::live(Arc::clone(&self.shared.query), Arc::clone(&self.shared.authors))
    }

    /// Opens a ledger for reading only, without its lock, whether or not somebody writes to it. As [`Reader::open`].
    ///
    /// # Errors
    ///
    /// [`OpenError`] if there is no ledger, or what was durable is damaged.
    pub fn open_reader(path: &Path) -> Result<Reader, OpenError> {
        Reader::open(path)
    }

    /// Hands every final record from a position on to a follower. As [`Reader::follow`].
    ///
    /// # Errors
    ///
    /// [`FollowError`] if the position is none of this ledger, or there is no thread.
    pub fn follow(&self, from: Position, follower: impl Follower + 'static) -> Result<Following, FollowError> {
        self.reader().follow(from, follower)
    }

    /// Marks time: orders a record that says nothing but when it was ordered, signed by the ledger key.
    ///
    /// # Errors
    ///
    /// [`Refusal`] as for any record.
    pub fn tick(&self) -> Result<Ack, Refusal> {
        self.order(Kind::TICK, &[])
    }

    /// Orders a record by the ledger key.
    fn order(&self, kind: Kind, payload: &[u8]) -> Result<Ack, Refusal> {
        let mut ticker = self.ticker.lock();
        let author = self.key.public();
        let nonce = self.reader().next_nonce(&author).map_err(|error| Refusal::Lookup(error.code()))?;
        let now = Reading::now().wall_ms;
        let mut head = engine_head(self.id(), author, nonce, now, kind, payload).encode();
        self.key.sign_head(&mut head);
        ticker.append_wait(&[&head[..], payload].concat())
    }

    /// Takes no more records, makes final what was taken, and closes the log so that nothing about its end is left open.
    ///
    /// # Errors
    ///
    /// [`CloseError`] if the ledger had halted; what was acknowledged is safe all the same.
    pub fn close(mut self) -> Result<(), CloseError> {
        self.shut_down()
    }

    fn shut_down(&mut self) -> Result<(), CloseError> {
        // Release pairs with the Acquire in the engine: what was appended before is seen before it closes.
        self.shared.closing.store(true, Ordering::Release);
        self.shared.bell.ring();
        let result = match self.engine.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result.map_err(CloseError::Halted),
            Some(Err(_)) => Err(CloseError::Panicked),
        };
        for worker in self.workers.drain(..) {
            // A worker that panicked has abandoned its batch; that was answered.
            let _ = worker.join();
        }
        result
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // Who wants to know how it went calls `close`.
        let _ = self.shut_down();
    }
}

fn appender(shared: &Arc<Shared>, outstanding_max: u32) -> Result<Appender, RegistryFull> {
    let source = shared.registry.register(Arc::new(Slots::new(outstanding_max)))?;
    Ok(Appender::new(Arc::clone(shared), source))
}

fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, OpenError> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(run).map_err(|source| OpenError::System { operation: "start a thread", source })
}

/// The device that writes to a disk.
pub(crate) fn open_device(disk: &Arc<FileDisk>, choice: DeviceChoice) -> Result<Box<dyn Device>, OpenError> {
    if choice == DeviceChoice::Best
        && let Ok(device) = UringDevice::new(Arc::clone(disk))
    {
        return Ok(Box::new(device));
    }
    Ok(Box::new(PwriteDevice::new(Arc::clone(disk) as Arc<dyn Disk>)?))
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
struct Found {
    query: Arc<Query>,
    sequencer: Sequencer,
    chain: Chain,
    log: Log,
    prepared: Option<LookupKey>,
    cut: Option<Cut>,
}

impl Found {
    fn load(disk: &Arc<dyn Disk>, store: &Arc<dyn IndexStore>, key: &Arc<SigningKey>) -> Result<Self, OpenError> {
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
            .with_key(Arc::clone(key));
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
