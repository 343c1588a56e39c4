//! The rounds: a writer on the disk, a power cut between two of its changes, the disk started again, and the ledger held
//! against what the writer had promised.
//!
//! The cut comes after a number of changes that is drawn beforehand, so that every place between a write and its sync is as
//! likely as any other; small numbers hit opening, recovery and creation. Some cuts wait for a name that is not synced. Some rounds only end the writer, so that what it
//! left unsynced is there for the next one, and may be gone after the next cut. After a third of the rounds the next writer starts at
//! once, on what the cut left.

use crate::disk::{Disk, Moment, Style};
use crate::mount::Shared;
use crate::verify::{FromStart, Promises};
use crate::workload::{Failure, Random, Writer};
use annals::{DeviceChoice, Ledger, Options, check_ledger};
use std::fmt;
use std::io::{self, Read as _, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Rounds between two lines of progress.
const PROGRESS_DISTANCE: u64 = 50;
/// Changes before a cut, at most, unless told: to hit opening, creation, and a writer under load.
const CHANGES: [u64; 3] = [8, 60, 600];
/// Syncs of directories before a cut that waits for one, at most.
const DIRECTORY_SYNCS: u64 = 12;
/// How often it is looked whether the power is off.
const LOOK: Duration = Duration::from_millis(1);
/// Longest that a round waits for its cut, in looks.
const LOOKS_MAX: u64 = 2000;
/// Longest time between the cut and the writer's end, in which it meets the dead disk, in µs.
const DEAD_US: u64 = 3000;

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// How often a writer is stopped.
    pub(crate) rounds: u64,
    /// How many of the rounds go on with the same ledger.
    pub(crate) ledger_rounds: u64,
    /// Most changes before a cut; none: few, some or many at random.
    pub(crate) changes: Option<u64>,
    /// How many threads append.
    pub(crate) producers: u64,
    /// What writes; several take turns at random.
    pub(crate) devices: Vec<DeviceChoice>,
    /// What all choices follow from.
    pub(crate) seed: u64,
}

/// What was done and found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    rounds: u64,
    cuts_opening: u64,
    kills: u64,
    torn: u64,
    acknowledged: u64,
    recorded: u64,
    pub(crate) lost: u64,
    pub(crate) refused: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, cuts_opening, kills, torn, acknowledged, recorded, lost, refused } = self;
        write!(formatter, "{rounds} rounds ({cuts_opening} ended before the ledger was open, {kills} were kills), ")?;
        write!(formatter, "{torn} torn tails cut, {acknowledged} acknowledged of {recorded} records, ")?;
        write!(formatter, "{lost} lost, {refused} refused openings")
    }
}

/// Rounds under way.
pub(crate) struct Rounds<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    /// Makes the command that runs a writer.
    start: &'a dyn Fn(&Writer) -> Command,
    random: Random,
    promises: Promises,
    place: PathBuf,
    pub(crate) summary: Summary,
    /// What the current round did, for whoever has to understand a defect.
    pub(crate) story: String,
}

impl<'a> Rounds<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        shared: &'a Shared,
        place: PathBuf,
        start: &'a dyn Fn(&Writer) -> Command,
    ) -> Self {
        let promises = Promises::new(plan.seed, plan.producers);
        let random = Random::new(&[plan.seed, 3]);
        Self { plan, shared, start, random, promises, place, summary: Summary::default(), story: String::new() }
    }

    /// Runs all rounds, or until told to stop, or up to the first defect: its round, and what was found.
    pub(crate) fn run(&mut self, out: &mut dyn Write, stop: &AtomicBool) -> Result<(), (u64, Vec<String>)> {
        for round in 0..self.plan.rounds {
            // Relaxed: nothing comes with it.
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let ended = self.round(round);
            // The signal may have ended the writer too, which is no defect then.
            if ended.is_err() && stop.load(Ordering::Relaxed) && self.promises.lost == 0 {
                break;
            }
            let mut findings = std::mem::take(&mut self.promises.findings);
            findings.extend(ended.err().map(|error| error.to_string()));
            self.summary.lost += self.promises.lost;
            if !findings.is_empty() {
                return Err((round, findings));
            }
            if (round + 1).is_multiple_of(PROGRESS_DISTANCE) {
                // A closed output leaves nobody to tell; the exit code still says it.
                let _ = writeln!(out, "{}", self.summary).and_then(|()| out.flush());
            }
        }
        Ok(())
    }

    fn disk<T>(&self, of: impl FnOnce(&mut Disk) -> T) -> T {
        of(&mut self.shared.0.lock())
    }

    fn round(&mut self, round: u64) -> Result<(), Failure> {
        let (device, producers) = (self.device(), self.plan.producers);
        let writer = Writer { place: self.place.clone(), seed: self.promises.seed(), producers, device };
        let (style, seed) = (Style::choose(&mut self.random), self.random.next());
        let moment = self.moment();
        self.story = format!("{device:?}, {style:?}, after {moment:?}");
        self.disk(|disk| disk.plan_cut(moment, style, seed));
        let mut command = (self.start)(&writer);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let reading = read_all(&mut child);
        let ended_early = self.wait(&mut child)?;
        // A round whose changes took too long is cut now.
        self.disk(|disk| {
            if !disk.is_off() {
                disk.cut(style, seed);
            }
        });
        std::thread::park_timeout(Duration::from_micros(self.random.below(DEAD_US)));
        // It fails only if the child is gone: on a dead disk it ends by itself.
        let _ = child.kill();
        child.wait()?;
        let (printed, words) = reading.join().map_err(|_| "the reader of the pipe panicked")??;
        self.disk(Disk::start);
        self.summary.rounds += 1;
        self.summary.kills += u64::from(style == Style::Kept);
        if ended_early {
            self.summary.refused += 1;
            return Err(format!("the writer ended while the disk was on: {}", words.trim()).into());
        }
        let said = self.promises.take(&printed);
        self.summary.acknowledged += said.acknowledged;
        self.summary.torn += u64::from(said.torn);
        self.summary.cuts_opening += u64::from(said.device.is_none());
        if said.device.as_deref() == Some("pwrite") && device == DeviceChoice::Best {
            return Err("there is no io_uring here".into());
        }
        self.look(round)
    }

    fn look(&mut self, round: u64) -> Result<(), Failure> {
        let is_last = (round + 1).is_multiple_of(self.plan.ledger_rounds) || round + 1 == self.plan.rounds;
        if is_last {
            self.open_and_look(FromStart::Yes)?;
            self.next_ledger(round + 1)
        } else if self.random.below(3) != 0 {
            self.open_and_look(FromStart::No)
        } else {
            Ok(())
        }
    }

    /// Waits until the power is off, or for a while; whether the writer ended with the power on.
    fn wait(&self, child: &mut Child) -> io::Result<bool> {
        for _ in 0..LOOKS_MAX {
            if self.disk(|disk| disk.is_off()) {
                return Ok(false);
            }
            if child.try_wait()?.is_some() {
                // The power may have gone in between, and the writer with it.
                return Ok(!self.disk(|disk| disk.is_off()));
            }
            std::thread::park_timeout(LOOK);
        }
        Ok(false)
    }

    fn moment(&mut self) -> Moment {
        if self.random.below(6) == 0 {
            return Moment::DirectorySyncs(self.random.below(DIRECTORY_SYNCS));
        }
        let sort = usize::try_from(self.random.below(CHANGES.len() as u64)).unwrap_or(0);
        Moment::Changes(self.random.below(self.plan.changes.unwrap_or(CHANGES[sort])))
    }

    fn device(&mut self) -> DeviceChoice {
        let count = self.plan.devices.len().max(1) as u64;
        let index = usize::try_from(self.random.below(count)).unwrap_or(0);
        self.plan.devices.get(index).copied().unwrap_or_default()
    }

    /// Opens the ledger as an operator would, and holds it against the promises.
    fn open_and_look(&mut self, from_start: FromStart) -> Result<(), Failure> {
        if self.promises.count() == 0 && !self.place.exists() {
            // Cut while the ledger was being made: it is not there, and nothing was promised of it.
            return Ok(());
        }
        let options = Options { device: self.device(), ..Options::default() };
        let ledger = Ledger::open(&self.place, options).inspect_err(|_| self.summary.refused += 1)?;
        self.summary.torn += u64::from(ledger.torn_tail().is_some());
        self.promises.hold(&ledger, from_start)?;
        Ok(ledger.close()?)
    }

    /// Checks the ledger as a whole after one more cut, which may take nothing of a closed one, and begins another.
    fn next_ledger(&mut self, round: u64) -> Result<(), Failure> {
        if self.place.exists() {
            self.disk(|disk| {
                disk.cut(Style::Nothing, 0);
                disk.start();
            });
            let report = check_ledger(&self.place, None, &mut |_, _| {})?;
            self.summary.recorded += report.records - 1;
            if !report.closed || report.torn.is_some() {
                return Err("the ledger was closed, and its check does not say so".into());
            }
            self.open_and_look(FromStart::Yes)?;
        }
        self.disk(Disk::format);
        self.promises = Promises::new(self.plan.seed.wrapping_add(round), self.plan.producers);
        Ok(())
    }
}

type Reading = std::thread::JoinHandle<io::Result<(Vec<u8>, String)>>;

/// Reads what a child prints, from both of its outputs, until it is gone.
fn read_all(child: &mut Child) -> Reading {
    let (out, errors) = (child.stdout.take(), child.stderr.take());
    std::thread::spawn(move || {
        let (mut printed, mut words) = (Vec::new(), String::new());
        // What it says on its standard error fits the pipe.
        out.map_or(Ok(0), |mut out| out.read_to_end(&mut printed))?;
        errors.map_or(Ok(0), |mut errors| errors.read_to_string(&mut words))?;
        Ok((printed, words))
    })
}
