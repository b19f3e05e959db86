//! Next hops in smtp(8)'s syntax: `host`, `[host]`, `host:port`, `[host]:port`, `[address]`,
//! `[ipv6:address]`, and lists of them.

use std::fmt;

/// Where to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// A domain, a host, or an address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Whether the domain's MX records count.
    pub use_mx: bool,
}

/// Why a next hop cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NexthopError {
    /// Brackets or colons in the wrong place.
    Syntax(String),
    /// A service name nobody knows.
    UnknownService(String),
}

impl fmt::Display for NexthopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NexthopError::Syntax(text) => write!(f, "bad host or port in destination: {text}"),
            NexthopError::UnknownService(name) => write!(f, "unknown service: {name}/tcp"),
        }
    }
}

/// The service names a next hop may use instead of a port number.
const SERVICES: [(&str, u16); 5] =
    [("smtp", 25), ("mail", 25), ("submission", 587), ("smtps", 465), ("submissions", 465)];

/// The destinations of a list, in order.
pub fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ', '\t', '\r', '\n']).filter(|word| !word.is_empty())
}

impl Destination {
    /// Reads one destination; `default_port` is a number or a service name.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str, default_port: &str) -> Result<Destination, NexthopError> {
        let syntax = || NexthopError::Syntax(text.into());
        let (host, service, bracketed) = match text.strip_prefix('[') {
            Some(inner) => {
                let (host, rest) = inner.split_once(']').ok_or_else(syntax)?;
                let service = match rest {
                    "" => None,
                    _ => Some(rest.strip_prefix(':').ok_or_else(syntax)?),
                };
                (host, service, true)
            }
            None => match text.rsplit_once(':') {
                Some((host, service)) => (host, Some(service), false),
                None => (text, None, false),
            },
        };
        let host = without_tag(host);
        if host.is_empty() || service == Some("") {
            return Err(syntax());
        }
        let port = port(service.unwrap_or(default_port))?;
        Ok(Destination { host: host.into(), port, use_mx: !bracketed })
    }
}

fn without_tag(host: &str) -> &str {
    match host.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => &host[5..],
        _ => host,
    }
}

fn port(service: &str) -> Result<u16, NexthopError> {
    let named = || SERVICES.iter().find(|(name, _)| *name == service).map(|(_, port)| *port);
    let number = service.parse().ok().filter(|port| *port != 0);
    number.or_else(named).ok_or_else(|| NexthopError::UnknownService(service.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_understood() {
        for (text, host, port, use_mx) in [
            ("example.org", "example.org", 25, true),
            ("example.org:2525", "example.org", 2525, true),
            ("example.org:submission", "example.org", 587, true),
            ("[mx.example.org]", "mx.example.org", 25, false),
            ("[mx.example.org]:26", "mx.example.org", 26, false),
            ("[192.0.2.1]", "192.0.2.1", 25, false),
            ("[192.0.2.1]:smtps", "192.0.2.1", 465, false),
            ("[ipv6:2001:db8::1]", "2001:db8::1", 25, false),
            ("[2001:db8::1]:27", "2001:db8::1", 27, false),
        ] {
            let expected = Destination { host: host.into(), port, use_mx };
            assert_eq!(Destination::parse(text, "smtp"), Ok(expected), "{text}");
        }
        for bad in ["[a", "[a]b", "[]", ":25", "a:", "a:nosuch", "a:0", "a:99999", "[a]:"] {
            assert!(Destination::parse(bad, "25").is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_are_split_at_commas_and_blanks() {
        assert_eq!(split("a, [b]:25\tc,,").collect::<Vec<_>>(), ["a", "[b]:25", "c"]);
    }
}
