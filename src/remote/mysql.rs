//! `mysql:`, for MySQL and MariaDB.
//!
//! The query goes out as text; all columns of all rows are values. A stored procedure may be
//! called; more than one result set with rows is refused.
//!
//! `charset` names the connection's character set (`utf8mb4`). An option file gives what the .cf
//! file does not have: `user`, `password`, `port`, `socket`. The files that MySQL's own library
//! reads without being told are not read.
//!
//! TLS is used when a `tls_` parameter is set: what `tls_CAfile` and `tls_CApath` have vouches for
//! the server, `tls_verify_cert` asks for its name too.
//!
//! **Diagnostics**: a mistake of the file at open. Failures of servers in
//! Postfix's words.
//! **Limits**: those of [`crate::hosts`]; [`QUERY_LIMIT`]; [`crate::shape::ANSWER_BYTES_MAX`].
//! **Standards**: mysql_table(5).

mod options;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{ClientIdentity, Conn, Error, IoError, Opts, OptsBuilder, Row, SslOpts, Value};
use tables::catalog::{BadTable, Name};
use tokio::time::timeout;

use crate::Answer;
use crate::cf::{Cf, Setting, reason};
use crate::endpoint::port_number;
use crate::hosts::{Failure, Hosts, Protocol, Values};
use crate::quote;
use crate::shape::{self, ANSWER_BYTES_MAX, Shape};
use crate::template::Template;
use crate::tls::{Tls, Verify};
use options::Options;

/// To answer one query.
pub const QUERY_LIMIT: Duration = Duration::from_secs(30);
/// The port of a host that names none.
const PORT: u16 = 3306;
/// Where `localhost` is.
const SOCKET: &str = "/run/mysqld/mysqld.sock";
/// Character sets in which no other character has the byte of a quote or a backslash.
const CHARSETS: [&str; 7] = ["utf8mb4", "utf8", "utf8mb3", "latin1", "latin2", "ascii", "binary"];

/// A table.
pub(crate) struct Mysql {
    shape: Shape,
    hosts: Hosts<Server>,
}

/// How its servers are talked to.
struct Server {
    label: String,
    query: Template,
    user: String,
    password: String,
    database: String,
    options: Options,
    ssl: Option<SslOpts>,
    charset: String,
    requires_result_set: bool,
}

/// A session.
struct Connection {
    conn: Conn,
    /// Whether a backslash escapes (no `NO_BACKSLASH_ESCAPES`).
    backslash_escapes: bool,
}

impl Mysql {
    /// Reads the file.
    pub fn open(name: &Name, setting: &Setting<'_>) -> Result<Self, BadTable> {
        let cf = Cf::read(name, setting)?;
        let (user, password) = (cf.text("user", ""), cf.text("password", ""));
        let database = cf.filled("dbname", "")?;
        let result = cf.filled("result_format", "%s")?;
        let ssl = ssl(&cf)?;
        let charset = cf.text("charset", "utf8mb4").to_ascii_lowercase();
        if !CHARSETS.contains(&charset.as_str()) {
            return Err(cf.bad(&format!("unsupported parameter value: charset = {charset}")));
        }
        let requires_result_set = cf.flag("require_result_set", true)?;
        let options = Options::read(&cf)?;
        let query = match cf.get("query").filter(|text| !text.is_empty()) {
            Some(query) => query,
            None => shape::legacy_query(&cf)?,
        };
        let query = shape::query(&cf, &query)?;
        let shape = Shape::read(&cf, &[&query], &result)?;
        let mut hosts = cf.words("hosts", "");
        if hosts.is_empty() {
            hosts.push("localhost".to_owned());
        }
        let label = shape.label();
        let server = Server {
            label,
            query,
            user,
            password,
            database,
            options,
            ssl,
            charset,
            requires_result_set,
        };
        for host in &hosts {
            server.opts(host).map_err(|why| cf.bad(&format!("{host}: {why}")))?;
        }
        Ok(Self { shape, hosts: Hosts::new(server, hosts) })
    }

    /// Asks.
    pub async fn lookup(&self, key: &[u8]) -> Answer {
        // The connection's text is UTF-8: other bytes are in no column, and could end a string.
        if std::str::from_utf8(key).is_err() {
            return Answer::NotFound;
        }
        self.hosts.lookup(&self.shape, key).await
    }
}

/// What the `tls_` parameters ask for; nothing when none is set.
fn ssl(cf: &Cf<'_>) -> Result<Option<SslOpts>, BadTable> {
    let given = |name: &str| cf.get(name).filter(|text| !text.is_empty());
    if let Some(ciphers) = given("tls_ciphers") {
        return Err(cf.bad(&format!("unsupported parameter value: tls_ciphers = {ciphers}")));
    }
    let identity = match (given("tls_cert_file"), given("tls_key_file")) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate, key)),
        _ => return Err(cf.bad("tls_cert_file and tls_key_file belong together")),
    };
    let (ca_file, ca_directory) = (given("tls_CAfile"), given("tls_CApath"));
    let verify = match (cf.flag("tls_verify_cert", false)?, &ca_file, &ca_directory) {
        (true, ..) => Verify::ChainAndName,
        (false, None, None) if identity.is_none() => return Ok(None),
        (false, None, None) => Verify::Nothing,
        (false, ..) => Verify::Chain,
    };
    let tls = Tls { verify, ca_file, ca_directory, identity };
    tls.config().map_err(|why| cf.bad(&why))?;
    let authorities = match verify {
        Verify::Nothing => Vec::new(),
        _ => tls.authorities().map_err(|why| cf.bad(&why))?,
    };
    let authorities = authorities.into_iter().map(|it| it.as_ref().to_vec().into());
    let own = tls.identity.map(|(certificate, key)| {
        ClientIdentity::new(PathBuf::from(certificate).into(), PathBuf::from(key).into())
    });
    Ok(Some(
        SslOpts::default()
            .with_root_certs(authorities.collect())
            .with_disable_built_in_roots(verify != Verify::Nothing)
            .with_client_identity(own)
            .with_danger_accept_invalid_certs(verify == Verify::Nothing)
            .with_danger_skip_domain_validation(verify != Verify::ChainAndName),
    ))
}

impl Server {
    /// How a host is connected; why it cannot be.
    fn opts(&self, host: &str) -> Result<Opts, String> {
        let Self { user, password, options, .. } = self;
        let own_or = |own: &str, option: &Option<String>| match own {
            "" => option.clone(),
            own => Some(own.to_owned()),
        };
        let builder = OptsBuilder::default()
            .user(own_or(user, &options.user).or_else(own_account))
            .pass(own_or(password, &options.password))
            .db_name(Some(&self.database))
            .prefer_socket(false)
            .stmt_cache_size(0)
            .ssl_opts(self.ssl.clone())
            .setup(vec![format!("SET NAMES {}", self.charset)]);
        let text = host.strip_prefix("inet:").unwrap_or(host);
        let socket = || options.socket.clone().unwrap_or_else(|| SOCKET.to_owned());
        let path = match host.strip_prefix("unix:") {
            Some(path) => Some(path.to_owned()),
            None => (text == "localhost").then(socket),
        };
        if let Some(path) = path {
            return Ok(builder.socket(Some(path)).into());
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, port_number(port)),
            None => (text, Some(options.port.unwrap_or(PORT))),
        };
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let port = port.ok_or("unknown service")?;
        Ok(builder.ip_or_hostname(name).tcp_port(port).into())
    }

    /// All columns of the one result set that has any.
    async fn query(&self, conn: &mut Conn, sql: Vec<u8>) -> Result<Values, Error> {
        if sql.contains(&b';') {
            // One statement only: the connection would take several, but preparing them does not.
            let statement = conn.prep(String::from_utf8_lossy(&sql).into_owned()).await?;
            conn.close(statement).await?;
        }
        let mut result = conn.query_iter(sql).await?;
        let (mut values, mut sets, mut bytes) = (Values::new(), 0, 0);
        loop {
            let has_columns = result.columns_ref().iter().next().is_some();
            if result.is_empty() && !has_columns && sets > 0 {
                break;
            }
            sets += usize::from(has_columns);
            let rows: Vec<Row> = result.collect().await?;
            for value in rows.into_iter().flat_map(Row::unwrap) {
                let value = text(value);
                bytes += value.as_ref().map_or(0, Vec::len);
                values.push(value);
            }
            if result.is_empty() {
                break;
            }
        }
        let refuse = |what: &str| Err(Error::Other(what.to_owned().into()));
        match sets {
            0 if self.requires_result_set => {
                refuse("query returned no result set(require_result_set = yes)")
            }
            0 | 1 if bytes > ANSWER_BYTES_MAX => refuse("answer too long"),
            0 | 1 => Ok(values),
            _ => refuse("multiple result sets returning data are not supported"),
        }
    }
}

/// A value as text, which all values of such queries are.
fn text(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(bytes),
        other => Some(other.as_sql(true).into_bytes()),
    }
}

/// What an error of the server says, or of the connection.
fn words(error: &Error) -> String {
    match error {
        Error::Server(error) => error.message.to_string(),
        Error::Io(IoError::Io(error)) => reason(error),
        Error::Other(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// What a connection that cannot be made says, as the C library words it.
fn connect_words(error: &Error, opts: &Opts) -> String {
    let Error::Io(IoError::Io(io)) = error else { return words(error) };
    let name = opts.ip_or_hostname();
    match (io.raw_os_error(), opts.socket()) {
        (Some(code), Some(path)) => {
            format!("Can't connect to local server through socket '{path}' ({code})")
        }
        (Some(code), None) => format!("Can't connect to server on '{name}' ({code})"),
        (None, None) if io.kind() != std::io::ErrorKind::UnexpectedEof => {
            format!("Unknown server host '{name}' (-2)")
        }
        (None, _) => reason(io),
    }
}

/// The account this process runs as, which logs in where no `user` is named.
fn own_account() -> Option<String> {
    let uid = std::fs::metadata("/proc/self").ok()?.uid().to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut lines = accounts.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}

impl Protocol for Server {
    type Connection = Connection;

    async fn connect(&self, host: &str) -> Result<Connection, String> {
        let failed = |why: String| format!("connect to mysql server {host}: {why}");
        let opts = self.opts(host).map_err(failed)?;
        let conn = Conn::new(opts.clone()).await;
        let mut conn = conn.map_err(|error| failed(connect_words(&error, &opts)))?;
        let sql = "SELECT @@SESSION.sql_mode LIKE '%NO_BACKSLASH_ESCAPES%'";
        let without: Option<bool> =
            conn.query_first(sql).await.map_err(|error| failed(words(&error)))?;
        Ok(Connection { conn, backslash_escapes: without == Some(false) })
    }

    async fn ask(
        &self,
        _host: &str,
        connection: &mut Connection,
        key: &[u8],
    ) -> Result<Values, Failure> {
        let quote = if connection.backslash_escapes { quote::mysql } else { quote::doubled };
        let sql = self.query.fill(key, b"", &quote);
        let failed = |why: &str| format!("{}: query failed: {why}", self.label);
        match timeout(QUERY_LIMIT, self.query(&mut connection.conn, sql)).await {
            Ok(Ok(values)) => Ok(values),
            Ok(Err(error @ (Error::Io(_) | Error::Driver(_)))) => {
                Err(Failure::Lost(failed(&words(&error))))
            }
            Ok(Err(error)) => Err(Failure::Refused(failed(&words(&error)))),
            Err(_) => Err(Failure::Lost(failed("time limit exceeded"))),
        }
    }
}

#[cfg(test)]
mod tests;
