//! Applying: what a record, and what a block of them, makes of state. The one function that is consensus among all who replay.
//!
//! `apply(state, record, at) -> changes, events, outcome`. Deterministic: sorted maps, integers, no clock, no I/O but reading state, no
//! randomness, a budget of steps. A panic is our bug and a refusal like any other, the same wherever the record is applied.
//! Before a block's records come the deadlines whose time has come by the block's ordered time.

use crate::administration::{administer, begin, contracts_version, countersign as countersign_proposal, no_platform};
use crate::charter::platform;
use crate::draft::{At, Draft, Ground, Layer, Stop};
use crate::failure::{CONTRACTS_VERSION, HostError};
use crate::keys;
use crate::message::{ATTEMPT, AttemptForm, Body, Message, is_contract};
use crate::outcome::{Event, Outcome, Refused, Status, list_root};
use crate::value::Value;
use crate::workflow;
use annals::tree::leaf_hash;
use annals::{AuthorId, Kind, RecordId};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Rows of deadlines that are read at a time.
const ROWS_AT_A_TIME: usize = 4096;

/// Bytes of a piece of a block's list, about.
const LIST_PIECE: usize = 16 << 10;

/// A record of a block, as contracts take it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) kind: Kind,
    pub(crate) record: RecordId,
    pub(crate) author: AuthorId,
    /// Without its salt; none of a bundle, which no contract takes.
    pub(crate) payload: Option<&'a [u8]>,
}

/// Applies one record on top of what its block has changed so far.
///
/// # Errors
///
/// [`HostError`] if state can't be read, or needs a later program: then nothing is decided.
pub(crate) fn apply_record(
    ground: Ground<'_>,
    block: &Layer,
    at: At,
    incoming: &Incoming<'_>,
) -> Result<(Status, Layer), HostError> {
    let mut draft = Draft::new(ground, block, at);
    match caught(|| decide(&mut draft, incoming)) {
        Ok(status) => Ok((status, draft.into_layer())),
        Err(Stop::Refused(refused)) => Ok((Status::Refused(refused), Layer::default())),
        Err(Stop::Broken(error)) => Err(error),
    }
}

/// Makes a refusal of a panic: it would end the host's thread, on every host that comes to the same place.
fn caught<T>(decide: impl FnOnce() -> Result<T, Stop>) -> Result<T, Stop> {
    catch_unwind(AssertUnwindSafe(decide)).unwrap_or_else(|_| {
        let words = "the contracts failed on this record, which is a bug of theirs: nothing was changed; report it";
        Err(Refused::new("contract.panic", &[], words).into())
    })
}

fn decide(draft: &mut Draft<'_>, incoming: &Incoming<'_>) -> Result<Status, Stop> {
    let Some(payload) = incoming.payload else {
        let words = "contract records are plain, not bundles; send each item as a record of its own";
        return Err(Refused::new("payload.form", &[], words).into());
    };
    let message = Message::read(incoming.kind, incoming.record, incoming.author, payload)?;
    match &message.body {
        Body::Platform(value) => begin(draft, message.author, value),
        Body::Registry(_) | Body::Policy(_) | Body::Definition(_) => administer(draft, &message),
        Body::Case(act) => match platform(draft)? {
            Some(_) => workflow::act(draft, &message, act),
            None => Err(no_platform()),
        },
        Body::Countersign(record) => countersign(draft, &message.author, &record.to_string()),
        Body::Attempt(attempt) => note(draft, &message.author, attempt),
    }
}

fn countersign(draft: &mut Draft<'_>, author: &AuthorId, record: &str) -> Result<Status, Stop> {
    if let Some(status) = workflow::countersign(draft, author, record)? {
        return Ok(status);
    }
    if let Some(status) = countersign_proposal(draft, author, record)? {
        return Ok(status);
    }
    let words = format!("record {record} waits for no signature: it took effect, lapsed, was refused, or is none");
    Err(Refused::new("countersign.unknown", &[record], words).into())
}

/// Notes that somebody tried what he may not.
fn note(draft: &mut Draft<'_>, author: &AuthorId, attempt: &AttemptForm) -> Result<Status, Stop> {
    let host = platform(draft)?;
    if host.is_none_or(|platform| platform.host != author.to_string()) {
        let words = "only the platform's host notes attempts".to_owned();
        return Err(Refused::new("registry.not_allowed", &[], words).into());
    }
    draft.happened("attempt.refused", &attempt.case, &[&attempt.author, &attempt.code, &attempt.record]);
    Ok(Status::Accepted)
}

/// Stops where the ledger's contracts are of a later version than this code.
fn check_version(ground: Ground<'_>, at: At) -> Result<(), HostError> {
    let block = Layer::default();
    let mut draft = Draft::new(ground, &block, at);
    match contracts_version(&mut draft) {
        Ok(needed) if CONTRACTS_VERSION < needed => Err(HostError::Version { needed }),
        Err(Stop::Broken(error)) => Err(error),
        Ok(_) | Err(Stop::Refused(_)) => Ok(()),
    }
}

/// Lets the deadlines pass whose time has come by a block's ordered time.
fn pass_deadlines(ground: Ground<'_>, block: &mut Layer, at: At) -> Result<(), HostError> {
    let (mut from, to) = keys::due_range(at.time_ms);
    let mut met = BTreeSet::new();
    loop {
        let rows = match Draft::new(ground, block, at).rows(&from, &to, ROWS_AT_A_TIME) {
            Ok(rows) => rows,
            Err(Stop::Broken(error)) => return Err(error),
            Err(Stop::Refused(_)) => return Ok(()),
        };
        // What a deadline begins ends later, so nothing comes before where the next ones are looked for.
        let Some(last) = rows.last() else { return Ok(()) };
        from = [&last[..], &[0]].concat();
        let cases = rows.iter().filter_map(|row| keys::parse_due_row(row)).map(|(_, case, _)| case);
        for case in cases.filter(|case| met.insert(case.clone())) {
            let mut draft = Draft::new(ground, block, at);
            match caught(|| workflow::fire(&mut draft, &case)) {
                Ok(()) => {
                    let layer = draft.into_layer();
                    block.absorb(layer);
                }
                Err(Stop::Broken(error)) => return Err(error),
                // Nobody is there to be told: it is an event, and the rows stay, so the next block tries again.
                Err(Stop::Refused(refused)) => block.events.push(Event {
                    name: "deadline.failed",
                    case: keys::case_name(&case),
                    about: vec![refused.code.to_owned()],
                }),
            }
        }
    }
}

/// Applies a block: its deadlines, then its records, and the list of what became of them.
///
/// # Errors
///
/// [`HostError`] if state can't be read, or needs a later program: then nothing is decided.
pub(crate) fn apply_block(ground: Ground<'_>, at: At, records: &[Incoming<'_>]) -> Result<Layer, HostError> {
    check_version(ground, at)?;
    let mut block = Layer::default();
    pass_deadlines(ground, &mut block, at)?;
    let mut list: Vec<_> = std::mem::take(&mut block.events).iter().map(Event::encode).collect();
    for (seq, incoming) in (at.seq..).zip(records) {
        if !is_contract(incoming.kind) {
            continue;
        }
        let (status, mut layer) = apply_record(ground, &block, At { seq, ..at }, incoming)?;
        let events = std::mem::take(&mut layer.events);
        block.absorb(layer);
        if let Status::Refused(refused) = &status {
            block.rows.insert(keys::words_row(seq), Some(refused.words.as_bytes().into()));
        }
        list.push(Outcome { seq, record: incoming.record, status }.encode());
        list.extend(events.iter().map(Event::encode));
    }
    if !list.is_empty() {
        commit_list(&mut block, at, list);
    }
    Ok(block)
}

/// Puts the list's root into state, and the list beside it, in pieces.
fn commit_list(block: &mut Layer, at: At, entries: Vec<Vec<u8>>) {
    let hashes: Vec<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let root = list_root(&hashes).to_string();
    let count = Value::Integer(i64::try_from(entries.len()).unwrap_or(i64::MAX));
    let value = Value::map([("count", count), ("root", Value::from(root))]);
    block.values.insert(keys::outcomes(at.height), Some(value.encode().into()));
    let (mut piece, mut first) = (Vec::new(), 0);
    for (index, entry) in (0..).zip(entries) {
        if LIST_PIECE < piece.len() {
            put_piece(block, at, first, &mut piece);
            first = index;
        }
        piece.push(if piece.is_empty() { b'[' } else { b',' });
        piece.extend_from_slice(&entry);
    }
    put_piece(block, at, first, &mut piece);
}

fn put_piece(block: &mut Layer, at: At, first: u32, piece: &mut Vec<u8>) {
    piece.push(b']');
    block.rows.insert(keys::list_row(at.height, first), Some(std::mem::take(piece).into()));
}

/// Whether a refusal is about who may do something, so that it is noted.
pub(crate) fn is_attempt(kind: Kind, refused: &Refused) -> bool {
    let about_authority = ["signer.", "policy.denied", "registry.not_allowed"];
    kind != ATTEMPT && about_authority.iter().any(|code| refused.code.starts_with(code))
}
