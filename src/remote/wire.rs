//! A connection on which one request has one reply: lines, and counted bytes.
//!
//! `tcp:`, `socketmap:` and `memcache:` speak through it. Each send and each receive has the time
//! limit of the type, each reply its limit of bytes.
//!
//! **Diagnostics**: [`Broken`]; after it the connection is of no use.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use crate::cf::reason;
use crate::endpoint::{Endpoint, Stream};

/// Why a connection is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The server hung up.
    Eof,
    /// It says more than it may.
    TooLong,
    /// It took too long.
    Timeout,
    /// What the system says.
    Io(String),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Eof,
            _ => Self::Io(reason(&error)),
        }
    }
}

/// One connection.
pub(crate) struct Wire {
    stream: BufReader<Box<dyn Stream>>,
    limit: Duration,
}

impl Wire {
    /// Connects.
    ///
    /// # Errors
    /// As strerror(3) words it.
    pub async fn connect(endpoint: &Endpoint, limit: Duration) -> Result<Self, String> {
        let stream = timeout(limit, endpoint.connect()).await;
        let stream = stream.map_err(|_| "Connection timed out")??;
        Ok(Self { stream: BufReader::new(stream), limit })
    }

    /// Sends all of `bytes`.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let sent = timeout(self.limit, self.stream.write_all(bytes)).await;
        Ok(sent.map_err(|_| Broken::Timeout)??)
    }

    /// A line without its LF, which is within the first `max` bytes.
    pub async fn line(&mut self, max: usize) -> Result<Vec<u8>, Broken> {
        let mut line = self.until(b'\n', max).await?;
        line.pop();
        Ok(line)
    }

    /// Bytes through the first `end`, which is within the first `max` of them.
    pub async fn until(&mut self, end: u8, max: usize) -> Result<Vec<u8>, Broken> {
        let mut out = Vec::new();
        let mut stream = (&mut self.stream).take(max as u64);
        let read = timeout(self.limit, stream.read_until(end, &mut out)).await;
        read.map_err(|_| Broken::Timeout)??;
        match out.last() {
            Some(last) if *last == end => Ok(out),
            _ if out.len() >= max => Err(Broken::TooLong),
            _ => Err(Broken::Eof),
        }
    }

    /// Exactly `count` bytes.
    pub async fn bytes(&mut self, count: usize) -> Result<Vec<u8>, Broken> {
        let mut out = vec![0; count];
        let read = timeout(self.limit, self.stream.read_exact(&mut out)).await;
        read.map_err(|_| Broken::Timeout)??;
        Ok(out)
    }

    /// Whether the server has said something without being asked: then nothing here fits.
    pub fn has_leftovers(&self) -> bool {
        !self.stream.buffer().is_empty()
    }
}
