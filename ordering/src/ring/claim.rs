//! The producers' end: claim room for records, copy them in, publish them.
//!
//! The claim is a guard: entries that it was made for and that were not written, because the caller panicked or thought
//! better of it, are published as Void when it goes, so those behind them never wait in vain.

use super::entry::{Entry, HEAD_OFFSET, Header, Known, PAYLOAD_OFFSET, State, Word, entry_cells};
use super::{Pushback, Ring};
use crate::sync::Ordering;

impl Ring {
    /// Claims room for records with payloads of these sizes, to be written in this order.
    ///
    /// # Errors
    ///
    /// [`Pushback::RingFull`] if there is no room now, [`Pushback::TooLarge`] if there never is. Nothing was written.
    pub fn claim<'r, 's>(&'r self, payload_sizes: &'s [u32]) -> Result<Claim<'r, 's>, Pushback> {
        let (mut total, mut largest) = (0, 0);
        for cells in payload_sizes.iter().map(|size| entry_cells(*size)) {
            total += cells;
            largest = cells.max(largest);
        }
        // With the padding at one wrap, below the largest entry, the batch fits an empty ring.
        if self.largest_entry < largest || self.storage.cell_count() < total + largest {
            return Err(Pushback::TooLarge);
        }
        // Relaxed: the tail orders nothing for a producer; the CAS below decides whether it was current.
        let mut tail = self.tail.load(Ordering::Relaxed);
        loop {
            // Acquire pairs with the Release in `Drain::release_to`: the cells below `head + cells` were emptied, and
            // the last reads of them are over. Read after the tail, so a refusal never errs.
            let head = self.head.load(Ordering::Acquire);
            let end = payload_sizes.iter().fold(tail, |position, size| {
                let cells = entry_cells(*size);
                position + self.padding(position, cells) + cells
            });
            // A tail that is outdated may lie below the head; the CAS fails then.
            if self.storage.cell_count() < end.saturating_sub(head) {
                return Err(Pushback::RingFull);
            }
            // Release pairs with the Acquire of the tail in `take_batch` and `peek`: who sees this tail sees the state
            // words emptied, as this thread saw them through the head. Relaxed on failure: as above.
            match self.tail.compare_exchange_weak(tail, end, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return Ok(Claim { ring: self, payload_sizes, position: tail }),
                Err(current) => tail = current,
            }
        }
    }
}

/// Room for records. What was not written when it is dropped is published as Void.
#[derive(Debug)]
#[must_use = "a claim that is dropped publishes voids"]
pub struct Claim<'r, 's> {
    ring: &'r Ring,
    /// Of the records not written yet.
    payload_sizes: &'s [u32],
    /// Where the next entry, or the padding before it, starts.
    position: u64,
}

impl Claim<'_, '_> {
    /// Records still to be written.
    pub const fn remaining(&self) -> usize {
        self.payload_sizes.len()
    }

    /// Copies the next record into its entry and publishes it.
    ///
    /// # Panics
    ///
    /// If all were written, or the payload's size is not the one it was claimed for. What is left becomes Void.
    pub fn write(&mut self, entry: &Entry<'_>) {
        let size = self.payload_sizes.first().copied();
        assert_eq!(size.map(|size| size as usize), Some(entry.payload.len()), "an entry is as large as its claim");
        let Some(word) = self.next_entry() else { return };
        let header = Header::of(entry, size.unwrap_or_default()).encode();
        // SAFETY: the CAS on the tail gave `position` and the cells of `word` to this claim, and positions are given
        // once. They lie below `head + cells`, and the Acquire of that head in `claim` ordered all earlier accesses
        // before this. Nobody reads them until the state word is stored by `publish`, which moves this claim on.
        unsafe {
            self.ring.storage.write(self.position, 0, &header);
            self.ring.storage.write(self.position, HEAD_OFFSET, entry.head);
            self.ring.storage.write(self.position, PAYLOAD_OFFSET, entry.payload);
        }
        self.publish(match entry.known {
            Known::Nothing | Known::Content => word.with(State::Published),
            Known::All(_) => word.with(State::Verified),
        });
    }

    /// Pads up to where the next entry starts. Its word, but for the state; `None` if all entries were published.
    fn next_entry(&mut self) -> Option<Word> {
        let cells = entry_cells(*self.payload_sizes.first()?);
        let padding = self.ring.padding(self.position, cells);
        if 0 < padding {
            let word = Word::new(State::Pad, padding);
            // Release pairs with the Acquire in `take_batch` and `peek`; there is no data behind a Pad.
            self.ring.storage.state(self.position).store(word.0, Ordering::Release);
            self.position += padding;
        }
        Some(Word::new(State::Void, cells))
    }

    fn publish(&mut self, word: Word) {
        // Release pairs with the Acquire in `take_batch` and `peek`: who sees the state sees the bytes.
        self.ring.storage.state(self.position).store(word.0, Ordering::Release);
        self.position += word.cells();
        self.payload_sizes = self.payload_sizes.get(1..).unwrap_or_default();
    }
}

impl Drop for Claim<'_, '_> {
    fn drop(&mut self) {
        while let Some(void) = self.next_entry() {
            self.publish(void);
        }
    }
}
