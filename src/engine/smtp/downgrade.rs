//! 8-bit MIME content for a server without 8BITMIME: parts declared 8-bit become quoted-printable.
//!
//! Works line by line on content in wire form. A header is held until it is complete, a line until
//! its end or [`LINE_HELD_MAX`]; everything else passes at once. Content that is 8-bit without
//! saying so is left alone, as smtp(8) leaves it.
//!
//! | state | line | next |
//! | --- | --- | --- |
//! | Header | a header or its continuation | Header |
//! | Header | blank, of message/rfc822 | Header, of the message inside |
//! | Header | anything else | Body, after `Content-Transfer-Encoding` has been put right |
//! | Body | `--boundary` | Header, of the next part |
//! | Body | `--boundary--` | Body, of the epilogue |
//! | Body | anything else | Body |
//!
//! Limits: [`HEADER_HELD_MAX`], [`LINE_HELD_MAX`], and those of [`mail::mime`].
//!
//! Standards: RFC 2045 sections 5 and 6, RFC 2046 section 5.1, RFC 6152 section 3.

use mail::header;
use mail::mime::{Kind, Structure};

/// Bytes of one header that are looked at (`header_size_limit`).
pub const HEADER_HELD_MAX: usize = 102_400;
/// A line that is longer is passed on before its end is known.
pub const LINE_HELD_MAX: usize = 8 * 1024;
/// A quoted-printable line is broken before it gets longer; `=` and one code more still fit.
const QP_LINE_MAX: usize = 72;
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// A part of a line, with what the line's end is.
#[derive(Clone, Copy)]
struct Fragment<'a> {
    text: &'a [u8],
    starts: bool,
    ends: bool,
}

/// The conversion's state between two pieces.
pub struct Downgrade {
    mime: Structure,
    /// The header that is being collected, in wire form without its last line end.
    header: Vec<u8>,
    /// The line that is being collected.
    line: Vec<u8>,
    line_started: bool,
    /// How long the present line of quoted-printable output is, and its last byte.
    column: usize,
    last: u8,
}

impl Downgrade {
    /// At the start of a message.
    pub fn new() -> Downgrade {
        Downgrade {
            mime: Structure::new(),
            header: Vec::new(),
            line: Vec::new(),
            line_started: false,
            column: 0,
            last: 0,
        }
    }

    /// Takes a piece in wire form and appends what is known of the result.
    pub fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            if self.line.is_empty() {
                self.end_line(line, out);
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.end_line(&whole, out);
                whole.clear();
                self.line = whole;
            }
        }
        self.line.extend_from_slice(rest);
        if self.line.len() > LINE_HELD_MAX {
            let mut part = std::mem::take(&mut self.line);
            // A CR may belong to the line end.
            let cr = part.pop_if(|byte| *byte == b'\r');
            let starts = !std::mem::replace(&mut self.line_started, true);
            self.fragment(Fragment { text: &part, starts, ends: false }, out);
            part.clear();
            part.extend(cr);
            self.line = part;
        }
    }

    /// Appends what was held back.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.line.is_empty() || self.line_started {
            let line = std::mem::take(&mut self.line);
            self.end_line(&line, out);
        }
        if self.mime.in_header() {
            self.end_header(out);
            self.put_encoding(out);
        }
    }

    fn end_line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        let starts = !std::mem::replace(&mut self.line_started, false);
        self.fragment(Fragment { text, starts, ends: true }, out);
    }

    fn fragment(&mut self, fragment: Fragment<'_>, out: &mut Vec<u8>) {
        if !self.mime.in_header() || !self.header_line(fragment, out) {
            self.body_line(fragment, out);
        }
    }

    /// Whether the line belongs to the header; otherwise the header is over.
    fn header_line(&mut self, fragment: Fragment<'_>, out: &mut Vec<u8>) -> bool {
        let continues = !fragment.starts || header::is_continuation(fragment.text);
        if continues && !self.header.is_empty() {
            self.hold(fragment);
            return true;
        }
        self.end_header(out);
        if header::name(fragment.text).is_some() {
            self.header.clear();
            self.header.extend_from_slice(fragment.text);
            return true;
        }
        self.put_encoding(out);
        if !fragment.text.is_empty() {
            // Not a header: the body begins without the line that should come first.
            out.extend_from_slice(b"\r\n");
        }
        self.mime.enter_body(fragment.text.is_empty());
        false
    }

    /// Adds to the header; what is too much is lost, as in Postfix.
    fn hold(&mut self, fragment: Fragment<'_>) {
        if self.header.len() < HEADER_HELD_MAX {
            if fragment.starts {
                self.header.extend_from_slice(b"\r\n");
            }
            self.header.extend_from_slice(fragment.text);
        }
    }

    fn end_header(&mut self, out: &mut Vec<u8>) {
        if self.header.is_empty() {
            return;
        }
        let header = std::mem::take(&mut self.header);
        let name = header::name(&header).unwrap_or_default();
        let is_encoding = name.eq_ignore_ascii_case(b"Content-Transfer-Encoding");
        if is_encoding {
            self.mime.encoding(header::value(&header));
        } else if name.eq_ignore_ascii_case(b"Content-Type") {
            self.mime.content_type(header::value(&header));
        }
        // The encoding that is right depends on the type, which may come later.
        if !(is_encoding && self.mime.is_8bit()) {
            out.extend_from_slice(&header);
            out.extend_from_slice(b"\r\n");
        }
        self.header = header;
        self.header.clear();
    }

    fn put_encoding(&mut self, out: &mut Vec<u8>) {
        if !self.mime.is_8bit() {
            return;
        }
        out.extend_from_slice(b"Content-Transfer-Encoding: ");
        out.extend_from_slice(match self.mime.kind() {
            Kind::Leaf => b"quoted-printable\r\n".as_slice(),
            Kind::Message | Kind::MessageText | Kind::Multipart => b"7bit\r\n",
        });
    }

    fn body_line(&mut self, fragment: Fragment<'_>, out: &mut Vec<u8>) {
        if fragment.starts && fragment.text.starts_with(b"--") {
            self.mime.boundary(&fragment.text[2..]);
        }
        if self.mime.is_8bit() {
            return self.quote(fragment, out);
        }
        out.extend_from_slice(fragment.text);
        if fragment.ends {
            out.extend_from_slice(b"\r\n");
        }
    }

    fn quote(&mut self, fragment: Fragment<'_>, out: &mut Vec<u8>) {
        // The stuffed dot is put back where an output line begins with one.
        let stuffed = fragment.starts && fragment.text.starts_with(b".");
        for byte in &fragment.text[usize::from(stuffed)..] {
            if self.column > QP_LINE_MAX {
                out.extend_from_slice(b"=\r\n");
                self.column = 0;
            }
            let plain = *byte == b'\t' || (b' '..=b'~').contains(byte) && *byte != b'=';
            if plain {
                if self.column == 0 && *byte == b'.' {
                    out.push(b'.');
                }
                out.push(*byte);
                self.column += 1;
            } else {
                self.put_code(*byte, out);
            }
            self.last = *byte;
        }
        if fragment.ends {
            if self.column > 0 && matches!(self.last, b' ' | b'\t') {
                out.pop();
                self.put_code(self.last, out);
            }
            out.extend_from_slice(b"\r\n");
            self.column = 0;
        }
    }

    fn put_code(&mut self, byte: u8, out: &mut Vec<u8>) {
        out.extend([b'=', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        self.column += 3;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn downgraded(input: &[u8], piece: usize) -> Vec<u8> {
        let (mut downgrade, mut out) = (Downgrade::new(), Vec::new());
        input.chunks(piece).for_each(|piece| downgrade.write(piece, &mut out));
        downgrade.finish(&mut out);
        out
    }

    fn text(input: &str) -> String {
        let input = input.replace('\n', "\r\n");
        let out = downgraded(input.as_bytes(), usize::MAX);
        String::from_utf8(out).unwrap().replace("\r\n", "\n")
    }

    /// What Postfix 3.7.11 sends to a server without 8BITMIME.
    #[test]
    fn a_text_part_becomes_quoted_printable() {
        let line = "a very long line ".repeat(6);
        let input = format!(
            "Subject: text\nContent-Transfer-Encoding: 8bit\nContent-Type: text/plain\n\n\
             gr\u{fc}\u{df}e = equal sign\ntrailing space \n..leading dot\nFrom line\n\
             {line}\u{fc}\n"
        );
        let expected = "Subject: text\nContent-Type: text/plain\n\
            Content-Transfer-Encoding: quoted-printable\n\n\
            gr=C3=BC=C3=9Fe =3D equal sign\ntrailing space=20\n..leading dot\nFrom line\n\
            a very long line a very long line a very long line a very long line a ver=\n\
            y long line a very long line =C3=BC\n";
        assert_eq!(text(&input), expected);
    }

    #[test]
    fn only_the_parts_that_say_so_are_changed() {
        let input = "Content-Type: multipart/mixed; boundary=\"b c\" (x)\n\
            Content-Transfer-Encoding: 8bit\n\npreamble \u{e4}\n--b c\n\
            Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8BIT\n\n\
            \u{e4}\n--b c\nContent-Type: text/plain\n\nascii \u{e4}\n--b c--\nepilogue \u{e4}\n";
        let expected = "Content-Type: multipart/mixed; boundary=\"b c\" (x)\n\
            Content-Transfer-Encoding: 7bit\n\npreamble \u{e4}\n--b c\n\
            Content-Type: text/plain; charset=utf-8\n\
            Content-Transfer-Encoding: quoted-printable\n\n\
            =C3=A4\n--b c\nContent-Type: text/plain\n\nascii \u{e4}\n--b c--\nepilogue \u{e4}\n";
        assert_eq!(text(input), expected);
    }

    #[test]
    fn messages_in_messages_are_looked_into() {
        let input = "Content-Type: message/rfc822\nContent-Transfer-Encoding: binary\n\n\
            Subject: inner\nContent-Transfer-Encoding: 8bit\n\n\u{e4}\n";
        let expected = "Content-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\n\
            Subject: inner\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A4\n";
        assert_eq!(text(input), expected);
        let digest = "Content-Type: multipart/digest;\n boundary=d\n\n--d\n\n\
            Content-Transfer-Encoding: 8bit\n\n\u{e4}\n--d--\n";
        assert!(text(digest).contains("quoted-printable\n\n=C3=A4\n--d--"), "{}", text(digest));
    }

    #[test]
    fn what_does_not_say_that_it_is_8bit_is_left_alone() {
        for input in ["Subject: x\n\n\u{f6}\n", "\u{f6}: x\n\nbody\n", "", "Subject: x\n"] {
            let expected =
                if input.starts_with('\u{f6}') { format!("\n{input}") } else { input.into() };
            assert_eq!(text(input), expected);
        }
    }

    /// Quoted-printable back to bytes, for bodies in wire form.
    fn unquoted(body: &[u8]) -> Vec<u8> {
        let text = String::from_utf8(body.to_vec()).unwrap().replace("=\r\n", "");
        let (mut out, mut rest) = (Vec::new(), text.as_bytes());
        while let Some((first, tail)) = rest.split_first() {
            if *first == b'=' {
                let code = std::str::from_utf8(&tail[..2]).unwrap();
                out.push(u8::from_str_radix(code, 16).unwrap());
                rest = &tail[2..];
            } else {
                out.push(*first);
                rest = tail;
            }
        }
        out
    }

    proptest! {
        #[test]
        fn quoted_printable_means_the_same_and_is_short(
            lines in vec("[a-z =\u{e4}\t]{0,120}", 0..8),
            piece in 1usize..50,
        ) {
            let head = "Content-Transfer-Encoding: 8bit\r\n\r\n";
            let body: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let out = downgraded(format!("{head}{body}").as_bytes(), piece);
            let head = "Content-Transfer-Encoding: quoted-printable\r\n\r\n";
            let quoted = out.strip_prefix(head.as_bytes()).unwrap();
            prop_assert!(quoted.is_ascii());
            for line in quoted.split(|byte| *byte == b'\n') {
                prop_assert!(line.len() <= 77 && !line.ends_with(b" \r"), "{:?}", line);
            }
            prop_assert_eq!(unquoted(quoted), body.as_bytes());
        }

        #[test]
        fn the_pieces_do_not_matter(lumps in vec(proptest::sample::select(vec![
            "Content-Type: multipart/mixed; boundary=b\r\n", "Content-Transfer-Encoding: 8bit\r\n",
            "\r\n", "--b\r\n", "--b--\r\n", "Content-Type: message/rfc822\r\n", " folded\r\n",
            "\u{e4} text. \r\n", "..\r\n", "\r", "no end",
        ]), 0..20), piece in 1usize..9) {
            let input = lumps.concat();
            let whole = downgraded(input.as_bytes(), usize::MAX);
            prop_assert_eq!(downgraded(input.as_bytes(), piece), whole);
        }
    }

    #[test]
    fn a_line_without_end_is_not_held() {
        let head = b"Content-Transfer-Encoding: 8bit\r\n\r\n".to_vec();
        let mut downgrade = Downgrade::new();
        let mut out = Vec::new();
        downgrade.write(&head, &mut out);
        for _ in 0..100 {
            downgrade.write(&[0xe4; 4096], &mut out);
            assert!(downgrade.line.len() <= LINE_HELD_MAX);
        }
        downgrade.finish(&mut out);
        assert_eq!(out.windows(3).filter(|code| code == b"=E4").count(), 409_600);
    }
}
