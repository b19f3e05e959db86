//! Batches: what one write takes to disk, first growing, then sealed and shared.
//!
//! Called by `log::writer`, which owns the one growing batch of a core; the kernel, the store's
//! tail and content handles share the sealed ones.
//!
//! Limits: a growing batch starts at `BATCH_START`; `log` bounds how far it grows.

use std::{fmt, ops::Deref, sync::Arc};

use crate::{
    map::Aligned,
    record::{self, HEADER, Header},
    segment::PAGE,
};

/// First size of a batch buffer, bytes.
pub(crate) const BATCH_START: usize = 256 << 10;
/// Buffers kept for the next batch.
const SPARE_MAX: usize = 2;

/// The immutable bytes of one write: address, length and offset are multiples of `PAGE`.
pub struct Batch {
    buffer: Aligned,
    len: usize,
}

impl Batch {
    /// Memory it holds, bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.len()
    }
}

impl Deref for Batch {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer.bytes()[..self.len]
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("len", &self.len).finish()
    }
}

/// The batch that grows.
#[derive(Debug)]
pub(crate) struct Builder {
    buffer: Aligned,
    len: usize,
    spare: Vec<Aligned>,
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder { buffer: Aligned::new(BATCH_START), len: 0, spare: Vec::new() }
    }

    /// Bytes so far; a multiple of `record::ALIGN`.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends one record made of `parts`; returns where in the batch it starts.
    pub(crate) fn push(&mut self, header: &Header, parts: &[&[u8]]) -> usize {
        let length = header.length as usize;
        let (start, end) = (self.len, self.len + length);
        let next = record::aligned(end);
        if next > self.buffer.len() {
            self.buffer.grow(next.max(2 * self.buffer.len()));
        }
        let space = &mut self.buffer.bytes_mut()[start..next];
        let mut at = HEADER;
        for part in parts {
            space[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        assert_eq!(at, length, "the header knows the length of the body");
        space[length..].fill(0);
        record::finish(&mut space[..length], header);
        self.len = next;
        start
    }

    /// Ends the batch, padded with zeros to whole pages, and starts the next one.
    pub(crate) fn seal(&mut self) -> Arc<Batch> {
        assert!(self.len > 0, "an empty batch is never written");
        let len = self.len.next_multiple_of(PAGE);
        if len > self.buffer.len() {
            self.buffer.grow(len);
        }
        self.buffer.bytes_mut()[self.len..len].fill(0);
        self.len = 0;
        Arc::new(Batch { buffer: self.take(len), len })
    }

    /// The buffer itself, or a copy of the right size when little of it is used.
    fn take(&mut self, len: usize) -> Aligned {
        if len * 4 <= self.buffer.len() {
            let mut small = Aligned::new(len);
            small.bytes_mut().copy_from_slice(&self.buffer.bytes()[..len]);
            return small;
        }
        let next = self.spare.pop().unwrap_or_else(|| Aligned::new(BATCH_START));
        std::mem::replace(&mut self.buffer, next)
    }

    /// Takes a buffer back that nobody reads any more.
    pub(crate) fn recycle(&mut self, batch: Arc<Batch>) {
        if self.spare.len() < SPARE_MAX
            && batch.capacity() >= BATCH_START
            && let Some(batch) = Arc::into_inner(batch)
        {
            self.spare.push(batch.buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Key, Kind, Probe};

    const KEY: Key = Key { epoch: 1, salt: 2 };

    fn push(builder: &mut Builder, body: &[u8]) -> usize {
        let length = (HEADER + body.len()) as u32;
        let header = Header { kind: Kind::Mark, length, lsn: 1, number: 64, batch: 1, key: KEY };
        builder.push(&header, &[body])
    }

    #[test]
    fn a_sealed_batch_is_whole_pages_and_padded_with_zeros() {
        let mut builder = Builder::new();
        push(&mut builder, &[1; 5000]);
        let batch = builder.seal();
        assert_eq!(batch.len(), 2 * PAGE);
        assert!(batch[HEADER + 5000..].iter().all(|b| *b == 0));
        assert_eq!(builder.len(), 0);
    }

    #[test]
    fn nothing_of_an_earlier_batch_shows_in_a_later_one() {
        let mut builder = Builder::new();
        push(&mut builder, &[0xff; 4000]);
        drop(builder.seal());
        push(&mut builder, &[1; 3]);
        let batch = builder.seal();
        assert!(batch[HEADER + 3..].iter().all(|b| *b == 0));
    }

    #[test]
    fn a_full_buffer_is_handed_over_and_comes_back() {
        let mut builder = Builder::new();
        let at = push(&mut builder, &vec![7; BATCH_START]);
        let batch = builder.seal();
        assert!(matches!(record::probe(&batch[at..], KEY), Probe::Valid(_)));
        builder.recycle(batch);
        assert_eq!(builder.spare.len(), 1);
    }
}
