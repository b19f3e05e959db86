//! Reclaim: gives segments back, in order, and copies stragglers forward when the log is mostly
//! dead.
//!
//! Called by the engine when idle, and each turn with a small budget. FORMAT.md, "Recycling", says
//! why the order is strict and why nothing can come back from the dead.
//!
//! Diagnostics: `Reclaimed` says what happened. A straggler found damaged is put into `corrupt/`
//! (that one write blocks; it is rare and it is the mail's last chance).
//!
//! Limits: about `budget` bytes copied per call; nothing is copied while earlier copies are not
//! durable.

use std::sync::Arc;

use crate::{
    Full, Lsn, Number, ReadError,
    content::Piece,
    index::{Entry, Place},
    log::{Log, draft::Draft, supply::Retired, writer::Claim},
    record::{
        ALIGN, Commit, EXTENT_ENTRY, EXTENT_FIXED, Extent, HEADER, Kind, MESSAGE_FIXED, Message,
        Probe, STATE_FIXED, State, parse, probe,
    },
    replay::within,
};

/// Stragglers make room for the next segment after so many eighths of the active one; before, quick
/// mail has the time to go by itself.
const COPY_FROM: usize = 1;

/// What a step did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Reclaimed {
    /// Segments without live content, given back for reuse.
    pub segments: usize,
    /// Bytes of stragglers copied forward.
    pub copied: usize,
    /// Messages that were found damaged; their bytes are in `corrupt/`.
    pub corrupt: Vec<Number>,
    /// Whether another step has something to do already.
    pub more: bool,
}

/// A small or finished copy that waits to be durable before the index follows it.
#[derive(Debug)]
pub(super) struct Move {
    number: Number,
    from: Place,
    /// The copy; its state as of the copy is in the State record after it.
    to: Entry,
    old_detail: Place,
    lsn: Lsn,
}

/// A large straggler that is being copied, piece by piece.
#[derive(Debug)]
pub(super) struct Mover {
    from: Place,
    draft: Draft,
    /// Extents copied so far.
    next: usize,
}

impl Mover {
    fn new(from: Place, number: Number) -> Mover {
        let draft = Draft { number, extents: Vec::new(), spans: Vec::new(), size: 0 };
        Mover { from, draft, next: 0 }
    }
}

/// Why a straggler could not be copied now.
enum Stop {
    /// No room, or not readable yet: another time.
    Later,
    /// Its record is not what was written.
    Damaged,
}

impl From<Full> for Stop {
    fn from(_: Full) -> Stop {
        Stop::Later
    }
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Stop {
        match error {
            ReadError::Damaged => Stop::Damaged,
            _ => Stop::Later,
        }
    }
}

impl Log {
    /// Recycles segments without live content and, when the log's files are larger than twice its
    /// live bytes and two segments (or no segment can be had), copies up to about `budget` bytes
    /// of stragglers out of the oldest one.
    pub fn reclaim_step(&mut self, budget: usize) -> Reclaimed {
        let mut done = Reclaimed::default();
        self.finish_moves();
        while self.retire_oldest() {
            done.segments += 1;
        }
        if !self.writer.poisoned && self.moves.is_empty() && self.mostly_dead() {
            self.copy_stragglers(budget, &mut done);
        }
        done
    }

    /// Bytes of segments in use, the active one included.
    pub(super) fn log_bytes(&self) -> u64 {
        let used = self.ledgers.iter().filter(|l| l.segment.epoch() <= self.writer.epoch());
        used.map(|ledger| ledger.segment.head.size).sum()
    }

    /// Bytes of all files, and of the next one that is about to be made.
    pub(super) fn disk_bytes(&self) -> u64 {
        let held = self.ledgers.iter().map(|ledger| &ledger.segment);
        let all = held.chain(self.retired.iter().map(|retired| &retired.segment));
        let missing = self.writer.ready_count() == 0 && self.retired.is_empty();
        let next = missing && self.writer.is_used(COPY_FROM);
        let next = if next { self.store.segment_bytes() } else { 0 };
        all.map(|segment| segment.head.size).sum::<u64>() + next
    }

    /// What the files may take.
    pub(super) fn disk_bound(&self) -> u64 {
        2 * self.index.live_bytes() + 2 * self.store.segment_bytes()
    }

    /// Whether stragglers are being copied forward.
    pub(super) fn is_reclaiming(&self) -> bool {
        !self.moves.is_empty() || self.mostly_dead()
    }

    fn mostly_dead(&self) -> bool {
        let (used, live) = (self.log_bytes(), self.index.live_bytes());
        let segment = self.store.segment_bytes();
        let starved = self.hold_off && self.writer.ready_count() == 0;
        // The copies themselves need a segment before they free one.
        let begin = (self.disk_bound() - segment).max(2 * segment);
        self.disk_bytes() > begin || starved && used > live + live / 8 + segment
    }

    /// Retires the oldest segment when nothing needs it any more.
    fn retire_oldest(&mut self) -> bool {
        let Some(oldest) = self.ledgers.front() else { return false };
        let epoch = oldest.segment.epoch();
        let written = epoch < self.writer.oldest_unwritten();
        if !written || oldest.items > 0 || oldest.quiet > self.writer.durable {
            return false;
        }
        let ledger = self.ledgers.pop_front().expect("looked at above");
        self.store.shelf(self.core).withdraw(epoch);
        self.retired.push_back(Retired { segment: ledger.segment });
        self.cursor = 0;
        // There is a file to reuse again, whatever failed before.
        self.hold_off = false;
        true
    }

    fn copy_stragglers(&mut self, budget: usize, done: &mut Reclaimed) {
        while done.copied < budget {
            let Some(number) = self.next_straggler() else { return };
            let copied = match self.copy_forward(number, budget) {
                Ok(bytes) => bytes,
                Err(Stop::Later) => return,
                Err(Stop::Damaged) => match self.save_and_remove(number) {
                    Ok(()) => {
                        done.corrupt.push(number);
                        continue;
                    }
                    Err(_) => return,
                },
            };
            done.copied += copied;
            if self.mover.is_none() {
                self.cursor += 1;
            }
        }
        done.more = true;
    }

    /// The next live message with content in the oldest segment.
    fn next_straggler(&mut self) -> Option<Number> {
        if let Some(mover) = &self.mover {
            return Some(mover.draft.number);
        }
        let oldest = self.ledgers.front()?;
        let epoch = oldest.segment.epoch();
        if epoch >= self.writer.oldest_unwritten() {
            return None;
        }
        while let Some(number) = oldest.numbers.get(self.cursor) {
            let number = Number::from_u64(*number).expect("ours");
            let entry = self.index.find(number);
            let here = entry.filter(|entry| entry.epochs().any(|at| at == epoch));
            // A large message counts once per part in the segment, but is copied once.
            let moving = |e: &Entry| e.spans.is_some() && self.is_moving(number);
            if here.is_some_and(|entry| !moving(entry)) {
                return Some(number);
            }
            self.cursor += 1;
        }
        None
    }

    fn copy_forward(&mut self, number: Number, budget: usize) -> Result<usize, Stop> {
        let entry = self.index.find(number).expect("a straggler is live").clone();
        if entry.spans.is_none() {
            return self.copy_small(&entry, number);
        }
        let record = self.whole_record(entry.place)?;
        let commit = Commit::read(&record).ok_or(Stop::Damaged)?;
        let mut mover = self.mover.take().unwrap_or_else(|| Mover::new(entry.place, number));
        assert_eq!(mover.from, entry.place, "the same message as before");
        let copied = self.copy_extents(&mut mover, &commit, budget);
        let finished = copied.and_then(|bytes| {
            let all = mover.next == commit.extents().len();
            if all {
                self.copy_commit(&mover.draft, &entry, &record, &commit)?
            }
            Ok((bytes, all))
        });
        match finished {
            Ok((bytes, true)) => Ok(bytes + record.len()),
            Ok((bytes, false)) => {
                self.mover = Some(mover);
                Ok(bytes)
            }
            Err(Stop::Later) => {
                self.mover = Some(mover);
                Err(Stop::Later)
            }
            Err(Stop::Damaged) => {
                self.abandon(mover.draft);
                Err(Stop::Damaged)
            }
        }
    }

    fn copy_small(&mut self, entry: &Entry, number: Number) -> Result<usize, Stop> {
        let record = self.whole_record(entry.place)?;
        let message = Message::read(&record).ok_or(Stop::Damaged)?;
        let state = self.state_record(entry)?;
        let length = record.len() + state_room(&state);
        self.writer.admit(length, Claim::Straggler)?;
        let fixed = Message::fixed(entry.arrival_us, entry.flags(), entry.envelope());
        let parts: [&[u8]; 3] = [&fixed, message.envelope, message.content];
        let place = self.writer.put(Kind::Message, number.get(), &parts);
        assert_eq!(
            place.length as usize,
            MESSAGE_FIXED + message.envelope.len() + message.content.len()
        );
        self.ledger(place.epoch).hold(number);
        let mut to = entry.clone();
        to.place = place;
        self.put_moved(entry, to, number, state);
        Ok(record.len())
    }

    /// Copies extents until about `budget` bytes are copied or there are no more.
    fn copy_extents(
        &mut self,
        mover: &mut Mover,
        commit: &Commit<'_>,
        budget: usize,
    ) -> Result<usize, Stop> {
        let mut copied = 0;
        for extent in commit.extents().skip(mover.next) {
            if copied >= budget {
                break;
            }
            let piece = self.extent_bytes(extent, mover.draft.number)?;
            self.extend_as(&mut mover.draft, &piece, Claim::Straggler)?;
            copied += piece.len();
            mover.next += 1;
        }
        Ok(copied)
    }

    /// Ends the copy of a large message, its state with it.
    fn copy_commit(
        &mut self,
        draft: &Draft,
        entry: &Entry,
        record: &[u8],
        commit: &Commit<'_>,
    ) -> Result<(), Stop> {
        let state = self.state_record(entry)?;
        let more = draft.extents.len() * EXTENT_ENTRY;
        let room = record.len() + more + state_room(&state);
        self.writer.admit(room, Claim::Straggler)?;
        let (arrival, flags) = (entry.arrival_us, entry.flags());
        let new = self.put_commit(draft, arrival, flags, commit.envelope, Claim::Straggler)?;
        let mut to = entry.clone();
        (to.place, to.spans) = (new.place, new.spans);
        self.put_moved(entry, to, draft.number, state);
        Ok(())
    }

    /// A record read back and checked: damage must not get a fresh checksum.
    fn whole_record(&self, place: Place) -> Result<Piece, Stop> {
        let record = self.store.detail(self.core, place)?;
        match probe(&record, self.ledger_key(place.epoch)) {
            Probe::Valid(_) => Ok(record),
            _ => Err(Stop::Damaged),
        }
    }

    /// An extent's content, its record checked.
    fn extent_bytes(&self, extent: Extent, number: Number) -> Result<Piece, Stop> {
        let fixed = EXTENT_FIXED as u32;
        let offset = extent.offset.checked_sub(fixed).ok_or(Stop::Damaged)?;
        let length = extent.length.checked_add(fixed).ok_or(Stop::Damaged)?;
        let record = self.whole_record(Place { epoch: extent.epoch, offset, length })?;
        let own = parse(&record).is_some_and(|h| h.number == number.get());
        if !own {
            return Err(Stop::Damaged);
        }
        Ok(record.slice(fixed as usize..record.len()))
    }

    /// The body of the State record that goes with every copy: only both together count.
    fn state_record(&self, entry: &Entry) -> Result<Vec<u8>, Stop> {
        let detail = match entry.detail_place() {
            Some(place) => Some(self.store.detail(self.core, place)?),
            None => None,
        };
        let marks = entry.marks.to_bytes();
        let detail = detail.as_deref().unwrap_or_default();
        let (flags, held, until) = (entry.flags(), entry.is_held(), entry.until());
        let state = State { flags, held, until, marks: &marks, detail };
        let mut body = state.fixed().to_vec();
        body.extend_from_slice(&marks);
        body.extend_from_slice(detail);
        Ok(body)
    }

    /// Puts the State record right after a copy and remembers to follow the copy once both are
    /// durable.
    fn put_moved(&mut self, old: &Entry, mut to: Entry, number: Number, state: Vec<u8>) {
        let place = self.writer.put(Kind::State, number.get(), &[&state]);
        to.detail = within(place, STATE_FIXED + old.marks.to_bytes().len());
        let (from, old_detail, lsn) = (old.place, old.detail, self.writer.appended);
        self.moves.push_back(Move { number, from, to, old_detail, lsn });
    }

    /// Lets the index follow copies that are durable.
    pub(super) fn finish_moves(&mut self) {
        while self.moves.front().is_some_and(|m| m.lsn <= self.writer.durable) {
            let Move { number, from, to, old_detail, .. } =
                self.moves.pop_front().expect("looked at above");
            let old = self.index.change(number, |entry| {
                assert_eq!(entry.place, from, "one copy at a time");
                let old = entry.clone();
                let detail = to.detail;
                entry.follow(to);
                if entry.detail == old_detail {
                    entry.detail = detail;
                }
                old
            });
            self.forget(&old.expect("removal drops the move"));
        }
    }

    fn is_moving(&self, number: Number) -> bool {
        self.moves.iter().any(|m| m.number == number)
    }

    /// Drops a copy in progress of a message that is gone.
    pub(super) fn forget_move(&mut self, number: Number) {
        if let Some(at) = self.moves.iter().position(|m| m.number == number) {
            let dropped = self.moves.remove(at).expect("just found");
            self.forget(&dropped.to);
        }
        if let Some(mover) = self.mover.take_if(|m| m.draft.number == number) {
            self.abandon(mover.draft);
        }
    }

    /// Saves what is left of a live message that reads as `Damaged` and removes it; false when that
    /// cannot be done now. Blocks for one write: it is rare, and the mail's last chance.
    pub fn put_aside(&mut self, number: Number) -> bool {
        self.index.find(number).is_some() && self.save_and_remove(number).is_ok()
    }

    fn save_and_remove(&mut self, number: Number) -> Result<(), Stop> {
        let entry = self.index.find(number).expect("a straggler is live").clone();
        let location = entry.location(number);
        let record = self.store.detail(self.core, entry.place)?;
        let content = match entry.spans {
            Some(_) => match self.store.content(&location) {
                Ok(content) => content.to_vec(),
                // Its extents cannot be named any more: the record is all there is to save.
                Err(ReadError::Damaged) => Vec::new(),
                // The disk may read it later: nothing is given up for that.
                Err(_) => return Err(Stop::Later),
            },
            None => Vec::new(),
        };
        let (storage, dir) = (Arc::clone(self.store.storage()), self.store.corrupt_dir());
        let path = dir.join(number.to_string());
        let saved = storage.make_dir(&dir).and_then(|()| storage.save(&path, &[&record, &content]));
        saved.map_err(|_| Stop::Later)?;
        self.remove(number).map_err(|_| Stop::Later)?;
        Ok(())
    }
}

/// Room for the State record and for the padding of both records.
fn state_room(body: &[u8]) -> usize {
    HEADER + body.len() + 2 * ALIGN
}
