//! Threads that work for a check: what is handed in is done by whoever is free, and asked for later, in any order.
//!
//! They end when the pool is dropped; the scope that they were started in waits for them.

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::Scope;

type Task = Box<dyn FnOnce() + Send>;

/// The threads.
#[derive(Debug)]
pub(super) struct Pool {
    tasks: Sender<Task>,
    threads: usize,
}

/// Work that was handed in.
#[derive(Debug)]
pub(super) struct Pending<T>(Receiver<T>);

impl Pool {
    /// As many threads as the machine has cores.
    pub(super) fn start<'scope>(scope: &'scope Scope<'scope, '_>) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (tasks, queue) = channel::<Task>();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            scope.spawn(move || {
                // The lock is given back before the task runs: it guards the queue's end alone.
                while let Some(task) = next(&queue) {
                    task();
                }
            });
        }
        Self { tasks, threads }
    }

    /// How many threads there are.
    pub(super) const fn threads(&self) -> usize {
        self.threads
    }

    /// Hands in work.
    pub(super) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Pending<T> {
        let (done, pending): (SyncSender<T>, _) = sync_channel(1);
        // If nobody waits any more, nobody needs it.
        let task = Box::new(move || drop(done.send(work())));
        // The threads hold the queue's other end until the pool is gone, unless all have panicked: then `wait` says so.
        drop(self.tasks.send(task));
        Pending(pending)
    }
}

fn next(queue: &Mutex<Receiver<Task>>) -> Option<Task> {
    queue.lock().recv().ok()
}

impl<T> Pending<T> {
    /// Waits until the work is done.
    ///
    /// # Panics
    ///
    /// If the work panicked, which is our own bug.
    #[expect(clippy::expect_used, reason = "a panic in a thread is passed on")]
    pub(super) fn wait(self) -> T {
        self.0.recv().expect("work that was handed in is done")
    }
}
