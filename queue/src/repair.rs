//! Repair: makes damage that recovery found known and harmless.
//!
//! Called by `Log::join`. Repairs are made once, durably, before anything new is written: the
//! bytes of a damaged message go to `corrupt/`, then a Skip record takes their place; the broken
//! end of an unfinished write is zeroed.
//!
//! Diagnostics: `Recovery` says what was found; the engine logs it.
//!
//! Limits: one damaged message in memory at a time.

use std::{collections::BTreeSet, io, path::PathBuf, sync::Arc};

use crate::{
    Core, Lsn, Number, OpenError, Store,
    index::Place,
    map::Aligned,
    record::{self, Commit, HEADER, Header, Kind},
    recover::{Loaded, Survey, UNREAD},
    replay::Replay,
    scan::{End, Gap},
    segment::PAGE,
    storage::{Access, StoredFile},
};

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
