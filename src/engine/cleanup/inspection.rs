//! A walk over a message with its checks: headers first, then the body line by line, through parts
//! and messages within it.
//!
//! Content is in wire form; tables see it without line ends and stuffed dots. What a check puts in
//! is written in wire form again.
//!
//! **Limits**: a part's header waits at most for `header_size_limit` bytes, a line for
//! `line_length_limit`; what is longer is looked at piece by piece.
//! **Standards**: cleanup(8), header_checks(5).

use super::checks::{Checks, Edit, Findings, Inspector, Subject, unfolded};
use super::next_header::{Next, next_header, tidy};
use super::{Message, Origin, Settings};
use mail::header;
use mail::mime::Structure;
use protocol::smtp::reply::Reply;

const BLANK_LINE: &[u8] = b"\r\n";

/// Where a walk stands.
#[derive(Default)]
pub struct Inspection {
    /// What has been found.
    pub findings: Findings,
    /// What is known of the parts.
    mime: Structure,
    /// Bytes of the present part's body so far.
    segment: u64,
    /// Whether the next piece begins a line.
    within_line: bool,
}

/// A piece of the body.
struct Piece<'a> {
    /// As it is.
    raw: &'a [u8],
    /// Without line end and stuffed dot.
    text: &'a [u8],
    /// Whether it begins a line.
    starts: bool,
    /// Whether it ends one.
    ends: bool,
}

impl Inspection {
    /// What becomes of a header of the message, in wire form.
    ///
    /// # Errors
    /// The reply after end-of-data.
    pub fn header(&mut self, inspector: &Inspector<'_>, line: &[u8]) -> Result<Edit, Reply> {
        let text = unfolded(line);
        self.note_header(&text);
        inspector.judge(Subject::Header(self.mime.place()), &text, &mut self.findings)
    }

    /// The message's header is over.
    pub fn enter_body(&mut self, blank: bool) {
        self.mime.enter_body(blank);
        self.segment = 0;
    }

    /// Whether nothing of what is to come can be of interest.
    pub fn is_idle(&self, checks: &Checks) -> bool {
        let parts = checks.has_parts() && !self.mime.is_plain();
        self.findings.over || !(checks.has_body() || parts)
    }

    /// Walks over `input` and appends to `out` what becomes of it; how much of it is settled: the
    /// rest is not complete, unless it is the `last`.
    ///
    /// # Errors
    /// The reply after end-of-data.
    pub fn body(
        &mut self,
        inspector: &Inspector<'_>,
        (input, last): (&[u8], bool),
        header_size_limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, Reply> {
        let mut rest = input;
        while !rest.is_empty() {
            let used = if self.mime.in_header() && inspector.checks().looks_into_parts {
                self.part_header(inspector, (rest, last), header_size_limit, out)?
            } else {
                self.line(inspector, (rest, last), out)?
            };
            match used {
                Some(used) => rest = &rest[used..],
                None => break,
            }
        }
        Ok(input.len() - rest.len())
    }

    /// A header of a part, or its end.
    fn part_header(
        &mut self,
        inspector: &Inspector<'_>,
        (rest, last): (&[u8], bool),
        size_limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<Option<usize>, Reply> {
        let end = match next_header(rest, size_limit) {
            Next::Header { end } => end,
            Next::End { blank } => {
                self.enter_body(blank);
                let line = if blank { BLANK_LINE.len() } else { 0 };
                out.extend_from_slice(&rest[..line]);
                return Ok(Some(line));
            }
            Next::Incomplete if !last && rest.len() <= size_limit => return Ok(None),
            Next::Incomplete if header::name(rest).is_some() => rest.len(),
            Next::Incomplete => {
                self.enter_body(false);
                return Ok(Some(0));
            }
        };
        let line = tidy(&rest[..end], size_limit);
        match self.header(inspector, &line)? {
            Edit::Keep => out.extend_from_slice(&line),
            Edit::Drop => {}
            Edit::Replace(text) => put_line(out, &text),
            Edit::Prepend(text) => {
                put_line(out, &text);
                out.extend_from_slice(&line);
            }
        }
        Ok(Some(end))
    }

    /// A line of the body, or a piece of one that is too long.
    fn line(
        &mut self,
        inspector: &Inspector<'_>,
        (rest, last): (&[u8], bool),
        out: &mut Vec<u8>,
    ) -> Result<Option<usize>, Reply> {
        let limit = inspector.checks().line_limit;
        let Some(piece) = piece(rest, !self.within_line, limit, last) else { return Ok(None) };
        self.within_line = !piece.ends;
        let is_boundary = piece.starts
            && piece.text.strip_prefix(b"--").is_some_and(|text| self.mime.boundary(text));
        let edit = self.judge_line(inspector, piece.text)?;
        self.segment += piece.text.len() as u64 + 1;
        if is_boundary {
            self.segment = 0;
        }
        match edit {
            Edit::Keep => out.extend_from_slice(piece.raw),
            Edit::Drop => {}
            Edit::Replace(text) => put_body(out, &text, &piece),
            Edit::Prepend(text) => {
                put_stuffed(out, &text);
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(piece.raw);
            }
        }
        Ok(Some(piece.raw.len()))
    }

    fn judge_line(&mut self, inspector: &Inspector<'_>, text: &[u8]) -> Result<Edit, Reply> {
        let checks = inspector.checks();
        let limit = checks.body_size_limit;
        // Tables are never asked for nothing.
        if text.is_empty() || !checks.has_body() || limit > 0 && self.segment >= limit {
            return Ok(Edit::Keep);
        }
        inspector.judge(Subject::Body, text, &mut self.findings)
    }

    /// What a header says about the part it belongs to.
    fn note_header(&mut self, text: &[u8]) {
        let name = header::name(text).unwrap_or_default();
        if name.eq_ignore_ascii_case(b"content-type") {
            self.mime.content_type(header::value(text));
        }
    }
}

impl Message {
    /// Checks the headers that we begin the message with.
    pub(super) fn inspect_own(&mut self, inspector: &Inspector<'_>) -> Result<(), Reply> {
        let mut inspection = Box::<Inspection>::default();
        let mut content = Vec::with_capacity(self.content.len());
        for line in crate::head::logical_lines(&self.content[..self.at], true) {
            match inspection.header(inspector, line)? {
                Edit::Keep => content.extend_from_slice(line),
                Edit::Drop => {}
                Edit::Replace(text) => put_line(&mut content, &text),
                Edit::Prepend(text) => {
                    put_line(&mut content, &text);
                    content.extend_from_slice(line);
                }
            }
        }
        let own = content.len();
        content.extend_from_slice(&self.content[self.at..]);
        (self.content, self.at) = (content, own);
        self.inspection = Some(inspection);
        Ok(())
    }

    /// Checks what there is of the body.
    pub(super) fn inspect_body(
        &mut self,
        settings: &Settings,
        origin: &Origin<'_>,
        last: bool,
    ) -> Result<(), Reply> {
        let (Some(inspector), Some(inspection)) = (&origin.inspector, &mut self.inspection) else {
            return Ok(());
        };
        if inspection.is_idle(inspector.checks()) {
            self.at = self.content.len();
            return Ok(());
        }
        let input = self.content.split_off(self.at);
        let piece = (input.as_slice(), last);
        let settled =
            inspection.body(inspector, piece, settings.header_size_limit, &mut self.content)?;
        self.at = self.content.len();
        self.content.extend_from_slice(&input[settled..]);
        Ok(())
    }

    /// Checks a header that ends at `end`; where it ends then, when there still is one.
    pub(super) fn inspect_header(
        &mut self,
        end: usize,
        origin: &Origin<'_>,
    ) -> Result<Option<usize>, Reply> {
        let (Some(inspector), Some(inspection)) = (&origin.inspector, &mut self.inspection) else {
            return Ok(Some(end));
        };
        match inspection.header(inspector, &self.content[self.at..end])? {
            Edit::Keep => Ok(Some(end)),
            Edit::Drop => {
                self.gap += end - self.at;
                self.at = end;
                Ok(None)
            }
            Edit::Replace(text) => {
                let line = [text.as_bytes(), b"\r\n"].concat();
                let new_end = self.at + line.len();
                self.content.splice(self.at..end, line);
                Ok(Some(new_end))
            }
            Edit::Prepend(text) => {
                // Closing the gap moves the header to the front.
                let end = end - self.gap;
                self.close_gap();
                let line = [text.as_bytes(), b"\r\n"].concat();
                let length = line.len();
                self.content.splice(self.at..self.at, line);
                self.at += length;
                Ok(Some(end + length))
            }
        }
    }
}

/// The first line of the body in `rest`; nothing when it is not complete.
fn piece(rest: &[u8], starts: bool, limit: usize, last: bool) -> Option<Piece<'_>> {
    let stuffed = usize::from(starts && rest.first() == Some(&b'.'));
    let window = &rest[..rest.len().min(stuffed + limit + 2)];
    let (raw, text) = match window.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            let line = &rest[..end];
            (&rest[..=end], line.strip_suffix(b"\r").unwrap_or(line))
        }
        None if rest.len() >= stuffed + limit + 2 => {
            let piece = &rest[..stuffed + limit];
            (piece, piece)
        }
        None if last => (rest, rest),
        None => return None,
    };
    let ends = raw.len() != text.len() || last && raw.len() == rest.len();
    Some(Piece { raw, text: text.get(stuffed..).unwrap_or_default(), starts, ends })
}

/// A line of a header.
pub fn put_line(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn put_stuffed(out: &mut Vec<u8>, text: &str) {
    if text.starts_with('.') {
        out.push(b'.');
    }
    out.extend_from_slice(text.as_bytes());
}

/// A line in the place of `piece`.
fn put_body(out: &mut Vec<u8>, text: &str, piece: &Piece<'_>) {
    match piece.starts {
        true => put_stuffed(out, text),
        false => out.extend_from_slice(text.as_bytes()),
    }
    if piece.ends {
        out.extend_from_slice(b"\r\n");
    }
}
