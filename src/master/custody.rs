//! Sockets that outlive the engine: it gives a copy of each whose reply may decide about mail, and
//! the engine after it gets what was not forgotten.
//!
//! Owned by [`crate::supervise`]; `privsep::custody` has the table of a slot's states. Master
//! neither reads from these sockets nor writes to them, nor looks into the records: it holds,
//! hands over and closes. It takes TCP sockets and nothing else, and closes them without waiting
//! for their last bytes, so that an engine in wrong hands cannot make it wait. Every engine has a
//! channel of its own, whose last packets are read when it has ended; one engine at a time, so that
//! nobody else speaks for its slots.
//!
//! **Diagnostics**: a packet that is no request is dropped, as is a socket that is too many: the
//! engine goes on as if it had not asked. No channel or no list is an error: no engine starts.
//! **Limits**: [`privsep::custody::ORPHANS_MAX`] or what the open files allow, [`HOLD_MAX`],
//! [`PACKETS_PER_TURN`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSliceMut, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use privsep::custody::{BODY_MAX, ORPHANS_MAX, Orphan, Request};
use privsep::frame::HEADER_BYTES;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags,
    SocketType, sockopt,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The longest that anything is kept, whatever an engine asks for.
pub const HOLD_MAX: Duration = Duration::from_secs(3600);
/// Packets read before other things have their turn.
pub const PACKETS_PER_TURN: usize = 1024;
/// How often it is looked whether something has been kept for too long.
const SWEEP: Duration = Duration::from_secs(10);
/// Descriptors for everything else.
const RESERVED: usize = 256;

/// A socket that came from an engine.
#[derive(Debug)]
struct Socket(OwnedFd);

/// One slot.
#[derive(Debug)]
struct Kept {
    /// Until its answer has come.
    socket: Option<Socket>,
    record: Vec<u8>,
    until: Instant,
}

/// Everything that is kept.
#[derive(Debug)]
pub struct Custody {
    kept: BTreeMap<u64, Kept>,
    /// From the engine that runs.
    channel: Option<OwnedFd>,
    max: usize,
    next_sweep: Instant,
}

/// What an engine is started with.
#[derive(Debug)]
pub struct Inheritance<'a> {
    /// Its end of the channel.
    pub channel: OwnedFd,
    /// What is kept, as `privsep::custody::orphans` reads it; the descriptors are `sockets`.
    pub orphans: File,
    /// The sockets.
    pub sockets: Vec<BorrowedFd<'a>>,
}

impl Custody {
    /// Nothing is kept; at most `max` will be.
    pub fn new(max: usize) -> Self {
        let max = max.min(ORPHANS_MAX);
        Self { kept: BTreeMap::new(), channel: None, max, next_sweep: Instant::now() }
    }

    /// Opens a channel for the next engine, and lists what is kept for it.
    pub fn bequeath(&mut self) -> io::Result<Inheritance<'_>> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (own, channel) =
            net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let mut orphans = File::from(memfd_create("orphans", MemfdFlags::CLOEXEC)?);
        for (slot, Kept { socket, record, .. }) in &self.kept {
            let descriptor =
                socket.as_ref().map(|Socket(socket)| socket.as_raw_fd().cast_unsigned());
            let orphan = Orphan { slot: *slot, descriptor, record: record.clone() };
            orphans.write_all(&orphan.encode())?;
        }
        orphans.rewind()?;
        self.channel = Some(own);
        let sockets = self.kept.values().filter_map(|kept| kept.socket.as_ref());
        Ok(Inheritance {
            channel,
            orphans,
            sockets: sockets.map(|socket| socket.0.as_fd()).collect(),
        })
    }

    /// What to poll for packets.
    pub fn channel(&self) -> Option<&OwnedFd> {
        self.channel.as_ref()
    }

    /// Does what the engine asks, as far as its packets have come.
    pub fn serve(&mut self, now: Instant) {
        for _ in 0..PACKETS_PER_TURN {
            let Some(channel) = &self.channel else { return };
            match receive(channel) {
                Ok(Some(packet)) => self.handle(packet, now),
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                // The engine has ended, or it will soon.
                Ok(None) | Err(_) => self.channel = None,
            }
        }
    }

    /// The engine has ended: does what it asked for at last.
    pub fn engine_ended(&mut self, now: Instant) {
        self.serve(now);
        self.channel = None;
    }

    /// When it is to be looked whether something has been kept for too long.
    pub fn deadline(&self) -> Option<Instant> {
        (!self.kept.is_empty()).then_some(self.next_sweep)
    }

    /// Closes what has been kept for too long.
    pub fn sweep(&mut self, now: Instant) {
        if now >= self.next_sweep {
            self.kept.retain(|_, kept| kept.until > now);
            self.next_sweep = now + SWEEP;
        }
    }

    fn handle(&mut self, packet: Packet, now: Instant) {
        match (Request::decode(&packet.bytes), packet.socket) {
            (Ok(Request::Keep { slot, seconds, record }), Some(socket)) => {
                if self.kept.is_empty() {
                    self.next_sweep = now + SWEEP;
                }
                if self.kept.len() < self.max || self.kept.contains_key(&slot) {
                    let until = now + HOLD_MAX.min(Duration::from_secs(seconds.into()));
                    self.kept.insert(slot, Kept { socket: Some(socket), record, until });
                }
            }
            (Ok(Request::Answered { slot, record }), None) => {
                if let Some(kept) = self.kept.get_mut(&slot) {
                    (kept.socket, kept.record) = (None, record);
                }
            }
            (Ok(Request::Forget { slots }), None) => {
                slots.iter().for_each(|slot| drop(self.kept.remove(slot)));
            }
            (Ok(_) | Err(_), _) => {}
        }
    }
}

impl Socket {
    /// What came, if it is what may be kept.
    fn new(descriptor: OwnedFd) -> Option<Socket> {
        let inet = sockopt::socket_domain(&descriptor)
            .is_ok_and(|domain| [AddressFamily::INET, AddressFamily::INET6].contains(&domain));
        let stream = sockopt::socket_type(&descriptor).is_ok_and(|kind| kind == SocketType::STREAM);
        (inet && stream).then_some(Socket(descriptor))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Or closing might wait as long as the engine has told the socket to.
        let _not_set = sockopt::set_socket_linger(&self.0, None);
    }
}

/// What came through a channel at once.
struct Packet {
    bytes: Vec<u8>,
    socket: Option<Socket>,
}

/// The next packet; nothing at the end.
fn receive(channel: &OwnedFd) -> Result<Option<Packet>, Errno> {
    // One byte more than any request: what is longer is no request.
    let mut bytes = vec![0; HEADER_BYTES + BODY_MAX + 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = net::recvmsg(channel, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)?;
    let rights = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    // The kernel closes what has no room; should there have been room for more, so do we.
    let socket = rights.flatten().collect::<Vec<_>>().into_iter().next().and_then(Socket::new);
    bytes.truncate(received.bytes);
    Ok((received.bytes > 0).then_some(Packet { bytes, socket }))
}

/// Makes room among the open files for what is kept: how much of it there is, and the limit as it
/// was, for children.
pub fn make_room() -> io::Result<(usize, Rlimit)> {
    let before = getrlimit(Resource::Nofile);
    let wanted = (ORPHANS_MAX + RESERVED) as u64;
    let Some(current) = before.current.filter(|current| *current < wanted) else {
        return Ok((ORPHANS_MAX, before));
    };
    let limit = before.maximum.map_or(wanted, |maximum| maximum.min(wanted)).max(current);
    setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum: before.maximum })?;
    Ok(((limit as usize).saturating_sub(RESERVED), before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    fn ask(channel: &OwnedFd, packet: &[u8], sockets: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !sockets.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(sockets)));
        }
        let bytes = [io::IoSlice::new(packet)];
        net::sendmsg(channel, &bytes, &mut control, SendFlags::empty()).unwrap();
    }

    fn keep(slot: u64, seconds: u32) -> Vec<u8> {
        Request::Keep { slot, seconds, record: vec![slot as u8] }.encode()
    }

    fn forget(slots: &[u64]) -> Vec<u8> {
        Request::Forget { slots: slots.into() }.encode()
    }

    /// Slots that the next engine would get, and whether each has a socket.
    fn orphans(custody: &mut Custody) -> Vec<(u64, bool)> {
        let mut inheritance = custody.bequeath().unwrap();
        let mut bytes = Vec::new();
        inheritance.orphans.read_to_end(&mut bytes).unwrap();
        let found = privsep::custody::orphans(&bytes).unwrap();
        let sockets = found.iter().filter_map(|orphan| orphan.descriptor);
        let listed: Vec<_> = sockets.map(u32::cast_signed).collect();
        let given: Vec<_> = inheritance.sockets.iter().map(AsRawFd::as_raw_fd).collect();
        assert_eq!(listed, given);
        found.iter().map(|orphan| (orphan.slot, orphan.descriptor.is_some())).collect()
    }

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, theirs)
    }

    /// Whether somebody has the other end open; its close takes the kernel no time.
    fn is_open(ours: &mut TcpStream) -> bool {
        ours.set_nonblocking(true).unwrap();
        ours.read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    #[test]
    fn a_socket_is_kept_until_it_is_answered_and_its_record_until_it_is_forgotten() {
        let mut custody = Custody::new(10);
        let engine = custody.bequeath().unwrap().channel;
        let (mut ours, theirs) = pair();
        ask(&engine, &keep(1, 60), &[theirs.as_fd()]);
        drop(theirs);
        custody.serve(Instant::now());
        assert!(is_open(&mut ours), "held");
        let answered = Request::Answered { slot: 1, record: b"now".into() };
        ask(&engine, &answered.encode(), &[]);
        custody.serve(Instant::now());
        assert!(!is_open(&mut ours), "of no more use");
        assert_eq!(custody.kept[&1].record, b"now");
        assert_eq!(orphans(&mut custody), [(1, false)]);
    }

    #[test]
    fn what_the_engine_said_last_is_heard_and_every_engine_gets_what_is_left() {
        let mut custody = Custody::new(10);
        let engine = custody.bequeath().unwrap().channel;
        let (mut ours, theirs) = pair();
        for slot in 1..=3 {
            ask(&engine, &keep(slot, 60), &[theirs.as_fd()]);
        }
        ask(&engine, &forget(&[2, 9]), &[]);
        drop((engine, theirs));
        custody.engine_ended(Instant::now());
        assert!(custody.channel().is_none());
        for _ in 0..2 {
            assert_eq!(orphans(&mut custody), [(1, true), (3, true)]);
        }
        let engine = custody.bequeath().unwrap().channel;
        ask(&engine, &forget(&[1, 3]), &[]);
        custody.serve(Instant::now());
        assert!(!is_open(&mut ours), "closed");
        assert!(custody.deadline().is_none());
    }

    #[test]
    fn there_is_a_bound_to_how_much_is_kept_and_for_how_long() {
        let mut custody = Custody::new(2);
        let engine = custody.bequeath().unwrap().channel;
        let (_ours, theirs) = pair();
        for slot in [1, 2, 3, 2] {
            ask(&engine, &keep(slot, if slot == 1 { u32::MAX } else { 5 }), &[theirs.as_fd()]);
        }
        let start = Instant::now();
        custody.serve(start);
        assert_eq!(custody.kept.len(), 2, "full");
        let sweep = custody.deadline().expect("something is kept");
        assert!(sweep <= start + SWEEP);
        custody.sweep(sweep);
        assert_eq!(custody.kept.keys().copied().collect::<Vec<_>>(), [1]);
        custody.sweep(start + HOLD_MAX + SWEEP);
        assert!(custody.kept.is_empty());
    }

    /// An engine in wrong hands gets nothing kept that is not within the rules, and no descriptor
    /// of this process stays open for it.
    #[test]
    fn what_is_no_request_is_dropped_with_its_descriptors() {
        let mut custody = Custody::new(10);
        let engine = custody.bequeath().unwrap().channel;
        let (mut ours, theirs) = pair();
        let (local, file) = (UnixStream::pair().unwrap().0, File::open("/dev/null").unwrap());
        let (_peer, other) = pair();
        ask(&engine, b"what is this", &[theirs.as_fd()]);
        ask(&engine, &[0; HEADER_BYTES + BODY_MAX + 100], &[theirs.as_fd()]);
        ask(&engine, &keep(1, 60), &[]);
        ask(&engine, &keep(3, 60), &[local.as_fd()]);
        ask(&engine, &keep(4, 60), &[file.as_fd()]);
        ask(&engine, &forget(&[1]), &[theirs.as_fd()]);
        ask(&engine, &keep(2, 60), &[other.as_fd(), theirs.as_fd(), theirs.as_fd()]);
        drop(theirs);
        custody.serve(Instant::now());
        assert!(!is_open(&mut ours), "none is left");
        assert_eq!(orphans(&mut custody), [(2, true)]);
    }

    #[test]
    fn the_end_of_a_channel_is_seen_once() {
        let mut custody = Custody::new(10);
        drop(custody.bequeath().unwrap().channel);
        custody.serve(Instant::now());
        assert!(custody.channel().is_none(), "or poll would never sleep again");
    }
}
