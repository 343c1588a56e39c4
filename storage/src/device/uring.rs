//! The io_uring device: writes overlap with each other and with the engine's own work, one thread submits and reaps.
//!
//! A data write is two linked submissions, an O_DIRECT write and an fdatasync, with one completion: that of the sync, or
//! that of the write if it failed, which cancels the sync. Where cores are idle this is as fast as one write with
//! RWF_DSYNC. Where verification keeps them busy it is many times faster (256 KiB on two busy cores, Linux 6.18: mean
//! 0.1 against 0.7 to 3.9 ms): the kernel finishes a write with RWF_DSYNC in a worker bound to the core that took the interrupt,
//! which waits there for a tick; a linked sync goes to whichever core is free. A kernel that can't leave out the write's
//! own completion (before Linux 5.17) is given RWF_DSYNC.
//!
//! Completions interrupt. DEFER_TASKRUN would spare that, but goes on with a link only when the engine enters the
//! kernel, two turns late; asleep there is no difference. So neither it nor SINGLE_ISSUER is asked for, and a device
//! belongs to whichever thread has it.
//!
//! There is one place to sleep, the ring's wait; the waker's eventfd is polled through the ring while it sleeps. A wake
//! is remembered until a wait has returned for it, whoever took it off the ring.
//!
//! A short write is gone on with from its last whole page; a write that was interrupted, or for which the kernel had no
//! memory, is submitted again a few times: the same bytes to the same place, which count for nothing before their
//! completion. Every other error is final and comes with the completion; a failed sync is never tried again. A queue that
//! the kernel took only a part of is the end of the device, since a link may be cut in two and its sync run ahead of its
//! write. Buffers are owned here until their completion was taken off the ring: the kernel never reads memory that is
//! anybody else's.
//!
//! Not used: SQPOLL (a core for itself), registered buffers (a block's pages are pinned in microseconds, and the
//! memory that may be locked is small on many machines), registered files (a lookup of tens of nanoseconds, against a
//! table to keep in step with the segments).

mod error;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod ways;

pub use error::UringError;

use super::{Completion, Device, Waker, Write, WriteKind};
use crate::disk::{Disk, DiskError, FileDisk, Operation};
use annals_core::limits::PAGE_SIZE;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, FsyncFlags, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, opcode};
use rustix::io::{Errno, ReadWriteFlags};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

/// Submissions that fit the ring: two data writes with their syncs, one of runway, the poll, and room.
const ENTRY_COUNT: u32 = 16;
/// What the completion of the poll on the waker carries.
const WAKER: u64 = u64::MAX;
/// How often one write is submitted again before its error is final.
const RETRY_COUNT_MAX: u32 = 16;
/// Longest sleep; a wait may return early, and the kernel's seconds are signed.
const SLEEP_MAX: Duration = Duration::from_secs(86_400);

/// A write in the kernel's hands.
#[derive(Debug)]
struct Flight {
    write: Write,
    file: Arc<File>,
    /// Bytes that are written already: whole pages.
    done: usize,
    /// How often it was submitted again without having got on.
    retry_count: u32,
    /// The submission it waits for; those before it are void.
    number: u64,
}

/// Which submission of a write a completion is of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    /// The write itself.
    Write,
    /// The sync linked to it.
    Sync,
}

/// What a completion says of a write.
#[derive(Debug)]
enum Outcome {
    /// Nothing yet.
    Pending,
    /// It has to be submitted again, whole or the rest of it.
    Again,
    /// It is done.
    Done(Result<(), DiskError>),
}

/// How a data write becomes durable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Durability {
    /// By a linked fdatasync; the write's own completion is left out, Linux 5.17.
    Linked,
    /// By RWF_DSYNC on the write.
    Flagged,
}

/// Writes through io_uring.
pub struct UringDevice {
    ring: IoUring,
    disk: Arc<FileDisk>,
    waker: Waker,
    durability: Durability,
    /// Whether the waker is being polled.
    polled: bool,
    /// Whether the waker was called since a wait last returned.
    woken: bool,
    flights: Vec<Flight>,
    /// Of the next submission.
    number: u64,
    done: Vec<Completion>,
}

impl std::fmt::Debug for UringDevice {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { flights, done, .. } = self;
        formatter.debug_struct("UringDevice").field("flights", flights).field("done", done).finish_non_exhaustive()
    }
}

fn device_error(error: &io::Error) -> DiskError {
    DiskError::from_io(error, Operation::Write, 0, 0)
}

/// What the completion of a submission carries.
const fn user_data(number: u64, part: Part) -> u64 {
    number << 1 | matches!(part, Part::Sync) as u64
}

/// Which submission carries this.
const fn submission(user_data: u64) -> (u64, Part) {
    (user_data >> 1, if user_data & 1 == 0 { Part::Write } else { Part::Sync })
}

/// One operation of io_uring that the device uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UringOperation {
    /// Its name in the kernel's manual, as `IORING_OP_WRITE`.
    pub name: &'static str,
    /// Whether the running kernel has it.
    pub is_supported: bool,
}

/// The operations that the device uses, and whether the running kernel has each.
///
/// # Errors
///
/// [`UringError`] if there is no io_uring at all, or one too old for the device whatever operations it has.
pub fn operations() -> Result<[UringOperation; 3], UringError> {
    let ring = IoUring::new(2).map_err(|error| UringError::refused(&error))?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|error| UringError::refused(&error))?;
    if !ring.params().is_feature_ext_arg() {
        return Err(UringError::NoTimedWait);
    }
    let used = [
        ("IORING_OP_WRITE", opcode::Write::CODE),
        ("IORING_OP_FSYNC", opcode::Fsync::CODE),
        ("IORING_OP_POLL_ADD", opcode::PollAdd::CODE),
    ];
    Ok(used.map(|(name, code)| UringOperation { name, is_supported: probe.is_supported(code) }))
}

impl UringDevice {
    /// A device on a directory of segments.
    ///
    /// It may move between threads, but a thread that ends takes its writes in flight with it: the kernel cancels them.
    ///
    /// # Errors
    ///
    /// [`UringError`] if the system has no io_uring, allows none, or lacks an operation; then the pwrite device serves.
    pub fn new(disk: Arc<FileDisk>) -> Result<Self, UringError> {
        if let Some(missing) = operations()?.into_iter().find(|operation| !operation.is_supported) {
            return Err(UringError::MissingOperation { name: missing.name });
        }
        let make = || Ok((IoUring::new(ENTRY_COUNT)?, Waker::new()?));
        let (ring, waker) = make().map_err(|error: io::Error| UringError::refused(&error))?;
        let can_link = ring.params().is_feature_skip_cqe_on_success();
        let durability = if can_link { Durability::Linked } else { Durability::Flagged };
        let (flights, done) = (Vec::new(), Vec::new());
        Ok(Self { ring, disk, waker, durability, polled: false, woken: false, flights, number: 0, done })
    }

    /// Queues these submissions, all of them or none.
    fn push(&mut self, entries: &[Entry]) -> Result<(), DiskError> {
        // SAFETY: what the entries point to stays valid until their completion: the buffer and the file of a write are in
        // `flights` until then, and `drop` waits for them or leaks them; the poll points to nothing but the waker's
        // descriptor, which this device holds.
        let pushed = unsafe { self.ring.submission().push_multiple(entries) };
        pushed.map_err(|_| device_error(&io::Error::other("the submission queue is full")))
    }

    /// Queues what is left of the write at this place. On failure the kernel will not see it.
    fn start(&mut self, place: usize) -> Result<(), DiskError> {
        let Some(Flight { write, file, done, number, .. }) = self.flights.get_mut(place) else { return Ok(()) };
        // A new number each time, so that nothing that is left of a broken link is taken for this submission.
        *number = self.number;
        self.number += 1;
        let (write_data, sync_data) = (user_data(*number, Part::Write), user_data(*number, Part::Sync));
        let fd = Fd(file.as_raw_fd());
        let rest = write.buffer.get(*done..).unwrap_or_default();
        // A buffer beyond the kernel's limit is written short, and gone on with.
        let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let entry = opcode::Write::new(fd, rest.as_ptr(), length).offset(write.offset + *done as u64);
        match (write.kind, self.durability) {
            (WriteKind::Runway, _) => self.push(&[entry.build().user_data(write_data)]),
            (WriteKind::Data, Durability::Flagged) => {
                let entry = entry.rw_flags(ReadWriteFlags::DSYNC.bits().cast_signed());
                self.push(&[entry.build().user_data(write_data)])
            }
            (WriteKind::Data, Durability::Linked) => {
                let entry = entry.build().flags(Flags::IO_LINK | Flags::SKIP_SUCCESS).user_data(write_data);
                let sync = opcode::Fsync::new(fd).flags(FsyncFlags::DATASYNC).build().user_data(sync_data);
                self.push(&[entry, sync])
            }
        }
    }

    /// Enters the kernel: submits what is queued, and waits for a completion if `want` is 1.
    ///
    /// If the kernel could take nothing, all stays queued for the next time; nobody spins here for it.
    fn enter(&mut self, want: usize, timeout: Option<Duration>) -> Result<(), DiskError> {
        let queued = self.ring.submission().len();
        let submitter = self.ring.submitter();
        let entered = match timeout {
            Some(timeout) => {
                let timespec = Timespec::from(timeout.min(SLEEP_MAX));
                submitter.submit_with_args(want, &SubmitArgs::new().timespec(&timespec))
            }
            None => submitter.submit_and_wait(want),
        };
        let error = match entered {
            Ok(taken) if taken < queued => io::Error::other("the kernel took only a part of what was queued"),
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        match Errno::from_io_error(&error) {
            // The time is over; a signal; no memory for more, or no room for completions before some are taken.
            Some(Errno::TIME | Errno::INTR | Errno::AGAIN | Errno::BUSY) => Ok(()),
            _ => Err(device_error(&error)),
        }
    }

    /// Takes completions off the ring, and submits again what has to be gone on with.
    fn collect(&mut self) -> Result<(), DiskError> {
        let mut again = false;
        while let Some((carried, result)) = self.next_completion() {
            if carried == WAKER {
                self.polled = false;
                self.woken = true;
                self.waker.forget();
                continue;
            }
            let (number, part) = submission(carried);
            // What nobody waits for is left of a link that broke: its write has had its completion.
            let Some(place) = self.flights.iter().position(|flight| flight.number == number) else { continue };
            match self.outcome(place, part, result) {
                Outcome::Pending => {}
                Outcome::Done(result) => self.finish(place, result),
                Outcome::Again => match self.start(place) {
                    Ok(()) => again = true,
                    Err(error) => self.finish(place, Err(error)),
                },
            }
        }
        if again { self.enter(0, None) } else { Ok(()) }
    }

    fn next_completion(&mut self) -> Option<(u64, i32)> {
        self.ring.completion().next().map(|entry| (entry.user_data(), entry.result()))
    }

    /// What this result says of the write at this place.
    fn outcome(&mut self, place: usize, part: Part, result: i32) -> Outcome {
        let is_linked = self.durability == Durability::Linked;
        let Some(flight) = self.flights.get_mut(place) else { return Outcome::Pending };
        let is_synced_apart = is_linked && flight.write.kind == WriteKind::Data;
        let (segment, at) = (flight.write.segment, flight.write.offset + flight.done as u64);
        let failed = |error: &io::Error| Outcome::Done(Err(DiskError::from_io(error, Operation::Write, segment, at)));
        let left = flight.write.buffer.len() - flight.done;
        match (part, usize::try_from(result)) {
            (Part::Sync, Ok(_)) => Outcome::Done(Ok(())),
            // The kernel leaves this completion out, but only the sync's would mean durable.
            (Part::Write, Ok(written)) if written == left && is_synced_apart => Outcome::Pending,
            (Part::Write, Ok(written)) if written == left => Outcome::Done(Ok(())),
            (Part::Write, Ok(written)) if written < PAGE_SIZE => {
                failed(&io::Error::other("less than a page could be written"))
            }
            (Part::Write, Ok(written)) => {
                flight.done += written / PAGE_SIZE * PAGE_SIZE;
                flight.retry_count = 0;
                Outcome::Again
            }
            (part, Err(_)) => {
                let error = io::Error::from_raw_os_error(result.saturating_neg());
                let is_passing = matches!(Errno::from_io_error(&error), Some(Errno::INTR | Errno::AGAIN));
                if part == Part::Write && is_passing && flight.retry_count < RETRY_COUNT_MAX {
                    flight.retry_count += 1;
                    return Outcome::Again;
                }
                failed(&error)
            }
        }
    }

    /// The kernel is done with the write at this place.
    fn finish(&mut self, place: usize, result: Result<(), DiskError>) {
        if place < self.flights.len() {
            let Write { ticket, kind, buffer, .. } = self.flights.swap_remove(place).write;
            self.done.push(Completion { ticket, kind, buffer, result });
        }
    }
}

impl Device for UringDevice {
    fn name(&self) -> &'static str {
        "io_uring"
    }

    fn submit(&mut self, write: Write) -> Result<(), DiskError> {
        let file = match self.disk.check_place(write.segment, write.offset, write.buffer.len()) {
            Ok(file) => file,
            Err(error) => {
                let Write { ticket, kind, buffer, .. } = write;
                self.done.push(Completion { ticket, kind, buffer, result: Err(error) });
                return Ok(());
            }
        };
        let place = self.flights.len();
        self.flights.push(Flight { write, file, done: 0, retry_count: 0, number: 0 });
        if let Err(error) = self.start(place) {
            // Not in the kernel, so that nobody may wait for it.
            self.flights.pop();
            return Err(error);
        }
        self.enter(0, None)
    }

    fn write_now(&mut self, write: Write) -> Completion {
        let Write { ticket, segment, offset, buffer, kind } = write;
        let result = self.disk.write(segment, offset, &buffer);
        Completion { ticket, kind, buffer, result }
    }

    fn reap(&mut self, into: &mut Vec<Completion>) -> Result<(), DiskError> {
        let queue = self.ring.submission();
        let needs_kernel = !queue.is_empty() || queue.cq_overflow();
        drop(queue);
        if needs_kernel {
            self.enter(0, None)?;
        }
        self.collect()?;
        into.append(&mut self.done);
        Ok(())
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), DiskError> {
        self.collect()?;
        if self.done.is_empty() && !self.woken {
            if !self.polled {
                let events = u32::from(rustix::event::PollFlags::IN.bits());
                let entry = opcode::PollAdd::new(Fd(self.waker.0.as_raw_fd()), events).build().user_data(WAKER);
                self.push(&[entry])?;
                self.polled = true;
            }
            self.enter(1, timeout)?;
            self.collect()?;
        }
        self.woken = false;
        Ok(())
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn in_flight(&self) -> usize {
        self.flights.len() + self.done.len()
    }
}

impl Drop for UringDevice {
    fn drop(&mut self) {
        while !self.flights.is_empty() {
            if self.enter(1, None).and_then(|()| self.collect()).is_err() {
                // The kernel may still read these buffers: better lost than given to somebody else.
                std::mem::forget(std::mem::take(&mut self.flights));
            }
        }
    }
}
