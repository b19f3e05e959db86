//! `tcp:host:port`: one line is asked, one is answered.
//!
//! A request is `get KEY`, a reply `200 VALUE`, `500 TEXT` or `400 TEXT`; a percent sign, white
//! space and what cannot be printed are `%XX` in both. A connection that fails is made again, up to
//! [`TRIES_MAX`] times.
//!
//! **Diagnostics**: what must be tried again is told in Postfix's words; `400`, about which Postfix
//! says nothing, with its text.
//! **Limits**: [`REPLY_BYTES_MAX`], [`REQUEST_BYTES_MAX`], [`TIME_LIMIT`], [`TRIES_MAX`].
//! **Standards**: tcp_table(5).

use std::time::Duration;

use tables::catalog::{BadTable, Name};
use tables::source::printable;

use crate::Answer;
use crate::cf::Setting;
use crate::cf::Warn;
use crate::endpoint::Endpoint;
use crate::pool::{Idle, Turns};
use crate::wire::{Broken, Wire};

/// A reply with its LF, in bytes.
pub const REPLY_BYTES_MAX: usize = 4096;
/// A request with its LF, in bytes.
pub const REQUEST_BYTES_MAX: usize = 4096;
/// To send, and to receive.
pub const TIME_LIMIT: Duration = Duration::from_secs(100);
/// Connections for one lookup.
pub const TRIES_MAX: usize = 10;
/// Between them.
const PAUSE: Duration = Duration::from_secs(1);

/// A table.
pub(crate) struct Tcp {
    name: String,
    /// None if the name has no port.
    endpoint: Option<Endpoint>,
    idle: Idle<Wire>,
    turns: Turns,
    warn: Warn,
    pause: Duration,
}

impl Tcp {
    /// Of `host:port`; a name that has none fails at each lookup, as in Postfix.
    pub fn open(name: &Name, setting: &Setting<'_>) -> Result<Self, BadTable> {
        let endpoint = Endpoint::inet(&name.path).ok();
        let (name, warn) = (name.path.clone(), setting.warn.clone());
        Ok(Self { name, endpoint, idle: Idle::new(), turns: Turns::new(), warn, pause: PAUSE })
    }

    /// Asks.
    pub async fn lookup(&self, key: &[u8]) -> Answer {
        let request = [b"get ", encode(key).as_slice(), b"\n"].concat();
        if key.is_empty() || request.len() > REQUEST_BYTES_MAX {
            return Answer::NotFound;
        }
        let _turn = self.turns.take().await;
        let mut why = String::new();
        for attempt in 0..TRIES_MAX {
            if attempt > 0 {
                (self.warn)(&why);
                tokio::time::sleep(self.pause).await;
            }
            match self.attempt(&request).await {
                Ok(line) => return self.answer(&line),
                Err(reason) => why = reason,
            }
        }
        Answer::Retry(why)
    }

    async fn attempt(&self, request: &[u8]) -> Result<Vec<u8>, String> {
        while let Some(mut wire) = self.idle.take() {
            if let Ok(line) = exchange(&mut wire, request).await {
                self.keep(wire);
                return Ok(line);
            }
        }
        let name = &self.name;
        let cannot = |why: String| format!("connect to TCP map {name}: {why}");
        let nowhere = || cannot("Cannot assign requested address".to_owned());
        let endpoint = self.endpoint.as_ref().ok_or_else(nowhere)?;
        let mut wire = Wire::connect(endpoint, TIME_LIMIT).await.map_err(cannot)?;
        let line = exchange(&mut wire, request).await.map_err(|broken| {
            let text = match broken {
                Broken::Eof => "unexpected EOF".to_owned(),
                Broken::TooLong => format!("text longer than {REPLY_BYTES_MAX}"),
                Broken::Timeout => "read timeout".to_owned(),
                Broken::Io(text) => text,
            };
            format!("read TCP map reply from {name}: {text}")
        })?;
        self.keep(wire);
        Ok(line)
    }

    fn keep(&self, wire: Wire) {
        if !wire.has_leftovers() {
            self.idle.put(wire);
        }
    }

    fn answer(&self, line: &[u8]) -> Answer {
        let bad = |what: &str| {
            let (name, line) = (&self.name, printable(line));
            Answer::Retry(format!("read TCP map reply from {name}: {what}: {line}"))
        };
        let has_code = line.len() > 3 && line[..3].iter().all(u8::is_ascii_digit);
        if !has_code || !line[3].is_ascii_whitespace() {
            return bad("malformed reply");
        }
        let Some(text) = decode(&line[4..]) else { return bad("malformed reply") };
        match &line[..3] {
            b"200" => Answer::Found(text),
            b"400" => Answer::Retry(format!("TCP map {}: {}", self.name, printable(&text))),
            b"500" => Answer::NotFound,
            _ => bad("bad status code"),
        }
    }
}

async fn exchange(wire: &mut Wire, request: &[u8]) -> Result<Vec<u8>, Broken> {
    wire.send(request).await?;
    wire.line(REPLY_BYTES_MAX).await
}

fn encode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b'!'..=b'~' if *byte != b'%' => out.push(*byte),
            _ => out.extend(format!("%{byte:02X}").bytes()),
        }
    }
    out
}

/// Nothing if a percent sign has no two hexadecimal digits.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, more)) = rest.split_first() {
        rest = more;
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let digits = rest.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        out.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = &rest[2..];
    }
    Some(out)
}

/// For fuzzing: what is made of a reply.
pub(crate) fn fuzz(line: &[u8]) {
    let name = Name { kind: "tcp".into(), path: "h:1".into() };
    let Ok(tcp) = Tcp::open(&name, &crate::cf::silent()) else { return };
    if let Answer::Found(value) = tcp.answer(line) {
        assert_eq!(decode(&encode(&value)).as_deref(), Some(value.as_slice()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Act, Heard, Server, say};
    use proptest::prelude::*;

    async fn ask(acts: Vec<Act>, key: &str) -> (Answer, Server, Vec<String>) {
        let server = Server::start(acts).await;
        let heard = Heard::default();
        let name = crate::testing::name("tcp", &format!("127.0.0.1:{}", server.port));
        let mut tcp = Tcp::open(&name, &heard.setting()).unwrap();
        tcp.pause = Duration::ZERO;
        (tcp.lookup(key.as_bytes()).await, server, heard.all())
    }

    #[tokio::test]
    async fn replies_are_read_as_postfix_reads_them() {
        let malformed = "malformed reply: ";
        for (reply, expected) in [
            ("200 hello%20w%25\n", Ok("hello w%")),
            ("200 \n", Ok("")),
            ("200   a\r\n", Ok("  a\r")),
            ("400 later%20on\n", Err("later on".to_owned())),
            ("200\n", Err(format!("{malformed}200"))),
            ("500\n", Err(format!("{malformed}500"))),
            ("garbage\n", Err(format!("{malformed}garbage"))),
            ("200 %zz\n", Err(format!("{malformed}200 %zz"))),
            ("2000 x\n", Err(format!("{malformed}2000 x"))),
            ("200x\n", Err(format!("{malformed}200x"))),
            ("300 x\n", Err("bad status code: 300 x".to_owned())),
        ] {
            let (answer, server, _) = ask(vec![say(reply)], "k").await;
            let expected = match expected {
                Ok(value) => Answer::Found(value.into()),
                Err(why) if reply.starts_with("400") => {
                    Answer::Retry(format!("TCP map 127.0.0.1:{}: {why}", server.port))
                }
                Err(why) => {
                    let port = server.port;
                    Answer::Retry(format!("read TCP map reply from 127.0.0.1:{port}: {why}"))
                }
            };
            assert_eq!(answer, expected, "{reply}");
        }
        assert_eq!(ask(vec![say("500 nope\n")], "k").await.0, Answer::NotFound);
    }

    #[tokio::test]
    async fn requests_are_encoded() {
        let (_, server, _) = ask(vec![say("500 x\n")], "k %\"\u{e9}@x").await;
        assert_eq!(server.requests(), ["get k%20%25\"%C3%A9@x\n"]);
    }

    #[tokio::test]
    async fn a_reply_may_have_4096_bytes() {
        let reply = |length: usize| say(format!("200 {}\n", "x".repeat(length)));
        let (answer, ..) = ask(vec![reply(4091)], "k").await;
        assert_eq!(answer, Answer::Found(vec![b'x'; 4091]));
        let (answer, server, heard) = ask(vec![reply(4092); TRIES_MAX], "k").await;
        let port = server.port;
        let why = format!("read TCP map reply from 127.0.0.1:{port}: text longer than 4096");
        assert_eq!(answer, Answer::Retry(why));
        assert_eq!(heard.len(), TRIES_MAX - 1);
    }

    #[tokio::test]
    async fn a_connection_that_ends_is_made_again() {
        let acts = vec![Act::Last(b"200 a\n".into()), Act::Last(b"".into()), say("200 b\n")];
        let server = Server::start(acts).await;
        let name = crate::testing::name("tcp", &format!("127.0.0.1:{}", server.port));
        let mut tcp = Tcp::open(&name, &Heard::default().setting()).unwrap();
        tcp.pause = Duration::ZERO;
        assert_eq!(tcp.lookup(b"k").await, Answer::Found(b"a".into()));
        assert_eq!(tcp.lookup(b"k").await, Answer::Found(b"b".into()));
    }

    #[tokio::test]
    async fn nobody_there_is_a_temporary_failure() {
        let mut tcp =
            Tcp::open(&crate::testing::name("tcp", "127.0.0.1:1"), &Heard::default().setting())
                .unwrap();
        tcp.pause = Duration::ZERO;
        let why = "connect to TCP map 127.0.0.1:1: Connection refused";
        assert_eq!(tcp.lookup(b"k").await, Answer::Retry(why.into()));
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let encoded = encode(&text);
            prop_assert!(encoded.iter().all(u8::is_ascii_graphic));
            prop_assert_eq!(decode(&encoded), Some(text));
        }

        #[test]
        fn any_reply_is_read(line in proptest::collection::vec(any::<u8>(), 0..40)) {
            fuzz(&line);
            fuzz(&[b"200 ".as_slice(), &line].concat());
        }
    }
}
