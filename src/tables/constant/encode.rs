//! Making a constant database.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use super::checksum::{crc32c, hash};
use super::{HEADER_BYTES, MAGIC, SLOT_BYTES, VERSION};

/// The table does not fit into [`super::FILE_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("File too large")
    }
}

impl core::error::Error for TooLarge {}

/// The bytes of the database that holds `entries`.
pub fn encode(entries: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<Vec<u8>, TooLarge> {
    let slot_count = entries.len().checked_mul(2).and_then(usize::checked_next_power_of_two);
    let slot_count = slot_count.ok_or(TooLarge)?.max(1);
    let file_bytes = file_bytes(entries, slot_count).ok_or(TooLarge)?;
    let mut out = Vec::with_capacity(file_bytes as usize);
    out.resize(HEADER_BYTES, 0);
    let mut slots = Slots::new(slot_count);
    for (key, value) in entries {
        slots.add(key, out.len() as u32);
        out.extend((key.len() as u32).to_le_bytes());
        out.extend((value.len() as u32).to_le_bytes());
        out.extend(key);
        out.extend(value);
    }
    let records_end = out.len() as u32;
    for (tag, offset) in &slots.slots {
        out.extend(tag.to_le_bytes());
        out.extend(offset.to_le_bytes());
    }
    assert_eq!(out.len(), file_bytes as usize);
    let content = crc32c(&out[HEADER_BYTES..]);
    let fields = [
        VERSION,
        entries.len() as u32,
        records_end,
        slot_count as u32,
        slots.probes_max,
        file_bytes,
        content,
    ];
    seal(&mut out[..HEADER_BYTES], fields);
    Ok(out)
}

/// Fills the header.
pub(super) fn seal(header: &mut [u8], fields: [u32; 7]) {
    let (bytes, crc) = header.split_at_mut(HEADER_BYTES - 4);
    bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
    for (place, field) in bytes[MAGIC.len()..].chunks_exact_mut(4).zip(fields) {
        place.copy_from_slice(&field.to_le_bytes());
    }
    crc.copy_from_slice(&crc32c(bytes).to_le_bytes());
}

/// The size of the file, when it is one that offsets can address.
fn file_bytes(entries: &BTreeMap<Vec<u8>, Vec<u8>>, slot_count: usize) -> Option<u32> {
    let start = HEADER_BYTES as u64 + slot_count as u64 * SLOT_BYTES as u64;
    let records = entries.iter().map(|(key, value)| 8 + key.len() as u64 + value.len() as u64);
    u32::try_from(records.fold(start, u64::saturating_add)).ok()
}

struct Slots {
    slots: Vec<(u32, u32)>,
    probes_max: u32,
}

impl Slots {
    fn new(count: usize) -> Self {
        Self { slots: vec![(0, 0); count], probes_max: 0 }
    }

    /// At most half of the slots are ever taken, so the search ends.
    fn add(&mut self, key: &[u8], offset: u32) {
        let (home, tag) = hash(key);
        let mask = self.slots.len() - 1;
        let mut at = home as usize & mask;
        let mut probes = 1;
        while self.slots[at].1 != 0 {
            at = (at + 1) & mask;
            probes += 1;
        }
        self.slots[at] = (tag, offset);
        self.probes_max = self.probes_max.max(probes);
    }
}
