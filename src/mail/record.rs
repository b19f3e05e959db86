//! Typed, length-prefixed records: what an envelope is stored as, and what postdrop hands over.
//!
//! A record is a type byte, a length in groups of seven bits with the lowest first and the high bit
//! as "more follows", and the bytes. Postfix's queue files and its submission protocol use the same
//! shape and the same type letters, so that `sendmail` and `postdrop` of either side understand
//! each other.

use alloc::vec::Vec;

/// Bytes in a length: enough for 32 bits.
const LENGTH_BYTES_MAX: usize = 5;

/// Record types.
pub mod kind {
    /// Arrival time: seconds, blank, microseconds.
    pub const TIME: u8 = b'T';
    /// Sender's full name.
    pub const FULL_NAME: u8 = b'F';
    /// Sender address.
    pub const SENDER: u8 = b'S';
    /// Recipient address.
    pub const RECIPIENT: u8 = b'R';
    /// Original recipient, before its recipient.
    pub const ORIGINAL: u8 = b'O';
    /// Named attribute `name=value`.
    pub const ATTRIBUTE: u8 = b'A';
    /// DSN envelope id.
    pub const ENVID: u8 = b'i';
    /// DSN RET: 1 full, 2 headers.
    pub const RET: u8 = b'<';
    /// DSN original recipient, before its recipient.
    pub const DSN_ORCPT: u8 = b'o';
    /// DSN NOTIFY bits, before their recipient.
    pub const NOTIFY: u8 = b'n';
    /// Time of the delay warning.
    pub const WARN: u8 = b'W';
    /// Size: content bytes and more, as decimal numbers.
    pub const SIZE: u8 = b'C';
    /// Start of the message content.
    pub const MESSAGE: u8 = b'M';
    /// A whole line of content, without its end.
    pub const LINE: u8 = b'N';
    /// A part of a line of content; more of the line follows.
    pub const PARTIAL: u8 = b'L';
    /// Start of information extracted from the content.
    pub const EXTRACTED: u8 = b'X';
    /// The end.
    pub const END: u8 = b'E';
    /// Filter information.
    pub const FILTER: u8 = b'L';
    /// Inspection.
    pub const INSPECT: u8 = b'I';
    /// Verp delimiters.
    pub const VERP: u8 = b'V';
    /// A field that only a pipe carries, such as an error status.
    pub const ERROR_TO: u8 = b'e';
}

/// Why a byte sequence is not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// It ends within a record.
    Truncated,
    /// The length does not fit in 32 bits.
    Length,
}

/// Appends one record.
pub fn put(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    out.push(kind);
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    let mut rest = length;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Takes the first record off `input`; `None` at the end.
///
/// # Errors
/// When `input` does not start with a whole record.
pub fn take<'a>(input: &mut &'a [u8]) -> Result<Option<(u8, &'a [u8])>, RecordError> {
    let Some((kind, rest)) = input.split_first() else { return Ok(None) };
    let (length, rest) = take_length(rest)?;
    if rest.len() < length {
        return Err(RecordError::Truncated);
    }
    let (bytes, rest) = rest.split_at(length);
    *input = rest;
    Ok(Some((*kind, bytes)))
}

fn take_length(bytes: &[u8]) -> Result<(usize, &[u8]), RecordError> {
    let mut length: u64 = 0;
    for (index, byte) in bytes.iter().take(LENGTH_BYTES_MAX).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let length = u32::try_from(length).map_err(|_| RecordError::Length)?;
            return Ok((length as usize, &bytes[index + 1..]));
        }
    }
    Err(if bytes.len() < LENGTH_BYTES_MAX { RecordError::Truncated } else { RecordError::Length })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_come_back(
            records in proptest::collection::vec(
                (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..300)),
                0..20,
            ),
        ) {
            let mut bytes = Vec::new();
            records.iter().for_each(|(kind, body)| put(&mut bytes, *kind, body));
            let mut input = bytes.as_slice();
            for (kind, body) in &records {
                prop_assert_eq!(take(&mut input), Ok(Some((*kind, body.as_slice()))));
            }
            prop_assert_eq!(take(&mut input), Ok(None));
            for cut in 1..bytes.len().min(40) {
                let mut torn = &bytes[..bytes.len() - cut];
                let whole = core::iter::from_fn(|| take(&mut torn).ok().flatten()).count();
                prop_assert!(whole < records.len());
            }
        }

        #[test]
        fn any_bytes_are_records_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut input = bytes.as_slice();
            while let Ok(Some(_)) = take(&mut input) {}
        }
    }
}
