//! A platform: a ledger with the contracts of a service on it, in one directory.
//!
//! [`Platform::submit`] is the narrow way in. A record is first held against the newest state, so that most that would be refused are
//! refused with nothing written; then it is ordered, and decided for good when it is applied in order. Two that race are both
//! ordered, and one of them is accepted.
//!
//! A thread tends it: it marks time on an idle ledger when a deadline's time has come, stores state, and has the state's root ordered
//! at intervals.

mod files;
mod listing;
mod looking;
mod proving;
mod submit;
mod tending;
mod view;

pub use files::{StateCheck, check_state, holds_platform, rebuild_state, state_path};
pub use looking::{ActRow, AttachedRow, CaseFilter, Overdue, TRACE_MAX, TraceLine};
pub(crate) use submit::ATTEMPTS_MAX;
pub use submit::{SubmitError, Submitted};
pub use view::View;

use crate::administration::PlatformForm;
use crate::charter::Platform as Charter;
use crate::draft::{At, Draft, Ground, Layer, Stop};
use crate::failure::HostError;
use crate::host::{Applier, Host, Progress};
use crate::library::Library;
use crate::message::{PLATFORM, encode};
use crate::service::Service;
use crate::state::{State, StateError, StateOptions, StateWriter};
use annals::{
    AuthorId, CloseError, Creation, FollowError, Following, KeyPathError, Ledger, LedgerId, ManualClock, NoAppender,
    OpenError, Options, QueryError, Reader, RecordBuilder, Refusal, SigningKey,
};
use files::Files;
use parking_lot::Mutex;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tending::Tender;

/// How often a state root that changed is ordered.
const ROOT_INTERVAL: Duration = Duration::from_secs(60);

/// How a platform is born.
#[derive(Clone, Debug)]
pub struct Founding {
    /// Name of the ledger in its checkpoints.
    pub origin: String,
    /// The service.
    pub service: Service,
    /// Who administers it.
    pub admins: Vec<AuthorId>,
    /// How many administrators must sign.
    pub threshold: u32,
    /// Bytes of a segment.
    pub segment_size: u64,
    /// A key file to use as the ledger key; none: a new key.
    pub ledger_key: Option<std::path::PathBuf>,
}

/// How a platform is opened.
#[derive(Clone, Debug)]
pub struct PlatformOptions {
    /// How its ledger is opened.
    pub ledger: Options,
    /// How its state is kept.
    pub state: StateOptions,
    /// Whether nobody tends it: then its embedder marks time and stores state by [`Platform::tend`].
    pub untended: bool,
    /// How often a state root that changed is ordered, by ordered time; a minute unless said. None: only when a proof asks for one.
    pub root_interval: Option<Duration>,
}

impl Default for PlatformOptions {
    fn default() -> Self {
        Self {
            ledger: Options::default(),
            state: StateOptions::default(),
            untended: false,
            root_interval: Some(ROOT_INTERVAL),
        }
    }
}

/// Why a platform can't be made, opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlatformError {
    /// Its ledger can't be opened.
    #[error(transparent)]
    Open(Box<OpenError>),
    /// Its ledger can't be read.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Its host's key can't be read or made.
    #[error(transparent)]
    Key(#[from] KeyPathError),
    /// Its state can't be read or stored.
    #[error(transparent)]
    State(#[from] StateError),
    /// Its host stopped.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Its ledger can't be followed.
    #[error(transparent)]
    Follow(Box<FollowError>),
    /// Too many producers.
    #[error(transparent)]
    Appender(#[from] NoAppender),
    /// Its first record was refused by the ledger.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// It closed not cleanly.
    #[error(transparent)]
    Close(#[from] CloseError),
    /// The service's files are inconsistent, or its first record was refused by the contracts.
    #[error("{0}")]
    Founding(crate::outcome::Refused),
    /// What was asked can't be answered, as the contracts say why.
    #[error("{0}")]
    Refused(crate::outcome::Refused),
    /// The ledger holds no platform.
    #[error("{} is a ledger without a platform; `annals platform init` makes one in a new directory", .0.display())]
    NoPlatform(std::path::PathBuf),
    /// A file beside the ledger can't be made.
    #[error("cannot make {}: {source}", path.display())]
    File {
        /** The file. */
        path: std::path::PathBuf,
        /** What the system says. */
        source: std::io::Error,
    },
    /// A record could not be built.
    #[error(transparent)]
    Build(#[from] annals::BuildError),
    /// A proof could not be made.
    #[error("{0}")]
    Proof(String),
}

impl PlatformError {
    /// Stable machine name; never renamed, only added to.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Open(error) => error.code(),
            Self::Query(error) => error.code(),
            Self::Key(error) => error.code(),
            Self::State(error) => error.code(),
            Self::Host(error) => error.code(),
            Self::Follow(error) => error.code(),
            Self::Appender(error) => error.code(),
            Self::Refusal(error) => error.code(),
            Self::Close(error) => error.code(),
            Self::Founding(refused) | Self::Refused(refused) => refused.code,
            Self::NoPlatform(_) => "platform.missing",
            Self::File { .. } => "platform.file",
            Self::Build(error) => error.code(),
            Self::Proof(_) => "platform.proof",
        }
    }
}

impl From<OpenError> for PlatformError {
    fn from(error: OpenError) -> Self {
        Self::Open(Box::new(error))
    }
}

impl From<FollowError> for PlatformError {
    fn from(error: FollowError) -> Self {
        Self::Follow(Box::new(error))
    }
}

/// A ledger with contracts on it, open for writing.
#[derive(Debug)]
pub struct Platform {
    /// What its threads share, too.
    core: Arc<Core>,
    view: View,
    following: Option<Following>,
    tender: Option<Tender>,
}

/// What a platform's callers and its tender share.
#[derive(Debug)]
pub(crate) struct Core {
    ledger: Ledger,
    reader: Reader,
    state: State,
    library: Arc<Library>,
    applier: Arc<Mutex<Applier>>,
    progress: Arc<Progress>,
    key: SigningKey,
    clock: Option<ManualClock>,
    root_interval: Option<Duration>,
    /// The host's own records, one after the other.
    host: Mutex<submit::HostLine>,
}

impl Platform {
    /// Makes a platform in a directory that is missing or empty, and opens it.
    ///
    /// # Errors
    ///
    /// [`PlatformError`]; with [`PlatformError::Founding`] every fault of the service is told, and nothing was made.
    pub fn create(path: &Path, founding: &Founding, options: PlatformOptions) -> Result<Self, PlatformError> {
        let key = annals::generate_key()?;
        let payload = founding.payload(&key)?;
        let admins = founding.admins.clone();
        let creation = Creation {
            admins,
            segment_size: founding.segment_size,
            ledger_key: founding.ledger_key.clone(),
            ..Creation::open(&founding.origin)
        };
        let ledger = Ledger::create(path, &creation, options.ledger.clone())?;
        let files = Files::of(path);
        files.make(&key)?;
        let record = RecordBuilder::new(ledger.id(), PLATFORM).unsalted().sign(&key, &payload)?;
        ledger.appender()?.append_wait(record.bytes())?;
        Self::on(ledger, &files, key, options)
    }

    /// Opens a platform, and brings its state to where its ledger is.
    ///
    /// State that is missing, or is of another ledger or a later one than this, is made again from the log.
    ///
    /// # Errors
    ///
    /// [`PlatformError`].
    pub fn open(path: &Path, options: PlatformOptions) -> Result<Self, PlatformError> {
        let ledger = Ledger::open(path, options.ledger.clone())?;
        if !files::holds_platform(&ledger.reader())? {
            return Err(PlatformError::NoPlatform(path.to_owned()));
        }
        let files = Files::of(path);
        let key = files.host_key()?;
        Self::on(ledger, &files, key, options)
    }

    fn on(ledger: Ledger, files: &Files, key: SigningKey, options: PlatformOptions) -> Result<Self, PlatformError> {
        let writer = StateWriter::open(&files.state(), &options.state)?;
        let library = Arc::new(Library::default());
        let mut applier = Applier::new(writer, Arc::clone(&library));
        let reader = ledger.reader();
        if !files::is_of(&reader, &applier.position())? {
            drop(applier);
            files.remove_state()?;
            applier = Applier::new(StateWriter::open(&files.state(), &options.state)?, Arc::clone(&library));
        }
        let (state, position) = (applier.state().clone(), applier.position());
        let host = Host::new(applier);
        let (applier, progress) = (Arc::clone(&host.applier), Arc::clone(&host.progress));
        let following = ledger.follow(position, host)?;
        let line = submit::HostLine::new(&ledger, &key)?;
        let view = View {
            path: ledger.path().to_owned(),
            reader: reader.clone(),
            state: state.clone(),
            library: Arc::clone(&library),
            clock: options.ledger.clock.clone(),
            _store: None,
        };
        let core = Core {
            reader,
            state,
            library,
            applier,
            progress,
            clock: options.ledger.clock.clone(),
            root_interval: options.root_interval,
            host: Mutex::new(line),
            key,
            ledger,
        };
        let core = Arc::new(core);
        let tender = if options.untended { None } else { Some(Tender::start(Arc::clone(&core))) };
        let platform = Self { core, view, following: Some(following), tender };
        platform.catch_up()?;
        Ok(platform)
    }

    /// Its ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.core.ledger
    }

    /// Its ledger's id.
    pub fn id(&self) -> LedgerId {
        self.core.ledger.id()
    }

    /// Waits until everything that is final now is applied.
    ///
    /// # Errors
    ///
    /// [`PlatformError::Host`] if the host stopped.
    pub fn catch_up(&self) -> Result<(), PlatformError> {
        self.core.catch_up()
    }

    /// Stores state and closes the ledger.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if the host had stopped, or the ledger had halted; what was acknowledged is safe all the same.
    pub fn close(mut self) -> Result<(), PlatformError> {
        self.stop()?;
        self.core.applier.lock().commit()?;
        let core = Arc::clone(&self.core);
        drop(self);
        match Arc::into_inner(core) {
            Some(core) => Ok(core.ledger.close()?),
            // Somebody still waits for an answer; the ledger closes with him.
            None => Ok(()),
        }
    }

    fn stop(&mut self) -> Result<(), PlatformError> {
        drop(self.tender.take());
        if let Some(following) = self.following.take() {
            let applied = self.core.catch_up();
            // Why the follower ended says more than that it did.
            following.stop()?;
            applied?;
        }
        Ok(())
    }
}

/// A platform is looked at as any view of one is.
impl Deref for Platform {
    type Target = View;

    fn deref(&self) -> &View {
        &self.view
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        // Who wants to know how it went calls `close`.
        drop(self.tender.take());
        if let Some(following) = self.following.take() {
            let _ = following.stop();
        }
    }
}

impl Core {
    fn ground(&self) -> Ground<'_> {
        Ground { state: &self.state, library: &self.library, takes: false }
    }

    /// Where and when a record would be applied that is ordered now.
    fn now(&self) -> At {
        view::now(&self.reader, &self.state, self.clock.as_ref())
    }

    fn look<T>(&self, ask: impl FnOnce(&mut Draft<'_>) -> Result<T, Stop>) -> Result<T, PlatformError> {
        view::look(&self.state, &self.library, self.now(), ask)
    }

    fn catch_up(&self) -> Result<(), PlatformError> {
        let Some(last) = self.reader.next_seq().checked_sub(1) else { return Ok(()) };
        Ok(self.progress.wait_past(last)?)
    }
}

impl Founding {
    /// The payload of the platform's record, tried on an empty state first.
    fn payload(&self, host: &SigningKey) -> Result<Vec<u8>, PlatformError> {
        use annals::Signer as _;
        let mut admins: Vec<_> = self.admins.iter().map(ToString::to_string).collect();
        admins.sort();
        let platform = Charter {
            admins,
            contracts: crate::failure::CONTRACTS_VERSION,
            host: host.author().to_string(),
            service: self.service.name.clone(),
            threshold: self.threshold,
            utc_offset_minutes: self.service.utc_offset_minutes,
        };
        let Service { definitions, entries, grants, registries, .. } = self.service.clone();
        let form = PlatformForm { definitions, entries, grants, platform, registries };
        let payload = crate::value::Value::parse(&encode(&form)).map_err(|error| {
            PlatformError::Founding(crate::outcome::Refused::new("platform.form", &[], error.to_string()))
        })?;
        let (writer, library, block) =
            (StateWriter::in_memory(&StateOptions::default())?, Library::default(), Layer::default());
        let state = writer.reader();
        let ground = Ground { state: &state, library: &library, takes: false };
        let mut draft = Draft::new(ground, &block, At { seq: 1, height: 1, time_ms: 0 });
        match crate::administration::begin(&mut draft, host.author(), &payload) {
            Ok(_) => Ok(payload.encode()),
            Err(Stop::Refused(refused)) => Err(PlatformError::Founding(refused)),
            Err(Stop::Broken(error)) => Err(error.into()),
        }
    }
}
