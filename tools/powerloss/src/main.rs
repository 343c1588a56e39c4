//! Cuts the power under a ledger: a file system of our own that keeps unsynced changes apart and takes them away.
//!
//! `annals-powerloss [--rounds N] [--producers P] [--device io_uring|pwrite|both] [--seed S]`, as root, who may mount; `--changes N`
//! cuts after fewer changes than that, and `--ledger-rounds N` takes a new ledger so often: with 1, creation is what is cut. Exit:
//! 0 nothing was lost; 1 something was, or an opening was refused, with the seed and the round; 64 usage. Without root or
//! FUSE it says so, tests nothing and exits with 0.
//!
//! SIGINT and SIGTERM end it after the round. SIGKILL leaves the mount behind, which `umount -l` removes; who still waits for
//! it is let go by `echo 1 > /sys/fs/fuse/connections/N/abort`.
//!
//! It shows what no killed process shows: a sync that is missing, a directory that was not synced, a write that was torn.
//! It does not show what a disk does that lies about its cache.

#![forbid(unsafe_code)]

mod content;
mod disk;
mod mount;
mod rounds;
#[path = "../../../examples/crash/verify.rs"]
mod verify;
#[path = "../../../examples/crash/workload.rs"]
mod workload;
#[path = "../../../examples/crash/write.rs"]
mod write;

use annals::{DeviceChoice, random_bytes};
use disk::Disk;
use mount::Shared;
use parking_lot::Mutex;
use rounds::{Plan, Rounds};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use workload::{Failure, Writer};

/// Exit code of arguments that make no sense.
const USAGE: u8 = 64;
const HELP: &str = "annals-powerloss [--rounds N] [--producers P] [--device io_uring|pwrite|both] [--seed S] \
                    [--changes N] [--ledger-rounds N]";
/// The first argument of the writer, which this program starts as a process of its own.
const WRITE: &str = "write";

fn plan(arguments: &[String]) -> Option<Plan> {
    let seed = random_bytes().ok()?.first_chunk().map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)));
    let devices = vec![DeviceChoice::Best, DeviceChoice::Pwrite];
    let mut plan = Plan { rounds: 200, ledger_rounds: 20, changes: None, producers: 3, devices, seed };
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { return None };
        match name.as_str() {
            "--rounds" => plan.rounds = value.parse().ok()?,
            "--producers" => plan.producers = value.parse().ok().filter(|count| 0 < *count)?,
            "--ledger-rounds" => plan.ledger_rounds = value.parse().ok().filter(|count| 0 < *count)?,
            "--changes" => plan.changes = Some(value.parse().ok().filter(|count| 0 < *count)?),
            "--seed" => plan.seed = value.parse().ok()?,
            "--device" => {
                plan.devices = match value.as_str() {
                    "both" => plan.devices,
                    device => vec![choice(device)?],
                }
            }
            _ => return None,
        }
    }
    Some(plan)
}

fn choice(name: &str) -> Option<DeviceChoice> {
    match name {
        "io_uring" => Some(DeviceChoice::Best),
        "pwrite" => Some(DeviceChoice::Pwrite),
        _ => None,
    }
}

fn write_until_the_end(arguments: &[String]) -> Result<(), Failure> {
    let [place, seed, producers, device] = arguments else { return Err(HELP.into()) };
    let device = choice(device).ok_or(HELP)?;
    let writer = Writer { place: place.into(), seed: seed.parse()?, producers: producers.parse()?, device };
    write::run(&writer, std::io::stdout())
}

fn run(plan: &Plan) -> Result<bool, Failure> {
    if !rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
        eprintln!("NOT TESTED: mounting a file system of our own takes root and /dev/fuse");
        return Ok(true);
    }
    let mut out = std::io::stdout();
    let Plan { rounds, producers, seed, .. } = plan;
    writeln!(out, "seed {seed}: {rounds} rounds of {producers} producers")?;
    let directory = tempfile::tempdir()?;
    let shared = Shared(Arc::new(Mutex::new(Disk::new())));
    let mounted = shared.mount(directory.path())?;
    let program = std::env::current_exe()?;
    let start = |writer: &Writer| {
        let device = if writer.device == DeviceChoice::Pwrite { "pwrite" } else { "io_uring" };
        let mut command = Command::new(&program);
        command.arg(WRITE).arg(&writer.place);
        command.args([&writer.seed.to_string(), &writer.producers.to_string(), device]);
        command
    };
    let mut rounds = Rounds::new(plan, &shared, directory.path().join("ledger"), &start);
    // Killed in the middle it would leave the mount, and may wait for itself for ever.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let ended = rounds.run(&mut out, &stop);
    writeln!(out, "{}; {:?}", rounds.summary, shared.0.lock().counts)?;
    if let Err((round, findings)) = &ended {
        writeln!(out, "DEFECT with seed {seed} in round {round} ({})", rounds.story)?;
        findings.iter().try_for_each(|finding| writeln!(out, "  {finding}"))?;
        keep(directory.path(), &mut out)?;
    }
    drop(mounted);
    Ok(ended.is_ok())
}

/// Copies what is on the disk to a place that outlives it.
fn keep(mounted: &Path, out: &mut impl std::io::Write) -> Result<(), Failure> {
    let kept = tempfile::Builder::new().prefix("annals-powerloss-").tempdir()?.keep();
    let copied = Command::new("cp").arg("-r").arg(mounted.join(".")).arg(&kept).status()?;
    Ok(writeln!(out, "the disk's files are kept in {} ({copied})", kept.display())?)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ended = match arguments.split_first() {
        Some((first, rest)) if first == WRITE => write_until_the_end(rest).map(|()| true),
        _ => match plan(&arguments) {
            Some(plan) => run(&plan),
            None => {
                eprintln!("{HELP}");
                return ExitCode::from(USAGE);
            }
        },
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("annals-powerloss: {failure}");
            ExitCode::FAILURE
        }
    }
}
