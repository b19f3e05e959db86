//! The header of a queued message, for whoever has only its content.
//!
//! Called by notices, which return it, and by the smtp client, which maps its addresses.

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
