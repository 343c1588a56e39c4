//! A simulated disk: what real disks, and the systems around them, do to writes, reads and names, by dice.
//!
//! Every page has two contents: the one that reads show, and the one that a power cut leaves. A write in flight has
//! neither until it lands. So the disk can do what disks do:
//!
//! - a power cut takes each write that was not synced, page by page: lost, landed, or torn between any two sectors, in any
//!   order, the later one without the earlier one;
//! - a killed process leaves its writes in flight landed or not, shown by reads but still for a power cut to take;
//! - a name is durable only once the directory is synced: a segment created just before the power cut may be gone;
//! - a write in flight may be made twice;
//! - any operation may be the last one before the power is cut, or fail with an error after which each sector
//!   written is the old one or the new one;
//! - on purpose, beyond what any crash does: bits rot, pages land elsewhere, reads fail, segments vanish.
//!
//! A sector of 512 bytes is written whole or not at all, and what was synced stays: these two no ledger can do without.
//! Everything follows from the seed. Clones share the disk: it outlives the process that a simulation kills.

use super::dice::Dice;
use super::{Disk, DiskError, Operation, SegmentFile, check_aligned};
use crate::buffer::PageBuffer;
use crate::device::{Completion, Device, Waker, Write, WriteKind};
use annals_core::limits::{PAGE_SIZE, SECTOR_SIZE};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

type Page = Arc<[u8; PAGE_SIZE]>;

/// What a crash does to writes that were not synced, and how a device behaves; odds in 1,024.
#[derive(Clone, Copy, Debug, Default)]
pub struct Habits {
    /// A page in flight or not synced is lost.
    pub lost: u32,
    /// A page that is not lost is torn between sectors.
    pub torn: u32,
    /// A torn page keeps its first sectors, rather than any of them.
    pub torn_in_order: u32,
    /// A write completes when it is looked for.
    pub completes: u32,
    /// A write that completes is made a second time before the next one.
    pub twice: u32,
}

/// An error that an operation meets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    /// The disk says no (EIO).
    Broken,
    /// There is no room, although it was reserved (ENOSPC).
    Full,
    /// The file ends early.
    Short,
}

/// When the next trouble comes, counted in operations that change the disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trouble {
    /// The power is cut, or the process killed, before the operation of this number is done.
    Crash(u64),
    /// The operation of this number fails.
    Failure(u64, Failure),
}

#[derive(Clone, Debug)]
struct Stored {
    size: u64,
    /// The name survives a power cut.
    is_named: bool,
    /// What a power cut leaves; pages not there are zero.
    durable: BTreeMap<u64, Page>,
    /// What reads show instead, where it was not synced.
    shown: BTreeMap<u64, Page>,
}

#[derive(Debug)]
struct State {
    segments: BTreeMap<u64, Stored>,
    in_flight: Vec<Write>,
    dice: Dice,
    habits: Habits,
    trouble: Option<Trouble>,
    /// Operations that changed the disk so far.
    operations: u64,
    is_down: bool,
    /// Bytes for segments.
    capacity: u64,
    /// Reads of this segment fail.
    unreadable: Option<u64>,
    bytes_read: u64,
}

/// A simulated disk. Clones share it.
#[derive(Clone, Debug)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

/// What operations say while the power is off.
const fn down(operation: Operation, segment: u64, offset: u64) -> DiskError {
    DiskError::Io { operation, segment, offset, kind: io::ErrorKind::ConnectionAborted, code: 0 }
}

impl Failure {
    const fn error(self, segment: u64, offset: u64, length: usize) -> DiskError {
        match self {
            Self::Broken => {
                let (operation, kind) = (Operation::Write, io::ErrorKind::Other);
                DiskError::Io { operation, segment, offset, kind, code: 5 }
            }
            Self::Full => DiskError::Full { segment },
            Self::Short => DiskError::Short { segment, end: offset + length as u64 },
        }
    }
}

impl Stored {
    fn page(&self, number: u64) -> Option<&Page> {
        self.shown.get(&number).or_else(|| self.durable.get(&number))
    }

    /// Makes pages durable, or shown only.
    fn put(&mut self, offset: u64, bytes: &[u8], is_durable: bool) {
        for (number, page) in (offset / PAGE_SIZE as u64..).zip(bytes.chunks_exact(PAGE_SIZE)) {
            let Ok(page) = <[u8; PAGE_SIZE]>::try_from(page) else { unreachable!("a chunk of one page") };
            if is_durable {
                self.shown.remove(&number);
                self.durable.insert(number, Arc::new(page));
            } else {
                self.shown.insert(number, Arc::new(page));
            }
        }
    }
}

/// What of `new` is on the disk over `old`.
fn tear(dice: &mut Dice, habits: Habits, old: Option<&Page>, new: &[u8]) -> Option<Page> {
    if dice.happens(habits.lost) {
        return old.cloned();
    }
    let mut page: [u8; PAGE_SIZE] = old.map_or([0; PAGE_SIZE], |page| **page);
    let is_torn = dice.happens(habits.torn);
    let kept_in_order = dice.happens(habits.torn_in_order).then(|| dice.below(9));
    for (sector, (to, from)) in (0..).zip(page.chunks_exact_mut(SECTOR_SIZE).zip(new.chunks_exact(SECTOR_SIZE))) {
        let kept = match kept_in_order {
            Some(count) => sector < count,
            None => dice.happens(512),
        };
        if !is_torn || kept {
            to.copy_from_slice(from);
        }
    }
    Some(Arc::new(page))
}

impl State {
    /// Counts an operation; says what becomes of it.
    fn meet(&mut self, operation: Operation, segment: u64, offset: u64) -> Result<Option<Failure>, DiskError> {
        if self.is_down {
            return Err(down(operation, segment, offset));
        }
        self.operations += 1;
        match self.trouble {
            Some(Trouble::Crash(at)) if at <= self.operations => {
                self.is_down = true;
                Err(down(operation, segment, offset))
            }
            Some(Trouble::Failure(at, failure)) if at <= self.operations => {
                self.trouble = None;
                Ok(Some(failure))
            }
            Some(_) | None => Ok(None),
        }
    }

    fn check(&self, segment: u64, offset: u64, length: usize) -> Result<(), DiskError> {
        check_aligned(segment, offset)?;
        let stored = self.segments.get(&segment).ok_or(DiskError::Missing { segment })?;
        let end = offset + length as u64;
        if stored.size < end { Err(DiskError::Short { segment, end }) } else { Ok(()) }
    }

    /// A write ends in the disk, durable or not.
    fn land(&mut self, write: &Write, is_durable: bool) {
        if let Some(stored) = self.segments.get_mut(&write.segment) {
            stored.put(write.offset, &write.buffer, is_durable);
        }
    }

    /// A write ends somehow: each page lost, landed or torn, and none of them durable.
    fn end_somehow(&mut self, write: &Write) {
        let Some(stored) = self.segments.get_mut(&write.segment) else { return };
        let first = write.offset / PAGE_SIZE as u64;
        for (number, bytes) in (first..).zip(write.buffer.chunks_exact(PAGE_SIZE)) {
            let old = stored.page(number).cloned();
            if let Some(page) = tear(&mut self.dice, self.habits, old.as_ref(), bytes) {
                stored.shown.insert(number, page);
            }
        }
    }

    fn end_in_flight(&mut self) {
        let mut left = std::mem::take(&mut self.in_flight);
        while !left.is_empty() {
            #[expect(clippy::cast_possible_truncation, reason = "below a length")]
            let next = self.dice.below(left.len() as u64) as usize;
            let write = left.swap_remove(next);
            self.end_somehow(&write);
        }
    }

    fn make(&mut self, write: &Write) -> Result<(), DiskError> {
        let (segment, offset, length) = (write.segment, write.offset, write.buffer.len());
        self.check(segment, offset, length)?;
        match self.meet(Operation::Write, segment, offset) {
            Ok(None) => {
                self.land(write, write.kind == WriteKind::Data);
                Ok(())
            }
            Ok(Some(failure)) => {
                self.end_somehow(write);
                Err(failure.error(segment, offset, length))
            }
            Err(error) => {
                self.end_somehow(write);
                Err(error)
            }
        }
    }
}

impl SimulatedDisk {
    /// An empty disk with room for so many bytes of segments.
    pub fn new(seed: u64, capacity: u64) -> Self {
        let state = State {
            segments: BTreeMap::new(),
            in_flight: Vec::new(),
            dice: Dice::new(seed),
            habits: Habits { completes: 1024, ..Habits::default() },
            trouble: None,
            operations: 0,
            is_down: false,
            capacity,
            unreadable: None,
            bytes_read: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Changes how it behaves.
    pub fn set_habits(&self, habits: Habits) {
        self.state.lock().habits = habits;
    }

    /// Changes how many bytes of segments it has room for.
    pub fn set_capacity(&self, capacity: u64) {
        self.state.lock().capacity = capacity;
    }

    /// Lets trouble come after so many more operations, counted from 1; none takes it back.
    pub fn set_trouble(&self, trouble: Option<Trouble>) {
        let mut state = self.state.lock();
        let done = state.operations;
        state.trouble = trouble.map(|trouble| match trouble {
            Trouble::Crash(after) => Trouble::Crash(done + after),
            Trouble::Failure(after, failure) => Trouble::Failure(done + after, failure),
        });
    }

    /// Lets all reads of a segment fail; none lets them succeed again.
    pub fn set_unreadable(&self, segment: Option<u64>) {
        self.state.lock().unreadable = segment;
    }

    /// Operations that changed the disk so far.
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// Whether the power is off: every operation fails until [`Self::kill`] or [`Self::cut_power`].
    pub fn is_down(&self) -> bool {
        self.state.lock().is_down
    }

    /// The process is gone: what it had in flight has landed or not, nothing of it synced.
    pub fn kill(&self) {
        let mut state = self.state.lock();
        state.end_in_flight();
        (state.is_down, state.trouble) = (false, None);
    }

    /// The power is cut: what was not synced is lost, landed or torn, page by page.
    pub fn cut_power(&self) {
        let mut state = self.state.lock();
        state.end_in_flight();
        let State { segments, dice, habits, .. } = &mut *state;
        segments.retain(|_, stored| stored.is_named || !dice.happens(512));
        for stored in segments.values_mut() {
            stored.is_named = true;
            for (number, new) in std::mem::take(&mut stored.shown) {
                if let Some(page) = tear(dice, *habits, stored.durable.get(&number), &new[..]) {
                    stored.durable.insert(number, page);
                }
            }
        }
        (state.is_down, state.trouble) = (false, None);
    }

    /// Flips one bit for good; past the segment's end nothing happens.
    pub fn flip_bit(&self, segment: u64, offset: u64, bit: u8) {
        self.change(segment, offset / PAGE_SIZE as u64, |page| {
            let at = usize::try_from(offset).unwrap_or(0) % PAGE_SIZE;
            if let Some(byte) = page.get_mut(at) {
                *byte ^= 1 << (bit % 8);
            }
        });
    }

    /// A page is there no more, and zeros instead.
    pub fn lose_page(&self, segment: u64, page: u64) {
        self.change(segment, page, |page| page.fill(0));
    }

    /// A page landed elsewhere: in place of another one, and not in its own.
    pub fn misdirect_page(&self, segment: u64, from: u64, to: u64) {
        let moved = self.state.lock().segments.get(&segment).and_then(|stored| stored.page(from).cloned());
        self.lose_page(segment, from);
        if let Some(moved) = moved {
            self.change(segment, to, |page| *page = *moved);
        }
    }

    /// A segment is gone.
    pub fn remove(&self, segment: u64) {
        self.state.lock().segments.remove(&segment);
    }

    /// A copy of the disk as reads show it, which nothing done to this one changes.
    pub fn copy(&self, seed: u64) -> Self {
        let state = self.state.lock();
        let copy = Self::new(seed, state.capacity);
        copy.state.lock().segments = state.segments.clone();
        copy
    }

    /// Numbers of the pages of a segment that hold anything but zeros, as reads show them.
    pub fn used_pages(&self, segment: u64) -> Vec<u64> {
        let state = self.state.lock();
        let Some(stored) = state.segments.get(&segment) else { return Vec::new() };
        let mut numbers: Vec<u64> = stored.durable.keys().chain(stored.shown.keys()).copied().collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|number| stored.page(*number).is_some_and(|page| page.iter().any(|byte| *byte != 0)));
        numbers
    }

    fn change(&self, segment: u64, number: u64, change: impl FnOnce(&mut [u8; PAGE_SIZE])) {
        let mut state = self.state.lock();
        let Some(stored) = state.segments.get_mut(&segment) else { return };
        if stored.size / PAGE_SIZE as u64 <= number {
            return;
        }
        let mut page = stored.page(number).map_or([0; PAGE_SIZE], |page| **page);
        change(&mut page);
        stored.put(number * PAGE_SIZE as u64, &page, true);
    }
}

impl Disk for SimulatedDisk {
    fn segments(&self) -> Result<Vec<SegmentFile>, DiskError> {
        let state = self.state.lock();
        if state.is_down {
            return Err(down(Operation::List, 0, 0));
        }
        Ok(state.segments.iter().map(|(number, stored)| SegmentFile { number: *number, size: stored.size }).collect())
    }

    fn create_segment(&self, number: u64, size: u64, first_page: &[u8]) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        if state.segments.contains_key(&number) {
            return Err(DiskError::Exists { segment: number });
        }
        let used: u64 = state.segments.values().map(|stored| stored.size).sum();
        if state.capacity < used + size {
            return Err(DiskError::Full { segment: number });
        }
        let met = state.meet(Operation::Create, number, 0);
        let mut stored = Stored { size, is_named: false, durable: BTreeMap::new(), shown: BTreeMap::new() };
        stored.put(0, first_page, true);
        match met {
            Ok(None) => {
                stored.is_named = true;
                state.segments.insert(number, stored);
                Ok(())
            }
            Ok(Some(failure)) => Err(failure.error(number, 0, 0)),
            Err(error) => {
                // Renamed, and the directory not synced; or not even that.
                if state.dice.happens(512) {
                    state.segments.insert(number, stored);
                }
                Err(error)
            }
        }
    }

    fn read(&self, number: u64, offset: u64, into: &mut PageBuffer) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        if state.is_down {
            return Err(down(Operation::Read, number, offset));
        }
        if state.unreadable == Some(number) {
            let (operation, kind) = (Operation::Read, io::ErrorKind::Other);
            return Err(DiskError::Io { operation, segment: number, offset, kind, code: 5 });
        }
        state.check(number, offset, into.len())?;
        state.bytes_read += into.len() as u64;
        let stored = state.segments.get(&number).ok_or(DiskError::Missing { segment: number })?;
        for (number, to) in (offset / PAGE_SIZE as u64..).zip(into.chunks_exact_mut(PAGE_SIZE)) {
            match stored.page(number) {
                Some(page) => to.copy_from_slice(&page[..]),
                None => to.fill(0),
            }
        }
        Ok(())
    }

    fn write(&self, number: u64, offset: u64, from: &PageBuffer) -> Result<(), DiskError> {
        let (ticket, buffer, kind) = (0, from.clone(), WriteKind::Data);
        self.state.lock().make(&Write { ticket, segment: number, offset, buffer, kind })
    }

    fn sync(&self, number: u64) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        if let Some(failure) = state.meet(Operation::Sync, number, 0)? {
            return Err(failure.error(number, 0, 0));
        }
        let stored = state.segments.get_mut(&number).ok_or(DiskError::Missing { segment: number })?;
        stored.durable.append(&mut stored.shown);
        Ok(())
    }

    fn sync_names(&self) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        match state.meet(Operation::Sync, 0, 0)? {
            Some(failure) => Err(failure.error(0, 0, 0)),
            None => {
                state.segments.values_mut().for_each(|stored| stored.is_named = true);
                Ok(())
            }
        }
    }

    fn available(&self) -> Result<u64, DiskError> {
        let state = self.state.lock();
        let used: u64 = state.segments.values().map(|stored| stored.size).sum();
        Ok(state.capacity.saturating_sub(used))
    }

    fn bytes_read(&self) -> u64 {
        self.state.lock().bytes_read
    }
}

/// A device that writes to a simulated disk: writes complete when the dice say so, in any order.
#[derive(Debug)]
pub struct SimulatedDevice {
    disk: SimulatedDisk,
    waker: Waker,
    in_flight: usize,
}

impl SimulatedDevice {
    /// A device on a disk.
    ///
    /// # Errors
    ///
    /// [`DiskError`] if the system has no file descriptor left for the waker.
    pub fn new(disk: &SimulatedDisk) -> Result<Self, DiskError> {
        let waker = Waker::new().map_err(|error| DiskError::from_io(&error, Operation::Open, 0, 0))?;
        Ok(Self { disk: disk.clone(), waker, in_flight: 0 })
    }
}

fn complete(write: Write, result: Result<(), DiskError>) -> Completion {
    Completion { ticket: write.ticket, kind: write.kind, buffer: write.buffer, result }
}

impl Device for SimulatedDevice {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn submit(&mut self, write: Write) -> Result<(), DiskError> {
        let mut state = self.disk.state.lock();
        if state.is_down {
            return Err(down(Operation::Write, write.segment, write.offset));
        }
        state.in_flight.push(write);
        self.in_flight += 1;
        Ok(())
    }

    fn write_now(&mut self, write: Write) -> Completion {
        let result = self.disk.state.lock().make(&write);
        complete(write, result)
    }

    fn reap(&mut self, into: &mut Vec<Completion>) -> Result<(), DiskError> {
        let mut state = self.disk.state.lock();
        let mut left = std::mem::take(&mut state.in_flight);
        while !left.is_empty() {
            #[expect(clippy::cast_possible_truncation, reason = "below a length")]
            let next = state.dice.below(left.len() as u64) as usize;
            let write = left.swap_remove(next);
            let odds = state.habits.completes;
            if state.is_down || !state.dice.happens(odds) {
                state.in_flight.push(write);
                continue;
            }
            let result = state.make(&write);
            let twice = state.habits.twice;
            if result.is_ok() && state.dice.happens(twice) {
                state.land(&write, write.kind == WriteKind::Data);
            }
            self.in_flight -= 1;
            into.push(complete(write, result));
        }
        // In the order of submission, as they would stand in a queue.
        state.in_flight.sort_by_key(|write| write.ticket);
        if state.is_down { Err(down(Operation::Write, 0, 0)) } else { Ok(()) }
    }

    fn wait(&mut self, _timeout: Option<Duration>) -> Result<(), DiskError> {
        // Nobody sleeps in a simulation: whoever drives the engine decides when time goes on.
        Ok(())
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }
}

#[cfg(test)]
#[path = "simulated/tests.rs"]
mod tests;
