//! Content from the queue log as mailboxes have it: lines end with LF, no dot is doubled.
//!
//! The log has it in wire form, where every line end is CRLF and there is no CR or LF elsewhere.
//! It is changed piece by piece; memory is bounded by [`PIECE_MAX`].

use queue::{Content, Piece};
use std::collections::BTreeSet;

/// The longest piece.
pub const PIECE_MAX: usize = privsep::chunk::BYTES_MAX;
/// As much of a header line is looked at.
const LINE_MAX: usize = 4096;
const DELIVERED_TO: &[u8] = b"delivered-to:";

/// Pieces of a message: what was added in front of it, then its content.
pub struct Pieces<'a> {
    header: Option<Vec<u8>>,
    pieces: queue::Pieces<'a>,
    rest: Option<Piece>,
    unwrap: Unwrap,
}

impl<'a> Pieces<'a> {
    /// `header`, which has LF already, then `content`.
    pub fn new(header: Vec<u8>, content: &'a Content) -> Pieces<'a> {
        let (pieces, unwrap) = (content.pieces(), Unwrap::default());
        Pieces { header: Some(header), pieces, rest: None, unwrap }
    }

    fn piece(&mut self) -> Option<Piece> {
        let piece = match self.rest.take() {
            Some(rest) => rest,
            None => self.pieces.next()?,
        };
        if piece.len() < PIECE_MAX {
            return Some(piece);
        }
        // One less: a carriage return may have been held back.
        self.rest = Some(piece.slice(PIECE_MAX - 1..piece.len()));
        Some(piece.slice(0..PIECE_MAX - 1))
    }
}

impl Iterator for Pieces<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if let Some(header) = self.header.take() {
            return Some(header);
        }
        loop {
            let piece = self.piece()?;
            let mut out = Vec::with_capacity(piece.len() + 1);
            self.unwrap.write(&piece, &mut out);
            // A piece may be nothing but half a line end.
            if !out.is_empty() {
                return Some(out);
            }
        }
    }
}

/// From wire form to lines with LF.
#[derive(Default)]
struct Unwrap {
    in_line: bool,
    held_cr: bool,
}

impl Unwrap {
    fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            if std::mem::take(&mut self.held_cr) && part != b"\n" {
                out.push(b'\r');
            }
            let stuffed = !self.in_line && part.first() == Some(&b'.');
            let part = &part[usize::from(stuffed)..];
            self.in_line = part.last() != Some(&b'\n');
            match part {
                [line @ .., b'\r', b'\n'] => {
                    out.extend_from_slice(line);
                    out.push(b'\n');
                }
                [line @ .., b'\r'] => {
                    out.extend_from_slice(line);
                    self.held_cr = true;
                }
                line => out.extend_from_slice(line),
            }
        }
    }
}

/// The addresses that `Delivered-To:` fields of the header name, in lower case: where the message
/// has been before.
pub fn delivered_to(content: &Content) -> BTreeSet<Vec<u8>> {
    let mut scan = HeaderScan::default();
    let _end = content.pieces().find_map(|piece| scan.look(&piece));
    scan.found
}

/// Looks at header lines, one by one.
#[derive(Default)]
struct HeaderScan {
    /// The line so far, at most [`LINE_MAX`] bytes of it.
    line: Vec<u8>,
    found: BTreeSet<Vec<u8>>,
}

impl HeaderScan {
    /// Something at the end of the header.
    fn look(&mut self, piece: &[u8]) -> Option<()> {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_MAX - self.line.len();
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.last() != Some(&b'\n') {
                continue;
            }
            if self.line.trim_ascii_end().is_empty() {
                return Some(());
            }
            self.found.extend(value(self.line.trim_ascii_end()));
            self.line.clear();
        }
        None
    }
}

fn value(line: &[u8]) -> Option<Vec<u8>> {
    let (name, value) = line.split_at_checked(DELIVERED_TO.len())?;
    let found = name.eq_ignore_ascii_case(DELIVERED_TO);
    found.then(|| value.trim_ascii().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unwrapped(pieces: &[&[u8]]) -> String {
        let (mut unwrap, mut out) = (Unwrap::default(), Vec::new());
        pieces.iter().for_each(|piece| unwrap.write(piece, &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn line_ends_become_lf_and_dots_single_wherever_pieces_end() {
        let wire: &[u8] = b"Subject: x\r\n\r\n..dot\r\n.\r\n.. \r\na..\r\n\r\nend\r\n";
        let expected = "Subject: x\n\n.dot\n\n. \na..\n\nend\n";
        for first in 0..=wire.len() {
            for second in first..=wire.len() {
                let pieces = [&wire[..first], &wire[first..second], &wire[second..]];
                assert_eq!(unwrapped(&pieces), expected, "{first} {second}");
            }
        }
    }

    fn scan(pieces: &[&[u8]]) -> (Option<()>, bool) {
        let mut scan = HeaderScan::default();
        let end = pieces.iter().find_map(|piece| scan.look(piece));
        (end, scan.found.contains(b"alice+x@b".as_slice()))
    }

    #[test]
    fn a_loop_is_seen_in_the_header_only_and_without_regard_to_case() {
        let all = scan(&[b"A: b\r\nDelivered-", b"to:  ALICE+x@b\r", b"\n\r\n"]);
        assert_eq!(all, (Some(()), true));
        assert_eq!(scan(&[b"Delivered-To: alice@b\r\n\r\n"]), (Some(()), false));
        let body: &[u8] = b"A: b\r\n\r\nDelivered-To: alice+x@b\r\n";
        assert_eq!(scan(&[body]), (Some(()), false));
        let long = [b"A: ".as_slice(), &[b'x'; 2 * LINE_MAX], b"\r\n"].concat();
        assert_eq!(scan(&[&long, b"Delivered-To: alice+x@b\r\n"]), (None, true));
        assert_eq!(scan(&[b"no end"]), (None, false));
    }
}
