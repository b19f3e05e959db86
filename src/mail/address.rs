//! Mail addresses: the internal (unquoted) form, its external (quoted) form, and SMTP path syntax.
//!
//! The internal form is `localpart@domain` with quotes and backslashes removed; it is split at the
//! rightmost `@`. The null sender is the empty address.
//!
//! Standards: RFC 5321 section 4.1.2 (paths), RFC 5322 section 3.2.4 (quoting). Source routes are
//! accepted and dropped.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::tok822::{AddressList, Piece};

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
    /// A bracket or a quote without its partner.
    Unbalanced,
    /// No address, or more than one.
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

    /// Parses an SMTP path: `<a@b>`, `a@b`, `<@route:a@b>`, `<"quoted local"@b>`, `<>`. Postfix
    /// reads it like a header, comments, groups and all; `strict` asks for brackets and for
    /// nothing but an address in them.
    ///
    /// # Errors
    /// When the brackets do not match, or when it is more than one address.
    pub fn parse_path(path: &[u8], strict: bool) -> Result<Address, PathError> {
        let inner = match path {
            [b'<', inner @ .., b'>'] => inner,
            [b'<', ..] => return Err(PathError::Unbalanced),
            _ if strict => return Err(PathError::Syntax),
            bare => bare,
        };
        let whole = strip_route(inner);
        if !is_closed(whole) {
            return Err(PathError::Unbalanced);
        }
        // Nobody has an address like that, and some servers end a line there.
        if whole.iter().any(u8::is_ascii_control) {
            return Err(PathError::Syntax);
        }
        if is_plain(whole) {
            return Ok(Address(whole.into()));
        }
        let list = AddressList::parse(whole, PATH_MAX);
        let brackets = |piece: &Piece| matches!(piece, Piece::Open | Piece::Close);
        let others = list.pieces.iter().any(|it| !brackets(it) && !matches!(it, Piece::Address(_)));
        let mut addresses = list.addresses();
        let first = addresses.next().cloned().unwrap_or_default();
        if addresses.next().is_some() || strict && others {
            return Err(PathError::Syntax);
        }
        Ok(first)
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

    /// Whether two addresses differ at most in letter case.
    pub fn same_as(&self, other: &Address) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }

    /// Whether a byte is outside ASCII.
    pub fn is_8bit(&self) -> bool {
        !self.0.is_ascii()
    }

    /// Appends the external form: the local part quoted where RFC 5321 asks for it.
    pub fn write_external(&self, out: &mut Vec<u8>) {
        if self.is_null() {
            return;
        }
        let local = self.local_part();
        if is_dot_string(local) {
            out.extend_from_slice(local);
        } else {
            quote(local, out);
        }
        if let Some(domain) = self.domain() {
            out.push(b'@');
            out.extend_from_slice(domain);
        }
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

/// Drops `@a,@b:` in front of an address.
fn strip_route(path: &[u8]) -> &[u8] {
    if path.first() != Some(&b'@') {
        return path;
    }
    let quoted = path.iter().position(|byte| *byte == b'"').unwrap_or(path.len());
    match path[..quoted].iter().position(|byte| *byte == b':') {
        Some(colon) if !path[..colon].contains(&b'[') => &path[colon + 1..],
        _ => path,
    }
}

/// Whether a path has nothing in it that would have to be taken apart.
fn is_plain(path: &[u8]) -> bool {
    let plain = |byte: &u8| *byte > b' ' && !b"()<>,;:\\\"[]".contains(byte);
    path.iter().all(plain)
}

/// Whether every quote and every domain literal has its end.
fn is_closed(path: &[u8]) -> bool {
    let (mut end, mut escaped, mut last) = (None, false, 0);
    for byte in path.iter().copied() {
        match (byte, end) {
            _ if escaped => escaped = false,
            (b'\\', _) => escaped = true,
            (byte, Some(close)) if byte == close => end = None,
            (_, Some(_)) => {}
            (b'"', None) => end = Some(b'"'),
            (b'[', None) if last == b'@' => end = Some(b']'),
            _ => {}
        }
        last = byte;
    }
    end.is_none() && !escaped
}

/// Whether a local part has to be quoted in the external form.
pub fn needs_quotes(local: &[u8]) -> bool {
    !is_dot_string(local)
}

fn is_dot_string(local: &[u8]) -> bool {
    !local.is_empty()
        && local.split(|byte| *byte == b'.').all(|atom| !atom.is_empty())
        && local.iter().all(|byte| is_atom(*byte) || *byte == b'.')
}

fn is_atom(byte: u8) -> bool {
    !(byte.is_ascii_control() || b" ()<>@,;:\\\"[]".contains(&byte))
}

fn quote(local: &[u8], out: &mut Vec<u8>) {
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
        let address = Address::parse_path(path.as_bytes(), false).ok()?;
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
        assert_eq!(parsed("<<a@b>>").as_deref(), Some("a@b"));
        assert_eq!(parsed("a@b>").as_deref(), Some("a@b"));
        assert_eq!(parsed("< a@b >").as_deref(), Some("a@b"));
        assert_eq!(parsed("<(who)a@b>").as_deref(), Some("a@b"));
        assert_eq!(parsed("<us:er@b>").as_deref(), Some("us:er@b"));
        assert_eq!(parsed("<group:a@b;>").as_deref(), Some("a@b"));
        assert_eq!(parsed("< >").as_deref(), Some(""));
        for bad in ["<a@b", "<a b@c>", "<a@b,c@d>", "<a;b@c>", "<\"a@b>", "<a\\", "<a@[b>"] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }

    #[test]
    fn strict_paths_are_an_address_in_brackets() {
        let strict = |path: &str| Address::parse_path(path.as_bytes(), true).is_ok();
        for good in ["<a@b>", "< a@b >", "<<a@b>>", "<us:er@b>", "<@x:a@b>", "<>"] {
            assert!(strict(good), "{good}");
        }
        for bad in ["a@b", "a@b>", "<(who)a@b>", "<group:a@b;>", "\"Name\""] {
            assert!(!strict(bad), "{bad}");
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
            prop_assert_eq!(Address::parse_path(&path, false), Ok(address));
        }

        #[test]
        fn any_bytes_are_a_path_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let _either = Address::parse_path(&bytes, false);
        }
    }
}
