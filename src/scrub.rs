//! Scrubbing a ledger that is in use: what is durable is read again, slowly, so that latent damage shows in time.
//!
//! Every durable frame with its sums and its chain ([`annals_storage::scrub`]) and the content hash of every record; no
//! signatures, tree or index, which a check verifies. It takes no lock, changes nothing, and never halts an engine. A pace in
//! bytes a second keeps it out of the engine's way. Reads go past the page cache where the file system allows it; elsewhere
//! they may show the cache and not the disk. [`Reader::scrub`] does it once; [`crate::Options::scrub_rate`] has a thread of the
//! open ledger do it again and again.

mod pace;
mod thread;

pub use thread::ScrubStatus;
pub(crate) use thread::{ROUND_PAUSE, Scrubber};

use crate::audit::Finding;
use crate::clock::Reading;
use crate::open_error::OpenError;
use crate::reader::Reader;
use annals_core::block::BlockHeader;
use annals_core::body::Body;
use annals_core::record::{Head, verify_content};
use annals_storage::recovery::{RecoveredFrame, RecoveryError};
use annals_storage::scrub::{DurableEnd, scrub};
use pace::{Pace, Stop};
use std::ops::ControlFlow;
use std::time::Duration;

/// How long a pause lasts at most before progress is told again.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Why a scrub did not find the ledger sound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScrubError {
    /// How far the ledger is final could not be found out, or its newest block not be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log is damaged.
    #[error(transparent)]
    Log(RecoveryError),
    /// A record is not what it should be.
    #[error("segment {segment}, offset {offset}, seq {seq}: {finding}")]
    Record {
        /** The segment. */
        segment: u64,
        /** Offset of the frame in bytes. */
        offset: u64,
        /** The record. */
        seq: u64,
        /** What is wrong. */
        finding: Box<Finding>,
    },
}

impl ScrubError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Open(error) => error.code(),
            Self::Log(error) => error.code(),
            Self::Record { .. } => "scrub.record",
        }
    }

    /// Segment, offset in bytes and seq of what is wrong, as far as they are known.
    pub const fn place(&self) -> (Option<u64>, Option<u64>, Option<u64>) {
        let place = match self {
            Self::Record { segment, offset, seq, .. } => return (Some(*segment), Some(*offset), Some(*seq)),
            Self::Log(error) | Self::Open(OpenError::Recovery(error)) => error.place(),
            Self::Open(OpenError::Read(error)) => error.place(),
            Self::Open(_) => None,
        };
        match place {
            Some((segment, offset)) => (Some(segment), Some(offset), None),
            None => (None, None, None),
        }
    }

    /// What whoever runs the ledger does about it.
    pub const fn advice(&self) -> &'static str {
        if let Self::Open(OpenError::Home(_) | OpenError::Disk(_)) | Self::Log(RecoveryError::Disk(_)) = self {
            return "nothing can be said of the ledger until it can be read";
        }
        "restore the ledger from a backup that `annals check` finds sound, while there is one; until then keep this copy as it is"
    }
}

/// What a scrub has read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ScrubReport {
    /// Records that it covered.
    pub records: u64,
    /// Their blocks.
    pub blocks: u64,
    /// Segments read, the open one among them.
    pub segments: u64,
    /// Bytes of the log up to where it was durable when the scrub began.
    pub bytes: u64,
    /// Whether it came to the end; if not, progress stopped it.
    pub complete: bool,
    /// How long it took, pauses among it.
    pub duration: Duration,
}

impl Reader {
    /// Reads everything again that is final now, at no more than so many bytes a second; none: as fast as it goes.
    ///
    /// Needs no lock, may run beside a writer, changes nothing. `progress` is told bytes read and bytes in all, at least ten
    /// times a second, and may stop it.
    ///
    /// ```
    /// # use annals::{Creation, Ledger, Options};
    /// # let directory = tempfile::tempdir()?;
    /// # let place = directory.path().join("ledger");
    /// let ledger = Ledger::create(&place, &Creation::open("example.gov/ledger"), Options::default())?;
    /// let report = ledger.reader().scrub(Some(50_000_000), &mut |_, _| std::ops::ControlFlow::Continue(()))?;
    /// assert!(report.complete && report.records == 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ScrubError`] with the first thing that is wrong.
    pub fn scrub(
        &self,
        rate_bytes_per_second: Option<u64>,
        progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<ScrubReport, ScrubError> {
        scrub_once(self, rate_bytes_per_second, &Stop::default(), progress)
    }
}

/// One round; ends early when `stop` says so.
fn scrub_once(
    reader: &Reader,
    rate: Option<u64>,
    stop: &Stop,
    progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<ScrubReport, ScrubError> {
    let begun = Reading::now().monotonic;
    reader.refresh()?;
    let (segment, offset) = reader.head().map_err(OpenError::from)?.end;
    let query = reader.query();
    let files = query.disk.segments().map_err(OpenError::from)?;
    let before = |segment: u64| files.iter().filter(|file| file.number < segment).map(|file| file.size).sum::<u64>();
    let mut round = Round {
        pace: Pace::new(rate, begun),
        stop,
        progress,
        total: before(segment) + offset,
        records: 0,
        blocks: 0,
        failure: None,
    };
    let end = DurableEnd { segment, offset };
    let walked = scrub(query.disk.as_ref(), query.ledger, end, &mut |frame| {
        let done = before(frame.header.segment) + frame.header.end();
        round.visit(&frame, done)
    });
    if let Some(failure) = round.failure {
        return Err(failure);
    }
    let complete = match walked {
        Ok(()) => true,
        Err(RecoveryError::Stopped) => false,
        Err(error) => return Err(ScrubError::Log(error)),
    };
    let (records, blocks, bytes) = (round.records, round.blocks, round.total);
    let duration = Reading::now().monotonic.saturating_duration_since(begun);
    Ok(ScrubReport { records, blocks, segments: segment + 1, bytes, complete, duration })
}

struct Round<'a> {
    pace: Pace,
    stop: &'a Stop,
    progress: &'a mut dyn FnMut(u64, u64) -> ControlFlow<()>,
    total: u64,
    records: u64,
    blocks: u64,
    failure: Option<ScrubError>,
}

impl Round<'_> {
    fn visit(&mut self, frame: &RecoveredFrame<'_>, done: u64) -> ControlFlow<()> {
        if let Some(block) = frame.header.block() {
            if let Err((seq, finding)) = verify(&block.header, frame.body) {
                let (segment, offset) = (frame.header.segment, frame.header.offset);
                self.failure = Some(ScrubError::Record { segment, offset, seq, finding: Box::new(finding) });
                return ControlFlow::Break(());
            }
            self.records += u64::from(block.header.record_count);
            self.blocks += 1;
        }
        loop {
            if self.stop.is_asked() || (self.progress)(done, self.total).is_break() {
                return ControlFlow::Break(());
            }
            let pause = self.pace.pause(done, Reading::now().monotonic);
            if pause.is_zero() {
                return ControlFlow::Continue(());
            }
            self.stop.wait(pause.min(PAUSE_MAX));
        }
    }
}

/// Verifies that the payloads of a block are those that the heads commit to.
fn verify(block: &BlockHeader, body: &[u8]) -> Result<(), (u64, Finding)> {
    let first_seq = block.first_seq;
    let body = Body::parse(body)
        .map_err(|source| (first_seq, Finding::from(crate::replay::ReplayError::Body { seq: first_seq, source })))?;
    for (index, (seq, bytes)) in (first_seq..).zip(body.heads()).enumerate() {
        let head = Head::parse(bytes).map_err(|error| (seq, error.into()))?;
        verify_content(&head, body.payload(index).unwrap_or(&[])).map_err(|error| (seq, error.into()))?;
    }
    Ok(())
}
