//! Supply: the next segment, made ready ahead of its use by a side thread.
//!
//! `Log::wants_segment` says what to do, `SegmentRequest::prepare` does it (blocking, elsewhere),
//! `Log::supply` or `Log::segment_failed` takes the outcome. One request at a time.
//!
//! State table (one file): absent -> ready (create) -> active -> in use -> retired (nothing live,
//! withdrawn from readers) -> ready again (reuse, once no reader holds it) | absent (remove).
//! Files leave `retired` strictly in the order they entered it: see FORMAT.md, "Recycling".
//!
//! Limits: one ready segment ahead, made when a quarter of the active one is used, and one retired
//! one in waiting; what is more, or more than `Log::disk_bound`, is removed.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Store,
    log::{Ledger, Log, writer::Target},
    record::Key,
    segment::{Head, PAGE, Segment, file_name},
    storage::{Access, Storage, StoredFile},
};

/// Retired files kept for reuse; further ones are removed.
const RETIRED_MAX: usize = 1;
/// Segments kept ready ahead of the active one.
const READY_AHEAD: usize = 1;
/// Eighths of the active segment after which it is made ready: what was quick mail in the segment
/// before is gone by then, and its file can be used again.
const READY_FROM: usize = 2;
/// The same while reclaim is about to free a file.
const READY_FROM_WITH_RECLAIM: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    Create,
    Reuse,
    Remove,
}

/// Work for the side thread.
#[derive(Debug)]
pub struct SegmentRequest {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    access: Access,
    head: Head,
    job: Job,
}

/// Its outcome, for `Log::supply`.
#[derive(Debug)]
pub struct ReadySegment {
    head: Head,
    job: Job,
    /// For writing and for reading; none when the file was removed.
    files: Option<[Arc<dyn StoredFile>; 2]>,
    volume_free: u64,
}

impl SegmentRequest {
    /// Does the work. Blocks: writes a whole segment of zeros, or one page, and syncs.
    ///
    /// # Errors
    /// What the system said, for `Log::segment_failed`; `StorageFull` on a full volume.
    pub fn prepare(self) -> io::Result<ReadySegment> {
        let files = match self.job {
            Job::Remove => {
                self.storage.remove(&self.path)?;
                None
            }
            Job::Reuse => Some(self.format()?),
            Job::Create => {
                self.storage.create(&self.path, self.head.size)?;
                let made = self.format();
                if made.is_err() {
                    // The first error is the one to report; what stays is found at next start.
                    let _ = self.storage.remove(&self.path);
                }
                Some(made?)
            }
        };
        let dir = self.path.parent().expect("a segment is in a directory");
        let volume_free = self.storage.space(dir)?.free;
        Ok(ReadySegment { head: self.head, job: self.job, files, volume_free })
    }

    /// Writes the header page, durably: from here on what was in the file before is not its own.
    fn format(&self) -> io::Result<[Arc<dyn StoredFile>; 2]> {
        let write = self.storage.open(&self.path, self.access)?;
        let page = self.head.page();
        if write.write_at(0, page.bytes())? != PAGE {
            return Err(io::ErrorKind::WriteZero.into());
        }
        write.sync()?;
        Ok([write, self.storage.open(&self.path, Access::Read)?])
    }
}

/// A segment without live content, waiting for its readers and for its next use.
#[derive(Debug)]
pub(super) struct Retired {
    pub(super) segment: Arc<Segment>,
}

impl Log {
    /// What the side thread should do next, if anything. After a failure, nothing until
    /// `retry_segments`.
    pub fn wants_segment(&mut self) -> Option<SegmentRequest> {
        if self.request.is_some() || self.hold_off || self.writer.poisoned {
            return None;
        }
        let (job, slot) = self.next_job()?;
        let head = self.next_head(job, slot).ok()?;
        self.request = Some((job, head));
        Some(self.request_for(job, head))
    }

    pub(super) fn request_for(&self, job: Job, head: Head) -> SegmentRequest {
        let path = self.store.core_dir(self.core).join(file_name(self.core, head.slot));
        let (storage, access) = (Arc::clone(self.store.storage()), self.store.write_access());
        SegmentRequest { storage, path, access, head, job }
    }

    fn next_job(&mut self) -> Option<(Job, u32)> {
        let ready = self.writer.ready_count() >= READY_AHEAD;
        let from = if self.is_reclaiming() { READY_FROM_WITH_RECLAIM } else { READY_FROM };
        let enough = ready || !self.writer.is_used(from);
        let size = self.store.segment_bytes();
        let surplus =
            self.retired.len() > RETIRED_MAX || ready && self.disk_bytes() > self.disk_bound();
        if let Some(retired) = self.retired.front_mut() {
            let slot = retired.segment.head.slot;
            // Unique again: no reader is left, and none can come, it was withdrawn.
            let free = Arc::get_mut(&mut retired.segment).is_some();
            let other_size = retired.segment.head.size != size;
            let surplus = surplus || other_size;
            match (free, enough) {
                (true, false) if !other_size => return Some((Job::Reuse, slot)),
                (true, _) if surplus => return Some((Job::Remove, slot)),
                _ => {}
            }
        }
        (!enough).then(|| (Job::Create, self.vacant_slot()))
    }

    fn vacant_slot(&self) -> u32 {
        (0..).find(|slot| !self.slots.contains(slot)).expect("fewer files than numbers")
    }

    pub(super) fn next_head(&mut self, job: Job, slot: u32) -> io::Result<Head> {
        let salt = self.store.storage().random()?;
        if job != Job::Remove {
            self.epoch = self.epoch.checked_add(1).expect("2^32 segments of at least 1 MiB");
        }
        let key = Key { epoch: self.epoch, salt };
        let (core, size, lease) = (self.core, self.store.segment_bytes(), self.lease.promised());
        Ok(Head { core, slot, size, key, lease })
    }

    /// Takes a prepared segment.
    ///
    /// # Panics
    /// When it was not asked for: a bug of the caller.
    pub fn supply(&mut self, ready: ReadySegment) {
        let request = self.request.take();
        assert_eq!(request, Some((ready.job, ready.head)), "the request that is open");
        self.volume_free = ready.volume_free;
        if ready.job != Job::Create {
            let gone = self.retired.pop_front().expect("its front was asked for");
            assert_eq!(gone.segment.head.slot, ready.head.slot, "in order");
        }
        match ready.files {
            Some(files) => self.add_ready(ready.head, files),
            None => drop(self.slots.remove(&ready.head.slot)),
        }
    }

    pub(super) fn add_ready(&mut self, head: Head, [write, read]: [Arc<dyn StoredFile>; 2]) {
        let segment = Arc::new(Segment::new(head, read));
        self.slots.insert(head.slot);
        self.store.shelf(self.core).publish(Arc::clone(&segment));
        self.ledgers.push_back(Ledger::new(segment));
        self.writer.add_ready(target(head, PAGE, write));
    }

    /// Notes that the side thread failed; nothing more is asked for until `retry_segments`.
    pub fn segment_failed(&mut self, error: &io::Error) {
        let request = self.request.take();
        assert!(request.is_some(), "a failure belongs to a request");
        self.hold_off = true;
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            self.volume_free = 0;
        }
    }

    /// Lets `wants_segment` ask again after a failure; for a timer (a second is about right).
    pub fn retry_segments(&mut self) {
        self.hold_off = false;
    }
}

/// Makes a segment here and now.
pub(super) fn create(store: &Store, path: &Path, head: Head) -> io::Result<()> {
    let (storage, access) = (Arc::clone(store.storage()), store.write_access());
    let path = path.to_path_buf();
    SegmentRequest { storage, path, access, head, job: Job::Create }.prepare().map(drop)
}

pub(super) fn target(head: Head, at: usize, file: Arc<dyn StoredFile>) -> Target {
    Target { key: head.key, size: head.size as usize, at, file }
}
