//! The open loop: records come due at a constant rate, whatever became of those before them.
//!
//! Latency is measured from when a record was *due*, so a stall of the ledger, or of the sender, counts in full for every
//! record that came due meanwhile (no coordinated omission, see [`schedule`]). What is due is sent in small batches. What is
//! pushed back stays due and is offered again, and its latency goes on.

use super::clock::{nanos, now, rest, wake_on_time};
use super::load::Phase;
use super::schedule::{Pace, Schedule, Step, TICK_NS};
use super::source::{BATCH, Counts, Offer, Source};
use super::tally::Tally;
use crate::exit::CommandError;
use std::time::Duration;

/// A load that can't be kept up is given up after so many times its time.
const PATIENCE: u64 = 2;

/// One thread: its share of a constant rate, over its sources in turn.
pub(crate) fn at_rate(
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
        if phase.is_over() || PATIENCE * end_ns < elapsed_ns {
            break;
        }
        match pace.step(elapsed_ns) {
            Step::Done => break,
            Step::Wait(until_ns) => wait(sources, until_ns - elapsed_ns, &mut tally)?,
            Step::Send(count) => {
                let Some(source) = turn_of(sources, &mut turn) else { break };
                match send(source, phase, &mut pace, count, elapsed_ns, &mut tally)? {
                    Offer::Taken(_) => source.settle(0, &mut tally)?,
                    Offer::Full => wait(sources, TICK_NS, &mut tally)?,
                    Offer::Dry => {
                        tally.ran_dry = true;
                        phase.end();
                    }
                }
            }
        }
    }
    let gave_up = now();
    if !tally.ran_dry {
        for due_ns in pace.unsent() {
            tally.give_up(gave_up.saturating_duration_since(phase.start + Duration::from_nanos(due_ns)));
        }
    }
    phase.finish(sources, &mut tally)?;
    Ok(tally)
}

/// The source whose turn it is.
pub(super) fn turn_of<'a>(sources: &'a mut [Source], turn: &mut usize) -> Option<&'a mut Source> {
    *turn += 1;
    let count = sources.len().max(1);
    sources.get_mut(*turn % count)
}

/// Offers what is due, some of it.
fn send(
    source: &mut Source,
    phase: &Phase<'_>,
    pace: &mut Pace,
    due: u64,
    elapsed_ns: u64,
    tally: &mut Tally,
) -> Result<Offer, CommandError> {
    let count = due.min(BATCH as u64);
    for late_ns in pace.offer(count, elapsed_ns) {
        tally.late(Duration::from_nanos(late_ns));
    }
    let (window, start, next) = (phase.window, phase.start, pace.next());
    let offer = source.offer(usize::try_from(count).unwrap_or(BATCH), tally, |place, _| {
        let due = start + Duration::from_nanos(pace.due_ns(next + place));
        (due, if window.from <= due { Counts::Always } else { Counts::Never })
    })?;
    if let Offer::Taken(count) = offer {
        pace.taken(count);
    }
    Ok(offer)
}

/// Waits for answers until something is due.
pub(super) fn wait(sources: &mut [Source], time_ns: u64, tally: &mut Tally) -> Result<(), CommandError> {
    let time = Duration::from_nanos(time_ns);
    let waiting = sources.iter_mut().filter(|source| source.oldest().is_some());
    match waiting.min_by_key(|source| source.oldest()) {
        Some(source) => source.wait(time, tally)?,
        None => rest(time),
    }
    sources.iter_mut().try_for_each(|source| source.settle(0, tally))
}
