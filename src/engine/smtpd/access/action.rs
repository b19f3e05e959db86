//! What an access table says: an action with its text, or a list of restrictions.
//!
//! Nothing is checked here but the form: whether an action can be carried out is for whoever does.
//!
//! **Standards**: access(5): ACTIONS.

use mail::Status;

/// An action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// `OK`, `RELAY`, or a number: the list ends and permits.
    Permit,
    /// Nothing.
    Dunno,
    /// `4NN`, `5NN`, REJECT or DEFER.
    Refuse(Code, Text<'a>),
    /// What would be permitted is deferred.
    DeferIfPermit(Text<'a>),
    /// What would be refused for good is deferred.
    DeferIfReject(Text<'a>),
    /// The connection is closed without a word.
    HangUp(&'a str),
    /// A line in the log.
    Info(&'a str),
    /// Another one.
    Warn(&'a str),
    /// The message is put on hold.
    Hold(&'a str),
    /// The message is thrown away.
    Discard(&'a str),
    /// `transport:destination`.
    Filter(&'a str),
    /// `user@domain` instead of all recipients.
    Redirect(&'a str),
    /// `user@domain` as well.
    Bcc(&'a str),
    /// A header.
    Prepend(&'a str),
    /// Names of restrictions.
    Restrictions(&'a str),
}

/// The code of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// `access_map_reject_code`.
    Reject,
    /// `access_map_defer_code`.
    Defer,
    /// As the table says.
    Given(u16),
}

/// Status and text of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// The enhanced status code, when there is one.
    pub status: Option<Status>,
    /// What it says.
    pub text: &'a str,
}

impl<'a> Action<'a> {
    /// Reads a table's value.
    pub fn parse(value: &'a str) -> Action<'a> {
        let value = value.trim();
        let (word, text) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
        let text = text.trim_start();
        match word.to_ascii_uppercase().as_str() {
            "OK" | "RELAY" => Action::Permit,
            "DUNNO" => Action::Dunno,
            "REJECT" => Action::Refuse(Code::Reject, Text::new(text, "Access denied")),
            "DEFER" => Action::Refuse(Code::Defer, Text::new(text, "Access denied")),
            "DEFER_IF_PERMIT" => Action::DeferIfPermit(Text::new(text, "Service unavailable")),
            "DEFER_IF_REJECT" => Action::DeferIfReject(Text::new(text, "Service unavailable")),
            "HANGUP" => Action::HangUp(text),
            "INFO" => Action::Info(text),
            "WARN" => Action::Warn(text),
            "HOLD" => Action::Hold(text),
            "DISCARD" => Action::Discard(text),
            "FILTER" => Action::Filter(text),
            "REDIRECT" => Action::Redirect(text),
            "BCC" => Action::Bcc(text),
            "PREPEND" => Action::Prepend(text),
            _ if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                Action::Permit
            }
            _ => match code(word) {
                Some(code) => Action::Refuse(Code::Given(code), Text::new(text, "Access denied")),
                None => Action::Restrictions(value),
            },
        }
    }
}

/// A reply code of a failure.
fn code(word: &str) -> Option<u16> {
    let is_code = word.len() == 3 && word.starts_with(['4', '5']);
    word.parse().ok().filter(|_| is_code)
}

impl<'a> Text<'a> {
    fn new(text: &'a str, default: &'a str) -> Text<'a> {
        let (status, text) = match Status::parse_prefix(text.as_bytes()) {
            Some((status, used)) => (Some(status), text[used..].trim_start()),
            None => (None, text),
        };
        Text { status, text: if text.is_empty() { default } else { text } }
    }

    /// The reply with `code` about `subject`, such as `<x>: Client host`. The status is of the
    /// code's class.
    pub fn reply(&self, code: u16, subject: &str) -> String {
        let status = self.status.unwrap_or(Status::new(5, 7, 1));
        let status = Status { class: (code / 100) as u8, ..status };
        format!("{code} {status} {subject} rejected: {}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(value: &str) -> String {
        match Action::parse(value) {
            Action::Refuse(Code::Reject, text) => text.reply(554, "<x>: Helo command"),
            Action::Refuse(Code::Defer, text) => text.reply(450, "<x>: Helo command"),
            Action::Refuse(Code::Given(code), text) => text.reply(code, "<x>: Helo command"),
            other => format!("{other:?}"),
        }
    }

    /// As Postfix 3.7.11 replies.
    #[test]
    fn refusals_have_code_status_and_text() {
        for (value, expected) in [
            ("REJECT", "554 5.7.1 <x>: Helo command rejected: Access denied"),
            ("reject with a text", "554 5.7.1 <x>: Helo command rejected: with a text"),
            ("REJECT 5.7.99 with dsn", "554 5.7.99 <x>: Helo command rejected: with dsn"),
            ("REJECT  5.9.9x text", "554 5.7.1 <x>: Helo command rejected: 5.9.9x text"),
            ("REJECT 4.7.1 four", "554 5.7.1 <x>: Helo command rejected: four"),
            ("DEFER", "450 4.7.1 <x>: Helo command rejected: Access denied"),
            ("DEFER 4.3.21 come back", "450 4.3.21 <x>: Helo command rejected: come back"),
            ("450 5.7.1 wrong", "450 4.7.1 <x>: Helo command rejected: wrong"),
            ("550 no status", "550 5.7.1 <x>: Helo command rejected: no status"),
        ] {
            assert_eq!(refused(value), expected);
        }
    }

    #[test]
    fn numbers_alone_permit_and_other_words_are_restrictions() {
        assert_eq!(Action::parse("12345"), Action::Permit);
        assert_eq!(Action::parse("554"), Action::Permit);
        assert_eq!(Action::parse(" Relay "), Action::Permit);
        for value in ["650 text", "250 text", "55 x", "permit", "reject_unauth_destination, x", ""]
        {
            assert_eq!(Action::parse(value), Action::Restrictions(value));
        }
        let maybe = Text { status: None, text: "Service unavailable" };
        assert_eq!(Action::parse("DEFER_IF_PERMIT"), Action::DeferIfPermit(maybe));
        assert_eq!(Action::parse("hold  on  "), Action::Hold("on"));
    }
}
