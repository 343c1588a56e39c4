//! Annals, as it is used (each record signed), with bundles (256 records of the table are the items of one signed record),
//! and without signatures, which shows what the engine itself costs.
//!
//! Heads are made and signed before the clock starts; a payload is used again under another head. The ledger is born the
//! same each time, so heads serve every round. Records without signatures go through a call that exists for benches only,
//! and `annals check` refuses the ledgers that they make.

use super::{Rate, Row, Store};
use crate::Failure;
use crate::measure::now;
use crate::payloads::{BATCH, Payloads, number};
use annals::measure::verify_records_per_s;
use annals::{
    Ack, Appender, AuthorId, Creation, Kind, Ledger, LedgerId, Options, Pending, RecordBuilder, Refusal, Signer,
    SigningKey, write_key,
};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

const AUTHORS: usize = 64;
/// Items of a bundle, at most.
const ITEMS: usize = 256;
const HEAD_SIZE: usize = 192;
const NONCE_OFFSET: usize = 72;
/// Records that a flood claims for at once.
const GROUP: usize = 64;
/// Items of bundles a second that no machine exceeds with one producer.
const ITEMS_PER_SECOND: usize = 8_000_000;
/// Heads made in advance, at most.
const HEADS_MAX: usize = 8 << 20;
/// Receipts verified afterwards.
const RECEIPTS: usize = 100;

/// What a row's records are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kinds {
    Unsigned,
    Bundles,
    Signed,
}

impl Kinds {
    /// Records of the ledger that a batch makes.
    const fn per_batch(self) -> usize {
        match self {
            Self::Unsigned | Self::Signed => BATCH,
            Self::Bundles => BATCH.div_ceil(ITEMS),
        }
    }
}

fn key(author: usize) -> SigningKey {
    let mut seed = *b"annals peers, a key for everyone";
    seed[31] = author as u8 + 1;
    SigningKey::from_seed(&seed)
}

/// Leaves the signature zero.
struct Unsigned(AuthorId);

impl Signer for Unsigned {
    fn author(&self) -> AuthorId {
        self.0
    }

    fn sign_head(&self, _: &mut [u8; HEAD_SIZE]) {}
}

/// How all ledgers of a run are born.
struct Birth {
    key: PathBuf,
    ledger: LedgerId,
}

impl Birth {
    fn new(directory: &Path) -> Result<Self, Failure> {
        let (key_path, scratch) = (directory.join("ledger.key"), directory.join("first-ledger"));
        write_key(&key_path, &key(AUTHORS))?;
        let mut birth = Self { key: key_path, ledger: LedgerId::from_bytes([0; 32]) };
        let ledger = birth.create(&scratch)?;
        birth.ledger = ledger.id();
        ledger.close()?;
        std::fs::remove_dir_all(scratch)?;
        Ok(birth)
    }

    fn create(&self, path: &Path) -> Result<Ledger, Failure> {
        let random = Some(*b"annals peers, an id for everyone");
        let creation =
            Creation { random, ledger_key: Some(self.key.clone()), ..Creation::open("annals.example/peers") };
        Ok(Ledger::create(path, &creation, Options::default())?)
    }
}

/// The records of one batch, and heads for more batches.
struct Prepared {
    kinds: Kinds,
    records: Vec<Vec<u8>>,
    /// None for records without signatures, whose nonces are written where they are used.
    heads: Vec<[u8; HEAD_SIZE]>,
}

/// The author of the `n`-th record, and its nonce. Nonce 0 makes the author known.
const fn author_and_nonce(kinds: Kinds, n: usize) -> (usize, u64) {
    let (batch, index) = (n / kinds.per_batch(), n % kinds.per_batch());
    let per_author = kinds.per_batch().div_ceil(AUTHORS);
    // A few records a batch are the same authors' each time, since there are fewer than authors.
    (index % AUTHORS, 1 + (batch * per_author + index / AUTHORS) as u64)
}

fn record(ledger: LedgerId, kinds: Kinds, n: usize, payloads: &[[u8; 256]]) -> Result<Vec<u8>, Failure> {
    let (author, nonce) = author_and_nonce(kinds, n);
    let builder = RecordBuilder::new(ledger, Kind::APPLICATION_FIRST).unsalted().nonce(nonce);
    let (key, index) = (key(author), n % kinds.per_batch());
    let signed = match kinds {
        Kinds::Unsigned => builder.sign(&Unsigned(key.public()), &payloads[index])?,
        Kinds::Signed => builder.sign(&key, &payloads[index])?,
        Kinds::Bundles => {
            let items = payloads.chunks(ITEMS).nth(index).unwrap_or_default();
            builder.sign_bundle(&key, &items.iter().map(<[u8; _]>::as_slice).collect::<Vec<_>>())?
        }
    };
    Ok(signed.bytes().to_vec())
}

impl Prepared {
    /// Makes heads for `count` records of the ledger, on all cores.
    fn new(ledger: LedgerId, kinds: Kinds, count: usize) -> Result<Self, Failure> {
        let mut payloads = Payloads::new();
        let payloads = payloads.numbered(0, BATCH);
        let records = (0..kinds.per_batch()).map(|n| record(ledger, kinds, n, payloads)).collect::<Result<_, _>>()?;
        if kinds == Kinds::Unsigned {
            return Ok(Self { kinds, records, heads: Vec::new() });
        }
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let share = count.div_ceil(threads);
        let sign = |from: usize| {
            let numbers = from..count.min(from + share);
            let heads = numbers.map(|n| {
                let bytes = record(ledger, kinds, n, payloads).map_err(|failure| failure.to_string())?;
                bytes.first_chunk().copied().ok_or_else(|| "a record without a head".to_owned())
            });
            heads.collect::<Result<Vec<[u8; HEAD_SIZE]>, String>>()
        };
        let heads = std::thread::scope(|scope| {
            let signers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || sign(thread * share))).collect();
            let mut heads = Vec::with_capacity(count);
            for signer in signers {
                heads.extend(signer.join().map_err(|_| "a signer panicked")??);
            }
            Ok::<_, Failure>(heads)
        })?;
        Ok(Self { kinds, records, heads })
    }

    /// Puts the heads of the ledger's records `from..from + count` on their payloads; which these are.
    fn dress(&mut self, from: usize, count: usize) -> std::ops::Range<usize> {
        let first = from % self.records.len();
        for n in from..from + count {
            let record = &mut self.records[n % self.kinds.per_batch()];
            match self.heads.get(n) {
                Some(head) => record[..HEAD_SIZE].copy_from_slice(head),
                None => {
                    let (_, nonce) = author_and_nonce(self.kinds, n);
                    record[NONCE_OFFSET..][..8].copy_from_slice(&nonce.to_le_bytes());
                }
            }
        }
        first..first + count
    }
}

struct Open {
    ledger: Ledger,
    appender: Appender,
    prepared: Prepared,
    segment_size: u64,
}

impl Open {
    /// Appends the ledger's records `from..from + count`, which lie in one batch.
    fn send(&mut self, from: usize, count: usize) -> Result<Vec<Result<Pending, Refusal>>, Refusal> {
        let range = self.prepared.dress(from, count);
        let records: Vec<&[u8]> = self.prepared.records[range].iter().map(Vec::as_slice).collect();
        match self.prepared.kinds {
            Kinds::Unsigned => self.appender.append_batch_unverified(&records),
            Kinds::Bundles | Kinds::Signed => self.appender.append_batch(&records),
        }
    }

    fn send_and_wait(&mut self, from: usize) -> Result<Ack, Refusal> {
        let record = &self.prepared.dress(from, 1).start;
        let record = &self.prepared.records[*record];
        match self.prepared.kinds {
            Kinds::Unsigned => self.appender.append_wait_unverified(record),
            Kinds::Bundles | Kinds::Signed => self.appender.append_wait(record),
        }
    }

    /// Records of the ledger for so many of the table's.
    fn own(&self, records: u64) -> Result<usize, Failure> {
        let batches = usize::try_from(records / BATCH as u64)?;
        let rest = usize::try_from(records % BATCH as u64)?;
        match self.prepared.kinds {
            Kinds::Bundles if rest != 0 => Err("bundles come in whole batches".into()),
            kinds => Ok(batches * kinds.per_batch() + rest),
        }
    }
}

impl Store for Open {
    fn append(&mut self, first: u64, count: usize) -> Result<(), Failure> {
        let from = self.own(first)?;
        if count == 1 {
            self.send_and_wait(from)?;
            return Ok(());
        }
        let count = self.own(count as u64)?;
        for answer in self.send(from, count)? {
            answer?.wait()?;
        }
        Ok(())
    }

    fn flood(&mut self, first: u64, deadline: Instant) -> Result<Option<u64>, Failure> {
        let (kinds, mut outstanding) = (self.prepared.kinds, VecDeque::<Pending>::new());
        let mut batches = 0;
        while now() < deadline && (batches + 1) * BATCH as u64 <= self.room().saturating_sub(first) {
            let from = self.own(first + batches * BATCH as u64)?;
            let (mut at, end) = (from, from + kinds.per_batch());
            while at < end {
                let group = GROUP.min(end - at);
                match self.send(at, group) {
                    Ok(answers) => {
                        for answer in answers {
                            outstanding.push_back(answer?);
                        }
                        at += group;
                    }
                    // Room comes in blocks: one sleep waits for about as many as were refused.
                    Err(Refusal::Pushback) => {
                        for pending in outstanding.drain(..group.min(outstanding.len())) {
                            pending.wait()?;
                        }
                    }
                    Err(refusal) => return Err(refusal.into()),
                }
                while let Some(pending) = outstanding.front_mut() {
                    let Some(answer) = pending.try_take() else { break };
                    answer?;
                    outstanding.pop_front();
                }
            }
            batches += 1;
        }
        outstanding.into_iter().try_for_each(|pending| pending.wait().map(drop))?;
        Ok(Some(batches * BATCH as u64))
    }

    fn room(&self) -> u64 {
        match self.prepared.kinds {
            Kinds::Unsigned => u64::MAX,
            kinds => (self.prepared.heads.len() / kinds.per_batch() * BATCH) as u64,
        }
    }

    fn close(self: Box<Self>) -> Result<Option<u64>, Failure> {
        let (segment, offset) = self.ledger.reader().head()?.end;
        drop(self.appender);
        self.ledger.close()?;
        Ok(Some(segment * self.segment_size + offset))
    }
}

/// Makes every author known, by a record that is truly signed.
fn introduce(ledger: &Ledger, appender: &mut Appender) -> Result<(), Failure> {
    for author in 0..AUTHORS {
        let builder = RecordBuilder::new(ledger.id(), Kind::APPLICATION_FIRST).unsalted();
        appender.append_wait(builder.sign(&key(author), b"known from now on")?.bytes())?;
    }
    Ok(())
}

fn open(birth: &Birth, kinds: Kinds, heads: usize, directory: &Path) -> Result<Box<dyn Store>, Failure> {
    let prepared = Prepared::new(birth.ledger, kinds, heads)?;
    let ledger = birth.create(&directory.join("ledger"))?;
    let mut appender = ledger.appender()?;
    introduce(&ledger, &mut appender)?;
    let segment_size = annals::ledger_size(ledger.path())?.segment_size;
    Ok(Box::new(Open { ledger, appender, prepared, segment_size }))
}

/// Counts what the ledger holds behind the introductions, and verifies some receipts offline.
fn count(kinds: Kinds, directory: &Path) -> Result<u64, Failure> {
    let ledger = Ledger::open(&directory.join("ledger"), Options::default())?;
    let (reader, first, mut count) = (ledger.reader(), 1 + AUTHORS as u64, 0);
    let mut take = |payload: &[u8]| {
        let is_right = number(payload) == Some(count % BATCH as u64);
        count += 1;
        if is_right { Ok(()) } else { Err(Failure::from(format!("record {} is not what was appended", count - 1))) }
    };
    for record in reader.scan(first) {
        let record = record?;
        if kinds == Kinds::Bundles {
            for item in 0..record.head()?.item_count {
                take(record.content(Some(item))?)?;
            }
        } else {
            take(record.content(None)?)?;
        }
    }
    let step = usize::try_from(reader.next_seq())?.div_ceil(RECEIPTS);
    for seq in (first..reader.next_seq()).step_by(step) {
        let holds = reader.prove(seq)?.verify(ledger.vkey()).is_ok();
        // A receipt shows the author's signature as well.
        if holds == (kinds == Kinds::Unsigned) {
            return Err(format!("the receipt of record {seq} is not what it should be").into());
        }
    }
    ledger.close()?;
    Ok(count)
}

/// Heads that a row needs for so long: not more than all cores verify.
fn heads(birth: &Birth, kinds: Kinds, time: Duration) -> Result<usize, Failure> {
    let milliseconds = usize::try_from(time.as_millis())?;
    let per_second = match kinds {
        Kinds::Unsigned => 0,
        Kinds::Bundles => ITEMS_PER_SECOND / ITEMS,
        Kinds::Signed => {
            let sample = Prepared::new(birth.ledger, kinds, 16 * BATCH)?;
            let records: Vec<Vec<u8>> = sample
                .heads
                .iter()
                .zip(sample.records.iter().cycle())
                .map(|(head, record)| [head.as_slice(), &record[HEAD_SIZE..]].concat())
                .collect();
            let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
            usize::try_from(verify_records_per_s(&records, Duration::from_millis(500)))?
        }
    };
    // One batch more, for the one before the clock; a tenth more, since the sample was small.
    Ok((per_second * milliseconds / 900 + kinds.per_batch()).min(HEADS_MAX))
}

/// The rows; their keys and prepared heads are of this run.
pub(crate) fn rows(directory: &Path, time: Duration) -> Result<Vec<Row>, Failure> {
    let birth = Rc::new(Birth::new(directory)?);
    let row = |name, what, kinds: Kinds, rate| {
        let (of_open, count_kinds) = (Rc::clone(&birth), kinds);
        Row {
            name,
            what,
            rate,
            has_lone: kinds != Kinds::Bundles && rate == Rate::Batches,
            verifies: kinds != Kinds::Unsigned,
            proves: true,
            open: Box::new(move |path| open(&of_open, kinds, heads(&of_open, kinds, time)?, path)),
            count: Box::new(move |path| count(count_kinds, path)),
        }
    };
    use Kinds::{Bundles, Signed, Unsigned};
    Ok(vec![
        row("annals-unsigned", "Annals, signatures neither made nor verified", Unsigned, Rate::Batches),
        row("annals-unsigned-in-flight", "the same, many batches in flight", Unsigned, Rate::InFlight),
        row("annals-bundles", "Annals, bundles of 256 items, each bundle signed", Bundles, Rate::Batches),
        row("annals-bundles-in-flight", "the same, many batches in flight", Bundles, Rate::InFlight),
        row("annals-signed", "Annals, each record signed", Signed, Rate::Batches),
        row("annals-signed-in-flight", "the same, many batches in flight", Signed, Rate::InFlight),
    ])
}
