//! Drafts: large messages that stream into the log while they arrive.
//!
//! A draft's extents are in the log before anybody knows whether the message will be finished;
//! only the Commit record makes them a message. A draft dropped without `abandon` keeps its
//! segments from being recycled until the log is opened again.

use crate::{
    Full, Number,
    index::{Entry, Span, add_span},
    log::{Log, Placed, writer::Claim},
    record::{COMMIT_FIXED, Commit, EXTENT_ENTRY, EXTENT_FIXED, Extent, Kind},
    segment::PAGE,
};

/// Largest piece of content in one Extent record, bytes.
const EXTENT_MAX: usize = 256 << 10;
/// An extent is not cut smaller than this just to fill the end of a segment.
const EXTENT_MIN: usize = PAGE;

/// A large message in progress. End it with `Log::commit` or `Log::abandon`.
#[derive(Debug)]
#[must_use = "commit or abandon it"]
pub struct Draft {
    pub(super) number: Number,
    pub(super) extents: Vec<Extent>,
    pub(super) spans: Vec<Span>,
    pub(super) size: u64,
}

impl Draft {
    /// The message it will be.
    #[must_use]
    pub fn number(&self) -> Number {
        self.number
    }

    /// Bytes of content so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Log {
    /// Starts a large message under a reserved number.
    ///
    /// # Panics
    /// When the number is another core's or already live: a bug of the caller.
    pub fn begin(&mut self, number: Number) -> Draft {
        self.check_number(number);
        Draft { number, extents: Vec::new(), spans: Vec::new(), size: 0 }
    }

    /// Appends content to a draft: all of `bytes`, or nothing.
    ///
    /// # Errors
    /// As `append`; the draft stays usable. At most `BATCH_BYTES_MAX`/2 bytes at once.
    pub fn extend(&mut self, draft: &mut Draft, bytes: &[u8]) -> Result<(), Full> {
        self.extend_as(draft, bytes, Claim::Content)
    }

    pub(super) fn extend_as(
        &mut self,
        draft: &mut Draft,
        bytes: &[u8],
        claim: Claim,
    ) -> Result<(), Full> {
        let table = COMMIT_FIXED + (draft.extents.len() + 1) * EXTENT_ENTRY;
        if bytes.len() > super::BATCH_BYTES_MAX / 2 || table > self.commit_max(claim) {
            return Err(Full::TooLarge);
        }
        // Each record's header and padding, and the unused end of each segment on the way.
        let pieces = bytes.len() / self.extent_max() + 2 + bytes.len() / (512 << 10) * 2;
        self.writer.admit_divisible(bytes.len() + pieces * (EXTENT_MIN + PAGE), claim)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = self.extent_room();
            let (piece, after) = rest.split_at(rest.len().min(room));
            self.put_extent(draft, piece);
            rest = after;
        }
        Ok(())
    }

    /// Largest Commit record. A copy may be cut into more extents than its original was, and must
    /// not fail for that.
    fn commit_max(&self, claim: Claim) -> usize {
        if claim == Claim::Straggler { 2 * self.record_max } else { self.record_max }
    }

    fn extent_max(&self) -> usize {
        EXTENT_MAX.min(self.record_max - EXTENT_FIXED)
    }

    /// How long the next extent may be; goes to the next segment when hardly anything is left.
    fn extent_room(&mut self) -> usize {
        if self.writer.left() < EXTENT_FIXED + EXTENT_MIN {
            self.writer.rotate();
        }
        let left = self.writer.left() - EXTENT_FIXED;
        left.min(self.extent_max())
    }

    fn put_extent(&mut self, draft: &mut Draft, piece: &[u8]) {
        assert!(!piece.is_empty(), "an extent has content");
        let start = draft.size.to_le_bytes();
        let place = self.writer.put(Kind::Extent, draft.number.get(), &[&start, piece]);
        let offset = place.offset + EXTENT_FIXED as u32;
        let extent = Extent { epoch: place.epoch, offset, length: piece.len() as u32 };
        if draft.extents.is_empty() {
            self.open_drafts.insert((place.epoch, place.offset));
        }
        draft.extents.push(extent);
        draft.size += piece.len() as u64;
        if add_span(&mut draft.spans, extent) {
            self.ledger(place.epoch).hold(draft.number);
        }
    }

    /// Ends a large message; it is promised once the returned `lsn` is durable.
    ///
    /// # Errors
    /// `Full`, together with the draft, which can be committed again or abandoned.
    pub fn commit(
        &mut self,
        draft: Draft,
        arrival_us: u64,
        flags: u32,
        envelope: &[u8],
    ) -> Result<Placed, (Full, Draft)> {
        self.check_number(draft.number);
        let entry = match self.put_commit(&draft, arrival_us, flags, envelope, Claim::Content) {
            Ok(entry) => entry,
            Err(full) => return Err((full, draft)),
        };
        let location = entry.location(draft.number);
        self.index.insert(draft.number, entry);
        // The search for stragglers may have passed it by while it was not a message yet.
        self.cursor = 0;
        let lsn = self.writer.appended;
        Ok(Placed { number: draft.number, location, lsn })
    }

    pub(super) fn put_commit(
        &mut self,
        draft: &Draft,
        arrival_us: u64,
        flags: u32,
        envelope: &[u8],
        claim: Claim,
    ) -> Result<Entry, Full> {
        let table = Commit::table(&draft.extents);
        let (length, count) = (COMMIT_FIXED + envelope.len() + table.len(), draft.extents.len());
        if length > self.commit_max(claim) {
            return Err(Full::TooLarge);
        }
        self.writer.admit(length, claim)?;
        let envelope_len = envelope.len() as u32;
        let fixed = Commit::fixed(arrival_us, flags, envelope_len, draft.size, count as u32);
        let parts: [&[u8]; 3] = [&fixed, envelope, &table];
        let place = self.writer.put(Kind::Commit, draft.number.get(), &parts);
        assert_eq!(place.length as usize, length, "one record");
        self.end_of_draft(draft);
        self.ledger(place.epoch).hold(draft.number);
        let mut entry = Entry::new(place, arrival_us, envelope_len, flags);
        entry.spans = Some(Box::new(draft.spans.clone()));
        Ok(entry)
    }

    /// No checkpoint needs to be read from its first extent on any more.
    fn end_of_draft(&mut self, draft: &Draft) {
        if let Some(first) = draft.extents.first() {
            self.open_drafts.remove(&(first.epoch, first.offset - EXTENT_FIXED as u32));
        }
    }

    /// Gives a draft up; its space is reclaimed.
    pub fn abandon(&mut self, draft: Draft) {
        self.end_of_draft(&draft);
        let lsn = self.writer.appended;
        for span in &draft.spans {
            self.ledger(span.epoch).let_go(lsn);
        }
    }
}
