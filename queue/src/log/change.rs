//! Changes of a live message's state: marks, defers, holds, flags, removal.
//!
//! Each is one record and one change of the index; the record is durable when `Log::durable`
//! reaches the returned `Lsn`. They may use the reserve, so a full disk stops new mail first.

use crate::{
    Full, Lsn, MARK_INDEX_MAX, Number, Refused,
    index::Entry,
    log::{Log, writer::Claim},
    record::{DEFER_FIXED, FLAG_HELD, HEADER, Kind},
    replay::within,
};

impl Log {
    /// Marks recipients as done.
    ///
    /// # Errors
    /// `Unknown`, `IndexTooLarge`, or no room.
    pub fn mark(&mut self, number: Number, indices: &[u32]) -> Result<Lsn, Refused> {
        if let Some(index) = indices.iter().find(|index| **index > MARK_INDEX_MAX) {
            return Err(Refused::IndexTooLarge(*index));
        }
        let bytes: Vec<u8> = indices.iter().flat_map(|index| index.to_le_bytes()).collect();
        self.change(number, Kind::Mark, &[&bytes], |entry, _| {
            indices.iter().for_each(|index| entry.marks.insert(*index));
        })
    }

    /// Sets the next attempt, Unix seconds, and what is to be said about it (replaces the last).
    ///
    /// # Errors
    /// `Unknown`, or no room; `TooLarge` for a detail beyond `record_max`.
    pub fn defer(&mut self, number: Number, until: u64, detail: &[u8]) -> Result<Lsn, Refused> {
        let parts = [&until.to_le_bytes()[..], detail];
        self.change(number, Kind::Defer, &parts, |entry, place| {
            entry.set_until(Some(until));
            entry.detail = within(place, DEFER_FIXED);
        })
    }

    /// Puts the message on hold.
    ///
    /// # Errors
    /// `Unknown`, or no room.
    pub fn hold(&mut self, number: Number) -> Result<Lsn, Refused> {
        self.change(number, Kind::Hold, &[], |entry, _| entry.hold())
    }

    /// Takes the message off hold: back to deferred when it ever was, else to incoming.
    ///
    /// # Errors
    /// `Unknown`, or no room.
    pub fn release(&mut self, number: Number) -> Result<Lsn, Refused> {
        self.change(number, Kind::Release, &[], |entry, _| entry.release())
    }

    /// Replaces the engine's sticky flags. `FLAG_HELD` is not one of them.
    ///
    /// # Errors
    /// `Unknown`, or no room.
    pub fn set_flags(&mut self, number: Number, flags: u32) -> Result<Lsn, Refused> {
        let flags = flags & !FLAG_HELD;
        let body = u64::from(flags).to_le_bytes();
        self.change(number, Kind::Flags, &[&body], |entry, _| entry.set_flags(flags))
    }

    /// Ends the message: its content is gone for new readers once this is durable.
    ///
    /// # Errors
    /// `Unknown`, or no room.
    pub fn remove(&mut self, number: Number) -> Result<Lsn, Refused> {
        self.index.find(number).ok_or(Refused::Unknown(number))?;
        let lsn = self.put_state(number, Kind::Remove, &[])?.1;
        let entry = self.index.remove(number).expect("found above");
        self.forget(&entry);
        self.forget_move(number);
        Ok(lsn)
    }

    fn change(
        &mut self,
        number: Number,
        kind: Kind,
        parts: &[&[u8]],
        with: impl FnOnce(&mut Entry, crate::index::Place),
    ) -> Result<Lsn, Refused> {
        self.index.find(number).ok_or(Refused::Unknown(number))?;
        let (place, lsn) = self.put_state(number, kind, parts)?;
        self.index.change(number, |entry| with(entry, place)).expect("found above");
        Ok(lsn)
    }

    fn put_state(
        &mut self,
        number: Number,
        kind: Kind,
        parts: &[&[u8]],
    ) -> Result<(crate::index::Place, Lsn), Full> {
        let length = HEADER + parts.iter().map(|part| part.len()).sum::<usize>();
        if length > self.record_max {
            return Err(Full::TooLarge);
        }
        self.writer.admit(length, Claim::State)?;
        let place = self.writer.put(kind, number.get(), parts);
        assert!(place.length as usize == length, "one record");
        Ok((place, self.writer.appended))
    }
}
