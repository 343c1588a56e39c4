//! A disk's content as a value: only pages that are not zero are kept, clones share them, and equal content has an equal
//! fingerprint. A [`SparseDisk`] is a handle to such an image and notes every write to it.

use core::cmp::Ordering;
use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use annals_core::limits::{PAGE_SIZE, SECTOR_SIZE};
use parking_lot::Mutex;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::buffer::PageBuffer;
use crate::disk::{Disk, DiskError, SegmentFile};
use crate::fields::all_zero;
use crate::frame::Location;
use crate::segment::FIRST_FRAME_OFFSET;

/// Sectors of a page.
pub(super) const SECTORS: usize = PAGE_SIZE / SECTOR_SIZE;

/// A page that is not zero, with the hash of its bytes.
#[derive(Clone, Debug)]
struct Page {
    hash: u64,
    bytes: Arc<[u8]>,
}

#[derive(Clone, Debug)]
struct Segment {
    size: u64,
    /// By offset in bytes.
    pages: Arc<BTreeMap<u64, Page>>,
}

/// What a disk holds.
#[derive(Clone, Default)]
pub(super) struct Image {
    segments: BTreeMap<u64, Segment>,
}

impl fmt::Debug for Image {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pages = self.segments.iter().map(|(number, segment)| (number, segment.pages.keys().collect::<Vec<_>>()));
        formatter.debug_map().entries(pages).finish()
    }
}

impl PartialEq for Image {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint()
    }
}

/// Bytes that were or will be written, whole pages.
#[derive(Clone, Debug)]
pub(super) struct Extent {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) bytes: Arc<[u8]>,
}

impl Extent {
    /// Its pages, each by itself.
    pub(super) fn pages(&self) -> impl DoubleEndedIterator<Item = Self> {
        self.bytes.chunks(PAGE_SIZE).enumerate().map(|(page, bytes)| Self {
            segment: self.segment,
            offset: self.offset + (page * PAGE_SIZE) as u64,
            bytes: bytes.into(),
        })
    }

    /// The sectors that are not zero, by their index in the extent.
    pub(super) fn used_sectors(&self) -> Vec<usize> {
        let sectors = self.bytes.chunks(SECTOR_SIZE).enumerate();
        sectors.filter(|(_, bytes)| !all_zero(bytes)).map(|(sector, _)| sector).collect()
    }
}

impl Image {
    /// Adds a segment of zeros behind its first page.
    pub(super) fn create(&mut self, number: u64, size: u64, first_page: &[u8]) {
        self.segments.insert(number, Segment { size, pages: Arc::default() });
        self.put_page(number, 0, first_page);
    }

    /// The bytes of the page at `offset`, none if it is zero.
    pub(super) fn page(&self, segment: u64, offset: u64) -> Option<&Arc<[u8]>> {
        Some(&self.segments.get(&segment)?.pages.get(&offset)?.bytes)
    }

    fn put_page(&mut self, segment: u64, offset: u64, bytes: &[u8]) {
        let pages = Arc::make_mut(&mut self.segments.get_mut(&segment).unwrap().pages);
        if all_zero(bytes) {
            pages.remove(&offset);
        } else {
            pages.insert(offset, Page { hash: xxh3_64(bytes), bytes: bytes.into() });
        }
    }

    /// Writes an extent whole.
    pub(super) fn put(&mut self, extent: &Extent) {
        for (page, bytes) in extent.bytes.chunks(PAGE_SIZE).enumerate() {
            self.put_page(extent.segment, extent.offset + (page * PAGE_SIZE) as u64, bytes);
        }
    }

    /// Writes those sectors of an extent that `keep` names by their index in it.
    pub(super) fn put_sectors(&mut self, extent: &Extent, keep: impl Fn(usize) -> bool) {
        for (page, bytes) in extent.bytes.chunks(PAGE_SIZE).enumerate() {
            let offset = extent.offset + (page * PAGE_SIZE) as u64;
            let mut merged = self.page(extent.segment, offset).map_or(vec![0; PAGE_SIZE], |bytes| bytes.to_vec());
            for (sector, from) in bytes.chunks(SECTOR_SIZE).enumerate() {
                if keep(page * SECTORS + sector) {
                    merged[sector * SECTOR_SIZE..][..SECTOR_SIZE].copy_from_slice(from);
                }
            }
            self.put_page(extent.segment, offset, &merged);
        }
    }

    /// Whether it holds an extent, every byte of it.
    pub(super) fn holds(&self, extent: &Extent) -> bool {
        let mut pages = extent.bytes.chunks(PAGE_SIZE).enumerate();
        pages.all(|(page, bytes)| match self.page(extent.segment, extent.offset + (page * PAGE_SIZE) as u64) {
            Some(there) => there[..] == *bytes,
            None => all_zero(bytes),
        })
    }

    /// The bytes from one offset to another.
    pub(super) fn extent(&self, segment: u64, from: u64, to: u64) -> Extent {
        let zeros: Arc<[u8]> = [0; PAGE_SIZE].into();
        let pages = (from..to).step_by(PAGE_SIZE).map(|offset| self.page(segment, offset).unwrap_or(&zeros).to_vec());
        Extent { segment, offset: from, bytes: pages.flatten().collect() }
    }

    /// The same without anything from a place on but first pages.
    pub(super) fn below(&self, place: Location) -> Self {
        let mut below = self.clone();
        for (number, segment) in &mut below.segments {
            let end = match number.cmp(&place.segment) {
                Ordering::Less => continue,
                Ordering::Equal => place.offset,
                Ordering::Greater => FIRST_FRAME_OFFSET,
            };
            if segment.pages.range(end..).next().is_some() {
                drop(Arc::make_mut(&mut segment.pages).split_off(&end));
            }
        }
        below
    }

    /// Equal for equal images only, but for the odds of a collision of hashes.
    pub(super) fn fingerprint(&self) -> u128 {
        let mut bytes = Vec::new();
        for (number, segment) in &self.segments {
            let pages = segment.pages.iter().flat_map(|(offset, page)| [*offset, page.hash]);
            let numbers = [*number, segment.size].into_iter().chain(pages);
            bytes.extend(numbers.flat_map(u64::to_le_bytes));
        }
        xxh3_128(&bytes)
    }
}

#[derive(Debug, Default)]
struct Content {
    image: Image,
    writes: Vec<Extent>,
}

/// A handle to an image; cloned handles share it.
#[derive(Clone, Debug, Default)]
pub(super) struct SparseDisk {
    content: Arc<Mutex<Content>>,
}

impl SparseDisk {
    pub(super) fn new(image: &Image) -> Self {
        Self { content: Arc::new(Mutex::new(Content { image: image.clone(), writes: Vec::new() })) }
    }

    /// What it holds now.
    pub(super) fn image(&self) -> Image {
        self.content.lock().image.clone()
    }

    /// All writes since the last call, in order.
    pub(super) fn take_writes(&self) -> Vec<Extent> {
        std::mem::take(&mut self.content.lock().writes)
    }
}

impl Disk for SparseDisk {
    fn segments(&self) -> Result<Vec<SegmentFile>, DiskError> {
        let content = self.content.lock();
        let files = content.image.segments.iter().map(|(number, segment)| (*number, segment.size));
        Ok(files.map(|(number, size)| SegmentFile { number, size }).collect())
    }

    fn create_segment(&self, number: u64, size: u64, first_page: &[u8]) -> Result<(), DiskError> {
        self.content.lock().image.create(number, size, first_page);
        Ok(())
    }

    fn read(&self, number: u64, offset: u64, into: &mut PageBuffer) -> Result<(), DiskError> {
        let content = self.content.lock();
        let segment = content.image.segments.get(&number).ok_or(DiskError::Missing { segment: number })?;
        let end = offset + into.len() as u64;
        if segment.size < end {
            return Err(DiskError::Short { segment: number, end });
        }
        into.fill(0);
        for (at, page) in segment.pages.range(offset..end) {
            into[(at - offset) as usize..][..PAGE_SIZE].copy_from_slice(&page.bytes);
        }
        Ok(())
    }

    fn write(&self, number: u64, offset: u64, from: &PageBuffer) -> Result<(), DiskError> {
        let mut content = self.content.lock();
        let extent = Extent { segment: number, offset, bytes: from[..].into() };
        content.image.put(&extent);
        content.writes.push(extent);
        Ok(())
    }

    fn sync(&self, _number: u64) -> Result<(), DiskError> {
        Ok(())
    }

    fn sync_names(&self) -> Result<(), DiskError> {
        Ok(())
    }

    fn available(&self) -> Result<u64, DiskError> {
        Ok(u64::MAX)
    }

    fn bytes_read(&self) -> u64 {
        0
    }
}
