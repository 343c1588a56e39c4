//! Values: what payloads and state are made of, and the one encoding that each has.
//!
//! JSON as RFC 8785 writes it, of a subset in which nothing can be read in two ways: no `null`, no fraction and no exponent,
//! integers of at most 53 bits, keys in the order of their code points, no space. Bytes that are not the encoding of what they
//! say are refused, so a value has one hash. Depth, size and count are bounded before anything is built.

mod reading;
mod writing;

pub(crate) use reading::FormError;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use std::collections::BTreeMap;
use std::fmt;
pub(crate) use writing::MapWriter;

/// Largest magnitude of an integer: what every JSON implementation holds exactly (RFC 8259, section 6).
pub const INTEGER_MAX: i64 = (1 << 53) - 1;
/// Lists and maps within each other at most.
pub const DEPTH_MAX: usize = 16;
/// Bytes of an encoded value at most: a record's payload without its salt.
pub const VALUE_SIZE_MAX: usize = 1 << 20;

/// A value: what a payload says, and what state holds.
///
/// ```
/// use annals_contracts::Value;
/// let value = Value::parse(br#"{"case":"SJ/017","days":90}"#)?;
/// assert_eq!(value.get("days").and_then(Value::as_integer), Some(90));
/// assert_eq!(value.encode(), br#"{"case":"SJ/017","days":90}"#);
/// assert!(Value::parse(br#"{"days":90, "case":"SJ/017"}"#).is_err());
/// # Ok::<(), annals_contracts::ValueError>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// An integer within ±[`INTEGER_MAX`].
    Integer(i64),
    /// Text.
    Text(String),
    /// Values in order.
    List(Vec<Self>),
    /// Values by name.
    Map(BTreeMap<String, Self>),
}

/// Why bytes are not a value. Whoever wrote them mends them.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// Not JSON, or something of it that values leave out.
    #[error("not a value: {0}")]
    Json(String),
    /// JSON, but written otherwise than canonical.
    #[error(
        "not canonical from byte {at} on: keys sorted by code point and named once, no space, no needless escape; `annals case submit` encodes it so"
    )]
    NotCanonical {
        /** The first byte that differs from the canonical encoding. */
        at: usize,
    },
    /// Too many bytes.
    #[error("a value of {0} bytes is larger than {VALUE_SIZE_MAX}")]
    TooLarge(usize),
}

impl ValueError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Json(_) => "value.json",
            Self::NotCanonical { .. } => "value.not_canonical",
            Self::TooLarge(_) => "value.too_large",
        }
    }
}

impl Value {
    /// Parses the one encoding of a value.
    ///
    /// # Errors
    ///
    /// [`ValueError`] for all other bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, ValueError> {
        let value = Self::parse_loose(bytes)?;
        let canonical = value.encode();
        if canonical == bytes {
            return Ok(value);
        }
        let at = canonical.iter().zip(bytes).take_while(|(ours, theirs)| ours == theirs).count();
        Err(ValueError::NotCanonical { at })
    }

    /// Parses a value written as a person would: spaces and any order of keys, though no key twice.
    ///
    /// # Errors
    ///
    /// [`ValueError`] if it is no JSON, or holds what values leave out.
    pub fn parse_loose(bytes: &[u8]) -> Result<Self, ValueError> {
        if VALUE_SIZE_MAX < bytes.len() {
            return Err(ValueError::TooLarge(bytes.len()));
        }
        let json = |error: serde_json::Error| ValueError::Json(error.to_string());
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let value = Within(DEPTH_MAX).deserialize(&mut deserializer).map_err(json)?;
        deserializer.end().map_err(json)?;
        Ok(value)
    }

    /// Its one encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128);
        self.encode_into(&mut bytes);
        bytes
    }

    /// Appends its one encoding.
    pub fn encode_into(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Bool(true) => bytes.extend_from_slice(b"true"),
            Self::Bool(false) => bytes.extend_from_slice(b"false"),
            Self::Integer(number) => encode_integer(bytes, *number),
            Self::Text(text) => encode_text(bytes, text),
            Self::List(items) => {
                bytes.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if 0 < index {
                        bytes.push(b',');
                    }
                    item.encode_into(bytes);
                }
                bytes.push(b']');
            }
            Self::Map(fields) => {
                bytes.push(b'{');
                for (index, (name, value)) in fields.iter().enumerate() {
                    if 0 < index {
                        bytes.push(b',');
                    }
                    encode_text(bytes, name);
                    bytes.push(b':');
                    value.encode_into(bytes);
                }
                bytes.push(b'}');
            }
        }
    }

    /// A map of these fields.
    pub fn map<const N: usize>(fields: [(&str, Self); N]) -> Self {
        Self::Map(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The field of a map.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.as_map()?.get(name)
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The integer, if it is one.
    pub const fn as_integer(&self) -> Option<i64> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }

    /// The truth, if it is one.
    pub const fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(truth) = self { Some(*truth) } else { None }
    }

    /// The items, if it is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// The fields, if it is a map.
    pub const fn as_map(&self) -> Option<&BTreeMap<String, Self>> {
        if let Self::Map(fields) = self { Some(fields) } else { None }
    }

    /// What it is, in a word.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::Integer(_) => "integer",
            Self::Text(_) => "text",
            Self::List(_) => "list",
            Self::Map(_) => "map",
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&String::from_utf8_lossy(&self.encode()))
    }
}

/// Digits of an integer in the range, the sign included.
const DIGITS_MAX: usize = 20;

fn encode_integer(bytes: &mut Vec<u8>, number: i64) {
    let (mut digits, mut at, mut rest) = ([0; DIGITS_MAX], DIGITS_MAX, number.unsigned_abs());
    loop {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        }
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        bytes.push(b'-');
    }
    bytes.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// Writes text with the escapes of RFC 8785, section 3.2.2.2, and no other.
fn encode_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(b'"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        bytes.extend_from_slice(text.as_bytes().get(plain..at).unwrap_or_default());
        plain = at + 1;
        let short = match byte {
            b'"' | b'\\' => byte,
            0x08 => b'b',
            0x09 => b't',
            0x0A => b'n',
            0x0C => b'f',
            0x0D => b'r',
            _ => {
                let digit = |nibble: u8| b"0123456789abcdef".get(usize::from(nibble)).copied().unwrap_or_default();
                bytes.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
                continue;
            }
        };
        bytes.extend_from_slice(&[b'\\', short]);
    }
    bytes.extend_from_slice(text.as_bytes().get(plain..).unwrap_or_default());
    bytes.push(b'"');
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(truth) => serializer.serialize_bool(*truth),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(item))?;
                list.end()
            }
            Self::Map(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                fields.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Within(DEPTH_MAX).deserialize(deserializer)
    }
}

/// Reads a value of at most so many levels.
#[derive(Clone, Copy)]
struct Within(usize);

impl Within {
    fn enter<E: de::Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom(format_args!("more than {DEPTH_MAX} levels")))
    }
}

impl<'de> DeserializeSeed<'de> for Within {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Within {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("true, false, an integer of 53 bits, text, a list or a map")
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
        if (-INTEGER_MAX..=INTEGER_MAX).contains(&number) {
            Ok(Value::Integer(number))
        } else {
            Err(E::custom(format_args!("integer {number} has more than 53 bits")))
        }
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        let signed = i64::try_from(number);
        signed.map_or_else(
            |_| Err(E::custom(format_args!("integer {number} has more than 53 bits"))),
            |n| self.visit_i64(n),
        )
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let (inner, mut list) = (self.enter()?, Vec::new());
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let (inner, mut map) = (self.enter()?, BTreeMap::new());
        while let Some(name) = fields.next_key::<String>()? {
            let value = fields.next_value_seed(inner)?;
            if map.insert(name.clone(), value).is_some() {
                return Err(de::Error::custom(format_args!("field {name:?} stands there twice")));
            }
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_canonical_is_refused() {
        for (bytes, code) in [
            (&b"{\"b\":1,\"a\":2}"[..], "value.not_canonical"),
            (b"{\"a\": 1}", "value.not_canonical"),
            (b"\"\\u0041\"", "value.not_canonical"),
            (b"\"\\/\"", "value.not_canonical"),
            (b"-0", "value.json"),
            (b"{\"a\":1,\"a\":1}", "value.json"),
            (b"1.0", "value.json"),
            (b"1e2", "value.json"),
            (b"null", "value.json"),
            (b"9007199254740992", "value.json"),
            (b"\"\\ud800\"", "value.json"),
            (b"{} ", "value.not_canonical"),
            (b"{}{}", "value.json"),
            (b"\xEF\xBB\xBF{}", "value.json"),
            (b"[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", "value.json"),
        ] {
            assert_eq!(Value::parse(bytes).unwrap_err().code(), code, "{}", String::from_utf8_lossy(bytes));
        }
    }

    /// The strings of RFC 8785, section 3.2.2.2, and its order of keys below U+10000.
    #[test]
    fn it_is_what_the_rfc_says() {
        let text = "\u{20ac}$\u{f}\nA'B\"\\\\\"/";
        assert_eq!(Value::from(text).encode(), "\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"".as_bytes());
        let keys = ["\u{20ac}", "\r", "\u{fb33}", "1", "\u{80}", "\u{f6}"];
        let map = Value::Map(keys.iter().map(|key| ((*key).to_owned(), Value::Bool(true))).collect());
        let sorted =
            ["\\r", "1", "\u{80}", "\u{f6}", "\u{20ac}", "\u{fb33}"].map(|key| format!("\"{key}\":true")).join(",");
        assert_eq!(map.encode(), format!("{{{sorted}}}").into_bytes());
        for number in [0, 1, -1, 10, -INTEGER_MAX, INTEGER_MAX] {
            assert_eq!(Value::Integer(number).encode(), number.to_string().into_bytes());
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            (-INTEGER_MAX..=INTEGER_MAX).prop_map(Value::Integer),
            any::<String>().prop_map(Value::Text),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::List),
                prop::collection::btree_map(any::<String>(), inner, 0..8).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_value_has_one_encoding(value in values(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let bytes = value.encode();
            prop_assert_eq!(&Value::parse(&bytes).unwrap(), &value);
            prop_assert_eq!(&serde_json::to_vec(&value).unwrap(), &bytes, "as serde_json writes sorted maps");
            let mut damaged = bytes.clone();
            let at = at.index(damaged.len());
            damaged[at] = byte;
            if let Ok(other) = Value::parse(&damaged) {
                prop_assert_eq!(other.encode(), damaged);
            }
        }
    }
}
