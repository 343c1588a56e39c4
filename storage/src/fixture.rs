//! A ledger in memory for tests: real frames through the log, without signatures.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

use core::ops::ControlFlow;

use annals_core::block::BlockHeader;
use annals_core::body::{Body, BodyLayout, BodyWriter};
use annals_core::hash::{BlockHash, LedgerId};
use annals_core::limits::{HEAD_SIZE, PAGE_SIZE};
use annals_core::tree::{Frontier, leaf_hash};

use crate::buffer::PageBuffer;
use crate::device::Write;
use crate::disk::{Disk, MemoryDisk};
use crate::frame::{HashedHeader, Location, Slot};
use crate::log::{Advance, CloseStep, Log, Step};
use crate::recovery::{Recovered, RecoveredFrame, RecoveryError, recover};
use crate::segment::SegmentHeader;

pub(crate) const LEDGER: LedgerId = LedgerId::from_bytes([0xA7; 32]);
pub(crate) const SIZE: u64 = 2 << 20;

pub(crate) fn segment(number: u64) -> SegmentHeader {
    let mut key = [0x5A; 32];
    key[..8].copy_from_slice(&(number + 1).to_le_bytes());
    SegmentHeader { ledger: LEDGER, number, size: SIZE, key }
}

/// A payload without a zero byte, different for each seq.
pub(crate) fn payload(seq: u64, size: usize) -> Vec<u8> {
    (0..size as u64).map(|at| ((at.wrapping_mul(2_654_435_761) >> 7) ^ (seq << 1)) as u8 | 1).collect()
}

fn head(seq: u64, payload_size: usize) -> [u8; HEAD_SIZE] {
    let mut head: [u8; HEAD_SIZE] = payload(seq + 1000, HEAD_SIZE).try_into().unwrap();
    head[92..96].copy_from_slice(&(payload_size as u32).to_le_bytes());
    head
}

/// What a caller knows beside the log.
#[derive(Clone, Debug)]
pub(crate) struct Ledger<D = MemoryDisk> {
    pub(crate) disk: D,
    pub(crate) log: Log,
    pub(crate) frontier: Frontier,
    pub(crate) newest: Option<BlockHeader>,
    pub(crate) blocks: Vec<Location>,
}

/// Recovery with what the caller makes of the frames.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) recovered: Recovered,
    pub(crate) frontier: Frontier,
    pub(crate) blocks: Vec<(BlockHeader, Location)>,
    pub(crate) frames: usize,
}

/// Follows the frames as the facade does.
pub(crate) fn push_frame(frontier: &mut Frontier, frame: &RecoveredFrame<'_>) {
    *frontier = frame.header.frontier.clone();
    if frame.header.block().is_some() {
        for head in Body::parse(frame.body).unwrap().heads() {
            frontier.push(leaf_hash(head));
        }
    }
}

pub(crate) fn find(disk: &dyn Disk) -> Result<Found, RecoveryError> {
    let (mut frontier, mut blocks, mut frames) = (Frontier::new(), Vec::new(), 0);
    let recovered = recover(disk, Some(LEDGER), &mut |frame| {
        push_frame(&mut frontier, &frame);
        frames += 1;
        blocks.extend(frame.header.block().map(|block| (block.header, frame.header.location())));
        ControlFlow::Continue(())
    })?;
    Ok(Found { recovered, frontier, blocks, frames })
}

/// The next write on the way to a block.
#[derive(Debug)]
pub(crate) enum Next {
    /// The block itself.
    Block(Write),
    /// A mark that comes before it.
    Mark(Write),
    /// First the segment of this number has to be prepared.
    Segment(u64),
    /// First something has to complete.
    Wait,
}

impl Ledger {
    /// An empty ledger with its first segment.
    pub(crate) fn create() -> Self {
        Self::create_on(MemoryDisk::new())
    }
}

impl<D: Disk + Clone> Ledger<D> {
    /// An empty ledger with its first segment, on an empty disk.
    pub(crate) fn create_on(disk: D) -> Self {
        disk.create_segment(0, SIZE, &segment(0).encode()).unwrap();
        Self::open(&disk).unwrap()
    }

    pub(crate) fn open(disk: &D) -> Result<Self, RecoveryError> {
        let found = find(disk)?;
        found.recovered.settle(disk)?;
        Ok(Self {
            disk: disk.clone(),
            log: Log::new(&found.recovered),
            frontier: found.frontier,
            newest: found.recovered.tail.newest.map(|newest| newest.header),
            blocks: found.blocks.into_iter().map(|(_, location)| location).collect(),
        })
    }

    /// Does a write and completes it.
    pub(crate) fn apply(&mut self, write: &Write) -> Advance {
        self.disk.write(write.segment, write.offset, &write.buffer).unwrap();
        self.log.completed(write.ticket, Ok(())).unwrap()
    }

    /// Does what has to happen before a block of these payload sizes, then seals it. Nothing else may be in flight.
    pub(crate) fn seal(&mut self, payload_sizes: &[usize]) -> Write {
        loop {
            match self.next(payload_sizes) {
                Next::Block(write) => return write,
                Next::Mark(write) => self.apply(&write),
                Next::Segment(number) => {
                    self.prepare(number);
                    continue;
                }
                Next::Wait => panic!("something is in flight"),
            };
        }
    }

    /// Seals what comes next on the way to a block of these payload sizes.
    pub(crate) fn next(&mut self, payload_sizes: &[usize]) -> Next {
        let layout = BodyLayout::new(payload_sizes.len(), payload_sizes.iter().sum()).unwrap();
        let plan = self.log.plan(self.frontier.hashes().len(), layout.size()).unwrap();
        Next::Mark(match self.log.step(&plan).unwrap() {
            Step::Seal => {
                let mut buffer = self.log.buffer_for(&plan);
                let before = self.frontier.clone();
                let block = self.block(layout, payload_sizes, &mut buffer[plan.header_bytes()..]);
                self.blocks.push(self.log.location().unwrap());
                return Next::Block(self.log.seal_block(plan, buffer, block, &before));
            }
            Step::Opening => self.log.seal_opening(&self.frontier),
            Step::End => self.log.seal_end(&self.frontier),
            Step::Start => self.log.seal_start(&self.frontier),
            Step::Segment(number) => return Next::Segment(number),
            Step::Wait => return Next::Wait,
            Step::Closed => panic!("the log is closed"),
        })
    }

    pub(crate) fn prepare(&mut self, number: u64) {
        self.disk.create_segment(number, SIZE, &segment(number).encode()).unwrap();
        self.log.set_prepared(segment(number));
    }

    fn block(&mut self, layout: BodyLayout, payload_sizes: &[usize], body: &mut [u8]) -> HashedHeader {
        let first_seq = self.frontier.size();
        let mut writer = BodyWriter::new(layout, &mut body[..layout.size()]);
        for (seq, size) in (first_seq..).zip(payload_sizes) {
            writer.push(&head(seq, *size), &payload(seq, *size));
            self.frontier.push(leaf_hash(&head(seq, *size)));
        }
        writer.finish();
        let header = BlockHeader {
            record_count: payload_sizes.len() as u32,
            ledger: LEDGER,
            height: self.newest.map_or(0, |newest| newest.height + 1),
            first_seq,
            item_count: payload_sizes.len() as u64,
            ordered_time_ms: 1_700_000_000_000,
            previous: self.newest.map_or(BlockHash::ZERO, |newest| newest.hash()),
            root: self.frontier.root(),
        };
        self.newest = Some(header);
        HashedHeader::new(header)
    }

    pub(crate) fn append(&mut self, payload_sizes: &[usize]) -> Advance {
        let write = self.seal(payload_sizes);
        self.apply(&write)
    }

    /// A checkpoint of the newest block, with a signature that only a test would take.
    pub(crate) fn slot(&self) -> Slot {
        let newest = self.newest.unwrap();
        Slot { size: newest.next_seq(), height: newest.height, signature: [newest.height as u8 | 1; 64] }
    }

    pub(crate) fn close(&mut self) {
        while self.log.close_step().unwrap() == CloseStep::Mark {
            let write = self.log.seal_close(&self.frontier);
            self.apply(&write);
        }
        assert_eq!(self.log.close_step().unwrap(), CloseStep::Closed);
    }

    /// Where the next frame goes.
    pub(crate) fn tail(&self) -> Location {
        self.log.location().unwrap()
    }
}

/// Writes only the sectors of a frame that `keep` names by their index in the frame.
pub(crate) fn write_sectors(disk: &dyn Disk, write: &Write, keep: impl Fn(usize) -> bool) {
    let mut buffer = PageBuffer::new(write.buffer.len());
    disk.read(write.segment, write.offset, &mut buffer).unwrap();
    for (sector, (to, from)) in buffer.chunks_mut(512).zip(write.buffer.chunks(512)).enumerate() {
        if keep(sector) {
            to.copy_from_slice(from);
        }
    }
    disk.write(write.segment, write.offset, &buffer).unwrap();
}

/// Changes bytes of a segment in place.
pub(crate) fn change(disk: &dyn Disk, location: Location, length: usize, change: impl FnOnce(&mut [u8])) {
    let mut pages = PageBuffer::new(length.next_multiple_of(PAGE_SIZE));
    disk.read(location.segment, location.offset, &mut pages).unwrap();
    change(&mut pages);
    disk.write(location.segment, location.offset, &pages).unwrap();
}
