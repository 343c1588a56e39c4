//! The io_uring device: writes overlap with each other and with the engine's own work, one thread submits and reaps.
//!
//! A data write is one submission, an O_DIRECT write with RWF_DSYNC: durable when its completion says so, one device
//! round trip, no flush of anybody else's data. The ring is of a single issuer whose completions are run when it enters
//! the kernel, so nothing interrupts a verification. There is one place to sleep, the ring's wait; the waker's eventfd is
//! polled through the ring while it sleeps.
//!
//! A short write is gone on with from its last whole page; an interrupted one is submitted again, since nothing of it
//! counts before its completion. Every other error is final and comes with the completion. Buffers are owned here until their
//! completion was reaped: the kernel never writes to memory that is anybody else's.
//!
//! Not used: SQPOLL (a core for itself), registered buffers (a block's pages are pinned in microseconds, and the
//! memory that may be locked is small on many machines).

use super::{Completion, Device, Waker, Write, WriteKind};
use crate::disk::{Disk, DiskError, FileDisk, Operation};
use annals_core::limits::PAGE_SIZE;
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, cqueue, opcode, squeue};
use rustix::io::{Errno, ReadWriteFlags};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

/// Submissions that fit the ring: two data writes, one of runway, the poll, and room.
const ENTRY_COUNT: u32 = 16;
/// The completion of the poll on the waker.
const WAKER: u64 = u64::MAX;

/// A write in the kernel's hands.
#[derive(Debug)]
struct Flight {
    write: Write,
    file: Arc<File>,
    /// Bytes that are written already: whole pages.
    done: usize,
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

fn device_error(error: &io::Error) -> DiskError {
    DiskError::from_io(error, Operation::Write, 0, 0)
}

/// The operations that the device uses, if the kernel has them all.
///
/// # Errors
///
/// Why there is no io_uring, or which operation it lacks.
pub fn probe() -> io::Result<&'static str> {
    let ring = IoUring::new(2)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    if !ring.params().is_feature_ext_arg() {
        return Err(io::Error::other("this kernel's io_uring has no wait with a time limit"));
    }
    if probe.is_supported(opcode::Write::CODE) && probe.is_supported(opcode::PollAdd::CODE) {
        Ok("write with RWF_DSYNC, poll, wait with a time limit")
    } else {
        Err(io::Error::other("this kernel's io_uring lacks write or poll"))
    }
}

impl UringDevice {
    /// A device on a directory of segments.
    ///
    /// # Errors
    ///
    /// The system's error if it has no io_uring, or allows none; then the pwrite device serves.
    pub fn new(disk: Arc<FileDisk>) -> io::Result<Self> {
        probe()?;
        // Single issuer and deferred completions came with Linux 6.1; without them the plain ring is as right.
        let single = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_r_disabled()
            .build(ENTRY_COUNT);
        let (ring, enabled) = match single {
            Ok(ring) => (ring, false),
            Err(_) => (IoUring::new(ENTRY_COUNT)?, true),
        };
        let waker = Waker::new()?;
        Ok(Self { ring, disk, waker, enabled, polled: false, flights: Vec::new(), done: Vec::new() })
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

    /// Submits, or submits again, the write of this number.
    fn start(&mut self, number: usize) -> Result<(), DiskError> {
        let Some(Some(Flight { write, file, done })) = self.flights.get_mut(number) else { return Ok(()) };
        let offset = write.offset + *done as u64;
        let rest = write.buffer.get_mut(*done..).unwrap_or_default();
        let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let flags = match write.kind {
            WriteKind::Data => ReadWriteFlags::DSYNC,
            WriteKind::Runway => ReadWriteFlags::empty(),
        };
        let entry = opcode::Write::new(Fd(file.as_raw_fd()), rest.as_ptr(), length)
            .offset(offset)
            .rw_flags(i32::try_from(flags.bits()).unwrap_or(0))
            .build()
            .user_data(number as u64);
        self.push(&entry)?;
        self.enter(0, None)
    }

    /// Enters the kernel: submits what is queued, and waits for a completion if `want` is 1.
    fn enter(&mut self, want: usize, timeout: Option<Duration>) -> Result<(), DiskError> {
        loop {
            let submitter = self.ring.submitter();
            let entered = match timeout {
                Some(timeout) => {
                    let timespec = Timespec::from(timeout);
                    submitter.submit_with_args(want, &SubmitArgs::new().timespec(&timespec))
                }
                None => submitter.submit_and_wait(want),
            };
            match entered {
                Ok(_) => return Ok(()),
                Err(error) => match Errno::from_io_error(&error) {
                    // The time is over; or the wait was interrupted, which may end it early.
                    Some(Errno::TIME) => return Ok(()),
                    Some(Errno::INTR) if 0 < want => return Ok(()),
                    Some(Errno::INTR | Errno::AGAIN | Errno::BUSY) => {}
                    _ => return Err(device_error(&error)),
                },
            }
        }
    }

    /// Takes completions off the ring.
    fn collect(&mut self) -> Result<(), DiskError> {
        let completions: Vec<cqueue::Entry> = self.ring.completion().collect();
        for completion in completions {
            if completion.user_data() == WAKER {
                self.polled = false;
                self.waker.forget();
                continue;
            }
            let number = usize::try_from(completion.user_data()).unwrap_or(usize::MAX);
            if self.is_finished(number, completion.result()) {
                continue;
            }
            self.start(number)?;
        }
        Ok(())
    }

    /// Takes in a write's result; false if it has to be gone on with.
    fn is_finished(&mut self, number: usize, result: i32) -> bool {
        let Some(place) = self.flights.get_mut(number) else { return true };
        let Some(flight) = place.as_mut() else { return true };
        let (segment, at) = (flight.write.segment, flight.write.offset + flight.done as u64);
        let failed = |error: &io::Error| Err(DiskError::from_io(error, Operation::Write, segment, at));
        let result = match usize::try_from(result) {
            Ok(0) => failed(&io::Error::other("nothing could be written")),
            Ok(written) if flight.done + written < flight.write.buffer.len() => {
                let whole = written / PAGE_SIZE * PAGE_SIZE;
                if whole == 0 {
                    failed(&io::Error::other("less than a page could be written"))
                } else {
                    flight.done += whole;
                    return false;
                }
            }
            Ok(_) => Ok(()),
            Err(_) => {
                let error = io::Error::from_raw_os_error(-result);
                if matches!(Errno::from_io_error(&error), Some(Errno::INTR | Errno::AGAIN)) {
                    return false;
                }
                failed(&error)
            }
        };
        if let Some(Flight { write, .. }) = place.take() {
            self.done.push(Completion { ticket: write.ticket, kind: write.kind, buffer: write.buffer, result });
        }
        true
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
        let flight = Some(Flight { write, file, done: 0 });
        let number = match self.flights.iter().position(Option::is_none) {
            Some(number) => number,
            None => {
                self.flights.push(None);
                self.flights.len() - 1
            }
        };
        if let Some(place) = self.flights.get_mut(number) {
            *place = flight;
        }
        self.start(number)
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
        if !self.done.is_empty() {
            return Ok(());
        }
        if !self.polled {
            let events = u32::from(rustix::event::PollFlags::IN.bits());
            let entry = opcode::PollAdd::new(Fd(self.waker.0.as_raw_fd()), events).build().user_data(WAKER);
            self.push(&entry)?;
            self.polled = true;
        }
        self.enter(1, timeout)?;
        self.collect()
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
