//! Frames on their way through a check: copied out of the walk, verified one by one on any thread, then looked at in order.
//!
//! What needs no neighbour is done here, in parallel: the body's layout, heads, content hashes, record ids, leaf hashes.

use super::error::Finding;
use crate::replay::{ReplayError, record_entry};
use annals_core::block::BlockHeader;
use annals_core::body::Body;
use annals_core::hash::TreeHash;
use annals_core::leaf::LeafEntry;
use annals_core::limits::PAGE_SIZE;
use annals_core::record::{Head, contents_hold, record_id, verify_content};
use annals_storage::buffer::PageBuffer;
use annals_storage::frame::FrameHeader;
use annals_storage::index::{LookupKey, RecordEntry};
use annals_storage::recovery::RecoveredFrame;
use std::ops::Range;

/// Bytes of bodies from which on a batch is worth handing over.
const BATCH_BYTES: usize = 512 << 10;
/// Frames at which it is, however small they are.
const BATCH_FRAMES: usize = 128;

/// A record that is right by itself.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) head: Head,
    pub(super) leaf: TreeHash,
}

/// A frame in a batch.
#[derive(Debug)]
pub(super) struct Framed {
    pub(super) header: FrameHeader,
    /// Of the segment that it lies in.
    pub(super) lookup_key: LookupKey,
    body: Range<usize>,
    records: Range<usize>,
    /// What is wrong with it, and from which record on.
    pub(super) failure: Option<(u64, Finding)>,
}

/// Some frames in a row. Used again and again, so that its memory is asked for once.
#[derive(Debug)]
pub(super) struct Batch {
    bytes: PageBuffer,
    used: usize,
    pub(super) frames: Vec<Framed>,
    records: Vec<Verified>,
    entries: Vec<RecordEntry>,
}

impl Batch {
    /// An empty one.
    pub(super) fn new() -> Self {
        let bytes = PageBuffer::new(2 * BATCH_BYTES);
        Self { bytes, used: 0, frames: Vec::new(), records: Vec::new(), entries: Vec::new() }
    }

    /// Empties it.
    pub(super) fn clear(&mut self) {
        self.used = 0;
        self.frames.clear();
        self.records.clear();
        self.entries.clear();
    }

    /// Adds a frame; whether the batch is full then.
    pub(super) fn push(&mut self, frame: &RecoveredFrame<'_>) -> bool {
        let from = self.used;
        let to = from + frame.body.len();
        // Bodies are read in place, so each starts at a page.
        self.used = to.next_multiple_of(PAGE_SIZE);
        if self.bytes.len() < self.used {
            self.bytes.resize(self.used);
        }
        if let Some(place) = self.bytes.get_mut(from..to) {
            place.copy_from_slice(frame.body);
        }
        self.frames.push(Framed {
            header: frame.header.clone(),
            lookup_key: LookupKey::derive(&frame.segment.key),
            body: from..to,
            records: 0..0,
            failure: None,
        });
        BATCH_BYTES <= self.used || BATCH_FRAMES <= self.frames.len()
    }

    /// Verifies what needs no neighbour.
    pub(super) fn verify(&mut self) {
        let Self { bytes, frames, records, entries, used: _ } = self;
        for frame in frames {
            let first = records.len();
            if let Some(block) = frame.header.block() {
                let body = bytes.get(frame.body.clone()).unwrap_or(&[]);
                frame.failure = verify(&block.header, body, records, entries).err();
            }
            frame.records = first..records.len();
        }
    }

    /// The records of a frame, what the index keeps of them, and its body.
    pub(super) fn contents(&self, frame: &Framed) -> (&[Verified], &[RecordEntry], &[u8]) {
        let records = self.records.get(frame.records.clone()).unwrap_or(&[]);
        let entries = self.entries.get(frame.records.clone()).unwrap_or(&[]);
        (records, entries, self.bytes.get(frame.body.clone()).unwrap_or(&[]))
    }
}

fn verify(
    block: &BlockHeader,
    body: &[u8],
    records: &mut Vec<Verified>,
    entries: &mut Vec<RecordEntry>,
) -> Result<(), (u64, Finding)> {
    let first_seq = block.first_seq;
    let body =
        Body::parse(body).map_err(|source| (first_seq, Finding::from(ReplayError::Body { seq: first_seq, source })))?;
    let (expected, found) = (block.record_count, body.record_count());
    if expected as usize != found {
        return Err((first_seq, Finding::Records { expected, found }));
    }
    let (height, ordered_time_ms) = (block.height, block.ordered_time_ms);
    let pairs: Vec<_> =
        body.heads().iter().enumerate().map(|(index, head)| (head, body.payload(index).unwrap_or(&[]))).collect();
    let mut hold = vec![false; pairs.len()];
    contents_hold(&pairs, &mut hold);
    for (index, (seq, bytes)) in (first_seq..).zip(body.heads()).enumerate() {
        let head = Head::parse(bytes).map_err(|source| (seq, ReplayError::Head { seq, source }.into()))?;
        if hold.get(index) != Some(&true) {
            // Why it does not is said by the one that looks at one alone.
            verify_content(&head, body.payload(index).unwrap_or(&[])).map_err(|error| (seq, error.into()))?;
        }
        if let Some(state @ 1..) = body.state(index) {
            return Err((seq, Finding::State(state)));
        }
        let record_id = record_id(bytes);
        entries.push(record_entry(&head, record_id));
        records.push(Verified { head, leaf: LeafEntry { record_id, height, ordered_time_ms }.hash() });
    }
    Ok(())
}
