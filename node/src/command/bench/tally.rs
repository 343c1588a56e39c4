//! What one thread of a load counts, and how the counts of all are put together.
//!
//! A thread writes into its own [`Tally`] alone, so nothing on the way of a record is shared; they are merged when the
//! threads are done. Latencies go into HDR histograms of three digits (Tene, HdrHistogram), and those of each moment of the
//! run into smaller ones of two.

use super::clock::{micros, nanos};
use super::report::Moment;
use crate::exit::CommandError;
use annals::measure::per_second;
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};

/// Longest latency that is told apart, us.
const LATENCY_US_MAX: u64 = 60_000_000;
/// Shortest moment.
const MOMENT: Duration = Duration::from_millis(100);
/// Most moments of a run: a longer run has longer ones, so that an hour takes no more memory than a minute.
const MOMENTS_MAX: u32 = 600;

const NO_HISTOGRAM: CommandError = CommandError::Bench("no histogram of these bounds; this is a bug, please report it");

fn histogram() -> Result<Histogram<u64>, CommandError> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).map_err(|_| NO_HISTOGRAM)
}

/// The time in which what happens counts; before it the ledger warms up, after it the rest is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
}

impl Window {
    /// From a moment on, after a warm-up.
    pub(crate) fn after(start: Instant, warmup: Duration, time: Duration) -> Self {
        Self { from: start + warmup, until: start + warmup + time }
    }

    pub(crate) fn holds(&self, at: Instant) -> bool {
        self.from <= at && at < self.until
    }

    pub(crate) fn time(&self) -> Duration {
        self.until.saturating_duration_since(self.from)
    }
}

/// Latencies by the moment in which the answer came.
#[derive(Debug)]
pub(crate) struct Series {
    moment: Duration,
    empty: Histogram<u32>,
    moments: Vec<Histogram<u32>>,
}

impl Series {
    fn new(time: Duration) -> Result<Self, CommandError> {
        let moment = (time / MOMENTS_MAX).max(MOMENT);
        let empty = Histogram::new_with_bounds(1, LATENCY_US_MAX, 2).map_err(|_| NO_HISTOGRAM)?;
        Ok(Self { moment, empty, moments: Vec::new() })
    }

    fn record(&mut self, since: Duration, latency_us: u64) {
        let number = usize::try_from(since.as_nanos() / self.moment.as_nanos()).unwrap_or(usize::MAX);
        // What comes very late counts in the last moment.
        let number = number.min(2 * MOMENTS_MAX as usize);
        if self.moments.len() <= number {
            self.moments.resize(number + 1, self.empty.clone());
        }
        if let Some(moment) = self.moments.get_mut(number) {
            moment.saturating_record(latency_us);
        }
    }

    fn merge(&mut self, other: &Self) -> Result<(), CommandError> {
        let longest = self.moments.len().max(other.moments.len());
        self.moments.resize(longest, self.empty.clone());
        for (moment, more) in self.moments.iter_mut().zip(&other.moments) {
            moment.add(more).map_err(|_| NO_HISTOGRAM)?;
        }
        Ok(())
    }

    /// The moments, in order; those in which nothing was answered too.
    pub(crate) fn moments(&self) -> Vec<Moment> {
        let interval_ms = u64::try_from(self.moment.as_millis()).unwrap_or(u64::MAX);
        let moments = (0..).zip(&self.moments);
        let moment = |(number, latency): (u64, &Histogram<u32>)| Moment {
            at_ms: number * interval_ms,
            interval_ms,
            records: latency.len(),
            p50_us: latency.value_at_quantile(0.5),
            p99_us: latency.value_at_quantile(0.99),
        };
        moments.map(moment).collect()
    }

    /// Bytes that it takes, about.
    fn memory(&self) -> u64 {
        (self.moments.len() * self.empty.distinct_values() * size_of::<u32>()) as u64
    }
}

/// What a load came to: of one thread, or of several once they are merged.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) window: Window,
    /// Records that count: answered in the window, or, in an open loop, due in it.
    pub(crate) records: u64,
    /// Their latencies.
    pub(crate) latency_us: Histogram<u64>,
    pub(crate) series: Series,
    /// All that were acknowledged, those before and after the window too.
    pub(crate) acknowledged: u64,
    /// Records offered in the window, as often as they were.
    pub(crate) attempts: u64,
    /// Those of them that were pushed back.
    pub(crate) pushed_back: u64,
    /// What a pushed back attempt took, ns a record.
    pub(crate) refusal_ns: Histogram<u64>,
    /// How much later than they were due records were first offered, us.
    pub(crate) late_us: Histogram<u64>,
    /// An attacker's records that were refused for good, in the window or not.
    pub(crate) turned_down: u64,
    /// Records that were due and not taken before the load gave up.
    pub(crate) unsent: u64,
    /// The workload was used up before the time was over.
    pub(crate) ran_dry: bool,
    last: Instant,
}

impl Tally {
    pub(crate) fn new(window: Window) -> Result<Self, CommandError> {
        Ok(Self {
            window,
            records: 0,
            latency_us: histogram()?,
            series: Series::new(window.time())?,
            acknowledged: 0,
            attempts: 0,
            pushed_back: 0,
            refusal_ns: histogram()?,
            late_us: histogram()?,
            turned_down: 0,
            unsent: 0,
            ran_dry: false,
            last: window.from,
        })
    }

    /// A record that was offered, or due, at one moment was acknowledged at another.
    pub(crate) fn answer(&mut self, since: Instant, at: Instant, counts: bool) {
        self.acknowledged += 1;
        if !counts {
            return;
        }
        let latency_us = micros(at.saturating_duration_since(since)).max(1);
        self.records += 1;
        self.latency_us.saturating_record(latency_us);
        self.series.record(at.saturating_duration_since(self.window.from), latency_us);
        self.last = self.last.max(at);
    }

    /// So many records were offered together.
    pub(crate) fn attempt(&mut self, at: Instant, count: u64) {
        if self.window.holds(at) {
            self.attempts += count;
        }
    }

    /// All of them were pushed back, which took so long.
    pub(crate) fn push_back(&mut self, at: Instant, count: u64, took: Duration) {
        if self.window.holds(at) {
            self.pushed_back += count;
            let each = nanos(took) / count.max(1);
            self.refusal_ns.saturating_record_n(each.max(1), count);
        }
    }

    /// A record is first offered so long after it was due.
    pub(crate) fn late(&mut self, by: Duration) {
        self.late_us.saturating_record(micros(by).max(1));
    }

    /// A record that was due will not be sent any more: it waited for so long at least.
    pub(crate) fn give_up(&mut self, waited: Duration) {
        self.unsent += 1;
        self.latency_us.saturating_record(micros(waited).max(1));
    }

    /// Puts another thread's counts to these.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), CommandError> {
        self.records += other.records;
        self.acknowledged += other.acknowledged;
        self.attempts += other.attempts;
        self.pushed_back += other.pushed_back;
        self.turned_down += other.turned_down;
        self.unsent += other.unsent;
        self.ran_dry |= other.ran_dry;
        self.last = self.last.max(other.last);
        self.series.merge(&other.series)?;
        let pairs = [
            (&mut self.latency_us, &other.latency_us),
            (&mut self.refusal_ns, &other.refusal_ns),
            (&mut self.late_us, &other.late_us),
        ];
        pairs.into_iter().try_for_each(|(one, more)| one.add(more)).map_err(|_| NO_HISTOGRAM)
    }

    /// The time that the records took: the window, or less if the workload did not last.
    pub(crate) fn took(&self) -> Duration {
        let last = self.last.saturating_duration_since(self.window.from);
        if self.ran_dry { last } else { last.max(self.window.time()) }
    }

    pub(crate) fn records_per_s(&self) -> u64 {
        per_second(self.records, self.took())
    }

    /// Of the latencies that count, us.
    pub(crate) fn at(&self, quantile: f64) -> u64 {
        self.latency_us.value_at_quantile(quantile)
    }

    /// Bytes that it takes, about.
    pub(crate) fn memory(&self) -> u64 {
        let histograms = [&self.latency_us, &self.refusal_ns, &self.late_us];
        let each = |histogram: &Histogram<u64>| (histogram.distinct_values() * size_of::<u64>()) as u64;
        self.series.memory() + histograms.into_iter().map(each).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use crate::command::bench::clock::now;

    fn window() -> Window {
        Window::after(now(), Duration::from_millis(500), Duration::from_secs(1))
    }

    #[test]
    fn what_lies_outside_the_window_is_acknowledged_but_does_not_count() {
        let window = window();
        let mut tally = Tally::new(window).unwrap();
        for (offset_ms, counts) in [(0, false), (499, false), (500, true), (1499, true), (1500, false)] {
            let at = window.from + Duration::from_millis(offset_ms) - Duration::from_millis(500);
            assert_eq!(window.holds(at), counts, "{offset_ms} ms");
            tally.answer(at - Duration::from_millis(3), at, window.holds(at));
        }
        assert_eq!((tally.acknowledged, tally.records, tally.latency_us.len()), (5, 2, 2));
        assert_eq!(tally.took(), Duration::from_secs(1));
    }

    #[test]
    fn merged_tallies_are_what_one_thread_would_have_counted() {
        let window = window();
        let (mut all, mut one, mut two) =
            (Tally::new(window).unwrap(), Tally::new(window).unwrap(), Tally::new(window).unwrap());
        for number in 0..1000u64 {
            let at = window.from + Duration::from_millis(number);
            let since = at - Duration::from_micros(number * number % 9973 + 1);
            all.answer(since, at, true);
            if number % 3 == 0 { one.answer(since, at, true) } else { two.answer(since, at, true) }
        }
        one.merge(&two).unwrap();
        assert_eq!((one.records, &one.latency_us), (1000, &all.latency_us));
        let (moments, expected) = (one.series.moments(), all.series.moments());
        assert_eq!((moments.len(), moments.iter().map(|moment| moment.records).sum::<u64>()), (10, 1000));
        for (moment, expected) in moments.iter().zip(&expected) {
            assert_eq!((moment.at_ms, moment.records), (expected.at_ms, 100));
            assert_eq!((moment.p50_us, moment.p99_us), (expected.p50_us, expected.p99_us));
        }
    }

    #[test]
    fn quantiles_are_within_a_thousandth() {
        let window = window();
        let mut tally = Tally::new(window).unwrap();
        for latency_us in 1..=100_000u64 {
            tally.answer(window.from, window.from + Duration::from_micros(latency_us), true);
        }
        for (quantile, exact) in [(0.5, 50_000u64), (0.9, 90_000), (0.99, 99_000), (0.999, 99_900), (1.0, 100_000)] {
            let told = tally.at(quantile);
            assert!(told.abs_diff(exact) <= exact / 1000, "{quantile}: {told}, exactly {exact}");
        }
    }

    #[test]
    fn an_hour_takes_no_more_moments_than_a_minute() {
        let start = now();
        let hour = Window::after(start, Duration::ZERO, Duration::from_hours(1));
        let mut tally = Tally::new(hour).unwrap();
        tally.answer(hour.until - Duration::from_secs(1), hour.until - Duration::from_millis(1), true);
        let moments = tally.series.moments();
        assert_eq!((moments.len(), moments[0].interval_ms), (600, 6000));
    }
}
