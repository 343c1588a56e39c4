//! One suite over every disk and device: what is written is there after reopening, and what can't be is refused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

use annals_storage::buffer::PageBuffer;
use annals_storage::device::{
    Completion, Device, Preference, PwriteDevice, UringDevice, Write, WriteKind, open, uring_operations,
};
use annals_storage::disk::{Access, Disk, DiskError, FileDisk, MemoryDisk, SegmentFile};
use annals_storage::probe::{LatencyPath, durable_4k_write, probe, stream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SIZE: u64 = 2 << 20;
/// Longer than anything takes that works.
const LONG: Duration = Duration::from_secs(2);

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
        for offset in [SIZE - 4096, SIZE, 1 << 62, u64::MAX - 4095] {
            let refused = disk.write(0, offset, &buffer).unwrap_err();
            assert_eq!(refused, DiskError::Short { segment: 0, end: offset.saturating_add(8192) });
        }
        buffer.fill(7);
        disk.write(0, SIZE - 8192, &buffer).unwrap();
        assert_eq!(reopen().segments().unwrap(), [SegmentFile { number: 0, size: SIZE }], "the segment did not grow");
    });
}

#[expect(clippy::disallowed_methods, reason = "what a wait does is seen by the clock")]
fn now() -> Instant {
    Instant::now()
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
    let mut device = open(&disk, Preference::Best).unwrap().device;
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
fn a_wake_counts_for_the_next_wait_even_if_a_write_was_reaped_since() {
    on_every_device(|device, reopen| {
        reopen().create_segment(0, SIZE, &[1; 4096]).unwrap();
        for ticket in 0..50 {
            // Leaves the waker watched, so that reaping comes across the wake.
            device.wait(Some(Duration::from_millis(1))).unwrap();
            device.waker().wake();
            let write = Write { ticket, segment: 0, offset: 4096, buffer: pages(1, 7), kind: WriteKind::Data };
            device.submit(write).unwrap();
            let mut done = Vec::new();
            while done.is_empty() {
                device.reap(&mut done).unwrap();
            }
            let began = now();
            device.wait(Some(LONG)).unwrap();
            assert!(began.elapsed() < LONG, "the wake was lost in round {ticket}");
        }
    });
}

#[test]
fn a_wait_without_cause_lasts_until_its_time() {
    on_every_device(|device, _| {
        // Twice, since a wait may return early: once for what was there before.
        device.wait(Some(Duration::from_millis(1))).unwrap();
        let (began, time) = (now(), Duration::from_millis(30));
        device.wait(Some(time)).unwrap();
        assert!(time <= began.elapsed(), "{} returned after {:?}", device.name(), began.elapsed());
    });
}

#[test]
fn more_writes_than_a_queue_holds_all_complete() {
    on_every_device(|device, reopen| {
        reopen().create_segment(0, SIZE, &[1; 4096]).unwrap();
        let tickets = 0..100u64;
        for ticket in tickets.clone() {
            let (buffer, offset) = (pages(1, ticket as u8), 4096 * (1 + ticket));
            device.submit(Write { ticket, segment: 0, offset, buffer, kind: WriteKind::Data }).unwrap();
        }
        let found: Vec<_> =
            completions(device, 100).into_iter().map(|done| (done.ticket, done.buffer[0], done.result)).collect();
        assert_eq!(found, tickets.map(|ticket| (ticket, ticket as u8, Ok(()))).collect::<Vec<_>>());
    });
}

#[test]
fn a_read_only_disk_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    FileDisk::new(directory.path(), Access::Write).create_segment(0, SIZE, &[1; 4096]).unwrap();
    for preference in [Preference::Best, Preference::Pwrite] {
        let disk = Arc::new(FileDisk::new(directory.path(), Access::Read));
        let mut device = open(&disk, preference).unwrap().device;
        let write = |ticket| Write { ticket, segment: 0, offset: 4096, buffer: pages(1, 7), kind: WriteKind::Data };
        device.submit(write(1)).unwrap();
        let done = [completions(device.as_mut(), 1).remove(0), device.write_now(write(2))];
        assert_eq!(done.map(|done| done.result.unwrap_err().code()), ["disk.io"; 2], "{}", device.name());
        let mut found = PageBuffer::new(4096);
        disk.read(0, 4096, &mut found).unwrap();
        assert!(found.iter().all(|byte| *byte == 0));
    }
}

#[test]
fn the_device_is_the_best_there_is_or_says_why_not() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(FileDisk::new(directory.path(), Access::Write));
    let opened = open(&disk, Preference::Best).unwrap();
    assert_eq!(opened.refusal.is_none(), opened.device.name() == "io_uring", "{:?}", opened.refusal);
    if let Some(refusal) = opened.refusal {
        eprintln!("NOT TESTED: this machine has no io_uring: {refusal}");
    }
    let opened = open(&disk, Preference::Pwrite).unwrap();
    assert_eq!((opened.device.name(), opened.refusal), ("pwrite", None), "nothing better was asked for");
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).unwrap().next().is_none()
}

#[test]
fn a_measurement_says_what_it_measured_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    for preference in [Preference::Best, Preference::Pwrite] {
        for path in [LatencyPath::Queued, LatencyPath::Now] {
            let latency = durable_4k_write(directory.path(), preference, path, 10 * LONG).unwrap();
            eprintln!("{path:?}: {latency:?}");
            assert!(0 < latency.us_p50 && latency.us_p50 <= latency.us_p99 && latency.write_count == 200);
        }
        let found = stream(directory.path(), preference, LONG / 10).unwrap();
        eprintln!("{} MB/s: {found:?}", found.mb_per_s());
        assert!(0 < found.bytes && found.bytes.is_multiple_of(1 << 20) && found.bytes <= 256 << 20);
        assert_eq!(preference == Preference::Pwrite || uring_operations().is_err(), found.device == "pwrite");
        assert!(is_empty(directory.path()));
    }
}

#[test]
fn a_measurement_without_time_still_measures_something() {
    let directory = tempfile::tempdir().unwrap();
    let latency = durable_4k_write(directory.path(), Preference::Best, LatencyPath::Queued, Duration::ZERO).unwrap();
    assert_eq!(latency.write_count, 1);
    assert_eq!(stream(directory.path(), Preference::Best, Duration::ZERO).unwrap().bytes, 1 << 20);
    assert!(is_empty(directory.path()));
    let missing = directory.path().join("missing");
    assert!(stream(&missing, Preference::Best, Duration::ZERO).is_err());
    assert!(is_empty(directory.path()));
}

#[test]
fn a_probe_tells_what_the_system_says_elsewhere_too() {
    let directory = tempfile::tempdir().unwrap();
    let found = probe(directory.path(), LONG / 10).unwrap();
    eprintln!("{found:?}");
    assert_eq!(found.kernel, std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim());
    let stat = std::process::Command::new("stat").args(["-f", "-c", "%T"]).arg(directory.path()).output().unwrap();
    // stat knows the family only: ext2/ext3 is ext4 too.
    let family = String::from_utf8(stat.stdout).unwrap();
    assert!(found.file_system.starts_with(&family[..3]), "{} or {family}", found.file_system);
    assert!(0 < found.free_bytes);
    assert_eq!(found.device == "io_uring", found.uring_operations.is_ok());
    for operation in found.uring_operations.into_iter().flatten() {
        assert!(operation.is_supported && operation.name.starts_with("IORING_OP_"));
    }
    assert!(is_empty(directory.path()));
}
