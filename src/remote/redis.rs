//! `redis:`, which Postfix does not have; its file is like those of the SQL tables.
//!
//! | parameter | default | |
//! | --- | --- | --- |
//! | `hosts` | `inet:localhost:6379` | `inet:host:port`, `unix:/path`, several |
//! | `database` | 0 | a number |
//! | `username`, `password` | empty | no login without a password |
//! | `key` | `%s` | template of the key: `GET` |
//! | `field` | empty | template of a field, if the key has a hash: `HGET` |
//! | `result_format`, `domain`, `expansion_limit` | | as in mysql_table(5) |
//!
//! **Diagnostics**: a mistake of the file at open. A server that cannot be asked, and a key of
//! another type, are to be retried.
//! **Limits**: those of [`crate::hosts`]; [`QUERY_LIMIT`].
//! **Standards**: the protocol is the `redis` crate's.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisError,
};
use tables::catalog::{BadTable, Name};
use tokio::time::timeout;

use crate::Answer;
use crate::cf::{Cf, Setting};
use crate::endpoint::{Endpoint, port_number};
use crate::hosts::{CONNECT_LIMIT, Failure, Hosts, Protocol, Values};
use crate::shape::{self, Shape};
use crate::template::{Template, plain};

/// To answer one query.
pub const QUERY_LIMIT: Duration = Duration::from_secs(10);

/// A table.
pub(crate) struct Redis {
    shape: Shape,
    hosts: Hosts<Server>,
}

/// How its servers are talked to.
struct Server {
    label: String,
    key: Template,
    field: Option<Template>,
    settings: RedisConnectionInfo,
}

impl Redis {
    /// Reads the file.
    pub fn open(name: &Name, setting: &Setting<'_>) -> Result<Self, BadTable> {
        let cf = Cf::read(name, setting)?;
        let key = shape::query(&cf, &cf.filled("key", "%s")?)?;
        let field = cf.get("field").filter(|text| !text.is_empty());
        let field = field.map(|text| shape::query(&cf, &text)).transpose()?;
        let queries: Vec<&Template> = std::iter::once(&key).chain(&field).collect();
        let shape = Shape::read(&cf, &queries, &cf.filled("result_format", "%s")?)?;
        let hosts = cf.words("hosts", "inet:localhost:6379");
        for host in &hosts {
            address(host).map_err(|why| cf.bad(&why.0))?;
        }
        let settings = settings(&cf)?;
        let server = Server { label: shape.label(), key, field, settings };
        Ok(Self { shape, hosts: Hosts::new(server, hosts) })
    }

    /// Asks.
    pub async fn lookup(&self, key: &[u8]) -> Answer {
        self.hosts.lookup(&self.shape, key).await
    }
}

fn settings(cf: &Cf<'_>) -> Result<RedisConnectionInfo, BadTable> {
    let database = cf.number("database", 0, 0)?;
    let (user, password) = (cf.text("username", ""), cf.text("password", ""));
    let mut out = RedisConnectionInfo::default().set_db(database.into()).set_skip_set_lib_name();
    if !user.is_empty() {
        out = out.set_username(user);
    }
    if !password.is_empty() {
        out = out.set_password(password);
    }
    Ok(out)
}

fn address(host: &str) -> Result<ConnectionAddr, BadTable> {
    let bad = |port: &str| BadTable(format!("{host}: unknown service {port}"));
    match Endpoint::parse(host)? {
        Endpoint::Unix(path) => Ok(ConnectionAddr::Unix(path.into())),
        Endpoint::Inet(name, port) => {
            Ok(ConnectionAddr::Tcp(name, port_number(&port).ok_or_else(|| bad(&port))?))
        }
    }
}

/// What an error says, without the number Rust adds.
fn words(error: &RedisError) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

impl Protocol for Server {
    type Connection = MultiplexedConnection;

    async fn connect(&self, host: &str) -> Result<MultiplexedConnection, String> {
        let failed = |why: String| format!("connect to redis server {host}: {why}");
        let address = address(host).map_err(|bad| failed(bad.0))?;
        let info = address.into_connection_info().map_err(|error| failed(words(&error)))?;
        let info = info.set_redis_settings(self.settings.clone());
        let client = redis::Client::open(info).map_err(|error| failed(words(&error)))?;
        // The crate's own limits are shorter than a busy server may need.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(QUERY_LIMIT));
        let connected = client.get_multiplexed_async_connection_with_config(&config).await;
        connected.map_err(|error| failed(words(&error)))
    }

    async fn ask(
        &self,
        _host: &str,
        connection: &mut MultiplexedConnection,
        key: &[u8],
    ) -> Result<Values, Failure> {
        let mut command = redis::cmd(if self.field.is_some() { "HGET" } else { "GET" });
        command.arg(self.key.fill(key, b"", &plain));
        if let Some(field) = &self.field {
            command.arg(field.fill(key, b"", &plain));
        }
        let failed = |why: &str| format!("{}: query failed: {why}", self.label);
        match timeout(QUERY_LIMIT, command.query_async(connection)).await {
            Ok(Ok(value)) => Ok(vec![value]),
            Ok(Err(error)) if error.is_io_error() || error.is_connection_dropped() => {
                Err(Failure::Lost(failed(&words(&error))))
            }
            Ok(Err(error)) => Err(Failure::Refused(failed(&words(&error)))),
            Err(_) => Err(Failure::Lost(failed("time limit exceeded"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Act, Server, open, refused, say};

    #[test]
    fn mistakes_are_told() {
        for (text, what) in [
            ("hosts = h\n", "FILE: need service transport:endpoint instead of \"h\""),
            ("hosts = inet:h:nosuch\n", "FILE: inet:h:nosuch: unknown service nosuch"),
            ("database = x\n", "FILE: bad numerical configuration: database = x"),
            ("key =\n", "FILE: bad string length 0 < 1: key = "),
        ] {
            assert_eq!(refused("redis", text), what, "{text}");
        }
    }

    #[tokio::test]
    async fn values_and_fields_are_asked_for() {
        let acts = vec![say("$2\r\nab\r\n"), say("$-1\r\n"), say("-WRONGTYPE no\r\n")];
        let server = Server::start(acts).await;
        let port = server.port;
        let text = format!("hosts = inet:127.0.0.1:{port}\nkey = p:%s\nresult_format = <%s>\n");
        let (client, ..) = open("redis", &text);
        assert_eq!(client.lookup(b"k").await, Answer::Found(b"<ab>".into()));
        assert_eq!(client.lookup(b"k").await, Answer::NotFound);
        let Answer::Retry(why) = client.lookup(b"k").await else { panic!("an answer") };
        assert!(why.contains(": query failed: ") && why.contains("WRONGTYPE"), "{why}");
        assert_eq!(server.requests()[0], "*2\r\n$3\r\nGET\r\n$3\r\np:k\r\n");

        let server = Server::start(vec![say("$1\r\nv\r\n")]).await;
        let port = server.port;
        let text = format!("hosts = inet:127.0.0.1:{port}\nkey = %d\nfield = %u\n");
        let (client, ..) = open("redis", &text);
        assert_eq!(client.lookup(b"a@b").await, Answer::Found(b"v".into()));
        assert_eq!(client.lookup(b"a").await, Answer::NotFound);
        assert_eq!(server.requests(), ["*3\r\n$4\r\nHGET\r\n$1\r\nb\r\n$1\r\na\r\n"]);
    }

    #[tokio::test]
    async fn a_server_that_hangs_up_is_asked_again() {
        let server =
            Server::start(vec![Act::Last(b"$1\r\na\r\n".into()), say("$1\r\nb\r\n")]).await;
        let (client, ..) = open("redis", &format!("hosts = inet:127.0.0.1:{}\n", server.port));
        assert_eq!(client.lookup(b"k").await, Answer::Found(b"a".into()));
        assert_eq!(client.lookup(b"k").await, Answer::Found(b"b".into()));
        let (client, ..) = open("redis", "hosts = inet:127.0.0.1:1\n");
        let Answer::Retry(why) = client.lookup(b"k").await else { panic!("an answer") };
        assert!(why.starts_with("connect to redis server inet:127.0.0.1:1: "), "{why}");
    }
}
