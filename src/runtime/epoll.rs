//! [`EpollIo`]: the contract of [`crate::io::Io`] kept with epoll, where io_uring is blocked.
//!
//! A descriptor is registered once, edge-triggered for both directions; what the edges have said is
//! kept beside it, and an operation is tried whenever its direction is ready. Log writes run on a
//! thread of their own (see `writer`), since a file is never "not ready".
//!
//! | operation | tried | waits for | ends with |
//! | --- | --- | --- | --- |
//! | Accept, Recv | while readable | the next edge | the peer's end, an error, a cancel |
//! | Connect | when submitted | the first edge | the result the socket has kept |
//! | Send | while writable | the next edge | bytes taken, maybe not all |
//! | Write | at once, on the thread | the thread | its result |
//! | Wake | while readable | the next edge | one ring |
//!
//! Limits: [`BUFFERS`] buffers of [`BUFFER_BYTES`]; when all are lent, receiving goes on in the
//! next turn. [`ROUNDS_PER_TURN`] bounds what one connection gets of a turn.

mod socket;
mod writer;

use crate::clock::{Instant, UnixMicros, monotonic, wall};
use crate::io::{Completion, Io, Lent, Op, Outcome, SendData, Sock, Wait};
use crate::net::system;
use crate::slab::Key;
use crate::wake::Waker;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::path::Path;
use writer::Writer;

/// Receive buffers of a core.
pub const BUFFERS: u16 = 256;
/// Bytes of one.
pub const BUFFER_BYTES: usize = 8 * 1024;
/// How often one connection may receive, or one listener accept, per turn.
pub const ROUNDS_PER_TURN: usize = 16;

const EVENTS: usize = 256;
const ECANCELED: i32 = 125;
/// Names of what is no socket.
const WAKER: u64 = u64::MAX;
const WRITER: u64 = u64::MAX - 1;

/// The epoll instance of one core.
pub struct EpollIo {
    epoll: OwnedFd,
    writer: Writer,
    /// By descriptor.
    socks: Vec<Option<Readiness>>,
    /// By the key's index.
    places: Vec<Option<Place>>,
    /// What may be tried, each once.
    runnable: Vec<Key>,
    done: Vec<Completion>,
    buffers: Vec<Vec<u8>>,
    free: Vec<u16>,
    woken: bool,
    waking: Option<Key>,
    events: Vec<epoll::Event>,
}

/// What the edges of a descriptor have said, and who waits for the next.
#[derive(Clone, Copy, Default)]
struct Readiness {
    writable: bool,
    /// The peer has ended, or the connection has failed: no edge will come for what is left.
    ended: bool,
    reader: Option<Key>,
    writer: Option<Key>,
}

struct Place {
    key: Key,
    operation: Operation,
    /// It is among the runnable.
    queued: bool,
}

enum Operation {
    Accept(Sock),
    Recv(Sock),
    Connect(Sock),
    Send { sock: Sock, data: SendData, skip: usize },
    Write,
}

/// What trying an operation has come to.
enum Tried {
    /// It waits for an edge.
    Waits,
    /// It had its share of this turn.
    Again,
    /// It has ended.
    Ended(io::Result<usize>),
}

impl EpollIo {
    /// Sets up the instance and its writer.
    ///
    /// # Errors
    /// No descriptors or threads left.
    pub fn new(waker: &Waker) -> io::Result<EpollIo> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let writer = Writer::start()?;
        let edges = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, waker.fd(), epoll::EventData::new_u64(WAKER), edges)?;
        epoll::add(&epoll, writer.bell(), epoll::EventData::new_u64(WRITER), edges)?;
        Ok(EpollIo {
            epoll,
            writer,
            socks: Vec::new(),
            places: Vec::new(),
            runnable: Vec::new(),
            done: Vec::new(),
            buffers: vec![Vec::new(); BUFFERS.into()],
            free: (0..BUFFERS).collect(),
            woken: false,
            waking: None,
            events: Vec::with_capacity(EVENTS),
        })
    }

    /// The descriptor's readiness, registered the first time.
    fn register(&mut self, sock: Sock) -> io::Result<&mut Readiness> {
        let index = index(sock);
        if self.socks.len() <= index {
            self.socks.resize(index + 1, None);
        }
        if self.socks[index].is_none() {
            let data = epoll::EventData::new_u64(sock.0 as u64);
            let edges = epoll::EventFlags::IN
                | epoll::EventFlags::OUT
                | epoll::EventFlags::RDHUP
                | epoll::EventFlags::ET;
            epoll::add(&self.epoll, system::borrow(sock), data, edges)?;
        }
        Ok(self.socks[index].get_or_insert_default())
    }

    fn readiness(&mut self, sock: Sock) -> Option<&mut Readiness> {
        self.socks.get_mut(index(sock))?.as_mut()
    }

    fn put(&mut self, key: Key, operation: Operation, queued: bool) {
        if self.places.len() <= key.index() {
            self.places.resize_with(key.index() + 1, || None);
        }
        self.places[key.index()] = Some(Place { key, operation, queued });
    }

    /// Takes an operation out, unless it has ended.
    fn take(&mut self, key: Key) -> Option<Operation> {
        let place = self.places.get_mut(key.index())?;
        if place.as_ref()?.key != key {
            return None;
        }
        place.take().map(|place| place.operation)
    }

    /// Has an operation tried, once.
    fn queue(&mut self, key: Key) {
        if let Some(Some(place)) = self.places.get_mut(key.index())
            && place.key == key
            && !std::mem::replace(&mut place.queued, true)
        {
            self.runnable.push(key);
        }
    }

    fn start(&mut self, key: Key, operation: Operation) {
        if let Err(error) = self.prepare(key, &operation) {
            return self.end(key, operation, Err(error));
        }
        self.put(key, operation, false);
        self.queue(key);
    }

    /// Registers the descriptor and says who waits for its edges.
    fn prepare(&mut self, key: Key, operation: &Operation) -> io::Result<()> {
        match operation {
            Operation::Accept(sock) => {
                // Where a call has no flag for it, the descriptor must say that nobody waits.
                system::set_nonblocking(*sock, true)?;
                self.register(*sock)?.reader = Some(key);
            }
            Operation::Recv(sock) => self.register(*sock)?.reader = Some(key),
            Operation::Connect(sock) | Operation::Send { sock, .. } => {
                self.register(*sock)?.writer = Some(key);
            }
            Operation::Write => {}
        }
        Ok(())
    }

    /// Tries what may be ready. What has had its share is tried again in the next turn.
    fn run(&mut self) {
        for key in std::mem::take(&mut self.runnable) {
            let Some(mut operation) = self.take(key) else { continue };
            match self.attempt(key, &mut operation) {
                Tried::Waits => self.put(key, operation, false),
                Tried::Again => {
                    self.put(key, operation, true);
                    self.runnable.push(key);
                }
                Tried::Ended(result) => self.end(key, operation, result),
            }
        }
    }

    fn attempt(&mut self, key: Key, operation: &mut Operation) -> Tried {
        match operation {
            Operation::Accept(sock) => self.accept(key, *sock),
            Operation::Recv(sock) => self.receive(key, *sock),
            Operation::Connect(sock) => self.connected(*sock),
            Operation::Send { sock, data, skip } => {
                let (sock, sent) = (*sock, socket::send(*sock, data, *skip));
                self.unless_blocked(sock, sent)
            }
            // Ends when the writer says so.
            Operation::Write => Tried::Waits,
        }
    }

    fn unless_blocked(&mut self, sock: Sock, result: io::Result<usize>) -> Tried {
        match result {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if let Some(readiness) = self.readiness(sock) {
                    readiness.writable = false;
                }
                Tried::Waits
            }
            result => Tried::Ended(result),
        }
    }

    fn connected(&mut self, sock: Sock) -> Tried {
        let writable = self.readiness(sock).is_some_and(|readiness| readiness.writable);
        // Before the first edge the connection is on its way.
        if writable { Tried::Ended(socket::outcome(sock)) } else { Tried::Waits }
    }

    fn accept(&mut self, key: Key, sock: Sock) -> Tried {
        for _ in 0..ROUNDS_PER_TURN {
            match socket::accept(sock) {
                Ok(accepted) => {
                    let outcome = Outcome::Done(Ok(accepted.0 as usize));
                    self.done.push(Completion { key, outcome, more: true, data: None });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Tried::Waits,
                Err(error) => return Tried::Ended(Err(error)),
            }
        }
        Tried::Again
    }

    fn receive(&mut self, key: Key, sock: Sock) -> Tried {
        for _ in 0..ROUNDS_PER_TURN {
            // Every buffer is lent: they come back before the next turn.
            let Some(buffer) = self.free.pop() else { return Tried::Again };
            let space = &mut self.buffers[usize::from(buffer)];
            space.resize(BUFFER_BYTES, 0);
            match socket::receive(sock, space) {
                Ok(0) => {
                    self.free.push(buffer);
                    return Tried::Ended(Ok(0));
                }
                Ok(len) => {
                    let outcome = Outcome::Received(Lent { buffer, len: len as u32 });
                    self.done.push(Completion { key, outcome, more: true, data: None });
                    let ended = self.readiness(sock).is_none_or(|readiness| readiness.ended);
                    // A buffer that is not full: what comes next has an edge of its own.
                    if len < BUFFER_BYTES && !ended {
                        return Tried::Waits;
                    }
                }
                Err(error) => {
                    self.free.push(buffer);
                    return match error.kind() {
                        ErrorKind::WouldBlock => Tried::Waits,
                        ErrorKind::Interrupted => Tried::Again,
                        _ => Tried::Ended(Err(error)),
                    };
                }
            }
        }
        Tried::Again
    }

    fn end(&mut self, key: Key, operation: Operation, result: io::Result<usize>) {
        let data = match operation {
            Operation::Accept(sock) | Operation::Recv(sock) => {
                self.forget(sock, |readiness| &mut readiness.reader);
                None
            }
            Operation::Connect(sock) => {
                self.forget(sock, |readiness| &mut readiness.writer);
                None
            }
            Operation::Send { sock, data, .. } => {
                self.forget(sock, |readiness| &mut readiness.writer);
                Some(data)
            }
            Operation::Write => None,
        };
        self.done.push(Completion { key, outcome: Outcome::Done(result), more: false, data });
    }

    fn forget(&mut self, sock: Sock, waiter: impl FnOnce(&mut Readiness) -> &mut Option<Key>) {
        if let Some(readiness) = self.readiness(sock) {
            *waiter(readiness) = None;
        }
    }

    fn wait(&mut self, wait: Wait) -> io::Result<()> {
        let busy = !self.done.is_empty() || !self.runnable.is_empty();
        let timeout = match wait {
            Wait::Until(Instant::NEVER) if !busy => None,
            Wait::Until(until) if !busy => Some(timespec(until.since(self.now()))),
            _ => Some(Timespec::default()),
        };
        self.events.clear();
        let space = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, space, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            self.edge(event.data.u64(), event.flags);
        }
        self.events = events;
        Ok(())
    }

    fn edge(&mut self, name: u64, flags: epoll::EventFlags) {
        match name {
            WAKER => self.woken = true,
            WRITER => self.written(),
            sock => {
                let Some(readiness) = self.readiness(Sock(sock as i32)) else { return };
                let failed = epoll::EventFlags::HUP | epoll::EventFlags::ERR;
                let ended = epoll::EventFlags::RDHUP | failed;
                let reads = flags.intersects(epoll::EventFlags::IN | ended);
                let writes = flags.intersects(epoll::EventFlags::OUT | failed);
                readiness.ended |= flags.intersects(ended);
                readiness.writable |= writes;
                let reader = readiness.reader.filter(|_| reads);
                let writer = readiness.writer.filter(|_| writes);
                reader.into_iter().chain(writer).for_each(|key| self.queue(key));
            }
        }
    }

    fn written(&mut self) {
        while let Some((key, result)) = self.writer.take() {
            if self.take(key).is_some() {
                self.end(key, Operation::Write, result);
            }
        }
    }
}

impl Io for EpollIo {
    fn now(&self) -> Instant {
        monotonic()
    }

    fn unix_time(&self) -> UnixMicros {
        wall()
    }

    fn submit(&mut self, key: Key, op: Op) {
        match op {
            Op::Accept { listener } => self.start(key, Operation::Accept(listener)),
            Op::Recv { sock } => self.start(key, Operation::Recv(sock)),
            Op::Send { sock, data, skip } => {
                self.start(key, Operation::Send { sock, data, skip });
            }
            Op::Connect { sock, to } => match socket::connect(sock, to) {
                Ok(()) => self.start(key, Operation::Connect(sock)),
                Err(error) => self.end(key, Operation::Connect(sock), Err(error)),
            },
            Op::Write { file, offset, data, sync } => {
                self.put(key, Operation::Write, false);
                self.writer.write(writer::Job { key, file, offset, data, sync });
            }
            Op::Wake => self.waking = Some(key),
            Op::Close { sock } => {
                // Closing takes the registration away, too.
                if let Some(readiness) = self.socks.get_mut(index(sock)) {
                    *readiness = None;
                }
                system::close(sock);
                let outcome = Outcome::Done(Ok(0));
                self.done.push(Completion { key, outcome, more: false, data: None });
            }
        }
    }

    fn cancel(&mut self, key: Key) {
        match self.take(key) {
            // A write that is under way is not taken back; its result comes.
            Some(Operation::Write) => self.put(key, Operation::Write, false),
            Some(operation) => {
                self.end(key, operation, Err(io::Error::from_raw_os_error(ECANCELED)));
            }
            None => {}
        }
    }

    fn turn(&mut self, wait: Wait, completed: &mut Vec<Completion>) -> io::Result<()> {
        self.run();
        self.wait(wait)?;
        self.run();
        if self.woken
            && let Some(key) = self.waking.take()
        {
            self.woken = false;
            let outcome = Outcome::Done(Ok(0));
            completed.push(Completion { key, outcome, more: false, data: None });
        }
        completed.append(&mut self.done);
        Ok(())
    }

    fn lent(&self, lent: Lent) -> &[u8] {
        &self.buffers[usize::from(lent.buffer)][..lent.len as usize]
    }

    fn give_back(&mut self, lent: Lent) {
        self.free.push(lent.buffer);
    }

    fn socket(&mut self, to: &SocketAddr, from: Option<SocketAddr>) -> io::Result<Sock> {
        let sock = system::socket(to, from)?;
        system::set_nonblocking(sock, true)?;
        Ok(sock)
    }

    fn connect_local(&mut self, path: &Path) -> io::Result<Sock> {
        let sock = system::connect_local(path)?;
        system::set_nonblocking(sock, true)?;
        Ok(sock)
    }

    fn share(&self, sock: Sock, channel: BorrowedFd<'_>, message: &[u8]) -> io::Result<()> {
        system::send_with(channel, message, Some(sock))
    }

    fn end_shared(&mut self, sock: Sock) {
        // Closing alone would not take the registration away while there is a copy; its edges would
        // come in the name of the descriptor's next socket.
        if self.readiness(sock).is_some() {
            epoll::delete(&self.epoll, system::borrow(sock)).ok();
        }
        system::shut_down(sock);
    }

    fn adopt(&mut self, sock: Sock) -> io::Result<()> {
        system::set_nonblocking(sock, true)
    }

    fn peer(&self, sock: Sock) -> io::Result<SocketAddr> {
        system::peer(sock)
    }

    fn local(&self, sock: Sock) -> io::Result<SocketAddr> {
        system::local(sock)
    }
}

fn index(sock: Sock) -> usize {
    usize::try_from(sock.0).expect("descriptors are not negative")
}

fn timespec(duration: std::time::Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().cast_signed(),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
