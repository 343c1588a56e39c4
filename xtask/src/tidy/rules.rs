//! The rules on a single file, each a pure function of its path and text.
//!
//! Needles that would find themselves here are spelt in two parts.

use super::Finding;
use super::source::{code_only, is_word};

/// A rule: the findings in the file at a path (relative, with `/`) with that text.
pub type Rule = fn(path: &str, text: &str) -> Vec<Finding>;

/// Every rule.
pub const ALL: [Rule; 6] = [head, length, unsafe_places, leftovers, words, machine_paths];

/// How far down the `//!` may start.
const HEAD_LINES: usize = 5;
/// A file of this many lines is too long.
const LINE_COUNT_LIMIT: usize = 600;

/// Where `unsafe` may stand: the ring, the aligned buffers, the `io_uring` device; in tests, allocators that count and the one
/// system call that gives a thread a seccomp filter.
const UNSAFE_PLACES: [&str; 4] =
    ["ordering/src/ring", "storage/src/buffer", "storage/src/device/uring", "node/tests/seccomp"];
const COUNTING_ALLOCATORS: (&str, &str) = ("ordering/tests/", "alloc");

/// What is left behind when work is not finished; the last is looked for as it stands, the others as words.
const LEFTOVERS: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
];

/// Words that the glossary gives to nothing, and the one to use.
const BANNED_WORDS: [(&str, &str); 4] = [
    (concat!("transac", "tion"), "record"),
    (concat!("transac", "tions"), "records"),
    (concat!("commit", "ted"), "durable or final"),
    (concat!("persis", "ted"), "durable"),
];

/// Places where a banned word is right: the path, and what its line holds. An empty text allows the whole file.
const WORDS_ALLOWED: [(&str, &str); 1] = [
    // Names the words in order to ban them.
    ("docs/GLOSSARY.md", ""),
];

/// Directories that exist on one machine only.
const MACHINE_PATHS: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/fa", "rm/"),
];

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

/// Prose and sources; no data and no generated files.
fn is_written_by_hand(path: &str) -> bool {
    let data = [".lock", ".jsonl", ".hex", ".bin"];
    !data.iter().any(|ending| path.ends_with(ending)) && path != "LICENSE"
}

fn finding(path: &str, line: usize, rule: &'static str, message: impl Into<String>) -> Finding {
    Finding { path: path.to_owned(), line, rule, message: message.into() }
}

/// The lines of `text` with their numbers, from 1.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, line)| (i + 1, line))
}

/// Every Rust file says at its head what it is.
pub fn head(path: &str, text: &str) -> Vec<Finding> {
    let said = text.lines().take(HEAD_LINES).any(|line| line.starts_with("//!"));
    if !is_rust(path) || said {
        return Vec::new();
    }
    vec![finding(
        path,
        1,
        "head",
        "no //! in the first 5 lines: say what this file does, why so, and what it does not do",
    )]
}

/// No Rust file grows beyond what one reads in one go.
pub fn length(path: &str, text: &str) -> Vec<Finding> {
    let count = text.lines().count();
    if !is_rust(path) || count < LINE_COUNT_LIMIT {
        return Vec::new();
    }
    vec![finding(path, count, "length", format!("{count} lines, below {LINE_COUNT_LIMIT}: part what it does"))]
}

/// The keyword `unsafe` stands only where the design allows it.
pub fn unsafe_places(path: &str, text: &str) -> Vec<Finding> {
    let (tests, name) = COUNTING_ALLOCATORS;
    let counts_allocations = path.strip_prefix(tests).is_some_and(|rest| rest.contains(name));
    if !is_rust(path) || counts_allocations || UNSAFE_PLACES.iter().any(|place| path.starts_with(place)) {
        return Vec::new();
    }
    let code = code_only(text);
    let used = numbered(&code).filter(|(_, line)| has_word(line, "unsafe"));
    used.map(|(n, _)| finding(path, n, "unsafe", "unsafe belongs in the ring, the io_uring device and its buffers"))
        .collect()
}

/// Nothing unfinished is left behind.
pub fn leftovers(path: &str, text: &str) -> Vec<Finding> {
    if !is_written_by_hand(path) {
        return Vec::new();
    }
    let left = |line: &str| LEFTOVERS.iter().copied().find(|needle| has_word(line, needle));
    let lines = numbered(text).filter_map(|(n, line)| left(line).map(|needle| (n, needle)));
    lines
        .map(|(n, needle)| finding(path, n, "leftover", format!("{needle}: do it, or write it down elsewhere")))
        .collect()
}

/// One word per idea: the glossary's banned words are not used, neither in prose nor in names.
pub fn words(path: &str, text: &str) -> Vec<Finding> {
    let allowed = |line: &str| WORDS_ALLOWED.iter().any(|(file, with)| *file == path && line.contains(with));
    if !(is_rust(path) || path.ends_with(".md")) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (n, line) in numbered(text).filter(|(_, line)| !allowed(line)) {
        for (word, instead) in BANNED_WORDS.iter().filter(|(word, _)| has_part(line, word)) {
            findings.push(finding(path, n, "word", format!("{word:?} is not in the glossary: {instead}?")));
        }
    }
    findings
}

/// No absolute path of somebody's machine.
pub fn machine_paths(path: &str, text: &str) -> Vec<Finding> {
    let is_absolute = |line: &str, at: usize| {
        let before = line.get(..at).and_then(|text| text.chars().next_back()).unwrap_or(' ');
        !is_word(before) && !"./-~*}".contains(before)
    };
    let found =
        |line: &str| MACHINE_PATHS.iter().any(|needle| line.match_indices(needle).any(|(at, _)| is_absolute(line, at)));
    let lines = numbered(text).filter(|(_, line)| found(line));
    lines.map(|(n, _)| finding(path, n, "machine-path", "a path of one machine: make it relative")).collect()
}

/// Whether `line` holds `word` with no word character on either side of it.
fn has_word(line: &str, word: &str) -> bool {
    let edge = |c: Option<char>| !c.is_some_and(is_word);
    line.match_indices(word).any(|(at, _)| {
        let (before, from) = line.split_at(at);
        edge(before.chars().next_back()) && edge(from.chars().nth(word.chars().count()))
    })
}

/// Whether `line` holds `word` in any case as a whole part of a sentence or of a name in snake or camel case.
fn has_part(line: &str, word: &str) -> bool {
    let lower = line.to_ascii_lowercase(); // keeps the length, so positions are those of `line`
    lower.match_indices(word).any(|(at, _)| {
        let (before, from) = line.split_at(at);
        let starts_camel = from.starts_with(|c: char| c.is_ascii_uppercase());
        let previous = before.chars().next_back();
        let starts = previous.is_none_or(|c| !c.is_alphabetic() || (starts_camel && c.is_lowercase()));
        starts && !from.chars().nth(word.len()).is_some_and(char::is_lowercase)
    })
}

#[cfg(test)]
mod tests;
