//! A view beside a writer: what it shows, when, and what it never shows.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use core::ops::ControlFlow;

use super::*;
use crate::fixture::{LEDGER, Ledger, change, push_frame, write_sectors};
use annals_core::tree::Frontier;

/// What somebody sees who follows a view.
struct Follower {
    view: View,
    heights: Vec<u64>,
    frontier: Frontier,
}

fn see<'a>(
    heights: &'a mut Vec<u64>,
    frontier: &'a mut Frontier,
) -> impl FnMut(RecoveredFrame<'_>) -> ControlFlow<()> + 'a {
    |frame| {
        push_frame(frontier, &frame);
        heights.extend(frame.header.block().map(|block| block.header.height));
        ControlFlow::Continue(())
    }
}

impl Follower {
    fn open(ledger: &Ledger) -> Result<Self, RecoveryError> {
        let (mut heights, mut frontier) = (Vec::new(), Frontier::new());
        let view = View::open(&ledger.disk, Some(LEDGER), &mut see(&mut heights, &mut frontier))?;
        Ok(Self { view, heights, frontier })
    }

    fn refresh(&mut self, ledger: &Ledger) -> &[u64] {
        self.view.refresh(&ledger.disk, &mut see(&mut self.heights, &mut self.frontier)).unwrap();
        &self.heights
    }
}

#[test]
fn a_block_is_shown_once_a_later_frame_says_it_is_durable() {
    let mut ledger = Ledger::create();
    let mut follower = Follower::open(&ledger).unwrap();
    ledger.append(&[1]);
    assert_eq!(follower.refresh(&ledger), [0; 0]);
    ledger.append(&[2]);
    assert_eq!(follower.refresh(&ledger), [0]);
    let (first, second) = (ledger.seal(&[3]), ledger.seal(&[4]));
    ledger.disk.write(second.segment, second.offset, &second.buffer).unwrap();
    write_sectors(&ledger.disk, &first, |sector| sector < 8);
    assert_eq!(follower.refresh(&ledger), [0], "nothing in flight is shown");
    ledger.apply(&first);
    // Both were sealed when block 1 was durable.
    assert_eq!(follower.refresh(&ledger), [0, 1]);
    ledger.apply(&second);
    let mark = ledger.log.seal_watermark(&ledger.frontier).unwrap();
    ledger.apply(&mark);
    assert_eq!(follower.refresh(&ledger), [0, 1, 2, 3]);
    assert_eq!(follower.refresh(&ledger), [0, 1, 2, 3], "nothing is shown twice");
    assert_eq!((follower.frontier, follower.view.durable()), (ledger.frontier, ledger.log.durable() - 1));
}

#[test]
fn it_follows_through_segments() {
    let mut ledger = Ledger::create();
    let mut follower = Follower::open(&ledger).unwrap();
    for _ in 0..30 {
        ledger.append(&[300_000]);
        follower.refresh(&ledger);
    }
    ledger.close();
    assert_eq!(follower.refresh(&ledger), (0..30).collect::<Vec<u64>>());
    assert_eq!(follower.frontier, ledger.frontier);
    assert!(3 < follower.view.segment());
}

#[test]
fn opened_late_it_starts_at_the_newest_segment_that_has_begun() {
    let mut ledger = Ledger::create();
    while ledger.log.location().is_none_or(|tail| tail.segment < 2) {
        ledger.append(&[400_000]);
    }
    let number = ledger.log.needs_segment().unwrap();
    ledger.prepare(number);
    ledger.append(&[10]);
    let follower = Follower::open(&ledger).unwrap();
    let newest = ledger.newest.unwrap().height;
    assert_eq!(follower.heights, [newest - 1], "the block before the newest one; older ones lie in other segments");
}

#[test]
fn a_cut_tail_is_never_shown_and_what_replaces_it_is() {
    let mut ledger = Ledger::create();
    ledger.append(&[1]);
    ledger.append(&[2]);
    let mut follower = Follower::open(&ledger).unwrap();
    let (first, second) = (ledger.seal(&[300]), ledger.seal(&[4]));
    ledger.disk.write(second.segment, second.offset, &second.buffer).unwrap();
    write_sectors(&ledger.disk, &first, |sector| sector != 9);
    assert_eq!(follower.refresh(&ledger), [0]);
    let mut again = Ledger::open(&ledger.disk).unwrap();
    again.append(&[77]);
    again.close();
    assert_eq!(follower.refresh(&again), [0, 1, 2]);
    assert_eq!(follower.frontier, again.frontier);
}

#[test]
fn a_durable_frame_that_is_bad_is_refused() {
    let mut ledger = Ledger::create();
    for size in [1, 2, 3, 4] {
        ledger.append(&[size]);
    }
    let before = ledger.disk.snapshot();
    ledger.disk.flip_bit(0, ledger.blocks[1].offset + 300, 0);
    assert_eq!(Follower::open(&ledger).err().unwrap().code(), "recovery.damaged");
    ledger.disk.restore(before);
    change(&ledger.disk, ledger.blocks[1], 1, |page| page.fill(0));
    assert_eq!(Follower::open(&ledger).err().unwrap().code(), "recovery.durable_lost");
}

#[test]
fn an_empty_ledger_has_a_view() {
    let follower = Follower::open(&Ledger::create()).unwrap();
    assert!(follower.heights.is_empty());
}
