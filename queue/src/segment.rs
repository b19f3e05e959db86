//! Segments: fixed-size preallocated files, their header page, their size on a given volume.
//!
//! Called by `log::supply` (to prepare), `recover` and `reader` (to read), `store` (to map).
//!
//! Limits: 1 MiB to 1 GiB per segment, a power of two.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use crate::{
    Core, ReadError,
    map::{Aligned, Map},
    record::{Key, u32_at, u64_at},
    storage::StoredFile,
};

/// Unit of writing: offset, length and address of every write are multiples of this.
pub const PAGE: usize = 4096;
/// Smallest segment.
pub const SEGMENT_MIN: u64 = 1 << 20;
/// Largest segment.
pub const SEGMENT_MAX: u64 = 1 << 30;
/// Segment size on volumes that are large enough.
pub const SEGMENT_DEFAULT: u64 = 64 << 20;
/// The format this crate writes and the newest it reads.
pub const FORMAT_VERSION: u16 = 1;

/// Where the two copies of the header stand in the header page: in different sectors.
const COPIES: [usize; 2] = [0, 2048];
/// Bytes of one copy of the header.
const COPY: usize = 64;
/// First eight bytes of a segment.
const MAGIC: [u8; 8] = *b"RINGPOSQ";

/// The largest power of two so that two segments for each of `cores` take at most a quarter of a
/// volume of `total` bytes, within `SEGMENT_MIN`..=`wanted`.
#[must_use]
pub fn segment_size(total: u64, cores: u8, wanted: u64) -> u64 {
    assert!(cores > 0, "at least one core");
    assert!(wanted.is_power_of_two(), "segment sizes are powers of two");
    let share = (total / 4 / (2 * u64::from(cores))).max(SEGMENT_MIN);
    let size = (1 << share.ilog2()).min(wanted).clamp(SEGMENT_MIN, SEGMENT_MAX);
    assert!(size.is_multiple_of(PAGE as u64));
    size
}

/// What the first page of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) core: Core,
    pub(crate) slot: u32,
    pub(crate) size: u64,
    pub(crate) key: Key,
    /// Counters below this may have been handed out when the header was written.
    pub(crate) lease: u64,
}

/// What the first page of a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadRead {
    /// A header.
    Good(Head),
    /// A header of a version from the future.
    Version(u16),
    /// No readable header.
    Bad,
}

impl Head {
    /// The header page as it is written.
    pub(crate) fn page(&self) -> Aligned {
        let mut page = Aligned::new(PAGE);
        for at in COPIES {
            self.put(&mut page.bytes_mut()[at..at + COPY]);
        }
        assert_eq!(Head::read(page.bytes()), HeadRead::Good(*self));
        page
    }

    fn put(&self, copy: &mut [u8]) {
        copy[0..8].copy_from_slice(&MAGIC);
        copy[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        copy[10] = self.core.get();
        copy[16..20].copy_from_slice(&self.slot.to_le_bytes());
        copy[20..24].copy_from_slice(&self.key.epoch.to_le_bytes());
        copy[24..32].copy_from_slice(&self.size.to_le_bytes());
        copy[32..40].copy_from_slice(&self.key.salt.to_le_bytes());
        copy[40..48].copy_from_slice(&self.lease.to_le_bytes());
        let crc = crc32c::crc32c(&copy[..60]);
        copy[60..64].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads a header page: of two good copies the one with the later epoch, or lease, counts.
    pub(crate) fn read(page: &[u8]) -> HeadRead {
        let copies = COPIES.map(|at| page.get(at..at + COPY).map_or(HeadRead::Bad, Head::copy));
        let rank = |read: &HeadRead| match read {
            HeadRead::Bad => (0, 0, 0),
            HeadRead::Good(head) => (1, head.key.epoch, head.lease),
            HeadRead::Version(_) => (2, 0, 0),
        };
        copies.into_iter().max_by_key(rank).unwrap_or(HeadRead::Bad)
    }

    fn copy(copy: &[u8]) -> HeadRead {
        let crc = u32_at(copy, 60);
        if copy[..8] != MAGIC || crc != Some(crc32c::crc32c(&copy[..60])) {
            return HeadRead::Bad;
        }
        let version = u16::from_le_bytes([copy[8], copy[9]]);
        if version != FORMAT_VERSION {
            return HeadRead::Version(version);
        }
        Head::fields(copy).map_or(HeadRead::Bad, HeadRead::Good)
    }

    fn fields(copy: &[u8]) -> Option<Head> {
        let head = Head {
            core: Core::new(copy[10])?,
            slot: u32_at(copy, 16)?,
            size: u64_at(copy, 24)?,
            key: Key { epoch: u32_at(copy, 20)?, salt: u64_at(copy, 32)? },
            lease: u64_at(copy, 40)?,
        };
        let sane = head.size.is_power_of_two()
            && (SEGMENT_MIN..=SEGMENT_MAX).contains(&head.size)
            && head.key.epoch > 0;
        sane.then_some(head)
    }
}

/// Name of a core's directory under `log/`.
pub(crate) fn core_dir(core: Core) -> String {
    format!("core-{:02}", core.get())
}

/// Name of a segment file: core and slot.
pub(crate) fn file_name(core: Core, slot: u32) -> String {
    format!("{:02}-{slot:06}.seg", core.get())
}

/// The slot in a segment's file name, if it is one of this core's.
pub(crate) fn slot_of(name: &str, core: Core) -> Option<u32> {
    let (prefix, rest) = name.split_once('-')?;
    let slot = rest.strip_suffix(".seg")?.parse().ok()?;
    (prefix.parse() == Ok(core.get()) && file_name(core, slot) == name).then_some(slot)
}

/// One use of a segment file for reading; whoever holds it keeps the file from being recycled.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) head: Head,
    file: Arc<dyn StoredFile>,
    map: OnceLock<Option<Map>>,
}

impl Segment {
    pub(crate) fn new(head: Head, file: Arc<dyn StoredFile>) -> Segment {
        assert!(file.len() >= head.size, "a segment is as long as its header says");
        Segment { head, file, map: OnceLock::new() }
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.head.key.epoch
    }

    /// The map of the whole segment, made at first use; none where the storage has no maps.
    pub(crate) fn map(&self) -> io::Result<Option<&Map>> {
        if let Some(map) = self.map.get() {
            return Ok(map.as_ref());
        }
        let map = self.file.view()?;
        Ok(self.map.get_or_init(|| map).as_ref())
    }

    /// The mapped bytes of a range; for ranges that were checked when the handle was made.
    pub(crate) fn mapped(&self, offset: usize, len: usize) -> &[u8] {
        let map = self.map.get().and_then(Option::as_ref).expect("made with the handle");
        map.range(offset, len).expect("checked when the handle was made")
    }

    /// Copies a range out by plain reads.
    pub(crate) fn copy(&self, offset: usize, len: usize) -> Result<Vec<u8>, ReadError> {
        let end = offset.checked_add(len).ok_or(ReadError::Damaged)?;
        if end as u64 > self.head.size {
            return Err(ReadError::Damaged);
        }
        let mut bytes = vec![0; len];
        self.file.read_at(offset as u64, &mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        let key = Key { epoch: 7, salt: 99 };
        Head { core: Core::new(2).unwrap(), slot: 3, size: SEGMENT_MIN, key, lease: 1025 }
    }

    #[test]
    fn a_header_survives_the_loss_of_either_copy() {
        for at in COPIES {
            let mut page = head().page();
            page.bytes_mut()[at..at + 512].fill(0xee);
            assert_eq!(Head::read(page.bytes()), HeadRead::Good(head()));
        }
    }

    #[test]
    fn a_half_written_header_reads_as_the_old_or_the_new_one() {
        let new = Head { key: Key { epoch: 8, salt: 5 }, ..head() };
        let mut page = head().page();
        page.bytes_mut()[2048..].copy_from_slice(&new.page().bytes()[2048..]);
        assert_eq!(Head::read(page.bytes()), HeadRead::Good(new));
    }

    #[test]
    fn a_future_version_is_named() {
        let mut page = head().page();
        let copy = &mut page.bytes_mut()[..COPY];
        copy[8] = 9;
        let crc = crc32c::crc32c(&copy[..60]);
        copy[60..64].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Head::read(page.bytes()), HeadRead::Version(9));
    }

    #[test]
    fn segments_shrink_with_the_volume() {
        assert_eq!(segment_size(1 << 40, 8, SEGMENT_DEFAULT), SEGMENT_DEFAULT);
        assert_eq!(segment_size(96 << 20, 2, SEGMENT_DEFAULT), 4 << 20);
        assert_eq!(segment_size(1 << 20, 64, SEGMENT_DEFAULT), SEGMENT_MIN);
    }

    #[test]
    fn names_read_back() {
        let core = Core::new(3).unwrap();
        assert_eq!(slot_of(&file_name(core, 12), core), Some(12));
        assert_eq!(slot_of("03-000012.segx", core), None);
        assert_eq!(slot_of("04-000012.seg", core), None);
    }
}
