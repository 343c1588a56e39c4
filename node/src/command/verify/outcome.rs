//! The proof of an outcome, step by step: what became of a record, and that it was ordered.

use super::tell;
use crate::command::table::plain;
use crate::exit::{CommandError, NEGATIVE};
use annals::Vkey;
use annals_contracts::{OutcomeProof, ProofStep, Value};
use std::io::{StdoutLock, Write as _};
use std::path::Path;

pub(super) fn run(path: &Path, text: &str, with_payload: bool, vkey: &Vkey) -> Result<u8, CommandError> {
    if with_payload {
        return Err(CommandError::Usage(
            "the proof of an outcome does not show what was recorded; give --payload with the record's receipt",
        ));
    }
    let proof = OutcomeProof::parse(text).map_err(|source| CommandError::Proof { path: path.to_owned(), source })?;
    let mut out = std::io::stdout().lock();
    let mut holds = true;
    for step in ProofStep::ALL {
        let result = proof.verify_step(step, vkey);
        holds &= result.is_ok();
        tell(&mut out, step.words(), result.err().map(|error| error.to_string()))?;
    }
    if !holds {
        writeln!(
            out,
            "REFUSED this proof does not show what it says, or --ledger-key is another ledger's: compare that with the vkey that the platform published, then ask for the proof again"
        )?;
        return Ok(NEGATIVE);
    }
    conclude(&mut out, &proof, vkey)?;
    Ok(0)
}

fn conclude(out: &mut StdoutLock<'_>, proof: &OutcomeProof, vkey: &Vkey) -> Result<(), CommandError> {
    let text = |name: &str| proof.outcome.get(name).and_then(Value::as_text).unwrap_or_default();
    let about: Vec<_> = proof.outcome.get("about").and_then(Value::as_list).unwrap_or_default().iter().collect();
    let about: Vec<_> = about.into_iter().filter_map(Value::as_text).collect();
    let (seq, height) = (proof.seq().unwrap_or_default(), proof.list.height);
    let outcome = match text("status") {
        "accepted" => "was accepted".to_owned(),
        "waiting" => format!("waited for {} more signatures when it was ordered", about.join(", ")),
        _ if about.is_empty() => format!("was ordered and REFUSED, it changed nothing: {}", text("code")),
        _ => format!("was ordered and REFUSED, it changed nothing: {} ({})", text("code"), about.join(", ")),
    };
    writeln!(out, "GOOD    the record of seq {seq} of {}, in block {height}, {}", vkey.origin(), plain(&outcome))?;
    writeln!(out, "        record {}", plain(text("record")))?;
    writeln!(out, "unshown what was recorded: verify the record's receipt with --payload")?;
    writeln!(out, "unshown that the host applied the contracts rightly: replay the ledger with `annals state check`")?;
    writeln!(out, "unshown that others see the same ledger: compare checkpoints with a witness")?;
    Ok(writeln!(out, "unshown what became of it later: a case goes on")?)
}
