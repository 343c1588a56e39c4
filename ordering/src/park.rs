//! Sleeping until something has happened, without a lost wake-up, and for nothing if nobody sleeps.
//!
//! Threads and tasks alike: a thread sleeps on a condition variable, a task leaves its waker. No clock of its own,
//! no runtime, and no order among sleepers.
//!
//! # Why no wake-up is lost
//!
//! Two sides, each of which writes one thing and reads the other (Dekker's pattern):
//!
//! ```text
//! sleeper                                 waker
//! 1. sleepers += 1                        a. what is waited for: stored by the caller
//! 2. fence(SeqCst)                        b. fence(SeqCst)
//! 3. is it there? no: sleep               c. sleepers == 0? then done; else lock, notify
//! ```
//!
//! The fences 2 and b are in one order. If 2 is first, c sees the sleeper; if b is first, 3 sees what was stored.
//! Steps 1 to 3 are under the lock up to the sleep itself, so a waker that saw the sleeper notifies it either before 3,
//! which then sees what was stored (the lock orders it), or once it sleeps.

use crate::sync::{AtomicU32, Monitor, Ordering, fence};
use std::task::Waker;
use std::time::Duration;

/// Where threads and tasks sleep.
#[derive(Debug)]
pub struct Parking {
    /// Threads that sleep or are about to, and wakers that are kept. Raised under the lock only.
    sleepers: AtomicU32,
    wakers: Monitor<Wakers>,
}

/// Wakers of tasks, by the number of what each waits for.
#[derive(Debug, Default)]
struct Wakers {
    /// By key; as long as the highest key that ever waited.
    by_key: Vec<Option<Waker>>,
    /// The keys of those that are there, in no order.
    waiting: Vec<u32>,
    /// Memory for those being woken, kept to be used again.
    spare: Vec<Waker>,
}

impl Default for Parking {
    fn default() -> Self {
        Self::new()
    }
}

impl Parking {
    /// A place where nobody sleeps yet.
    pub fn new() -> Self {
        Self { sleepers: AtomicU32::new(0), wakers: Monitor::new(Wakers::default()) }
    }

    /// Sleeps until `look` finds what it looks for, at most `timeout` if there is one; `None` if that passed.
    ///
    /// `look` is called under a lock: it is short, and calls nothing here.
    pub fn wait<T>(&self, timeout: Option<Duration>, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        if let Some(found) = look() {
            return Some(found);
        }
        let (mut found, mut announced) = (None, false);
        self.wakers.wait_while(timeout, |_| {
            if !announced {
                self.announce();
                announced = true;
            }
            found = look();
            found.is_none()
        });
        // Relaxed: a count that is too high for a moment costs a waker one look under the lock.
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
        found
    }

    /// Looks for what task `key` waits for; if it is not there, `waker` is kept until [`Parking::wake`] finds the key
    /// ready. Of a key the last waker is kept. Keys are small numbers: memory grows with the highest.
    pub fn poll<T>(&self, key: u32, waker: &Waker, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        if let Some(found) = look() {
            return Some(found);
        }
        self.wakers.with(|wakers| {
            if wakers.keep(key, waker) {
                self.announce();
            }
            // If it is there now, the waker is called in vain with the next wake.
            look()
        })
    }

    /// Wakes the sleeping threads, and the tasks whose keys are ready. One load if nobody sleeps.
    ///
    /// What they wait for was stored before by this thread, with any ordering. `is_ready` is called under a lock.
    pub fn wake(&self, is_ready: impl FnMut(u32) -> bool) {
        // SeqCst pairs with the fence in `announce`: see the head of this file.
        fence(Ordering::SeqCst);
        // Relaxed: ordered by the fences.
        if self.sleepers.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut ready = self.wakers.with(|wakers| wakers.take_ready(is_ready));
        self.wakers.notify_all();
        if ready.is_empty() && ready.capacity() == 0 {
            return;
        }
        let count = u32::try_from(ready.len()).unwrap_or(u32::MAX);
        // Relaxed: as in `wait`.
        self.sleepers.fetch_sub(count, Ordering::Relaxed);
        // Outside the lock, since a waker may run its task at once.
        ready.drain(..).for_each(Waker::wake);
        self.wakers.with(|wakers| wakers.spare = ready);
    }

    fn announce(&self) {
        // Relaxed: ordered by the fence.
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        // SeqCst pairs with the fence in `wake`: see the head of this file.
        fence(Ordering::SeqCst);
    }
}

impl Wakers {
    /// Keeps a waker; whether there was none of this key.
    fn keep(&mut self, key: u32, waker: &Waker) -> bool {
        let index = key as usize;
        if self.by_key.len() <= index {
            self.by_key.resize(index + 1, None);
        }
        let Some(kept) = self.by_key.get_mut(index) else { return false };
        match kept {
            Some(kept) => {
                kept.clone_from(waker);
                false
            }
            None => {
                *kept = Some(waker.clone());
                self.waiting.push(key);
                true
            }
        }
    }

    fn take_ready(&mut self, mut is_ready: impl FnMut(u32) -> bool) -> Vec<Waker> {
        let mut ready = std::mem::take(&mut self.spare);
        self.waiting.retain(|key| {
            let taken = is_ready(*key);
            if taken {
                ready.extend(self.by_key.get_mut(*key as usize).and_then(Option::take));
            }
            !taken
        });
        ready
    }
}
