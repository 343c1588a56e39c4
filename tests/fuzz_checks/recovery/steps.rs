//! The steps by which an input damages segments.

use super::super::storage::{resum_first_page, resum_header};
use super::{Segments, number};
use annals_core::limits::{PAGE_SIZE, SECTOR_SIZE};
use annals_storage::frame::{FrameChecksum, FrameFields, FrameHeader, FrameKind, seal};
use annals_storage::segment::SegmentHeader;

/// Kinds of steps.
pub const COUNT: u8 = 14;
/// Most steps of a program.
const STEPS_MAX: usize = 12;
/// Pages that a step can name: those that hold something, and some behind.
const PAGES: usize = 48;
/// Most segments, and most bytes of one.
const SEGMENTS_MAX: usize = 4;
const SIZE_MAX: usize = 4 << 20;

/// A program that is being run.
pub struct Steps<'a> {
    rest: &'a [u8],
    forged: bool,
}

impl<'a> Steps<'a> {
    pub fn new(program: &'a [u8]) -> Self {
        Self { rest: program, forged: false }
    }

    fn byte(&mut self) -> usize {
        let (first, rest) = self.rest.split_first().unwrap_or((&0, &[]));
        self.rest = rest;
        usize::from(*first)
    }

    fn number(&mut self) -> usize {
        let (value, rest) = number(self.rest);
        self.rest = rest;
        value
    }

    /// Bytes out of the program, up to so many.
    fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (bytes, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        bytes
    }

    /// A page of a segment: number of the segment, offset in bytes.
    fn page(&mut self, segments: &Segments) -> Option<(u64, usize)> {
        let (segment, page) = (self.byte(), self.byte() % PAGES);
        let (number, bytes) = segments.iter().nth(segment % segments.len().max(1))?;
        let offset = page * PAGE_SIZE;
        (offset < bytes.len()).then_some((*number, offset))
    }

    /// Runs the program; says whether sums were made right again.
    pub fn run(mut self, segments: &mut Segments) -> bool {
        for _ in 0..STEPS_MAX {
            if self.rest.is_empty() {
                break;
            }
            self.step(segments);
        }
        self.forged
    }

    fn step(&mut self, segments: &mut Segments) -> Option<()> {
        let kind = self.byte() as u8 % COUNT;
        if kind == 7 {
            self.change_segments(segments);
            return Some(());
        }
        let (segment, offset) = self.page(segments)?;
        let other = if matches!(kind, 4 | 5) { Some(self.page(segments)?) } else { None };
        let bytes = segments.get_mut(&segment)?;
        let (at, value) = (self.number(), self.number());
        let page = bytes.get_mut(offset..offset + PAGE_SIZE)?;
        match kind {
            0 => page[at % PAGE_SIZE] ^= 1 << (value % 8),
            1 => {
                let from = self.bytes(1 + value % 64);
                page.iter_mut().skip(at % PAGE_SIZE).zip(from).for_each(|(to, from)| *to = *from);
            }
            2 => bytes.iter_mut().skip(offset).take((1 + value % 8) * PAGE_SIZE).for_each(|byte| *byte = 0),
            3 => {
                let sectors = page.chunks_mut(SECTOR_SIZE).enumerate();
                sectors.filter(|(sector, _)| value >> sector & 1 == 1).for_each(|(_, sector)| sector.fill(0));
            }
            4 | 5 => {
                let copy = page.to_vec();
                let (other_segment, other_offset) = other?;
                let there = segments.get_mut(&other_segment)?.get_mut(other_offset..other_offset + PAGE_SIZE)?;
                let back = there.to_vec();
                there.copy_from_slice(&copy);
                if kind == 5 {
                    segments.get_mut(&segment)?[offset..offset + PAGE_SIZE].copy_from_slice(&back);
                }
            }
            6 => {
                let from = self.bytes(1 + value % 200);
                page.iter_mut().zip(from.iter().cycle()).for_each(|(to, from)| *to = *from);
            }
            8 => self.forge_first_page(bytes, at, value),
            9..=11 => self.forge_fields(bytes, offset, at, value),
            _ => self.forge_bytes(bytes, offset, at, value),
        }
        Some(())
    }

    /// Drops, doubles, swaps, shortens, lengthens or empties segments.
    fn change_segments(&mut self, segments: &mut Segments) {
        let (what, which, to) = (self.byte(), self.byte() as u64 % 4, self.byte() as u64 % 4);
        let Some(mut bytes) = segments.remove(&which) else { return };
        match what % 6 {
            0 => return,
            1 if segments.len() + 1 < SEGMENTS_MAX => drop(segments.insert(to, bytes.clone())),
            2 => {
                if let Some(other) = segments.insert(to, bytes) {
                    segments.insert(which, other);
                }
                return;
            }
            3 => bytes.truncate(bytes.len() / 2 + (to as usize) * PAGE_SIZE / 2),
            4 => bytes.resize((bytes.len() * 2).min(SIZE_MAX), 0),
            _ => bytes[PAGE_SIZE..].fill(0),
        }
        segments.insert(which, bytes);
    }

    /// Another first page of a segment, with the right sum.
    fn forge_first_page(&mut self, bytes: &mut [u8], at: usize, value: usize) {
        self.forged = true;
        let Some(page) = bytes.get_mut(..PAGE_SIZE) else { return };
        // Mostly the fields, sometimes what has to be zero.
        let at = if at & 0x8000 == 0 { at % 88 } else { at % (PAGE_SIZE - 32) };
        page[at] = value as u8;
        resum_first_page(page);
    }

    /// The frame at a page sealed again, with one other field, over a body with another byte.
    fn forge_fields(&mut self, bytes: &mut [u8], offset: usize, at: usize, value: usize) {
        let Some(Ok(first)) = bytes.get(..PAGE_SIZE).map(SegmentHeader::parse) else { return };
        let Ok(header) = FrameHeader::parse(&first, offset as u64, &bytes[offset..]) else { return };
        let Some(frame) = bytes.get_mut(offset..header.end() as usize) else { return };
        self.forged = true;
        let mut fields = FrameFields {
            kind: header.kind,
            offset: header.offset,
            index: header.index,
            epoch: header.epoch,
            durable: header.durable,
            previous: header.previous,
            newest: header.newest.as_ref(),
            slots: header.slots,
            frontier: &header.frontier,
            body_size: header.size.body_size,
        };
        let near = |field: u64| field.wrapping_add(value as u64).wrapping_sub(2);
        let mut newest = header.newest;
        match at % 10 {
            0 => fields.index = near(fields.index),
            1 => fields.epoch = near(fields.epoch),
            2 => fields.durable = near(fields.durable),
            3 => fields.previous = FrameChecksum::from_bytes([value as u8; 32]),
            4 => fields.slots = [None; 2],
            5 if fields.body_size == 0 => {
                fields.kind = [FrameKind::Start, FrameKind::Watermark, FrameKind::End][value % 3];
            }
            6 => {
                if let Some(newest) = &mut newest {
                    newest.header.ordered_time_ms = near(newest.header.ordered_time_ms);
                    newest.hash = newest.header.hash();
                }
                fields.newest = newest.as_ref();
            }
            7 => {
                if let Some(slot) = fields.slots.iter_mut().flatten().next() {
                    slot.signature[value % 64] ^= 1;
                }
            }
            _ => {
                let body = &mut frame[header.size.header_bytes()..][..header.size.body_size];
                let length = body.len().max(1);
                if let Some(byte) = body.get_mut((at / 10 + 256 * value) % length) {
                    *byte ^= 1 << (value % 8);
                }
            }
        }
        seal(&first, &fields, frame);
    }

    /// Other bytes in the header at a page, and all sums over it right again, whatever it says now.
    fn forge_bytes(&mut self, bytes: &mut [u8], offset: usize, at: usize, value: usize) {
        let Some(Ok(first)) = bytes.get(..PAGE_SIZE).map(SegmentHeader::parse) else { return };
        let Some(header) = bytes.get_mut(offset..offset + PAGE_SIZE) else { return };
        self.forged = true;
        header[at % 700] = value as u8;
        resum_header(&first, header);
    }
}
