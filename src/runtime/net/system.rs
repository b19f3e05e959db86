//! Socket system calls that are not worth a trip through the ring: once per connection.

use crate::io::Sock;
use rustix::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use rustix::io::{IoSlice, ioctl_fionbio};
use rustix::net::{
    self, AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown,
    SocketAddrUnix, SocketFlags, SocketType, ipproto, sockopt,
};
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::path::Path;

/// SOCK_CLOEXEC, for accepted connections.
pub const ACCEPT_FLAGS: i32 = SocketFlags::CLOEXEC.bits() as i32;

/// A stream socket for connecting to `to`.
pub fn socket(to: &SocketAddr, from: Option<SocketAddr>) -> io::Result<Sock> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC;
    let fd = net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    sockopt::set_tcp_nodelay(&fd, true)?;
    if let Some(from) = from {
        net::bind(&fd, &from)?;
    }
    Ok(Sock(fd.into_raw_fd()))
}

/// A connection to the local socket at `path`.
pub fn connect_local(path: &Path) -> io::Result<Sock> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Never waits: it is in the backlog, or there is no room.
    net::connect(&fd, &SocketAddrUnix::new(path)?)?;
    // The ring would not wait on a socket that does not.
    ioctl_fionbio(&fd, false)?;
    Ok(Sock(fd.into_raw_fd()))
}

/// The address of the other end.
pub fn peer(sock: Sock) -> io::Result<SocketAddr> {
    let address = net::getpeername(borrow(sock))?.ok_or(io::ErrorKind::NotConnected)?;
    Ok(SocketAddr::try_from(address)?)
}

/// The address of this end.
pub fn local(sock: Sock) -> io::Result<SocketAddr> {
    Ok(SocketAddr::try_from(net::getsockname(borrow(sock))?)?)
}

/// Sends one packet, and with it a copy of a socket; never waits.
pub(crate) fn send_with(
    channel: BorrowedFd<'_>,
    packet: &[u8],
    sock: Option<Sock>,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let copied = sock.map(borrow);
    if copied.is_some() {
        let pushed = control.push(SendAncillaryMessage::ScmRights(copied.as_slice()));
        assert!(pushed, "there is room for one");
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    net::sendmsg(channel, &[IoSlice::new(packet)], &mut control, flags)?;
    Ok(())
}

/// Ends a connection, whoever else has it open.
pub(crate) fn shut_down(sock: Sock) {
    // One that is not connected any more has nobody to tell.
    net::shutdown(borrow(sock), Shutdown::Both).ok();
}

/// Whether calls on the descriptor return instead of waiting.
pub fn set_nonblocking(sock: Sock, nonblocking: bool) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(borrow(sock), nonblocking)?)
}

/// Closes a socket nothing refers to any more.
#[allow(unsafe_code)]
pub(crate) fn close(sock: Sock) {
    // SAFETY: as in `borrow`; the close operation is the descriptor's last use.
    drop(unsafe { OwnedFd::from_raw_fd(sock.0) });
}

#[allow(unsafe_code)]
pub(crate) fn borrow(sock: Sock) -> BorrowedFd<'static> {
    // SAFETY: a `Sock` is an open descriptor from its creation until its close operation, which is
    // submitted only when no `Stream` or `Listener` names it any more.
    unsafe { BorrowedFd::borrow_raw(sock.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_local_socket_is_connected_at_once_or_not_at_all() {
        let directory = std::env::temp_dir().join(format!("ringpost-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("socket");
        assert_eq!(connect_local(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        let listener = UnixListener::bind(&path).unwrap();
        let sock = connect_local(&path).unwrap();
        let flags = rustix::fs::fcntl_getfl(borrow(sock)).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK), "the ring waits on it");
        rustix::net::listen(&listener, 0).unwrap();
        let mut full = Ok(sock);
        for _ in 0..3 {
            full = connect_local(&path);
        }
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(listener);
        assert_eq!(connect_local(&path).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
