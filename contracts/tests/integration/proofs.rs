//! Outcome proofs that were tampered with, each string and number of them: refused, or they say the same.

use crate::desk::{Desk, act, file, key, options};
use annals_contracts::{ListPlace, OutcomeProof, ProofStep, Value};

/// All values that differ from this one in one text or number, or lack one field or item.
fn mutants(value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(truth) => vec![Value::Bool(!truth)],
        Value::Integer(number) => [number + 1, number - 1, 0, -1, *number ^ 64].map(Value::Integer).to_vec(),
        Value::Text(text) => texts(text).into_iter().map(Value::Text).collect(),
        Value::List(items) => {
            let mut all: Vec<Value> = Vec::new();
            for index in 0..items.len() {
                let with = |item: Option<Value>| {
                    let mut items = items.clone();
                    items.splice(index..=index, item);
                    Value::List(items)
                };
                all.extend(mutants(&items[index]).into_iter().map(|item| with(Some(item))));
                all.push(with(None));
            }
            all.push(Value::List(items.iter().chain(items.first()).cloned().collect()));
            all
        }
        Value::Map(fields) => {
            let mut all = Vec::new();
            for (name, field) in fields {
                let with = |field: Option<Value>| {
                    let mut fields = fields.clone();
                    fields.remove(name);
                    fields.extend(field.map(|field| (name.clone(), field)));
                    Value::Map(fields)
                };
                all.extend(mutants(field).into_iter().map(|field| with(Some(field))));
                all.push(with(None));
            }
            all
        }
    }
}

/// The text with a character changed, at its ends and at some places between; cut off, and grown.
fn texts(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let mut all = vec![format!("{text}0"), String::new()];
    for at in (0..characters.len()).step_by(1 + characters.len() / 24).chain(characters.len().checked_sub(1)) {
        let mut changed = characters.clone();
        changed[at] = match changed[at] {
            '0' => '1',
            'a' => 'b',
            _ => '0',
        };
        all.push(changed.into_iter().collect());
    }
    all.retain(|other| other != text);
    all
}

#[test]
fn a_proof_that_was_tampered_with_holds_no_more_or_says_the_same() {
    let mut desk = Desk::new();
    desk.inspected("1");
    assert_eq!(
        desk.order_code("mallory", annals_contracts::message::CASE, &act("grant", "1").encode()),
        "signer.unknown"
    );
    let seq = desk.platform.applied().next_seq - 1;
    let proof = desk.platform.prove(seq).unwrap();
    let vkey = desk.platform.ledger().vkey().clone();
    let text = proof.encode().unwrap();
    let value = Value::parse_loose(text.as_bytes()).unwrap();
    let (mut refused, mut same) = (0, 0);
    for mutant in mutants(&value) {
        let text = String::from_utf8(mutant.encode()).unwrap();
        match OutcomeProof::parse(&text) {
            Ok(other) if other.verify(&vkey).is_ok() => {
                assert_eq!((&other.outcome, other.list.height), (&proof.outcome, proof.list.height), "{text}");
                same += 1;
            }
            _ => refused += 1,
        }
    }
    assert!(500 < refused, "{refused} refused, {same} say the same");
    assert!(same * 20 < refused, "{refused} refused, {same} say the same");
}

/// A platform to try things out on may share its ledger key with another: its host, whose key nobody guards, must not be able to say
/// what became of the other's records.
#[test]
fn a_host_of_another_ledger_of_the_same_key_proves_nothing() {
    use annals::tree::leaf_hash;
    use annals::{Kind, RecordBuilder, StateRootRecord, TreeHash};
    use annals_contracts::state::{BlockChanges, StateOptions, StateWriter};
    use annals_contracts::{Founding, Platform, Service};
    let mut desk = Desk::new();
    let refused = desk.order_code("mallory", annals_contracts::message::CASE, &file("1").encode());
    assert_eq!(refused, "signer.unknown");
    let seq = desk.platform.applied().next_seq - 1;
    let mut proof = desk.platform.prove(seq).unwrap();
    let (vkey, height) = (desk.platform.ledger().vkey().clone(), proof.list.height);
    let key_file = desk.platform.ledger().path().join("ledger.key");
    let dir = tempfile::tempdir().unwrap();
    let founding = Founding {
        origin: "example.gov/permits".to_owned(),
        service: Service::of(&[("service.toml", crate::desk::SERVICE), ("permit.toml", crate::desk::DEFINITION)])
            .unwrap(),
        admins: vec![key("root").public()],
        threshold: 1,
        segment_size: 2 << 20,
        ledger_key: Some(key_file),
    };
    let other = Platform::create(&dir.path().join("ledger"), &founding, options(&desk.clock)).unwrap();
    assert_eq!(other.ledger().vkey(), &vkey);
    for _ in 0..height {
        other.tick().unwrap();
    }
    // What the host of the other one would have state say: the record was accepted.
    let Value::Map(outcome) = &mut proof.outcome else { panic!("an outcome is a map") };
    outcome.insert("status".to_owned(), Value::from("accepted"));
    outcome.insert("code".to_owned(), Value::from(""));
    outcome.insert("about".to_owned(), Value::List(Vec::new()));
    let root = leaf_hash(&proof.outcome.encode()).to_string();
    let value = Value::map([("count", Value::Integer(1)), ("root", Value::from(root))]).encode();
    let state_key = format!("outcomes\0{height:016x}").into_bytes();
    let mut writer = StateWriter::in_memory(&StateOptions::default()).unwrap();
    let changes = [(state_key.clone(), Some(value.into()))].into();
    let (ledger_root, rows) = (TreeHash::from_bytes([1; 32]), std::collections::BTreeMap::new());
    writer.apply(BlockChanges { height, next_seq: 9, ledger_root, changes, rows }).unwrap();
    let proven = writer.reader().prove(&state_key).unwrap();
    let appointment = other.ledger().appoint(&key("thief").public());
    let payload = StateRootRecord { height, root: proven.applied.root, appointment }.encode();
    let record = RecordBuilder::new(other.id(), Kind::STATE_ROOT).nonce(1).unsalted();
    let record = record.sign(&key("thief"), &payload).unwrap();
    let ack = other.appender().unwrap().append_wait(record.bytes()).unwrap();
    let receipt = other.reader().prove_json(ack.seq, None).unwrap().encode().unwrap();
    proof.list = ListPlace { height, index: 0, count: 1, path: Vec::new() };
    proof.state = proven.proof;
    proof.state_root.payload = annals::Hex(&payload).to_string();
    proof.state_root.receipt = Value::parse_loose(receipt.as_bytes()).unwrap();
    let (step, error) = proof.verify(&vkey).unwrap_err();
    assert_eq!((step, error.code()), (ProofStep::StateRoot, "outcome_proof.state_root"), "{error}");
    assert!(error.to_string().contains("another ledger"), "{error}");
}
