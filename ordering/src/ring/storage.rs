//! The memory of the ring: bytes in cells of 64, and beside them one state word a cell.
//!
//! The words stand apart from the bytes, so payload bytes can never imitate a state and nothing is wiped when
//! cells are given back. Which thread may touch which cell is decided above, in `ring.rs`; here is only memory.
//! Under loom each cell has a tracker too, and every access is reported to it: an access that is not ordered
//! after the one before it fails the model. The bytes themselves stay contiguous in both builds.

use crate::sync::AtomicU32;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// Bytes of a cell: a cache line, the unit of positions.
pub(crate) const CELL_SIZE: usize = 64;

/// The cells.
#[derive(Debug)]
pub(super) struct Storage {
    bytes: NonNull<u8>,
    layout: Layout,
    states: Box<[AtomicU32]>,
    #[cfg(loom)]
    accesses: Box<[loom::cell::UnsafeCell<()>]>,
}

// SAFETY: the bytes are plain memory that is owned by this value and freed once, in `drop`. All access to them is
// through the unsafe `write` and `read`, whose callers uphold that no write is concurrent with another access.
unsafe impl Send for Storage {}
// SAFETY: as above.
unsafe impl Sync for Storage {}

impl Storage {
    /// Memory of `cell_count` cells, all of them Empty.
    ///
    /// # Panics
    ///
    /// If the count is no power of two.
    pub(super) fn new(cell_count: usize) -> Self {
        assert!(cell_count.is_power_of_two(), "positions are masked");
        #[expect(clippy::expect_used, reason = "a ring is at most 64 MiB")]
        let layout = Layout::from_size_align(cell_count * CELL_SIZE, CELL_SIZE).expect("a ring fits the address space");
        // SAFETY: the layout is not of size zero, since a power of two is at least one.
        let bytes = unsafe { alloc_zeroed(layout) };
        let Some(bytes) = NonNull::new(bytes) else { handle_alloc_error(layout) };
        Self {
            bytes,
            layout,
            states: (0..cell_count).map(|_| AtomicU32::new(0)).collect(),
            #[cfg(loom)]
            accesses: (0..cell_count).map(|_| loom::cell::UnsafeCell::new(())).collect(),
        }
    }

    pub(super) fn cell_count(&self) -> u64 {
        self.states.len() as u64
    }

    /// The state word of the cell at a position.
    #[expect(clippy::indexing_slicing, reason = "the index is masked by the length, a power of two")]
    pub(super) fn state(&self, position: u64) -> &AtomicU32 {
        &self.states[self.index(position)]
    }

    #[expect(clippy::cast_possible_truncation, reason = "masked by a length that is a usize")]
    fn index(&self, position: u64) -> usize {
        (position & (self.cell_count() - 1)) as usize
    }

    /// The offset in the buffer of `size` bytes that start `offset` bytes behind the cell of `position`.
    fn offset(&self, position: u64, offset: usize, size: usize) -> usize {
        let start = self.index(position) * CELL_SIZE + offset;
        assert!(start + size <= self.layout.size(), "an entry never crosses the end of the buffer");
        start
    }

    /// Copies bytes into the cells.
    ///
    /// # Safety
    ///
    /// The caller has exclusive use of these cells: every earlier access to them happened before this call, and
    /// no other takes place until the caller hands them on.
    pub(super) unsafe fn write(&self, position: u64, offset: usize, source: &[u8]) {
        let start = self.offset(position, offset, source.len());
        #[cfg(loom)]
        for cell in self.touched(start, source.len()) {
            cell.with_mut(|_| ());
        }
        // SAFETY: `start + source.len()` is within the buffer (asserted by `offset`). The source is a reference to
        // other memory: safe code holds references into these cells only while nobody may write them. That no
        // other access is concurrent is the caller's promise.
        unsafe {
            let target = self.bytes.as_ptr().add(start);
            target.copy_from_nonoverlapping(source.as_ptr(), source.len());
        }
    }

    /// The bytes in the cells.
    ///
    /// # Safety
    ///
    /// The bytes were written before, and no write to these cells takes place while the reference lives.
    pub(super) unsafe fn read(&self, position: u64, offset: usize, size: usize) -> &[u8] {
        let start = self.offset(position, offset, size);
        #[cfg(loom)]
        for cell in self.touched(start, size) {
            cell.with(|_| ());
        }
        // SAFETY: `start + size` is within the buffer (asserted by `offset`), which was zeroed when it was made, so
        // the bytes are initialised. That nobody writes them meanwhile is the caller's promise.
        unsafe { std::slice::from_raw_parts(self.bytes.as_ptr().add(start), size) }
    }

    #[cfg(loom)]
    fn touched(&self, start: usize, size: usize) -> &[loom::cell::UnsafeCell<()>] {
        &self.accesses[start / CELL_SIZE..(start + size).div_ceil(CELL_SIZE)]
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, freed here only; every reference into it borrows `self`.
        unsafe { dealloc(self.bytes.as_ptr(), self.layout) }
    }
}
