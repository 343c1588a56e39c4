//! Making a ledger: its directory, its key, and block 0 with the genesis record alone.

use crate::clock::Time;
use crate::home::{Home, check_free, parent};
use crate::key_path::{generate_key, random_bytes, read_key, write_key};
use crate::open_error::OpenError;
use crate::options::Creation;
use annals_core::body::{BodyLayout, BodyWriter};
use annals_core::checkpoint::Vkey;
use annals_core::genesis::{Admission, Genesis};
use annals_core::hash::{AuthorId, LedgerId};
use annals_core::record::record_id;
use annals_core::signature::{SigningKey, parse_author};
use annals_ordering::seal::{Chain, SealedRecord};
use annals_storage::disk::{Access, Disk, FileDisk};
use annals_storage::frame::HashedHeader;
use annals_storage::log::{CloseStep, Log, Step};
use annals_storage::recovery::recover;
use annals_storage::segment::{SegmentHeader, is_segment_size};
use std::ops::ControlFlow;
use std::path::Path;

/// Makes a ledger at a place that is missing or an empty directory, whole or not at all, at the time that there is.
pub(crate) fn create(place: &Path, creation: &Creation, time: &Time) -> Result<Home, OpenError> {
    check_free(place)?;
    if !is_segment_size(creation.segment_size) {
        return Err(OpenError::SegmentSize(creation.segment_size));
    }
    for author in creation.authors.iter().chain(&creation.admins) {
        parse_author(author).map_err(|error| OpenError::Author { author: *author, error })?;
    }
    let key_path = creation.ledger_key.as_deref().map(std::path::absolute).transpose();
    let key_path = key_path.map_err(|source| OpenError::System { operation: "find the ledger key", source })?;
    let given = key_path.as_deref().map(read_key).transpose().map_err(crate::home::HomeError::from)?;
    let beside = tempfile_name(place);
    remove_attempts(place);
    let home = Home::lay_out(&beside, creation.segment_size, key_path)?;
    let made = fill(&home, creation, given, time).and_then(|()| Ok(home.move_to(place)?));
    if made.is_err() {
        let _ = std::fs::remove_dir_all(&beside);
    }
    made
}

/// What the name of an attempt at a place starts with; the number of its process follows.
fn attempt_name(place: &Path) -> String {
    format!(".{}.new-", place.file_name().unwrap_or_default().to_string_lossy())
}

/// A name beside the place, so that moving there is one rename.
fn tempfile_name(place: &Path) -> std::path::PathBuf {
    parent(place).join(format!("{}{}", attempt_name(place), std::process::id()))
}

/// Removes what killed processes have left of attempts to make a ledger at this place: no ledgers, but keys lie in them.
fn remove_attempts(place: &Path) {
    let start = attempt_name(place);
    // Whatever can't be listed or removed is in nobody's way.
    let Ok(entries) = std::fs::read_dir(parent(place)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(&start)).and_then(|id| id.parse::<u32>().ok());
        let Some(process) = process else { continue };
        if process == std::process::id() || !Path::new("/proc").join(process.to_string()).exists() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn fill(home: &Home, creation: &Creation, given: Option<SigningKey>, time: &Time) -> Result<(), OpenError> {
    let key = match given {
        Some(key) => key,
        None => {
            let key = generate_key().map_err(crate::home::HomeError::from)?;
            write_key(&home.key_path(), &key).map_err(crate::home::HomeError::from)?;
            key
        }
    };
    let genesis = genesis(creation, &key)?;
    let disk = FileDisk::new(&home.segments(), Access::Write);
    let clock_ms = time.now().wall_ms;
    let claimed_ms = if creation.random.is_some() { 0 } else { clock_ms };
    let segment_key = random_bytes().map_err(crate::home::HomeError::from)?;
    append_genesis(
        &disk,
        &genesis,
        &key,
        Birth { segment_size: creation.segment_size, segment_key, clock_ms, claimed_ms },
    )?;
    Ok(home.settle()?)
}

fn genesis(creation: &Creation, key: &SigningKey) -> Result<Genesis, OpenError> {
    let mut random = creation.random.unwrap_or_default();
    if creation.random.is_none() {
        getrandom::fill(&mut random).map_err(|error| OpenError::System {
            operation: "get random bytes",
            source: std::io::Error::other(error.to_string()),
        })?;
    }
    let sorted = |keys: &[AuthorId]| {
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        keys.dedup();
        keys
    };
    let admins = if creation.admins.is_empty() { vec![key.public()] } else { sorted(&creation.admins) };
    let admission = if creation.authors.is_empty() { Admission::Open } else { Admission::Listed };
    let vkey = Vkey::new(&creation.origin, key.public())?;
    let genesis = Genesis { admission, vkey, admins, authors: sorted(&creation.authors), random };
    Genesis::parse(&genesis.encode()).map_err(OpenError::Genesis)
}

/// When and on what a ledger is born.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Birth {
    /// Bytes of each segment.
    pub(crate) segment_size: u64,
    /// Random key of the first segment.
    pub(crate) segment_key: [u8; 32],
    /// Ordered time of block 0, ms since the Unix epoch.
    pub(crate) clock_ms: u64,
    /// The time that the genesis record claims.
    pub(crate) claimed_ms: u64,
}

/// Writes block 0 to an empty disk and closes the log.
pub(crate) fn append_genesis(
    disk: &dyn Disk,
    genesis: &Genesis,
    key: &SigningKey,
    birth: Birth,
) -> Result<(), OpenError> {
    let Birth { segment_size, segment_key, clock_ms, claimed_ms } = birth;
    let (head, payload) = genesis.record(key, claimed_ms);
    let id = record_id(&head);
    let ledger = LedgerId::from_bytes(id.to_bytes());
    let first = SegmentHeader { ledger, number: 0, size: segment_size, key: segment_key };
    disk.create_segment(0, segment_size, &first.encode())?;
    let recovered = recover(disk, Some(ledger), &mut |_| ControlFlow::Continue(()))?;
    let (mut log, mut chain) = (Log::new(&recovered), Chain::empty(ledger));
    let Ok(layout) = BodyLayout::new(1, payload.len()) else { unreachable!("a genesis record is a record") };
    let Ok(plan) = log.plan(0, layout.size()) else { unreachable!("one record always fits") };
    loop {
        let mark = match log.step(&plan)? {
            Step::Seal => break,
            Step::Opening => log.seal_opening(chain.frontier()),
            Step::Start => log.seal_start(chain.frontier()),
            step @ (Step::Wait | Step::End | Step::Segment(_) | Step::Closed) => {
                unreachable!("{step:?} in a new segment")
            }
        };
        disk.write(mark.segment, mark.offset, &mark.buffer)?;
        log.completed(mark.ticket, Ok(()))?;
    }
    let mut buffer = log.buffer_for(&plan);
    let body = buffer.get_mut(plan.header_bytes()..plan.header_bytes() + layout.size()).unwrap_or_default();
    let mut writer = BodyWriter::new(layout, body);
    writer.push(&head, &payload);
    writer.finish();
    let sealed = chain.seal(std::iter::once(SealedRecord { record_id: id, item_count: 1 }), clock_ms);
    let hashed = HashedHeader { header: sealed.header, hash: sealed.hash };
    let block = log.seal_block(plan, buffer, hashed, &sealed.frontier_before);
    disk.write(block.segment, block.offset, &block.buffer)?;
    log.completed(block.ticket, Ok(()))?;
    log.add_checkpoint(crate::ledger::sign(&sealed.header, genesis, key));
    while log.close_step()? == CloseStep::Mark {
        let mark = log.seal_close(chain.frontier());
        disk.write(mark.segment, mark.offset, &mark.buffer)?;
        log.completed(mark.ticket, Ok(()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_killed_attempts_left_is_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("ledger");
        // No process has the highest number there is; the first one is always there.
        let names =
            [".ledger.new-4294967295", ".ledger.new-1", ".other.new-4294967295", ".ledger.new-x", "ledger.new-7"];
        names.iter().for_each(|name| std::fs::create_dir(directory.path().join(name)).unwrap());
        let creation = Creation { segment_size: 2 << 20, ..Creation::open("annals.example/left") };
        create(&place, &creation, &Time::Machine).unwrap();
        let there = names.map(|name| directory.path().join(name).exists());
        assert_eq!(there, [false, true, true, true, true]);
    }
}
