//! Disks that break their promise: zeros that recovery had written are gone again, or a frame that was durable is bad.
//!
//! Nothing makes such a ledger right again in every case, so refusing is right too. What recovery must not do is show
//! another ledger: it finds exactly the frames that are there in order, or refuses. And where the old frames can be
//! told from new ones, which is what the epoch is for, it must cut them again.

use super::*;
use crate::fields::all_zero;
use annals_core::limits::SECTOR_SIZE;

/// A tail that was cut, and the ledger that went on.
#[derive(Debug)]
struct Relapse {
    /// Behind the cut and what was written then.
    state: State,
    /// Pages whose zeros were lost, and that nothing was written to since.
    lost: Vec<Extent>,
    /// Frames of the tail that was cut whose headers are among those pages, whole.
    stale: Vec<Arc<Sealed>>,
    /// Behind a clean close a torn write reaches over one page only.
    closed: bool,
}

/// Whether a frame covers the page at an offset.
fn covers(frame: &Sealed, page: &Extent) -> bool {
    frame.extent.offset <= page.offset && page.offset < frame.header.end()
}

impl Sealed {
    fn header_page(&self) -> Extent {
        self.extent.pages().next().unwrap()
    }
}

impl Relapse {
    /// Whether every page that came back can be told from what a torn write leaves, and from damage.
    fn is_decidable(&self) -> bool {
        let landed = self.state.landed();
        let (tail, flying) = (self.state.tail(landed), &self.state.frames[landed..]);
        let has_header = |frame: &Arc<Sealed>| self.state.image.holds(&frame.header_page());
        let at_tail = self.state.image.page(tail.segment, tail.offset).is_none()
            || self.stale.iter().any(|frame| frame.extent.offset == tail.offset)
            || flying.first().is_some_and(has_header);
        // A torn page over an old one is not zero where it is torn.
        let apart = !self.lost.iter().any(|page| flying.iter().any(|frame| covers(frame, page)));
        // Where the end of what was in flight is known, what lies behind it must be known to be old.
        let bounded = self.closed || flying.get(1).is_some_and(has_header);
        let known = |page: &Extent| self.stale.iter().any(|frame| covers(frame, page));
        at_tail && apart && (!bounded || self.lost.iter().all(known))
    }
}

/// Cuts the tail of a state, loses each set of the zeros that were written, and goes on in several ways.
fn relapses(state: &State) -> Vec<Relapse> {
    let (landed, Survey { settled, writes, .. }) = (state.landed(), survey(state));
    let zeroed = writes.iter().filter(|write| all_zero(&write.bytes));
    let old = |write: &Extent| state.image.extent(write.segment, write.offset, write.offset + write.bytes.len() as u64);
    let mut relapses = Vec::new();
    for lost in subsets(zeroed.map(old).collect::<Vec<_>>().iter().collect()) {
        for History { durable, flying, closed } in histories(&settled) {
            let pages =
                |frames: &[Arc<Sealed>]| frames.iter().flat_map(|frame| frame.extent.pages()).collect::<Vec<_>>();
            for landing in subsets(pages(&flying).iter().collect()) {
                let mut image = settled.clone();
                lost.iter().for_each(|page| image.put(page));
                let written = pages(&durable);
                let written: Vec<_> = written.iter().chain(landing).collect();
                written.iter().for_each(|page| image.put(page));
                let lost = lost.iter().filter(|page| !written.iter().any(|written| written.offset == page.offset));
                let lost: Vec<_> = lost.map(|page| (*page).clone()).collect();
                let is_stale = |frame: &&Arc<Sealed>| {
                    let header = frame.header_page();
                    lost.iter().any(|page| page.offset == header.offset && page.bytes == header.bytes)
                };
                let stale = state.frames[landed..].iter().filter(is_stale).cloned().collect();
                let frames = state.frames[..landed].iter().chain(&durable).chain(&flying).cloned().collect();
                let state = State { image, frames, durable: landed + durable.len() };
                relapses.push(Relapse { state, lost, stale, closed });
            }
        }
    }
    relapses
}

/// What was written behind a cut.
struct History {
    durable: Vec<Arc<Sealed>>,
    flying: Vec<Arc<Sealed>>,
    closed: bool,
}

/// Ways to go on from an image: only opened, closed again, and with two blocks in flight.
fn histories(settled: &Image) -> [History; 3] {
    let mut ledger = Ledger::open(&SparseDisk::new(settled)).unwrap();
    let opening = ledger.log.seal_opening(&ledger.frontier);
    ledger.apply(&opening);
    let opening = Sealed::new(&opening);
    let mut closing = ledger.clone();
    let mark = Sealed::new(&closing.log.seal_close(&closing.frontier));
    let blocks = [&[300][..], &[10, 20]].map(|sizes| Sealed::new(&ledger.seal(sizes)));
    [
        History { durable: vec![Arc::clone(&opening)], flying: Vec::new(), closed: false },
        History { durable: vec![Arc::clone(&opening), mark], flying: Vec::new(), closed: true },
        History { durable: vec![opening], flying: blocks.to_vec(), closed: false },
    ]
}

/// A watermark and a block in flight together; only the block landed.
fn watermark_missing() -> State {
    let mut ledger = Ledger::create_on(SparseDisk::default());
    ledger.append(&[300]);
    let image = ledger.disk.image();
    let mut frames = frames_of(&image);
    let durable = frames.len();
    frames.push(Sealed::new(&ledger.log.seal_watermark(&ledger.frontier).unwrap()));
    frames.push(Sealed::new(&ledger.seal(&[5000])));
    let state = State { image, frames: frames.into(), durable };
    with_landed(&state, |_| false, |_| true)
}

/// The state in which these sectors of the first and of the second frame in flight landed.
fn with_landed(state: &State, first: impl Fn(usize) -> bool, second: impl Fn(usize) -> bool) -> State {
    let mut image = state.image.clone();
    image.put_sectors(&state.frames[state.durable].extent, first);
    image.put_sectors(&state.frames[state.durable + 1].extent, second);
    state.with(image)
}

#[test]
fn every_loss_of_the_zeros_of_a_cut() {
    let state = two_in_flight(&[9000], &[5000]);
    let tails = [
        with_landed(&state, |sector| sector != 1, |_| true),
        with_landed(&state, |_| false, |_| true),
        with_landed(&state, |_| true, |sector| sector != 9),
        watermark_missing(),
    ];
    let (mut refused, mut accepted, mut sets) = (0, Vec::new(), 0);
    for tail in &tails {
        let relapses = relapses(tail);
        sets += relapses.len();
        for relapse in relapses {
            // Also where it refuses it has shown no other frame than those of the ledger.
            match read(&SparseDisk::new(&relapse.state.image), &relapse.state.frames) {
                Ok(_) => accepted.push(relapse.state),
                Err(error) => {
                    assert!(!relapse.is_decidable(), "refused: {error}\n{:?}", relapse.state.image);
                    refused += 1;
                }
            }
        }
    }
    // Each set of the zeroed pages, each with an open mark, a close, and two blocks in flight, of two pages each.
    let pages: [u32; 4] = [4 + 3, 4 + 3, 3, 1 + 3];
    assert_eq!(sets, pages.iter().map(|pages| (1 << pages) * (1 + 1 + (1 << (2 + 2)))).sum::<usize>());
    println!("enumerated {sets} states behind a cut that was lost, {refused} refused");
    // Not torn once more: the header of an old frame that is torn while it is zeroed, behind a clean close, is refused.
    enumerate(accepted, Again::Between).print("a ledger behind a cut that was lost");
}

/// Every frame of a ledger is spoilt in every sector and page, by zeros and by a flipped bit.
fn spoilt(frame: &Sealed, image: &Image) -> Vec<Image> {
    let mut images = Vec::new();
    let zeros = Extent { bytes: vec![0; frame.extent.bytes.len()].into(), ..frame.extent.clone() };
    let spoil = |with: &Extent, sector: &dyn Fn(usize) -> bool| {
        let mut image = image.clone();
        image.put_sectors(with, sector);
        image
    };
    for sector in frame.extent.used_sectors() {
        let mut flipped = frame.extent.bytes.to_vec();
        flipped[sector * SECTOR_SIZE + 100 + sector] ^= 4;
        let flipped = Extent { bytes: flipped.into(), ..frame.extent.clone() };
        images.extend([spoil(&zeros, &|at| at == sector), spoil(&flipped, &|at| at == sector)]);
    }
    for page in 0..frame.extent.pages().count() {
        images.push(spoil(&zeros, &|at| at / image::SECTORS == page));
    }
    images.push(spoil(&zeros, &|_| true));
    images
}

#[test]
fn every_durable_frame_that_goes_bad_is_missed() {
    let mut ledger = Ledger::create_on(SparseDisk::default());
    ledger.append(&[300]);
    ledger.append(&[5000, 1]);
    let mark = ledger.log.seal_watermark(&ledger.frontier).unwrap();
    ledger.apply(&mark);
    ledger.append(&[40]);
    let mark = ledger.log.seal_watermark(&ledger.frontier).unwrap();
    ledger.apply(&mark);
    let mut spoils = 0;
    for closed in [false, true] {
        if closed {
            ledger.close();
        }
        let image = ledger.disk.image();
        let frames = frames_of(&image);
        // The last frame says that all before it were durable; that it is itself, no frame says.
        let (_, vouched) = frames.split_last().unwrap();
        for frame in vouched {
            for image in spoilt(frame, &image) {
                let found = read(&SparseDisk::new(&image), &frames);
                let index = frame.header.index;
                assert!(found.is_err(), "frame {index} was durable and is bad: {found:?}");
                spoils += 1;
            }
        }
    }
    // Two sectors of each header at least, both ways, a page of each, and the whole of it: of six frames, then of six again.
    assert!(2 * 6 * (2 * 2 + 1 + 1) <= spoils, "{spoils}");
    println!("enumerated {spoils} ways to spoil a durable frame, all refused");
}
