//! The index: what a log knows in memory about each of its live messages.
//!
//! Called by `log` (the owner) and `recover` (which fills it).
//!
//! Limits: about 130 bytes per message: a slab entry of at most `ENTRY_BYTES_MAX` and a hash slot;
//! large messages and those with more than 64 recipients a little more.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use crate::{Number, content::Location, marks::Marks, record::Extent};

/// Largest slab entry.
const ENTRY_BYTES_MAX: usize = 112;
/// Entries in one chunk of the slab: growth never copies and never doubles.
const CHUNK: usize = 1024;

const _: () = assert!(size_of::<Option<Entry>>() <= ENTRY_BYTES_MAX);

/// Where a record stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) epoch: u32,
    pub(crate) offset: u32,
    /// Bytes of the record, header included; 0 for "nowhere".
    pub(crate) length: u32,
}

/// How much of a large message's content stands in one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) epoch: u32,
    pub(crate) bytes: u64,
}

/// Adds an extent to the per-segment sums; true when its segment is new to them.
pub(crate) fn add_span(spans: &mut Vec<Span>, extent: Extent) -> bool {
    let bytes = u64::from(extent.length);
    if let Some(span) = spans.iter_mut().find(|span| span.epoch == extent.epoch) {
        span.bytes += bytes;
        return false;
    }
    spans.push(Span { epoch: extent.epoch, bytes });
    true
}

/// What is known about one live message.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) arrival_us: u64,
    pub(crate) size: u64,
    /// Next attempt, Unix seconds; meaningful when `deferred`.
    pub(crate) until: u64,
    pub(crate) marks: Marks,
    /// Per-segment sums of a large message's extents; none for a message in one record.
    #[expect(clippy::box_collection, reason = "half the size of a bare Vec's three words")]
    pub(crate) spans: Option<Box<Vec<Span>>>,
    /// The Message or Commit record.
    pub(crate) place: Place,
    /// The detail bytes of the latest Defer (not the record).
    pub(crate) detail: Place,
    pub(crate) envelope: u32,
    pub(crate) flags: u32,
    pub(crate) deferred: bool,
    pub(crate) held: bool,
}

impl Entry {
    pub(crate) fn location(&self, number: Number) -> Location {
        Location { number, place: self.place, envelope: self.envelope, large: self.spans.is_some() }
    }

    /// The detail's place; none when never deferred or nothing was said.
    pub(crate) fn detail_place(&self) -> Option<Place> {
        (self.detail.length > 0).then_some(self.detail)
    }

    /// Bytes of log that this message keeps alive.
    pub(crate) fn live_bytes(&self) -> u64 {
        let spans = self.spans.iter().flat_map(|spans| spans.iter()).map(|span| span.bytes);
        u64::from(self.place.length) + u64::from(self.detail.length) + spans.sum::<u64>()
    }

    /// The segments that hold its content, each once per reason.
    pub(crate) fn epochs(&self) -> impl Iterator<Item = u32> + '_ {
        let spans = self.spans.iter().flat_map(|spans| spans.iter()).map(|span| span.epoch);
        std::iter::once(self.place.epoch).chain(spans)
    }
}

/// Numbers are ours and rise by one: multiplying spreads them well enough.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

type Slots = HashMap<u64, u32, BuildHasherDefault<NumberHasher>>;

/// All live messages of one log.
#[derive(Debug, Default)]
pub(crate) struct Index {
    slots: Slots,
    chunks: Vec<Box<[Option<Entry>]>>,
    free: Vec<u32>,
    live_bytes: u64,
}

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Sum of `Entry::live_bytes`, as maintained through `change`.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    pub(crate) fn find(&self, number: Number) -> Option<&Entry> {
        let slot = *self.slots.get(&number.get())?;
        let (chunk, at) = split(slot);
        let entry = self.chunks[chunk][at].as_ref();
        assert!(entry.is_some(), "a slot in use has an entry");
        entry
    }

    /// Lets `with` change an entry; keeps the sum of live bytes true.
    pub(crate) fn change<R>(
        &mut self,
        number: Number,
        with: impl FnOnce(&mut Entry) -> R,
    ) -> Option<R> {
        let slot = *self.slots.get(&number.get())?;
        let (chunk, at) = split(slot);
        let entry = self.chunks[chunk][at].as_mut().expect("a slot in use has an entry");
        let before = entry.live_bytes();
        let result = with(entry);
        self.live_bytes = self.live_bytes - before + entry.live_bytes();
        Some(result)
    }

    /// Adds a message.
    ///
    /// # Panics
    /// When the number is already there: our bug.
    pub(crate) fn insert(&mut self, number: Number, entry: Entry) {
        self.live_bytes += entry.live_bytes();
        let slot = self.vacancy();
        let (chunk, at) = split(slot);
        self.chunks[chunk][at] = Some(entry);
        let old = self.slots.insert(number.get(), slot);
        assert!(old.is_none(), "message {number} is already live");
    }

    pub(crate) fn remove(&mut self, number: Number) -> Option<Entry> {
        let slot = self.slots.remove(&number.get())?;
        let (chunk, at) = split(slot);
        let entry = self.chunks[chunk][at].take().expect("a slot in use has an entry");
        self.free.push(slot);
        self.live_bytes -= entry.live_bytes();
        Some(entry)
    }

    /// All messages, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Number, &Entry)> {
        self.slots.iter().filter_map(|(number, slot)| {
            let (chunk, at) = split(*slot);
            Some((Number::from_u64(*number)?, self.chunks[chunk][at].as_ref()?))
        })
    }

    fn vacancy(&mut self) -> u32 {
        if self.free.is_empty() {
            let base = (self.chunks.len() * CHUNK) as u32;
            self.chunks.push((0..CHUNK).map(|_| None).collect());
            self.free.extend((base..base + CHUNK as u32).rev());
        }
        self.free.pop().expect("just filled")
    }
}

fn split(slot: u32) -> (usize, usize) {
    (slot as usize / CHUNK, slot as usize % CHUNK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Core;

    fn entry(length: u32) -> Entry {
        Entry {
            arrival_us: 1,
            size: 1,
            until: 0,
            marks: Marks::default(),
            spans: None,
            place: Place { epoch: 1, offset: 4096, length },
            detail: Place::default(),
            envelope: 0,
            flags: 0,
            deferred: false,
            held: false,
        }
    }

    #[test]
    fn the_sum_of_live_bytes_follows_every_change() {
        let mut index = Index::default();
        let core = Core::new(0).unwrap();
        for counter in 1..=3000 {
            index.insert(Number::new(counter, core), entry(100));
        }
        assert_eq!((index.len(), index.live_bytes()), (3000, 300_000));
        let first = Number::new(1, core);
        index.change(first, |e| e.detail.length = 50);
        assert_eq!(index.live_bytes(), 300_050);
        assert!(index.remove(first).is_some() && index.remove(first).is_none());
        assert_eq!(index.live_bytes(), 299_900);
        assert_eq!(index.iter().count(), 2999);
    }

    #[test]
    fn a_live_message_costs_at_most_150_bytes() {
        // A hash slot is 16 bytes and a control byte, at worst just after doubling at 7/16.
        let hash_slot = 17.0 * 16.0 / 7.0;
        assert!(size_of::<Option<Entry>>() as f64 + hash_slot <= 150.0);
    }
}
