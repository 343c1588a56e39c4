//! Every lookup against plain maps, over random blocks in several segments: live, half written, reopened, rebuilt.

use std::collections::BTreeMap;
use std::sync::Arc;

use annals_core::hash::{AuthorId, RecordId};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{CLOSING, LEDGER, author_entry, author_id, key, record_id};
use crate::index::{
    AuthorEntry, BlockEntry, BlockLocation, Index, IndexBuilder, MemoryIndexStore, OpenIndex, PendingIndexFile,
    RecordEntry,
};

/// A segment's blocks, each with its records, and what becomes of its index.
#[derive(Clone, Debug)]
struct Script {
    blocks: Vec<Vec<RecordEntry>>,
    authors: Vec<u64>,
    written: bool,
}

#[derive(Debug, Default)]
struct Model {
    blocks: Vec<BlockLocation>,
    records: Vec<RecordEntry>,
    authors: BTreeMap<(u8, AuthorId), AuthorEntry>,
}

impl Model {
    fn block_of_seq(&self, seq: u64) -> Option<BlockLocation> {
        self.blocks.iter().find(|b| b.first_seq <= seq && seq < b.first_seq + u64::from(b.record_count)).copied()
    }

    fn falling(&self, same: impl Fn(&RecordEntry) -> bool) -> Vec<u64> {
        let records = self.records.iter().enumerate().rev();
        records.filter(|(_, record)| same(record)).map(|(seq, _)| seq as u64).collect()
    }

    fn check(&self, index: &Index, probes: &[u64]) {
        let next_seq = self.records.len() as u64;
        for probe in probes {
            let seq = probe % (next_seq + 2);
            assert_eq!(index.locate_seq(seq).unwrap(), self.block_of_seq(seq), "seq {seq}");
            let height = probe % (self.blocks.len() as u64 + 2);
            assert_eq!(index.locate_height(height).unwrap(), self.blocks.get(height as usize).copied());
            let known = self.records.get(seq as usize).copied();
            let wanted = known.unwrap_or_else(|| super::record(u64::MAX - seq));
            let prefix = |id: &RecordId| id.as_bytes()[..8].to_vec();
            let found: Vec<_> = index.find_record_id(&wanted.record_id).map(Result::unwrap).collect();
            assert_eq!(found, self.falling(|record| prefix(&record.record_id) == prefix(&wanted.record_id)));
            let (suite, author, nonce) = (wanted.suite, wanted.author, wanted.nonce);
            let found: Vec<_> = index.find_nonce(suite, &author, nonce).map(Result::unwrap).collect();
            let same = |record: &RecordEntry| (record.suite, record.author, record.nonce) == (suite, author, nonce);
            assert_eq!(found, self.falling(same));
        }
        for number in 0..40 {
            for suite in 1..=2 {
                let expected = self.authors.get(&(suite, author_id(number))).copied();
                assert_eq!(index.author(suite, &author_id(number)).unwrap(), expected);
            }
        }
    }
}

/// Ids of equal fingerprint now and then; nonces that repeat.
fn any_record() -> impl Strategy<Value = RecordEntry> {
    let id = prop_oneof![
        4 => any::<u64>().prop_map(record_id),
        1 => (0..3_u64, any::<u8>()).prop_map(|(prefix, last)| {
            let mut bytes = record_id(prefix).to_bytes();
            bytes[31] = last;
            RecordId::from_bytes(bytes)
        }),
    ];
    (id, 1..=2_u8, 0..8_u64, 0..2000_u64).prop_map(|(record_id, suite, author, nonce)| RecordEntry {
        record_id,
        suite,
        author: author_id(author),
        nonce,
    })
}

fn any_script() -> impl Strategy<Value = Script> {
    let blocks = prop_oneof![3 => vec(vec(any_record(), 1..4), 0..30), 1 => vec(vec(any_record(), 1..4), 250..600)];
    (blocks, vec(0..80_u64, 0..60), any::<bool>()).prop_map(|(blocks, mut authors, written)| {
        authors.sort_unstable();
        authors.dedup();
        Script { blocks, authors, written }
    })
}

/// Authors of a segment: number n below 40 is author n in suite 1, above it the author n - 40 in suite 2.
fn entries(script: &Script, segment: u64) -> Vec<AuthorEntry> {
    let entry = |number: &u64| {
        let told = author_entry(number + 1000 * segment);
        AuthorEntry { suite: 1 + (number / 40) as u8, author: author_id(number % 40), ..told }
    };
    script.authors.iter().map(entry).collect()
}

/// Feeds a segment's blocks to `push`.
fn feed(script: &Script, mut seq: u64, mut height: u64, mut push: impl FnMut(&BlockEntry<'_>)) {
    for (records, offset) in script.blocks.iter().zip((1..).map(|page| page * 8192)) {
        push(&BlockEntry { first_seq: seq, height, offset, records });
        seq += records.len() as u64;
        height += 1;
    }
}

/// Pushes all segments through an index; the last one stays open.
fn run(scripts: &[Script], store: &MemoryIndexStore) -> (Index, Model, Vec<PendingIndexFile>) {
    let index = Index::new(Arc::new(store.clone()), LEDGER, &[], OpenIndex::new(0, key(0), 0, 0));
    let (mut model, mut pending) = (Model::default(), Vec::new());
    for (segment, script) in (0..).zip(scripts) {
        feed(script, model.records.len() as u64, model.blocks.len() as u64, |block| {
            index.push_block(block);
            model.blocks.push(BlockLocation {
                segment,
                offset: block.offset,
                height: block.height,
                first_seq: block.first_seq,
                record_count: block.records.len() as u32,
            });
            model.records.extend_from_slice(block.records);
        });
        if segment + 1 == scripts.len() as u64 {
            break;
        }
        let authors = entries(script, segment);
        model.authors.extend(authors.iter().map(|entry| ((entry.suite, entry.author), *entry)));
        pending.push(index.seal_open(CLOSING, authors, key(segment + 1)));
        if script.written {
            pending[segment as usize].write(store).unwrap();
            index.written(&pending[segment as usize]);
        }
    }
    (index, model, pending)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lookups_equal_the_model(scripts in vec(any_script(), 1..6), probes in vec(any::<u64>(), 60)) {
        let store = MemoryIndexStore::new();
        let (index, model, pending) = run(&scripts, &store);
        model.check(&index, &probes);

        for file in &pending {
            file.write(&store).unwrap();
            index.written(file);
        }
        model.check(&index, &probes);

        let closed: Vec<_> = pending.iter().map(PendingIndexFile::segment).collect();
        let (last, old) = (scripts.last().unwrap(), index.open());
        let open = OpenIndex::new(old.segment(), key(old.segment()), old.first_seq(), old.first_height());
        feed(last, old.first_seq(), old.first_height(), |block| open.push_block(block));
        let before = (store.bytes_read(), store.opened_count());
        let reopened = Index::new(Arc::new(store.clone()), LEDGER, &closed, open);
        prop_assert_eq!((store.bytes_read(), store.opened_count()), before);
        model.check(&reopened, &probes);

        for (script, file) in scripts.iter().zip(&pending) {
            let header = file.header();
            let segment = header.segment;
            let written = store.bytes(segment).unwrap();
            store.set(segment, None);
            let mut builder =
                IndexBuilder::new(LEDGER, segment, key(segment), header.first_seq, header.first_height);
            feed(script, header.first_seq, header.first_height, |block| builder.push_block(block));
            let rebuilt = builder.finish(CLOSING, entries(script, segment));
            prop_assert!(rebuilt.encode() == written, "a rebuilt file equals the first one");
            reopened.install(&rebuilt);
        }
        model.check(&reopened, &probes);
    }
}
