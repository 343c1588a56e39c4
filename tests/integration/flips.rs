//! Single flipped bits: whichever bit of a cleanly closed ledger's segments is flipped, `check` finds it, and in that segment.
//!
//! Hundreds of flips run every time; ten thousand by
//! `cargo test --release -p annals --test integration ten_thousand -- --ignored --nocapture`.

use crate::support::{Place, SMALL, key, record};
use annals::{CheckOptions, check_with};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

const PAGE: u64 = 4096;

/// The segments of a closed ledger.
struct Segments {
    place: Place,
    files: Vec<File>,
    /// Pages that are not zero: segment and offset.
    used: Vec<(u64, u64)>,
}

/// Two closed segments, one that was opened and closed twice, and a prepared one.
fn segments() -> Segments {
    let place = Place::new();
    let mut ledger = place.create();
    for nonce in 0..56_u64 {
        if nonce % 20 == 19 {
            ledger.close().unwrap();
            ledger = place.open();
        }
        let mut appender = ledger.appender().unwrap();
        let payload = nonce.to_le_bytes().repeat(if nonce % 3 == 0 { 30 } else { 16_000 });
        appender.append_wait(&record(ledger.id(), &key(1), nonce, &payload)).unwrap();
    }
    ledger.close().unwrap();
    let paths = (0..).map(|number| place.path().join(format!("segments/{number:010}.seg")));
    let open = |path| OpenOptions::new().read(true).write(true).open(path).ok();
    let files: Vec<File> = paths.map_while(open).collect();
    let mut used = Vec::new();
    for (segment, file) in (0_u64..).zip(&files) {
        let mut page = [0; PAGE as usize];
        for offset in (0..SMALL).step_by(PAGE as usize) {
            file.read_exact_at(&mut page, offset).unwrap();
            used.extend(page.iter().any(|byte| *byte != 0).then_some((segment, offset)));
        }
    }
    let last = files.len() as u64 - 1;
    let begun = used.iter().filter(|page| page.0 == last).count();
    assert!(2 < files.len() && begun == 1, "{begun} pages in the last of {}: none is prepared", files.len());
    Segments { place, files, used }
}

/// SplitMix64 (Steele, Lea, Flood, 2014): flips that are spread out, and the same every time.
struct Spread(u64);

impl Spread {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (bits ^ (bits >> 31)) % bound
    }
}

/// Flips so many bits, one at a time: a third anywhere, a third in used pages, a third in pages where frames begin or marks
/// stand. How many were found, by code.
fn flip(count: u64, seed: u64) -> BTreeMap<&'static str, u64> {
    let Segments { place, files, used } = segments();
    let marks: Vec<(u64, u64)> = used.iter().copied().filter(|page| begins(&files, *page)).collect();
    assert!(20 < marks.len() && marks.len() < used.len());
    let (mut spread, mut found) = (Spread(seed), BTreeMap::new());
    let options = CheckOptions { signatures: false, ..CheckOptions::default() };
    let check = || check_with(&place.path(), &options, &mut |_, _| {});
    check().unwrap();
    for turn in 0..count {
        let (segment, page) = match turn % 3 {
            0 => (spread.below(files.len() as u64), spread.below(SMALL / PAGE) * PAGE),
            1 => used[spread.below(used.len() as u64) as usize],
            _ => marks[spread.below(marks.len() as u64) as usize],
        };
        let (offset, bit) = (page + spread.below(PAGE), spread.below(8));
        let (file, mut byte) = (&files[segment as usize], [0]);
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[byte[0] ^ 1 << bit], offset).unwrap();
        match check() {
            Ok(_) => panic!("bit {bit} of byte {offset} in segment {segment} went unseen"),
            Err(error) => {
                let (at, from, _) = error.place();
                assert!(at == Some(segment) && from <= Some(offset), "{segment} {offset} {bit}: {error}");
                *found.entry(error.code()).or_default() += 1;
            }
        }
        file.write_all_at(&byte, offset).unwrap();
    }
    assert!(check().unwrap().closed, "every flip was undone");
    found
}

/// Whether a segment or a frame begins in a page.
fn begins(files: &[File], (segment, offset): (u64, u64)) -> bool {
    let mut magic = [0; 4];
    files[segment as usize].read_exact_at(&mut magic, offset).unwrap();
    [b"ANS1", b"ANF1"].contains(&&magic)
}

#[test]
fn hundreds_of_flipped_bits_are_found() {
    let found = flip(360, 1);
    assert_eq!(found.values().sum::<u64>(), 360, "{found:?}");
}

#[test]
#[ignore = "takes minutes: 10,000 flips"]
fn ten_thousand_flipped_bits_are_found() {
    let found = flip(10_000, 2);
    eprintln!("10,000 of 10,000 found: {found:?}");
    assert_eq!(found.values().sum::<u64>(), 10_000);
}
