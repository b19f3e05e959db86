//! A message on standard input, cut into headers and body lines (-h, -b, -m).
//!
//! [`walk`] is called by `query`. Each header comes as one key with its line ends, each body line
//! as one key without. Without MIME everything after the first headers is body; with it the headers
//! of parts and of messages within messages are headers, too.
//!
//! **Limits**: those of [`mail::mime`].
//! **Standards**: RFC 5322 section 2.2, RFC 2045 section 5, RFC 2046 section 5.1; postmap(1).

#[cfg(test)]
mod tests;

use mail::header;
use mail::mime::{Place, Structure};

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A whole header.
    Header,
    /// A line of the body, delimiters included.
    Body,
}

/// Takes a part of the message.
pub(super) type Emit<'a, E> = dyn FnMut(Part, &[u8]) -> Result<(), E> + 'a;

struct Walk<'a, 'e, E> {
    /// Whether parts have headers.
    mime: bool,
    emit: &'a mut Emit<'e, E>,
    structure: Structure,
    /// The header under way; lines with line ends between them.
    header: Vec<u8>,
}

/// Cuts `message` and hands each part to `emit`.
pub(super) fn walk<E>(message: &[u8], mime: bool, emit: &mut Emit<'_, E>) -> Result<(), E> {
    let mut walk = Walk { mime, emit, structure: Structure::new(), header: Vec::new() };
    let message = message.strip_suffix(b"\n").unwrap_or(message);
    if !message.is_empty() {
        message.split(|byte| *byte == b'\n').try_for_each(|line| walk.line(line))?;
    }
    walk.end_header()
}

impl<E> Walk<'_, '_, E> {
    fn line(&mut self, line: &[u8]) -> Result<(), E> {
        if !self.structure.in_header() {
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
        if !line.is_empty() && self.structure.place() == Place::Primary {
            (self.emit)(Part::Body, b"")?;
        }
        self.structure.enter_body(line.is_empty());
        if line.is_empty() { (self.emit)(Part::Body, b"") } else { self.body(line) }
    }

    fn end_header(&mut self) -> Result<(), E> {
        if self.header.is_empty() {
            return Ok(());
        }
        let header = std::mem::take(&mut self.header);
        if self.mime
            && header::name(&header).is_some_and(|name| name.eq_ignore_ascii_case(b"content-type"))
        {
            self.structure.content_type(header::value(&header));
        }
        (self.emit)(Part::Header, &header)
    }

    fn body(&mut self, line: &[u8]) -> Result<(), E> {
        if let Some(rest) = line.strip_prefix(b"--") {
            self.structure.boundary(rest);
        }
        (self.emit)(Part::Body, line)
    }
}

/// The name and the rest of a header's first line; blanks before the colon are left out.
fn split_header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = line[..colon].trim_ascii_end();
    let valid = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    valid.then_some((name, &line[colon + 1..]))
}
