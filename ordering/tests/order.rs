//! Sequencing and sealing together: what is admitted, what is met, and that sealed blocks chain.
#![allow(clippy::unwrap_used, reason = "tests")]

use annals_core::checkpoint::{Checkpoint, Vkey};
use annals_core::genesis::{Admission, Genesis, engine_head};
use annals_core::hash::{AuthorId, BlockHash, LedgerId, RecordId, StateRoot, TreeHash};
use annals_core::leaf::LeafEntry;
use annals_core::record::{Head, Kind};
use annals_core::reopening::Reopening;
use annals_core::signature::SigningKey;
use annals_core::state_root::{Appointment, StateRootRecord};
use annals_core::tree::{Frontier, node_hash};
use annals_ordering::seal::{Chain, SealedRecord};
use annals_ordering::sequence::{Author, Next, SequenceError, Sequencer, Statement, Verdict};

const LEDGER: LedgerId = LedgerId::from_bytes([9; 32]);

fn author(seed: u8) -> AuthorId {
    SigningKey::from_seed(&[seed; 32]).public()
}

fn sequencer(admission: Admission) -> Sequencer {
    let authors = if admission == Admission::Listed { vec![author(2)] } else { Vec::new() };
    let vkey = Vkey::new("annals.example/order", author(1)).unwrap();
    let genesis = Genesis { admission, vkey, admins: vec![author(1)], authors, random: [0; 32] };
    let mut sequencer = Sequencer::new(LEDGER, genesis);
    for seed in 1..=3 {
        assert_eq!(sequencer.add(Author::new(author(seed))), u32::from(seed) - 1);
    }
    sequencer
}

fn head(seed: u8, nonce: u64, kind: Kind, payload: &[u8]) -> Head {
    engine_head(LEDGER, author(seed), nonce, 0, kind, payload)
}

/// Offers a record that would take this seq, in a block of its own.
fn offer(it: &mut Sequencer, slot: u32, head: &Head, payload: &[u8], seq: u64) -> Result<Verdict, SequenceError> {
    it.offer(slot, head, payload, Next { seq, height: seq })
}

const NOTICE: Kind = Kind::APPLICATION_FIRST;

#[test]
fn a_nonce_is_taken_once_and_a_refused_record_uses_none_up() {
    let mut it = sequencer(Admission::Listed);
    assert_eq!(offer(&mut it, 1, &head(2, 5, NOTICE, b""), b"", 1), Ok(Verdict::Accepted));
    assert_eq!(offer(&mut it, 1, &head(2, 5, NOTICE, b""), b"", 2), Ok(Verdict::Met));
    assert_eq!(
        offer(&mut it, 1, &head(2, 4, NOTICE, b""), b"", 2),
        Ok(Verdict::Accepted),
        "below the top, within the window"
    );
    assert_eq!(offer(&mut it, 2, &head(3, 1, NOTICE, b""), b"", 3).unwrap_err().code(), "author.not_admitted");
    assert_eq!(it.author(&author(3)).unwrap().window.top(), None);
    assert!(!it.author(&author(3)).unwrap().touched);
}

#[test]
fn admission_changes_from_the_next_record_on() {
    let mut it = sequencer(Admission::Listed);
    let named = author(3);
    let admit = head(1, 1, Kind::AUTHOR_ADMIT, named.as_bytes());
    assert_eq!(offer(&mut it, 0, &admit, named.as_bytes(), 10), Ok(Verdict::Accepted));
    assert_eq!(it.author(&named).unwrap().statement, Statement::Admitted(10));
    assert_eq!(offer(&mut it, 2, &head(3, 1, NOTICE, b""), b"", 11), Ok(Verdict::Accepted));
    let revoke = head(1, 2, Kind::AUTHOR_REVOKE, named.as_bytes());
    assert_eq!(offer(&mut it, 0, &revoke, named.as_bytes(), 12), Ok(Verdict::Accepted));
    assert_eq!(offer(&mut it, 2, &head(3, 2, NOTICE, b""), b"", 13).unwrap_err().code(), "author.not_admitted");
    assert_eq!(
        offer(&mut it, 0, &head(1, 3, NOTICE, b""), b"", 13).unwrap_err().code(),
        "author.not_admitted",
        "an admin is no author"
    );
    let forged = head(2, 1, Kind::AUTHOR_ADMIT, named.as_bytes());
    assert_eq!(offer(&mut it, 1, &forged, named.as_bytes(), 13).unwrap_err().code(), "engine.author");
}

#[test]
fn a_ledger_goes_on_by_its_own_key_and_from_no_later_checkpoint() {
    let mut it = sequencer(Admission::Open);
    let key = SigningKey::from_seed(&[1; 32]);
    let vkey = Vkey::new("annals.example/order", key.public()).unwrap();
    let checkpoint = Checkpoint { size: 10, root: TreeHash::ZERO };
    let payload = Reopening::of_copy(true, 7, checkpoint, checkpoint.sign(&vkey, &key)).encode(&vkey);
    let reopened = |seed, nonce| head(seed, nonce, Kind::REOPENED, &payload);
    assert_eq!(offer(&mut it, 1, &reopened(2, 1), &payload, 10).unwrap_err().code(), "engine.author");
    assert_eq!(offer(&mut it, 0, &reopened(1, 1), &payload, 9).unwrap_err().code(), "reopened.later");
    assert_eq!(
        offer(&mut it, 0, &reopened(1, 1), &payload, 10),
        Ok(Verdict::Accepted),
        "a refused one uses no nonce up"
    );
    let forged = Reopening::of_copy(true, 7, checkpoint, [7; 64]).encode(&vkey);
    let head = head(1, 2, Kind::REOPENED, &forged);
    assert_eq!(offer(&mut it, 0, &head, &forged, 11).unwrap_err().code(), "checkpoint.signature");
}

#[test]
fn a_state_root_is_said_by_an_appointed_host_of_a_block_below() {
    let mut it = sequencer(Admission::Listed);
    let appointment = Appointment::sign(LEDGER, &author(3), &SigningKey::from_seed(&[1; 32]));
    let said = |height| StateRootRecord { height, root: StateRoot::ZERO, appointment }.encode();
    let says = |it: &mut Sequencer, seed, nonce, height, seq| {
        offer(it, u32::from(seed) - 1, &head(seed, nonce, Kind::STATE_ROOT, &said(height)), &said(height), seq)
    };
    assert_eq!(says(&mut it, 3, 1, 10, 10).unwrap_err().code(), "state_root.later");
    assert_eq!(says(&mut it, 3, 1, 11, 10), Err(SequenceError::StateRoot { height: 11, next: 10 }));
    assert_eq!(says(&mut it, 3, 1, 9, 10), Ok(Verdict::Accepted), "unlisted, and a refused one uses no nonce up");
    assert_eq!(says(&mut it, 2, 1, 9, 11).unwrap_err().code(), "state_root.appointment", "admitted is not appointed");
    let named = author(3);
    for (nonce, kind, taken) in [(1, Kind::AUTHOR_REVOKE, false), (2, Kind::AUTHOR_ADMIT, true)] {
        assert!(offer(&mut it, 0, &head(1, nonce, kind, named.as_bytes()), named.as_bytes(), 12).is_ok());
        let answer = says(&mut it, 3, 1 + nonce, 0, 13);
        assert_eq!(answer, if taken { Ok(Verdict::Accepted) } else { Err(SequenceError::NotAdmitted) });
    }
}

#[test]
fn a_countersign_is_by_an_admitted_author() {
    for admission in [Admission::Listed, Admission::Open] {
        let mut it = sequencer(admission);
        let signs = |it: &mut Sequencer, seed, nonce| {
            offer(it, u32::from(seed) - 1, &head(seed, nonce, Kind::COUNTERSIGN, &[5; 32]), &[5; 32], 9)
        };
        assert_eq!(signs(&mut it, 2, 1), Ok(Verdict::Accepted), "whether the record is there is not asked");
        assert_eq!(signs(&mut it, 3, 1).is_ok(), admission == Admission::Open);
        let named = author(2);
        let revoke = head(1, 1, Kind::AUTHOR_REVOKE, named.as_bytes());
        assert!(offer(&mut it, 0, &revoke, named.as_bytes(), 10).is_ok());
        assert_eq!(signs(&mut it, 2, 2), Err(SequenceError::NotAdmitted));
    }
}

#[test]
fn an_open_ledger_takes_every_author_but_the_revoked() {
    let mut it = sequencer(Admission::Open);
    assert_eq!(offer(&mut it, 2, &head(3, 1, NOTICE, b""), b"", 1), Ok(Verdict::Accepted));
    let named = author(3);
    assert!(offer(&mut it, 0, &head(1, 1, Kind::AUTHOR_REVOKE, named.as_bytes()), named.as_bytes(), 2).is_ok());
    assert_eq!(offer(&mut it, 2, &head(3, 2, NOTICE, b""), b"", 3).unwrap_err().code(), "author.not_admitted");
}

#[test]
fn a_slot_of_another_author_or_ledger_is_no_way_in() {
    let mut it = sequencer(Admission::Open);
    assert_eq!(offer(&mut it, 0, &head(3, 1, NOTICE, b""), b"", 1).unwrap_err().code(), "author.evicted");
    assert_eq!(offer(&mut it, 77, &head(3, 1, NOTICE, b""), b"", 1).unwrap_err().code(), "author.evicted");
    let mut other = head(3, 1, NOTICE, b"");
    other.ledger = LedgerId::from_bytes([8; 32]);
    assert_eq!(offer(&mut it, 2, &other, b"", 1).unwrap_err().code(), "record.ledger");
}

#[test]
fn sealed_blocks_chain_and_time_never_goes_back() {
    let mut chain = Chain::empty(LEDGER);
    let record = |n: u8| SealedRecord { record_id: RecordId::from_bytes([n; 32]), item_count: 2 };
    let first = chain.seal([record(1)].into_iter(), 100);
    assert_eq!((first.header.height, first.header.first_seq, first.header.previous), (0, 0, BlockHash::ZERO));
    let second = chain.seal([record(2), record(3)].into_iter(), 90);
    assert_eq!(second.header.follows(Some(&first.header)), Ok(()));
    assert_eq!((second.header.ordered_time_ms, second.header.item_count, chain.next_seq()), (100, 4, 3));
    // The root of three leaves, from the RFC's definition: node(node(a, b), c).
    let leaf =
        |n: u8, height| LeafEntry { record_id: RecordId::from_bytes([n; 32]), height, ordered_time_ms: 100 }.hash();
    let root = node_hash(&node_hash(&leaf(1, 0), &leaf(2, 1)), &leaf(3, 1));
    assert_eq!(second.header.root, root);
    assert_eq!(second.frontier_before.size(), 1);
    let resumed = Chain::resume(second.header, Frontier::from_hashes(3, chain.frontier().hashes()).unwrap());
    assert_eq!(resumed.next_height(), 2);
}
