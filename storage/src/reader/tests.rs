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

/// Blocks of one record, of many, of empty ones, and of one that is many pages.
fn many() -> Ledger {
    let mut ledger = Ledger::create();
    let mixed: Vec<usize> = (0..500).map(|at| [0, 1, 37, 256, 3000][at % 5]).collect();
    for sizes in [&[5][..], &[0], &mixed, &[0, 0, 0], &[200_000, 1, 0, 4096]] {
        ledger.append(sizes);
    }
    ledger.close();
    ledger
}

#[test]
fn single_records_are_those_of_their_block() {
    let ledger = many();
    let reader = reader(&ledger);
    for (height, location) in (0..).zip(&ledger.blocks) {
        let block = reader.read(*location, height, Way::Direct).unwrap();
        for way in [Way::Direct, Way::Cached] {
            let outline = reader.outline(*location, height, way).unwrap();
            assert_eq!((outline.header(), outline.hash()), (block.header(), block.hash()));
            assert_eq!(outline.frontier_before(), block.frontier_before());
            let body = block.body();
            for index in 0..body.record_count() {
                let part = reader.record(&outline, index, way).unwrap();
                assert_eq!(part.head(), body.head(index).unwrap());
                assert_eq!(part.payload(), body.payload(index).unwrap());
            }
            let some = body.record_count() / 3..body.record_count();
            assert_eq!(reader.heads(&outline, some.clone(), way).unwrap(), body.heads()[some]);
            let count = body.record_count();
            assert_eq!(reader.record(&outline, count, way).unwrap_err().code(), "read.body");
            assert_eq!(reader.heads(&outline, 0..count + 1, way).unwrap_err().code(), "read.body");
        }
    }
}

#[test]
fn a_single_record_costs_its_pages_and_no_more() {
    let ledger = many();
    let reader = reader(&ledger);
    let (location, block) = (ledger.blocks[2], reader.read(ledger.blocks[2], 2, Way::Direct).unwrap());
    let outline = reader.outline(location, 2, Way::Direct).unwrap();
    assert!(outline.memory_size() < block.memory_size() / 20, "{}", outline.memory_size());
    let before = ledger.disk.bytes_read();
    reader.record(&outline, 350, Way::Direct).unwrap();
    let read = ledger.disk.bytes_read() - before;
    assert!(read <= 4 * 4096, "{read} bytes for a record of a block of {}", block.memory_size());
}

#[test]
fn a_damaged_page_is_found_by_whoever_reads_it_and_by_nobody_else() {
    let ledger = many();
    let reader = reader(&ledger);
    let location = ledger.blocks[2];
    let outline = reader.outline(location, 2, Way::Direct).unwrap();
    let block = reader.read(location, 2, Way::Direct).unwrap();
    let (size, count) = (block.frame().size, block.body().record_count());
    for page in 0..(size.total_bytes() / 4096) {
        let at = location.offset + page * 4096 + 17 * page % 4096;
        ledger.disk.flip_bit(location.segment, at, 3);
        let mut refused = 0;
        for index in 0..count {
            match reader.record(&outline, index, Way::Cached) {
                Ok(part) => {
                    assert_eq!(part.head(), block.body().head(index).unwrap(), "page {page}, record {index}");
                    assert_eq!(part.payload(), block.body().payload(index).unwrap(), "page {page}, record {index}");
                }
                Err(error) => {
                    assert_eq!(error.code(), "read.frame");
                    refused += 1;
                }
            }
        }
        let new = reader.outline(location, 2, Way::Cached);
        let is_header = (page as usize) < size.header_pages();
        assert!(refused < count && (0 < refused || new.is_err()), "page {page}: somebody notices, and not all suffer");
        assert!(!is_header || new.is_err(), "page {page}: the whole header is verified");
        ledger.disk.flip_bit(location.segment, at, 3);
    }
}

/// A page cache that gives other bytes than the disk.
#[derive(Debug)]
struct Stale(crate::disk::MemoryDisk);

impl Disk for Stale {
    fn segments(&self) -> Result<Vec<crate::disk::SegmentFile>, DiskError> {
        self.0.segments()
    }

    fn create_segment(&self, number: u64, size: u64, first_page: &[u8]) -> Result<(), DiskError> {
        self.0.create_segment(number, size, first_page)
    }

    fn read(&self, number: u64, offset: u64, into: &mut PageBuffer) -> Result<(), DiskError> {
        self.0.read(number, offset, into)
    }

    fn read_settled(&self, _number: u64, _offset: u64, into: &mut PageBuffer) -> Result<(), DiskError> {
        into.fill(0);
        Ok(())
    }

    fn write(&self, number: u64, offset: u64, from: &PageBuffer) -> Result<(), DiskError> {
        self.0.write(number, offset, from)
    }

    fn sync(&self, number: u64) -> Result<(), DiskError> {
        self.0.sync(number)
    }

    fn sync_names(&self) -> Result<(), DiskError> {
        self.0.sync_names()
    }

    fn available(&self) -> Result<u64, DiskError> {
        self.0.available()
    }

    fn bytes_read(&self) -> u64 {
        self.0.bytes_read()
    }
}

#[test]
fn a_stale_page_cache_is_no_damage_and_is_never_shown() {
    let ledger = many();
    let reader = BlockReader::new(Arc::new(Stale(ledger.disk.clone())), LEDGER);
    for (height, location) in (0..).zip(&ledger.blocks) {
        let block = reader.read(*location, height, Way::Cached).unwrap();
        let outline = reader.outline(*location, height, Way::Cached).unwrap();
        for index in 0..block.body().record_count() {
            let part = reader.record(&outline, index, Way::Cached).unwrap();
            assert_eq!(part.head(), block.body().head(index).unwrap());
        }
    }
}

#[test]
fn buffers_are_used_again_and_never_show_what_was_in_them() {
    let ledger = many();
    let reader = reader(&ledger);
    // Large, small, large: what a buffer held before is larger than what is read into it.
    for height in [2, 0, 4, 1, 2, 3, 4, 0] {
        let block = reader.read(ledger.blocks[height as usize], height, Way::Direct).unwrap();
        let body = block.body();
        for (seq, index) in (block.header().first_seq..).zip(0..body.record_count()) {
            let found = body.payload(index).unwrap();
            assert_eq!(found, payload(seq, found.len()));
        }
        assert!(block.memory_size() <= 4096 + usize::try_from(block.frame().size.total_bytes()).unwrap());
    }
}
