//! Records, bundles and key files.

use super::{damage, number};
use annals_core::bundle::{self, Bundle};
use annals_core::genesis::engine_head;
use annals_core::hash::{ContentHash, LedgerId};
use annals_core::item_proof::ItemProof;
use annals_core::limits::{ITEM_COUNT_MAX, KEY_FILE_SIZE_MAX, PAYLOAD_SIZE_MAX};
use annals_core::record::{Flags, Head, Kind, Record, SUITE_ED25519, content_hash};
use annals_core::signature::{SigningKey, verify_head, verify_head_by_equation};
use annals_core::{key_file as keys, record as records};

fn key() -> SigningKey {
    SigningKey::from_seed(&[5; 32])
}

/// A signed plain record of this payload.
fn signed(payload: &[u8], nonce: u64) -> Vec<u8> {
    let head = Head {
        suite: SUITE_ED25519,
        flags: Flags::NONE,
        item_count: 1,
        ledger: LedgerId::from_bytes([7; 32]),
        author: key().public(),
        nonce,
        claimed_time_ms: 1_700_000_000_000,
        kind: Kind::APPLICATION_FIRST,
        payload_size: payload.len() as u32,
        content_hash: content_hash(1, payload).unwrap(),
        signature: [0; 64],
    };
    let mut bytes = head.encode();
    key().sign_head(&mut bytes);
    [&bytes[..], payload].concat()
}

/// Whatever is taken for a record has one encoding; no damage to a signed one passes.
pub fn record(data: &[u8]) {
    parse_record(data);
    let (size, rest) = number(data);
    let payload = rest.get(..size % 300).unwrap_or(rest);
    let mut bytes = signed(payload, size as u64);
    assert!(Record::parse(&bytes).unwrap().verify_content().is_ok());
    if damage(&mut bytes, rest) {
        parse_record(&bytes);
        let passes = |it: Record<'_>| it.verify_content().is_ok() && verify_head(it.head_bytes);
        assert!(!Record::parse(&bytes).is_ok_and(passes), "a damaged record passes");
    }
}

fn parse_record(bytes: &[u8]) {
    let Ok(record) = Record::parse(bytes) else { return };
    assert_eq!([&record.head.encode()[..], record.payload].concat(), bytes);
    assert!(record.payload.len() <= PAYLOAD_SIZE_MAX && usize::from(record.head.item_count) <= ITEM_COUNT_MAX);
    assert_eq!(record.head.check(), Ok(()));
    assert_eq!(verify_head(record.head_bytes), verify_head_by_equation(record.head_bytes));
    let _ = record.verify_content();
    let _ = records::record_id(record.head_bytes);
}

pub fn record_seeds() -> Vec<Vec<u8>> {
    vec![vec![], signed(b"", 0), signed(b"a notice", 1), signed(&[9; 200], u64::MAX), vec![1; 40]]
}

/// Whatever is taken for a bundle is made of its items; no damage leaves its hash.
pub fn bundle(data: &[u8]) {
    let (count, rest) = number(data);
    parse_bundle(count as u16, rest);
    if let Ok(proof) = ItemProof::parse(data) {
        assert_eq!(proof.encode(), data, "an item proof has one encoding");
        assert!(usize::from(proof.index) < proof.hashes.len() && proof.hashes.len() <= ITEM_COUNT_MAX);
    }
    let items: Vec<&[u8]> = rest.chunks(1 + count % 40).take(64).collect();
    if items.len() < 2 {
        return;
    }
    let parts: Vec<[&[u8]; 2]> = items.iter().map(|item| [&[][..], *item]).collect();
    let mut payload = bundle::encode(&parts).unwrap();
    let item_count = items.len() as u16;
    let whole = parse_bundle(item_count, &payload).expect("a bundle that was encoded parses");
    if damage(&mut payload, rest) {
        assert_ne!(parse_bundle(item_count, &payload), Some(whole), "a damaged bundle has the same hash");
    }
    prove_item(&items, whole, count, rest);
}

/// A proof shows the item that is at its place, and damaged none but one that is equal to it.
fn prove_item(items: &[&[u8]], content_hash: ContentHash, choice: usize, data: &[u8]) {
    let author = key().public();
    let head = engine_head(LedgerId::from_bytes([7; 32]), author, 0, 0, Kind::APPLICATION_FIRST, &[]);
    let head = Head { item_count: items.len() as u16, content_hash, ..head };
    let hashes: Vec<_> = items.iter().map(|item| bundle::item_hash(item)).collect();
    let index = choice % items.len();
    let proof = ItemProof { index: index as u16, hashes: hashes.clone() };
    assert_eq!(proof.verify(&head, items[index]), Ok(()));
    let mut bytes = proof.encode();
    assert_eq!(ItemProof::parse(&bytes).as_ref(), Ok(&proof));
    if damage(&mut bytes, data)
        && let Ok(damaged) = ItemProof::parse(&bytes)
    {
        assert_eq!(damaged.encode(), bytes, "an item proof has one encoding");
        let sound = damaged.hashes == hashes && items[usize::from(damaged.index)] == items[index];
        assert_eq!(damaged.verify(&head, items[index]).is_ok(), sound, "a damaged proof shows an item");
    }
}

fn parse_bundle(count: u16, payload: &[u8]) -> Option<ContentHash> {
    let bundle = Bundle::parse(count, payload).ok()?;
    assert_eq!(bundle.item_count(), usize::from(count));
    let parts: Vec<[&[u8]; 2]> = bundle.items().map(|item| [&[][..], item]).collect();
    assert_eq!(bundle::encode(&parts).as_deref(), Ok(payload));
    let hashes: Vec<_> = bundle.item_hashes().collect();
    assert_eq!(bundle::bundle_hash(&hashes), bundle.content_hash());
    Some(bundle.content_hash())
}

pub fn bundle_seeds() -> Vec<Vec<u8>> {
    let parts: Vec<[&[u8]; 2]> = vec![[b"", b"one"], [b"", b""], [b"", b"three"]];
    let whole = bundle::encode(&parts).unwrap();
    let hashes = [b"one", &b""[..], b"three"].map(bundle::item_hash).to_vec();
    let proof = ItemProof { index: 2, hashes }.encode();
    vec![vec![], [&3u16.to_le_bytes()[..], &whole].concat(), (0..90).collect(), proof]
}

/// Whatever is taken for a key file holds one key, which encodes and parses back.
pub fn key_file(data: &[u8]) {
    parse_key(data);
    let mut text = keys::encode(&key()).as_bytes().to_vec();
    if damage(&mut text, data) {
        parse_key(&text);
    }
}

fn parse_key(text: &[u8]) {
    let Ok(key) = keys::parse(text) else { return };
    assert!(text.len() <= KEY_FILE_SIZE_MAX);
    let again = keys::parse(keys::encode(&key).as_bytes()).expect("an encoded key parses");
    assert_eq!(again.public(), key.public());
}

pub fn key_file_seeds() -> Vec<Vec<u8>> {
    let text = keys::encode(&key());
    vec![
        vec![],
        text.as_bytes().to_vec(),
        text.replace('\n', "\r\n").into_bytes(),
        b"-----BEGIN PRIVATE KEY-----\n".to_vec(),
    ]
}
