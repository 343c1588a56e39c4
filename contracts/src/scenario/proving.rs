//! Proofs and replays: what a record came to is shown offline, and all of it comes out again from the log.

use super::acting::case_of;
use super::checking::act_of;
use super::report::{Unlike, same};
use super::step::{ProveStep, Proven};
use super::world::World;
use crate::proof::OutcomeProof;
use crate::value::Value;
use annals::Vkey;

/// Proves what became of a record, verifies that with the ledger's public key alone, and damages the proof.
pub(super) fn prove(world: &World<'_>, step: &ProveStep) -> Result<(), Unlike> {
    let seq = seq_of(world, &step.of)?;
    let vkey = world.platform.ledger().vkey().clone();
    let text = world.platform.prove(seq)?.encode().map_err(|error| Unlike::broken(&error))?;
    let proof = verify(text.as_bytes(), &vkey).map_err(|problem| Unlike::new("a proof that holds", problem))?;
    let said = |name: &str| proof.outcome.get(name).and_then(Value::as_text).unwrap_or_default().to_owned();
    same("the proof says", step.status, said("status").as_str())?;
    if let Some(code) = &step.code {
        same("the proof says", code, &said("code"))?;
    }
    check_flips(text.as_bytes(), &vkey)
}

fn seq_of(world: &World<'_>, of: &Proven) -> Result<u64, Unlike> {
    match of {
        Proven::Act { case, act } => {
            let instance = case_of(world, case)?;
            let instance = instance.ok_or_else(|| Unlike::new(format!("a case {case}"), "there is none"))?;
            Ok(act_of(world, &instance, act)?.seq)
        }
        Proven::Step(name) => {
            let named =
                world.named.get(name).ok_or_else(|| Unlike::form(format!("no step before has as = {name:?}")))?;
            let none = || Unlike::new(format!("{name} in the ledger"), "it was refused before it was ordered");
            named.seq.ok_or_else(none)
        }
    }
}

fn verify(bytes: &[u8], vkey: &Vkey) -> Result<OutcomeProof, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let proof = OutcomeProof::parse(text).map_err(|error| error.to_string())?;
    proof.verify(vkey).map_err(|(_, error)| error.to_string())?;
    Ok(proof)
}

/// Whether every damaged proof is refused: one bit of every byte of it flipped in turn.
fn check_flips(text: &[u8], vkey: &Vkey) -> Result<(), Unlike> {
    for at in 0..text.len() {
        let bit = at % 8;
        let mut damaged = text.to_vec();
        if let Some(byte) = damaged.get_mut(at) {
            *byte ^= 1 << bit;
        }
        if verify(&damaged, vkey).is_ok() {
            let around = String::from_utf8_lossy(damaged.get(at.saturating_sub(20)..).unwrap_or_default()).into_owned();
            let around: String = around.chars().take(40).collect();
            return Err(Unlike::new(
                "a damaged proof that is refused",
                format!("bit {bit} of byte {at} was flipped, and it holds still: …{around}…"),
            ));
        }
    }
    Ok(())
}

/// Applies the ledger from genesis on a host of its own, and compares the roots at every height.
pub(super) fn replay(world: &World<'_>, until: Option<&str>) -> Result<(), Unlike> {
    let check = world.platform.check(|_| ())?;
    if let Some(height) = check.differs_at {
        return Err(Unlike::new("the same root at every height", format!("another one at height {height}")));
    }
    let applied = world.platform.applied();
    same("blocks that were replayed through height", &applied.height, &check.height)?;
    same("root at the end", &applied.root.to_string(), &check.root.to_string())?;
    let Some(name) = until else { return Ok(()) };
    let Some((height, root)) = world.remembered.get(name) else {
        return Err(Unlike::form(format!("no step before has remember = {name:?}")));
    };
    // Replayed and running roots are the same at every height, so either is compared with the one of then.
    let now = world.platform.state().root_at(*height).map_err(|error| Unlike::broken(&error))?;
    same(&format!("root at height {height}"), &Some(root.to_string()), &now.map(|root| root.to_string()))
}
