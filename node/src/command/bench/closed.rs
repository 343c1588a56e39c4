//! Closed loops: a source sends as much as the ledger takes, or one record when the one before was answered.
//!
//! They say what the ledger can do at most, and what a lone record takes. What they say of latency under load is how long the
//! queue is that they keep full: `open` tells what a front end would see.

use super::clock::{now, rest};
use super::load::Phase;
use super::source::{BATCH, Counts, Offer, Source};
use super::tally::Tally;
use crate::exit::CommandError;
use std::time::Duration;

/// A look again when this thread waits for nothing and there is no room all the same.
const NO_ROOM: Duration = Duration::from_micros(50);

/// One thread: as many records of its sources on their way as the ledger takes.
pub(crate) fn flood(sources: &mut [Source], phase: &Phase<'_>, _: u64) -> Result<Tally, CommandError> {
    let mut tally = Tally::new(phase.window)?;
    'load: loop {
        let mut is_taken = false;
        for source in sources.iter_mut() {
            match source.offer(BATCH, &mut tally, |_, sent| (sent, Counts::IfAnswered))? {
                Offer::Taken(_) => {
                    is_taken = true;
                    source.settle(0, &mut tally)?;
                }
                Offer::Full => {}
                Offer::Dry => {
                    tally.ran_dry = true;
                    phase.end();
                    break 'load;
                }
            }
        }
        if phase.window.until <= now() || phase.is_over() {
            break;
        }
        if !is_taken {
            wait_for_room(sources, &mut tally)?;
        }
    }
    phase.finish(sources, &mut tally)?;
    Ok(tally)
}

/// Room comes in blocks: a batch's worth of answers is worth one sleep.
fn wait_for_room(sources: &mut [Source], tally: &mut Tally) -> Result<(), CommandError> {
    let waiting = sources.iter_mut().filter(|source| source.oldest().is_some());
    match waiting.min_by_key(|source| source.oldest()) {
        Some(source) => source.settle(BATCH, tally)?,
        None => rest(NO_ROOM),
    }
    sources.iter_mut().try_for_each(|source| source.settle(0, tally))
}

/// One thread: one record at a time, each sent when the one before was answered.
pub(crate) fn one_by_one(sources: &mut [Source], phase: &Phase<'_>, _: u64) -> Result<Tally, CommandError> {
    let mut tally = Tally::new(phase.window)?;
    'load: loop {
        for source in sources.iter_mut() {
            if phase.window.until <= now() || phase.is_over() {
                break 'load;
            }
            if !source.one(&mut tally)? {
                tally.ran_dry = true;
                phase.end();
                break 'load;
            }
        }
    }
    phase.finish(sources, &mut tally)?;
    Ok(tally)
}
