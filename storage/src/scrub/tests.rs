//! Scrubbing ledgers that are written to: what is durable is read, what is not is left alone, damage is named.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

use core::ops::ControlFlow;

use super::*;
use crate::disk::MemoryDisk;
use crate::fixture::{LEDGER, Ledger, SIZE};

/// Two closed segments and an open one, not closed; the end of its last block.
fn ledger() -> (Ledger, DurableEnd) {
    let mut ledger = Ledger::create();
    while ledger.blocks.last().is_none_or(|last| last.segment < 2 || last.offset < 400_000) {
        ledger.append(&[10, 90_000, 70_000]);
        let slot = ledger.slot();
        ledger.log.add_checkpoint(slot);
    }
    let last = *ledger.blocks.last().unwrap();
    let mut end = last.offset;
    scrub(&ledger.disk, LEDGER, DurableEnd { segment: last.segment, offset: last.offset + 1 }, &mut |frame| {
        end = frame.header.end();
        ControlFlow::Continue(())
    })
    .unwrap();
    (ledger, DurableEnd { segment: last.segment, offset: end })
}

fn heights(disk: &MemoryDisk, end: DurableEnd) -> Result<Vec<u64>, RecoveryError> {
    let mut heights = Vec::new();
    scrub(disk, LEDGER, end, &mut |frame| {
        heights.extend(frame.header.block().map(|block| block.header.height));
        ControlFlow::Continue(())
    })?;
    Ok(heights)
}

#[test]
fn every_durable_block_is_met_and_what_lies_behind_is_left_alone() {
    let (ledger, end) = ledger();
    let all: Vec<u64> = (0..ledger.blocks.len() as u64).collect();
    assert_eq!(heights(&ledger.disk, end).unwrap(), all);
    // The writer is in the middle of the next frame.
    let mut snapshot = ledger.disk.snapshot();
    let segment = snapshot.get_mut(&end.segment).unwrap();
    segment[end.offset as usize..][..700].fill(0xE1);
    ledger.disk.restore(snapshot);
    assert_eq!(heights(&ledger.disk, end).unwrap(), all);
    // An earlier end shows less.
    let first = DurableEnd { segment: 1, offset: FIRST_FRAME_OFFSET };
    assert_eq!(heights(&ledger.disk, first).unwrap().len(), ledger.blocks.iter().filter(|at| at.segment == 0).count());
}

#[test]
fn flipped_bits_below_the_end_are_found_and_named() {
    let (ledger, end) = ledger();
    let sound = ledger.disk.snapshot();
    let places = (0..3).flat_map(|segment| (0..SIZE).step_by(30_011).map(move |offset| (segment, offset)));
    let mut count = 0;
    for (segment, offset) in places.filter(|place| *place < (end.segment, end.offset)) {
        let mut damaged = sound.clone();
        damaged.get_mut(&segment).unwrap()[offset as usize] ^= 1 << (offset % 8);
        ledger.disk.restore(damaged);
        let error = heights(&ledger.disk, end).unwrap_err();
        let (at, from) = error.place().unwrap();
        assert!(at == segment && from <= offset, "{segment} {offset}: {error}");
        count += 1;
    }
    assert!(100 < count);
}

#[test]
fn a_frame_that_was_durable_and_is_gone_is_found() {
    let (ledger, end) = ledger();
    let mut snapshot = ledger.disk.snapshot();
    let last = *ledger.blocks.last().unwrap();
    snapshot.get_mut(&last.segment).unwrap()[last.offset as usize..].fill(0);
    ledger.disk.restore(snapshot.clone());
    let error = heights(&ledger.disk, end).unwrap_err();
    assert!(
        matches!(error, RecoveryError::DurableLost { segment, offset, .. } if (segment, offset) == (last.segment, last.offset))
    );
    // A closed segment that lost its end.
    let end_frame = ledger.blocks.iter().rfind(|place| place.segment == 1).unwrap();
    snapshot.get_mut(&1).unwrap()[end_frame.offset as usize..].fill(0);
    ledger.disk.restore(snapshot);
    assert!(matches!(heights(&ledger.disk, end).unwrap_err(), RecoveryError::DurableLost { segment: 1, .. }));
}

#[test]
fn a_segment_of_another_history_does_not_follow() {
    let ((ours, end), (theirs, _)) = (ledger(), {
        let mut theirs = Ledger::create();
        while theirs.blocks.last().is_none_or(|last| last.segment < 1) {
            theirs.append(&[20, 90_000, 70_000]);
        }
        (theirs, ())
    });
    let (mut mixed, other) = (ours.disk.snapshot(), theirs.disk.snapshot());
    mixed.insert(0, other[&0].clone());
    ours.disk.restore(mixed);
    // Each segment is right by itself; the chain is not.
    let error = heights(&ours.disk, end).unwrap_err();
    assert!(matches!(error, RecoveryError::Damaged { segment: 1, offset: FIRST_FRAME_OFFSET, .. }), "{error}");
}
