//! Tests of the ring beside the loom models: against a plain queue, and under real threads.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

use super::*;
use annals_core::hash::RecordId;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;

fn id(tag: u8) -> RecordId {
    RecordId::from_bytes([tag; 32])
}

fn entry<'a>(head: &'a [u8; 192], payload: &'a [u8], known: Known) -> Entry<'a> {
    Entry { head, payload, source: u32::from(head[0]), slot: 7, author_slot: 9, known }
}

#[test]
fn capacities_are_bounded() {
    let code = |capacity, payload_size_max| Ring::new(capacity, payload_size_max).map(|_| ()).map_err(|e| e.code());
    assert_eq!(code(CAPACITY_DEFAULT, PAYLOAD_SIZE_MAX), Ok(()));
    assert_eq!(code(8 << 20, PAYLOAD_SIZE_MAX), Ok(()));
    assert_eq!(code(4 << 20, PAYLOAD_SIZE_MAX), Err("ring.payload"));
    assert_eq!(code(1 << 20, 200_000), Ok(()));
    for capacity in [0, 1 << 19, (1 << 20) + 64, 128 << 20] {
        assert_eq!(code(capacity, 100), Err("ring.capacity"));
    }
}

#[test]
fn what_never_fits_is_told_apart_from_what_does_not_fit_now() {
    let (ring, mut drain) = Ring::with_cells(32, 64).unwrap(); // entries of 4 or 5 cells
    assert_eq!(ring.claim(&[65]).unwrap_err(), Pushback::TooLarge);
    assert_eq!(ring.claim(&[64; 6]).unwrap_err(), Pushback::TooLarge);
    assert_eq!(ring.claim(&[0; 8]).unwrap_err(), Pushback::TooLarge);
    let has_room = |sizes: &[usize]| ring.has_room_for(sizes.iter().copied());
    assert!(has_room(&[0; 8]) && has_room(&[64; 7]), "more than ever fits is for `claim` to tell");
    drop(ring.claim(&[0; 7]).unwrap());
    assert_eq!(ring.claim(&[64]).unwrap_err(), Pushback::RingFull);
    assert!(has_room(&[0]) && !has_room(&[64]) && !has_room(&[0, 0]), "one of four cells is left");
    assert_eq!((ring.used(), ring.unverified(), ring.is_empty()), (28 * 64, 28 * 64, false));
    let end = skip_gaps(&drain, 0);
    drain.release_to(end);
    assert_eq!((ring.used(), ring.unverified(), ring.is_empty()), (0, 0, true));
    drop(ring.claim(&[64; 5]).unwrap()); // 4 cells of padding, 25 of entries
    assert_eq!(ring.used(), 29 * 64);
}

fn skip_gaps(drain: &Drain, mut position: u64) -> u64 {
    while let Peek::Gap { next_position } = drain.peek(position) {
        position = next_position;
    }
    position
}

#[test]
fn an_empty_claim_is_nothing() {
    let (ring, _drain) = Ring::with_cells(16, 0).unwrap();
    assert_eq!(ring.claim(&[]).unwrap().remaining(), 0);
    assert!(ring.is_empty());
}

#[test]
fn a_wrong_size_panics_and_leaves_voids() {
    let (ring, mut drain) = Ring::with_cells(32, 64).unwrap();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut claim = ring.claim(&[3, 4, 5]).unwrap();
        claim.write(&entry(&[1; 192], &[1; 3], Known::All(id(1))));
        claim.write(&entry(&[2; 192], &[2; 3], Known::Nothing));
    }));
    assert!(result.is_err());
    let Peek::Entry(first) = drain.peek(0) else { panic!("the first was published") };
    assert_eq!((first.payload, first.verification), (&[1; 3][..], Verification::Verified(id(1))));
    let end = skip_gaps(&drain, first.next_position);
    assert_eq!(end, 15);
    drain.release_to(end);
}

#[test]
fn a_batch_that_is_dropped_is_abandoned_and_the_rest_goes_on() {
    let (ring, drain) = Ring::with_cells(32, 64).unwrap();
    let mut claim = ring.claim(&[1, 1, 1]).unwrap();
    for tag in 1..=3 {
        claim.write(&entry(&[tag; 192], &[tag], Known::Nothing));
    }
    let mut positions = Vec::new();
    let mut batch = ring.take_batch(2, Share::All, &mut positions).unwrap();
    batch.finish(1, Verification::BadSignature);
    assert!(batch.entry(1).is_none());
    assert!(batch.entry(2).is_none());
    assert_eq!(batch.entry(0).unwrap().payload, [1]);
    assert!(matches!(drain.peek(0), Peek::Waiting));
    drop(batch);
    let mut batch = ring.take_batch(2, Share::All, &mut positions).unwrap();
    assert_eq!(batch.len(), 1);
    batch.finish(0, Verification::BadContent);
    drop(batch);
    assert!(ring.take_batch(2, Share::All, &mut positions).is_none());
    let (mut position, mut found) = (0, Vec::new());
    while let Peek::Entry(entry) = drain.peek(position) {
        found.push(entry.verification);
        position = entry.next_position;
    }
    assert_eq!(found, [Verification::Abandoned, Verification::BadSignature, Verification::BadContent]);
}

#[test]
fn what_waits_is_split_evenly() {
    let (ring, _drain) = Ring::with_cells(64, 0).unwrap();
    let mut claim = ring.claim(&[0; 12]).unwrap();
    for tag in 0..12 {
        claim.write(&entry(&[tag; 192], &[], Known::Nothing));
    }
    let mut positions = Vec::new();
    let mut take =
        |free_workers| ring.take_batch(4096, Share::Of { free_workers }, &mut positions).map_or(0, |batch| batch.len());
    assert_eq!([take(3), take(2), take(0), take(1)], [4, 4, 4, 0]);
}

#[test]
#[should_panic(expected = "is not final")]
fn what_is_not_final_is_not_given_back() {
    let (ring, mut drain) = Ring::with_cells(16, 0).unwrap();
    ring.claim(&[0]).unwrap().write(&entry(&[1; 192], &[], Known::Nothing));
    assert!(matches!(drain.peek(0), Peek::Waiting));
    drain.release_to(4);
}

/// One step of a run against a queue.
#[derive(Clone, Debug)]
enum Step {
    /// Claim records of these sizes and write so many of them.
    Append(Vec<u32>, usize),
    Verify(usize, u32),
    Drain(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let sizes = prop::collection::vec(prop_oneof![0..4u32, 60..70u32, 0..1500u32], 0..6);
    prop_oneof![
        (sizes, 0..7usize).prop_map(|(sizes, written)| Step::Append(sizes, written)),
        (1..5usize, 0..4u32).prop_map(|(most, free_workers)| Step::Verify(most, free_workers)),
        (0..8usize).prop_map(Step::Drain),
    ]
}

/// What a record is, from its number: bytes, and what verification says of it.
fn sample(number: u64, size: u32) -> ([u8; 192], Vec<u8>, Known, Verification) {
    let byte = |i: u64| (number.wrapping_mul(0x9E37_79B9) >> 3).wrapping_add(i * 7) as u8;
    let head = std::array::from_fn(|i| byte(i as u64));
    let payload = (0..u64::from(size)).map(|i| byte(i + 192)).collect();
    let (known, verification) = match number % 5 {
        0 => (Known::All(id(byte(1))), Verification::Verified(id(byte(1)))),
        1 => (Known::Content, Verification::Verified(id(byte(2)))),
        2 => (Known::Nothing, Verification::BadSignature),
        3 => (Known::Nothing, Verification::BadContent),
        _ => (Known::Nothing, Verification::Verified(id(byte(3)))),
    };
    (head, payload, known, verification)
}

#[derive(Debug)]
struct Run {
    ring: Arc<Ring>,
    drain: Drain,
    /// Records written and not yet drained, in order: number, size, whether verifiers have seen it.
    queue: VecDeque<(u64, u32, bool)>,
    number: u64,
    seen: u64,
}

impl Run {
    fn append(&mut self, sizes: &[u32], written: usize) {
        let was_empty = self.ring.is_empty();
        let Ok(mut claim) = self.ring.claim(sizes) else {
            let cells: u64 = sizes.iter().map(|size| entry::entry_cells(*size)).sum();
            assert!(!was_empty || 128 < cells + 28, "an empty ring takes what can ever fit");
            return;
        };
        for size in sizes.iter().take(written) {
            let (head, payload, known, _) = sample(self.number, *size);
            let number = self.number as u32;
            claim.write(&Entry {
                head: &head,
                payload: &payload,
                source: number,
                slot: !number,
                author_slot: 1,
                known,
            });
            self.queue.push_back((self.number, *size, matches!(known, Known::All(_))));
            self.number += 1;
        }
    }

    fn verify(&mut self, most: usize, free_workers: u32) {
        let mut positions = Vec::new();
        let share = if free_workers == 0 { Share::All } else { Share::Of { free_workers } };
        let Some(mut batch) = self.ring.take_batch(most, share, &mut positions) else { return };
        assert!(0 < batch.len() && batch.len() <= most);
        let waiting = self.queue.iter_mut().filter(|(_, _, verified)| !verified);
        for (index, (number, size, verified)) in waiting.take(batch.len()).enumerate() {
            let (head, payload, known, verification) = sample(*number, *size);
            let found = batch.entry(index).unwrap();
            assert_eq!((found.head, found.payload, found.source), (&head, &payload[..], *number as u32));
            assert_eq!(found.content_checked, known == Known::Content);
            batch.finish(index, verification);
            *verified = true;
        }
        assert!((0..batch.len()).all(|index| batch.entry(index).is_none()));
    }

    fn drain(&mut self, most: usize) {
        let mut position = self.drain.position();
        for _ in 0..most {
            match self.drain.peek(position) {
                Peek::Waiting => {
                    assert!(self.queue.front().is_none_or(|(_, _, verified)| !verified), "what is final is seen");
                    break;
                }
                Peek::Gap { next_position } => position = next_position,
                Peek::Entry(found) => {
                    let (number, size, verified) = self.queue.pop_front().unwrap();
                    let (head, payload, _, verification) = sample(number, size);
                    assert!(verified);
                    assert_eq!((found.head, found.payload, found.verification), (&head, &payload[..], verification));
                    let numbers = (found.source, found.slot, found.author_slot);
                    assert_eq!(numbers, (number as u32, !(number as u32), 1));
                    assert_eq!(found.position, position);
                    position = found.next_position;
                    self.seen += 1;
                }
            }
        }
        self.drain.release_to(position);
    }
}

proptest! {
    #[test]
    fn agrees_with_a_queue(steps in prop::collection::vec(step(), 1..200)) {
        let (ring, drain) = Ring::with_cells(128, 1500).unwrap();
        let mut run = Run { ring, drain, queue: VecDeque::new(), number: 0, seen: 0 };
        for step in steps {
            match step {
                Step::Append(sizes, written) => run.append(&sizes, written),
                Step::Verify(most, free_workers) => run.verify(most, free_workers),
                Step::Drain(most) => run.drain(most),
            }
        }
        // Whatever came before, everything comes out in the end.
        while !run.ring.is_empty() {
            run.verify(4096, 0);
            run.drain(4096);
        }
        prop_assert_eq!((run.seen, run.queue.len()), (run.number, 0));
    }
}

const STRESS_RECORDS: u32 = 20_000;

/// A record of a producer: its number in the head and in every payload byte's place.
fn stress_record(producer: u8, number: u32) -> ([u8; 192], Vec<u8>) {
    let mut head = [producer; 192];
    head[..4].copy_from_slice(&number.to_le_bytes());
    let size = (number.wrapping_mul(2_654_435_761) >> 20) as usize % 700;
    (head, (0..size).map(|i| (i as u32 ^ number) as u8 ^ producer).collect())
}

fn stress_produce(ring: &Ring, producer: u8) {
    let mut number = 0;
    while number < STRESS_RECORDS {
        let batch: Vec<_> = (number..STRESS_RECORDS.min(number + 1 + number % 7)).collect();
        let records: Vec<_> = batch.iter().map(|number| stress_record(producer, *number)).collect();
        let sizes: Vec<_> = records.iter().map(|(_, payload)| payload.len() as u32).collect();
        let Ok(mut claim) = ring.claim(&sizes) else {
            std::thread::yield_now();
            continue;
        };
        for (number, (head, payload)) in batch.iter().zip(&records) {
            let known = if number % 11 == 0 { Known::All(id(producer)) } else { Known::Nothing };
            let (source, slot, author_slot) = (u32::from(producer), *number, !number);
            claim.write(&Entry { head, payload, source, slot, author_slot, known });
        }
        number += batch.len() as u32;
        if number % 13 == 0 {
            drop(ring.claim(&[100]));
        }
    }
}

fn stress_verify(ring: &Ring, done: &AtomicBool) {
    let mut positions = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let Some(mut batch) = ring.take_batch(64, Share::Of { free_workers: 2 }, &mut positions) else {
            std::thread::yield_now();
            continue;
        };
        for index in (0..batch.len()).rev() {
            let found = batch.entry(index).unwrap();
            let number = u32::from_le_bytes(*found.head.first_chunk().unwrap());
            let (producer, is_right) = (found.source as u8, number % 5 != 0);
            assert_eq!(
                (found.head, found.payload),
                (&stress_record(producer, number).0, &*stress_record(producer, number).1)
            );
            batch.finish(
                index,
                if is_right { Verification::Verified(id(producer)) } else { Verification::BadSignature },
            );
        }
    }
}

#[test]
fn four_producers_two_verifiers_and_the_engine() {
    let (ring, mut drain) = Ring::with_cells(1024, 700).unwrap();
    let done = AtomicBool::new(false);
    let mut next = [0; 4];
    std::thread::scope(|scope| {
        (0..4).for_each(|producer| {
            drop(scope.spawn({
                let ring = &ring;
                move || stress_produce(ring, producer)
            }))
        });
        (0..2).for_each(|_| drop(scope.spawn(|| stress_verify(&ring, &done))));
        while next != [STRESS_RECORDS; 4] {
            let mut position = drain.position();
            for _ in 0..100 {
                match drain.peek(position) {
                    Peek::Waiting => break,
                    Peek::Gap { next_position } => position = next_position,
                    Peek::Entry(found) => {
                        let (producer, number) = (found.source as u8, found.slot);
                        assert_eq!(number, next[usize::from(producer)], "one producer's records keep their order");
                        next[usize::from(producer)] += 1;
                        let (head, payload) = stress_record(producer, number);
                        assert_eq!((found.head, found.payload, found.author_slot), (&head, &*payload, !number));
                        let is_right = number % 11 == 0 || number % 5 != 0;
                        let right = Verification::Verified(id(producer));
                        assert_eq!(found.verification, if is_right { right } else { Verification::BadSignature });
                        position = found.next_position;
                    }
                }
            }
            if position == drain.position() {
                std::thread::yield_now();
            }
            drain.release_to(position);
        }
        done.store(true, Ordering::Relaxed);
    });
}
