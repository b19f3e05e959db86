//! The only unsafe code of the crate: page-aligned buffers and read-only maps of segments.
//!
//! Called by `batch` (buffers the kernel reads by O_DIRECT), `storage` and `store` (maps).
//!
//! Diagnostics: a failed map is returned as an error; a bad range panics (our bug).
//!
//! Limits: a map is as long as its file was when it was made. Segments never shrink while they are
//! in use, so no access through a map can fall off the end of its file.

use std::{fmt, fs::File, io};

use crate::segment::PAGE;

/// One page; its only purpose is its alignment.
#[derive(Clone, Copy)]
#[repr(C, align(4096))]
struct Page([u8; PAGE]);

const _: () = assert!(size_of::<Page>() == PAGE && align_of::<Page>() == PAGE);

/// A zeroed buffer whose address and length are multiples of `PAGE`.
pub(crate) struct Aligned {
    pages: Vec<Page>,
}

impl Aligned {
    /// A zeroed buffer of at least `bytes` bytes, rounded up to whole pages.
    pub(crate) fn new(bytes: usize) -> Aligned {
        assert!(bytes > 0, "an empty buffer has no use");
        Aligned { pages: vec![Page([0; PAGE]); bytes.div_ceil(PAGE)] }
    }

    /// Makes it at least `bytes` long; new bytes are zero, old ones stay.
    pub(crate) fn grow(&mut self, bytes: usize) {
        let pages = bytes.div_ceil(PAGE);
        assert!(pages >= self.pages.len(), "a buffer never shrinks");
        self.pages.resize(pages, Page([0; PAGE]));
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.pages.len() * PAGE
    }

    /// All its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        debug_assert!(self.pages.as_ptr().addr().is_multiple_of(PAGE));
        // SAFETY: `pages` is one initialised allocation of `len` bytes (Page is a plain byte
        // array without padding, see the assertion above) and is borrowed for the result's life.
        unsafe { std::slice::from_raw_parts(self.pages.as_ptr().cast(), self.len()) }
    }

    /// All its bytes, to write to.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        debug_assert!(self.pages.as_ptr().addr().is_multiple_of(PAGE));
        // SAFETY: as in `bytes`; the borrow is unique, and every bit pattern is a valid Page.
        unsafe { std::slice::from_raw_parts_mut(self.pages.as_mut_ptr().cast(), self.len()) }
    }
}

impl fmt::Debug for Aligned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aligned").field("len", &self.len()).finish()
    }
}

/// A read-only shared map of a whole segment file.
#[derive(Debug)]
pub struct Map(memmap2::Mmap);

impl Map {
    /// Maps all of `file`.
    ///
    /// # Errors
    /// What mmap said.
    pub(crate) fn of(file: &File) -> io::Result<Map> {
        // SAFETY: the lock file gives the queue directory one writer. That writer writes only
        // pages after the sealed end, and `Store` hands out only ranges before it; it rewrites a
        // segment only after every `Arc<Segment>`, and with it this map, is gone (see
        // `log::supply`). Nobody truncates a segment. So bytes behind a handed-out slice are
        // constant while it lives.
        let map = unsafe { memmap2::Mmap::map(file)? };
        Ok(Map(map))
    }

    /// The bytes at `offset`, if they lie inside the file.
    pub(crate) fn range(&self, offset: usize, len: usize) -> Option<&[u8]> {
        self.0.get(offset..offset.checked_add(len)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_zeroed_and_keeps_its_bytes_when_it_grows() {
        let mut buffer = Aligned::new(1);
        assert_eq!(buffer.len(), PAGE);
        assert!(buffer.bytes().iter().all(|b| *b == 0));
        buffer.bytes_mut()[7] = 9;
        buffer.grow(3 * PAGE);
        assert_eq!(buffer.bytes()[7], 9);
        assert_eq!(buffer.bytes().as_ptr().addr() % PAGE, 0);
        assert!(buffer.bytes()[PAGE..].iter().all(|b| *b == 0));
    }
}
