//! Recovery: finds a core's segments and replays them, changing nothing; `repair` then puts aside
//! exactly what is damaged.
//!
//! Called by `Log::join` and by the reader.
//!
//! Limits: one segment in memory at a time, or the checkpoint.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use crate::{
    Core, OpenError,
    checkpoint::{self, Checkpoint, Position},
    record::{self, Key, Probe},
    replay::Replay,
    scan::{self, End, Found, Gap},
    segment::{Head, HeadRead, PAGE, slot_of},
    storage::{Access, Storage, StoredFile},
};

/// How much is read at once.
const PIECE: usize = 1 << 20;
/// Stands for bytes that the device does not give.
pub(crate) const UNREAD: u8 = 0xff;

/// One segment file of the core.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) head: Head,
    pub(crate) path: PathBuf,
    pub(crate) end: End,
    pub(crate) gaps: Vec<Gap>,
    /// Pages that the device does not give, by their offsets.
    pub(crate) bad: BTreeSet<usize>,
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
    let (size, mut failed) = (bytes.len(), None);
    let mut piece = vec![0; PIECE];
    for at in (start - start % PAGE..size).step_by(PIECE) {
        let piece = &mut piece[..PIECE.min(size - at)];
        if file.read_at(at as u64, piece).is_err() {
            failed = read_pages(&*file, at, piece, &mut loaded.bad).or(failed);
        }
        keep_pages(piece, &mut bytes[at..]);
    }
    let all_bad = loaded.bad.len() * PAGE >= size - (start - start % PAGE);
    failed.filter(|_| all_bad).map_or(Ok(()), Err)
}

/// Reads page by page; the last error, if any.
fn read_pages(
    file: &dyn StoredFile,
    at: usize,
    piece: &mut [u8],
    bad: &mut BTreeSet<usize>,
) -> Option<io::Error> {
    let mut failed = None;
    for (nth, page) in piece.chunks_mut(PAGE).enumerate() {
        let offset = at + nth * PAGE;
        if let Err(error) = file.read_at(offset as u64, page) {
            page.fill(UNREAD);
            bad.insert(offset);
            failed = Some(error);
        }
    }
    failed
}

/// Copies pages; those of zeros only over others. Memory that was never touched stays untouched.
fn keep_pages(piece: &[u8], into: &mut [u8]) {
    const ZEROS: [u8; PAGE] = [0; PAGE];
    for (page, to) in piece.chunks(PAGE).zip(into.chunks_mut(PAGE)) {
        if page != &ZEROS[..page.len()] || to != &ZEROS[..to.len()] {
            to.copy_from_slice(page);
        }
    }
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
