//! The payloads of large records: made once, in memory, under heads that never come again.
//!
//! A prepared file of whole records would be read at the speed at which the ledger takes them, 1.3 GB/s and more of
//! bundles, by the very threads whose work is measured, and 4 GiB of it would last three seconds. So only heads are prepared,
//! 192 bytes a record: nonces rise, every signature is new, every record has its own id. The payloads behind them repeat
//! after [`POOL_BYTES`], more than any cache holds, and the engine can't know that they do: it hashes, copies and
//! writes each of them as if it were the first.

use super::workload::{HEAD_SIZE, Shape, content, fixed_key};
use crate::exit::CommandError;
use annals::{BuildError, Head, Kind, LedgerId, RecordBuilder, SigningKey};

/// Bytes of all sources' payloads, about.
const POOL_BYTES: usize = 128 << 20;
/// Fewest records of a source's pool, however large they are: what is offered at once, twice.
const COUNT_MIN: usize = 4;
/// Most records that are not worth a file of their own.
const SMALL: usize = 4 << 10;

/// Whether records of this shape come from a pool.
pub(crate) fn is_pooled(shape: Shape) -> bool {
    SMALL < shape.record_size()
}

/// Records of one source's pool.
pub(crate) fn count(shape: Shape) -> usize {
    (POOL_BYTES / shape.sources.max(1) as usize / shape.record_size()).max(COUNT_MIN)
}

/// Whole records, one behind the other; their heads are templates.
pub(crate) fn make(ledger: LedgerId, shape: Shape, source: u32) -> Result<Vec<u8>, BuildError> {
    let (count, key) = (count(shape), fixed_key(None));
    let mut pool = Vec::with_capacity(count * shape.record_size());
    for number in 0..count as u64 {
        pool.extend_from_slice(&record(ledger, shape, &key, 0, u64::from(source) << 32 | number)?);
    }
    Ok(pool)
}

/// The heads of a pool's records.
pub(crate) fn templates(pool: &[u8], shape: Shape) -> Result<Vec<Head>, CommandError> {
    let heads = pool.chunks_exact(shape.record_size()).filter_map(|record| record.first_chunk::<HEAD_SIZE>());
    heads.map(|head| Head::parse(head).map_err(|error| annals::Refusal::from(error).into())).collect()
}

/// A template's payload under a head of its own.
pub(crate) fn head(template: &Head, key: &SigningKey, nonce: u64) -> [u8; HEAD_SIZE] {
    let mut head = Head { author: key.public(), nonce, ..*template }.encode();
    key.sign_head(&mut head);
    head
}

/// A record of this shape, signed.
pub(crate) fn record(
    ledger: LedgerId,
    shape: Shape,
    key: &SigningKey,
    nonce: u64,
    number: u64,
) -> Result<Vec<u8>, BuildError> {
    let builder = RecordBuilder::new(ledger, Kind::APPLICATION_FIRST).unsalted().nonce(nonce);
    let size = shape.payload as usize;
    if shape.items == 1 {
        return Ok(builder.sign(key, &content(size, number, 0))?.bytes().to_vec());
    }
    let items: Vec<_> = (0..shape.items).map(|item| content(size, number, item)).collect();
    let items: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
    Ok(builder.sign_bundle(key, &items)?.bytes().to_vec())
}
