//! The open loop: records come due at a constant rate, whatever became of those before them.
//!
//! Latency is measured from when a record was *due*, so a stall of the ledger, or of the sender, counts in full for every
//! record that came due meanwhile (no coordinated omission, see [`schedule`](super::schedule)). What is due is sent in small
//! batches. What is pushed back stays due and is offered again, and its latency goes on.
//!
//! The loop itself knows neither clock nor ledger, only a [`Sink`] that has both; the tests have one that stalls.

use super::clock::{nanos, now, rest, wake_on_time};
use super::load::Phase;
use super::schedule::{Pace, Schedule, Step, TICK_NS};
use super::source::{BATCH, Counts, Offer, Source};
use super::tally::{Tally, Window};
use crate::exit::CommandError;
use std::time::{Duration, Instant};

/// A load that can't be kept up is given up after so many times its time.
const PATIENCE: u64 = 2;

/// What an open loop sends to.
trait Sink {
    /// Time since the start, ns.
    fn now_ns(&self) -> u64;
    /// Whether the load ends before its time.
    fn is_over(&self) -> bool;
    /// Offers so many records; when each was due is asked for by its place, ns since the start.
    fn offer(&mut self, count: u64, due_ns: &dyn Fn(u64) -> u64, tally: &mut Tally) -> Result<Offer, CommandError>;
    /// Takes answers for so long, or less.
    fn wait(&mut self, time_ns: u64, tally: &mut Tally) -> Result<(), CommandError>;
}

/// Sends what comes due before the end, and goes on for a while if that is not all gone by then.
fn send_all(sink: &mut impl Sink, pace: &mut Pace, end_ns: u64, tally: &mut Tally) -> Result<(), CommandError> {
    loop {
        let elapsed_ns = sink.now_ns();
        if sink.is_over() || PATIENCE * end_ns < elapsed_ns {
            return Ok(());
        }
        match pace.step(elapsed_ns) {
            Step::Done => return Ok(()),
            Step::Wait(until_ns) => sink.wait(until_ns - elapsed_ns, tally)?,
            Step::Send(due) => {
                let count = due.min(BATCH as u64);
                for late_ns in pace.offer(count, elapsed_ns) {
                    tally.late(Duration::from_nanos(late_ns));
                }
                match sink.offer(count, &|place| pace.due_ns(pace.next() + place), tally)? {
                    Offer::Taken(count) => pace.taken(count),
                    Offer::Full => sink.wait(TICK_NS, tally)?,
                    Offer::Dry => {
                        tally.ran_dry = true;
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Sources on a ledger.
struct Driven<'a> {
    sources: &'a mut [Source],
    phase: &'a Phase<'a>,
    turn: usize,
}

impl Sink for Driven<'_> {
    fn now_ns(&self) -> u64 {
        nanos(now().saturating_duration_since(self.phase.start))
    }

    fn is_over(&self) -> bool {
        self.phase.is_over()
    }

    fn offer(&mut self, count: u64, due_ns: &dyn Fn(u64) -> u64, tally: &mut Tally) -> Result<Offer, CommandError> {
        let Some(source) = turn_of(self.sources, &mut self.turn) else { return Ok(Offer::Dry) };
        let (start, window) = (self.phase.start, self.phase.window);
        let most = usize::try_from(count).unwrap_or(BATCH);
        let offer = source.offer(most, tally, |place, _| since_due(start, window, due_ns(place)))?;
        source.settle(0, tally)?;
        Ok(offer)
    }

    fn wait(&mut self, time_ns: u64, tally: &mut Tally) -> Result<(), CommandError> {
        wait(self.sources, time_ns, tally)
    }
}

/// A record counts from when it was due, and if it was due in the window, whenever it was sent and is answered.
fn since_due(start: Instant, window: Window, due_ns: u64) -> (Instant, Counts) {
    let due = start + Duration::from_nanos(due_ns);
    (due, if window.holds(due) { Counts::Always } else { Counts::Never })
}

/// One thread: records of its schedule, by its sources in turn.
pub(crate) fn at_rate(sources: &mut [Source], phase: &Phase<'_>, schedule: Schedule) -> Result<Tally, CommandError> {
    wake_on_time();
    let mut tally = Tally::new(phase.window)?;
    let end_ns = nanos(phase.window.until.saturating_duration_since(phase.start));
    let mut pace = Pace::new(schedule, end_ns);
    send_all(&mut Driven { sources, phase, turn: 0 }, &mut pace, end_ns, &mut tally)?;
    if tally.ran_dry {
        phase.end();
    } else {
        let gave_up_ns = nanos(now().saturating_duration_since(phase.start));
        for due_ns in pace.unsent() {
            tally.give_up(Duration::from_nanos(gave_up_ns.saturating_sub(due_ns)));
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::ops::Range;

    const SECOND_NS: u64 = 1_000_000_000;
    /// What a record takes when nothing stalls.
    const SERVICE_NS: u64 = 100_000;

    /// How a stall shows itself to the sender.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    enum Stall {
        /// The call returns only when it is over.
        Call,
        /// What is sent is taken, and answered when it is over.
        Answer,
        /// What is sent is pushed back.
        Pushback,
    }

    /// A ledger of which nothing is real, with a clock that it moves.
    struct Fake {
        now_ns: u64,
        stalled: Range<u64>,
        stall: Stall,
    }

    impl Sink for Fake {
        fn now_ns(&self) -> u64 {
            self.now_ns
        }

        fn is_over(&self) -> bool {
            false
        }

        fn offer(&mut self, count: u64, due_ns: &dyn Fn(u64) -> u64, tally: &mut Tally) -> Result<Offer, CommandError> {
            let is_stalled = self.stalled.contains(&self.now_ns);
            if is_stalled && self.stall == Stall::Pushback {
                return Ok(Offer::Full);
            }
            let answered = if is_stalled { self.stalled.end } else { self.now_ns } + SERVICE_NS;
            if is_stalled && self.stall == Stall::Call {
                self.now_ns = self.stalled.end;
            }
            let at = |ns| tally.window.from + Duration::from_nanos(ns);
            let times: Vec<_> = (0..count).map(|place| (at(due_ns(place)), at(answered))).collect();
            times.into_iter().for_each(|(since, at)| tally.answer(since, at, true));
            Ok(Offer::Taken(count))
        }

        fn wait(&mut self, time_ns: u64, _: &mut Tally) -> Result<(), CommandError> {
            self.now_ns += time_ns;
            Ok(())
        }
    }

    /// A second at 1,000 records a second.
    fn second(stalled: Range<u64>, stall: Stall) -> Tally {
        let window = Window::after(now(), Duration::ZERO, Duration::from_secs(1));
        let mut tally = Tally::new(window).unwrap();
        let mut pace = Pace::new(Schedule::new(1000, 0, 1), SECOND_NS);
        send_all(&mut Fake { now_ns: 0, stalled, stall }, &mut pace, SECOND_NS, &mut tally).unwrap();
        assert_eq!(pace.unsent().count(), 0);
        tally
    }

    #[test]
    fn a_stall_counts_for_every_record_that_came_due_in_it() {
        for stall in [Stall::Call, Stall::Answer, Stall::Pushback] {
            let tally = second(400_000_000..500_000_000, stall);
            assert_eq!(tally.records, 1000, "{stall:?}");
            // 100 of 1,000 records came due in it, the n-th of them n ms before its end: the 90th percentile is the best off.
            for (quantile, least_us, most_us) in [(0.5, 100, 200), (0.95, 49_000, 51_200), (0.99, 89_000, 91_200)] {
                let told = tally.at(quantile);
                assert!((least_us..=most_us).contains(&told), "{stall:?}: {quantile} is {told} us");
            }
            assert!((99_000..=101_000).contains(&tally.latency_us.max()), "{stall:?}");
        }
    }

    #[test]
    fn a_record_counts_from_when_it_was_due() {
        let start = now();
        let window = Window::after(start, Duration::from_secs(1), Duration::from_secs(1));
        for (due_ns, counts) in [
            (0, Counts::Never),
            (SECOND_NS - 1, Counts::Never),
            (SECOND_NS, Counts::Always),
            (2 * SECOND_NS - 1, Counts::Always),
        ] {
            assert_eq!(since_due(start, window, due_ns), (start + Duration::from_nanos(due_ns), counts));
        }
    }

    #[test]
    fn without_a_stall_there_is_none() {
        let tally = second(0..0, Stall::Call);
        assert!(tally.latency_us.max() <= 200 && tally.late_us.max() <= 50, "but for a tick at most");
    }

    #[test]
    fn only_a_stalled_sender_is_late() {
        // Of less than a batch's length, so that what is pushed back was offered in time.
        let late = |stall| second(400_000_000..450_000_000, stall).late_us.value_at_quantile(0.99);
        assert!(35_000 < late(Stall::Call), "the call held it up");
        assert!(late(Stall::Answer) < 100 && late(Stall::Pushback) < 100, "the ledger was, not the sender");
    }

    #[test]
    fn a_load_that_never_ends_is_given_up() {
        let window = Window::after(now(), Duration::ZERO, Duration::from_secs(1));
        let (mut tally, mut pace) = (Tally::new(window).unwrap(), Pace::new(Schedule::new(1000, 0, 1), SECOND_NS));
        let mut sink = Fake { now_ns: 0, stalled: 400_000_000..u64::MAX, stall: Stall::Pushback };
        send_all(&mut sink, &mut pace, SECOND_NS, &mut tally).unwrap();
        assert_eq!((tally.records, pace.unsent().count()), (400, 600));
        assert!(PATIENCE * SECOND_NS < sink.now_ns && sink.now_ns < 3 * SECOND_NS);
    }
}
