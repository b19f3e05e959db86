//! Connections that outlive this process: a copy of the socket goes to another one, and comes to
//! the next of ours from there.
//!
//! Used by the engine's SMTP client while a server is slow with its word about a message. Simulated
//! sockets are not shared: there is no descriptor.
//!
//! **Diagnostics**: a channel that is full or gone is an error; nothing was shared then.

use super::{Stream, system};
use crate::io::Sock;
use crate::reactor::Rt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// A way to say something to another process: packets, each of them whole or not at all. All cores
/// use the same one.
#[derive(Clone, Debug)]
pub struct Channel(Arc<OwnedFd>);

impl Channel {
    /// A channel through a local socket that keeps packets apart.
    pub fn new(socket: OwnedFd) -> Channel {
        Channel(Arc::new(socket))
    }

    /// Sends a packet; never waits.
    ///
    /// # Errors
    /// As sendmsg(2), `WouldBlock` when the channel is full.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        system::send_with(self.0.as_fd(), packet, None)
    }
}

impl Stream {
    /// Takes over a connection of another process, which others have copies of.
    ///
    /// # Errors
    /// When it is not open; `Unsupported` in the simulator.
    pub fn inherit(rt: &Rt, sock: Sock) -> io::Result<Stream> {
        rt.io().adopt(sock)?;
        let stream = Stream::adopt(rt, sock);
        stream.with(|conn| conn.shared = true);
        Ok(stream)
    }

    /// Sends a packet and with it a copy of this connection, which stays usable here. From now on
    /// closing it ends it for whoever has a copy.
    ///
    /// # Errors
    /// As [`Channel::send`]; `Unsupported` in the simulator.
    pub fn share(&self, channel: &Channel, packet: &[u8]) -> io::Result<()> {
        self.rt.io().share(self.sock, channel.0.as_fd(), packet)?;
        self.with(|conn| conn.shared = true);
        Ok(())
    }

    /// Whether everything sent so far is in the kernel's hands: it is delivered then, whatever
    /// becomes of this process.
    pub fn is_drained(&self) -> bool {
        self.with(|conn| conn.sending.is_none() && conn.send_error.is_none())
    }
}

impl Rt {
    /// From now on closing a connection leaves it open for those who have copies.
    pub(crate) fn leave_shared(&self) {
        self.conns().leaving = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Choice, Kernel};
    use crate::net::Arrived;
    use crate::sim::tests::Until;
    use crate::wake::Waker;
    use rustix::net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags,
        SocketType, recvmsg, socketpair,
    };
    use std::cell::Cell;
    use std::future::pending;
    use std::io::{Read, Write};
    use std::mem::MaybeUninit;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::IntoRawFd;
    use std::rc::Rc;
    use std::time::Duration;

    /// A loop on each interface that there is.
    fn real() -> Vec<Rt> {
        let open = |choice| {
            let waker = Waker::new().unwrap();
            let kernel = Kernel::open(choice, waker.clone()).inspect_err(|error| {
                eprintln!("skipped: {error}");
            });
            kernel.ok().map(|kernel| Rt::new(kernel.io, waker))
        };
        [Choice::Uring, Choice::Epoll].into_iter().filter_map(open).collect()
    }

    fn channel() -> (Channel, OwnedFd) {
        let kind = SocketType::SEQPACKET;
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
        (Channel::new(ours), theirs)
    }

    /// The packet and the socket that came with it.
    fn receive(theirs: &OwnedFd) -> (Vec<u8>, OwnedFd) {
        let mut bytes = vec![0; 100];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut into = [std::io::IoSliceMut::new(&mut bytes)];
        let got = recvmsg(theirs, &mut into, &mut control, RecvFlags::empty()).unwrap();
        let Some(RecvAncillaryMessage::ScmRights(mut sockets)) = control.drain().next() else {
            panic!("a socket");
        };
        bytes.truncate(got.bytes);
        (bytes, sockets.next().unwrap())
    }

    fn patient(peer: &TcpStream) {
        peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    }

    async fn connected(rt: &Rt, listener: &TcpListener) -> (Stream, TcpStream) {
        let deadline = rt.now() + Duration::from_secs(10);
        let address = listener.local_addr().unwrap();
        let stream = Stream::connect(rt, address, None, deadline).await.unwrap();
        (stream, listener.accept().unwrap().0)
    }

    /// Runs a task to its end.
    fn run(rt: &Rt, task: impl Future<Output = ()> + 'static) {
        let finished = Rc::new(Cell::new(false));
        let done = finished.clone();
        rt.spawn(async move {
            task.await;
            done.set(true);
        });
        rt.run(&mut Until(finished)).unwrap();
    }

    #[test]
    fn closing_a_shared_connection_ends_it_and_leaves_nothing_behind() {
        for rt in real() {
            let (channel, theirs) = channel();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let rt2 = rt.clone();
            run(&rt, async move {
                let mut peers = Vec::new();
                // Each connection has the descriptor of the one before, whose copy is still open.
                for _ in 0..3 {
                    let (stream, mut peer) = connected(&rt2, &listener).await;
                    patient(&peer);
                    let soon = rt2.now() + Duration::from_millis(20);
                    assert!(stream.readable(soon).await.is_err(), "nothing was said");
                    stream.share(&channel, b"this one").unwrap();
                    drop(stream);
                    rt2.sleep_until(rt2.now() + Duration::from_millis(20)).await;
                    assert_eq!(peer.read(&mut [0]).unwrap(), 0, "the end, whoever has a copy");
                    peers.push((peer, receive(&theirs)));
                }
            });
        }
    }

    #[test]
    fn a_connection_that_is_left_goes_on_for_who_inherits_it() {
        for (old, new) in real().into_iter().zip(real().into_iter().rev()) {
            let (channel, theirs) = channel();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let place: Rc<Cell<Option<TcpStream>>> = Rc::default();
            let (rt, shared, peer) = (old.clone(), Rc::new(Cell::new(false)), place.clone());
            let done = shared.clone();
            old.spawn(async move {
                let (stream, accepted) = connected(&rt, &listener).await;
                assert!(stream.is_drained());
                stream.share(&channel, b"this one").unwrap();
                peer.set(Some(accepted));
                done.set(true);
                pending::<()>().await;
                drop((stream, channel));
            });
            old.run(&mut Until(shared)).unwrap();
            old.drop_tasks();
            drop(old);
            let mut peer = place.take().unwrap();
            patient(&peer);
            let (packet, socket) = receive(&theirs);
            assert_eq!(packet, b"this one");
            peer.write_all(b"250 Ok").unwrap();
            let rt = new.clone();
            run(&new, async move {
                let stream = Stream::inherit(&rt, Sock(socket.into_raw_fd())).unwrap();
                let deadline = rt.now() + Duration::from_secs(10);
                assert_eq!(stream.readable(deadline).await.unwrap(), Arrived::Bytes);
                stream.input(|bytes| {
                    assert_eq!(bytes, b"250 Ok");
                    (bytes.len(), ())
                });
            });
        }
    }

    #[test]
    fn a_channel_that_is_full_says_so() {
        let (channel, _theirs) = channel();
        let full = (0..100_000).find_map(|_| channel.send(&[0; 100]).err());
        assert_eq!(full.expect("it is bounded").kind(), io::ErrorKind::WouldBlock);
    }
}
