//! Devices: the engine's durable writes, submitted and reaped by one thread.
//!
//! A write owns its buffer until it comes back in a [`Completion`]. `Ok` there means durable for data; a runway
//! write, which readies zeros ahead of the data, is written but not synced: speed depends on it, never
//! correctness. Sleeping happens in [`Device::wait`] alone, which a [`Waker`] ends from any thread.

mod pwrite;
#[expect(unsafe_code, reason = "the kernel reads buffers and descriptors that a submission names")]
mod uring;

pub use pwrite::PwriteDevice;
pub use uring::{UringDevice, UringError, UringOperation, operations as uring_operations};

use crate::buffer::PageBuffer;
use crate::disk::{Disk, DiskError, FileDisk};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::fmt::Debug;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// Which device to open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Preference {
    /// io_uring where the machine has it, pwrite elsewhere.
    Best,
    /// pwrite, whatever the machine has.
    Pwrite,
}

/// A device, and why it is not a better one.
#[derive(Debug)]
pub struct Opened {
    /// The device; [`Device::name`] says which.
    pub device: Box<dyn Device>,
    /// Why it is not io_uring although that was preferred; none if it is, or was not asked for.
    pub refusal: Option<UringError>,
}

/// Opens the preferred device on a directory of segments, or the one that works everywhere.
///
/// # Errors
///
/// [`DiskError`] if the system has no file descriptor left even for that one's waker.
pub fn open(disk: &Arc<FileDisk>, preference: Preference) -> Result<Opened, DiskError> {
    let refusal = match preference {
        Preference::Pwrite => None,
        Preference::Best => match UringDevice::new(Arc::clone(disk)) {
            Ok(device) => return Ok(Opened { device: Box::new(device), refusal: None }),
            Err(refusal) => Some(refusal),
        },
    };
    let device = PwriteDevice::new(Arc::clone(disk) as Arc<dyn Disk>)?;
    Ok(Opened { device: Box::new(device), refusal })
}

/// What a write is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WriteKind {
    /// A frame: durable when it completes.
    Data,
    /// Zeros ahead of the data: need not be durable.
    Runway,
}

/// A write for a device.
#[derive(Debug)]
pub struct Write {
    /// Comes back with the completion.
    pub ticket: u64,
    /// The segment.
    pub segment: u64,
    /// The byte to write at, a multiple of 4,096.
    pub offset: u64,
    /// What to write, whole.
    pub buffer: PageBuffer,
    /// What it is for.
    pub kind: WriteKind,
}

/// A write that is done, or failed.
#[derive(Debug)]
pub struct Completion {
    /// The write's ticket.
    pub ticket: u64,
    /// What it was for.
    pub kind: WriteKind,
    /// Its buffer.
    pub buffer: PageBuffer,
    /// How it went.
    pub result: Result<(), DiskError>,
}

/// Durable writes, submitted and reaped by one thread.
pub trait Device: Send + Debug {
    /// Its name, for people and for `annals info`.
    fn name(&self) -> &'static str;

    /// Takes a write. Failures of the write itself come with its completion.
    ///
    /// # Errors
    ///
    /// [`DiskError`] if the device itself failed: the write has no completion then, and may or may not be made.
    fn submit(&mut self, write: Write) -> Result<(), DiskError>;

    /// Writes in this thread, at once: for a lone small write, whose completion nobody would do anything before.
    ///
    /// What was submitted before goes on.
    fn write_now(&mut self, write: Write) -> Completion;

    /// Adds what has completed to `into`. Never blocks.
    ///
    /// # Errors
    ///
    /// [`DiskError`] if the device itself failed.
    fn reap(&mut self, into: &mut Vec<Completion>) -> Result<(), DiskError>;

    /// Sleeps until something completed, the waker was called, or the time is over. May return early.
    ///
    /// # Errors
    ///
    /// [`DiskError`] if the device itself failed.
    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), DiskError>;

    /// What ends [`Device::wait`] from another thread.
    fn waker(&self) -> Waker;

    /// Writes submitted and not yet reaped.
    fn in_flight(&self) -> usize;
}

/// Ends a device's wait from any thread; a call before the wait counts.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// A waker that nobody waits for yet.
    ///
    /// # Errors
    ///
    /// The system's error if it has no file descriptor left.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)))
    }

    /// Ends the wait, or the next one.
    pub fn wake(&self) {
        // Fails only when the counter is full, and then the waiter is awake already.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }

    /// Sleeps until woken or until the time is over, and forgets the calls so far.
    pub(crate) fn sleep(&self, timeout: Option<Duration>) {
        let timeout = timeout.and_then(|it| Timespec::try_from(it).ok());
        // An interrupted or failed poll is an early return, which waiting allows.
        let _ = poll(&mut [PollFd::new(&*self.0, PollFlags::IN)], timeout.as_ref());
        self.forget();
    }

    /// Forgets the calls so far.
    fn forget(&self) {
        let mut count = [0; 8];
        // Fails only if there was no call.
        let _ = rustix::io::read(&*self.0, &mut count);
    }
}
