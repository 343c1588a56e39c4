//! Appending: a producer's end of an open ledger, and the answer it waits for.

use crate::gate::{Gated, Met, check_open, gate, lookup, verify};
use crate::memory::appender_bytes;
use crate::refusal::Refusal;
use crate::shared::Shared;
use annals_core::hash::AuthorId;
use annals_core::limits::{HEAD_SIGNED_SIZE, HEAD_SIZE};
use annals_core::record::{Head, record_id, verify_content};
use annals_ordering::registry::{RegistryFull, Source};
use annals_ordering::ring::{Entry, Known, Pushback};
use annals_ordering::slots::{Outcome, RefusalCode, Slots};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

#[cfg(feature = "bench-unverified")]
mod unverified;

/// Payloads above this many bytes are hashed by their caller, so that they hold up no batch.
const HASHED_BY_CALLER: usize = 128 << 10;

/// A record is in the ledger for good.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Ack {
    /// Its place in the total order, from 0.
    pub seq: u64,
    /// Height of its block.
    pub height: u64,
}

/// Why there is no further appender. Nothing has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NoAppender {
    /// As many are in use as the options allow.
    #[error(transparent)]
    Full(#[from] RegistryFull),
    /// The slots of another one would take more memory than the options allow.
    #[error(
        "another appender would take the ledger beyond its {allowed} bytes of memory; drop some, raise memory_max, or make outstanding_max smaller"
    )]
    Memory {
        /** Bytes that the options allow. */
        allowed: u64,
    },
}

impl NoAppender {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Full(full) => full.code(),
            Self::Memory { .. } => "appender.memory",
        }
    }
}

/// What an appender's answers come through.
#[derive(Debug)]
struct Line {
    shared: Arc<Shared>,
    source: Arc<Source>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.shared.registry.unregister(&self.source);
        self.shared.memory.give_back(appender_bytes(self.source.slots().count()));
    }
}

/// One producer's way into the ledger. Its records keep their order.
///
/// Make one for each thread that appends. An author's records go through one appender at a time, or their order is not
/// known to the author.
#[derive(Debug)]
pub struct Appender {
    line: Arc<Line>,
    met: Met,
    sizes: Vec<u32>,
}

impl Appender {
    /// An appender that may have so many records outstanding.
    pub(crate) fn new(shared: &Arc<Shared>, outstanding_max: u32) -> Result<Self, NoAppender> {
        let bytes = appender_bytes(outstanding_max as usize);
        if !shared.memory.take(bytes) {
            return Err(NoAppender::Memory { allowed: shared.memory.most() });
        }
        let registered = shared.registry.register(Arc::new(Slots::new(outstanding_max)));
        let source = registered.inspect_err(|_| shared.memory.give_back(bytes))?;
        let line = Arc::new(Line { shared: Arc::clone(shared), source });
        Ok(Self { line, met: Met::new(), sizes: Vec::new() })
    }

    /// Appends one record, head and payload.
    ///
    /// # Errors
    ///
    /// [`Refusal`] for all that can be told at once; nothing was kept then. What only the order decides (signature,
    /// nonce, an author revoked since) comes through the [`Pending`].
    pub fn append(&mut self, record: &[u8]) -> Result<Pending, Refusal> {
        self.append_batch(&[record])?.pop().unwrap_or(Err(Refusal::Pushback))
    }

    /// Appends many records with one claim; an answer a record, in order.
    ///
    /// A record that is refused at once leaves the others alone.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] of all of them, whatever they are; none was looked at closely and none was kept:
    /// [`Refusal::Pushback`] if there is no room right now for those that pass, [`Refusal::BatchTooLarge`] if there never will
    /// be, or if they are more than [`Appender::batch_max`], [`Refusal::Closed`] and [`Refusal::Halted`].
    pub fn append_batch<'a>(&mut self, records: &[&'a [u8]]) -> Result<Vec<Result<Pending, Refusal>>, Refusal> {
        // Borrowed: a flood that is refused writes nothing that other appenders read, not even a count.
        let shared = &*self.line.shared;
        check_open(shared)?;
        if self.batch_max() < records.len() {
            return Err(Refusal::BatchTooLarge);
        }
        if self.is_full_for(records) {
            return Err(Refusal::Pushback);
        }
        // Nobody waits before it: the way through the verifiers would only cost two hand-overs.
        let is_alone = records.len() == 1 && shared.ring.is_empty();
        let mut gate = |record: &&'a [u8]| {
            let mut gated = gate(shared, &mut self.met, record)?;
            if is_alone && gated.verified.is_none() {
                gated.verified = Some(verify(&gated.record)?);
            }
            Ok(gated)
        };
        let gated: Vec<_> = records.iter().map(&mut gate).collect();
        self.claim(&gated)
    }

    /// Appends a record and waits until it is final.
    ///
    /// # Errors
    ///
    /// [`Refusal`], whether told at once or after the order.
    pub fn append_wait(&mut self, record: &[u8]) -> Result<Ack, Refusal> {
        let pending = self.append(record)?;
        self.look_for(&pending);
        pending.wait()
    }

    /// Looks for an answer awhile before its caller sleeps on it.
    fn look_for(&self, pending: &Pending) {
        let slots = self.line.source.slots();
        self.line.shared.look_awhile(|| slots.read(pending.slot).is_some());
    }

    /// Most records that one batch may hold, at least for small payloads.
    pub fn batch_max(&self) -> usize {
        self.line.source.slots().count()
    }

    /// Whether there is no room for all these records right now. It comes before everything else, so that a flood is turned away
    /// for a few loads, whatever it brings.
    fn is_full_for(&self, records: &[&[u8]]) -> bool {
        let sizes = records.iter().map(|record| record.len().saturating_sub(HEAD_SIZE));
        let slots = self.line.source.slots();
        !slots.has_free(records.len()) || !self.line.shared.ring.has_room_for(sizes)
    }

    /// Takes all that passed the gate, or none; an answer a record, in order.
    fn claim(&mut self, gated: &[Result<Gated<'_>, Refusal>]) -> Result<Vec<Result<Pending, Refusal>>, Refusal> {
        let line = &self.line;
        let slots = line.source.slots();
        // Hashing comes before the claim: between claim and publish there is nothing but a copy.
        let known: Vec<_> = gated.iter().map(|gated| gated.as_ref().map_err(Clone::clone).and_then(known)).collect();
        self.sizes.clear();
        let mut reserved = Vec::new();
        for (gated, known) in gated.iter().zip(&known) {
            let (Ok(gated), Ok(_)) = (gated, known) else { continue };
            match slots.reserve() {
                Ok(slot) => reserved.push(slot),
                Err(_) => break,
            }
            self.sizes.push(gated.record.head.payload_size);
        }
        let wanted = known.iter().filter(|known| known.is_ok()).count();
        let claim =
            if reserved.len() < wanted { Err(Pushback::SlotsOutstanding) } else { line.shared.ring.claim(&self.sizes) };
        let mut claim = match claim {
            Ok(claim) => claim,
            Err(pushback) => {
                for slot in reserved {
                    slots.complete(slot, Outcome::Unknown);
                    slots.release(slot);
                }
                return Err(if pushback == Pushback::TooLarge { Refusal::BatchTooLarge } else { Refusal::Pushback });
            }
        };
        let (mut slot, mut all_verified) = (reserved.into_iter(), true);
        let mut publish = |gated: &Result<Gated<'_>, Refusal>, known: Result<Known, Refusal>| {
            let (known, gated) = (known?, gated.as_ref().map_err(Clone::clone)?);
            let slot = slot.next().ok_or(Refusal::Pushback)?;
            all_verified &= matches!(known, Known::All(_));
            claim.write(&Entry {
                head: gated.record.head_bytes,
                payload: gated.record.payload,
                source: line.source.id(),
                slot,
                author_slot: gated.author_slot,
                known,
            });
            Ok(Pending { line: Arc::clone(line), slot, answered: false, head: *gated.record.head_bytes })
        };
        let pending = gated.iter().zip(known).map(|(gated, known)| publish(gated, known)).collect();
        drop(claim);
        if all_verified {
            line.shared.bell.ring()
        } else {
            line.shared.wake_for_verification()
        }
        Ok(pending)
    }
}

/// What is known of a gated record before the claim.
fn known(gated: &Gated<'_>) -> Result<Known, Refusal> {
    if let Some(record_id) = gated.verified {
        return Ok(Known::All(record_id));
    }
    if HASHED_BY_CALLER < gated.record.payload.len() {
        verify_content(&gated.record.head, gated.record.payload)?;
        return Ok(Known::Content);
    }
    Ok(Known::Nothing)
}

/// A record that was taken and is not answered yet: a future that needs no runtime, or [`Pending::wait`].
///
/// Dropped, it takes nothing back: the record is ordered all the same, and sending it again gives the answer.
#[derive(Debug)]
#[must_use = "a record is in the ledger only once its answer says so"]
pub struct Pending {
    line: Arc<Line>,
    slot: u32,
    answered: bool,
    head: [u8; HEAD_SIZE],
}

impl Pending {
    /// Sleeps until the record is final or refused.
    ///
    /// # Errors
    ///
    /// [`Refusal`] for what only the order decides; [`Refusal::Unknown`] if the ledger halted before.
    pub fn wait(mut self) -> Result<Ack, Refusal> {
        let outcome = self.line.source.slots().wait(self.slot);
        self.settle(outcome)
    }

    /// The same, for at most this long; `None` if it passed. Not to be called after an answer.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<Ack, Refusal>> {
        let outcome = self.line.source.slots().wait_timeout(self.slot, timeout)?;
        Some(self.settle(outcome))
    }

    /// The answer if there is one already. Not to be called after an answer.
    pub fn try_take(&mut self) -> Option<Result<Ack, Refusal>> {
        let outcome = self.line.source.slots().read(self.slot)?;
        Some(self.settle(outcome))
    }

    fn settle(&mut self, outcome: Outcome) -> Result<Ack, Refusal> {
        self.give_back();
        match outcome {
            Outcome::Final { seq, height } => Ok(Ack { seq, height }),
            Outcome::Seen { .. } => self.look_up(),
            Outcome::Refused(code) => Err(self.refusal(code)),
            Outcome::Unknown => Err(Refusal::Unknown),
        }
    }

    fn give_back(&mut self) {
        if !std::mem::replace(&mut self.answered, true) {
            self.line.source.slots().release(self.slot);
        }
    }

    /// The nonce was met before, or is too old to tell: the log knows by whom.
    fn look_up(&self) -> Result<Ack, Refusal> {
        let head = Head::parse(&self.head)?;
        let found = self.line.shared.query.find_nonce(head.suite, &head.author, head.nonce).map_err(lookup)?;
        let Some(record) = found else { return Err(Refusal::NonceStale(head.nonce)) };
        let (stored, sent) = (record.head_bytes(), &self.head);
        if stored.get(..HEAD_SIGNED_SIZE) == sent.get(..HEAD_SIGNED_SIZE) {
            Ok(Ack { seq: record.seq(), height: record.height() })
        } else {
            Err(Refusal::NonceConflict { nonce: head.nonce, seq: record.seq(), record_id: record_id(stored) })
        }
    }

    fn refusal(&self, code: RefusalCode) -> Refusal {
        let author = self.head.get(40..72).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or_default();
        match code {
            RefusalCode::BadSignature => Refusal::Signature,
            RefusalCode::BadContent => Refusal::ContentHash,
            RefusalCode::NotAdmitted | RefusalCode::Revoked => Refusal::NotAdmitted(AuthorId::from_bytes(author)),
            RefusalCode::NotAdmin | RefusalCode::EngineRecord | RefusalCode::Ledger => Refusal::EngineRecord,
            RefusalCode::StateRootLater => Refusal::StateRootLater,
            RefusalCode::DiskFull => Refusal::DiskFull,
            // Made in the meantime: the record may be sent again.
            RefusalCode::NoSegment => {
                self.line.shared.obstacle.lock().clone().map_or(Refusal::Pushback, Refusal::NoSegment)
            }
            // Published in the moment of closing, behind the closing mark.
            RefusalCode::Overloaded if self.line.shared.closing.load(Ordering::Acquire) => Refusal::Closed,
            RefusalCode::UnknownAuthor | RefusalCode::Overloaded | _ => Refusal::Pushback,
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Future for Pending {
    type Output = Result<Ack, Refusal>;

    /// Answers once; a record that repeats an earlier one is looked up in this call, which may read the disk.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.line.source.slots().poll(self.slot, context.waker());
        polled.map(|outcome| self.settle(outcome))
    }
}
