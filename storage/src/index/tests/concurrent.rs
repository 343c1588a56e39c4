//! Lookups beside the thread that pushes, seals and writes: what was pushed is found ever after.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{CLOSING, LEDGER, author_entry, author_id, key, record};
use crate::index::{BlockEntry, Index, MemoryIndexStore, OpenIndex};

#[test]
fn what_was_pushed_is_found_through_sealing_and_swapping() {
    let store = MemoryIndexStore::new();
    let index = Index::new(Arc::new(store.clone()), LEDGER, &[], OpenIndex::new(0, key(0), 0, 0));
    let pushed = AtomicU64::new(0);
    const SEGMENT_COUNT: u64 = 40;
    const BLOCK_COUNT: u64 = 20;
    let look = || {
        let mut probe = 1_u64;
        loop {
            // Acquire pairs with the Release below: what is below was pushed.
            let below = pushed.load(Ordering::Acquire);
            if 0 < below {
                probe = probe.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                let seq = (probe >> 20) % below;
                let block = index.locate_seq(seq).unwrap().unwrap();
                assert_eq!(block.height, seq / 3);
                assert_eq!(index.locate_height(seq / 3).unwrap(), Some(block));
                assert!(index.find_record_id(&record(seq).record_id).any(|found| found.unwrap() == seq));
                assert!(index.find_nonce(1, &author_id(seq % 4), seq / 4).any(|found| found.unwrap() == seq));
                if 0 < block.segment {
                    assert!(index.author(1, &author_id(block.segment - 1)).unwrap().is_some());
                }
            }
            if below == 3 * SEGMENT_COUNT * BLOCK_COUNT {
                break;
            }
        }
    };
    std::thread::scope(|scope| {
        let readers = [scope.spawn(look), scope.spawn(look)];
        for segment in 0..SEGMENT_COUNT {
            for height in segment * BLOCK_COUNT..(segment + 1) * BLOCK_COUNT {
                let records: Vec<_> = (3 * height..3 * height + 3).map(record).collect();
                index.push_block(&BlockEntry { first_seq: 3 * height, height, offset: 4096, records: &records });
                pushed.store(3 * height + 3, Ordering::Release);
            }
            let pending = index.seal_open(CLOSING, vec![author_entry(segment)], key(segment + 1));
            let (index, store) = (&index, &store);
            scope.spawn(move || {
                pending.write(store).unwrap();
                index.written(&pending);
            });
        }
        for reader in readers {
            reader.join().unwrap();
        }
    });
}
