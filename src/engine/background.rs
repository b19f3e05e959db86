//! One thread beside the cores for file work that blocks: preparing log segments, reading maildrop.
//!
//! A job goes in by a channel; what is to be done with its result on the core comes back by a
//! bounded lock-free queue and a wake-up. A core has at most `OPEN_MAX` jobs open, so the queue
//! is never full. Under the simulator there is no thread: [`Desk::simulated`] does the work on the
//! core itself, some virtual time later.

use crate::core::Core;
use crossbeam_queue::ArrayQueue;
use runtime::Rt;
use runtime::wake::Waker;
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Jobs a core may have open. More are a bug: each kind of job is open at most once, and those of
/// the log wait for [`Desk::has_room`].
const OPEN_MAX: usize = 16;
/// Of those, left to jobs that do not wait.
const OPEN_SPARE: usize = 4;

/// What to do on the core with a job's result.
pub type Answer = Box<dyn FnOnce(&Rc<Core>) + Send>;

type Work = Box<dyn FnOnce() -> Answer + Send>;

struct Job {
    work: Work,
    done: Arc<ArrayQueue<Answer>>,
    waker: Waker,
}

/// The thread; dropping every [`Desk`] ends it.
#[derive(Clone)]
pub struct Background(Sender<Job>);

/// One core's way to the thread and back.
pub struct Desk {
    worker: Worker,
    done: Arc<ArrayQueue<Answer>>,
    waker: Waker,
    open: Cell<usize>,
}

/// Who does the work.
enum Worker {
    Thread(Background),
    Core { rt: Rt, takes: Duration },
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
        Desk::new(Worker::Thread(self.clone()), waker)
    }
}

impl Desk {
    /// A desk without a thread: the core of `rt` does the work itself when `takes` is over.
    pub fn simulated(rt: &Rt, takes: Duration) -> Desk {
        Desk::new(Worker::Core { rt: rt.clone(), takes }, rt.waker().clone())
    }

    fn new(worker: Worker, waker: Waker) -> Desk {
        let done = Arc::new(ArrayQueue::new(OPEN_MAX));
        Desk { worker, done, waker, open: Cell::new(0) }
    }

    /// Hands over a job.
    pub fn run(&self, work: impl FnOnce() -> Answer + Send + 'static) {
        assert!(self.open.get() < OPEN_MAX, "each kind of job is open once");
        self.open.set(self.open.get() + 1);
        let (done, waker) = (self.done.clone(), self.waker.clone());
        let job = Job { work: Box::new(work), done, waker };
        match &self.worker {
            Worker::Thread(background) => {
                background.0.send(job).expect("the thread lives as long as a desk");
            }
            Worker::Core { rt, takes } => {
                let (core, over) = (rt.clone(), rt.now() + *takes);
                rt.spawn(async move {
                    core.sleep_until(over).await;
                    job.finish();
                });
            }
        }
    }

    /// Whether a job that can wait may be handed over now.
    pub fn has_room(&self) -> bool {
        self.open.get() < OPEN_MAX - OPEN_SPARE
    }

    /// The next answer, when there is one.
    pub fn take(&self) -> Option<Answer> {
        let answer = self.done.pop()?;
        self.open.set(self.open.get() - 1);
        Some(answer)
    }

    /// Whether an answer waits.
    pub fn has_answer(&self) -> bool {
        !self.done.is_empty()
    }
}

impl Job {
    fn finish(self) {
        let answer = (self.work)();
        assert!(self.done.push(answer).is_ok(), "no more jobs than places");
        self.waker.wake();
    }
}

fn work(jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        job.finish();
    }
}
