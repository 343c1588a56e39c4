//! Segment headers and frames.

use super::{damage, number};
use annals_core::block::BlockHeader;
use annals_core::hash::{BlockHash, LedgerId, TreeHash};
use annals_core::limits::{PAGE_SIZE, SECTOR_SIZE};
use annals_core::tree::Frontier;
use annals_storage::frame::{
    FrameChecksum, FrameFields, FrameHeader, FrameKind, HashedHeader, SLOT_COUNT, Slot, seal, verify_body,
};
use annals_storage::segment::SegmentHeader;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Behind the start frame.
const OFFSET: u64 = 8192;

fn header(size_shift: usize) -> SegmentHeader {
    let size = (2 << 20) << (size_shift % 12);
    SegmentHeader { ledger: LedgerId::from_bytes([7; 32]), number: size_shift as u64, size, key: [0x5A; 32] }
}

/// Whatever is taken for a first page has one encoding; no damage to one passes.
pub fn segment(data: &[u8]) {
    parse_segment(data);
    let (shift, rest) = number(data);
    let mut page = header(shift).encode().to_vec();
    assert!(parse_segment(&page));
    if damage(&mut page, rest) {
        assert!(!parse_segment(&page), "a damaged first page passes");
        // With the right sum it may pass, as the first page of another segment.
        if page.len() == PAGE_SIZE {
            resum_first_page(&mut page);
            parse_segment(&page);
        }
    }
}

/// Makes the sum of a first page right.
pub(super) fn resum_first_page(page: &mut [u8]) {
    let (content, sum) = page.split_at_mut(PAGE_SIZE - 32);
    sum.copy_from_slice(blake3::hash(content).as_bytes());
}

fn parse_segment(page: &[u8]) -> bool {
    let Ok(segment) = SegmentHeader::parse(page) else { return false };
    assert_eq!(Some(&segment.encode()[..]), page.get(..PAGE_SIZE));
    true
}

pub fn segment_seeds() -> Vec<Vec<u8>> {
    vec![vec![], header(0).encode()[..200].to_vec(), vec![7; 12], (0..60).collect()]
}

/// Whatever is taken for a frame says what was sealed; no damage to one passes, in header, sums, padding or body.
pub fn frame(data: &[u8]) {
    let segment = header(0);
    if let Some(frame) = read(&segment, data) {
        assert_one_encoding(&segment, &frame, data);
    }
    let (choice, rest) = number(data);
    let (size, rest) = number(rest);
    let leaves = 6 + choice % 7;
    let mut frontier = Frontier::new();
    (0..leaves).for_each(|leaf| frontier.push(TreeHash::from_bytes([leaf as u8; 32])));
    // At least the body of one record.
    let body_size = 300 + size % 10_000;
    let newest = block(&frontier);
    let fields = FrameFields {
        kind: FrameKind::Block,
        offset: OFFSET,
        index: 3,
        epoch: 1 + (choice >> 8) as u64,
        durable: choice as u64 % 4,
        previous: FrameChecksum::from_bytes([3; 32]),
        newest: Some(&newest),
        slots: slots(choice),
        frontier: &frontier,
        body_size,
    };
    let mut bytes = vec![0; fields.size().total_bytes() as usize];
    let start = fields.size().header_bytes();
    bytes[start..start + body_size].iter_mut().zip(rest.iter().cycle()).for_each(|(to, from)| *to = *from | 1);
    let checksum = seal(&segment, &fields, &mut bytes);
    let sound = read(&segment, &bytes).expect("a frame that was sealed is read");
    assert_eq!(
        (sound.checksum, sound.epoch, sound.durable, sound.slots),
        (checksum, fields.epoch, fields.durable, fields.slots)
    );
    assert_eq!((&sound.frontier, sound.size.body_size), (&frontier, body_size));
    assert_one_encoding(&segment, &sound, &bytes);
    if damage(&mut bytes, rest) {
        assert!(read(&segment, &bytes).is_none(), "a damaged frame passes");
        // With right sums over the header it may pass, as another frame.
        if let Some(header) = bytes.get_mut(..PAGE_SIZE) {
            resum_header(&segment, header);
            if let Some(frame) = read(&segment, &bytes) {
                assert_one_encoding(&segment, &frame, &bytes);
            }
        }
    }
}

/// Sealing what a frame says over its body gives its bytes.
fn assert_one_encoding(segment: &SegmentHeader, frame: &FrameHeader, bytes: &[u8]) {
    let fields = FrameFields {
        kind: frame.kind,
        offset: frame.offset,
        index: frame.index,
        epoch: frame.epoch,
        durable: frame.durable,
        previous: frame.previous,
        newest: frame.newest.as_ref(),
        slots: frame.slots,
        frontier: &frame.frontier,
        body_size: frame.size.body_size,
    };
    let mut again = bytes[..frame.size.total_bytes() as usize].to_vec();
    again[..frame.size.header_bytes()].fill(0);
    assert_eq!(seal(segment, &fields, &mut again), frame.checksum);
    assert!(bytes.starts_with(&again), "a frame has one encoding");
}

/// Makes the three sums of a header of one page right, where its own lengths put them.
pub(super) fn resum_header(segment: &SegmentHeader, header: &mut [u8]) {
    let sum = xxh3_64_with_seed(&header[..504], segment.seed());
    header[504..512].copy_from_slice(&sum.to_le_bytes());
    let body_size = u32::from_le_bytes([header[92], header[93], header[94], header[95]]) as usize;
    let checksum_at = SECTOR_SIZE + 32 * usize::from(header[6]);
    let sums_end = checksum_at + 48 + 8 * body_size.div_ceil(PAGE_SIZE);
    if PAGE_SIZE < sums_end + 32 {
        return;
    }
    let checksum = *blake3::keyed_hash(&segment.key, &header[..checksum_at]).as_bytes();
    header[checksum_at..checksum_at + 32].copy_from_slice(&checksum);
    let sums = [&checksum[..], &header[checksum_at + 32..sums_end]].concat();
    let sums = *blake3::keyed_hash(&segment.key, &sums).as_bytes();
    header[sums_end..sums_end + 32].copy_from_slice(&sums);
}

fn read(segment: &SegmentHeader, bytes: &[u8]) -> Option<FrameHeader> {
    let frame = FrameHeader::parse(segment, OFFSET, bytes).ok()?;
    let (header, body) = bytes.split_at_checked(frame.size.header_bytes())?;
    verify_body(segment, &frame, header, body).ok()?;
    Some(frame)
}

/// A block behind a frontier.
fn block(frontier: &Frontier) -> HashedHeader {
    HashedHeader::new(BlockHeader {
        record_count: 1,
        ledger: LedgerId::from_bytes([7; 32]),
        height: 5,
        first_seq: frontier.size(),
        item_count: 1,
        ordered_time_ms: 1_700_000_000_000,
        previous: BlockHash::from_bytes([4; 32]),
        root: TreeHash::from_bytes([6; 32]),
    })
}

fn slots(choice: usize) -> [Option<Slot>; SLOT_COUNT] {
    let slot = |height: u64| Slot { size: height + 1, height, signature: [height as u8; 64] };
    match choice % 3 {
        0 => [None, None],
        1 => [Some(slot(2)), None],
        _ => [Some(slot(2)), Some(slot(3))],
    }
}

pub fn frame_seeds() -> Vec<Vec<u8>> {
    vec![vec![], vec![0; 64], (0..200).collect(), vec![5, 2, 0xFF, 0x1F, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9]]
}
