//! Recovery across segments: rolling, what only the last segment may be, and what is not read at all.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

use annals_core::hash::LedgerId;
use annals_core::limits::{PAGE_SIZE, PAYLOAD_SIZE_MAX, SECTOR_SIZE};

use super::*;
use crate::disk::MemoryDisk;
use crate::fixture::{LEDGER, Ledger, SIZE, change, find, segment, write_sectors};
use crate::frame::Location;

/// A ledger whose last frame closes segment `segments - 1`, the next segment prepared.
fn ended(segments: u64) -> Ledger {
    let mut ledger = Ledger::create();
    ledger.append(&[10]);
    while !ends(&ledger, segments) {
        ledger.append(&[100_000]);
    }
    ledger.prepare_if_needed();
    let end = ledger.log.seal_end(&ledger.frontier);
    ledger.apply(&end);
    ledger
}

fn ends(ledger: &Ledger, segments: u64) -> bool {
    let tail = ledger.tail();
    tail.segment + 1 == segments && SIZE < tail.offset + 110_000
}

impl Ledger {
    fn prepare_if_needed(&mut self) {
        if let Some(number) = self.log.needs_segment() {
            self.prepare(number);
        }
    }
}

fn code(disk: &MemoryDisk) -> &'static str {
    find(disk).unwrap_err().code()
}

#[test]
fn largest_record_fits_the_smallest_segment() {
    let mut ledger = Ledger::create();
    for _ in 0..4 {
        ledger.append(&[PAYLOAD_SIZE_MAX]);
    }
    ledger.close();
    assert_eq!(ledger.disk.segments().unwrap().len(), 4);
    assert_eq!(find(&ledger.disk).unwrap().recovered.tail.newest.unwrap().header, ledger.newest.unwrap());
}

#[test]
fn only_the_last_segment_is_read() {
    let mut ledger = Ledger::create();
    while ledger.disk.segments().unwrap().len() < 20 {
        ledger.append(&[200_000]);
    }
    ledger.append(&[5000]);
    ledger.close();
    let before = ledger.disk.bytes_read();
    let found = find(&ledger.disk).unwrap();
    assert_eq!(found.recovered.tail.newest.unwrap().header, ledger.newest.unwrap());
    assert_eq!(found.frontier, ledger.frontier);
    assert_eq!(ledger.disk.bytes_read() - before, SIZE);
    // With a prepared segment behind it: one chunk of that one more, and the first chunk of the last one.
    let mut again = Ledger::open(&ledger.disk).unwrap();
    again.prepare_if_needed();
    let before = ledger.disk.bytes_read();
    assert_eq!(find(&ledger.disk).unwrap().recovered.tail.prepared, Some(segment(20)));
    assert_eq!(ledger.disk.bytes_read() - before, SIZE + (1 << 20));
}

#[test]
fn ended_segment_leads_to_the_next() {
    let mut ledger = ended(2);
    let found = find(&ledger.disk).unwrap();
    assert_eq!(found.recovered.tail.place, Place::Start { number: 2 });
    assert_eq!((found.recovered.tail.prepared, found.recovered.cut), (Some(segment(2)), None));
    assert!(found.recovered.tail.closed);
    // Without the prepared segment just so.
    ledger.disk.remove(2);
    let found = find(&ledger.disk).unwrap();
    assert_eq!((found.recovered.tail.place, found.recovered.tail.prepared), (Place::Start { number: 2 }, None));
    ledger = Ledger::open(&ledger.disk).unwrap();
    ledger.append(&[1]);
    ledger.close();
    assert_eq!(find(&ledger.disk).unwrap().blocks.len(), 1, "only the last segment's blocks are met");
}

#[test]
fn every_subset_of_the_sectors_of_a_start_frame_is_kept_whole_or_cut() {
    let mut ledger = ended(1);
    let start = ledger.log.seal_start(&ledger.frontier);
    let before = ledger.disk.snapshot();
    for subset in 0..4 {
        ledger.disk.restore(before.clone());
        write_sectors(&ledger.disk, &start, |sector| subset >> sector & 1 == 1);
        let found = find(&ledger.disk).unwrap();
        assert_eq!(found.recovered.tail.closed, subset != 3, "{subset}");
        assert_eq!(found.recovered.cut.is_some(), subset == 1 || subset == 2, "{subset}");
        let mut again = Ledger::open(&ledger.disk).unwrap();
        again.append(&[4]);
        again.close();
        assert!(find(&ledger.disk).unwrap().recovered.tail.closed);
    }
}

#[test]
fn other_bits_at_a_start_are_refused() {
    let ledger = ended(1);
    let before = ledger.disk.snapshot();
    for offset in [4096, 4096 + 511, 4096 + 512, 4096 + 4000, 8192, 9000, SIZE - 1] {
        ledger.disk.restore(before.clone());
        ledger.disk.flip_bit(1, offset, 3);
        assert!(matches!(code(&ledger.disk), "recovery.damaged" | "recovery.junk"), "{offset}");
    }
}

#[test]
fn anything_behind_an_end_frame_is_refused() {
    let ledger = ended(1);
    ledger.disk.flip_bit(0, SIZE - 1, 0);
    let error = find(&ledger.disk).unwrap_err();
    assert_eq!((error.code(), error.place()), ("recovery.junk", Some((0, SIZE - PAGE_SIZE as u64))));
}

#[test]
fn next_segment_in_use_without_an_end_frame_is_refused() {
    let mut ledger = Ledger::create();
    ledger.append(&[10]);
    ledger.prepare_if_needed();
    let tail = ledger.tail();
    change(&ledger.disk, Location { segment: 1, offset: 4096 }, 1, |page| page[SECTOR_SIZE] = 1);
    let error = find(&ledger.disk).unwrap_err();
    assert_eq!((error.code(), error.place()), ("recovery.no_end", Some((0, tail.offset))));
}

#[test]
fn damaged_end_frame_is_refused() {
    let mut ledger = ended(1);
    let end = ledger.tail_of_end();
    ledger.append(&[1]);
    let before = ledger.disk.snapshot();
    // Segment 1 has begun, so segment 0 is not read at all when opening; a check does.
    ledger.disk.flip_bit(0, end, 1);
    assert!(find(&ledger.disk).is_ok());
    // Here it is read, and the start of segment 1 is gone.
    ledger.disk.restore(before);
    change(&ledger.disk, Location { segment: 1, offset: 4096 }, 1, |page| page.fill(0));
    let error = find(&ledger.disk).unwrap_err();
    assert_eq!((error.code(), error.place()), ("recovery.durable_lost", Some((1, 4096))));
}

impl Ledger {
    fn tail_of_end(&self) -> u64 {
        let mut offset = 0;
        let _ = recover(&self.disk, None, &mut |frame| {
            offset = frame.header.offset;
            ControlFlow::Continue(())
        });
        offset
    }
}

#[test]
fn missing_segments_are_refused() {
    let disk = MemoryDisk::new();
    assert_eq!(code(&disk), "recovery.no_segments");
    let ledger = ended(3);
    for number in [0, 1, 2] {
        let before = ledger.disk.snapshot();
        ledger.disk.remove(number);
        let error = find(&ledger.disk).unwrap_err();
        let RecoveryError::MissingSegment { expected, found } = error else { panic!("{error}") };
        assert_eq!((expected, found), (number, number + 1));
        ledger.disk.restore(before);
    }
}

#[test]
fn other_ledgers_segments_are_refused() {
    let ledger = ended(1);
    let other = LedgerId::from_bytes([1; 32]);
    let error = recover(&ledger.disk, Some(other), &mut |_| ControlFlow::Continue(())).unwrap_err();
    let RecoveryError::SegmentLedger { expected, found, .. } = error else { panic!("{error}") };
    assert_eq!((expected, found), (other, LEDGER));
    // A prepared segment of another ledger is no better, with no ledger asked for.
    let foreign = SegmentHeader { ledger: other, ..segment(1) };
    change(&ledger.disk, Location { segment: 1, offset: 0 }, PAGE_SIZE, |page| page.copy_from_slice(&foreign.encode()));
    let error = recover(&ledger.disk, None, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(error.code(), "recovery.segment_ledger");
}

#[test]
fn first_pages_are_checked() {
    let ledger = ended(1);
    let before = ledger.disk.snapshot();
    ledger.disk.flip_bit(1, 60, 0);
    assert_eq!(code(&ledger.disk), "recovery.segment_header");
    let write = |header: SegmentHeader| {
        ledger.disk.restore(before.clone());
        change(&ledger.disk, Location { segment: 1, offset: 0 }, PAGE_SIZE, |page| {
            page.copy_from_slice(&header.encode())
        });
        find(&ledger.disk).unwrap_err().to_string()
    };
    assert!(write(SegmentHeader { number: 7, ..segment(1) }).contains("says number 7"));
    let wrong_size = write(SegmentHeader { size: 2 * SIZE, ..segment(1) });
    assert!(wrong_size.contains("file of 2097152 bytes, expected 4194304"), "{wrong_size}");
}

#[test]
fn wrong_file_size_is_refused() {
    let ledger = ended(1);
    let mut segments = ledger.disk.snapshot();
    segments.get_mut(&0).unwrap().truncate(SIZE as usize - PAGE_SIZE);
    ledger.disk.restore(segments);
    let error = find(&ledger.disk).unwrap_err();
    let RecoveryError::SegmentSize { segment: 0, expected: None, found } = error else { panic!("{error}") };
    assert_eq!(found, SIZE - PAGE_SIZE as u64);
}

#[test]
fn two_segments_without_a_start_frame_are_refused() {
    let ledger = ended(2);
    ledger.disk.create_segment(3, SIZE, &segment(3).encode()).unwrap();
    let error = find(&ledger.disk).unwrap_err();
    assert_eq!((error.code(), error.place()), ("recovery.no_start", Some((2, 4096))));
    // Nor may the very first one have none while a second one exists.
    let empty = Ledger::create();
    empty.disk.create_segment(1, SIZE, &segment(1).encode()).unwrap();
    assert_eq!(code(&empty.disk), "recovery.no_start");
}

#[test]
fn a_page_lost_below_an_end_frame_is_missed_though_no_other_frame_follows() {
    let ledger = ended(1);
    let last = *ledger.blocks.last().unwrap();
    change(&ledger.disk, Location { offset: last.offset + 2 * PAGE_SIZE as u64, ..last }, PAGE_SIZE, |page| {
        page.fill(0)
    });
    assert_eq!(code(&ledger.disk), "recovery.durable_lost");
}

#[test]
fn an_end_frame_waits_for_the_block_before_it() {
    let mut ledger = Ledger::create();
    ledger.append(&[PAYLOAD_SIZE_MAX]);
    let block = ledger.seal(&[900_000]);
    assert!(matches!(ledger.next(&[500_000]), crate::fixture::Next::Wait), "the block is in flight");
    ledger.apply(&block);
    let next = ledger.next(&[500_000]);
    let crate::fixture::Next::Mark(end) = next else { panic!("{next:?}") };
    let header = FrameHeader::parse(&segment(0), end.offset, &end.buffer).unwrap();
    assert_eq!((header.kind, header.durable), (FrameKind::End, header.index));
}
