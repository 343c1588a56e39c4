//! Failing disks: every operation of a life fails in every way, one life each; and a disk without room.

use super::plan::{Payloads, Plan, SEGMENT_SIZE};
use super::run::run_with;
use super::world::World;
use crate::appender::{Ack, Appender};
use crate::builder::RecordBuilder;
use crate::refusal::Refusal;
use crate::simulation::process::Process;
use annals_core::record::Kind;
use annals_core::signature::SigningKey;
use annals_storage::disk::{Dice, Failure, Habits, Trouble};
use std::time::Duration;

/// A life without dice about what goes wrong: blocks of all sizes over some segments, two of them in flight.
fn plan() -> Plan {
    Plan {
        lives: 1,
        actions_max: 60,
        authors: 2,
        payloads: Payloads::Large,
        batch_max: 4,
        habits: Habits { lost: 300, torn: 500, torn_in_order: 300, completes: 600, twice: 50 },
        crashes: 0,
        failures: 0,
        crashes_in_recovery: 0,
        closes: 1024,
        power_cuts: 512,
        index_faults: 0,
        clock_jumps: 0,
        room: 64,
        jobs: 800,
        author_count_max: 1000,
    }
}

/// Lets every operation of a life meet a trouble, one life each, until a life has no such operation.
fn every_operation(trouble: impl Fn(u64) -> Trouble) {
    let mut lives = 0;
    for seed in 0..2 {
        let mut after = 1;
        while after <= run_with(seed, plan(), trouble(after)) {
            after += 1;
            lives += 1;
        }
    }
    // Two dozen blocks at least, and what goes with them, twice over.
    assert!(60 < lives, "only {lives} operations");
}

#[test]
fn every_operation_fails_with_an_error_of_the_disk() {
    every_operation(|after| Trouble::Failure(after, Failure::Broken));
}

#[test]
fn every_operation_fails_for_want_of_room_that_was_reserved() {
    every_operation(|after| Trouble::Failure(after, Failure::Full));
}

#[test]
fn every_operation_fails_short() {
    every_operation(|after| Trouble::Failure(after, Failure::Short));
}

#[test]
fn every_operation_is_the_last_one() {
    every_operation(Trouble::Crash);
}

struct Sender {
    world: World,
    dice: Dice,
    nonce: u64,
}

impl Sender {
    /// Sends a record that takes a good part of a segment.
    fn send(&mut self, process: &mut Process, appender: &mut Appender, nonce: u64) -> Result<Ack, Refusal> {
        let builder = RecordBuilder::new(self.world.ledger, Kind::APPLICATION_FIRST).unsalted().nonce(nonce);
        let payload = vec![u8::try_from(nonce % 251).unwrap_or(0); 500_000];
        let record = builder.sign(&SigningKey::from_seed(&[1; 32]), &payload).unwrap();
        let mut pending = appender.append(record.bytes())?;
        process.settle(&mut self.dice).unwrap();
        pending.try_take().unwrap()
    }

    /// Sends until there is no room; how many were taken.
    fn fill(&mut self, process: &mut Process, appender: &mut Appender) -> u64 {
        let mut taken = 0;
        loop {
            match self.send(process, appender, self.nonce) {
                Ok(ack) => assert_eq!(ack.seq, self.nonce + 1, "seqs go on"),
                Err(refusal) => {
                    assert_eq!(refusal, Refusal::DiskFull);
                    return taken;
                }
            }
            self.nonce += 1;
            taken += 1;
            assert!(taken < 100, "the disk is never full");
        }
    }
}

#[test]
fn a_full_disk_refuses_loses_nothing_and_goes_on_when_there_is_room() {
    let mut dice = Dice::new(7);
    let world = World::born(&mut dice, 2);
    let mut sender = Sender { world, dice, nonce: 0 };
    let mut process = sender.world.open(&plan(), false).unwrap();
    let mut appender = process.appender();
    assert!(3 < sender.fill(&mut process, &mut appender), "two segments hold some");
    assert!(process.shared.halted.lock().is_none(), "a full disk is no failure");
    let reader = process.reader();
    assert_eq!(reader.next_seq(), sender.nonce + 1);
    for seq in 1..=sender.nonce {
        assert!(reader.get(seq).is_ok() && reader.prove(seq).is_ok(), "reading goes on");
    }
    // What was recorded is answered as before; a repetition needs no room.
    process.close(&mut sender.dice).unwrap();
    drop((process, appender, reader));

    let mut process = sender.world.open(&plan(), false).unwrap();
    let mut appender = process.appender();
    assert_eq!(process.reader().next_seq(), sender.nonce + 1, "nothing is lost");
    let refused = sender.nonce;
    assert_eq!(sender.fill(&mut process, &mut appender), 0, "there is no room still");
    sender.world.disk.set_capacity(4 * SEGMENT_SIZE);
    sender.world.pass(Duration::from_secs(2));
    let ack = sender.send(&mut process, &mut appender, refused).unwrap();
    assert_eq!(ack.seq, refused + 1, "the very record that was refused is taken, and used nothing up");
    sender.nonce += 1;
    assert!(3 < sender.fill(&mut process, &mut appender), "two more segments hold some more");
    process.close(&mut sender.dice).unwrap();
}
