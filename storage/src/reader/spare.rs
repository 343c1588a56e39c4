//! Buffers of blocks that are not needed any more, for the next ones: a new one would be zeroed first, for nothing.

use std::mem;

use annals_core::limits::BODY_SIZE_MAX;
use parking_lot::Mutex;

use crate::buffer::PageBuffer;

/// Buffers kept: two for each of a few threads that go through the ledger.
const COUNT_MAX: usize = 8;
/// Bytes of all of them, at most.
const SIZE_MAX: usize = 2 * BODY_SIZE_MAX;

/// The buffers.
#[derive(Debug, Default)]
pub(super) struct Spare(Mutex<Vec<PageBuffer>>);

impl Spare {
    /// A buffer of this length, whatever it holds.
    pub(super) fn take(&self, length: usize) -> PageBuffer {
        let spare = self.0.lock().pop();
        let Some(mut buffer) = spare else { return PageBuffer::new(length) };
        buffer.resize(length);
        buffer
    }

    /// Gives a buffer back.
    pub(super) fn put(&self, buffer: &mut PageBuffer) {
        let buffer = mem::replace(buffer, PageBuffer::new(0));
        let mut spare = self.0.lock();
        let size: usize = spare.iter().map(|buffer| buffer.len()).sum();
        if spare.len() < COUNT_MAX && size + buffer.len() <= SIZE_MAX {
            spare.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(spare: &Spare) -> Vec<usize> {
        spare.0.lock().iter().map(|buffer| buffer.len()).collect()
    }

    #[test]
    fn what_is_kept_is_bounded_in_number_and_in_bytes() {
        let spare = Spare::default();
        (0..2 * COUNT_MAX).for_each(|_| spare.put(&mut PageBuffer::new(4096)));
        assert_eq!(kept(&spare), [4096; COUNT_MAX]);
        let spare = Spare::default();
        (0..3).for_each(|_| spare.put(&mut PageBuffer::new(BODY_SIZE_MAX)));
        assert_eq!(kept(&spare), [BODY_SIZE_MAX; 2]);
        let used = spare.take(8192);
        assert_eq!((used.len(), kept(&spare).len()), (8192, 1), "used again, as long as it shall be");
    }
}
