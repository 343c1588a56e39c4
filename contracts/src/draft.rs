//! Drafts: what one record, and one block, would change, before it is so.
//!
//! A contract reads through a draft and writes into it. A record that is refused leaves nothing of its draft behind; one that is
//! accepted passes it on to the block's. Every read and write costs steps of the record's budget, so no record holds the host up.

use crate::failure::HostError;
use crate::guard::Budget;
use crate::library::Library;
use crate::outcome::{Event, Refused, shortened_name};
use crate::state::{Changes, KEY_SIZE_MAX, State, StateError};
use crate::value::{VALUE_SIZE_MAX, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Steps that one record may take: evaluations of guards, reads and writes.
pub const STEPS_MAX: u32 = 1_000_000;
/// Steps that a read or a write costs.
pub(crate) const ACCESS_STEPS: u32 = 64;

/// Why a contract came to no end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The record is refused.
    Refused(Refused),
    /// Nothing can be decided.
    Broken(HostError),
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<StateError> for Stop {
    fn from(error: StateError) -> Self {
        Self::Broken(error.into())
    }
}

/// What was changed and happened since something.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    pub(crate) values: Changes,
    pub(crate) rows: Changes,
    pub(crate) events: Vec<Event>,
}

impl Layer {
    /// Puts a later layer on this one.
    pub(crate) fn absorb(&mut self, later: Self) {
        self.values.extend(later.values);
        self.rows.extend(later.rows);
        self.events.extend(later.events);
    }
}

/// Where and when a record is applied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct At {
    /// Its place in the total order.
    pub seq: u64,
    /// Height of its block.
    pub height: u64,
    /// When its block was ordered, ms since the Unix epoch.
    pub time_ms: i64,
}

/// What records are applied to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground<'a> {
    pub(crate) state: &'a State,
    pub(crate) library: &'a Library,
    /// Whether what is loaded to be changed is taken out of the library: by the host, who puts back what becomes of it. Those who only
    /// try something leave it there.
    pub(crate) takes: bool,
}

/// What one record would change.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    ground: Ground<'a>,
    block: &'a Layer,
    own: Layer,
    /// Steps left.
    pub(crate) budget: Budget,
    /// Where and when.
    pub(crate) at: At,
}

impl<'a> Draft<'a> {
    /// A draft on what a block has changed so far.
    pub(crate) fn new(ground: Ground<'a>, block: &'a Layer, at: At) -> Self {
        Self { ground, block, own: Layer::default(), budget: Budget::new(STEPS_MAX), at }
    }

    /// A draft to try something on, whose changes are thrown away with it.
    pub(crate) fn trial(&self) -> Self {
        Self { own: self.own.clone(), budget: self.budget, ..*self }
    }

    /// The compiled definitions.
    pub(crate) const fn library(&self) -> &'a Library {
        self.ground.library
    }

    /// What it changes.
    pub(crate) fn into_layer(self) -> Layer {
        self.own
    }

    /// Spends steps.
    pub(crate) fn spend(&mut self, steps: u32) -> Result<(), Stop> {
        self.budget.spend(steps as usize).map_err(|_| over_budget().into())
    }

    /// The value of a key.
    pub(crate) fn get(&mut self, key: &[u8]) -> Result<Option<Arc<[u8]>>, Stop> {
        self.spend(ACCESS_STEPS)?;
        let found = match self.own.values.get(key).or_else(|| self.block.values.get(key)) {
            Some(changed) => changed.clone(),
            None => self.ground.state.get(key)?,
        };
        // Reading it into its form takes as long as it is large.
        self.spend(steps_of(found.as_deref().unwrap_or_default()))?;
        Ok(found)
    }

    /// The value of a key, decoded; decoding is not done twice.
    pub(crate) fn decoded<T: std::any::Any + Send + Sync>(
        &mut self,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<Option<Arc<T>>, Stop> {
        let Some(bytes) = self.get(key)? else { return Ok(None) };
        if let Some(known) = self.ground.library.decoded(key, &bytes) {
            return Ok(Some(known));
        }
        let value = Arc::new(decode(&bytes).map_err(|problem| damaged(key, &problem))?);
        self.ground.library.keep(key, &bytes, &value);
        Ok(Some(value))
    }

    /// The value of a key, decoded, for whoever changes it and sets what becomes of it.
    pub(crate) fn decoded_for_change<T: Clone + std::any::Any + Send + Sync>(
        &mut self,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<Option<T>, Stop> {
        let Some(bytes) = self.get(key)? else { return Ok(None) };
        let library = self.ground.library;
        let taken = if self.ground.takes { library.take(key, &bytes) } else { None };
        let known = taken.or_else(|| library.decoded(key, &bytes).map(Arc::unwrap_or_clone));
        let value = known.map_or_else(|| decode(&bytes), Ok);
        value.map(Some).map_err(|problem| damaged(key, &problem))
    }

    /// Sets the value of a key, and remembers what its bytes decode to.
    pub(crate) fn put_decoded<T: std::any::Any + Send + Sync>(
        &mut self,
        key: Vec<u8>,
        bytes: Vec<u8>,
        value: &Arc<T>,
    ) -> Result<(), Stop> {
        let bytes: Arc<[u8]> = bytes.into();
        self.ground.library.keep(&key, &bytes, value);
        self.put_bytes(key, bytes)
    }

    /// A row.
    pub(crate) fn row(&mut self, key: &[u8]) -> Result<Option<Arc<[u8]>>, Stop> {
        self.spend(ACCESS_STEPS)?;
        match self.own.rows.get(key).or_else(|| self.block.rows.get(key)) {
            Some(changed) => Ok(changed.clone()),
            None => Ok(self.ground.state.row(key)?),
        }
    }

    /// Keys of rows of a range, the first ones, as this record has left them; fewer than `most` only if there are no more.
    pub(crate) fn rows(&mut self, from: &[u8], to: &[u8], most: usize) -> Result<Vec<Vec<u8>>, Stop> {
        self.spend(ACCESS_STEPS)?;
        let (mut from, mut found) = (from.to_vec(), Vec::new());
        while from.as_slice() < to && found.len() < most {
            let stored = self.ground.state.rows(&from, to, most)?;
            // Behind the last one that was read there may be more: what was changed there is looked at with them.
            let end = stored.last().filter(|_| stored.len() == most);
            let end = end.map_or_else(|| to.to_vec(), |(last, _)| [&last[..], &[0]].concat());
            let mut rows: BTreeMap<Vec<u8>, bool> = stored.into_iter().map(|(key, _)| (key, true)).collect();
            for layer in [&self.block.rows, &self.own.rows] {
                let changed = layer.range(from.clone()..end.clone());
                rows.extend(changed.map(|(key, value)| (key.clone(), value.is_some())));
            }
            from = end;
            found.extend(rows.into_iter().filter(|(_, is_there)| *is_there).map(|(key, _)| key));
        }
        found.truncate(most);
        Ok(found)
    }

    /// Sets the value of a key.
    pub(crate) fn put(&mut self, key: Vec<u8>, value: &Value) -> Result<(), Stop> {
        self.put_bytes(key, value.encode())
    }

    /// Sets the value of a key to the encoding of one.
    pub(crate) fn put_bytes(&mut self, key: Vec<u8>, value: impl Into<Arc<[u8]>>) -> Result<(), Stop> {
        let value = value.into();
        self.spend(ACCESS_STEPS + steps_of(&value))?;
        check_size(&key, &value)?;
        self.own.values.insert(key, Some(value));
        Ok(())
    }

    /// Removes a key.
    pub(crate) fn remove(&mut self, key: Vec<u8>) -> Result<(), Stop> {
        self.spend(ACCESS_STEPS)?;
        self.own.values.insert(key, None);
        Ok(())
    }

    /// Sets a row.
    pub(crate) fn put_row(&mut self, key: Vec<u8>, value: impl Into<Arc<[u8]>>) -> Result<(), Stop> {
        let value = value.into();
        self.spend(ACCESS_STEPS)?;
        check_size(&key, &value)?;
        self.own.rows.insert(key, Some(value));
        Ok(())
    }

    /// Removes a row.
    pub(crate) fn remove_row(&mut self, key: Vec<u8>) -> Result<(), Stop> {
        self.spend(ACCESS_STEPS)?;
        self.own.rows.insert(key, None);
        Ok(())
    }

    /// Tells that something happened.
    pub(crate) fn happened(&mut self, name: &'static str, case: &str, about: &[&str]) {
        let about = about.iter().map(|item| shortened_name(item)).collect();
        self.own.events.push(Event { name, case: case.to_owned(), about });
    }
}

/// Steps that a value costs beside its access.
fn steps_of(value: &[u8]) -> u32 {
    u32::try_from(value.len() / 64).unwrap_or(u32::MAX)
}

/// What stands under a key, read into its type.
pub(crate) fn stored<T>(draft: &mut Draft<'_>, key: &[u8]) -> Result<Option<Arc<T>>, Stop>
where
    T: for<'de> serde::Deserialize<'de> + Send + Sync + 'static,
{
    draft.decoded(key, |bytes| serde_json::from_slice(bytes).map_err(|error| error.to_string()))
}

/// The refusal of a record that takes too many steps.
pub(crate) fn over_budget() -> Refused {
    let words = format!(
        "the record takes more than {STEPS_MAX} steps; split it, or ask the service's operator for a simpler rule"
    );
    Refused::new("contract.budget", &[], words)
}

/// What would not fit into state is refused, not found out when it is stored.
fn check_size(key: &[u8], value: &[u8]) -> Result<(), Refused> {
    if key.len() <= KEY_SIZE_MAX && value.len() <= VALUE_SIZE_MAX {
        return Ok(());
    }
    let words =
        format!("it would make a key of {} bytes with a value of {}, more than state holds", key.len(), value.len());
    Err(Refused::new("contract.too_large", &[], words))
}

/// State holds what no contract wrote.
pub(crate) fn damaged(key: &[u8], problem: &str) -> Stop {
    StateError::damaged(key, problem).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::state::{BlockChanges, StateOptions, StateWriter};
    use proptest::prelude::*;

    fn layer(changes: &BTreeMap<u8, bool>) -> Layer {
        let row = |(key, is_there): (&u8, &bool)| (vec![*key], is_there.then(|| Arc::from(&b""[..])));
        Layer { rows: changes.iter().map(row).collect(), ..Layer::default() }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        /// However few rows are read at a time, all of them are found that are there, in order.
        #[test]
        fn rows_are_those_of_all_layers(
            stored in prop::collection::btree_map(0..24_u8, Just(true), 0..16),
            block in prop::collection::btree_map(0..24_u8, any::<bool>(), 0..16),
            own in prop::collection::btree_map(0..24_u8, any::<bool>(), 0..16),
            (from, to, most) in (0..24_u8, 0..24_u8, 1..6_usize),
        ) {
            let mut writer = StateWriter::in_memory(&StateOptions::default()).unwrap();
            let rows = layer(&stored).rows;
            let block_changes =
                BlockChanges { height: 1, next_seq: 1, ledger_root: annals::TreeHash::from_bytes([1; 32]), changes: Changes::new(), rows };
            writer.apply(block_changes).unwrap();
            let (state, library, below) = (writer.reader(), Library::default(), layer(&block));
            let ground = Ground { state: &state, library: &library, takes: true };
            let mut draft = Draft::new(ground, &below, At { seq: 1, height: 2, time_ms: 0 });
            draft.own = layer(&own);
            let mut there = stored.clone();
            there.extend(block.iter().chain(&own).map(|(key, is_there)| (*key, *is_there)));
            let (from, to) = (from.min(to), from.max(to));
            let expected: Vec<Vec<u8>> =
                there.range(from..to).filter(|(_, is_there)| **is_there).map(|(key, _)| vec![*key]).take(most).collect();
            prop_assert_eq!(draft.rows(&[from], &[to], most).unwrap(), expected);
        }
    }
}
