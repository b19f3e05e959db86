//! `socketmap:inet:host:port:name` and `socketmap:unix:path:name`: netstrings.
//!
//! A request is `NAME KEY`, a reply `OK VALUE`, `NOTFOUND `, or `TEMP`, `TIMEOUT` or `PERM` with a
//! reason; each is a netstring. A connection that the server closes is made again once.
//!
//! **Diagnostics**: what must be tried again is told in Postfix's words.
//! **Limits**: [`REPLY_BYTES_MAX`], [`REQUEST_BYTES_MAX`], [`TIME_LIMIT`], [`TRIES_MAX`].
//! **Standards**: socketmap_table(5).

use std::time::Duration;

use tables::catalog::{BadTable, Name};
use tables::source::printable;

use crate::Answer;
use crate::cf::{Setting, Warn};
use crate::endpoint::Endpoint;
use crate::pool::{Idle, Turns};
use crate::wire::{Broken, Wire};

/// A reply without its frame, in bytes.
pub const REPLY_BYTES_MAX: usize = 100_000;
/// A request without its frame, in bytes.
pub const REQUEST_BYTES_MAX: usize = 10_000;
/// To connect, to send, and to receive.
pub const TIME_LIMIT: Duration = Duration::from_secs(100);
/// Connections for one lookup.
pub const TRIES_MAX: usize = 2;
/// Digits of a length and the colon.
const LENGTH_BYTES_MAX: usize = 11;

/// A table.
pub(crate) struct Socketmap {
    /// `socketmap:...`, for messages.
    label: String,
    endpoint: Endpoint,
    map: String,
    idle: Idle<Wire>,
    turns: Turns,
    warn: Warn,
    limit: Duration,
}

/// Why there is no reply.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    Connection(Broken),
    /// It is no netstring.
    Format,
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        Self::Connection(broken)
    }
}

impl Socketmap {
    /// The map's name is what follows the last colon.
    pub fn open(name: &Name, setting: &Setting<'_>) -> Result<Self, BadTable> {
        let (end, map) = name.path.rsplit_once(':').unwrap_or((name.path.as_str(), ""));
        let endpoint = Endpoint::parse(end)?;
        let (map, warn) = (map.to_owned(), setting.warn.clone());
        let (label, limit) = (name.to_string(), TIME_LIMIT);
        Ok(Self { label, endpoint, map, idle: Idle::new(), turns: Turns::new(), warn, limit })
    }

    /// Asks.
    pub async fn lookup(&self, key: &[u8]) -> Answer {
        let request = [self.map.as_bytes(), b" ", key].concat();
        if key.is_empty() || request.len() > REQUEST_BYTES_MAX {
            return Answer::NotFound;
        }
        let _turn = self.turns.take().await;
        let frame = [format!("{}:", request.len()).as_bytes(), &request, b","].concat();
        match self.ask(&frame).await {
            Ok(reply) => self.answer(&reply),
            Err(why) => Answer::Retry(format!("table {} lookup error: {why}", self.label)),
        }
    }

    async fn ask(&self, frame: &[u8]) -> Result<Vec<u8>, String> {
        let mut failure = Failure::Connection(Broken::Eof);
        for _ in 0..TRIES_MAX {
            let mut wire = match self.idle.take() {
                Some(wire) => wire,
                None => self.connect().await?,
            };
            match exchange(&mut wire, frame).await {
                Ok(reply) => return Ok(self.kept(wire, reply)),
                Err(lost @ Failure::Connection(Broken::Eof | Broken::Io(_))) => failure = lost,
                Err(failure) => return Err(words(failure)),
            }
            // Where one is dead, those before it are.
            self.idle.clear();
        }
        Err(words(failure))
    }

    async fn connect(&self) -> Result<Wire, String> {
        let connected = Wire::connect(&self.endpoint, self.limit).await;
        connected.inspect_err(|why| (self.warn)(&format!("connect to {}: {why}", self.endpoint)))
    }

    fn kept(&self, wire: Wire, reply: Vec<u8>) -> Vec<u8> {
        if !wire.has_leftovers() {
            self.idle.put(wire);
        }
        reply
    }

    fn answer(&self, reply: &[u8]) -> Answer {
        let space = reply.iter().position(|byte| *byte == b' ').unwrap_or(reply.len());
        let (status, rest) = reply.split_at(space);
        let text = rest.strip_prefix(b" ").unwrap_or_default();
        let what = match status {
            b"OK" if text.is_empty() && rest.is_empty() => return Answer::NotFound,
            b"OK" => return Answer::Found(text.to_vec()),
            b"NOTFOUND" => return Answer::NotFound,
            b"TEMP" => "temporary",
            b"TIMEOUT" => "timeout",
            b"PERM" => "permanent",
            _ => "unknown",
        };
        let colon = if text.is_empty() { "" } else { ": " };
        let (label, text) = (&self.label, printable(text));
        Answer::Retry(format!("{label} socketmap server {what} error{colon}{text}"))
    }
}

fn words(failure: Failure) -> String {
    match failure {
        Failure::Format => "input format error".to_owned(),
        Failure::Connection(Broken::Eof) => "unexpected disconnect".to_owned(),
        Failure::Connection(Broken::TooLong) => "input exceeds size limit".to_owned(),
        Failure::Connection(Broken::Timeout) => "time limit exceeded".to_owned(),
        Failure::Connection(Broken::Io(text)) => text,
    }
}

async fn exchange(wire: &mut Wire, frame: &[u8]) -> Result<Vec<u8>, Failure> {
    wire.send(frame).await?;
    let length = match wire.until(b':', LENGTH_BYTES_MAX).await {
        Ok(prefix) => length(&prefix)?,
        Err(Broken::TooLong) => return Err(Failure::Format),
        Err(broken) => return Err(broken.into()),
    };
    let mut reply = wire.bytes(length + 1).await?;
    match reply.pop() {
        Some(b',') => Ok(reply),
        _ => Err(Failure::Format),
    }
}

/// Of the digits and the colon before a netstring.
fn length(prefix: &[u8]) -> Result<usize, Failure> {
    let digits = prefix.strip_suffix(b":").unwrap_or(prefix);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Failure::Format);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| Failure::Format)?;
    match digits.parse() {
        Ok(length) if length <= REPLY_BYTES_MAX => Ok(length),
        _ => Err(Failure::Connection(Broken::TooLong)),
    }
}

/// For fuzzing: the start of a netstring, and what is made of a reply.
pub(crate) fn fuzz(bytes: &[u8]) {
    if let Ok(length) = length(bytes) {
        assert!(length <= REPLY_BYTES_MAX);
    }
    let name = Name { kind: "socketmap".into(), path: "unix:/x:m".into() };
    let Ok(table) = Socketmap::open(&name, &crate::cf::silent()) else { return };
    if let Answer::Found(value) = table.answer(bytes) {
        assert_eq!([b"OK ", value.as_slice()].concat(), bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Act, Heard, Server, say};
    use proptest::prelude::*;

    fn table(port: u16) -> (Socketmap, Heard) {
        let heard = Heard::default();
        let name = crate::testing::name("socketmap", &format!("inet:127.0.0.1:{port}:name"));
        (Socketmap::open(&name, &heard.setting()).unwrap(), heard)
    }

    #[tokio::test]
    async fn replies_are_read_as_postfix_reads_them() {
        for (reply, expected) in [
            ("4:OK v,", Ok("v")),
            ("5:OK v ,", Ok("v ")),
            ("3:OK ,", Ok("")),
            ("04:OK v,", Ok("v")),
            ("9:TEMP late,", Err("NAME socketmap server temporary error: late")),
            ("5:TEMP ,", Err("NAME socketmap server temporary error")),
            ("12:TIMEOUT late,", Err("NAME socketmap server timeout error: late")),
            ("8:PERM bad,", Err("NAME socketmap server permanent error: bad")),
            ("8:WHAT bad,", Err("NAME socketmap server unknown error: bad")),
            ("8:ok lower,", Err("NAME socketmap server unknown error: lower")),
            ("4:OK v;", Err("table NAME lookup error: input format error")),
            ("x4:OK v,", Err("table NAME lookup error: input format error")),
            ("xxxxxxxxxxxxxxxx", Err("table NAME lookup error: input format error")),
            ("100001:x", Err("table NAME lookup error: input exceeds size limit")),
        ] {
            let server = Server::start(vec![say(reply)]).await;
            let (table, _) = table(server.port);
            let expected = match expected {
                Ok(value) => Answer::Found(value.into()),
                Err(why) => Answer::Retry(why.replace("NAME", &table.label)),
            };
            assert_eq!(table.lookup(b"k e").await, expected, "{reply}");
            assert_eq!(server.requests(), ["8:name k e,"]);
        }
        for reply in ["2:OK,", "9:NOTFOUND ,", "8:NOTFOUND,", "10:NOTFOUND x,"] {
            let server = Server::start(vec![say(reply)]).await;
            assert_eq!(table(server.port).0.lookup(b"k").await, Answer::NotFound, "{reply}");
        }
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_is_made_again_once() {
        let gone = || Act::Last(Vec::new());
        let acts = vec![Act::Last(b"4:OK a,".into()), say("4:OK b,"), gone(), gone()];
        let server = Server::start(acts).await;
        let (table, _) = table(server.port);
        assert_eq!(table.lookup(b"k").await, Answer::Found(b"a".into()));
        assert_eq!(table.lookup(b"k").await, Answer::Found(b"b".into()));
        let why = format!("table {} lookup error: unexpected disconnect", table.label);
        assert_eq!(table.lookup(b"k").await, Answer::Retry(why));
        assert_eq!(server.requests().len(), 4);
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_given_up() {
        let server = Server::start(vec![Act::Wait]).await;
        let (mut table, _) = table(server.port);
        table.limit = Duration::from_millis(100);
        let Answer::Retry(why) = table.lookup(b"k").await else { panic!("an answer") };
        assert!(why.ends_with("lookup error: time limit exceeded"), "{why}");
    }

    #[tokio::test]
    async fn nobody_there_is_a_temporary_failure() {
        let (table, heard) = table(1);
        let why = "table socketmap:inet:127.0.0.1:1:name lookup error: Connection refused";
        assert_eq!(table.lookup(b"k").await, Answer::Retry(why.into()));
        assert_eq!(heard.all(), ["connect to 127.0.0.1:1: Connection refused"]);
    }

    #[test]
    fn names_need_a_place_and_a_map() {
        for (path, what) in [("foo:bar", "foo"), ("inet:h", "inet"), ("unix:/tmp/x", "unix")] {
            let name = crate::testing::name("socketmap", path);
            let bad = Socketmap::open(&name, &crate::cf::silent()).err().unwrap();
            assert_eq!(bad.0, format!("need service transport:endpoint instead of \"{what}\""));
        }
    }

    proptest! {
        #[test]
        fn any_reply_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            fuzz(&bytes);
            fuzz(&[b"OK ".as_slice(), &bytes].concat());
        }
    }
}
