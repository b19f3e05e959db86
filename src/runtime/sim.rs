//! [`SimIo`]: a pretend kernel with virtual time, for tests of everything above it.
//!
//! Time stands still while tasks run and jumps to the next event when all of them wait. The network
//! connects sockets of the same [`World`]: data arrives after a latency, cut into pieces
//! by a seeded generator, so that a seed names one exact history. Writes go to the file they
//! name, and a test may refuse them with [`World::fail_writes`].
//!
//! Diagnostics: an operation on a socket that does not exist panics; it is a bug of the caller.

mod network;
mod rng;
mod sockets;
mod world;

use crate::clock::{Instant, UnixMicros};
use crate::io::{Completion, Io, Lent, Op, Outcome, SendData, Sock, Wait};
use crate::slab::Key;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::path::Path;

pub use network::{LATENCY, Member, Route, Weather};
pub use rng::Rng;
pub use world::World;

/// Decides the fate of each write: `Some` error refuses it.
pub type WriteFault = Box<dyn FnMut(u64, usize) -> Option<io::Error>>;

/// The simulated kernel of one core.
pub struct SimIo {
    world: World,
    member: Member,
    buffers: BTreeMap<u16, Vec<u8>>,
    next_buffer: u16,
}

impl SimIo {
    /// A simulator of its own, whose history is decided by `seed`.
    pub fn new(seed: u64) -> SimIo {
        World::new(seed).io()
    }

    fn of(world: World, member: Member) -> SimIo {
        SimIo { world, member, buffers: BTreeMap::new(), next_buffer: 0 }
    }

    /// The world it is in.
    pub fn world(&self) -> World {
        self.world.clone()
    }

    /// Its name there.
    pub fn member(&self) -> Member {
        self.member
    }

    /// A listening socket at `address`.
    pub fn listen(&mut self, address: SocketAddr) -> Sock {
        self.world.listen(address)
    }

    /// A listening socket at `path`, which need not exist.
    pub fn listen_local(&mut self, path: &Path) -> Sock {
        self.world.listen_local(path)
    }

    fn send(&mut self, key: (Member, Key), sock: Sock, data: &SendData, skip: usize) {
        let mut bytes = Vec::with_capacity(data.iter().map(|chunk| chunk.bytes().len()).sum());
        data.iter().for_each(|chunk| bytes.extend_from_slice(chunk.bytes()));
        let mut state = self.world.state();
        let now = state.now;
        state.network.send(now, key, sock, &bytes[skip..]);
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
        self.world.now()
    }

    fn unix_time(&self) -> UnixMicros {
        self.world.unix_time()
    }

    fn submit(&mut self, key: Key, op: Op) {
        if !self.world.is_alive(self.member) {
            return;
        }
        let key = (self.member, key);
        let now = self.world.now();
        match op {
            Op::Accept { listener } => self.world.state().network.accept(now, key, listener),
            Op::Connect { sock, to } => self.world.state().network.connect(now, key, sock, to),
            Op::Recv { sock } => self.world.state().network.receive(now, key, sock),
            Op::Send { sock, data, skip } => self.send(key, sock, &data, skip),
            Op::Write { file, offset, data, sync } => {
                self.world.write(key, file, offset, &data, sync);
            }
            // Nobody rings: whoever drives the members looks at their lanes.
            Op::Wake => {}
            Op::Close { sock } => self.world.state().network.close(now, key, sock),
        }
    }

    fn cancel(&mut self, key: Key) {
        let now = self.world.now();
        self.world.state().network.cancel(now, (self.member, key));
    }

    fn turn(&mut self, wait: Wait, completed: &mut Vec<Completion>) -> io::Result<()> {
        let to = match wait {
            Wait::Poll => self.world.now(),
            Wait::Until(until) => self.world.next_event().min(until),
        };
        assert!(to != Instant::NEVER, "every task waits and nothing will ever happen");
        self.world.advance(to);
        for (key, result, more) in self.world.collect(self.member) {
            let outcome = match result {
                network::Result::Count(result) => Outcome::Done(result),
                network::Result::Bytes(bytes) => Outcome::Received(self.lend(bytes)),
            };
            completed.push(Completion { key, outcome, more, data: None });
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
        Ok(self.world.state().network.socket(self.member, from))
    }

    fn connect_local(&mut self, path: &Path) -> io::Result<Sock> {
        let now = self.world.now();
        self.world.state().network.connect_local(now, self.member, path)
    }

    fn share(&self, _sock: Sock, _channel: BorrowedFd<'_>, _message: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn end_shared(&mut self, _sock: Sock) {
        unreachable!("a simulated socket has no copy");
    }

    fn adopt(&mut self, _sock: Sock) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn peer(&self, sock: Sock) -> io::Result<SocketAddr> {
        self.world.look().network.peer(sock)
    }

    fn local(&self, sock: Sock) -> io::Result<SocketAddr> {
        self.world.look().network.local(sock)
    }
}

#[cfg(test)]
pub(crate) mod tests;
