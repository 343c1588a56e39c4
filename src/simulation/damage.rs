//! Damage to a ledger that was closed cleanly: no crash explains it, so it is found; and nothing wrong is ever shown.

use super::model::Model;
use super::plan::{Plan, SEGMENT_SIZE};
use super::process::Process;
use super::world::World;
use crate::options::Options;
use annals_storage::check::check;
use annals_storage::disk::{Dice, Disk, SimulatedDisk};
use std::ops::ControlFlow;

/// Damages tried in a run.
const DAMAGES: u64 = 6;

/// Damages copies of the disk, one at a time; how many were found.
pub(super) fn damage(world: &World, model: &mut Model, plan: &Plan, dice: &mut Dice) -> u64 {
    let mut found = 0;
    let sound = model.check_disk(world, &world.disk);
    for _ in 0..DAMAGES {
        let disk = world.disk.copy(dice.roll());
        let Some((spoilt, what)) = spoil(&disk, dice) else { continue };
        match check(&disk, Some(world.ledger), &mut |_| ControlFlow::Continue(())) {
            Err(error) => {
                assert!(error.place().is_some() || error.code() == "recovery.disk", "{what}: {error} names the place");
                found += 1;
            }
            // A closing mark itself is gone: for all that anybody can tell it was never written, and nothing else is missing.
            Ok(report) => assert!(
                spoilt == Spoilt::Page && report.newest == sound.newest,
                "{what}: not found: {report:?}\n{sound:?}"
            ),
        }
        show_nothing_wrong(world, &disk, model, plan, &what);
    }
    found
}

/// What was done to a disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Spoilt {
    /// A page is gone, as if it had never been written.
    Page,
    /// Anything else.
    Else,
}

/// Damages a disk in one way; what it did.
fn spoil(disk: &SimulatedDisk, dice: &mut Dice) -> Option<(Spoilt, String)> {
    let segments = disk.segments().unwrap();
    let segment = dice.below(segments.len() as u64);
    let used = disk.used_pages(segment);
    let page = *used.get(usize::try_from(dice.below(used.len() as u64)).unwrap_or(0))?;
    match dice.below(6) {
        0 => {
            let (offset, bit) = (page * 4096 + dice.below(4096), dice.below(8));
            disk.flip_bit(segment, offset, u8::try_from(bit).unwrap_or(0));
            Some((Spoilt::Else, format!("bit {bit} of byte {offset} of segment {segment} flipped")))
        }
        1 => {
            let (offset, bit) = (dice.below(SEGMENT_SIZE), dice.below(8));
            disk.flip_bit(segment, offset, u8::try_from(bit).unwrap_or(0));
            Some((Spoilt::Else, format!("bit {bit} of byte {offset} of segment {segment}, used or not, flipped")))
        }
        2 => {
            disk.lose_page(segment, page);
            Some((Spoilt::Page, format!("page {page} of segment {segment} lost")))
        }
        3 => {
            let to = dice.below(SEGMENT_SIZE / 4096);
            if to == page {
                return None;
            }
            disk.misdirect_page(segment, page, to);
            Some((Spoilt::Page, format!("page {page} of segment {segment} landed at page {to}")))
        }
        4 => {
            // Without its newest segment a ledger is one that ended before: only a checkpoint from outside tells.
            let has_later = (segment + 1..segments.len() as u64).any(|later| 1 < disk.used_pages(later).len());
            if !has_later {
                return None;
            }
            disk.remove(segment);
            Some((Spoilt::Else, format!("segment {segment} removed")))
        }
        _ => {
            disk.set_unreadable(Some(segment));
            Some((Spoilt::Else, format!("segment {segment} unreadable")))
        }
    }
}

/// Opened all the same, a damaged ledger shows what was recorded, or says that it can't.
fn show_nothing_wrong(world: &World, disk: &SimulatedDisk, model: &mut Model, plan: &Plan, what: &str) {
    let options = Options {
        ring_size: 8 << 20,
        author_count_max: plan.author_count_max,
        accept_clock: true,
        ..Options::default()
    };
    let Ok(process) = Process::open(world, disk, &options) else { return };
    let reader = process.reader();
    for seq in 0..reader.next_seq() {
        if let Ok(record) = reader.get(seq) {
            assert_eq!(record.seq(), seq, "{what}");
            model.check_record(&record);
        }
    }
    if let Ok(note) = reader.checkpoint() {
        model.note_root(world, &note);
    }
}
