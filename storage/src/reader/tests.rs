//! Reading blocks back, and what is refused instead of a block.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

use super::*;
use crate::fixture::{LEDGER, Ledger, payload};

fn reader(ledger: &Ledger) -> BlockReader {
    BlockReader::new(Arc::new(ledger.disk.clone()), LEDGER)
}

fn ledger() -> Ledger {
    let mut ledger = Ledger::create();
    for sizes in [&[5][..], &[0, 3000, 1], &[1 << 20], &[700_000], &[400_000]] {
        ledger.append(sizes);
        let slot = ledger.slot();
        ledger.log.add_checkpoint(slot);
    }
    ledger.close();
    ledger
}

#[test]
fn blocks_of_all_segments_read_back() {
    let ledger = ledger();
    let reader = reader(&ledger);
    assert!(ledger.blocks.iter().any(|location| location.segment == 1));
    let mut seq = 0;
    for (height, location) in (0..).zip(&ledger.blocks) {
        let block = reader.read(*location, height, Way::Direct).unwrap();
        assert_eq!((block.header().height, block.header().first_seq), (height, seq));
        assert_eq!((block.location(), block.frontier_before().size()), (*location, seq));
        assert_eq!(block.hash(), block.header().hash());
        let stored: Vec<u64> = block.checkpoints().map(|slot| slot.height).collect();
        // The first frame behind its block holds a checkpoint: the next block, or the end frame before a new segment.
        let first_of_segment = height == 0 || ledger.blocks[height as usize - 1].segment != location.segment;
        assert_eq!(stored, if first_of_segment { vec![] } else { vec![height - 1] });
        let body = block.body();
        for index in 0..body.record_count() {
            let expected = body.payload(index).unwrap();
            assert_eq!(expected, payload(seq, expected.len()));
            seq += 1;
        }
        assert!(block.memory_size() >= 4096 * 2);
    }
    assert_eq!(seq, ledger.frontier.size());
}

#[test]
fn something_else_than_the_block_is_refused() {
    let ledger = ledger();
    let reader = reader(&ledger);
    let code = |location: Location, height| reader.read(location, height, Way::Direct).unwrap_err().code();
    let [first, second] = [ledger.blocks[0], ledger.blocks[1]];
    assert_eq!(code(first, 1), "read.height");
    assert_eq!(code(Location { segment: 0, offset: 4096 }, 0), "read.no_block");
    assert_eq!(code(Location { segment: 0, offset: second.offset + 4096 }, 1), "read.frame");
    assert_eq!(code(Location { segment: 9, ..first }, 0), "read.disk");
    assert_eq!(code(Location { offset: first.offset + 1, ..first }, 0), "read.disk");
    let foreign = BlockReader::new(Arc::new(ledger.disk.clone()), LedgerId::from_bytes([1; 32]));
    assert_eq!(foreign.read(first, 0, Way::Direct).unwrap_err().code(), "read.other_segment");
}

#[test]
fn every_byte_of_a_block_is_verified() {
    let ledger = ledger();
    let reader = reader(&ledger);
    let location = ledger.blocks[1];
    let size = reader.read(location, 1, Way::Direct).unwrap().frame().size.total_bytes();
    for byte in 0..size {
        ledger.disk.flip_bit(0, location.offset + byte, (byte % 8) as u8);
        assert_eq!(reader.read(location, 1, Way::Direct).unwrap_err().code(), "read.frame", "byte {byte}");
        ledger.disk.flip_bit(0, location.offset + byte, (byte % 8) as u8);
    }
    assert!(reader.read(location, 1, Way::Direct).is_ok());
}

#[test]
fn headers_of_all_kinds_read_back() {
    let ledger = ledger();
    let reader = reader(&ledger);
    let start = reader.read_header(Location { segment: 1, offset: 4096 }).unwrap();
    assert_eq!((start.kind, start.slots), (FrameKind::Start, [None; 2]));
    let header = reader.read_header(ledger.blocks[2]).unwrap();
    assert_eq!((header.kind, header.block().map(|block| block.header.height)), (FrameKind::Block, Some(2)));
    let zeros = reader.read_header(Location { segment: 1, offset: (2 << 20) - 4096 });
    assert_eq!(zeros.unwrap_err().code(), "read.frame");
}
