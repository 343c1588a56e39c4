//! Submitting: held against the newest state, ordered, and decided for good.

use super::looking::block_list;
use super::{Core, Platform, PlatformError};
use crate::apply::{Incoming, apply_record, is_attempt};
use crate::draft::Layer;
use crate::failure::HostError;
use crate::keys;
use crate::message::{ATTEMPT, AttemptForm, Body, CASE, Message, encode, is_contract};
use crate::outcome::{Refused, Status};
use crate::registry::{self, CREDENTIAL};
use crate::state::{StateError, StateRoot};
use crate::value::Value;
use annals::{
    Ack, Appender, Kind, Ledger, NoAppender, QueryError, Record, RecordBuilder, RecordId, Refusal, SigningKey,
};
use std::collections::VecDeque;

/// Attempts of one author that are noted within [`ATTEMPT_SPAN_MS`], so that nobody fills the ledger by being refused. Keys that
/// nobody registered share one author's: anybody makes as many as he likes.
pub(crate) const ATTEMPTS_MAX: usize = 8;
/// Over which time attempts are counted.
const ATTEMPT_SPAN_MS: i64 = 60_000;
/// Attempts that are remembered for counting.
const ATTEMPTS_KEPT: usize = 4096;

/// A record that was ordered, and what became of it.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// Its place.
    pub ack: Ack,
    /// What became of it.
    pub status: Status,
}

/// Why a record was not ordered, or what became of it is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The contracts would refuse it: nothing was ordered, but that somebody tried what he may not is noted.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The ledger refused it: nothing was ordered.
    #[error(transparent)]
    Ledger(#[from] Refusal),
    /// The platform failed.
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

impl SubmitError {
    /// Stable machine name; never renamed, only added to.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refused) => refused.code,
            Self::Ledger(refusal) => refusal.code(),
            Self::Platform(error) => error.code(),
        }
    }
}

impl From<StateError> for SubmitError {
    fn from(error: StateError) -> Self {
        Self::Platform(error.into())
    }
}

impl From<QueryError> for SubmitError {
    fn from(error: QueryError) -> Self {
        Self::Platform(error.into())
    }
}

/// The host's own way into the ledger.
#[derive(Debug)]
pub(super) struct HostLine {
    appender: Appender,
    next_nonce: u64,
    /// Who was refused of late, and when; none: a key that nobody registered.
    attempts: VecDeque<(Option<annals::AuthorId>, i64)>,
    /// The newest state root that was ordered.
    pub(super) ordered_root: Option<(StateRoot, Ack)>,
    /// When it was.
    pub(super) root_time_ms: i64,
}

impl HostLine {
    pub(super) fn new(ledger: &Ledger, key: &SigningKey) -> Result<Self, PlatformError> {
        let appender = ledger.appender()?;
        Ok(Self {
            appender,
            next_nonce: ledger.reader().next_nonce(&key.public())?,
            attempts: VecDeque::new(),
            ordered_root: None,
            root_time_ms: 0,
        })
    }

    /// Orders a record of the host.
    pub(super) fn order(&mut self, core: &Core, kind: Kind, payload: &[u8]) -> Result<Ack, PlatformError> {
        let time = u64::try_from(core.now().time_ms).unwrap_or_default();
        let builder =
            RecordBuilder::new(core.ledger.id(), kind).unsalted().nonce(self.next_nonce).claimed_time_ms(time);
        let record = builder.sign(&core.key, payload)?;
        let ack = self.appender.append_wait(record.bytes())?;
        self.next_nonce += 1;
        Ok(ack)
    }

    /// Whether an author's attempt is noted, or he made too many of late.
    fn counts(&mut self, author: Option<annals::AuthorId>, now_ms: i64) -> bool {
        while self.attempts.len() == ATTEMPTS_KEPT
            || self.attempts.front().is_some_and(|(_, time)| time.saturating_add(ATTEMPT_SPAN_MS) <= now_ms)
        {
            self.attempts.pop_front();
        }
        let made = self.attempts.iter().filter(|(other, _)| *other == author).count();
        if made < ATTEMPTS_MAX {
            self.attempts.push_back((author, now_ms));
        }
        made < ATTEMPTS_MAX
    }
}

impl Platform {
    /// Submits a signed record: holds it against the newest state, orders it, and waits until it is decided.
    ///
    /// Sent again, a record is not ordered again: what became of it is told once more.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] if nothing was ordered, or it is not known what became of it. A record that was ordered and then
    /// refused is no error: its [`Status`] says so.
    pub fn submit(&self, appender: &mut Appender, bytes: &[u8]) -> Result<Submitted, SubmitError> {
        match self.core.precheck(bytes)? {
            Ok(()) => self.submit_unchecked(appender, bytes),
            Err((record_id, refused)) => self.core.refuse(bytes, &record_id, refused),
        }
    }

    /// The same without holding it against the newest state first: whatever it is, it is ordered.
    ///
    /// # Errors
    ///
    /// As [`Platform::submit`], but for refusals by the contracts.
    pub fn submit_unchecked(&self, appender: &mut Appender, bytes: &[u8]) -> Result<Submitted, SubmitError> {
        let ack = appender.append_wait(bytes)?;
        Ok(Submitted { ack, status: self.core.outcome_of(ack.seq)? })
    }

    /// Whether the contracts would accept a record now; nothing is ordered.
    ///
    /// The signature of an act in a case is not looked at: trying the act is bounded, and takes less than verifying.
    ///
    /// # Errors
    ///
    /// [`SubmitError::Refused`] if not; [`SubmitError::Ledger`] if it is no record of this ledger, or its author did not sign it.
    pub fn precheck(&self, bytes: &[u8]) -> Result<(), SubmitError> {
        self.core.precheck(bytes)?.map_err(|(_, refused)| refused.into())
    }

    /// A way in for one producer.
    ///
    /// # Errors
    ///
    /// [`NoAppender`] if there are too many.
    pub fn appender(&self) -> Result<Appender, NoAppender> {
        self.core.ledger.appender()
    }

    /// What became of an ordered record; waits until it is decided.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] if the host stopped; [`PlatformError::Query`] if there is no such record.
    pub fn outcome(&self, seq: u64) -> Result<Status, PlatformError> {
        self.core.reader.get(seq)?;
        self.core.outcome_of(seq)
    }
}

impl Core {
    /// Holds a record against the newest state. The inner error names the record that would be refused.
    fn precheck(&self, bytes: &[u8]) -> Result<Result<(), (RecordId, Refused)>, SubmitError> {
        let record = Record::parse(bytes).map_err(Refusal::from)?;
        let head = record.head;
        if head.ledger != self.ledger.id() {
            return Err(Refusal::Ledger { expected: self.ledger.id(), got: head.ledger }.into());
        }
        if !is_contract(head.kind) {
            let words = format!(
                "records of kind {} are none that contracts take; append them to the ledger itself",
                head.kind.0
            );
            return Ok(Err((record.record_id(), Refused::new("payload.kind", &[], words))));
        }
        if let Some(failure) = self.progress.failure() {
            return Err(PlatformError::from(failure).into());
        }
        // What administrators do, or sign, may touch every case there is: it is tried for nobody who only says that he is one.
        if head.kind != CASE {
            verify(&record)?;
        }
        let record_id = record.record_id();
        let incoming = Incoming { kind: head.kind, record: record_id, author: head.author, payload: content(&record) };
        let applied = apply_record(self.ground(), &Layer::default(), self.now(), &incoming);
        let status = match applied {
            Ok((status, _)) => status,
            // Ordered, it would stop this host.
            Err(HostError::Version { needed }) => {
                let words = format!(
                    "this program does not know contracts of version {needed}; install the one that does first"
                );
                Status::Refused(Refused::new("contract.version", &[&needed.to_string()], words))
            }
            Err(error) => return Err(PlatformError::from(error).into()),
        };
        Ok(match status {
            Status::Refused(refused) => Err((record_id, refused)),
            Status::Accepted | Status::Waiting(_) => Ok(()),
        })
    }

    /// Answers a record that would be refused: one that was ordered before by what became of it then.
    fn refuse(&self, bytes: &[u8], record_id: &RecordId, refused: Refused) -> Result<Submitted, SubmitError> {
        let record = Record::parse(bytes).map_err(Refusal::from)?;
        // Nobody is blamed for what he did not sign, and who did not sign is told so: also of a head that was ordered, with a payload
        // that was not.
        verify(&record)?;
        if let Some(stored) = self.reader.find(record_id)? {
            let ack = Ack { seq: stored.seq(), height: stored.height() };
            return Ok(Submitted { ack, status: self.outcome_of(ack.seq)? });
        }
        if is_attempt(record.head.kind, &refused) {
            self.note_attempt(&record, record_id, &refused)?;
        }
        Err(refused.into())
    }

    fn note_attempt(&self, record: &Record<'_>, record_id: &RecordId, refused: &Refused) -> Result<(), SubmitError> {
        let author = record.head.author.to_string();
        let platform = self.look(crate::charter::platform)?;
        let is_host = platform.as_ref().is_some_and(|platform| platform.host == self.key.public().to_string());
        let is_admin = platform.is_some_and(|platform| platform.admins.contains(&author));
        let is_known = is_admin || self.look(|draft| registry::entry(draft, CREDENTIAL, &author))?.is_some();
        let known = Some(record.head.author).filter(|_| is_known);
        let mut line = self.host.lock();
        if !is_host || !line.counts(known, self.now().time_ms) {
            return Ok(());
        }
        let payload = content(record).unwrap_or_default();
        let message = Message::read(record.head.kind, *record_id, record.head.author, payload);
        let case = match message.map(|message| message.body) {
            Ok(Body::Case(act)) => act.case,
            _ => String::new(),
        };
        let form = AttemptForm { author, case, code: refused.code.to_owned(), record: record_id.to_string() };
        line.order(self, ATTEMPT, &encode(&form))?;
        Ok(())
    }

    /// What became of an ordered record; waits until it is decided.
    pub(super) fn outcome_of(&self, seq: u64) -> Result<Status, PlatformError> {
        self.progress.wait_past(seq)?;
        let height = self.reader.get(seq)?.height();
        let Some((_, outcome)) = self.find_outcome(seq, height)? else {
            let words = "the record is none that contracts know";
            return Ok(Status::Refused(Refused::new("payload.kind", &[], words)));
        };
        let words = self.state.row(&keys::words_row(seq))?;
        let words = words.map(|words| String::from_utf8_lossy(&words).into_owned()).unwrap_or_default();
        let damaged = || StateError::damaged(&keys::list_row(height, 0), "holds no outcome where one must be");
        Ok(read_status(&outcome, words).ok_or_else(damaged)?)
    }

    /// What became of a record, and the index of that in its block's list.
    pub(super) fn find_outcome(&self, seq: u64, height: u64) -> Result<Option<(u64, Value)>, PlatformError> {
        let wanted = Some(&Value::Integer(i64::try_from(seq).unwrap_or(i64::MAX)));
        let list = block_list(&self.state, height)?;
        Ok((0..).zip(list).find(|(_, entry)| entry.get("seq") == wanted))
    }
}

/// Whether a record is what its author signed.
fn verify(record: &Record<'_>) -> Result<(), Refusal> {
    record.verify_content().map_err(Refusal::from)?;
    if record.holds() { Ok(()) } else { Err(Refusal::Signature) }
}

/// A record's payload without its salt; none of a bundle, which no contract takes.
fn content<'a>(record: &Record<'a>) -> Option<&'a [u8]> {
    let salt = if record.head.is_salted() { annals::limits::SALT_SIZE } else { 0 };
    if record.head.is_bundle() { None } else { record.payload.get(salt..) }
}

/// The status that a block's list keeps; none if it is none.
fn read_status(outcome: &Value, words: String) -> Option<Status> {
    let text = |name: &str| outcome.get(name).and_then(Value::as_text);
    let about = outcome.get("about").and_then(Value::as_list)?.iter();
    let about: Vec<String> = about.map(|item| item.as_text().map(str::to_owned)).collect::<Option<_>>()?;
    Some(match text("status")? {
        "accepted" => Status::Accepted,
        "waiting" => Status::Waiting(about.first()?.parse().ok()?),
        "refused" => Status::Refused(Refused { code: known_code(text("code")?), about, words }),
        _ => return None,
    })
}

/// The static name of a code that a row keeps; of a later program's code that it is one.
fn known_code(code: &str) -> &'static str {
    crate::codes::ALL.iter().find(|known| **known == code).copied().unwrap_or("contract.refused")
}
