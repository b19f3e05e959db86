//! Recovery: finds a core's segments, replays them, and puts aside exactly what is damaged.
//!
//! Called by `Log::join`. Repairs are made once, durably, before anything new is written: the
//! bytes of a damaged message go to `corrupt/`, then a Skip record takes their place; the broken
//! end of an unfinished write is zeroed.
//!
//! Diagnostics: `Recovery` says what was found; the engine logs it.
//!
//! Limits: one segment in memory at a time, or the checkpoint.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Core, Lsn, Number, OpenError, Store,
    checkpoint::{self, Checkpoint, Position},
    index::Place,
    map::Aligned,
    record::{self, Commit, HEADER, Header, Key, Kind, Probe},
    replay::Replay,
    scan::{self, End, Found, Gap},
    segment::{Head, HeadRead, PAGE, slot_of},
    storage::{Access, Storage, StoredFile},
};

/// Stands for bytes that the device does not give.
const UNREAD: u8 = 0xff;

/// What opening a log found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Recovery {
    /// The end of a write that the last stop cut short; nobody was promised anything in it.
    pub torn: Option<Torn>,
    /// Damage to what had been promised.
    pub corrupt: Vec<CorruptReport>,
    /// Ranges of records that are nowhere (a disk that lied about a write).
    pub missing: Vec<(Lsn, Lsn)>,
    /// Segment files that were unreadable as a whole and were moved to `corrupt/`.
    pub unreadable: Vec<PathBuf>,
}

/// An unfinished write at the end of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The segment file.
    pub segment: PathBuf,
    /// Where the dropped bytes start.
    pub offset: u64,
    /// How many were dropped.
    pub bytes: u64,
}

/// One damaged record or message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorruptReport {
    /// The message, if its record still says.
    pub number: Option<Number>,
    /// The kind of record, if it still says.
    pub kind: Option<Kind>,
    /// The segment file.
    pub segment: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// Bytes affected.
    pub bytes: u64,
    /// Where the bytes are now; none for records that hold no message.
    pub saved: Option<PathBuf>,
}

/// One segment file of the core.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) head: Head,
    pub(crate) path: PathBuf,
    pub(crate) end: End,
    gaps: Vec<Gap>,
    /// Pages that the device does not give, by their offsets.
    bad: BTreeSet<usize>,
}

impl Loaded {
    /// A segment that nothing has been written to.
    pub(crate) fn empty(head: Head, path: PathBuf) -> Loaded {
        Loaded { head, path, end: End::default(), gaps: Vec::new(), bad: BTreeSet::new() }
    }
}

/// A core's log, found and replayed, not yet repaired.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) replay: Replay,
    /// In order of epoch.
    pub(crate) segments: Vec<Loaded>,
    /// Files that are no segments and hold nothing.
    pub(crate) blank: Vec<PathBuf>,
    /// Files that are no segments and hold something.
    pub(crate) unreadable: Vec<PathBuf>,
    /// Every slot that has a file.
    pub(crate) slots: BTreeSet<u32>,
    /// Bytes of log that were read.
    pub(crate) bytes_read: u64,
    /// Whether a checkpoint was the start.
    pub(crate) by_checkpoint: bool,
}

/// Finds and replays the segments in `dir` without changing anything: from a checkpoint on, or all.
pub(crate) fn find(storage: &dyn Storage, dir: &Path, core: Core) -> Result<Survey, OpenError> {
    if let Some(found) = from_checkpoint(storage, dir, core)? {
        return Ok(found);
    }
    let mut found = heads(storage, dir, core)?;
    let mut bytes = Vec::new();
    for loaded in &mut found.segments {
        let read = read_segment(storage, loaded, 0, &mut bytes);
        read.map_err(OpenError::io(&loaded.path))?;
        found.replay.jump();
        replay_segment(&mut found.replay, loaded, PAGE, &bytes);
        found.bytes_read += loaded.end.next as u64;
    }
    found.replay.settle();
    Ok(found)
}

/// What a checkpoint and the log after it say. Nothing when there is none, or when anything at all
/// is not as it should be: then the whole log is read, which knows better.
fn from_checkpoint(
    storage: &dyn Storage,
    dir: &Path,
    core: Core,
) -> Result<Option<Survey>, OpenError> {
    let Some(checkpoint) = read_checkpoint(storage, dir) else { return Ok(None) };
    let (next, from) = (checkpoint.summary.next, checkpoint.summary.from);
    let mut found = heads(storage, dir, core)?;
    let heads: Vec<Head> = found.segments.iter().map(|segment| segment.head).collect();
    let fits = checkpoint.summary.core == core && checkpoint.summary.fits(&heads);
    let known = found.unreadable.is_empty() && found.blank.is_empty();
    if !fits || !known || !found.replay.resume(&checkpoint) {
        return Ok(None);
    }
    drop(checkpoint);
    let mut bytes = Vec::new();
    for loaded in &mut found.segments {
        let epoch = loaded.head.key.epoch;
        let size = loaded.head.size as usize;
        if epoch < from.0 {
            found.replay.lease(loaded.head.lease);
            loaded.end = End { next: size, any: true, ..End::default() };
            continue;
        }
        let start = if epoch == from.0 { (from.1 as usize).max(PAGE) } else { PAGE };
        if read_segment(storage, loaded, start, &mut bytes).is_err() || bytes.len() < start {
            return Ok(None);
        }
        if epoch > next.0 {
            found.replay.jump();
        }
        replay_segment(&mut found.replay, loaded, start, &bytes);
        found.bytes_read += (loaded.end.next - start) as u64;
        if epoch <= next.0 {
            loaded.end.any = true;
        }
        if epoch == next.0 {
            loaded.end.next = loaded.end.next.max(next.1 as usize);
        }
    }
    found.replay.settle();
    found.by_checkpoint = true;
    Ok(is_beyond_doubt(&found, next).then_some(found))
}

/// Whether nothing is damaged or missing after the checkpoint, but for the torn end of the last
/// write, and everything that live messages need is there.
fn is_beyond_doubt(found: &Survey, next: Position) -> bool {
    let last = found.segments.iter().rposition(|segment| segment.end.any);
    let clean = |(at, segment): (usize, &Loaded)| {
        let epoch = segment.head.key.epoch;
        let torn = |gap: &Gap| Some(at) >= last && (epoch, gap.start as u32) >= next;
        segment.gaps.is_empty() && segment.bad.is_empty() && segment.end.tail.iter().all(torn)
    };
    let epochs: BTreeSet<u32> = found.segments.iter().map(|s| s.head.key.epoch).collect();
    let mut entries = found.replay.index.iter();
    found.replay.is_clean()
        && found.segments.iter().enumerate().all(clean)
        && entries.all(|(_, entry)| entry.needs().all(|epoch| epochs.contains(&epoch)))
}

fn read_checkpoint(storage: &dyn Storage, dir: &Path) -> Option<Checkpoint> {
    let file = storage.open(&dir.join(checkpoint::FILE), Access::Read).ok()?;
    let mut bytes = vec![0; file.len() as usize];
    file.read_at(0, &mut bytes).ok()?;
    checkpoint::decode(bytes)
}

/// The segments of a core by their headers, in order of epoch.
fn heads(storage: &dyn Storage, dir: &Path, core: Core) -> Result<Survey, OpenError> {
    let mut found = Survey {
        replay: Replay::new(core),
        segments: Vec::new(),
        blank: Vec::new(),
        unreadable: Vec::new(),
        slots: BTreeSet::new(),
        bytes_read: 0,
        by_checkpoint: false,
    };
    let mut epochs = BTreeSet::new();
    for name in storage.list(dir).map_err(OpenError::io(dir))? {
        let Some(slot) = slot_of(&name, core) else { continue };
        found.slots.insert(slot);
        let path = dir.join(name);
        let head = match head_of(storage, &path, core, slot) {
            // Beside a running engine (the reader) files come and go.
            Err(OpenError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        match head {
            Ok(head) if epochs.insert(head.key.epoch) => {
                found.segments.push(Loaded::empty(head, path));
            }
            Ok(_) => found.unreadable.push(path),
            Err(Blank(true)) => found.blank.push(path),
            Err(Blank(false)) => found.unreadable.push(path),
        }
    }
    found.segments.sort_by_key(|segment| segment.head.key.epoch);
    Ok(found)
}

/// Not a segment; true when nothing was ever in it.
struct Blank(bool);

fn head_of(
    storage: &dyn Storage,
    path: &Path,
    core: Core,
    slot: u32,
) -> Result<Result<Head, Blank>, OpenError> {
    let file = storage.open(path, Access::Read).map_err(OpenError::io(path))?;
    let mut page = vec![0; PAGE.min(file.len() as usize)];
    if file.read_at(0, &mut page).is_err() {
        page.fill(UNREAD);
    }
    match Head::read(&page) {
        HeadRead::Version(version) => Err(OpenError::Version { path: path.to_path_buf(), version }),
        HeadRead::Good(head) if head.core == core && head.size <= file.len() => {
            Ok(Ok(Head { slot, ..head }))
        }
        _ => salvage(&*file, core, slot).map_err(OpenError::io(path)),
    }
}

/// A header lost in both copies: the first whole record at a page boundary knows the key.
///
/// What cannot be read and shows no key is not judged: the device may give it another time.
fn salvage(file: &dyn StoredFile, core: Core, slot: u32) -> io::Result<Result<Head, Blank>> {
    let size = file.len();
    let mut bytes = vec![0; size as usize];
    let mut failed = None;
    for (at, page) in bytes.chunks_mut(PAGE).enumerate() {
        if let Err(error) = file.read_at((at * PAGE) as u64, page) {
            page.fill(UNREAD);
            failed = Some(error);
        }
    }
    match (Head::read(&bytes[..PAGE.min(bytes.len())]), best_key(&bytes)) {
        (HeadRead::Good(head), _) if head.core == core && head.size <= size => {
            Ok(Ok(Head { slot, ..head }))
        }
        (_, Some(key)) if size.is_power_of_two() && size >= crate::SEGMENT_MIN => {
            Ok(Ok(Head { core, slot, size, key, lease: 1 }))
        }
        _ => match failed {
            Some(error) => Err(error),
            None => Ok(Err(Blank(bytes.iter().all(|byte| *byte == 0)))),
        },
    }
}

/// The key of the latest use of a segment that a whole record at a page boundary has.
fn best_key(bytes: &[u8]) -> Option<Key> {
    let mut best: Option<Key> = None;
    for at in (PAGE..bytes.len()).step_by(PAGE) {
        let Some(header) = record::parse(&bytes[at..]) else { continue };
        let newer = best.is_none_or(|key| key.epoch < header.key.epoch);
        if newer && matches!(record::probe(&bytes[at..], header.key), Probe::Valid(_)) {
            best = Some(header.key);
        }
    }
    best.filter(|key| key.epoch > 0)
}

/// The uses of the core's segments at this moment, to see whether a walk was overtaken.
pub(crate) fn keys(
    storage: &dyn Storage,
    dir: &Path,
    core: Core,
) -> Result<BTreeSet<(u32, u64)>, OpenError> {
    let found = heads(storage, dir, core)?;
    Ok(found.segments.iter().map(|s| (s.head.key.epoch, s.head.key.salt)).collect())
}

/// Reads a segment from `start` on. A page that the device does not give reads as damage, as long
/// as it gives others: a device that gives none at all is not a damaged segment.
fn read_segment(
    storage: &dyn Storage,
    loaded: &mut Loaded,
    start: usize,
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    let file = match storage.open(&loaded.path, Access::Read) {
        // Only beside a running engine: the segment was recycled.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bytes.clear();
            return Ok(());
        }
        other => other?,
    };
    // Not `resize`: zeroed memory costs nothing until it is touched.
    if bytes.len() as u64 != loaded.head.size {
        *bytes = vec![0; loaded.head.size as usize];
    }
    let start = start - start % PAGE;
    let whole = bytes.get_mut(start..).map(|part| file.read_at(start as u64, part));
    let Some(Err(error)) = whole else { return Ok(()) };
    for (at, page) in bytes.chunks_mut(PAGE).enumerate().skip(start / PAGE) {
        if file.read_at((at * PAGE) as u64, page).is_err() {
            page.fill(UNREAD);
            loaded.bad.insert(at * PAGE);
        }
    }
    if loaded.bad.len() * PAGE >= bytes.len() - start { Err(error) } else { Ok(()) }
}

fn replay_segment(replay: &mut Replay, loaded: &mut Loaded, from: usize, bytes: &[u8]) {
    replay.lease(loaded.head.lease);
    let gaps = &mut loaded.gaps;
    loaded.end = scan::scan(bytes, from, loaded.head.key, &mut |found| match found {
        Found::Record(at, header, record) => replay.apply(at, &header, record),
        Found::Gap(gap) => {
            if !gap.void {
                replay.damage(gap.header);
            }
            gaps.push(gap);
        }
    });
    // Whether a tail is torn or damaged is known later; what settles its messages comes now.
    loaded.end.tail.iter().for_each(|gap| replay.damage(gap.header));
}

/// Replays one segment from memory, for the fuzzer.
pub(crate) fn replay_bytes(replay: &mut Replay, head: Head, bytes: &[u8]) -> End {
    let mut loaded = Loaded::empty(head, PathBuf::new());
    replay.jump();
    replay_segment(replay, &mut loaded, PAGE, bytes);
    loaded.end
}

/// Makes the damage known and harmless; afterwards a replay finds none of it again.
pub(crate) fn repair(store: &Store, core: Core, found: &mut Survey) -> Result<Recovery, OpenError> {
    let mut repair = Repair { store, core, recovery: Recovery::default(), broken: BTreeSet::new() };
    found.segments.iter().try_for_each(|segment| repair.insist(segment))?;
    repair.broken.extend(found.replay.broken.keys());
    repair.files(found)?;
    let last = found.segments.iter().rposition(|segment| segment.end.any);
    for at in 0..found.segments.len() {
        let tail_is_torn = last.is_none_or(|last| at >= last);
        let segment = &mut found.segments[at];
        if !tail_is_torn {
            let tail = std::mem::take(&mut segment.end.tail);
            for gap in &tail {
                let end = gap.end.next_multiple_of(PAGE).min(segment.head.size as usize);
                segment.end.next = segment.end.next.max(end);
            }
            segment.gaps.extend(tail);
            segment.end.debris = None;
        }
        repair.torn(segment)?;
        for gap in std::mem::take(&mut segment.gaps) {
            repair.gap(&found.replay, segment, gap)?;
        }
    }
    for (number, place) in std::mem::take(&mut found.replay.broken) {
        repair.broken_commit(&found.segments, number, place)?;
    }
    repair.recovery.missing = std::mem::take(&mut found.replay.missing);
    Ok(repair.recovery)
}

struct Repair<'a> {
    store: &'a Store,
    core: Core,
    recovery: Recovery,
    /// Messages whose commit is whole and whose extents are not.
    broken: BTreeSet<u64>,
}

impl Repair<'_> {
    /// Pages that could not be read must still be unreadable: nothing is given up, let alone
    /// written over, for a device that fails now and then.
    fn insist(&self, segment: &Loaded) -> Result<(), OpenError> {
        if segment.bad.is_empty() {
            return Ok(());
        }
        let file = self.open(segment, Access::Read)?;
        let mut page = [0; PAGE];
        for at in &segment.bad {
            if file.read_at(*at as u64, &mut page).is_ok() {
                let error = io::Error::other("reads fail now and then");
                return Err(OpenError::io(&segment.path)(error));
            }
        }
        Ok(())
    }

    /// Removes blank files and puts unreadable ones aside.
    fn files(&mut self, found: &mut Survey) -> Result<(), OpenError> {
        let storage = self.store.storage();
        for path in found.blank.drain(..) {
            storage.remove(&path).map_err(OpenError::io(&path))?;
        }
        for path in found.unreadable.drain(..) {
            let name = path.file_name().expect("came from a listing").to_os_string();
            let to = self.corrupt_path(&name.to_string_lossy())?;
            storage.rename(&path, &to).map_err(OpenError::io(&path))?;
            self.recovery.unreadable.push(to);
        }
        Ok(())
    }

    /// Zeroes what an unfinished write left at the end of the last segment: the headers of broken
    /// records, and the rest of the page in which the log ends. Anything else there cannot pass for
    /// a record without the salt, and is written over.
    fn torn(&mut self, segment: &Loaded) -> Result<(), OpenError> {
        let End { next, tail, debris, .. } = &segment.end;
        let first = tail.first().map(|gap| gap.start);
        let Some(start) = first.into_iter().chain(*debris).min() else { return Ok(()) };
        let header_end = tail.last().map_or(0, |gap| gap.start + HEADER);
        let end = header_end.max(*next).min(segment.head.size as usize);
        self.overwrite(segment, start, &vec![0; end - start])?;
        if let (Some(first), Some(last)) = (tail.first(), tail.last()) {
            self.recovery.torn = Some(Torn {
                segment: segment.path.clone(),
                offset: first.start as u64,
                bytes: (last.end - first.start) as u64,
            });
        }
        Ok(())
    }

    /// Saves, reports and skips one gap.
    fn gap(&mut self, replay: &Replay, segment: &Loaded, gap: Gap) -> Result<(), OpenError> {
        if gap.void {
            return self.skip(segment, gap.start, gap.end);
        }
        let number = gap.header.and_then(|header| Number::from_u64(header.number));
        let kind = gap.header.map(|header| header.kind);
        let live = number.is_some_and(|number| replay.index.find(number).is_some());
        let (report, save) = match (kind, number) {
            (None, _) => (true, true),
            (Some(Kind::Message | Kind::Commit), Some(number)) => {
                let lost = replay.damaged.contains(&number.get());
                (lost, lost)
            }
            (Some(Kind::Extent), Some(number)) => (self.broken.contains(&number.get()), false),
            (Some(_), _) => (live || kind == Some(Kind::Remove), false),
        };
        let end = gap_end(&gap);
        let mut saved = None;
        if save {
            let bytes = self.read(segment, gap.start, end - gap.start)?;
            let name = self.name(number, segment, gap.start);
            saved = Some(self.save(&name, &[&bytes])?);
        }
        if report {
            self.report(number, kind, segment, gap.start, end - gap.start, saved);
        }
        self.skip(segment, gap.start, gap.end)
    }

    /// A whole commit whose extents are not: the message is put aside with what is left of them.
    fn broken_commit(
        &mut self,
        segments: &[Loaded],
        number: u64,
        place: Place,
    ) -> Result<(), OpenError> {
        let Some(home) = segments.iter().find(|s| s.head.key.epoch == place.epoch) else {
            return Ok(());
        };
        let (start, len) = (place.offset as usize, place.length as usize);
        let commit = self.read(home, start, len)?;
        let mut parts = vec![commit.clone()];
        for extent in Commit::read(&commit).iter().flat_map(Commit::extents) {
            let end = u64::from(extent.offset) + u64::from(extent.length);
            let holder =
                segments.iter().find(|s| s.head.key.epoch == extent.epoch && end <= s.head.size);
            if let Some(holder) = holder {
                parts.push(self.read(holder, extent.offset as usize, extent.length as usize)?);
            }
        }
        let number = Number::from_u64(number);
        let name = self.name(number, home, start);
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let saved = self.save(&name, &parts)?;
        self.report(number, Some(Kind::Commit), home, start, len, Some(saved));
        self.skip(home, start, start + record::aligned(len))
    }

    fn report(
        &mut self,
        number: Option<Number>,
        kind: Option<Kind>,
        segment: &Loaded,
        offset: usize,
        bytes: usize,
        saved: Option<PathBuf>,
    ) {
        let segment = segment.path.clone();
        let (offset, bytes) = (offset as u64, bytes as u64);
        let report = CorruptReport { number, kind, segment, offset, bytes, saved };
        self.recovery.corrupt.push(report);
    }

    fn name(&self, number: Option<Number>, segment: &Loaded, offset: usize) -> String {
        match number {
            Some(number) => number.to_string(),
            None => format!("{:02}-{}-{offset:X}", self.core.get(), segment.head.key.epoch),
        }
    }

    fn corrupt_path(&self, name: &str) -> Result<PathBuf, OpenError> {
        let dir = self.store.corrupt_dir();
        self.store.storage().make_dir(&dir).map_err(OpenError::io(&dir))?;
        Ok(dir.join(name))
    }

    fn save(&self, name: &str, parts: &[&[u8]]) -> Result<PathBuf, OpenError> {
        let path = self.corrupt_path(name)?;
        self.store.storage().save(&path, parts).map_err(OpenError::io(&path))?;
        Ok(path)
    }

    fn read(&self, segment: &Loaded, at: usize, len: usize) -> Result<Vec<u8>, OpenError> {
        let file = self.open(segment, Access::Read)?;
        let end = (at + len).next_multiple_of(PAGE).min(segment.head.size as usize);
        let first = at - at % PAGE;
        let mut pages = vec![0; end - first];
        for (i, page) in pages.chunks_mut(PAGE).enumerate() {
            let offset = first + i * PAGE;
            match segment.bad.contains(&offset) {
                true => page.fill(UNREAD),
                false => file.read_at(offset as u64, page).map_err(OpenError::io(&segment.path))?,
            }
        }
        Ok(pages[at - first..][..len].to_vec())
    }

    /// Puts a Skip record over `start..end`.
    fn skip(&self, segment: &Loaded, start: usize, end: usize) -> Result<(), OpenError> {
        let mut bytes = vec![0; end - start];
        let length = bytes.len() as u32;
        let (lsn, number, batch) = (0, 0, 0);
        let key = segment.head.key;
        let header = Header { kind: Kind::Skip, length, lsn, number, batch, key };
        record::finish(&mut bytes, &header);
        self.overwrite(segment, start, &bytes)
    }

    /// Replaces bytes in place, whole pages at a time, neighbours unchanged; durable.
    fn overwrite(&self, segment: &Loaded, start: usize, bytes: &[u8]) -> Result<(), OpenError> {
        assert!(start >= PAGE, "the header is not ours to repair");
        let (first, end) = (start - start % PAGE, start + bytes.len());
        let mut pages = Aligned::new(end - first);
        let old = self.read(segment, first, pages.len().min(segment.head.size as usize - first))?;
        pages.bytes_mut()[..old.len()].copy_from_slice(&old);
        pages.bytes_mut()[start - first..][..bytes.len()].copy_from_slice(bytes);
        let file = self.open(segment, Access::WriteLinked)?;
        let written = file.write_at(first as u64, pages.bytes());
        let wrote = written.and_then(|n| match n == pages.len() {
            true => file.sync(),
            false => Err(io::ErrorKind::WriteZero.into()),
        });
        wrote.map_err(OpenError::io(&segment.path))
    }

    fn open(&self, segment: &Loaded, access: Access) -> Result<Arc<dyn StoredFile>, OpenError> {
        self.store.storage().open(&segment.path, access).map_err(OpenError::io(&segment.path))
    }
}

/// Where the damaged record itself ends: its claimed length when that is plausible.
fn gap_end(gap: &Gap) -> usize {
    let claimed = gap.header.map_or(usize::MAX, |header| header.length as usize);
    gap.start.saturating_add(claimed.max(HEADER)).min(gap.end)
}
