//! The workload of a bench: signed records in a prepared file, each one distinct, read in pieces.
//!
//! The ledger that they are signed for is always the same (a fixed key and genesis), so a file is used again as long as
//! it has enough of them. Records of one producer lie together, and an author's records are one producer's.

use crate::command::progress::Progress;
use crate::exit::CommandError;
use annals::{BuildError, Creation, Kind, LedgerId, RecordBuilder, SigningKey};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

const HEAD_SIZE: usize = 192;
/// Records signed between two looks of the progress bar.
const STEP: u64 = 256;

/// What the records look like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Shape {
    /// Bytes of a payload, or of an item.
    pub(crate) payload: u32,
    /// Items of a record, 1 for plain ones.
    pub(crate) items: u16,
    pub(crate) authors: u32,
    pub(crate) producers: u32,
}

impl Shape {
    /// Bytes of a record.
    pub(crate) fn record_size(&self) -> usize {
        let (payload, items) = (self.payload as usize, usize::from(self.items));
        HEAD_SIZE + if items == 1 { payload } else { items * (payload + annals::limits::BUNDLE_ENTRY_SIZE) }
    }
}

/// The key of an author, or of the ledger for none. No secret: everybody can make it.
pub(crate) fn fixed_key(author: Option<u32>) -> SigningKey {
    let mut seed = *b"annals bench, a key for everyone";
    if let (Some(author), Some(tail)) = (author, seed.last_chunk_mut::<4>()) {
        *tail = author.wrapping_add(1).to_le_bytes();
    }
    SigningKey::from_seed(&seed)
}

/// How the bench's ledger is born: the same every time.
pub(crate) fn creation(key_file: &Path) -> Creation {
    let random = Some(*b"annals bench, an id for everyone");
    Creation { random, ledger_key: Some(key_file.to_owned()), ..Creation::open("annals.example/bench") }
}

/// A prepared file.
#[derive(Debug)]
pub(crate) struct Workload {
    file: File,
    pub(crate) shape: Shape,
    /// Records of each producer.
    pub(crate) per_producer: u64,
}

impl Workload {
    /// Opens a prepared file with at least so many records, or prepares one.
    pub(crate) fn prepare(dir: &Path, ledger: LedgerId, shape: Shape, count: u64) -> Result<Self, CommandError> {
        let Shape { payload, items, authors, producers } = shape;
        let path = dir.join(format!("workload-{payload}-{items}-{authors}-{producers}.records"));
        let failed = |source| CommandError::Write { path: path.clone(), source };
        let wanted = count.div_ceil(u64::from(producers));
        let size = shape.record_size() as u64;
        if let Ok(file) = File::open(&path) {
            let per_producer = file.metadata().map_err(failed)?.len() / size / u64::from(producers);
            let workload = Self { file, shape, per_producer };
            if wanted <= per_producer && workload.is_for(ledger) {
                return Ok(workload);
            }
        }
        let part = path.with_extension("part");
        write(&part, ledger, shape, wanted)?;
        std::fs::rename(&part, &path).map_err(failed)?;
        let file = File::open(&path).map_err(failed)?;
        Ok(Self { file, shape, per_producer: wanted })
    }

    fn is_for(&self, ledger: LedgerId) -> bool {
        let mut head = [0; HEAD_SIZE];
        self.file.read_exact_at(&mut head, 0).is_ok() && head.get(8..40) == Some(ledger.as_bytes().as_slice())
    }

    /// Bytes of the file that are used.
    pub(crate) fn bytes(&self) -> u64 {
        self.per_producer * u64::from(self.shape.producers) * self.shape.record_size() as u64
    }

    /// Reads records of a producer from its `from`-th on; how many whole ones the buffer now holds.
    pub(crate) fn read(&self, producer: u32, from: u64, into: &mut Vec<u8>, most: u64) -> io::Result<usize> {
        let size = self.shape.record_size();
        let count = most.min(self.per_producer.saturating_sub(from));
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        into.resize(count * size, 0);
        let first = u64::from(producer) * self.per_producer + from;
        self.file.read_exact_at(into, first * size as u64)?;
        Ok(count)
    }
}

/// Signs the records of all producers, on all cores, producer by producer.
fn write(path: &PathBuf, ledger: LedgerId, shape: Shape, per_producer: u64) -> Result<(), CommandError> {
    let failed = |source| CommandError::Write { path: path.clone(), source };
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path).map_err(failed)?;
    let (signed, total) = (AtomicU64::new(0), per_producer * u64::from(shape.producers));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let share = total.div_ceil(threads);
    let mut progress = Progress::count("signing");
    std::thread::scope(|scope| {
        let shares = (0..threads).map(|thread| (thread * share).min(total)..((thread + 1) * share).min(total));
        let signers: Vec<_> = shares
            .map(|range| {
                let (file, signed) = (&file, &signed);
                scope.spawn(move || sign(file, ledger, shape, per_producer, range, signed))
            })
            .collect();
        while signers.iter().any(|signer| !signer.is_finished()) {
            // Relaxed: a figure for people.
            progress.set(signed.load(Ordering::Relaxed), total);
            std::thread::park_timeout(std::time::Duration::from_millis(50));
        }
        for signer in signers {
            match signer.join() {
                Ok(result) => result?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok::<(), CommandError>(())
    })?;
    progress.finish();
    file.sync_all().map_err(failed)
}

fn sign(
    file: &File,
    ledger: LedgerId,
    shape: Shape,
    per_producer: u64,
    range: std::ops::Range<u64>,
    signed: &AtomicU64,
) -> Result<(), CommandError> {
    let keys: Vec<_> = (0..shape.authors).map(|author| fixed_key(Some(author))).collect();
    let offset = range.start * shape.record_size() as u64;
    let mut out = BufWriter::with_capacity(1 << 20, At { file, offset });
    for number in range {
        let (producer, index) = (number / per_producer, number % per_producer);
        // The producer's authors: every one whose number is the producer's modulo all producers.
        let (producers, authors) = (u64::from(shape.producers), u64::from(shape.authors));
        let own = (authors - producer).div_ceil(producers);
        let author = usize::try_from(producer + producers * (index % own)).unwrap_or(usize::MAX);
        let Some(key) = keys.get(author) else { continue };
        let record = record(ledger, shape, key, index / own, number)?;
        out.write_all(&record)?;
        if number % STEP == 0 {
            signed.fetch_add(STEP, Ordering::Relaxed);
        }
    }
    Ok(out.flush()?)
}

fn record(ledger: LedgerId, shape: Shape, key: &SigningKey, nonce: u64, number: u64) -> Result<Vec<u8>, BuildError> {
    let builder = RecordBuilder::new(ledger, Kind::APPLICATION_FIRST).unsalted().nonce(nonce);
    let size = shape.payload as usize;
    if shape.items == 1 {
        return Ok(builder.sign(key, &content(size, number, 0))?.bytes().to_vec());
    }
    let items: Vec<_> = (0..shape.items).map(|item| content(size, number, item)).collect();
    let items: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
    Ok(builder.sign_bundle(key, &items)?.bytes().to_vec())
}

/// Bytes that no compression helps, unlike any others.
fn content(size: usize, number: u64, item: u16) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(item) << 48 | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    bytes.extend_from_slice(&(number << 12 | u64::from(item)).to_le_bytes());
    while bytes.len() < size {
        // xorshift64*, Marsaglia and Vigna.
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// Writes at an offset of its own.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl io::Write for At<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write_at(bytes, self.offset)?;
        self.offset += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
