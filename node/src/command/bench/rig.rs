//! The rig of a load: a new ledger, sources with their workload, and what each phase cost.
//!
//! ```text
//! ledger made -> ceilings measured -> records signed -> phases of the mode -> load curve -> closed -> opened and compared
//! ```

use super::ceiling::{Ceilings, sample_count};
use super::clock::cpu_time;
use super::figures::Figures;
use super::load::{self, Phase, Phased, Span, merged};
use super::place::{Place, check_room};
use super::plan::Plan;
use super::source::{Acks, Source};
use super::tally::Tally;
use super::workload::{Workload, creation};
use super::{afterwards, closed, curve, machine, modes};
use crate::exit::CommandError;
use annals::measure::{PacedWrites, paced_writes};
use annals::{DeviceChoice, Ledger, Options, Written};
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that a run may take on the disk beyond its records: segments made ahead.
const ROOM_AHEAD: u64 = 512 << 20;
/// Bytes of a record beyond itself, about.
const RECORD_OVERHEAD: usize = 300;

/// A run whose records are used up counts if they lasted for one part in so many of its time.
const LEAST_COUNTED: u32 = 10;
/// Sources whose appenders have as many records outstanding as an appender may by default; of more, all together have as many.
const SOURCES_OF_DEFAULT: u32 = 64;

/// How sources are given to threads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Split {
    /// To all threads alike.
    Even,
    /// The last one to a thread of its own.
    LastApart,
}

/// A ledger under load.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) plan: Plan,
    pub(crate) sources: Vec<Source>,
    pub(crate) ledger: Ledger,
    place: Place,
    pub(crate) ceilings: Ceilings,
    workload: Arc<Workload>,
    /// This process's memory before anything was made, KiB.
    at_start_kib: u64,
    /// Its peak before the last phase, KiB.
    peak_kib: u64,
}

/// What a phase came to, and what it cost: warm-up and rest included, as all that it acknowledged is.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) tallies: Vec<Tally>,
    pub(crate) acknowledged: u64,
    pub(crate) cpu: Duration,
    pub(crate) written: Written,
    pub(crate) runway_left: u64,
    /// Peak of this process's memory in the phase, KiB.
    pub(crate) rss_kib: u64,
    /// The same without the bench's own buffers and what was there before the ledger was: the engine's, at most.
    pub(crate) engine_kib: u64,
}

/// What a mode measured.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What counts.
    pub(crate) tally: Tally,
    pub(crate) ran: Ran,
    /// Records a second that the ledger takes at most, if that was measured.
    pub(crate) saturation: Option<u64>,
    /// The mode's own fields of the JSON object.
    pub(crate) fields: Map<String, Value>,
    /// The mode's own words for people.
    pub(crate) summary: Vec<(&'static str, String)>,
}

/// What is known once the ledger is closed.
#[derive(Debug)]
pub(crate) struct After {
    pub(crate) acks: Acks,
    pub(crate) found: afterwards::Found,
    pub(crate) device: &'static str,
    pub(crate) workload_bytes: u64,
    pub(crate) peak_kib: u64,
}

/// Runs one load in a directory.
pub(crate) fn measure(plan: Plan, dir: &Path) -> Result<Figures, CommandError> {
    let mut rig = Rig::make(plan, dir)?;
    let outcome = modes::run(&mut rig)?;
    let tally = &outcome.tally;
    // A block or two in no time would be a rate that nothing else bears out.
    let is_too_short = tally.ran_dry && tally.took() < rig.plan.span.time / LEAST_COUNTED;
    if tally.records == 0 || is_too_short {
        return Err(CommandError::Bench(if tally.ran_dry {
            "the prepared records were used up before enough of them counted, since the ceiling was measured while the machine was busy; run it again"
        } else {
            "no record was answered in the time that counts; say more --seconds, and look at what else the machine does"
        }));
    }
    let curve = match outcome.saturation {
        Some(saturation) if rig.plan.curve => curve::draw(&mut rig, saturation)?,
        Some(_) | None => Vec::new(),
    };
    let (plan, ceilings) = (rig.plan.clone(), rig.ceilings.clone());
    let after = rig.close()?;
    Ok(Figures::of_load(&plan, &ceilings, outcome, &after, curve))
}

impl Rig {
    fn make(plan: Plan, dir: &Path) -> Result<Self, CommandError> {
        let (at_start_kib, shape) = (machine::rss_kib(), plan.shape);
        let place = Place::make(dir)?;
        let ledger = Ledger::create(&place.ledger, &creation(&place.key), options(shape.sources))?;
        crate::command::warn_of_device(&ledger);
        // The sample comes first: it says how many records a run can use at most.
        let least = sample_count(shape.record_size());
        let sample = Arc::new(Workload::prepare(dir, ledger.id(), shape, least)?);
        let ceilings = Ceilings::measure(&sample, dir, plan.span.time)?;
        drop(sample);
        let count = plan.record_count(&ceilings).max(least);
        let each = (shape.record_size() + RECORD_OVERHEAD + shape.entry_size()) as u64;
        check_room(dir, count.saturating_mul(each).saturating_add(ROOM_AHEAD))?;
        let workload = Arc::new(Workload::prepare(dir, ledger.id(), shape, plan.prepared_count(count))?);
        let mut sources = Vec::new();
        for source in 0..shape.sources {
            let (appender, supply) = (ledger.appender()?, workload.supply(source)?);
            sources.push(Source::new(appender, supply, shape.sources, shape.record_size()));
        }
        let peak_kib = machine::peak_kib();
        Ok(Self { plan, sources, ledger, place, ceilings, workload, at_start_kib, peak_kib })
    }

    /// Runs a phase and measures what it costs.
    pub(crate) fn run(
        &mut self,
        split: Split,
        span: Span,
        drive: impl Fn(&mut [Source], &Phase<'_>, u64) -> Result<Tally, CommandError> + Sync,
    ) -> Result<Ran, CommandError> {
        self.peak_kib = self.peak_kib.max(machine::peak_kib());
        machine::forget_peak();
        let (cpu, written) = (cpu_time(), self.ledger.written());
        let groups = groups(&mut self.sources, split, self.plan.threads);
        let Phased { tallies, runway_left } = load::run(&self.ledger, groups, span, drive)?;
        let now = self.ledger.written();
        let rss_kib = machine::peak_kib();
        let own = self.sources.iter().map(Source::memory).chain(tallies.iter().map(Tally::memory));
        let engine_kib = rss_kib.saturating_sub(self.at_start_kib + own.sum::<u64>() / 1024);
        Ok(Ran {
            acknowledged: tallies.iter().map(|tally| tally.acknowledged).sum(),
            tallies,
            cpu: cpu_time().saturating_sub(cpu),
            written: Written { data: now.data - written.data, runway: now.runway - written.runway },
            runway_left,
            rss_kib,
            engine_kib,
        })
    }

    /// Records a second that the ledger takes at most.
    pub(crate) fn saturation(&mut self) -> Result<u64, CommandError> {
        let span = self.plan.saturation();
        let ran = self.run(Split::Even, span, closed::flood)?;
        Ok(merged(&ran.tallies)?.records_per_s().max(1))
    }

    /// What the disk alone makes of as many bytes as constantly as this phase wrote them.
    pub(crate) fn disk_alone(&self, outcome: &Outcome) -> Result<PacedWrites, CommandError> {
        let each = outcome.ran.written.data / outcome.ran.acknowledged.max(1);
        let bytes_per_s = outcome.tally.records_per_s().saturating_mul(each);
        let dir = self.place.ledger.parent().unwrap_or(&self.place.ledger);
        Ok(paced_writes(dir, DeviceChoice::Best, bytes_per_s, self.plan.span.time)?)
    }

    /// Closes the ledger, opens it again, and compares.
    fn close(self) -> Result<After, CommandError> {
        let Self { plan, sources, ledger, place, workload, peak_kib, .. } = self;
        let (device, mut acks) = (ledger.device(), Acks::default());
        sources.into_iter().for_each(|source| acks.merge(source.acks));
        ledger.close().map_err(CommandError::Close)?;
        let found = afterwards::verify(&place.ledger, &acks, plan.attack.is_some())?;
        let peak_kib = peak_kib.max(machine::peak_kib());
        Ok(After { acks, found, device, workload_bytes: workload.bytes(), peak_kib })
    }
}

/// Defaults, but for appenders that are so many that they would take more than a ledger's memory.
fn options(sources: u32) -> Options {
    let options = Options::default();
    let outstanding_max = options.outstanding_max / sources.div_ceil(SOURCES_OF_DEFAULT).max(1);
    Options { outstanding_max, ..options }
}

fn groups(sources: &mut [Source], split: Split, threads: usize) -> Vec<&mut [Source]> {
    let (alike, apart) = match split {
        Split::Even => (sources, None),
        Split::LastApart => {
            let (alike, last) = sources.split_at_mut(sources.len().saturating_sub(1));
            (alike, Some(last))
        }
    };
    let size = alike.len().div_ceil(threads.max(1)).max(1);
    alike.chunks_mut(size).chain(apart).collect()
}
