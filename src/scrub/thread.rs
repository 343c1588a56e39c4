//! The thread that scrubs an open ledger again and again.

use super::pace::Stop;
use super::{ScrubError, scrub_once};
use crate::open_error::OpenError;
use crate::reader::Reader;
use parking_lot::Mutex;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Pause between two rounds, so that a small ledger is not read all the time.
pub(crate) const ROUND_PAUSE: Duration = Duration::from_secs(60);

/// How far the scrubbing of an open ledger came.
#[derive(Clone, Debug, Default)]
pub struct ScrubStatus {
    /// Rounds that ended, by the ledger's end or by a failure.
    pub rounds: u64,
    /// Bytes read since the ledger was opened.
    pub bytes: u64,
    /// The newest failure. The ledger goes on; whoever runs it is to see to its copies.
    pub failure: Option<Arc<ScrubError>>,
}

#[derive(Debug, Default)]
struct State {
    stop: Stop,
    status: Mutex<ScrubStatus>,
}

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Scrubber {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

impl Scrubber {
    /// Starts it.
    pub(crate) fn start(reader: Reader, rate: u64, round_pause: Duration) -> Result<Self, OpenError> {
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let builder = std::thread::Builder::new().name("annals-scrub".to_owned());
        let thread = builder
            .spawn(move || shared.run(&reader, rate, round_pause))
            .map_err(|source| OpenError::System { operation: "start a thread", source })?;
        Ok(Self { state, thread: Some(thread) })
    }

    pub(crate) fn status(&self) -> ScrubStatus {
        self.state.status.lock().clone()
    }
}

impl Drop for Scrubber {
    fn drop(&mut self) {
        self.state.stop.ask();
        if let Some(thread) = self.thread.take() {
            // A panic there is a bug of ours that cost nothing but scrubbing.
            let _ = thread.join();
        }
    }
}

impl State {
    fn run(&self, reader: &Reader, rate: u64, round_pause: Duration) {
        while !self.stop.is_asked() {
            let bytes_before = self.status.lock().bytes;
            let round = scrub_once(reader, Some(rate), &self.stop, &mut |done, _| {
                self.status.lock().bytes = bytes_before + done;
                ControlFlow::Continue(())
            });
            if !matches!(&round, Ok(report) if !report.complete) {
                let mut status = self.status.lock();
                status.rounds += 1;
                status.failure = round.err().map(Arc::new).or_else(|| status.failure.take());
            }
            self.stop.wait(round_pause);
        }
    }
}
