//! Every order in which the log can seal, create and complete, and at every moment each set of writes in flight that landed.
//!
//! [`Moment`] is what is known at one moment; [`explore`] does from each of them all that the log allows, one thing at a
//! time, and collects what a power cut there would leave. The engine's own choices are a subset of these.

use std::collections::HashMap;

use super::*;
use crate::fixture::SIZE;
use crate::log::CloseStep;
use crate::view::View;
use annals_core::limits::PAGE_SIZE;

/// What a script asks for, in order.
#[derive(Clone, Copy, Debug)]
enum Ask {
    /// A block of records of these sizes, with the marks that come before it.
    Block(&'static [usize]),
    /// The watermark of an idle moment.
    Watermark,
    /// A checkpoint of the newest block is ready to be stored.
    Checkpoint,
    /// The clean close.
    Close,
}

/// What may happen beside the script.
#[derive(Clone, Copy, Debug)]
struct Beside {
    /// The next segment is created, at any moment.
    segments: bool,
    /// Zeros are written ahead of the data, this many bytes.
    runway: u64,
}

const NOTHING: Beside = Beside { segments: false, runway: 0 };

/// One moment of a ledger that is being written.
#[derive(Clone)]
struct Moment {
    ledger: Ledger<SparseDisk>,
    /// What has completed.
    image: Image,
    frames: Vec<Arc<Sealed>>,
    /// In flight: frames, and zeros of the runway.
    flying: Vec<(u64, Extent)>,
    asked: usize,
}

impl Moment {
    /// A ledger that is opened on `image`, which holds `frames`, all durable.
    fn new(image: &Image, frames: &[Arc<Sealed>]) -> Self {
        let ledger = Ledger::open(&SparseDisk::new(image)).unwrap();
        Self { ledger, image: image.clone(), frames: frames.to_vec(), flying: Vec::new(), asked: 0 }
    }

    /// What the log, the script and the disk make different; the image follows from it.
    fn key(&self) -> String {
        let flying: Vec<u64> = self.flying.iter().map(|(ticket, _)| *ticket).collect();
        format!("{:?} {flying:?} {}", self.ledger.log, self.asked)
    }

    fn submit(mut self, write: &Write, asked: usize) -> Self {
        let sealed = Sealed::new(write);
        self.flying.push((write.ticket, sealed.extent.clone()));
        self.frames.push(sealed);
        self.asked += asked;
        self
    }

    /// Each moment that can be next.
    fn nexts(&self, script: &[Ask], beside: Beside) -> Vec<Self> {
        let mut nexts = Vec::new();
        for at in 0..self.flying.len() {
            let mut next = self.clone();
            let (ticket, extent) = next.flying.remove(at);
            next.image.put(&extent);
            next.ledger.log.completed(ticket, Ok(())).unwrap();
            nexts.push(next);
        }
        if beside.segments
            && let Some(number) = self.ledger.log.needs_segment()
        {
            nexts.push(self.clone().create(number));
        }
        let mut next = self.clone();
        if let Some(range) = next.ledger.log.next_runway(beside.runway) {
            let bytes = vec![0; range.size as usize].into();
            next.flying.push((range.ticket, Extent { segment: range.segment, offset: range.offset, bytes }));
            nexts.push(next);
        }
        nexts.extend(script.get(self.asked).and_then(|ask| self.clone().ask(*ask)));
        nexts
    }

    fn create(mut self, number: u64) -> Self {
        self.image.create(number, SIZE, &segment(number).encode());
        self.ledger.log.set_prepared(segment(number));
        self
    }

    /// The moment behind the next thing that the script asks for; none if something has to complete before.
    fn ask(mut self, ask: Ask) -> Option<Self> {
        match ask {
            Ask::Block(sizes) => match self.ledger.next(sizes) {
                Next::Block(write) => Some(self.submit(&write, 1)),
                Next::Mark(write) => Some(self.submit(&write, 0)),
                Next::Segment(number) => Some(self.create(number)),
                Next::Wait => None,
            },
            Ask::Watermark => {
                let write = self.ledger.log.seal_watermark(&self.ledger.frontier)?;
                Some(self.submit(&write, 1))
            }
            Ask::Checkpoint => {
                self.ledger.log.add_checkpoint(self.ledger.slot());
                self.asked += 1;
                Some(self)
            }
            Ask::Close => match self.ledger.log.close_step().unwrap() {
                CloseStep::Mark => {
                    let write = self.ledger.log.seal_close(&self.ledger.frontier);
                    Some(self.submit(&write, 0))
                }
                CloseStep::Wait | CloseStep::Closed => None,
            },
        }
    }

    /// What a power cut at this moment can leave, writes landing whole or not at all.
    fn crashes(&self) -> impl Iterator<Item = State> {
        let frames: Arc<[_]> = self.frames.as_slice().into();
        (0..1_u32 << self.flying.len()).map(move |set| {
            let mut image = self.image.clone();
            for (bit, (_, extent)) in self.flying.iter().enumerate() {
                if set >> bit & 1 == 1 {
                    image.put(extent);
                }
            }
            State { image, frames: Arc::clone(&frames), durable: self.ledger.log.durable() as usize }
        })
    }
}

/// All states that a power cut can leave while a script runs, each once, with all that was ever durable in it.
fn explore(from: Moment, script: &[Ask], beside: Beside) -> Vec<State> {
    let mut states: HashMap<u128, State> = HashMap::new();
    let mut met = HashSet::from([from.key()]);
    let mut work = vec![from];
    while let Some(moment) = work.pop() {
        for state in moment.crashes() {
            let known = states.entry(state.image.fingerprint()).or_insert_with(|| state.clone());
            if known.durable < state.durable {
                *known = state;
            }
        }
        work.extend(moment.nexts(script, beside).into_iter().filter(|next| met.insert(next.key())));
    }
    states.into_values().collect()
}

/// How a frame can be sealed, by the rules at the head of `log.rs`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rule {
    /// While the one before is in flight or when it is durable; the next one may be sealed at once.
    Free,
    /// When nothing is in flight; the next one may be sealed at once.
    Idle,
    /// When nothing is in flight, and it is waited for.
    IdleAlone,
}

/// How many different images there are of frames that land in part, from the rules alone.
///
/// A frame says how far all was durable when it was sealed. So one that can be sealed in two situations has two contents,
/// and each frame behind it too, by its predecessor's checksum. Only one sealed beside its predecessor can land
/// without it.
fn image_count(rules: &[Rule]) -> usize {
    let (mut contents, mut images, mut beside) = (1, 1, false);
    for rule in rules {
        if beside && *rule == Rule::Free {
            images += contents;
            contents *= 2;
        }
        images += contents;
        beside = matches!(rule, Rule::Free | Rule::Idle);
    }
    images
}

#[test]
fn image_count_by_hand() {
    use Rule::{Free, IdleAlone};
    // Nothing; the mark; the first block; the second, sealed late or early, or early and without the first.
    assert_eq!(image_count(&[IdleAlone, Free, Free]), 1 + 1 + 1 + 2 + 1);
    for blocks in 1..10 {
        let rules: Vec<_> = [IdleAlone].into_iter().chain([Free; 10]).take(1 + blocks).collect();
        assert_eq!(image_count(&rules), (1 << blocks) + (1 << (blocks - 1)));
    }
}

/// A ledger that was closed cleanly with its next frame at this page of the first segment.
fn filled(tail: u64) -> Image {
    let mut ledger = Ledger::create_on(SparseDisk::default());
    ledger.append(&[10]);
    ledger.append(&[1 << 20]);
    // Behind the next block come two marks; before its payload a page of header and what a body holds beside payloads.
    let pages = tail - 2 - ledger.tail().offset / PAGE_SIZE as u64 - 1;
    ledger.append(&[pages as usize * PAGE_SIZE - 300]);
    ledger.close();
    assert_eq!(ledger.tail(), Location { segment: 0, offset: tail * PAGE_SIZE as u64 });
    ledger.disk.image()
}

/// All states of a script, each also looked at by those who change nothing.
fn explore_from(image: &Image, script: &[Ask], beside: Beside) -> Vec<State> {
    let states = explore(Moment::new(image, &frames_of(image)), script, beside);
    states.iter().for_each(look);
    states
}

/// A reader beside the writer is shown only what no crash takes away, and a check finds what recovery finds.
fn look(state: &State) {
    let disk = SparseDisk::new(&state.image);
    let view = View::open(&disk, Some(LEDGER), &mut |found| {
        let index = found.header.index as usize;
        // A start frame says only what was durable before, and is shown at once, without its body.
        let is_safe = index < state.durable || found.header.kind == FrameKind::Start;
        assert!(is_safe && state.frames[index].is(&found), "frame {index} is shown, {} are durable", state.durable);
        ControlFlow::Continue(())
    });
    assert!(view.is_ok(), "{view:?}");
    let report = check(&disk, Some(LEDGER), &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((report.frames as usize, report.torn), (state.landed(), survey(state).cut));
}

#[test]
fn every_crash_while_blocks_are_written() {
    use Rule::{Free, IdleAlone};
    let mut ledger = Ledger::create_on(SparseDisk::default());
    ledger.append(&[10]);
    ledger.close();
    let sizes: [&'static [usize]; 7] = [&[300], &[5000], &[10, 20], &[1], &[3700], &[0], &[9000]];
    let states = explore_from(&ledger.disk.image(), &sizes.map(Ask::Block), NOTHING);
    let rules: Vec<_> = [IdleAlone].into_iter().chain(sizes.map(|_| Free)).collect();
    assert_eq!(states.len(), image_count(&rules));
    let tally = enumerate(states, Again::Torn);
    tally.print("blocks in flight");
}

#[test]
fn every_crash_from_the_first_frame_on() {
    use Rule::{Free, Idle, IdleAlone};
    let mut image = Image::default();
    image.create(0, SIZE, &segment(0).encode());
    let blocks =
        [Ask::Block(&[300]), Ask::Block(&[9000]), Ask::Checkpoint, Ask::Watermark, Ask::Block(&[40]), Ask::Close];
    let rules = [IdleAlone, Free, Free, Idle, Free, IdleAlone, IdleAlone];
    // The next segment may be there or not, but before the first frame only the first one is.
    let count = 2 * image_count(&rules) - 1;
    for runway in [0, SIZE] {
        let states = explore_from(&image, &blocks, Beside { segments: true, runway });
        assert_eq!(states.len(), count, "zeros into fresh space change nothing");
        let tally = enumerate(states, Again::Torn);
        tally.print("a ledger from its first frame to its close");
    }
}

#[test]
fn every_crash_on_the_way_to_the_next_segment() {
    use Rule::{Free, Idle, IdleAlone};
    // Three blocks of two pages behind the opening mark, then the end frame.
    let image = filled(503);
    let script = [
        Ask::Block(&[300]),
        Ask::Block(&[3000]),
        Ask::Block(&[100, 0, 5]),
        Ask::Block(&[5000]),
        Ask::Block(&[77]),
        Ask::Checkpoint,
        Ask::Watermark,
        Ask::Block(&[6]),
        Ask::Block(&[1, 2, 3]),
        Ask::Close,
    ];
    let first = [IdleAlone, Free, Free, Free, IdleAlone];
    let second = [IdleAlone, Free, Free, Idle, Free, Free, IdleAlone, IdleAlone];
    let states = explore_from(&image, &script, Beside { segments: true, runway: 0 });
    // With and without the next segment, at each moment.
    assert_eq!(states.len(), 2 * image_count(&[&first[..], &second[..]].concat()));
    assert!(states.iter().any(|state| state.image.page(2, 0).is_some()), "a third segment is prepared");
    let tally = enumerate(states, Again::Torn);
    tally.print("a ledger that goes on in its second segment");
}
