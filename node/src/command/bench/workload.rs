//! The workload of a bench: signed records in a prepared file, each one distinct, read in pieces.
//!
//! The ledger that they are signed for is always the same (a fixed key and genesis), so a file is used again as long as
//! it has enough of them. Records of one source lie together, and an author's records are one source's. Of large records
//! the file has the heads alone, see [`pool`].

use super::clock::rest;
use super::load::joined;
use super::pool;
use super::random::Random;
use super::supply::Supply;
use crate::command::progress::Progress;
use crate::exit::CommandError;
use annals::{Creation, Head, LedgerId, SigningKey};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bytes of a head.
pub(crate) const HEAD_SIZE: usize = annals::limits::HEAD_SIZE;
/// Bytes of a prepared file, at most; when it is used up, a run ends before its time.
const FILE_BYTES: u64 = 4 << 30;
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
    /// Appenders; each author is one's alone.
    pub(crate) sources: u32,
}

impl Shape {
    /// Bytes of a record.
    pub(crate) fn record_size(&self) -> usize {
        let (payload, items) = (self.payload as usize, usize::from(self.items));
        HEAD_SIZE + if items == 1 { payload } else { items * (payload + annals::limits::BUNDLE_ENTRY_SIZE) }
    }

    /// Bytes of a record in the prepared file.
    pub(crate) fn entry_size(&self) -> usize {
        if pool::is_pooled(*self) { HEAD_SIZE } else { self.record_size() }
    }

    /// The author and the nonce of a source's record.
    fn author(&self, source: u32, index: u64) -> (usize, u64) {
        // The source's authors: every one whose number is the source's modulo all sources.
        let (source, sources, authors) = (u64::from(source), u64::from(self.sources), u64::from(self.authors));
        let own = (authors - source).div_ceil(sources);
        (usize::try_from(source + sources * (index % own)).unwrap_or(usize::MAX), index / own)
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
    ledger: LedgerId,
    pub(crate) shape: Shape,
    /// Records of each source.
    per_source: u64,
}

impl Workload {
    /// Opens a prepared file with at least so many records, or prepares one, with those of a smaller one that is there.
    pub(crate) fn prepare(dir: &Path, ledger: LedgerId, shape: Shape, count: u64) -> Result<Self, CommandError> {
        let Shape { payload, items, authors, sources } = shape;
        let kind = if pool::is_pooled(shape) { "heads" } else { "records" };
        let path = dir.join(format!("workload-{payload}-{items}-{authors}-{sources}.{kind}"));
        let failed = |source| CommandError::Write { path: path.clone(), source };
        let size = shape.entry_size() as u64;
        let wanted = count.min(FILE_BYTES / size).div_ceil(u64::from(sources));
        let mut smaller = None;
        if let Ok(file) = File::open(&path) {
            let per_source = file.metadata().map_err(failed)?.len() / size / u64::from(sources);
            let workload = Self { file, ledger, shape, per_source };
            if wanted <= per_source && workload.is_ours() {
                return Ok(workload);
            }
            smaller = workload.is_ours().then_some(workload);
        }
        let part = path.with_extension("part");
        Signing::new(ledger, shape, wanted, smaller)?.write(&part)?;
        std::fs::rename(&part, &path).map_err(failed)?;
        let file = File::open(&path).map_err(failed)?;
        Ok(Self { file, ledger, shape, per_source: wanted })
    }

    fn is_ours(&self) -> bool {
        let mut head = [0; HEAD_SIZE];
        self.file.read_exact_at(&mut head, 0).is_ok() && head.get(8..40) == Some(self.ledger.as_bytes().as_slice())
    }

    /// Bytes of the file that are used.
    pub(crate) fn bytes(&self) -> u64 {
        self.per_source * u64::from(self.shape.sources) * self.shape.entry_size() as u64
    }

    /// What a source appends.
    pub(crate) fn supply(self: &Arc<Self>, source: u32) -> Result<Supply, CommandError> {
        let pool = if pool::is_pooled(self.shape) { pool::make(self.ledger, self.shape, source)? } else { Vec::new() };
        Ok(Supply::new(Arc::clone(self), source, pool))
    }

    /// Whole records of all sources, some more or fewer than asked for, one behind the other.
    pub(crate) fn sample(self: &Arc<Self>, count: u64) -> Result<Vec<u8>, CommandError> {
        let (share, mut bytes) = (count.div_ceil(u64::from(self.shape.sources)), Vec::new());
        for source in 0..self.shape.sources {
            let (mut supply, mut left) = (self.supply(source)?, share);
            while 0 < left {
                let batch = supply.batch(usize::try_from(left).unwrap_or(usize::MAX).min(1024))?;
                let taken = batch.len();
                batch.iter().for_each(|record| bytes.extend_from_slice(record));
                supply.take(taken);
                left -= (taken as u64).min(left);
                if taken == 0 {
                    break;
                }
            }
        }
        Ok(bytes)
    }

    /// Reads a source's records, or their heads, from its `from`-th on; how many whole ones the buffer now holds.
    pub(super) fn read(&self, source: u32, from: u64, into: &mut Vec<u8>, most: u64) -> io::Result<usize> {
        let size = self.shape.entry_size();
        let count = most.min(self.per_source.saturating_sub(from));
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        into.resize(count * size, 0);
        let first = u64::from(source) * self.per_source + from;
        self.file.read_exact_at(into, first * size as u64)?;
        Ok(count)
    }
}

/// Making a prepared file, on all cores, source by source.
struct Signing {
    ledger: LedgerId,
    shape: Shape,
    per_source: u64,
    /// The first records of each source, signed earlier.
    smaller: Option<Workload>,
    keys: Vec<SigningKey>,
    /// Of each source, the heads over its pool.
    templates: Vec<Vec<Head>>,
    signed: AtomicU64,
}

impl Signing {
    fn new(ledger: LedgerId, shape: Shape, per_source: u64, smaller: Option<Workload>) -> Result<Self, CommandError> {
        let keys = (0..shape.authors).map(|author| fixed_key(Some(author))).collect();
        let mut templates = Vec::new();
        if pool::is_pooled(shape) {
            for source in 0..shape.sources {
                templates.push(pool::templates(&pool::make(ledger, shape, source)?, shape)?);
            }
        }
        Ok(Self { ledger, shape, per_source, smaller, keys, templates, signed: AtomicU64::new(0) })
    }

    fn write(&self, path: &PathBuf) -> Result<(), CommandError> {
        let failed = |source| CommandError::Write { path: path.clone(), source };
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path).map_err(failed)?;
        let total = self.per_source * u64::from(self.shape.sources);
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
        let share = total.div_ceil(threads);
        let mut progress = Progress::count("signing");
        std::thread::scope(|scope| {
            let shares = (0..threads).map(|thread| (thread * share).min(total)..((thread + 1) * share).min(total));
            let file = &file;
            let signers: Vec<_> = shares.map(|range| scope.spawn(move || self.sign(file, range))).collect();
            while signers.iter().any(|signer| !signer.is_finished()) {
                // Relaxed: a figure for people.
                progress.set(self.signed.load(Ordering::Relaxed), total);
                rest(Duration::from_millis(50));
            }
            signers.into_iter().try_for_each(joined)
        })?;
        progress.finish();
        file.sync_all().map_err(failed)
    }

    fn sign(&self, file: &File, range: Range<u64>) -> Result<(), CommandError> {
        let offset = range.start * self.shape.entry_size() as u64;
        let mut out = BufWriter::with_capacity(1 << 20, At { file, offset });
        let mut signed_earlier = Vec::new();
        for place in range {
            let source = u32::try_from(place / self.per_source).unwrap_or(u32::MAX);
            let index = place % self.per_source;
            if place % STEP == 0 {
                self.signed.fetch_add(STEP, Ordering::Relaxed);
            }
            if let Some(smaller) = &self.smaller
                && 0 < smaller.read(source, index, &mut signed_earlier, 1)?
            {
                out.write_all(&signed_earlier)?;
                continue;
            }
            // The same record wherever it lies, so that a larger file goes on where a smaller one ended.
            let number = index * u64::from(self.shape.sources) + u64::from(source);
            let (author, nonce) = self.shape.author(source, index);
            let Some(key) = self.keys.get(author) else { continue };
            if let Some(templates) = self.templates.get(source as usize) {
                let slot = usize::try_from(index % templates.len().max(1) as u64).unwrap_or(usize::MAX);
                let Some(template) = templates.get(slot) else { continue };
                out.write_all(&pool::head(template, key, nonce))?;
            } else {
                out.write_all(&pool::record(self.ledger, self.shape, key, nonce, number)?)?;
            }
        }
        Ok(out.flush()?)
    }
}

/// Bytes that no compression helps, unlike any others.
pub(crate) fn content(size: usize, number: u64, item: u16) -> Vec<u8> {
    let mut random = Random::new(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(item) << 48 | 1);
    let mut bytes = Vec::with_capacity(size + 8);
    bytes.extend_from_slice(&(number << 12 | u64::from(item)).to_le_bytes());
    while bytes.len() < size {
        bytes.extend_from_slice(&random.next().to_le_bytes());
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn a_file_that_grew_is_the_one_that_would_have_been_made_at_once() {
        let (grown, at_once) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let shape = Shape { payload: 64, items: 1, authors: 5, sources: 2 };
        let ledger = LedgerId::from_bytes([7; 32]);
        let bytes = |dir: &Path, count| {
            let workload = Workload::prepare(dir, ledger, shape, count).unwrap();
            let mut bytes = vec![0; usize::try_from(workload.bytes()).unwrap()];
            workload.file.read_exact_at(&mut bytes, 0).unwrap();
            bytes
        };
        let first = bytes(grown.path(), 30);
        // What is there is taken as it is, and not signed again: a mark in a payload is still there afterwards.
        let file = OpenOptions::new().write(true).open(grown.path().join("workload-64-1-5-2.records")).unwrap();
        let (marked, size) = (first.len() / 2 - 1, shape.entry_size());
        file.write_all_at(&[!first[marked]], marked as u64).unwrap();
        let (mut larger, expected) = (bytes(grown.path(), 101), bytes(at_once.path(), 101));
        assert_eq!((larger.len(), expected.len()), (102 * size, 102 * size), "as many of each source");
        assert_ne!(larger, expected);
        larger[marked] ^= 0xFF;
        assert_eq!(larger, expected);
    }
}
