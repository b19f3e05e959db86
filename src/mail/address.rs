//! Mail addresses: the internal (unquoted) form, its external (quoted) form, and SMTP path syntax.
//!
//! The internal form is `localpart@domain` with quotes and backslashes removed; it is split at the
//! rightmost `@`. The null sender is the empty address.
//!
//! Standards: RFC 5321 section 4.1.2 (paths), RFC 5322 section 3.2.4 (quoting).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::tok822::path::Path;

/// The longest path accepted in a command, in bytes: far above RFC 5321 section 4.5.3.1.3 (256), as
/// Postfix is; the command line bounds it.
pub const PATH_MAX: usize = 2048;
/// RFC 1035 section 2.3.4: bytes in a domain name.
pub const HOSTNAME_MAX: usize = 255;
/// RFC 1035 section 2.3.4: bytes in a label.
pub const LABEL_MAX: usize = 63;

/// An address in internal form; empty for the null sender.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Address(Box<[u8]>);

/// Why a path is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathError {
    /// A quote or bracket that nothing closes.
    Unclosed,
    /// Not one address.
    Syntax,
}

impl Address {
    /// The null sender.
    pub fn null() -> Address {
        Address::default()
    }

    /// An address that is in internal form already.
    pub fn from_internal(bytes: &[u8]) -> Address {
        Address(bytes.into())
    }

    /// Parses an SMTP path, however it is written: `<a@b>`, `a@b`, `<@route:a@b>`, `<"a b"@c>`,
    /// `<>`.
    ///
    /// # Errors
    /// See [`Path::parse`].
    pub fn parse_path(path: &[u8]) -> Result<Address, PathError> {
        Path::parse(path).map(|path| path.address)
    }

    /// The bytes of the internal form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the null sender.
    pub fn is_null(&self) -> bool {
        self.0.is_empty()
    }

    /// The local part: everything before the rightmost `@`.
    pub fn local_part(&self) -> &[u8] {
        self.at().map_or(&self.0, |at| &self.0[..at])
    }

    /// The domain, without a check; `None` when there is no `@`.
    pub fn domain(&self) -> Option<&[u8]> {
        self.at().map(|at| &self.0[at + 1..])
    }

    /// The same local part at `domain`.
    pub fn with_domain(&self, domain: &[u8]) -> Address {
        Address([self.local_part(), b"@", domain].concat().into())
    }

    /// Behind the colon of a route, `@a,@b:`; 0 where there is none.
    pub fn route_end(&self) -> usize {
        route_end(&self.0)
    }

    /// Whether two addresses differ at most in letter case.
    pub fn same_as(&self, other: &Address) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }

    /// Whether a byte is outside ASCII.
    pub fn is_8bit(&self) -> bool {
        !self.0.is_ascii()
    }

    /// Appends the external form: the local part quoted where RFC 5321 asks for it, but for routes
    /// in front of it.
    pub fn write_external(&self, out: &mut Vec<u8>) {
        let mut rest: &[u8] = &self.0;
        // Routes in front of routes, however many, without a call for each.
        while let end @ 1.. = route_end(rest) {
            out.extend_from_slice(&rest[..end]);
            rest = &rest[end..];
        }
        if rest.is_empty() {
            return;
        }
        let at = rest.iter().rposition(|byte| *byte == b'@').unwrap_or(rest.len());
        write_local_part(&rest[..at], out);
        out.extend_from_slice(&rest[at..]);
    }

    /// The external form.
    pub fn external(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.0.len() + 2);
        self.write_external(&mut out);
        out
    }

    fn at(&self) -> Option<usize> {
        self.0.iter().rposition(|byte| *byte == b'@')
    }
}

fn route_end(internal: &[u8]) -> usize {
    match internal.first() {
        Some(b'@') => internal.iter().position(|byte| *byte == b':').map_or(0, |at| at + 1),
        _ => 0,
    }
}

/// The external form, for log lines: unprintable bytes become `?`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_printable(f, &self.external())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{self}>")
    }
}

/// Writes bytes from outside: control characters and invalid UTF-8 become `?`, as in Postfix's log.
pub fn write_printable(out: &mut dyn fmt::Write, bytes: &[u8]) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            out.write_char(if character.is_control() { '?' } else { character })?;
        }
        for _ in chunk.invalid() {
            out.write_char('?')?;
        }
    }
    Ok(())
}

/// [`write_printable`] as a `Display`.
pub struct Printable<'a>(pub &'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_printable(f, self.0)
    }
}

/// Whether a local part has to be quoted in the external form.
pub fn needs_quotes(local: &[u8]) -> bool {
    !is_dot_string(local)
}

/// Appends a local part as it stands in an external form, `@` in it being no more than a byte.
pub fn write_local_part(local: &[u8], out: &mut Vec<u8>) {
    match is_dot_string(local) {
        true => out.extend_from_slice(local),
        false => quote(local, out),
    }
}

fn is_dot_string(local: &[u8]) -> bool {
    !local.is_empty()
        && local.split(|byte| *byte == b'.').all(|atom| !atom.is_empty())
        && local.iter().all(|byte| is_atom(*byte) || *byte == b'.')
}

fn is_atom(byte: u8) -> bool {
    !(byte.is_ascii_control() || b" ()<>@,;:\\\"[]".contains(&byte))
}

/// Appends text in quotes, backslashes where they are needed.
pub fn quote(local: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in local {
        if matches!(byte, b'"' | b'\\' | b'\r') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// Whether a name is a host name as Postfix's `valid_hostname` has it: labels of letters, digits,
/// hyphens (not at the ends) and underscores, not all numeric; one trailing dot is not allowed.
pub fn is_valid_hostname(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= HOSTNAME_MAX
        && name.split(|byte| *byte == b'.').all(is_valid_label)
        && name.iter().any(|byte| !(byte.is_ascii_digit() || *byte == b'.'))
}

fn is_valid_label(label: &[u8]) -> bool {
    let inner =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || *byte > 127;
    !label.is_empty()
        && label.len() <= LABEL_MAX
        && label.iter().all(inner)
        && label.first() != Some(&b'-')
        && label.last() != Some(&b'-')
}

/// Whether the text between brackets is an address literal: an IPv4 address, or `IPv6:` and one.
pub fn parse_literal(literal: &[u8]) -> Option<core::net::IpAddr> {
    let text = core::str::from_utf8(literal).ok()?;
    match text.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => {
            text[5..].parse::<core::net::Ipv6Addr>().ok().map(Into::into)
        }
        _ => text.parse::<core::net::Ipv4Addr>().ok().map(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    fn parsed(path: &str) -> Option<std::string::String> {
        let address = Address::parse_path(path.as_bytes()).ok()?;
        Some(std::string::String::from_utf8(address.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn paths_as_postfix_takes_them() {
        assert_eq!(parsed("<a@b.example>").as_deref(), Some("a@b.example"));
        assert_eq!(parsed("a@b.example").as_deref(), Some("a@b.example"));
        assert_eq!(parsed("<>").as_deref(), Some(""));
        assert_eq!(parsed("<a@@b.example>").as_deref(), Some("a@@b.example"));
        assert_eq!(parsed("<\"a b\"@c.example>").as_deref(), Some("a b@c.example"));
        assert_eq!(parsed("<\"alice\"@c.example>").as_deref(), Some("alice@c.example"));
        assert_eq!(parsed("<@x,@y:a@b.example>").as_deref(), Some("a@b.example"));
        assert_eq!(parsed("<a@[IPv6:::1]>").as_deref(), Some("a@[IPv6:::1]"));
        for bad in ["<a@b", "<a b@c>", "<a@b> x", "<\"a@b>", "<a\\"] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_external_form_is_quoted_where_needed() {
        let shown = |internal: &str| Address::from_internal(internal.as_bytes()).to_string();
        assert_eq!(shown("a@b"), "a@b");
        assert_eq!(shown("a b@c"), "\"a b\"@c");
        assert_eq!(shown("a..b@c"), "\"a..b\"@c");
        assert_eq!(shown("a@b@c"), "\"a@b\"@c");
        assert_eq!(shown("a\"b@c"), "\"a\\\"b\"@c");
        assert_eq!(shown(""), "");
        assert_eq!(shown("a\nb@c"), "\"a?b\"@c");
        assert_eq!(shown("@x,@y:a b@c"), "@x,@y:\"a b\"@c");
        assert_eq!(shown("@a@b"), "\"@a\"@b");
        assert_eq!(shown("@x:@y:a b@c"), "@x:@y:\"a b\"@c");
        assert_eq!(shown("@x:"), "@x:");
        let endless = "@x:".repeat(200_000);
        assert_eq!(shown(&endless), endless);
    }

    #[test]
    fn host_names_and_literals() {
        for good in ["a", "a.b", "a_b.c", "1a.2", "x-y.z"] {
            assert!(is_valid_hostname(good.as_bytes()), "{good}");
        }
        for bad in ["", ".", "a..b", "-a.b", "a-.b", "192.0.2.1", "a.", "a b"] {
            assert!(!is_valid_hostname(bad.as_bytes()), "{bad}");
        }
        assert!(parse_literal(b"192.0.2.1").is_some());
        assert!(parse_literal(b"IPv6:::1").is_some());
        assert!(parse_literal(b"::1").is_none());
    }

    proptest! {
        #[test]
        fn the_external_form_parses_back(bytes in proptest::collection::vec(32u8..127, 1..40)) {
            let address = Address::from_internal(&bytes);
            // A domain with special characters has no external form that parses.
            prop_assume!(address.domain().is_none_or(is_valid_hostname));
            let path = [b"<", address.external().as_slice(), b">"].concat();
            prop_assert_eq!(Address::parse_path(&path), Ok(address));
        }

        #[test]
        fn any_bytes_are_a_path_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let _either = Address::parse_path(&bytes);
        }
    }
}
