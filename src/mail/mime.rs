//! The MIME structure of a message, as far as its headers and boundaries tell: where each header
//! stands, what a part is, how it is encoded.
//!
//! Called line by line by whoever walks over a message: cleanup's checks, the smtp client's
//! conversion to quoted-printable, postmap(1). Nothing is kept of the content.
//!
//! | state | what comes | next |
//! | --- | --- | --- |
//! | header | blank line, of message/rfc822 | header of the message inside |
//! | header | blank line, or what is no header | body |
//! | body | `--boundary` | header of the next part |
//! | body | `--boundary--` | body: the epilogue |
//!
//! **Limits**: [`NESTING_MAX`] levels, [`BOUNDARY_MAX`] bytes of a boundary.
//! **Standards**: RFC 2045 sections 5 and 6, RFC 2046 section 5.1.

use alloc::vec;
use alloc::vec::Vec;

/// Multipart levels that are looked into (`mime_nesting_limit`).
pub const NESTING_MAX: usize = 100;
/// Bytes of a boundary that count (`mime_boundary_length_limit`).
pub const BOUNDARY_MAX: usize = 2048;

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A part without parts.
    Leaf,
    /// message/rfc822, whose body begins with headers.
    Message,
    /// message/partial and the like, whose body is only text.
    MessageText,
    /// Parts between boundaries.
    Multipart,
}

/// Whose headers they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The message's own.
    Primary,
    /// A part's, behind a boundary.
    Part,
    /// Those of a message within the message.
    Nested,
}

struct Boundary {
    text: Vec<u8>,
    /// What its parts are when they do not say.
    default: Kind,
}

/// Where a walk over a message stands.
pub struct Structure {
    in_header: bool,
    place: Place,
    kind: Kind,
    eight_bit: bool,
    boundaries: Vec<Boundary>,
}

impl Default for Structure {
    fn default() -> Structure {
        Structure::new()
    }
}

impl Structure {
    /// At the start of a message.
    pub fn new() -> Structure {
        Structure {
            in_header: true,
            place: Place::Primary,
            kind: Kind::Leaf,
            eight_bit: false,
            boundaries: Vec::new(),
        }
    }

    /// Whether headers come.
    pub fn in_header(&self) -> bool {
        self.in_header
    }

    /// Whose they are.
    pub fn place(&self) -> Place {
        self.place
    }

    /// What the present part is, as its headers say so far.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the present part is declared 8bit or binary.
    pub fn is_8bit(&self) -> bool {
        self.eight_bit
    }

    /// Whether all that follows is the body of a message without parts.
    pub fn is_plain(&self) -> bool {
        !self.in_header && self.boundaries.is_empty()
    }

    /// The value of a Content-Transfer-Encoding header.
    pub fn encoding(&mut self, value: &[u8]) {
        let word = words(value).into_iter().next().unwrap_or_default();
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        if is("8bit") || is("binary") {
            self.eight_bit = true;
        } else if is("7bit") || is("base64") || is("quoted-printable") {
            self.eight_bit = false;
        }
    }

    /// The value of a Content-Type header.
    pub fn content_type(&mut self, value: &[u8]) {
        let words = words(value);
        let is = |at: usize, name: &str| {
            words.get(at).is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()))
        };
        let slash = is(1, "/");
        self.kind = if is(0, "message") {
            if slash && is(2, "rfc822") { Kind::Message } else { Kind::MessageText }
        } else if is(0, "multipart") {
            Kind::Multipart
        } else {
            Kind::Leaf
        };
        if self.kind == Kind::Multipart {
            let default = if slash && is(2, "digest") { Kind::Message } else { Kind::Leaf };
            self.read_boundaries(&words, default);
        }
    }

    fn read_boundaries(&mut self, words: &[Vec<u8>], default: Kind) {
        for triple in words.windows(3) {
            let named = triple[0].eq_ignore_ascii_case(b"boundary") && triple[1] == b"=";
            // An empty one is none.
            if named && !triple[2].is_empty() && self.boundaries.len() <= NESTING_MAX {
                let mut text = triple[2].clone();
                text.truncate(BOUNDARY_MAX);
                self.boundaries.push(Boundary { text, default });
            }
        }
    }

    /// The header is over: only a blank line makes a multipart or a message of the body.
    pub fn enter_body(&mut self, blank: bool) {
        self.in_header = blank && self.kind == Kind::Message;
        if self.in_header {
            self.place = Place::Nested;
        }
        if blank && matches!(self.kind, Kind::Message | Kind::Multipart) {
            (self.kind, self.eight_bit) = (Kind::Leaf, false);
        }
    }

    /// A line of the body that begins with `--`, without that: the innermost boundary that matches
    /// ends all parts inside of it.
    pub fn boundary(&mut self, text: &[u8]) -> bool {
        let matches = |boundary: &Boundary| text.starts_with(&boundary.text);
        let Some(at) = self.boundaries.iter().rposition(matches) else { return false };
        self.boundaries.truncate(at + 1);
        let boundary = &self.boundaries[at];
        self.eight_bit = false;
        if text[boundary.text.len()..].starts_with(b"--") {
            self.boundaries.pop();
            self.kind = Kind::Leaf;
        } else {
            self.kind = boundary.default;
            (self.in_header, self.place) = (true, Place::Part);
        }
        true
    }
}

/// The tokens of a structured header: words, quoted strings without their quotes, and the marks
/// `/ = ;` as words of their own; comments and other specials are left out.
fn words(value: &[u8]) -> Vec<Vec<u8>> {
    let (mut words, mut word, mut comment) = (Vec::new(), Vec::new(), 0usize);
    let mut bytes = value.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'(' => comment += 1,
            b')' => comment = comment.saturating_sub(1),
            _ if comment > 0 => {}
            b'"' => {
                flush(&mut word, &mut words);
                words.push(quoted(&mut bytes));
            }
            b'/' | b'=' | b';' => {
                flush(&mut word, &mut words);
                words.push(vec![byte]);
            }
            b' ' | b'\t' | b'\r' | b'\n' | b'<' | b'>' | b'@' | b',' | b':' | b'[' | b']' => {
                flush(&mut word, &mut words);
            }
            _ => word.push(byte),
        }
    }
    flush(&mut word, &mut words);
    words
}

fn flush(word: &mut Vec<u8>, words: &mut Vec<Vec<u8>>) {
    if !word.is_empty() {
        words.push(core::mem::take(word));
    }
}

fn quoted(bytes: &mut impl Iterator<Item = u8>) -> Vec<u8> {
    let mut text = Vec::new();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => text.extend(bytes.next()),
            b'\r' | b'\n' => {}
            _ => text.push(byte),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_the_messages_a_parts_or_a_nested_ones() {
        let mut mime = Structure::new();
        assert_eq!((mime.in_header(), mime.place()), (true, Place::Primary));
        mime.content_type(b"multipart/mixed; boundary=\"a b\"");
        mime.enter_body(true);
        assert!(!mime.in_header() && !mime.is_plain());
        assert!(!mime.boundary(b"other"));
        assert!(mime.boundary(b"a b"));
        assert_eq!((mime.in_header(), mime.place()), (true, Place::Part));
        mime.content_type(b"message/rfc822");
        mime.enter_body(true);
        assert_eq!((mime.in_header(), mime.place()), (true, Place::Nested));
        mime.enter_body(true);
        assert!(!mime.in_header());
        assert!(mime.boundary(b"a b--"));
        assert!(mime.is_plain());
    }

    #[test]
    fn a_header_that_ends_without_a_blank_line_has_no_message_behind_it() {
        let mut mime = Structure::new();
        mime.content_type(b"message/rfc822");
        mime.enter_body(false);
        assert!(mime.is_plain());
    }
}
