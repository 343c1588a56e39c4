//! The library: what was read of state and made ready, since making it ready takes longer than using it.
//!
//! Definitions are found by name and version, under which nothing ever changes in a ledger. Everything else is found by its key *and* its
//! bytes, so what the library answers is what reading them again would give: no decision depends on what it happens to hold.

use crate::definition::Compiled;
use parking_lot::Mutex;
use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Definitions kept compiled at most.
const COMPILED_MAX: usize = 1024;
/// Values kept decoded at most, and the bytes that they were decoded from: cases are as large as their authors make them.
const DECODED_MAX: usize = 16_384;
const DECODED_BYTES_MAX: usize = 64 << 20;

/// A decoded value, and the bytes that it was decoded from.
type Decoded = (Arc<[u8]>, Arc<dyn Any + Send + Sync>);

/// Compiled definitions and decoded values.
#[derive(Debug, Default)]
pub(crate) struct Library {
    compiled: Mutex<BTreeMap<(String, u64), Arc<Compiled>>>,
    decoded: Mutex<DecodedValues>,
}

/// Decoded values by type and key, how many there are, and how many bytes they were decoded from.
#[derive(Debug, Default)]
struct DecodedValues {
    values: HashMap<TypeId, HashMap<Vec<u8>, Decoded>>,
    count: usize,
    bytes: usize,
}

impl Library {
    /// A definition that was compiled before.
    pub(crate) fn find(&self, name: &str, version: u64) -> Option<Arc<Compiled>> {
        self.compiled.lock().get(&(name.to_owned(), version)).cloned()
    }

    /// Keeps a compiled definition.
    pub(crate) fn add(&self, name: &str, version: u64, compiled: &Arc<Compiled>) {
        let mut kept = self.compiled.lock();
        if kept.len() == COMPILED_MAX {
            kept.clear();
        }
        kept.insert((name.to_owned(), version), Arc::clone(compiled));
    }

    /// What these bytes under this key were decoded to before.
    pub(crate) fn decoded<T: Any + Send + Sync>(&self, key: &[u8], bytes: &Arc<[u8]>) -> Option<Arc<T>> {
        let decoded = self.decoded.lock();
        let (known, value) = decoded.values.get(&TypeId::of::<T>())?.get(key)?;
        let is_same = Arc::ptr_eq(known, bytes) || known == bytes;
        if is_same { Arc::clone(value).downcast().ok() } else { None }
    }

    /// The same, taken out for whoever changes it and keeps what becomes of it: then nobody copies it. None if somebody else uses it.
    pub(crate) fn take<T: Any + Send + Sync>(&self, key: &[u8], bytes: &Arc<[u8]>) -> Option<T> {
        let mut decoded = self.decoded.lock();
        let of_type = decoded.values.get_mut(&TypeId::of::<T>())?;
        let (known, value) = of_type.remove(key)?;
        decoded.count -= 1;
        decoded.bytes -= known.len();
        let is_same = Arc::ptr_eq(&known, bytes) || known == *bytes;
        if is_same { Arc::into_inner(value.downcast().ok()?) } else { None }
    }

    /// Keeps what bytes under a key decode to.
    pub(crate) fn keep<T: Any + Send + Sync>(&self, key: &[u8], bytes: &Arc<[u8]>, value: &Arc<T>) {
        let value: Arc<dyn Any + Send + Sync> = Arc::<T>::clone(value);
        let mut decoded = self.decoded.lock();
        if decoded.count == DECODED_MAX || DECODED_BYTES_MAX < decoded.bytes + bytes.len() {
            *decoded = DecodedValues::default();
        }
        decoded.bytes += bytes.len();
        let of_type = decoded.values.entry(TypeId::of::<T>()).or_default();
        let kept = (Arc::clone(bytes), value);
        match of_type.get_mut(key) {
            Some(before) => {
                let (before, _) = std::mem::replace(before, kept);
                decoded.bytes -= before.len();
            }
            None => {
                of_type.insert(key.to_vec(), kept);
                decoded.count += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn bytes(text: &str) -> Arc<[u8]> {
        text.as_bytes().into()
    }

    #[test]
    fn what_is_taken_is_whole_and_of_these_bytes() {
        let (library, text) = (Library::default(), Arc::new("one".to_owned()));
        let keep = |value: &Arc<String>| library.keep(b"key", &bytes(value), value);
        keep(&text);
        assert_eq!(library.take::<String>(b"key", &bytes("one")), None, "somebody still looks at it");
        keep(&Arc::new("one".to_owned()));
        assert_eq!(library.take::<u32>(b"key", &bytes("one")), None, "it is of another type");
        assert_eq!(library.decoded::<String>(b"key", &bytes("two")), None, "of other bytes");
        assert_eq!(library.take::<String>(b"key", &bytes("one")).as_deref(), Some("one"));
        assert_eq!(library.take::<String>(b"key", &bytes("one")), None, "it was taken");
        keep(&Arc::new("one".to_owned()));
        assert_eq!(library.take::<String>(b"key", &bytes("two")), None, "what it was is no more");
        let decoded = library.decoded.lock();
        assert_eq!((decoded.count, decoded.bytes), (0, 0));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let library = Library::default();
        for index in 0..2 * DECODED_MAX as u64 {
            library.keep(&index.to_le_bytes(), &bytes("value"), &Arc::new(index));
        }
        let large = bytes(&"x".repeat(1 << 20));
        for index in 0..100_u64 {
            library.keep(&index.to_le_bytes(), &large, &Arc::new("large"));
        }
        let decoded = library.decoded.lock();
        assert!(decoded.count <= DECODED_MAX && decoded.bytes <= DECODED_BYTES_MAX, "{decoded:?}");
        let (count, size) = decoded
            .values
            .values()
            .flat_map(HashMap::values)
            .fold((0, 0), |(count, size), (bytes, _)| (count + 1, size + bytes.len()));
        assert_eq!((count, size), (decoded.count, decoded.bytes));
    }
}
