//! A run: processes come and go, send, ask, and end; after each opening everything is compared with what was promised.

use super::damage::damage;
use super::model::{Model, Sent};
use super::plan::{Ending, Plan, SEGMENT_SIZE};
use super::process::Process;
use super::world::World;
use crate::appender::{Appender, Pending};
use crate::builder::RecordBuilder;
use crate::open_error::OpenError;
use crate::refusal::Refusal;
use annals_core::hash::RecordId;
use annals_core::record::Kind;
use annals_core::signature::SigningKey;
use annals_storage::disk::{Dice, Trouble};
use annals_storage::log::Halted;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What happened in one run, or in many.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) runs: u64,
    pub(super) openings: u64,
    pub(super) kills: u64,
    pub(super) power_cuts: u64,
    pub(super) crashes_in_recovery: u64,
    pub(super) halts: u64,
    pub(super) closes: u64,
    pub(super) torn_tails: u64,
    pub(super) clock_refusals: u64,
    pub(super) full_refusals: u64,
    pub(super) acknowledged: u64,
    pub(super) unknown: u64,
    pub(super) receipts_compared: u64,
    pub(super) damages: u64,
    pub(super) segments: u64,
}

impl Tally {
    fn numbers(&self) -> [(&'static str, u64); 15] {
        [
            ("runs", self.runs),
            ("openings", self.openings),
            ("kills", self.kills),
            ("power cuts", self.power_cuts),
            ("crashes in recovery", self.crashes_in_recovery),
            ("halts", self.halts),
            ("clean closes", self.closes),
            ("torn tails cut", self.torn_tails),
            ("clock refusals", self.clock_refusals),
            ("refused for want of room", self.full_refusals),
            ("acknowledged", self.acknowledged),
            ("unknown", self.unknown),
            ("receipts issued again", self.receipts_compared),
            ("damages found", self.damages),
            ("segments", self.segments),
        ]
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.openings += other.openings;
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.crashes_in_recovery += other.crashes_in_recovery;
        self.halts += other.halts;
        self.closes += other.closes;
        self.torn_tails += other.torn_tails;
        self.clock_refusals += other.clock_refusals;
        self.full_refusals += other.full_refusals;
        self.acknowledged += other.acknowledged;
        self.unknown += other.unknown;
        self.receipts_compared += other.receipts_compared;
        self.damages += other.damages;
        self.segments += other.segments;
    }

    /// Over many runs each thing has happened: a simulation that no longer does something would notice nothing of it.
    pub(super) fn assert_nothing_was_left_out(&self) {
        for (name, number) in self.numbers() {
            assert!(0 < number, "no {name} in {self}");
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = self.numbers().map(|(name, number)| format!("{number} {name}"));
        formatter.write_str(&numbers.join(", "))
    }
}

/// What an answer may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Expected {
    /// A new record, or one sent before: it is taken.
    Taken,
    /// Another record with a nonce that may be used: it is taken or conflicts.
    TakenOrConflict,
    /// The signature does not hold.
    BadSignature,
}

/// A record under way.
#[derive(Debug)]
struct Waiting {
    pending: Pending,
    id: RecordId,
    expected: Expected,
    /// Its author's number, and its place in what that author has sent in this life, if it is sent for the first time.
    place: Option<(u64, u64)>,
}

/// A life: one process from its opening to its end.
struct Life {
    process: Process,
    /// One a producer; an author belongs to one of them.
    appenders: Vec<Appender>,
    waiting: Vec<Waiting>,
    /// What each author was told in this life: seqs by the order of sending.
    told: BTreeMap<(u64, u64), u64>,
    sent: u64,
}

struct Run {
    dice: Dice,
    plan: Plan,
    world: World,
    model: Model,
    tally: Tally,
    keys: Vec<SigningKey>,
    nonces: Vec<u64>,
    room: u64,
}

/// Why a life ended before its time.
enum End {
    /// The disk went away, and the process with it.
    Crash,
    /// A write failed.
    Halt(Halted),
}

pub(super) fn run(seed: u64) -> Tally {
    let mut dice = Dice::new(seed);
    let plan = Plan::draw(&mut dice);
    let mut run = Run::new(dice, plan);
    for _ in 0..run.plan.lives {
        let (actions, trouble) = (run.dice.below(run.plan.actions_max + 1), run.plan.trouble(&mut run.dice));
        run.live(actions, trouble);
    }
    run.conclude();
    run.tally.damages += damage(&run.world, &mut run.model, &run.plan, &mut run.dice);
    run.tally
}

/// One life with one trouble, and what it leaves; operations on the disk in that life.
pub(super) fn run_with(seed: u64, plan: Plan, trouble: Trouble) -> u64 {
    let mut run = Run::new(Dice::new(seed), plan);
    let before = run.world.disk.operations();
    run.live(run.plan.actions_max, Some(trouble));
    let operations = run.world.disk.operations() - before;
    run.conclude();
    operations
}

impl Run {
    fn new(mut dice: Dice, plan: Plan) -> Self {
        let world = World::born(&mut dice, plan.room);
        world.disk.set_habits(plan.habits);
        let authors = u8::try_from(plan.authors).unwrap_or(u8::MAX);
        Self {
            keys: (0..authors).map(|author| SigningKey::from_seed(&[author + 10; 32])).collect(),
            nonces: (0..authors).map(|_| dice.below(1 << 40)).collect(),
            room: plan.room,
            model: Model::default(),
            tally: Tally { runs: 1, ..Tally::default() },
            dice,
            plan,
            world,
        }
    }

    fn live(&mut self, actions: u64, trouble: Option<Trouble>) {
        let Self { dice, plan, world, .. } = self;
        world.spoil_indexes(dice, plan.index_faults);
        if dice.happens(plan.clock_jumps * 4) {
            world.set_clock(dice);
        }
        world.pass(Duration::from_millis(dice.below(10_000)));
        let process = self.open();
        let appenders = (0..self.plan.authors.min(3)).map(|_| process.appender()).collect();
        let mut life = Life { process, appenders, waiting: Vec::new(), told: BTreeMap::new(), sent: 0 };
        let reader = life.process.reader();
        self.model.check(&self.world, &reader, &mut self.dice);
        self.world.disk.set_trouble(trouble);
        for _ in 0..actions {
            match self.act(&mut life) {
                Ok(()) => {}
                Err(End::Crash) => return self.crash(),
                Err(End::Halt(halted)) => return self.halted(life, &halted),
            }
        }
        self.end(life);
    }

    /// Opens the ledger, however often the process dies over it. A refusal needs a reason.
    fn open(&mut self) -> Process {
        let mut accept_clock = false;
        for _ in 0..100 {
            let trouble = self.plan.trouble_in_recovery(&mut self.dice);
            self.world.disk.set_trouble(trouble);
            let is_failing = matches!(trouble, Some(Trouble::Failure(..)));
            let opened = self.world.open(&self.plan, accept_clock);
            if self.world.disk.is_down() {
                self.tally.crashes_in_recovery += 1;
                drop(opened);
                self.crash();
                continue;
            }
            match opened {
                Ok(process) => {
                    self.world.disk.set_trouble(None);
                    self.tally.openings += 1;
                    self.tally.torn_tails += u64::from(process.cut.is_some());
                    return process;
                }
                Err(OpenError::ClockBehind { .. } | OpenError::ClockAhead { .. }) if 0 < self.plan.clock_jumps => {
                    self.tally.clock_refusals += 1;
                    accept_clock = true;
                }
                Err(error) if is_failing && ["recovery.disk", "disk.io"].contains(&error.code()) => self.crash(),
                Err(error) => panic!("an unexplained refusal: {error}"),
            }
        }
        panic!("recovery came to no end in 100 attempts");
    }

    fn crash(&mut self) {
        let ending = self.plan.crash(&mut self.dice);
        self.take_away(ending);
    }

    /// The process is gone.
    fn take_away(&mut self, ending: Ending) {
        if ending == Ending::PowerCut {
            self.tally.power_cuts += 1;
            self.world.disk.cut_power();
            return;
        }
        self.tally.kills += 1;
        self.world.disk.kill();
        if self.dice.happens(self.plan.power_cuts / 4) {
            self.tally.power_cuts += 1;
            self.world.disk.cut_power();
        }
    }

    /// One thing that somebody does.
    fn act(&mut self, life: &mut Life) -> Result<(), End> {
        match self.dice.below(100) {
            0..45 => self.append(life),
            45..53 => self.append_again(life),
            53..56 => self.append_other(life),
            56..58 => self.append_forged(life),
            58..63 => self.look(life),
            63..64 => {
                self.model.check_disk(&self.world, &self.world.disk);
            }
            64..72 => {
                let unit = [1, 100, 30_000, 2_000_000].map(|unit| unit * self.dice.below(3));
                let at = usize::try_from(self.dice.below(4)).unwrap_or(0);
                self.world.pass(Duration::from_micros(unit[at]));
            }
            72..74 if self.room < 64 => {
                self.room += 1;
                self.world.disk.set_capacity(self.room * SEGMENT_SIZE);
            }
            _ => {}
        }
        if self.dice.happens(self.plan.clock_jumps) {
            self.world.set_clock(&mut self.dice);
        }
        for _ in 0..self.dice.below(6) {
            let stepped = life.process.step(&mut self.dice, self.plan.jobs);
            if self.world.disk.is_down() {
                return Err(End::Crash);
            }
            if let Err(halted) = stepped {
                return Err(End::Halt(halted));
            }
        }
        self.world.pass(Duration::from_micros(self.dice.below(200)));
        self.take_answers(life);
        Ok(())
    }

    /// A new record of an author.
    fn make(&mut self, author: u64) -> (RecordId, Sent) {
        let at = usize::try_from(author).unwrap_or(0);
        // Some numbers are left out.
        self.nonces[at] += 1 + self.dice.below(2) * self.dice.below(700);
        self.make_with(author, self.nonces[at])
    }

    fn make_with(&mut self, author: u64, nonce: u64) -> (RecordId, Sent) {
        let key = &self.keys[usize::try_from(author).unwrap_or(0)];
        let size = self.plan.payloads.size(&mut self.dice);
        let mut stream = self.dice.split();
        let mut payload = vec![0; size];
        payload.chunks_mut(8).for_each(|bytes| bytes.copy_from_slice(&stream.roll().to_le_bytes()[..bytes.len()]));
        if self.dice.happens(100) {
            // Sectors and pages of zeros look like what was never written.
            payload.fill(0);
        }
        let builder = RecordBuilder::new(self.world.ledger, Kind::APPLICATION_FIRST).unsalted().nonce(nonce);
        let signed = builder.claimed_time_ms(self.world.now_ms()).sign(key, &payload).unwrap();
        (
            signed.record_id(),
            Sent { bytes: signed.bytes().to_vec(), author, nonce, ack: None, is_other: false, is_refused: false },
        )
    }

    fn append(&mut self, life: &mut Life) {
        let count = 1 + self.dice.below(self.plan.batch_max);
        let producer = self.dice.below(life.appenders.len() as u64);
        let mut batch = Vec::new();
        let mut bytes = 0;
        while (batch.len() as u64) < count && bytes < 2 << 20 {
            let mine: Vec<u64> =
                (0..self.plan.authors).filter(|it| it % life.appenders.len() as u64 == producer).collect();
            let author = mine[usize::try_from(self.dice.below(mine.len() as u64)).unwrap_or(0)];
            let made = self.make(author);
            bytes += made.1.bytes.len();
            batch.push(made);
        }
        self.send(life, producer, batch, Expected::Taken, true);
    }

    fn append_again(&mut self, life: &mut Life) {
        let Some((id, sent)) = self.model.any_sent(&mut self.dice) else { return };
        let expected = if sent.is_other { Expected::TakenOrConflict } else { Expected::Taken };
        let batch = vec![(id, sent.clone())];
        self.send(life, 0, batch, expected, false);
    }

    /// Another record with a nonce that was used, or was sent and lost.
    fn append_other(&mut self, life: &mut Life) {
        let Some((_, sent)) = self.model.any_sent(&mut self.dice) else { return };
        let (author, nonce, is_known) = (sent.author, sent.nonce, sent.ack.is_some());
        if !is_known {
            // The first one may still come: then which of the two wins is open, and asking for it again would conflict.
            return;
        }
        let (id, other) = self.make_with(author, nonce);
        let batch = vec![(id, Sent { is_other: true, ..other })];
        self.send(life, 0, batch, Expected::TakenOrConflict, false);
    }

    fn append_forged(&mut self, life: &mut Life) {
        let (id, mut sent) = self.make(0);
        sent.bytes[130 + usize::try_from(self.dice.below(60)).unwrap_or(0)] ^= 1;
        let batch = vec![(id, sent)];
        self.send(life, 0, batch, Expected::BadSignature, false);
    }

    fn send(&mut self, life: &mut Life, producer: u64, batch: Vec<(RecordId, Sent)>, expected: Expected, is_new: bool) {
        let slices: Vec<&[u8]> = batch.iter().map(|(_, sent)| sent.bytes.as_slice()).collect();
        let appender = &mut life.appenders[usize::try_from(producer).unwrap_or(0)];
        let answers = match appender.append_batch(&slices) {
            Ok(answers) => answers,
            Err(refusal) => {
                life.sent += batch.len() as u64;
                return batch.iter().for_each(|(id, _)| self.check_refusal(id, &refusal, expected));
            }
        };
        for ((id, sent), answer) in batch.into_iter().zip(answers) {
            life.sent += 1;
            let place = is_new.then_some((sent.author, life.sent));
            match answer {
                Ok(pending) => {
                    // A record whose signature does not hold may share its id with none that was sent.
                    if expected != Expected::BadSignature {
                        self.model.send(id, sent);
                    }
                    life.waiting.push(Waiting { pending, id, expected, place });
                }
                Err(refusal) => self.check_refusal(&id, &refusal, expected),
            }
        }
    }

    fn check_refusal(&mut self, id: &RecordId, refusal: &Refusal, expected: Expected) {
        match (refusal, expected) {
            // For the moment: it may be in the ledger from before, if it was sent before.
            (Refusal::Pushback, _) => return,
            (Refusal::DiskFull | Refusal::NoSegment(_), _) => {
                self.tally.full_refusals += 1;
                return;
            }
            (Refusal::Signature, Expected::BadSignature)
            | (Refusal::NonceConflict { .. }, Expected::TakenOrConflict) => {}
            // Nothing is known of it, and its author has gone on since.
            (Refusal::NonceStale(_), Expected::Taken) => {}
            (refusal, expected) => panic!("{expected:?} was answered: {refusal}"),
        }
        self.model.refuse(id);
    }

    fn take_answers(&mut self, life: &mut Life) {
        let mut still = Vec::new();
        for mut waiting in std::mem::take(&mut life.waiting) {
            let Some(answer) = waiting.pending.try_take() else {
                still.push(waiting);
                continue;
            };
            let ack = match answer {
                Ok(ack) => ack,
                Err(refusal) => {
                    self.check_refusal(&waiting.id, &refusal, waiting.expected);
                    continue;
                }
            };
            assert!(waiting.expected != Expected::BadSignature, "a forged record was acknowledged");
            self.model.acknowledge(waiting.id, ack);
            let Some((author, order)) = waiting.place else { continue };
            let before = life.told.range((author, 0)..(author, order)).next_back();
            assert!(before.is_none_or(|(_, seq)| *seq < ack.seq), "one producer's records keep their order");
            life.told.insert((author, order), ack.seq);
        }
        life.waiting = still;
    }

    /// Somebody asks for what was promised.
    fn look(&mut self, life: &Life) {
        let reader = life.process.reader();
        let Some(seq) = self.model.any_acknowledged(&mut self.dice) else { return };
        match self.dice.below(3) {
            0 => self.model.check_record(&reader.get(seq).unwrap()),
            1 => self.model.check_receipt(&self.world, &reader, seq),
            _ => {
                let note = reader.checkpoint().unwrap();
                self.model.note_root(&self.world, &note);
            }
        }
    }

    /// A write has failed: nothing more is acknowledged, everybody is told, and reading goes on.
    fn halted(&mut self, mut life: Life, halted: &Halted) {
        self.tally.halts += 1;
        let kept = life.process.shared.halted.lock().clone().map(|kept| kept.cause);
        assert_eq!(kept.as_ref(), Some(&halted.cause), "the first cause is kept");
        for mut waiting in std::mem::take(&mut life.waiting) {
            match waiting.pending.try_take() {
                None => panic!("somebody still waits for a ledger that halted"),
                Some(Ok(ack)) => self.model.acknowledge(waiting.id, ack),
                Some(Err(Refusal::Unknown)) => self.tally.unknown += 1,
                Some(Err(refusal)) => self.check_refusal(&waiting.id, &refusal, waiting.expected),
            }
        }
        let (_, another) = self.make(0);
        assert_eq!(life.appenders[0].append(&another.bytes).unwrap_err(), Refusal::Halted);
        self.look(&life);
        drop(life);
        self.take_away(Ending::Kill);
    }

    fn end(&mut self, mut life: Life) {
        let ending = self.plan.ending(&mut self.dice);
        if ending != Ending::Close {
            self.tally.unknown += life.waiting.len() as u64;
            drop(life);
            return self.take_away(ending);
        }
        let closed = life.process.close(&mut self.dice);
        if self.world.disk.is_down() {
            drop(life);
            return self.crash();
        }
        if let Err(halted) = closed {
            return self.halted(life, &halted);
        }
        self.take_answers(&mut life);
        assert!(life.waiting.is_empty(), "closing answers everybody");
        drop(life);
        self.world.disk.set_trouble(None);
        let report = self.model.check_disk(&self.world, &self.world.disk);
        assert!(report.closed && report.torn.is_none(), "closed cleanly");
        self.tally.closes += 1;
    }

    /// Everything that was promised in all those lives, once more.
    fn conclude(&mut self) {
        let mut process = self.open();
        let reader = process.reader();
        self.model.check(&self.world, &reader, &mut self.dice);
        process.settle(&mut self.dice).unwrap();
        process.close(&mut self.dice).unwrap();
        drop((process, reader));
        let report = self.model.check_disk(&self.world, &self.world.disk);
        assert!(report.closed, "closed cleanly");
        self.tally.segments += report.segments;
        self.tally.acknowledged += self.model.acknowledged_count();
        self.tally.receipts_compared += self.model.receipts_compared;
    }
}
