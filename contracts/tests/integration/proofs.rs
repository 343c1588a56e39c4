//! Outcome proofs that were tampered with, each string and number of them: refused, or they say the same.

use crate::desk::{Desk, act};
use annals_contracts::{OutcomeProof, Value};

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
