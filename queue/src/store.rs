//! The store: one queue directory, its lock, and how any core reads what any log wrote.
//!
//! Opened once per engine; every `Log` joins it. The owner of a log publishes sealed batches and
//! segments on its `Shelf`; any thread reads from there. `Store` is a cheap handle.
//!
//! Diagnostics: `OpenError` at start, `ReadError` for reads; nothing is logged here.
//!
//! Limits: `Options::tail_bytes` of recent batches per core stay in memory.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    Core, Lsn, OpenError, ReadError,
    batch::Batch,
    content::{Content, Large, Location, Owner, Parts, Piece},
    index::Place,
    names::CORES_MAX,
    record::{Commit, Extent, HEADER, Kind, MESSAGE_FIXED, Probe, parse, probe},
    segment::{SEGMENT_DEFAULT, Segment, core_dir, segment_size},
    storage::{Access, Lock, RealStorage, Storage},
};

/// How a batch is made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// One `O_DIRECT|O_DSYNC` write.
    #[default]
    Dsync,
    /// An `O_DIRECT` write linked with an fdatasync.
    Linked,
}

/// What the engine decides about a queue directory.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Cores that will share the volume; 1..=`CORES_MAX`.
    pub cores: u8,
    /// Segment size wanted, a power of two; smaller volumes get smaller segments.
    pub segment_bytes: u64,
    /// Recent batches kept in memory per core, bytes.
    pub tail_bytes: usize,
    /// How a batch is made durable.
    pub sync: SyncMode,
}

impl Default for Options {
    fn default() -> Options {
        let sync = SyncMode::Dsync;
        Options { cores: 1, segment_bytes: SEGMENT_DEFAULT, tail_bytes: 16 << 20, sync }
    }
}

/// One core's readable state.
#[derive(Debug)]
pub(crate) struct Shelf {
    inner: RwLock<ShelfInner>,
    taken: AtomicBool,
}

#[derive(Debug, Default)]
struct ShelfInner {
    segments: BTreeMap<u32, Arc<Segment>>,
    tail: VecDeque<Recent>,
    tail_bytes: usize,
    /// Everything before this (epoch, offset) is sealed.
    sealed: (u32, usize),
}

/// A sealed batch still in memory.
#[derive(Debug)]
struct Recent {
    epoch: u32,
    offset: usize,
    last: Lsn,
    batch: Arc<Batch>,
}

impl Shelf {
    fn new() -> Shelf {
        Shelf { inner: RwLock::default(), taken: AtomicBool::new(false) }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, ShelfInner> {
        self.inner.read().expect("no shelf operation panics half way")
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, ShelfInner> {
        self.inner.write().expect("no shelf operation panics half way")
    }

    /// Claims the core for one log; false when it is claimed already.
    pub(crate) fn claim(&self) -> bool {
        !self.taken.swap(true, Ordering::AcqRel)
    }

    /// Lets go of the core; readers keep what they hold.
    pub(crate) fn unclaim(&self) {
        *self.write() = ShelfInner::default();
        self.taken.store(false, Ordering::Release);
    }

    /// Makes a segment readable.
    pub(crate) fn publish(&self, segment: Arc<Segment>) {
        let old = self.write().segments.insert(segment.epoch(), segment);
        assert!(old.is_none(), "an epoch is used once");
    }

    /// Takes a segment away from new readers.
    pub(crate) fn withdraw(&self, epoch: u32) {
        let mut inner = self.write();
        let old = inner.segments.remove(&epoch);
        assert!(old.is_some(), "only published segments are withdrawn");
        while inner.tail.front().is_some_and(|recent| recent.epoch == epoch) {
            inner.drop_oldest();
        }
    }

    /// Says how far the log is readable.
    pub(crate) fn seal_up_to(&self, epoch: u32, offset: usize) {
        let mut inner = self.write();
        assert!((epoch, offset) >= inner.sealed, "the sealed end only grows");
        inner.sealed = (epoch, offset);
    }

    /// Makes a sealed batch readable.
    pub(crate) fn push(&self, epoch: u32, offset: usize, last: Lsn, batch: Arc<Batch>) {
        let mut inner = self.write();
        assert!((epoch, offset) >= inner.sealed, "batches are sealed in order");
        inner.sealed = (epoch, offset + batch.len());
        inner.tail_bytes += batch.capacity();
        inner.tail.push_back(Recent { epoch, offset, last, batch });
    }

    /// Forgets durable batches beyond `bytes`; returns one of them for its buffer.
    pub(crate) fn trim(&self, bytes: usize, durable: Lsn) -> Option<Arc<Batch>> {
        let mut inner = self.write();
        let mut last = None;
        while inner.tail_bytes > bytes && inner.tail.front().is_some_and(|r| r.last <= durable) {
            last = inner.drop_oldest();
        }
        last
    }

    /// A range that is wholly inside one recent batch.
    pub(crate) fn recent(&self, epoch: u32, start: usize, len: usize) -> Option<Piece> {
        self.read().recent(epoch, start, len)
    }

    /// A range from memory, a map, or a copy.
    pub(crate) fn piece(&self, epoch: u32, start: usize, len: usize) -> Result<Piece, ReadError> {
        let segment = {
            let inner = self.read();
            if let Some(piece) = inner.recent(epoch, start, len) {
                return Ok(piece);
            }
            inner.segment(epoch, start + len)?
        };
        mapped(segment, start, len)
    }

    fn segment(&self, epoch: u32, end: usize) -> Result<Arc<Segment>, ReadError> {
        self.read().segment(epoch, end)
    }
}

impl ShelfInner {
    fn recent(&self, epoch: u32, start: usize, len: usize) -> Option<Piece> {
        let after = self.tail.partition_point(|r| (r.epoch, r.offset) <= (epoch, start));
        let recent = self.tail.get(after.checked_sub(1)?)?;
        let at = start - recent.offset.min(start);
        let inside = recent.epoch == epoch && at + len <= recent.batch.len();
        let owner = || Owner::Batch(Arc::clone(&recent.batch));
        inside.then(|| Piece { owner: owner(), start: at, len })
    }

    fn segment(&self, epoch: u32, end: usize) -> Result<Arc<Segment>, ReadError> {
        if (epoch, end) > self.sealed {
            return Err(ReadError::NotYet);
        }
        self.segments.get(&epoch).cloned().ok_or(ReadError::Moved)
    }

    fn drop_oldest(&mut self) -> Option<Arc<Batch>> {
        let recent = self.tail.pop_front()?;
        self.tail_bytes -= recent.batch.capacity();
        Some(recent.batch)
    }
}

/// Ranges up to this are copied: a map would keep the pages of every envelope ever looked at in the
/// engine's memory, and a fault costs as much as a read.
const COPIED_MAX: usize = 32 << 10;

/// A range of a segment: copied, or through its map where it is long and there are maps.
fn mapped(segment: Arc<Segment>, start: usize, len: usize) -> Result<Piece, ReadError> {
    if len <= COPIED_MAX {
        let bytes = segment.copy(start, len)?;
        return Ok(Piece { owner: Owner::Copied(bytes.into()), start: 0, len });
    }
    let Some(map) = segment.map()? else {
        let bytes = segment.copy(start, len)?;
        return Ok(Piece { owner: Owner::Copied(bytes.into()), start: 0, len });
    };
    if map.range(start, len).is_none() {
        return Err(ReadError::Damaged);
    }
    Ok(Piece { owner: Owner::Mapped(segment), start, len })
}

/// A queue directory, held open and locked. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    storage: Arc<dyn Storage>,
    options: Options,
    segment_bytes: u64,
    shelves: Vec<Arc<Shelf>>,
    _lock: Box<dyn Lock>,
}

impl Store {
    /// Opens (or makes) the queue directory `dir` and takes its lock. Blocks.
    ///
    /// # Errors
    /// `Locked` when another engine uses it, otherwise what the system said.
    pub fn open(dir: &Path, options: Options) -> Result<Store, OpenError> {
        Store::open_on(Arc::new(RealStorage), dir, options)
    }

    /// As `open`, on another storage.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_on(
        storage: Arc<dyn Storage>,
        dir: &Path,
        options: Options,
    ) -> Result<Store, OpenError> {
        assert!((1..=CORES_MAX).contains(&options.cores), "1..=CORES_MAX cores");
        assert!(options.segment_bytes.is_power_of_two(), "segment sizes are powers of two");
        let log = dir.join("log");
        storage.make_dir(&log).map_err(OpenError::io(&log))?;
        let lock = take_lock(&*storage, &log.join("lock"))?;
        let space = storage.space(&log).map_err(OpenError::io(&log))?;
        let segment_bytes = segment_size(space.total, options.cores, options.segment_bytes);
        let shelves = (0..CORES_MAX).map(|_| Arc::new(Shelf::new())).collect();
        let dir = dir.to_path_buf();
        let shared = Shared { dir, storage, options, segment_bytes, shelves, _lock: lock };
        Ok(Store { shared: Arc::new(shared) })
    }

    /// Cores that have a log on disk: each must be opened by somebody, also those above the number
    /// of cores in use now, or their mail stays where it is.
    ///
    /// # Errors
    /// What the system said.
    pub fn cores_on_disk(&self) -> io::Result<Vec<Core>> {
        cores_on_disk(&*self.shared.storage, &self.shared.dir)
    }

    /// The content of a message.
    ///
    /// # Errors
    /// `Moved`, `NotYet`, `Damaged`, or what the system said.
    pub fn content(&self, at: &Location) -> Result<Content, ReadError> {
        let shelf = self.shelf(at.number.core());
        if at.is_large() {
            return large_content(shelf, at);
        }
        let (start, length) = (at.place.offset as usize, at.place.length as usize);
        let skip = MESSAGE_FIXED + at.envelope();
        let len = length.checked_sub(skip).ok_or(ReadError::Damaged)?;
        let piece = match shelf.recent(at.place.epoch, start + skip, len) {
            Some(piece) => piece,
            None => checked(shelf, at)?.slice(skip..length),
        };
        Ok(Content { parts: Parts::One(piece), len: len as u64 })
    }

    /// The envelope bytes of a message, as they were given.
    ///
    /// # Errors
    /// As `content`.
    pub fn envelope(&self, at: &Location) -> Result<Piece, ReadError> {
        let fixed = if at.is_large() { crate::record::COMMIT_FIXED } else { MESSAGE_FIXED };
        let start = at.place.offset as usize + fixed;
        self.shelf(at.number.core()).piece(at.place.epoch, start, at.envelope())
    }

    pub(crate) fn detail(&self, core: Core, at: Place) -> Result<Piece, ReadError> {
        self.shelf(core).piece(at.epoch, at.offset as usize, at.length as usize)
    }

    pub(crate) fn shelf(&self, core: Core) -> &Arc<Shelf> {
        &self.shared.shelves[core.index()]
    }

    pub(crate) fn storage(&self) -> &Arc<dyn Storage> {
        &self.shared.storage
    }

    pub(crate) fn options(&self) -> &Options {
        &self.shared.options
    }

    pub(crate) fn segment_bytes(&self) -> u64 {
        self.shared.segment_bytes
    }

    pub(crate) fn core_dir(&self, core: Core) -> PathBuf {
        self.shared.dir.join("log").join(core_dir(core))
    }

    pub(crate) fn corrupt_dir(&self) -> PathBuf {
        self.shared.dir.join("corrupt")
    }

    pub(crate) fn write_access(&self) -> Access {
        match self.shared.options.sync {
            SyncMode::Dsync => Access::WriteDsync,
            SyncMode::Linked => Access::WriteLinked,
        }
    }
}

pub(crate) fn cores_on_disk(storage: &dyn Storage, dir: &Path) -> io::Result<Vec<Core>> {
    let names = storage.list(&dir.join("log"))?;
    let all = (0..CORES_MAX).filter_map(Core::new);
    Ok(all.filter(|core| names.contains(&core_dir(*core))).collect())
}

fn take_lock(storage: &dyn Storage, path: &Path) -> Result<Box<dyn Lock>, OpenError> {
    storage.lock(path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked(path.to_path_buf()),
        _ => OpenError::io(path)(error),
    })
}

/// The record of a message, read from the disk and checked: a start from a checkpoint has not.
fn checked(shelf: &Shelf, at: &Location) -> Result<Piece, ReadError> {
    let (start, length) = (at.place.offset as usize, at.place.length as usize);
    let segment = shelf.segment(at.place.epoch, start + length)?;
    let key = segment.head.key;
    let record = mapped(segment, start, length)?;
    match probe(&record, key) {
        Probe::Valid(header) if header.number == at.number.get() => Ok(record),
        _ => Err(ReadError::Damaged),
    }
}

fn large_content(shelf: &Arc<Shelf>, at: &Location) -> Result<Content, ReadError> {
    let place = at.place;
    let (start, length) = (place.offset as usize, place.length as usize);
    let record = match shelf.recent(place.epoch, start, length) {
        Some(record) => record,
        None => checked(shelf, at)?,
    };
    let header = parse(record.get(..HEADER).ok_or(ReadError::Damaged)?);
    let own = header.is_some_and(|h| h.kind == Kind::Commit && h.number == at.number.get());
    let commit = own.then(|| Commit::read(&record)).flatten().ok_or(ReadError::Damaged)?;
    let extents: Vec<Extent> = commit.extents().collect();
    let len = commit.size;
    let mut segments: Vec<Arc<Segment>> = Vec::new();
    for extent in &extents {
        let end = extent.offset as usize + extent.length as usize;
        let segment = shelf.segment(extent.epoch, end)?;
        let Some(map) = segment.map()? else { return copied(shelf, &extents, len) };
        map.range(extent.offset as usize, extent.length as usize).ok_or(ReadError::Damaged)?;
        if let Err(at) = segments.binary_search_by_key(&extent.epoch, |s| s.epoch()) {
            segments.insert(at, segment);
        }
    }
    let large = Large { shelf: Arc::clone(shelf), segments, extents };
    Ok(Content { parts: Parts::Large(Arc::new(large)), len })
}

fn copied(shelf: &Shelf, extents: &[Extent], len: u64) -> Result<Content, ReadError> {
    let piece = |e: &Extent| shelf.piece(e.epoch, e.offset as usize, e.length as usize);
    let pieces = extents.iter().map(piece).collect::<Result<Vec<_>, _>>()?;
    Ok(Content { parts: Parts::Pieces(pieces.into()), len })
}
