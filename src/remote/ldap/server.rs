//! Connections to directory servers, and single searches.
//!
//! The servers are tried in order, and what answers is kept. A connection that is dead is made
//! again once. Result codes are LDAP's, and below zero OpenLDAP's own.
//!
//! **Diagnostics**: [`Failure`]; what a file may not say is [`BadTable`].
//! **Limits**: `timeout` seconds to connect, to bind and to search; `size_limit` entries.
//! **Standards**: ldap_table(5); RFC 4511 section 4.1.9 and Appendix A.

use std::sync::Arc;
use std::time::Duration;

use ldap3::{DerefAliases, LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchOptions};
use rustls::ClientConfig;
use tables::catalog::BadTable;
use tokio::time::timeout;

use super::attributes::{Entry, entry};
use crate::cf::Cf;
use crate::pool::Idle;
use crate::tls::{Tls, Verify};

/// The base of a search, or an entry, is not there.
pub(super) const NO_SUCH_OBJECT: i32 = 32;
/// The connection cannot be made, or is dead.
const SERVER_DOWN: i32 = -1;
/// The server, or this side, took too long.
const TIMED_OUT: i32 = -5;
/// A filter that is none.
const BAD_FILTER: i32 = -7;
/// What a server says is no LDAP.
const DECODING_ERROR: i32 = -4;

/// One question.
pub(super) struct Search {
    pub base: String,
    pub scope: Scope,
    pub filter: String,
    pub attributes: Vec<String>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// A result code.
    Result(i32),
    /// No server can be used; Postfix's words.
    Server(String),
}

/// All servers of one table.
pub(super) struct Server {
    urls: Vec<String>,
    tls: Option<Arc<ClientConfig>>,
    starts_tls: bool,
    binds: bool,
    dn: String,
    password: String,
    time: Duration,
    dereference: DerefAliases,
    size_limit: i32,
    idle: Idle<ldap3::Ldap>,
}

impl Server {
    /// Reads the file; `warn` takes what follows the file's name.
    pub fn read(cf: &Cf<'_>, warn: &dyn Fn(&str)) -> Result<Self, BadTable> {
        let version = cf.number("version", 3, i32::MIN)?;
        if !matches!(version, 2 | 3) {
            warn(&format!(" Unknown version {version}, using 3."));
        }
        let urls = urls(cf)?;
        let starts_tls = cf.flag("start_tls", false)?;
        if starts_tls && version < 3 {
            warn(" start_tls requires protocol version 3");
        }
        let over_tls = |url: &String| url.to_ascii_lowercase().starts_with("ldaps:");
        let tls = match starts_tls || urls.iter().any(over_tls) {
            true => Some(tls(cf)?),
            false => None,
        };
        let bind = cf.text("bind", "yes");
        let binds = match bind.to_ascii_lowercase().as_str() {
            "yes" | "simple" => true,
            "no" | "none" => false,
            _ => return Err(cf.bad(&format!("unsupported parameter value: bind = {bind}"))),
        };
        let seconds = cf.number("timeout", 10, 1)?;
        let expansion_limit = cf.number("expansion_limit", 0, i32::MIN)?;
        Ok(Self {
            urls,
            tls,
            starts_tls,
            binds,
            dn: cf.text("bind_dn", ""),
            password: cf.text("bind_pw", ""),
            time: Duration::from_secs(seconds.unsigned_abs().into()),
            dereference: dereference(cf.number("dereference", 0, i32::MIN)?, warn),
            size_limit: cf.number("size_limit", expansion_limit, 0)?.max(0),
            idle: Idle::new(),
        })
    }

    /// The entries of one search.
    pub async fn search(&self, search: &Search) -> Result<Vec<Entry>, Failure> {
        if let Some(mut ldap) = self.idle.take() {
            match self.ask(&mut ldap, search).await {
                Err(Failure::Result(SERVER_DOWN)) => self.idle.clear(),
                asked => return self.kept(ldap, asked),
            }
        }
        let mut ldap = self.connect().await?;
        let asked = self.ask(&mut ldap, search).await;
        self.kept(ldap, asked)
    }

    fn kept<T>(&self, ldap: ldap3::Ldap, asked: Result<T, Failure>) -> Result<T, Failure> {
        // A result code below zero is this side's: nothing is known of the connection.
        if !matches!(asked, Err(Failure::Result(..0) | Failure::Server(_))) {
            self.idle.put(ldap);
        }
        asked
    }

    async fn ask(&self, ldap: &mut ldap3::Ldap, search: &Search) -> Result<Vec<Entry>, Failure> {
        let seconds = i32::try_from(self.time.as_secs()).unwrap_or(0);
        let options = SearchOptions::new()
            .deref(self.dereference)
            .sizelimit(self.size_limit)
            .timelimit(seconds);
        let Search { base, scope, filter, attributes } = search;
        let ldap = ldap.with_search_options(options).with_timeout(self.time);
        let found = ldap.search(base, *scope, filter, attributes).await;
        let found = found.map_err(|error| Failure::Result(code(&error)))?;
        match found.1.rc {
            0 => Ok(found.0.into_iter().filter_map(entry).collect()),
            // Referrals are not followed; what is here counts.
            10 => Ok(Vec::new()),
            code => Err(Failure::Result(i32::try_from(code).unwrap_or(DECODING_ERROR))),
        }
    }

    /// The first server that can be connected and takes the bind.
    async fn connect(&self) -> Result<ldap3::Ldap, Failure> {
        let mut last = SERVER_DOWN;
        for url in &self.urls {
            match timeout(self.time, self.connect_one(url)).await {
                Ok(Ok(ldap)) => return Ok(ldap),
                Ok(Err(code)) => last = code,
                Err(_) => last = TIMED_OUT,
            }
            // Only where nobody answers, another server may.
            if last > 0 {
                break;
            }
        }
        let dn = if self.dn.is_empty() { "empty or implicit" } else { &self.dn };
        let at = format!("{} with dn {dn}", self.urls.join(" "));
        let what = meaning(last);
        Err(Failure::Server(format!(
            "dict_ldap_connect: Unable to bind to server {at}: {last} ({what})"
        )))
    }

    async fn connect_one(&self, url: &str) -> Result<ldap3::Ldap, i32> {
        let mut settings = LdapConnSettings::new().set_conn_timeout(self.time);
        if let Some(tls) = &self.tls {
            // Over a socket of this host there is nothing to hide.
            let starts = self.starts_tls && url.to_ascii_lowercase().starts_with("ldap:");
            settings = settings.set_config(tls.clone()).set_starttls(starts);
        }
        let connected = LdapConnAsync::with_settings(settings, url).await;
        let (driver, mut ldap) = connected.map_err(|error| code(&error))?;
        // Ends when the handle is dropped or the server goes away; then the next search says so.
        tokio::spawn(driver.drive());
        if self.binds {
            let bound = ldap.with_timeout(self.time).simple_bind(&self.dn, &self.password).await;
            let bound = bound.map_err(|error| code(&error))?;
            if bound.rc != 0 {
                return Err(i32::try_from(bound.rc).unwrap_or(DECODING_ERROR));
            }
        }
        Ok(ldap)
    }
}

/// TLS as the file has it.
fn tls(cf: &Cf<'_>) -> Result<Arc<ClientConfig>, BadTable> {
    let given = |name: &str| cf.get(name).filter(|text| !text.is_empty());
    if let Some(ciphers) = given("tls_cipher_suite") {
        let what = format!("unsupported parameter value: tls_cipher_suite = {ciphers}");
        return Err(cf.bad(&what));
    }
    let identity = match (given("tls_cert"), given("tls_key")) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate, key)),
        _ => return Err(cf.bad("tls_cert and tls_key belong together")),
    };
    let verify = match cf.flag("tls_require_cert", false)? {
        true => Verify::ChainAndName,
        false => Verify::Nothing,
    };
    let (ca_file, ca_directory) = (given("tls_ca_cert_file"), given("tls_ca_cert_dir"));
    let tls = Tls { verify, ca_file, ca_directory, identity };
    tls.config().map(Arc::new).map_err(|why| cf.bad(&why))
}

fn urls(cf: &Cf<'_>) -> Result<Vec<String>, BadTable> {
    let port = cf.number("server_port", 389, 0)?;
    let mut out = Vec::new();
    for host in cf.words("server_host", "localhost") {
        let scheme = host.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("ldap" | "ldaps" | "ldapi") => out.push(host),
            Some(_) => return Err(cf.bad(&format!("{host}: not an LDAP URL"))),
            None if host.rsplit(']').next().unwrap_or_default().contains(':') => {
                out.push(format!("ldap://{host}"));
            }
            None => out.push(format!("ldap://{host}:{port}")),
        }
    }
    Ok(out)
}

fn dereference(number: i32, warn: &dyn Fn(&str)) -> DerefAliases {
    match number {
        0 => DerefAliases::Never,
        1 => DerefAliases::Searching,
        2 => DerefAliases::Finding,
        3 => DerefAliases::Always,
        _ => {
            warn(&format!(" Unrecognized value {number} specified for dereference; using 0"));
            DerefAliases::Never
        }
    }
}

/// The code OpenLDAP's library would give.
fn code(error: &LdapError) -> i32 {
    match error {
        LdapError::FilterParsing => BAD_FILTER,
        LdapError::Timeout { .. } => TIMED_OUT,
        LdapError::DecodingUTF8 => DECODING_ERROR,
        LdapError::LdapResult { result } => i32::try_from(result.rc).unwrap_or(DECODING_ERROR),
        _ => SERVER_DOWN,
    }
}

/// What a code means.
pub(super) fn meaning(code: i32) -> &'static str {
    match code {
        -7 => "Bad search filter",
        -5 => "Timed out",
        -4 => "Decoding error",
        -1 => "Can't contact LDAP server",
        1 => "Operations error",
        2 => "Protocol error",
        3 => "Time limit exceeded",
        4 => "Size limit exceeded",
        7 => "Authentication method not supported",
        8 => "Strong(er) authentication required",
        11 => "Administrative limit exceeded",
        13 => "Confidentiality required",
        16 => "No such attribute",
        17 => "Undefined attribute type",
        18 => "Inappropriate matching",
        21 => "Invalid syntax",
        32 => "No such object",
        34 => "Invalid DN syntax",
        48 => "Inappropriate authentication",
        49 => "Invalid credentials",
        50 => "Insufficient access",
        51 => "Server is busy",
        52 => "Server is unavailable",
        53 => "Server is unwilling to perform",
        80 => "Internal (implementation specific) error",
        _ => "Unknown error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cf_file, name};

    fn urls_of(text: &str) -> Vec<String> {
        let file = cf_file(text);
        let name = name("ldap", &file.path);
        let setting = crate::cf::silent();
        urls(&Cf::read(&name, &setting).unwrap()).unwrap()
    }

    #[test]
    fn servers_have_several_forms() {
        assert_eq!(urls_of(""), ["ldap://localhost:389"]);
        let text = "server_host = a, b:1 [::1] ldapi://%2Fx\nserver_port = 7\n";
        let expected = ["ldap://a:7", "ldap://b:1", "ldap://[::1]:7", "ldapi://%2Fx"];
        assert_eq!(urls_of(text), expected);
    }
}
