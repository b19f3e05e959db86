//! The header of a message, for whoever has only its content.
//!
//! Called by notices, which return it, by the smtp client, which maps its addresses, and by
//! rehearsals of what cleanup does.

use mail::header;
use queue::Content;

const BLANK_LINE: &[u8] = b"\r\n\r\n";

/// The content up to the blank line after the header and some of the body, at most `max` bytes.
pub fn read(content: &Content, max: usize) -> Vec<u8> {
    let mut head = Vec::new();
    for piece in content.pieces() {
        // The blank line may have begun in the piece before.
        let seen = head.len().saturating_sub(BLANK_LINE.len() - 1);
        head.extend_from_slice(&piece[..piece.len().min(max - head.len())]);
        let over = head[seen..].windows(BLANK_LINE.len()).any(|window| window == BLANK_LINE);
        if over || head.len() == max {
            break;
        }
    }
    head
}

/// Headers with their continuation lines. The last one may go on behind what was read, unless that
/// is the `whole` message, and is not among them then.
pub fn logical_lines(head: &[u8], whole: bool) -> impl Iterator<Item = &[u8]> {
    let mut rest = head;
    std::iter::from_fn(move || {
        header::name(rest)?;
        let mut end = 0;
        loop {
            end += rest[end..].iter().position(|byte| *byte == b'\n')? + 1;
            let over = end == rest.len() && whole;
            if over || end < rest.len() && !header::is_continuation(&rest[end..]) {
                break;
            }
        }
        let (line, behind) = rest.split_at(end);
        rest = behind;
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_end_where_the_next_one_or_the_body_begins() {
        let lines = |head: &'static str, whole| -> Vec<&str> {
            let lines = logical_lines(head.as_bytes(), whole);
            lines.map(|line| std::str::from_utf8(line).unwrap()).collect()
        };
        assert_eq!(
            lines("A: b\r\n c\r\nD: e\r\n\r\nF: g\r\n", true),
            ["A: b\r\n c\r\n", "D: e\r\n"]
        );
        assert_eq!(lines("A: b\r\nD: e\r\n", true), ["A: b\r\n", "D: e\r\n"]);
        assert_eq!(lines("A: b\r\nD: e\r\n", false), ["A: b\r\n"]);
        assert_eq!(lines("A: b\r\nD: e", true), ["A: b\r\n"]);
        assert_eq!(lines("no header\r\n", true), [""; 0]);
    }
}
