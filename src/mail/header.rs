//! Message headers: names, and the ones that Postfix treats specially.
//!
//! A logical header is one line and its continuation lines (which begin with a blank or a tab).
//!
//! Standards: RFC 5322 section 2.2 and 3.6.

/// Headers that decide what is missing, dropped or counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// `Received`.
    Received,
    /// `Message-Id`.
    MessageId,
    /// `Date`.
    Date,
    /// `From`.
    From,
    /// `To` or `Cc`: an address the reader sees.
    Recipient,
    /// `Resent-Message-Id`.
    ResentMessageId,
    /// `Resent-Date`.
    ResentDate,
    /// `Resent-From`.
    ResentFrom,
    /// `Resent-To` or `Resent-Cc`.
    ResentRecipient,
    /// Another `Resent-` header that Postfix knows.
    Resent,
    /// `Auto-Submitted`, `Subject` and all the rest.
    Other,
}

impl Known {
    /// Whether it tells that a message was sent again.
    pub fn is_resent(self) -> bool {
        use Known::{Resent, ResentDate, ResentFrom, ResentMessageId, ResentRecipient};
        matches!(self, Resent | ResentDate | ResentFrom | ResentMessageId | ResentRecipient)
    }
}

/// Whose addresses a header has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// Of those the message comes from.
    Sender,
    /// Of those it goes to.
    Recipient,
}

/// Headers with addresses, as Postfix groups them.
const ADDRESS_HEADERS: &[(&str, Addresses)] = &[
    ("apparently-to", Addresses::Recipient),
    ("bcc", Addresses::Recipient),
    ("cc", Addresses::Recipient),
    ("disposition-notification-to", Addresses::Sender),
    ("errors-to", Addresses::Sender),
    ("from", Addresses::Sender),
    ("mail-followup-to", Addresses::Sender),
    ("reply-to", Addresses::Sender),
    ("resent-bcc", Addresses::Recipient),
    ("resent-cc", Addresses::Recipient),
    ("resent-from", Addresses::Sender),
    ("resent-reply-to", Addresses::Recipient),
    ("resent-sender", Addresses::Sender),
    ("resent-to", Addresses::Recipient),
    ("return-path", Addresses::Sender),
    ("return-receipt-to", Addresses::Sender),
    ("sender", Addresses::Sender),
    ("to", Addresses::Recipient),
];

/// Whose addresses the header of this name has, whatever its letter case.
pub fn addresses(name: &[u8]) -> Option<Addresses> {
    let is = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
    ADDRESS_HEADERS.iter().find(|(known, _)| is(known)).map(|(_, whose)| *whose)
}

/// The longest header name that is told from body text; as Postfix's header table has it.
const NAME_MAX: usize = 256;

/// The name of the header that starts `line` (everything before the colon, trailing blanks
/// removed);
/// `None` when the line is not the start of a header.
pub fn name(line: &[u8]) -> Option<&[u8]> {
    let colon = line.iter().take(NAME_MAX).position(|byte| *byte == b':')?;
    let name = line[..colon].trim_ascii_end();
    let printable = |byte: &u8| byte.is_ascii_graphic() && *byte != b':';
    if name.is_empty() || !name.iter().all(printable) { None } else { Some(name) }
}

/// The text after the colon, without blanks around it.
pub fn value(line: &[u8]) -> &[u8] {
    let colon = line.iter().position(|byte| *byte == b':').map_or(0, |colon| colon + 1);
    line[colon..].trim_ascii()
}

/// Whether `line` goes on with the header before it.
pub fn is_continuation(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

/// Classifies a header name, whatever its letter case.
pub fn classify(name: &[u8]) -> Known {
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    match name.len() {
        2 if is("to") || is("cc") => Known::Recipient,
        4 if is("date") => Known::Date,
        4 if is("from") => Known::From,
        8 if is("received") => Known::Received,
        9 if is("resent-to") || is("resent-cc") => Known::ResentRecipient,
        10 if is("message-id") => Known::MessageId,
        11 if is("resent-date") => Known::ResentDate,
        11 if is("resent-from") => Known::ResentFrom,
        17 if is("resent-message-id") => Known::ResentMessageId,
        10 if is("resent-bcc") => Known::Resent,
        13 if is("resent-sender") => Known::Resent,
        15 if is("resent-reply-to") => Known::Resent,
        _ => Known::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_line_has_a_name() {
        assert_eq!(name(b"Subject: x"), Some(b"Subject".as_slice()));
        assert_eq!(name(b"Subject : x"), Some(b"Subject".as_slice()));
        assert_eq!(value(b"Subject: x "), b"x");
        for other in [&b"no colon"[..], b": x", b"two words: x", b" Subject: x", b"", b"\x80: y"] {
            assert_eq!(name(other), None, "{other:?}");
        }
    }

    #[test]
    fn special_headers_are_found_in_any_case() {
        assert_eq!(classify(b"MESSAGE-ID"), Known::MessageId);
        assert_eq!(classify(b"cC"), Known::Recipient);
        assert_eq!(classify(b"Resent-Sender"), Known::Resent);
        assert_eq!(classify(b"resent-bcc"), Known::Resent);
        assert_eq!(classify(b"Resent-Foo"), Known::Other);
        assert_eq!(classify(b"X-To"), Known::Other);
    }
}
