//! Forgeries by somebody who has the disk and computes every sum anew: `check` looks behind the sums.

use crate::support::{Place, SMALL, key, options, record};
use annals::{CheckError, CheckOptions, Creation, Kind, Ledger, RecordBuilder, check_ledger, check_with};
use annals_core::block::BlockHeader;
use annals_core::body::{Body, BodyLayout, BodyWriter};
use annals_core::hash::TreeHash;
use annals_core::leaf::LeafEntry;
use annals_core::record::record_id;
use annals_core::tree::Frontier;
use annals_storage::disk::{Access, Disk, FileDisk};
use annals_storage::frame::{HashedHeader, Slot};
use annals_storage::log::{CloseStep, Log, Step};
use annals_storage::recovery::recover;
use std::ops::ControlFlow;
use std::path::Path;

/// Appends a block of these records, as they are, to a closed ledger, with right sums and a right chain; `alter` may
/// change its header.
pub(crate) fn forge(path: &Path, records: &[Vec<u8>], alter: impl Fn(&mut BlockHeader)) {
    forge_with(path, records, alter, |_| None);
}

/// As [`forge`]; the frame behind the block may store a checkpoint of it.
pub(crate) fn forge_with(
    path: &Path,
    records: &[Vec<u8>],
    alter: impl Fn(&mut BlockHeader),
    checkpoint: impl Fn(&BlockHeader) -> Option<Slot>,
) {
    let disk = FileDisk::new(&path.join("segments"), Access::Write);
    let mut frontier = Frontier::new();
    let recovered = recover(&disk, None, &mut |frame| {
        frontier = frame.header.frontier.clone();
        if let Some(block) = frame.header.block() {
            for head in Body::parse(frame.body).unwrap().heads() {
                frontier.push(leaf(head, &block.header));
            }
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    let (mut log, newest) = (Log::new(&recovered), recovered.tail.newest.unwrap().header);
    let parts: Vec<(&[u8; 192], &[u8])> = records.iter().map(|record| record.split_first_chunk().unwrap()).collect();
    let payload_bytes = parts.iter().map(|(_, payload)| payload.len()).sum();
    let layout = BodyLayout::new(parts.len(), payload_bytes).unwrap();
    let mut header = BlockHeader {
        record_count: parts.len() as u32,
        height: newest.height + 1,
        first_seq: newest.next_seq(),
        item_count: parts.len() as u64,
        previous: newest.hash(),
        root: TreeHash::from_bytes([0; 32]),
        ..newest
    };
    let before = frontier.clone();
    parts.iter().for_each(|(head, _)| frontier.push(leaf(head, &header)));
    header.root = frontier.root();
    alter(&mut header);
    let plan = log.plan(before.hashes().len(), layout.size()).unwrap();
    while log.step(&plan).unwrap() == Step::Opening {
        let mark = log.seal_opening(&before);
        disk.write(mark.segment, mark.offset, &mark.buffer).unwrap();
        log.completed(mark.ticket, Ok(())).unwrap();
    }
    let mut buffer = log.buffer_for(&plan);
    let start = plan.header_bytes();
    let mut writer = BodyWriter::new(layout, &mut buffer[start..start + layout.size()]);
    parts.iter().for_each(|(head, payload)| writer.push(head, payload));
    writer.finish();
    let block = log.seal_block(plan, buffer, HashedHeader::new(header), &before);
    disk.write(block.segment, block.offset, &block.buffer).unwrap();
    log.completed(block.ticket, Ok(())).unwrap();
    if let Some(slot) = checkpoint(&header) {
        log.add_checkpoint(slot);
    }
    // A header that miscounts its records leaves nothing that the log would close behind it.
    while header.next_seq() == frontier.size() && log.close_step().unwrap() == CloseStep::Mark {
        let mark = log.seal_close(&frontier);
        disk.write(mark.segment, mark.offset, &mark.buffer).unwrap();
        log.completed(mark.ticket, Ok(())).unwrap();
    }
}

fn leaf(head: &[u8; 192], block: &BlockHeader) -> TreeHash {
    let (height, ordered_time_ms) = (block.height, block.ordered_time_ms);
    LeafEntry { record_id: record_id(head), height, ordered_time_ms }.hash()
}

/// A closed ledger of three records by one listed author, and the next two of its records.
fn ledger() -> (Place, Vec<Vec<u8>>) {
    let place = Place::new();
    let creation = Creation { segment_size: SMALL, ..Creation::listed("annals.example/forged", &[key(1).public()]) };
    let ledger = Ledger::create(&place.path(), &creation, options()).unwrap();
    let mut appender = ledger.appender().unwrap();
    for nonce in 0..3 {
        appender.append_wait(&record(ledger.id(), &key(1), nonce, b"true")).unwrap();
    }
    let next = (3..5).map(|nonce| record(ledger.id(), &key(1), nonce, b"next")).collect();
    ledger.close().unwrap();
    (place, next)
}

/// What `check` says of a ledger whose last block was forged.
fn found(records: impl FnOnce(&mut Vec<Vec<u8>>), alter: impl Fn(&mut BlockHeader)) -> Result<u64, (u64, String)> {
    let (place, mut next) = ledger();
    records(&mut next);
    forge(&place.path(), &next, alter);
    match check_ledger(&place.path(), None, &mut |_, _| {}) {
        Ok(report) => Ok(report.records),
        Err(CheckError::Record { seq, finding, .. }) => Err((seq, finding.to_string())),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_true_block_written_by_another_hand_is_sound() {
    assert_eq!(found(|_| {}, |_| {}), Ok(6));
}

#[test]
fn what_no_sum_shows_is_found_and_named() {
    let finding = |records: fn(&mut Vec<Vec<u8>>), alter: fn(&mut BlockHeader)| found(records, alter).unwrap_err();
    let same = |_: &mut BlockHeader| {};
    let (seq, words) = finding(|next| next[1][150] ^= 1, same);
    assert_eq!((seq, words.as_str()), (5, "the signature does not hold"));
    let (seq, words) = finding(|next| *next[1].last_mut().unwrap() ^= 1, same);
    assert!(seq == 5 && words.contains("payload hashes to"), "{words}");
    let (seq, words) = finding(|next| next[1] = next[0].clone(), same);
    assert!(seq == 5 && words.contains("a second time"), "{words}");
    let (_, words) = finding(
        |next| {
            let id = annals_core::record::Record::parse(&next[0]).unwrap().head.ledger;
            next[1] = record(id, &key(2), 0, b"by nobody");
        },
        same,
    );
    assert!(words.contains("not admitted"), "{words}");
    let (_, words) = finding(
        |next| {
            let id = annals_core::record::Record::parse(&next[0]).unwrap().head.ledger;
            let builder = RecordBuilder::new(id, Kind::AUTHOR_ADMIT).unsalted().nonce(9);
            next[1] = builder.sign(&key(1), key(2).public().as_bytes()).unwrap().bytes().to_vec();
        },
        same,
    );
    assert!(words.contains("admin"), "{words}");
    let (seq, words) = finding(|_| {}, |header| header.root = TreeHash::from_bytes([9; 32]));
    assert!(seq == 4 && words.contains("tree root"), "{words}");
    let (seq, words) = finding(|_| {}, |header| header.item_count += 1);
    assert!(seq == 4 && words.contains("items"), "{words}");
    let more = |header: &mut BlockHeader| (header.record_count, header.item_count) = (3, 3);
    let (seq, words) = finding(|_| {}, more);
    assert!(seq == 4 && words.contains("3 records, its body has 2"), "{words}");
}

#[test]
fn of_all_that_is_wrong_what_comes_first_is_told() {
    // A signature, which is verified late, in front of a payload, which is verified early.
    let (place, mut next) = ledger();
    next[1][150] ^= 1;
    forge(&place.path(), &next, |_| {});
    let id = annals_core::record::Record::parse(&next[0]).unwrap().head.ledger;
    let mut last = record(id, &key(1), 9, b"last");
    *last.last_mut().unwrap() ^= 1;
    forge(&place.path(), &[last], |_| {});
    let check = |signatures| {
        let options = CheckOptions { signatures, ..CheckOptions::default() };
        let error = check_with(&place.path(), &options, &mut |_, _| {}).unwrap_err();
        (error.place().2, error.finding().unwrap().code())
    };
    assert_eq!(check(true), (Some(5), "finding.signature"));
    assert_eq!(check(false), (Some(6), "finding.content"));
}

#[test]
fn a_bad_signature_goes_unseen_only_where_none_is_verified() {
    let (place, mut next) = ledger();
    next[1][150] ^= 1;
    forge(&place.path(), &next, |_| {});
    let check = |signatures| {
        let options = CheckOptions { signatures, ..CheckOptions::default() };
        check_with(&place.path(), &options, &mut |_, _| {})
    };
    let report = check(false).unwrap();
    assert!(!report.signatures && report.records == 6);
    let error = check(true).unwrap_err();
    assert_eq!(error.finding().unwrap().code(), "finding.signature");
    assert_eq!((error.code(), error.place().2), ("check.record", Some(5)));
}

#[test]
fn a_stored_checkpoint_that_nobody_signed_or_of_no_block_is_found() {
    for (less, signatures, found) in [(0, true, true), (0, false, false), (1, true, true), (1, false, true)] {
        let (place, next) = ledger();
        let signature = [5; 64];
        let slot = |block: &BlockHeader| Some(Slot { size: block.next_seq() - less, height: block.height, signature });
        forge_with(&place.path(), &next, |_| {}, slot);
        let options = CheckOptions { signatures, ..CheckOptions::default() };
        let result = check_with(&place.path(), &options, &mut |_, _| {});
        let code = result.as_ref().err().map(|error| error.finding().unwrap().code());
        assert_eq!(code, found.then_some("finding.stored_checkpoint"), "{less} {signatures}");
    }
}

#[test]
fn a_nonce_used_segments_ago_is_known_to_a_check_of_the_end() {
    let place = Place::new();
    let ledger = place.create();
    let mut appender = ledger.appender().unwrap();
    let first = record(ledger.id(), &key(1), 7, b"first");
    appender.append_wait(&first).unwrap();
    for nonce in 8..12 {
        appender.append_wait(&record(ledger.id(), &key(1), nonce, &vec![1; 1 << 20])).unwrap();
    }
    let next = record(ledger.id(), &key(1), 12, b"next");
    ledger.close().unwrap();
    for missing in [false, true] {
        let forged = place.beside(if missing { "missing" } else { "there" });
        crate::support::copy(&place.path(), &forged);
        if missing {
            std::fs::remove_file(forged.join("index/0000000000.idx")).unwrap();
        }
        let options = CheckOptions { since: Some(5), ..CheckOptions::default() };
        assert!(1 < check_with(&forged, &options, &mut |_, _| {}).unwrap().since);
        forge(&forged, &[next.clone(), first.clone()], |_| {});
        let error = check_with(&forged, &options, &mut |_, _| {}).unwrap_err();
        assert_eq!((error.finding().unwrap().code(), error.place().2), ("replay.nonce", Some(7)));
    }
}

#[test]
fn a_reopening_from_a_checkpoint_of_another_tree_is_found() {
    for (size, changed) in [(3, 0), (1, 0), (3, 1), (1, 1)] {
        let (place, _) = ledger();
        let ledger_key = annals::read_key(&place.path().join("ledger.key")).unwrap();
        let reader = annals::Reader::open(&place.path()).unwrap();
        let (id, vkey) = (reader.id(), reader.vkey().clone());
        let note = reader.prove(size - 1).unwrap().checkpoint;
        let mut checkpoint = annals::Checkpoint::open(&note, &vkey).unwrap();
        assert_eq!(checkpoint.size, size, "a record a block");
        let mut root = *checkpoint.root.as_bytes();
        root[7] ^= changed;
        checkpoint.root = TreeHash::from_bytes(root);
        let signature = checkpoint.sign(&vkey, &ledger_key);
        let payload = annals::Reopening::of_copy(true, 7, checkpoint, signature).encode(&vkey);
        let builder = RecordBuilder::new(id, Kind::REOPENED).unsalted().nonce(1);
        forge(&place.path(), &[builder.sign(&ledger_key, &payload).unwrap().bytes().to_vec()], |_| {});
        match check_ledger(&place.path(), None, &mut |_, _| {}) {
            Ok(report) => assert_eq!((report.records, changed), (5, 0)),
            Err(CheckError::Record { seq: 4, finding, .. }) if changed == 1 => {
                assert!(finding.to_string().contains("reopened from a checkpoint"), "{finding}");
            }
            Err(other) => panic!("{size}: {other}"),
        }
    }
}
