//! The binary and the facade where a seccomp filter refuses io_uring, as container profiles do: everything works, with
//! pwrite, and says so exactly once.
//!
//! The filter is real: it is given to one thread of this test, whose threads and child processes inherit it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use annals::{Creation, DeviceChoice, Kind, Ledger, Options, RecordBuilder, SigningKey, UringError};
use rustix::io::Errno;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// `io_uring_setup`, `_enter` and `_register` have these numbers on every architecture that Linux has.
const REFUSED: std::ops::Range<u32> = 425..428;

// The filter's instructions, from linux/bpf_common.h.
const LOAD_WORD: u16 = 0x20;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

const fn instruction(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// From here on this thread, and all that it starts, is refused io_uring with this error.
fn refuse_io_uring(errno: Errno) {
    let error = libc::SECCOMP_RET_ERRNO | u32::try_from(errno.raw_os_error()).unwrap();
    let mut filter = [
        // The system call's number is the first field of what a filter sees.
        instruction(LOAD_WORD, 0, 0, 0),
        instruction(JUMP_IF_AT_LEAST, REFUSED.end, 2, 0),
        instruction(JUMP_IF_AT_LEAST, REFUSED.start, 0, 1),
        instruction(RETURN, error, 0, 0),
        instruction(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog { len: u16::try_from(filter.len()).unwrap(), filter: filter.as_mut_ptr() };
    rustix::thread::set_no_new_privs(true).unwrap();
    // SAFETY: the kernel copies the program within the call; `program` and the `filter` that it points to, with its length,
    // live until it returns.
    let given = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(given, 0, "{}", std::io::Error::last_os_error());
}

fn annals(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_annals")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn warnings(output: &Output) -> Vec<String> {
    let words = String::from_utf8_lossy(&output.stderr);
    words.lines().filter(|line| line.contains("io_uring")).map(str::to_owned).collect()
}

/// Runs a check in a thread that is refused io_uring.
fn refused(errno: Errno, check: impl FnOnce(&Path) + Send) {
    let directory = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            refuse_io_uring(errno);
            check(directory.path());
        });
        thread.join().unwrap();
    });
}

/// The advice for each refusal; a container's profile gives the first, an old kernel the second.
const CASES: [(Errno, &str); 2] = [(Errno::PERM, "seccomp"), (Errno::NOSYS, "built without it")];

#[test]
fn the_facade_opens_with_pwrite_and_gives_the_reason() {
    for (errno, advice) in CASES {
        refused(errno, |directory| {
            let place = directory.join("ledger");
            let ledger = Ledger::create(&place, &Creation::open("annals.example/x"), Options::default()).unwrap();
            assert_eq!(ledger.device(), "pwrite");
            let refusal = ledger.device_refusal().unwrap();
            assert!(matches!(refusal, UringError::Refused { code, .. } if *code == errno.raw_os_error()));
            assert!(refusal.to_string().contains(advice), "{refusal}");
            let key = SigningKey::from_seed(&[1; 32]);
            let record = RecordBuilder::new(ledger.id(), Kind::APPLICATION_FIRST).sign(&key, b"granted").unwrap();
            let ack = ledger.appender().unwrap().append_wait(record.bytes()).unwrap();
            assert_eq!(ledger.reader().get(ack.seq).unwrap().head_bytes()[..], record.bytes()[..192]);
            ledger.close().unwrap();
            let asked = Options { device: DeviceChoice::Pwrite, ..Options::default() };
            let ledger = Ledger::open(&place, asked).unwrap();
            assert!(ledger.device_refusal().is_none(), "who asks for pwrite is refused nothing");
        });
    }
}

#[test]
fn the_binary_warns_once_where_it_writes_and_not_where_it_reads() {
    for (errno, advice) in CASES {
        refused(errno, |directory| {
            let at = |name: &str| directory.join(name).to_str().unwrap().to_owned();
            let (ledger, key) = (at("ledger"), at("key"));
            annals(&["keygen", "--out", &key]);
            std::fs::write(at("lines"), "one\ntwo\nthree\n").unwrap();
            let init = annals(&["init", &ledger, "--origin", "annals.example/x", "--open"]);
            let append = annals(&["append", &ledger, "--key", &key, "--lines", &at("lines")]);
            assert_eq!(append.stdout.iter().filter(|byte| **byte == b'\n').count(), 3, "a receipt a line");
            for (output, command) in [(init, "init"), (append, "append")] {
                let warnings = warnings(&output);
                assert_eq!(warnings.len(), 1, "{command}: {warnings:?}");
                assert!(warnings[0].starts_with("annals: writing with pwrite"), "{warnings:?}");
                assert!(warnings[0].contains(advice), "{warnings:?}");
            }
            for reading in [vec!["get", &ledger, "2"], vec!["log", &ledger], vec!["check", &ledger]] {
                let output = annals(&reading);
                assert_eq!(warnings(&output), [""; 0], "{reading:?}");
            }
            let doctor = annals(&["doctor", directory.to_str().unwrap(), "--json"]);
            let found: Value = serde_json::from_slice(&doctor.stdout).unwrap();
            assert_eq!((&found["io_uring"], &found["device"]), (&Value::Bool(false), &Value::from("pwrite")));
            assert!(found["io_uring_missing"].as_str().unwrap().contains(advice), "{found}");
        });
    }
}

#[test]
fn a_command_that_opens_two_ledgers_warns_once() {
    refused(Errno::PERM, |directory| {
        let dir = directory.to_str().unwrap();
        let bench = ["bench", "--mode", "latency", "--seconds", "1", "--payload", "8", "--dir", dir, "--json"];
        assert_eq!(warnings(&annals(&bench)).len(), 1);
    });
}
