//! Two frames in flight, taken apart: every set of their sectors, and every state of each of their pages.

use super::*;
use image::SECTORS;

/// The sectors of both frames that are not zero: the frame, and the index in it.
fn used(state: &State) -> Vec<(usize, usize)> {
    let frames = state.frames[state.durable..].iter().enumerate();
    frames.flat_map(|(frame, sealed)| sealed.extent.used_sectors().into_iter().map(move |at| (frame, at))).collect()
}

/// The state in which of the frames in flight these sectors landed.
fn landed_in_part(state: &State, sectors: &[(usize, usize)]) -> State {
    let mut image = state.image.clone();
    for (frame, sealed) in state.frames[state.durable..].iter().enumerate() {
        image.put_sectors(&sealed.extent, |at| sectors.contains(&(frame, at)));
    }
    state.with(image)
}

#[test]
fn every_set_of_sectors_of_two_frames_in_flight() {
    let state = two_in_flight(&[3700], &[1700]);
    // Two sectors of each header, all of one body page, and half of the other.
    let sectors = used(&state);
    assert_eq!(sectors.len(), (2 + SECTORS) + (2 + SECTORS / 2));
    // What a torn zeroing leaves of such a state is another such state.
    let tally = enumerate(subsets(sectors).map(|kept| landed_in_part(&state, &kept)), Again::Between);
    tally.print("two frames in flight, each set of sectors");
    assert_eq!(tally.given, 1 << 16);
}

#[test]
fn every_set_of_sectors_of_a_full_header_and_a_page() {
    // The sums of 257 pages fill the header's page as far as a segment of this size allows.
    let mut state = two_in_flight(&[1 << 20], &[10]);
    state.frames = state.frames[..=state.durable].into();
    let (taken_apart, others): (Vec<_>, Vec<_>) = used(&state).into_iter().partition(|(_, at)| *at < 2 * SECTORS);
    assert_eq!(taken_apart.len(), 6 + SECTORS);
    let whole = landed_in_part(&state, &others);
    let states = subsets(taken_apart).map(|kept| {
        let mut image = whole.image.clone();
        let pages = whole.frames[whole.durable].extent.pages().take(2);
        for (page, extent) in pages.enumerate() {
            image.put_sectors(&extent, |at| kept.contains(&(0, page * SECTORS + at)));
        }
        whole.with(image)
    });
    let tally = enumerate(states, Again::Never);
    tally.print("a large frame, each set of sectors of its header and of a page");
    assert_eq!(tally.given, 1 << 14);
}

/// What became of a page in flight.
#[derive(Clone, Copy, Debug)]
enum Landed {
    Missing,
    Whole,
    /// All of it but one sector.
    Torn,
    /// Only its first sector.
    First,
}

const LANDED: [Landed; 4] = [Landed::Missing, Landed::Whole, Landed::Torn, Landed::First];

impl Landed {
    fn put(self, image: &mut Image, page: &Extent) {
        let used = page.used_sectors();
        match self {
            Self::Missing => {}
            Self::Whole => image.put(page),
            Self::Torn => image.put_sectors(page, |at| Some(&at) != used.last()),
            Self::First => image.put_sectors(page, |at| at == 0),
        }
    }
}

#[test]
fn every_state_of_the_pages_of_two_frames_in_flight() {
    let state = two_in_flight(&[7000], &[6000]);
    let pages: Vec<Extent> = state.frames[state.durable..].iter().flat_map(|frame| frame.extent.pages()).collect();
    assert_eq!(pages.len(), 3 + 3);
    // Each page has three sectors at least, or `Torn` and `First` would be one state.
    let states = (0..1_usize << (2 * pages.len())).map(|choice| {
        let mut image = state.image.clone();
        for (at, page) in pages.iter().enumerate() {
            LANDED[choice >> (2 * at) & 3].put(&mut image, page);
        }
        state.with(image)
    });
    let tally = enumerate(states, Again::Torn);
    tally.print("the pages of two frames in flight");
    // A header of two sectors that lacks its last one has its first one only: three states instead of four.
    assert_eq!(tally.given, 3 * 3 * LANDED.len().pow(4));
}

#[test]
fn every_crash_while_a_long_tail_is_cut() {
    let state = two_in_flight(&[300], &[300_000]);
    let [first, second] = &state.frames[state.durable..] else { panic!("two frames in flight") };
    let mut image = state.image.clone();
    image.put_sectors(&first.extent, |at| at != 1);
    image.put(&second.extent);
    let tally = enumerate([state.with(image)], Again::Torn);
    tally.print("a long tail");
    // Every page of it is zeroed by itself, and torn in as many ways at least as it has sectors.
    let sectors = first.extent.used_sectors().len() + second.extent.used_sectors().len();
    assert!(sectors <= tally.behind, "{tally:?}");
}
