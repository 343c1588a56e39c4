//! The journal of `append --job`: what makes a run repeatable, so that a rerun neither loses nor doubles a line.
//!
//! A record's bytes follow from the journal's head and the record's number: nonce, salts and claimed time. So a rerun
//! builds the same records, and the ledger answers those that it holds with the receipts that it gave before. The head
//! is synced before the first record is sent. If somebody else has used a nonce of the job meanwhile, that record gets
//! another one, and the journal says so before it is sent. The salts' secret is in it: mode 0600.
//!
//! ```text
//! {"annals_job":1,"ledger":"…","author":"…","kind":65536,"bundle":null,"salted":true,"first_nonce":"0",…}
//! {"record":17,"nonce":"4711"}
//! ```

use crate::exit::CommandError;
use annals::{AuthorId, LedgerId};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A journal has a head and a line for each nonce that was given anew; more than this is none.
const JOURNAL_SIZE_MAX: u64 = 256 << 20;
/// How every journal begins.
const HEAD_START: &str = "{\"annals_job\":";

/// What the records of a job have in common.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobHead {
    pub(crate) annals_job: u32,
    pub(crate) ledger: String,
    pub(crate) author: String,
    pub(crate) kind: u32,
    pub(crate) bundle: Option<u16>,
    pub(crate) salted: bool,
    pub(crate) first_nonce: String,
    pub(crate) claimed_time_ms: u64,
    /// What the salts are made from, 64 hexadecimal digits.
    pub(crate) secret: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Moved {
    record: u64,
    nonce: String,
}

/// What a run asks of its journal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) ledger: LedgerId,
    pub(crate) author: AuthorId,
    pub(crate) kind: u32,
    pub(crate) bundle: Option<u16>,
    pub(crate) salted: bool,
}

/// An open journal.
#[derive(Debug)]
pub(crate) struct Job {
    path: PathBuf,
    file: File,
    pub(crate) claimed_time_ms: u64,
    pub(crate) secret: [u8; 32],
    first_nonce: u64,
    moved: HashMap<u64, u64>,
}

impl Job {
    /// Opens a journal, or begins one that is not there.
    pub(crate) fn open(path: &Path, terms: &Terms, next_nonce: u64, now_ms: u64) -> Result<Self, CommandError> {
        let failed = |source| CommandError::Write { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).mode(0o600).open(path).map_err(failed)?;
        let mut text = String::new();
        (&file)
            .take(JOURNAL_SIZE_MAX)
            .read_to_string(&mut text)
            .map_err(|_| CommandError::Job { path: path.to_owned(), reason: "is no text" })?;
        let bad = |reason| CommandError::Job { path: path.to_owned(), reason };
        let start = text.get(..text.len().min(HEAD_START.len())).unwrap_or(&text);
        if !HEAD_START.starts_with(start) {
            return Err(bad("is something else; nothing was changed in it"));
        }
        // A line that a crash cut short was never acted upon.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64).map_err(failed)?;
        text.truncate(whole);
        let mut lines = text.lines();
        let head = match lines.next() {
            Some(line) => serde_json::from_str(line).map_err(|_| bad("is no journal of a job"))?,
            None => begin(&file, path, terms, next_nonce, now_ms)?,
        };
        check(&head, terms).map_err(bad)?;
        let mut moved = HashMap::new();
        for line in lines {
            let Moved { record, nonce } = serde_json::from_str(line).map_err(|_| bad("has a malformed line"))?;
            moved.insert(record, nonce.parse().map_err(|_| bad("has a malformed nonce"))?);
        }
        let first_nonce = head.first_nonce.parse().map_err(|_| bad("has a malformed first nonce"))?;
        let secret = annals::parse_hex(&head.secret).map_err(|_| bad("has a malformed secret"))?;
        Ok(Self { path: path.to_owned(), file, claimed_time_ms: head.claimed_time_ms, secret, first_nonce, moved })
    }

    /// The nonce of a record, counted from 0.
    pub(crate) fn nonce(&self, record: u64) -> u64 {
        self.moved.get(&record).copied().unwrap_or_else(|| self.first_nonce.saturating_add(record))
    }

    /// Gives a record another nonce; durable before it returns.
    pub(crate) fn move_to(&mut self, record: u64, nonce: u64) -> Result<(), CommandError> {
        let path = &self.path;
        let failed = |source| CommandError::Write { path: path.clone(), source };
        append(&self.file, &Moved { record, nonce: nonce.to_string() }).map_err(failed)?;
        self.moved.insert(record, nonce);
        Ok(())
    }
}

fn begin(file: &File, path: &Path, terms: &Terms, next_nonce: u64, now_ms: u64) -> Result<JobHead, CommandError> {
    let failed = |source| CommandError::Write { path: path.to_owned(), source };
    let secret = annals::random_bytes().map_err(|_| failed(io::Error::other("the system gave no random bytes")))?;
    let head = JobHead {
        annals_job: 1,
        ledger: terms.ledger.to_string(),
        author: terms.author.to_string(),
        kind: terms.kind,
        bundle: terms.bundle,
        salted: terms.salted,
        first_nonce: next_nonce.to_string(),
        claimed_time_ms: now_ms,
        secret: annals::Hex(&secret).to_string(),
    };
    append(file, &head).map_err(failed)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
    Ok(head)
}

fn append(mut file: &File, line: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn check(head: &JobHead, terms: &Terms) -> Result<(), &'static str> {
    if head.annals_job != 1 {
        Err("is of another version")
    } else if head.ledger != terms.ledger.to_string() {
        Err("belongs to another ledger")
    } else if head.author != terms.author.to_string() {
        Err("belongs to another author's key")
    } else if (head.kind, head.bundle, head.salted) != (terms.kind, terms.bundle, terms.salted) {
        Err("was begun with another --kind, --bundle or --no-salt")
    } else {
        Ok(())
    }
}
