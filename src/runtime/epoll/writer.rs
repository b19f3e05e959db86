//! The thread that writes the queue log: one job after the other, its results by a bell.
//!
//! Limits: the log has few writes in flight per core, so the queues are not bounded here.

use crate::io::{Shared, Target};
use crate::slab::Key;
use crossbeam_queue::SegQueue;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// A write to be made.
pub struct Job {
    /// Whose.
    pub key: Key,
    /// Where to.
    pub file: Arc<dyn Target>,
    /// At which byte.
    pub offset: u64,
    /// What.
    pub data: Shared,
    /// Whether the data must be flushed, too.
    pub sync: bool,
}

struct Results {
    bell: OwnedFd,
    queue: SegQueue<(Key, io::Result<usize>)>,
}

/// One core's writer; its thread ends with it.
pub struct Writer {
    jobs: Sender<Job>,
    results: Arc<Results>,
}

impl Writer {
    /// Starts the thread.
    pub fn start() -> io::Result<Writer> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let results = Arc::new(Results { bell, queue: SegQueue::new() });
        let (jobs, received) = channel();
        let told = results.clone();
        let thread = std::thread::Builder::new().name("writer".into());
        thread.spawn(move || work(&received, &told))?;
        Ok(Writer { jobs, results })
    }

    /// Hands a job over.
    pub fn write(&self, job: Job) {
        // The thread runs as long as this end exists.
        self.jobs.send(job).expect("the writer waits for jobs");
    }

    /// Rings when there is a result.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.results.bell.as_fd()
    }

    /// The next result. Nothing is left when there is none, and the bell will ring for more.
    pub fn take(&self) -> Option<(Key, io::Result<usize>)> {
        if let Some(result) = self.results.queue.pop() {
            return Some(result);
        }
        let mut count = [0; 8];
        // EAGAIN means that it had not rung.
        rustix::io::read(&self.results.bell, &mut count).ok();
        // What came between the look and the reading has its ring lost: another look.
        self.results.queue.pop()
    }
}

fn work(jobs: &Receiver<Job>, results: &Results) {
    while let Ok(job) = jobs.recv() {
        let written = job.file.write_at(job.offset, job.data.bytes());
        let result = match written {
            Ok(count) if job.sync => job.file.sync().map(|()| count),
            other => other,
        };
        results.queue.push((job.key, result));
        // A full counter means that the core has enough to wake up for.
        rustix::io::write(&results.bell, &1u64.to_ne_bytes()).ok();
    }
}
