//! Replay: turns the records of one core's log, in order, into its live messages.
//!
//! Called by `recover` (which then repairs) and `reader` (which changes nothing). Pure: bytes in,
//! index out. Nothing is asserted about the bytes.
//!
//! Limits: memory in proportion to live messages and to the extents of uncommitted drafts.

use std::collections::{HashMap, HashSet};

use crate::{
    Core, Lsn, Number,
    checkpoint::Checkpoint,
    index::{Entry, Index, Place, add_span},
    marks::MARK_INDEX_MAX,
    record::{
        Commit, DEFER_FIXED, EXTENT_FIXED, Extent, HEADER, Header, Kind, Message, STATE_FIXED,
        State, u32_at, u64_at,
    },
    segment::PAGE,
};

/// Epoch and first page of a batch.
type Batch = (u32, u32);

/// The state of a core's log as far as it has been replayed.
#[derive(Debug)]
pub(crate) struct Replay {
    core: Core,
    pub(crate) index: Index,
    pub(crate) last: Lsn,
    /// One above the largest counter seen in a record or promised by a lease.
    pub(crate) counter: u64,
    /// When the very last record is an orderly end: the next counter, and the promise of then.
    closed: Option<(u64, u64)>,
    /// Ranges of sequence numbers that are nowhere.
    pub(crate) missing: Vec<(Lsn, Lsn)>,
    /// Those of them that may have been in the batch that starts there.
    perhaps_torn: Vec<(Batch, Lsn, Lsn)>,
    /// The batch of the last record.
    batch: Batch,
    /// Commits whose extents are not all there.
    pub(crate) broken: HashMap<u64, Place>,
    /// Numbers whose content record was damaged, until a later record settles them.
    pub(crate) damaged: HashSet<u64>,
    drafts: HashMap<u64, HashSet<Extent>>,
    /// The latest copy of a live message, until the State record right after it is met.
    copy: Option<(Number, Lsn, Entry)>,
    /// Whether the next record may have any number (start of a segment, after a repaired gap).
    jump: bool,
}

impl Replay {
    pub(crate) fn new(core: Core) -> Replay {
        Replay {
            core,
            index: Index::default(),
            last: Lsn::default(),
            counter: 1,
            closed: None,
            missing: Vec::new(),
            perhaps_torn: Vec::new(),
            batch: (0, 0),
            broken: HashMap::new(),
            damaged: HashSet::new(),
            drafts: HashMap::new(),
            copy: None,
            jump: true,
        }
    }

    /// Goes on from a checkpoint; false when it says something that cannot be.
    pub(crate) fn resume(&mut self, checkpoint: &Checkpoint) -> bool {
        self.last = checkpoint.summary.lsn;
        self.lease(checkpoint.summary.counter);
        self.jump = false;
        let (core, mut before) = (self.core, None);
        checkpoint.messages(|number, entry| {
            let good = number.core() == core && Some(number) > before && entry.is_sane();
            before = Some(number);
            if good {
                self.index.insert(number, entry);
            }
            good
        })
    }

    /// Whether nothing but ordinary records was met.
    pub(crate) fn is_clean(&self) -> bool {
        self.missing.is_empty() && self.broken.is_empty() && self.damaged.is_empty()
    }

    /// A lease or a counter from a segment header.
    pub(crate) fn lease(&mut self, counter: u64) {
        // A damaged promise must not use up the numbers: 2^56 is beyond any real queue.
        if counter < 1 << 56 {
            self.counter = self.counter.max(counter);
        }
    }

    /// The next records need not follow the last ones: something between was recycled or lost.
    pub(crate) fn jump(&mut self) {
        self.jump = true;
    }

    /// Notes that a record about `number` is unreadable.
    pub(crate) fn damage(&mut self, header: Option<Header>) {
        self.jump = true;
        if let Some(header) = header
            && matches!(header.kind, Kind::Message | Kind::Commit)
        {
            self.damaged.insert(header.number);
        }
    }

    /// Applies one whole record that stands at `offset` of the segment used as `epoch`.
    pub(crate) fn apply(&mut self, offset: usize, header: &Header, record: &[u8]) {
        if header.kind == Kind::Skip {
            self.jump = true;
            return;
        }
        if header.lsn <= self.last.0 {
            self.before_checkpoint(offset, header, record);
            return;
        }
        self.batch = (header.key.epoch, header.batch);
        if !self.jump && header.lsn > self.last.0 + 1 {
            self.miss(offset, self.last.next(), Lsn(header.lsn - 1));
        }
        self.jump = false;
        self.last = Lsn(header.lsn);
        self.closed = None;
        let place = Place { epoch: header.key.epoch, offset: offset as u32, length: header.length };
        match header.kind {
            Kind::Lease => self.lease(u64_at(record, HEADER).unwrap_or(0)),
            Kind::Close => self.closed = u64_at(record, HEADER).zip(u64_at(record, HEADER + 8)),
            _ => self.about_message(header, place, record),
        }
    }

    /// A record that a checkpoint has already: only parts of a draft that was open count.
    fn before_checkpoint(&mut self, offset: usize, header: &Header, record: &[u8]) {
        let number = Number::from_u64(header.number).filter(|n| n.core() == self.core);
        if let (Kind::Extent, Some(number)) = (header.kind, number) {
            let (epoch, length) = (header.key.epoch, header.length);
            self.extent(number, Place { epoch, offset: offset as u32, length }, record);
        }
    }

    /// Notes that the records `from..=to` are not there, seen at `offset` of the current batch.
    fn miss(&mut self, offset: usize, from: Lsn, to: Lsn) {
        if offset > self.batch.1 as usize * PAGE {
            self.perhaps_torn.push((self.batch, from, to));
        } else {
            self.missing.push((from, to));
        }
    }

    /// The next counter to give out. An orderly end counts as long as nothing was promised after
    /// it: numbers may have been given out since, and every start promises more than before.
    pub(crate) fn next_counter(&self) -> u64 {
        let exact = self.closed.filter(|(next, promise)| *next > 0 && *promise >= self.counter);
        exact.map_or(self.counter, |(next, _)| next.min(self.counter))
    }

    fn about_message(&mut self, header: &Header, place: Place, record: &[u8]) {
        let Some(number) = Number::from_u64(header.number).filter(|n| n.core() == self.core) else {
            return;
        };
        self.lease(number.counter() + 1);
        match header.kind {
            Kind::Message => self.message(number, place, record),
            Kind::Extent => self.extent(number, place, record),
            Kind::Commit => self.commit(number, place, record),
            Kind::Remove => self.remove(number),
            Kind::State => self.state(number, place, record),
            _ => drop(self.index.change(number, |e| change(e, header.kind, place, record))),
        }
    }

    fn message(&mut self, number: Number, place: Place, record: &[u8]) {
        let Some(message) = Message::read(record) else { return };
        let envelope = message.envelope.len() as u32;
        let entry = Entry::new(place, message.arrival_us, envelope, message.flags);
        self.put(number, entry);
    }

    fn extent(&mut self, number: Number, place: Place, record: &[u8]) {
        let Some(length) = place.length.checked_sub(EXTENT_FIXED as u32) else { return };
        let offset = place.offset + EXTENT_FIXED as u32;
        if record.len() > EXTENT_FIXED {
            let extent = Extent { epoch: place.epoch, offset, length };
            self.drafts.entry(number.get()).or_default().insert(extent);
        }
    }

    fn commit(&mut self, number: Number, place: Place, record: &[u8]) {
        let there = self.drafts.remove(&number.get()).unwrap_or_default();
        let commit = Commit::read(record).filter(|c| c.extents().all(|e| there.contains(&e)));
        let Some(commit) = commit else {
            self.broken.insert(number.get(), place);
            return;
        };
        let mut spans = Vec::new();
        for extent in commit.extents() {
            add_span(&mut spans, extent);
        }
        let envelope = commit.envelope.len() as u32;
        let mut entry = Entry::new(place, commit.arrival_us, envelope, commit.flags);
        entry.spans = Some(Box::new(spans));
        self.put(number, entry);
    }

    /// A new message, or a copy of a live one, which counts only with its State record.
    fn put(&mut self, number: Number, new: Entry) {
        self.damaged.remove(&number.get());
        self.broken.remove(&number.get());
        if self.index.find(number).is_some() {
            self.copy = Some((number, self.last, new));
        } else {
            self.index.insert(number, new);
        }
    }

    /// A State record: follows the copy right before it. A copy whose State was torn away is not
    /// followed, for the original's segment would be recycled, and the marks in it with it.
    fn state(&mut self, number: Number, place: Place, record: &[u8]) {
        let last = self.last;
        let copy = self.copy.take_if(|(of, at, _)| *of == number && at.next() == last);
        self.index.change(number, |entry| {
            change(entry, Kind::State, place, record);
            if let Some((_, _, new)) = copy {
                entry.follow(new);
            }
        });
    }

    fn remove(&mut self, number: Number) {
        self.damaged.remove(&number.get());
        self.broken.remove(&number.get());
        self.drafts.remove(&number.get());
        drop(self.index.remove(number));
    }

    /// The extents of a broken commit that cannot be found are damage; forget what can.
    pub(crate) fn settle(&mut self) {
        // What the last, unfinished write did not bring to the disk is not missing.
        let torn = |batch: &Batch| *batch == self.batch;
        let lost = self.perhaps_torn.iter().filter(|(batch, ..)| !torn(batch));
        self.missing.extend(lost.map(|(_, from, to)| (*from, *to)));
        self.missing.sort_unstable();
        self.drafts.clear();
        let index = &self.index;
        let live = |n: &u64| Number::from_u64(*n).is_some_and(|n| index.find(n).is_some());
        self.broken.retain(|number, _| !live(number));
        self.damaged.retain(|number| !live(number));
    }
}

/// Applies a record that changes a live message.
fn change(entry: &mut Entry, kind: Kind, place: Place, record: &[u8]) {
    match kind {
        Kind::Mark => record[HEADER..]
            .as_chunks()
            .0
            .iter()
            .map(|word| u32::from_le_bytes(*word))
            .filter(|index| *index <= MARK_INDEX_MAX)
            .for_each(|index| entry.marks.insert(index)),
        Kind::Defer => {
            if let Some(until) = u64_at(record, HEADER) {
                entry.set_until(Some(until));
                entry.detail = within(place, DEFER_FIXED);
            }
        }
        Kind::Hold => entry.hold(),
        Kind::Release => entry.release(),
        Kind::Flags => entry.set_flags(u32_at(record, HEADER).unwrap_or(entry.flags())),
        Kind::State => {
            if let Some(state) = State::read(record) {
                set_state(entry, &state, place);
            }
        }
        _ => {}
    }
}

fn set_state(entry: &mut Entry, state: &State<'_>, place: Place) {
    entry.marks.merge(state.marks);
    entry.set_flags(state.flags);
    if state.held {
        entry.hold()
    } else {
        entry.release()
    }
    entry.set_until(state.until);
    entry.detail = within(place, STATE_FIXED + state.marks.len());
}

/// The part of a record after its first `skip` bytes; nowhere when there is none.
pub(crate) fn within(place: Place, skip: usize) -> Place {
    let skip = skip as u32;
    match place.length.checked_sub(skip) {
        None | Some(0) => Place::default(),
        Some(length) => Place { epoch: place.epoch, offset: place.offset + skip, length },
    }
}
