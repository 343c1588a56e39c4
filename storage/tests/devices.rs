//! One suite over every disk and device: what is written is there after reopening, and what can't be is refused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

use annals_storage::buffer::PageBuffer;
use annals_storage::device::{Device, PwriteDevice, Write, WriteKind};
use annals_storage::disk::{Access, Disk, FileDisk, MemoryDisk, SegmentFile};
use std::sync::Arc;
use std::time::Duration;

const SIZE: u64 = 2 << 20;

/// Opens the same disk again, as after a restart.
type Reopen<'a> = dyn Fn() -> Arc<dyn Disk> + 'a;

fn on_every_disk(check: impl Fn(&Reopen<'_>)) {
    let directory = tempfile::tempdir().unwrap();
    check(&|| Arc::new(FileDisk::new(directory.path(), Access::Write)));
    let memory = MemoryDisk::new();
    check(&|| Arc::new(memory.clone()));
}

fn pages(count: usize, fill: u8) -> PageBuffer {
    let mut buffer = PageBuffer::new(4096 * count);
    buffer.fill(fill);
    buffer
}

#[test]
fn a_segment_is_created_whole_and_once() {
    on_every_disk(|reopen| {
        let disk = reopen();
        assert_eq!(disk.segments().unwrap(), []);
        let first: Vec<u8> = (0..4096u32).map(|byte| byte as u8).collect();
        disk.create_segment(1, SIZE, &first).unwrap();
        disk.create_segment(0, SIZE, &first).unwrap();
        assert_eq!(disk.create_segment(1, SIZE, &[9; 4096]).unwrap_err().code(), "disk.exists");
        let disk = reopen();
        let expected = [0, 1].map(|number| SegmentFile { number, size: SIZE });
        assert_eq!(disk.segments().unwrap(), expected);
        let mut all = PageBuffer::new(SIZE as usize);
        disk.read(1, 0, &mut all).unwrap();
        assert_eq!(all[..4096], first, "the refused creation changed nothing");
        assert!(all[4096..].iter().all(|byte| *byte == 0));
        assert_eq!(disk.bytes_read(), SIZE);
        assert!(SIZE < disk.available().unwrap());
    });
}

#[test]
fn what_cannot_be_read_or_written_is_refused_by_name() {
    on_every_disk(|reopen| {
        let disk = reopen();
        disk.create_segment(0, SIZE, &[1; 4096]).unwrap();
        let mut buffer = PageBuffer::new(8192);
        assert_eq!(disk.read(7, 0, &mut buffer).unwrap_err().code(), "disk.missing");
        assert_eq!(disk.write(7, 0, &buffer).unwrap_err().code(), "disk.missing");
        assert_eq!(disk.read(0, 100, &mut buffer).unwrap_err().code(), "disk.unaligned");
        assert_eq!(disk.write(0, 100, &buffer).unwrap_err().code(), "disk.unaligned");
        assert_eq!(disk.read(0, SIZE - 4096, &mut buffer).unwrap_err().code(), "disk.short");
    });
}

#[test]
fn a_completed_write_is_there_after_reopening() {
    on_every_disk(|reopen| {
        let disk = reopen();
        disk.create_segment(0, SIZE, &[1; 4096]).unwrap();
        let mut device = PwriteDevice::new(disk).unwrap();
        for ticket in 1..4u64 {
            let buffer = pages(ticket as usize, ticket as u8);
            let offset = ticket * 65_536;
            device.submit(Write { ticket, segment: 0, offset, buffer, kind: WriteKind::Data }).unwrap();
        }
        let buffer = pages(1, 9);
        device.submit(Write { ticket: 4, segment: 5, offset: 0, buffer, kind: WriteKind::Data }).unwrap();
        assert_eq!(device.in_flight(), 4);
        device.wait(None).unwrap();
        let mut done = Vec::new();
        device.reap(&mut done).unwrap();
        assert_eq!(device.in_flight(), 0);
        for completion in done {
            let ticket = completion.ticket;
            if ticket == 4 {
                assert_eq!(completion.result.unwrap_err().code(), "disk.missing");
                continue;
            }
            completion.result.unwrap();
            let mut found = PageBuffer::new(completion.buffer.len());
            reopen().read(0, ticket * 65_536, &mut found).unwrap();
            assert_eq!(found[..], completion.buffer[..], "write {ticket}");
        }
    });
}

#[test]
fn a_wait_ends_by_a_wake_before_or_during_it_or_by_time() {
    let mut device = PwriteDevice::new(Arc::new(MemoryDisk::new())).unwrap();
    device.waker().wake();
    device.wait(None).unwrap(); // would hang if an early wake were lost
    device.wait(Some(Duration::from_millis(1))).unwrap();
    let waker = device.waker();
    let waiting = std::thread::spawn(move || device.wait(None).unwrap());
    waker.wake();
    waiting.join().unwrap();
}

#[test]
fn a_read_only_disk_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    FileDisk::new(directory.path(), Access::Write).create_segment(0, SIZE, &[1; 4096]).unwrap();
    let disk = FileDisk::new(directory.path(), Access::Read);
    assert_eq!(disk.write(0, 4096, &pages(1, 7)).unwrap_err().code(), "disk.io");
    let mut found = PageBuffer::new(4096);
    disk.read(0, 4096, &mut found).unwrap();
    assert!(found.iter().all(|byte| *byte == 0));
}
