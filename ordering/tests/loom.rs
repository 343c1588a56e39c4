//! Loom models of the ring, the completion slots and the watermark: every interleaving of a few steps each.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --package annals-ordering --release --test loom`
//!
//! The sources under test are those of the ordinary build; only atomics, locks and the tracking of cells differ. Each model
//! has two or three threads and at most three preemptions. Loom fails it if an access to a cell is not ordered
//! after the one before, if an assertion breaks, or if everybody sleeps.
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "tests")]

use annals_core::hash::RecordId;
use annals_ordering::ring::{Drain, Entry, Known, Peek, Pushback, Ring, Share, Verification};
use annals_ordering::slots::{Outcome, Slots};
use annals_ordering::watermark::{Progress, Watermark};
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

/// Cells of an entry without payload, and of one with a payload of a few bytes.
const EMPTY_CELLS: usize = 4;
const SMALL: u32 = 3;

fn id(tag: u8) -> RecordId {
    RecordId::from_bytes([tag; 32])
}

/// Claims and writes one record whose bytes are all `tag`.
fn append(ring: &Ring, tag: u8, size: u32, known: Known) -> Result<(), Pushback> {
    let (head, payload) = ([tag; 192], vec![tag; size as usize]);
    let tag = u32::from(tag);
    ring.claim(&[size])?.write(&Entry {
        head: &head,
        payload: &payload,
        source: tag,
        slot: tag,
        author_slot: tag,
        known,
    });
    Ok(())
}

/// Goes on from `position` over what is final; the tags of the records met, checked byte by byte.
fn collect(drain: &Drain, mut position: u64, tags: &mut Vec<u8>) -> u64 {
    loop {
        match drain.peek(position) {
            Peek::Waiting => return position,
            Peek::Gap { next_position } => position = next_position,
            Peek::Entry(entry) => {
                let tag = entry.head[0];
                assert_eq!(entry.head, &[tag; 192]);
                assert!(entry.payload.iter().all(|byte| *byte == tag));
                assert_eq!((entry.source, entry.slot, entry.author_slot), (tag.into(), tag.into(), tag.into()));
                assert_eq!(entry.verification, Verification::Verified(id(tag)));
                tags.push(tag);
                position = entry.next_position;
            }
        }
    }
}

/// Collects and gives back.
fn drain_all(drain: &mut Drain, tags: &mut Vec<u8>) {
    let end = collect(drain, drain.position(), tags);
    drain.release_to(end);
}

/// Takes one batch and finishes it, if there is one.
fn verify_once(ring: &Ring, share: Share) -> usize {
    let mut positions = Vec::new();
    let Some(mut batch) = ring.take_batch(4, share, &mut positions) else { return 0 };
    for index in 0..batch.len() {
        let entry = batch.entry(index).unwrap();
        let tag = entry.head[0];
        assert_eq!(entry.head, &[tag; 192]);
        assert!(entry.payload.iter().all(|byte| *byte == tag));
        batch.finish(index, Verification::Verified(id(tag)));
    }
    batch.len()
}

/// A ring whose cursors all stand at `cells`.
fn ring_at(cell_count: usize, payload_size_max: usize, cells: usize) -> (Arc<Ring>, Drain) {
    let (ring, mut drain) = Ring::for_model(cell_count, payload_size_max).unwrap();
    for _ in 0..cells / EMPTY_CELLS {
        drop(ring.claim(&[0]).unwrap());
    }
    drain_all(&mut drain, &mut Vec::new());
    (ring, drain)
}

#[test]
fn a_full_ring_pushes_back_until_cells_are_given_back() {
    model(|| {
        let (ring, mut drain) = Ring::for_model(4 * EMPTY_CELLS, 0).unwrap();
        for tag in 1..=3 {
            append(&ring, tag, 0, Known::All(id(tag))).unwrap();
        }
        let producer = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || {
                append(&ring, 4, 0, Known::All(id(4))).unwrap();
                append(&ring, 5, 0, Known::All(id(5))).map_err(|error| assert_eq!(error, Pushback::RingFull)).is_ok()
            })
        };
        let mut tags = Vec::new();
        drain_all(&mut drain, &mut tags);
        let fifth = producer.join().unwrap();
        drain_all(&mut drain, &mut tags);
        assert_eq!(tags, (1..=4 + u8::from(fifth)).collect::<Vec<_>>());
    });
}

#[test]
fn an_entry_that_would_cross_the_end_is_padded_by_its_own_claim() {
    model(|| {
        let (ring, mut drain) = ring_at(32, SMALL as usize, 28);
        let producers = [1, 2].map(|tag| {
            let ring = Arc::clone(&ring);
            thread::spawn(move || append(&ring, tag, SMALL, Known::All(id(tag))).unwrap())
        });
        let mut tags = Vec::new();
        drain_all(&mut drain, &mut tags);
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        drain_all(&mut drain, &mut tags);
        tags.sort_unstable();
        assert_eq!(tags, [1, 2]);
        assert_eq!(drain.position(), 28 + 4 + 5 + 5);
    });
}

#[test]
fn a_dropped_claim_is_a_gap_and_holds_nobody_up() {
    model(|| {
        let (ring, mut drain) = Ring::for_model(16, 0).unwrap();
        let dropper = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || drop(ring.claim(&[0, 0]).unwrap()))
        };
        let producer = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || append(&ring, 7, 0, Known::All(id(7))).unwrap())
        };
        let mut tags = Vec::new();
        drain_all(&mut drain, &mut tags);
        dropper.join().unwrap();
        producer.join().unwrap();
        drain_all(&mut drain, &mut tags);
        assert_eq!((tags, drain.position()), (vec![7], 12));
    });
}

#[test]
fn a_claim_published_late_holds_up_the_one_behind_it() {
    model(|| {
        let (ring, mut drain) = Ring::for_model(16, 0).unwrap();
        let behind = Arc::clone(&ring);
        let mut first = ring.claim(&[0]).unwrap();
        let second = thread::spawn(move || append(&behind, 2, 0, Known::Nothing).unwrap());
        assert!(matches!(drain.peek(0), Peek::Waiting));
        assert_eq!(verify_once(&ring, Share::All), 0);
        let head = [1; 192];
        let entry = Entry { head: &head, payload: &[], source: 1, slot: 1, author_slot: 1, known: Known::Nothing };
        first.write(&entry);
        let met = verify_once(&ring, Share::All);
        second.join().unwrap();
        if met < 2 {
            assert_eq!(met + verify_once(&ring, Share::All), 2);
        }
        let mut tags = Vec::new();
        drain_all(&mut drain, &mut tags);
        assert_eq!(tags, [1, 2]);
    });
}

#[test]
fn two_verifiers_share_what_waits_and_the_engine_follows() {
    model(|| {
        let (ring, mut drain) = Ring::for_model(16, 0).unwrap();
        for tag in 1..=3 {
            append(&ring, tag, 0, Known::Nothing).unwrap();
        }
        let verifiers = [1, 2].map(|_| {
            let ring = Arc::clone(&ring);
            thread::spawn(move || verify_once(&ring, Share::Of { free_workers: 2 }))
        });
        let mut tags = Vec::new();
        drain_all(&mut drain, &mut tags);
        let met: usize = verifiers.into_iter().map(|verifier| verifier.join().unwrap()).sum();
        assert_eq!(met + verify_once(&ring, Share::All), 3);
        drain_all(&mut drain, &mut tags);
        assert_eq!(tags, [1, 2, 3]);
    });
}

#[test]
fn a_producer_publishes_to_a_verifier_and_that_to_the_engine() {
    model(|| {
        let (ring, mut drain) = Ring::for_model(32, SMALL as usize).unwrap();
        let producer = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || append(&ring, 1, SMALL, Known::Nothing).unwrap())
        };
        let verifier = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || verify_once(&ring, Share::All))
        };
        let mut tags = Vec::new();
        drain_all(&mut drain, &mut tags);
        producer.join().unwrap();
        let met = verifier.join().unwrap();
        assert_eq!(met + verify_once(&ring, Share::All), 1);
        drain_all(&mut drain, &mut tags);
        assert_eq!(tags, [1]);
    });
}

/// The engine gives back entries that no verifier took, and the next round is written over them.
#[test]
fn an_outdated_verify_cursor_takes_nothing_of_another_round() {
    model(|| {
        let (ring, mut drain) = Ring::for_model(16, 0).unwrap();
        for tag in 1..=4 {
            append(&ring, tag, 0, Known::All(id(tag))).unwrap();
        }
        let verifier = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || verify_once(&ring, Share::All))
        };
        let producer = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || append(&ring, 5, 0, Known::Nothing).is_ok())
        };
        let mut tags = Vec::new();
        drain_all(&mut drain, &mut tags);
        let fits = producer.join().unwrap();
        let met = verifier.join().unwrap();
        let met = met + verify_once(&ring, Share::All);
        assert_eq!(met, usize::from(fits));
        drain_all(&mut drain, &mut tags);
        assert_eq!(tags, (1..=4 + u8::from(fits)).collect::<Vec<_>>());
    });
}

/// A producer of the next round and a verifier of the last: the cells change hands through the engine.
#[test]
fn cells_are_written_again_only_after_the_last_look_at_them() {
    model(|| {
        let (ring, mut drain) = Ring::for_model(16, 0).unwrap();
        append(&ring, 1, 0, Known::Nothing).unwrap();
        for tag in 2..=4 {
            append(&ring, tag, 0, Known::All(id(tag))).unwrap();
        }
        let verifier = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || verify_once(&ring, Share::All))
        };
        let producer = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || append(&ring, 5, 0, Known::All(id(5))).is_ok())
        };
        let mut tags = Vec::new();
        drain_all(&mut drain, &mut tags);
        let fits = producer.join().unwrap();
        assert_eq!(verifier.join().unwrap(), 1);
        drain_all(&mut drain, &mut tags);
        assert_eq!(tags, (1..=4 + u8::from(fits)).collect::<Vec<_>>());
    });
}

#[test]
fn a_sleeping_caller_is_woken() {
    model(|| {
        let slots = Arc::new(Slots::new(1));
        let slot = slots.reserve().unwrap();
        let caller = {
            let slots = Arc::clone(&slots);
            thread::spawn(move || {
                let outcome = slots.wait(slot);
                slots.release(slot);
                outcome
            })
        };
        slots.complete(slot, Outcome::Final { seq: 5, height: 3 });
        slots.wake();
        assert_eq!(caller.join().unwrap(), Outcome::Final { seq: 5, height: 3 });
        assert_eq!(slots.outstanding(), 0);
    });
}

#[test]
fn two_callers_answered_one_by_one_are_both_woken() {
    model(|| {
        let slots = Arc::new(Slots::new(2));
        let callers = [7, 8].map(|seq| {
            let slot = slots.reserve().unwrap();
            let caller = Arc::clone(&slots);
            (slot, seq, thread::spawn(move || caller.wait(slot)))
        });
        for (slot, seq, _) in &callers {
            slots.complete(*slot, Outcome::Seen { below: *seq });
            slots.wake();
        }
        for (_, seq, caller) in callers {
            assert_eq!(caller.join().unwrap(), Outcome::Seen { below: seq });
        }
    });
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_task_that_was_told_to_wait_is_woken() {
    model(|| {
        let slots = Arc::new(Slots::new(1));
        let slot = slots.reserve().unwrap();
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let task = {
            let (slots, waker) = (Arc::clone(&slots), Waker::from(Arc::clone(&flag)));
            thread::spawn(move || slots.poll(slot, &waker))
        };
        slots.complete(slot, Outcome::Final { seq: 1, height: 1 });
        slots.wake();
        match task.join().unwrap() {
            Poll::Ready(outcome) => assert_eq!(outcome, Outcome::Final { seq: 1, height: 1 }),
            Poll::Pending => assert!(flag.0.load(Ordering::Relaxed), "the wake-up is lost"),
        }
    });
}

#[test]
fn a_slot_given_back_while_it_is_answered_is_freed_once() {
    model(|| {
        let slots = Arc::new(Slots::new(1));
        let slot = slots.reserve().unwrap();
        let caller = {
            let slots = Arc::clone(&slots);
            thread::spawn(move || {
                slots.release(slot);
                slots.reserve()
            })
        };
        slots.complete(slot, Outcome::Unknown);
        match caller.join().unwrap() {
            Ok(again) => {
                assert_eq!(slots.read(again), None, "the earlier answer reached a later record");
                slots.complete(again, Outcome::Final { seq: 2, height: 2 });
                assert_eq!(slots.read(again), Some(Outcome::Final { seq: 2, height: 2 }));
            }
            Err(error) => {
                assert_eq!(error, Pushback::SlotsOutstanding);
                assert_eq!(slots.outstanding(), 0);
            }
        }
    });
}

#[test]
fn a_halt_reaches_who_sleeps() {
    model(|| {
        let slots = Arc::new(Slots::new(1));
        let watermark = Arc::new(Watermark::new(4));
        let slot = slots.reserve().unwrap();
        let caller = {
            let slots = Arc::clone(&slots);
            thread::spawn(move || slots.wait(slot))
        };
        let follower = {
            let watermark = Arc::clone(&watermark);
            thread::spawn(move || watermark.wait_past(4, None))
        };
        slots.halt();
        watermark.halt();
        assert_eq!(caller.join().unwrap(), Outcome::Unknown);
        assert_eq!(follower.join().unwrap(), Progress::Halted);
    });
}

#[test]
fn a_follower_sees_the_watermark_pass_even_if_the_ledger_halts_at_once() {
    model(|| {
        let watermark = Arc::new(Watermark::new(4));
        let follower = {
            let watermark = Arc::clone(&watermark);
            thread::spawn(move || watermark.wait_past(4, None))
        };
        watermark.advance(6);
        watermark.halt();
        assert_eq!(follower.join().unwrap(), Progress::Final { next_seq: 6 });
    });
}
