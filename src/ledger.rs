//! A ledger that is open for writing.

#[cfg(test)]
mod tests;

use crate::appender::{Ack, Appender, NoAppender};
use crate::assembly::{Assembled, Material, Opening};
use crate::clock::Time;
use crate::creating::create;
use crate::engine::work;
use crate::follower::{FollowError, Follower, Following, Position};
use crate::home::{Home, Lock};
use crate::matching::check_segment_size;
use crate::memory::{Budget, TICKER_OUTSTANDING};
use crate::meter::Written;
use crate::open_error::OpenError;
use crate::options::{Creation, DeviceChoice, Options};
use crate::reader::Reader;
use crate::refusal::Refusal;
use crate::reopen::GoingOn;
use crate::scrub::{ROUND_PAUSE, ScrubStatus, Scrubber};
use crate::shared::Shared;
use annals_core::block::BlockHeader;
use annals_core::checkpoint::{Checkpoint, Vkey};
use annals_core::genesis::{Genesis, engine_head};
use annals_core::hash::{AuthorId, LedgerId};
use annals_core::record::Kind;
use annals_core::reopening::Reopening;
use annals_core::signature::SigningKey;
use annals_core::state_root::Appointment;
use annals_storage::device::{Opened, Preference, UringError, open as open_preferred};
use annals_storage::disk::{Access, Disk, FileDisk};
use annals_storage::frame::Slot;
use annals_storage::index::{FileIndexStore, IndexStore};
use annals_storage::log::Halted;
use annals_storage::recovery::Cut;
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

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
    /// What ticks claim.
    time: Time,
    path: PathBuf,
    files: Arc<FileDisk>,
    device: &'static str,
    device_refusal: Option<UringError>,
    outstanding_max: u32,
    cut: Option<Cut>,
    bytes_read: u64,
    /// The records by which opening went on.
    reopened: Vec<Ack>,
    engine: Option<JoinHandle<Result<(), Halted>>>,
    workers: Vec<JoinHandle<()>>,
    /// The ledger key's own way in, for ticks.
    ticker: Mutex<Appender>,
    scrubber: Option<Scrubber>,
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
        // What would refuse the opening comes before anything is made.
        Budget::new(creation.segment_size, &options)?;
        let home = create(path, creation, &Time::of(options.clock.as_ref()))?;
        Self::open_home(&home, path, options)
    }

    /// Opens a ledger: takes its lock, recovers, and cuts a torn tail.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; damage is refused with its place, and nothing is changed then. A copy is refused until
    /// [`Options::continue_after`] says from where it goes on.
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
        make_device: impl FnOnce(&Arc<FileDisk>) -> Result<Opened, OpenError>,
    ) -> Result<Self, OpenError> {
        let lock = home.lock()?;
        home.settle_names()?;
        let going_on = GoingOn::ask(home, &options)?;
        // Derived data: if its directory was removed, it is made again; if that fails, memory answers.
        let _ = std::fs::create_dir(home.index());
        let (key, time) = (Arc::new(home.read_key()?), Time::of(options.clock.as_ref()));
        let files = Arc::new(FileDisk::new(&home.segments(), Access::Write));
        files.lock_newest()?;
        let disk: Arc<dyn Disk> = Arc::clone(&files) as Arc<dyn Disk>;
        let store: Arc<dyn IndexStore> = Arc::new(FileIndexStore::new(&home.index()));
        check_segment_size(home, disk.as_ref())?;
        let segment_size = home.segment_size();
        let material = Material { disk, store, key: Arc::clone(&key), segment_size, time: time.clone() };
        let opening = Opening::recover(material, &options)?;
        let reopenings = going_on.judge(opening.query(), opening.clock_accepted, opening.clock_ms)?;
        let Opened { device, refusal: device_refusal } = make_device(&files)?;
        let Assembled { shared, engine, disk, cut, bytes_read, device } = opening.assemble(&options, device)?;
        let outstanding_max = options.outstanding_max;
        let ticker = Mutex::new(Appender::new(&shared, TICKER_OUTSTANDING).map_err(|full| OpenError::System {
            operation: "make an appender",
            source: std::io::Error::other(full.to_string()),
        })?);
        let path = path.to_owned();
        // Dropped for whatever fails from here on, it ends the threads that run already.
        let mut ledger = Self {
            shared,
            key,
            time,
            path,
            files,
            device,
            device_refusal,
            outstanding_max,
            cut,
            bytes_read,
            reopened: Vec::new(),
            engine: None,
            workers: Vec::new(),
            ticker,
            scrubber: None,
            _lock: lock,
        };
        ledger.engine = Some(spawn("annals-engine", move || engine.run())?);
        for _ in 0..options.verifiers() {
            let (shared, disk) = (Arc::clone(&ledger.shared), Arc::clone(&disk));
            ledger.workers.push(spawn("annals-worker", move || work(&shared, disk.as_ref()))?);
        }
        let scrubber = options.scrub_rate.map(|rate| Scrubber::start(ledger.reader(), rate, ROUND_PAUSE));
        ledger.scrubber = scrubber.transpose()?;
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

    /// Why the device is not io_uring although that was preferred; none if it is, or was not asked for.
    pub const fn device_refusal(&self) -> Option<&UringError> {
        self.device_refusal.as_ref()
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

    /// Bytes of written zeros that lie ahead of the data: how far a flood can go on before it writes into space that is
    /// only allocated, which is slower. A figure of the moment.
    pub fn runway_left(&self) -> u64 {
        self.shared.meter.runway_left()
    }

    /// Bytes handed to the device since the ledger was opened.
    pub fn written(&self) -> Written {
        self.shared.meter.written()
    }

    /// What scrubbing in the background has found since the ledger was opened, see [`Options::scrub_rate`].
    pub fn scrub_status(&self) -> ScrubStatus {
        self.scrubber.as_ref().map_or_else(ScrubStatus::default, Scrubber::status)
    }

    /// A way in for one producer.
    ///
    /// # Errors
    ///
    /// [`NoAppender`] if as many are in use as the options allow, by number or by memory.
    pub fn appender(&self) -> Result<Appender, NoAppender> {
        Appender::new(&self.shared, self.outstanding_max)
    }

    /// Bytes that this writer holds in memory at most, see [`Options::memory_max`].
    pub fn memory_max(&self) -> u64 {
        self.shared.memory.most()
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

    /// Appoints a contract host: lets this key say state roots of this ledger, in records of [`Kind::STATE_ROOT`].
    ///
    /// Every such record carries the appointment, so it is handed to the host once and kept there; it is no secret, and
    /// asked for again it is the same. Nothing is recorded here. An admin takes it back by revoking the host's key.
    ///
    /// ```
    /// use annals::{Creation, Kind, Ledger, Options, RecordBuilder, SigningKey, StateRoot, StateRootRecord};
    /// # let directory = tempfile::tempdir()?;
    /// # let place = directory.path().join("ledger");
    /// let ledger = Ledger::create(&place, &Creation::open("example.gov/ledger"), Options::default())?;
    /// let host = SigningKey::from_seed(&[8; 32]);
    /// let appointment = ledger.appoint(&host.public());
    /// // The host has applied its contracts to all records through block 0.
    /// let said = StateRootRecord { height: 0, root: StateRoot::from_bytes([3; 32]), appointment };
    /// let record = RecordBuilder::new(ledger.id(), Kind::STATE_ROOT).unsalted().sign(&host, &said.encode())?;
    /// let ack = ledger.appender()?.append_wait(record.bytes())?;
    /// // Whoever has the vkey, the receipt and the payload verifies it offline.
    /// let head = ledger.reader().prove(ack.seq)?.verify(ledger.vkey()).map_err(|(_, error)| error)?;
    /// StateRootRecord::parse(&said.encode())?.verify(ledger.vkey(), head.ledger, &head.author)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn appoint(&self, host: &AuthorId) -> Appointment {
        Appointment::sign(self.id(), host, &self.key)
    }

    /// Orders a record by the ledger key.
    fn order(&self, kind: Kind, payload: &[u8]) -> Result<Ack, Refusal> {
        let mut ticker = self.ticker.lock();
        let author = self.key.public();
        let nonce = self.reader().next_nonce(&author).map_err(|error| Refusal::Lookup(error.code()))?;
        let now = self.time.now().wall_ms;
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
        drop(self.scrubber.take());
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
        // Readers that outlive the ledger keep its files open.
        self.files.unlock();
        result
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // Who wants to know how it went calls `close`.
        let _ = self.shut_down();
    }
}

fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, OpenError> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(run).map_err(|source| OpenError::System { operation: "start a thread", source })
}

/// The device that writes to a disk.
pub(crate) fn open_device(disk: &Arc<FileDisk>, choice: DeviceChoice) -> Result<Opened, OpenError> {
    let preference = match choice {
        DeviceChoice::Best => Preference::Best,
        DeviceChoice::Pwrite => Preference::Pwrite,
    };
    Ok(open_preferred(disk, preference)?)
}
