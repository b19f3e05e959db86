//! Content on its way into a file: `From ` at the start of a line is quoted in an mbox, and the
//! last line has an end.
//!
//! Content comes in pieces that end anywhere; the result does not depend on where.

/// What would begin a message.
const FROM: &[u8] = b"From ";

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `From ` becomes `>From `, an empty line follows the message.
    Mbox,
    /// As they are.
    Plain,
}

/// One message's way.
pub struct Quoting {
    format: Format,
    /// Bytes at the start of a line that may yet become `From `.
    held: Vec<u8>,
    in_line: bool,
}

impl Quoting {
    /// At the start of a message.
    pub fn new(format: Format) -> Quoting {
        Quoting { format, held: Vec::with_capacity(FROM.len()), in_line: false }
    }

    /// Takes a piece and appends what can be written.
    pub fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        if self.format == Format::Plain {
            self.in_line = piece.last().map_or(self.in_line, |last| *last != b'\n');
            return out.extend_from_slice(piece);
        }
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.part(part, out);
        }
    }

    /// A piece of one line, its end at most at the end.
    fn part(&mut self, part: &[u8], out: &mut Vec<u8>) {
        let mut part = part;
        if !self.in_line {
            let wanted = FROM.len() - self.held.len();
            let (start, rest) = part.split_at(part.len().min(wanted));
            self.held.extend_from_slice(start);
            if self.held.len() < FROM.len() && self.held.last() != Some(&b'\n') {
                return;
            }
            if self.held == FROM {
                out.push(b'>');
            }
            self.in_line = self.held.last() != Some(&b'\n');
            out.append(&mut self.held);
            part = rest;
        }
        if let Some(last) = part.last() {
            self.in_line = *last != b'\n';
            out.extend_from_slice(part);
        }
    }

    /// Appends the end of the message.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.in_line || !self.held.is_empty() {
            out.append(&mut self.held);
            out.push(b'\n');
            self.in_line = false;
        }
        if self.format == Format::Mbox {
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(format: Format, pieces: &[&[u8]]) -> String {
        let (mut quoting, mut out) = (Quoting::new(format), Vec::new());
        pieces.iter().for_each(|piece| quoting.write(piece, &mut out));
        quoting.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_a_line_that_begins_with_from_and_a_blank_is_quoted() {
        let text = b"From a\n>From b\n From c\nfrom d\nFromX\nFrom\n\nFrom e";
        let expected = ">From a\n>From b\n From c\nfrom d\nFromX\nFrom\n\n>From e\n\n";
        assert_eq!(quoted(Format::Mbox, &[text]), expected);
        assert_eq!(quoted(Format::Plain, &[text]), format!("{}\n", str::from_utf8(text).unwrap()));
        assert_eq!(quoted(Format::Mbox, &[b"Fro"]), "Fro\n\n");
        assert_eq!(quoted(Format::Mbox, &[]), "\n");
    }

    #[test]
    fn pieces_may_end_anywhere() {
        let text: &[u8] = b"From a\nFromX\nFrom\n\nFrom \nx\nF";
        let whole = quoted(Format::Mbox, &[text]);
        for first in 0..text.len() {
            for second in first..text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                assert_eq!(quoted(Format::Mbox, &pieces), whole, "{first} {second}");
            }
        }
    }
}
