//! The index: what a log knows in memory about each of its live messages.
//!
//! Called by `log` (the owner), `recover` (which fills it) and `checkpoint` (which saves it).
//!
//! Limits: `ENTRY_BYTES_MAX` and a number per message; large messages and those of which some
//! recipients are done a little more.

mod stored;

pub(crate) use stored::STORED_FIXED;

use crate::{
    Number, NumberMap,
    content::Location,
    marks::Marks,
    record::{Extent, FLAG_HELD, MESSAGE_FIXED},
};

/// Largest entry.
const ENTRY_BYTES_MAX: usize = 64;

const _: () = assert!(size_of::<Entry>() <= ENTRY_BYTES_MAX);

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
    /// Next attempt, Unix seconds; meaningful when deferred.
    until: u64,
    pub(crate) marks: Marks,
    /// Per-segment sums of a large message's extents; none for a message in one record.
    #[expect(clippy::box_collection, reason = "half the size of a bare Vec's three words")]
    pub(crate) spans: Option<Box<Vec<Span>>>,
    /// The Message or Commit record.
    pub(crate) place: Place,
    /// The detail bytes of the latest Defer (not the record).
    pub(crate) detail: Place,
    /// Length of the envelope, and whether it was deferred.
    envelope: u32,
    /// The engine's, and whether it is held.
    flags: u32,
}

/// Where `Entry::envelope` keeps whether the message was deferred: no record is that long.
const DEFERRED: u32 = 1 << 31;

impl Entry {
    /// A message as it is when it has just arrived.
    pub(crate) fn new(place: Place, arrival_us: u64, envelope: u32, flags: u32) -> Entry {
        assert!(envelope < DEFERRED, "an envelope fits a record");
        Entry {
            arrival_us,
            until: 0,
            marks: Marks::default(),
            spans: None,
            place,
            detail: Place::default(),
            envelope,
            flags,
        }
    }

    pub(crate) fn envelope(&self) -> u32 {
        self.envelope & !DEFERRED
    }

    /// The engine's flags.
    pub(crate) fn flags(&self) -> u32 {
        self.flags & !FLAG_HELD
    }

    pub(crate) fn set_flags(&mut self, flags: u32) {
        self.flags = self.flags & FLAG_HELD | flags & !FLAG_HELD;
    }

    pub(crate) fn is_held(&self) -> bool {
        self.flags & FLAG_HELD != 0
    }

    pub(crate) fn hold(&mut self) {
        self.flags |= FLAG_HELD;
    }

    pub(crate) fn release(&mut self) {
        self.flags &= !FLAG_HELD;
    }

    /// The next attempt, Unix seconds; none when it was never deferred.
    pub(crate) fn until(&self) -> Option<u64> {
        (self.envelope & DEFERRED != 0).then_some(self.until)
    }

    pub(crate) fn set_until(&mut self, until: Option<u64>) {
        let deferred = if until.is_some() { DEFERRED } else { 0 };
        self.envelope = self.envelope() | deferred;
        self.until = until.unwrap_or(0);
    }

    /// Whether its numbers fit each other: for entries that come from a disk.
    pub(crate) fn is_sane(&self) -> bool {
        let fixed = (MESSAGE_FIXED as u64) + u64::from(self.envelope());
        self.place.epoch > 0 && (self.spans.is_some() || u64::from(self.place.length) >= fixed)
    }

    /// Bytes of content.
    pub(crate) fn size(&self) -> u64 {
        match &self.spans {
            Some(spans) => spans.iter().map(|span| span.bytes).sum(),
            None => u64::from(self.place.length) - (MESSAGE_FIXED as u32 + self.envelope()) as u64,
        }
    }

    /// Stands where `copy` does from now on.
    pub(crate) fn follow(&mut self, copy: Entry) {
        let deferred = self.envelope & DEFERRED;
        self.envelope = copy.envelope() | deferred;
        (self.place, self.spans) = (copy.place, copy.spans);
    }

    pub(crate) fn location(&self, number: Number) -> Location {
        Location::new(number, self.place, self.envelope(), self.spans.is_some())
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

    /// Every segment that it needs, that of its detail too.
    pub(crate) fn needs(&self) -> impl Iterator<Item = u32> + '_ {
        self.epochs().chain(self.detail_place().map(|place| place.epoch))
    }

    /// The segments that hold its content, each once per reason.
    pub(crate) fn epochs(&self) -> impl Iterator<Item = u32> + '_ {
        let spans = self.spans.iter().flat_map(|spans| spans.iter()).map(|span| span.epoch);
        std::iter::once(self.place.epoch).chain(spans)
    }
}

/// All live messages of one log.
#[derive(Debug, Default)]
pub(crate) struct Index {
    entries: NumberMap<Entry>,
    live_bytes: u64,
}

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Sum of `Entry::live_bytes`, as maintained through `change`.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    pub(crate) fn find(&self, number: Number) -> Option<&Entry> {
        self.entries.get(number)
    }

    /// Lets `with` change an entry; keeps the sum of live bytes true.
    pub(crate) fn change<R>(
        &mut self,
        number: Number,
        with: impl FnOnce(&mut Entry) -> R,
    ) -> Option<R> {
        let entry = self.entries.get_mut(number)?;
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
        let old = self.entries.insert(number, entry);
        assert!(old.is_none(), "message {number} is already live");
    }

    pub(crate) fn remove(&mut self, number: Number) -> Option<Entry> {
        let entry = self.entries.remove(number)?;
        self.live_bytes -= entry.live_bytes();
        Some(entry)
    }

    /// The newest message.
    pub(crate) fn last(&self) -> Option<Number> {
        self.entries.last()
    }

    /// All messages, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Number, &Entry)> {
        self.entries.iter()
    }

    /// Those after `number`, in order; all when there is none.
    pub(crate) fn iter_after(
        &self,
        number: Option<Number>,
    ) -> impl Iterator<Item = (Number, &Entry)> {
        self.entries.iter_after(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Core;

    fn entry(length: u32) -> Entry {
        Entry::new(Place { epoch: 1, offset: 4096, length }, 1, 0, 0)
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
    fn what_is_packed_comes_back() {
        let mut entry = Entry::new(Place { epoch: 1, offset: 4096, length: 100 }, 1, 6, FLAG_HELD);
        assert_eq!((entry.flags(), entry.is_held(), entry.until()), (0, true, None));
        entry.set_until(Some(0));
        entry.set_flags(u32::MAX);
        entry.release();
        assert_eq!((entry.until(), entry.envelope(), entry.size()), (Some(0), 6, 30));
        assert_eq!((entry.flags(), entry.is_held()), (!FLAG_HELD, false));
    }
}
