//! The gate: every refusal that needs no order, in the caller's thread.
//!
//! A record that passes is of this ledger, by an author who is let in, within the limits and the embedder's policy.
//! Nothing was kept of one that does not. An author who was never met is remembered only once the signature of the record
//! that names it holds, and of a listed ledger only if it is let in; so nobody fills the memory with keys of his invention.

use crate::authors::Known;
use crate::query::QueryError;
use crate::refusal::Refusal;
use crate::replay::author_of;
use crate::shared::Shared;
use annals_core::genesis::{Order, order};
use annals_core::hash::{AuthorId, RecordId};
use annals_core::record::{Record, SUITE_ED25519, verify_content};
use annals_core::signature::parse_author;
use annals_ordering::ring::Verification;
use annals_ordering::sequence::Author;
use annals_ordering::verify::verify_one;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A record that may be claimed for.
#[derive(Debug)]
pub(crate) struct Gated<'a> {
    pub(crate) record: Record<'a>,
    /// Its author's slot.
    pub(crate) author_slot: u32,
    /// Its id, if content and signature were verified on the way.
    pub(crate) verified: Option<RecordId>,
}

/// The authors that one appender has met, so that the common case asks no shared table.
pub(crate) type Met = HashMap<AuthorId, Arc<Known>>;

/// Authors that an appender remembers at most; beyond it starts anew.
const MET_COUNT_MAX: usize = 65_536;

/// Lets a record in, or says why not.
pub(crate) fn gate<'a>(shared: &Shared, met: &mut Met, bytes: &'a [u8]) -> Result<Gated<'a>, Refusal> {
    check_open(shared)?;
    let record = Record::parse(bytes)?;
    let expected = shared.ledger();
    if record.head.ledger != expected {
        return Err(Refusal::Ledger { expected, got: record.head.ledger });
    }
    let is_for_admitted = record.head.kind.is_for_admitted();
    let genesis = &shared.query.genesis;
    let mut verified = None;
    let mut vouch = |author: &Author| {
        if is_for_admitted && !author.is_admitted(genesis) {
            return Err(Refusal::NotAdmitted(author.id));
        }
        if verified.is_none() {
            verified = Some(verify(&record)?);
        }
        Ok(())
    };
    if record.head.kind.is_engine()
        && let Order::Admit(id) | Order::Revoke(id) = order(genesis, &record.head, record.payload)?
    {
        // Sequencing needs the named author's state, whatever it is; who names it must have signed.
        remember(shared, met, &id, &mut vouch)?;
    }
    let known = remember(shared, met, &record.head.author, &mut vouch)?;
    if is_for_admitted && !known.is_admitted() {
        return Err(Refusal::NotAdmitted(record.head.author));
    }
    if let Some(policy) = &shared.policy {
        match catch_unwind(AssertUnwindSafe(|| policy.judge(&record))) {
            Ok(judgement) => judgement.map_err(Refusal::Policy)?,
            Err(_) => return Err(Refusal::PolicyPanic),
        }
    }
    Ok(Gated { author_slot: known.slot, verified, record })
}

/// Whether records are taken at all.
pub(crate) fn check_open(shared: &Shared) -> Result<(), Refusal> {
    // Acquire pairs with the Release in `Shared::halt`: the cause is there.
    if shared.closing.load(Ordering::Acquire) {
        return Err(if shared.halted.lock().is_some() { Refusal::Halted } else { Refusal::Closed });
    }
    Ok(())
}

/// Verifies a record in the caller's thread, as a verifier would.
pub(crate) fn verify(record: &Record<'_>) -> Result<RecordId, Refusal> {
    match verify_one(record.head_bytes, record.payload) {
        Verification::Verified(record_id) => Ok(record_id),
        Verification::BadContent => {
            // The verifier says that it does not hold; the caller is told why.
            verify_content(&record.head, record.payload)?;
            Err(Refusal::Signature)
        }
        Verification::BadSignature | Verification::Abandoned => Err(Refusal::Signature),
    }
}

/// Finds an author, or makes it known once `vouch` says that it may be.
fn remember(
    shared: &Shared,
    met: &mut Met,
    id: &AuthorId,
    vouch: &mut dyn FnMut(&Author) -> Result<(), Refusal>,
) -> Result<Arc<Known>, Refusal> {
    if let Some(known) = met.get(id)
        && !known.is_forgotten()
    {
        return Ok(Arc::clone(known));
    }
    let known = loop {
        if let Some(known) = shared.authors.find(id) {
            break known;
        }
        parse_author(id).map_err(|error| Refusal::Key { author: *id, error })?;
        let generation = shared.authors.generation();
        let entry = shared.query.ask(|index| index.author(SUITE_ED25519, id)).map_err(lookup)?;
        let author = entry.map_or_else(|| Author::new(*id), |entry| author_of(&entry));
        vouch(&author)?;
        let admitted = author.is_admitted(&shared.query.genesis);
        if let Some(known) = shared.authors.add(author, admitted, generation) {
            break known;
        }
    };
    if met.len() == MET_COUNT_MAX {
        met.clear();
    }
    met.insert(*id, Arc::clone(&known));
    Ok(known)
}

/// A refusal for a look-up that failed.
#[expect(clippy::needless_pass_by_value, reason = "an error is handed over to be told")]
pub(crate) fn lookup(error: QueryError) -> Refusal {
    Refusal::Lookup(error.code())
}
