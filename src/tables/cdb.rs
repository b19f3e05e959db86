//! `cdb:` files, read and written: one pass over their records makes a table of them.
//!
//! ```text
//! 256 x (position of a hash table, its slots)
//! records: key length, value length, key, value
//! hash tables: (hash, position of a record) per slot, 0 for none
//! ```
//! All numbers have four bytes, the lowest first.
//!
//! **Diagnostics**: [`BadFile`] with the position.
//! **Limits**: 4 GiB, which is the format's.
//! **Standards**: the constant database of D. J. Bernstein, as tinycdb and Postfix use it.

#[cfg(test)]
mod tests;

use alloc::vec;
use alloc::vec::Vec;

use crate::catalog::Entries;
use crate::foreign::{BadFile, Collected, Numbers, Order};

const TABLES: usize = 256;
const HEADER_BYTES: usize = TABLES * 8;
const HASH_START: u32 = 5381;

/// All entries of a file; of several values of a key the first.
///
/// # Errors
/// What of the file cannot be read.
pub fn entries(bytes: &[u8]) -> Result<Entries, BadFile> {
    let numbers = Numbers { bytes, order: Order::Little };
    let end = records_end(&numbers)?;
    let mut out = Collected::of(bytes.len());
    let mut at = HEADER_BYTES;
    while at < end {
        let damaged = || BadFile::Damaged(at as u64);
        let size = |at| numbers.word(at).map(|word| word as usize).ok_or_else(damaged);
        let key_end = size(at)?.checked_add(at + 8).ok_or_else(damaged)?;
        let value_end = size(at + 4)?.checked_add(key_end).filter(|it| *it <= end);
        let value_end = value_end.ok_or_else(damaged)?;
        out.add(&bytes[at + 8..key_end], &bytes[key_end..value_end], at as u64)?;
        at = value_end;
    }
    Ok(out.entries())
}

/// Where the first hash table starts; the records end there.
fn records_end(numbers: &Numbers<'_>) -> Result<usize, BadFile> {
    let mut end = numbers.bytes.len();
    for table in 0..TABLES {
        let position = numbers.word(table * 8).ok_or(BadFile::Foreign)? as usize;
        let slots = numbers.word(table * 8 + 4).ok_or(BadFile::Foreign)? as usize;
        let table_end = slots.checked_mul(8).and_then(|bytes| bytes.checked_add(position));
        if position < HEADER_BYTES || table_end.is_none_or(|end| end > numbers.bytes.len()) {
            return Err(BadFile::Foreign);
        }
        end = end.min(position);
    }
    Ok(end)
}

/// The bytes of a file that holds `entries`; `nul` ends keys and values with a NUL byte.
///
/// # Errors
/// It would be larger than the format allows.
pub fn encode(entries: &Entries, nul: bool) -> Result<Vec<u8>, BadFile> {
    let end: &[u8] = if nul { b"\0" } else { b"" };
    let mut out = vec![0; HEADER_BYTES];
    let mut tables: Vec<Vec<(u32, u32)>> = vec![Vec::new(); TABLES];
    for (key, value) in entries {
        let (key, value) = ([key, end].concat(), [value, end].concat());
        let hash = hash(&key);
        tables[hash as usize % TABLES].push((hash, position(&out)?));
        out.extend((key.len() as u32).to_le_bytes());
        out.extend((value.len() as u32).to_le_bytes());
        out.extend(key);
        out.extend(value);
    }
    for (number, records) in tables.iter().enumerate() {
        let start = position(&out)?;
        let slots = slots(records);
        out[number * 8..number * 8 + 4].copy_from_slice(&start.to_le_bytes());
        out[number * 8 + 4..number * 8 + 8].copy_from_slice(&(slots.len() as u32).to_le_bytes());
        for (hash, position) in slots {
            out.extend(hash.to_le_bytes());
            out.extend(position.to_le_bytes());
        }
    }
    position(&out)?;
    Ok(out)
}

fn position(out: &[u8]) -> Result<u32, BadFile> {
    u32::try_from(out.len()).map_err(|_| BadFile::TooLarge)
}

fn hash(key: &[u8]) -> u32 {
    key.iter().fold(HASH_START, |hash, byte| hash.wrapping_mul(33) ^ u32::from(*byte))
}

/// One hash table: twice as many slots as records, each at its place or the next that is free.
fn slots(records: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let count = records.len() * 2;
    let mut slots = vec![(0, 0); count];
    for record in records {
        let mut at = (record.0 >> 8) as usize % count;
        while slots[at].1 != 0 {
            at = (at + 1) % count;
        }
        slots[at] = *record;
    }
    slots
}
