//! The writer: where the next record goes, what waits to be written, what is being written.
//!
//! Called by `Log` only. Knows segments and batches, nothing about messages.
//!
//! State table (one batch): growing -> closed (segment full, or `seal`) -> in flight (`seal`) ->
//! durable (`flushed` ok) | poisoned (`flushed` error; nothing leaves this state).
//!
//! Limits: `BATCH_BYTES_MAX` of content waits besides the batch in flight; state records may go
//! to twice that, so that back-pressure on content never stops a mark or a remove.

use std::{cell::Cell, collections::VecDeque, io, os::fd::BorrowedFd, sync::Arc};

use crate::{
    Full, Lsn, Poisoned,
    batch::{Batch, Builder},
    index::Place,
    record::{self, HEADER, Header, Key, Kind},
    segment::PAGE,
    storage::StoredFile,
    store::Shelf,
};

/// Content that may wait for the disk besides the write in flight, bytes.
pub const BATCH_BYTES_MAX: usize = 1 << 20;

/// Names one `Flush`; handed back in `Log::flushed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlushId(u64);

/// One write for the engine to make: all of `batch` at `offset` of `file`.
///
/// The kernel may read the batch until the completion arrives, so keep the `Arc` until then.
#[derive(Clone, Debug)]
pub struct Flush {
    /// The segment, opened for direct durable writes where the file system takes them.
    pub file: Arc<dyn StoredFile>,
    /// Where in the segment; a multiple of `PAGE`.
    pub offset: u64,
    /// What to write; address and length are multiples of `PAGE`.
    pub batch: Arc<Batch>,
    /// Whether the write must be followed by (linked with) an fdatasync.
    pub needs_fdatasync: bool,
    /// To hand back.
    pub id: FlushId,
}

impl Flush {
    /// The descriptor to write to; none in simulation.
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.fd()
    }

    /// Does the write here and now, for callers without a ring.
    ///
    /// # Errors
    /// What the system said; pass it on to `Log::flushed`.
    pub fn write_blocking(&self) -> io::Result<usize> {
        let written = self.file.write_at(self.offset, &self.batch)?;
        if self.needs_fdatasync {
            self.file.sync()?;
        }
        Ok(written)
    }
}

/// Who asks for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// New mail: leaves the reserve alone.
    Content,
    /// Copies of stragglers: may take half the reserve.
    Straggler,
    /// Marks, removes and their like: may take all of it.
    State,
}

/// A segment that can be written to.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) key: Key,
    pub(super) size: usize,
    /// Where the growing batch starts.
    pub(super) at: usize,
    pub(super) file: Arc<dyn StoredFile>,
}

#[derive(Debug)]
struct Closed {
    epoch: u32,
    file: Arc<dyn StoredFile>,
    offset: usize,
    batch: Arc<Batch>,
    last: Lsn,
}

#[derive(Debug)]
struct InFlight {
    id: FlushId,
    epoch: u32,
    len: usize,
    last: Lsn,
}

#[derive(Debug)]
pub(super) struct Writer {
    shelf: Arc<Shelf>,
    active: Target,
    ready: VecDeque<Target>,
    builder: Builder,
    closed: VecDeque<Closed>,
    closed_bytes: usize,
    in_flight: Option<InFlight>,
    flushes: u64,
    reserve: usize,
    tail_bytes: usize,
    /// Something did not fit for want of another segment.
    short: Cell<bool>,
    /// Bytes of batches so far.
    pub(super) sealed_bytes: u64,
    pub(super) appended: Lsn,
    pub(super) durable: Lsn,
    pub(super) poisoned: bool,
}

impl Writer {
    pub(super) fn new(shelf: Arc<Shelf>, active: Target, last: Lsn, tail_bytes: usize) -> Writer {
        assert!(active.at >= PAGE && active.at.is_multiple_of(PAGE), "batches start on pages");
        assert!(active.at <= active.size, "inside the segment");
        shelf.seal_up_to(active.key.epoch, active.at);
        Writer {
            shelf,
            reserve: (active.size / 8).min(BATCH_BYTES_MAX),
            active,
            ready: VecDeque::new(),
            builder: Builder::new(),
            closed: VecDeque::new(),
            closed_bytes: 0,
            in_flight: None,
            flushes: 0,
            tail_bytes,
            short: Cell::new(false),
            sealed_bytes: 0,
            appended: last,
            durable: last,
            poisoned: false,
        }
    }

    pub(super) fn epoch(&self) -> u32 {
        self.active.key.epoch
    }

    /// Whether no record waits for its batch to be sealed.
    pub(super) fn is_all_sealed(&self) -> bool {
        self.builder.len() == 0
    }

    /// Where the next batch starts.
    pub(super) fn position(&self) -> (u32, u32) {
        (self.active.key.epoch, self.active.at as u32)
    }

    pub(super) fn active_file(&self) -> &Arc<dyn StoredFile> {
        &self.active.file
    }

    pub(super) fn ready_count(&self) -> usize {
        self.ready.len()
    }

    /// The oldest segment that still has something to be written.
    pub(super) fn oldest_unwritten(&self) -> u32 {
        let flying = self.in_flight.as_ref().map(|f| f.epoch);
        flying.or(self.closed.front().map(|c| c.epoch)).unwrap_or(self.active.key.epoch)
    }

    pub(super) fn add_ready(&mut self, target: Target) {
        let newest = self.ready.back().unwrap_or(&self.active).key.epoch;
        assert!(target.key.epoch > newest, "segments are used in order of epoch");
        assert_eq!(target.at, PAGE, "a ready segment is empty");
        self.ready.push_back(target);
        self.short.set(false);
    }

    /// Bytes left in the active segment.
    pub(super) fn left(&self) -> usize {
        self.active.size - self.active.at - self.builder.len()
    }

    /// Whether more than so many eighths of the active segment are used, or something did not fit
    /// already.
    pub(super) fn is_used(&self, eighths: usize) -> bool {
        let used = self.active.size - self.left();
        self.short.get() || used > self.active.size / 8 * eighths
    }

    fn ready_bytes(&self) -> usize {
        self.ready.iter().map(|target| target.size - PAGE).sum()
    }

    /// Bytes that new mail may still take without another segment.
    pub(super) fn in_hand(&self) -> usize {
        (self.left() + self.ready_bytes()).saturating_sub(self.reserve)
    }

    /// Whether a record of `length` bytes can be put now on behalf of `claim`.
    pub(super) fn admit(&self, length: usize, claim: Claim) -> Result<(), Full> {
        let need = record::aligned(length);
        self.admit_waiting(need, claim)?;
        let all = self.left() + self.ready_bytes();
        let usable = if need <= self.left() {
            all
        } else if self.ready.front().is_some_and(|next| need <= next.size - PAGE) {
            self.ready_bytes()
        } else {
            return Err(self.no_space());
        };
        self.admit_space(usable, need, claim)
    }

    /// Whether `length` bytes of divisible content, in all, can be put now.
    pub(super) fn admit_divisible(&self, length: usize, claim: Claim) -> Result<(), Full> {
        self.admit_waiting(length, claim)?;
        self.admit_space(self.left() + self.ready_bytes(), length, claim)
    }

    fn admit_waiting(&self, need: usize, claim: Claim) -> Result<(), Full> {
        if self.poisoned {
            return Err(Full::Poisoned);
        }
        let bound = match claim {
            Claim::Content => BATCH_BYTES_MAX,
            Claim::Straggler => BATCH_BYTES_MAX / 2,
            Claim::State => 2 * BATCH_BYTES_MAX,
        };
        let waiting = self.closed_bytes + self.builder.len();
        if waiting > 0 && waiting + need > bound { Err(Full::Busy) } else { Ok(()) }
    }

    fn admit_space(&self, usable: usize, need: usize, claim: Claim) -> Result<(), Full> {
        let keep = match claim {
            Claim::Content => self.reserve,
            Claim::Straggler => self.reserve / 2,
            Claim::State => 0,
        };
        if usable < need + keep { Err(self.no_space()) } else { Ok(()) }
    }

    fn no_space(&self) -> Full {
        self.short.set(true);
        Full::NoSpace
    }

    /// Appends a record that was admitted.
    pub(super) fn put(&mut self, kind: Kind, number: u64, parts: &[&[u8]]) -> Place {
        assert!(!self.poisoned, "admitted");
        let length = HEADER + parts.iter().map(|part| part.len()).sum::<usize>();
        if record::aligned(length) > self.left() {
            self.rotate();
        }
        assert!(record::aligned(length) <= self.left(), "admitted");
        let lsn = self.appended.next();
        let (key, batch) = (self.active.key, (self.active.at / PAGE) as u32);
        let length = length as u32;
        let header = Header { kind, length, lsn: lsn.0, number, batch, key };
        let at = self.builder.push(&header, parts);
        self.appended = lsn;
        Place { epoch: key.epoch, offset: (self.active.at + at) as u32, length }
    }

    /// Closes the growing batch and goes on in the next ready segment.
    pub(super) fn rotate(&mut self) {
        self.close();
        self.active = self.ready.pop_front().expect("admitted: there is a ready segment");
        assert_eq!(self.builder.len(), 0, "a batch stays in one segment");
    }

    /// Ends the growing batch, if it has anything; it is readable from here on.
    fn close(&mut self) {
        if self.builder.len() == 0 {
            return;
        }
        let batch = self.builder.seal();
        let (epoch, offset, last) = (self.active.key.epoch, self.active.at, self.appended);
        self.active.at += batch.len();
        self.sealed_bytes += batch.len() as u64;
        assert!(self.active.at <= self.active.size, "a batch ends inside its segment");
        self.shelf.push(epoch, offset, last, Arc::clone(&batch));
        self.closed_bytes += batch.len();
        let file = Arc::clone(&self.active.file);
        self.closed.push_back(Closed { epoch, file, offset, batch, last });
    }

    pub(super) fn seal(&mut self) -> Option<Flush> {
        if self.in_flight.is_some() || self.poisoned {
            return None;
        }
        if self.closed.is_empty() {
            self.close();
        }
        let Closed { epoch, file, offset, batch, last } = self.closed.pop_front()?;
        self.closed_bytes -= batch.len();
        self.flushes += 1;
        let id = FlushId(self.flushes);
        self.in_flight = Some(InFlight { id, epoch, len: batch.len(), last });
        let needs_fdatasync = file.needs_fdatasync();
        Some(Flush { file, offset: offset as u64, batch, needs_fdatasync, id })
    }

    pub(super) fn flushed(
        &mut self,
        id: FlushId,
        result: io::Result<usize>,
    ) -> Result<Lsn, Poisoned> {
        let flight = self.in_flight.take().expect("a completion belongs to a flush");
        assert_eq!(flight.id, id, "one flush at a time");
        let error = match result {
            Ok(written) if written == flight.len => {
                assert!(flight.last > self.durable, "a batch has records");
                self.durable = flight.last;
                let spare = self.shelf.trim(self.tail_bytes, self.durable);
                if let Some(batch) = spare {
                    self.builder.recycle(batch);
                }
                return Ok(self.durable);
            }
            Ok(_) => io::ErrorKind::WriteZero.into(),
            Err(error) => error,
        };
        Err(self.poison(error))
    }

    pub(super) fn poison(&mut self, error: io::Error) -> Poisoned {
        self.poisoned = true;
        Poisoned { durable: self.durable, appended: self.appended, error }
    }
}

const _: () = {
    const fn sendable<T: Send>() {}
    sendable::<Flush>();
    sendable::<super::SegmentRequest>();
    sendable::<super::ReadySegment>();
};
