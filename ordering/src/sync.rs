//! The atomics, locks and fences of this crate: the standard ones, or loom's under `--cfg loom`.
//!
//! The sources above are one and the same in both builds, so what loom explores is what runs. Nothing else in
//! this crate names `std::sync::atomic`, `parking_lot` or `loom`. Under loom a wait with a time limit has none.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

/// A value under a lock, and threads that wait for it to change.
#[cfg(not(loom))]
#[derive(Debug, Default)]
pub(crate) struct Monitor<T> {
    value: parking_lot::Mutex<T>,
    changed: parking_lot::Condvar,
}

#[cfg(not(loom))]
impl<T> Monitor<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: parking_lot::Mutex::new(value), changed: parking_lot::Condvar::new() }
    }

    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        act(&mut self.value.lock())
    }

    /// Waits under the lock for as long as `waiting` says so, at most `timeout` if there is one.
    pub(crate) fn wait_while(&self, timeout: Option<std::time::Duration>, mut waiting: impl FnMut(&mut T) -> bool) {
        let mut value = self.value.lock();
        match timeout {
            Some(timeout) => {
                let _timed_out = self.changed.wait_while_for(&mut value, waiting, timeout);
            }
            None => {
                while waiting(&mut value) {
                    self.changed.wait(&mut value);
                }
            }
        }
    }

    pub(crate) fn notify_all(&self) {
        self.changed.notify_all();
    }
}

/// A value under a lock, and threads that wait for it to change.
#[cfg(loom)]
#[derive(Debug)]
pub(crate) struct Monitor<T> {
    value: loom::sync::Mutex<T>,
    changed: loom::sync::Condvar,
}

#[cfg(loom)]
#[expect(clippy::unwrap_used, reason = "a lock that a panic poisoned fails the model as it should")]
impl<T> Monitor<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: loom::sync::Mutex::new(value), changed: loom::sync::Condvar::new() }
    }

    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        act(&mut self.value.lock().unwrap())
    }

    pub(crate) fn wait_while(&self, _timeout: Option<std::time::Duration>, mut waiting: impl FnMut(&mut T) -> bool) {
        let mut value = self.value.lock().unwrap();
        while waiting(&mut value) {
            value = self.changed.wait(value).unwrap();
        }
    }

    pub(crate) fn notify_all(&self) {
        self.changed.notify_all();
    }
}
