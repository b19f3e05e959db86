//! What readers of other programs' database files share: bytes in either order, and errors.
//!
//! A file is read whole and turned into [`Entries`] once, when it is opened; lookups are then
//! answered by the constant database.
//!
//! **Diagnostics**: [`BadFile`].

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::catalog::Entries;
use crate::constant::{ConstantDb, encode};

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadFile {
    /// It does not start as such a file does.
    Foreign,
    /// A version or a feature that is not read here; which.
    Unsupported(String),
    /// It ends too early, or a number in it leads nowhere: the page, or the byte, it is at.
    Damaged(u64),
    /// More than a table can hold.
    TooLarge,
}

impl fmt::Display for BadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("unexpected file type or format"),
            Self::Unsupported(what) => write!(f, "unsupported {what}"),
            Self::Damaged(place) => write!(f, "damaged database file, at {place}"),
            Self::TooLarge => f.write_str("File too large"),
        }
    }
}

impl core::error::Error for BadFile {}

/// The order of the bytes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The lowest first.
    Little,
    /// The highest first.
    Big,
}

/// Bytes with numbers in them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers<'a> {
    /// The bytes.
    pub(crate) bytes: &'a [u8],
    /// How numbers are written in them.
    pub(crate) order: Order,
}

impl Numbers<'_> {
    /// Two bytes at `at`.
    pub(crate) fn short(&self, at: usize) -> Option<u16> {
        let found: [u8; 2] = self.array(at)?;
        Some(match self.order {
            Order::Little => u16::from_le_bytes(found),
            Order::Big => u16::from_be_bytes(found),
        })
    }

    /// Four bytes at `at`.
    pub(crate) fn word(&self, at: usize) -> Option<u32> {
        let found: [u8; 4] = self.array(at)?;
        Some(match self.order {
            Order::Little => u32::from_le_bytes(found),
            Order::Big => u32::from_be_bytes(found),
        })
    }

    /// Eight bytes at `at`.
    pub(crate) fn long(&self, at: usize) -> Option<u64> {
        let found: [u8; 8] = self.array(at)?;
        Some(match self.order {
            Order::Little => u64::from_le_bytes(found),
            Order::Big => u64::from_be_bytes(found),
        })
    }

    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes.get(at..at.checked_add(N)?)?.try_into().ok()
    }
}

/// Entries of files whose keys and values may end with a NUL byte, as Postfix writes them for some
/// libraries and not for others.
#[derive(Debug)]
pub(crate) struct Collected {
    with_nul: Entries,
    without: Entries,
    /// How many bytes there may still be: a damaged file may name the same bytes again and again.
    left: usize,
}

impl Collected {
    /// Those of a file of so many bytes.
    pub(crate) fn of(file_bytes: usize) -> Self {
        Self { with_nul: Entries::new(), without: Entries::new(), left: file_bytes }
    }

    /// Takes an entry; the first of equal keys stays. `place` is where it is.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8], place: u64) -> Result<(), BadFile> {
        let left = self.left.checked_sub(key.len() + value.len());
        self.left = left.ok_or(BadFile::Damaged(place))?;
        let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
        let value = value[..end].to_vec();
        match key.strip_suffix(b"\0") {
            Some(key) => self.with_nul.entry(key.to_vec()).or_insert(value),
            None => self.without.entry(key.to_vec()).or_insert(value),
        };
        Ok(())
    }

    /// A key that has been written both ways is looked up with its NUL first.
    pub(crate) fn entries(self) -> Entries {
        let mut out = self.without;
        out.extend(self.with_nul);
        out
    }
}

/// A table that answers as the file would.
pub(crate) fn table(entries: &Entries) -> Result<ConstantDb<Vec<u8>>, BadFile> {
    let bytes = encode(entries).map_err(|_| BadFile::TooLarge)?;
    ConstantDb::open(bytes).map_err(|_| BadFile::TooLarge)
}
