//! Submission and completion entries: the only place that hands pointers to the kernel.
//!
//! Every operation's memory is owned by `held[key.index()]` from submission to its last completion,
//! so nothing the kernel may touch is ever freed early; a cancelled operation keeps its memory too.

use super::buffers::{self, Buffers};
use super::{BUSY_COMPLETIONS, BUSY_WANT, CQ_ENTRIES, MIN_WAIT_MICROS, SQ_ENTRIES};
use crate::clock::{Instant, UnixMicros, monotonic, wall};
use crate::io::{Completion, Io, Lent, Op, Outcome, SEND_CHUNKS_MAX, SendData, Shared};
use crate::io::{Sock, Target, Wait};
use crate::net::system;
use crate::slab::Key;
use crate::wake::Waker;
use io_uring::register::Restriction;
use io_uring::{IoUring, Submitter, cqueue, opcode, squeue, types};
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::net::addr::SocketAddrArg;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// The `user_data` of cancellations and closes: nobody waits for those.
const UNATTENDED: u64 = u64::MAX;

/// Memory an operation in flight keeps alive.
#[allow(dead_code, reason = "some fields are only held for the kernel's sake")]
enum Held {
    Nothing,
    Address(Box<(libc_addr::Storage, u32)>),
    Send(Box<Outgoing>),
    Write { file: Arc<dyn Target>, data: Shared, synced: Synced },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Synced {
    ByTheWrite,
    /// The write is linked to an fdatasync; the result of the first to complete is kept.
    Separately {
        written: Option<i32>,
    },
}

/// A send's pieces and the vectors that describe them.
struct Outgoing {
    data: SendData,
    vectors: Vec<rustix::io::IoSlice<'static>>,
    header: Header,
}

mod libc_addr {
    /// Room for any socket address, aligned as the kernel wants it.
    #[repr(C, align(8))]
    #[derive(Clone, Copy)]
    pub struct Storage(pub [u8; 128]);
}

/// `struct msghdr` as the kernel reads it on 64-bit Linux.
#[repr(C)]
struct Header {
    name: *const u8,
    name_len: u32,
    vectors: *const u8,
    count: usize,
    control: *const u8,
    control_len: usize,
    flags: i32,
}

const MSG_WAITALL: i32 = 0x100;
const MSG_NOSIGNAL: i32 = 0x4000;

/// The io_uring of one core. Must be made and used on that core's thread.
pub struct UringIo {
    ring: IoUring,
    // After the ring: its descriptor is closed before the buffers are unmapped.
    buffers: Buffers,
    held: Vec<Held>,
    /// Scratch space of one turn.
    entries: Vec<cqueue::Entry>,
    waker: Waker,
    last_reaped: usize,
    min_wait: bool,
}

impl UringIo {
    /// Sets up the ring.
    ///
    /// # Errors
    /// When the kernel is older than 6.1 or forbids io_uring (seccomp, sysctl).
    pub fn new(waker: Waker) -> io::Result<UringIo> {
        let mut ring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(CQ_ENTRIES)
            .setup_r_disabled()
            .dontfork()
            .build(SQ_ENTRIES)?;
        let min_wait = ring.params().is_feature_min_timeout();
        let buffers = Buffers::register(&ring.submitter())?;
        restrict(&ring.submitter())?;
        ring.submitter().register_ring_fd().ok();
        ring.completion().sync();
        Ok(UringIo {
            ring,
            buffers,
            held: Vec::new(),
            entries: Vec::new(),
            waker,
            last_reaped: 0,
            min_wait,
        })
    }

    fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: every pointer in the entry is into memory kept by `held` (or the buffer ring,
            // or nothing) until the operation's last completion.
            let pushed = unsafe { self.ring.submission().push(entry) };
            if pushed.is_ok() {
                return;
            }
            // The queue is full: hand it over and go on. EBUSY and EINTR clear with the next try.
            self.ring.submit().ok();
        }
    }

    fn hold(&mut self, key: Key, held: Held) {
        if self.held.len() <= key.index() {
            self.held.resize_with(key.index() + 1, || Held::Nothing);
        }
        self.held[key.index()] = held;
    }

    fn submit_connect(&mut self, key: Key, sock: Sock, to: SocketAddr) {
        let address = Box::new(encode(&to));
        let (pointer, len) = (address.0.0.as_ptr(), address.1);
        let entry = opcode::Connect::new(types::Fd(sock.0), pointer.cast(), len).build();
        self.hold(key, Held::Address(address));
        self.push(&entry.user_data(key.to_bits()));
    }

    fn submit_send(&mut self, key: Key, sock: Sock, data: SendData, skip: usize) {
        let flags = MSG_WAITALL | MSG_NOSIGNAL;
        let outgoing = Outgoing::new(data, skip);
        let entry = if let [one] = outgoing.vectors.as_slice() {
            let len = u32::try_from(one.len()).unwrap_or(u32::MAX);
            opcode::Send::new(types::Fd(sock.0), one.as_ptr(), len).flags(flags).build()
        } else {
            let header: *const Header = &outgoing.header;
            opcode::SendMsg::new(types::Fd(sock.0), header.cast()).flags(flags as u32).build()
        };
        self.hold(key, Held::Send(outgoing));
        self.push(&entry.user_data(key.to_bits()));
    }

    fn submit_write(
        &mut self,
        key: Key,
        file: Arc<dyn Target>,
        offset: u64,
        data: Shared,
        sync: bool,
    ) {
        let fd = file.fd().expect("a simulated file never meets a real kernel");
        let fd = types::Fd(fd.as_raw_fd());
        let bytes = data.bytes();
        let len = u32::try_from(bytes.len()).expect("a log batch is below 4 GiB");
        let write = opcode::Write::new(fd, bytes.as_ptr(), len).offset(offset).build();
        let write = write.user_data(key.to_bits());
        let synced = if sync { Synced::Separately { written: None } } else { Synced::ByTheWrite };
        self.hold(key, Held::Write { file, data, synced });
        if !sync {
            return self.push(&write);
        }
        let flags = types::FsyncFlags::DATASYNC;
        let fsync = opcode::Fsync::new(fd).flags(flags).build().user_data(key.to_bits());
        // Room for both first: a chain must not be cut by a submission between its halves.
        if SQ_ENTRIES as usize - self.ring.submission().len() < 2 {
            self.ring.submit().ok();
        }
        self.push(&write.flags(squeue::Flags::IO_LINK));
        self.push(&fsync);
    }

    fn enter(&mut self, wait: Wait) -> io::Result<()> {
        let until = match wait {
            Wait::Poll => return self.enter_for(0, types::SubmitArgs::new()),
            Wait::Until(until) => until,
        };
        let remaining = until.since(self.now());
        let timeout = types::Timespec::from(remaining);
        let mut args = types::SubmitArgs::new();
        if until != Instant::NEVER {
            args = args.timespec(&timeout);
        }
        if self.min_wait && self.last_reaped >= BUSY_COMPLETIONS {
            return self.enter_for(BUSY_WANT, args.min_wait_usec(MIN_WAIT_MICROS));
        }
        self.enter_for(1, args)
    }

    fn enter_for(&self, want: usize, args: types::SubmitArgs<'_, '_>) -> io::Result<()> {
        match self.ring.submitter().submit_with_args(want, &args) {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // ETIME: the timeout; EINTR: a signal; EBUSY, EAGAIN: reap first, then try again.
                Some(62 | 4 | 16 | 11) => Ok(()),
                _ => Err(error),
            },
        }
    }

    fn reap(&mut self, completed: &mut Vec<Completion>) {
        let before = completed.len();
        let mut entries = std::mem::take(&mut self.entries);
        entries.extend(self.ring.completion());
        for entry in entries.drain(..) {
            if entry.user_data() != UNATTENDED {
                completed.extend(self.completion(&entry));
            }
        }
        self.entries = entries;
        self.last_reaped = completed.len() - before;
    }

    fn completion(&mut self, entry: &cqueue::Entry) -> Option<Completion> {
        let key = Key::from_bits(entry.user_data());
        let more = cqueue::more(entry.flags());
        let result = entry.result();
        if let Some(buffer) = cqueue::buffer_select(entry.flags()) {
            self.buffers.taken();
            let lent = Lent { buffer, len: result.max(0) as u32 };
            return Some(Completion { key, outcome: Outcome::Received(lent), more, data: None });
        }
        let held = &mut self.held[key.index()];
        if let Held::Write { synced: Synced::Separately { written }, .. } = held
            && written.is_none()
        {
            *written = Some(result);
            return None;
        }
        let held = if more { Held::Nothing } else { std::mem::replace(held, Held::Nothing) };
        let (result, data) = match held {
            Held::Send(outgoing) => (result, Some(outgoing.data)),
            Held::Write { synced: Synced::Separately { written: Some(written) }, .. } => {
                (if result < 0 && written >= 0 { result } else { written }, None)
            }
            _ => (result, None),
        };
        Some(Completion { key, outcome: Outcome::Done(checked(result)), more, data })
    }
}

impl Io for UringIo {
    fn now(&self) -> Instant {
        monotonic()
    }

    fn unix_time(&self) -> UnixMicros {
        wall()
    }

    fn submit(&mut self, key: Key, op: Op) {
        let bits = key.to_bits();
        match op {
            Op::Accept { listener } => {
                self.hold(key, Held::Nothing);
                // An engine on epoll may have had it before: accepting must wait here.
                system::set_nonblocking(listener, false).ok();
                let accept = opcode::AcceptMulti::new(types::Fd(listener.0));
                self.push(&accept.flags(system::ACCEPT_FLAGS).build().user_data(bits));
            }
            Op::Recv { sock } => {
                self.hold(key, Held::Nothing);
                let recv = opcode::RecvMulti::new(types::Fd(sock.0), buffers::GROUP);
                self.push(&recv.build().user_data(bits));
            }
            Op::Connect { sock, to } => self.submit_connect(key, sock, to),
            Op::Send { sock, data, skip } => self.submit_send(key, sock, data, skip),
            Op::Write { file, offset, data, sync } => {
                self.submit_write(key, file, offset, data, sync);
            }
            Op::Wake => {
                self.hold(key, Held::Nothing);
                let fd = types::Fd(self.waker.fd().as_raw_fd());
                let poll = opcode::PollAdd::new(fd, rustix::event::PollFlags::IN.bits().into());
                self.push(&poll.build().user_data(bits));
            }
            Op::Close { sock } => {
                self.hold(key, Held::Nothing);
                self.push(&opcode::Close::new(types::Fd(sock.0)).build().user_data(bits));
            }
        }
    }

    fn cancel(&mut self, key: Key) {
        let cancel = opcode::AsyncCancel::new(key.to_bits()).build();
        self.push(&cancel.user_data(UNATTENDED));
    }

    fn turn(&mut self, wait: Wait, completed: &mut Vec<Completion>) -> io::Result<()> {
        self.buffers.publish();
        self.enter(wait)?;
        self.reap(completed);
        Ok(())
    }

    fn lent(&self, lent: Lent) -> &[u8] {
        self.buffers.bytes(lent.buffer, lent.len as usize)
    }

    fn give_back(&mut self, lent: Lent) {
        self.buffers.give_back(lent.buffer);
    }

    fn socket(&mut self, to: &SocketAddr, from: Option<SocketAddr>) -> io::Result<Sock> {
        system::socket(to, from)
    }

    fn connect_local(&mut self, path: &Path) -> io::Result<Sock> {
        system::connect_local(path)
    }

    fn share(&self, sock: Sock, channel: BorrowedFd<'_>, message: &[u8]) -> io::Result<()> {
        system::send_with(channel, message, Some(sock))
    }

    fn end_shared(&mut self, sock: Sock) {
        system::shut_down(sock);
    }

    fn adopt(&mut self, sock: Sock) -> io::Result<()> {
        system::set_nonblocking(sock, false)
    }

    fn peer(&self, sock: Sock) -> io::Result<SocketAddr> {
        system::peer(sock)
    }

    fn local(&self, sock: Sock) -> io::Result<SocketAddr> {
        system::local(sock)
    }
}

impl Outgoing {
    /// Describes `data` from byte `skip` on.
    fn new(data: SendData, skip: usize) -> Box<Outgoing> {
        assert!(data.len() <= SEND_CHUNKS_MAX);
        let header = Header {
            name: std::ptr::null(),
            name_len: 0,
            vectors: std::ptr::null(),
            count: 0,
            control: std::ptr::null(),
            control_len: 0,
            flags: 0,
        };
        let mut outgoing = Box::new(Outgoing { data, vectors: Vec::new(), header });
        let mut skip = skip;
        for chunk in &outgoing.data {
            let bytes = chunk.bytes();
            let skipped = skip.min(bytes.len());
            skip -= skipped;
            if skipped < bytes.len() {
                // SAFETY: the chunk owns the bytes on the heap (a vector or an Arc), lives as long
                // as this `Outgoing` and is not changed while the vectors exist.
                let bytes = unsafe { extend(&bytes[skipped..]) };
                outgoing.vectors.push(rustix::io::IoSlice::new(bytes));
            }
        }
        outgoing.header.vectors = outgoing.vectors.as_ptr().cast();
        outgoing.header.count = outgoing.vectors.len();
        outgoing
    }
}

/// Lets the ring take what this file submits, nothing else, and enables it.
fn restrict(submitter: &Submitter<'_>) -> io::Result<()> {
    const USED: [u8; 9] = [
        opcode::AcceptMulti::CODE,
        opcode::RecvMulti::CODE,
        opcode::Connect::CODE,
        opcode::Send::CODE,
        opcode::SendMsg::CODE,
        opcode::Write::CODE,
        opcode::Fsync::CODE,
        opcode::PollAdd::CODE,
        opcode::Close::CODE,
    ];
    let mut rules: Vec<Restriction> = USED.map(Restriction::sqe_op).into();
    rules.push(Restriction::sqe_op(opcode::AsyncCancel::CODE));
    let flags = squeue::Flags::IO_LINK | squeue::Flags::BUFFER_SELECT;
    rules.push(Restriction::sqe_flags_allowed(flags.bits()));
    submitter.register_restrictions(&mut rules)?;
    submitter.register_enable_rings()
}

/// Lengthens a borrow.
///
/// # Safety
/// The bytes must stay where they are, unchanged, for as long as the result is used.
unsafe fn extend(bytes: &[u8]) -> &'static [u8] {
    // SAFETY: promised by the caller.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr(), bytes.len()) }
}

fn encode(address: &SocketAddr) -> (libc_addr::Storage, u32) {
    let mut storage = libc_addr::Storage([0; 128]);
    // SAFETY: rustix hands over a pointer to `len` initialized bytes, valid during the call.
    let bytes = unsafe {
        address.with_sockaddr(|pointer, len| {
            std::slice::from_raw_parts(pointer.cast::<u8>(), len as usize).to_vec()
        })
    };
    storage.0[..bytes.len()].copy_from_slice(&bytes);
    (storage, bytes.len() as u32)
}

fn checked(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Skipped, visibly, where io_uring is not available.
    #[test]
    fn the_ring_refuses_what_we_do_not_use() {
        let mut io = match UringIo::new(Waker::new().unwrap()) {
            Ok(io) => io,
            Err(error) => return eprintln!("skipped: io_uring is not available here: {error}"),
        };
        let outcome = |io: &mut UringIo, entry: squeue::Entry| {
            io.push(&entry.user_data(UNATTENDED));
            io.ring.submit_and_wait(1).unwrap();
            io.ring.completion().next().unwrap().result()
        };
        let path = c"/etc/passwd";
        let open = opcode::OpenAt::new(types::Fd(-100), path.as_ptr()).build();
        assert_eq!(outcome(&mut io, open), -13, "EACCES");
        assert_eq!(outcome(&mut io, opcode::Nop::new().build()), -13, "EACCES");
        let close = opcode::Close::new(types::Fd(-1)).build();
        assert_eq!(outcome(&mut io, close), -9, "EBADF: closing is allowed");
    }
}
