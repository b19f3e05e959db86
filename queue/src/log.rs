//! One core's log: the only writer of its segments and the index of its live messages.
//!
//! Owned by the core's thread. Nothing here blocks except `join`, `close`, and the two rare cases
//! named at `reserve_number` and `reclaim_step`.
//!
//! State table (one message): Draft -> Incoming | Held (append, commit) -> Deferred (defer) <->
//! Held (hold, release) -> removed (remove). Every change is one record; see FORMAT.md.
//!
//! Diagnostics: `Full` and `Refused` change nothing; `Poisoned` is final.
//!
//! Limits: `record_max` bytes per record, `append_max` of content per `append`.

mod change;
mod checkpoint;
mod draft;
mod reclaim;
mod supply;
mod writer;

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    path::Path,
    sync::Arc,
};

use crate::{
    Content, Core, Full, Location, Lsn, Marks, Number, OpenError, Options, Piece, Poisoned,
    ReadError, Recovery, Store,
    checkpoint::Position,
    index::{Entry, Index, Place},
    record::{HEADER, Key, Kind, MESSAGE_FIXED, Message},
    recover::{self, Loaded},
    repair,
    segment::{Head, PAGE, Segment},
    storage::Access,
};

pub use checkpoint::CheckpointRequest;
pub use draft::Draft;
pub use reclaim::Reclaimed;
pub use supply::{ReadySegment, SegmentRequest};
pub use writer::{BATCH_BYTES_MAX, Flush, FlushId};

use reclaim::{Move, Mover};
use supply::{Job, Retired, target};
use writer::{Claim, Writer};

/// Largest record, where segments are large enough.
const RECORD_MAX: usize = 1 << 20;
/// Counters promised at a time; at most this many numbers are skipped by a crash.
const LEASE_STEP: u64 = 1024;
/// Largest step, after bursts that used up a promise before the next one was durable.
const LEASE_STEP_MAX: u64 = 1 << 16;

/// Where a live message stands in Postfix's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Never tried, or tried and not yet deferred.
    Incoming,
    /// To be tried again at `until`, Unix seconds.
    Deferred {
        /// Unix seconds.
        until: u64,
    },
    /// Parked.
    Held,
}

/// A message that has been appended; it is promised once `Log::durable` reaches `lsn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The message.
    pub number: Number,
    /// Where it stands.
    pub location: Location,
    /// Its last record.
    pub lsn: Lsn,
}

/// What is known about a live message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// The message.
    pub number: Number,
    /// Arrival, microseconds since 1970, as given.
    pub arrival_us: u64,
    /// Bytes of content.
    pub size: u64,
    /// The engine's sticky flags.
    pub flags: u32,
    /// Recipients that are done.
    pub marks: Marks,
    /// Where it stands in Postfix's terms.
    pub state: State,
    /// Next attempt by the last Defer, also while held; Unix seconds.
    pub until: Option<u64>,
    /// Where it stands in the log.
    pub location: Location,
}

impl Live {
    pub(crate) fn of(number: Number, entry: &Entry) -> Live {
        let until = entry.until();
        let state = match (entry.is_held(), until) {
            (true, _) => State::Held,
            (false, Some(until)) => State::Deferred { until },
            (false, None) => State::Incoming,
        };
        Live {
            number,
            arrival_us: entry.arrival_us,
            size: entry.size(),
            flags: entry.flags(),
            marks: entry.marks.clone(),
            state,
            until,
            location: entry.location(number),
        }
    }
}

/// What the log knows about one segment in use (or ready).
#[derive(Debug)]
struct Ledger {
    segment: Arc<Segment>,
    /// Live content records, and open drafts with extents, in it.
    items: usize,
    /// Every message that ever counted, to find stragglers by.
    numbers: Vec<u64>,
    /// The record that made `items` zero.
    quiet: Lsn,
}

impl Ledger {
    fn new(segment: Arc<Segment>) -> Ledger {
        Ledger { segment, items: 0, numbers: Vec::new(), quiet: Lsn::default() }
    }

    fn hold(&mut self, number: Number) {
        self.items += 1;
        self.numbers.push(number.get());
    }

    fn let_go(&mut self, lsn: Lsn) {
        assert!(self.items > 0, "what is let go was held");
        self.items -= 1;
        if self.items == 0 {
            self.quiet = self.quiet.max(lsn);
        }
    }
}

/// The promise of numbers: what may be handed out is on disk before it is handed out.
#[derive(Debug)]
struct Lease {
    next: u64,
    durable: u64,
    pending: Option<(u64, Lsn)>,
    step: u64,
}

impl Lease {
    fn promised(&self) -> u64 {
        self.pending.map_or(self.durable, |(end, _)| end.max(self.durable))
    }
}

/// One core's log.
#[derive(Debug)]
pub struct Log {
    store: Store,
    core: Core,
    index: Index,
    writer: Writer,
    /// In order of epoch: in use, active, ready.
    ledgers: VecDeque<Ledger>,
    retired: VecDeque<Retired>,
    slots: BTreeSet<u32>,
    /// The latest epoch given to any segment.
    epoch: u32,
    lease: Lease,
    request: Option<(Job, Head)>,
    hold_off: bool,
    volume_free: u64,
    record_max: usize,
    moves: VecDeque<Move>,
    mover: Option<Mover>,
    /// Position in the oldest ledger's `numbers`.
    cursor: usize,
    /// Where the first extents of drafts stand that are not ended yet.
    open_drafts: BTreeSet<Position>,
    checkpoint: checkpoint::Stage,
}

impl Log {
    /// Opens the queue directory for one core alone; see `Store::open` and `Log::join`.
    ///
    /// # Errors
    /// As both.
    pub fn open(dir: &Path, core: Core, options: Options) -> Result<(Log, Recovery), OpenError> {
        Log::join(&Store::open(dir, options)?, core)
    }

    /// Opens one core's log: replays it, repairs it, and makes its first segment. Blocks.
    ///
    /// # Errors
    /// `CoreTaken` when it is open already, `NoSpace` when not even one segment can be made.
    pub fn join(store: &Store, core: Core) -> Result<(Log, Recovery), OpenError> {
        if !store.shelf(core).claim() {
            return Err(OpenError::CoreTaken(core.get()));
        }
        let opened = Log::join_claimed(store, core);
        if opened.is_err() {
            store.shelf(core).unclaim();
        }
        opened
    }

    fn join_claimed(store: &Store, core: Core) -> Result<(Log, Recovery), OpenError> {
        let dir = store.core_dir(core);
        let storage = store.storage();
        storage.make_dir(&dir).map_err(OpenError::io(&dir))?;
        let mut survey = recover::find(&**storage, &dir, core)?;
        if !survey.by_checkpoint {
            // What repairs put aside must not come back by an older checkpoint.
            let path = dir.join(crate::checkpoint::FILE);
            storage.remove(&path).map_err(OpenError::io(&path))?;
        }
        let recovery = repair::repair(store, core, &mut survey)?;
        if survey.segments.is_empty() {
            let first = first_segment(store, core, &survey)?;
            survey.segments.push(first);
        }
        let mut log = Log::from_survey(store, core, survey)?;
        log.renew_lease_now().map_err(OpenError::io(&dir))?;
        Ok((log, recovery))
    }

    fn from_survey(store: &Store, core: Core, survey: recover::Survey) -> Result<Log, OpenError> {
        let replay = survey.replay;
        let at = survey.segments.iter().rposition(|s| s.end.any).unwrap_or(0);
        let active = &survey.segments[at];
        let shelf = Arc::clone(store.shelf(core));
        let file = open(store, active, store.write_access())?;
        let next = active.end.next.max(PAGE).min(active.head.size as usize);
        let tail_bytes = store.options().tail_bytes;
        let active = target(active.head, next, file);
        let space = store.storage().space(&store.core_dir(core));
        let smallest = survey.segments[at..].iter().map(|s| s.head.size).min();
        let smallest = smallest.unwrap_or(store.segment_bytes()).min(store.segment_bytes());
        let (next, promised) = (replay.next_counter(), replay.counter);
        let mut log = Log {
            store: store.clone(),
            core,
            index: replay.index,
            writer: Writer::new(shelf, active, replay.last, tail_bytes),
            ledgers: VecDeque::new(),
            retired: VecDeque::new(),
            slots: survey.segments.iter().map(|s| s.head.slot).collect(),
            epoch: survey.segments.last().map_or(0, |s| s.head.key.epoch),
            lease: Lease { next, durable: promised, pending: None, step: LEASE_STEP },
            request: None,
            hold_off: false,
            volume_free: space.map_or(0, |space| space.free),
            record_max: (smallest as usize / 4).min(RECORD_MAX),
            moves: VecDeque::new(),
            mover: None,
            cursor: 0,
            open_drafts: BTreeSet::new(),
            checkpoint: checkpoint::Stage::Idle(0),
        };
        // What was read at this start is to be read again at the next one without a checkpoint.
        log.writer.sealed_bytes = survey.bytes_read;
        log.take_segments(&survey.segments, at)?;
        log.fill_ledgers();
        Ok(log)
    }

    /// Makes every segment known; those after the active one are ready.
    fn take_segments(&mut self, segments: &[Loaded], active: usize) -> Result<(), OpenError> {
        for (at, loaded) in segments.iter().enumerate() {
            let read = open(&self.store, loaded, Access::Read)?;
            if at > active {
                let write = open(&self.store, loaded, self.store.write_access())?;
                self.add_ready(loaded.head, [write, read]);
                continue;
            }
            let segment = Arc::new(Segment::new(loaded.head, read));
            self.store.shelf(self.core).publish(Arc::clone(&segment));
            self.ledgers.push_back(Ledger::new(segment));
        }
        Ok(())
    }

    fn fill_ledgers(&mut self) {
        let mut held: Vec<(u32, Number)> = Vec::new();
        for (number, entry) in self.index.iter() {
            held.extend(entry.epochs().map(|epoch| (epoch, number)));
        }
        held.sort_unstable();
        held.into_iter().for_each(|(epoch, number)| self.ledger(epoch).hold(number));
    }

    /// The core whose messages these are.
    #[must_use]
    pub fn core(&self) -> Core {
        self.core
    }

    /// The store it belongs to.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// A number for a message to come; it is never given out again, also when nothing comes of it.
    ///
    /// Numbers are promised on disk ahead of time. Only when a burst uses up the promise before
    /// the next one is durable, this writes one page and waits for it; if that fails the log is
    /// poisoned, so that no message can be promised under the number.
    pub fn reserve_number(&mut self) -> Number {
        if self.lease.next >= self.lease.durable && !self.writer.poisoned {
            self.lease.step = (2 * self.lease.step).min(LEASE_STEP_MAX);
            if let Err(error) = self.renew_lease_now() {
                drop(self.writer.poison(error));
            }
        }
        let number = Number::new(self.lease.next, self.core);
        self.lease.next += 1;
        self.renew_lease_soon();
        number
    }

    /// Promises more numbers with the next flush once half of the promise is used.
    fn renew_lease_soon(&mut self) {
        let left = self.lease.durable.saturating_sub(self.lease.next);
        if left >= self.lease.step / 2 || self.lease.pending.is_some() {
            return;
        }
        if self.writer.admit(HEADER + 8, Claim::State).is_err() {
            return;
        }
        let end = self.lease.next + self.lease.step;
        self.writer.put(Kind::Lease, 0, &[&end.to_le_bytes()]);
        self.lease.pending = Some((end, self.writer.appended));
    }

    /// Writes the promise into the active segment's header and waits for it.
    fn renew_lease_now(&mut self) -> io::Result<()> {
        // More than ever before, so that an orderly end of the past does not count any more.
        let end = (self.lease.next + self.lease.step).max(self.lease.promised() + 1);
        let epoch = self.writer.epoch();
        let ledger = self.ledgers.iter().find(|l| l.segment.epoch() == epoch);
        let head = ledger.expect("the active segment is known").segment.head;
        let page = Head { lease: end, ..head }.page();
        let file = self.writer.active_file();
        if file.write_at(0, page.bytes())? != PAGE {
            return Err(io::ErrorKind::WriteZero.into());
        }
        file.sync()?;
        self.lease.durable = self.lease.durable.max(end);
        Ok(())
    }

    /// Largest record, bytes: an envelope with its fixed part (and, for a draft, 12 bytes per
    /// extent), or a detail, must fit.
    #[must_use]
    pub fn record_max(&self) -> usize {
        self.record_max
    }

    /// Largest content that `append` takes at once, bytes; larger ones need a `Draft`.
    #[must_use]
    pub fn append_max(&self) -> usize {
        BATCH_BYTES_MAX / 2
    }

    /// Appends a whole message under a reserved number. With `FLAG_HELD` it starts held.
    ///
    /// # Errors
    /// See `Full`.
    ///
    /// # Panics
    /// When the number is another core's or already live: a bug of the caller.
    pub fn append(
        &mut self,
        number: Number,
        arrival_us: u64,
        flags: u32,
        envelope: &[u8],
        content: &[&[u8]],
    ) -> Result<Placed, Full> {
        self.check_number(number);
        let size: usize = content.iter().map(|part| part.len()).sum();
        let length = MESSAGE_FIXED + envelope.len() + size;
        if length > self.record_max {
            return self.append_large(number, arrival_us, flags, envelope, content);
        }
        self.writer.admit(length, Claim::Content)?;
        let fixed = Message::fixed(arrival_us, flags, envelope.len() as u32);
        let place = self.put_parts(number, &fixed, envelope, content);
        self.ledger(place.epoch).hold(number);
        let entry = Entry::new(place, arrival_us, envelope.len() as u32, flags);
        let location = entry.location(number);
        self.index.insert(number, entry);
        Ok(Placed { number, location, lsn: self.writer.appended })
    }

    /// Puts a Message record without gathering its parts on the heap when they are few.
    fn put_parts(&mut self, number: Number, fixed: &[u8], env: &[u8], content: &[&[u8]]) -> Place {
        let kind = Kind::Message;
        match content {
            [] => self.writer.put(kind, number.get(), &[fixed, env]),
            [one] => self.writer.put(kind, number.get(), &[fixed, env, one]),
            [one, two] => self.writer.put(kind, number.get(), &[fixed, env, one, two]),
            many => {
                let parts: Vec<&[u8]> =
                    [fixed, env].into_iter().chain(many.iter().copied()).collect();
                self.writer.put(kind, number.get(), &parts)
            }
        }
    }

    fn append_large(
        &mut self,
        number: Number,
        arrival_us: u64,
        flags: u32,
        envelope: &[u8],
        content: &[&[u8]],
    ) -> Result<Placed, Full> {
        let size: usize = content.iter().map(|part| part.len()).sum();
        if size > self.append_max() || MESSAGE_FIXED + envelope.len() > self.record_max / 2 {
            return Err(Full::TooLarge);
        }
        let mut draft = self.begin(number);
        for part in content {
            if let Err(full) = self.extend(&mut draft, part) {
                self.abandon(draft);
                return Err(full);
            }
        }
        self.commit(draft, arrival_us, flags, envelope).map_err(|(full, draft)| {
            self.abandon(draft);
            full
        })
    }

    fn check_number(&self, number: Number) {
        assert_eq!(number.core(), self.core, "a number of this core");
        assert!(number.counter() < self.lease.next, "a reserved number");
        assert!(self.index.find(number).is_none(), "a number is used once");
    }

    /// The last record appended.
    #[must_use]
    pub fn appended(&self) -> Lsn {
        self.writer.appended
    }

    /// The last record that is certainly on disk.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.writer.durable
    }

    /// The next write to make: everything appended since the last one that goes to one segment.
    /// None while a write is in flight, when there is nothing to write, or when poisoned.
    pub fn seal(&mut self) -> Option<Flush> {
        self.writer.seal()
    }

    /// Takes the outcome of a flush: how many bytes were written (and synced). Returns the last
    /// durable record: everybody up to it can be answered.
    ///
    /// # Errors
    /// `Poisoned` on an error or a short write: answer 451 to everybody above `durable`; the log
    /// takes nothing more until it is opened again.
    ///
    /// # Panics
    /// When no such flush is in flight: a bug of the caller.
    pub fn flushed(&mut self, id: FlushId, result: io::Result<usize>) -> Result<Lsn, Poisoned> {
        let durable = self.writer.flushed(id, result)?;
        if let Some((end, _)) = self.lease.pending.take_if(|(_, lsn)| *lsn <= durable) {
            self.lease.durable = self.lease.durable.max(end);
        }
        self.finish_moves();
        Ok(durable)
    }

    /// Whether a write failed.
    #[must_use]
    pub fn poisoned(&self) -> bool {
        self.writer.poisoned
    }

    /// Bytes of new mail that can still be taken before 452: what is in hand, and this core's
    /// share of the segments for which the volume had room when last asked.
    #[must_use]
    pub fn room(&self) -> u64 {
        if self.writer.poisoned {
            return 0;
        }
        let (size, cores) = (self.store.segment_bytes(), self.store.options().cores);
        let more = if self.hold_off { 0 } else { self.volume_free / size / u64::from(cores) };
        self.writer.in_hand() as u64 + more * (size - PAGE as u64)
    }

    /// Number of live messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no live message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All live messages, in order of their numbers.
    pub fn live(&self) -> impl Iterator<Item = Live> + '_ {
        self.live_after(None)
    }

    /// The live messages after `number`, in order of their numbers; all when there is none.
    pub fn live_after(&self, number: Option<Number>) -> impl Iterator<Item = Live> + '_ {
        self.index.iter_after(number).map(|(number, entry)| Live::of(number, entry))
    }

    /// The live message with the highest number.
    #[must_use]
    pub fn newest(&self) -> Option<Number> {
        self.index.last()
    }

    /// One live message.
    #[must_use]
    pub fn find(&self, number: Number) -> Option<Live> {
        self.index.find(number).map(|entry| Live::of(number, entry))
    }

    /// Where a live message stands now; ask again when the store says `Moved`.
    #[must_use]
    pub fn location(&self, number: Number) -> Option<Location> {
        self.index.find(number).map(|entry| entry.location(number))
    }

    /// The content of a live message.
    ///
    /// # Errors
    /// `Moved` when it is not live, otherwise as `Store::content`.
    pub fn content(&self, number: Number) -> Result<Content, ReadError> {
        self.store.content(&self.location(number).ok_or(ReadError::Moved)?)
    }

    /// The envelope of a live message.
    ///
    /// # Errors
    /// As `content`.
    pub fn envelope(&self, number: Number) -> Result<Piece, ReadError> {
        self.store.envelope(&self.location(number).ok_or(ReadError::Moved)?)
    }

    /// What the last `defer` said; none when there was none or it said nothing.
    ///
    /// # Errors
    /// As `content`.
    pub fn defer_detail(&self, number: Number) -> Result<Option<Piece>, ReadError> {
        let entry = self.index.find(number).ok_or(ReadError::Moved)?;
        entry.detail_place().map(|place| self.store.detail(self.core, place)).transpose()
    }

    /// Writes what is left and an orderly end, blocking. No flush may be in flight.
    ///
    /// # Errors
    /// What the system said; everything durable so far stays durable.
    pub fn close(mut self) -> io::Result<()> {
        let (next, promised) = (self.lease.next, self.lease.promised());
        if self.writer.admit(HEADER + 16, Claim::State).is_ok() {
            let parts: [&[u8]; 2] = [&next.to_le_bytes(), &promised.to_le_bytes()];
            self.writer.put(Kind::Close, 0, &parts);
        }
        while let Some(flush) = self.seal() {
            let written = flush.write_blocking();
            self.flushed(flush.id, written).map_err(|poisoned| poisoned.error)?;
        }
        Ok(())
    }

    fn ledger(&mut self, epoch: u32) -> &mut Ledger {
        let at = self.ledgers.partition_point(|ledger| ledger.segment.epoch() < epoch);
        let ledger = self.ledgers.get_mut(at).expect("a segment with live content is known");
        assert_eq!(ledger.segment.epoch(), epoch, "a segment with live content is known");
        ledger
    }

    fn ledger_key(&self, epoch: u32) -> Key {
        let at = self.ledgers.partition_point(|ledger| ledger.segment.epoch() < epoch);
        self.ledgers[at].segment.head.key
    }

    /// Takes a message's content out of the ledgers.
    fn forget(&mut self, entry: &Entry) {
        let lsn = self.writer.appended;
        for epoch in entry.epochs() {
            self.ledger(epoch).let_go(lsn);
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.store.shelf(self.core).unclaim();
    }
}

fn open(
    store: &Store,
    loaded: &Loaded,
    access: Access,
) -> Result<Arc<dyn crate::storage::StoredFile>, OpenError> {
    store.storage().open(&loaded.path, access).map_err(OpenError::io(&loaded.path))
}

/// Makes the very first segment of a core, here and now.
fn first_segment(store: &Store, core: Core, survey: &recover::Survey) -> Result<Loaded, OpenError> {
    let slot = (0..).find(|slot| !survey.slots.contains(slot)).expect("fewer files than numbers");
    let salt = store.storage().random().map_err(OpenError::io("random"))?;
    let (size, lease) = (store.segment_bytes(), survey.replay.counter);
    let head = Head { core, slot, size, key: Key { epoch: 1, salt }, lease };
    let path = store.core_dir(core).join(crate::segment::file_name(core, slot));
    supply::create(store, &path, head).map_err(OpenError::io(&path))?;
    Ok(Loaded::empty(head, path))
}
