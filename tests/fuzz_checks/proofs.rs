//! Receipts and checkpoints: what people without the ledger verify.

use super::damage;
use annals_core::checkpoint::{Checkpoint, Vkey};
use annals_core::genesis::engine_head;
use annals_core::hash::LedgerId;
use annals_core::leaf::LeafEntry;
use annals_core::limits::FRONTIER_LENGTH_MAX;
use annals_core::proof::inclusion_path;
use annals_core::receipt::Receipt;
use annals_core::receipt_json::{Disclosure, ReceiptJson};
use annals_core::record::{Kind, record_id};
use annals_core::reopening::Reopening;
use annals_core::signature::SigningKey;
use annals_core::tree::Frontier;
use std::sync::LazyLock;

struct Proved {
    vkey: Vkey,
    receipt: Receipt,
}

/// The third of five records, proved. Made once: signing is the dear part.
static PROVED: LazyLock<Proved> = LazyLock::new(|| {
    let (ledger, author) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
    let vkey = Vkey::new("annals.example/fuzz", ledger.public()).unwrap();
    let head = |nonce: u64| {
        let payload = nonce.to_le_bytes();
        let id = LedgerId::from_bytes([7; 32]);
        let mut head = engine_head(id, author.public(), nonce, 0, Kind::APPLICATION_FIRST, &payload).encode();
        author.sign_head(&mut head);
        head
    };
    let leaf = |nonce| LeafEntry { record_id: record_id(&head(nonce)), height: 1, ordered_time_ms: 1_700_000_000_000 };
    let leaves: Vec<_> = (0..5).map(|nonce| leaf(nonce).hash()).collect();
    let mut frontier = Frontier::new();
    leaves.iter().for_each(|leaf| frontier.push(*leaf));
    let checkpoint = Checkpoint { size: 5, root: frontier.root() };
    let note = checkpoint.note(&vkey, &checkpoint.sign(&vkey, &ledger));
    let path = inclusion_path(&Frontier::new(), &leaves, 2).unwrap();
    let receipt = Receipt { seq: 2, head: head(2), leaf: leaf(2), path, checkpoint: note };
    receipt.verify(&vkey).unwrap();
    Proved { vkey, receipt }
});

/// Whatever is taken for a binary receipt has one encoding; no damage to one verifies.
pub fn receipt_binary(data: &[u8]) {
    parse_binary(data);
    let mut bytes = PROVED.receipt.encode();
    if damage(&mut bytes, data) {
        assert!(!parse_binary(&bytes), "a damaged receipt verifies");
    }
}

fn parse_binary(bytes: &[u8]) -> bool {
    let Ok(receipt) = Receipt::parse(bytes) else { return false };
    assert_eq!(receipt.encode(), bytes);
    assert!(receipt.path.len() <= FRONTIER_LENGTH_MAX);
    receipt.verify(&PROVED.vkey).is_ok()
}

pub fn receipt_binary_seeds() -> Vec<Vec<u8>> {
    vec![vec![], PROVED.receipt.encode(), (0..30).collect()]
}

/// Whatever is taken for a JSON receipt says the same when written again; damage to one fails, or says the same.
pub fn receipt_json(data: &[u8]) {
    if let Ok(text) = core::str::from_utf8(data) {
        parse_json(text);
    }
    let whole = json();
    let mut bytes = whole.clone().into_bytes();
    if damage(&mut bytes, data)
        && let Ok(text) = core::str::from_utf8(&bytes)
        && let Some(parsed) = parse_json(text)
        && parsed.receipt.verify(&PROVED.vkey).is_ok()
        && parsed.verify_payload(&2u64.to_le_bytes()).is_ok()
    {
        assert_eq!(parsed.encode().unwrap(), whole, "a damaged receipt verifies and says something else");
    }
}

fn json() -> String {
    ReceiptJson { receipt: PROVED.receipt.clone(), disclosure: Disclosure::None }.encode().unwrap()
}

fn parse_json(text: &str) -> Option<ReceiptJson> {
    let parsed = ReceiptJson::parse(text).ok()?;
    let again = ReceiptJson::parse(&parsed.encode().expect("what parsed encodes"));
    assert_eq!(again.as_ref().ok(), Some(&parsed));
    Some(parsed)
}

pub fn receipt_json_seeds() -> Vec<Vec<u8>> {
    vec![vec![], json().into_bytes(), b"{\"format\":\"annals\"}".to_vec()]
}

/// Whatever opens as a checkpoint has the text that was signed; no damage to a note opens as something else.
pub fn checkpoint(data: &[u8]) {
    let vkey = &PROVED.vkey;
    if let Ok(text) = core::str::from_utf8(data) {
        assert!(Checkpoint::open(text, vkey).is_err() || text.starts_with(&signed_text()));
        if let Ok(other) = text.parse::<Vkey>() {
            assert_eq!(other.to_string(), text, "a vkey has one encoding");
        }
    }
    let mut note = PROVED.receipt.checkpoint.clone().into_bytes();
    let sound = Checkpoint::open(&PROVED.receipt.checkpoint, vkey).unwrap();
    if damage(&mut note, data)
        && let Ok(text) = core::str::from_utf8(&note)
        && let Ok(opened) = Checkpoint::open(text, vkey)
    {
        assert_eq!(opened, sound, "a damaged note opens as another checkpoint");
    }
}

fn signed_text() -> String {
    Checkpoint::open(&PROVED.receipt.checkpoint, &PROVED.vkey).unwrap().text(&PROVED.vkey)
}

pub fn checkpoint_seeds() -> Vec<Vec<u8>> {
    let Proved { vkey, receipt } = &*PROVED;
    vec![vec![], receipt.checkpoint.clone().into_bytes(), vkey.to_string().into_bytes(), (0..30).collect()]
}

/// Whatever says why a ledger went on has one encoding; no damage to it says the same.
pub fn reopening(data: &[u8]) {
    parse_reopening(data);
    let whole = goes_on();
    let mut bytes = whole.encode(&PROVED.vkey);
    assert_eq!(parse_reopening(&bytes), Some(whole));
    if damage(&mut bytes, data) {
        assert_ne!(parse_reopening(&bytes), Some(whole), "a damaged payload says the same");
    }
}

fn goes_on() -> Reopening {
    let (checkpoint, signature) = Checkpoint::open_signed(&PROVED.receipt.checkpoint, &PROVED.vkey).unwrap();
    Reopening::of_copy(true, 1_700_000_000_000, checkpoint, signature)
}

fn parse_reopening(bytes: &[u8]) -> Option<Reopening> {
    let reopening = Reopening::parse(bytes, &PROVED.vkey).ok()?;
    assert_eq!(reopening.encode(&PROVED.vkey), bytes);
    Some(reopening)
}

pub fn reopening_seeds() -> Vec<Vec<u8>> {
    let clock = Reopening::by_clock(1_700_000_000_000);
    vec![vec![], clock.encode(&PROVED.vkey), goes_on().encode(&PROVED.vkey), (0..30).collect()]
}
