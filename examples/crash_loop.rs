//! Kills writers and holds their ledgers against what they had promised. `cargo xtask crash` builds and starts it.
//!
//! `crash_loop [--rounds N] [--producers P] [--device io_uring|pwrite|both] [--seed S] [--directory DIR]`. Exit: 0 nothing
//! was lost; 1 something was, or an opening was refused: the seed, the round and the ledger are named, and kept; 64 usage.

#[path = "crash/rounds.rs"]
mod rounds;
#[path = "crash/verify.rs"]
mod verify;
#[path = "crash/workload.rs"]
mod workload;

use annals::{DeviceChoice, random_bytes};
use rounds::{Plan, Rounds};
use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Exit code of arguments that make no sense.
const USAGE: u8 = 64;

fn plan(arguments: &[String]) -> Option<(Plan, bool)> {
    let seed = random_bytes().ok()?.first_chunk().map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)));
    let devices = vec![DeviceChoice::Best, DeviceChoice::Pwrite];
    let mut plan = Plan { rounds: 100, producers: 4, devices, seed, directory: PathBuf::new() };
    let mut is_temporary = true;
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { return None };
        match name.as_str() {
            "--rounds" => plan.rounds = value.parse().ok()?,
            "--producers" => plan.producers = value.parse().ok().filter(|count| 0 < *count)?,
            "--seed" => plan.seed = value.parse().ok()?,
            "--directory" => (plan.directory, is_temporary) = (value.into(), false),
            "--device" => {
                plan.devices = match value.as_str() {
                    "io_uring" => vec![DeviceChoice::Best],
                    "pwrite" => vec![DeviceChoice::Pwrite],
                    "both" => plan.devices,
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
    Some((plan, is_temporary))
}

fn run(mut plan: Plan, is_temporary: bool) -> Result<bool, Box<dyn Error>> {
    let mut out = std::io::stdout();
    if is_temporary {
        plan.directory = tempfile::Builder::new().prefix("annals-crash-").tempdir()?.keep();
    }
    std::fs::create_dir_all(&plan.directory)?;
    let Plan { rounds, producers, seed, directory, .. } = &plan;
    writeln!(out, "seed {seed}: {rounds} rounds of {producers} producers in {}", directory.display())?;
    let program = std::env::current_exe()?.with_file_name("crash_writer");
    let start = |writer: &workload::Writer| {
        let device = if writer.device == DeviceChoice::Pwrite { "pwrite" } else { "io_uring" };
        let mut command = Command::new(&program);
        command.arg(&writer.place).args([&writer.seed.to_string(), &writer.producers.to_string(), device]);
        command
    };
    let mut loops = Rounds::new(&plan, &start);
    let ended = loops.run(&mut out);
    writeln!(out, "{}", loops.summary)?;
    if let Err(defect) = ended {
        writeln!(out, "DEFECT with seed {seed} {defect}")?;
        return Ok(false);
    }
    if is_temporary {
        std::fs::remove_dir_all(&plan.directory)?;
    }
    Ok(true)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((plan, is_temporary)) = plan(&arguments) else {
        eprintln!(
            "crash_loop [--rounds N] [--producers P] [--device io_uring|pwrite|both] [--seed S] [--directory DIR]"
        );
        return ExitCode::from(USAGE);
    };
    match run(plan, is_temporary) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("crash_loop: {error}");
            ExitCode::FAILURE
        }
    }
}
