//! What must hold of every parser, whatever bytes it is given: one check a fuzz target.
//!
//! Each check does two things with its bytes. It parses them as they are: whatever is accepted encodes to the same bytes
//! and keeps its limits. And it lets them damage a valid object: no damage passes verification. The damage is
//! structure-aware, since random bytes stop at the magic. `cargo test` replays seeds and regressions through these very
//! functions; the fuzz targets call them with what they invent.

mod proofs;
mod records;
mod recovery;
mod storage;

/// A fuzz target.
pub struct Target {
    /// Its name, and that of its directories of seeds and regressions.
    pub name: &'static str,
    /// Panics if something does not hold.
    pub check: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 11] = [
    Target { name: "record", check: records::record, seeds: records::record_seeds },
    Target { name: "bundle", check: records::bundle, seeds: records::bundle_seeds },
    Target { name: "frame", check: storage::frame, seeds: storage::frame_seeds },
    Target { name: "segment", check: storage::segment, seeds: storage::segment_seeds },
    Target { name: "recovery", check: recovery::recovery, seeds: recovery::recovery_seeds },
    Target { name: "receipt_json", check: proofs::receipt_json, seeds: proofs::receipt_json_seeds },
    Target { name: "receipt_binary", check: proofs::receipt_binary, seeds: proofs::receipt_binary_seeds },
    Target { name: "checkpoint", check: proofs::checkpoint, seeds: proofs::checkpoint_seeds },
    Target { name: "reopening", check: proofs::reopening, seeds: proofs::reopening_seeds },
    Target { name: "state_root", check: proofs::state_root, seeds: proofs::state_root_seeds },
    Target { name: "key_file", check: records::key_file, seeds: records::key_file_seeds },
];

/// Runs the check of a target.
pub fn check(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a target of this name").check)(data);
}

/// A number of a few bytes from the front of the data, and the rest.
fn number(data: &[u8]) -> (usize, &[u8]) {
    match data {
        [a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        rest => (0, rest),
    }
}

/// Damages bytes as the data says: single bits, bytes, swapped and cut parts. False if nothing came of it.
fn damage(bytes: &mut Vec<u8>, mut data: &[u8]) -> bool {
    let before = bytes.clone();
    for _ in 0..1 + data.first().map_or(0, |count| count % 4) {
        let (kind, rest) = number(data);
        let (at, rest) = number(rest);
        let (value, rest) = number(rest);
        data = rest;
        if bytes.is_empty() {
            break;
        }
        // Two bytes reach 64 KiB; larger objects are damaged everywhere by the third number.
        let length = bytes.len();
        let at = (at + 65_536 * (value >> 8)) % length;
        match kind % 4 {
            0 => bytes[at] ^= 1 << (value % 8),
            1 => bytes[at] = value as u8,
            2 => bytes.swap(at, (at + value) % length),
            _ => bytes.truncate(at.max(length.saturating_sub(1 + value % 64))),
        }
    }
    *bytes != before
}
