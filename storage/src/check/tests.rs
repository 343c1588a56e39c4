//! Checking whole ledgers: sound ones, torn ones, and every bit of a cleanly closed one.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use core::ops::ControlFlow;

use annals_core::limits::PAGE_SIZE;

use super::*;
use crate::disk::MemoryDisk;
use crate::fixture::{LEDGER, Ledger, SIZE, segment, write_sectors};

fn report(disk: &MemoryDisk) -> Result<CheckReport, RecoveryError> {
    check(disk, Some(LEDGER), &mut |_| ControlFlow::Continue(()))
}

/// Some segments, opened and closed several times.
fn ledger() -> Ledger {
    let mut ledger = Ledger::create();
    for round in 0..4 {
        for size in [10, 90_000, 480_000] {
            ledger.append(&[size, 7]);
            let slot = ledger.slot();
            ledger.log.add_checkpoint(slot);
        }
        if round % 2 == 0 {
            ledger.close();
            ledger = Ledger::open(&ledger.disk).unwrap();
        }
    }
    ledger
}

#[test]
fn sound_ledger_passes_and_every_block_is_met() {
    let mut ledger = ledger();
    let (mut heights, mut slots) = (Vec::new(), Vec::new());
    ledger.close();
    let report = check(&ledger.disk, None, &mut |frame| {
        heights.extend(frame.header.block().map(|block| block.header.height));
        slots.extend(frame.header.slots.iter().flatten().map(|slot| slot.height));
        ControlFlow::Continue(())
    });
    let report = report.unwrap();
    assert_eq!(heights, (0..12).collect::<Vec<u64>>());
    assert_eq!(slots, heights, "every checkpoint is stored once, in order");
    assert_eq!((report.blocks, report.closed, report.torn), (12, true, None));
    assert_eq!(report.newest.unwrap().header, ledger.newest.unwrap());
    assert_eq!(report.bytes, report.segments * SIZE);
    assert!(2 <= report.segments, "it rolled");
}

#[test]
fn check_from_a_segment_reads_from_there_on_and_every_byte_once() {
    let mut ledger = ledger();
    ledger.close();
    let whole = report(&ledger.disk).unwrap();
    let last = ledger.disk.segments().unwrap().last().unwrap().number;
    for first in 0..whole.segments {
        let (mut heights, before) = (Vec::new(), ledger.disk.bytes_read());
        let report = check_from(&ledger.disk, Some(LEDGER), first, &mut |frame| {
            assert_eq!(frame.segment.number, frame.header.segment);
            heights.extend(frame.header.block().map(|block| (frame.header.segment, block.header.height)));
            ControlFlow::Continue(())
        });
        let prepared = !ledger.blocks.iter().any(|place| first <= place.segment);
        if prepared {
            assert!(matches!(report, Err(RecoveryError::NoStart { segment }) if segment == first));
            continue;
        }
        let report = report.unwrap();
        assert_eq!((report.newest, report.closed, report.torn), (whole.newest, true, None));
        assert_eq!(report.bytes, (last + 1 - first) * SIZE);
        assert_eq!(ledger.disk.bytes_read() - before, report.bytes, "each byte is read once");
        let expected = (0_u64..).zip(&ledger.blocks).filter(|(_, place)| first <= place.segment);
        assert!(heights.into_iter().eq(expected.map(|(height, place)| (place.segment, height))));
    }
    let prepared = segment(last + 1);
    ledger.disk.create_segment(last + 1, SIZE, &prepared.encode()).unwrap();
    assert!(report(&ledger.disk).unwrap().closed);
    let begun = check_from(&ledger.disk, Some(LEDGER), last + 1, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(begun, Err(RecoveryError::NoStart { segment }) if segment == last + 1));
    let last = last + 1;
    let beyond = check_from(&ledger.disk, Some(LEDGER), last + 1, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(beyond, Err(RecoveryError::NoSegments)));
}

#[test]
fn torn_tail_is_reported() {
    let mut ledger = ledger();
    assert!(!report(&ledger.disk).unwrap().closed);
    let write = ledger.seal(&[50_000]);
    write_sectors(&ledger.disk, &write, |sector| sector != 20);
    let torn = report(&ledger.disk).unwrap().torn.unwrap();
    assert_eq!((torn.segment, torn.from), (write.segment, write.offset));
}

/// A segment of a few blocks, closed cleanly.
fn small() -> Ledger {
    let mut ledger = Ledger::create();
    ledger.append(&[40]);
    ledger.append(&[0, 3000]);
    let slot = ledger.slot();
    ledger.log.add_checkpoint(slot);
    ledger.append(&[1]);
    ledger.close();
    ledger
}

/// Flips these bits of a cleanly closed segment one by one, and finds each.
fn find_flipped(bits: impl Fn(u64) -> Vec<u64>) {
    let ledger = small();
    let closed = report(&ledger.disk).unwrap();
    assert!(closed.closed);
    let bits = bits(8 * ledger.log.location().unwrap().offset);
    let snapshot = &ledger.disk.snapshot();
    std::thread::scope(|scope| {
        for share in bits.chunks(bits.len().div_ceil(2)) {
            scope.spawn(move || {
                let disk = MemoryDisk::new();
                disk.restore(snapshot.clone());
                for &bit in share {
                    disk.flip_bit(0, bit / 8, (bit % 8) as u8);
                    let error = report(&disk).expect_err("a flipped bit is found");
                    let (segment, offset) = error.place().expect("and named");
                    assert!(segment == 0 && offset <= bit / 8, "bit {bit}: {error}");
                    disk.flip_bit(0, bit / 8, (bit % 8) as u8);
                }
                assert_eq!(report(&disk).unwrap(), closed);
            });
        }
    });
}

#[test]
fn flipped_bits_of_a_cleanly_closed_segment_are_found() {
    // One bit of every eleventh byte of the used pages; the test below has them all.
    find_flipped(|used| {
        let rest = (used..8 * SIZE).step_by(30_011).chain([used, used + 8 * 4096 - 1, 8 * SIZE - 1]);
        (0..used / 8).step_by(11).map(|byte| 8 * byte + byte % 8).chain(rest).collect()
    });
}

#[test]
#[ignore = "takes minutes: every bit of all used pages"]
fn every_flipped_bit_of_a_cleanly_closed_segment_is_found() {
    find_flipped(|used| (0..used).collect());
}

#[test]
fn flipped_bits_in_closed_and_prepared_segments_are_found() {
    let mut ledger = ledger();
    ledger.close();
    if let Some(number) = ledger.log.needs_segment() {
        ledger.prepare(number);
    }
    let prepared = Ledger::open(&ledger.disk).unwrap().log.needs_segment();
    if let Some(number) = prepared {
        ledger.disk.create_segment(number, SIZE, &segment(number).encode()).unwrap();
    }
    report(&ledger.disk).unwrap();
    for file in ledger.disk.segments().unwrap() {
        for bit in (0..8 * SIZE).step_by(1_000_003).chain([8 * 4096, 8 * SIZE - 1]) {
            ledger.disk.flip_bit(file.number, bit / 8, (bit % 8) as u8);
            let error = report(&ledger.disk).expect_err("a flipped bit is found");
            assert!(error.place().is_some_and(|(segment, _)| segment <= file.number), "{error}");
            ledger.disk.flip_bit(file.number, bit / 8, (bit % 8) as u8);
        }
    }
}

#[test]
fn torn_opening_mark_behind_a_clean_close_is_no_damage() {
    let ledger = small();
    let mut again = Ledger::open(&ledger.disk).unwrap();
    let mark = again.log.seal_opening(&again.frontier);
    for kept in [0, 1] {
        let before = again.disk.snapshot();
        write_sectors(&again.disk, &mark, |sector| sector == kept);
        let torn = report(&again.disk).unwrap().torn.unwrap();
        assert_eq!((torn.from, torn.to), (mark.offset, mark.offset + PAGE_SIZE as u64));
        // One bit of it wrong, and it is.
        again.disk.flip_bit(0, mark.offset + 512 * kept as u64 + 70, 0);
        assert!(matches!(report(&again.disk).unwrap_err(), RecoveryError::Damaged { .. }));
        again.disk.restore(before);
    }
}

#[test]
fn lost_segments_are_found() {
    let mut ledger = ledger();
    ledger.close();
    let files = ledger.disk.segments().unwrap();
    let before = ledger.disk.snapshot();
    // The middle of a ledger emptied, and its end.
    for number in 0..files.len() as u64 - 1 {
        let zeros = crate::buffer::PageBuffer::new(SIZE as usize - PAGE_SIZE);
        ledger.disk.write(number, PAGE_SIZE as u64, &zeros).unwrap();
        let error = report(&ledger.disk).unwrap_err();
        assert_eq!(error.place().map(|(segment, _)| segment), Some(number), "{error}");
        ledger.disk.restore(before.clone());
    }
}
