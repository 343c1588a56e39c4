//! Exit codes and the one error type that commands end with.
//!
//! 0 done · 1 a negative finding or refused input · 2 shorter than the checkpoint · 64 usage · 66 no such file, seq or case · 73 would
//! overwrite · 74 I/O or halted · 75 held by another or full · 77 permissions of a key. Words go to stderr, once, in `main`.

use annals::{
    BackupError, BuildError, CheckError, CloseError, DiskError, Fault, Halted, HexError, HomeError, IndexError,
    KeyPathError, ManifestError, NoAppender, OpenError, QueryError, ReadError, ReceiptJsonError, RecoveryError,
    Refusal, RepairError, RestoreError, ScrubError, VkeyError,
};
use annals_contracts::outcome::Refused;
use annals_contracts::state::StateError;
use annals_contracts::{HostError, OutcomeProofError, PlatformError, ScenarioError, ServiceError, SubmitError};
use std::io;
use std::path::PathBuf;

/// A negative finding, or input that was refused.
pub(crate) const NEGATIVE: u8 = 1;
/// The ledger is shorter than the checkpoint.
pub(crate) const SHORTER: u8 = 2;
/// The command line makes no sense.
pub(crate) const USAGE: u8 = 64;
const NO_INPUT: u8 = 66;
const CANNOT_CREATE: u8 = 73;
const IO: u8 = 74;
const TRY_LATER: u8 = 75;
const NO_PERMISSION: u8 = 77;

/// Why a command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} exists already and is not replaced; choose another name", .0.display())]
    Exists(PathBuf),
    #[error("{} is larger than {most} bytes, so it is not what was asked for", path.display())]
    TooLarge { path: PathBuf, most: u64 },
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
    #[error(transparent)]
    Key(#[from] KeyPathError),
    #[error("--ledger-key: {0}")]
    Vkey(#[from] VkeyError),
    #[error("{argument} {value}: {source}")]
    Author { argument: &'static str, value: String, source: HexError },
    #[error("{}: {source}", path.display())]
    Receipt { path: PathBuf, source: ReceiptJsonError },
    #[error("the receipt can't be written: {0}")]
    Encode(ReceiptJsonError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Refusal(#[from] Refusal),
    #[error("{refusal} (the cause: {halted})")]
    Halted { refusal: Refusal, halted: Halted },
    #[error(transparent)]
    Close(#[from] CloseError),
    #[error("{0}; {advice}", advice = .0.advice())]
    Check(#[from] CheckError),
    #[error("{0}; {advice}", advice = .0.advice())]
    Scrub(#[from] ScrubError),
    #[error(transparent)]
    Repair(#[from] RepairError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Restore(#[from] RestoreError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Appender(#[from] NoAppender),
    #[error("job file {}: {reason}", path.display())]
    Job { path: PathBuf, reason: &'static str },
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error("no scenario in {}: a scenario is a file *.toml that names a row", .0.display())]
    NoScenario(PathBuf),
    #[error("{0}")]
    Bench(&'static str),
    #[error("{0}")]
    Usage(&'static str),
    #[error("{0}")]
    Wrong(String),
    #[error(transparent)]
    Platform(#[from] PlatformError),
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error("refused ({code}): {0}", code = .0.code)]
    Refused(#[from] Refused),
    #[error("{}: {problem}", path.display())]
    Form { path: PathBuf, problem: String },
    #[error("{}: {source}", path.display())]
    Proof { path: PathBuf, source: OutcomeProofError },
    #[error("{0}")]
    NotFound(String),
    #[error(
        "the run may need {needed_mib} MiB in {}, where {free_mib} MiB are free; say fewer --seconds, or another --dir",
        dir.display()
    )]
    Room { dir: PathBuf, needed_mib: u64, free_mib: u64 },
}

impl CommandError {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => NO_INPUT,
            Self::Exists(_) => CANNOT_CREATE,
            Self::Scenario(error) => scenario_code(error),
            Self::NoScenario(_) => NO_INPUT,
            Self::Key(error) => key_code(error),
            Self::Vkey(_) | Self::Author { .. } | Self::Job { .. } => USAGE,
            Self::Usage(_) | Self::Wrong(_) => USAGE,
            Self::Platform(error) => platform_code(error),
            Self::Service(ServiceError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => NO_INPUT,
            Self::Service(ServiceError::Read { .. }) => IO,
            Self::Service(_) | Self::Refused(_) | Self::Form { .. } | Self::Proof { .. } => NEGATIVE,
            Self::NotFound(_) => NO_INPUT,
            Self::Receipt { .. } | Self::TooLarge { .. } | Self::Build(_) | Self::Bench(_) => NEGATIVE,
            Self::Open(error) => open_code(error),
            Self::Query(QueryError::NotFound { .. }) => NO_INPUT,
            Self::Query(QueryError::Item { .. }) => USAGE,
            Self::Refusal(refusal) => refusal_code(refusal),
            Self::Check(CheckError::Open(error)) => open_code(error),
            Self::Backup(error) => backup_code(error),
            Self::Restore(error) => restore_code(error),
            Self::Check(CheckError::Shorter { .. } | CheckError::SinceBeyond { .. }) => SHORTER,
            Self::Check(CheckError::Log { source, .. })
                if matches!(**source, RecoveryError::Disk(DiskError::Io { .. })) =>
            {
                IO
            }
            Self::Scrub(ScrubError::Open(error)) => open_code(error),
            Self::Scrub(ScrubError::Log(RecoveryError::Disk(DiskError::Io { .. }))) => IO,
            Self::Check(_) | Self::Scrub(_) => NEGATIVE,
            Self::Repair(RepairError::Open(error)) => open_code(error),
            Self::Repair(RepairError::Write(IndexError::Write { source: DiskError::Full { .. }, .. })) => TRY_LATER,
            Self::Appender(_) | Self::Room { .. } => TRY_LATER,
            Self::Read { .. }
            | Self::Write { .. }
            | Self::Output(_)
            | Self::Query(_)
            | Self::Encode(_)
            | Self::Halted { .. }
            | Self::Repair(_)
            | Self::Close(_) => IO,
        }
    }
}

impl From<SubmitError> for CommandError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Refused(refused) => Self::Refused(refused),
            SubmitError::Ledger(refusal) => Self::Refusal(refusal),
            SubmitError::Platform(error) => Self::Platform(error),
            other => Self::Output(io::Error::other(other)),
        }
    }
}

fn platform_code(error: &PlatformError) -> u8 {
    match error {
        PlatformError::Open(error) => open_code(error),
        PlatformError::Query(QueryError::NotFound { .. }) | PlatformError::NoPlatform(_) => NO_INPUT,
        PlatformError::Key(error) => key_code(error),
        PlatformError::State(error) => state_code(error),
        PlatformError::Host(HostError::State(error)) => state_code(error),
        PlatformError::Refusal(refusal) => refusal_code(refusal),
        PlatformError::File { source, .. } if is_full(source) => TRY_LATER,
        PlatformError::Founding(_) | PlatformError::Refused(_) | PlatformError::Build(_) | PlatformError::Proof(_) => {
            NEGATIVE
        }
        PlatformError::Appender(_) => TRY_LATER,
        PlatformError::Query(_) | PlatformError::Host(_) | PlatformError::Follow(_) | PlatformError::Close(_) | _ => IO,
    }
}

fn state_code(error: &StateError) -> u8 {
    match error {
        StateError::InUse(_) => TRY_LATER,
        StateError::Damaged { .. } | StateError::Missing(_) => NEGATIVE,
        StateError::Open { source, .. } if is_full(source) => TRY_LATER,
        StateError::Open { .. } | StateError::Store(_) | _ => IO,
    }
}

/// The disk is full, or the user's share of it.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn scenario_code(error: &ScenarioError) -> u8 {
    match error {
        ScenarioError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => NO_INPUT,
        ScenarioError::Service { source: ServiceError::Read { source, .. }, .. }
            if source.kind() == io::ErrorKind::NotFound =>
        {
            NO_INPUT
        }
        ScenarioError::Read { .. } => IO,
        ScenarioError::Form { .. } | ScenarioError::Service { .. } | _ => NEGATIVE,
    }
}

fn backup_code(error: &BackupError) -> u8 {
    match error {
        BackupError::Open(error) => open_code(error),
        BackupError::Log(RecoveryError::Disk(_)) => IO,
        BackupError::Older(error) => manifest_code(error),
        BackupError::Busy(_) => TRY_LATER,
        BackupError::Exists(_) | BackupError::OtherLedger { .. } | BackupError::Inside(_) => CANNOT_CREATE,
        BackupError::Newer { .. } | BackupError::OtherTree { .. } => CANNOT_CREATE,
        BackupError::Log(_) | BackupError::Unlike { .. } | _ => NEGATIVE,
    }
}

fn restore_code(error: &RestoreError) -> u8 {
    match error {
        RestoreError::Manifest(error) => manifest_code(error),
        RestoreError::Open(error) => open_code(error),
        RestoreError::Log(RecoveryError::Disk(_)) => IO,
        RestoreError::Busy(_) => TRY_LATER,
        RestoreError::Log(_) | RestoreError::Records { .. } | _ => NEGATIVE,
    }
}

fn manifest_code(error: &ManifestError) -> u8 {
    match error {
        ManifestError::NoBackup(_) => NO_INPUT,
        ManifestError::Home(HomeError::Io { .. }) => IO,
        ManifestError::Malformed { .. } | ManifestError::Home(_) | _ => NEGATIVE,
    }
}

fn refusal_code(refusal: &Refusal) -> u8 {
    match refusal.fault() {
        Fault::Record => NEGATIVE,
        Fault::Load => TRY_LATER,
        Fault::Ledger => IO,
    }
}

fn key_code(error: &KeyPathError) -> u8 {
    match error {
        KeyPathError::Exists(_) => CANNOT_CREATE,
        KeyPathError::KeyMode { .. } => NO_PERMISSION,
        KeyPathError::Io { source, .. } if is_full(source) => TRY_LATER,
        KeyPathError::Io { operation: "open", source, .. } if source.kind() == io::ErrorKind::NotFound => NO_INPUT,
        KeyPathError::Io { .. } | KeyPathError::Randomness | KeyPathError::Key { .. } | _ => IO,
    }
}

fn open_code(error: &OpenError) -> u8 {
    match error {
        OpenError::Home(HomeError::Exists(_) | HomeError::MountPoint(_)) => CANNOT_CREATE,
        OpenError::Home(HomeError::NoLedger(_)) => NO_INPUT,
        OpenError::Home(HomeError::Held { .. }) => TRY_LATER,
        OpenError::Disk(DiskError::Full { .. } | DiskError::Busy { .. }) => TRY_LATER,
        OpenError::Home(HomeError::Io { source, .. }) if is_full(source) => TRY_LATER,
        OpenError::Home(HomeError::Key(error)) => key_code(error),
        OpenError::Origin(_) | OpenError::Genesis(_) | OpenError::Author { .. } | OpenError::SegmentSize(_) => USAGE,
        OpenError::Recovery(RecoveryError::Disk(_)) | OpenError::Read(ReadError::Disk(_)) => IO,
        OpenError::Read(_) | OpenError::Disk(DiskError::Missing { .. }) => NEGATIVE,
        OpenError::Home(HomeError::Config { .. }) => NEGATIVE,
        OpenError::Recovery(_) | OpenError::Replay(_) | OpenError::NoGenesis | OpenError::Segment(_) => NEGATIVE,
        OpenError::SegmentSizeChanged { .. } | OpenError::CreationDiffers { .. } => NEGATIVE,
        OpenError::OlderThanCheckpoint { .. } => SHORTER,
        OpenError::Restored { .. } | OpenError::Backup { .. } | OpenError::Copied { .. } => NEGATIVE,
        OpenError::Checkpoint(_) | OpenError::OtherTree { .. } => NEGATIVE,
        OpenError::Home(HomeError::Format { .. }) => NEGATIVE,
        OpenError::Reopening(refusal) => refusal_code(refusal),
        OpenError::WrongKey { .. } | OpenError::ClockBehind { .. } | OpenError::ClockAhead { .. } => NEGATIVE,
        OpenError::Home(_) | OpenError::Disk(_) | OpenError::Query(_) | _ => IO,
    }
}
