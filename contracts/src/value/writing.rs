//! Writing a map that is known, field by field: the same bytes as a value's, without making the value.

use super::{encode_integer, encode_text};

/// The encoding of a map, as it is written.
#[derive(Debug, Default)]
pub(crate) struct MapWriter {
    bytes: Vec<u8>,
    /// The name of the field before: names come in the order of their code points.
    last: &'static str,
}

impl MapWriter {
    fn name(&mut self, name: &'static str) {
        debug_assert!(self.bytes.is_empty() || self.last < name, "{name} comes before {}", self.last);
        self.last = name;
        self.bytes.push(if self.bytes.is_empty() { b'{' } else { b',' });
        encode_text(&mut self.bytes, name);
        self.bytes.push(b':');
    }

    /// Adds text.
    pub(crate) fn text(mut self, name: &'static str, text: &str) -> Self {
        self.name(name);
        encode_text(&mut self.bytes, text);
        self
    }

    /// Adds a number; one that values can't hold as the largest.
    pub(crate) fn number(mut self, name: &'static str, number: u64) -> Self {
        self.name(name);
        encode_integer(&mut self.bytes, i64::try_from(number).unwrap_or(i64::MAX));
        self
    }

    /// Adds a list of what is encoded already.
    pub(crate) fn list(mut self, name: &'static str, items: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.begin(name);
        for item in items {
            self.separate();
            self.bytes.extend_from_slice(&item);
        }
        self.bytes.push(b']');
        self
    }

    /// Adds a list of texts.
    pub(crate) fn texts<T: AsRef<str>>(mut self, name: &'static str, items: impl IntoIterator<Item = T>) -> Self {
        self.begin(name);
        for item in items {
            self.separate();
            encode_text(&mut self.bytes, item.as_ref());
        }
        self.bytes.push(b']');
        self
    }

    fn begin(&mut self, name: &'static str) {
        self.name(name);
        self.bytes.push(b'[');
    }

    fn separate(&mut self) {
        if self.bytes.last() != Some(&b'[') {
            self.bytes.push(b',');
        }
    }

    /// The map's encoding.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        if self.bytes.is_empty() {
            self.bytes.push(b'{');
        }
        self.bytes.push(b'}');
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::value::Value;
    use proptest::prelude::*;

    proptest! {
        /// What is written field by field is what the value is encoded as.
        #[test]
        fn what_is_written_is_the_values_encoding(text in any::<String>(), texts in prop::collection::vec(any::<String>(), 0..4), number in 0..1_u64 << 53) {
            let item = MapWriter::default().text("text", &text).finish();
            let written = MapWriter::default()
                .list("items", [item.clone(), item])
                .number("number", number)
                .text("text", &text)
                .texts("texts", &texts)
                .list("void", [])
                .finish();
            let item = Value::map([("text", Value::from(text.as_str()))]);
            let list = |items: Vec<Value>| Value::List(items);
            let value = Value::map([
                ("items", list(vec![item.clone(), item])),
                ("number", Value::Integer(i64::try_from(number).unwrap())),
                ("text", Value::from(text)),
                ("texts", list(texts.into_iter().map(Value::from).collect())),
                ("void", list(vec![])),
            ]);
            prop_assert_eq!(written, value.encode());
        }
    }

    #[test]
    fn a_map_of_nothing_is_one() {
        assert_eq!(MapWriter::default().finish(), Value::default().encode());
    }
}
