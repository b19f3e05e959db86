//! The envelope of every message: four letters, the length of the body, the body.
//!
//! Who reads from a connection reads [`HEADER_BYTES`], asks [`body_len`], and then reads that much.

use alloc::vec::Vec;

use crate::CodecError;

/// Bytes in front of the body.
pub const HEADER_BYTES: usize = 8;

/// What kind of message a frame has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its four letters.
    pub letters: [u8; 4],
    /// The longest body.
    pub body_max: usize,
}

/// A body, and what follows its frame.
pub type Split<'a> = (&'a [u8], &'a [u8]);

/// A frame around `body`. Panics when the body is over its bound: a bug of the caller.
pub(crate) fn build(kind: Kind, body: &[u8]) -> Vec<u8> {
    assert!(body.len() <= kind.body_max, "a message within its bound");
    let len = u32::try_from(body.len()).expect("bounds are far below 4 GiB");
    [&kind.letters[..], &len.to_le_bytes(), body].concat()
}

/// How many bytes of body follow `header`.
///
/// # Errors
/// When the frame is of another kind or its body too long.
pub fn body_len(kind: Kind, header: [u8; HEADER_BYTES]) -> Result<usize, CodecError> {
    let [a, b, c, d, len @ ..] = header;
    if [a, b, c, d] != kind.letters {
        return Err(CodecError::Kind);
    }
    let len = u32::from_le_bytes(len) as usize;
    if len > kind.body_max { Err(CodecError::TooLong) } else { Ok(len) }
}

/// The body of the frame at the start of `bytes` and what follows it; `None` while it is
/// unfinished.
///
/// # Errors
/// As [`body_len`].
pub fn split(kind: Kind, bytes: &[u8]) -> Result<Option<Split<'_>>, CodecError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    Ok(rest.split_at_checked(body_len(kind, *header)?))
}

/// The body of the one frame that `bytes` are.
///
/// # Errors
/// As [`body_len`]; also when the frame is unfinished or not the last.
pub fn whole(kind: Kind, bytes: &[u8]) -> Result<&[u8], CodecError> {
    let (body, rest) = split(kind, bytes)?.ok_or(CodecError::Short)?;
    if rest.is_empty() { Ok(body) } else { Err(CodecError::LeftOver) }
}
