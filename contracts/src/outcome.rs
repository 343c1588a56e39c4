//! Outcomes: what became of each ordered record, and what happened beside them, as a list a block that state commits to.
//!
//! The receipt of a record says *ordered*; its outcome says accepted, waiting for further signatures, or refused and why. The list of
//! a block is a tree as RFC 6962 makes one; its root stands in state under the block's height, so one state proof and one audit
//! path prove an outcome, and a block costs state one key however many records it has.
//!
//! Words are told, not hashed: a refusal's code and what it is about are part of state, its sentence is not, so that a better
//! sentence changes no root.

use crate::keys::texts;
use crate::value::Value;
use annals::RecordId;
use sha2::{Digest, Sha256};

/// Names that a refusal tells at most, and bytes of each and of its sentence: payloads are in them.
const ABOUT_COUNT_MAX: usize = 32;
const ABOUT_SIZE_MAX: usize = 256;
const WORDS_SIZE_MAX: usize = 16 << 10;

/// As much of a text as what a refusal or an event is about may have: definitions make some of it.
pub(crate) fn bounded(text: &str) -> String {
    shortened(text, ABOUT_SIZE_MAX)
}

/// As much of a text as fits so many bytes.
fn shortened(text: &str, most: usize) -> String {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default().to_owned()
}

/// What became of a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Status {
    /// It did what it asked for.
    Accepted,
    /// It waits for so many further signatures.
    Waiting(u32),
    /// It changed nothing.
    Refused(Refused),
}

/// Why a record changed nothing. Its author, or who signs with him, does what it says and submits anew.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{words}")]
pub struct Refused {
    /// Stable machine name; never renamed, only added to.
    pub code: &'static str,
    /// What is missing or wrong, by its names in the definition: part of state.
    pub about: Vec<String>,
    /// What is missing and what to do, in a sentence: for people, not part of state.
    pub words: String,
}

impl Refused {
    /// A refusal.
    pub fn new(code: &'static str, about: &[&str], words: impl Into<String>) -> Self {
        let about = about.iter().take(ABOUT_COUNT_MAX).map(|item| bounded(item)).collect();
        Self { code, about, words: shortened(&words.into(), WORDS_SIZE_MAX) }
    }
}

/// What became of one record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// The record's place.
    pub seq: u64,
    /// The record.
    pub record: RecordId,
    /// What became of it.
    pub status: Status,
}

impl Outcome {
    /// What state commits to.
    pub fn value(&self) -> Value {
        let (status, code, about) = match &self.status {
            Status::Accepted => ("accepted", "", Vec::new()),
            Status::Waiting(signatures) => ("waiting", "", vec![signatures.to_string()]),
            Status::Refused(refused) => ("refused", refused.code, refused.about.clone()),
        };
        Value::map([
            ("about", texts(about)),
            ("code", Value::from(code)),
            ("record", Value::from(self.record.to_string())),
            ("seq", Value::Integer(i64::try_from(self.seq).unwrap_or(i64::MAX))),
            ("status", Value::from(status)),
        ])
    }
}

/// Something that happened: a transition, a hold, a task, a deadline that passed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// Its name: `case.transition`, `deadline.passed` and so on.
    pub name: &'static str,
    /// The case, as `AGENCY/NUMBER`; empty if it is about none.
    pub case: String,
    /// What it is about, by its names in the definition.
    pub about: Vec<String>,
}

impl Event {
    /// What state commits to.
    pub fn value(&self) -> Value {
        Value::map([
            ("about", texts(&self.about)),
            ("case", Value::from(self.case.as_str())),
            ("event", Value::from(self.name)),
        ])
    }
}

/// Hash of an entry of a block's list (RFC 6962, section 2.1).
pub fn entry_hash(entry: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

fn node_hash(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// Root over a block's list (RFC 6962, section 2.1).
pub fn list_root(hashes: &[[u8; 32]]) -> [u8; 32] {
    match hashes {
        [] => Sha256::digest([]).into(),
        [one] => *one,
        more => {
            let (left, right) = more.split_at(half(more.len()));
            node_hash(&list_root(left), &list_root(right))
        }
    }
}

/// Audit path of an entry (RFC 6962, section 2.1.1), from the entry up; empty if there is no such entry.
pub fn list_path(hashes: &[[u8; 32]], index: usize) -> Vec<[u8; 32]> {
    if hashes.len() < 2 || hashes.len() <= index {
        return Vec::new();
    }
    let split = half(hashes.len());
    let (left, right) = hashes.split_at(split);
    let (mut path, sibling) = if index < split {
        (list_path(left, index), list_root(right))
    } else {
        (list_path(right, index - split), list_root(left))
    };
    path.push(sibling);
    path
}

/// Root that an entry and its audit path lead to (RFC 9162, section 2.1.3.2); none if the path has another length.
pub fn root_of_path(entry: [u8; 32], index: u64, count: u64, path: &[[u8; 32]]) -> Option<[u8; 32]> {
    if count <= index {
        return None;
    }
    let (mut node, mut last, mut hash) = (index, count - 1, entry);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// The largest power of two below a length of at least 2.
const fn half(length: usize) -> usize {
    length.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    /// Leaves and roots of the tree in RFC 9162's examples, as Certificate Transparency's reference implementation publishes them.
    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let inputs: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let hashes: Vec<_> = inputs.iter().map(|input| entry_hash(input)).collect();
        for (count, root) in [
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            (7, "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ] {
            let text: String = list_root(&hashes[..count]).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(text, root, "{count} entries");
        }
    }

    #[test]
    fn a_path_leads_to_the_root_from_its_entry_alone() {
        for count in 1..40_u64 {
            let hashes: Vec<_> = (0..count).map(|number| entry_hash(&number.to_le_bytes())).collect();
            let root = list_root(&hashes);
            for index in 0..count {
                let path = list_path(&hashes, usize::try_from(index).unwrap());
                let entry = hashes[usize::try_from(index).unwrap()];
                assert_eq!(root_of_path(entry, index, count, &path), Some(root));
                assert_ne!(root_of_path([7; 32], index, count, &path), Some(root));
                let longer = [&path[..], &[[0; 32]]].concat();
                assert_ne!(root_of_path(entry, index, count, &longer), Some(root));
                if let Some((_, shorter)) = path.split_last() {
                    assert_ne!(root_of_path(entry, index, count, shorter), Some(root));
                }
                assert_eq!(root_of_path(entry, count, count, &path), None);
            }
        }
    }
}
