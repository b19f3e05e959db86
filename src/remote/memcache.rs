//! `memcache:`: the text protocol, and another table behind it.
//!
//! What the cache does not have is asked of `backup`, if there is one, and put into the cache for
//! `ttl` seconds. Keys that memcache cannot have are in no cache.
//!
//! **Diagnostics**: what must be tried again is told in Postfix's words. What cannot be put into
//! the cache is a warning.
//! **Limits**: `data_size_limit`, `line_size_limit`, `timeout`, `max_try`; [`KEY_BYTES_MAX`].
//! **Standards**: memcache_table(5); memcached's protocol.txt.

use std::time::Duration;

use tables::catalog::{BadTable, Name};
use tables::source::printable;

use crate::Answer;
use crate::cf::{Cf, Setting};
use crate::endpoint::Endpoint;
use crate::other::Other;
use crate::pool::{Idle, Turns};
use crate::shape::{self, Shape};
use crate::template::{Template, plain};
use crate::wire::{Broken, Wire};

/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 250;

/// A table.
pub(crate) struct Memcache {
    shape: Shape,
    endpoint: Endpoint,
    key: Template,
    backup: Option<Other>,
    limits: Limits,
    idle: Idle<Wire>,
    turns: Turns,
}

struct Limits {
    line_bytes: usize,
    data_bytes: usize,
    tries: usize,
    pause: Duration,
    time: Duration,
    ttl_s: i32,
    flags: i32,
}

impl Limits {
    fn read(cf: &Cf<'_>) -> Result<Self, BadTable> {
        let number = |name: &str, default, least| {
            cf.number(name, default, least).map(|number| usize::try_from(number).unwrap_or(0))
        };
        let seconds = |name: &str, default| {
            cf.number(name, default, 1)
                .map(|number| Duration::from_secs(number.unsigned_abs().into()))
        };
        Ok(Self {
            line_bytes: number("line_size_limit", 1024, 1)?,
            data_bytes: number("data_size_limit", 10240, 1)?,
            tries: number("max_try", 2, 1)?,
            pause: seconds("retry_pause", 1)?,
            time: seconds("timeout", 2)?,
            ttl_s: cf.number("ttl", 3600, 0)?,
            flags: cf.number("flags", 0, 0)?,
        })
    }
}

/// Why a command failed.
enum Failure {
    /// Nobody accepts connections, which is not tried again.
    Connect(String),
    Other(String),
}

impl Memcache {
    /// Reads the file.
    pub fn open(name: &Name, setting: &Setting<'_>) -> Result<Self, BadTable> {
        let cf = Cf::read(name, setting)?;
        let key = shape::query(&cf, &cf.filled("key_format", "%s")?)?;
        let backup = cf.get("backup").filter(|text| !text.is_empty());
        Ok(Self {
            shape: Shape::read(&cf, &[&key], "%s")?,
            endpoint: Endpoint::parse(&cf.text("memcache", "inet:localhost:11211"))?,
            key,
            backup: backup.map(|text| Other::open(&text, setting)).transpose()?,
            limits: Limits::read(&cf)?,
            idle: Idle::new(),
            turns: Turns::new(),
        })
    }

    /// Asks the cache, then what is behind it.
    pub async fn lookup(&self, key: &[u8]) -> Answer {
        if let Err(answer) = self.shape.admit(key).await {
            return answer;
        }
        let cached = self.key.fill(key, b"", &plain);
        if !is_key(&cached) {
            return Answer::NotFound;
        }
        let _turn = self.turns.take().await;
        let cache = match self.command(&get(&cached), Expect::Value).await {
            Ok(Some(value)) => return Answer::Found(value),
            Ok(None) => Answer::NotFound,
            Err(why) => Answer::Retry(why),
        };
        let Some(backup) = &self.backup else { return cache };
        if let Answer::Retry(why) = cache {
            self.shape.warn(&why);
        }
        let answer = backup.lookup(key).await;
        if let Answer::Found(value) = &answer {
            self.store(&cached, value).await;
        }
        answer
    }

    async fn store(&self, key: &[u8], value: &[u8]) {
        let Limits { ttl_s, flags, .. } = self.limits;
        let head = format!(" {flags} {ttl_s} {}\r\n", value.len());
        let request = [b"set ", key, head.as_bytes(), value, b"\r\n"].concat();
        if let Err(why) = self.command(&request, Expect::Stored).await {
            self.shape.warn(&why);
        }
    }

    /// One command, tried again on a new connection.
    async fn command(&self, request: &[u8], expect: Expect) -> Result<Option<Vec<u8>>, String> {
        let mut why = String::new();
        for attempt in 0..self.limits.tries {
            if attempt > 0 {
                tokio::time::sleep(self.limits.pause).await;
            }
            match self.attempt(request, expect).await {
                Ok(found) => return Ok(found),
                Err(Failure::Connect(why)) => return Err(why),
                Err(Failure::Other(text)) => why = text,
            }
        }
        Err(why)
    }

    async fn attempt(&self, request: &[u8], expect: Expect) -> Result<Option<Vec<u8>>, Failure> {
        while let Some(mut wire) = self.idle.take() {
            if let Ok(reply) = self.exchange(&mut wire, request, expect).await {
                return Ok(self.kept(wire, reply));
            }
        }
        let connected = Wire::connect(&self.endpoint, self.limits.time).await;
        let mut wire = connected
            .map_err(|why| Failure::Connect(format!("connect to {}: {why}", self.endpoint)))?;
        let reply = self.exchange(&mut wire, request, expect).await.map_err(Failure::Other)?;
        Ok(self.kept(wire, reply))
    }

    fn kept(&self, wire: Wire, reply: Reply) -> Option<Vec<u8>> {
        if reply.is_whole && !wire.has_leftovers() {
            self.idle.put(wire);
        }
        reply.value
    }

    async fn exchange(
        &self,
        wire: &mut Wire,
        request: &[u8],
        expect: Expect,
    ) -> Result<Reply, String> {
        let broken = |broken| self.words(broken);
        wire.send(request).await.map_err(broken)?;
        let line = self.line(wire).await.map_err(broken)?;
        let unexpected = || {
            let (path, line) = (self.shape.path(), printable(&line));
            format!("{path}: unexpected memcache server reply: {line}")
        };
        if expect == Expect::Stored {
            return if line == b"STORED" { Ok(Reply::default()) } else { Err(unexpected()) };
        }
        if line == b"END" {
            return Ok(Reply::default());
        }
        let length = value_bytes(&line).filter(|length| *length <= self.limits.data_bytes);
        let length = length.ok_or_else(unexpected)?;
        let mut value = wire.bytes(length + 2).await.map_err(broken)?;
        if !value.ends_with(b"\r\n") {
            return Err(self.words(Broken::Eof));
        }
        value.truncate(length);
        let end = self.line(wire).await.map_err(broken)?;
        // As in Postfix the value counts whatever follows it, but not on this connection again.
        Ok(Reply { value: Some(value), is_whole: end == b"END" })
    }

    /// A line without its end.
    async fn line(&self, wire: &mut Wire) -> Result<Vec<u8>, Broken> {
        let mut line = wire.line(self.limits.line_bytes).await?;
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(line)
    }

    fn words(&self, broken: Broken) -> String {
        let (path, label) = (self.shape.path(), self.shape.label());
        match broken {
            Broken::Eof => format!("{path}: EOF receiving memcache server reply"),
            Broken::Timeout => format!("database {label}: timeout"),
            Broken::TooLong => format!("database {label}: I/O error: line too long"),
            Broken::Io(text) => format!("database {label}: I/O error: {text}"),
        }
    }
}

/// What a server said.
struct Reply {
    value: Option<Vec<u8>>,
    /// It ended as it must.
    is_whole: bool,
}

impl Default for Reply {
    fn default() -> Self {
        Self { value: None, is_whole: true }
    }
}

/// What a command is answered with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    Stored,
}

fn get(key: &[u8]) -> Vec<u8> {
    [b"get ", key, b"\r\n"].concat()
}

/// Whether memcache can have it.
fn is_key(key: &[u8]) -> bool {
    let is_printed = |byte: &u8| *byte > b' ' && *byte != 0x7f;
    !key.is_empty() && key.len() <= KEY_BYTES_MAX && key.iter().all(is_printed)
}

/// The length of `VALUE key flags length`.
fn value_bytes(line: &[u8]) -> Option<usize> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split(' ');
    let is_value = words.next() == Some("VALUE") && words.next().is_some();
    // The flags, which mean nothing here.
    words.next()?;
    let length = words.next()?;
    let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    (is_value && is_number).then(|| length.parse().ok()).flatten()
}

/// For fuzzing: the first line of a reply.
pub(crate) fn fuzz(line: &[u8]) {
    if let Some(length) = value_bytes(line) {
        assert!(line.starts_with(b"VALUE ") && !line.is_empty());
        assert!(length <= usize::MAX / 2 || line.len() > 19);
    }
}

#[cfg(test)]
mod tests;
