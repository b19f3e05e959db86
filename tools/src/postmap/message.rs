//! A message on standard input, cut into headers and body lines (-h, -b, -m).
//!
//! [`walk`] is called by `query`. Each header comes as one key with its line ends, each body line
//! as one key without. Without MIME everything after the first headers is body; with it the headers
//! of parts and of messages within messages are headers, too.
//!
//! **Limits**: [`DEPTH_MAX`] nested parts; what is nested deeper is body.
//! **Standards**: RFC 5322 section 2.2, RFC 2045 section 5, RFC 2046 section 5.1; postmap(1).

#[cfg(test)]
mod tests;

/// Levels of multiparts whose boundaries are looked for: Postfix's `mime_nesting_limit`.
const DEPTH_MAX: usize = 100;

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A whole header.
    Header,
    /// A line of the body, delimiters included.
    Body,
}

/// Where the next line is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The message's own headers.
    Primary,
    /// Headers of a part, or of a message within the message.
    Nested,
    /// Text.
    Body,
}

/// What follows the headers under way.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Next {
    #[default]
    Text,
    Message,
    Multipart {
        digest: bool,
    },
}

/// A multipart that is open.
struct Multipart {
    boundary: Vec<u8>,
    digest: bool,
}

/// Takes a part of the message.
pub(super) type Emit<'a, E> = dyn FnMut(Part, &[u8]) -> Result<(), E> + 'a;

struct Walk<'a, 'e, E> {
    mime: bool,
    emit: &'a mut Emit<'e, E>,
    place: Place,
    /// The header under way; lines with line ends between them.
    header: Vec<u8>,
    next: Next,
    boundary: Option<Vec<u8>>,
    open: Vec<Multipart>,
}

/// Cuts `message` and hands each part to `emit`.
pub(super) fn walk<E>(message: &[u8], mime: bool, emit: &mut Emit<'_, E>) -> Result<(), E> {
    let mut walk = Walk {
        mime,
        emit,
        place: Place::Primary,
        header: Vec::new(),
        next: Next::Text,
        boundary: None,
        open: Vec::new(),
    };
    let message = message.strip_suffix(b"\n").unwrap_or(message);
    if !message.is_empty() {
        message.split(|byte| *byte == b'\n').try_for_each(|line| walk.line(line))?;
    }
    walk.end_header()
}

impl<E> Walk<'_, '_, E> {
    fn line(&mut self, line: &[u8]) -> Result<(), E> {
        if self.place == Place::Body {
            return self.body(line);
        }
        if !self.header.is_empty() && matches!(line.first(), Some(b' ' | b'\t')) {
            self.header.push(b'\n');
            self.header.extend_from_slice(line);
            return Ok(());
        }
        self.end_header()?;
        if let Some((name, rest)) = split_header(line) {
            self.header = [name, b":", rest].concat();
            return Ok(());
        }
        // Headers that end without an empty line: one is put there, in the message's own.
        let broken = !line.is_empty() && self.place == Place::Primary;
        self.end_headers();
        if broken {
            (self.emit)(Part::Body, b"")?;
        }
        if line.is_empty() { (self.emit)(Part::Body, b"") } else { self.body_after_headers(line) }
    }

    /// The first line of text that was expected to be a header.
    fn body_after_headers(&mut self, line: &[u8]) -> Result<(), E> {
        self.place = Place::Body;
        self.body(line)
    }

    fn end_header(&mut self) -> Result<(), E> {
        if self.header.is_empty() {
            return Ok(());
        }
        let header = std::mem::take(&mut self.header);
        if self.mime {
            self.content_type(&header);
        }
        (self.emit)(Part::Header, &header)
    }

    /// What comes after the last header.
    fn end_headers(&mut self) {
        self.place = match self.next {
            Next::Message => Place::Nested,
            _ => Place::Body,
        };
        if let (Next::Multipart { digest }, Some(boundary)) = (self.next, self.boundary.take())
            && self.open.len() < DEPTH_MAX
        {
            self.open.push(Multipart { boundary, digest });
        }
        self.next = Next::Text;
    }

    fn body(&mut self, line: &[u8]) -> Result<(), E> {
        if let Some(rest) = line.strip_prefix(b"--") {
            self.delimiter(rest);
        }
        (self.emit)(Part::Body, line)
    }

    /// A line that may begin a part, or end all of them.
    fn delimiter(&mut self, rest: &[u8]) {
        let found = self.open.iter().rposition(|open| rest.starts_with(&open.boundary));
        let Some(at) = found else { return };
        let ends = rest[self.open[at].boundary.len()..].starts_with(b"--");
        self.open.truncate(if ends { at } else { at + 1 });
        if ends {
            return;
        }
        self.place = Place::Nested;
        self.next = if self.open[at].digest { Next::Message } else { Next::Text };
    }

    fn content_type(&mut self, header: &[u8]) {
        const NAME: &[u8] = b"content-type:";
        let is_type = header.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME));
        if !is_type {
            return;
        }
        let words = words(&header[NAME.len()..]);
        let word = |at: usize| words.get(at).map(String::as_str).unwrap_or_default();
        self.next = match (word(0), word(1), word(2)) {
            ("multipart", "/", subtype) => Next::Multipart { digest: subtype == "digest" },
            ("message", "/", "rfc822" | "global") => Next::Message,
            _ => Next::Text,
        };
        self.boundary = boundary(&header[NAME.len()..]);
    }
}

/// The name and the rest of a header's first line; blanks before the colon are left out.
fn split_header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = line[..colon].trim_ascii_end();
    let valid = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    valid.then_some((name, &line[colon + 1..]))
}

/// The words of a structured header, in lower case; comments are left out, quotes taken off.
fn words(text: &[u8]) -> Vec<String> {
    let tokens = tokens(text).into_iter();
    tokens.map(|word| String::from_utf8_lossy(&word).to_ascii_lowercase()).collect()
}

/// The value of the parameter `boundary`.
fn boundary(text: &[u8]) -> Option<Vec<u8>> {
    let tokens = tokens(text);
    let at = tokens.windows(3).position(|three| {
        three[0] == b";" && three[1].eq_ignore_ascii_case(b"boundary") && three[2] == b"="
    })?;
    tokens.get(at + 3).cloned().filter(|value| !value.is_empty())
}

fn tokens(text: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(&first) = rest.first() {
        let used = match first {
            b'(' => mail::tok822::comment_length(rest),
            b'"' => {
                let (word, used) = quoted(rest);
                out.push(word);
                used
            }
            b'/' | b';' | b'=' => {
                out.push(vec![first]);
                1
            }
            _ if first.is_ascii_whitespace() => 1,
            _ => {
                let ends = |b: &u8| b.is_ascii_whitespace() || b"()\"/;=".contains(b);
                // A boundary may hold what ends a word elsewhere, after its `=`.
                let value = out.last().is_some_and(|last| last == b"=");
                let stops = |b: &u8| {
                    if value { b.is_ascii_whitespace() || b"();".contains(b) } else { ends(b) }
                };
                let len = rest.iter().position(stops).unwrap_or(rest.len()).max(1);
                out.push(rest[..len].to_vec());
                len
            }
        };
        rest = &rest[used..];
    }
    out
}

/// What is between the quotes, and how long that is with them.
fn quoted(text: &[u8]) -> (Vec<u8>, usize) {
    let (mut out, mut escaped) = (Vec::new(), false);
    for (at, &byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => {
                out.push(byte);
                escaped = false;
            }
            b'\\' => escaped = true,
            b'"' => return (out, at + 1),
            _ => out.push(byte),
        }
    }
    (out, text.len())
}
