//! The simulated disk keeps what a disk has to keep, and loses what it may lose.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use super::*;

const SIZE: u64 = 2 << 20;
const ANYTHING: Habits = Habits { lost: 300, torn: 600, torn_in_order: 300, completes: 1024, twice: 100 };

fn disk(seed: u64, habits: Habits) -> SimulatedDisk {
    let disk = SimulatedDisk::new(seed, 16 << 20);
    disk.create_segment(0, SIZE, &[1; PAGE_SIZE]).unwrap();
    disk.set_habits(habits);
    disk
}

fn pages(count: usize, byte: u8) -> PageBuffer {
    let mut buffer = PageBuffer::new(count * PAGE_SIZE);
    buffer.fill(byte);
    buffer
}

fn shown(disk: &SimulatedDisk, offset: u64, count: usize) -> Vec<u8> {
    let mut buffer = PageBuffer::new(count * PAGE_SIZE);
    disk.read(0, offset, &mut buffer).unwrap();
    buffer.to_vec()
}

fn write(ticket: u64, offset: u64, buffer: PageBuffer, kind: WriteKind) -> Write {
    Write { ticket, segment: 0, offset, buffer, kind }
}

#[test]
fn what_was_synced_stays() {
    for seed in 0..50 {
        let disk = disk(seed, ANYTHING);
        disk.write(0, 4096, &pages(3, 7)).unwrap();
        let mut device = SimulatedDevice::new(&disk).unwrap();
        device.submit(write(0, 40_960, pages(2, 8), WriteKind::Data)).unwrap();
        let mut done = Vec::new();
        device.reap(&mut done).unwrap();
        assert!(done[0].result.is_ok());
        disk.cut_power();
        assert_eq!(shown(&disk, 4096, 3), [7; 3 * PAGE_SIZE]);
        assert_eq!(shown(&disk, 40_960, 2), [8; 2 * PAGE_SIZE]);
    }
}

#[test]
fn what_was_not_synced_ends_sector_by_sector_in_every_way() {
    let (mut whole, mut gone, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let disk = disk(seed, ANYTHING);
        let mut device = SimulatedDevice::new(&disk).unwrap();
        device.submit(write(0, 8192, pages(1, 9), WriteKind::Data)).unwrap();
        disk.cut_power();
        let page = shown(&disk, 8192, 1);
        for sector in page.chunks(SECTOR_SIZE) {
            assert!(
                sector == [9; SECTOR_SIZE] || sector == [0; SECTOR_SIZE],
                "a sector is written whole or not at all"
            );
        }
        match page.iter().filter(|byte| **byte == 9).count() {
            0 => gone += 1,
            PAGE_SIZE => whole += 1,
            _ => torn += 1,
        }
    }
    assert!(9 < whole && 20 < gone && 20 < torn, "{whole} whole, {gone} gone, {torn} torn");
}

#[test]
fn a_killed_process_leaves_what_a_power_cut_still_takes() {
    let (mut taken, mut kept) = (0, 0);
    for seed in 0..100 {
        let disk = disk(seed, Habits::default());
        let mut device = SimulatedDevice::new(&disk).unwrap();
        device.submit(write(0, 8192, pages(1, 9), WriteKind::Data)).unwrap();
        disk.kill();
        assert_eq!(shown(&disk, 8192, 1), [9; PAGE_SIZE], "nothing is lost before the power is cut");
        disk.set_habits(ANYTHING);
        disk.cut_power();
        if shown(&disk, 8192, 1) == [9; PAGE_SIZE] { kept += 1 } else { taken += 1 }
    }
    assert!(0 < taken && 0 < kept, "{taken} taken, {kept} kept");
}

#[test]
fn a_name_is_durable_once_the_directory_is_synced() {
    let mut gone = 0;
    for seed in 0..100 {
        let disk = disk(seed, ANYTHING);
        disk.set_trouble(Some(Trouble::Crash(1)));
        disk.create_segment(1, SIZE, &[2; PAGE_SIZE]).unwrap_err();
        assert!(disk.is_down());
        disk.kill();
        if disk.segments().unwrap().len() == 1 {
            continue;
        }
        let other = disk.copy(seed);
        disk.cut_power();
        gone += 2 - disk.segments().unwrap().len();
        other.sync_names().unwrap();
        other.cut_power();
        assert_eq!(other.segments().unwrap().len(), 2);
    }
    assert!(0 < gone, "some name went with the power");
}

#[test]
fn a_failure_comes_once_and_a_crash_stays() {
    let disk = disk(1, ANYTHING);
    disk.set_trouble(Some(Trouble::Failure(2, Failure::Broken)));
    disk.write(0, 4096, &pages(1, 1)).unwrap();
    assert_eq!(disk.write(0, 8192, &pages(1, 1)).unwrap_err().code(), "disk.io");
    disk.write(0, 8192, &pages(1, 2)).unwrap();
    disk.set_trouble(Some(Trouble::Crash(1)));
    disk.write(0, 12_288, &pages(1, 3)).unwrap_err();
    disk.write(0, 4096, &pages(1, 4)).unwrap_err();
    disk.read(0, 4096, &mut PageBuffer::new(PAGE_SIZE)).unwrap_err();
    disk.kill();
    assert_eq!((shown(&disk, 4096, 1)[0], shown(&disk, 8192, 1)[0]), (1, 2));
}

#[test]
fn damage_on_purpose_is_what_it_says() {
    let disk = disk(1, ANYTHING);
    disk.write(0, 4096, &pages(2, 5)).unwrap();
    assert_eq!(disk.used_pages(0), [0, 1, 2]);
    disk.misdirect_page(0, 1, 9);
    assert_eq!(disk.used_pages(0), [0, 2, 9]);
    disk.flip_bit(0, 8200, 1);
    assert_eq!(shown(&disk, 8192, 1)[8], 7);
    disk.set_unreadable(Some(0));
    disk.read(0, 0, &mut PageBuffer::new(PAGE_SIZE)).unwrap_err();
    let full = disk.create_segment(1, 16 << 20, &[0; PAGE_SIZE]).unwrap_err();
    assert_eq!(full, DiskError::Full { segment: 1 });
}
