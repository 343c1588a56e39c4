//! What a ledger must hold after a crash: every record that its writer had acknowledged, and nothing that does not follow
//! from the seed.
//!
//! For each acknowledged record: its seq holds it, its bytes are those that its producer makes again, and its receipt is
//! issued byte for byte as before and verifies. For all records, acknowledged or not: seqs are dense, and a producer's nonces
//! follow one another, so none is there twice.

use super::workload::Producer;
use annals::{AuthorId, Ledger, QueryError, StoredRecord};
use std::collections::{BTreeMap, HashMap};

/// Findings kept in words; the rest is only counted.
const FINDING_COUNT_MAX: usize = 10;

/// An acknowledgement as its writer wrote it down.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Promise {
    producer: u64,
    nonce: u64,
    record_id: String,
    receipt: Option<String>,
}

/// What one round's writer said, in whole lines.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Said {
    /// The device that it wrote with; none if it was killed before the ledger was open.
    pub(crate) device: Option<String>,
    /// It cut a torn tail when it opened the ledger.
    pub(crate) torn: bool,
    /// Records that it acknowledged.
    pub(crate) acknowledged: u64,
}

/// What was promised of one ledger, and how far it was held against that.
#[derive(Debug)]
pub(crate) struct Promises {
    seed: u64,
    /// By author: the number of the producer, and the producer.
    producers: HashMap<AuthorId, (u64, Producer)>,
    /// By seq.
    promised: BTreeMap<u64, Promise>,
    /// The first seq that was not looked at yet.
    looked_to: u64,
    /// The next nonce by producer, as far as was looked.
    nonces: HashMap<u64, u64>,
    /// Acknowledged records that are not there, or not as they were.
    pub(crate) lost: u64,
    /// What was found wrong, in words.
    pub(crate) findings: Vec<String>,
}

impl Promises {
    /// Nothing promised yet of a ledger whose records follow from this seed.
    pub(crate) fn new(seed: u64, producers: u64) -> Self {
        let producers = (0..producers).map(|number| {
            let producer = Producer::new(seed, number);
            (producer.key.public(), (number, producer))
        });
        Self {
            seed,
            producers: producers.collect(),
            promised: BTreeMap::new(),
            looked_to: 1,
            nonces: HashMap::new(),
            lost: 0,
            findings: Vec::new(),
        }
    }

    /// Records that were promised, each once.
    pub(crate) fn count(&self) -> u64 {
        self.promised.len() as u64
    }

    /// What the records follow from.
    pub(crate) const fn seed(&self) -> u64 {
        self.seed
    }

    /// Takes what a writer had printed when it was killed; what is not a whole line was not said.
    pub(crate) fn take(&mut self, printed: &[u8]) -> Said {
        let mut said = Said::default();
        let whole = printed.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let text = String::from_utf8_lossy(printed.get(..whole).unwrap_or_default());
        for line in text.lines() {
            let words: Vec<&str> = line.splitn(6, ' ').collect();
            match words[..] {
                ["open", device, _, torn] => {
                    said.device = Some(device.to_owned());
                    said.torn = torn == "1";
                }
                ["ack", seq, producer, nonce, record_id, ..] => {
                    said.acknowledged += 1;
                    let receipt = words.get(5).map(|receipt| (*receipt).to_owned());
                    match (seq.parse(), producer.parse(), nonce.parse()) {
                        (Ok(seq), Ok(producer), Ok(nonce)) => {
                            self.promise(seq, Promise { producer, nonce, record_id: record_id.to_owned(), receipt });
                        }
                        _ => self.find(format!("the writer printed {line:?}")),
                    }
                }
                ["opening"] => {}
                _ => self.find(format!("the writer printed {line:?}")),
            }
        }
        said
    }

    fn promise(&mut self, seq: u64, promise: Promise) {
        match self.promised.get_mut(&seq) {
            None => {
                self.promised.insert(seq, promise);
            }
            // Acknowledged again, since it was sent again: then it is the same record.
            Some(before) if before.record_id == promise.record_id => {
                before.receipt = before.receipt.take().or(promise.receipt);
            }
            Some(before) => {
                let (old, new) = (&before.record_id, &promise.record_id);
                let finding = format!("seq {seq} was acknowledged for {old} and then for {new}");
                self.lost += 1;
                self.find(finding);
            }
        }
    }

    fn find(&mut self, finding: String) {
        if self.findings.len() < FINDING_COUNT_MAX {
            self.findings.push(finding);
        }
    }

    /// Looks at all records that were not looked at before, and at all promises among them; all of both with `from_start`.
    ///
    /// # Errors
    ///
    /// [`QueryError`] if the ledger can't be read.
    pub(crate) fn hold(&mut self, ledger: &Ledger, from_start: FromStart) -> Result<(), QueryError> {
        if from_start == FromStart::Yes {
            (self.looked_to, self.nonces) = (1, HashMap::new());
        }
        let (reader, from) = (ledger.reader(), self.looked_to);
        for (expected, record) in (from..).zip(reader.scan(from)) {
            let record = record?;
            if record.seq() != expected {
                self.find(format!("seq {} stands where {expected} belongs", record.seq()));
            }
            self.look(ledger, &record)?;
            self.looked_to = record.seq() + 1;
        }
        // A record that the ledger does not have was not looked at.
        let absent: Vec<u64> = self.promised.range(self.looked_to..).map(|(seq, _)| *seq).collect();
        self.lost += absent.len() as u64;
        if let (Some(first), Some(last)) = (absent.first(), absent.last()) {
            let end = self.looked_to;
            self.find(format!(
                "{} acknowledged records from {first} to {last} lie behind the end, {end}",
                absent.len()
            ));
        }
        Ok(())
    }

    fn look(&mut self, ledger: &Ledger, record: &StoredRecord) -> Result<(), QueryError> {
        let (seq, head) = (record.seq(), record.head()?);
        let promise = self.promised.get(&seq).cloned();
        let wrong = match self.producers.get(&head.author) {
            None => Some(format!("the author of seq {seq} is no producer")),
            Some((number, producer)) => {
                let expected = self.nonces.entry(*number).or_default();
                let out_of_order = (*expected != head.nonce)
                    .then(|| format!("seq {seq}: nonce {} of producer {number}, not {expected}", head.nonce));
                *expected = head.nonce + 1;
                out_of_order.or_else(|| differs(ledger, record, (*number, producer), promise.as_ref()))
            }
        };
        if let Some(wrong) = wrong {
            self.lost += u64::from(promise.is_some());
            self.find(wrong);
        }
        Ok(())
    }
}

/// Whether what was looked at before is looked at again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FromStart {
    /// Everything.
    Yes,
    /// Only what is new.
    No,
}

/// How a record differs from what its producer makes, or from what was promised.
fn differs(
    ledger: &Ledger,
    record: &StoredRecord,
    (number, producer): (u64, &Producer),
    promise: Option<&Promise>,
) -> Option<String> {
    let (seq, nonce) = (record.seq(), record.head().ok()?.nonce);
    let made = match producer.record(ledger.id(), nonce) {
        Ok(made) => made,
        Err(error) => return Some(format!("seq {seq}: {error}")),
    };
    if [&record.head_bytes()[..], record.payload()].concat() != made.bytes() {
        return Some(format!("seq {seq}: not the bytes that producer {number} made for nonce {nonce}"));
    }
    let promise = promise?;
    if (promise.producer, promise.nonce) != (number, nonce) || promise.record_id != made.record_id().to_string() {
        return Some(format!("seq {seq} was acknowledged for another record, {promise:?}"));
    }
    let receipt = promise.receipt.as_ref()?;
    let issued = match ledger.reader().prove_json(seq, None) {
        Ok(issued) => issued,
        Err(error) => return Some(format!("seq {seq}: no receipt: {error}")),
    };
    if issued.encode().ok().as_ref() != Some(receipt) {
        return Some(format!("seq {seq}: the receipt is another one than {receipt}"));
    }
    let verified =
        issued.receipt.verify(ledger.vkey()).is_ok() && issued.receipt.verify_payload(record.payload()).is_ok();
    (!verified).then(|| format!("seq {seq}: the receipt does not verify"))
}
