//! Where a server listens: `inet:host:port`, `unix:/path`.
//!
//! **Diagnostics**: a form that is none is [`BadTable`] as Postfix words it; a connection that
//! cannot be made says why, as strerror(3) does.
//! **Standards**: socketmap_table(5), memcache_table(5), tcp_table(5).

use std::fmt;
use std::io;

use tables::catalog::BadTable;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::cf::reason;

/// What bytes go through.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A host's name or address without brackets, and its port's name or number.
    Inet(String, String),
    /// A socket in the file system.
    Unix(String),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Inet(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => f.write_str(path),
        }
    }
}

impl Endpoint {
    /// `inet:host:port` or `unix:/path`.
    pub fn parse(text: &str) -> Result<Self, BadTable> {
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.to_owned())),
            Some(("inet", rest)) if !rest.is_empty() => Self::inet(rest),
            _ => Err(BadTable(format!("need service transport:endpoint instead of \"{text}\""))),
        }
    }

    /// `host:port`, `[address]:port`.
    pub fn inet(text: &str) -> Result<Self, BadTable> {
        let bad = || BadTable(format!("{text}: missing service or host"));
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = inner.unwrap_or(host);
        let nobody = host.is_empty() || port.is_empty();
        if nobody { Err(bad()) } else { Ok(Self::Inet(host.to_owned(), port.to_owned())) }
    }

    /// Connects; the first of a name's addresses that answers.
    ///
    /// # Errors
    /// As strerror(3) words it.
    pub async fn connect(&self) -> Result<Box<dyn Stream>, String> {
        let stream: io::Result<Box<dyn Stream>> = match self {
            Self::Unix(path) => UnixStream::connect(path).await.map(|stream| Box::new(stream) as _),
            Self::Inet(host, port) => {
                let port = port_number(port).ok_or("Servname not supported for ai_socktype")?;
                TcpStream::connect((host.as_str(), port)).await.map(|stream| Box::new(stream) as _)
            }
        };
        stream.map_err(|error| reason(&error))
    }
}

/// The port of that number or name.
pub(crate) fn port_number(text: &str) -> Option<u16> {
    text.parse().ok().or_else(|| {
        let services = std::fs::read_to_string("/etc/services").ok()?;
        services.lines().find_map(|line| service(line, text))
    })
}

/// The TCP port of a line of services(5), if it has `name`.
fn service(line: &str, name: &str) -> Option<u16> {
    let line = line.split('#').next()?;
    let mut words = line.split_whitespace();
    let (first, port) = (words.next()?, words.next()?);
    let named = first == name || words.any(|alias| alias == name);
    named.then(|| port.strip_suffix("/tcp")?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_and_written() {
        let of = |text: &str| Endpoint::parse(text).map(|end| end.to_string()).map_err(|bad| bad.0);
        assert_eq!(of("inet:h:25").unwrap(), "h:25");
        assert_eq!(of("inet:[::1]:25").unwrap(), "[::1]:25");
        assert_eq!(of("unix:/a:b").unwrap(), "/a:b");
        let bad = of("foo").unwrap_err();
        assert_eq!(bad, "need service transport:endpoint instead of \"foo\"");
        for text in ["unix:", "inet:", "inet:h", "inet::1", "inet:h:"] {
            assert!(of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ports_have_names() {
        assert_eq!(service("smtp 25/tcp mail # x", "mail"), Some(25));
        assert_eq!(service("smtp 25/tcp mail # x", "x"), None);
        assert_eq!(service("ntp 123/udp", "ntp"), None);
        assert_eq!(port_number("2525"), Some(2525));
    }
}
