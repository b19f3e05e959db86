//! `smtpd_reject_footer`: what every refusal ends with.
//!
//! Called by `session` for each reply with a code of 4xx or 5xx. A footer that begins with `\c`
//! goes on in the same line; any other begins a line of its own, which repeats the codes, and `\n`
//! begins another. A table may have another footer for a reply.
//!
//! What a client has said may be in a footer: it is not expanded again, and characters outside
//! `smtpd_expansion_filter` become `_`.
//!
//! **Diagnostics**: a footer that cannot be expanded, or a table that cannot tell, is a warning and
//! no footer.
//! **Standards**: postconf(5) `smtpd_reject_footer`, `smtpd_reject_footer_maps`.

use crate::lookup::{Maps, Opener};
use config::Params;
use config::expand::expand;
use config::params::BadValue;
use mail::Status;
use std::borrow::Cow;
use tables::{Lookup, Table};

/// The footers of one service.
#[derive(Debug)]
pub struct Footer {
    text: String,
    maps: Maps,
    filter: String,
}

/// The value of a name that a footer may have: `client_address` and the like.
pub type Values<'a> = dyn Fn(&str) -> Option<String> + 'a;

impl Footer {
    /// Reads the parameters; nothing when no reply has a footer.
    ///
    /// # Errors
    /// The first whose value is not valid.
    pub fn new(params: &Params, opener: &Opener) -> Result<Option<Footer>, BadValue> {
        let footer = Footer {
            text: params.text("smtpd_reject_footer")?,
            maps: opener.maps(params, "smtpd_reject_footer_maps")?,
            filter: unescaped(&params.text("smtpd_expansion_filter")?),
        };
        Ok((!footer.text.is_empty() || !footer.maps.is_empty()).then_some(footer))
    }

    /// A reply with its footer; it has its line end, and so has the result. Nothing when it has no
    /// footer.
    ///
    /// # Errors
    /// What is wrong with the footer, for the log.
    pub fn apply(&self, reply: &str, values: &Values<'_>) -> Result<Option<String>, String> {
        let text = self.text_for(reply)?;
        if !reply.starts_with(['4', '5']) || text.is_empty() {
            return Ok(None);
        }
        let value = |name: &str| values(name).map(|value| Cow::Owned(self.harmless(&value)));
        let text =
            expand(&text, &value).map_err(|error| format!("smtpd_reject_footer: {error}"))?;
        Ok(Some(joined(reply, &text)))
    }

    fn text_for(&self, reply: &str) -> Result<Cow<'_, str>, String> {
        match self.maps.lookup(reply.trim_end().as_bytes()) {
            Lookup::Found(text) => Ok(String::from_utf8_lossy(&text).into_owned().into()),
            Lookup::NotFound => Ok(self.text.as_str().into()),
            Lookup::Retry(why) => Err(format!("smtpd_reject_footer_maps: {why}")),
        }
    }

    /// A value that cannot be taken for a name, or for anything but text.
    fn harmless(&self, value: &str) -> String {
        let allowed = |c: char| if self.filter.contains(c) { c } else { '_' };
        value.chars().map(allowed).collect::<String>().replace('$', "$$")
    }
}

/// A text with C's escapes: `\t`, `\\`, `\40`.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let mut octal = String::new();
        while octal.len() < 3
            && let Some(digit) = rest.next_if(|c| ('0'..='7').contains(c))
        {
            octal.push(digit);
        }
        match u32::from_str_radix(&octal, 8).ok().and_then(char::from_u32) {
            Some(character) => out.push(character),
            None => out.extend(rest.next().map(|c| match c {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                other => other,
            })),
        }
    }
    out
}

/// The reply and the footer, as lines of one reply.
fn joined(reply: &str, footer: &str) -> String {
    let (mut reply, mut footer) = (reply.trim_end().to_string(), footer);
    if let Some(rest) = footer.strip_prefix("\\c") {
        let (same_line, rest) =
            rest.split_once("\\n").map_or((rest, ""), |(line, rest)| (line, rest));
        reply.push_str(same_line);
        footer = rest;
    }
    let prefix = codes(&reply).to_string();
    let more = footer.split("\\n").filter(|line| !line.is_empty());
    let mut lines = vec![reply];
    lines.extend(more.map(|line| format!("{prefix}{}", line.trim_start())));
    let last = lines.len() - 1;
    for line in &mut lines[..last] {
        line.replace_range(3..4, "-");
    }
    lines.iter().map(|line| format!("{line}\r\n")).collect()
}

/// `550 5.1.1 `, or as much of it as there is.
fn codes(reply: &str) -> &str {
    let text = reply.get(4..).unwrap_or_default();
    let enhanced = Status::parse_prefix(text.as_bytes()).map_or(0, |(_, used)| used);
    let end = 4 + enhanced;
    let blank = usize::from(enhanced > 0 && reply.as_bytes().get(end) == Some(&b' '));
    reply.get(..end + blank).unwrap_or(reply)
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::{Host, MainCf};

    fn apply(footer: &str, reply: &str) -> Option<String> {
        let text = format!("smtpd_reject_footer = {footer}\n");
        let main = MainCf::parse("main.cf", text.as_bytes()).unwrap();
        let params = Params::new(main, Host::default());
        let opener = Opener::new(&params, crate::testing::tables(), Default::default()).unwrap();
        let footer = Footer::new(&params, &opener).unwrap()?;
        let values = |name: &str| match name {
            "client" => Some("c[192.0.2.1]".to_string()),
            "sender" => Some("$client\r\n250 Ok".to_string()),
            _ => None,
        };
        footer.apply(reply, &values).unwrap()
    }

    const REPLY: &str = "550 5.1.1 <x@y>: no\r\n";

    #[test]
    fn a_footer_goes_on_or_has_lines_of_its_own() {
        let applied = |footer| apply(footer, REPLY).unwrap();
        assert_eq!(applied(r"\c. Ask $client"), "550 5.1.1 <x@y>: no. Ask c[192.0.2.1]\r\n");
        assert_eq!(applied("Call us"), "550-5.1.1 <x@y>: no\r\n550 5.1.1 Call us\r\n");
        let three = "550-5.1.1 <x@y>: no\r\n550-5.1.1 Call\r\n550 5.1.1 us\r\n";
        assert_eq!(applied(r"Call\nus"), three);
        assert_eq!(apply("x", "500 bad\r\n").unwrap(), "500-bad\r\n500 x\r\n");
    }

    #[test]
    fn only_refusals_have_one() {
        assert_eq!(apply("x", "250 2.0.0 Ok\r\n"), None);
        assert_eq!(apply("", REPLY), None);
    }

    #[test]
    fn what_a_client_says_stays_text() {
        let applied = apply(r"\c $sender", REPLY).unwrap();
        assert_eq!(applied, "550 5.1.1 <x@y>: no $client__250 Ok\r\n");
    }
}
