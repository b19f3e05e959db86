//! `pgsql:`.
//!
//! The query goes out as text, as libpq sends it: several statements may stand in it, the rows of
//! the last one count, all values are text. The connection's encoding is UTF-8.
//!
//! TLS is used where the server has it, as libpq does, or as a URI asks for it (`secure`).
//!
//! **Diagnostics**: a host or URI that cannot be used, or names a file that cannot, at open.
//! Failures of servers in Postfix's words.
//! **Limits**: those of [`crate::hosts`]; [`QUERY_LIMIT`]; [`crate::shape::ANSWER_BYTES_MAX`].
//! **Standards**: pgsql_table(5).

mod secure;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tables::catalog::{BadTable, Name};
use tokio::time::timeout;
use tokio_postgres::config::{Config, Host, SslMode};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::Answer;
use crate::cf::{Cf, Setting, reason};
use crate::hosts::{Failure, Hosts, Protocol, Values};
use crate::quote;
use crate::shape::{self, ANSWER_BYTES_MAX, Shape};
use crate::template::Template;
use secure::{Asked, Secure};

/// To answer one query.
pub const QUERY_LIMIT: Duration = Duration::from_secs(30);
/// The port of a host that names none.
const PORT: u16 = 5432;

/// A table.
pub(crate) struct Pgsql {
    shape: Shape,
    hosts: Hosts<Server>,
}

/// How its servers are talked to.
struct Server {
    query: Template,
    /// Whether the query has strings in which a backslash escapes: `E'%s'`.
    has_escape_strings: bool,
    user: String,
    password: String,
    database: String,
}

/// A session.
struct Connection {
    client: Client,
    /// Whether a backslash is data (`standard_conforming_strings`).
    standard_strings: bool,
}

impl Pgsql {
    /// Reads the file.
    pub fn open(name: &Name, setting: &Setting<'_>) -> Result<Self, BadTable> {
        let cf = Cf::read(name, setting)?;
        let (user, password) = (cf.text("user", ""), cf.text("password", ""));
        let database = cf.filled("dbname", "")?;
        let result = cf.filled("result_format", "%s")?;
        let text = query_text(&cf)?;
        let has_escape_strings = has_escape_strings(&text);
        let query = shape::query(&cf, &text)?;
        let shape = Shape::read(&cf, &[&query], &result)?;
        let mut hosts = cf.words("hosts", "");
        if hosts.is_empty() {
            hosts.push("localhost".to_owned());
        }
        let server = Server { query, has_escape_strings, user, password, database };
        for host in &hosts {
            let bad = |why: String| cf.bad(&format!("{}: {why}", shown(host)));
            let (_, asked) = server.config(host).map_err(bad)?;
            asked.tls.config().map_err(bad)?;
        }
        Ok(Self { shape, hosts: Hosts::new(server, hosts) })
    }

    /// Asks. A key that is not UTF-8, or has a NUL byte, is in no database.
    pub async fn lookup(&self, key: &[u8]) -> Answer {
        if key.contains(&0) || std::str::from_utf8(key).is_err() {
            return Answer::NotFound;
        }
        self.hosts.lookup(&self.shape, key).await
    }
}

fn query_text(cf: &Cf<'_>) -> Result<String, BadTable> {
    let given = |name: &str| cf.get(name).filter(|text| !text.is_empty());
    if let Some(query) = given("query") {
        return Ok(query);
    }
    match given("select_function") {
        Some(function) => Ok(format!("SELECT {function}('%s')")),
        None => shape::legacy_query(cf),
    }
}

/// Whether a string in `sql` begins with `E'`.
fn has_escape_strings(sql: &str) -> bool {
    sql.to_ascii_lowercase().match_indices("e'").any(|(at, _)| {
        let before = sql[..at].bytes().last();
        !before.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_'%".contains(&byte))
    })
}

impl Server {
    /// How a host is connected; why it cannot be.
    fn config(&self, host: &str) -> Result<(Config, Asked), String> {
        let is_uri = host.starts_with("postgresql://") || host.starts_with("postgres://");
        let (mut config, asked) = if is_uri {
            let (rest, asked) = Asked::split(host)?;
            (rest.parse::<Config>().map_err(|error| words(&error))?, asked)
        } else {
            (plain_host(host)?, Asked::nothing())
        };
        config.ssl_mode(asked.mode);
        if config.get_user().is_none() && !self.user.is_empty() {
            config.user(&self.user);
        }
        if config.get_password().is_none() && !self.password.is_empty() {
            config.password(&self.password);
        }
        if config.get_dbname().is_none() {
            config.dbname(&self.database);
        }
        Ok((config, asked))
    }
}

/// `unix:/directory`, `inet:host:port`, `host`.
fn plain_host(host: &str) -> Result<Config, String> {
    let mut config = Config::new();
    let text = host.strip_prefix("inet:").unwrap_or(host);
    if let Some(directory) = host.strip_prefix("unix:").or(text.starts_with('/').then_some(text)) {
        config.host_path(directory).port(PORT);
        return Ok(config);
    }
    let bad =
        |port: &str| format!("invalid integer value \"{port}\" for connection option \"port\"");
    match text.rsplit_once(':') {
        Some((name, port)) => {
            let name =
                name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
            config.host(name).port(port.parse().map_err(|_| bad(port))?);
        }
        None => {
            config.host(text).port(PORT);
        }
    }
    Ok(config)
}

/// What an error says: the server's words, or what it was caused by.
fn words(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{}:  {}", error.severity(), error.message());
    }
    let cause = error.source().map(|cause| match cause.downcast_ref::<std::io::Error>() {
        Some(cause) => reason(cause),
        None => cause.to_string(),
    });
    cause.unwrap_or_else(|| error.to_string())
}

/// Whether the server ends the session with it.
fn is_fatal(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| matches!(error.severity(), "FATAL" | "PANIC"))
}

/// A host for messages: a URI without its password.
fn shown(host: &str) -> String {
    let parts = host.split_once("://").and_then(|(scheme, rest)| {
        let (login, place) = rest.split_once('@')?;
        Some((scheme, login.split_once(':')?.0, place))
    });
    match parts {
        Some((scheme, user, place)) => format!("{scheme}://{user}@{place}"),
        None => host.to_owned(),
    }
}

/// What a connection that cannot be made says, as libpq words it.
fn connect_words(error: &tokio_postgres::Error, config: &Config) -> String {
    let (why, port) = (words(error), config.get_ports().first().copied().unwrap_or(PORT));
    match config.get_hosts().first() {
        Some(Host::Tcp(name)) => match why.strip_prefix("failed to lookup address information: ") {
            Some(why) => format!("could not translate host name \"{name}\" to address: {why}"),
            None => format!("connection to server at \"{name}\", port {port} failed: {why}"),
        },
        Some(Host::Unix(path)) => {
            let path = path.join(format!(".s.PGSQL.{port}"));
            let path = path.display();
            format!("connection to server on socket \"{path}\" failed: {why}")
        }
        None => why,
    }
}

impl Protocol for Server {
    type Connection = Connection;

    async fn connect(&self, host: &str) -> Result<Connection, String> {
        let failed = |why: String| format!("connect to pgsql server {}: {why}", shown(host));
        let (config, asked) = self.config(host).map_err(failed)?;
        let not = |error: tokio_postgres::Error| failed(connect_words(&error, &config));
        // The driver ends when the client is dropped or the server goes away.
        let client = if asked.mode == SslMode::Disable {
            let (client, driver) = config.connect(NoTls).await.map_err(not)?;
            tokio::spawn(driver);
            client
        } else {
            let tls = Secure(Arc::new(asked.tls.config().map_err(failed)?));
            let (client, driver) = config.connect(tls).await.map_err(not)?;
            tokio::spawn(driver);
            client
        };
        let shown = client.simple_query("SHOW standard_conforming_strings").await;
        let shown = shown.map_err(|error| failed(words(&error)))?;
        let standard_strings = shown.iter().any(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0) == Some("on"),
            _ => false,
        });
        Ok(Connection { client, standard_strings })
    }

    async fn ask(
        &self,
        host: &str,
        connection: &mut Connection,
        key: &[u8],
    ) -> Result<Values, Failure> {
        // libpq does not look at the query: there, a backslash in a key ends an escape string.
        let quote = match connection.standard_strings && !self.has_escape_strings {
            true => quote::doubled,
            false => quote::doubled_with_backslashes,
        };
        let sql = self.query.fill(key, b"", &quote);
        // The template and the key both are.
        let sql = String::from_utf8(sql).map_err(|_| Failure::Refused("not UTF-8".to_owned()))?;
        let host = shown(host);
        let failed = |why: &str| format!("pgsql query failed: fatal error from host {host}: {why}");
        let asked = timeout(QUERY_LIMIT, connection.client.simple_query(&sql)).await;
        match asked {
            Ok(Ok(messages)) => last_rows(&messages).map_err(|why| Failure::Refused(failed(why))),
            Ok(Err(error)) if connection.client.is_closed() || is_fatal(&error) => {
                Err(Failure::Lost(failed(&words(&error))))
            }
            Ok(Err(error)) => Err(Failure::Refused(failed(&words(&error)))),
            Err(_) => Err(Failure::Lost(failed("time limit exceeded"))),
        }
    }
}

/// The values of the last statement; NULL is an empty one, as libpq shows it.
fn last_rows(messages: &[SimpleQueryMessage]) -> Result<Values, &'static str> {
    let (mut values, mut ended, mut bytes) = (Values::new(), false, 0);
    for message in messages {
        match message {
            SimpleQueryMessage::Row(row) => {
                for column in 0..row.len() {
                    let value = row.get(column).unwrap_or_default();
                    bytes += value.len();
                    values.push(Some(value.as_bytes().to_vec()));
                }
            }
            SimpleQueryMessage::CommandComplete(_) if ended => values.clear(),
            _ => {}
        }
        // A statement's end is known to be the last one's only when nothing follows.
        match message {
            SimpleQueryMessage::CommandComplete(_) => ended = true,
            SimpleQueryMessage::RowDescription(_) => (values.clear(), ended = false).1,
            _ => ended = false,
        }
    }
    if bytes > ANSWER_BYTES_MAX { Err("answer too long") } else { Ok(values) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{open, refused};

    #[test]
    fn what_the_file_must_have_is_told_as_postfix_tells_it() {
        for (text, what) in [
            ("query = x\n", "FILE: bad string length 0 < 1: dbname = "),
            ("dbname = d\n", "FILE: bad string length 0 < 1: table = "),
            ("dbname = d\ntable = t\n", "FILE: bad string length 0 < 1: select_field = "),
            (
                "dbname = d\nquery = x\nhosts = h:x\n",
                "FILE: h:x: invalid integer value \"x\" for connection option \"port\"",
            ),
            (
                "dbname = d\nquery = x\nhosts = postgresql://h/d?sslmode=odd\n",
                "FILE: postgresql://h/d?sslmode=odd: invalid sslmode value: \"odd\"",
            ),
            (
                "dbname = d\nquery = x\nhosts = postgres://h/d?sslmode=verify-ca&sslrootcert=/no\n",
                "FILE: postgres://h/d?sslmode=verify-ca&sslrootcert=/no: open /no: No such file or \
                 directory",
            ),
        ] {
            assert_eq!(refused("pgsql", text), what, "{text}");
        }
        assert!(
            refused("pgsql", "dbname = d\nquery = x\nhosts = postgres://h/?no=1\n").contains("no")
        );
    }

    fn server() -> Server {
        let query = Template::parse("%s", crate::template::Role::Query).unwrap();
        let text = String::from;
        let has_escape_strings = false;
        Server {
            query,
            has_escape_strings,
            user: text("u"),
            password: text("p"),
            database: text("d"),
        }
    }

    #[test]
    fn hosts_have_several_forms() {
        let tcp = |name: &str| vec![Host::Tcp(name.into())];
        for (host, hosts, port) in [
            ("h", tcp("h"), 5432),
            ("inet:h:1", tcp("h"), 1),
            ("[::1]:2", tcp("::1"), 2),
            ("unix:/a:b", vec![Host::Unix("/a:b".into())], 5432),
            ("postgresql://x:y@h:3/z", tcp("h"), 3),
        ] {
            let config = server().config(host).unwrap().0;
            assert_eq!((config.get_hosts(), config.get_ports()), (&*hosts, &[port][..]), "{host}");
        }
        let uri = server().config("postgresql://x:y@h/z").unwrap().0;
        assert_eq!((uri.get_user(), uri.get_dbname()), (Some("x"), Some("z")));
        assert_eq!(shown("postgresql://x:y@h/z"), "postgresql://x@h/z");
        assert_eq!(shown("inet:h:1"), "inet:h:1");
        let bare = server().config("postgresql://h").unwrap().0;
        assert_eq!((bare.get_user(), bare.get_dbname()), (Some("u"), Some("d")));
    }

    #[test]
    fn escape_strings_are_seen() {
        for (sql, expected) in [
            ("select v from t where k = E'%s'", true),
            ("select v from t where k=(e'%s')", true),
            ("e'x'", true),
            ("select v from t where k = '%s'", false),
            ("select date'2020-01-01', like'%s', '%se'", false),
        ] {
            assert_eq!(has_escape_strings(sql), expected, "{sql}");
        }
    }

    #[test]
    fn queries_come_from_the_newest_parameter() {
        for (text, expected) in [
            ("query = q\nselect_function = f\ntable = t\n", "q"),
            ("select_function = f\ntable = t\n", "SELECT f('%s')"),
            (
                "table = t\nselect_field = s\nwhere_field = w\nadditional_conditions = and x\n",
                "SELECT s FROM t WHERE w = '%s' and x",
            ),
        ] {
            let file = crate::testing::cf_file(text);
            let name = crate::testing::name("pgsql", &file.path);
            let setting = crate::cf::silent();
            assert_eq!(query_text(&Cf::read(&name, &setting).unwrap()).unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn nobody_there_is_a_temporary_failure() {
        let (client, ..) = open("pgsql", "dbname = d\nuser = u\nquery = x\nhosts = 127.0.0.1:1\n");
        let Answer::Retry(why) = client.lookup(b"k").await else { panic!("an answer") };
        let what = "connection to server at \"127.0.0.1\", port 1 failed: Connection refused";
        assert_eq!(why, format!("connect to pgsql server 127.0.0.1:1: {what}"));
        assert_eq!(client.lookup(b"\xff").await, Answer::NotFound);
    }
}
