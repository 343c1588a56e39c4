//! Frames against their documented table, and every bit of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

use annals_core::block::BlockHeader;
use annals_core::hash::{BlockHash, LedgerId};
use annals_core::limits::{BODY_SIZE_MAX, PAGE_SIZE};
use annals_core::tree::{Frontier, leaf_hash};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::*;
use crate::fixture::{LEDGER, segment};

const OFFSET: u64 = 8192;
const BODY_SIZE: usize = 5000;

fn frontier(size: u64) -> Frontier {
    let mut frontier = Frontier::new();
    (0..size).for_each(|seq| frontier.push(leaf_hash(&seq.to_le_bytes())));
    frontier
}

/// Block 4 of 3 records, the first of them seq 10.
fn block() -> HashedHeader {
    HashedHeader::new(BlockHeader {
        record_count: 3,
        ledger: LEDGER,
        height: 4,
        first_seq: 10,
        item_count: 3,
        ordered_time_ms: 99,
        previous: BlockHash::from_bytes([3; 32]),
        root: frontier(13).root(),
    })
}

fn slot(height: u64, size: u64) -> Slot {
    Slot { size, height, signature: [0x66; 64] }
}

fn frame(kind: FrameKind, slots: [Option<Slot>; 2]) -> Vec<u8> {
    let (newest, frontier) = (block(), frontier(if kind == FrameKind::Block { 10 } else { 13 }));
    let fields = FrameFields {
        kind,
        offset: OFFSET,
        index: 7,
        epoch: 2,
        durable: 6,
        previous: FrameChecksum::from_bytes([0x44; 32]),
        newest: Some(&newest),
        slots,
        frontier: &frontier,
        body_size: if kind == FrameKind::Block { BODY_SIZE } else { 0 },
    };
    // Not zeroed before: a buffer may have been used.
    let mut buffer = vec![0xEE; fields.size().total_bytes() as usize];
    seal(&segment(0), &fields, &mut buffer);
    buffer
}

fn check(bytes: &[u8]) -> Result<FrameHeader, FrameError> {
    let header = FrameHeader::parse(&segment(0), OFFSET, bytes)?;
    let (pages, body) = bytes.split_at(header.size.header_bytes());
    verify_body(&segment(0), &header, pages, body)?;
    Ok(header)
}

#[test]
fn xxh3_is_the_published_one() {
    // Sanity value of xxHash's own test suite: XXH3_64bits of the empty input.
    assert_eq!(xxh3_64(b""), 0x2D06_8005_38D3_94C2);
}

#[test]
fn block_frame_is_the_documented_table() {
    let bytes = frame(FrameKind::Block, [Some(slot(2, 8)), None]);
    // n = 2: ten leaves are subtrees of 8 and 2. p = 2: 5000 bytes are two pages.
    let (n, p) = (2, 2);
    assert_eq!(bytes.len(), 3 * 4096);
    let mut expected = vec![0_u8; 504];
    expected[..4].copy_from_slice(b"ANF1");
    (expected[4], expected[5], expected[6]) = (2, 1, 2);
    expected[8..40].copy_from_slice(LEDGER.as_bytes());
    expected[48..56].copy_from_slice(&OFFSET.to_le_bytes());
    (expected[56], expected[64], expected[80]) = (7, 2, 6);
    expected[88..92].copy_from_slice(&(512_u32 + 32 * n + 32 + 16 + 8 * p + 32).to_le_bytes());
    expected[92..96].copy_from_slice(&5000_u32.to_le_bytes());
    expected[96..128].fill(0x44);
    expected[128..160].copy_from_slice(block().hash.as_bytes());
    expected[160..328].copy_from_slice(&block().header.encode());
    (expected[328], expected[336]) = (8, 2);
    expected[344..408].fill(0x66);
    assert_eq!(bytes[..504], expected);
    let (key, seed) = (segment(0).key, 1);
    assert_eq!(bytes[504..512], xxh3_64_with_seed(&bytes[..504], seed).to_le_bytes());
    assert_eq!(bytes[512..544], *frontier(8).root().as_bytes());
    assert_eq!(bytes[576..608], *blake3::keyed_hash(&key, &bytes[..576]).as_bytes());
    assert_eq!(bytes[608..624], [0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[624..632], xxh3_64_with_seed(&bytes[4096..8192], seed).to_le_bytes());
    assert_eq!(bytes[632..640], xxh3_64_with_seed(&bytes[8192..], seed).to_le_bytes());
    assert_eq!(bytes[640..672], *blake3::keyed_hash(&key, &bytes[576..640]).as_bytes());
    assert!(bytes[672..4096].iter().all(|byte| *byte == 0));
    assert!(bytes[4096..4096 + 5000].iter().all(|byte| *byte == 0xEE));
    assert!(bytes[4096 + 5000..].iter().all(|byte| *byte == 0));
}

#[test]
fn every_kind_reads_back() {
    let slots = [Some(slot(2, 8)), Some(slot(3, 10))];
    for kind in [FrameKind::Block, FrameKind::Watermark, FrameKind::End] {
        let header = check(&frame(kind, slots)).unwrap();
        assert_eq!((header.kind, header.segment, header.offset, header.index), (kind, 0, OFFSET, 7));
        assert_eq!((header.epoch, header.durable, header.slots), (2, 6, slots));
        assert_eq!(header.newest, Some(block()));
        assert_eq!(header.frontier, frontier(if kind == FrameKind::Block { 10 } else { 13 }));
        assert_eq!(header.previous, FrameChecksum::from_bytes([0x44; 32]));
        assert_eq!(header.block().is_some(), kind == FrameKind::Block);
        assert_eq!(header.end(), OFFSET + frame(kind, slots).len() as u64);
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let bytes = frame(FrameKind::Block, [Some(slot(2, 8)), None]);
    for bit in 0..8 * bytes.len() {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(check(&damaged).is_err(), "bit {bit}");
    }
}

/// Makes all sums right again after a change, as a faulty writer would have.
fn resum(bytes: &mut [u8]) {
    let (segment, size) = (segment(0), FrameSize { frontier_length: 2, body_size: BODY_SIZE });
    let sum = xxh3_64_with_seed(&bytes[..504], segment.seed());
    bytes[504..512].copy_from_slice(&sum.to_le_bytes());
    let at = 512 + 32 * size.frontier_length;
    let checksum = *blake3::keyed_hash(&segment.key, &bytes[..at]).as_bytes();
    bytes[at..at + 32].copy_from_slice(&checksum);
    for page in 0..2 {
        let sum = xxh3_64_with_seed(&bytes[4096 * (page + 1)..][..4096], segment.seed());
        bytes[at + 48 + 8 * page..][..8].copy_from_slice(&sum.to_le_bytes());
    }
    let sums = *blake3::keyed_hash(&segment.key, &bytes[at..at + 64]).as_bytes();
    bytes[at + 64..at + 96].copy_from_slice(&sums);
}

fn changed(at: usize, field: &[u8]) -> FrameError {
    let mut bytes = frame(FrameKind::Block, [Some(slot(2, 8)), Some(slot(3, 10))]);
    bytes[at..at + field.len()].copy_from_slice(field);
    resum(&mut bytes);
    check(&bytes).unwrap_err()
}

#[test]
fn fields_are_checked_behind_the_sums() {
    let number = |value: u64| value.to_le_bytes();
    assert_eq!(changed(0, b"ANF2"), FrameError::Newer { found: *b"ANF2" });
    assert_eq!(changed(0, b"ANR1"), FrameError::Magic { found: *b"ANR1" });
    assert_eq!(changed(4, &[0]), FrameError::Kind { found: 0 });
    assert_eq!(changed(4, &[5]), FrameError::Kind { found: 5 });
    assert_eq!(changed(4, &[3]), FrameError::BodySize { kind: FrameKind::Watermark, found: BODY_SIZE });
    assert_eq!(changed(5, &[3]), FrameError::SlotCount { found: 3 });
    assert_eq!(changed(5, &[1]), FrameError::Reserved { offset: 408 });
    assert_eq!(changed(6, &[54]), FrameError::FrontierLength { expected: 53, found: 54 });
    assert_eq!(changed(6, &[3]), FrameError::HeaderSize { expected: 704, found: 672 });
    assert_eq!(changed(7, &[1]), FrameError::Reserved { offset: 7 });
    let ledger = LedgerId::from_bytes([1; 32]);
    assert_eq!(changed(8, ledger.as_bytes()), FrameError::Ledger { expected: LEDGER, found: ledger });
    assert_eq!(changed(40, &number(1)), FrameError::Place { field: "segment number", expected: 0, found: 1 });
    assert_eq!(changed(48, &number(4096)), FrameError::Place { field: "offset", expected: OFFSET, found: 4096 });
    assert_eq!(changed(72, &number(1)), FrameError::Reserved { offset: 72 });
    assert_eq!(changed(80, &number(8)), FrameError::Durable { index: 7, found: 8 });
    assert_eq!(changed(92, &[0; 4]), FrameError::BodySize { kind: FrameKind::Block, found: 0 });
    let large = BODY_SIZE_MAX as u32 + 1;
    let expected = FrameError::BodySize { kind: FrameKind::Block, found: large as usize };
    assert_eq!(changed(92, &large.to_le_bytes()), expected);
    assert_eq!(changed(96, &[0; 32]), FrameError::Previous { index: 7, found: FrameChecksum::ZERO });
    let hash = BlockHash::from_bytes([9; 32]);
    assert_eq!(changed(128, hash.as_bytes()), FrameError::BlockHash { expected: block().hash, found: hash });
    assert!(matches!(changed(160, b"XXXX"), FrameError::Block(_)));
    assert_eq!(changed(328, &number(11)), FrameError::Slot { height: 2, size: 11 });
    assert_eq!(changed(336, &number(4)), FrameError::Slot { height: 4, size: 8 });
    assert_eq!(changed(416, &number(2)), FrameError::Slot { height: 2, size: 10 });
    assert_eq!(changed(488, &[1]), FrameError::Reserved { offset: 488 });
    assert_eq!(changed(608, &number(1)), FrameError::Generation { found: 1 });
    assert_eq!(changed(616, &[3, 0, 0, 0]), FrameError::PageCount { expected: 2, found: 3 });
    assert_eq!(changed(620, &[1]), FrameError::Reserved { offset: 620 });
    assert_eq!(changed(4095, &[1]), FrameError::Padding { offset: 4095 });
    assert_eq!(changed(4096 + 5000, &[1]), FrameError::Padding { offset: 4096 + 5000 });
}

#[test]
fn newest_block_and_frontier_belong_together() {
    let mut bytes = frame(FrameKind::Watermark, [None; 2]);
    bytes[512] ^= 1;
    let (key, at) = (segment(0).key, 512 + 32 * 3);
    let checksum = *blake3::keyed_hash(&key, &bytes[..at]).as_bytes();
    bytes[at..at + 32].copy_from_slice(&checksum);
    let sums = *blake3::keyed_hash(&key, &bytes[at..at + 48]).as_bytes();
    bytes[at + 48..at + 80].copy_from_slice(&sums);
    assert!(matches!(check(&bytes), Err(FrameError::Root { .. })));
}

#[test]
fn start_frames_lie_first_and_only_they() {
    let wrong = FrameHeader::parse(&segment(0), OFFSET, &frame(FrameKind::Start, [None; 2]));
    assert_eq!(wrong.unwrap_err(), FrameError::KindPlace { kind: FrameKind::Start, offset: OFFSET });
}

#[test]
fn other_segments_key_does_not_verify() {
    let (bytes, mut other) = (frame(FrameKind::Watermark, [None; 2]), segment(0));
    other.key[31] ^= 1;
    assert!(matches!(FrameHeader::parse(&other, OFFSET, &bytes), Err(FrameError::Checksum { .. })));
    other.key[0] ^= 1;
    assert!(matches!(FrameHeader::parse(&other, OFFSET, &bytes), Err(FrameError::SectorSum { .. })));
}

#[test]
fn truncated_input_is_refused() {
    let bytes = frame(FrameKind::Block, [None; 2]);
    for length in [0, 3, 511, 512, 4095] {
        let wrong = FrameHeader::parse(&segment(0), OFFSET, &bytes[..length]);
        assert!(matches!(wrong, Err(FrameError::Truncated { .. })), "{length}");
    }
}

#[test]
fn sizes_are_those_of_the_format() {
    // 512 + 32n + 32 + 16 + 8p + 32 bytes.
    assert_eq!(header_pages(0, 0), 1);
    assert_eq!(header_pages(53, 226), 1);
    assert_eq!(header_pages(53, 227), 2);
    assert_eq!(header_pages(0, 438), 1);
    assert_eq!(header_pages(0, 439), 2);
    assert_eq!(header_pages(53, 1024), 3);
    assert_eq!(block_frame_size_max(2 << 20), 512 << 10);
    assert_eq!(block_frame_size_max(256 << 20), 4 << 20);
    // One record of 1 MiB + 32 bytes: 257 pages behind a header of two.
    assert_eq!(frame_size_max(2 << 20), 259 * PAGE_SIZE as u64);
    for (segment_size, length) in [(2 << 20, 0), (2 << 20, 53), (64 << 20, 53)] {
        let body_size = block_body_size_max(segment_size, length);
        let bytes = |body_size| FrameSize { frontier_length: length, body_size }.total_bytes();
        assert!(bytes(body_size) <= block_frame_size_max(segment_size));
        assert!(block_frame_size_max(segment_size) < bytes(body_size + 1));
    }
}
