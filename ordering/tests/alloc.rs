//! No allocation a record on its way from claim to seal, counted by the allocator itself.
//!
//! The signature library is left out: it allocates for each batch, and its place is taken by a function that says "valid".
//! What remains is counted over many blocks, after one block has warmed up what grows to its size once.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]
#![allow(unsafe_code, reason = "an allocator is unsafe to implement")]

use annals_core::body::{BodyLayout, BodyWriter};
use annals_core::checkpoint::Vkey;
use annals_core::genesis::{Admission, Genesis, engine_head};
use annals_core::hash::LedgerId;
use annals_core::limits::HEAD_SIZE;
use annals_core::record::{Head, Kind};
use annals_core::signature::SigningKey;
use annals_ordering::ring::{Drain, Entry, Known, Peek, Ring, Share, Verification};
use annals_ordering::seal::{Chain, SealedRecord};
use annals_ordering::sequence::{Author, Next, Sequencer, Verdict};
use annals_ordering::slots::{Outcome, Slots};
use annals_ordering::verify::{Suspects, Verifier};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

const LEDGER: LedgerId = LedgerId::from_bytes([7; 32]);
const RECORDS: usize = 1000;
const PAYLOAD: usize = 256;
const BLOCKS: u64 = 10;

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is handed on to the system's allocator as it came; counting touches a thread-local number only, which
// needs no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is the system allocator's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    COUNT.with(Cell::get)
}

/// What orders records, and memory that is used again for each block.
struct Order {
    ring: Arc<Ring>,
    drain: Drain,
    verifier: Verifier,
    positions: Vec<u64>,
    slots: Slots,
    taken: Vec<u32>,
    sequencer: Sequencer,
    chain: Chain,
    sealed: Vec<SealedRecord>,
    body: Vec<u8>,
}

impl Order {
    fn new(key: &SigningKey) -> Self {
        let vkey = Vkey::new("annals.example/alloc", key.public()).unwrap();
        let genesis =
            Genesis { admission: Admission::Open, vkey, admins: vec![key.public()], authors: vec![], random: [0; 32] };
        let mut sequencer = Sequencer::new(LEDGER, genesis);
        sequencer.add(Author::new(key.public()));
        let (ring, drain) = Ring::new(1 << 20, 4096).unwrap();
        Self {
            ring,
            drain,
            verifier: Verifier::new(Arc::new(Suspects::default())),
            positions: Vec::with_capacity(4096),
            slots: Slots::new(4096),
            taken: Vec::with_capacity(RECORDS),
            sequencer,
            chain: Chain::empty(LEDGER),
            sealed: Vec::with_capacity(RECORDS),
            body: vec![0; layout().size()],
        }
    }

    /// One block, from claim to answer.
    fn block(&mut self, heads: &[[u8; HEAD_SIZE]], payload: &[u8; PAYLOAD]) {
        for batch in heads.chunks(50) {
            let mut claim = self.ring.claim(&[PAYLOAD as u32; 50]).unwrap();
            for head in batch {
                let slot = self.slots.reserve().unwrap();
                self.taken.push(slot);
                claim.write(&Entry { head, payload, source: 0, slot, author_slot: 0, known: Known::Nothing });
            }
        }
        while let Some(batch) = self.ring.take_batch(4096, Share::All, &mut self.positions) {
            self.verifier.verify_by(batch, |_, valid| valid.fill(true));
        }
        let mut writer = BodyWriter::new(layout(), &mut self.body);
        let mut position = self.drain.position();
        loop {
            match self.drain.peek(position) {
                Peek::Waiting => break,
                Peek::Gap { next_position } => position = next_position,
                Peek::Entry(entry) => {
                    let head = Head::parse(entry.head).unwrap();
                    let seq = self.chain.next_seq() + self.sealed.len() as u64;
                    let next = Next { seq, height: self.chain.next_height() };
                    assert_eq!(self.sequencer.offer(0, &head, entry.payload, next), Ok(Verdict::Accepted));
                    let Verification::Verified(record_id) = entry.verification else { panic!("it is verified") };
                    self.sealed.push(SealedRecord { record_id, item_count: head.item_count });
                    writer.push(entry.head, entry.payload);
                    position = entry.next_position;
                }
            }
        }
        writer.finish();
        self.drain.release_to(position);
        let header = self.chain.seal(self.sealed.drain(..), 1).header;
        assert_eq!(header.record_count as usize, RECORDS);
        for (seq, slot) in (header.first_seq..).zip(&self.taken) {
            self.slots.complete(*slot, Outcome::Final { seq, height: header.height });
        }
        self.slots.wake();
        for slot in self.taken.drain(..) {
            assert!(matches!(self.slots.read(slot), Some(Outcome::Final { .. })));
            self.slots.release(slot);
        }
    }
}

fn layout() -> BodyLayout {
    BodyLayout::new(RECORDS, RECORDS * PAYLOAD).unwrap()
}

#[test]
fn a_record_costs_no_allocation_from_claim_to_seal() {
    let (key, payload) = (SigningKey::from_seed(&[1; 32]), [3; PAYLOAD]);
    let head = |nonce| engine_head(LEDGER, key.public(), nonce, 0, Kind::APPLICATION_FIRST, &payload).encode();
    let blocks: Vec<Vec<_>> =
        (0..=BLOCKS).map(|block| (block * 1000..(block + 1) * 1000).map(head).collect()).collect();
    let mut order = Order::new(&key);
    let (first, rest) = blocks.split_first().unwrap();
    order.block(first, &payload);
    let before = allocations();
    for heads in rest {
        order.block(heads, &payload);
    }
    let count = allocations() - before;
    // The frontier is cloned once a block, for the frame that carries it; nothing else.
    assert!(count <= 2 * BLOCKS, "{count} allocations in {BLOCKS} blocks of {RECORDS} records");
    let counted = allocations();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(allocations(), counted + 1, "the counter counts");
}
