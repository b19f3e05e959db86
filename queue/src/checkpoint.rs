//! Checkpoints: the index as it was at one place of the log, so that a start reads only what came
//! after. The byte map is in FORMAT.md, "Checkpoint".
//!
//! Written by `log::checkpoint`, read by `recover`. A checkpoint is never trusted over the log: it
//! names the segments it was made from and counts only as long as they are the ones on disk.
//!
//! Diagnostics: what is not whole and sane is `None`.

use crate::{
    Core, Lsn, Number,
    index::{Entry, Index, STORED_FIXED},
    record::{Key, u32_at, u64_at},
    segment::Head,
};

/// Name of the file in a core's directory.
pub(crate) const FILE: &str = "checkpoint";
const MAGIC: [u8; 8] = *b"RINGPOSC";
const VERSION: u16 = 1;
/// Bytes before the segments.
const FIXED: usize = 64;
/// Bytes of one segment's name.
const SEGMENT: usize = 24;
/// Bytes of the checksum at the end.
const CHECKSUM: usize = 4;

/// A place in the log: epoch and offset.
pub(crate) type Position = (u32, u32);

/// What a checkpoint says besides the messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) core: Core,
    /// The last record that is in it.
    pub(crate) lsn: Lsn,
    /// Counters below may have been handed out.
    pub(crate) counter: u64,
    /// Where the record after `lsn` stands, if there is one.
    pub(crate) next: Position,
    /// Where reading starts: the first extent of a draft that was open, or `next`.
    pub(crate) from: Position,
    /// All segments in use, in order of epoch; the last one has `next`.
    pub(crate) segments: Vec<(Key, u64)>,
}

/// A checkpoint, read.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) summary: Summary,
    file: Vec<u8>,
    count: u64,
}

/// The whole file.
pub(crate) fn encode(summary: &Summary, index: &Index) -> Vec<u8> {
    let mut out = Vec::with_capacity(FIXED + index.len() * (STORED_FIXED + 8));
    out.extend(MAGIC);
    out.extend(VERSION.to_le_bytes());
    out.extend([summary.core.get(), 0]);
    out.extend((summary.segments.len() as u32).to_le_bytes());
    for word in [summary.lsn.0, summary.counter, index.len() as u64] {
        out.extend(word.to_le_bytes());
    }
    for word in [summary.next.0, summary.next.1, summary.from.0, summary.from.1] {
        out.extend(word.to_le_bytes());
    }
    out.resize(FIXED, 0);
    for (key, size) in &summary.segments {
        out.extend(u64::from(key.epoch).to_le_bytes());
        out.extend(key.salt.to_le_bytes());
        out.extend(size.to_le_bytes());
    }
    index.iter().for_each(|(number, entry)| entry.put(number, &mut out));
    let crc = crc32c::crc32c(&out);
    out.extend(crc.to_le_bytes());
    out
}

/// Reads a whole file.
pub(crate) fn decode(file: Vec<u8>) -> Option<Checkpoint> {
    let (bytes, crc) = file.split_at_checked(file.len().checked_sub(CHECKSUM)?)?;
    let version = u16::from_le_bytes(*bytes.get(8..)?.first_chunk()?);
    let ours = bytes.len() >= FIXED && bytes[..8] == MAGIC && version == VERSION;
    if !ours || u32_at(crc, 0) != Some(crc32c::crc32c(bytes)) {
        return None;
    }
    let (segments, count) = (u32_at(bytes, 12)? as usize, u64_at(bytes, 32)?);
    let (table, _) = bytes[FIXED..].split_at_checked(segments.checked_mul(SEGMENT)?)?;
    let summary = Summary {
        core: Core::new(bytes[10])?,
        lsn: Lsn(u64_at(bytes, 16)?),
        counter: u64_at(bytes, 24)?,
        next: (u32_at(bytes, 40)?, u32_at(bytes, 44)?),
        from: (u32_at(bytes, 48)?, u32_at(bytes, 52)?),
        segments: table.chunks_exact(SEGMENT).map(segment).collect::<Option<_>>()?,
    };
    Some(Checkpoint { summary, file, count })
}

impl Checkpoint {
    /// Hands every message to `each`, in the order of the file, until it says no; whether it never
    /// did and the file is well formed.
    pub(crate) fn messages(&self, mut each: impl FnMut(Number, Entry) -> bool) -> bool {
        let start = FIXED + self.summary.segments.len() * SEGMENT;
        let mut rest = &self.file[start..self.file.len() - CHECKSUM];
        let mut count = 0;
        while !rest.is_empty() {
            let Some((number, entry)) = Entry::take(&mut rest) else { return false };
            if !each(number, entry) {
                return false;
            }
            count += 1;
        }
        count == self.count
    }
}

fn segment(bytes: &[u8]) -> Option<(Key, u64)> {
    let key = Key { epoch: u32_at(bytes, 0)?, salt: u64_at(bytes, 8)? };
    Some((key, u64_at(bytes, 16)?))
}

impl Summary {
    /// Whether the segments on disk are those that it was made from, but for some of the oldest,
    /// which have left since, for older ones, which held nothing any more, and for newer ones.
    pub(crate) fn fits(&self, heads: &[Head]) -> bool {
        let is_there =
            |key: Key, size: u64| heads.iter().any(|head| head.key == key && head.size == size);
        let here: Vec<bool> = self.segments.iter().map(|(k, size)| is_there(*k, *size)).collect();
        let oldest = self.segments.iter().zip(&here).find(|(_, here)| **here);
        let Some((&(oldest, _), _)) = oldest else { return false };
        let old_left = here.is_sorted();
        let named = |head: &Head| self.segments.iter().any(|(key, _)| *key == head.key);
        let first = self.segments.first().map_or(0, |(key, _)| key.epoch);
        let span = first..=self.next.0;
        let none_else = heads.iter().filter(|h| span.contains(&h.key.epoch)).all(named);
        let ordered = oldest.epoch <= self.from.0 && self.from <= self.next;
        let last = self.segments.last().is_some_and(|(key, _)| key.epoch == self.next.0);
        old_left && none_else && ordered && last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Place;

    fn sample() -> (Summary, Index) {
        let core = Core::new(1).unwrap();
        let mut index = Index::default();
        for counter in 1..50 {
            let place = Place { epoch: 2, offset: 4096, length: 400 };
            index.insert(Number::new(counter, core), Entry::new(place, counter, 3, 0));
        }
        let key = |epoch| Key { epoch, salt: u64::from(epoch) * 7 };
        let segments = vec![(key(2), 1 << 20), (key(4), 1 << 20)];
        let (next, from) = ((4, 8192), (2, 4096));
        (Summary { core, lsn: Lsn(9), counter: 1025, next, from, segments }, index)
    }

    fn head(epoch: u32) -> Head {
        let key = Key { epoch, salt: u64::from(epoch) * 7 };
        Head { core: Core::new(1).unwrap(), slot: epoch, size: 1 << 20, key, lease: 1 }
    }

    #[test]
    fn a_checkpoint_comes_back_or_is_none() {
        let (summary, index) = sample();
        let bytes = encode(&summary, &index);
        let back = decode(bytes.clone()).unwrap();
        let mut count = 0;
        assert!(back.messages(|_, entry| {
            count += 1;
            entry.arrival_us == count
        }));
        assert_eq!((back.summary, count), (summary, 49));
        for at in (0..bytes.len()).step_by(13) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert!(decode(damaged).is_none(), "byte {at}");
            assert!(decode(bytes[..at].to_vec()).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn it_counts_only_for_the_segments_it_was_made_from() {
        let (summary, _) = sample();
        assert!(summary.fits(&[head(1), head(2), head(4), head(5)]));
        assert!(!summary.fits(&[head(4)]), "reading starts in one that has left");
        assert!(Summary { from: (4, 4096), ..summary.clone() }.fits(&[head(4)]));
        assert!(!summary.fits(&[head(2), head(5)]), "the newest is not there");
        assert!(!summary.fits(&[head(2), head(3), head(4)]), "one that is not named");
        let mut other = head(2);
        other.key.salt = 1;
        assert!(!summary.fits(&[other, head(4)]), "another use of it");
    }
}
