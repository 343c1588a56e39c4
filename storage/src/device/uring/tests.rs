//! What a kernel does rarely: results made up for a write in flight, and rings as older kernels give them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "tests")]

use super::{Flight, RETRY_COUNT_MAX, Setup, UringDevice, flags};
use crate::buffer::PageBuffer;
use crate::device::{Completion, Device, Write, WriteKind};
use crate::disk::{Access, Disk, FileDisk};
use rustix::io::Errno;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SIZE: u64 = 1 << 20;
/// Longer than anything takes that works.
const LONG: Duration = Duration::from_secs(2);

/// Runs a check on a device of each setup that the kernel takes; says aloud which it refuses.
fn on_every_setup(check: impl Fn(UringDevice, &Arc<FileDisk>)) {
    for setup in Setup::ALL {
        let directory = tempfile::tempdir().unwrap();
        let disk = Arc::new(FileDisk::new(directory.path(), Access::Write));
        disk.create_segment(0, SIZE, &[1; 4096]).unwrap();
        match UringDevice::with_setup(Arc::clone(&disk), setup) {
            Ok(device) => check(device, &disk),
            Err(error) => eprintln!("NOT TESTED: this machine has no {setup:?} io_uring: {error}"),
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

/// A device that believes the kernel has a write of four pages, and its number.
///
/// It would wait for it when it goes, so nothing may fail before the write is finished.
fn believing(mut device: UringDevice, disk: &Arc<FileDisk>) -> (UringDevice, usize) {
    device.enable().unwrap();
    let flight = Flight { write: write(9, 4), file: disk.file(0).unwrap(), done: 0, retry_count: 0 };
    let number = device.add(flight);
    (device, number)
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
fn data_asks_for_durability_and_zeros_do_not() {
    // RWF_DSYNC of linux/fs.h.
    assert_eq!((flags(WriteKind::Data), flags(WriteKind::Runway)), (0x2, 0));
}

#[test]
fn every_setup_writes_and_keeps_a_wake_for_the_next_wait() {
    on_every_setup(|mut device, disk| {
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
    on_every_setup(|mut device, _| {
        for round in 0..50 {
            device.wait(Some(Duration::from_millis(1))).unwrap();
            device.waker().wake();
            // An older kernel puts the wake on the ring by itself, before the second wait looks.
            std::thread::sleep(Duration::from_millis(1));
            let began = Instant::now();
            device.wait(Some(LONG)).unwrap();
            assert!(began.elapsed() < LONG, "the wake was lost in round {round}");
        }
    });
}

#[test]
fn a_short_write_goes_on_from_its_last_whole_page() {
    on_every_setup(|device, disk| {
        let (mut device, number) = believing(device, disk);
        let is_finished = device.is_finished(number, 4096 + 100);
        device.start(number).unwrap();
        let done = reap_all(&mut device);
        assert!(!is_finished, "three pages were left");
        assert_eq!((done.len(), done[0].ticket, &done[0].result), (1, 9, &Ok(())));
        let mut found = PageBuffer::new(4096 * 6);
        disk.read(0, 4096, &mut found).unwrap();
        let firsts: Vec<u8> = found.chunks_exact(4096).map(|page| page[0]).collect();
        // The first page was not written, since its result was made up; nothing lies behind the last.
        assert_eq!(firsts, [0, 0, 2, 3, 4, 0]);
    });
}

#[test]
fn an_error_is_final_but_an_interruption_is_tried_again_a_few_times() {
    for (errno, tries) in
        [(Errno::IO, 0), (Errno::NOSPC, 0), (Errno::INTR, RETRY_COUNT_MAX), (Errno::AGAIN, RETRY_COUNT_MAX)]
    {
        on_every_setup(|device, disk| {
            let (mut device, number) = believing(device, disk);
            let result = -errno.raw_os_error();
            let tried = (0..100).take_while(|_| !device.is_finished(number, result)).count();
            device.finish(number, Ok(()));
            let done = reap_all(&mut device);
            assert_eq!(tried, tries as usize, "{errno}");
            let code = if errno == Errno::NOSPC { "disk.full" } else { "disk.io" };
            assert_eq!(done[0].result.as_ref().unwrap_err().code(), code);
        });
    }
    on_every_setup(|device, disk| {
        let (mut device, number) = believing(device, disk);
        let is_finished = device.is_finished(number, 0);
        device.finish(number, Ok(()));
        assert!(is_finished, "nothing written is an error");
        assert_eq!(reap_all(&mut device)[0].result.as_ref().unwrap_err().code(), "disk.io");
    });
}

#[test]
fn a_device_made_in_one_thread_serves_another() {
    on_every_setup(|mut device, disk| {
        let served = std::thread::spawn(move || {
            device.submit(write(1, 1)).unwrap();
            reap_all(&mut device).len()
        });
        assert_eq!(served.join().unwrap(), 1);
        let mut found = PageBuffer::new(4096);
        disk.read(0, 8192, &mut found).unwrap();
        assert_eq!(found[0], 1);
    });
}
