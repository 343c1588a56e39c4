//! Batches through the ring: what a verifier says of each record is what verifying it alone says, whatever is beside it.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

use annals_core::genesis::engine_head;
use annals_core::hash::LedgerId;
use annals_core::limits::HEAD_SIZE;
use annals_core::record::Kind;
use annals_core::signature::{SigningKey, verify_head};
use annals_ordering::registry::{Registry, Sources};
use annals_ordering::ring::{Drain, Entry, Known, Peek, Pushback, Ring, Share, Verification};
use annals_ordering::slots::{Outcome, RefusalCode, Slots};
use annals_ordering::verify::{Suspects, Verifier, verify_one};
use annals_ordering::watermark::{Progress, Watermark};
use std::sync::Arc;
use std::time::Duration;

type Bytes = ([u8; HEAD_SIZE], Vec<u8>);

/// A signed record; every seventh has a bad signature, every eleventh another payload than it commits to.
fn record(number: u64) -> Bytes {
    let key = SigningKey::from_seed(&[number as u8 % 5 + 1; 32]);
    let mut payload = number.to_le_bytes().repeat(1 + number as usize % 40);
    let mut head =
        engine_head(LedgerId::from_bytes([7; 32]), key.public(), number, 0, Kind::APPLICATION_FIRST, &payload).encode();
    key.sign_head(&mut head);
    if number % 7 == 3 {
        head[130] ^= 1;
    }
    if number % 11 == 4 {
        payload[0] ^= 1;
    }
    (head, payload)
}

/// Puts records into a ring, each from a source of its own number modulo three.
fn publish(ring: &Ring, records: &[Bytes]) {
    for (number, (head, payload)) in (0..).zip(records) {
        let size = [payload.len() as u32];
        let mut claim = ring.claim(&size).unwrap();
        let (source, slot, author_slot, known) = (number % 3, number, 0, Known::Nothing);
        claim.write(&Entry { head, payload, source, slot, author_slot, known });
    }
}

fn drained(drain: &mut Drain) -> Vec<Verification> {
    let (mut position, mut found) = (drain.position(), Vec::new());
    loop {
        match drain.peek(position) {
            Peek::Waiting => break,
            Peek::Gap { next_position } => position = next_position,
            Peek::Entry(entry) => {
                found.push(entry.verification);
                position = entry.next_position;
            }
        }
    }
    drain.release_to(position);
    found
}

#[test]
fn a_batch_says_of_each_record_what_it_is_alone_and_suspects_are_verified_apart() {
    let (ring, mut drain) = Ring::new(1 << 20, 4096).unwrap();
    let mut verifier = Verifier::new(Arc::new(Suspects::default()));
    let (mut positions, mut batches) = (Vec::new(), Vec::new());
    for round in 0..3u64 {
        let records: Vec<_> = (200 * round..200 * (round + 1)).map(record).collect();
        publish(&ring, &records);
        while let Some(batch) = ring.take_batch(4096, Share::All, &mut positions) {
            let tally = verifier.verify_by(batch, |heads, valid| {
                batches.push(heads.len());
                for (head, valid) in heads.iter().zip(valid) {
                    *valid = verify_head(head);
                }
            });
            assert_eq!(u64::from(tally.verified + tally.bad_signature + tally.bad_content), 200);
        }
        let alone: Vec<_> = records.iter().map(|(head, payload)| verify_one(head, payload)).collect();
        assert_eq!(drained(&mut drain), alone);
        assert!(alone.contains(&Verification::BadSignature) && alone.contains(&Verification::BadContent));
    }
    // All sources together at first; each apart once it sent a bad signature.
    assert_eq!(batches.len(), 1 + 3 + 3, "{batches:?}");
}

#[test]
fn a_number_is_given_again_only_when_nothing_of_the_earlier_appender_is_outstanding() {
    let registry = Arc::new(Registry::new(2));
    let mut sources = Sources::new(Arc::clone(&registry));
    let slots = || Arc::new(Slots::new(4));
    let (first, second) = (registry.register(slots()).unwrap(), registry.register(slots()).unwrap());
    assert_eq!((first.id(), second.id()), (0, 1));
    assert!(registry.register(slots()).is_err(), "full");
    let slot = first.slots().reserve().unwrap();
    assert!(Arc::ptr_eq(sources.get(0).unwrap(), &first));
    registry.unregister(&first);
    assert!(registry.register(slots()).is_err(), "a record of the first is on its way");
    first.slots().complete(slot, Outcome::Refused(RefusalCode::Overloaded));
    first.slots().release(slot);
    let third = registry.register(slots()).unwrap();
    assert_eq!(third.id(), 0);
    assert!(Arc::ptr_eq(sources.get(0).unwrap(), &third), "the engine's copy notices");
    assert!(sources.get(9).is_none());
    registry.halt();
    let later = third.slots().reserve().unwrap();
    assert_eq!(third.slots().wait(later), Outcome::Unknown);
}

#[test]
fn slots_run_out_come_back_and_keep_what_was_answered_before_a_halt() {
    let slots = Slots::new(70);
    assert!(slots.has_free(70) && !slots.has_free(71));
    let all: Vec<_> = (0..70).map(|_| slots.reserve().unwrap()).collect();
    assert_eq!(slots.reserve(), Err(Pushback::SlotsOutstanding));
    assert!(slots.has_free(0) && !slots.has_free(1));
    assert_eq!(slots.wait_timeout(all[3], Duration::from_millis(1)), None);
    slots.complete(all[3], Outcome::Final { seq: 9, height: 2 });
    slots.release(all[5]);
    assert_eq!(slots.outstanding(), 70, "given back before its answer: out of use until then");
    slots.complete(all[5], Outcome::Seen { below: 4 });
    assert_eq!(slots.reserve(), Ok(all[5]));
    slots.halt();
    assert_eq!(slots.wait(all[3]), Outcome::Final { seq: 9, height: 2 });
    assert_eq!(slots.wait(all[4]), Outcome::Unknown);
}

#[test]
fn a_watermark_tells_what_was_final_before_a_halt() {
    let watermark = Watermark::new(3);
    assert_eq!(watermark.wait_past(3, Some(Duration::from_millis(1))), Progress::TimedOut);
    watermark.advance(5);
    watermark.halt();
    assert_eq!(watermark.wait_past(4, None), Progress::Final { next_seq: 5 });
    assert_eq!(watermark.wait_past(5, None), Progress::Halted);
    let falls = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| watermark.advance(4)));
    assert!(falls.is_err(), "it never falls");
}
