//! What a rule of a check says: an action and its text.
//!
//! **Diagnostics**: what is no action, or lacks what it needs, is a [`Mistake`]; the header or line
//! is left alone then, as in Postfix.
//! **Standards**: header_checks(5): ACTIONS.

use super::super::orders;
use mail::{Address, Status, header};
use protocol::smtp::reply::Reply;
use std::fmt;

/// Where a rule is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// To a header.
    Header,
    /// To a line of the body.
    Body,
}

/// An action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// The message is refused: `4.7.1 text` or `5.7.1 text`.
    Reject(Status, &'a str),
    /// A line in the log.
    Warn(&'a str),
    /// Another one.
    Info(&'a str),
    /// Everything goes to `transport:destination`.
    Filter(&'a str),
    /// Nothing is checked any more.
    Pass(&'a str),
    /// The message is thrown away.
    Discard(&'a str),
    /// The message is put on hold.
    Hold(&'a str),
    /// A line is put in front of what was looked at.
    Prepend(&'a str),
    /// A line takes its place.
    Replace(&'a str),
    /// The message goes to one other recipient.
    Redirect(&'a str, Address),
    /// The message goes to somebody else too.
    Bcc(&'a str, Address),
    /// What was looked at is taken away, with a line in the log.
    Strip(&'a str),
    /// The same without.
    Ignore,
    /// Nothing.
    Dunno,
}

/// What is wrong with a rule; the words are Postfix's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake<'a> {
    what: What<'a>,
    table: &'a str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What<'a> {
    NoFilter,
    BadFilter(&'a str),
    NoText(&'static str),
    NoHeader(&'static str, &'a str),
    BadRedirect(&'a str),
    BadBcc(&'a str),
    Unknown(&'a str),
}

impl fmt::Display for Mistake<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table;
        match &self.what {
            What::NoFilter => write!(f, "missing FILTER command argument in {table} map"),
            What::BadFilter(text) => {
                write!(f, "bad FILTER command {text} in {table} -- need transport:destination")
            }
            What::NoText(action) => write!(f, "{action} action without text in {table} map"),
            What::NoHeader(action, text) => write!(
                f,
                "bad {action} header text \"{text}\" in {table} map -- need \"headername: \
                 headervalue\""
            ),
            What::BadRedirect(text) => {
                write!(f, "bad REDIRECT target \"{text}\" in {table} map -- need user@domain")
            }
            What::BadBcc(text) => {
                write!(f, "bad BCC address \"{text}\" in {table} map -- need user@domain")
            }
            What::Unknown(value) => write!(f, "unknown command in {table} map: {value}"),
        }
    }
}

impl<'a> Action<'a> {
    /// Reads a rule's value; `table` is the parameter that names the table.
    ///
    /// # Errors
    /// It cannot be carried out.
    pub fn parse(value: &'a str, scope: Scope, table: &'a str) -> Result<Action<'a>, Mistake<'a>> {
        let value = value.trim();
        let (word, text) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
        let text = text.trim_start();
        let mistake = |what| Mistake { what, table };
        Ok(match word.to_ascii_uppercase().as_str() {
            "REJECT" => rejection(text),
            "WARN" => Action::Warn(text),
            "INFO" => Action::Info(text),
            "PASS" => Action::Pass(text),
            "DISCARD" => Action::Discard(text),
            "HOLD" => Action::Hold(text),
            "STRIP" => Action::Strip(text),
            "IGNORE" => Action::Ignore,
            "DUNNO" | "OK" => Action::Dunno,
            "PREPEND" => line("PREPEND", text, scope).map(Action::Prepend).map_err(mistake)?,
            "REPLACE" => line("REPLACE", text, scope).map(Action::Replace).map_err(mistake)?,
            "FILTER" if text.is_empty() => return Err(mistake(What::NoFilter)),
            "FILTER" if orders::is_filter(text) => Action::Filter(text),
            "FILTER" => return Err(mistake(What::BadFilter(text))),
            "REDIRECT" => {
                let address = orders::address(text);
                Action::Redirect(text, address.ok_or(mistake(What::BadRedirect(text)))?)
            }
            "BCC" => {
                let address = orders::address(text);
                Action::Bcc(text, address.ok_or(mistake(What::BadBcc(text)))?)
            }
            _ => return Err(mistake(What::Unknown(value))),
        })
    }

    /// As log lines name it, and the text they end with; nothing when it is not logged.
    pub fn logged(&self) -> Option<(&'static str, &'a str)> {
        Some(match self {
            Action::Reject(_, text) => ("reject", text),
            Action::Warn(text) => ("warning", text),
            Action::Info(text) => ("info", text),
            Action::Filter(text) => ("filter", text),
            Action::Pass(text) => ("pass", text),
            Action::Discard(text) => ("discard", text),
            Action::Hold(text) => ("hold", text),
            Action::Prepend(text) => ("prepend", text),
            Action::Replace(text) => ("replace", text),
            Action::Redirect(text, _) => ("redirect", text),
            Action::Bcc(text, _) => ("bcc", text),
            Action::Strip(text) => ("strip", text),
            Action::Ignore | Action::Dunno => return None,
        })
    }
}

/// What a client is told of a rejection.
pub fn refusal(status: Status, text: &str) -> Reply {
    let code = if status.class == 4 { 451 } else { 550 };
    Reply::from(format!("{code} {status} {text}"))
}

fn rejection(text: &str) -> Action<'_> {
    const DEFAULT: Status = Status::new(5, 7, 1);
    let (status, text) = match Status::parse_prefix(text.as_bytes()) {
        Some((status, used)) if matches!(status.class, 4 | 5) => {
            (status, text[used..].trim_start())
        }
        _ => (DEFAULT, text),
    };
    Action::Reject(status, if text.is_empty() { "message content rejected" } else { text })
}

/// The text of an action that puts a line somewhere.
fn line<'a>(action: &'static str, text: &'a str, scope: Scope) -> Result<&'a str, What<'a>> {
    if text.is_empty() {
        return Err(What::NoText(action));
    }
    if scope == Scope::Header && header::name(text.as_bytes()).is_none() {
        return Err(What::NoHeader(action, text));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str, scope: Scope) -> Result<Action<'_>, String> {
        Action::parse(value, scope, "header_checks").map_err(|mistake| mistake.to_string())
    }

    #[test]
    fn actions_are_words_in_any_letter_case_with_a_text() {
        let header = |value| parse(value, Scope::Header).unwrap();
        let status = |class, detail| Status::new(class, 7, detail);
        assert_eq!(header("REJECT"), Action::Reject(status(5, 1), "message content rejected"));
        assert_eq!(header("reject 4.7.9 later"), Action::Reject(status(4, 9), "later"));
        assert_eq!(header("REJECT go away"), Action::Reject(status(5, 1), "go away"));
        assert_eq!(header("WARN   many   spaces  "), Action::Warn("many   spaces"));
        assert_eq!(header("HOLD"), Action::Hold(""));
        assert_eq!(header("prepend X-A: b"), Action::Prepend("X-A: b"));
        assert_eq!(header("filter smtp:"), Action::Filter("smtp:"));
        assert_eq!((header("DUNNO"), header("OK")), (Action::Dunno, Action::Dunno));
        assert!(matches!(header("BCC a@b"), Action::Bcc("a@b", _)));
        assert!(matches!(header("Redirect a@b"), Action::Redirect("a@b", _)));
        assert_eq!(parse("REPLACE no header", Scope::Body), Ok(Action::Replace("no header")));
    }

    /// As Postfix 3.7.11 logs them.
    #[test]
    fn mistakes_are_told_in_postfixs_words() {
        for (value, expected) in [
            ("FILTER", "missing FILTER command argument in header_checks map"),
            (
                "FILTER nocolon",
                "bad FILTER command nocolon in header_checks -- need transport:destination",
            ),
            ("PREPEND", "PREPEND action without text in header_checks map"),
            (
                "REPLACE no header here",
                "bad REPLACE header text \"no header here\" in header_checks map -- need \
                 \"headername: headervalue\"",
            ),
            (
                "REDIRECT nouser",
                "bad REDIRECT target \"nouser\" in header_checks map -- need user@domain",
            ),
            ("BCC nouser", "bad BCC address \"nouser\" in header_checks map -- need user@domain"),
            ("450 later", "unknown command in header_checks map: 450 later"),
        ] {
            assert_eq!(parse(value, Scope::Header), Err(expected.to_string()));
        }
    }

    #[test]
    fn a_rejection_is_permanent_or_temporary_by_its_status() {
        assert_eq!(refusal(Status::new(5, 1, 2), "no").0, "550 5.1.2 no");
        assert_eq!(refusal(Status::new(4, 7, 1), "later").0, "451 4.7.1 later");
    }
}
