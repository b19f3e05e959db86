//! An index entry as a checkpoint stores it. See FORMAT.md, "Checkpoint".
//!
//! Called by `checkpoint`. Bytes from disk are never asserted on.

use super::{Entry, Place, Span};
use crate::{
    Number,
    marks::{MARK_INDEX_MAX, Marks},
    record::{u32_at, u64_at},
};

/// Bytes of an entry without its marks and spans.
pub(crate) const STORED_FIXED: usize = 64;

impl Place {
    fn words(self) -> [u32; 3] {
        [self.epoch, self.offset, self.length]
    }
}

impl Entry {
    /// Appends the stored form.
    pub(crate) fn put(&self, number: Number, out: &mut Vec<u8>) {
        let marks = self.marks.to_bytes();
        let spans = self.spans.as_deref().map_or(&[][..], Vec::as_slice);
        for word in [number.get(), self.arrival_us, self.until] {
            out.extend(word.to_le_bytes());
        }
        // A large message may have no content at all.
        let large = self.spans.as_ref().map_or(0, |spans| spans.len() as u32 + 1);
        let counts = [self.envelope, self.flags, (marks.len() / 8) as u32, large];
        let words = self.place.words().into_iter().chain(self.detail.words()).chain(counts);
        words.for_each(|word| out.extend(word.to_le_bytes()));
        out.extend(marks);
        for span in spans {
            out.extend(u64::from(span.epoch).to_le_bytes());
            out.extend(span.bytes.to_le_bytes());
        }
    }

    /// Takes one entry off the front of `input`.
    pub(crate) fn take(input: &mut &[u8]) -> Option<(Number, Entry)> {
        let (fixed, rest) = input.split_at_checked(STORED_FIXED)?;
        let place = |at: usize| {
            let word = |nth: usize| u32_at(fixed, at + 4 * nth);
            Some(Place { epoch: word(0)?, offset: word(1)?, length: word(2)? })
        };
        let (words, large) = (u32_at(fixed, 56)? as usize, u32_at(fixed, 60)? as usize);
        let spans = large.saturating_sub(1);
        let (mark_bytes, rest) = rest.split_at_checked(words.checked_mul(8)?)?;
        let (span_bytes, rest) = rest.split_at_checked(spans.checked_mul(16)?)?;
        *input = rest;
        let mut marks = Marks::default();
        let fits = words <= (MARK_INDEX_MAX as usize + 1) / 64 && marks.merge(mark_bytes);
        let span = |bytes: &[u8]| Some(Span { epoch: u32_at(bytes, 0)?, bytes: u64_at(bytes, 8)? });
        let spans: Option<Vec<Span>> = span_bytes.chunks_exact(16).map(span).collect();
        let entry = Entry {
            arrival_us: u64_at(fixed, 8)?,
            until: u64_at(fixed, 16)?,
            marks,
            spans: spans.filter(|_| large > 0).map(Box::new),
            place: place(24)?,
            detail: place(36)?,
            envelope: u32_at(fixed, 48)?,
            flags: u32_at(fixed, 52)?,
        };
        fits.then_some((Number::from_u64(u64_at(fixed, 0)?)?, entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::FLAG_HELD;

    #[test]
    fn an_entry_comes_back() {
        let number = Number::from_u64(64 * 7 + 3).unwrap();
        let mut entry = Entry::new(Place { epoch: 3, offset: 4096, length: 900 }, 5, 77, FLAG_HELD);
        entry.set_until(Some(9));
        [0, 63, 700].into_iter().for_each(|index| entry.marks.insert(index));
        for spans in
            [None, Some(Box::default()), Some(Box::new(vec![Span { epoch: 2, bytes: 1 << 40 }]))]
        {
            entry.spans = spans;
            let mut bytes = Vec::new();
            entry.put(number, &mut bytes);
            let mut input = &bytes[..];
            let (found, back) = Entry::take(&mut input).unwrap();
            assert_eq!((found, format!("{back:?}")), (number, format!("{entry:?}")));
            assert!(input.is_empty());
            assert!(Entry::take(&mut &bytes[..bytes.len() - 1]).is_none());
        }
    }
}
