//! A source that attacks, beside others that do not: what it costs them.
//!
//! First all sources send valid records, then, with the same sources on the same threads, the last one attacks. Each keeps as
//! many records outstanding as the others, in both phases, so that the attack lies in what is sent and not in how much: who just
//! sends too much is the business of `overload`. The attacker has a thread of its own, so that what a call costs it is not
//! paid by those who would share it. In a closed loop latency is the length of the queue; at a constant rate, each source's
//! share of it in both phases, it is what the others would see. What is kept of the clean phase is said of the others: the same sources in both.

use super::figures::ratio;
use super::load::merged;
use super::modes::fields;
use super::plan::{Attack, Load};
use super::pool;
use super::rig::{Outcome, Ran, Rig, Split};
use super::schedule::Schedule;
use super::tally::Tally;
use super::workload::fixed_key;
use super::{closed, open, workload::Shape};
use crate::exit::CommandError;
use annals::{BuildError, LedgerId};
use serde_json::{Map, Value, json};

/// Where a stale attacker's nonces begin; those that it then sends lie far below.
const HIGH: u64 = 1 << 40;
/// Records that a stale attacker sends again and again: none was ever used, and more than anybody would keep in memory for
/// one author.
const STALE: u64 = 16_384;

/// Runs both phases.
pub(crate) fn run(rig: &mut Rig, attack: Attack) -> Result<Outcome, CommandError> {
    let rate = if rig.plan.mode == Load::Open {
        let saturation = rig.saturation()?;
        Some((rig.plan.rate(saturation), saturation))
    } else {
        None
    };
    let clean = phase(rig, rate)?;
    arm(rig, attack)?;
    let attacked = phase(rig, rate)?;
    let compared = Compared {
        all: merged(&attacked.tallies)?,
        all_clean: merged(&clean.tallies)?,
        others: others(&attacked.tallies)?,
        others_clean: others(&clean.tallies)?,
        // Of the whole phase: every record of his that was let in has an answer by now.
        answered: attacked.tallies.last().map_or(0, |tally| tally.acknowledged + tally.turned_down),
        refused: attacked.tallies.last().map_or(0, |tally| tally.turned_down),
    };
    let (fields, summary) = (compared.fields(attack, rate), compared.summary(attack, rig.plan.shape));
    Ok(Outcome { tally: compared.all, ran: attacked, saturation: None, fields, summary })
}

/// Both phases beside each other.
struct Compared {
    all: Tally,
    all_clean: Tally,
    others: Tally,
    others_clean: Tally,
    /// The attacker's records that were let in, and those of them that were refused afterwards.
    answered: u64,
    refused: u64,
}

impl Compared {
    /// What the others kept of their throughput, and how many times as long their 99th percentile is.
    fn ratios(&self) -> (f64, f64) {
        let Self { others, others_clean, .. } = self;
        let kept = ratio(others.records_per_s(), others_clean.records_per_s());
        (kept, ratio(others.at(0.99), others_clean.at(0.99)))
    }

    fn fields(&self, attack: Attack, rate: Option<(u64, u64)>) -> Map<String, Value> {
        let Self { all, all_clean, others, others_clean, answered, refused } = self;
        let (kept, longer) = self.ratios();
        let mut told = fields(json!({ "kind": kind(attack), "attempts": answered, "refused": refused }));
        if let Attack::Bad(n) = attack {
            told.insert("one_in".to_owned(), n.into());
        }
        let mut object = fields(json!({
            "attack": told,
            "clean_records_per_s": all_clean.records_per_s(),
            "all_ratio_to_clean": ratio(all.records_per_s(), all_clean.records_per_s()),
            "ratio_to_clean": kept,
            "others_records_per_s": others.records_per_s(),
            "others_clean_records_per_s": others_clean.records_per_s(),
            "others_p99_us": others.at(0.99),
            "others_clean_p99_us": others_clean.at(0.99),
            "others_p99_ratio": longer,
        }));
        if let Some((rate, saturation)) = rate {
            object.extend(fields(json!({
                "rate": rate,
                "saturation_records_per_s": saturation,
                "refused_attempts": all.pushed_back,
                "late_us": others.late_us.value_at_quantile(0.99),
                "unsent": all.unsent,
            })));
        }
        object
    }

    fn summary(&self, attack: Attack, shape: Shape) -> Vec<(&'static str, String)> {
        let Self { all_clean, others, others_clean, answered, refused, .. } = self;
        let ((kept, longer), kind, sources) = (self.ratios(), kind(attack), shape.sources);
        vec![
            ("attack", format!("{kind}: {answered} records let in of one source of {sources}, {refused} refused")),
            (
                "without it",
                format!(
                    "{} records/s by all, {} by the others",
                    all_clean.records_per_s(),
                    others_clean.records_per_s()
                ),
            ),
            ("the others", format!("{} records/s, {kept} of what they had without it", others.records_per_s())),
            (
                "their latency",
                format!("{} us (99th percentile), {longer} times as long as without it", others.at(0.99)),
            ),
        ]
    }
}

/// The word for an attack.
const fn kind(attack: Attack) -> &'static str {
    match attack {
        Attack::Stale => "stale",
        Attack::Bad(_) => "bad",
    }
}

/// All sources send, the last one by a thread of its own: as much as the ledger takes, or its share of a rate.
fn phase(rig: &mut Rig, rate: Option<(u64, u64)>) -> Result<Ran, CommandError> {
    let (span, count) = (rig.plan.span, u64::from(rig.plan.shape.sources));
    let Some((rate, _)) = rate else { return rig.run(Split::LastApart, span, closed::flood) };
    let own = (rate / count).max(1);
    rig.run(Split::LastApart, span, |sources, phase, thread| {
        let others = phase.threads - 1;
        let schedule =
            if thread < others { Schedule::new((rate - own).max(1), thread, others) } else { Schedule::new(own, 0, 1) };
        open::at_rate(sources, phase, schedule)
    })
}

/// All but the attacker, who is the last.
fn others(tallies: &[Tally]) -> Result<Tally, CommandError> {
    merged(tallies.split_last().map(|(_, others)| others).unwrap_or_default())
}

/// Makes the last source an attacker.
fn arm(rig: &mut Rig, attack: Attack) -> Result<(), CommandError> {
    let (ledger, shape) = (rig.ledger.id(), rig.plan.shape);
    let Some(attacker) = rig.sources.last_mut() else { return Ok(()) };
    attacker.hostile = true;
    match attack {
        Attack::Bad(n) => attacker.supply.spoil(n),
        Attack::Stale => {
            let stale = stale(ledger, shape)?;
            attacker.send(&stale.0)?;
            attacker.supply.repeat(stale.1);
        }
    }
    Ok(())
}

/// A record with a high nonce, and valid ones far below it by the same author.
fn stale(ledger: LedgerId, shape: Shape) -> Result<(Vec<u8>, Vec<Vec<u8>>), BuildError> {
    // An author that no source has.
    let key = fixed_key(Some(shape.authors));
    let high = pool::record(ledger, shape, &key, HIGH, HIGH)?;
    let low = (0..STALE).map(|nonce| pool::record(ledger, shape, &key, nonce, nonce)).collect::<Result<_, _>>()?;
    Ok((high, low))
}
