//! What a kernel does rarely: results made up for a write in flight, and writes as an older kernel needs them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "tests")]

use super::{Durability, Flight, Outcome, Part, RETRY_COUNT_MAX, UringDevice, submission, user_data};
use crate::buffer::PageBuffer;
use crate::device::{Completion, Device, Write, WriteKind};
use crate::disk::{Access, Disk, FileDisk};
use rustix::io::Errno;
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SIZE: u64 = 1 << 20;
/// Longer than anything takes that works.
const LONG: Duration = Duration::from_secs(2);

/// Runs a check with each way of making a write durable; says aloud what the machine does not have.
fn both_ways(check: impl Fn(UringDevice, &Arc<FileDisk>)) {
    for durability in [Durability::Linked, Durability::Flagged] {
        let directory = tempfile::tempdir().unwrap();
        let disk = Arc::new(FileDisk::new(directory.path(), Access::Write));
        disk.create_segment(0, SIZE, &[1; 4096]).unwrap();
        match UringDevice::new(Arc::clone(&disk)) {
            Ok(device) if durability == Durability::Linked && device.durability != durability => {
                eprintln!("NOT TESTED: this kernel can't leave out the completion of a linked write");
            }
            Ok(mut device) => {
                device.durability = durability;
                check(device, &disk);
            }
            Err(error) => eprintln!("NOT TESTED: this machine has no io_uring: {error}"),
        }
    }
}

fn write(ticket: u64, page_count: usize) -> Write {
    let mut buffer = PageBuffer::new(4096 * page_count);
    for (number, page) in buffer.chunks_exact_mut(4096).enumerate() {
        page.fill(u8::try_from(1 + number).unwrap());
    }
    Write { ticket, segment: 0, offset: 8192, buffer, kind: WriteKind::Data }
}

fn flight(ticket: u64, page_count: usize, file: Arc<File>) -> Flight {
    Flight { write: write(ticket, page_count), file, done: 0, retry_count: 0, number: u64::MAX >> 1 }
}

fn reap_all(device: &mut UringDevice) -> Vec<Completion> {
    let mut done = Vec::new();
    while 0 < device.in_flight() {
        device.wait(Some(LONG)).unwrap();
        device.reap(&mut done).unwrap();
    }
    done
}

#[test]
fn a_submission_is_known_by_what_it_carries() {
    for number in [0, 1, 2, 1 << 40] {
        for part in [Part::Write, Part::Sync] {
            assert_eq!(submission(user_data(number, part)), (number, part));
        }
    }
}

#[test]
fn both_ways_write_and_keep_a_wake_for_the_next_wait() {
    both_ways(|mut device, disk| {
        for ticket in 0..20 {
            device.wait(Some(Duration::from_millis(1))).unwrap();
            device.waker().wake();
            device.submit(write(ticket, 2)).unwrap();
            let mut done = Vec::new();
            while done.is_empty() {
                device.reap(&mut done).unwrap();
            }
            assert_eq!((done[0].ticket, &done[0].result), (ticket, &Ok(())));
            let began = Instant::now();
            device.wait(Some(LONG)).unwrap();
            assert!(began.elapsed() < LONG, "the wake was lost in round {ticket}");
        }
        let mut found = PageBuffer::new(8192);
        disk.read(0, 8192, &mut found).unwrap();
        assert_eq!(found[..], write(0, 2).buffer[..]);
    });
}

#[test]
fn a_wake_between_two_waits_ends_the_second() {
    both_ways(|mut device, _| {
        for round in 0..50 {
            device.wait(Some(Duration::from_millis(1))).unwrap();
            device.waker().wake();
            // The kernel puts the wake on the ring by itself, before the second wait looks.
            std::thread::sleep(Duration::from_millis(1));
            let began = Instant::now();
            device.wait(Some(LONG)).unwrap();
            assert!(began.elapsed() < LONG, "the wake was lost in round {round}");
        }
    });
}

#[test]
fn a_short_write_goes_on_from_its_last_whole_page() {
    both_ways(|mut device, disk| {
        device.flights.push(flight(9, 4, disk.file(0).unwrap()));
        // A device waits for its flights when it goes, so nothing may fail before this one is finished.
        let outcome = device.outcome(0, Part::Write, 4096 + 100);
        device.start(0).unwrap();
        let done = reap_all(&mut device);
        assert!(matches!(outcome, Outcome::Again), "three pages were left: {outcome:?}");
        assert_eq!((done.len(), done[0].ticket, &done[0].result), (1, 9, &Ok(())));
        let mut found = PageBuffer::new(4096 * 6);
        disk.read(0, 4096, &mut found).unwrap();
        let firsts: Vec<u8> = found.chunks_exact(4096).map(|page| page[0]).collect();
        // The first page was not written, since its result was made up; nothing lies behind the last.
        assert_eq!(firsts, [0, 0, 2, 3, 4, 0]);
    });
}

/// What a device makes of results of a write of four pages: how many asked for it again, and what the one after said.
fn ending(mut device: UringDevice, disk: &FileDisk, part: Part, results: &[i32]) -> (usize, &'static str) {
    device.flights.push(flight(9, 4, disk.file(0).unwrap()));
    let outcomes: Vec<_> = results.iter().map(|result| device.outcome(0, part, *result)).collect();
    device.finish(0, Ok(()));
    let again_count = outcomes.iter().take_while(|outcome| matches!(outcome, Outcome::Again)).count();
    let ended = match outcomes.into_iter().nth(again_count) {
        None | Some(Outcome::Again) => "again",
        Some(Outcome::Pending) => "pending",
        Some(Outcome::Done(result)) => result.map_or_else(|error| error.code(), |()| "durable"),
    };
    (again_count, ended)
}

#[test]
fn an_error_is_final_but_an_interrupted_write_is_tried_again_a_few_times() {
    let tries = RETRY_COUNT_MAX as usize;
    let cases = [
        (Errno::IO, Part::Write, 0, "disk.io"),
        (Errno::NOSPC, Part::Write, 0, "disk.full"),
        (Errno::INTR, Part::Write, tries, "disk.io"),
        (Errno::AGAIN, Part::Write, tries, "disk.io"),
        (Errno::IO, Part::Sync, 0, "disk.io"),
        (Errno::INTR, Part::Sync, 0, "disk.io"),
        (Errno::AGAIN, Part::Sync, 0, "disk.io"),
    ];
    for (errno, part, again_count, code) in cases {
        let results = vec![-errno.raw_os_error(); 2 * tries];
        both_ways(|device, disk| {
            assert_eq!(ending(device, disk, part, &results), (again_count, code), "{errno} of {part:?}");
        });
    }
    both_ways(|device, disk| assert_eq!(ending(device, disk, Part::Write, &[0]), (0, "disk.io"), "nothing written"));
}

#[test]
fn a_linked_write_is_durable_by_its_sync_alone() {
    both_ways(|device, disk| {
        let said = if device.durability == Durability::Linked { "pending" } else { "durable" };
        assert_eq!(ending(device, disk, Part::Write, &[4 * 4096]), (0, said));
    });
    both_ways(|device, disk| assert_eq!(ending(device, disk, Part::Sync, &[0]), (0, "durable")));
}

#[test]
fn a_sync_does_not_run_if_its_write_failed() {
    both_ways(|mut device, disk| {
        let read_only = FileDisk::new(disk.path(0).parent().unwrap(), Access::Read);
        device.flights.push(flight(1, 1, read_only.file(0).unwrap()));
        device.start(0).unwrap();
        device.enter(1, None).unwrap();
        // Time for a sync that does not wait for its write.
        std::thread::sleep(Duration::from_millis(50));
        device.enter(0, None).unwrap();
        let found: Vec<_> = std::iter::from_fn(|| device.next_completion()).collect();
        device.finish(0, Ok(()));
        let found: Vec<_> = found.into_iter().map(|(carried, result)| (submission(carried).1, result)).collect();
        assert_eq!(found, [(Part::Write, -Errno::BADF.raw_os_error())]);
    });
}

#[test]
fn what_is_left_of_a_broken_link_counts_for_nothing() {
    both_ways(|mut device, disk| {
        let read_only = FileDisk::new(disk.path(0).parent().unwrap(), Access::Read);
        let mut done = Vec::new();
        for ticket in 0..40 {
            // The kernel refuses every other write and cancels its sync.
            let file = if ticket % 2 == 0 { read_only.file(0) } else { disk.file(0) }.unwrap();
            device.flights.push(flight(ticket, 1, file));
            device.start(device.flights.len() - 1).unwrap();
            device.enter(0, None).unwrap();
            if ticket % 4 == 3 {
                done.append(&mut reap_all(&mut device));
            }
        }
        done.sort_unstable_by_key(|done| done.ticket);
        let found: Vec<_> = done.into_iter().map(|done| (done.ticket, done.result.is_err())).collect();
        assert_eq!(found, (0..40).map(|ticket| (ticket, ticket % 2 == 0)).collect::<Vec<_>>());
    });
}

#[test]
fn a_device_used_in_one_thread_goes_on_and_ends_in_another() {
    both_ways(|mut device, disk| {
        let served = std::thread::spawn(move || {
            device.submit(write(1, 1)).unwrap();
            let count = reap_all(&mut device).len();
            (device, count)
        });
        let (mut device, count) = served.join().unwrap();
        assert_eq!(count, 1);
        device.submit(write(2, 64)).unwrap();
        drop(device);
        let mut found = PageBuffer::new(64 * 4096);
        disk.read(0, 8192, &mut found).unwrap();
        assert_eq!(found[..], write(2, 64).buffer[..], "a device waits for what it was given");
    });
}
