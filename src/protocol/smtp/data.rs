//! Message content after DATA: end-of-data, dot-stuffing and line ends.
//!
//! Content is kept in wire form: every line ends with CRLF and a line that begins with a dot has
//! another dot before it. What a next hop gets is then what lies in the queue log, byte for byte.
//! What a client sends otherwise is made so: a bare LF becomes CRLF, a bare CR becomes a blank, CRs
//! in front of CRLF are dropped.
//!
//! With [`BareNewline::Normalize`] only CRLF dot CRLF ends the content: a lone dot next to a bare
//! LF is an empty line. That closes the door to smuggled messages. With [`BareNewline::Accept`],
//! any lone dot ends it, as in Postfix 3.7 by default.
//!
//! Limits: a line longer than [`LINE_PIECE_MAX`] is taken in pieces, so that no more than that
//! waits for a line end.
//!
//! Standards: RFC 5321 sections 2.3.8, 4.1.1.4 and 4.5.2.

use alloc::vec::Vec;

/// Bytes of an unfinished line that may wait for more.
pub const LINE_PIECE_MAX: usize = 16 * 1024;

/// What a line end without CR means (`smtpd_forbid_bare_newline`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum BareNewline {
    /// A line end like any other.
    Accept,
    /// A line end, but never next to the dot that ends the content.
    #[default]
    Normalize,
    /// The message is refused.
    Reject,
}

/// What was noticed about the content on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Findings {
    /// A line ended with LF alone.
    pub bare_newline: bool,
    /// A byte outside ASCII.
    pub has_8bit: bool,
    /// The longest line, in bytes without dot-stuffing and line end.
    pub longest_line: u32,
    /// After BDAT: how many bytes it was.
    pub chunked: Option<u64>,
}

/// Reads content to its end.
#[derive(Clone, Debug)]
pub struct Reader {
    policy: BareNewline,
    /// The previous line ended with CRLF; DATA itself did.
    after_crlf: bool,
    /// Bytes of the current line that are out already.
    line_bytes: u32,
    findings: Findings,
}

impl Reader {
    /// A reader at the start of the content.
    pub fn new(policy: BareNewline) -> Reader {
        Reader { policy, after_crlf: true, line_bytes: 0, findings: Findings::default() }
    }

    /// What was noticed so far.
    pub fn findings(&self) -> Findings {
        self.findings
    }

    /// Whether the next byte begins a line.
    pub fn at_line_start(&self) -> bool {
        self.line_bytes == 0
    }

    /// Appends content from `input` to `out`: how many bytes were used, and whether the content has
    /// ended. What is not used must be offered again, with more behind it.
    pub fn read(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, bool) {
        let mut used = 0;
        // Lines that are as they should be are copied together.
        let mut clean_from = 0;
        loop {
            let rest = &input[used..];
            let end = match memchr::memchr(b'\n', rest) {
                Some(end) if end <= LINE_PIECE_MAX => end,
                None if rest.len() <= LINE_PIECE_MAX => {
                    out.extend_from_slice(&input[clean_from..used]);
                    return (used, false);
                }
                // A line end behind the limit changes nothing: it may not have arrived yet.
                _ => {
                    out.extend_from_slice(&input[clean_from..used]);
                    used += self.long_piece(rest, out);
                    clean_from = used;
                    continue;
                }
            };
            let line = &rest[..=end];
            if self.is_clean(line) {
                self.note_line(&line[..line.len() - 2]);
                used += line.len();
                continue;
            }
            out.extend_from_slice(&input[clean_from..used]);
            used += line.len();
            clean_from = used;
            if self.unclean_line(&line[..line.len() - 1], out) {
                return (used, true);
            }
        }
    }

    /// Whether a line (with its LF) may stay as it is.
    fn is_clean(&self, line: &[u8]) -> bool {
        let Some(text) = line.strip_suffix(b"\r\n") else { return false };
        self.line_bytes == 0
            && self.after_crlf
            && text.first() != Some(&b'.')
            && memchr::memchr(b'\r', text).is_none()
    }

    fn note_line(&mut self, text: &[u8]) {
        let length = self.line_bytes.saturating_add(text.len() as u32);
        self.findings.longest_line = self.findings.longest_line.max(length);
        self.findings.has_8bit |= !text.is_ascii();
        self.line_bytes = 0;
    }

    /// A line without its LF; true when it is the end of the content.
    fn unclean_line(&mut self, line: &[u8], out: &mut Vec<u8>) -> bool {
        let crlf = line.last() == Some(&b'\r');
        let start = self.line_bytes == 0;
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        self.findings.bare_newline |= !crlf;
        let standard = crlf && self.after_crlf;
        self.after_crlf = crlf;
        if start && text == b"." && (standard || self.policy == BareNewline::Accept) {
            return true;
        }
        let text = text.trim_suffix_all(b'\r');
        let text = if start { unstuffed(text) } else { text };
        self.put(start, text, out);
        out.extend_from_slice(b"\r\n");
        self.note_line(text);
        false
    }

    /// A line that is too long to wait for its end: how many bytes were used.
    fn long_piece(&mut self, rest: &[u8], out: &mut Vec<u8>) -> usize {
        // The last byte stays: it may be the CR of a line end.
        let piece = rest[..LINE_PIECE_MAX].trim_suffix_all(b'\r');
        if piece.is_empty() {
            // Nothing but CRs, which would be dropped or be blanks: one blank stands for them.
            self.put(self.line_bytes == 0, b" ", out);
            self.line_bytes = self.line_bytes.saturating_add(1);
            return LINE_PIECE_MAX;
        }
        let start = self.line_bytes == 0;
        let text = if start { unstuffed(piece) } else { piece };
        self.put(start, text, out);
        self.findings.has_8bit |= !text.is_ascii();
        self.line_bytes = self.line_bytes.saturating_add(text.len().max(1) as u32);
        piece.len()
    }

    fn put(&self, start: bool, text: &[u8], out: &mut Vec<u8>) {
        if start && text.first() == Some(&b'.') {
            out.push(b'.');
        }
        let from = out.len();
        out.extend_from_slice(text);
        for byte in &mut out[from..] {
            if *byte == b'\r' {
                *byte = b' ';
            }
        }
    }
}

/// A line without the dot that the client has put in front of it.
fn unstuffed(text: &[u8]) -> &[u8] {
    text.strip_prefix(b".").unwrap_or(text)
}

trait TrimSuffix {
    fn trim_suffix_all(&self, byte: u8) -> &[u8];
}

impl TrimSuffix for [u8] {
    fn trim_suffix_all(&self, byte: u8) -> &[u8] {
        let kept = self.iter().rposition(|other| *other != byte).map_or(0, |last| last + 1);
        &self[..kept]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What comes out when `input` arrives in `pieces`; `None` when it does not end.
    fn read(
        policy: BareNewline,
        input: &[u8],
        pieces: usize,
    ) -> Option<(Vec<u8>, usize, Findings)> {
        let mut reader = Reader::new(policy);
        let mut out = Vec::new();
        let mut buffer = Vec::new();
        let mut total = 0;
        for piece in input.chunks(pieces) {
            buffer.extend_from_slice(piece);
            let (used, end) = reader.read(&buffer, &mut out);
            buffer.drain(..used);
            total += used;
            if end {
                return Some((out, total, reader.findings()));
            }
        }
        None
    }

    fn normalized(input: &[u8]) -> Option<Vec<u8>> {
        read(BareNewline::Normalize, input, usize::MAX).map(|(out, _, _)| out)
    }

    #[test]
    fn only_crlf_dot_crlf_ends_the_content() {
        for end in [&b"a\r\n.\r\n"[..], b".\r\n"] {
            assert!(normalized(end).is_some(), "{end:?}");
        }
        for smuggled in [&b"a\n.\nb\r\n"[..], b"a\n.\r\nb\r\n", b"a\r\n.\nb\r\n", b"a\r.\rb\r\n"] {
            assert_eq!(normalized(smuggled), None, "{smuggled:?}");
        }
        assert_eq!(normalized(b"a\n.\nb\r\n.\r\n").unwrap(), b"a\r\n\r\nb\r\n");
        let accepted = read(BareNewline::Accept, b"a\n.\nb", usize::MAX).unwrap();
        assert_eq!((accepted.0.as_slice(), accepted.1), (&b"a\r\n"[..], 4));
    }

    #[test]
    fn dots_stay_stuffed_and_missing_stuffing_is_forgiven() {
        assert_eq!(normalized(b"..a\r\n.b\r\n...\r\n.\r\n").unwrap(), b"..a\r\nb\r\n...\r\n");
    }

    #[test]
    fn stray_carriage_returns_are_as_in_postfix() {
        assert_eq!(
            normalized(b"bare\rcr\r\ncrcrlf\r\r\nend\r.\rnot\r\n.\r\n").unwrap(),
            b"bare cr\r\ncrcrlf\r\nend . not\r\n"
        );
    }

    #[test]
    fn a_line_without_end_does_not_wait_for_ever() {
        let mut long = alloc::vec![b'x'; 3 * LINE_PIECE_MAX];
        long.extend_from_slice(b"\r\n.\r\n");
        let (out, _, findings) = read(BareNewline::Normalize, &long, 1000).unwrap();
        assert_eq!(out.len(), 3 * LINE_PIECE_MAX + 2);
        assert_eq!(findings.longest_line as usize, 3 * LINE_PIECE_MAX);
    }

    fn lumps() -> impl Strategy<Value = Vec<u8>> {
        let lump = prop_oneof![
            Just(b"\r\n".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r".to_vec()),
            Just(b".".to_vec()),
            Just(b"x".to_vec()),
            Just(b"\x80".to_vec()),
        ];
        proptest::collection::vec(lump, 0..40).prop_map(|lumps| lumps.concat())
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(input in lumps(), pieces in 1usize..10) {
            let whole = read(BareNewline::Normalize, &input, usize::MAX);
            prop_assert_eq!(read(BareNewline::Normalize, &input, pieces), whole);
        }

        #[test]
        fn the_result_cannot_end_early_at_the_next_hop(input in lumps()) {
            let input = [input.as_slice(), b"\r\n.\r\n"].concat();
            let out = normalized(&input).unwrap();
            let wire = [out.as_slice(), b".\r\n"].concat();
            let (again, used, findings) = read(BareNewline::Accept, &wire, usize::MAX).unwrap();
            prop_assert_eq!(used, wire.len());
            prop_assert_eq!(again, out);
            prop_assert!(!findings.bare_newline);
        }
    }
}
