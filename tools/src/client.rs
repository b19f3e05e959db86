//! Talks to the running engine through its sockets in `public/`.
//!
//! `control` takes one request line and answers `message ID` lines, then `ok N` or `error TEXT`;
//! `showq` sends the queue listing, one JSON object per line.
//!
//! **Diagnostics**: [`Trouble`]: the system is down, the engine refused, or it broke off.
//! **Limits**: [`TIMEOUT`] of silence; [`REPLY_MAX`] bytes of answer to a control request.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long the engine may be silent.
pub const TIMEOUT: Duration = Duration::from_secs(120);
/// The longest answer to a control request: a line for each of many messages.
pub const REPLY_MAX: u64 = 256 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug)]
pub enum Trouble {
    /// Nobody listens.
    Down(io::Error),
    /// The engine says no; its words.
    Refused(String),
    /// The connection broke, or the answer is none.
    Broken(io::Error),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down(error) | Self::Broken(error) => f.write_str(&crate::system::reason(error)),
            Self::Refused(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Trouble {}

/// What a control request did.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Done {
    /// The messages it changed.
    pub messages: Vec<String>,
    /// Their number.
    pub count: u64,
}

/// A connection to `public/service` of the queue directory.
pub fn connect(queue: &Path, service: &str) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(queue.join("public").join(service))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// Sends one control request.
pub fn control(queue: &Path, request: &str) -> Result<Done, Trouble> {
    let mut stream = connect(queue, "control").map_err(Trouble::Down)?;
    stream.write_all(format!("{request}\n").as_bytes()).map_err(Trouble::Broken)?;
    read_reply(BufReader::new(stream.take(REPLY_MAX)))
}

fn read_reply(reply: impl BufRead) -> Result<Done, Trouble> {
    let mut done = Done::default();
    for line in reply.lines() {
        let line = line.map_err(Trouble::Broken)?;
        match line.split_once(' ') {
            Some(("message", id)) => done.messages.push(id.to_owned()),
            Some(("error", text)) => return Err(Trouble::Refused(text.to_owned())),
            Some(("ok", count)) => {
                done.count = count.trim().parse().map_err(|_| broken())?;
                return Ok(done);
            }
            _ => return Err(broken()),
        }
    }
    Err(broken())
}

fn broken() -> Trouble {
    Trouble::Broken(io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_end_with_a_count_or_a_refusal() {
        let done = read_reply(&b"message A1\nmessage B2\nok 2\n"[..]).unwrap();
        let messages = vec!["A1".to_owned(), "B2".to_owned()];
        assert_eq!(done, Done { messages, count: 2 });
        let refused = read_reply(&b"error not-found\n"[..]);
        assert!(matches!(refused, Err(Trouble::Refused(text)) if text == "not-found"));
        for broken in ["", "message A\n", "ok x\n", "what\n"] {
            let reply = read_reply(broken.as_bytes());
            assert!(matches!(reply, Err(Trouble::Broken(_))), "{broken:?}");
        }
    }
}
