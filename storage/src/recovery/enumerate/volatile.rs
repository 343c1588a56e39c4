//! The writer was killed, not the machine: frames in flight may lie in a cache, where recovery sees them and a power cut
//! takes them away. What recovery has settled must be there behind the next power cut too.

use super::*;

/// What became of a page in flight when the writer was killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kept {
    Nowhere,
    Cached,
    Durable,
}

const KEPT: [Kept; 3] = [Kept::Nowhere, Kept::Cached, Kept::Durable];

/// What power cuts leave while recovery writes: what was durable, the writes before, and of the last one each set of pages.
///
/// Each write is durable before the next one; the highest page of the last one may be torn.
fn power_cuts(durable: &Image, writes: &[Extent]) -> Vec<Image> {
    let (mut images, mut image) = (vec![durable.clone()], durable.clone());
    for write in writes {
        for pages in subsets(write.pages().collect::<Vec<_>>().iter().collect()) {
            let mut landed = image.clone();
            for page in &pages {
                let mut torn = landed.clone();
                torn.put_sectors(page, |sector| sector % 2 == 1);
                images.push(torn);
                landed.put(page);
            }
            images.push(landed);
        }
        image.put(write);
    }
    images
}

#[test]
fn every_power_cut_behind_a_killed_writer() {
    let state = two_in_flight(&[5000], &[1700]);
    let pages: Vec<Extent> = state.frames[state.durable..].iter().flat_map(|frame| frame.extent.pages()).collect();
    let (mut kills, mut cuts, mut left) = (0, 0, Vec::new());
    for choice in 0..KEPT.len().pow(pages.len() as u32) {
        let (mut durable, mut cached) = (state.image.clone(), state.image.clone());
        for (at, page) in (0..).zip(&pages) {
            let kept = KEPT[choice / KEPT.len().pow(at) % KEPT.len()];
            if kept != Kept::Nowhere {
                cached.put(page);
            }
            if kept == Kept::Durable {
                durable.put(page);
            }
        }
        kills += 1;
        let seen = state.with(cached);
        let Survey { settled, writes, .. } = survey(&seen);
        let images = power_cuts(&durable, &writes);
        writes.iter().for_each(|write| durable.put(write));
        assert_eq!(durable, settled, "all that was found, and all that was cut, is durable");
        cuts += images.len();
        left.extend(images.into_iter().map(|image| state.with(image)));
    }
    // Three pages of one frame, two of the other, each with three fates; the cache is lost before recovery writes at least.
    assert_eq!((kills, pages.len()), (243, 5));
    assert!(kills <= cuts, "{cuts}");
    println!("enumerated {kills} states of a killed writer, with {cuts} power cuts behind");
    enumerate(left, Again::Between).print("a power cut behind a killed writer");
}
