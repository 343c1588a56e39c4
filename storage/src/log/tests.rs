//! The log by itself: order, room, halting, checkpoints, closing, and the runway.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

use annals_core::limits::PAYLOAD_SIZE_MAX;
use core::ops::ControlFlow;
use proptest::prelude::*;
use std::io;

use super::*;
use crate::check::check;
use crate::disk::{Disk, Operation};
use crate::fixture::{Ledger, SIZE, find, segment};
use crate::frame::FrameHeader;

const PAGE: u64 = PAGE_SIZE as u64;

fn failure() -> DiskError {
    DiskError::Io { operation: Operation::Write, segment: 0, offset: 8192, kind: io::ErrorKind::Other, code: 5 }
}

/// A ledger with its first block durable.
fn ledger() -> Ledger {
    let mut ledger = Ledger::create();
    ledger.append(&[100]);
    ledger
}

fn header(write: &Write) -> FrameHeader {
    FrameHeader::parse(&segment(write.segment), write.offset, &write.buffer).unwrap()
}

fn step(ledger: &Ledger, body_size: usize) -> Step {
    ledger.log.step(&ledger.log.plan(ledger.frontier.hashes().len(), body_size).unwrap()).unwrap()
}

#[test]
fn frames_are_final_in_order_only() {
    let mut ledger = ledger();
    let (first, second) = (ledger.seal(&[1]), ledger.seal(&[2]));
    assert_eq!(step(&ledger, 1000), Step::Wait, "two are in flight");
    assert_eq!((header(&first).durable, header(&second).durable), (2, 2));
    assert_eq!(header(&second).previous, header(&first).checksum);
    let early = ledger.log.completed(second.ticket, Ok(())).unwrap();
    assert_eq!(early, Advance { durable: 2, height: None });
    assert_eq!(step(&ledger, 1000), Step::Wait, "the first one is not durable");
    let both = ledger.log.completed(first.ticket, Ok(())).unwrap();
    assert_eq!(both, Advance { durable: 4, height: Some(2) });
    assert_eq!((ledger.log.durable(), ledger.log.in_flight()), (4, 0));
}

#[test]
fn the_first_error_is_final() {
    let mut ledger = ledger();
    let (first, second) = (ledger.seal(&[1]), ledger.seal(&[2]));
    let halted = ledger.log.completed(first.ticket, Err(failure())).unwrap_err();
    assert_eq!((halted.offset, halted.cause, halted.segment), (first.offset, failure(), 0));
    let other = DiskError::Full { segment: 0 };
    assert_eq!(ledger.log.completed(second.ticket, Err(other)).unwrap_err().cause, failure(), "the first cause stays");
    let plan = ledger.log.plan(2, 1000).unwrap();
    assert_eq!(ledger.log.step(&plan).unwrap_err().cause, failure());
    assert!(ledger.log.close_step().is_err() && ledger.log.halted().is_some());
    assert!(ledger.log.seal_watermark(&ledger.frontier).is_none() && ledger.log.next_runway(64 << 20).is_none());
    assert_eq!(ledger.log.durable(), 2);
}

#[test]
fn a_failed_runway_write_halts_too() {
    let mut ledger = ledger();
    let range = ledger.log.next_runway(64 << 20).unwrap();
    assert!(ledger.log.completed(range.ticket, Err(failure())).is_err());
    assert!(ledger.log.halted().is_some());
}

#[test]
#[should_panic(expected = "not in flight")]
fn an_unknown_completion_is_our_own_bug() {
    let _ = ledger().log.completed(99, Ok(()));
}

#[test]
#[should_panic(expected = "when the log is ready")]
fn a_third_frame_in_flight_is_our_own_bug() {
    let mut ledger = ledger();
    let plan = ledger.log.plan(1, 1000).unwrap();
    let _ = (ledger.seal(&[1]), ledger.seal(&[1]));
    let block = *ledger.log.newest().unwrap();
    ledger.log.seal_block(plan, ledger.log.buffer_for(&plan), block, &ledger.frontier.clone());
}

#[test]
fn checkpoints_go_into_the_first_frame_behind_their_durable_blocks() {
    let mut ledger = ledger();
    let slots = |write: &Write| header(write).slots.iter().flatten().map(|slot| slot.height).collect::<Vec<_>>();
    let first = ledger.seal(&[1]);
    ledger.log.add_checkpoint(ledger.slot());
    let second = ledger.seal(&[2]);
    assert_eq!(slots(&second), [0; 0], "block 1 was in flight still");
    ledger.log.add_checkpoint(ledger.slot());
    ledger.apply(&first);
    let third = ledger.seal(&[3]);
    assert_eq!(slots(&third), [1]);
    ledger.apply(&second);
    ledger.apply(&third);
    ledger.log.add_checkpoint(ledger.slot());
    for _ in 0..2 {
        ledger.append(&[4]);
        ledger.log.add_checkpoint(ledger.slot());
    }
    // Block 4 took two, block 5 the third; block 5's own waits.
    assert_eq!(ledger.log.checkpoint_count(), 1);
    let mark = ledger.log.seal_watermark(&ledger.frontier).unwrap();
    assert_eq!(slots(&mark), [5]);
}

#[test]
fn a_watermark_is_written_once_and_only_when_idle() {
    let mut ledger = ledger();
    let write = ledger.seal(&[1]);
    assert!(ledger.log.seal_watermark(&ledger.frontier).is_none(), "something is in flight");
    ledger.apply(&write);
    let mark = ledger.log.seal_watermark(&ledger.frontier).unwrap();
    assert_eq!((header(&mark).kind, header(&mark).durable), (FrameKind::Watermark, header(&mark).index));
    ledger.apply(&mark);
    assert!(ledger.log.seal_watermark(&ledger.frontier).is_none(), "it would say nothing");
    ledger.append(&[2]);
    assert!(ledger.log.seal_watermark(&ledger.frontier).is_some());
}

#[test]
fn the_opening_mark_comes_first_and_alone() {
    let mut ledger = Ledger::open(&ledger().disk).unwrap();
    assert_eq!(step(&ledger, 1000), Step::Opening);
    assert!(ledger.log.seal_watermark(&ledger.frontier).is_none());
    ledger.log.add_checkpoint(ledger.slot());
    let mark = ledger.log.seal_opening(&ledger.frontier);
    assert_eq!((header(&mark).epoch, header(&mark).slots), (2, [None; 2]));
    assert_eq!(step(&ledger, 1000), Step::Wait);
    ledger.apply(&mark);
    assert_eq!(step(&ledger, 1000), Step::Seal);
}

#[test]
fn a_frame_leaves_room_for_a_watermark_and_the_end() {
    // Pages: the first page, the start frame, then blocks; two are kept.
    let mut ledger = Ledger::create();
    ledger.append(&[PAYLOAD_SIZE_MAX]);
    let left = SIZE - ledger.tail().offset - 2 * PAGE;
    // One header page; a record takes 204 bytes beside its payload, and the root 32.
    let payload_size = left as usize - PAGE_SIZE - 236;
    assert_eq!(step(&ledger, payload_size + 236), Step::Seal);
    assert_eq!(step(&ledger, payload_size + 237), Step::End, "one page more");
    ledger.append(&[payload_size]);
    assert_eq!(ledger.tail().offset, SIZE - 2 * PAGE);
    let mark = ledger.log.seal_watermark(&ledger.frontier).unwrap();
    ledger.apply(&mark);
    assert_eq!((header(&mark).kind, step(&ledger, 300)), (FrameKind::Watermark, Step::End));
    // Only the end frame fits now, so it opens the ledger.
    let mut again = Ledger::open(&ledger.disk).unwrap();
    let opening = again.log.seal_opening(&again.frontier);
    assert_eq!((header(&opening).kind, header(&opening).end()), (FrameKind::End, SIZE));
    again.apply(&opening);
    assert_eq!(step(&again, 300), Step::Segment(1));
    again.append(&[1]);
    again.close();
    assert!(check(&again.disk, None, &mut |_| ControlFlow::Continue(())).unwrap().closed);
}

#[test]
fn blocks_of_several_records_are_bounded_and_one_record_is_not() {
    let ledger = ledger();
    let body_size = ledger.log.body_size_max(1);
    assert_eq!(ledger.log.plan(1, body_size).unwrap().total_bytes(), 512 << 10);
    let largest = PAYLOAD_SIZE_MAX + 236;
    assert!(ledger.log.plan(53, largest).is_ok());
    let error = ledger.log.plan(53, largest + 4096).unwrap_err();
    assert_eq!(error, PlanError::TooLarge { bytes: 260 * PAGE, bytes_max: 259 * PAGE });
}

#[test]
fn closing_writes_two_watermarks_once() {
    let mut ledger = ledger();
    let before = ledger.log.next_index();
    ledger.close();
    assert_eq!(ledger.log.next_index(), before + 2);
    let plan = ledger.log.plan(1, 1000).unwrap();
    assert_eq!(ledger.log.step(&plan).unwrap(), Step::Closed);
    // Opened and closed with nothing to say: nothing is written.
    let mut again = Ledger::open(&ledger.disk).unwrap();
    again.close();
    assert_eq!(again.log.next_index(), before + 2);
    // After an idle watermark one more is enough, checkpoints that wait are stored, and a crash is closed over too.
    let mut again = Ledger::open(&ledger.disk).unwrap();
    again.append(&[1]);
    let mark = again.log.seal_watermark(&again.frontier).unwrap();
    again.apply(&mark);
    let slot = again.slot();
    again.log.add_checkpoint(slot);
    again.close();
    assert_eq!((again.log.next_index(), again.log.checkpoint_count()), (before + 6, 0));
    assert_eq!(find(&again.disk).unwrap().recovered.checkpoint, Some(slot));
    let mut crashed = Ledger::open(&again.disk).unwrap();
    crashed.append(&[1]);
    let mut last = Ledger::open(&crashed.disk).unwrap();
    assert_eq!(last.log.close_step().unwrap(), CloseStep::Mark);
    last.close();
    assert!(find(&last.disk).unwrap().recovered.tail.closed);
}

#[test]
fn opening_and_closing_can_go_on_through_segments() {
    let mut ledger = ledger();
    let mut rounds = 0;
    while ledger.disk.segments().unwrap().len() < 3 {
        ledger.close();
        assert!(find(&ledger.disk).unwrap().recovered.tail.closed);
        ledger = Ledger::open(&ledger.disk).unwrap();
        // Sometimes a block, so that every distance from the segment's end is met.
        ledger.append(&[if rounds % 3 == 0 { 10 } else { 20_000 }]);
        rounds += 1;
    }
    ledger.close();
    let report = check(&ledger.disk, None, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((report.blocks, report.closed), (rounds + 1, true));
}

#[test]
fn the_next_segment_is_asked_for_only_behind_a_durable_start() {
    let mut ledger = Ledger::create();
    assert_eq!(ledger.log.needs_segment(), None, "segment 0 is prepared");
    let start = ledger.log.seal_start(&ledger.frontier);
    assert_eq!(ledger.log.needs_segment(), None);
    ledger.apply(&start);
    assert_eq!(ledger.log.needs_segment(), Some(1));
    ledger.prepare(1);
    assert_eq!(ledger.log.needs_segment(), None);
}

#[test]
fn the_runway_goes_on_into_the_prepared_segment() {
    let mut ledger = ledger();
    ledger.prepare(1);
    let (mut ranges, mut end) = (Vec::new(), (0, 0));
    while let Some(range) = ledger.log.next_runway(64 << 20) {
        assert!(ledger.log.next_runway(64 << 20).is_none(), "one in flight");
        assert!(end <= (range.segment, range.offset) && range.size <= RUNWAY_WRITE_SIZE_MAX);
        end = (range.segment, range.offset + range.size);
        ranges.push(range);
        ledger.log.completed(range.ticket, Ok(())).unwrap();
    }
    assert_eq!(end, (1, SIZE));
    assert!(ranges.iter().any(|range| (range.segment, range.offset) == (1, PAGE)));
    assert!(ledger.log.next_runway(64 << 20).is_none(), "all is zeroed");
    let written: u64 = ranges.iter().map(|range| range.size).sum();
    assert_eq!(ledger.log.runway_left(), written, "across the segment's end");
}

#[test]
fn the_runway_stops_at_its_distance() {
    let mut ledger = ledger();
    ledger.prepare(1);
    assert!(ledger.log.next_runway(frame_size_max(SIZE)).is_none(), "so near nothing is written");
    assert!(ledger.log.next_runway(frame_size_max(SIZE) + 1).is_some());
}

#[test]
fn a_start_frame_waits_for_the_runway_over_it() {
    let mut ledger = ledger();
    ledger.prepare(1);
    while ledger.tail().offset + (1 << 20) < SIZE {
        ledger.append(&[400_000]);
    }
    let over_start = loop {
        let range = ledger.log.next_runway(64 << 20).unwrap();
        if range.segment == 1 {
            break range;
        }
        ledger.log.completed(range.ticket, Ok(())).unwrap();
    };
    while step(&ledger, 500_000) == Step::Seal {
        ledger.append(&[500_000 - 236]);
    }
    let end = ledger.log.seal_end(&ledger.frontier);
    ledger.apply(&end);
    assert_eq!(step(&ledger, 500_000), Step::Wait);
    ledger.log.completed(over_start.ticket, Ok(())).unwrap();
    assert_eq!(step(&ledger, 500_000), Step::Start);
}

/// What a caller may do next.
#[derive(Clone, Debug)]
enum Do {
    Append(usize),
    Complete(bool),
    Runway(u64),
    CompleteRunway,
    Prepare,
}

fn anything() -> impl Strategy<Value = Do> {
    prop_oneof![
        4 => (0..500_000_usize).prop_map(Do::Append),
        4 => any::<bool>().prop_map(Do::Complete),
        3 => (1..80_u64).prop_map(|mib| Do::Runway(mib << 20)),
        2 => Just(Do::CompleteRunway),
        1 => Just(Do::Prepare),
    ]
}

/// Seals what the log asks for; a block if it is ready for one.
fn seal_next(ledger: &mut Ledger, payload_size: usize) -> Option<Write> {
    Some(match step(ledger, payload_size.next_multiple_of(4) + 236) {
        Step::Seal => ledger.seal(&[payload_size]),
        Step::End => ledger.log.seal_end(&ledger.frontier),
        Step::Start => ledger.log.seal_start(&ledger.frontier),
        Step::Opening => ledger.log.seal_opening(&ledger.frontier),
        Step::Segment(_) | Step::Wait | Step::Closed => return None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn runway_and_data_never_meet(actions in prop::collection::vec(anything(), 1..150)) {
        let mut ledger = Ledger::create();
        let (mut data, mut runway): (Vec<Write>, Option<RunwayRange>) = (Vec::new(), None);
        let mut submitted_end = (0, 0);
        let mut zeroed: Vec<RunwayRange> = Vec::new();
        for action in actions {
            let ahead = zeroed.iter().filter(|range| submitted_end.0 <= range.segment).map(|range| {
                let from = if range.segment == submitted_end.0 { submitted_end.1 } else { 0 };
                (range.offset + range.size).saturating_sub(range.offset.max(from))
            });
            prop_assert!(ledger.log.runway_left() <= ahead.sum(), "what is left was written");
            match action {
                Do::Append(payload_size) => {
                    let Some(write) = seal_next(&mut ledger, payload_size) else { continue };
                    let end = write.offset + write.buffer.len() as u64;
                    let free = runway.is_none_or(|range| {
                        range.segment != write.segment || end <= range.offset || range.offset + range.size <= write.offset
                    });
                    prop_assert!(free, "{runway:?} {} {end}", write.offset);
                    prop_assert!(data.len() < IN_FLIGHT_MAX && submitted_end <= (write.segment, write.offset));
                    submitted_end = (write.segment, end);
                    data.push(write);
                }
                Do::Complete(newest_first) => {
                    let write = if newest_first { data.pop() } else { (!data.is_empty()).then(|| data.remove(0)) };
                    let Some(write) = write else { continue };
                    ledger.apply(&write);
                }
                Do::Runway(distance) => {
                    let Some(range) = ledger.log.next_runway(distance) else { continue };
                    prop_assert!(runway.is_none() && range.size <= RUNWAY_WRITE_SIZE_MAX && 0 < range.size);
                    prop_assert!(range.offset % PAGE == 0 && range.offset + range.size <= SIZE && PAGE <= range.offset);
                    prop_assert!(submitted_end <= (range.segment, range.offset), "{submitted_end:?} {range:?}");
                    runway = Some(range);
                }
                Do::CompleteRunway => {
                    let Some(range) = runway.take() else { continue };
                    ledger.disk.write(range.segment, range.offset, &PageBuffer::new(range.size as usize)).unwrap();
                    ledger.log.completed(range.ticket, Ok(())).unwrap();
                    zeroed.push(range);
                }
                Do::Prepare => {
                    let Some(number) = ledger.log.needs_segment() else { continue };
                    ledger.prepare(number);
                }
            }
        }
        for write in data {
            ledger.apply(&write);
        }
        if let Some(range) = runway {
            ledger.disk.write(range.segment, range.offset, &PageBuffer::new(range.size as usize)).unwrap();
        }
        let report = check(&ledger.disk, None, &mut |_| ControlFlow::Continue(())).unwrap();
        prop_assert_eq!(report.torn, None, "the zeros hit nothing");
        prop_assert_eq!(report.frames, ledger.log.next_index());
    }
}
