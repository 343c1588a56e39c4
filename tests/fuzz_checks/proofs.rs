//! Receipts and checkpoints: what people without the ledger verify.

use super::damage;
use annals_core::bundle::{self, item_hash};
use annals_core::checkpoint::{Checkpoint, Vkey};
use annals_core::genesis::engine_head;
use annals_core::hash::{AuthorId, LedgerId, StateRoot};
use annals_core::item_proof::ItemProof;
use annals_core::leaf::LeafEntry;
use annals_core::limits::{FRONTIER_LENGTH_MAX, HEAD_SIZE, SALT_SIZE};
use annals_core::proof::inclusion_path;
use annals_core::receipt::Receipt;
use annals_core::receipt_json::{Disclosure, ReceiptJson};
use annals_core::record::{Flags, Head, Kind, content_hash, record_id};
use annals_core::reopening::Reopening;
use annals_core::signature::SigningKey;
use annals_core::state_root::{Appointment, StateRootRecord};
use annals_core::tree::Frontier;
use std::sync::LazyLock;

struct Proved {
    vkey: Vkey,
    receipt: Receipt,
    /// Receipts that show something, and what they show.
    shown: Vec<(ReceiptJson, Vec<u8>)>,
}

const ITEMS: [&[u8]; 3] = [b"one", b"", b"three"];
const SALTS: [[u8; SALT_SIZE]; 3] = [[0xA1; 32], [0xA2; 32], [0xA3; 32]];

/// Five records, proved: the third is plain, the fourth salted, the fifth a salted bundle. Made once: signing is dear.
static PROVED: LazyLock<Proved> = LazyLock::new(|| {
    let ledger = SigningKey::from_seed(&[1; 32]);
    let vkey = Vkey::new("annals.example/fuzz", ledger.public()).unwrap();
    let heads: Vec<_> = (0..5).map(head).collect();
    let leaf =
        |seq: usize| LeafEntry { record_id: record_id(&heads[seq]), height: 1, ordered_time_ms: 1_700_000_000_000 };
    let leaves: Vec<_> = (0..5).map(|seq| leaf(seq).hash()).collect();
    let mut frontier = Frontier::new();
    leaves.iter().for_each(|leaf| frontier.push(*leaf));
    let checkpoint = Checkpoint { size: 5, root: frontier.root() };
    let note = checkpoint.note(&vkey, &checkpoint.sign(&vkey, &ledger));
    let receipt = |seq: usize| {
        let path = inclusion_path(&Frontier::new(), &leaves, seq as u64).unwrap();
        let receipt = Receipt { seq: seq as u64, head: heads[seq], leaf: leaf(seq), path, checkpoint: note.clone() };
        receipt.verify(&vkey).unwrap();
        receipt
    };
    let hashes = salted_items().iter().map(|item| item_hash(&item.concat())).collect();
    let item = Disclosure::Item { proof: ItemProof { index: 2, hashes }, salt: Some(SALTS[2]) };
    let shown = [
        (2, Disclosure::None, 2_u64.to_le_bytes().to_vec()),
        (3, Disclosure::Salt(SALTS[0]), ITEMS[0].to_vec()),
        (4, Disclosure::Salts(SALTS.to_vec()), ITEMS.join(&b'\n')),
        (4, item, ITEMS[2].to_vec()),
    ];
    let shown = shown.map(|(seq, disclosure, content)| (ReceiptJson { receipt: receipt(seq), disclosure }, content));
    Proved { receipt: receipt(2), shown: shown.to_vec(), vkey }
});

fn salted_items() -> [[&'static [u8]; 2]; 3] {
    [0, 1, 2].map(|index: usize| [&SALTS[index][..], ITEMS[index]])
}

/// The signed head of one of the records.
fn head(seq: u64) -> [u8; HEAD_SIZE] {
    let author = SigningKey::from_seed(&[2; 32]);
    let (flags, item_count, payload) = match seq {
        3 => (Flags::SALTED, 1, salted_items()[0].concat()),
        4 => (Flags::SALTED, 3, bundle::encode(&salted_items()).unwrap()),
        _ => (Flags::NONE, 1, seq.to_le_bytes().to_vec()),
    };
    let id = LedgerId::from_bytes([7; 32]);
    let plain = engine_head(id, author.public(), seq, 0, Kind::APPLICATION_FIRST, &payload);
    let content_hash = content_hash(item_count, &payload).unwrap();
    let mut head = Head { flags, item_count, content_hash, ..plain }.encode();
    author.sign_head(&mut head);
    head
}

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
    let (receipt, content) = &PROVED.shown[usize::from(data.last().copied().unwrap_or(0)) % PROVED.shown.len()];
    let whole = receipt.encode().unwrap();
    assert_eq!(parse_json(&whole).map(|parsed| parsed.verify_payload(content)), Some(Ok(())));
    let mut bytes = whole.clone().into_bytes();
    if damage(&mut bytes, data)
        && let Ok(text) = core::str::from_utf8(&bytes)
        && let Some(parsed) = parse_json(text)
        && parsed.receipt.verify(&PROVED.vkey).is_ok()
        && parsed.verify_payload(content).is_ok()
    {
        assert_eq!(parsed.encode().unwrap(), whole, "a damaged receipt verifies and says something else");
    }
}

fn parse_json(text: &str) -> Option<ReceiptJson> {
    let parsed = ReceiptJson::parse(text).ok()?;
    let again = ReceiptJson::parse(&parsed.encode().expect("what parsed encodes"));
    assert_eq!(again.as_ref().ok(), Some(&parsed));
    Some(parsed)
}

pub fn receipt_json_seeds() -> Vec<Vec<u8>> {
    let shown = PROVED.shown.iter().map(|(receipt, _)| receipt.encode().unwrap().into_bytes());
    [vec![], b"{\"format\":\"annals\"}".to_vec(), vec![1], vec![2], vec![3]].into_iter().chain(shown).collect()
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
    let Proved { vkey, receipt, .. } = &*PROVED;
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

/// Whatever says a state root has one encoding; no damage to it says the same, and none to its appointment holds.
pub fn state_root(data: &[u8]) {
    parse_state_root(data);
    let whole = *SAID;
    let mut bytes = whole.encode().to_vec();
    assert_eq!(parse_state_root(&bytes), Some(whole));
    if damage(&mut bytes, data) {
        let damaged = parse_state_root(&bytes);
        assert_ne!(damaged, Some(whole), "a damaged payload says the same");
        if let Some(damaged) = damaged {
            let holds = damaged.verify(&PROVED.vkey, STATE_LEDGER, &state_host()).is_ok();
            assert_eq!(holds, damaged.appointment == whole.appointment, "a damaged appointment holds");
        }
    }
}

const STATE_LEDGER: LedgerId = LedgerId::from_bytes([7; 32]);

static SAID: LazyLock<StateRootRecord> = LazyLock::new(|| {
    let appointment = Appointment::sign(STATE_LEDGER, &state_host(), &SigningKey::from_seed(&[1; 32]));
    StateRootRecord { height: 77, root: StateRoot::from_bytes([6; 32]), appointment }
});

fn state_host() -> AuthorId {
    SigningKey::from_seed(&[2; 32]).public()
}

fn parse_state_root(bytes: &[u8]) -> Option<StateRootRecord> {
    let said = StateRootRecord::parse(bytes).ok()?;
    assert_eq!(said.encode(), bytes);
    Some(said)
}

pub fn state_root_seeds() -> Vec<Vec<u8>> {
    vec![vec![], SAID.encode().to_vec(), vec![0; 104], (0..110).collect()]
}
