//! The runway: which range ahead of the data is to be written with zeros next.
//!
//! Writes into space that was written before are much faster than writes into space that is only allocated, so a paced
//! background write goes ahead of the data. It must never hit a place where data was submitted. That is impossible by
//! construction: a range starts at least one largest frame behind the end of all submitted data, one range is in flight
//! at a time, and while it is, [`Runway::blocks`] keeps every frame that would reach into it waiting. A flood that
//! overtakes the runway leaves a gap of merely allocated space behind it, which is harmless: fresh space reads as zero.

use super::{Log, Stage};
use crate::frame::frame_size_max;
use crate::segment::{FIRST_FRAME_OFFSET, SegmentHeader};

/// Most bytes of one runway write.
pub const RUNWAY_WRITE_SIZE_MAX: u64 = 1 << 20;

/// A range to write with zeros.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RunwayRange {
    /// Ticket of the write.
    pub ticket: u64,
    /// The segment.
    pub segment: u64,
    /// Offset in bytes; a multiple of the page size.
    pub offset: u64,
    /// Bytes, at most [`RUNWAY_WRITE_SIZE_MAX`]; a multiple of the page size.
    pub size: u64,
}

/// How far the zeros go.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Runway {
    /// Segment in which the zeros end.
    segment: u64,
    /// Offset where they end, in bytes.
    zeroed: u64,
    /// Offset from which on they were written without a gap, at most `zeroed`.
    begun: u64,
    /// The same in the segment before, whose zeros go to its end.
    begun_before: u64,
    in_flight: Option<RunwayRange>,
}

impl Runway {
    pub(super) const fn new() -> Self {
        Self { segment: 0, zeroed: 0, begun: 0, begun_before: u64::MAX, in_flight: None }
    }

    /// Whether a frame in this range has to wait for the write in flight.
    pub(super) fn blocks(&self, segment: u64, from: u64, to: u64) -> bool {
        self.in_flight
            .is_some_and(|range| range.segment == segment && range.offset < to && from < range.offset + range.size)
    }

    /// The next range, at most `distance_max` bytes ahead of the data; none if one is in flight or enough is zeroed.
    ///
    /// `offset` is the end of all data submitted to `segment`.
    pub(super) fn next(
        &mut self,
        ticket: u64,
        segment: &SegmentHeader,
        offset: u64,
        prepared: Option<&SegmentHeader>,
        distance_max: u64,
    ) -> Option<RunwayRange> {
        if self.in_flight.is_some() {
            return None;
        }
        if self.segment < segment.number {
            (self.segment, self.zeroed) = (segment.number, 0);
        }
        let reached = (offset + frame_size_max(segment.size)).min(segment.size);
        if self.segment == segment.number && self.zeroed < reached {
            // Overtaken: what lies between is not written by this runway.
            (self.zeroed, self.begun) = (reached, reached);
        }
        let (target, ahead) = match prepared {
            _ if self.segment == segment.number && self.zeroed < segment.size => (segment, self.zeroed - offset),
            Some(next) => {
                if self.segment == segment.number {
                    self.begun_before = self.begun;
                    (self.segment, self.zeroed, self.begun) = (next.number, FIRST_FRAME_OFFSET, FIRST_FRAME_OFFSET);
                }
                (next, segment.size - offset + self.zeroed)
            }
            None => return None,
        };
        if distance_max <= ahead || target.size <= self.zeroed {
            return None;
        }
        let end = (self.zeroed + 1).next_multiple_of(RUNWAY_WRITE_SIZE_MAX).min(target.size);
        let range = RunwayRange { ticket, segment: target.number, offset: self.zeroed, size: end - self.zeroed };
        self.in_flight = Some(range);
        Some(range)
    }

    /// Bytes of zeros ahead of `offset`, the end of all data submitted to `segment`.
    pub(super) fn left(&self, segment: &SegmentHeader, offset: u64) -> u64 {
        if self.segment == segment.number {
            self.zeroed.saturating_sub(self.begun.max(offset))
        } else if self.segment == segment.number + 1 {
            self.zeroed - self.begun + segment.size.saturating_sub(self.begun_before.max(offset))
        } else {
            0
        }
    }

    /// The range that a ticket stands for.
    pub(super) fn find(&self, ticket: u64) -> Option<RunwayRange> {
        self.in_flight.filter(|range| range.ticket == ticket)
    }

    /// The write in flight is durable.
    pub(super) fn completed(&mut self) {
        if let Some(range) = self.in_flight.take()
            && range.segment == self.segment
        {
            self.zeroed = self.zeroed.max(range.offset + range.size);
        }
    }
}

impl Log {
    /// Bytes of written zeros ahead of all submitted data; those before a gap that a flood left do not count.
    pub fn runway_left(&self) -> u64 {
        let Some(segment) = self.segment.as_ref() else { return 0 };
        let offset = if matches!(self.stage, Stage::Between(_)) { segment.size } else { self.offset };
        self.runway.left(segment, offset)
    }
}
