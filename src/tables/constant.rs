//! The constant database: hashed, checked, written whole and never changed.
//!
//! FORMAT.md describes the bytes. [`encode`] makes them from an ordered map; [`ConstantDb`] answers
//! from any owner of them (a vector, a map of a file). Opening checks the header only, which is
//! cheap however large the file; [`ConstantDb::verify`] reads everything once.
//!
//! **Diagnostics**: [`BadDb`]. A lookup in damaged bytes finds nothing or says so, it never panics.
//! **Limits**: [`FILE_BYTES_MAX`]; a lookup looks at no more slots than the header names, which is
//! itself bounded by the number of slots.

mod checksum;
mod encode;
#[cfg(test)]
mod tests;

use alloc::borrow::Cow;
use core::fmt;

pub use encode::{TooLarge, encode};

use crate::{Lookup, Table};
use checksum::{crc32c, hash};

/// The largest file, in bytes.
pub const FILE_BYTES_MAX: u32 = u32::MAX;

/// A first byte no text has, line ends that a conversion would damage, and an end of file for DOS.
const MAGIC: [u8; 8] = *b"\x89RPTB\r\n\x1a";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 40;
const SLOT_BYTES: usize = 8;
const RECORD_HEADER_BYTES: usize = 8;

/// Why bytes are not a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadDb {
    /// Something else altogether.
    Foreign,
    /// A version of the format from the future.
    Version(u32),
    /// Shorter or longer than the header says.
    Size,
    /// A checksum or an offset is wrong.
    Damaged,
}

impl fmt::Display for BadDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("unexpected file type or format"),
            Self::Version(version) => write!(f, "unsupported format version {version}"),
            Self::Size => f.write_str("truncated database file"),
            Self::Damaged => f.write_str("damaged database file"),
        }
    }
}

impl core::error::Error for BadDb {}

/// A database that answers.
#[derive(Clone, Debug)]
pub struct ConstantDb<B> {
    bytes: B,
    header: Header,
}

#[derive(Clone, Copy, Debug)]
struct Header {
    record_count: u32,
    records_end: usize,
    slot_count: usize,
    probes_max: usize,
    content: u32,
}

impl<B: AsRef<[u8]>> ConstantDb<B> {
    /// A database of `bytes`; only their header is read.
    pub fn open(bytes: B) -> Result<Self, BadDb> {
        let header = Header::read(bytes.as_ref())?;
        Ok(Self { bytes, header })
    }

    /// Reads everything: the checksum, and that every record is where it should be.
    pub fn verify(&self) -> Result<(), BadDb> {
        let content = self.bytes().get(HEADER_BYTES..).ok_or(BadDb::Size)?;
        let sound = crc32c(content) == self.header.content
            && self.iter().count() == self.header.record_count as usize;
        sound.then_some(()).ok_or(BadDb::Damaged)
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.header.record_count as usize
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys and values in the order of the keys.
    pub fn iter(&self) -> Iter<'_> {
        let end = self.header.records_end;
        let records = self.bytes().get(HEADER_BYTES..end).unwrap_or_default();
        Iter { records, left: self.header.record_count }
    }

    /// The value of `key`, if it is there.
    pub fn find(&self, key: &[u8]) -> Result<Option<&[u8]>, BadDb> {
        let (home, tag) = hash(key);
        let mask = self.header.slot_count - 1;
        for probe in 0..self.header.probes_max {
            let (found, offset) = self.slot((home as usize).wrapping_add(probe) & mask)?;
            if offset == 0 {
                break;
            }
            if found == tag {
                let (candidate, value) = self.record(offset)?;
                if candidate == key {
                    return Ok(Some(value));
                }
            }
        }
        Ok(None)
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    fn slot(&self, index: usize) -> Result<(u32, usize), BadDb> {
        let at = self.header.records_end + index * SLOT_BYTES;
        let tag = word(self.bytes(), at).ok_or(BadDb::Damaged)?;
        let offset = word(self.bytes(), at + 4).ok_or(BadDb::Damaged)?;
        Ok((tag, offset as usize))
    }

    fn record(&self, offset: usize) -> Result<(&[u8], &[u8]), BadDb> {
        let records = self.bytes().get(offset..self.header.records_end).ok_or(BadDb::Damaged)?;
        split_record(records).map(|(key, value, _)| (key, value)).ok_or(BadDb::Damaged)
    }
}

impl<B: AsRef<[u8]>> Table for ConstantDb<B> {
    fn lookup(&self, key: &[u8]) -> Lookup<'_> {
        match self.find(key) {
            Ok(Some(value)) => Lookup::Found(Cow::Borrowed(value)),
            Ok(None) => Lookup::NotFound,
            Err(_) => Lookup::Retry(Cow::Borrowed("damaged database file")),
        }
    }
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, BadDb> {
        if !bytes.starts_with(&MAGIC) {
            return Err(BadDb::Foreign);
        }
        let header = bytes.get(..HEADER_BYTES).ok_or(BadDb::Size)?;
        let field = |index: usize| word(header, MAGIC.len() + 4 * index).ok_or(BadDb::Size);
        if field(0)? != VERSION {
            return Err(BadDb::Version(field(0)?));
        }
        if crc32c(&header[..HEADER_BYTES - 4]) != field(7)? {
            return Err(BadDb::Damaged);
        }
        if field(5)? as usize != bytes.len() {
            return Err(BadDb::Size);
        }
        let out = Self {
            record_count: field(1)?,
            records_end: field(2)? as usize,
            slot_count: field(3)? as usize,
            probes_max: field(4)? as usize,
            content: field(6)?,
        };
        out.is_consistent(bytes.len()).then_some(out).ok_or(BadDb::Damaged)
    }

    fn is_consistent(&self, file_bytes: usize) -> bool {
        let slots_end = (self.slot_count as u64) * SLOT_BYTES as u64 + self.records_end as u64;
        self.slot_count.is_power_of_two()
            && self.probes_max <= self.slot_count
            && self.records_end >= HEADER_BYTES
            && slots_end == file_bytes as u64
    }
}

/// Makes any bytes of sufficient length a file whose checksums and sizes are right, whatever its
/// content: for the fuzzer, which cannot guess a checksum.
pub(crate) fn put_checksums_right(bytes: &mut [u8]) {
    let file = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let Some((header, content)) = bytes.split_at_mut_checked(HEADER_BYTES) else { return };
    let given = |index: usize| word(header, MAGIC.len() + 4 * index).unwrap_or_default();
    let slots = 1 << (given(3) % 8);
    let records_end = file.saturating_sub(slots * SLOT_BYTES as u32);
    let fields = [VERSION, given(1), records_end, slots, given(4), file, crc32c(content)];
    encode::seal(header, fields);
}

/// Keys and values of a database, in the order of the keys.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    records: &'a [u8],
    left: u32,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (key, value, rest) = split_record(self.records)?;
        self.records = rest;
        Some((key, value))
    }
}

fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let key_bytes = word(bytes, 0)? as usize;
    let value_bytes = word(bytes, 4)? as usize;
    let (key, rest) = bytes.get(RECORD_HEADER_BYTES..)?.split_at_checked(key_bytes)?;
    let (value, rest) = rest.split_at_checked(value_bytes)?;
    Some((key, value, rest))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let found = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(found.try_into().ok()?))
}
