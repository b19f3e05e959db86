//! Connections and listeners as tasks see them.
//!
//! Received bytes are read where the kernel put them: [`Stream::input`] lends them for one call.
//! What a task leaves unread at the end of the turn is copied to the connection's own stash, so the
//! kernel's buffers never wait for a slow task; a stash over [`STASH_MAX`] stops receiving, which
//! reaches the sender as a closed TCP window.
//!
//! A descriptor is closed only when no operation refers to it: a late completion must never meet a
//! new connection in its place. One that was shared ([`shared`]) is shut down first.
//!
//! | receive state | event | next |
//! | --- | --- | --- |
//! | Idle | a task wants bytes, stash has room | Armed |
//! | Armed | bytes | Armed (or Idle when the kernel ends the multishot) |
//! | Armed | stash over its bound, or closing | Stopping |
//! | Stopping | last completion | Idle |
//! | any | end of file or error | Ended |

use crate::clock::Instant;
use crate::executor::TaskId;
use crate::io::{Lent, Op, Outcome, SendData, Sock};
use crate::reactor::{Alarm, Pending, Rt, done};
use crate::slab::{Key, Slab};
use crate::timer::TimerKey;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::task::Poll;

pub mod shared;
pub mod system;
#[cfg(test)]
mod tests;

/// Bytes a connection may hold unread before it stops receiving.
pub const STASH_MAX: usize = 64 * 1024;
/// Capacity an idle connection's stash may keep.
const STASH_KEEP: usize = 0;
const ENOBUFS: i32 = 105;
const ECANCELED: i32 = 125;

pub(crate) type ConnKey = Key;
pub(crate) type ListenerKey = Key;

/// All connections and listeners of one core.
#[derive(Default)]
pub(crate) struct Conns {
    conns: Slab<Conn>,
    listeners: Slab<Listening>,
    /// Connections that were lent a kernel buffer this turn.
    lent: Vec<ConnKey>,
    /// The core ends: what others have copies of stays open for them.
    leaving: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Receive {
    Idle,
    Armed(Key),
    Stopping(Key),
    Ended,
}

struct Conn {
    sock: Sock,
    receive: Receive,
    lent: Option<(Lent, u32)>,
    stash: Vec<u8>,
    stash_read: usize,
    /// Unread bytes the task has seen already: waiting goes on until there are more.
    seen: usize,
    end: Option<io::Result<()>>,
    sending: Option<Sending>,
    send_error: Option<io::Error>,
    connecting: Option<Key>,
    reader: Option<TaskId>,
    writer: Option<TaskId>,
    alarm: Option<(TimerKey, Instant)>,
    deadline: Instant,
    outstanding: u32,
    closing: bool,
    /// Somebody else has a copy.
    shared: bool,
}

struct Sending {
    key: Key,
    taken: usize,
    total: usize,
}

struct Listening {
    sock: Sock,
    accepting: Option<Key>,
    arrived: VecDeque<io::Result<Sock>>,
    waiting: Option<TaskId>,
    closing: bool,
}

/// A connection; dropping it closes the connection at once, whatever is in flight.
pub struct Stream {
    rt: Rt,
    key: ConnKey,
    sock: Sock,
}

/// What [`Stream::readable`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// There is something to read.
    Bytes,
    /// The other end has finished sending and everything was read.
    Eof,
}

/// A listening socket; dropping it stops accepting, the descriptor stays open (its owner is
/// master).
pub struct Listener {
    rt: Rt,
    key: ListenerKey,
}

impl Listener {
    /// Accepts from a listening socket.
    pub fn new(rt: &Rt, sock: Sock) -> Listener {
        let listening = Listening {
            sock,
            accepting: None,
            arrived: VecDeque::new(),
            waiting: None,
            closing: false,
        };
        let key = rt.conns().listeners.insert(listening);
        rt.arm_accept(key);
        Listener { rt: rt.clone(), key }
    }

    /// Takes no more connections from the backlog until [`Listener::accept`] is called again; what
    /// has arrived by then stays.
    pub fn pause(&self) {
        let accepting = self.rt.conns().listeners.get(self.key).and_then(|it| it.accepting);
        if let Some(key) = accepting {
            self.rt.cancel(key);
        }
    }

    /// The next connection.
    ///
    /// # Errors
    /// As accept(2): out of descriptors, mostly. The caller waits a little and calls again.
    pub async fn accept(&self) -> io::Result<Stream> {
        let sock = poll_fn(|_| {
            let mut conns = self.rt.conns();
            let listening = conns.listeners.get_mut(self.key).expect("ours until dropped");
            if let Some(result) = listening.arrived.pop_front() {
                return Poll::Ready(result);
            }
            listening.waiting = Some(self.rt.current());
            let idle = listening.accepting.is_none();
            drop(conns);
            if idle {
                self.rt.arm_accept(self.key);
            }
            Poll::Pending
        })
        .await?;
        Ok(Stream::adopt(&self.rt, sock))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut conns = self.rt.conns();
        let Some(listening) = conns.listeners.get_mut(self.key) else { return };
        listening.closing = true;
        let accepting = listening.accepting;
        let arrived: Vec<Sock> = listening.arrived.drain(..).flatten().collect();
        if accepting.is_none() {
            conns.listeners.remove(self.key);
        }
        drop(conns);
        for sock in arrived {
            self.rt.submit(Pending::Close, Op::Close { sock });
        }
        if let Some(key) = accepting {
            self.rt.cancel(key);
        }
    }
}

impl Stream {
    fn adopt(rt: &Rt, sock: Sock) -> Stream {
        let key = rt.conns().conns.insert(Conn::new(sock));
        Stream { rt: rt.clone(), key, sock }
    }

    /// Connects to `to`, from `from` when given.
    ///
    /// # Errors
    /// As connect(2), or `TimedOut` at the deadline.
    pub async fn connect(
        rt: &Rt,
        to: SocketAddr,
        from: Option<SocketAddr>,
        deadline: Instant,
    ) -> io::Result<Stream> {
        let sock = rt.io().socket(&to, from)?;
        let stream = Stream::adopt(rt, sock);
        let op = rt.submit(Pending::Connect(stream.key), Op::Connect { sock, to });
        stream.with(|conn| {
            conn.connecting = Some(op);
            conn.outstanding += 1;
        });
        stream.written(deadline, |conn| conn.connecting.is_none()).await?;
        Ok(stream)
    }

    /// Connects to the local socket at `path`; it takes no time.
    ///
    /// # Errors
    /// Nobody listens there, no descriptors left, or `WouldBlock` when too many wait already.
    pub fn connect_local(rt: &Rt, path: &Path) -> io::Result<Stream> {
        let sock = rt.io().connect_local(path)?;
        Ok(Stream::adopt(rt, sock))
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// When the connection is gone already.
    pub fn peer(&self) -> io::Result<SocketAddr> {
        self.rt.io().peer(self.sock)
    }

    /// The address of this end.
    ///
    /// # Errors
    /// When the connection is gone already.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.rt.io().local(self.sock)
    }

    /// Waits until there is something to read that [`Stream::input`] has not lent before.
    ///
    /// # Errors
    /// `TimedOut` at the deadline, otherwise as recv(2).
    pub async fn readable(&self, deadline: Instant) -> io::Result<Arrived> {
        self.readable_unless(deadline, || false).await
    }

    /// As [`Stream::readable`], but gives up as soon as `interrupted` says so and the task is
    /// woken.
    ///
    /// # Errors
    /// `Interrupted`, or as [`Stream::readable`].
    pub async fn readable_unless(
        &self,
        deadline: Instant,
        interrupted: impl Fn() -> bool,
    ) -> io::Result<Arrived> {
        poll_fn(|_| {
            let mut conns = self.rt.conns();
            let conn = conns.conns.get_mut(self.key).expect("ours until dropped");
            if conn.unread() > conn.seen {
                return Poll::Ready(Ok(Arrived::Bytes));
            }
            match conn.end.take() {
                Some(Ok(())) => {
                    conn.end = Some(Ok(()));
                    return Poll::Ready(Ok(Arrived::Eof));
                }
                Some(Err(error)) => {
                    conn.end = Some(Err(error.kind().into()));
                    return Poll::Ready(Err(error));
                }
                None => {}
            }
            if interrupted() {
                return Poll::Ready(Err(io::ErrorKind::Interrupted.into()));
            }
            if self.rt.now() >= deadline {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            conn.reader = Some(self.rt.current());
            let idle = conn.receive == Receive::Idle;
            drop(conns);
            self.rt.set_deadline(self.key, deadline);
            if idle {
                self.rt.arm_receive(self.key);
            }
            Poll::Pending
        })
        .await
    }

    /// Lends the unread bytes to `read`, which says how many of them it has consumed.
    pub fn input<R>(&self, read: impl FnOnce(&[u8]) -> (usize, R)) -> R {
        let lent = self.with(|conn| conn.lent.filter(|_| conn.stash.is_empty()));
        let Some((lent, start)) = lent else { return self.stashed(read) };
        let io = self.rt.io();
        let bytes = &io.lent(lent)[start as usize..];
        let available = bytes.len();
        let (used, result) = read(bytes);
        drop(io);
        assert!(used <= available);
        if used == available {
            self.with(|conn| (conn.lent, conn.seen) = (None, 0));
            self.rt.io().give_back(lent);
        } else {
            let rest = (lent, start + used as u32);
            self.with(|conn| (conn.lent, conn.seen) = (Some(rest), available - used));
        }
        result
    }

    /// Sends `data` once everything before it is sent; returns when the kernel has been asked to.
    ///
    /// # Errors
    /// When an earlier send failed, or `TimedOut` when it was not taken by the deadline.
    pub async fn send(&self, data: SendData, deadline: Instant) -> io::Result<()> {
        self.drained(deadline).await?;
        let total = data.iter().map(|chunk| chunk.bytes().len()).sum();
        if total > 0 {
            self.rt.start_send(self.key, data, 0, total);
        }
        Ok(())
    }

    /// Waits until everything sent so far is in the kernel's hands.
    ///
    /// # Errors
    /// As [`Stream::send`].
    pub async fn drained(&self, deadline: Instant) -> io::Result<()> {
        self.written(deadline, |conn| conn.sending.is_none()).await
    }

    async fn written(&self, deadline: Instant, ready: impl Fn(&Conn) -> bool) -> io::Result<()> {
        poll_fn(|_| {
            let mut conns = self.rt.conns();
            let conn = conns.conns.get_mut(self.key).expect("ours until dropped");
            if let Some(error) = conn.send_error.take() {
                conn.send_error = Some(error.kind().into());
                return Poll::Ready(Err(error));
            }
            if ready(conn) {
                return Poll::Ready(Ok(()));
            }
            if self.rt.now() >= deadline {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            conn.writer = Some(self.rt.current());
            drop(conns);
            self.rt.set_deadline(self.key, deadline);
            Poll::Pending
        })
        .await
    }

    fn stashed<R>(&self, read: impl FnOnce(&[u8]) -> (usize, R)) -> R {
        let stash = self.with(|conn| std::mem::take(&mut conn.stash));
        let start = self.with(|conn| conn.stash_read);
        let (used, result) = read(&stash[start..]);
        assert!(used <= stash.len() - start);
        self.with(|conn| {
            conn.stash = stash;
            conn.consume_stash(used);
            conn.seen = conn.unread();
        });
        result
    }

    fn with<R>(&self, change: impl FnOnce(&mut Conn) -> R) -> R {
        change(self.rt.conns().conns.get_mut(self.key).expect("ours until dropped"))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.rt.close(self.key);
    }
}

impl Conn {
    fn new(sock: Sock) -> Conn {
        Conn {
            sock,
            receive: Receive::Idle,
            lent: None,
            stash: Vec::new(),
            stash_read: 0,
            seen: 0,
            end: None,
            sending: None,
            send_error: None,
            connecting: None,
            reader: None,
            writer: None,
            alarm: None,
            deadline: Instant::NEVER,
            outstanding: 0,
            closing: false,
            shared: false,
        }
    }

    fn has_input(&self) -> bool {
        self.lent.is_some() || self.stash_read < self.stash.len()
    }

    /// How many bytes wait to be read.
    fn unread(&self) -> usize {
        let lent = self.lent.map_or(0, |(lent, start)| lent.len as usize - start as usize);
        lent + self.stash.len() - self.stash_read
    }

    fn consume_stash(&mut self, used: usize) {
        self.stash_read += used;
        if self.stash_read == self.stash.len() {
            self.stash.clear();
            self.stash.shrink_to(STASH_KEEP);
            self.stash_read = 0;
        } else if self.stash_read >= self.stash.len() / 2 {
            // A peer that never pauses must not make the stash grow: what is read goes now.
            self.stash.drain(..self.stash_read);
            self.stash.shrink_to(STASH_MAX);
            self.stash_read = 0;
        }
    }
}

impl Rt {
    fn arm_accept(&self, key: ListenerKey) {
        let Some(sock) = self.conns().listeners.get(key).map(|listening| listening.sock) else {
            return;
        };
        let op = self.submit(Pending::Accept(key), Op::Accept { listener: sock });
        if let Some(listening) = self.conns().listeners.get_mut(key) {
            listening.accepting = Some(op);
        }
    }

    pub(crate) fn accepted(&self, key: ListenerKey, outcome: Outcome, more: bool) {
        let mut conns = self.conns();
        let arrived = done(outcome).map(|fd| Sock(fd as i32));
        let Some(listening) = conns.listeners.get_mut(key) else { return };
        if !more {
            listening.accepting = None;
        }
        if listening.closing {
            if !more {
                conns.listeners.remove(key);
            }
            drop(conns);
            if let Ok(sock) = arrived {
                self.submit(Pending::Close, Op::Close { sock });
            }
            return;
        }
        // A pause is nobody's error; whoever waits by now arms anew.
        if !matches!(&arrived, Err(error) if error.raw_os_error() == Some(ECANCELED)) {
            listening.arrived.push_back(arrived);
        }
        if let Some(task) = listening.waiting.take() {
            self.wake(task);
        }
    }

    pub(crate) fn connected(&self, key: ConnKey, outcome: Outcome) {
        let mut conns = self.conns();
        let Some(conn) = conns.conns.get_mut(key) else { return };
        conn.connecting = None;
        conn.outstanding -= 1;
        conn.send_error = done(outcome).err();
        let writer = conn.writer.take();
        drop(conns);
        self.after_completion(key, writer);
    }

    fn arm_receive(&self, key: ConnKey) {
        let sock = {
            let mut conns = self.conns();
            let Some(conn) = conns.conns.get_mut(key) else { return };
            conn.outstanding += 1;
            conn.sock
        };
        let op = self.submit(Pending::Recv(key), Op::Recv { sock });
        if let Some(conn) = self.conns().conns.get_mut(key) {
            conn.receive = Receive::Armed(op);
        }
    }

    pub(crate) fn received(&self, key: ConnKey, outcome: Outcome, more: bool) {
        match outcome {
            Outcome::Received(lent) if lent.len > 0 => self.received_bytes(key, lent),
            Outcome::Received(lent) => {
                self.io().give_back(lent);
                self.received_end(key, Ok(()));
            }
            Outcome::Done(Ok(_)) => self.received_end(key, Ok(())),
            Outcome::Done(Err(error)) if error.raw_os_error() == Some(ENOBUFS) => {}
            Outcome::Done(Err(error)) => self.received_end(key, Err(error)),
        }
        if !more {
            self.receive_stopped(key);
        }
    }

    fn received_bytes(&self, key: ConnKey, lent: Lent) {
        let mut conns = self.conns();
        let Some(conn) = conns.conns.get_mut(key).filter(|conn| !conn.closing) else {
            drop(conns);
            return self.io().give_back(lent);
        };
        let reader = conn.reader.take();
        if !conn.has_input() {
            conn.lent = Some((lent, 0));
            conns.lent.push(key);
        } else {
            let mut io = self.io();
            if let Some((earlier, start)) = conn.lent.take() {
                conn.stash.extend_from_slice(&io.lent(earlier)[start as usize..]);
                io.give_back(earlier);
            }
            conn.stash.extend_from_slice(io.lent(lent));
            io.give_back(lent);
        }
        drop(conns);
        self.limit_stash(key);
        if let Some(task) = reader {
            self.wake(task);
        }
    }

    fn limit_stash(&self, key: ConnKey) {
        let mut conns = self.conns();
        let Some(conn) = conns.conns.get_mut(key) else { return };
        if conn.stash.len() - conn.stash_read <= STASH_MAX {
            return;
        }
        if let Receive::Armed(op) = conn.receive {
            conn.receive = Receive::Stopping(op);
            drop(conns);
            self.cancel(op);
        }
    }

    fn received_end(&self, key: ConnKey, end: io::Result<()>) {
        let mut conns = self.conns();
        let Some(conn) = conns.conns.get_mut(key) else { return };
        // A cancelled receive is not the end of anything.
        let cancelled = matches!(conn.receive, Receive::Stopping(_)) && end.is_err();
        if !cancelled {
            conn.receive = Receive::Ended;
            conn.end = Some(end);
        }
        if let Some(task) = conn.reader.take() {
            self.wake(task);
        }
    }

    fn receive_stopped(&self, key: ConnKey) {
        let mut conns = self.conns();
        let Some(conn) = conns.conns.get_mut(key) else { return };
        conn.outstanding -= 1;
        if conn.receive != Receive::Ended {
            conn.receive = Receive::Idle;
        }
        // A task that still waits must be polled: it arms the next receive.
        let reader = conn.reader.take();
        drop(conns);
        self.after_completion(key, reader);
    }

    /// Copies what tasks have left unread and returns the kernel's buffers; once per turn.
    pub(crate) fn unlend(&self) {
        let mut conns = self.conns();
        let mut keys = std::mem::take(&mut conns.lent);
        for key in keys.drain(..) {
            let Some(conn) = conns.conns.get_mut(key) else { continue };
            if let Some((lent, start)) = conn.lent.take() {
                let mut io = self.io();
                conn.stash.extend_from_slice(&io.lent(lent)[start as usize..]);
                io.give_back(lent);
            }
        }
        conns.lent = keys;
    }

    fn start_send(&self, key: ConnKey, data: SendData, skip: usize, total: usize) {
        let sock = {
            let mut conns = self.conns();
            let Some(conn) = conns.conns.get_mut(key) else { return };
            conn.outstanding += 1;
            conn.sock
        };
        let op = self.submit(Pending::Send(key), Op::Send { sock, data, skip });
        if let Some(conn) = self.conns().conns.get_mut(key) {
            conn.sending = Some(Sending { key: op, taken: skip, total });
        }
    }

    pub(crate) fn sent(&self, key: ConnKey, outcome: Outcome, data: Option<SendData>) {
        let mut conns = self.conns();
        let Some(conn) = conns.conns.get_mut(key) else { return };
        conn.outstanding -= 1;
        let Some(sending) = conn.sending.take() else { return };
        let remainder = match done(outcome) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => Ok(sending.taken + count),
            Err(error) => Err(error),
        };
        match (remainder, data) {
            (Ok(taken), Some(data)) if taken < sending.total && !conn.closing => {
                drop(conns);
                return self.start_send(key, data, taken, sending.total);
            }
            (Ok(_), _) => {}
            (Err(error), _) => conn.send_error = Some(error),
        }
        let writer = conn.writer.take();
        drop(conns);
        self.after_completion(key, writer);
    }

    fn set_deadline(&self, key: ConnKey, deadline: Instant) {
        let mut conns = self.conns();
        let Some(conn) = conns.conns.get_mut(key) else { return };
        conn.deadline = deadline;
        // A timer that is set already and comes earlier will see the new deadline.
        if deadline == Instant::NEVER || conn.alarm.is_some_and(|(_, at)| at <= deadline) {
            return;
        }
        if let Some((timer, _)) = conn.alarm.take() {
            self.cancel_timer(timer);
        }
        conn.alarm = Some((self.set_timer(deadline, Alarm::Conn(key)), deadline));
    }

    pub(crate) fn conn_alarm(&self, key: ConnKey) {
        let mut conns = self.conns();
        let Some(conn) = conns.conns.get_mut(key) else { return };
        conn.alarm = None;
        if conn.deadline > self.now() {
            if conn.deadline != Instant::NEVER {
                let timer = self.set_timer(conn.deadline, Alarm::Conn(key));
                conn.alarm = Some((timer, conn.deadline));
            }
            return;
        }
        let waiting = [conn.reader.take(), conn.writer.take()];
        drop(conns);
        waiting.into_iter().flatten().for_each(|task| self.wake(task));
    }

    fn close(&self, key: ConnKey) {
        let mut conns = self.conns();
        let Some(conn) = conns.conns.get_mut(key) else { return };
        conn.closing = true;
        let (lent, alarm) = (conn.lent.take(), conn.alarm.take());
        let receive = match conn.receive {
            Receive::Armed(op) => Some(op),
            _ => None,
        };
        let sending = conn.sending.as_ref().map(|sending| sending.key);
        let connecting = conn.connecting;
        drop(conns);
        if let Some((lent, _)) = lent {
            self.io().give_back(lent);
        }
        if let Some((timer, _)) = alarm {
            self.cancel_timer(timer);
        }
        [receive, sending, connecting].into_iter().flatten().for_each(|op| self.cancel(op));
        self.after_completion(key, None);
    }

    /// Wakes a waiting task; closes the descriptor of a dropped connection once nothing refers to
    /// it.
    fn after_completion(&self, key: ConnKey, waiting: Option<TaskId>) {
        if let Some(task) = waiting {
            self.wake(task);
        }
        let mut conns = self.conns();
        let Some(conn) = conns.conns.get(key) else { return };
        if conn.closing && conn.outstanding == 0 {
            let (sock, ends) = (conn.sock, conn.shared && !conns.leaving);
            conns.conns.remove(key);
            drop(conns);
            if ends {
                self.io().end_shared(sock);
            }
            self.submit(Pending::Close, Op::Close { sock });
        }
    }
}
