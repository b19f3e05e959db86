//! Delivery status: the enhanced status code and everything a report or log line says about one
//! recipient.
//!
//! Standards: RFC 3461 (ORCPT, ENVID), RFC 3463 (codes), RFC 3464 (reports).

use alloc::string::String;
use core::fmt;

/// An enhanced status code `class.subject.detail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status {
    /// 2 success, 4 persistent transient failure, 5 permanent failure.
    pub class: u8,
    /// What the status is about, 0 to 999.
    pub subject: u16,
    /// Which of its conditions, 0 to 999.
    pub detail: u16,
}

impl Status {
    /// `class.subject.detail`.
    pub const fn new(class: u8, subject: u16, detail: u16) -> Status {
        Status { class, subject, detail }
    }

    /// The code at the start of `text` and how many bytes it takes, when there is one and it is
    /// followed by a blank or the end.
    pub fn parse_prefix(text: &[u8]) -> Option<(Status, usize)> {
        let (class, rest) = text.split_first()?;
        if !matches!(class, b'2' | b'4' | b'5') {
            return None;
        }
        let (subject, rest) = number(rest.strip_prefix(b".")?)?;
        let (detail, rest) = number(rest.strip_prefix(b".")?)?;
        match rest.first() {
            None | Some(b' ' | b'\t' | b'\r' | b'\n') => {
                Some((Status::new(class - b'0', subject, detail), text.len() - rest.len()))
            }
            Some(_) => None,
        }
    }

    /// Whether a retry may help.
    pub fn is_transient(self) -> bool {
        self.class == 4
    }
}

/// One to three digits.
fn number(text: &[u8]) -> Option<(u16, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=3).contains(&digits) {
        return None;
    }
    let value = text[..digits].iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0'));
    Some((value, &text[digits..]))
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// How a diagnostic is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Diagnostic {
    /// Our own words (`X-Postfix`).
    Local,
    /// A reply of the remote server (`smtp`).
    Smtp,
    /// A command's output (`x-unix`).
    Unix,
}

/// What is known about one recipient's delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dsn {
    /// The code.
    pub status: Status,
    /// The reason as log lines and notices print it.
    pub reason: String,
    /// How `diagnostic_text` is to be read.
    pub diagnostic: Diagnostic,
    /// The remote server's words, when it spoke.
    pub diagnostic_text: Option<String>,
    /// The remote server's name, when it spoke.
    pub remote_mta: Option<String>,
}

impl Dsn {
    /// A status in our own words.
    pub fn local(status: Status, reason: impl Into<String>) -> Dsn {
        let reason = reason.into();
        let diagnostic = Diagnostic::Local;
        Dsn { status, reason, diagnostic, diagnostic_text: None, remote_mta: None }
    }
}

/// Whether this is an original recipient, decoded: `type;address`, the type an atom, and nothing
/// that does not belong on a line. The address may be empty, as Postfix takes it.
pub fn is_orcpt(text: &[u8]) -> bool {
    let atom = |byte: &u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"[]".contains(byte);
    let Some(semicolon) = text.iter().position(|byte| *byte == b';') else { return false };
    let (kind, address) = (&text[..semicolon], &text[semicolon + 1..]);
    !kind.is_empty() && kind.iter().all(atom) && !address.iter().any(u8::is_ascii_control)
}

/// Whether this can be an envelope id as it is given, in xtext: one word.
pub fn is_envid(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_at_the_start_of_a_reply_text() {
        let found = |text: &str| Status::parse_prefix(text.as_bytes());
        assert_eq!(found("5.1.1 unknown"), Some((Status::new(5, 1, 1), 5)));
        assert_eq!(found("4.7.12"), Some((Status::new(4, 7, 12), 6)));
        for none in ["3.1.1 x", "5.1 x", "5.1.1x", "5..1 x", "5.1.1234 x", "550 x", ""] {
            assert_eq!(found(none), None, "{none}");
        }
    }

    #[test]
    fn an_original_recipient_is_an_atom_and_a_line() {
        assert!(
            is_orcpt(b"rfc822;a b@c")
                && is_orcpt(b"rfc822;")
                && is_orcpt("utf-8;\u{e4}@b".as_bytes())
        );
        for bad in ["", "a", ";a", "a b;c", "a\r\nDATA;b", "a;b\nc", "a@b;c"] {
            assert!(!is_orcpt(bad.as_bytes()), "{bad:?}");
        }
        assert!(is_envid(b"QQ+2B") && !is_envid(b"") && !is_envid(b"a b") && !is_envid(b"a\n"));
    }
}
