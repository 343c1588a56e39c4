//! A writer to be killed: appends to a ledger from several threads, and prints what was acknowledged.
//!
//! `crash_writer PLACE SEED PRODUCERS io_uring|pwrite`. Records follow from the seed. `cargo xtask crash` starts it, kills
//! it at a random moment, and holds the ledger against what it had printed; `crash/write.rs` says what the lines are.

#[path = "crash/workload.rs"]
mod workload;
#[path = "crash/write.rs"]
mod write;

use annals::DeviceChoice;
use std::process::ExitCode;
use workload::Writer;

/// Exit code of arguments that make no sense.
const USAGE: u8 = 64;

fn writer(arguments: &[String]) -> Option<Writer> {
    let [place, seed, producers, device] = arguments else { return None };
    let device = match device.as_str() {
        "io_uring" => DeviceChoice::Best,
        "pwrite" => DeviceChoice::Pwrite,
        _ => return None,
    };
    Some(Writer { place: place.into(), seed: seed.parse().ok()?, producers: producers.parse().ok()?, device })
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(writer) = writer(&arguments) else {
        eprintln!("crash_writer PLACE SEED PRODUCERS io_uring|pwrite");
        return ExitCode::from(USAGE);
    };
    match write::run(&writer, std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("crash_writer: {failure}");
            ExitCode::FAILURE
        }
    }
}
