//! Group commit: one write in flight per core; everything that finishes meanwhile shares the next
//! one.
//!
//! Whoever waits for a commit is released in log order when the write that holds its record has
//! reached stable storage. After a failed write the log is poisoned: everybody waiting is told so,
//! nothing more is promised, and the engine ends so that master can start a new one that recovers.

#[cfg(test)]
mod tests;

use crate::core::Core;
use crate::limits::{
    LAZY_COMMIT, LAZY_COMMIT_BUSY, PACED_COMMIT, PACED_GROUP, RECLAIM_BUDGET, SEGMENT_RETRY,
};
use crate::maillog::Daemon;
use crate::parcel::{Incoming, Parcel};
use queue::storage::StoredFile;
use queue::{Batch, Flush, Log, Lsn, ReadySegment};
use runtime::io::Target;
use runtime::local::{Pledge, Promise, promise};
use runtime::{Instant, Shared};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What waits for a record to be durable.
enum Waiter {
    /// A session's reply.
    Reply(Promise<()>),
    /// A message for the queue manager.
    Incoming(Box<Incoming>),
}

/// How much was written by all cores together. Each core adds once per write.
#[derive(Debug, Default)]
pub struct Totals {
    /// Writes made.
    pub commits: AtomicU64,
    /// Messages they made durable.
    pub messages: AtomicU64,
}

/// What waits for a write.
pub struct Commits {
    waiting: RefCell<VecDeque<(Lsn, Waiter)>>,
    /// When records that nobody waits for are written, if nothing else is before.
    lazy_until: Cell<Option<Instant>>,
    /// Whether something is to be written as soon as it can be.
    soon: Cell<bool>,
    /// Messages in the last commit, and when the next one may start with fewer.
    paced: Cell<(usize, Instant)>,
    alarm: Cell<Option<Instant>>,
    totals: Arc<Totals>,
}

impl Commits {
    /// Nothing waits; writes are counted in `totals`.
    pub fn new(totals: Arc<Totals>) -> Commits {
        Commits {
            waiting: RefCell::default(),
            lazy_until: Cell::new(None),
            soon: Cell::new(false),
            paced: Cell::new((0, Instant(0))),
            alarm: Cell::new(None),
            totals,
        }
    }

    /// The counts of all cores.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    fn push(&self, lsn: Lsn, waiter: Waiter) {
        let mut waiting = self.waiting.borrow_mut();
        debug_assert!(waiting.back().is_none_or(|(last, _)| *last <= lsn));
        waiting.push_back((lsn, waiter));
    }

    fn take_until(&self, durable: Lsn) -> Option<Waiter> {
        let mut waiting = self.waiting.borrow_mut();
        let (lsn, _) = waiting.front()?;
        if *lsn > durable { None } else { waiting.pop_front().map(|(_, waiter)| waiter) }
    }
}

struct LogFile(Arc<dyn StoredFile>);

impl Target for LogFile {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.fd()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_at(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

struct BatchBytes(Arc<Batch>);

impl AsRef<[u8]> for BatchBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Core {
    /// A message was appended at `lsn`: hands it to the queue manager once it is durable, and keeps
    /// the pledge then. A broken pledge means that nothing can be promised.
    pub fn committed(&self, lsn: Lsn, incoming: Box<Incoming>) -> Pledge<()> {
        let (promise, pledge) = promise(&self.rt);
        self.commits.push(lsn, Waiter::Incoming(incoming));
        self.commits.push(lsn, Waiter::Reply(promise));
        pledge
    }

    /// A record was appended that nobody waits for: it may share the next commit, within bounds.
    pub(crate) fn commit_lazily(&self) {
        if self.commits.lazy_until.get().is_none() {
            self.be_lazy();
        }
    }

    /// From now on records that nobody waits for wait for company; never shorter than messages do.
    fn be_lazy(&self) {
        let (group, _) = self.commits.paced.get();
        let patience = if group >= PACED_GROUP { LAZY_COMMIT_BUSY } else { LAZY_COMMIT };
        let until = self.rt.now() + patience;
        self.commits.lazy_until.set(Some(until));
        // The alarm gives the loop a turn when it is time.
        let rt = self.rt.clone();
        self.rt.spawn(async move { rt.sleep_until(until).await });
    }

    /// Content is on its way to the log: the disk should have it soon.
    pub(crate) fn commit_soon(&self) {
        self.commits.soon.set(true);
    }

    /// Starts the next write, unless one is in flight or nothing is to be written. Once per turn.
    pub fn start_commit(self: &Rc<Self>) {
        if !self.is_commit_due() && !self.is_stopping() {
            return;
        }
        for (index, log) in self.logs().enumerate() {
            let Some(flush) = log.borrow_mut().seal() else { continue };
            self.commits.lazy_until.set(None);
            self.commits.soon.set(false);
            if index == 0 {
                self.pace();
            }
            let core = self.clone();
            self.rt.spawn(async move { core.write(index, flush).await });
        }
    }

    /// A commit starts: how soon the next one may, if this one is large.
    fn pace(&self) {
        let group = self.commits.waiting.borrow().len() / 2;
        let next = if group >= PACED_GROUP { self.rt.now() + PACED_COMMIT } else { Instant(0) };
        self.commits.paced.set((group, next));
    }

    fn is_commit_due(&self) -> bool {
        let Commits { waiting, lazy_until, soon, paced, .. } = &self.commits;
        let now = self.rt.now();
        if soon.get() {
            return true;
        }
        // Each message waits twice: its reply, and its way to the queue manager.
        let messages = waiting.borrow().len() / 2;
        let (group, next) = paced.get();
        if messages == 0 || messages < group && now < next {
            if messages > 0 {
                self.wake_at(next);
            }
            return lazy_until.get().is_some_and(|until| until <= now);
        }
        true
    }

    /// Gives the loop a turn at `at`.
    fn wake_at(&self, at: Instant) {
        if self.commits.alarm.replace(Some(at)) != Some(at) {
            let rt = self.rt.clone();
            self.rt.spawn(async move { rt.sleep_until(at).await });
        }
    }

    async fn write(&self, log: usize, flush: Flush) {
        let file = Arc::new(LogFile(flush.file));
        let data = Shared::whole(Arc::new(BatchBytes(flush.batch)));
        let result = self.rt.write(file, flush.offset, data, flush.needs_fdatasync).await;
        let own = log == 0;
        let log = self.logs().nth(log).expect("logs are never taken away");
        let flushed = log.borrow_mut().flushed(flush.id, result);
        if log.borrow().durable() < log.borrow().appended() {
            match self.commits.lazy_until.get() {
                // Those who get their answers now may send the next messages: let these come.
                Some(_) => self.be_lazy(),
                // A write ends with its segment: what is behind that has nobody else to start it.
                None => self.commit_soon(),
            }
        }
        self.commits.totals.commits.fetch_add(1, Ordering::Relaxed);
        match flushed {
            Ok(durable) if own => self.release(durable),
            Ok(_) => {}
            Err(poisoned) => {
                // Promises are dropped unkept; sessions answer 451.
                self.commits.waiting.borrow_mut().clear();
                self.fail(&format!("queue log: {poisoned}"));
            }
        }
    }

    fn release(&self, durable: Lsn) {
        let mut messages = 0;
        while let Some(waiter) = self.commits.take_until(durable) {
            match waiter {
                Waiter::Reply(promise) => promise.keep(()),
                Waiter::Incoming(incoming) => {
                    messages += 1;
                    self.port.send(crate::qmgr::CORE, Parcel::Incoming(incoming));
                }
            }
        }
        self.commits.totals.messages.fetch_add(messages, Ordering::Relaxed);
    }

    /// Hands checkpoints that are due to the background thread. Once per turn, after
    /// `start_commit`.
    pub fn tend_checkpoints(&self) {
        for (index, log) in self.logs().enumerate() {
            if !self.desk.has_room() {
                return;
            }
            let Some(request) = log.borrow_mut().checkpoint() else { continue };
            self.desk.run(move || {
                let written = request.write();
                Box::new(move |core| core.checkpointed(index, written))
            });
        }
    }

    fn checkpointed(&self, log: usize, written: io::Result<()>) {
        if let Err(error) = written {
            self.log.warn(Daemon::Qmgr, &format!("queue log: no checkpoint: {error}"));
        }
        let log = self.logs().nth(log).expect("logs are never taken away");
        log.borrow_mut().checkpointed();
    }

    /// Keeps the next segment of every part ready and recycles what is free. Once per turn.
    pub fn tend_segments(&self) {
        if self.segments_retry.get().is_some_and(|at| at <= self.rt.now()) {
            self.segments_retry.set(None);
            self.logs().for_each(|log| log.borrow_mut().retry_segments());
        }
        for (index, log) in self.logs().enumerate() {
            self.tend(index, log);
        }
    }

    fn tend(&self, index: usize, log: &RefCell<Log>) {
        let mut log = log.borrow_mut();
        let reclaimed = log.reclaim_step(RECLAIM_BUDGET);
        // A part that takes no new mail needs room as long as there are marks to be made.
        let idle = index > 0 && log.is_empty() || !self.desk.has_room();
        let request = if idle { None } else { log.wants_segment() };
        drop(log);
        for number in reclaimed.corrupt {
            let text = format!("saving corrupt message {number} to queue \"corrupt\"");
            self.log.warn(Daemon::Qmgr, &text);
        }
        if let Some(request) = request {
            self.desk.run(move || {
                let prepared = request.prepare();
                Box::new(move |core| core.segment_prepared(index, prepared))
            });
        }
    }

    fn segment_prepared(self: &Rc<Self>, index: usize, prepared: io::Result<ReadySegment>) {
        let log = self.logs().nth(index).expect("logs are never taken away");
        let error = match prepared {
            Ok(ready) => return log.borrow_mut().supply(ready),
            Err(error) => error,
        };
        log.borrow_mut().segment_failed(&error);
        let retry_at = self.rt.now() + SEGMENT_RETRY;
        self.segments_retry.set(Some(retry_at));
        // The alarm gives the loop a turn when it is time.
        let rt = self.rt.clone();
        self.rt.spawn(async move { rt.sleep_until(retry_at).await });
        self.warn_full(&error);
    }
}
