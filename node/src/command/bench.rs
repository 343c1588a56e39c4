//! `annals bench`: how fast a ledger is on this machine, beside what the machine can do at all.
//!
//! Which question it answers: how many records a second become durable and provable (records, bundles), or how long a
//! lone record takes (latency), with verification and writing inside the clock and signing outside. The ceilings are
//! measured in the same run. Afterwards the ledger is opened again, and what was acknowledged must be there.

mod load;
mod workload;

use crate::command::progress::Progress;
use crate::exit::CommandError;
use crate::line::{Bench, Mode};
use annals::measure::{DiskSpeed, disk_speed, per_second, verify_records_per_s};
use annals::{DeviceChoice, Ledger, Options, write_key};
use load::{Load, load, now};
use serde_json::json;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use workload::{Shape, Workload, creation, fixed_key};

/// Receipts verified after the run.
const RECEIPTS: usize = 1000;
/// How long each ceiling is measured.
const CEILING: Duration = Duration::from_secs(2);
/// Records that the verification ceiling is measured over, at most: more than any cache holds.
const CEILING_RECORDS: u64 = 131_072;
/// Bytes of them, at most.
const CEILING_BYTES: u64 = 128 << 20;
/// Bytes of a workload, at most; when it is used up, a run ends before its time.
const WORKLOAD_BYTES: u64 = 4 << 30;
/// Lone records that no machine exceeds, a second.
const LONE_PER_SECOND: u64 = 20_000;

/// Figures of a run.
#[derive(Debug)]
pub(crate) struct Figures {
    mode: Mode,
    device: &'static str,
    load: Load,
    items: u64,
    payload_bytes: u64,
    cpu: Duration,
    workload_bytes: u64,
    disk_bytes: u64,
    verify_records_per_s: u64,
    disk: DiskSpeed,
}

pub(crate) fn run(bench: &Bench) -> Result<u8, CommandError> {
    let scratch = match &bench.dir {
        Some(dir) => {
            std::fs::create_dir_all(dir).map_err(|source| CommandError::Write { path: dir.clone(), source })?;
            None
        }
        None => Some(tempfile::tempdir().map_err(|source| CommandError::Write { path: std::env::temp_dir(), source })?),
    };
    let scratch_path = scratch.as_ref().map(|scratch| scratch.path().to_owned());
    let dir = bench.dir.clone().or(scratch_path).unwrap_or_default();
    let figures = measure(bench, &dir)?;
    if bench.json {
        figures.print_json()?
    } else {
        figures.print()?
    }
    Ok(0)
}

/// Runs one bench in a directory.
pub(crate) fn measure(bench: &Bench, dir: &Path) -> Result<Figures, CommandError> {
    let shape = shape(bench);
    let place = Place::make(dir)?;
    let ledger = Ledger::create(&place.ledger, &creation(&place.key), Options::default())?;
    super::warn_of_device(&ledger);
    // The sample comes first: it says how many records a run can use at most.
    let sample_count = CEILING_RECORDS.min(CEILING_BYTES / shape.record_size() as u64).max(1);
    let sample = Workload::prepare(dir, ledger.id(), shape, sample_count)?;
    let verify = verify_ceiling(&sample, sample_count)?;
    let disk = disk_speed(dir, DeviceChoice::Best, CEILING)?;
    let per_second = match bench.mode {
        Mode::Records | Mode::Bundles => verify.min(disk.mb_per_s * 1_000_000 / shape.record_size() as u64),
        Mode::Latency => verify.min(LONE_PER_SECOND),
    };
    drop(sample);
    let count = (per_second * bench.seconds).min(WORKLOAD_BYTES / shape.record_size() as u64).max(sample_count);
    let workload = Workload::prepare(dir, ledger.id(), shape, count)?;
    let time = Duration::from_secs(bench.seconds);
    let cpu = cpu_time();
    let load = with_progress(time, || load(&ledger, &workload, time, bench.mode == Mode::Latency))?;
    let cpu = cpu_time().saturating_sub(cpu);
    let device = ledger.device();
    ledger.close().map_err(CommandError::Close)?;
    let disk_bytes = verify_afterwards(&place.ledger, &load)?;
    let items = load.records * u64::from(shape.items);
    let (payload_bytes, workload_bytes) = (items * u64::from(shape.payload), workload.bytes());
    let verify_records_per_s = verify;
    let mode = bench.mode;
    place.remove();
    Ok(Figures {
        mode,
        device,
        load,
        items,
        payload_bytes,
        cpu,
        workload_bytes,
        disk_bytes,
        verify_records_per_s,
        disk,
    })
}

fn shape(bench: &Bench) -> Shape {
    let items = if bench.mode == Mode::Bundles { bench.items } else { 1 };
    // A bundle fits a record: fewer items if they are large.
    let entry = bench.payload as usize + annals::limits::BUNDLE_ENTRY_SIZE;
    let fitting = u16::try_from(annals::limits::PAYLOAD_SIZE_MAX / entry).unwrap_or(u16::MAX).max(1);
    // Large payloads are hashed by whoever appends them; small ones cost a producer next to nothing.
    let fitted = if bench.mode == Mode::Bundles { 2 } else { 1 };
    let producers = bench.producers.unwrap_or(fitted).min(bench.authors);
    Shape { payload: bench.payload, items: items.min(fitting), authors: bench.authors, producers }
}

/// Where a bench's ledger lies.
struct Place {
    ledger: PathBuf,
    key: PathBuf,
}

impl Place {
    fn make(dir: &Path) -> Result<Self, CommandError> {
        let number = std::process::id();
        let place = Self { ledger: dir.join(format!("ledger-{number}")), key: dir.join(format!("bench-{number}.key")) };
        write_key(&place.key, &fixed_key(None))?;
        Ok(place)
    }

    fn remove(&self) {
        // What can't be removed lies in a directory that the caller chose, or that is temporary.
        let _ = (std::fs::remove_dir_all(&self.ledger), std::fs::remove_file(&self.key));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.remove();
    }
}

fn verify_ceiling(sample: &Workload, count: u64) -> Result<u64, CommandError> {
    let mut bytes = Vec::new();
    sample.read(0, 0, &mut bytes, count)?;
    let records: Vec<&[u8]> = bytes.chunks_exact(sample.shape.record_size()).collect();
    Ok(verify_records_per_s(&records, CEILING))
}

/// Shows how much of the time has passed while the work is done.
fn with_progress<T>(time: Duration, work: impl FnOnce() -> T + Send) -> T
where
    T: Send,
{
    let (start, mut progress) = (now(), Progress::count("running, seconds"));
    let result = std::thread::scope(|scope| {
        let worker = scope.spawn(work);
        while !worker.is_finished() {
            progress.set(now().saturating_duration_since(start).as_secs().min(time.as_secs()), time.as_secs());
            // Seldom, since the work needs all cores.
            std::thread::park_timeout(Duration::from_millis(250));
        }
        worker.join()
    });
    progress.finish();
    match result {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Opens the ledger again, counts, and verifies receipts offline; bytes of its log.
fn verify_afterwards(path: &Path, load: &Load) -> Result<u64, CommandError> {
    let ledger = Ledger::open(path, Options::default())?;
    let reader = ledger.reader();
    let newest = reader.head()?;
    if newest.size != load.records + 1 {
        return Err(CommandError::Bench(
            "the ledger does not hold the records that it acknowledged; no figure is given",
        ));
    }
    let step = (load.seqs.len() / RECEIPTS).max(1);
    for seq in load.seqs.iter().step_by(step).take(RECEIPTS) {
        if reader.prove(*seq)?.verify(ledger.vkey()).is_err() {
            return Err(CommandError::Bench("a receipt does not hold; no figure is given"));
        }
    }
    let (segment, offset) = newest.end;
    Ok(segment * annals::ledger_size(path).map_err(annals::OpenError::from)?.segment_size + offset)
}

/// CPU time of this process so far.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or(Duration::ZERO)
}

/// Peak of this process's memory in MiB; 0 if the system does not say.
fn rss_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.trim().strip_suffix("kB")).and_then(|kib| kib.trim().parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

#[expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]
fn ratio(value: u64, by: u64) -> f64 {
    (value as f64 / by.max(1) as f64 * 1000.0).round() / 1000.0
}

impl Figures {
    pub(crate) fn records_per_s(&self) -> u64 {
        per_second(self.load.records, self.load.took)
    }

    pub(crate) const fn verify_records_per_s(&self) -> u64 {
        self.verify_records_per_s
    }

    fn mb_per_s(&self) -> u64 {
        per_second(self.payload_bytes, self.load.took) / 1_000_000
    }

    fn p50(&self) -> u64 {
        self.load.latency_us.value_at_quantile(0.5)
    }

    /// To the verification of records, the disk's stream, or its durable write, as the mode has it.
    pub(crate) fn ratio_to_ceiling(&self) -> f64 {
        match self.mode {
            Mode::Records => ratio(self.records_per_s(), self.verify_records_per_s),
            Mode::Bundles => ratio(self.mb_per_s(), self.disk.mb_per_s),
            Mode::Latency => ratio(self.p50(), self.disk.durable_4k_write_us_p50),
        }
    }

    fn cpu_us_per_record(&self) -> f64 {
        ratio(u64::try_from(self.cpu.as_micros()).unwrap_or(u64::MAX), self.load.records)
    }

    fn print_json(&self) -> Result<(), CommandError> {
        let latency = &self.load.latency_us;
        let mode = match self.mode {
            Mode::Records => "records",
            Mode::Bundles => "bundles",
            Mode::Latency => "latency",
        };
        let object = json!({
            "mode": mode,
            "device": self.device,
            "durable": true,
            "records": self.load.records,
            "records_per_s": self.records_per_s(),
            "items_per_s": per_second(self.items, self.load.took),
            "mb_per_s": self.mb_per_s(),
            "cpu_us_per_record": self.cpu_us_per_record(),
            "latency_us": {
                "p50": latency.value_at_quantile(0.5),
                "p99": latency.value_at_quantile(0.99),
                "p999": latency.value_at_quantile(0.999),
                "max": latency.max(),
            },
            "rss_mib": rss_mib(),
            "workload_mib": self.workload_bytes >> 20,
            "disk_bytes_per_record": self.disk_bytes / self.load.records.max(1),
            "ceiling": {
                "verify_records_per_s": self.verify_records_per_s,
                "disk_mb_per_s": self.disk.mb_per_s,
                "durable_4k_write_us_p50": self.disk.durable_4k_write_us_p50,
            },
            "ratio_to_ceiling": self.ratio_to_ceiling(),
        });
        Ok(writeln!(std::io::stdout(), "{object}")?)
    }

    fn print(&self) -> Result<(), CommandError> {
        let (latency, mut out) = (&self.load.latency_us, std::io::stdout().lock());
        let (records, items) = (self.load.records, per_second(self.items, self.load.took));
        writeln!(out, "{records} records on {}, all verified, durable, and there after reopening", self.device)?;
        writeln!(out, "{} records/s, {items} items/s, {} MB/s of payload", self.records_per_s(), self.mb_per_s())?;
        let (p50, p99) = (latency.value_at_quantile(0.5), latency.value_at_quantile(0.99));
        writeln!(out, "latency {p50} us (median), {p99} us (99th percentile), {} us at most", latency.max())?;
        writeln!(out, "{} us of CPU a record; {} MiB of memory at the peak", self.cpu_us_per_record(), rss_mib())?;
        let (verify, mb, write) = (self.verify_records_per_s, self.disk.mb_per_s, self.disk.durable_4k_write_us_p50);
        writeln!(
            out,
            "ceilings: {verify} records/s verified and nothing else; {mb} MB/s durable; 4 KiB durable in {write} us"
        )?;
        Ok(writeln!(out, "ratio to the ceiling: {}", self.ratio_to_ceiling())?)
    }
}
