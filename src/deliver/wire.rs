//! The connection to the engine, as the child uses it: blocking, with a patience.
//!
//! **Diagnostics**: an engine that goes away, says nothing for [`PATIENCE`] or says something else
//! is an `io::Error`; there is nobody to answer then.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

use privsep::reply::Forward;
use privsep::{Asked, CodecError, Reply, Verdict, chunk, frame};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

/// How long the engine may take for the next bytes. It waits no longer for ours.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// One connection.
pub struct Wire {
    stream: File,
    /// The end of the content has come.
    ended: bool,
}

impl Wire {
    /// Takes a connection over.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn new(connection: OwnedFd) -> io::Result<Wire> {
        for direction in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&connection, direction, Some(PATIENCE))?;
        }
        Ok(Wire { stream: File::from(connection), ended: false })
    }

    /// Reads the request.
    ///
    /// # Errors
    /// When it does not come, or is not one (`InvalidData`).
    pub fn request(&mut self) -> io::Result<Asked> {
        let mut header = [0; frame::HEADER_BYTES];
        self.stream.read_exact(&mut header)?;
        let (kind, len) = Asked::kind(header).map_err(invalid)?;
        let mut body = vec![0; len];
        self.stream.read_exact(&mut body)?;
        Asked::decode(kind, &body).map_err(invalid)
    }

    /// Says which file's text comes.
    ///
    /// # Errors
    /// When the engine is gone.
    pub fn forward(&mut self, forward: Forward) -> io::Result<()> {
        self.stream.write_all(&Reply::Forward(forward).encode())
    }

    /// Sends a text the engine has asked for, after `Go` or the file's name.
    ///
    /// # Errors
    /// When the engine is gone.
    pub fn give(&mut self, text: &[u8]) -> io::Result<()> {
        for piece in text.chunks(chunk::BYTES_MAX) {
            self.stream.write_all(&chunk::header(piece.len()))?;
            self.stream.write_all(piece)?;
        }
        self.stream.write_all(&chunk::END)
    }

    /// Says how a command ended.
    ///
    /// # Errors
    /// When the engine is gone.
    pub fn command(&mut self, verdict: Verdict, said: String) -> io::Result<()> {
        self.stream.write_all(&Reply::Command(verdict, said).encode())
    }

    /// Asks for the content.
    ///
    /// # Errors
    /// When the engine is gone.
    pub fn go(&mut self) -> io::Result<()> {
        self.stream.write_all(&Reply::Go.encode())
    }

    /// Reads the next piece of the content into `piece`; false at its end.
    ///
    /// # Errors
    /// When it does not come: the content is unfinished.
    pub fn piece(&mut self, piece: &mut Vec<u8>) -> io::Result<bool> {
        let mut header = [0; chunk::HEADER_BYTES];
        self.stream.read_exact(&mut header)?;
        let len = chunk::len(header).map_err(invalid)?;
        piece.resize(len.unwrap_or_default(), 0);
        self.stream.read_exact(piece)?;
        self.ended = len.is_none();
        Ok(!self.ended)
    }

    /// Reads what is left of the content: the engine sends all of it before it looks at a reply.
    ///
    /// # Errors
    /// As [`Wire::piece`].
    pub fn skip(&mut self) -> io::Result<()> {
        let mut piece = Vec::new();
        while !self.ended && self.piece(&mut piece)? {}
        Ok(())
    }

    /// Says what another process has made of it; nothing, if that died without a word.
    ///
    /// # Errors
    /// When the engine is gone.
    pub fn pass_on(&mut self, said: &[u8]) -> io::Result<()> {
        self.stream.write_all(said)
    }

    /// Says how it ended.
    ///
    /// # Errors
    /// When the engine is gone.
    pub fn done(&mut self, verdict: Verdict) -> io::Result<()> {
        self.stream.write_all(&Reply::Done(verdict).encode())
    }
}

fn invalid(error: CodecError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;

    /// A connection on which `content` and its end have been sent already.
    pub fn with_content(pieces: &[&[u8]], ended: bool) -> Wire {
        let (mut engine, deliver) = UnixStream::pair().unwrap();
        for piece in pieces {
            engine.write_all(&chunk::header(piece.len())).unwrap();
            engine.write_all(piece).unwrap();
        }
        if ended {
            engine.write_all(&chunk::END).unwrap();
        }
        engine.shutdown(Shutdown::Write).unwrap();
        // It still listens, for the length of the test program.
        std::mem::forget(engine);
        Wire::new(deliver.into()).unwrap()
    }

    #[test]
    fn content_comes_in_pieces_and_must_have_an_end() {
        let mut piece = Vec::new();
        let mut wire = with_content(&[b"ab", b"c"], true);
        assert!(wire.piece(&mut piece).unwrap() && piece == b"ab");
        wire.skip().unwrap();
        wire.skip().unwrap();
        let mut wire = with_content(&[b"ab"], false);
        assert!(wire.piece(&mut piece).unwrap());
        assert_eq!(wire.piece(&mut piece).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn garbage_is_not_a_request() {
        let mut wire = with_content(&[b"GET / HTTP/1.0\r\n\r\n"], true);
        assert_eq!(wire.request().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
