//! When a checkpoint is made, and of what. See `crate::checkpoint`.
//!
//! Called by the engine once per turn, after `seal`. The index is copied in one go, at a moment
//! when nothing waits to be sealed, so that the checkpoint is exactly the state at one record; it
//! goes to the side thread only when that record is durable.
//!
//! Limits: one at a time; its bytes are in memory until it is written. About every fourth byte of
//! log at most is written again as a checkpoint.

use std::{io, path::PathBuf, sync::Arc};

use crate::{
    Lsn,
    checkpoint::{FILE, Summary, encode},
    index::STORED_FIXED,
    log::Log,
    storage::Storage,
};

/// A checkpoint is due when so many times its own size was appended since the last one.
const TIMES: u64 = 4;
/// And at least so many segments.
const SEGMENTS: u64 = 2;

/// Work for the side thread.
#[derive(Debug)]
pub struct CheckpointRequest {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl CheckpointRequest {
    /// Writes the file in place of the last one. Blocks.
    ///
    /// # Errors
    /// What the system said; the last one is still there then, or the new one.
    pub fn write(self) -> io::Result<()> {
        self.storage.save(&self.path, &[&self.bytes])
    }
}

/// How far the next checkpoint is.
#[derive(Debug)]
pub(super) enum Stage {
    /// None is under way; the writer had sealed so many bytes when the last one was made.
    Idle(u64),
    /// One is to be made whatever was written meanwhile.
    Wanted,
    /// Copied; waits until the record is durable.
    Copied(Lsn, CheckpointRequest),
    /// With the side thread.
    Writing,
}

impl Log {
    /// A checkpoint to be written, when one is due. `checkpointed` takes the outcome.
    pub fn checkpoint(&mut self) -> Option<CheckpointRequest> {
        if self.writer.poisoned {
            return None;
        }
        if self.checkpoint_is_due() && self.writer.is_all_sealed() {
            self.checkpoint = Stage::Copied(self.writer.appended, self.copy());
        }
        match std::mem::replace(&mut self.checkpoint, Stage::Writing) {
            Stage::Copied(lsn, request) if lsn <= self.writer.durable => Some(request),
            other => {
                self.checkpoint = other;
                None
            }
        }
    }

    /// Takes the outcome of the last checkpoint. After a failure the one before it counts, and the
    /// next one comes in its time.
    ///
    /// # Panics
    /// When there was none: a bug of the caller.
    pub fn checkpointed(&mut self) {
        assert!(matches!(self.checkpoint, Stage::Writing), "an outcome belongs to a request");
        self.checkpoint = Stage::Idle(self.writer.sealed_bytes);
    }

    /// Makes the next checkpoint due at once, if none is under way.
    pub fn hurry_checkpoint(&mut self) {
        if matches!(self.checkpoint, Stage::Idle(_)) {
            self.checkpoint = Stage::Wanted;
        }
    }

    fn checkpoint_is_due(&self) -> bool {
        let last = match self.checkpoint {
            Stage::Idle(last) => last,
            Stage::Wanted => return true,
            Stage::Copied(..) | Stage::Writing => return false,
        };
        let own = (self.index.len() * STORED_FIXED) as u64;
        let due = (TIMES * own).max(SEGMENTS * self.store.segment_bytes());
        self.writer.sealed_bytes.saturating_sub(last) >= due
    }

    fn copy(&self) -> CheckpointRequest {
        let next = self.writer.position();
        let in_use = self.ledgers.iter().filter(|l| l.segment.epoch() <= next.0);
        let heads = in_use.map(|ledger| ledger.segment.head);
        let summary = Summary {
            core: self.core,
            lsn: self.writer.appended,
            counter: self.lease.promised().max(self.lease.next),
            next,
            from: self.open_drafts.first().copied().unwrap_or(next),
            segments: heads.map(|head| (head.key, head.size)).collect(),
        };
        let (storage, dir) = (Arc::clone(self.store.storage()), self.store.core_dir(self.core));
        CheckpointRequest { storage, path: dir.join(FILE), bytes: encode(&summary, &self.index) }
    }
}
