//! A small ledger by hand: genesis, a block, a bundle; receipts and item proofs of it, and damage to them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use annals_core::block::BlockHeader;
use annals_core::bundle::{self, Bundle};
use annals_core::checkpoint::{Checkpoint, Vkey};
use annals_core::genesis::{Admission, Genesis, GenesisError, Order, engine_head, order};
use annals_core::hash::{BlockHash, LedgerId, RecordId, StateRoot};
use annals_core::item_proof::ItemProof;
use annals_core::leaf::LeafEntry;
use annals_core::limits::HEAD_SIZE;
use annals_core::proof::inclusion_path;
use annals_core::receipt::{Receipt, Step};
use annals_core::receipt_json::{Disclosure, ReceiptJson};
use annals_core::record::{Flags, Head, Kind, Record, content_hash, record_id};
use annals_core::reopening::Reopening;
use annals_core::signature::SigningKey;
use annals_core::state_root::{Appointment, StateRootRecord};
use annals_core::tree::Frontier;
use proptest::prelude::*;

struct Ledger {
    vkey: Vkey,
    genesis: Genesis,
    genesis_record: Vec<u8>,
    receipt: Receipt,
    bundle: Vec<u8>,
}

fn ledger() -> Ledger {
    let (key, author) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
    let vkey = Vkey::new("annals.example/test", key.public()).unwrap();
    let genesis = Genesis {
        admission: Admission::Listed,
        vkey: vkey.clone(),
        admins: vec![key.public()],
        authors: vec![author.public()],
        random: [3; 32],
    };
    let (genesis_head, genesis_payload) = genesis.record(&key, 1);
    let id = LedgerId::from_bytes(record_id(&genesis_head).to_bytes());
    let mut frontier = Frontier::new();
    frontier.push(LeafEntry { record_id: record_id(&genesis_head), height: 0, ordered_time_ms: 5 }.hash());
    let before = frontier.clone();

    let bundle = bundle::encode(&[[b"", b"one"], [b"", b""], [b"", b"three"]]).unwrap();
    let mut leaves = Vec::new();
    let mut heads = Vec::new();
    for (nonce, (count, payload)) in [(1, &b"a notice"[..]), (3, &bundle[..]), (1, &b""[..])].into_iter().enumerate() {
        let mut head = engine_head(id, author.public(), nonce as u64, 7, Kind(0x1_0000), payload);
        head.item_count = count;
        head.content_hash = content_hash(count, payload).unwrap();
        let mut head = head.encode();
        author.sign_head(&mut head);
        let entry = LeafEntry { record_id: record_id(&head), height: 1, ordered_time_ms: 9 };
        leaves.push(entry.hash());
        heads.push((head, entry));
        frontier.push(entry.hash());
    }
    let checkpoint = Checkpoint { size: frontier.size(), root: frontier.root() };
    let (head, leaf) = heads[1];
    let receipt = Receipt {
        seq: 2,
        head,
        leaf,
        path: inclusion_path(&before, &leaves, 2).unwrap(),
        checkpoint: checkpoint.note(&vkey, &checkpoint.sign(&vkey, &key)),
    };
    Ledger { vkey, genesis, genesis_record: [&genesis_head[..], &genesis_payload].concat(), receipt, bundle }
}

#[test]
fn a_good_receipt_holds_and_reads_back() {
    let it = ledger();
    let head = it.receipt.verify(&it.vkey).unwrap();
    assert_eq!(Receipt::parse(&it.receipt.encode()).unwrap(), it.receipt);
    assert_eq!(it.receipt.verify_payload(&it.bundle), Ok(()));
    assert_eq!(it.receipt.verify_payload(b"other").unwrap_err().code(), "content.size");
    let hashes = Bundle::parse(3, &it.bundle).unwrap().item_hashes().collect();
    let proof = ItemProof { index: 2, hashes };
    assert_eq!(proof.verify(&head, b"three"), Ok(()));
    assert_eq!(proof.verify(&head, b"one").unwrap_err().code(), "item.item");
    assert_eq!(ItemProof::parse(&proof.encode()), Ok(proof));
}

#[test]
fn a_receipt_of_another_ledger_is_refused_by_name() {
    let it = ledger();
    let other = Vkey::new("annals.example/other", it.vkey.key()).unwrap();
    assert_eq!(it.receipt.verify(&other).unwrap_err().0, Step::Checkpoint);
    let thief = Vkey::new(it.vkey.origin(), SigningKey::from_seed(&[9; 32]).public()).unwrap();
    assert_eq!(it.receipt.verify(&thief).unwrap_err().1.code(), "checkpoint.unsigned");
    let mut moved = it.receipt.clone();
    moved.seq = 1;
    assert_eq!(moved.verify(&it.vkey).unwrap_err().0, Step::Inclusion);
    let mut later = it.receipt;
    later.leaf.ordered_time_ms += 1;
    assert_eq!(later.verify(&it.vkey).unwrap_err().0, Step::Inclusion, "the time is proved, too");
}

proptest! {
    #[test]
    fn every_bit_of_a_receipt_counts(at in any::<prop::sample::Index>()) {
        let it = ledger();
        let mut bytes = it.receipt.encode();
        let bit = at.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!Receipt::parse(&bytes).is_ok_and(|receipt| receipt.verify(&it.vkey).is_ok()), "bit {bit}");
    }

    #[test]
    fn every_bit_of_an_item_proof_counts(at in any::<prop::sample::Index>()) {
        let it = ledger();
        let head = it.receipt.head().unwrap();
        let hashes = Bundle::parse(3, &it.bundle).unwrap().item_hashes().collect();
        let mut bytes = ItemProof { index: 0, hashes }.encode();
        let bit = at.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!ItemProof::parse(&bytes).is_ok_and(|proof| proof.verify(&head, b"one").is_ok()), "bit {bit}");
    }

    #[test]
    fn every_bit_of_genesis_counts(at in any::<prop::sample::Index>()) {
        let it = ledger();
        let record = Record::parse(&it.genesis_record).unwrap();
        prop_assert_eq!(Genesis::from_record(&record).unwrap(), it.genesis);
        let mut bytes = it.genesis_record;
        let bit = HEAD_SIZE * 8 + at.index((bytes.len() - HEAD_SIZE) * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Genesis::from_record(&Record::parse(&bytes).unwrap()).is_err());
    }
}

#[test]
fn genesis_fields_out_of_range_are_refused_by_name() {
    let it = ledger();
    let payload = it.genesis.encode();
    let table: &[(usize, u8, &str)] = &[
        (0, b'X', "genesis.magic"),
        (4, 2, "genesis.version"),
        (8, 3, "genesis.field"),
        (8, 2, "genesis.field"),
        (9, 2, "genesis.field"),
        (10, 3, "genesis.field"),
        (11, 18, "genesis.vkey"),
        (28, 0, "genesis.field"),
        (30, 2, "genesis.size"),
    ];
    for (offset, value, code) in table {
        let mut bad = payload.clone();
        bad[*offset] = *value;
        assert_eq!(Genesis::parse(&bad).unwrap_err().code(), *code, "at {offset}");
    }
    let mut twice = it.genesis.clone();
    twice.authors.push(twice.authors[0]);
    assert_eq!(Genesis::parse(&twice.encode()), Err(GenesisError::Order("authors")));
}

#[test]
fn engine_records_are_taken_from_those_entitled_alone() {
    let it = ledger();
    let id = LedgerId::from_bytes([1; 32]);
    let (admin, other, named) = (it.genesis.admins[0], it.genesis.authors[0], SigningKey::from_seed(&[8; 32]).public());
    let ask =
        |kind, author, payload: &[u8]| order(&it.genesis, &engine_head(id, author, 1, 1, Kind(kind), payload), payload);
    assert_eq!(ask(1, admin, b""), Ok(Order::Tick));
    assert_eq!(ask(2, admin, named.as_bytes()), Ok(Order::Admit(named)));
    assert_eq!(ask(3, admin, named.as_bytes()), Ok(Order::Revoke(named)));
    assert_eq!(ask(1, other, b"").unwrap_err().code(), "engine.author");
    assert_eq!(ask(2, other, named.as_bytes()).unwrap_err().code(), "engine.author");
    assert_eq!(ask(1, admin, b"x").unwrap_err().code(), "engine.payload_size");
    assert_eq!(ask(2, admin, &[0; 31]).unwrap_err().code(), "engine.payload_size");
    assert_eq!(ask(2, admin, &[0; 32]).unwrap_err().code(), "key.torsion");
    let reopening = Reopening::by_clock(1_700_000_000_000);
    let payload = reopening.encode(&it.genesis.vkey);
    assert_eq!(ask(8, admin, &payload), Ok(Order::Reopen(reopening)));
    assert_eq!(ask(8, other, &payload).unwrap_err().code(), "engine.author");
    assert_eq!(ask(8, admin, b"").unwrap_err().code(), "reopened.size");
    for reserved in [0, 4, 5, 9, 0xFFFF] {
        assert_eq!(ask(reserved, admin, b"").unwrap_err().code(), "engine.kind", "kind {reserved}");
    }
}

#[test]
fn a_state_root_is_by_an_appointed_host_and_a_countersign_names_a_record() {
    let it = ledger();
    let (id, key) = (LedgerId::from_bytes([1; 32]), SigningKey::from_seed(&[1; 32]));
    let host = SigningKey::from_seed(&[7; 32]).public();
    let appointment = Appointment::sign(id, &host, &key);
    let said = StateRootRecord { height: 3, root: StateRoot::from_bytes([4; 32]), appointment };
    let (state_root, record) = (said.encode(), RecordId::from_bytes([5; 32]));
    let head = |kind, author, payload: &[u8]| engine_head(id, author, 1, 1, kind, payload);
    let ask = |head: &Head, payload: &[u8]| order(&it.genesis, head, payload);
    assert_eq!(ask(&head(Kind::STATE_ROOT, host, &state_root), &state_root), Ok(Order::StateRoot(said)));
    let countersign = head(Kind::COUNTERSIGN, host, record.as_bytes());
    assert_eq!(ask(&countersign, record.as_bytes()), Ok(Order::Countersign(record)), "sequencing asks for admission");
    let code = |head: Head, payload: &[u8]| ask(&head, payload).unwrap_err().code();
    // Not even the ledger key speaks for the contracts without its own appointment.
    for other in [it.genesis.admins[0], it.genesis.authors[0]] {
        assert_eq!(code(head(Kind::STATE_ROOT, other, &state_root), &state_root), "state_root.appointment");
    }
    let elsewhere = Head { ledger: LedgerId::from_bytes([2; 32]), ..head(Kind::STATE_ROOT, host, &state_root) };
    assert_eq!(code(elsewhere, &state_root), "state_root.appointment");
    for (kind, payload, size) in [
        (Kind::STATE_ROOT, &state_root[..], "state_root.size"),
        (Kind::COUNTERSIGN, record.as_bytes(), "engine.payload_size"),
    ] {
        for flags in [Flags::SEALED, Flags::SALTED] {
            assert_eq!(code(Head { flags, ..head(kind, host, payload) }, payload), "engine.form");
        }
        assert_eq!(code(Head { item_count: 2, ..head(kind, host, payload) }, payload), "engine.form");
        for wrong in [&payload[1..], &[payload, &[0]].concat(), b""] {
            assert_eq!(code(head(kind, host, wrong), wrong), size);
        }
    }
}

#[test]
fn a_block_follows_its_predecessor_alone() {
    let header = |height, first_seq, time, previous| BlockHeader {
        record_count: 2,
        ledger: LedgerId::from_bytes([1; 32]),
        height,
        first_seq,
        item_count: 2,
        ordered_time_ms: time,
        previous,
        root: Frontier::new().root(),
    };
    let first = header(0, 0, 10, BlockHash::ZERO);
    assert_eq!(BlockHeader::parse(&first.encode()), Ok(first));
    assert_eq!(first.follows(None), Ok(()));
    assert_eq!(header(1, 2, 10, first.hash()).follows(Some(&first)), Ok(()));
    let table = [
        (header(2, 2, 10, first.hash()), "block.height"),
        (header(1, 3, 10, first.hash()), "block.first_seq"),
        (header(1, 2, 9, first.hash()), "block.time"),
        (header(1, 2, 10, BlockHash::ZERO), "block.previous"),
    ];
    for (block, code) in table {
        assert_eq!(block.follows(Some(&first)).unwrap_err().code(), code);
    }
    // Block hash by BLAKE3's own function over FORMAT.md's bytes.
    assert_eq!(first.hash().to_bytes(), blake3::derive_key("annals.block.v1", &first.encode()));
}

#[test]
fn receipts_as_json_read_back_and_show_their_payload() {
    let it = ledger();
    let hashes = Bundle::parse(3, &it.bundle).unwrap().item_hashes().collect();
    let item = Disclosure::Item { proof: ItemProof { index: 2, hashes }, salt: None };
    for (disclosure, content, other) in
        [(item, &b"three"[..], &b"one"[..]), (Disclosure::None, b"one\n\nthree\n", b"one\n\nthree\n\n")]
    {
        let json = ReceiptJson { receipt: it.receipt.clone(), disclosure };
        let text = json.encode().unwrap();
        assert_eq!(ReceiptJson::parse(&text).unwrap(), json);
        assert_eq!(json.verify_payload(content), Ok(()));
        assert!(json.verify_payload(other).is_err());
    }
    let salt = ReceiptJson { receipt: it.receipt, disclosure: Disclosure::Salt([1; 32]) };
    let error = ReceiptJson::parse(&salt.encode().unwrap()).unwrap_err();
    assert_eq!(error.code(), "receipt.field", "an unsalted bundle has no salt");
}

proptest! {
    #[test]
    fn every_changed_character_of_a_json_receipt_counts(at in any::<prop::sample::Index>(), to in 0x20..0x7Fu8) {
        let it = ledger();
        let hashes = Bundle::parse(3, &it.bundle).unwrap().item_hashes().collect();
        let disclosure = Disclosure::Item { proof: ItemProof { index: 2, hashes }, salt: None };
        let text = ReceiptJson { receipt: it.receipt, disclosure }.encode().unwrap();
        let mut bytes = text.clone().into_bytes();
        let place = at.index(bytes.len());
        bytes[place] = to;
        let damaged = String::from_utf8_lossy(&bytes);
        let accepted = ReceiptJson::parse(&damaged)
            .is_ok_and(|json| json.receipt.verify(&it.vkey).is_ok() && json.verify_payload(b"three").is_ok());
        prop_assert_eq!(accepted, damaged == text, "at {}: {}", place, damaged);
    }
}
