//! One phase of a run: threads that drive sources, and what they counted.
//!
//! How a thread drives its sources is the mode's; here it is started, watched, and its counts are put to those of the others.
//! A phase ends when every record that was taken is answered.

use super::clock::{now, rest};
use super::source::Source;
use super::tally::{Tally, Window};
use crate::command::progress::Progress;
use crate::exit::CommandError;
use annals::Ledger;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

/// What the threads of a phase have in common.
#[derive(Debug)]
pub(crate) struct Phase<'a> {
    pub(crate) start: Instant,
    pub(crate) window: Window,
    pub(crate) threads: u64,
    ledger: &'a Ledger,
    /// The load ends before its time: a source ran dry, or a thread failed.
    over: AtomicBool,
    /// Least bytes of runway that a thread saw at the end of the load.
    runway_left: AtomicU64,
}

impl Phase<'_> {
    /// Whether the load ends before its time.
    pub(crate) fn is_over(&self) -> bool {
        // Relaxed: it is seen soon enough.
        self.over.load(Ordering::Relaxed)
    }

    /// Ends the load for all threads, since this one can't go on.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// This thread sends no more; what it sent is waited for.
    pub(crate) fn finish(&self, sources: &mut [Source], tally: &mut Tally) -> Result<(), CommandError> {
        self.runway_left.fetch_min(self.ledger.runway_left(), Ordering::Relaxed);
        for source in sources {
            source.settle(source.outstanding(), tally)?;
        }
        Ok(())
    }
}

/// How long, and before it how long without counting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) warmup: Duration,
    pub(crate) time: Duration,
}

/// What a phase came to.
#[derive(Debug)]
pub(crate) struct Phased {
    /// Of each group of sources, in order.
    pub(crate) tallies: Vec<Tally>,
    /// Bytes of written zeros that were left ahead of the data when the load ended.
    pub(crate) runway_left: u64,
}

/// Runs a phase with a thread a group of sources; the thread's number is its group's.
pub(crate) fn run(
    ledger: &Ledger,
    groups: Vec<&mut [Source]>,
    span: Span,
    drive: impl Fn(&mut [Source], &Phase<'_>, u64) -> Result<Tally, CommandError> + Sync,
) -> Result<Phased, CommandError> {
    let start = now();
    let phase = Phase {
        start,
        window: Window::after(start, span.warmup, span.time),
        threads: groups.len() as u64,
        ledger,
        over: AtomicBool::new(false),
        runway_left: AtomicU64::new(u64::MAX),
    };
    let tallies = std::thread::scope(|scope| {
        let thread = |(number, sources): (u64, _)| {
            let (phase, drive) = (&phase, &drive);
            scope.spawn(move || drive(sources, phase, number).inspect_err(|_| phase.end()))
        };
        let threads: Vec<_> = (0..).zip(groups).map(thread).collect();
        watch(&phase, &threads);
        threads.into_iter().map(joined).collect::<Result<Vec<_>, _>>()
    })?;
    Ok(Phased { tallies, runway_left: phase.runway_left.into_inner() })
}

/// What a thread came to; its panic goes on in this one.
pub(crate) fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Shows how much of the time has passed while the threads work.
fn watch<T>(phase: &Phase<'_>, threads: &[ScopedJoinHandle<'_, T>]) {
    let mut progress = Progress::count("running, seconds");
    let all = phase.window.until.saturating_duration_since(phase.start).as_secs();
    while !threads.iter().all(ScopedJoinHandle::is_finished) {
        progress.set(now().saturating_duration_since(phase.start).as_secs().min(all), all);
        // Seldom, since the work needs all cores.
        rest(Duration::from_millis(100));
    }
    progress.finish();
}

/// Puts tallies together.
pub(crate) fn merged<'a>(tallies: impl IntoIterator<Item = &'a Tally>) -> Result<Tally, CommandError> {
    let mut all: Option<Tally> = None;
    for tally in tallies {
        match &mut all {
            Some(all) => all.merge(tally)?,
            None => {
                let mut first = Tally::new(tally.window)?;
                first.merge(tally)?;
                all = Some(first);
            }
        }
    }
    all.ok_or(CommandError::Bench("no source was driven; this is a bug, please report it"))
}
