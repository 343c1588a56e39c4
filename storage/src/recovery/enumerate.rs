//! Recovery against every state that a power cut can leave of a small ledger, not a sample of them.
//!
//! The ledger is made through the real log, over two segments, on a disk whose content is a value. What a power cut leaves
//! follows from three facts: a completed write is there; of a write in flight any set of sectors is there, each
//! whole; fresh space is zero. So the states can be listed, and each of them has one right answer, known without recovery:
//! the ledger ends behind the frames that are whole and have no gap below them. [`survey`] compares recovery with it,
//! byte for byte, and [`enumerate`] goes on from there: it crashes again at each write that recovery itself makes, and
//! while the ledger is opened again, until no new state turns up.
//!
//! | file | which states |
//! |---|---|
//! | `schedules.rs` | each set of writes in flight that landed, at each moment of each order of sealing and completing |
//! | `sectors.rs` | each set of sectors of two frames in flight, each set of their pages whole, torn or missing |
//! | `volatile.rs` | the writer was killed, recovery read frames that were only in a cache, then the power went |
//! | `liars.rs` | zeros that recovery had written were lost again; a frame that was durable has gone bad |
//!
//! Recovery must refuse none of them but those of `liars.rs`. Each test asserts how many states there are, by a count made
//! from the rules of the log and not from what the enumeration did: a loop that is empty by mistake fails.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "tests, which say how much they have tried"
)]

mod image;
mod liars;
mod schedules;
mod sectors;
mod volatile;

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

use super::{Cut, Place, Recovered, RecoveredFrame, RecoveryError, recover};
use crate::check::check;
use crate::device::Write;
use crate::fixture::{LEDGER, Ledger, Next, segment};
use crate::frame::{FrameHeader, FrameKind, Location};
use crate::segment::FIRST_FRAME_OFFSET;
use image::{Extent, Image, SparseDisk};

/// Two cores are what the smallest machine that builds this has.
const THREADS: usize = 2;

/// A frame that the log sealed.
#[derive(Debug)]
struct Sealed {
    header: FrameHeader,
    extent: Extent,
}

impl Sealed {
    fn new(write: &Write) -> Arc<Self> {
        let bytes: Arc<[u8]> = write.buffer[..].into();
        let header = FrameHeader::parse(&segment(write.segment), write.offset, &bytes).unwrap();
        Arc::new(Self { header, extent: Extent { segment: write.segment, offset: write.offset, bytes } })
    }

    /// Where the frame behind it goes.
    fn next(&self) -> Location {
        match self.header.kind {
            FrameKind::End => Location { segment: self.header.segment + 1, offset: FIRST_FRAME_OFFSET },
            FrameKind::Start | FrameKind::Block | FrameKind::Watermark => {
                Location { segment: self.header.segment, offset: self.header.end() }
            }
        }
    }

    fn is(&self, found: &RecoveredFrame<'_>) -> bool {
        let body = self.header.size.header_bytes()..self.header.size.header_bytes() + self.header.size.body_size;
        let same_place = self.header.location() == found.header.location();
        same_place && self.header.checksum == found.header.checksum && self.extent.bytes[body] == *found.body
    }
}

/// What a power cut left, and what is known of it.
#[derive(Clone, Debug)]
struct State {
    image: Image,
    /// All frames that were sealed, from index 0 on.
    frames: Arc<[Arc<Sealed>]>,
    /// Frames that the log had called durable.
    durable: usize,
}

impl State {
    /// Frames that are whole and have no gap below them: what recovery has to find.
    fn landed(&self) -> usize {
        let above = self.frames[self.durable..].iter();
        self.durable + above.take_while(|frame| self.image.holds(&frame.extent)).count()
    }

    fn with(&self, image: Image) -> Self {
        Self { image, ..self.clone() }
    }

    /// Where the frame behind the first `count` ones goes.
    fn tail(&self, count: usize) -> Location {
        let last = count.checked_sub(1).map(|last| self.frames[last].next());
        last.unwrap_or(Location { segment: 0, offset: FIRST_FRAME_OFFSET })
    }
}

/// Recovery of one state.
#[derive(Debug)]
struct Survey {
    cut: Option<Cut>,
    /// The image behind [`Recovered::settle`], and the writes that led to it.
    settled: Image,
    writes: Vec<Extent>,
}

/// Recovers, and compares every frame that is shown with the frame that was sealed. Says how many frames there are.
fn read(disk: &SparseDisk, frames: &[Arc<Sealed>]) -> Result<Recovered, RecoveryError> {
    let mut last = None;
    let recovered = recover(disk, Some(LEDGER), &mut |found| {
        let index = found.header.index as usize;
        assert!(frames.get(index).is_some_and(|frame| frame.is(&found)), "frame {index} is not as it was sealed");
        assert!(last.is_none_or(|last| last + 1 == index), "frame {index} behind frame {last:?}");
        last = Some(index);
        ControlFlow::Continue(())
    })?;
    assert_eq!(recovered.tail.index as usize, last.map_or(0, |last| last + 1), "the tail is behind the last frame");
    assert!(disk.take_writes().is_empty(), "recovery changes nothing");
    Ok(recovered)
}

/// Recovers a state that must not be refused, and settles it.
fn survey(state: &State) -> Survey {
    let (disk, landed) = (SparseDisk::new(&state.image), state.landed());
    let recovered = match read(&disk, &state.frames) {
        Ok(recovered) => recovered,
        Err(error) => panic!("refused: {error}\nof {} frames {landed} are whole", state.frames.len()),
    };
    assert_eq!(recovered.tail.index as usize, landed, "frames found; {} were durable", state.durable);
    let tail = state.tail(landed);
    let place = match &recovered.tail.place {
        Place::Open { segment, offset } => Location { segment: segment.number, offset: *offset },
        Place::Start { number } => Location { segment: *number, offset: FIRST_FRAME_OFFSET },
    };
    assert_eq!(place, tail, "where the next frame goes");
    recovered.settle(&disk).unwrap();
    let settled = disk.image();
    assert_eq!(settled, state.image.below(tail), "what is kept is as it was, all above is zero");
    Survey { cut: recovered.cut, settled, writes: disk.take_writes() }
}

/// All that was met, by the fingerprints of the images.
#[derive(Debug, Default)]
struct Met {
    states: HashSet<u128>,
    /// Those of them that the caller gave.
    given: HashSet<u128>,
    /// The states with how deep they lay: the deeper, the less follows.
    done: HashSet<(u128, Depth)>,
    /// Images that the ledger went on from.
    opened: HashSet<(u128, Depth)>,
}

/// What an enumeration came to.
#[derive(Clone, Copy, Debug)]
struct Tally {
    /// Different states that the caller gave.
    given: usize,
    /// Different states behind them: crashes while recovering, and while opening again.
    behind: usize,
    /// Different images that the ledger went on from.
    opened: usize,
}

impl Tally {
    fn print(&self, what: &str) {
        let Self { given, behind, opened } = self;
        println!("enumerated {} states: {given} of {what}, {behind} crashes behind, {opened} went on", given + behind);
    }
}

/// Which crashes follow while recovery cuts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Again {
    /// None.
    Never,
    /// Behind each write; what a torn one leaves is among the states given.
    Between,
    /// Behind each write, and in the first cut also with sets of the sectors of each.
    Torn,
}

/// How a state lies behind those of the caller.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
struct Depth {
    /// A cut was broken off.
    cut: bool,
    /// The ledger was opened again behind a cut.
    opened: bool,
}

/// Recovers each state, crashes at each write of recovery and of the opening mark, and goes on from what was settled.
fn enumerate(states: impl IntoIterator<IntoIter: Send, Item = State>, again: Again) -> Tally {
    let (met, given) = (Mutex::new(Met::default()), Mutex::new(states.into_iter()));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let Some(state) = given.lock().next() else { return };
                    let mut work = vec![(state, Depth::default())];
                    while let Some((state, depth)) = work.pop() {
                        step(&met, &state, depth, again, &mut work);
                    }
                }
            });
        }
    });
    let Met { states, given, done: _, opened } = met.into_inner();
    let opened: HashSet<_> = opened.into_iter().map(|(fingerprint, _)| fingerprint).collect();
    Tally { given: given.len(), behind: states.len() - given.len(), opened: opened.len() }
}

/// Recovers one state, unless it was met before, and adds what can follow from it.
fn step(met: &Mutex<Met>, state: &State, depth: Depth, again: Again, next: &mut Vec<(State, Depth)>) {
    if !met.lock().note(&state.image, depth) {
        return;
    }
    let Survey { settled, writes, .. } = survey(state);
    if again != Again::Never {
        let images = crashes_between(&state.image, &writes, again == Again::Torn && depth == Depth::default());
        let deeper = Depth { cut: true, ..depth };
        next.extend(images.into_iter().map(|image| (state.with(image), deeper)));
    }
    let settled_depth = Depth { cut: false, ..depth };
    if met.lock().opened.insert((settled.fingerprint(), settled_depth)) {
        let opening = go_on(state, &settled);
        if !depth.opened {
            let deeper = Depth { opened: true, ..settled_depth };
            next.extend(crashes_of_mark(state, &settled, &opening).map(|state| (state, deeper)));
        }
    }
}

impl Met {
    /// Whether a state is new at this depth.
    fn note(&mut self, image: &Image, depth: Depth) -> bool {
        let fingerprint = image.fingerprint();
        self.states.insert(fingerprint);
        if depth == Depth::default() {
            self.given.insert(fingerprint);
        }
        self.done.insert((fingerprint, depth))
    }
}

/// Images between writes of which each was synced before the next: behind each one, and with the last one torn.
fn crashes_between(before: &Image, writes: &[Extent], torn: bool) -> Vec<Image> {
    let (mut images, mut image) = (Vec::new(), before.clone());
    for page in writes.iter().flat_map(Extent::pages) {
        // A page that is written as it was leaves nothing behind that is new.
        if image.holds(&page) {
            continue;
        }
        if torn {
            let there = image.page(page.segment, page.offset).unwrap().clone();
            let used = Extent { bytes: there, ..page.clone() }.used_sectors();
            for keep in tears(&used) {
                let mut image = image.clone();
                image.put_sectors(&page, |sector| !keep.contains(&sector));
                images.push(image);
            }
        }
        image.put(&page);
        images.push(image.clone());
    }
    images
}

/// Sets of the used sectors of a page that a torn write may keep: all but one, only one, the first and the last so many.
fn tears(used: &[usize]) -> HashSet<Vec<usize>> {
    let mut sets = HashSet::new();
    for at in 0..used.len() {
        sets.extend([used[at..=at].to_vec(), used[..at].to_vec(), used[at..].to_vec()]);
        sets.insert(used.iter().copied().filter(|sector| *sector != used[at]).collect());
    }
    sets
}

/// The ledger goes on from a settled image: opens, takes blocks, closes, and is sound. Returns the mark that opened it.
fn go_on(state: &State, settled: &Image) -> Write {
    let disk = SparseDisk::new(settled);
    let mut ledger = Ledger::open(&disk).unwrap();
    assert_eq!(disk.image(), *settled, "a settled ledger is opened as it is");
    let mut fork = ledger.clone();
    let opening = loop {
        match fork.next(&[50]) {
            Next::Mark(write) => break write,
            Next::Segment(number) => fork.prepare(number),
            other @ (Next::Block(_) | Next::Wait) => panic!("{other:?} before the opening mark"),
        }
    };
    ledger.append(&[50]);
    ledger.append(&[60_000]);
    ledger.close();
    let (mut kept, landed) = (0, state.landed());
    let report = check(&disk, Some(LEDGER), &mut |found| {
        if kept < landed {
            assert!(state.frames[kept].is(&found), "frame {kept} is not as it was sealed");
            kept += 1;
        }
        ControlFlow::Continue(())
    });
    let (report, blocks) =
        (report.unwrap(), state.frames[..landed].iter().filter(|frame| frame.header.block().is_some()));
    assert_eq!((report.blocks as usize, kept, report.closed, report.torn), (blocks.count() + 2, landed, true, None));
    opening
}

/// Each set of sectors of the mark that opens a settled ledger again.
fn crashes_of_mark(state: &State, settled: &Image, opening: &Write) -> impl Iterator<Item = State> {
    let (mark, landed) = (Sealed::new(opening), state.landed());
    let frames: Arc<[_]> = state.frames[..landed].iter().cloned().chain([Arc::clone(&mark)]).collect();
    let mut before = settled.clone();
    if before.page(mark.extent.segment, 0).is_none() {
        let header = segment(mark.extent.segment);
        before.create(header.number, header.size, &header.encode());
    }
    let images = subsets(mark.extent.used_sectors()).map(move |kept| {
        let mut image = before.clone();
        image.put_sectors(&mark.extent, |sector| kept.contains(&sector));
        image
    });
    images.map(move |image| State { image, frames: Arc::clone(&frames), durable: landed })
}

/// Each subset of some things.
fn subsets<T: Copy>(things: Vec<T>) -> impl Iterator<Item = Vec<T>> {
    assert!(things.len() < 32, "so many subsets cannot be listed");
    (0..1_u32 << things.len()).map(move |set| {
        let kept = (0..).zip(&things).filter(|(bit, _)| set >> bit & 1 == 1);
        kept.map(|(_, thing)| *thing).collect()
    })
}

/// The frames of a sound ledger.
fn frames_of(image: &Image) -> Vec<Arc<Sealed>> {
    let mut frames = Vec::new();
    check(&SparseDisk::new(image), Some(LEDGER), &mut |found| {
        let header = found.header.clone();
        let extent = image.extent(header.segment, header.offset, header.end());
        frames.push(Arc::new(Sealed { header, extent }));
        ControlFlow::Continue(())
    })
    .unwrap();
    frames
}

/// Two blocks in flight together behind a small ledger; nothing of them landed.
fn two_in_flight(first: &[usize], second: &[usize]) -> State {
    let mut ledger = Ledger::create_on(SparseDisk::default());
    ledger.append(&[300]);
    ledger.append(&[2000, 10, 5000]);
    ledger.append(&[700]);
    let image = ledger.disk.image();
    let mut frames = frames_of(&image);
    let durable = frames.len();
    frames.extend([first, second].map(|sizes| Sealed::new(&ledger.seal(sizes))));
    State { image, frames: frames.into(), durable }
}
