//! A file's content: what reads see, what is durable, and what was written in between.
//!
//! Whatever was not synced is kept apart by sector of 512 bytes, each version with the number of the operation that wrote
//! it, and so are sizes. When the power is cut, each of them survives or not on its own: sectors tear writes, and versions reorder
//! them. A sync makes all of a file durable; a synchronous write its own sectors and the size.

use std::collections::BTreeMap;

/// Bytes that a disk writes whole or not at all.
pub(crate) const SECTOR: usize = 512;

/// A sector as an operation left it.
type Version = (u64, [u8; SECTOR]);

/// One change that is not durable, asked about when the power is cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Unsynced {
    /// Number of the operation that made it.
    pub(crate) operation: u64,
    /// The sector; none for a size or a directory's entry.
    pub(crate) sector: Option<usize>,
}

/// The content of one file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    durable: Vec<u8>,
    current: Vec<u8>,
    sectors: BTreeMap<usize, Vec<Version>>,
    sizes: Vec<(u64, usize)>,
}

impl Content {
    pub(crate) fn size(&self) -> usize {
        self.current.len()
    }

    /// What there is from an offset on, at most so many bytes.
    pub(crate) fn read(&self, offset: usize, size: usize) -> &[u8] {
        let end = offset.saturating_add(size).min(self.size());
        self.current.get(offset..end).unwrap_or_default()
    }

    pub(crate) fn write(&mut self, operation: u64, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.size() < end {
            self.resize(operation, end);
        }
        if let Some(place) = self.current.get_mut(offset..end) {
            place.copy_from_slice(bytes);
        }
        self.note(operation, offset, end);
    }

    /// Cuts the file, or lets it grow by zeros.
    pub(crate) fn resize(&mut self, operation: u64, size: usize) {
        let before = self.size();
        if size == before {
            return;
        }
        self.current.resize(size, 0);
        self.sizes.push((operation, size));
        self.note(operation, size, before);
    }

    /// Keeps the sectors of a range as they are now.
    fn note(&mut self, operation: u64, from: usize, to: usize) {
        for sector in from / SECTOR..to.div_ceil(SECTOR) {
            self.sectors.entry(sector).or_default().push((operation, sector_of(&self.current, sector)));
        }
    }

    /// Makes everything durable.
    pub(crate) fn sync(&mut self) {
        self.durable.resize(self.current.len(), 0);
        for sector in std::mem::take(&mut self.sectors).into_keys() {
            put(&mut self.durable, sector, &sector_of(&self.current, sector));
        }
        self.sizes.clear();
    }

    /// Makes a range durable, and the size, as a synchronous write does.
    pub(crate) fn sync_range(&mut self, offset: usize, length: usize) {
        self.durable.resize(self.current.len(), 0);
        self.sizes.clear();
        for sector in offset / SECTOR..(offset + length).div_ceil(SECTOR) {
            self.sectors.remove(&sector);
            put(&mut self.durable, sector, &sector_of(&self.current, sector));
        }
    }

    /// What is there after a power cut in which these changes survive.
    pub(crate) fn cut(&mut self, survives: &dyn Fn(Unsynced) -> bool) {
        let lasting =
            self.sizes.iter().rev().find(|(operation, _)| survives(Unsynced { operation: *operation, sector: None }));
        let size = lasting.map_or(self.durable.len(), |(_, size)| *size);
        self.durable.resize(size, 0);
        for (sector, versions) in std::mem::take(&mut self.sectors) {
            let lasting = versions
                .iter()
                .rev()
                .find(|(operation, _)| survives(Unsynced { operation: *operation, sector: Some(sector) }));
            if let Some((_, bytes)) = lasting {
                put(&mut self.durable, sector, bytes);
            }
        }
        self.sizes.clear();
        self.current = self.durable.clone();
    }

    /// Whether all of it is durable.
    #[cfg(test)]
    pub(crate) fn is_synced(&self) -> bool {
        self.sectors.is_empty() && self.sizes.is_empty() && self.durable == self.current
    }
}

/// A sector of these bytes, with zeros behind their end.
fn sector_of(bytes: &[u8], sector: usize) -> [u8; SECTOR] {
    let mut found = [0; SECTOR];
    let there = bytes.get(sector * SECTOR..).unwrap_or_default();
    let count = there.len().min(SECTOR);
    found[..count].copy_from_slice(&there[..count]);
    found
}

/// Puts a sector into these bytes, as far as they reach.
fn put(bytes: &mut [u8], sector: usize, content: &[u8; SECTOR]) {
    if let Some(place) = bytes.get_mut(sector * SECTOR..) {
        let count = place.len().min(SECTOR);
        place[..count].copy_from_slice(&content[..count]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;

    /// A synced file of zeros.
    fn zeros(size: usize) -> Content {
        let mut content = Content::default();
        content.resize(1, size);
        content.sync();
        assert!(content.is_synced());
        content
    }

    fn after(content: &Content, survives: &dyn Fn(Unsynced) -> bool) -> Vec<u8> {
        let mut content = content.clone();
        content.cut(survives);
        assert!(content.is_synced());
        content.read(0, usize::MAX).to_vec()
    }

    #[test]
    fn what_was_not_synced_survives_by_sector_or_not_at_all() {
        let mut content = zeros(2 * PAGE);
        content.write(2, PAGE, &[7; PAGE]);
        assert_eq!(content.read(PAGE, 1), [7], "it is seen at once");
        assert!(after(&content, &|_| false).iter().all(|byte| *byte == 0));
        let torn = after(&content, &|change| change.sector == Some(9));
        let expected: Vec<u8> = (0..2 * PAGE).map(|at| if at / SECTOR == 9 { 7 } else { 0 }).collect();
        assert_eq!(torn, expected);
        content.sync();
        assert_eq!(after(&content, &|_| false)[PAGE..], [7; PAGE]);
    }

    #[test]
    fn writes_survive_in_any_order() {
        let mut content = zeros(PAGE);
        content.write(2, 0, &[2; SECTOR]);
        content.write(3, 0, &[3; SECTOR]);
        let first_byte = |lasting: u64| after(&content, &|change| change.operation == lasting)[0];
        assert_eq!([first_byte(2), first_byte(3), first_byte(4)], [2, 3, 0]);
    }

    #[test]
    fn a_synchronous_write_is_durable_alone() {
        let mut content = zeros(2 * PAGE);
        content.write(2, 0, &[2; PAGE]);
        content.write(3, SECTOR, &[3; SECTOR]);
        content.sync_range(SECTOR, SECTOR);
        let left = after(&content, &|_| false);
        assert_eq!((left[0], left[SECTOR], left[2 * SECTOR]), (0, 3, 0));
        let all = after(&content, &|_| true);
        assert_eq!((all[0], all[SECTOR], all[2 * SECTOR]), (2, 3, 2), "the older write does not come over it");
    }

    #[test]
    fn sizes_are_durable_only_after_a_sync() {
        let mut content = zeros(PAGE);
        content.write(2, PAGE, &[1; PAGE]);
        content.resize(3, 10 * PAGE);
        assert_eq!(after(&content, &|_| false).len(), PAGE);
        assert_eq!(after(&content, &|change| change.operation == 2).len(), 2 * PAGE);
        assert_eq!(after(&content, &|_| true).len(), 10 * PAGE);
        content.resize(4, 100);
        assert_eq!(content.read(0, usize::MAX).len(), 100);
        assert_eq!(after(&content, &|change| change.operation != 4).len(), 10 * PAGE);
        content.sync();
        content.resize(5, 200);
        assert!(content.read(100, 100).iter().all(|byte| *byte == 0), "what was cut off does not come back");
    }
}
