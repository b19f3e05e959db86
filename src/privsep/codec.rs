//! Fields of a body: numbers in little-endian order, bytes behind their length.
//!
//! Used by every message of this crate. A [`Reader`] must be empty at the end.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecError {
    /// The frame is of another kind.
    Kind,
    /// A length is over its bound.
    TooLong,
    /// The bytes end too early.
    Short,
    /// There are bytes behind the last field.
    LeftOver,
    /// A field has a value that it cannot have.
    Value,
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CodecError::Kind => "a message of another kind",
            CodecError::TooLong => "a length over its bound",
            CodecError::Short => "an unfinished message",
            CodecError::LeftOver => "bytes behind the last field",
            CodecError::Value => "a field with an impossible value",
        })
    }
}

impl core::error::Error for CodecError {}

/// Builds a body.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Panics when the bytes are over 4 GiB, which no bound of this crate allows.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.u32(u32::try_from(bytes.len()).expect("fields are short"));
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Takes a body apart.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(CodecError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        self.take(N)?.try_into().map_err(|_| CodecError::Short)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, CodecError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, CodecError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, CodecError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, CodecError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn flag(&mut self) -> Result<bool, CodecError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(CodecError::Value),
        }
    }

    /// Any bytes, at most `max` of them.
    pub(crate) fn bytes(&mut self, max: usize) -> Result<&'a [u8], CodecError> {
        let len = self.u32()? as usize;
        if len > max { Err(CodecError::TooLong) } else { self.take(len) }
    }

    /// Bytes without control characters, at most `max` of them.
    pub(crate) fn text(&mut self, max: usize) -> Result<&'a [u8], CodecError> {
        let bytes = self.bytes(max)?;
        if bytes.iter().any(u8::is_ascii_control) { Err(CodecError::Value) } else { Ok(bytes) }
    }

    /// The same, in UTF-8.
    pub(crate) fn string(&mut self, max: usize) -> Result<String, CodecError> {
        let text = core::str::from_utf8(self.text(max)?).map_err(|_| CodecError::Value)?;
        Ok(text.into())
    }

    pub(crate) fn finish(self) -> Result<(), CodecError> {
        if self.0.is_empty() { Ok(()) } else { Err(CodecError::LeftOver) }
    }
}
