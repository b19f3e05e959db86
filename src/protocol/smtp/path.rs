//! Whom MAIL, RCPT and VRFY name: the path, and whether mail can be for such an address.
//!
//! Called by `command` and `server`. What is refused here has not been judged by any restriction.
//!
//! **Diagnostics**: [`Fault`]; a [`Complaint`] in it is worth a warning in the log.
//! **Standards**: RFC 5321 section 4.1.2, RFC 6531 section 3.4; postconf(5)
//! `strict_rfc821_envelopes`, `strict_smtputf8`, `allow_min_user`.

use super::reply::Reply;
use alloc::vec::Vec;
use mail::address::{Address, PathError, is_valid_hostname, parse_literal};
use mail::tok822::path::Path;

/// A sender that is no address.
pub const BAD_SENDER: Reply = Reply::fixed("501 5.1.7 Bad sender address syntax");
/// A recipient that is none.
pub const BAD_RECIPIENT: Reply = Reply::fixed("501 5.1.3 Bad recipient address syntax");
const NEEDS_UTF8: Reply = Reply::fixed("553 5.6.7 Must declare SMTPUTF8 to send unicode address");

/// What the configuration asks of paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// `strict_rfc821_envelopes`: nothing but the standard's form is taken.
    pub is_strict: bool,
    /// `strict_smtputf8`: an address outside of ASCII needs SMTPUTF8.
    pub is_strict_utf8: bool,
    /// `allow_min_user`: an address may begin with a hyphen, and look like an option on a command
    /// line.
    pub allows_hyphen: bool,
    /// `resolve_numeric_domain`: an IP address needs no brackets.
    pub takes_numeric_domain: bool,
    /// `resolve_null_domain`: nothing behind the `@` is this host.
    pub takes_null_domain: bool,
}

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What the client is told.
    pub reply: Reply,
    /// What the log is told.
    pub complaint: Option<Complaint>,
}

/// What a warning is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Complaint {
    /// A path that is no address.
    Address(Vec<u8>),
    /// A word among those of NOTIFY that nobody knows.
    Notify {
        /// The word.
        word: Vec<u8>,
        /// All of them.
        value: Vec<u8>,
    },
    /// A BDAT command that does not say how many bytes follow.
    Bdat(Vec<u8>),
    /// A chunk larger than any message may be.
    LargeChunk,
}

impl From<Reply> for Fault {
    fn from(reply: Reply) -> Fault {
        Fault { reply, complaint: None }
    }
}

impl Rules {
    /// Those of the configuration, whose flags `flag` knows by name.
    ///
    /// # Errors
    /// The first of `flag`.
    pub fn read<E>(flag: impl Fn(&str) -> Result<bool, E>) -> Result<Rules, E> {
        Ok(Rules {
            is_strict: flag("strict_rfc821_envelopes")?,
            is_strict_utf8: flag("strict_smtputf8")?,
            allows_hyphen: flag("allow_min_user")?,
            takes_numeric_domain: flag("resolve_numeric_domain")?,
            takes_null_domain: flag("resolve_null_domain")?,
        })
    }

    /// The same for VRFY, which takes what it can.
    pub fn relaxed(self) -> Rules {
        Rules { is_strict: false, ..self }
    }

    /// The return path; it may be null.
    ///
    /// # Errors
    /// It is no address.
    pub fn sender(self, path: &[u8], utf8: bool) -> Result<Address, Fault> {
        self.address(path, utf8, BAD_SENDER)
    }

    /// A recipient.
    ///
    /// # Errors
    /// It is no address, or names nobody.
    pub fn recipient(self, path: &[u8], utf8: bool) -> Result<Address, Fault> {
        match self.address(path, utf8, BAD_RECIPIENT)? {
            address if address.is_null() => Err(illegal(BAD_RECIPIENT, path)),
            address => Ok(address),
        }
    }

    /// `utf8`: the client has declared SMTPUTF8.
    fn address(self, path: &[u8], utf8: bool, bad: Reply) -> Result<Address, Fault> {
        let address = match Path::parse(path) {
            // A command line that is cut wrong is no address at all.
            Err(PathError::Unclosed) => return Err(bad.into()),
            Ok(Path { address, is_proper }) if is_proper || !self.is_strict => address,
            _ => return Err(illegal(bad, path)),
        };
        if !address.is_null() && !self.is_possible(&address, utf8) {
            return Err(illegal(bad, path));
        }
        if self.is_strict_utf8 && !utf8 && address.is_8bit() {
            return Err(NEEDS_UTF8.into());
        }
        Ok(address)
    }

    /// Whether the domain, if there is one, is a host name or an address literal. One trailing dot
    /// is forgiven. What rewriting may turn into an address is left to the resolver.
    fn is_possible(self, address: &Address, utf8: bool) -> bool {
        if address.as_bytes().starts_with(b"-") && !self.allows_hyphen {
            return false;
        }
        match address.domain() {
            None => true,
            Some([]) => self.takes_null_domain || address.local_part().iter().any(is_operator),
            Some([b'[', literal @ .., b']']) => parse_literal(literal).is_some(),
            Some(domain) => {
                let name = domain.strip_suffix(b".").unwrap_or(domain);
                self.takes_numeric_domain && is_address(domain)
                    || name.iter().all(u8::is_ascii_digit)
                    || is_valid_hostname(name) && (utf8 || domain.is_ascii())
            }
        }
    }
}

fn is_operator(byte: &u8) -> bool {
    matches!(byte, b'@' | b'!' | b'%')
}

fn is_address(text: &[u8]) -> bool {
    core::str::from_utf8(text).is_ok_and(|text| text.parse::<core::net::IpAddr>().is_ok())
}

fn illegal(reply: Reply, path: &[u8]) -> Fault {
    Fault { reply, complaint: Some(Complaint::Address(path.to_vec())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Postfix 3.7.11 answers.
    #[test]
    fn senders_and_recipients() {
        let loose = Rules::default();
        let strict = Rules { is_strict: true, ..loose };
        for (path, sender, recipient, strictly) in [
            ("<>", true, false, true),
            ("a@b.example", true, true, false),
            ("<a@b.example>", true, true, true),
            ("<a@b.example.>", true, true, true),
            ("<a@b.example..>", false, false, false),
            ("<a>", true, true, true),
            ("<a@>", false, false, false),
            ("<@b.example>", true, true, false),
            ("<-a@b.example>", false, false, false),
            ("<a@192.0.2.1>", false, false, false),
            ("<a@b.example:25>", false, false, false),
            ("<a@[::1]>", false, false, false),
            ("<a@[ipv6:::1]>", true, true, true),
            ("<@x.example:>", true, false, true),
            ("<a@12345>", true, true, true),
            ("<a%b.example@>", true, true, true),
        ] {
            let path = path.as_bytes();
            assert_eq!(loose.sender(path, false).is_ok(), sender, "{path:?}");
            assert_eq!(loose.recipient(path, false).is_ok(), recipient, "{path:?}");
            assert_eq!(strict.sender(path, false).is_ok(), strictly, "{path:?}");
        }
        let null = Rules { takes_null_domain: true, ..strict };
        assert!(null.recipient(b"<a@>", false).is_ok() && null.sender(b"<@>", false).is_err());
        let hyphens = Rules { allows_hyphen: true, ..loose };
        assert!(hyphens.recipient(b"<-a@b.example>", false).is_ok());
        assert!(strict.relaxed().sender(b"a", false).is_ok());
    }

    #[test]
    fn addresses_outside_of_ascii() {
        let loose = Rules::default();
        let strict = Rules { is_strict_utf8: true, ..loose };
        let (local, domain) = ("<\u{e9}@b.example>".as_bytes(), "<a@b\u{e9}.example>".as_bytes());
        assert!(loose.sender(local, false).is_ok() && strict.sender(local, true).is_ok());
        assert_eq!(strict.sender(local, false), Err(NEEDS_UTF8.into()));
        assert!(loose.sender(domain, false).is_err() && loose.sender(domain, true).is_ok());
    }

    #[test]
    fn what_the_log_is_told() {
        let said = |path: &str| Rules::default().recipient(path.as_bytes(), false).unwrap_err();
        let complaint = Complaint::Address(b"<a b@c>".to_vec());
        assert_eq!(said("<a b@c>"), Fault { reply: BAD_RECIPIENT, complaint: Some(complaint) });
        assert_eq!(said("<a@b"), Fault { reply: BAD_RECIPIENT, complaint: None });
    }
}
