//! What recovery does with what a crash, a bad disk or a person left; one test a row of the table.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use core::ops::ControlFlow;

use annals_core::limits::{PAGE_SIZE, SECTOR_SIZE};
use proptest::prelude::*;

use super::*;
use crate::device::Write;
use crate::disk::{Habits, MemoryDisk, SimulatedDisk, Trouble};
use crate::fixture::{Ledger, SIZE, change, find, segment, write_sectors};
use crate::frame::{FrameError, Location};

/// A ledger of some blocks, all durable, the last frame a block.
fn ledger() -> Ledger {
    let mut ledger = Ledger::create();
    ledger.append(&[300]);
    ledger.append(&[2000, 10, 5000]);
    ledger.append(&[700]);
    ledger
}

/// The ledger, and two sealed frames in flight behind it.
fn two_in_flight() -> (Ledger, Write, Write) {
    let mut ledger = ledger();
    let (first, second) = (ledger.seal(&[3700]), ledger.seal(&[9000]));
    (ledger, first, second)
}

fn put(ledger: &Ledger, write: &Write) {
    ledger.disk.write(write.segment, write.offset, &write.buffer).unwrap();
}

/// Recovery cuts at the place of `first`, and what is left is a sound ledger that goes on.
fn assert_cut_at(ledger: &Ledger, first: &Write) {
    let found = find(&ledger.disk).unwrap();
    let cut = found.recovered.cut.unwrap();
    assert_eq!((cut.segment, cut.from), (first.segment, first.offset));
    assert_goes_on(&ledger.disk, found.blocks.len());
}

/// Opens, finds so many blocks, goes on, closes, opens again and finds them all.
fn assert_goes_on(disk: &MemoryDisk, blocks: usize) {
    let mut again = Ledger::open(disk).unwrap();
    assert_eq!(again.blocks.len(), blocks);
    assert_eq!(find(disk).unwrap().recovered.cut, None, "a cut is done once");
    again.append(&[50]);
    again.append(&[60_000]);
    again.close();
    let found = find(disk).unwrap();
    assert_eq!((found.blocks.len(), found.recovered.cut), (blocks + 2, None));
    assert!(found.recovered.tail.closed);
}

fn refusal(disk: &MemoryDisk) -> RecoveryError {
    let before = disk.snapshot();
    let error = find(disk).unwrap_err();
    assert_eq!(disk.snapshot(), before, "recovery changes nothing");
    error
}

#[test]
fn empty_ledger_is_kept() {
    let ledger = Ledger::create();
    let found = find(&ledger.disk).unwrap();
    assert_eq!(found.recovered.tail.place, Place::Start { number: 0 });
    assert_eq!(found.recovered.tail.prepared, Some(segment(0)));
    assert_eq!((found.recovered.tail.index, found.recovered.cut, found.frames), (0, None, 0));
    assert_goes_on(&ledger.disk, 0);
}

#[test]
fn zero_tail_is_kept() {
    let ledger = ledger();
    let found = find(&ledger.disk).unwrap();
    let Location { offset, .. } = ledger.tail();
    assert_eq!(found.recovered.tail.place, Place::Open { segment: segment(0), offset });
    // A start frame and three blocks; the last block's own durability no frame says.
    assert_eq!((found.recovered.tail.index, found.recovered.durable, found.frames), (4, 3, 4));
    assert_eq!(found.recovered.cut, None);
    assert_eq!(found.frontier, ledger.frontier);
    assert_eq!(found.recovered.tail.newest.unwrap().header, ledger.newest.unwrap());
    assert_goes_on(&ledger.disk, 3);
}

#[test]
fn torn_tail_with_nothing_above_is_cut() {
    let (ledger, first, _) = two_in_flight();
    write_sectors(&ledger.disk, &first, |sector| sector != 12);
    assert_cut_at(&ledger, &first);
}

#[test]
fn every_subset_of_the_sectors_of_a_frame_is_kept_whole_or_cut() {
    let (ledger, first, _) = two_in_flight();
    // Two sectors of the header and all of the one body page are not zero.
    let used: Vec<usize> = [0, 1].into_iter().chain(8..16).collect();
    for (sector, bytes) in first.buffer.chunks(SECTOR_SIZE).enumerate() {
        assert_eq!(bytes.iter().any(|byte| *byte != 0), used.contains(&sector), "sector {sector}");
    }
    let before = ledger.disk.snapshot();
    for subset in 0..1_u32 << used.len() {
        ledger.disk.restore(before.clone());
        write_sectors(&ledger.disk, &first, |sector| {
            used.iter().position(|used| *used == sector).is_some_and(|bit| subset >> bit & 1 == 1)
        });
        let found = find(&ledger.disk).unwrap();
        let whole = subset + 1 == 1 << used.len();
        assert_eq!(found.blocks.len(), if whole { 4 } else { 3 }, "{subset:b}");
        assert_eq!(found.recovered.cut.is_some(), subset != 0 && !whole, "{subset:b}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_sectors_of_two_frames_in_flight_are_recovered(
        sizes in prop::collection::vec(0..30_000_usize, 2),
        kept in prop::collection::vec(any::<bool>(), 200),
        odds in 0..3_u8,
    ) {
        let mut ledger = ledger();
        let (first, second) = (ledger.seal(&sizes[..1]), ledger.seal(&sizes[1..]));
        let keep = |sector: usize| match odds { 0 => kept[sector], 1 => true, _ => !sector.is_multiple_of(7) || kept[sector] };
        write_sectors(&ledger.disk, &first, keep);
        write_sectors(&ledger.disk, &second, |sector| kept[sector + 90] || odds == 2);
        let found = find(&ledger.disk).unwrap();
        let whole = |write: &Write| {
            let mut there = PageBuffer::new(write.buffer.len());
            ledger.disk.read(write.segment, write.offset, &mut there).unwrap();
            there[..] == write.buffer[..]
        };
        let expected = match (whole(&first), whole(&second)) { (false, _) => 3, (true, false) => 4, (true, true) => 5 };
        prop_assert_eq!(found.blocks.len(), expected);
        assert_goes_on(&ledger.disk, expected);
    }
}

#[test]
fn damaged_tail_is_refused() {
    // Each place is in a sector that also holds what was written, so no sector is zero.
    for (at, bit) in [(0, 0), (100, 3), (504, 1), (600, 2), (1024, 0), (4095, 7), (4096, 1), (7000, 5)] {
        let (ledger, first, _) = two_in_flight();
        put(&ledger, &first);
        ledger.disk.flip_bit(0, first.offset + at, bit);
        let error = refusal(&ledger.disk);
        assert!(matches!(error, RecoveryError::Damaged { segment: 0, index: Some(4), .. }), "{at}: {error}");
        assert_eq!(error.place(), Some((0, first.offset)));
    }
}

#[test]
fn torn_frame_with_an_intact_one_above_is_cut_with_it() {
    let (ledger, first, second) = two_in_flight();
    write_sectors(&ledger.disk, &first, |sector| sector != 9);
    put(&ledger, &second);
    assert_cut_at(&ledger, &first);
}

#[test]
fn missing_frame_with_an_intact_one_above_is_cut_with_it() {
    let (ledger, first, second) = two_in_flight();
    put(&ledger, &second);
    assert_cut_at(&ledger, &first);
}

#[test]
fn damaged_frame_with_an_intact_one_above_is_refused() {
    let (ledger, first, second) = two_in_flight();
    put(&ledger, &first);
    put(&ledger, &second);
    ledger.disk.flip_bit(0, first.offset + 5000, 0);
    let error = refusal(&ledger.disk);
    let Damage::Frame(FrameError::PageSum { page: 0, .. }) = (match error {
        RecoveryError::Damaged { damage, .. } => damage,
        other => panic!("{other}"),
    }) else {
        panic!("a page sum fails")
    };
}

/// Seals a frame again with another durable index, as if it had been sealed earlier.
fn forge(write: &Write, change: impl FnOnce(&mut FrameFields<'_>)) -> Write {
    let mut buffer = write.buffer.clone();
    let header = FrameHeader::parse(&segment(write.segment), write.offset, &buffer).unwrap();
    let mut fields = FrameFields {
        kind: header.kind,
        offset: header.offset,
        index: header.index,
        epoch: header.epoch,
        durable: header.durable,
        previous: header.previous,
        newest: header.newest.as_ref(),
        slots: header.slots,
        frontier: &header.frontier,
        body_size: header.size.body_size,
    };
    change(&mut fields);
    seal(&segment(write.segment), &fields, &mut buffer);
    let Write { ticket, segment, offset, kind, .. } = *write;
    Write { ticket, segment, offset, buffer, kind }
}

#[test]
fn hole_is_refused() {
    let (mut ledger, first, second) = two_in_flight();
    ledger.apply(&first);
    let third = ledger.seal(&[100]);
    for torn in [false, true] {
        let (disk, zeros) = (&ledger.disk, PageBuffer::new(first.buffer.len()));
        disk.write(0, first.offset, &zeros).unwrap();
        if torn {
            write_sectors(disk, &first, |sector| sector != 10);
        }
        let third = forge(&third, |fields| fields.durable = 3);
        disk.write(0, third.offset, &third.buffer).unwrap();
        let error = refusal(disk);
        let RecoveryError::Hole { index, found, found_offset, .. } = error else { panic!("{error}") };
        assert_eq!((index, found, found_offset), (4, 6, third.offset));
        put(&ledger, &second);
        assert!(matches!(refusal(&ledger.disk), RecoveryError::Hole { .. }), "also with i + 1 intact");
    }
}

#[test]
fn bad_frame_at_or_below_a_durable_index_is_refused() {
    // Frame 5 says that frame 4 was durable.
    let (mut ledger, first, second) = two_in_flight();
    ledger.apply(&first);
    ledger.apply(&second);
    let third = ledger.seal(&[100]);
    put(&ledger, &third);
    let before = ledger.disk.snapshot();
    for frame in [0, 1] {
        ledger.disk.restore(before.clone());
        let offset = [first.offset, second.offset][frame];
        ledger.disk.write(0, offset, &PageBuffer::new(PAGE_SIZE)).unwrap();
        let error = refusal(&ledger.disk);
        assert!(matches!(error, RecoveryError::DurableLost { durable: 6, .. }), "{error}");
        assert_eq!(error.place(), Some((0, offset)));
    }
}

#[test]
fn bad_frame_in_the_middle_is_refused_wherever_it_is() {
    let ledger = ledger();
    let before = ledger.disk.snapshot();
    for block in &ledger.blocks[..2] {
        for (at, bit) in [(0, 0), (300, 1), (513, 4), (4000, 0), (4096 + 90, 7)] {
            ledger.disk.restore(before.clone());
            ledger.disk.flip_bit(0, block.offset + at, bit);
            let error = refusal(&ledger.disk);
            assert_eq!(error.place(), Some((0, block.offset)), "{error}");
        }
    }
}

#[test]
fn junk_within_reach_is_cut() {
    let ledger = ledger();
    let tail = ledger.tail();
    let before = ledger.disk.snapshot();
    for pages in [1, 2, 100, 400] {
        ledger.disk.restore(before.clone());
        let offset = tail.offset + (pages * PAGE_SIZE) as u64;
        change(&ledger.disk, Location { segment: 0, offset }, 1, |page| page[77] = 1);
        let expected = Cut { segment: 0, from: tail.offset, to: offset + PAGE_SIZE as u64 };
        assert_eq!(find(&ledger.disk).unwrap().recovered.cut, Some(expected));
        assert_goes_on(&ledger.disk, 3);
    }
}

#[test]
fn junk_behind_a_known_extent_is_refused() {
    let (ledger, first, _) = two_in_flight();
    write_sectors(&ledger.disk, &first, |sector| sector != 12);
    let offset = first.offset + first.buffer.len() as u64 + frame_size_max(SIZE);
    change(&ledger.disk, Location { segment: 0, offset }, 1, |page| page[0] = 1);
    let error = refusal(&ledger.disk);
    let RecoveryError::Junk { reach, found_end, .. } = error else { panic!("{error}") };
    assert_eq!((reach, found_end), (offset, offset + PAGE_SIZE as u64));
}

#[test]
fn stale_frames_above_the_tail_are_cut_again() {
    // Frame 5 was intact above a torn frame 4 and was cut; then it came back: the disk lied about the zeroing.
    let (ledger, first, second) = two_in_flight();
    write_sectors(&ledger.disk, &first, |sector| sector != 9);
    put(&ledger, &second);
    let mut again = Ledger::open(&ledger.disk).unwrap();
    let opening = again.log.seal_opening(&again.frontier);
    again.apply(&opening);
    put(&again, &second);
    let tail = again.tail().offset;
    assert!(tail < second.offset, "the opening mark is shorter than the torn frame was");
    let found = find(&again.disk).unwrap();
    let expected = Cut { segment: 0, from: tail, to: second.offset + second.buffer.len() as u64 };
    assert_eq!(found.recovered.cut, Some(expected));
    // The same below a frame that is torn itself: its header is there, its body page holds the stale header.
    let torn = again.seal(&[1]);
    assert_eq!(torn.offset + PAGE_SIZE as u64, second.offset);
    write_sectors(&again.disk, &torn, |sector| sector < 8);
    assert_eq!(find(&again.disk).unwrap().recovered.cut, Some(expected));
    assert_goes_on(&again.disk, 3);
}

#[test]
fn stale_frame_at_the_tail_is_cut_again() {
    let mut ledger = ledger();
    let old = ledger.seal(&[100]);
    put(&ledger, &old);
    // A frame of a later epoch, and behind it one that names the epoch before.
    let mut again = Ledger::open(&ledger.disk).unwrap();
    again.append(&[5]);
    let next = again.seal(&[6]);
    let stale = forge(&next, |fields| fields.epoch -= 1);
    put(&again, &stale);
    assert_cut_at(&again, &stale);
}

#[test]
fn repeated_index_is_refused() {
    let (ledger, first, second) = two_in_flight();
    put(&ledger, &second);
    let header = |index| forge(&second, |fields| fields.index = index);
    ledger.disk.write(0, second.offset, &header(4).buffer).unwrap();
    let error = refusal(&ledger.disk);
    assert!(matches!(error, RecoveryError::Repeated { index: 4, found: 4, .. }), "{error}");
    assert_eq!(error.place(), Some((0, first.offset)));
}

#[test]
fn a_frame_that_does_not_follow_is_refused() {
    let (ledger, first, _) = two_in_flight();
    let put = |change: fn(&mut FrameFields<'_>)| {
        let forged = forge(&first, change);
        ledger.disk.write(0, forged.offset, &forged.buffer).unwrap();
        refusal(&ledger.disk).code_of_damage()
    };
    assert_eq!(put(|fields| fields.index = 5), "frame.link.index");
    assert_eq!(put(|fields| fields.previous = FrameChecksum::from_bytes([1; 32])), "frame.link.previous");
    assert_eq!(put(|fields| fields.durable = 0), "frame.link.durable");
}

impl RecoveryError {
    fn code_of_damage(&self) -> &'static str {
        match self {
            Self::Damaged { damage, .. } => damage.code(),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn crash_in_the_middle_of_a_cut_leaves_a_torn_tail() {
    let (ledger, first, second) = two_in_flight();
    write_sectors(&ledger.disk, &first, |sector| sector != 9);
    put(&ledger, &second);
    let cut = find(&ledger.disk).unwrap().recovered.cut.unwrap();
    let zeros = PageBuffer::new(PAGE_SIZE);
    let mut offset = cut.to;
    while cut.from < offset {
        offset -= PAGE_SIZE as u64;
        // The page that is being zeroed is torn itself.
        for half in [0, 4] {
            change(&ledger.disk, Location { segment: 0, offset }, 1, |page| {
                page[half * SECTOR_SIZE..][..4 * SECTOR_SIZE].fill(0)
            });
            let found = find(&ledger.disk).unwrap();
            assert_eq!(found.blocks.len(), 3);
            assert!(found.recovered.cut.is_none_or(|cut| cut.from == first.offset));
        }
        ledger.disk.write(0, offset, &zeros).unwrap();
    }
    assert_goes_on(&ledger.disk, 3);
}

#[test]
fn frames_without_a_witness_are_written_again() {
    let (mut ledger, first, second) = two_in_flight();
    ledger.apply(&first);
    ledger.apply(&second);
    let found = find(&ledger.disk).unwrap();
    // Frame 5 was sealed when frames below 4 were durable.
    assert_eq!((found.recovered.durable, found.recovered.tail.index), (4, 6));
    assert_eq!(found.recovered.unproven, Some((0, first.offset, ledger.tail().offset)));
    let before = ledger.disk.snapshot();
    found.recovered.settle(&ledger.disk).unwrap();
    assert_eq!(ledger.disk.snapshot(), before);
}

#[test]
fn checkpoints_are_found_again() {
    let mut ledger = ledger();
    let slot = ledger.slot();
    ledger.log.add_checkpoint(slot);
    ledger.append(&[1]);
    let found = find(&ledger.disk).unwrap();
    assert_eq!(found.recovered.checkpoint, Some(slot));
}

#[test]
fn the_visitor_may_stop() {
    let ledger = ledger();
    let stopped = recover(&ledger.disk, None, &mut |_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(RecoveryError::Stopped)));
}

/// What reads show of a segment.
fn shown(disk: &SimulatedDisk) -> PageBuffer {
    let mut bytes = PageBuffer::new(SIZE as usize);
    disk.read(0, 0, &mut bytes).unwrap();
    bytes
}

#[test]
fn what_a_killed_process_left_is_durable_once_recovery_has_settled() {
    const ALL_IS_LOST: Habits = Habits { lost: 1024, torn: 0, torn_in_order: 0, completes: 1024, twice: 0 };
    // Killed at each write of the cut and of what is written again: it lands, but nobody has synced it.
    for killed_at in 1..40 {
        let disk = SimulatedDisk::new(killed_at, 2 * SIZE);
        let mut ledger = Ledger::create_on(disk.clone());
        ledger.append(&[300]);
        let torn = ledger.seal(&[40_000]);
        let mut half = PageBuffer::new(torn.buffer.len() / 2 / PAGE_SIZE * PAGE_SIZE);
        half.iter_mut().zip(&torn.buffer[..]).for_each(|(to, from)| *to = *from);
        disk.write(torn.segment, torn.offset, &half).unwrap();
        let found = find(&disk).unwrap();
        assert!(found.recovered.cut.is_some());
        disk.set_trouble(Some(Trouble::Crash(killed_at)));
        let is_done = found.recovered.settle(&disk).is_ok();
        disk.kill();
        let found = find(&disk).unwrap();
        found.recovered.settle(&disk).unwrap();
        let before = shown(&disk);
        disk.set_habits(ALL_IS_LOST);
        disk.cut_power();
        assert!(shown(&disk)[..] == before[..], "killed at operation {killed_at}: a power cut takes nothing back");
        if is_done {
            assert!(6 < killed_at, "the cut takes some writes");
            return;
        }
    }
    panic!("settling never ends");
}

#[test]
fn a_segment_that_a_killed_process_named_is_there_once_recovery_has_settled() {
    let mut kept = 0;
    for seed in 0..40 {
        let disk = SimulatedDisk::new(seed, 4 * SIZE);
        let mut ledger = Ledger::create_on(disk.clone());
        ledger.append(&[300]);
        disk.set_trouble(Some(Trouble::Crash(1)));
        disk.create_segment(1, SIZE, &segment(1).encode()).unwrap_err();
        disk.kill();
        let is_there = disk.segments().unwrap().len() == 2;
        find(&disk).unwrap().recovered.settle(&disk).unwrap();
        disk.cut_power();
        assert_eq!(disk.segments().unwrap().len() == 2, is_there, "seed {seed}");
        kept += u64::from(is_there);
    }
    assert!(0 < kept, "some were there");
}
