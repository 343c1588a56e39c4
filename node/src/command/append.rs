//! `annals append`: lines or files in, receipts out, in input order, each as soon as its record is durable.
//!
//! Records are signed here, sent in batches, and answered in order; as many as an appender may have outstanding are on
//! their way at once, but nobody's receipt waits for input that has not come.

use super::input::{CONTENT_SIZE_MAX, Input, Read1};
use super::job::{Job, Terms};
use super::progress::Progress;
use super::{now_ms, open_to_append};
use crate::exit::{CommandError, NEGATIVE};
use crate::line::Append;
use annals::limits::{BUNDLE_ENTRY_SIZE, PAYLOAD_SIZE_MAX, SALT_SIZE};
use annals::{
    Ack, Appender, BuildError, CloseError, Fault, Kind, Ledger, LedgerId, Pending, Reader, RecordBuilder, Refusal,
    SignedRecord, SigningKey, read_key,
};
use std::collections::VecDeque;
use std::io::{BufWriter, IsTerminal as _, StdoutLock, Write as _};
use std::path::PathBuf;

/// Records signed and sent at a time.
const BATCH: usize = 256;
/// Bytes of them, about.
const BATCH_BYTES: usize = 4 << 20;
/// Records on their way at most.
const OUTSTANDING_MAX: usize = 8192;

pub(crate) fn run(append: &Append) -> Result<u8, CommandError> {
    let key = read_key(&append.key)?;
    let input = Input::open(append).map_err(|(path, source)| CommandError::Read { path, source })?;
    let ledger = open_to_append(&append.dir, append.accept_clock)?;
    let ran = Run::new(append, &ledger, key).and_then(|mut run| run.all(input));
    // Whatever happened, what was taken is made final and the log closed.
    let closed = ledger.close();
    let refused = match (ran, &closed) {
        // "Unknown" alone tells nobody what to mend.
        (Err(CommandError::Refusal(refusal)), Err(CloseError::Halted(halted))) => {
            return Err(CommandError::Halted { refusal, halted: halted.clone() });
        }
        (ran, _) => ran?,
    };
    closed?;
    if 0 < refused {
        say!("annals: {refused} of the input refused; the rest is recorded");
    }
    Ok(if refused == 0 { 0 } else { NEGATIVE })
}

/// What becomes one record: some lines or files, and the numbers of the first and last.
struct Unit {
    record: u64,
    first: u64,
    last: u64,
    items: Vec<Vec<u8>>,
}

impl Unit {
    fn size(&self) -> usize {
        self.items.iter().map(Vec::len).sum()
    }
}

/// A record that was sent.
struct Sent {
    unit: Unit,
    pending: Result<Pending, Refusal>,
}

/// Why a run stops before the end of its input.
struct Stopped;

struct Run<'a> {
    append: &'a Append,
    key: SigningKey,
    ledger: LedgerId,
    appender: Appender,
    reader: Reader,
    job: Option<Job>,
    next_nonce: u64,
    /// Lines or files read so far.
    lines: u64,
    /// Bytes of them.
    bytes: u64,
    refused: u64,
    sent: VecDeque<Sent>,
    out: BufWriter<StdoutLock<'static>>,
}

impl<'a> Run<'a> {
    fn new(append: &'a Append, ledger: &Ledger, key: SigningKey) -> Result<Self, CommandError> {
        let reader = ledger.reader();
        let author = key.public();
        let next_nonce = reader.next_nonce(&author)?;
        let terms =
            Terms { ledger: ledger.id(), author, kind: append.kind, bundle: append.bundle, salted: !append.no_salt };
        let job = append.job.as_deref().map(|path| Job::open(path, &terms, next_nonce, now_ms())).transpose()?;
        Ok(Self {
            append,
            key,
            ledger: ledger.id(),
            appender: ledger.appender()?,
            reader,
            job,
            next_nonce,
            lines: 0,
            bytes: 0,
            refused: 0,
            sent: VecDeque::new(),
            out: BufWriter::new(std::io::stdout().lock()),
        })
    }

    /// Runs over all input; how many lines or files were refused.
    fn all(&mut self, mut input: Input) -> Result<u64, CommandError> {
        let mut batch = Vec::new();
        let mut carry = None;
        let mut at_end = false;
        // Where receipts scroll by, a bar would be in their way.
        let mut progress = (!std::io::stdout().is_terminal()).then(|| Progress::bytes("appending"));
        let total = self.total(&input);
        while !at_end {
            match self.gather(&mut input, &mut carry)? {
                Some(Ok(unit)) => batch.push(unit),
                Some(Err(Stopped)) => at_end = true,
                None => at_end = true,
            }
            let bytes: usize = batch.iter().map(Unit::size).sum();
            if at_end || BATCH <= batch.len() || BATCH_BYTES <= bytes || !input.is_ready() {
                let stopped = self.send(std::mem::take(&mut batch))?;
                let waits = at_end || !input.is_ready();
                let left = if waits { 0 } else { OUTSTANDING_MAX };
                at_end |= stopped.is_some() | self.answer(left)?.is_some();
                if let (Some(progress), Some(total)) = (&mut progress, total) {
                    progress.set(self.bytes.min(total), total);
                }
            }
        }
        // With --strict what was sent before the stop is answered still.
        let _ = self.answer(0)?;
        if let Some(progress) = progress {
            progress.finish();
        }
        Ok(self.refused)
    }

    /// Bytes of all input, if that is known beforehand.
    fn total(&self, input: &Input) -> Option<u64> {
        let size = |path: &PathBuf| std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|it| it.len());
        match (input, &self.append.lines) {
            (Input::Lines(_), Some(path)) => size(path),
            (Input::Lines(_), None) => None,
            (Input::Files(_), _) => Some(self.append.files.iter().filter_map(size).sum()),
        }
    }

    /// The next record's lines or files; `carry` is one that did not fit the bundle before.
    fn gather(
        &mut self,
        input: &mut Input,
        carry: &mut Option<(u64, Vec<u8>)>,
    ) -> Result<Option<Result<Unit, Stopped>>, CommandError> {
        let most = usize::from(self.append.bundle.unwrap_or(1));
        let salt = if self.append.no_salt { 0 } else { SALT_SIZE };
        let (mut items, mut size) = (Vec::new(), 0);
        let (mut first, mut last) = (0, 0);
        let mut places = 0;
        while items.is_empty() || places < most {
            places += 1;
            let (line, content) = match carry.take() {
                Some(carried) => carried,
                None => match input.next().map_err(|source| self.read_error(source))? {
                    None => break,
                    Some(read) => {
                        self.lines += 1;
                        match read {
                            Read1::Content(content) => {
                                // A line's end counts too.
                                self.bytes += content.len() as u64 + u64::from(self.append.lines.is_some());
                                (self.lines, content)
                            }
                            bad @ (Read1::TooLarge | Read1::Failed(_)) => {
                                self.refuse_input(self.lines, &bad);
                                if self.append.strict {
                                    return Ok(Some(Err(Stopped)));
                                }
                                continue;
                            }
                        }
                    }
                },
            };
            size += content.len() + salt + if most == 1 { 0 } else { BUNDLE_ENTRY_SIZE };
            if PAYLOAD_SIZE_MAX < size && !items.is_empty() {
                *carry = Some((line, content));
                break;
            }
            if items.is_empty() {
                first = line;
            }
            last = line;
            items.push(content);
        }
        if items.is_empty() {
            return Ok(None);
        }
        // Numbered by its place in the input, so that a line that is refused today and not tomorrow moves no other.
        Ok(Some(Ok(Unit { record: first - 1, first, last, items })))
    }

    fn read_error(&self, source: std::io::Error) -> CommandError {
        CommandError::Read { path: self.append.lines.clone().unwrap_or_default(), source }
    }

    fn refuse_input(&mut self, line: u64, bad: &Read1) {
        self.refused += 1;
        let what = self.what(line, line);
        match bad {
            Read1::Failed(error) => say!("annals: {what}: {error}"),
            Read1::TooLarge | Read1::Content(_) => {
                say!("annals: {what}: larger than {CONTENT_SIZE_MAX} bytes; split it, or record its hash");
            }
        }
    }

    /// How people call a line or file.
    fn what(&self, first: u64, last: u64) -> String {
        if self.append.lines.is_some() {
            return if first == last { format!("line {first}") } else { format!("lines {first} to {last}") };
        }
        let name = |number: u64| {
            let index = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
            self.append.files.get(index).map(|path| path.display().to_string()).unwrap_or_default()
        };
        if first == last { name(first) } else { format!("{} to {}", name(first), name(last)) }
    }

    fn sign(&self, unit: &Unit) -> Result<SignedRecord, BuildError> {
        let builder = RecordBuilder::new(self.ledger, Kind(self.append.kind));
        let builder = if self.append.no_salt { builder.unsalted() } else { builder };
        let builder = match &self.job {
            Some(job) => {
                builder.nonce(job.nonce(unit.record)).claimed_time_ms(job.claimed_time_ms).salts_from(job.secret)
            }
            None => builder.nonce(self.next_nonce.saturating_add(unit.record)).claimed_time_ms(now_ms()),
        };
        let items: Vec<&[u8]> = unit.items.iter().map(Vec::as_slice).collect();
        match items[..] {
            [content] => builder.sign(&self.key, content),
            _ => builder.sign_bundle(&self.key, &items),
        }
    }

    /// Signs and sends records, and waits for older ones where there is no room.
    fn send(&mut self, mut units: Vec<Unit>) -> Result<Option<Stopped>, CommandError> {
        while !units.is_empty() {
            let records = units.iter().map(|unit| self.sign(unit)).collect::<Result<Vec<_>, _>>()?;
            let bytes: Vec<&[u8]> = records.iter().map(SignedRecord::bytes).collect();
            // As many at once as the ring surely takes: a megabyte is a sixteenth of it.
            let (mut total, mut count) = (0, 0);
            for record in &bytes {
                total += record.len();
                if (1 << 20) < total && 0 < count {
                    break;
                }
                count += 1;
            }
            match self.appender.append_batch(bytes.get(..count).unwrap_or_default()) {
                Ok(answers) => {
                    let rest = units.split_off(count);
                    self.sent.extend(units.into_iter().zip(answers).map(|(unit, pending)| Sent { unit, pending }));
                    units = rest;
                }
                Err(Refusal::Pushback) => {}
                Err(refusal) => {
                    // Those before it have their answers told first.
                    self.answer(0)?;
                    return Err(refusal.into());
                }
            }
            if !units.is_empty() {
                let half = self.sent.len() / 2;
                if let Some(stopped) = self.answer(half)? {
                    return Ok(Some(stopped));
                }
            }
        }
        Ok(None)
    }

    /// Prints the oldest answers until so many are left, and those behind that are there already.
    fn answer(&mut self, left: usize) -> Result<Option<Stopped>, CommandError> {
        let mut stopped = None;
        while let Some(mut sent) = self.sent.pop_front() {
            let answer = match sent.pending {
                Err(refusal) => Err(refusal),
                Ok(pending) if left <= self.sent.len() => pending.wait(),
                Ok(mut pending) => match pending.try_take() {
                    Some(answer) => answer,
                    None => {
                        sent.pending = Ok(pending);
                        self.sent.push_front(sent);
                        break;
                    }
                },
            };
            if self.told(&sent.unit, answer)?.is_some() && self.append.strict {
                stopped = Some(Stopped);
                break;
            }
        }
        self.out.flush()?;
        Ok(stopped)
    }

    /// Prints a receipt, or why there is none.
    fn told(&mut self, unit: &Unit, answer: Result<Ack, Refusal>) -> Result<Option<Stopped>, CommandError> {
        let answer = match answer {
            Err(Refusal::NonceConflict { .. } | Refusal::NonceStale(_)) if self.job.is_some() => {
                self.give_another_nonce(unit)?;
                self.send_again(unit)?
            }
            // Taken into the ring and refused for the moment: its nonce is free still.
            Err(Refusal::Pushback) => self.send_again(unit)?,
            other => other,
        };
        match answer {
            Ok(ack) => {
                let receipt = self.reader.prove_json(ack.seq, None)?.encode().map_err(CommandError::Encode)?;
                writeln!(self.out, "{receipt}")?;
                Ok(None)
            }
            Err(refusal) if refusal.fault() == Fault::Record => {
                self.refused += unit.last - unit.first + 1;
                say!("annals: {}: {refusal} ({})", self.what(unit.first, unit.last), refusal.code());
                Ok(Some(Stopped))
            }
            Err(refusal) => {
                self.out.flush()?;
                Err(refusal.into())
            }
        }
    }

    /// Somebody else used the nonce that the job had in mind: the record is not in the ledger and gets another.
    fn give_another_nonce(&mut self, unit: &Unit) -> Result<(), CommandError> {
        let nonce = self.reader.next_nonce(&self.key.public())?.saturating_add(OUTSTANDING_MAX as u64);
        match &mut self.job {
            Some(job) => job.move_to(unit.record, nonce),
            None => Ok(()),
        }
    }

    fn send_again(&mut self, unit: &Unit) -> Result<Result<Ack, Refusal>, CommandError> {
        let record = self.sign(unit)?;
        loop {
            match self.appender.append_wait(record.bytes()) {
                // What is outstanding makes room by itself; it is answered after this one.
                Err(Refusal::Pushback) => std::thread::yield_now(),
                other => return Ok(other),
            }
        }
    }
}
