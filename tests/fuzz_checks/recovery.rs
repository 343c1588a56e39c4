//! Recovery, views and checks over the segments of a ledger that the input damages.
//!
//! The input is a short program: each step overwrites, zeroes, moves or swaps something in a valid ledger, drops or
//! duplicates a segment, or writes a frame or a first page anew with other fields and right sums. Random segments would
//! stop at the magic; so do damaged ones at the sums, unless a step makes those right again.
//!
//! Without such a forgery no frame may be shown that was not sealed. With forgeries, which need the segment's key, frames
//! may pass; then [`annals::check_ledger`] must find each record that nobody signed.

mod base;
mod steps;

use super::number;
use annals_core::body::Body;
use annals_core::limits::PAGE_SIZE;
use annals_storage::check::check;
use annals_storage::disk::{Disk, MemoryDisk};
use annals_storage::recovery::{Recovered, RecoveredFrame, RecoveryError, recover};
use annals_storage::view::View;
use base::{Base, base};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use steps::Steps;
use xxhash_rust::xxh3::xxh3_64;

/// Segments by number.
type Segments = BTreeMap<u64, Vec<u8>>;

/// Takes every frame that is shown.
struct Witness<'a> {
    base: &'a Base,
    /// Whether sums were made right again.
    forged: bool,
    frames: u64,
    frames_max: u64,
    /// Whether a record was shown that nobody signed.
    unsigned: bool,
}

impl Witness<'_> {
    fn see(&mut self, frame: RecoveredFrame<'_>) -> ControlFlow<()> {
        self.frames += 1;
        assert!(self.frames <= self.frames_max, "more frames than there are pages");
        let header = frame.header;
        let sealed = self.base.frames.get(&(header.segment, header.offset, *header.checksum.as_bytes()));
        // A view shows its first frame without a body, which is a start frame.
        let is_sealed = sealed.is_some_and(|body| body[..] == *frame.body);
        assert!(self.forged || is_sealed, "frame {} was never sealed", header.index);
        if let Ok(body) = Body::parse(frame.body) {
            self.unsigned |= body.heads().iter().any(|head| !self.base.heads.contains(head));
        }
        ControlFlow::Continue(())
    }
}

/// Equal for equal segments.
fn digest(segments: &Segments) -> Vec<(u64, u64)> {
    segments.iter().map(|(number, bytes)| (*number, xxh3_64(bytes))).collect()
}

/// Whatever became of a ledger, looking at it ends, and shows what was sealed and signed.
pub fn recovery(data: &[u8]) {
    let base = base();
    let (choice, program) = number(data);
    let mut segments = base.segments[choice % base.segments.len()].clone();
    let forged = Steps::new(program).run(&mut segments);
    let bytes: usize = segments.values().map(Vec::len).sum();
    let witness = || Witness { base, forged, frames: 0, frames_max: (bytes / PAGE_SIZE) as u64, unsigned: false };
    let before = digest(&segments);
    let disk = MemoryDisk::new();
    disk.restore(segments);
    let ledger = (choice >> 8 & 1 == 1).then_some(base.ledger);

    let mut seen = witness();
    if let Ok(mut view) = View::open(&disk, ledger, &mut |frame| seen.see(frame)) {
        let refreshed = view.refresh(&disk, &mut |frame| seen.see(frame));
        assert!(refreshed.is_ok(), "what a view opened it reads again: {refreshed:?}");
    }
    let mut seen = witness();
    let checked = check(&disk, ledger, &mut |frame| seen.see(frame));
    if checked.is_ok() && (seen.unsigned || choice >> 9 == 0x7F) {
        base::judge(&disk.snapshot(), base);
    }
    let mut seen = witness();
    let recovered = recover(&disk, ledger, &mut |frame| seen.see(frame));
    assert_eq!(digest(&disk.snapshot()), before, "looking changes nothing");
    if let Ok(recovered) = recovered {
        settle(&disk, &recovered, witness()).expect("what recovery found it finds again");
    }
}

/// A ledger that was settled ends where recovery had said, and there is nothing left to cut.
fn settle(disk: &MemoryDisk, recovered: &Recovered, mut seen: Witness<'_>) -> Result<(), RecoveryError> {
    recovered.settle(disk)?;
    let before = disk.bytes_read();
    let again = recover(disk, None, &mut |frame| seen.see(frame))?;
    let size: u64 = disk.segments()?.iter().map(|file| file.size).sum();
    assert!(disk.bytes_read() - before <= size, "no byte is read twice");
    assert_eq!((again.cut, again.tail.index), (None, recovered.tail.index), "a cut is done once");
    assert_eq!((&again.tail.place, again.tail.newest), (&recovered.tail.place, recovered.tail.newest));
    Ok(())
}

/// Programs that reach each step, on the ledgers in turn.
pub fn recovery_seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![], vec![1, 0], vec![2, 1], vec![3, 0xFF]];
    for step in 0..steps::COUNT {
        let [choice, segment, page, offset] = [step % 4, step / 2, 3 * step, 17 * step];
        seeds.push(vec![choice, step & 1, step, segment, page, offset, 1, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    }
    seeds
}
