//! Content in pieces: each behind its length, the last one empty.
//!
//! Content that ends without the empty piece is unfinished: the engine has gone, and nothing of it
//! may stay in a mailbox.

use crate::CodecError;

/// Bytes in front of a piece.
pub const HEADER_BYTES: usize = 4;
/// The longest piece.
pub const BYTES_MAX: usize = 256 * 1024;
/// The end of the content.
pub const END: [u8; HEADER_BYTES] = [0; HEADER_BYTES];

/// What goes in front of a piece of `len` bytes. Panics when there are none or too many.
pub fn header(len: usize) -> [u8; HEADER_BYTES] {
    assert!(len > 0 && len <= BYTES_MAX, "a piece within its bound");
    (len as u32).to_le_bytes()
}

/// How long the piece behind `header` is; `None` at the end.
///
/// # Errors
/// When it is over its bound.
pub fn len(header: [u8; HEADER_BYTES]) -> Result<Option<usize>, CodecError> {
    match u32::from_le_bytes(header) as usize {
        0 => Ok(None),
        len if len <= BYTES_MAX => Ok(Some(len)),
        _ => Err(CodecError::TooLong),
    }
}
