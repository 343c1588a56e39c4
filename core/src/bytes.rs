//! Reading fixed fields from byte slices without a panic, whatever the slice.
//!
//! A [`Reader`] hands out fixed-size arrays and integers from the front. Every parser of the format reads
//! through it, so truncation has one meaning and no parser indexes.

/// Reads little-endian fields from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    read: usize,
}

/// The input ended inside a field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Truncated {
    /// Bytes needed, counted from the start of the input.
    pub(crate) needed: usize,
    /// Bytes there are.
    pub(crate) got: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, read: 0 }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Truncated> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.truncated(N))?;
        self.rest = rest;
        self.read += N;
        Ok(taken)
    }

    pub(crate) fn slice(&mut self, size: usize) -> Result<&'a [u8], Truncated> {
        let (taken, rest) = self.rest.split_at_checked(size).ok_or_else(|| self.truncated(size))?;
        self.rest = rest;
        self.read += size;
        Ok(taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Truncated> {
        self.array::<1>().map(|[byte]| *byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Truncated> {
        self.array().map(|bytes| u16::from_le_bytes(*bytes))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Truncated> {
        self.array().map(|bytes| u32::from_le_bytes(*bytes))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Truncated> {
        self.array().map(|bytes| u64::from_le_bytes(*bytes))
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    const fn truncated(&self, size: usize) -> Truncated {
        Truncated { needed: self.read.saturating_add(size), got: self.read + self.rest.len() }
    }
}

/// Writes little-endian fields one behind the other into a fixed array.
#[derive(Debug)]
pub(crate) struct Writer<const N: usize> {
    bytes: [u8; N],
    written: usize,
}

impl<const N: usize> Writer<N> {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; N], written: 0 }
    }

    /// Appends bytes. Field widths are constants of the format, so running over is our own bug.
    pub(crate) fn put(&mut self, field: &[u8]) -> &mut Self {
        let end = self.written + field.len();
        self.bytes[self.written..end].copy_from_slice(field);
        self.written = end;
        self
    }

    /// The array, filled with zeros behind what was written.
    pub(crate) const fn finish(&self) -> [u8; N] {
        self.bytes
    }
}
