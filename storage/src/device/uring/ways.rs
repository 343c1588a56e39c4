//! What each way of making a write durable costs, on idle cores and beside threads that keep all of them busy.
//!
//! Which question it answers: by what does the engine make blocks durable, and by what a lone small one? Three ways: a
//! write with a linked fdatasync, a write with RWF_DSYNC, both through the ring; and pwrite with fdatasync in the caller's
//! thread. Run by hand, the figures stand in `docs/BENCHMARKS.md`:
//!
//! ```text
//! cargo test --release -p annals-storage ways -- --ignored --nocapture
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement, run by hand"
)]

use super::{Durability, UringDevice};
use crate::buffer::PageBuffer;
use crate::device::{Device, Write, WriteKind};
use crate::disk::{Access, Disk, FileDisk};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SIZE: u64 = 64 << 20;
const WRITES: u64 = 1500;

/// How a write is made durable.
#[derive(Clone, Copy, Debug)]
enum Way {
    Ring(Durability),
    Here,
}

fn write(number: u64, size: usize) -> Write {
    let offset = number * size as u64 % SIZE;
    let mut buffer = PageBuffer::new(size);
    buffer.fill(0x5A);
    Write { ticket: number, segment: 0, offset, buffer, kind: WriteKind::Data }
}

/// Latencies of writes one after another, rising.
fn latencies(device: &mut UringDevice, way: Way, size: usize) -> Vec<Duration> {
    let mut latencies = Vec::new();
    for number in 0..WRITES {
        let write = write(number, size);
        let began = Instant::now();
        match way {
            Way::Here => device.write_now(write).result.unwrap(),
            Way::Ring(durability) => {
                device.durability = durability;
                device.submit(write).unwrap();
                let mut done = Vec::new();
                while done.is_empty() {
                    device.wait(None).unwrap();
                    device.reap(&mut done).unwrap();
                }
                done.into_iter().for_each(|completion| completion.result.unwrap());
            }
        }
        latencies.push(began.elapsed());
        // As an engine that has something else to do between two blocks.
        std::thread::sleep(Duration::from_micros(50));
    }
    latencies.sort_unstable();
    latencies
}

fn print_all(load: &str) {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(FileDisk::new(directory.path(), Access::Write));
    disk.create_segment(0, SIZE, &[1; 4096]).unwrap();
    let mut device =
        UringDevice::new(Arc::clone(&disk)).expect("this machine refuses io_uring: there is nothing to measure");
    for number in 0..SIZE >> 20 {
        // Written space, as the runway leaves it.
        device.write_now(write(number, 1 << 20)).result.unwrap();
    }
    for size in [4 << 10, 256 << 10] {
        for way in [Way::Ring(Durability::Linked), Way::Ring(Durability::Flagged), Way::Here] {
            let latencies = latencies(&mut device, way, size);
            let [p50, p99] = [50, 99].map(|percent| latencies[latencies.len() * percent / 100].as_micros());
            let mean = (latencies.iter().sum::<Duration>() / u32::try_from(WRITES).unwrap()).as_micros();
            println!("{load}, {} KiB, {way:?}: p50 {p50} us, mean {mean} us, p99 {p99} us", size >> 10);
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn ways_to_make_a_write_durable() {
    print_all("idle");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                let mut hash = [0; 32];
                while !done.load(Ordering::Relaxed) {
                    hash = *blake3::hash(&hash).as_bytes();
                }
            });
        }
        print_all("all cores busy");
        done.store(true, Ordering::Relaxed);
    });
}
