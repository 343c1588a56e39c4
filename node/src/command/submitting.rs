//! Submitting signed records to a platform, and telling what became of each: a receipt to standard output, words to standard error.

use super::looking::open_to_submit;
use super::{now_ms, put};
use crate::exit::{CommandError, NEGATIVE};
use annals::{Appender, Kind, RecordBuilder, RecordId, SigningKey, read_key};
use annals_contracts::{Platform, Refused, Status, SubmitError, Submitted};
use serde_json::{Value as Json, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A platform, and the key of somebody who submits to it.
pub(super) struct Desk {
    pub(super) platform: Platform,
    key: SigningKey,
    appender: Appender,
    next_nonce: u64,
    dir: PathBuf,
    as_json: bool,
    /// The record submitted last.
    last: Option<RecordId>,
    /// Records that were submitted and wait for signatures.
    waiting: Vec<RecordId>,
    /// Whether something that was ordered was refused.
    refused: bool,
}

impl Desk {
    pub(super) fn open(dir: &Path, key: &Path, as_json: bool, accept_clock: bool) -> Result<Self, CommandError> {
        let key = read_key(key)?;
        let platform = open_to_submit(dir, accept_clock)?;
        let (appender, next_nonce) = (platform.appender()?, platform.reader().next_nonce(&key.public())?);
        let dir = dir.to_owned();
        Ok(Self { platform, key, appender, next_nonce, dir, as_json, last: None, waiting: Vec::new(), refused: false })
    }

    /// Signs and submits a record, and tells what became of it; `what` names it in words.
    pub(super) fn submit(&mut self, kind: Kind, payload: &[u8], what: &str) -> Result<u64, CommandError> {
        let builder = RecordBuilder::new(self.platform.id(), kind).nonce(self.next_nonce).claimed_time_ms(now_ms());
        let builder = if kind.is_engine() { builder.unsalted() } else { builder };
        let record = builder.sign(&self.key, payload)?;
        let submitted = match self.platform.submit(&mut self.appender, record.bytes()) {
            Ok(submitted) => submitted,
            Err(SubmitError::Refused(refused)) => return Err(self.told_refused(&record.record_id(), refused)),
            Err(error) => return Err(error.into()),
        };
        self.next_nonce += 1;
        self.last = Some(record.record_id());
        self.tell(record.record_id(), &submitted, what)?;
        Ok(submitted.ack.seq)
    }

    /// Tells of a record that was refused with nothing written.
    fn told_refused(&self, record: &RecordId, refused: Refused) -> CommandError {
        if self.as_json {
            let outcome = outcome_json(record, None, &Status::Refused(refused.clone()));
            if let Err(error) = writeln!(std::io::stdout(), "{}", json!({ "outcome": outcome })) {
                return error.into();
            }
        }
        refused.into()
    }

    fn tell(&mut self, record: RecordId, submitted: &Submitted, what: &str) -> Result<(), CommandError> {
        let Submitted { ack, status, .. } = submitted;
        let receipt = self.platform.reader().prove_json(ack.seq, None)?.encode().map_err(CommandError::Encode)?;
        // Said first: who can't be handed the receipt learns that the record stands all the same.
        let seq = ack.seq;
        match status {
            Status::Accepted => say!("annals: accepted at seq {seq}: {what}"),
            Status::Waiting(count) => {
                let signatures = if *count == 1 { "signature" } else { "signatures" };
                say!("annals: ordered at seq {seq}, waiting for {count} more {signatures}: {what}");
                self.waiting.push(record);
            }
            Status::Refused(refused) => {
                say!("annals: ordered at seq {seq} and refused ({}): {refused}", refused.code);
                self.refused = true;
            }
        }
        let mut out = std::io::stdout().lock();
        if self.as_json {
            let receipt: Json = serde_json::from_str(&receipt).unwrap_or_default();
            let outcome = outcome_json(&record, Some(ack.seq), status);
            writeln!(out, "{}", json!({ "outcome": outcome, "receipt": receipt }))?;
        } else {
            writeln!(out, "{receipt}")?;
        }
        Ok(())
    }

    /// Instead of the record submitted last, this one waits; or none does.
    pub(super) fn now_waits(&mut self, record: Option<RecordId>) {
        self.waiting.retain(|waiting| Some(*waiting) != self.last && Some(*waiting) != record);
        self.waiting.extend(record);
    }

    /// Tells what the next signers run, with `annals case` or `annals platform`.
    pub(super) fn tell_next(&self, command: &str) {
        if !self.waiting.is_empty() {
            let records: Vec<_> = self.waiting.iter().map(ToString::to_string).collect();
            let (dir, records) = (shell_word(&self.dir), records.join(" "));
            say!("annals: the next signer runs:\n  annals {command} sign {dir} --key KEYFILE {records}");
        }
    }

    /// Writes the proof of what became of a record to a new file.
    pub(super) fn prove(&self, seq: u64, out: &Path) -> Result<(), CommandError> {
        let proof = self.platform.prove(seq)?.encode();
        let proof = proof.map_err(|source| CommandError::Proof { path: out.to_owned(), source })?;
        put(Some(out), format!("{proof}\n").as_bytes())
    }

    /// Stores state and closes the ledger; the exit code.
    pub(super) fn close(self) -> Result<u8, CommandError> {
        let code = if self.refused { NEGATIVE } else { 0 };
        drop(self.appender);
        self.platform.close()?;
        Ok(code)
    }
}

/// Refuses, before anything is submitted, to write a proof over a file.
pub(super) fn check_free(out: Option<&Path>) -> Result<(), CommandError> {
    match out {
        Some(path) if path.symlink_metadata().is_ok() => Err(CommandError::Exists(path.to_owned())),
        _ => Ok(()),
    }
}

fn outcome_json(record: &RecordId, seq: Option<u64>, status: &Status) -> Json {
    let (status, missing, code, about, words) = match status {
        Status::Accepted => ("accepted", 0, "", Vec::new(), ""),
        Status::Waiting(count) => ("waiting", *count, "", Vec::new(), ""),
        Status::Refused(refused) => ("refused", 0, refused.code, refused.about.clone(), refused.words.as_str()),
    };
    json!({
        "status": status, "missing": missing, "code": code, "about": about, "words": words, "seq": seq,
        "record": record.to_string(),
    })
}

/// A path as a shell reads it.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
