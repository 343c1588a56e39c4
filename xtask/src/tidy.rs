//! The tidy rules: what holds for every file of the workspace and no compiler checks.
//!
//! A rule is a pure function from a file's path and text to findings ([`rules`]); the crate graph ([`layers`]) is one from
//! `cargo metadata`. Each has a good and a bad example in its tests. This module reads the files and applies
//! the rules; it changes nothing, and what it finds does not depend on what has been put into git's history.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::error::TaskError;
use crate::workspace;

pub mod layers;
pub mod rules;
mod source;

/// One place that breaks a rule.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Finding {
    /// The file, relative to the workspace's root.
    pub path: String,
    /// The line, from 1; 0 if the file as a whole is meant.
    pub line: usize,
    /// The rule's name.
    pub rule: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

/// Largest size of a file in bytes: what is larger is made, not kept.
pub const FILE_SIZE_MAX: u64 = 512 << 10;

/// Holds the workspace at `root` against all rules and returns what breaks them, in the order of the files.
///
/// # Errors
///
/// [`TaskError`] if files cannot be listed or read, or cargo cannot describe the workspace.
pub fn check(root: &Path) -> Result<Vec<Finding>, TaskError> {
    let mut findings = layers::check(&workspace::graph(root, "Cargo.toml")?);
    for path in workspace::files(root)? {
        let bytes = fs::read(root.join(&path)).map_err(|source| TaskError::Read { path: (&path).into(), source })?;
        findings.extend(check_size(&path, bytes.len() as u64));
        if let Ok(text) = std::str::from_utf8(&bytes) {
            findings.extend(check_text(&path, text));
        }
    }
    findings.sort();
    Ok(findings)
}

/// Applies every rule on text to one file.
pub fn check_text(path: &str, text: &str) -> Vec<Finding> {
    rules::ALL.iter().flat_map(|rule| rule(path, text)).collect()
}

/// No large blobs.
pub fn check_size(path: &str, size: u64) -> Option<Finding> {
    let message = || format!("{size} bytes, at most {FILE_SIZE_MAX}: generate it, or fetch it where it is needed");
    (FILE_SIZE_MAX < size).then(|| Finding { path: path.to_owned(), line: 0, rule: "size", message: message() })
}

/// Writes the findings, one a line, as `path:line: [rule] message`.
///
/// # Errors
///
/// What `out` returns.
pub fn report(findings: &[Finding], out: &mut dyn Write) -> io::Result<()> {
    for Finding { path, line, rule, message } in findings {
        writeln!(out, "{path}:{line}: [{rule}] {message}")?;
    }
    writeln!(out, "tidy: {} findings", findings.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let findings = check(&workspace::root()).unwrap();
        let mut text = Vec::new();
        report(&findings, &mut text).unwrap();
        assert!(findings.is_empty(), "{}", String::from_utf8(text).unwrap());
    }

    #[test]
    fn a_blob_is_found() {
        assert_eq!(check_size("a.bin", FILE_SIZE_MAX), None);
        assert_eq!(check_size("a.bin", FILE_SIZE_MAX + 1).unwrap().rule, "size");
    }

    #[test]
    fn a_report_can_be_clicked() {
        let finding = Finding { path: "a.rs".to_owned(), line: 3, rule: "head", message: "no head".to_owned() };
        let mut text = Vec::new();
        report(&[finding], &mut text).unwrap();
        assert_eq!(text, b"a.rs:3: [head] no head\ntidy: 1 findings\n");
    }
}
