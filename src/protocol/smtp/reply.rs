//! Replies: what a server says. Those of remote servers are read by `client::replies`.
//!
//! Standards: RFC 5321 section 4.2, RFC 2034 (enhanced codes).

use alloc::borrow::Cow;
use alloc::string::String;

/// One of our replies, a single line without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply(pub Cow<'static, str>);

impl Reply {
    /// A reply known when the program is built.
    pub const fn fixed(text: &'static str) -> Reply {
        Reply(Cow::Borrowed(text))
    }

    /// The three-digit code.
    pub fn code(&self) -> u16 {
        self.0.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// Whether this is a refusal.
    pub fn is_error(&self) -> bool {
        self.code() >= 400
    }

    /// The same reply with 5xx and 5.x.x made temporary (`soft_bounce`).
    pub fn softened(self) -> Reply {
        let text = self.0.as_ref();
        if !text.starts_with('5') {
            return self;
        }
        let mut soft = String::from("4");
        match text.get(3..6) {
            Some(" 5.") => {
                soft.push_str(&text[1..4]);
                soft.push_str("4.");
                soft.push_str(&text[6..]);
            }
            _ => soft.push_str(&text[1..]),
        }
        Reply(Cow::Owned(soft))
    }
}

impl From<String> for Reply {
    fn from(text: String) -> Reply {
        Reply(Cow::Owned(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_bounce_makes_refusals_temporary() {
        let soft = |text| Reply::fixed(text).softened().0.into_owned();
        assert_eq!(soft("554 5.7.1 no"), "454 4.7.1 no");
        assert_eq!(soft("501 Syntax"), "401 Syntax");
        assert_eq!(soft("250 2.0.0 Ok"), "250 2.0.0 Ok");
    }
}
