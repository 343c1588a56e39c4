//! `annals demo`: the main job on sample data, narrated. Every step is the real thing, none is staged.

use super::bench;
use crate::exit::CommandError;
use crate::line::{Bench, Mode, Nonces};
use annals::{
    Ack, Creation, Kind, Ledger, Options, ReceiptJson, RecordBuilder, SigningKey, check_ledger, generate_key, write_key,
};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Original records of a fictitious city's enforcement agencies.
const SAMPLE: &str = include_str!("../../../examples/enforcement.jsonl");
const KIND: Kind = Kind(70_001);
/// Small segments, so that the demo takes little room.
const SEGMENT_SIZE: u64 = 16 << 20;
/// Items of the demo's bundle.
const BUNDLE_ITEMS: usize = 8;
/// How long throughput is measured.
const SECONDS: u64 = 3;

pub(crate) fn run(dir: Option<&Path>) -> Result<u8, CommandError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CommandError::Write { path, source }
    };
    let (root, kept) = match dir {
        Some(dir) => {
            std::fs::create_dir_all(dir).map_err(failed(dir))?;
            (dir.to_owned(), None)
        }
        None => {
            let temporary = tempfile::tempdir().map_err(failed(&std::env::temp_dir()))?;
            (temporary.path().to_owned(), Some(temporary))
        }
    };
    let mut demo = Demo { out: std::io::stdout(), root, step: 0 };
    demo.all()?;
    if kept.is_none() {
        demo.say(&format!("What it made lies in {}.", demo.root.display()))?;
    }
    Ok(0)
}

struct Demo {
    out: std::io::Stdout,
    root: PathBuf,
    step: u32,
}

impl Demo {
    fn title(&mut self, title: &str) -> Result<(), CommandError> {
        self.step += 1;
        Ok(writeln!(self.out, "\n{}. {title}", self.step)?)
    }

    fn say(&mut self, words: &str) -> Result<(), CommandError> {
        Ok(writeln!(self.out, "   {words}")?)
    }

    fn all(&mut self) -> Result<(), CommandError> {
        let (place, key_path) = (self.root.join("ledger"), self.root.join("officer.key"));
        self.title("An officer's key, and a ledger that admits it")?;
        let key = generate_key()?;
        write_key(&key_path, &key)?;
        let creation =
            Creation { segment_size: SEGMENT_SIZE, ..Creation::listed("annals.example/demo", &[key.public()]) };
        let ledger = Ledger::create(&place, &creation, Options::default())?;
        super::warn_of_device(&ledger);
        self.say(&format!("author  {}", key.public()))?;
        self.say(&format!("vkey    {}", ledger.vkey()))?;
        let plain = self.append(&ledger, &key)?;
        let bundle = self.bundle(&ledger, &key)?;
        self.verify(&ledger, plain)?;
        self.prove_item(&ledger, bundle)?;
        ledger.close()?;
        self.check(&place)?;
        self.throughput()
    }

    fn append(&mut self, ledger: &Ledger, key: &SigningKey) -> Result<Ack, CommandError> {
        self.title("Enforcement records go in, one by one signed, together durable")?;
        let mut appender = ledger.appender()?;
        let mut outstanding = Vec::new();
        for (nonce, line) in (0..).zip(SAMPLE.lines()) {
            let builder = RecordBuilder::new(ledger.id(), KIND).nonce(nonce).claimed_time_ms(super::now_ms());
            outstanding.push(appender.append(builder.sign(key, line.as_bytes())?.bytes())?);
        }
        let sent = outstanding.len();
        let acks = outstanding.into_iter().map(annals::Pending::wait).collect::<Result<Vec<_>, _>>()?;
        let blocks = ledger.reader().head()?.height;
        self.say(&format!("{sent} records appended and durable, in {blocks} blocks besides genesis"))?;
        acks.get(sent / 2).copied().ok_or(CommandError::Bench("the sample is empty"))
    }

    fn bundle(&mut self, ledger: &Ledger, key: &SigningKey) -> Result<Ack, CommandError> {
        self.title("A case file as a bundle: one signature, items proved one by one")?;
        let items: Vec<&[u8]> = SAMPLE.lines().take(BUNDLE_ITEMS).map(str::as_bytes).collect();
        let nonce = ledger.reader().next_nonce(&key.public())?;
        let record = RecordBuilder::new(ledger.id(), KIND).nonce(nonce).sign_bundle(key, &items)?;
        let ack = ledger.appender()?.append_wait(record.bytes())?;
        self.say(&format!("{BUNDLE_ITEMS} items in record {}, block {}", ack.seq, ack.height))?;
        Ok(ack)
    }

    /// What anybody can do with a receipt, the vkey and the document, and nothing else.
    fn verify(&mut self, ledger: &Ledger, ack: Ack) -> Result<(), CommandError> {
        self.title("A receipt, verified offline")?;
        let path = self.root.join("receipt.json");
        let text = ledger.reader().prove_json(ack.seq, None)?.encode().map_err(CommandError::Encode)?;
        std::fs::write(&path, &text).map_err(|source| CommandError::Write { path: path.clone(), source })?;
        let receipt = parse(&path, &text)?;
        let head = receipt.receipt.verify(ledger.vkey());
        let index = usize::try_from(ack.seq.saturating_sub(1)).unwrap_or(usize::MAX);
        let document = SAMPLE.lines().nth(index).unwrap_or_default();
        if head.is_err() || receipt.verify_payload(document.as_bytes()).is_err() {
            return Err(CommandError::Bench("the receipt does not hold, which is a bug; please report it"));
        }
        self.say(&format!(
            "record {} was ordered in block {}: the receipt holds, and the document is what was signed",
            ack.seq, ack.height
        ))?;
        let refused = receipt.verify_payload(document.replacen('1', "2", 1).as_bytes()).is_err();
        self.say(if refused { "the same document with one digit changed: refused" } else { "CHANGED DOCUMENT TAKEN" })?;
        if refused { Ok(()) } else { Err(CommandError::Bench("a changed document was taken, which is a bug")) }
    }

    fn prove_item(&mut self, ledger: &Ledger, bundle: Ack) -> Result<(), CommandError> {
        self.title("One item of the bundle, proved without showing the others")?;
        let text = ledger.reader().prove_json(bundle.seq, Some(3))?.encode().map_err(CommandError::Encode)?;
        let receipt = parse(&self.root, &text)?;
        let item = SAMPLE.lines().nth(3).unwrap_or_default();
        if receipt.receipt.verify(ledger.vkey()).is_err() || receipt.verify_payload(item.as_bytes()).is_err() {
            return Err(CommandError::Bench("the item's proof does not hold, which is a bug; please report it"));
        }
        self.say(&format!("item 3 of record {} holds; of its neighbours the proof shows hashes only", bundle.seq))
    }

    /// A flipped byte is found and named, and nothing is wrong before and after.
    fn check(&mut self, place: &Path) -> Result<(), CommandError> {
        self.title("Somebody changes one byte on the disk")?;
        let report = check_ledger(place, None, &mut |_, _| {})?;
        self.say(&format!("before: sound, {} records in {} blocks", report.records, report.blocks))?;
        let path = place.join("segments/0000000000.seg");
        let failed = |source| CommandError::Write { path: path.clone(), source };
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
        let (offset, mut byte) = (100_000, [0]);
        file.read_exact_at(&mut byte, offset).map_err(failed)?;
        let changed = byte.map(|byte| byte ^ 1);
        file.write_all_at(&changed, offset).and_then(|()| file.sync_all()).map_err(failed)?;
        match check_ledger(place, None, &mut |_, _| {}) {
            Err(error) => self.say(&format!("after:  found. {error}"))?,
            Ok(_) => {
                return Err(CommandError::Bench("the flipped byte was not found, which is a bug; please report it"));
            }
        }
        file.write_all_at(&byte, offset).and_then(|()| file.sync_all()).map_err(failed)?;
        check_ledger(place, None, &mut |_, _| {})?;
        self.say("put right again: sound")
    }

    fn throughput(&mut self) -> Result<(), CommandError> {
        self.title("Throughput, beside what the machine can do at all")?;
        let bench = Bench {
            mode: Mode::Records,
            seconds: Some(SECONDS),
            warmup: Some(0),
            rate: None,
            times: None,
            nonces: Nonces::Rising,
            bad: None,
            dir: None,
            payload: None,
            authors: None,
            producers: None,
            sources: None,
            items: None,
            report: None,
            records: None,
            gib: None,
            cases: None,
            victim: None,
            json: false,
        };
        let scratch = self.root.join("bench");
        std::fs::create_dir_all(&scratch).map_err(|source| CommandError::Write { path: scratch.clone(), source })?;
        self.say("signing records first, outside the clock ...")?;
        let figures = bench::measure(&bench, bench::Load::Records, &scratch)?;
        let (reached, ceiling) = (figures.records_per_s, figures.verify_records_per_s);
        self.say(&format!("{reached} records/s verified, ordered and durable"))?;
        self.say(&format!(
            "{ceiling} records/s if all cores did nothing but verify: {} of the ceiling",
            figures.ratio_to_ceiling
        ))?;
        // The signed records are large, and of no use to anybody who looks at the rest.
        let _ = std::fs::remove_dir_all(&scratch);
        Ok(())
    }
}

fn parse(path: &Path, text: &str) -> Result<ReceiptJson, CommandError> {
    ReceiptJson::parse(text).map_err(|source| CommandError::Receipt { path: path.to_owned(), source })
}
