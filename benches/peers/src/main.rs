//! The same durable appends on Annals and on other stores: one command, one table.
//!
//! Which question it answers: what does a record of 256 bytes cost that is durable, in batches of 1,000 of which each is durable
//! before the next, and alone; and what of that does Annals spend on being more than a log. One thread appends. Each
//! store is opened for the strictest durability that it has, in a directory of its own, and counted afterwards.

#![forbid(unsafe_code)]

mod measure;
mod payloads;
mod stores;
mod table;

use clap::Parser;
use measure::{Figures, measure, medians};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use stores::Row;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why a run gives no table.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The same durable appends on Annals and on other stores, in one table
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// How long each measurement takes; a store has two, a row in flight one
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Where the stores go, on the disk that is meant; a temporary directory unless given
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Only these rows
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// Times that all is measured, each time in another order; the table holds medians
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=99))]
    rounds: u16,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("peers: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let scratch = match &arguments.dir {
        Some(directory) => {
            std::fs::create_dir_all(directory)?;
            tempfile::tempdir_in(directory)?
        }
        None => tempfile::tempdir()?,
    };
    let time = Duration::from_secs(arguments.seconds);
    let rows = choose(stores::all(scratch.path(), time)?, &arguments.only)?;
    let rounds = usize::from(arguments.rounds);
    let mut measured: Vec<Vec<Figures>> = rows.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        // Rotated, so that no store always comes after the same one.
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.rotate_left(round * rows.len() / rounds);
        for index in order {
            let (Some(row), Some(figures)) = (rows.get(index), measured.get_mut(index)) else { continue };
            eprintln!("round {}, {}", round + 1, row.name);
            figures.push(in_a_directory(row, scratch.path(), time)?);
        }
    }
    let table: Vec<(&Row, Figures)> =
        rows.iter().zip(&measured).map(|(row, figures)| (row, medians(figures))).collect();
    if arguments.json {
        println!("{}", table::json(&table, arguments.seconds, rounds));
    } else {
        print!("{}", table::markdown(&table));
    }
    Ok(())
}

fn in_a_directory(row: &Row, scratch: &Path, time: Duration) -> Result<Figures, Failure> {
    let place = scratch.join(row.name);
    std::fs::create_dir(&place)?;
    let figures = measure(row, &place, time).map_err(|failure| format!("{}: {failure}", row.name))?;
    std::fs::remove_dir_all(place)?;
    Ok(figures)
}

fn choose(rows: Vec<Row>, only: &[String]) -> Result<Vec<Row>, Failure> {
    if let Some(unknown) = only.iter().find(|name| rows.iter().all(|row| row.name != name.as_str())) {
        let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
        return Err(format!("there is no row {unknown:?}; there are: {}", names.join(" ")).into());
    }
    Ok(rows.into_iter().filter(|row| only.is_empty() || only.iter().any(|name| name == row.name)).collect())
}
