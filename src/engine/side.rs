//! The side thread: one tokio runtime for everything that is not done per message.
//!
//! Started once by the engine; each core holds a [`Port`]. Questions and answers travel in bounded
//! lock-free queues; an answer rings the core's [`Waker`]. [`Port::pump`] runs once per turn of the
//! core and hands answers to the tasks that wait.
//!
//! Diagnostics: when the queue is full, the deadline has passed or the thread is gone, the answer
//! is [`Cause::TryAgain`], or none from a table: mail waits, nothing is lost.
//!
//! Limits: [`QUESTIONS_MAX`] per core in flight, [`TABLES_MAX`] of them for tables.

use crate::resolver::dns::{Dns, Servers};
use crate::resolver::{Answer, Cause, Question};
use crossbeam_queue::ArrayQueue;
use remote::Client;
use runtime::local::{Promise, promise};
use runtime::wake::Waker;
use runtime::{Instant, Rt};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, thread};

/// Questions one core may have in flight, those included that nobody waits for any more.
pub const QUESTIONS_MAX: usize = 1024;
/// Of these, how many may be for tables: servers that do not answer must leave room for the DNS.
pub const TABLES_MAX: usize = QUESTIONS_MAX / 2;
/// Questions of all cores that wait for the thread.
const INBOX_MAX: usize = 8 * QUESTIONS_MAX;

/// What the thread is asked for.
enum Errand {
    /// The DNS.
    Dns(Question),
    /// A key of a table that a server answers for.
    Table(Arc<Client>, Vec<u8>),
}

/// What it brings back.
enum Brought {
    Dns(Answer),
    Table(remote::Answer),
}

struct Request {
    errand: Errand,
    ticket: u64,
    outbox: Arc<Outbox>,
}

struct Inbox {
    requests: ArrayQueue<Request>,
    arrived: tokio::sync::Notify,
    stopping: AtomicBool,
}

struct Outbox {
    answers: ArrayQueue<(u64, Brought)>,
    waker: Waker,
}

/// The thread; dropping it ends the thread.
pub struct Side {
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

/// One core's way to ask.
pub struct Port {
    inbox: Arc<Inbox>,
    outbox: Arc<Outbox>,
    waiting: RefCell<BTreeMap<u64, Promise<Brought>>>,
    in_flight: Cell<usize>,
    /// Those for tables.
    tables: Cell<usize>,
    next_ticket: Cell<u64>,
}

impl Side {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no threads or descriptors left.
    pub fn start() -> io::Result<Side> {
        Side::start_asking(Servers::System)
    }

    fn start_asking(servers: Servers) -> io::Result<Side> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let inbox = Arc::new(Inbox {
            requests: ArrayQueue::new(INBOX_MAX),
            arrived: tokio::sync::Notify::new(),
            stopping: AtomicBool::new(false),
        });
        let served = inbox.clone();
        let thread = thread::Builder::new().name("side".into()).spawn(move || {
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, serve(served, servers));
            // Look-ups in the blocking pool may hang; nobody waits for them any more.
            drop(local);
            runtime.shutdown_timeout(Duration::ZERO);
        })?;
        Ok(Side { inbox, thread: Some(thread) })
    }

    /// A port for the core that `waker` wakes.
    pub fn port(&self, waker: Waker) -> Port {
        let outbox = Outbox { answers: ArrayQueue::new(QUESTIONS_MAX), waker };
        Port {
            inbox: self.inbox.clone(),
            outbox: Arc::new(outbox),
            waiting: RefCell::default(),
            in_flight: Cell::new(0),
            tables: Cell::new(0),
            next_ticket: Cell::new(0),
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.inbox.stopping.store(true, Ordering::Release);
        self.inbox.arrived.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the side thread had panicked");
        }
    }
}

async fn serve(inbox: Arc<Inbox>, servers: Servers) {
    let dns = Rc::new(Dns::new(servers));
    while !inbox.stopping.load(Ordering::Acquire) {
        while let Some(request) = inbox.requests.pop() {
            let dns = dns.clone();
            tokio::task::spawn_local(async move {
                let brought = match request.errand {
                    Errand::Dns(question) => Brought::Dns(dns.answer(&question).await),
                    Errand::Table(client, key) => Brought::Table(client.lookup(&key).await),
                };
                request.outbox.deliver(request.ticket, brought);
            });
        }
        inbox.arrived.notified().await;
    }
}

impl Outbox {
    fn deliver(&self, ticket: u64, answer: Brought) {
        let room = self.answers.push((ticket, answer));
        assert!(room.is_ok(), "a core has at most QUESTIONS_MAX questions in flight");
        self.waker.wake();
    }
}

impl Port {
    /// Asks the DNS, and waits until `deadline` at most.
    pub async fn ask(&self, rt: &Rt, question: Question, deadline: Instant) -> Answer {
        match self.send(rt, Errand::Dns(question), deadline).await {
            Some(Brought::Dns(answer)) => answer,
            _ => Answer { result: Err(Cause::TryAgain), ttl: Duration::ZERO },
        }
    }

    /// Asks a server for a key of its table, and waits until `deadline` at most; none when there is
    /// no answer by then.
    pub async fn look_up(
        &self,
        rt: &Rt,
        client: &Arc<Client>,
        key: &[u8],
        deadline: Instant,
    ) -> Option<remote::Answer> {
        match self.send(rt, Errand::Table(client.clone(), key.to_vec()), deadline).await? {
            Brought::Table(answer) => Some(answer),
            Brought::Dns(_) => None,
        }
    }

    async fn send(&self, rt: &Rt, errand: Errand, deadline: Instant) -> Option<Brought> {
        let is_table = matches!(errand, Errand::Table(..));
        let full = self.in_flight.get() >= QUESTIONS_MAX;
        if full || is_table && self.tables.get() >= TABLES_MAX {
            return None;
        }
        let ticket = self.next_ticket.get();
        self.next_ticket.set(ticket + 1);
        let request = Request { errand, ticket, outbox: self.outbox.clone() };
        self.inbox.requests.push(request).ok()?;
        self.in_flight.set(self.in_flight.get() + 1);
        self.tables.set(self.tables.get() + usize::from(is_table));
        self.inbox.arrived.notify_one();
        let (answered, pledge) = promise(rt);
        self.waiting.borrow_mut().insert(ticket, answered);
        let answer = before(rt, deadline, pledge.wait()).await.flatten();
        self.waiting.borrow_mut().remove(&ticket);
        answer
    }

    /// Hands answers to those who wait; once per turn.
    pub fn pump(&self) {
        while let Some((ticket, answer)) = self.outbox.answers.pop() {
            let is_table = matches!(answer, Brought::Table(_));
            self.in_flight.set(self.in_flight.get() - 1);
            self.tables.set(self.tables.get() - usize::from(is_table));
            let waiting = self.waiting.borrow_mut().remove(&ticket);
            if let Some(promise) = waiting {
                promise.keep(answer);
            }
        }
    }

    /// Whether an answer waits for [`Port::pump`].
    pub fn has_mail(&self) -> bool {
        !self.outbox.answers.is_empty()
    }
}

/// What `future` gives, if it does so before `deadline`.
async fn before<T>(rt: &Rt, deadline: Instant, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut expiry = pin!(rt.sleep_until(deadline));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => expiry.as_mut().poll(context).map(|()| None),
    })
    .await
}

#[cfg(test)]
mod tests;
