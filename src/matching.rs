//! What a ledger was made with, compared with what somebody says now: a difference is refused, never followed.
//!
//! How a ledger is born can't change later, so a configuration that says otherwise is a mistake, or meant for another
//! ledger. Both values are named, so that it is plain which one to mend.

use crate::home::{Home, check_free};
use crate::ledger::Ledger;
use crate::loading::read_genesis;
use crate::open_error::OpenError;
use crate::options::{Creation, Options};
use annals_core::genesis::{Admission, Genesis};
use annals_core::hash::{AuthorId, Hex};
use annals_core::limits::PAGE_SIZE;
use annals_storage::buffer::PageBuffer;
use annals_storage::disk::{Access, Disk, FileDisk};
use annals_storage::segment::SegmentHeader;
use std::path::Path;
use std::sync::Arc;

/// Refuses a segment size in `annals.toml` that is not the one that the ledger was made with.
///
/// Segment 0 says which that was: it is there in every ledger, and was made when the ledger was. The newest one might come
/// from a build that did not compare, and would then make the mistake the rule. A segment that is missing or damaged says
/// nothing here; whoever reads the log names it.
pub(crate) fn check_segment_size(home: &Home, disk: &dyn Disk) -> Result<(), OpenError> {
    let mut page = PageBuffer::new(PAGE_SIZE);
    let first = disk.read(0, 0, &mut page).ok().and_then(|()| SegmentHeader::parse(&page).ok());
    let configured = home.segment_size();
    match first.map(|first| first.size) {
        Some(created) if created != configured => Err(OpenError::SegmentSizeChanged { configured, created }),
        Some(_) | None => Ok(()),
    }
}

impl Ledger {
    /// Opens the ledger in a directory if it was made as `creation` says, or makes it there if the directory is missing or
    /// empty.
    ///
    /// For embedders who state their ledger once and start it many times. Of `creation`, `random` is compared only if it is
    /// given; authors and admins are those of the beginning, whoever was admitted since.
    ///
    /// # Errors
    ///
    /// [`OpenError::CreationDiffers`] with the field and both values if the ledger there was made in another way; others as
    /// [`Ledger::create`] and [`Ledger::open`].
    ///
    /// ```
    /// # use annals::{Creation, Ledger, Options};
    /// # let directory = tempfile::tempdir()?;
    /// # let place = directory.path().join("ledger");
    /// let creation = Creation::open("example.gov/ledger");
    /// let id = Ledger::open_or_create(&place, &creation, Options::default())?.id();
    /// assert_eq!(Ledger::open_or_create(&place, &creation, Options::default())?.id(), id);
    /// let other = Creation::open("example.gov/another");
    /// let error = Ledger::open_or_create(&place, &other, Options::default()).unwrap_err();
    /// assert!(error.to_string().contains("origin"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_or_create(path: &Path, creation: &Creation, options: Options) -> Result<Self, OpenError> {
        if check_free(path).is_ok() {
            return Self::create(path, creation, options);
        }
        let home = Home::open(path)?;
        let disk: Arc<dyn Disk> = Arc::new(FileDisk::new(&home.segments(), Access::Read));
        check_segment_size(&home, disk.as_ref())?;
        let (_, genesis) = read_genesis(&disk)?;
        compare(&home, &genesis, creation)?;
        Self::open(path, options)
    }
}

/// Compares a ledger with how somebody says it was made.
fn compare(home: &Home, genesis: &Genesis, creation: &Creation) -> Result<(), OpenError> {
    same("origin", &creation.origin, genesis.vkey.origin())?;
    let wanted = if creation.authors.is_empty() { Admission::Open } else { Admission::Listed };
    same("admission", admission(wanted), admission(genesis.admission))?;
    let own = [genesis.vkey.key()];
    let admins = if creation.admins.is_empty() { &own[..] } else { &creation.admins };
    same("admins", &keys(admins), &keys(&genesis.admins))?;
    same("authors", &keys(&creation.authors), &keys(&genesis.authors))?;
    same("segment_size", &creation.segment_size.to_string(), &home.segment_size().to_string())?;
    let wanted = creation.ledger_key.as_deref().map(std::path::absolute).transpose();
    let wanted = wanted.map_err(|source| OpenError::System { operation: "find the ledger key", source })?;
    let shown = |path: Option<&Path>| path.map_or("in the directory".to_owned(), |path| path.display().to_string());
    same("ledger_key", &shown(wanted.as_deref()), &shown(home.ledger_key()))?;
    match creation.random {
        Some(random) => same("random", &Hex(&random).to_string(), &Hex(&genesis.random).to_string()),
        None => Ok(()),
    }
}

fn same(field: &'static str, wanted: &str, found: &str) -> Result<(), OpenError> {
    if wanted == found {
        return Ok(());
    }
    Err(OpenError::CreationDiffers { field, wanted: wanted.to_owned(), found: found.to_owned() })
}

const fn admission(admission: Admission) -> &'static str {
    match admission {
        Admission::Listed => "listed",
        Admission::Open => "open",
    }
}

/// The keys as genesis lists them: each once, rising.
fn keys(keys: &[AuthorId]) -> String {
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    keys.dedup();
    let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    if keys.is_empty() { "none".to_owned() } else { keys.join(" ") }
}
