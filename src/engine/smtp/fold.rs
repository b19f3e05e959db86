//! Breaking lines that are longer than SMTP allows: line end and blank are put in, as smtp(8) does.
//!
//! Standards: RFC 5321 section 4.5.3.1.6; `smtp_line_length_limit`.

/// A break needs room for its blank and one byte.
const LIMIT_MIN: usize = 2;

/// The state between two pieces.
pub struct Fold {
    limit: usize,
    /// Bytes on this line, the stuffed dot not counted.
    column: usize,
    line_start: bool,
    /// A CR whose meaning the next byte decides.
    held_cr: bool,
}

impl Fold {
    /// Lines have at most `limit` bytes; 0 is no limit.
    pub fn new(limit: usize) -> Fold {
        let limit = if limit == 0 { usize::MAX } else { limit.max(LIMIT_MIN) };
        Fold { limit, column: 0, line_start: true, held_cr: false }
    }

    /// Takes a piece in wire form and appends it with breaks.
    pub fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut rest = piece;
        while let Some(first) = rest.first() {
            if self.held_cr {
                self.held_cr = false;
                if *first == b'\n' {
                    out.extend_from_slice(b"\r\n");
                    (self.column, self.line_start) = (0, true);
                    rest = &rest[1..];
                    continue;
                }
                self.text(b"\r", out);
            }
            let cr = rest.iter().position(|byte| *byte == b'\r');
            let (text, tail) = rest.split_at(cr.unwrap_or(rest.len()));
            self.text(text, out);
            self.held_cr = !tail.is_empty();
            rest = tail.get(1..).unwrap_or_default();
        }
    }

    /// Appends what was held back.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.held_cr) {
            self.text(b"\r", out);
        }
    }

    fn text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let mut rest = text;
        if rest.is_empty() {
            return;
        }
        if std::mem::take(&mut self.line_start) && rest[0] == b'.' {
            // The stuffed dot is not part of the line.
            out.push(b'.');
            rest = &rest[1..];
        }
        while rest.len() > self.limit - self.column {
            let (head, tail) = rest.split_at(self.limit - self.column);
            out.extend_from_slice(head);
            out.extend_from_slice(b"\r\n ");
            self.column = 1;
            rest = tail;
        }
        out.extend_from_slice(rest);
        self.column += rest.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn folded(limit: usize, input: &[u8], piece: usize) -> Vec<u8> {
        let (mut fold, mut out) = (Fold::new(limit), Vec::new());
        input.chunks(piece).for_each(|piece| fold.write(piece, &mut out));
        fold.finish(&mut out);
        out
    }

    #[test]
    fn a_line_is_broken_only_when_it_is_longer() {
        assert_eq!(folded(5, b"12345\r\n123456\r\n", 99), b"12345\r\n12345\r\n 6\r\n");
        assert_eq!(folded(5, b"..234567890\r\n", 99), b"..2345\r\n 6789\r\n 0\r\n");
        assert_eq!(folded(0, &[b'x'; 2000], 7), [b'x'; 2000]);
        assert_eq!(folded(4, b"a\rb\r", 1), b"a\rb\r");
    }

    proptest! {
        #[test]
        fn no_line_is_too_long_and_nothing_is_lost(
            input in proptest::collection::vec(prop_oneof![
                Just(b"\r\n".to_vec()), Just(b"\r".to_vec()),
                "[a-z.]{0,30}".prop_map(String::into_bytes),
            ], 0..20).prop_map(|parts| parts.concat()),
            limit in 2usize..12, piece in 1usize..9,
        ) {
            let out = folded(limit, &input, piece);
            prop_assert_eq!(&out, &folded(limit, &input, usize::MAX));
            let text = String::from_utf8(out).unwrap();
            for line in text.split("\r\n") {
                let stuffed = usize::from(line.starts_with('.'));
                prop_assert!(line.len() - stuffed <= limit, "{:?}", line);
            }
            prop_assert_eq!(text.replace("\r\n ", ""), String::from_utf8(input).unwrap());
        }
    }
}
