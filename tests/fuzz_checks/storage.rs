//! Segment headers and frames.

use super::{damage, number};
use annals_core::block::BlockHeader;
use annals_core::hash::{BlockHash, LedgerId, TreeHash};
use annals_core::limits::PAGE_SIZE;
use annals_core::tree::Frontier;
use annals_storage::frame::{
    FrameChecksum, FrameFields, FrameHeader, FrameKind, HashedHeader, SLOT_COUNT, Slot, seal, verify_body,
};
use annals_storage::segment::SegmentHeader;

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
    }
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
    let _ = FrameHeader::parse(&segment, OFFSET, data);
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
    if damage(&mut bytes, rest) {
        assert!(read(&segment, &bytes).is_none(), "a damaged frame passes");
    }
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
