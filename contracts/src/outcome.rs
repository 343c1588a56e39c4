//! Outcomes: what became of each ordered record, and what happened beside them, as a list a block that state commits to.
//!
//! The receipt of a record says *ordered*; its outcome says accepted, waiting for further signatures, or refused and why. The list of
//! a block is a tree as RFC 6962 makes one; its root stands in state under the block's height, so one state proof and one audit
//! path prove an outcome, and a block costs state one key however many records it has.
//!
//! Words are told, not hashed: a refusal's code and what it is about are part of state, its sentence is not, so that a better
//! sentence changes no root.

use crate::value::MapWriter;
use annals::tree::Frontier;
use annals::{RecordId, TreeHash};

/// Names that a refusal tells at most, and bytes of each and of its sentence: payloads are in them.
const ABOUT_COUNT_MAX: usize = 32;
const ABOUT_SIZE_MAX: usize = 256;
const WORDS_SIZE_MAX: usize = 16 << 10;

/// As much of a text as fits so many bytes.
fn shortened(text: &str, most: usize) -> String {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default().to_owned()
}

/// As much of a name as a refusal or an event tells.
pub(crate) fn shortened_name(name: &str) -> String {
    shortened(name, ABOUT_SIZE_MAX)
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
        let about = about.iter().take(ABOUT_COUNT_MAX).map(|item| shortened_name(item)).collect();
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
    /// What state commits to: the canonical form of a map.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let waiting_for;
        let (status, code, about) = match &self.status {
            Status::Accepted => ("accepted", "", &[][..]),
            Status::Waiting(signatures) => {
                waiting_for = [signatures.to_string()];
                ("waiting", "", &waiting_for[..])
            }
            Status::Refused(refused) => ("refused", refused.code, &refused.about[..]),
        };
        MapWriter::default()
            .texts("about", about)
            .text("code", code)
            .text("record", &self.record.to_string())
            .number("seq", self.seq)
            .text("status", status)
            .finish()
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
    /// What state commits to: the canonical form of a map.
    pub(crate) fn encode(&self) -> Vec<u8> {
        MapWriter::default().texts("about", &self.about).text("case", &self.case).text("event", self.name).finish()
    }
}

/// Root over a block's list (RFC 6962, section 2.1), from the hashes of its entries.
pub(crate) fn list_root(hashes: &[TreeHash]) -> TreeHash {
    let mut tree = Frontier::new();
    hashes.iter().for_each(|hash| tree.push(*hash));
    tree.root()
}
