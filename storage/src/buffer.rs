//! Page-aligned buffers: what direct I/O asks for, and what a body is read from in place.
//!
//! A [`PageBuffer`] is a whole number of zeroed pages. Shrinking and growing within its capacity never moves
//! it, so that a pointer given to the kernel stays good while the buffer is owned by whoever waits.

use annals_core::limits::PAGE_SIZE;
use std::fmt;
use std::ops::{Deref, DerefMut};

#[derive(Clone, Copy)]
#[repr(C, align(4096))]
struct Page([u8; PAGE_SIZE]);

/// Bytes that start at a multiple of 4,096 in memory, a multiple of 4,096 long.
#[derive(Clone)]
pub struct PageBuffer {
    pages: Vec<Page>,
}

impl PageBuffer {
    /// A buffer of zeros.
    ///
    /// # Panics
    ///
    /// If the length is no multiple of 4,096: sizes are rounded where they are decided.
    pub fn new(length: usize) -> Self {
        assert!(length.is_multiple_of(PAGE_SIZE), "a buffer is whole pages");
        Self { pages: vec![Page([0; PAGE_SIZE]); length / PAGE_SIZE] }
    }

    /// Makes the buffer this long; what is added is zero.
    ///
    /// # Panics
    ///
    /// If the length is no multiple of 4,096.
    pub fn resize(&mut self, length: usize) {
        assert!(length.is_multiple_of(PAGE_SIZE), "a buffer is whole pages");
        self.pages.resize(length / PAGE_SIZE, Page([0; PAGE_SIZE]));
    }
}

impl Deref for PageBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: a `Page` is `repr(C)` around its bytes, without padding, so the vector's pages are that many bytes one
        // behind the other, initialised, and borrowed as long as the vector is.
        unsafe { std::slice::from_raw_parts(self.pages.as_ptr().cast(), self.pages.len() * PAGE_SIZE) }
    }
}

impl DerefMut for PageBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; the vector is borrowed mutably, and every byte pattern is a good `Page`.
        unsafe { std::slice::from_raw_parts_mut(self.pages.as_mut_ptr().cast(), self.pages.len() * PAGE_SIZE) }
    }
}

impl fmt::Debug for PageBuffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PageBuffer({} bytes)", self.len())
    }
}
