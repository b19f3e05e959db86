//! Message content after BDAT (RFC 3030): counted bytes, made into the wire form of
//! [`super::data`].
//!
//! Lines are found in the bytes and stuffed; there is no end-of-data inside. CR and LF on their own
//! are treated as after DATA. A last line without end gets one.

use super::data::{BareNewline, Findings, Reader};
use alloc::vec::Vec;

/// Bytes kept from one chunk to the next: an unfinished line.
#[derive(Clone, Debug)]
pub struct Chunks {
    reader: Reader,
    pending: Vec<u8>,
    size: u64,
    /// The byte before the next one.
    before: u8,
}

impl Chunks {
    /// No chunk yet.
    pub fn new(policy: BareNewline) -> Chunks {
        Chunks { reader: Reader::new(policy), pending: Vec::new(), size: 0, before: b'\n' }
    }

    /// What was noticed so far.
    pub fn findings(&self) -> Findings {
        Findings { chunked: Some(self.size), ..self.reader.findings() }
    }

    /// Bytes so far, each line end counted as CR and LF.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends bytes of a chunk.
    pub fn read(&mut self, input: &[u8], out: &mut Vec<u8>) {
        self.count(input);
        let mut rest = input;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, tail) = rest.split_at(end + 1);
            rest = tail;
            self.stuff(line);
            self.pass(out);
        }
        self.stuff(rest);
        self.pass(out);
    }

    fn count(&mut self, input: &[u8]) {
        let before = core::iter::once(&self.before).chain(input);
        let bare = before.zip(input).filter(|pair| *pair.1 == b'\n' && *pair.0 != b'\r').count();
        self.size += (input.len() + bare) as u64;
        self.before = input.last().copied().unwrap_or(self.before);
    }

    /// Ends the content after the last chunk.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.before != b'\n' {
            self.size += 2;
            self.before = b'\n';
        }
        if !self.pending.is_empty() {
            self.pending.extend_from_slice(b"\r\n");
            self.pass(out);
        }
    }

    /// Adds bytes of one line; at its start a dot is doubled, so that the reader finds no end.
    fn stuff(&mut self, bytes: &[u8]) {
        if self.pending.is_empty() && self.reader.at_line_start() && bytes.first() == Some(&b'.') {
            self.pending.push(b'.');
        }
        self.pending.extend_from_slice(bytes);
    }

    fn pass(&mut self, out: &mut Vec<u8>) {
        let (used, ended) = self.reader.read(&self.pending, out);
        debug_assert!(!ended);
        self.pending.drain(..used);
    }
}

/// The words after BDAT: how many bytes follow, and whether they are the last.
pub fn parse(args: &[&[u8]]) -> Option<(u64, bool)> {
    let (count, last) = match args {
        [count] => (count, false),
        [count, last] if last.eq_ignore_ascii_case(b"LAST") => (count, true),
        _ => return None,
    };
    let count = core::str::from_utf8(count).ok().filter(|text| !text.starts_with('+'))?;
    count.parse().ok().map(|count| (count, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn chunk_borders_do_not_matter(
            input in proptest::collection::vec(
                prop_oneof![Just(b'.'), Just(b'\r'), Just(b'\n'), Just(b'x')],
                0..60,
            ),
            size in 1usize..7,
        ) {
            let run = |size: usize| {
                let mut chunks = Chunks::new(BareNewline::Accept);
                let mut out = Vec::new();
                input.chunks(size).for_each(|chunk| chunks.read(chunk, &mut out));
                chunks.finish(&mut out);
                out
            };
            prop_assert_eq!(run(size), run(1000));
        }
    }

    #[test]
    fn dots_are_content_and_the_last_line_is_ended() {
        let mut chunks = Chunks::new(BareNewline::Normalize);
        let mut out = Vec::new();
        chunks.read(b".\r\n..\r\n.a", &mut out);
        chunks.finish(&mut out);
        assert_eq!(out, b"..\r\n...\r\n..a\r\n");
        assert_eq!(chunks.size(), 11);
    }

    #[test]
    fn the_size_is_that_of_whole_lines() {
        let mut chunks = Chunks::new(BareNewline::Accept);
        let mut sizes = [b"Subject: two\r\n\r\nab\r\nx".as_slice(), b"y\r", b"\nz\n", b""]
            .map(|chunk| {
                chunks.read(chunk, &mut Vec::new());
                chunks.size()
            })
            .to_vec();
        chunks.finish(&mut Vec::new());
        sizes.push(chunks.size());
        assert_eq!(sizes, [21, 23, 27, 27, 27]);
    }
}
