//! The contract between a core and whatever plays the kernel.
//!
//! An operation goes in with a [`Key`] and owns its buffers until its last completion comes out,
//! also after it was cancelled and on shutdown: the kernel may hold them until then. Multishot
//! operations (accept, receive) complete many times; `more` says whether another completion
//! follows.
//!
//! [`crate::reactor::Rt`] is the only caller. An implementation never calls back.

use crate::clock::{Instant, UnixMicros};
use crate::slab::Key;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// A socket: a descriptor number, or the simulator's name for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sock(pub i32);

/// Bytes somebody else owns too: a log batch, a mapped segment.
pub type SharedBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A range of [`SharedBytes`].
#[derive(Clone)]
pub struct Shared {
    owner: SharedBytes,
    range: Range<usize>,
}

impl Shared {
    /// The bytes of `owner` within `range`. Panics when the range is outside.
    pub fn new(owner: SharedBytes, range: Range<usize>) -> Shared {
        assert!(range.start <= range.end && range.end <= (*owner).as_ref().len());
        Shared { owner, range }
    }

    /// All bytes of `owner`.
    pub fn whole(owner: SharedBytes) -> Shared {
        let range = 0..(*owner).as_ref().len();
        Shared { owner, range }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &(*self.owner).as_ref()[self.range.clone()]
    }
}

/// A file that the queue log is written to; a simulated disk has no descriptor.
pub trait Target: Send + Sync {
    /// The descriptor for a real kernel.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// Writes at once, without a ring: how many bytes.
    ///
    /// # Errors
    /// As pwrite(2).
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Flushes the data.
    ///
    /// # Errors
    /// As fdatasync(2).
    fn sync(&self) -> io::Result<()>;
}

impl Target for File {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// One piece of what is to be sent.
pub enum Chunk {
    /// Bytes made for this purpose.
    Owned(Vec<u8>),
    /// Bytes borrowed from the queue log.
    Shared(Shared),
}

impl Chunk {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Chunk::Owned(bytes) => bytes,
            Chunk::Shared(shared) => shared.bytes(),
        }
    }
}

/// What one send carries, in order. At most [`SEND_CHUNKS_MAX`] pieces.
pub type SendData = Vec<Chunk>;

/// The system's bound on pieces in one send (`IOV_MAX`).
pub const SEND_CHUNKS_MAX: usize = 1024;

/// Something for the kernel to do.
pub enum Op {
    /// Accept connections until cancelled.
    Accept {
        /// A listening socket.
        listener: Sock,
    },
    /// Connect a socket made by [`Io::socket`].
    Connect {
        /// The socket.
        sock: Sock,
        /// Where to.
        to: SocketAddr,
    },
    /// Receive until cancelled, end of file or an error.
    Recv {
        /// A connected socket.
        sock: Sock,
    },
    /// Send everything, or fail.
    Send {
        /// A connected socket.
        sock: Sock,
        /// The pieces, from `skip` bytes on.
        data: SendData,
        /// Bytes that an earlier, short send has taken already.
        skip: usize,
    },
    /// Write `data` at `offset`; with `sync`, flush the file's data before completing.
    Write {
        /// The file.
        file: Arc<dyn Target>,
        /// Where.
        offset: u64,
        /// What.
        data: Shared,
        /// Whether the descriptor does not sync by itself.
        sync: bool,
    },
    /// Complete when the core's [`crate::wake::Waker`] is rung.
    Wake,
    /// Close a socket nothing refers to any more.
    Close {
        /// The socket.
        sock: Sock,
    },
}

/// What became of an operation.
pub enum Outcome {
    /// The count the operation reports, or how it failed.
    Done(io::Result<usize>),
    /// Received bytes, lent until [`Io::give_back`]; empty means end of file.
    Received(Lent),
}

/// Received bytes in a buffer of the implementation.
#[derive(Clone, Copy, Debug)]
pub struct Lent {
    /// Which buffer.
    pub buffer: u16,
    /// How many bytes of it.
    pub len: u32,
}

/// One completion.
pub struct Completion {
    /// The operation's key.
    pub key: Key,
    /// What happened.
    pub outcome: Outcome,
    /// Whether the operation goes on.
    pub more: bool,
    /// The pieces of a send, given back with its last completion so that a short one can go on.
    pub data: Option<SendData>,
}

/// How long a turn may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: there is work to do.
    Poll,
    /// Until a completion comes or the time is reached.
    Until(Instant),
}

/// A kernel, or a pretend one, for one core.
pub trait Io {
    /// The monotonic clock.
    fn now(&self) -> Instant;

    /// The wall clock.
    fn unix_time(&self) -> UnixMicros;

    /// Queues an operation; it starts with the next [`Io::turn`] at the latest.
    fn submit(&mut self, key: Key, op: Op);

    /// Asks for an operation to end soon; its completion still comes.
    fn cancel(&mut self, key: Key);

    /// Starts what was queued, waits as told, and appends what completed.
    ///
    /// # Errors
    /// Only when the kernel's interface itself fails: the core cannot go on.
    fn turn(&mut self, wait: Wait, completed: &mut Vec<Completion>) -> io::Result<()>;

    /// The bytes of a received buffer.
    fn lent(&self, lent: Lent) -> &[u8];

    /// Returns a received buffer.
    fn give_back(&mut self, lent: Lent);

    /// A new stream socket for connecting to `to`, from `from` when given.
    ///
    /// # Errors
    /// No descriptors left, or the source address cannot be used.
    fn socket(&mut self, to: &SocketAddr, from: Option<SocketAddr>) -> io::Result<Sock>;

    /// A connection to the local socket at `path`, made at once: nobody has to accept it first.
    ///
    /// # Errors
    /// Nobody listens there, no descriptors left, or `WouldBlock` when too many wait already.
    fn connect_local(&mut self, path: &Path) -> io::Result<Sock>;

    /// Sends `message` through `channel`, and with it a copy of the socket; never waits.
    ///
    /// # Errors
    /// As sendmsg(2), `WouldBlock` when the channel is full; `Unsupported` without descriptors.
    fn share(&self, sock: Sock, channel: BorrowedFd<'_>, message: &[u8]) -> io::Result<()>;

    /// Ends a connection of which others have copies, before its close: for good, as if there were
    /// none.
    fn end_shared(&mut self, sock: Sock);

    /// Makes a connected socket of another process one that works here.
    ///
    /// # Errors
    /// When it is not open.
    fn adopt(&mut self, sock: Sock) -> io::Result<()>;

    /// The address of the other end.
    ///
    /// # Errors
    /// When the connection is gone already.
    fn peer(&self, sock: Sock) -> io::Result<SocketAddr>;

    /// The address of this end.
    ///
    /// # Errors
    /// When the connection is gone already.
    fn local(&self, sock: Sock) -> io::Result<SocketAddr>;
}
