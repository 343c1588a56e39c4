//! The ledgers that the input damages: the golden one of version 1, and what a writer with fixed keys adds to it.

use super::Segments;
use annals::{Reader, check_ledger};
use annals_core::block::BlockHeader;
use annals_core::body::{Body, BodyLayout, BodyWriter};
use annals_core::hash::{LedgerId, TreeHash};
use annals_core::leaf::LeafEntry;
use annals_core::limits::{HEAD_SIZE, PAGE_SIZE};
use annals_core::record::{Flags, Head, Kind, SUITE_ED25519, content_hash, record_id};
use annals_core::signature::{SigningKey, verify_head_by_equation};
use annals_core::tree::Frontier;
use annals_storage::check::check;
use annals_storage::device::Write;
use annals_storage::disk::{Disk, MemoryDisk};
use annals_storage::frame::HashedHeader;
use annals_storage::log::{Log, Step};
use annals_storage::recovery::{RecoveredFrame, recover};
use annals_storage::segment::SegmentHeader;
use std::collections::{HashMap, HashSet};
use std::io::{Seek, SeekFrom, Write as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::OnceLock;

/// The used part of the golden ledger's only segment.
const GOLDEN: &[u8] = include_bytes!("../../golden/v1/segment");
const SIZE: u64 = 2 << 20;
/// The first nonce that the golden ledger's author has not used.
const NONCE: u64 = 13;

/// What the checks compare with.
pub struct Base {
    pub ledger: LedgerId,
    /// Ledgers: closed cleanly, killed in its second segment, with two blocks in flight, at the end of a segment.
    pub segments: [Segments; 4],
    /// The bodies of all frames of all of them, by segment, offset and checksum.
    pub frames: HashMap<(u64, u64, [u8; 32]), Vec<u8>>,
    /// The heads of all their records, each signed.
    pub heads: HashSet<[u8; HEAD_SIZE]>,
}

pub fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(make)
}

fn make() -> Base {
    let ledger = SegmentHeader::parse(&GOLDEN[..PAGE_SIZE]).unwrap().ledger;
    let disk = MemoryDisk::new();
    disk.create_segment(0, SIZE, GOLDEN).unwrap();
    let closed = disk.snapshot();
    let mut writer = Writer::open(disk);
    writer.append(&[b"one", b"two"]);
    writer.end();
    let ended = writer.disk.snapshot();
    writer.append(&[b"three"]);
    let mark = writer.log.seal_watermark(&writer.frontier).unwrap();
    writer.apply(&mark);
    writer.append(&[&[4; 5000]]);
    let killed = writer.disk.snapshot();
    let flying = [writer.seal(&[&[5; 3000]]), writer.seal(&[b"six", b"", b"eight"])];
    flying.iter().for_each(|write| writer.put(write));
    let both = writer.disk.snapshot();
    let mut base =
        Base { ledger, segments: [closed, killed, both, ended], frames: HashMap::new(), heads: HashSet::new() };
    for segments in base.segments.clone() {
        disk_of(segments, |disk| check(disk, None, &mut |frame| base.keep(&frame)).unwrap());
    }
    base.heads.iter().for_each(|head| assert!(verify_head_by_equation(head), "each head is signed"));
    base
}

fn disk_of<T>(segments: Segments, look: impl FnOnce(&MemoryDisk) -> T) -> T {
    let disk = MemoryDisk::new();
    disk.restore(segments);
    look(&disk)
}

impl Base {
    fn keep(&mut self, frame: &RecoveredFrame<'_>) -> ControlFlow<()> {
        let header = frame.header;
        self.frames.insert((header.segment, header.offset, *header.checksum.as_bytes()), frame.body.to_vec());
        if header.block().is_some() {
            self.heads.extend(Body::parse(frame.body).unwrap().heads());
        }
        ControlFlow::Continue(())
    }
}

/// Goes on with the golden ledger.
struct Writer {
    disk: MemoryDisk,
    log: Log,
    frontier: Frontier,
    newest: BlockHeader,
    nonce: u64,
}

impl Writer {
    fn open(disk: MemoryDisk) -> Self {
        let mut frontier = Frontier::new();
        let recovered = recover(&disk, None, &mut |frame| {
            frontier = frame.header.frontier.clone();
            if let Some(block) = frame.header.block() {
                let heads = Body::parse(frame.body).unwrap().heads();
                heads.iter().for_each(|head| frontier.push(leaf(head, &block.header)));
            }
            ControlFlow::Continue(())
        });
        let recovered = recovered.unwrap();
        let newest = recovered.tail.newest.unwrap().header;
        Self { disk, log: Log::new(&recovered), frontier, newest, nonce: NONCE }
    }

    fn put(&self, write: &Write) {
        self.disk.write(write.segment, write.offset, &write.buffer).unwrap();
    }

    fn apply(&mut self, write: &Write) {
        self.put(write);
        self.log.completed(write.ticket, Ok(())).unwrap();
    }

    /// Ends the segment, and prepares the next one.
    fn end(&mut self) {
        let end = self.log.seal_end(&self.frontier);
        self.apply(&end);
        let segment = SegmentHeader { ledger: self.newest.ledger, number: 1, size: SIZE, key: [0xB7; 32] };
        self.disk.create_segment(1, SIZE, &segment.encode()).unwrap();
        self.log.set_prepared(segment);
    }

    fn append(&mut self, payloads: &[&[u8]]) {
        let write = self.seal(payloads);
        self.apply(&write);
    }

    /// Seals a block of signed records, with the marks before it.
    fn seal(&mut self, payloads: &[&[u8]]) -> Write {
        let layout = BodyLayout::new(payloads.len(), payloads.iter().map(|payload| payload.len()).sum()).unwrap();
        let before = self.frontier.clone();
        let plan = self.log.plan(before.hashes().len(), layout.size()).unwrap();
        loop {
            let mark = match self.log.step(&plan).unwrap() {
                Step::Opening => self.log.seal_opening(&before),
                Step::Start => self.log.seal_start(&before),
                Step::Seal => break,
                other @ (Step::Wait | Step::End | Step::Segment(_) | Step::Closed) => unreachable!("{other:?}"),
            };
            self.apply(&mark);
        }
        let mut header = BlockHeader {
            record_count: payloads.len() as u32,
            height: self.newest.height + 1,
            first_seq: self.newest.next_seq(),
            item_count: payloads.len() as u64,
            previous: self.newest.hash(),
            ..self.newest
        };
        let mut buffer = self.log.buffer_for(&plan);
        let mut writer = BodyWriter::new(layout, &mut buffer[plan.header_bytes()..][..layout.size()]);
        for payload in payloads {
            let head = signed(header.ledger, self.nonce, payload);
            self.nonce += 1;
            writer.push(&head, payload);
            self.frontier.push(leaf(&head, &header));
        }
        writer.finish();
        header.root = self.frontier.root();
        self.newest = header;
        self.log.seal_block(plan, buffer, HashedHeader::new(header), &before)
    }
}

fn signed(ledger: LedgerId, nonce: u64, payload: &[u8]) -> [u8; HEAD_SIZE] {
    let author = SigningKey::from_seed(&[1; 32]);
    let head = Head {
        suite: SUITE_ED25519,
        flags: Flags::NONE,
        item_count: 1,
        ledger,
        author: author.public(),
        nonce,
        claimed_time_ms: 1_700_000_000_000,
        kind: Kind::APPLICATION_FIRST,
        payload_size: payload.len() as u32,
        content_hash: content_hash(1, payload).unwrap(),
        signature: [0; 64],
    };
    let mut head = head.encode();
    author.sign_head(&mut head);
    head
}

fn leaf(head: &[u8; HEAD_SIZE], block: &BlockHeader) -> TreeHash {
    let (height, ordered_time_ms) = (block.height, block.ordered_time_ms);
    LeafEntry { record_id: record_id(head), height, ordered_time_ms }.hash()
}

/// Lets the facade look at segments whose frames hold together: it takes them only if each record was signed.
pub fn judge(segments: &Segments, base: &Base) {
    let directory = place();
    lay_out(directory.path(), segments);
    if check_ledger(directory.path(), None, &mut |_, _| {}).is_err() {
        return;
    }
    let reader = Reader::open(directory.path()).expect("a sound ledger is read");
    for record in reader.scan(0) {
        let record = record.expect("a sound ledger is read to its end");
        assert!(base.heads.contains(record.head_bytes()), "seq {} was never signed", record.seq());
    }
}

/// A directory in memory where there is one: a fuzzer comes here often.
fn place() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Writes only the pages that are not zero.
fn lay_out(path: &Path, segments: &Segments) {
    for directory in ["segments", "index"] {
        std::fs::create_dir_all(path.join(directory)).unwrap();
    }
    std::fs::write(path.join("annals.toml"), format!("format = 1\nsegment_size = {SIZE}\n")).unwrap();
    annals::write_key(&path.join("ledger.key"), &SigningKey::from_seed(&[77; 32])).unwrap();
    for (number, bytes) in segments {
        let mut file = std::fs::File::create(path.join(format!("segments/{number:010}.seg"))).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        for (page, content) in bytes.chunks(PAGE_SIZE).enumerate() {
            if content.iter().any(|byte| *byte != 0) {
                file.seek(SeekFrom::Start((page * PAGE_SIZE) as u64)).unwrap();
                file.write_all(content).unwrap();
            }
        }
    }
}

#[test]
fn the_ledgers_are_sound() {
    for segments in &base().segments {
        let directory = place();
        lay_out(directory.path(), segments);
        check_ledger(directory.path(), None, &mut |_, _| {}).unwrap();
        judge(segments, base());
    }
}
