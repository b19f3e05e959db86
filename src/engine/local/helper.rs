//! The conversation with the delivery helper: one connection, one delivery.
//!
//! | state | in | next |
//! | --- | --- | --- |
//! | request sent | `Go` | content is sent, then the answer awaited |
//! | request sent, or content sent | `Done` | over |
//! | include file asked for | `Go` | the file is read |
//! | user's file asked for | `Forward` | the same |
//! | any | anything else, end, deadline | [`Trouble::Lost`] |
//!
//! **Diagnostics**: [`Trouble`]. The message may have been delivered when an answer is lost: twice
//! is better than never. **Limits**: [`HELPER_ANSWER`], [`HELPER_ROOM`].

use super::Ending;
use super::content::{PIECE_MAX, Pieces};
use super::expand::Forward;
use crate::delivery::TRANSPORT_UNAVAILABLE;
use crate::limits::{HELPER_ANSWER, HELPER_RETRY, HELPER_ROOM};
use mail::dsn::Diagnostic;
use mail::{Dsn, Status};
use privsep::alias::INCLUDE_BYTES_MAX;
use privsep::{Code, CodecError, Reply, Verdict, chunk, frame, reply};
use runtime::net::{Arrived, Stream};
use runtime::{Chunk, Rt};
use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Where it listens, below the queue directory.
pub const SOCKET: &str = "private/deliver";

/// Why there is no answer.
#[derive(Debug)]
pub enum Trouble {
    /// Nobody listens, or nobody has time.
    Absent(io::Error),
    /// It has gone, or says what cannot be understood.
    Lost(io::Error),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Absent(error) => write!(f, "connect to {SOCKET}: {error}"),
            Trouble::Lost(error) => write!(f, "{SOCKET}: premature end of delivery: {error}"),
        }
    }
}

impl Trouble {
    /// What a recipient's delivery ends with: it waits.
    pub fn ending(&self) -> Ending {
        let text = match self {
            Trouble::Absent(_) => TRANSPORT_UNAVAILABLE,
            Trouble::Lost(_) => "unknown mail transport error",
        };
        Ending { dsn: Dsn::local(Status::new(4, 3, 0), text), out_of_service: true }
    }
}

/// What the helper's last word means for a recipient. That it could not write is told in notices as
/// a program would tell it, by its code.
pub fn dsn(verdict: Verdict) -> Dsn {
    let (class, subject, detail) = verdict.status;
    let dsn = Dsn::local(Status::new(class, subject, detail), verdict.text);
    match verdict.code {
        Code::IoErr => Dsn {
            diagnostic: Diagnostic::Unix,
            diagnostic_text: Some("input/output error".into()),
            ..dsn
        },
        _ => dsn,
    }
}

/// How a delivery ended, and what the command said that made it.
pub type Answer = (Verdict, Option<String>);

/// Asks for a delivery: how it ended. `request` is a frame; `wait` is how long the helper may have
/// to wait itself, for locks or a command.
///
/// # Errors
/// When the helper does not say.
pub async fn ask(
    rt: &Rt,
    request: Vec<u8>,
    content: Pieces<'_>,
    wait: Duration,
) -> Result<Answer, Trouble> {
    let stream = connect(rt).await.map_err(Trouble::Absent)?;
    let patience = HELPER_ANSWER + wait;
    let mut helper = Helper { rt, stream, patience, input: Vec::new() };
    helper.converse(request, content).await.map_err(Trouble::Lost)
}

/// Asks for the text of an include file; what the helper says instead when it cannot be had.
///
/// # Errors
/// When the helper does not say.
pub async fn read(rt: &Rt, request: Vec<u8>) -> Result<Result<Vec<u8>, Verdict>, Trouble> {
    let stream = connect(rt).await.map_err(Trouble::Absent)?;
    let mut helper = Helper { rt, stream, patience: HELPER_ANSWER, input: Vec::new() };
    helper.text(request).await.map_err(Trouble::Lost)
}

/// Asks for a user's own file, if there is one; what the helper says instead when that cannot be
/// known.
///
/// # Errors
/// When the helper does not say.
pub async fn forward(
    rt: &Rt,
    request: Vec<u8>,
) -> Result<Result<Option<Forward>, Verdict>, Trouble> {
    let stream = connect(rt).await.map_err(Trouble::Absent)?;
    let mut helper = Helper { rt, stream, patience: HELPER_ANSWER, input: Vec::new() };
    helper.forward(request).await.map_err(Trouble::Lost)
}

async fn connect(rt: &Rt) -> io::Result<Stream> {
    let deadline = rt.now() + HELPER_ROOM;
    loop {
        match Stream::connect_local(rt, Path::new(SOCKET)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && rt.now() < deadline => {
                rt.sleep_until(rt.now() + HELPER_RETRY).await;
            }
            other => return other,
        }
    }
}

struct Helper<'a> {
    rt: &'a Rt,
    stream: Stream,
    patience: Duration,
    /// An unfinished reply.
    input: Vec<u8>,
}

impl Helper<'_> {
    async fn converse(&mut self, request: Vec<u8>, content: Pieces<'_>) -> io::Result<Answer> {
        self.send(request).await?;
        match self.reply().await? {
            Reply::Done(verdict) => return Ok((verdict, None)),
            Reply::Command(verdict, said) => return Ok((verdict, Some(said))),
            Reply::Go => {}
            Reply::Forward(_) => return Err(invalid(CodecError::Value)),
        }
        for piece in content {
            for part in piece.chunks(PIECE_MAX) {
                let framed = [chunk::header(part.len()).as_slice(), part].concat();
                self.send(framed).await?;
            }
        }
        self.send(chunk::END.to_vec()).await?;
        match self.reply().await? {
            Reply::Done(verdict) => Ok((verdict, None)),
            Reply::Command(verdict, said) => Ok((verdict, Some(said))),
            Reply::Go | Reply::Forward(_) => Err(invalid(CodecError::Value)),
        }
    }

    async fn text(&mut self, request: Vec<u8>) -> io::Result<Result<Vec<u8>, Verdict>> {
        self.send(request).await?;
        match self.reply().await? {
            Reply::Done(verdict) => return Ok(Err(verdict)),
            Reply::Command(..) | Reply::Forward(_) => return Err(invalid(CodecError::Value)),
            Reply::Go => {}
        }
        self.pieces().await.map(Ok)
    }

    async fn forward(&mut self, request: Vec<u8>) -> io::Result<Result<Option<Forward>, Verdict>> {
        self.send(request).await?;
        match self.reply().await? {
            Reply::Done(verdict) if verdict.code == Code::Ok => Ok(Ok(None)),
            Reply::Done(verdict) => Ok(Err(verdict)),
            Reply::Command(..) | Reply::Go => Err(invalid(CodecError::Value)),
            Reply::Forward(reply::Forward { path, extended, warnings }) => {
                let text = self.pieces().await?;
                Ok(Ok(Some(Forward { path: path.into_bytes(), extended, text, warnings })))
            }
        }
    }

    /// A text in pieces.
    async fn pieces(&mut self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        loop {
            let header = self.bytes(chunk::HEADER_BYTES).await?;
            let header = header.try_into().map_err(|_| invalid(CodecError::Short))?;
            let Some(len) = chunk::len(header).map_err(invalid)? else { return Ok(text) };
            if text.len() + len > INCLUDE_BYTES_MAX {
                return Err(invalid(CodecError::TooLong));
            }
            text.extend(self.bytes(len).await?);
        }
    }

    async fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let deadline = self.rt.now() + self.patience;
        while self.input.len() < count {
            match self.stream.readable(deadline).await? {
                Arrived::Bytes => self.take_input(),
                Arrived::Eof => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        Ok(self.input.drain(..count).collect())
    }

    async fn send(&self, bytes: Vec<u8>) -> io::Result<()> {
        let deadline = self.rt.now() + self.patience;
        self.stream.send(vec![Chunk::Owned(bytes)], deadline).await
    }

    async fn reply(&mut self) -> io::Result<Reply> {
        let deadline = self.rt.now() + self.patience;
        loop {
            if let Some((body, rest)) = frame::split(reply::KIND, &self.input).map_err(invalid)? {
                let (reply, rest) = (Reply::decode(body).map_err(invalid)?, rest.to_vec());
                self.input = rest;
                return Ok(reply);
            }
            match self.stream.readable(deadline).await? {
                Arrived::Bytes => self.take_input(),
                Arrived::Eof => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// At most one reply is looked at: its length is checked before more than a buffer is read.
    fn take_input(&mut self) {
        let input = &mut self.input;
        self.stream.input(|bytes| {
            input.extend_from_slice(bytes);
            (bytes.len(), ())
        });
    }
}

fn invalid(error: CodecError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
