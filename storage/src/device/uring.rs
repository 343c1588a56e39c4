//! The io_uring device: writes overlap with each other and with the engine's own work, one thread submits and reaps.
//!
//! A data write is one submission, an O_DIRECT write with RWF_DSYNC: durable when its completion says so. A write with a
//! linked fdatasync says the same in two submissions; measured against it, neither is faster beyond the noise of a virtual
//! disk, so the simpler one stays: one completion, one result, and no link that a short write would break.
//!
//! The ring is of a single issuer whose completions are run when it enters the kernel, so nothing interrupts a
//! verification. There is one place to sleep, the ring's wait; the waker's eventfd is polled through the ring while it
//! sleeps. The ring's wake is remembered until a wait has returned for it, whoever took it off the ring.
//!
//! A short write is gone on with from its last whole page; one that was interrupted, or for which the kernel had no
//! memory, is submitted again a few times: the same bytes to the same place, which count for nothing before their
//! completion. Every other error is final and comes with the completion; a failed sync is never tried again. Buffers are
//! owned here until their completion was taken off the ring: the kernel never reads memory that is anybody else's.
//!
//! Not used: SQPOLL (a core for itself), registered buffers (a block's pages are pinned in microseconds, and the
//! memory that may be locked is small on many machines), registered files (a lookup of tens of nanoseconds, against a
//! table to keep in step with the segments).

mod error;
#[cfg(test)]
mod tests;

pub use error::UringError;

use super::{Completion, Device, Waker, Write, WriteKind};
use crate::disk::{Disk, DiskError, FileDisk, Operation};
use annals_core::limits::PAGE_SIZE;
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, opcode, squeue};
use rustix::io::{Errno, ReadWriteFlags};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

/// Submissions that fit the ring: two data writes, one of runway, the poll, and room.
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
}

/// Writes through io_uring.
pub struct UringDevice {
    ring: IoUring,
    disk: Arc<FileDisk>,
    waker: Waker,
    /// The ring belongs to the thread that uses it first.
    enabled: bool,
    /// Whether the waker is being polled.
    polled: bool,
    /// Whether the waker was called since a wait last returned.
    woken: bool,
    /// By the number that the submission carries.
    flights: Vec<Option<Flight>>,
    done: Vec<Completion>,
}

impl std::fmt::Debug for UringDevice {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { flights, done, .. } = self;
        formatter.debug_struct("UringDevice").field("flights", flights).field("done", done).finish_non_exhaustive()
    }
}

/// What makes a write durable when it completes; zeros ahead of the data need not be.
const fn flags(kind: WriteKind) -> i32 {
    match kind {
        WriteKind::Data => ReadWriteFlags::DSYNC.bits().cast_signed(),
        WriteKind::Runway => 0,
    }
}

fn device_error(error: &io::Error) -> DiskError {
    DiskError::from_io(error, Operation::Write, 0, 0)
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
pub fn operations() -> Result<[UringOperation; 2], UringError> {
    let ring = IoUring::new(2).map_err(|error| UringError::refused(&error))?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|error| UringError::refused(&error))?;
    if !ring.params().is_feature_ext_arg() {
        return Err(UringError::NoTimedWait);
    }
    let operation = |name, code| UringOperation { name, is_supported: probe.is_supported(code) };
    Ok([operation("IORING_OP_WRITE", opcode::Write::CODE), operation("IORING_OP_POLL_ADD", opcode::PollAdd::CODE)])
}

/// How a ring is set up. Later ones cost more interruptions and are as right.
#[derive(Clone, Copy, Debug)]
enum Setup {
    /// Completions are run when the single issuer asks for them; Linux 6.1.
    Deferred,
    /// Completions are run at the next entry to the kernel; Linux 5.19.
    Cooperative,
    /// Completions interrupt.
    Plain,
}

impl Setup {
    /// By falling preference.
    const ALL: [Self; 3] = [Self::Deferred, Self::Cooperative, Self::Plain];

    fn build(self) -> io::Result<IoUring> {
        let mut builder = IoUring::builder();
        match self {
            // Disabled until it is used: the device may be made by another thread than the one that issues.
            Self::Deferred => {
                builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_r_disabled()
            }
            Self::Cooperative => builder.setup_coop_taskrun().setup_taskrun_flag(),
            Self::Plain => &mut builder,
        };
        builder.build(ENTRY_COUNT)
    }
}

impl UringDevice {
    /// A device on a directory of segments.
    ///
    /// The thread that uses it first is its only user from then on, and the one to drop it: dropped elsewhere it can't
    /// wait for what is in flight, and leaks those buffers.
    ///
    /// # Errors
    ///
    /// [`UringError`] if the system has no io_uring, allows none, or lacks an operation; then the pwrite device serves.
    pub fn new(disk: Arc<FileDisk>) -> Result<Self, UringError> {
        if let Some(missing) = operations()?.into_iter().find(|operation| !operation.is_supported) {
            return Err(UringError::MissingOperation { name: missing.name });
        }
        let [best, others @ ..] = Setup::ALL;
        let first = Self::with_setup(Arc::clone(&disk), best);
        others.into_iter().fold(first, |made, setup| made.or_else(|_| Self::with_setup(Arc::clone(&disk), setup)))
    }

    fn with_setup(disk: Arc<FileDisk>, setup: Setup) -> Result<Self, UringError> {
        let make = || Ok((setup.build()?, Waker::new()?));
        let (ring, waker) = make().map_err(|error: io::Error| UringError::refused(&error))?;
        Ok(Self {
            ring,
            disk,
            waker,
            enabled: !matches!(setup, Setup::Deferred),
            polled: false,
            woken: false,
            flights: Vec::new(),
            done: Vec::new(),
        })
    }

    /// Makes this thread the ring's issuer.
    fn enable(&mut self) -> Result<(), DiskError> {
        if !self.enabled {
            self.ring.submitter().register_enable_rings().map_err(|error| device_error(&error))?;
            self.enabled = true;
        }
        Ok(())
    }

    fn push(&mut self, entry: &squeue::Entry) -> Result<(), DiskError> {
        // SAFETY: what the entry points to stays valid until its completion: the buffer and the file of a write are in
        // `flights` until then, and `drop` waits for them; the poll points to nothing but the waker's descriptor, which
        // this device holds.
        let pushed = unsafe { self.ring.submission().push(entry) };
        pushed.map_err(|_| device_error(&io::Error::other("the submission queue is full")))
    }

    /// Submits, or submits again, the write of this number. On failure the kernel has not seen it.
    fn start(&mut self, number: usize) -> Result<(), DiskError> {
        let Some(Some(Flight { write, file, done, .. })) = self.flights.get(number) else { return Ok(()) };
        let offset = write.offset + *done as u64;
        let rest = write.buffer.get(*done..).unwrap_or_default();
        // A buffer beyond the kernel's limit is written short, and gone on with.
        let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let entry = opcode::Write::new(Fd(file.as_raw_fd()), rest.as_ptr(), length)
            .offset(offset)
            .rw_flags(flags(write.kind))
            .build()
            .user_data(number as u64);
        self.push(&entry)
    }

    /// Enters the kernel: submits what is queued, and waits for a completion if `want` is 1.
    ///
    /// What it could not take yet stays queued for the next time; nobody loses it, and nobody spins here for it.
    fn enter(&mut self, want: usize, timeout: Option<Duration>) -> Result<(), DiskError> {
        let submitter = self.ring.submitter();
        let entered = match timeout {
            Some(timeout) => {
                let timespec = Timespec::from(timeout.min(SLEEP_MAX));
                submitter.submit_with_args(want, &SubmitArgs::new().timespec(&timespec))
            }
            None => submitter.submit_and_wait(want),
        };
        let Err(error) = entered else { return Ok(()) };
        match Errno::from_io_error(&error) {
            // The time is over; a signal; no memory for more, or no room for completions before some are taken.
            Some(Errno::TIME | Errno::INTR | Errno::AGAIN | Errno::BUSY) => Ok(()),
            _ => Err(device_error(&error)),
        }
    }

    /// Takes completions off the ring, and submits again what has to be gone on with.
    fn collect(&mut self) -> Result<(), DiskError> {
        let mut again = false;
        while let Some(completion) = self.next_completion() {
            let (user_data, result) = completion;
            if user_data == WAKER {
                self.polled = false;
                self.woken = true;
                self.waker.forget();
                continue;
            }
            let number = usize::try_from(user_data).unwrap_or(usize::MAX);
            if !self.is_finished(number, result) {
                again = true;
                if let Err(error) = self.start(number) {
                    self.finish(number, Err(error));
                }
            }
        }
        if again { self.enter(0, None) } else { Ok(()) }
    }

    fn next_completion(&mut self) -> Option<(u64, i32)> {
        self.ring.completion().next().map(|entry| (entry.user_data(), entry.result()))
    }

    /// Takes in a write's result; false if it has to be gone on with.
    fn is_finished(&mut self, number: usize, result: i32) -> bool {
        let Some(Some(flight)) = self.flights.get_mut(number) else { return true };
        let (segment, at) = (flight.write.segment, flight.write.offset + flight.done as u64);
        let failed = |error: &io::Error| Err(DiskError::from_io(error, Operation::Write, segment, at));
        let result = match usize::try_from(result) {
            Ok(written) if flight.done + written == flight.write.buffer.len() => Ok(()),
            Ok(written) if written < PAGE_SIZE => failed(&io::Error::other("less than a page could be written")),
            Ok(written) => {
                flight.done += written / PAGE_SIZE * PAGE_SIZE;
                flight.retry_count = 0;
                return false;
            }
            Err(_) => {
                let error = io::Error::from_raw_os_error(result.saturating_neg());
                let may_retry = matches!(Errno::from_io_error(&error), Some(Errno::INTR | Errno::AGAIN));
                if may_retry && flight.retry_count < RETRY_COUNT_MAX {
                    flight.retry_count += 1;
                    return false;
                }
                failed(&error)
            }
        };
        self.finish(number, result);
        true
    }

    /// The kernel is done with this write.
    fn finish(&mut self, number: usize, result: Result<(), DiskError>) {
        if let Some(Flight { write, .. }) = self.flights.get_mut(number).and_then(Option::take) {
            self.done.push(Completion { ticket: write.ticket, kind: write.kind, buffer: write.buffer, result });
        }
    }

    /// A free number for a write; it is not given again until the write is finished.
    fn add(&mut self, flight: Flight) -> usize {
        let free = self.flights.iter_mut().enumerate().find(|(_, place)| place.is_none());
        if let Some((number, place)) = free {
            *place = Some(flight);
            return number;
        }
        self.flights.push(Some(flight));
        self.flights.len() - 1
    }

    fn kernel_has(&self) -> usize {
        self.flights.iter().flatten().count()
    }
}

impl Device for UringDevice {
    fn name(&self) -> &'static str {
        "io_uring"
    }

    fn submit(&mut self, write: Write) -> Result<(), DiskError> {
        self.enable()?;
        let file = match self.disk.check_place(write.segment, write.offset, write.buffer.len()) {
            Ok(file) => file,
            Err(error) => {
                let Write { ticket, kind, buffer, .. } = write;
                self.done.push(Completion { ticket, kind, buffer, result: Err(error) });
                return Ok(());
            }
        };
        let number = self.add(Flight { write, file, done: 0, retry_count: 0 });
        if let Err(error) = self.start(number) {
            // Not in the kernel, so that nobody may wait for it.
            self.flights.get_mut(number).and_then(Option::take);
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
        if 0 < self.kernel_has() {
            // Deferred completions are run here.
            self.enter(0, None)?;
            self.collect()?;
        }
        into.append(&mut self.done);
        Ok(())
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), DiskError> {
        self.enable()?;
        self.collect()?;
        if self.done.is_empty() && !self.woken {
            if !self.polled {
                let events = u32::from(rustix::event::PollFlags::IN.bits());
                let entry = opcode::PollAdd::new(Fd(self.waker.0.as_raw_fd()), events).build().user_data(WAKER);
                self.push(&entry)?;
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
        self.kernel_has() + self.done.len()
    }
}

impl Drop for UringDevice {
    fn drop(&mut self) {
        while 0 < self.kernel_has() {
            if self.enter(1, None).and_then(|()| self.collect()).is_err() {
                // The kernel may still write from these buffers: better lost than given to somebody else.
                std::mem::forget(std::mem::take(&mut self.flights));
            }
        }
    }
}
