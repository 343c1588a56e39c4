//! A device that fails: the ledger halts with the first cause, and says "unknown" to whoever waits.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::builder::RecordBuilder;
use crate::shared::Verifying;
use annals_storage::device::{Completion, Device, PwriteDevice, Waker, Write, WriteKind};
use annals_storage::disk::{DiskError, Operation};
use std::io;
use std::time::Duration;

/// A device whose data writes fail from the `left`-th on; what failed is not written.
#[derive(Debug)]
struct Failing {
    inner: PwriteDevice,
    left: u32,
    failed: Vec<Completion>,
}

impl Failing {
    fn fails(&mut self, write: Write) -> Result<Write, Completion> {
        if write.kind == WriteKind::Runway {
            return Ok(write);
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(write)
            }
            None => {
                let error = io::Error::from_raw_os_error(5);
                let result = Err(DiskError::from_io(&error, Operation::Write, write.segment, write.offset));
                Err(Completion { ticket: write.ticket, kind: write.kind, buffer: write.buffer, result })
            }
        }
    }
}

impl Device for Failing {
    fn name(&self) -> &'static str {
        "failing"
    }

    fn submit(&mut self, write: Write) -> Result<(), DiskError> {
        match self.fails(write) {
            Ok(write) => self.inner.submit(write),
            Err(completion) => {
                self.failed.push(completion);
                Ok(())
            }
        }
    }

    fn write_now(&mut self, write: Write) -> Completion {
        match self.fails(write) {
            Ok(write) => self.inner.write_now(write),
            Err(completion) => completion,
        }
    }

    fn reap(&mut self, into: &mut Vec<Completion>) -> Result<(), DiskError> {
        into.append(&mut self.failed);
        self.inner.reap(into)
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), DiskError> {
        if self.failed.is_empty() { self.inner.wait(timeout) } else { Ok(()) }
    }

    fn waker(&self) -> Waker {
        self.inner.waker()
    }

    fn in_flight(&self) -> usize {
        self.inner.in_flight() + self.failed.len()
    }
}

fn record(ledger: LedgerId, nonce: u64) -> Vec<u8> {
    let builder = RecordBuilder::new(ledger, Kind::APPLICATION_FIRST).unsalted().nonce(nonce);
    builder.sign(&SigningKey::from_seed(&[1; 32]), &[7; 2000]).unwrap().bytes().to_vec()
}

/// Opens the ledger at a path on a device whose data writes fail after so many.
fn open_failing(path: &Path, left: u32) -> Ledger {
    try_open_failing(path, left, Options::default()).unwrap()
}

fn try_open_failing(path: &Path, left: u32, options: Options) -> Result<Ledger, OpenError> {
    let make = |files: &Arc<FileDisk>| -> Result<Opened, OpenError> {
        let inner = PwriteDevice::new(Arc::clone(files) as Arc<dyn Disk>)?;
        Ok(Opened { device: Box::new(Failing { inner, left, failed: Vec::new() }), refusal: None })
    };
    Ledger::open_on(&Home::open(path).unwrap(), path, options, make)
}

#[test]
fn the_first_failed_write_halts_and_nothing_acknowledged_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    let creation = Creation { segment_size: 2 << 20, ..Creation::open("annals.example/failing") };
    Ledger::create(&path, &creation, Options::default()).unwrap().close().unwrap();
    let (mut nonce, mut acknowledged) = (0, 0);
    // Every number of writes before the first failure: the opening mark, lone blocks, batches.
    for left in 0..12 {
        let ledger = open_failing(&path, left);
        let (id, mut appender) = (ledger.id(), ledger.appender().unwrap());
        let refusal = loop {
            let records: Vec<_> = (nonce..nonce + 1 + nonce % 3 * 20).map(|nonce| record(id, nonce)).collect();
            let batch: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
            let pending = match appender.append_batch(&batch) {
                Ok(pending) => pending,
                Err(refusal) => break refusal,
            };
            let answers: Vec<_> = pending.into_iter().map(|it| it.and_then(|it| it.wait())).collect();
            nonce += answers.len() as u64;
            acknowledged += answers.iter().filter(|answer| answer.is_ok()).count() as u64;
            if let Some(refusal) = answers.into_iter().find_map(Result::err) {
                break refusal;
            }
        };
        assert_eq!(refusal, Refusal::Unknown, "never refused: nobody knows");
        let reader = ledger.reader();
        let after = appender.append(&record(id, nonce)).unwrap_err();
        assert_eq!(after, Refusal::Halted);
        assert!(reader.get(0).is_ok(), "reading goes on");
        assert_eq!(ledger.halted().unwrap().cause.code(), "disk.io");
        let error = ledger.close().unwrap_err();
        assert_eq!(error.code(), "ledger.halted");
        let ledger = Ledger::open(&path, Options::default()).unwrap();
        assert!(acknowledged < ledger.reader().next_seq(), "{left}: all that was acknowledged is there");
        // What was unknown is asked again, and has one answer.
        let mut appender = ledger.appender().unwrap();
        for again in nonce.saturating_sub(50)..nonce {
            appender.append_wait(&record(id, again)).unwrap();
        }
        acknowledged = ledger.reader().next_seq() - 1;
        ledger.close().unwrap();
        crate::check_ledger(&path, None, &mut |_, _| {}).unwrap();
    }
    assert_eq!(acknowledged, nonce, "each record is there once");
}

#[test]
fn a_copy_that_cannot_write_that_it_goes_on_stays_a_copy() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    let creation = Creation { segment_size: 2 << 20, ..Creation::open("annals.example/copy") };
    let ledger = Ledger::create(&path, &creation, Options::default()).unwrap();
    let continue_after = Some(ledger.reader().checkpoint().unwrap());
    ledger.close().unwrap();
    Home::open(&path).unwrap().mark(crate::place::Mark::Restored).unwrap();
    let options = Options { continue_after, ..Options::default() };
    // The opening mark fails, then the record itself.
    for left in 0..2 {
        let error = try_open_failing(&path, left, options.clone()).unwrap_err();
        assert!(matches!(error, OpenError::Reopening(Refusal::Unknown)), "{left}: {error}");
        assert_eq!(Ledger::open(&path, Options::default()).unwrap_err().code(), "open.restored", "{left}");
    }
    let ledger = Ledger::open(&path, options).unwrap();
    assert_eq!(ledger.reopened().len(), 1);
    ledger.close().unwrap();
    Ledger::open(&path, Options::default()).unwrap().close().unwrap();
    assert_eq!(crate::check_ledger(&path, None, &mut |_, _| {}).unwrap().records, 2);
}

/// Calls with a new ledger.
fn with_ledger(test: impl FnOnce(&Ledger)) {
    let directory = tempfile::tempdir().unwrap();
    let creation = Creation { segment_size: 2 << 20, ..Creation::open("annals.example/threads") };
    let ledger = Ledger::create(&directory.path().join("ledger"), &creation, Options::default()).unwrap();
    test(&ledger);
    ledger.close().unwrap();
}

#[test]
fn a_thread_that_finds_nothing_published_does_not_count_as_one_that_verifies() {
    with_ledger(|ledger| {
        let claim = ledger.shared.ring.claim(&[8]).unwrap();
        // What is claimed and not published keeps workers looking. Who publishes now has to wake somebody: the engine may have
        // been among those who looked, and sleeps after it.
        ledger.shared.workers.wake(|_| true);
        let counted = (0..100_000_000).any(|_| ledger.shared.verifying.load(Ordering::Relaxed) != 0);
        drop(claim);
        assert!(!counted);
    });
}

#[test]
fn what_waits_is_answered_when_the_thread_that_verifies_panics() {
    with_ledger(|ledger| {
        let mut appender = ledger.appender().unwrap();
        let verifying = Verifying::begin(&ledger.shared);
        let records = [record(ledger.id(), 0), record(ledger.id(), 1)];
        let pending = appender.append_batch(&[&records[0], &records[1]]).unwrap();
        // Until the engine has nothing to do and sleeps: nobody was woken, since somebody verifies.
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let _verifying = verifying;
                std::thread::park_timeout(Duration::from_millis(300));
                std::panic::panic_any("a verifier's bug");
            });
            assert!(thread.join().is_err());
        });
        for pending in pending {
            assert!(pending.unwrap().wait_timeout(Duration::from_secs(5)).is_some(), "nobody looked");
        }
    });
}
