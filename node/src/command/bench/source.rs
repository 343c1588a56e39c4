//! A source: one appender, what it appends, and the answers it waits for.
//!
//! A source offers its next records together, keeps those that were taken until they are answered, and keeps what proves
//! afterwards that everything that was acknowledged is in the ledger, once. Several sources may be driven by one thread.

use super::clock::now;
use super::supply::Supply;
use super::tally::Tally;
use crate::exit::CommandError;
use annals::{Ack, Appender, Pending, Refusal};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Most records appended at once.
pub(crate) const BATCH: usize = 64;
/// Most bytes of them.
const BATCH_BYTES: usize = 1 << 20;
/// Records that all sources together have outstanding, at most: those of a full ring, and some more.
const OUTSTANDING_MAX: usize = 16_384;
/// One acknowledged record in so many is proved afterwards.
const SAMPLED: u64 = 64;

/// What a run acknowledged: enough to tell afterwards that the ledger holds it, each record once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Acks {
    pub(crate) count: u64,
    /// Of all seqs, and of all of them mixed: equal to those of 1 to `count` only if these are the seqs.
    pub(crate) sum: u128,
    pub(crate) mixed: u64,
    last: u64,
    /// An answer came out of order, or for the same seq as another.
    pub(crate) disordered: bool,
    /// Seqs of some of them.
    pub(crate) seqs: Vec<u64>,
}

/// Spreads a seq over 64 bits: the finisher of `SplitMix64` (Steele, Lea, Flood 2014).
pub(crate) const fn mix(seq: u64) -> u64 {
    let seq = (seq ^ seq >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let seq = (seq ^ seq >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    seq ^ seq >> 31
}

impl Acks {
    pub(crate) fn note(&mut self, ack: Ack) {
        // One source's records keep their order.
        self.disordered |= 0 < self.count && ack.seq <= self.last;
        if self.count.is_multiple_of(SAMPLED) {
            self.seqs.push(ack.seq);
        }
        (self.count, self.last) = (self.count + 1, ack.seq);
        (self.sum, self.mixed) = (self.sum + u128::from(ack.seq), self.mixed.wrapping_add(mix(ack.seq)));
    }

    /// Puts another source's to these.
    pub(crate) fn merge(&mut self, other: Self) {
        (self.count, self.sum) = (self.count + other.count, self.sum + other.sum);
        self.mixed = self.mixed.wrapping_add(other.mixed);
        self.disordered |= other.disordered;
        self.seqs.extend(other.seqs);
    }
}

/// What became of an offer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Offer {
    /// So many are on their way.
    Taken(u64),
    /// There was no room for them, here or in the ledger.
    Full,
    /// There is nothing left to offer.
    Dry,
}

/// Which records count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Counts {
    /// Those that are answered in the window.
    IfAnswered,
    /// This one, whenever it is answered: it was due in the window.
    Always,
    /// Not this one: it was due before.
    Never,
}

#[derive(Debug)]
struct Sent {
    /// When it was offered, or due.
    since: Instant,
    counts: Counts,
    pending: Pending,
}

/// One appender and its records.
#[derive(Debug)]
pub(crate) struct Source {
    appender: Appender,
    pub(crate) supply: Supply,
    outstanding: VecDeque<Sent>,
    /// Records that it may have outstanding.
    most: usize,
    batch: usize,
    /// Its records are meant to be refused.
    pub(crate) hostile: bool,
    pub(crate) acks: Acks,
}

impl Source {
    /// One of so many sources.
    pub(crate) fn new(appender: Appender, supply: Supply, sources: u32, record_size: usize) -> Self {
        let batch = BATCH.min(BATCH_BYTES / record_size).max(1);
        let most = (OUTSTANDING_MAX / sources.max(1) as usize).max(batch);
        let (outstanding, acks) = (VecDeque::new(), Acks::default());
        Self { appender, supply, outstanding, most, batch, hostile: false, acks }
    }

    /// From now on it keeps to no bound but the ledger's.
    pub(crate) fn unbind(&mut self) {
        self.most = usize::MAX;
    }

    /// Offers its next records, at most so many. What is due when, and whether it counts, is asked for each by its place.
    pub(crate) fn offer(
        &mut self,
        most: usize,
        tally: &mut Tally,
        due: impl Fn(u64, Instant) -> (Instant, Counts),
    ) -> Result<Offer, CommandError> {
        let most = most.min(self.batch);
        if self.most < self.outstanding.len() + most {
            return Ok(Offer::Full);
        }
        let records = self.supply.batch(most)?;
        let (taken, count) = (records.len(), records.len() as u64);
        if taken == 0 {
            return Ok(Offer::Dry);
        }
        let before = now();
        let answers = self.appender.append_batch(&records);
        tally.attempt(before, count);
        if matches!(answers, Err(Refusal::Pushback)) {
            tally.push_back(before, count, now().saturating_duration_since(before));
            return Ok(Offer::Full);
        }
        self.supply.take(taken);
        for (place, answer) in (0..).zip(answers?) {
            match answer {
                Ok(pending) => {
                    let (since, counts) = due(place, before);
                    self.outstanding.push_back(Sent { since, counts, pending });
                }
                Err(refusal) => Self::turned_down(self.hostile, refusal, tally)?,
            }
        }
        Ok(Offer::Taken(count))
    }

    /// Sends one record and waits for its answer; whether there was one.
    pub(crate) fn one(&mut self, tally: &mut Tally) -> Result<bool, CommandError> {
        let records = self.supply.batch(1)?;
        let Some(record) = records.first() else { return Ok(false) };
        let sent = now();
        let ack = self.appender.append_wait(record)?;
        let at = now();
        self.supply.take(1);
        self.acks.note(ack);
        tally.attempt(sent, 1);
        tally.answer(sent, at, tally.window.holds(at));
        Ok(true)
    }

    /// Sends a record that is none of the supply's and waits for its answer.
    pub(crate) fn send(&mut self, record: &[u8]) -> Result<(), CommandError> {
        let ack = self.appender.append_wait(record)?;
        self.acks.note(ack);
        Ok(())
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Since when its oldest record waits.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.outstanding.front().map(|sent| sent.since)
    }

    /// Bytes in memory.
    pub(crate) fn memory(&self) -> u64 {
        let outstanding = self.outstanding.capacity() * size_of::<Sent>();
        self.supply.memory() + (outstanding + self.acks.seqs.capacity() * size_of::<u64>()) as u64
    }

    /// Waits for the oldest answers, so many, and takes those behind that are there.
    pub(crate) fn settle(&mut self, least: usize, tally: &mut Tally) -> Result<(), CommandError> {
        let mut waited = 0;
        while let Some(Sent { since, counts, mut pending }) = self.outstanding.pop_front() {
            let answer = if waited < least {
                pending.wait()
            } else if let Some(answer) = pending.try_take() {
                answer
            } else {
                self.outstanding.push_front(Sent { since, counts, pending });
                break;
            };
            waited += 1;
            self.answered(since, counts, answer, tally)?;
        }
        Ok(())
    }

    /// Waits for the oldest answer, at most so long, and takes those behind that are there.
    pub(crate) fn wait(&mut self, time: Duration, tally: &mut Tally) -> Result<(), CommandError> {
        let Some(oldest) = self.outstanding.front_mut() else { return Ok(()) };
        let Some(answer) = oldest.pending.wait_timeout(time) else { return Ok(()) };
        let (since, counts) = (oldest.since, oldest.counts);
        self.outstanding.pop_front();
        self.answered(since, counts, answer, tally)?;
        self.settle(0, tally)
    }

    fn answered(
        &mut self,
        since: Instant,
        counts: Counts,
        answer: Result<Ack, Refusal>,
        tally: &mut Tally,
    ) -> Result<(), CommandError> {
        match answer {
            Ok(ack) => {
                self.acks.note(ack);
                let at = now();
                let counts = match counts {
                    Counts::IfAnswered => tally.window.holds(at),
                    Counts::Always => true,
                    Counts::Never => false,
                };
                tally.answer(since, at, counts);
                Ok(())
            }
            Err(refusal) => Self::turned_down(self.hostile, refusal, tally),
        }
    }

    /// An attacker's refusals are what he is after; anybody else's end the run.
    fn turned_down(hostile: bool, refusal: Refusal, tally: &mut Tally) -> Result<(), CommandError> {
        let wanted = matches!(refusal, Refusal::Signature | Refusal::NonceStale(_) | Refusal::NonceConflict { .. });
        if !hostile || !wanted {
            return Err(refusal.into());
        }
        tally.turned_down += 1;
        Ok(())
    }
}
