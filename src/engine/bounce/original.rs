//! The original message as it comes back: whole, or its header.
//!
//! Content is stored in wire form; a notice is written without the dots and gets its own.

use crate::head;
use mail::header;
use queue::Content;

/// Bytes of a header that come back at most (`header_size_limit` and more headers).
const HEADER_BYTES_MAX: usize = 256 * 1024;
/// A longer Message-ID is not worth a thread.
const MESSAGE_ID_MAX: usize = 900;

/// Appends all of it.
pub fn copy_whole(content: &Content, out: &mut Vec<u8>) {
    let mut line_begins = true;
    for piece in content.pieces() {
        for line in piece.split_inclusive(|byte| *byte == b'\n') {
            let dot = line_begins && line.first() == Some(&b'.');
            out.extend_from_slice(if dot { &line[1..] } else { line });
            line_begins = line.ends_with(b"\n");
        }
    }
}

/// Appends the header: lines up to the blank one, or the first that is not a header.
pub fn copy_header(content: &Content, out: &mut Vec<u8>) {
    header_lines(&head::read(content, HEADER_BYTES_MAX))
        .for_each(|line| out.extend_from_slice(line));
}

/// The Message-ID, when it is one.
pub fn message_id(content: &Content) -> Option<String> {
    let head = head::read(content, HEADER_BYTES_MAX);
    let mut value: Option<Vec<u8>> = None;
    for line in header_lines(&head) {
        match &mut value {
            Some(value) if header::is_continuation(line) => value.extend_from_slice(line),
            Some(_) => break,
            None => {
                let name = header::name(line).filter(|it| it.eq_ignore_ascii_case(b"message-id"));
                value = name.map(|_| header::value(line).to_vec());
            }
        }
    }
    let text = String::from_utf8(value?).ok()?;
    let text = text.trim();
    is_message_id(text).then(|| text.to_string())
}

fn is_message_id(text: &str) -> bool {
    let inner = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>');
    text.len() <= MESSAGE_ID_MAX
        && inner.is_some_and(|inner| !inner.is_empty() && inner.chars().all(plain))
}

fn header_lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let of_header = |line: &&[u8]| header::name(line).is_some() || header::is_continuation(line);
    head.split_inclusive(|byte| *byte == b'\n').take_while(of_header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_message_id_makes_a_thread() {
        assert!(is_message_id("<a.b@c.example>"));
        for bad in ["", "<>", "a@b", "<a b@c>", "<a@b> <c@d>", "<a@b>x"] {
            assert!(!is_message_id(bad), "{bad}");
        }
    }

    #[test]
    fn the_header_ends_at_the_first_line_that_is_none() {
        let lines = |head: &[u8]| header_lines(head).count();
        assert_eq!(lines(b"A: b\r\n c\r\nD: e\r\n\r\nF: g\r\n"), 3);
        assert_eq!(lines(b"A: b\r\nnothing\r\nF: g\r\n"), 1);
    }
}
