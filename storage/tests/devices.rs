//! One suite over every disk and device: what is written is there after reopening, and what can't be is refused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

use annals_storage::buffer::PageBuffer;
use annals_storage::device::{Completion, Device, PwriteDevice, UringDevice, Write, WriteKind};
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

/// Runs a check on every device over a directory of real files; says aloud if the machine has no io_uring.
fn on_every_device(check: impl Fn(&mut dyn Device, &Reopen<'_>)) {
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str| {
        let path = directory.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Arc::new(FileDisk::new(&path, Access::Write))
    };
    check(&mut PwriteDevice::new(open("pwrite")).unwrap(), &|| open("pwrite"));
    let memory = MemoryDisk::new();
    check(&mut PwriteDevice::new(Arc::new(memory.clone())).unwrap(), &|| Arc::new(memory.clone()));
    match UringDevice::new(open("uring")) {
        Ok(mut device) => check(&mut device, &|| open("uring")),
        Err(error) => eprintln!("NOT TESTED: this machine has no io_uring: {error}"),
    }
}

/// Waits for so many completions, and sorts them by ticket.
fn completions(device: &mut dyn Device, count: usize) -> Vec<Completion> {
    let mut done = Vec::new();
    while done.len() < count {
        device.wait(None).unwrap();
        device.reap(&mut done).unwrap();
    }
    assert_eq!((done.len(), device.in_flight()), (count, 0));
    done.sort_unstable_by_key(|completion| completion.ticket);
    done
}

#[test]
fn a_completed_write_is_there_after_reopening() {
    on_every_device(|device, reopen| {
        reopen().create_segment(0, SIZE, &[1; 4096]).unwrap();
        for ticket in 1..4u64 {
            let (buffer, offset) = (pages(ticket as usize, ticket as u8), ticket * 65_536);
            let kind = if ticket == 3 { WriteKind::Runway } else { WriteKind::Data };
            device.submit(Write { ticket, segment: 0, offset, buffer, kind }).unwrap();
        }
        for completion in completions(device, 3) {
            completion.result.unwrap();
            let mut found = PageBuffer::new(completion.buffer.len());
            reopen().read(0, completion.ticket * 65_536, &mut found).unwrap();
            assert_eq!(found[..], completion.buffer[..], "write {}", completion.ticket);
            assert_eq!(completion.kind == WriteKind::Runway, completion.ticket == 3);
        }
    });
}

#[test]
fn a_failed_write_comes_back_with_its_buffer_and_spares_the_others() {
    on_every_device(|device, reopen| {
        reopen().create_segment(0, SIZE, &[1; 4096]).unwrap();
        let kind = WriteKind::Data;
        let places = [(5, 0), (0, 100), (0, SIZE - 4096), (0, 4096)];
        for (ticket, (segment, offset)) in (0..).zip(places) {
            device.submit(Write { ticket, segment, offset, buffer: pages(2, 7), kind }).unwrap();
        }
        let found: Vec<_> = completions(device, 4)
            .into_iter()
            .map(|done| (done.buffer.len(), done.result.err().map(|error| error.code())))
            .collect();
        let expected = [Some("disk.missing"), Some("disk.unaligned"), Some("disk.short"), None];
        assert_eq!(found, expected.map(|code| (8192, code)));
        assert_eq!(reopen().segments().unwrap(), [SegmentFile { number: 0, size: SIZE }], "the segment did not grow");
    });
}

#[test]
fn many_writes_overlap_and_none_is_lost() {
    on_every_device(|device, reopen| {
        reopen().create_segment(0, SIZE, &[1; 4096]).unwrap();
        for round in 0..20u64 {
            for ticket in 0..8u64 {
                let (buffer, offset) = (pages(16, (round ^ ticket) as u8), 65_536 * (1 + ticket));
                device.submit(Write { ticket, segment: 0, offset, buffer, kind: WriteKind::Data }).unwrap();
            }
            assert!(completions(device, 8).iter().all(|done| done.result.is_ok()));
        }
        let mut found = PageBuffer::new(65_536);
        for ticket in 0..8u64 {
            reopen().read(0, 65_536 * (1 + ticket), &mut found).unwrap();
            assert!(found.iter().all(|byte| *byte == (19 ^ ticket) as u8), "write {ticket}");
        }
    });
}

#[test]
fn a_device_may_go_with_writes_in_flight() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(FileDisk::new(directory.path(), Access::Write));
    disk.create_segment(0, SIZE, &[1; 4096]).unwrap();
    let Ok(mut device) = UringDevice::new(Arc::clone(&disk)) else { return };
    device.submit(Write { ticket: 1, segment: 0, offset: 4096, buffer: pages(256, 3), kind: WriteKind::Data }).unwrap();
    drop(device);
    let mut found = PageBuffer::new(256 * 4096);
    disk.read(0, 4096, &mut found).unwrap();
    assert!(found.iter().all(|byte| *byte == 3), "a device waits for what it was given");
}

#[test]
fn a_wait_ends_by_a_wake_before_or_during_it_or_by_time() {
    on_every_device(|device, _| {
        device.waker().wake();
        device.wait(None).unwrap(); // would hang if an early wake were lost
        device.wait(Some(Duration::from_millis(1))).unwrap();
        for _ in 0..100 {
            let waker = device.waker();
            let waking = std::thread::spawn(move || waker.wake());
            device.wait(None).unwrap();
            waking.join().unwrap();
        }
        device.wait(Some(Duration::from_millis(1))).unwrap();
    });
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
