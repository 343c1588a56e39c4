//! The writer of a crash run: appends from several threads until it is killed, and says what was acknowledged.
//!
//! ```text
//! opening                                            before anything is touched
//! open DEVICE NEXT_SEQ TORN                          the ledger is open; TORN is 1 if a torn tail was cut
//! ack SEQ PRODUCER NONCE RECORD_ID [RECEIPT]         a record is acknowledged; with its receipt every twentieth time
//! ```
//!
//! A line is written after its acknowledgement, whole, to a pipe that nobody else writes to: what the reader of the pipe has
//! in whole lines was promised.

use super::workload::{Failure, Producer, Random, Writer};
use annals::{Ack, Appender, Creation, HomeError, Ledger, OpenError, Options, Pending, Reader, Refusal, SignedRecord};
use std::collections::VecDeque;
use std::io::Write;
use std::sync::Mutex;

/// The smallest segments there are, so that they end often.
const SEGMENT_SIZE: u64 = 2 << 20;
/// Every so many acknowledgements of a producer come with their receipt.
const RECEIPT_DISTANCE: u64 = 20;
/// Records that a producer sends again when it starts: their answers must be the old ones.
const RESENT: u64 = 3;
/// Rounds of a producer after which it ends by itself, if nobody kills it: some minutes.
const ROUND_COUNT_MAX: u64 = 100_000;

/// Opens the ledger, or makes it, and appends until killed.
///
/// # Errors
///
/// Whatever went wrong; nothing does unless there is a bug, or nobody reads.
pub(crate) fn run(writer: &Writer, mut out: impl Write + Send) -> Result<(), Failure> {
    writeln!(out, "opening")?;
    let ledger = open(writer)?;
    let torn = u8::from(ledger.torn_tail().is_some());
    writeln!(out, "open {} {} {torn}", ledger.device(), ledger.reader().next_seq())?;
    let out = Mutex::new(out);
    let produced = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writer.producers)
            .map(|number| {
                let (ledger, out) = (&ledger, &out);
                scope.spawn(move || Run::new(writer.seed, number, ledger, out)?.all())
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a producer panicked")?)
    });
    produced.map_err(|failure| match ledger.halted() {
        Some(halted) => halted.to_string().into(),
        None => failure,
    })
}

fn open(writer: &Writer) -> Result<Ledger, OpenError> {
    let options = Options { device: writer.device, ring_size: 8 << 20, ..Options::default() };
    match Ledger::open(&writer.place, options.clone()) {
        Err(OpenError::Home(HomeError::NoLedger(_))) => {
            let creation = Creation { segment_size: SEGMENT_SIZE, ..Creation::open("annals.example/crash") };
            Ledger::create(&writer.place, &creation, options)
        }
        opened => opened,
    }
}

/// A record on its way.
struct Sent {
    nonce: u64,
    record: SignedRecord,
    pending: Pending,
}

/// One producer's thread.
struct Run<'a, W> {
    producer: Producer,
    number: u64,
    ledger: &'a Ledger,
    appender: Appender,
    reader: Reader,
    out: &'a Mutex<W>,
    /// How the records travel; it has no part in what they are.
    random: Random,
    next_nonce: u64,
    acknowledged: u64,
}

impl<'a, W: Write> Run<'a, W> {
    fn new(seed: u64, number: u64, ledger: &'a Ledger, out: &'a Mutex<W>) -> Result<Self, Failure> {
        let (producer, reader) = (Producer::new(seed, number), ledger.reader());
        let next_nonce = reader.next_nonce(&producer.key.public())?;
        let random = Random::new(&[seed, number, next_nonce, 1]);
        let appender = ledger.appender()?;
        Ok(Self { producer, number, ledger, appender, reader, out, random, next_nonce, acknowledged: 0 })
    }

    fn all(mut self) -> Result<(), Failure> {
        for nonce in self.next_nonce.saturating_sub(RESENT)..self.next_nonce {
            self.wait_for(nonce)?;
        }
        for _ in 0..ROUND_COUNT_MAX {
            match self.random.below(4) {
                0 => self.lone()?,
                1 | 2 => self.batch()?,
                _ => self.pipeline()?,
            }
        }
        Ok(())
    }

    /// Records one by one, each waited for.
    fn lone(&mut self) -> Result<(), Failure> {
        for _ in 0..=self.random.below(8) {
            let nonce = self.take_nonce();
            self.wait_for(nonce)?;
        }
        Ok(())
    }

    fn wait_for(&mut self, nonce: u64) -> Result<(), Failure> {
        let record = self.producer.record(self.ledger.id(), nonce)?;
        loop {
            match self.appender.append_wait(record.bytes()) {
                Err(Refusal::Pushback) => std::thread::yield_now(),
                answer => return self.tell(nonce, &record, answer?),
            }
        }
    }

    /// Records with one claim, waited for together.
    fn batch(&mut self) -> Result<(), Failure> {
        let nonces: Vec<u64> = (0..=self.random.below(64)).map(|_| self.take_nonce()).collect();
        let made = nonces.iter().map(|nonce| self.producer.record(self.ledger.id(), *nonce));
        let records = made.collect::<Result<Vec<_>, _>>()?;
        let bytes: Vec<&[u8]> = records.iter().map(SignedRecord::bytes).collect();
        loop {
            let answers = match self.appender.append_batch(&bytes) {
                Err(Refusal::Pushback) => {
                    std::thread::yield_now();
                    continue;
                }
                answers => answers?,
            };
            for ((nonce, record), answer) in nonces.iter().zip(&records).zip(answers) {
                self.tell(*nonce, record, answer?.wait()?)?;
            }
            return Ok(());
        }
    }

    /// Records sent without waiting, answered in order.
    fn pipeline(&mut self) -> Result<(), Failure> {
        let mut sent: VecDeque<Sent> = VecDeque::new();
        for _ in 0..=self.random.below(150) {
            let nonce = self.take_nonce();
            let record = self.producer.record(self.ledger.id(), nonce)?;
            let pending = loop {
                match self.appender.append(record.bytes()) {
                    Err(Refusal::Pushback) => match sent.pop_front() {
                        Some(oldest) => self.settle(oldest)?,
                        None => std::thread::yield_now(),
                    },
                    answer => break answer?,
                }
            };
            sent.push_back(Sent { nonce, record, pending });
        }
        sent.into_iter().try_for_each(|sent| self.settle(sent))
    }

    fn settle(&mut self, sent: Sent) -> Result<(), Failure> {
        let Sent { nonce, record, pending } = sent;
        self.tell(nonce, &record, pending.wait()?)
    }

    const fn take_nonce(&mut self) -> u64 {
        let nonce = self.next_nonce;
        self.next_nonce += 1;
        nonce
    }

    /// Writes the line of an acknowledged record, in one piece.
    fn tell(&mut self, nonce: u64, record: &SignedRecord, ack: Ack) -> Result<(), Failure> {
        let mut line = format!("ack {} {} {nonce} {}", ack.seq, self.number, record.record_id());
        self.acknowledged += 1;
        if self.acknowledged % RECEIPT_DISTANCE == 1 {
            line.push(' ');
            line.push_str(&self.reader.prove_json(ack.seq, None)?.encode()?);
        }
        line.push('\n');
        let mut out = self.out.lock().map_err(|_| "a producer panicked")?;
        out.write_all(line.as_bytes())?;
        Ok(out.flush()?)
    }
}
