//! [`SimIo`]: a pretend kernel with virtual time, for tests of everything above it.
//!
//! Time stands still while tasks run and jumps to the next event when all of them wait. The network
//! connects sockets of the same simulator: data arrives after a fixed latency, cut into pieces
//! by a seeded generator, so that a seed names one exact history. Writes go to the real file they
//! name, and a test may refuse them with [`Faults::fail_writes`].
//!
//! Diagnostics: an operation on a socket that does not exist panics; it is a bug of the caller.

mod network;
mod rng;

use crate::clock::{Instant, UnixMicros};
use crate::io::{Completion, Io, Lent, Op, Outcome, SendData, Shared, Sock, Target, Wait};
use crate::slab::Key;
use network::{Event, Network};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

pub use rng::Rng;

/// Where virtual wall-clock time starts: 2026-01-01 00:00:00 UTC.
const EPOCH: UnixMicros = UnixMicros(1_767_225_600_000_000);
/// How long a simulated log write takes.
const WRITE_TIME: Duration = Duration::from_micros(150);

/// Decides the fate of each write: `Some` error refuses it.
pub type WriteFault = Box<dyn FnMut(u64, usize) -> Option<io::Error>>;

/// The simulated kernel of one core.
pub struct SimIo {
    now: Instant,
    network: Network,
    buffers: HashMap<u16, Vec<u8>>,
    next_buffer: u16,
    wake: Option<Key>,
    fault: Rc<RefCell<Option<WriteFault>>>,
}

/// Keeps hold of a simulator that a runtime owns.
#[derive(Clone)]
pub struct Faults(Rc<RefCell<Option<WriteFault>>>);

impl Faults {
    /// From now on `fault` decides whether a write succeeds.
    pub fn fail_writes(&self, fault: Option<WriteFault>) {
        *self.0.borrow_mut() = fault;
    }
}

impl SimIo {
    /// A simulator whose history is decided by `seed`.
    pub fn new(seed: u64) -> SimIo {
        SimIo {
            now: Instant(1_000_000_000),
            network: Network::new(seed),
            buffers: HashMap::new(),
            next_buffer: 0,
            wake: None,
            fault: Rc::default(),
        }
    }

    /// A listening socket at `address`.
    pub fn listen(&mut self, address: SocketAddr) -> Sock {
        self.network.listen(address)
    }

    /// A listening socket at `path`, which need not exist.
    pub fn listen_local(&mut self, path: &Path) -> Sock {
        self.network.listen_local(path)
    }

    /// The switch for write faults.
    pub fn faults(&self) -> Faults {
        Faults(self.fault.clone())
    }

    fn write(&mut self, key: Key, file: &dyn Target, offset: u64, data: &Shared, sync: bool) {
        let bytes = data.bytes();
        let refused = self.fault.borrow_mut().as_mut().and_then(|fault| fault(offset, bytes.len()));
        let result = match refused {
            Some(error) => Err(error),
            None => file
                .write_at(offset, bytes)
                .and_then(|count| if sync { file.sync().map(|()| count) } else { Ok(count) }),
        };
        self.network.schedule(self.now + WRITE_TIME, Event::Finished { key, result });
    }

    fn send(&mut self, key: Key, sock: Sock, data: SendData, skip: usize) {
        let bytes: Vec<u8> = data.iter().flat_map(|chunk| chunk.bytes().iter().copied()).collect();
        self.network.send(self.now, key, sock, &bytes[skip..]);
    }

    fn complete(&mut self, event: Event, completed: &mut Vec<Completion>) {
        let finished = self.network.happen(self.now, event);
        for (key, outcome, more) in finished {
            let outcome = match outcome {
                network::Result::Count(result) => Outcome::Done(result),
                network::Result::Bytes(bytes) => Outcome::Received(self.lend(bytes)),
            };
            completed.push(Completion { key, outcome, more, data: None });
        }
    }

    fn lend(&mut self, bytes: Vec<u8>) -> Lent {
        let len = u32::try_from(bytes.len()).expect("a simulated piece is small");
        self.next_buffer = self.next_buffer.wrapping_add(1);
        let earlier = self.buffers.insert(self.next_buffer, bytes);
        assert!(earlier.is_none(), "a buffer was not given back");
        Lent { buffer: self.next_buffer, len }
    }
}

impl Io for SimIo {
    fn now(&self) -> Instant {
        self.now
    }

    fn unix_time(&self) -> UnixMicros {
        UnixMicros(EPOCH.0 + self.now.0 / 1000)
    }

    fn submit(&mut self, key: Key, op: Op) {
        match op {
            Op::Accept { listener } => self.network.accept(self.now, key, listener),
            Op::Connect { sock, to } => self.network.connect(self.now, key, sock, to),
            Op::Recv { sock } => self.network.receive(self.now, key, sock),
            Op::Send { sock, data, skip } => self.send(key, sock, data, skip),
            Op::Write { file, offset, data, sync } => {
                self.write(key, &*file, offset, &data, sync);
            }
            Op::Wake => self.wake = Some(key),
            Op::Close { sock } => self.network.close(self.now, key, sock),
        }
    }

    fn cancel(&mut self, key: Key) {
        self.network.cancel(self.now, key);
    }

    fn turn(&mut self, wait: Wait, completed: &mut Vec<Completion>) -> io::Result<()> {
        if let Wait::Until(until) = wait {
            let next = self.network.next_event().unwrap_or(Instant::NEVER).min(until);
            assert!(next != Instant::NEVER, "every task waits and nothing will ever happen");
            self.now = self.now.max(next);
        }
        while let Some(event) = self.network.due(self.now) {
            self.complete(event, completed);
        }
        Ok(())
    }

    fn lent(&self, lent: Lent) -> &[u8] {
        &self.buffers[&lent.buffer]
    }

    fn give_back(&mut self, lent: Lent) {
        self.buffers.remove(&lent.buffer).expect("lent once, given back once");
    }

    fn socket(&mut self, _to: &SocketAddr, from: Option<SocketAddr>) -> io::Result<Sock> {
        Ok(self.network.socket(from))
    }

    fn connect_local(&mut self, path: &Path) -> io::Result<Sock> {
        self.network.connect_local(self.now, path)
    }

    fn peer(&self, sock: Sock) -> io::Result<SocketAddr> {
        self.network.peer(sock)
    }

    fn local(&self, sock: Sock) -> io::Result<SocketAddr> {
        self.network.local(sock)
    }
}

#[cfg(test)]
pub(crate) mod tests;
