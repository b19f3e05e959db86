//! EHLO keywords: what we offer, and what a remote server offers.
//!
//! Standards: RFC 5321 section 4.1.1.1; RFC 1870 SIZE, RFC 6152 8BITMIME, RFC 2920 PIPELINING,
//! RFC 3461 DSN, RFC 6531 SMTPUTF8, RFC 3030 CHUNKING, RFC 1985 ETRN, RFC 2034.

use super::client::replies::Answer;
use alloc::string::String;
use core::fmt::Write;

/// A set of keywords.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Keywords(u32);

impl Keywords {
    /// PIPELINING.
    pub const PIPELINING: Keywords = Keywords(1);
    /// SIZE.
    pub const SIZE: Keywords = Keywords(1 << 1);
    /// VRFY.
    pub const VRFY: Keywords = Keywords(1 << 2);
    /// ETRN.
    pub const ETRN: Keywords = Keywords(1 << 3);
    /// ENHANCEDSTATUSCODES.
    pub const ENHANCED: Keywords = Keywords(1 << 4);
    /// 8BITMIME.
    pub const EIGHT_BIT_MIME: Keywords = Keywords(1 << 5);
    /// DSN.
    pub const DSN: Keywords = Keywords(1 << 6);
    /// SMTPUTF8.
    pub const SMTPUTF8: Keywords = Keywords(1 << 7);
    /// CHUNKING.
    pub const CHUNKING: Keywords = Keywords(1 << 8);
    /// STARTTLS.
    pub const STARTTLS: Keywords = Keywords(1 << 9);
    /// AUTH.
    pub const AUTH: Keywords = Keywords(1 << 10);
    /// XFORWARD.
    pub const XFORWARD: Keywords = Keywords(1 << 11);
    /// XVERP.
    pub const XVERP: Keywords = Keywords(1 << 12);
    /// `silent-discard`: not a keyword; tells that discarding others is not logged.
    pub const SILENT: Keywords = Keywords(1 << 31);

    const NAMES: [(&'static str, Keywords); 14] = [
        ("PIPELINING", Keywords::PIPELINING),
        ("SIZE", Keywords::SIZE),
        ("VRFY", Keywords::VRFY),
        ("ETRN", Keywords::ETRN),
        ("STARTTLS", Keywords::STARTTLS),
        ("AUTH", Keywords::AUTH),
        ("XVERP", Keywords::XVERP),
        ("XFORWARD", Keywords::XFORWARD),
        ("ENHANCEDSTATUSCODES", Keywords::ENHANCED),
        ("8BITMIME", Keywords::EIGHT_BIT_MIME),
        ("DSN", Keywords::DSN),
        ("SMTPUTF8", Keywords::SMTPUTF8),
        ("CHUNKING", Keywords::CHUNKING),
        ("silent-discard", Keywords::SILENT),
    ];

    /// The keyword of that name, in any letter case.
    pub fn named(name: &str) -> Option<Keywords> {
        let found = Self::NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(found.1)
    }

    /// Both sets.
    pub fn with(self, other: Keywords) -> Keywords {
        Keywords(self.0 | other.0)
    }

    /// This set without the other.
    pub fn without(self, other: Keywords) -> Keywords {
        Keywords(self.0 & !other.0)
    }

    /// Whether all of `other` is in this set.
    pub fn has(self, other: Keywords) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names in the set, blank-separated, in the order of the reply.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(_, keyword)| self.has(*keyword)).map(|(name, _)| name)
    }

    /// Appends the whole EHLO reply: the host name and a line for each keyword.
    pub fn write_reply(self, hostname: &str, size_limit: u64, out: &mut String) {
        let offered = self.without(Keywords::SILENT);
        let last = offered.names().last();
        let mark = if last.is_some() { '-' } else { ' ' };
        write!(out, "250{mark}{hostname}\r\n").expect("writing to a string does not fail");
        for name in offered.names() {
            let mark = if Some(name) == last { ' ' } else { '-' };
            match name {
                "SIZE" if size_limit > 0 => write!(out, "250{mark}SIZE {size_limit}\r\n"),
                _ => write!(out, "250{mark}{name}\r\n"),
            }
            .expect("writing to a string does not fail");
        }
    }
}

/// What a remote server offers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Offer {
    /// The known keywords.
    pub keywords: Keywords,
    /// Its size limit; zero when it has none or does not tell.
    pub size_limit: u64,
}

impl Offer {
    /// Reads an EHLO reply, `AUTH=` and its like included.
    pub fn read(reply: &Answer<'_>) -> Offer {
        let mut offer = Offer::default();
        for line in reply.lines().skip(1) {
            let mut words = line
                .split(|byte| matches!(byte, b' ' | b'\t' | b'='))
                .filter_map(|word| core::str::from_utf8(word).ok().filter(|word| !word.is_empty()));
            let Some(keyword) = words.next().and_then(Keywords::named) else { continue };
            offer.keywords = offer.keywords.with(keyword);
            if keyword == Keywords::SIZE {
                offer.size_limit = words.next().and_then(|size| size.parse().ok()).unwrap_or(0);
            }
        }
        offer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::client::replies::first;

    #[test]
    fn what_one_side_offers_the_other_reads() {
        let keywords = Keywords::PIPELINING.with(Keywords::SIZE).with(Keywords::DSN);
        let mut text = String::new();
        keywords.with(Keywords::SILENT).write_reply("mx.example", 1000, &mut text);
        assert_eq!(text, "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250 DSN\r\n");
        let (reply, _) = first(text.as_bytes()).unwrap().unwrap();
        assert_eq!(Offer::read(&reply), Offer { keywords, size_limit: 1000 });
        let mut text = String::new();
        Keywords::default().write_reply("mx.example", 0, &mut text);
        assert_eq!(text, "250 mx.example\r\n");
    }
}
