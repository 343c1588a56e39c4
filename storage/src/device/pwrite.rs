//! The device that works everywhere: each write is made and synced within `submit`, through any [`Disk`].
//!
//! On files that is `pwrite` and `fdatasync`; on a disk in memory it is a copy, for tests. Nothing overlaps, so
//! a flood is slower than on a device that queues; what is durable, and when, is the same.

use super::{Completion, Device, Waker, Write};
use crate::disk::{Disk, DiskError, Operation};
use std::sync::Arc;
use std::time::Duration;

/// Writes within `submit`.
#[derive(Debug)]
pub struct PwriteDevice {
    disk: Arc<dyn Disk>,
    done: Vec<Completion>,
    waker: Waker,
}

impl PwriteDevice {
    /// A device on a disk.
    ///
    /// # Errors
    ///
    /// [`DiskError`] if the system has no file descriptor left for the waker.
    pub fn new(disk: Arc<dyn Disk>) -> Result<Self, DiskError> {
        let waker = Waker::new().map_err(|error| DiskError::from_io(&error, Operation::Open, 0, 0))?;
        Ok(Self { disk, done: Vec::new(), waker })
    }
}

impl Device for PwriteDevice {
    fn name(&self) -> &'static str {
        "pwrite"
    }

    fn submit(&mut self, write: Write) -> Result<(), DiskError> {
        let completion = self.write_now(write);
        self.done.push(completion);
        Ok(())
    }

    fn write_now(&mut self, write: Write) -> Completion {
        let Write { ticket, segment, offset, buffer, kind } = write;
        let result = self.disk.write(segment, offset, &buffer);
        Completion { ticket, kind, buffer, result }
    }

    fn reap(&mut self, into: &mut Vec<Completion>) -> Result<(), DiskError> {
        into.append(&mut self.done);
        Ok(())
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), DiskError> {
        if self.done.is_empty() {
            self.waker.sleep(timeout);
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn in_flight(&self) -> usize {
        self.done.len()
    }
}
