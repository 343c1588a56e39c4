//! When the records of an open loop are due, and what its sender does next.
//!
//! Record `j` of all threads together is due `j / rate` after the start, whatever became of those before it; a thread sends
//! every so-manieth. A sender that was held up, by itself or by the ledger, finds the records of that time due and sends them
//! late, and their latency counts from when they were due. A loop that waits for answers before it sends would leave those
//! records out and so hide the stall: *coordinated omission* (Tene, "How NOT to Measure Latency").
//!
//! No clock and no thread: time comes in as nanoseconds since the start.

/// Nanoseconds of a second.
const SECOND_NS: u128 = 1_000_000_000;

/// Nothing is sent more often than this by one thread: a wake-up costs several microseconds of a core that the ledger needs.
pub(crate) const TICK_NS: u64 = 50_000;

/// The times at which one thread's records are due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// Records a second, of all threads.
    per_s: u64,
    thread: u64,
    threads: u64,
}

impl Schedule {
    /// The share of one of so many threads.
    pub(crate) const fn new(per_s: u64, thread: u64, threads: u64) -> Self {
        Self { per_s, thread, threads }
    }

    /// When this thread's `k`-th record is due, from 0.
    pub(crate) fn due_ns(&self, k: u64) -> u64 {
        let of_all = u128::from(k) * u128::from(self.threads) + u128::from(self.thread);
        u64::try_from(of_all * SECOND_NS / u128::from(self.per_s.max(1))).unwrap_or(u64::MAX)
    }

    /// How many of this thread's records are due at a time, those due at this very nanosecond among them.
    pub(crate) fn due_by(&self, elapsed_ns: u64) -> u64 {
        // j is due at floor(j * SECOND / rate), which is at most `elapsed` exactly if j * SECOND < (elapsed + 1) * rate.
        let of_all = ((u128::from(elapsed_ns) + 1) * u128::from(self.per_s.max(1))).div_ceil(SECOND_NS);
        let own = of_all.saturating_sub(u128::from(self.thread)).div_ceil(u128::from(self.threads));
        u64::try_from(own).unwrap_or(u64::MAX)
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Send so many, which are due.
    Send(u64),
    /// Nothing is due before this time, ns since the start.
    Wait(u64),
    /// All that came due was sent.
    Done,
}

/// One sender's place in its schedule.
#[derive(Debug)]
pub(crate) struct Pace {
    schedule: Schedule,
    /// Records in all.
    total: u64,
    /// Those that are off its hands.
    sent: u64,
    /// Those that were offered at least once.
    offered: u64,
}

impl Pace {
    /// Sends what comes due before `end_ns`.
    pub(crate) fn new(schedule: Schedule, end_ns: u64) -> Self {
        let total = if end_ns == 0 { 0 } else { schedule.due_by(end_ns - 1) };
        Self { schedule, total, sent: 0, offered: 0 }
    }

    pub(crate) fn step(&self, elapsed_ns: u64) -> Step {
        if self.sent == self.total {
            return Step::Done;
        }
        let due = self.schedule.due_by(elapsed_ns).min(self.total);
        if self.sent < due {
            return Step::Send(due - self.sent);
        }
        Step::Wait(self.schedule.due_ns(self.sent).max(elapsed_ns + TICK_NS))
    }

    /// The next record's place in the schedule.
    pub(crate) const fn next(&self) -> u64 {
        self.sent
    }

    /// Offers the next so many: of those among them that were never offered before, by how much each is late, ns.
    pub(crate) fn offer(&mut self, count: u64, elapsed_ns: u64) -> impl Iterator<Item = u64> + use<> {
        let (first, end, schedule) = (self.offered.max(self.sent), self.sent + count, self.schedule);
        self.offered = self.offered.max(end);
        (first..end).map(move |k| elapsed_ns.saturating_sub(schedule.due_ns(k)))
    }

    /// So many were taken.
    pub(crate) fn taken(&mut self, count: u64) {
        self.sent += count;
    }

    /// When a record of this schedule is due, ns since the start.
    pub(crate) fn due_ns(&self, k: u64) -> u64 {
        self.schedule.due_ns(k)
    }

    /// When each record that was not taken was due, ns since the start.
    pub(crate) fn unsent(&self) -> impl Iterator<Item = u64> {
        (self.sent..self.total).map(|k| self.schedule.due_ns(k))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn records_are_due_at_a_constant_rate() {
        let schedule = Schedule::new(1000, 0, 1);
        assert_eq!([0, 1, 2, 999, 1000].map(|k| schedule.due_ns(k)), [0, 1_000_000, 2_000_000, 999_000_000, SECOND]);
        let due = [0, 999_999, 1_000_000, 1_000_001, SECOND - 1, SECOND].map(|elapsed| schedule.due_by(elapsed));
        assert_eq!(due, [1, 1, 2, 2, 1000, 1001]);
        let uneven = Schedule::new(3, 0, 1);
        assert_eq!([0, 1, 2, 3].map(|k| uneven.due_ns(k)), [0, 333_333_333, 666_666_666, SECOND]);
    }

    #[test]
    fn due_times_and_due_counts_agree() {
        for (per_s, threads) in [(1, 1), (3, 1), (7, 2), (1000, 3), (333_333, 2), (280_001, 8), (3_000_000, 2)] {
            for thread in 0..threads {
                let schedule = Schedule::new(per_s, thread, threads);
                for k in [0, 1, 2, 3, 10, 999, 1_000_000] {
                    let due = schedule.due_ns(k);
                    assert_eq!(schedule.due_by(due), k + 1, "{per_s}/s, thread {thread} of {threads}, record {k}");
                    assert!(due == 0 || schedule.due_by(due - 1) == k, "not before");
                }
            }
        }
    }

    #[test]
    fn the_threads_share_the_rate() {
        for threads in 1..=8 {
            let shares = (0..threads).map(|thread| Pace::new(Schedule::new(1001, thread, threads), SECOND).total);
            assert_eq!(shares.sum::<u64>(), 1001, "{threads} threads");
        }
        assert_eq!(Pace::new(Schedule::new(1001, 0, 1), 0).step(0), Step::Done);
    }

    #[test]
    fn what_was_pushed_back_stays_due_and_is_late_once() {
        let mut pace = Pace::new(Schedule::new(1000, 0, 1), SECOND);
        assert_eq!(pace.step(3_000_000), Step::Send(4));
        assert_eq!(pace.offer(4, 3_000_000).collect::<Vec<_>>(), [3_000_000, 2_000_000, 1_000_000, 0]);
        assert_eq!(pace.step(4_000_000), Step::Send(5), "nothing was taken");
        assert_eq!(pace.offer(5, 4_000_000).collect::<Vec<_>>(), [0], "the others were offered before");
        pace.taken(5);
        assert_eq!(pace.step(4_500_000), Step::Wait(5_000_000));
        assert_eq!(pace.step(4_999_999), Step::Wait(4_999_999 + TICK_NS), "no wake-up for each record");
    }
}
