//! Socket calls that never wait: what would is an error of kind `WouldBlock`.

use crate::io::{SendData, Sock};
use crate::net::system::borrow;
use rustix::fd::IntoRawFd;
use rustix::io::IoSlice;
use rustix::net::{self, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags, sockopt};
use std::io;
use std::net::SocketAddr;

/// The next connection in the backlog.
pub fn accept(listener: Sock) -> io::Result<Sock> {
    let accepted = net::accept_with(borrow(listener), SocketFlags::CLOEXEC)?;
    Ok(Sock(accepted.into_raw_fd()))
}

/// Starts connecting.
pub fn connect(sock: Sock, to: SocketAddr) -> io::Result<()> {
    match net::connect(borrow(sock), &to) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What has become of connecting.
pub fn outcome(sock: Sock) -> io::Result<usize> {
    sockopt::socket_error(borrow(sock))??;
    Ok(0)
}

/// Received bytes; none at the end.
pub fn receive(sock: Sock, space: &mut [u8]) -> io::Result<usize> {
    let (count, _) = net::recv(borrow(sock), space, RecvFlags::DONTWAIT)?;
    Ok(count)
}

/// Sends from byte `skip` on: how many bytes were taken.
pub fn send(sock: Sock, data: &SendData, skip: usize) -> io::Result<usize> {
    let mut skip = skip;
    let mut vectors = Vec::with_capacity(data.len());
    for chunk in data {
        let bytes = chunk.bytes();
        let skipped = skip.min(bytes.len());
        skip -= skipped;
        if skipped < bytes.len() {
            vectors.push(IoSlice::new(&bytes[skipped..]));
        }
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let mut nothing = SendAncillaryBuffer::default();
    Ok(net::sendmsg(borrow(sock), &vectors, &mut nothing, flags)?)
}
