//! Berkeley DB files as Postfix's postmap(1) leaves them: `hash:` and `btree:`, read only.
//!
//! Every page says of itself what it is, so that the pages are read one after the other and
//! neither hash function nor tree is needed. What has been freed says so too.
//!
//! ```text
//! page    log number (8), page number (4), previous (4), next (4), entries (2), free (2),
//!         level (1), type (1), offsets of the items (2 each) ... items, from the end
//! page 0  log number (8), page number (4), magic (4), version (4), page size (4), cipher (1),
//!         type (1), flags (1), ..., last page (4, at 32)
//! ```
//!
//! **Diagnostics**: [`BadFile`] with the number of the page.
//! **Limits**: an item on pages of its own has no more of them than the file has pages, and as many
//! bytes as the file has at most; versions of the formats [`HASH_VERSIONS`], [`BTREE_VERSIONS`].
//! **Standards**: none; the files of Berkeley DB 3 to 6, as they are found.

#[cfg(test)]
mod tests;

use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use crate::catalog::Entries;
use crate::foreign::{BadFile, Collected, Numbers, Order};

/// Versions of hash files.
pub const HASH_VERSIONS: RangeInclusive<u32> = 8..=10;
/// Versions of btree files.
pub const BTREE_VERSIONS: RangeInclusive<u32> = 8..=10;

const HASH_MAGIC: u32 = 0x0006_1561;
const BTREE_MAGIC: u32 = 0x0005_3162;
/// Where page 0 has what.
const MAGIC: usize = 12;
const VERSION: usize = 16;
const PAGE_BYTES: usize = 20;
const CIPHER: usize = 24;
const FLAGS: usize = 26;
const LAST_PAGE: usize = 32;
/// Where any other page has what.
const NEXT_PAGE: usize = 16;
const COUNT: usize = 20;
const USED: usize = 22;
const TYPE: usize = 25;
const ITEMS: usize = 26;
/// The sizes a page can have.
const PAGE_BYTES_RANGE: RangeInclusive<usize> = 512..=65536;
/// Types of pages.
const HASH_UNSORTED: u8 = 2;
const BTREE_LEAF: u8 = 5;
const OVERFLOW: u8 = 7;
const HASH: u8 = 13;
/// Types of items of hash pages.
const HASH_PLAIN: u8 = 1;
const HASH_OVERFLOW: u8 = 3;
/// Types of items of btree leaves, and the mark of one that was deleted.
const LEAF_PLAIN: u8 = 1;
const LEAF_OVERFLOW: u8 = 3;
const LEAF_DELETED: u8 = 0x80;

/// Whether `bytes` start as such a file does.
pub fn is_berkeley(bytes: &[u8]) -> bool {
    order(bytes).is_some()
}

fn order(bytes: &[u8]) -> Option<(Order, u32)> {
    let magic = |order| Numbers { bytes, order }.word(MAGIC);
    [Order::Little, Order::Big].into_iter().find_map(|order| {
        let found = magic(order).filter(|magic| [HASH_MAGIC, BTREE_MAGIC].contains(magic))?;
        Some((order, found))
    })
}

/// All entries of a file.
///
/// # Errors
/// What of the file cannot be read.
pub fn entries(bytes: &[u8]) -> Result<Entries, BadFile> {
    let file = File::open(bytes)?;
    let mut out = Collected::of(bytes.len());
    for number in 1..file.page_count {
        file.page(number)?.collect(&mut out)?;
    }
    Ok(out.entries())
}

struct File<'a> {
    bytes: &'a [u8],
    order: Order,
    page_bytes: usize,
    page_count: u32,
}

impl<'a> File<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, BadFile> {
        let (order, magic) = order(bytes).ok_or(BadFile::Foreign)?;
        let numbers = Numbers { bytes, order };
        let word = |at| numbers.word(at).ok_or(BadFile::Damaged(0));
        let (name, versions) = match magic {
            HASH_MAGIC => ("hash", HASH_VERSIONS),
            _ => ("btree", BTREE_VERSIONS),
        };
        let version = word(VERSION)?;
        if !versions.contains(&version) {
            let what = format!("Berkeley DB {name} version {version}");
            return Err(BadFile::Unsupported(what));
        }
        let byte = |at: usize| bytes.get(at).copied().ok_or(BadFile::Damaged(0));
        // Pages of a file with checksums or a cipher are laid out in other ways.
        if byte(CIPHER)? != 0 || byte(FLAGS)? & 1 != 0 {
            return Err(BadFile::Unsupported("Berkeley DB encryption or checksums".into()));
        }
        let page_bytes = word(PAGE_BYTES)? as usize;
        if !page_bytes.is_power_of_two() || !PAGE_BYTES_RANGE.contains(&page_bytes) {
            return Err(BadFile::Damaged(0));
        }
        let page_count = word(LAST_PAGE)?.checked_add(1).ok_or(BadFile::Damaged(0))?;
        if bytes.len() / page_bytes < page_count as usize {
            return Err(BadFile::Damaged((bytes.len() / page_bytes) as u64));
        }
        Ok(Self { bytes, order, page_bytes, page_count })
    }

    fn page(&self, number: u32) -> Result<Page<'_>, BadFile> {
        let start = (number as usize).checked_mul(self.page_bytes);
        let end = start.and_then(|start| start.checked_add(self.page_bytes));
        let range = start.zip(end).filter(|_| number < self.page_count);
        let found = range.and_then(|(start, end)| self.bytes.get(start..end));
        let bytes = found.ok_or(BadFile::Damaged(number.into()))?;
        Ok(Page { file: self, number, numbers: Numbers { bytes, order: self.order } })
    }

    /// The bytes of an item that has pages of its own.
    fn overflow(&self, first: u32, bytes: u32) -> Result<Vec<u8>, BadFile> {
        let bytes = bytes as usize;
        if bytes > self.bytes.len() {
            return Err(BadFile::Damaged(first.into()));
        }
        let mut out = Vec::with_capacity(bytes);
        let mut number = first;
        // Each page has a byte at least, so that a ring of pages ends.
        while out.len() < bytes {
            let page = self.page(number)?;
            let used = page.short(USED)? as usize;
            let data = page.bytes().get(ITEMS..ITEMS + used).filter(|data| !data.is_empty());
            if page.kind()? != OVERFLOW {
                return Err(page.damaged());
            }
            out.extend_from_slice(data.ok_or_else(|| page.damaged())?);
            number = page.word(NEXT_PAGE)?;
        }
        (out.len() == bytes).then_some(out).ok_or(BadFile::Damaged(first.into()))
    }
}

struct Page<'a> {
    file: &'a File<'a>,
    number: u32,
    numbers: Numbers<'a>,
}

impl<'a> Page<'a> {
    fn damaged(&self) -> BadFile {
        BadFile::Damaged(self.number.into())
    }

    fn bytes(&self) -> &'a [u8] {
        self.numbers.bytes
    }

    fn short(&self, at: usize) -> Result<u16, BadFile> {
        self.numbers.short(at).ok_or_else(|| self.damaged())
    }

    fn word(&self, at: usize) -> Result<u32, BadFile> {
        self.numbers.word(at).ok_or_else(|| self.damaged())
    }

    fn kind(&self) -> Result<u8, BadFile> {
        self.bytes().get(TYPE).copied().ok_or_else(|| self.damaged())
    }

    /// Adds what the page has, if it is one with entries.
    fn collect(&self, out: &mut Collected) -> Result<(), BadFile> {
        let item = match self.kind()? {
            HASH | HASH_UNSORTED => Self::hash_item,
            BTREE_LEAF => Self::leaf_item,
            _ => return Ok(()),
        };
        let count = self.short(COUNT)?;
        for index in (0..count.saturating_sub(1)).step_by(2) {
            let (key, value) = (item(self, index)?, item(self, index + 1)?);
            if let (Some(key), Some(value)) = (key, value) {
                out.add(&key, &value, self.number.into())?;
            }
        }
        Ok(())
    }

    fn offset(&self, index: u16) -> Result<usize, BadFile> {
        Ok(self.short(ITEMS + 2 * index as usize)? as usize)
    }

    /// An item reaches up to the one before it, the first to the end of the page.
    fn hash_item(&self, index: u16) -> Result<Option<Cow<'a, [u8]>>, BadFile> {
        let end = match index.checked_sub(1) {
            Some(before) => self.offset(before)?,
            None => self.bytes().len(),
        };
        let start = self.offset(index)?;
        let item = self.bytes().get(start..end).and_then(<[u8]>::split_first);
        match item.ok_or_else(|| self.damaged())? {
            (&HASH_PLAIN, data) => Ok(Some(Cow::Borrowed(data))),
            (&HASH_OVERFLOW, _) => self.elsewhere(start),
            (kind, _) => Err(self.unsupported(*kind)),
        }
    }

    /// An item says how long it is.
    fn leaf_item(&self, index: u16) -> Result<Option<Cow<'a, [u8]>>, BadFile> {
        let start = self.offset(index)?;
        let bytes = self.short(start)? as usize;
        let kind = self.bytes().get(start + 2).ok_or_else(|| self.damaged())?;
        match *kind {
            LEAF_PLAIN => {
                let data = self.bytes().get(start + 3..start + 3 + bytes);
                Ok(Some(Cow::Borrowed(data.ok_or_else(|| self.damaged())?)))
            }
            LEAF_OVERFLOW => self.elsewhere(start),
            kind if kind & LEAF_DELETED != 0 => Ok(None),
            kind => Err(self.unsupported(kind)),
        }
    }

    /// The item at `start` tells where it is and how long.
    fn elsewhere(&self, start: usize) -> Result<Option<Cow<'a, [u8]>>, BadFile> {
        let (first, bytes) = (self.word(start + 4)?, self.word(start + 8)?);
        Ok(Some(Cow::Owned(self.file.overflow(first, bytes)?)))
    }

    /// Several values of one key, which Postfix never writes.
    fn unsupported(&self, kind: u8) -> BadFile {
        BadFile::Unsupported(format!("Berkeley DB item of type {kind} on page {}", self.number))
    }
}
