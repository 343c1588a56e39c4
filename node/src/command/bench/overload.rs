//! Overload: many times as many attempts as the ledger can take, each refused one offered again.
//!
//! Which question it answers: what a refusal costs, how much of its throughput a ledger keeps while it refuses nearly everything,
//! and whether its memory stays bounded. Attempts come due at a constant rate; a thread that can't keep up with them says
//! how many it made.

use super::clock::{nanos, now, wake_on_time};
use super::load::Phase;
use super::open::{turn_of, wait};
use super::schedule::{Pace, Schedule, Step};
use super::source::{BATCH, Counts, Offer, Source};
use super::tally::Tally;
use crate::exit::CommandError;

/// One thread: its share of the attempts, over its sources in turn.
pub(crate) fn attempts_at_rate(
    sources: &mut [Source],
    phase: &Phase<'_>,
    thread: u64,
    per_s: u64,
) -> Result<Tally, CommandError> {
    wake_on_time();
    let mut tally = Tally::new(phase.window)?;
    let end_ns = nanos(phase.window.until.saturating_duration_since(phase.start));
    let mut pace = Pace::new(Schedule::new(per_s, thread, phase.threads), end_ns);
    let mut turn = 0;
    loop {
        let elapsed_ns = nanos(now().saturating_duration_since(phase.start));
        if phase.is_over() || end_ns <= elapsed_ns {
            break;
        }
        match pace.step(elapsed_ns) {
            Step::Done => break,
            Step::Wait(until_ns) => wait(sources, until_ns - elapsed_ns, &mut tally)?,
            Step::Send(due) => {
                let count = due.min(BATCH as u64);
                let Some(source) = turn_of(sources, &mut turn) else { break };
                let most = usize::try_from(count).unwrap_or(BATCH);
                let offer = source.offer(most, &mut tally, |_, sent| (sent, Counts::IfAnswered))?;
                if offer == Offer::Dry {
                    tally.ran_dry = true;
                    phase.end();
                }
                // Taken or refused, an attempt was made.
                pace.taken(count);
                source.settle(0, &mut tally)?;
            }
        }
    }
    phase.finish(sources, &mut tally)?;
    Ok(tally)
}
