//! The crash loop: starts a writer, kills it at a random moment, opens the ledger and holds it against what the writer had
//! promised; over and over on the same ledger, so that damage would add up.
//!
//! Moments are of three sorts: any time under load; the first milliseconds, in which a ledger is made, opened or recovered; and
//! while a segment is being made, as a file of a temporary name in the directory shows. After a third of the kills the
//! next writer is started at once, so that it recovers what the other left. After some rounds everything is looked at again
//! from the start, `check_ledger` runs over all, and a new ledger begins.
//!
//! SIGKILL leaves the page cache: what a lost sync would cost is not seen here.

use super::verify::{FromStart, Promises};
use super::workload::{Failure, Random, Writer};
use annals::{DeviceChoice, Ledger, Options, check_ledger};
use std::fmt;
use std::io::{self, Read as _, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// Rounds on one ledger.
const ROUNDS_PER_LEDGER: u64 = 25;
/// Rounds between two lines of progress.
const PROGRESS_DISTANCE: u64 = 50;
/// Bounds of a round under load, in µs.
const LOADED_US: (u64, u64) = (50_000, 400_000);
/// Longest time after the start that still counts as early, in µs.
const EARLY_US: u64 = 20_000;
/// How often the directory of segments is looked at for one that is being made.
const LOOK: Duration = Duration::from_micros(50);
/// How long a segment is left in the making before the kill, at most, in µs.
const MAKING_US: u64 = 700;
/// SIGKILL.
const KILLED: i32 = 9;

/// What a loop is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// How often the writer is killed.
    pub(crate) rounds: u64,
    /// How many threads append.
    pub(crate) producers: u64,
    /// What writes; several take turns at random.
    pub(crate) devices: Vec<DeviceChoice>,
    /// What all choices follow from, but not the moments: a kill takes the time that it takes.
    pub(crate) seed: u64,
    /// Where the ledgers go.
    pub(crate) directory: PathBuf,
}

/// What a loop did and found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    /// Rounds, each with its kill.
    pub(crate) rounds: u64,
    /// Kills before the ledger was open.
    pub(crate) kills_opening: u64,
    /// Kills that left a segment in the making.
    pub(crate) kills_making: u64,
    /// Rounds that wrote with io_uring.
    pub(crate) rounds_uring: u64,
    /// Rounds that wrote with pwrite.
    pub(crate) rounds_pwrite: u64,
    /// Torn tails that were cut.
    pub(crate) torn: u64,
    /// Records that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Records that are in the ledgers, acknowledged or not.
    pub(crate) recorded: u64,
    /// Acknowledged records that were lost or changed.
    pub(crate) lost: u64,
    /// Openings that were refused.
    pub(crate) refused: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, kills_opening, kills_making, rounds_uring, rounds_pwrite, torn, .. } = self;
        let Self { acknowledged, recorded, lost, refused, .. } = self;
        write!(formatter, "{rounds} rounds ({rounds_uring} io_uring, {rounds_pwrite} pwrite, ")?;
        write!(formatter, "{kills_opening} killed while opening, {kills_making} while making a segment), ")?;
        write!(formatter, "{torn} torn tails cut, {acknowledged} acknowledged of {recorded} records, ")?;
        write!(formatter, "{lost} lost, {refused} refused openings")
    }
}

/// What went wrong in which round; the ledger is left as it is.
#[derive(Debug)]
pub(crate) struct Defect {
    /// The round, from 0.
    pub(crate) round: u64,
    /// The ledger's directory.
    pub(crate) place: PathBuf,
    /// What was found, a line each.
    pub(crate) findings: Vec<String>,
}

impl fmt::Display for Defect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { round, place, findings } = self;
        write!(formatter, "in round {round}; the ledger is kept in {}", place.display())?;
        findings.iter().try_for_each(|finding| write!(formatter, "\n  {finding}"))
    }
}

/// When a writer is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So long after its start.
    After(Duration),
    /// So long after a segment in the making was seen, or when a round's time is over.
    Making(Duration),
}

/// A loop under way.
pub(crate) struct Rounds<'a> {
    plan: &'a Plan,
    /// Makes the command that runs a writer.
    start: &'a dyn Fn(&Writer) -> Command,
    random: Random,
    promises: Promises,
    place: PathBuf,
    pub(crate) summary: Summary,
}

impl<'a> Rounds<'a> {
    /// A loop that has not begun.
    pub(crate) fn new(plan: &'a Plan, start: &'a dyn Fn(&Writer) -> Command) -> Self {
        let promises = Promises::new(plan.seed, plan.producers);
        let random = Random::new(&[plan.seed, 2]);
        let place = plan.directory.join("ledger-0");
        Self { plan, start, random, promises, place, summary: Summary::default() }
    }

    /// Runs all rounds, or up to the first defect.
    ///
    /// # Errors
    ///
    /// The [`Defect`].
    pub(crate) fn run(&mut self, out: &mut dyn Write) -> Result<(), Defect> {
        for round in 0..self.plan.rounds {
            let findings = match self.round(round) {
                Ok(()) => std::mem::take(&mut self.promises.findings),
                Err(error) => [std::mem::take(&mut self.promises.findings), vec![error.to_string()]].concat(),
            };
            self.summary.lost += self.promises.lost;
            if !findings.is_empty() {
                return Err(Defect { round, place: self.place.clone(), findings });
            }
            if (round + 1).is_multiple_of(PROGRESS_DISTANCE) {
                // A closed output leaves nobody to tell; the exit code still says it.
                let _ = writeln!(out, "{}", self.summary).and_then(|()| out.flush());
            }
        }
        Ok(())
    }

    fn round(&mut self, round: u64) -> Result<(), Failure> {
        let device = self.device();
        let producers = self.plan.producers;
        let writer = Writer { place: self.place.clone(), seed: self.promises.seed(), producers, device };
        let moment = match self.random.below(10) {
            0 | 1 => Moment::After(Duration::from_micros(self.random.below(EARLY_US))),
            2 | 3 => Moment::Making(Duration::from_micros(self.random.below(MAKING_US))),
            _ => Moment::After(Duration::from_micros(LOADED_US.0 + self.random.below(LOADED_US.1 - LOADED_US.0))),
        };
        let killed = kill_at((self.start)(&writer), moment, &self.place)?;
        self.summary.rounds += 1;
        if killed.status.signal() != Some(KILLED) {
            self.summary.refused += 1;
            return Err(format!("the writer ended by itself, {}: {}", killed.status, killed.errors.trim()).into());
        }
        let said = self.promises.take(&killed.printed);
        self.summary.acknowledged += said.acknowledged;
        self.summary.torn += u64::from(said.torn);
        self.summary.kills_making += u64::from(is_making(&self.place));
        match said.device.as_deref() {
            None => self.summary.kills_opening += 1,
            Some("pwrite") if device == DeviceChoice::Best => return Err("there is no io_uring here".into()),
            Some("pwrite") => self.summary.rounds_pwrite += 1,
            Some(_) => self.summary.rounds_uring += 1,
        }
        let is_last = (round + 1).is_multiple_of(ROUNDS_PER_LEDGER) || round + 1 == self.plan.rounds;
        if is_last {
            self.open_and_look(FromStart::Yes)?;
            self.next_ledger(round + 1)?;
        } else if self.random.below(3) != 0 {
            self.open_and_look(FromStart::No)?;
        }
        Ok(())
    }

    fn device(&mut self) -> DeviceChoice {
        let count = self.plan.devices.len().max(1) as u64;
        let index = usize::try_from(self.random.below(count)).unwrap_or(0);
        self.plan.devices.get(index).copied().unwrap_or_default()
    }

    /// Opens the ledger as an operator would, and holds it against the promises.
    fn open_and_look(&mut self, from_start: FromStart) -> Result<(), Failure> {
        if self.promises.count() == 0 && !self.place.exists() {
            // Killed while the ledger was being made: it is not there, and nothing was promised of it.
            return Ok(());
        }
        let options = Options { device: self.device(), ..Options::default() };
        let ledger = Ledger::open(&self.place, options).inspect_err(|_| self.summary.refused += 1)?;
        self.summary.torn += u64::from(ledger.torn_tail().is_some());
        self.promises.hold(&ledger, from_start)?;
        Ok(ledger.close()?)
    }

    /// Checks the ledger as a whole, and begins another one.
    fn next_ledger(&mut self, round: u64) -> Result<(), Failure> {
        if self.place.exists() {
            let report = check_ledger(&self.place, None, &mut |_, _| {})?;
            self.summary.recorded += report.records - 1;
            if !report.closed || report.torn.is_some() {
                return Err("the ledger was closed, and its check does not say so".into());
            }
            if !self.promises.findings.is_empty() {
                return Ok(());
            }
            std::fs::remove_dir_all(&self.place)?;
        }
        self.promises = Promises::new(self.plan.seed.wrapping_add(round), self.plan.producers);
        self.place = self.plan.directory.join(format!("ledger-{round}"));
        Ok(())
    }
}

/// A writer that is gone.
struct Killed {
    printed: Vec<u8>,
    errors: String,
    status: ExitStatus,
}

/// Starts a writer on the ledger at a place, and kills it.
fn kill_at(mut command: Command, moment: Moment, place: &Path) -> io::Result<Killed> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (out, errors) = (child.stdout.take(), child.stderr.take());
    let reading = std::thread::spawn(move || {
        let mut printed = Vec::new();
        out.map_or(Ok(0), |mut out| out.read_to_end(&mut printed)).map(|_| printed)
    });
    match moment {
        Moment::After(time) => std::thread::park_timeout(time),
        Moment::Making(after) => {
            let mut left = Duration::from_micros(LOADED_US.1);
            while !left.is_zero() && !is_making(place) {
                std::thread::park_timeout(LOOK);
                left = left.saturating_sub(LOOK);
            }
            std::thread::park_timeout(after);
        }
    }
    // It fails only if the child is gone, which its status tells.
    let _ = child.kill();
    let status = child.wait()?;
    let printed = reading.join().map_err(|_| io::Error::other("the reader of the pipe panicked"))??;
    let mut words = String::new();
    errors.map_or(Ok(0), |mut errors| errors.read_to_string(&mut words))?;
    Ok(Killed { printed, errors: words, status })
}

/// Whether a segment of the ledger has its temporary name.
fn is_making(place: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(place.join("segments")) else { return false };
    entries.flatten().any(|entry| entry.path().extension().is_some_and(|extension| extension == "tmp"))
}
