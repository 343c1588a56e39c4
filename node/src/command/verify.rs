//! `annals verify`: a receipt or the proof of an outcome, step by step, with nothing but the ledger's vkey.
//!
//! Every step is run and told, also behind one that fails, so that its reader sees which part was touched.

mod outcome;

use super::read_file;
use crate::exit::{CommandError, NEGATIVE};
use crate::line::vkey;
use annals::{Disclosure, Kind, ReceiptJson, ReceiptJsonError, StateRootError, StateRootRecord, Step, Vkey, limits};
use annals_contracts::{OUTCOME_PROOF_SIZE_MAX, OutcomeProof};
use std::path::Path;

const STEPS: [(Step, &str); 5] = [
    (Step::Checkpoint, "the ledger key signed the checkpoint"),
    (Step::RecordId, "the leaf entry names this record"),
    (Step::Inclusion, "the record is in the signed tree, at this seq, height and time"),
    (Step::Head, "the head is well formed"),
    (Step::Signature, "the author signed the head"),
];

pub(crate) fn run(path: &Path, payload: Option<&Path>, ledger_key: &str) -> Result<u8, CommandError> {
    let vkey = vkey(ledger_key)?;
    let text = read_file(path, limits::RECEIPT_JSON_SIZE_MAX.max(OUTCOME_PROOF_SIZE_MAX))?;
    let text = std::str::from_utf8(&text).unwrap_or_default();
    if OutcomeProof::is_one(text) {
        return outcome::run(path, text, payload.is_some(), &vkey);
    }
    let json = ReceiptJson::parse(text)
        .map_err(|source: ReceiptJsonError| CommandError::Receipt { path: path.to_owned(), source })?;
    let payload = payload.map(|path| read_file(path, limits::PAYLOAD_SIZE_MAX)).transpose()?;
    let mut out = std::io::stdout().lock();
    let mut holds = true;
    for (step, words) in STEPS {
        let result = json.receipt.verify_step(step, &vkey);
        holds &= result.is_ok();
        tell(&mut out, words, result.err().map(|error| error.to_string()))?;
    }
    if let Some(payload) = &payload {
        let result = json.verify_payload(payload);
        holds &= result.is_ok();
        let words = match json.disclosure {
            Disclosure::Item { .. } => "the file is the item of the bundle that the author signed",
            Disclosure::None | Disclosure::Salt(_) | Disclosure::Salts(_) => "the file is what the author signed",
        };
        tell(&mut out, words, result.err().map(|error| error.to_string()))?;
        if let Some(result) = appointed(&json, payload, &vkey) {
            holds &= result.is_ok();
            let words = "the ledger key appointed the author to say state roots";
            tell(&mut out, words, result.err().map(|error| error.to_string()))?;
        }
    }
    conclude(&mut out, &json, &vkey, holds, payload.is_some())?;
    Ok(if holds { 0 } else { NEGATIVE })
}

/// Of a state root, whose payload alone shows it: whether the ledger key has appointed its author.
fn appointed(json: &ReceiptJson, payload: &[u8], vkey: &Vkey) -> Option<Result<(), StateRootError>> {
    let head = json.receipt.head().ok().filter(|head| head.kind == Kind::STATE_ROOT)?;
    Some(StateRootRecord::parse(payload).and_then(|said| said.verify(vkey, head.ledger, &head.author)))
}

fn tell(out: &mut impl std::io::Write, words: &str, failure: Option<String>) -> std::io::Result<()> {
    match failure {
        None => writeln!(out, "holds   {words}"),
        Some(failure) => writeln!(out, "FAILS   {words}: {failure}"),
    }
}

fn conclude(
    out: &mut impl std::io::Write,
    json: &ReceiptJson,
    vkey: &Vkey,
    holds: bool,
    payload: bool,
) -> std::io::Result<()> {
    if !holds {
        return writeln!(out, "REFUSED this receipt does not show what it says; ask the ledger for it again");
    }
    let (seq, leaf) = (json.receipt.seq, &json.receipt.leaf);
    let (height, time) = (leaf.height, leaf.ordered_time_ms);
    writeln!(out, "GOOD    seq {seq} of {}, ordered in block {height} at {time} ms", vkey.origin())?;
    if !payload {
        writeln!(out, "unshown what was recorded: give the original with --payload")?;
    }
    writeln!(out, "unshown that others see the same ledger: compare checkpoints with a witness")?;
    writeln!(out, "unshown that the author was entitled, or that the author's claimed time is true")
}
