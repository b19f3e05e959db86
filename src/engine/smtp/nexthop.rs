//! Next hops in smtp(8)'s syntax: `host`, `[host]`, `host:port`, `[host]:port`, `[address]`,
//! `[ipv6:address]`, and lists of them.

use std::fmt;
use std::net::IpAddr;

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

/// Why a next hop cannot be used, in Postfix's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NexthopError(String);

impl fmt::Display for NexthopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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
        let bad = |what: &str| NexthopError(format!("{what} in server description: {text}"));
        let (host, service, bracketed) = match text.strip_prefix('[') {
            Some(inner) => {
                let (host, rest) = inner.split_once(']').ok_or_else(|| bad("missing \"]\""))?;
                let garbage = || bad("garbage after \"]\"");
                let service = match rest {
                    "" => "",
                    _ => rest.strip_prefix(':').ok_or_else(garbage)?,
                };
                (host, service, true)
            }
            None => match text.split_once(':') {
                Some((host, service)) => (host, service, false),
                None => (text, "", false),
            },
        };
        // Several colons and no brackets: an address that should have them.
        let several = !bracketed && service.contains(':');
        let host = without_tag(host);
        if several || !is_host(host) {
            return Err(bad("valid hostname or network address required"));
        }
        let service = if service.is_empty() { default_port } else { service };
        Ok(Destination { host: host.into(), port: port(service, text)?, use_mx: !bracketed })
    }
}

fn is_host(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok() || mail::address::is_valid_hostname(host.as_bytes())
}

fn without_tag(host: &str) -> &str {
    match host.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => &host[5..],
        _ => host,
    }
}

/// What begins with a digit is a number.
fn port(service: &str, text: &str) -> Result<u16, NexthopError> {
    if !service.starts_with(|c: char| c.is_ascii_digit()) {
        let named = SERVICES.iter().find(|(name, _)| *name == service).map(|(_, port)| *port);
        return named.ok_or_else(|| NexthopError(format!("unknown service: {service}/tcp")));
    }
    if !service.bytes().all(|byte| byte.is_ascii_digit()) {
        let what = "garbage after numerical service in server description";
        return Err(NexthopError(format!("{what}: {text}")));
    }
    let number = service.parse().ok().filter(|port| *port != 0);
    let bad = || NexthopError(format!("bad network port: {service} for destination: {text}"));
    number.ok_or_else(bad)
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
        for (text, port) in [("a:", 25), ("[a]:", 25), ("h_x", 25), ("192.0.2.1", 25)] {
            assert_eq!(Destination::parse(text, "25").unwrap().port, port, "{text}");
        }
    }

    #[test]
    fn what_is_no_next_hop_is_named_in_postfix_words() {
        for (text, what) in [
            ("[a", "missing \"]\""),
            ("[a]b", "garbage after \"]\""),
            ("[]", "valid hostname or network address required"),
            (":25", "valid hostname or network address required"),
            ("a.", "valid hostname or network address required"),
            ("a..b", "valid hostname or network address required"),
            ("<a>", "valid hostname or network address required"),
            ("2001:db8::1", "valid hostname or network address required"),
            ("[192.0.2.1]:25:25", "garbage after numerical service"),
        ] {
            let error = Destination::parse(text, "25").unwrap_err().to_string();
            assert_eq!(error, format!("{what} in server description: {text}"));
        }
        for (text, expected) in [
            ("a:nosuch", "unknown service: nosuch/tcp"),
            ("[a]:+25", "unknown service: +25/tcp"),
            ("a:0", "bad network port: 0 for destination: a:0"),
            ("[a]:99999", "bad network port: 99999 for destination: [a]:99999"),
        ] {
            assert_eq!(Destination::parse(text, "25").unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn lists_are_split_at_commas_and_blanks() {
        assert_eq!(split("a, [b]:25\tc,,").collect::<Vec<_>>(), ["a", "[b]:25", "c"]);
    }
}
