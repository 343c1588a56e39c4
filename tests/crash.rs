//! Ten rounds of the crash loop: this program starts itself as a writer, kills it, and looks for what it had acknowledged.
//!
//! A program of its own instead of the test harness's, since it is the writer too. `cargo xtask crash` runs as many rounds
//! as one likes, with an optimised writer.

#[path = "../examples/crash/rounds.rs"]
mod rounds;
#[path = "../examples/crash/verify.rs"]
mod verify;
#[path = "../examples/crash/workload.rs"]
mod workload;
#[path = "../examples/crash/write.rs"]
mod write;

use annals::{DeviceChoice, Ledger, Options};
use rounds::{Plan, Rounds};
use std::process::{Command, ExitCode};
use verify::{FromStart, Promises};
use workload::{Failure, Writer};

/// The first argument of the writer.
const WRITE: &str = "write";
const SEED: u64 = 20_260_731;
const PRODUCERS: u64 = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments[..] {
        [command, place, seed, device] if command == WRITE => write_until_killed(place, seed, device),
        // Filters are the harness's; there is one test here, and asked for a list it has nothing to say.
        [argument, ..] if argument == "--list" => Ok(()),
        _ => ten_rounds_lose_nothing().and_then(|()| a_broken_promise_is_found()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn write_until_killed(place: &str, seed: &str, device: &str) -> Result<(), Failure> {
    let device = if device == "pwrite" { DeviceChoice::Pwrite } else { DeviceChoice::Best };
    write::run(&Writer { place: place.into(), seed: seed.parse()?, producers: PRODUCERS, device }, std::io::stdout())
}

/// io_uring too, where the machine has it.
fn devices() -> Result<Vec<DeviceChoice>, Failure> {
    if annals::abilities(&std::env::temp_dir())?.io_uring.is_ok() {
        return Ok(vec![DeviceChoice::Best, DeviceChoice::Pwrite]);
    }
    eprintln!("NOT TESTED: this machine has no io_uring");
    Ok(vec![DeviceChoice::Pwrite])
}

fn ten_rounds_lose_nothing() -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let program = std::env::current_exe()?;
    let start = |writer: &Writer| {
        let device = if writer.device == DeviceChoice::Pwrite { "pwrite" } else { "io_uring" };
        let mut command = Command::new(&program);
        command.arg(WRITE).arg(&writer.place).args([&writer.seed.to_string(), device]);
        command
    };
    let directory_path = directory.path().to_owned();
    let plan = Plan { rounds: 10, producers: PRODUCERS, devices: devices()?, seed: SEED, directory: directory_path };
    let mut rounds = Rounds::new(&plan, &start);
    let ended = rounds.run(&mut std::io::stderr());
    eprintln!("{}", rounds.summary);
    if let Err(defect) = ended {
        let _ = directory.keep();
        return Err(format!("seed {SEED} {defect}").into());
    }
    if rounds.summary.acknowledged < 100 {
        return Err("the writers were killed before they had written anything worth killing them for".into());
    }
    Ok(())
}

/// The verifier itself: what it is told of, and the ledger does not hold, it finds.
fn a_broken_promise_is_found() -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let place = directory.path().join("ledger");
    let ledger = Ledger::create(&place, &annals::Creation::open("annals.example/crash"), Options::default())?;
    let (producer, mut appender) = (workload::Producer::new(SEED, 0), ledger.appender()?);
    let mut lines = Vec::new();
    for nonce in 0..3 {
        let record = producer.record(ledger.id(), nonce)?;
        let seq = appender.append_wait(record.bytes())?.seq;
        let receipt = ledger.reader().prove_json(seq, None)?.encode()?;
        lines.push(format!("ack {seq} 0 {nonce} {} {receipt}\n", record.record_id()));
    }
    let told = |lines: &str| -> Result<u64, Failure> {
        let mut promises = Promises::new(SEED, 1);
        promises.take(lines.as_bytes());
        promises.hold(&ledger, FromStart::Yes)?;
        assert_eq!(promises.lost == 0, promises.findings.is_empty(), "{:?}", promises.findings);
        Ok(promises.lost)
    };
    let all = lines.concat();
    let broken = [
        (all.clone(), 0, "as it is"),
        (all.clone() + "ack 9 0 9 0123", 0, "a line that was not finished was not said"),
        (all.clone() + "ack 4 0 3 0123\n", 1, "a record that is not there"),
        (all.replace("ack 2 0 1", "ack 2 0 2"), 1, "another record in its place"),
        (all.clone() + &lines.concat().replace("ack 1 0 0 ", "ack 1 0 0 7"), 1, "acknowledged for two records"),
        (all.replace("\"seq\":3", "\"seq\":4"), 1, "another receipt"),
    ];
    for (lines, lost, what) in broken {
        let found = told(&lines)?;
        if found != lost {
            return Err(format!("{what}: {found} found, not {lost}").into());
        }
    }
    Ok(ledger.close()?)
}
