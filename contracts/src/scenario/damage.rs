//! Records with something wrong on purpose.

use super::form::Damage;
use crate::value::Value;
use annals::LedgerId;

/// Whose key nobody registered.
pub(super) const NOBODY: &str = "无名氏";

/// A payload with its damage, before it is signed; none if there is nothing in it to damage so.
pub(super) fn payload(damage: Damage, payload: &[u8]) -> Option<Vec<u8>> {
    match damage {
        Damage::Spacing => {
            let colon = payload.iter().position(|byte| *byte == b':')?;
            Some(spliced(payload, colon + 1, b" "))
        }
        Damage::KeyOrder => {
            let mut pairs = pairs(payload)?;
            (1 < pairs.len()).then(|| pairs.swap(0, 1))?;
            Some(object(&pairs))
        }
        Damage::DuplicateKey => {
            let mut pairs = pairs(payload)?;
            pairs.insert(0, pairs.first()?.clone());
            Some(object(&pairs))
        }
        Damage::Float => Some(spliced(payload, integer_end(payload)?, b".0")),
        Damage::Signature | Damage::UnknownKey | Damage::OtherLedger | Damage::Payload => Some(payload.to_vec()),
    }
}

/// The ledger that a record is signed for.
pub(super) fn ledger(damage: Damage, ledger: LedgerId) -> LedgerId {
    if damage != Damage::OtherLedger {
        return ledger;
    }
    LedgerId::from_bytes(ledger.as_bytes().map(|byte| !byte))
}

/// Damages a record that was signed.
pub(super) fn record(damage: Damage, bytes: &mut [u8]) {
    let at = match damage {
        // The signature ends the head; the payload ends the record.
        Damage::Signature => annals::limits::HEAD_SIZE - 1,
        Damage::Payload => bytes.len().saturating_sub(1),
        Damage::UnknownKey | Damage::OtherLedger => return,
        Damage::Spacing | Damage::KeyOrder | Damage::DuplicateKey | Damage::Float => return,
    };
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1;
    }
}

fn spliced(bytes: &[u8], at: usize, more: &[u8]) -> Vec<u8> {
    let (before, after) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
    [before, more, after].concat()
}

/// The fields of a payload, each as `"key":value`.
fn pairs(payload: &[u8]) -> Option<Vec<Vec<u8>>> {
    let value = Value::parse(payload).ok()?;
    let pair = |(name, value): (&String, &Value)| [Value::from(name.as_str()).encode(), value.encode()].join(&b':');
    Some(value.as_map()?.iter().map(pair).collect())
}

fn object(pairs: &[Vec<u8>]) -> Vec<u8> {
    [b"{", &pairs.join(&b',')[..], b"}"].concat()
}

/// Where the first integer ends that is no part of a text.
fn integer_end(payload: &[u8]) -> Option<usize> {
    let (mut in_text, mut escaped, mut in_number) = (false, false, false);
    for (at, byte) in payload.iter().enumerate() {
        if in_number && !byte.is_ascii_digit() {
            return Some(at);
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            digit if !in_text && digit.is_ascii_digit() => in_number = true,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_damaged_as_it_is_told() {
        let good = br#"{"act":"a\"1","data":{"n":12},"z":3}"#;
        for (damage, bad) in [
            (Damage::Spacing, r#"{"act": "a\"1","data":{"n":12},"z":3}"#),
            (Damage::KeyOrder, r#"{"data":{"n":12},"act":"a\"1","z":3}"#),
            (Damage::DuplicateKey, r#"{"act":"a\"1","act":"a\"1","data":{"n":12},"z":3}"#),
            (Damage::Float, r#"{"act":"a\"1","data":{"n":12.0},"z":3}"#),
        ] {
            assert_eq!(payload(damage, good).as_deref(), Some(bad.as_bytes()), "{damage:?}");
        }
        assert_eq!(payload(Damage::Float, b"{}"), None);
    }
}
