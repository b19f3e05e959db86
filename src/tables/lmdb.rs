//! `lmdb:` files, read only: the tree of the newest transaction, page by page.
//!
//! The file is read and not mapped: a damaged one is an error here and not a crash. The numbers are
//! those of a machine with 64 bits that has the lowest byte first.
//!
//! ```text
//! page    number (8), pad (2), flags (2), lower (2), upper (2), offsets of the nodes (2 each) ...
//! node    size or page, low (2), high (2), flags or page, highest (2), key size (2), key, data
//! page 0 and 1, after 16 bytes: magic (4), version (4), address (8), size (8), two trees, last
//!         page (8), transaction (8)
//! tree    page size (4), flags (2), depth (2), branches, leaves, overflows, entries, root (8 each)
//! ```
//!
//! **Diagnostics**: [`BadFile`] with the number of the page.
//! **Limits**: no page is visited twice; [`DEPTH_MAX`].
//! **Standards**: none; files of LMDB 0.9, as they are found.

#[cfg(test)]
mod tests;

use alloc::format;
use alloc::vec::Vec;

use crate::catalog::Entries;
use crate::foreign::{BadFile, Collected, Numbers, Order};

/// Levels of a tree.
pub const DEPTH_MAX: usize = 32;

const MAGIC: u32 = 0xBEEF_C0DE;
const VERSION: u32 = 1;
const PAGE_HEADER_BYTES: usize = 16;
/// From the start of a page with a transaction.
const META_MAGIC: usize = 16;
const META_VERSION: usize = 20;
/// The tree of free pages is first; its first field is the size of all pages.
const META_PAGE_BYTES: usize = 40;
const META_TREE: usize = 88;
const META_LAST_PAGE: usize = 136;
const META_TRANSACTION: usize = 144;
/// From the start of a tree.
const TREE_FLAGS: usize = 4;
const TREE_ROOT: usize = 40;
const NO_PAGE: u64 = u64::MAX;
/// From the start of a page.
const PAGE_FLAGS: usize = 10;
const PAGE_LOWER: usize = 12;
/// Flags of a page.
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const OVERFLOW: u16 = 4;
/// Of a node: its value has pages of its own.
const BIG_DATA: u16 = 1;
const NODE_HEADER_BYTES: usize = 8;
const PAGE_BYTES_MAX: usize = 65536;

/// All entries of a file.
///
/// # Errors
/// What of the file cannot be read.
pub fn entries(bytes: &[u8]) -> Result<Entries, BadFile> {
    let (mut file, root) = File::open(bytes)?;
    let mut out = Collected::of(bytes.len());
    if root != NO_PAGE {
        file.collect(root, 1, &mut out)?;
    }
    Ok(out.entries())
}

struct File<'a> {
    bytes: &'a [u8],
    page_bytes: usize,
    /// How many pages may still be visited.
    left: usize,
}

impl<'a> File<'a> {
    /// With the root of its tree.
    fn open(bytes: &'a [u8]) -> Result<(Self, u64), BadFile> {
        let first = Numbers { bytes, order: Order::Little };
        if first.word(META_MAGIC) != Some(MAGIC) {
            return Err(BadFile::Foreign);
        }
        let version = first.word(META_VERSION).ok_or(BadFile::Damaged(0))?;
        if version != VERSION {
            return Err(BadFile::Unsupported(format!("LMDB version {version}")));
        }
        let page_bytes = first.word(META_PAGE_BYTES).ok_or(BadFile::Damaged(0))? as usize;
        if !page_bytes.is_power_of_two() || !(512..=PAGE_BYTES_MAX).contains(&page_bytes) {
            return Err(BadFile::Damaged(0));
        }
        let file = Self { bytes, page_bytes, left: bytes.len() / page_bytes };
        let newest = file.newest()?;
        let tree = |at| newest.short(META_TREE + at).ok_or(BadFile::Damaged(0));
        if tree(TREE_FLAGS)? != 0 {
            return Err(BadFile::Unsupported("LMDB flags of a database".into()));
        }
        let last = newest.long(META_LAST_PAGE).ok_or(BadFile::Damaged(0))?;
        if last >= file.left as u64 {
            return Err(BadFile::Damaged(file.left as u64));
        }
        let root = newest.long(META_TREE + TREE_ROOT).ok_or(BadFile::Damaged(0))?;
        Ok((file, root))
    }

    /// The page of the newer of two transactions.
    fn newest(&self) -> Result<Numbers<'a>, BadFile> {
        let (one, other) = (self.page(0)?, self.page(1)?);
        let sound = |page: &Numbers<'_>| page.word(META_MAGIC) == Some(MAGIC);
        let transaction = |page: &Numbers<'_>| page.long(META_TRANSACTION);
        let newer = sound(&other) && transaction(&other) > transaction(&one);
        Ok(if newer { other } else { one })
    }

    fn page(&self, number: u64) -> Result<Numbers<'a>, BadFile> {
        Ok(Numbers { bytes: self.pages(number, 0, self.page_bytes)?, order: Order::Little })
    }

    /// Bytes from `skip` of page `number`, which may be on the pages after it.
    fn pages(&self, number: u64, skip: usize, bytes: usize) -> Result<&'a [u8], BadFile> {
        let start = usize::try_from(number).ok().and_then(|it| it.checked_mul(self.page_bytes));
        let start = start.and_then(|start| start.checked_add(skip));
        let end = start.and_then(|start| start.checked_add(bytes));
        let found = start.zip(end).and_then(|(start, end)| self.bytes.get(start..end));
        found.ok_or(BadFile::Damaged(number))
    }

    fn collect(&mut self, number: u64, depth: usize, out: &mut Collected) -> Result<(), BadFile> {
        let damaged = BadFile::Damaged(number);
        self.left = self.left.checked_sub(1).ok_or(damaged.clone())?;
        let page = self.page(number)?;
        let flags = page.short(PAGE_FLAGS).ok_or(damaged.clone())?;
        for node in nodes(page).ok_or(damaged.clone())? {
            match flags & (BRANCH | LEAF) {
                BRANCH if depth < DEPTH_MAX => self.collect(node.child(), depth + 1, out)?,
                LEAF => out.add(node.key, self.value(&node, number)?, number)?,
                _ => return Err(damaged),
            }
        }
        Ok(())
    }

    fn value(&self, node: &Node<'a>, number: u64) -> Result<&'a [u8], BadFile> {
        let damaged = BadFile::Damaged(number);
        match node.flags {
            0 => node.data.get(..node.size).ok_or(damaged),
            BIG_DATA => {
                let order = Order::Little;
                let first = Numbers { bytes: node.data, order }.long(0).ok_or(damaged)?;
                let flags = self.page(first)?.short(PAGE_FLAGS);
                if flags.is_none_or(|flags| flags & OVERFLOW == 0) {
                    return Err(BadFile::Damaged(first));
                }
                self.pages(first, PAGE_HEADER_BYTES, node.size)
            }
            flags => Err(BadFile::Unsupported(format!("LMDB node flags {flags}"))),
        }
    }
}

struct Node<'a> {
    /// Bytes of a value.
    size: usize,
    flags: u16,
    key: &'a [u8],
    /// What follows the key, up to the end of the page.
    data: &'a [u8],
}

impl Node<'_> {
    /// In a branch the size and the flags are the number of a page.
    fn child(&self) -> u64 {
        self.size as u64 | u64::from(self.flags) << 32
    }
}

/// The nodes of a page; none, if one of them is not within it.
fn nodes(page: Numbers<'_>) -> Option<Vec<Node<'_>>> {
    let lower = page.short(PAGE_LOWER)? as usize;
    let offsets = (PAGE_HEADER_BYTES..lower).step_by(2);
    offsets.map(|at| node(page, page.short(at)? as usize)).collect()
}

fn node(page: Numbers<'_>, at: usize) -> Option<Node<'_>> {
    let (low, high) = (page.short(at)? as usize, page.short(at + 2)? as usize);
    let (flags, key_bytes) = (page.short(at + 4)?, page.short(at + 6)? as usize);
    let rest = page.bytes.get(at + NODE_HEADER_BYTES..)?;
    let (key, data) = rest.split_at_checked(key_bytes)?;
    Some(Node { size: low | high << 16, flags, key, data })
}
