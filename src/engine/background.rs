//! One thread beside the cores for file work that blocks: preparing log segments.
//!
//! Requests go in by a channel, results come back by a bounded lock-free queue and a wake-up. At most one
//! request per core is open at any time, so the queue cannot be full.

use crossbeam_queue::ArrayQueue;
use queue::{ReadySegment, SegmentRequest};
use runtime::wake::Waker;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

type Prepared = io::Result<ReadySegment>;

struct Job {
    request: SegmentRequest,
    done: Arc<ArrayQueue<Prepared>>,
    waker: Waker,
}

/// The thread; dropping every [`Desk`] ends it.
#[derive(Clone)]
pub struct Background(Sender<Job>);

/// One core's way to the thread and back.
pub struct Desk {
    background: Background,
    done: Arc<ArrayQueue<Prepared>>,
    waker: Waker,
}

impl Background {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no threads left.
    pub fn start() -> io::Result<Background> {
        let (sender, jobs) = channel();
        std::thread::Builder::new().name("background".into()).spawn(move || work(&jobs))?;
        Ok(Background(sender))
    }

    /// A desk for the core that `waker` wakes.
    pub fn desk(&self, waker: Waker) -> Desk {
        Desk { background: self.clone(), done: Arc::new(ArrayQueue::new(1)), waker }
    }
}

impl Desk {
    /// Hands over a request. The previous one must have been answered.
    pub fn prepare(&self, request: SegmentRequest) {
        let job = Job { request, done: self.done.clone(), waker: self.waker.clone() };
        self.background.0.send(job).expect("the thread lives as long as a desk");
    }

    /// The answer, when there is one.
    pub fn take(&self) -> Option<Prepared> {
        self.done.pop()
    }

    /// Whether an answer waits.
    pub fn has_answer(&self) -> bool {
        !self.done.is_empty()
    }
}

fn work(jobs: &Receiver<Job>) {
    while let Ok(Job { request, done, waker }) = jobs.recv() {
        let prepared = request.prepare();
        assert!(done.push(prepared).is_ok(), "one request per desk");
        waker.wake();
    }
}
